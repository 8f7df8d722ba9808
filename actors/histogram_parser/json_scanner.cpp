#include "actors/histogram_parser/json_scanner.hpp"

#include <charconv>

namespace bpf2graphite {

namespace {

constexpr std::string_view sign_extended = "uffffff";

int hex_value(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

/// Reads `count` hexadecimal digits; none when there are fewer.
bool hex_digits(std::string_view text, std::size_t count, unsigned& out) {
  if (text.size() < count)
    return false;
  out = 0;
  for (std::size_t i = 0; i < count; ++i) {
    auto digit = hex_value(text[i]);
    if (digit < 0)
      return false;
    out = out * 16 + static_cast<unsigned>(digit);
  }
  return true;
}

/// The byte of `uffffffHH`, as it stands behind a backslash.
bool extended_byte(std::string_view text, unsigned& out) {
  return text.starts_with(sign_extended)
         && hex_digits(text.substr(sign_extended.size()), 2, out)
         && out >= 0x80;
}

void append_utf8(unsigned code, std::string& out) {
  auto tail = [&](unsigned shift) {
    out += static_cast<char>(0x80 | ((code >> shift) & 0x3f));
  };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | (code >> 12));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0 | (code >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

/// The byte of an escape of one letter, or -1.
int letter_escape(char c) {
  switch (c) {
    case '"':
    case '\\':
    case '/':
      return c;
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return -1;
  }
}

/// The escape that stands at `text`, behind the backslash, as bpftrace writes
/// it: its length, or 0.
std::size_t own_escape(std::string_view text, unsigned& byte) {
  if (text.empty())
    return 0;
  switch (text.front()) {
    case '"':
    case '\\':
    case 'n':
    case 'r':
    case 't':
      byte = static_cast<unsigned>(letter_escape(text.front()));
      return 1;
    case 'u':
      if (extended_byte(text, byte))
        return sign_extended.size() + 2;
      if (hex_digits(text.substr(1), 4, byte) && byte < 0x20)
        return 5;
      return 0;
    default:
      return 0;
  }
}

} // namespace

void unescape(std::string_view raw, std::string& out) {
  for (;;) {
    auto slash = raw.find('\\');
    out += raw.substr(0, slash);
    if (slash == std::string_view::npos || slash + 1 >= raw.size())
      return;
    raw.remove_prefix(slash + 1);
    unsigned code = 0;
    if (raw.front() != 'u') {
      out += static_cast<char>(letter_escape(raw.front()));
      raw.remove_prefix(1);
    } else if (extended_byte(raw, code)) {
      out += static_cast<char>(code);
      raw.remove_prefix(sign_extended.size() + 2);
    } else if (hex_digits(raw.substr(1), 4, code)) {
      raw.remove_prefix(5);
      unsigned low = 0;
      if (code >= 0xd800 && code < 0xdc00 && raw.starts_with("\\u")
          && hex_digits(raw.substr(2), 4, low)) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        raw.remove_prefix(6);
      }
      append_utf8(code, out);
    }
  }
}

key_escaping escaping_of(std::string_view raw) {
  if (raw.find('\\') == std::string_view::npos)
    return key_escaping::unknown;
  // Of what is escaped twice the second pass finds only backslashes and
  // quotes to escape, and each quote has a backslash of the first before it.
  std::string text;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] == '\\') {
      ++i;
      if (i == raw.size() || (raw[i] != '\\' && raw[i] != '"'))
        return key_escaping::once;
    }
    text += raw[i];
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"')
      return key_escaping::once;
    if (text[i] == '\\') {
      unsigned byte = 0;
      auto length = own_escape(std::string_view{text}.substr(i + 1), byte);
      if (length == 0)
        return key_escaping::once;
      i += length;
    }
  }
  return key_escaping::twice;
}

void unescape_again(std::string_view text, std::string& out) {
  for (;;) {
    auto slash = text.find('\\');
    out += text.substr(0, slash);
    if (slash == std::string_view::npos)
      return;
    text.remove_prefix(slash + 1);
    unsigned byte = 0;
    auto length = own_escape(text, byte);
    out += length == 0 ? '\\' : static_cast<char>(byte);
    text.remove_prefix(length);
  }
}

bool has_unicode_escape(std::string_view text) {
  for (auto at = text.find('\\'); at != std::string_view::npos;
       at = text.find('\\', at + 2)) {
    if (at + 1 >= text.size())
      return false;
    if (text[at + 1] == 'u')
      return true;
  }
  return false;
}

bool fits_double(exact value) {
  // Within 64 bits the exponent is no matter, only the 53 bit significand.
  auto magnitude = static_cast<std::uint64_t>(value < 0 ? -value : value);
  return magnitude == 0
         || (magnitude >> std::countr_zero(magnitude))
              < (std::uint64_t{1} << 53);
}

bool json_scanner::hex4(unsigned& out) {
  if (!hex_digits(rest(), 4, out))
    return false;
  at_ += 4;
  return true;
}

// At a backslash. As strict as JSON; half a surrogate pair stands for no
// character and is refused.
bool json_scanner::escape() {
  ++at_;
  if (at_ == end_)
    return false;
  if (*at_ != 'u')
    return letter_escape(*at_++) >= 0;
  ++at_;
  unsigned code = 0;
  if (!hex4(code) || (code >= 0xdc00 && code < 0xe000))
    return false;
  if (code >= 0xd800 && code < 0xdc00) {
    unsigned low = 0;
    if (!byte('\\') || !byte('u') || !hex4(low) || low < 0xdc00
        || low >= 0xe000)
      return false;
  }
  hex_ = hex_ || hex_possible_;
  return true;
}

bool json_scanner::long_natural(const char* begin, const char* end,
                                std::uint64_t& out) {
  auto result = std::from_chars(begin, end, out);
  return result.ec == std::errc{} && result.ptr == end;
}

// As the stream writes it in base 16: lower case, no prefix.
bool json_scanner::hexadecimal(std::uint64_t& out) {
  const char* begin = at_;
  std::uint64_t value = 0;
  for (;; ++at_) {
    unsigned digit;
    if (digit_at(at_) <= 9)
      digit = digit_at(at_);
    else if (*at_ >= 'a' && *at_ <= 'f')
      digit = static_cast<unsigned>(*at_ - 'a') + 10;
    else
      break;
    value = (value << 4) | digit;
  }
  auto length = at_ - begin;
  if (length == 0 || length > 16 || (length > 1 && *begin == '0'))
    return false;
  out = value;
  return true;
}

bool json_scanner::number() {
  auto digits = [this] {
    if (at_ == end_ || digit_at(at_) > 9)
      return false;
    while (at_ != end_ && digit_at(at_) <= 9)
      ++at_;
    return true;
  };
  byte('-');
  if (at_ == end_)
    return false;
  if (*at_ == '0')
    ++at_;
  else if (!digits())
    return false;
  if (byte('.') && !digits())
    return false;
  if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
    ++at_;
    if (!byte('+'))
      byte('-');
    return digits();
  }
  return true;
}

bool json_scanner::value(std::string_view& out) {
  skip_space();
  const char* begin = at_;
  if (!skip(0, false))
    return false;
  out = {begin, static_cast<std::size_t>(at_ - begin)};
  return true;
}

bool json_scanner::skip(int depth, bool is_count) {
  skip_space();
  if (at_ == end_)
    return false;
  json_string text;
  switch (*at_) {
    case '"':
      return string(text);
    case '{':
      if (depth == depth_max)
        return false;
      ++at_;
      if (token('}'))
        return true;
      do {
        skip_space();
        if (!string(text) || !token(':'))
          return false;
        auto counts =
          text.raw == "count" || text.raw == "events" || text.raw == "probes";
        if (!skip(depth + 1, counts))
          return false;
      } while (token(','));
      return token('}');
    case '[':
      if (depth == depth_max)
        return false;
      ++at_;
      if (token(']'))
        return true;
      do {
        if (!skip(depth + 1, false))
          return false;
      } while (token(','));
      return token(']');
    case 't':
      return literal("true");
    case 'f':
      if (literal("false"))
        return true;
      if (!is_count || !hex_)
        return false;
      break;
    case 'n':
      return literal("null");
    default:
      break;
  }
  if (is_count && hex_) {
    auto begin = at_;
    std::uint64_t ignored;
    if (hexadecimal(ignored))
      return true;
    at_ = begin;
  }
  return number();
}

} // namespace bpf2graphite
