#pragma once
// Reading JSON piece by piece, without a tree: what both readers of
// map_json.cpp, the one for fixed shapes and the general one, are made of.
//
// What is accepted is JSON (RFC 8259), but for what stands behind "!":
//
//   value   = object | array | string | number | "true" | "false" | "null"
//   object  = "{" [ string ":" value { "," string ":" value } ] "}"
//             ! a name may come twice, and both are seen
//   array   = "[" [ value { "," value } ] "]"
//             ! objects and arrays at most 64 deep
//   string  = '"' { byte of 0x20 and above but for '"' and "\" | escape } '"'
//             ! bytes of 0x80 and above need be no UTF-8
//   escape  = "\" ( '"' | "\" | "/" | "b" | "f" | "n" | "r" | "t"
//                  | "u" 4 hexadecimal digits )   no half of a surrogate pair
//             ! \uffffff and two digits of 80 to ff: that byte
//   number  = ["-"] ( "0" | digits ) ["." digits] [("e"|"E") ["+"|"-"] digits]
//   natural = "0" | digits that begin with no 0, at most 2^64-1
//   integer = natural | "-" natural of at most 2^63
//   count   = natural; ! in a stream of 0.24+ in which a \u was written: 1 to
//             16 of 0-9 a-f that begin with no 0 (or 0 alone), as the value of
//             a field called count, events or probes
//   space   = { " " | TAB | NL | CR }, before and behind all of these

#include "actors/histogram_parser/hist_row_text.hpp"
#include "messages/snapshot.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace bpf2graphite {

/// A string between its quotes, not unescaped yet.
struct json_string {
  std::string_view raw;
  bool escaped = false; // there is a backslash in it
};

/// Replaces the escapes of a JSON string that json_scanner::string accepted
/// and appends the result, which is never longer. `\uffffffHH` (HH 80 to ff)
/// is the byte HH: bpftrace 0.17+ writes bytes so (a sign extended char).
void unescape(std::string_view raw, std::string& out);

/// What a key says about the escaping of keys.
enum class key_escaping {
  unknown, // no backslash or quote in it
  once,    // cannot have been escaped twice
  twice,   // each of its backslashes begins an escape that bpftrace writes
};

/// Looks at a key's raw text. bpftrace 0.22 and 0.23 escape keys twice.
key_escaping escaping_of(std::string_view raw);

/// The second unescaping, of text that is unescaped once. What is no escape
/// that bpftrace writes stays as it is. Appends; never longer.
void unescape_again(std::string_view text, std::string& out);

/// True when there is an escape `\u` in it. All backslashes of JSON stand in
/// strings, so the text need not be cut into tokens.
bool has_unicode_escape(std::string_view text);

/// True when a double holds exactly this value. bpftrace 0.24+ puts quotes
/// around integers for which that is false.
bool fits_double(exact value);

/// Reads forward over a text. Every function returns true and moves on, or
/// false, with the position then anywhere. Never reads beyond `text`, but for
/// the one byte behind it, which must be readable and no letter or digit (the
/// line end, or what stands behind a value).
class json_scanner {
public:
  /// How deep arrays and objects may nest in what value() reads.
  static constexpr int depth_max = 64;

  /// `hex_possible`: bpftrace 0.24+, where counts are hexadecimal once any
  /// `\u` was written; `hex`: that has happened before `text`.
  json_scanner(std::string_view text, bool hex_possible, bool hex)
    : at_{text.data()}, end_{text.data() + text.size()},
      hex_possible_{hex_possible}, hex_{hex} {}

  bool hex() const {
    return hex_;
  }

  const char* position() const {
    return at_;
  }

  std::string_view rest() const {
    return {at_, static_cast<std::size_t>(end_ - at_)};
  }

  /// What stands behind a quote that is next; else nothing.
  std::string_view behind_quote() const {
    return at_ != end_ && *at_ == '"' ? rest().substr(1) : std::string_view{};
  }

  void move_to(const char* position) {
    at_ = position;
  }

  bool at_end() const {
    return at_ == end_;
  }

  /// The next byte, or the one behind the text.
  char next() const {
    return *at_;
  }

  bool byte(char expected) {
    if (at_ == end_ || *at_ != expected)
      return false;
    ++at_;
    return true;
  }

  /// Exactly these bytes.
  template <std::size_t N>
  bool literal(const char (&expected)[N]) {
    constexpr auto size = N - 1;
    if (static_cast<std::size_t>(end_ - at_) < size
        || std::memcmp(at_, expected, size) != 0)
      return false;
    at_ += size;
    return true;
  }

  /// The bytes of a row of hist(), up to its count.
  bool text(const hist_row_text& row) {
    if (!row.begins(at_, static_cast<std::size_t>(end_ - at_)))
      return false;
    at_ += row.size;
    return true;
  }

  void skip_space() {
    while (at_ != end_
           && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r'))
      ++at_;
  }

  /// The same with space before it.
  bool token(char expected) {
    skip_space();
    return byte(expected);
  }

  /// A whole string with its quotes.
  bool string(json_string& out) {
    return byte('"') && string_body(out);
  }

  /// A string behind its opening quote, and the closing one.
  bool string_body(json_string& out) {
    const char* begin = at_;
    out.escaped = false;
    for (;;) {
      if constexpr (std::endian::native == std::endian::little) {
        while (end_ - at_ >= 8) {
          std::uint64_t eight;
          std::memcpy(&eight, at_, 8);
          auto found = special(eight);
          if (found != 0) {
            at_ += std::countr_zero(found) >> 3;
            break;
          }
          at_ += 8;
        }
      }
      if (at_ == end_)
        return false;
      auto c = static_cast<unsigned char>(*at_);
      if (c == '"') {
        out.raw = {begin, static_cast<std::size_t>(at_ - begin)};
        ++at_;
        return true;
      }
      if (c < 0x20)
        return false;
      if (c == '\\') {
        out.escaped = true;
        if (!escape())
          return false;
      } else {
        ++at_;
      }
    }
  }

  /// 0 ... 2^64-1 in decimal, without leading zeros.
  bool natural(std::uint64_t& out) {
    const char* begin = at_;
    if constexpr (std::endian::native == std::endian::little)
      if (end_ - at_ >= 8) {
        // Up to seven digits: as a rule all of them.
        std::uint64_t bytes;
        std::memcpy(&bytes, at_, 8);
        const auto others = other_than_digit(bytes);
        const auto digits = std::countr_zero(others) & ~7;
        if (others != 0 && (bytes & 0xff) != '0' && digits != 0) {
          bytes = (bytes & 0x0f0f0f0f0f0f0f0f) << (64 - digits);
          bytes = (bytes * 10 + (bytes >> 8)) & 0x00ff00ff00ff00ff;
          bytes = (bytes * 100 + (bytes >> 16)) & 0x0000ffff0000ffff;
          out = (bytes * 10000 + (bytes >> 32)) & 0xffffffff;
          at_ += digits / 8;
          return true;
        }
      }
    auto digit = digit_at(at_);
    if (digit > 9)
      return false;
    std::uint64_t value = digit;
    while ((digit = digit_at(++at_)) <= 9)
      value = value * 10 + digit;
    auto length = at_ - begin;
    if (length > 1 && *begin == '0')
      return false;
    if (length > 19)
      return long_natural(begin, at_, out);
    out = value; // 19 nines are less than 2^64
    return true;
  }

  /// -2^63 ... 2^64-1.
  bool integer(exact& out) {
    bool negative = *at_ == '-' && at_ != end_;
    if (negative)
      ++at_;
    std::uint64_t value;
    if (!natural(value) || (negative && value > (std::uint64_t{1} << 63)))
      return false;
    out = negative ? -static_cast<exact>(value) : static_cast<exact>(value);
    return true;
  }

  /// An integer with or without quotes around it.
  bool maybe_quoted(exact& out) {
    return byte('"') ? integer(out) && byte('"') : integer(out);
  }

  /// A histogram's or lost_events' count: hexadecimal once hex() is true.
  bool count(std::uint64_t& out) {
    return hex_ ? hexadecimal(out) : natural(out);
  }

  /// Any number of JSON's grammar.
  bool number();

  /// Any value. Where bpftrace writes them so, counts may be hexadecimal.
  bool value(std::string_view& out);

private:
  static unsigned digit_at(const char* at) {
    return static_cast<unsigned>(static_cast<unsigned char>(*at)) - '0';
  }

  /// The high bit of each byte that is no digit; exact up to the lowest one
  /// that is set.
  static std::uint64_t other_than_digit(std::uint64_t eight) {
    constexpr std::uint64_t ones = 0x0101010101010101;
    constexpr std::uint64_t high = 0x8080808080808080;
    // Below "0" borrows, above "9" carries; of 0x80 and above it is the bit.
    return ((eight - ones * '0') | (eight + ones * (0x7f - '9')) | eight)
           & high;
  }

  /// The high bit of each byte that is `"`, `\` or below 0x20; exact up to
  /// the lowest one that is set.
  static std::uint64_t special(std::uint64_t eight) {
    constexpr std::uint64_t ones = 0x0101010101010101;
    constexpr std::uint64_t high = 0x8080808080808080;
    auto quote = eight ^ (ones * '"');
    auto slash = eight ^ (ones * '\\');
    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash)
            | ((eight - ones * 0x20) & ~eight))
           & high;
  }

  bool escape();
  bool hex4(unsigned& out);
  bool hexadecimal(std::uint64_t& out);
  static bool long_natural(const char* begin, const char* end,
                           std::uint64_t& out);
  bool skip(int depth, bool is_count);

  const char* at_;
  const char* end_;
  bool hex_possible_;
  bool hex_;
};

} // namespace bpf2graphite
