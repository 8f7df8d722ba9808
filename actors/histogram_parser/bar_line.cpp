#include "actors/histogram_parser/bar_line.hpp"

#include "actors/histogram_parser/bucket_label.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace bpf2graphite {
namespace {

using view = std::string_view;

constexpr std::size_t bar_columns = 52;
constexpr std::size_t frame = bar_columns + 3; // " |", the bar, "|"

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::uint64_t eight(const char* at) {
  std::uint64_t bytes;
  std::memcpy(&bytes, at, sizeof bytes);
  return bytes;
}

constexpr std::uint64_t eight_times(char c) {
  return std::uint64_t{0x0101010101010101} * static_cast<unsigned char>(c);
}

#ifdef __SSE2__

/// The 52 columns at `bar`: "@"s, then spaces. A bit for each column, the last
/// four twice.
bool is_bar(const char* bar) {
  static_assert(bar_columns == 3 * 16 + 4);
  const auto at_sign = _mm_set1_epi8('@');
  const auto space = _mm_set1_epi8(' ');
  auto known = _mm_set1_epi8(-1);
  const auto filled = [&](std::size_t column) {
    const auto there =
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(bar + column));
    const auto is_at = _mm_cmpeq_epi8(there, at_sign);
    known =
      _mm_and_si128(known, _mm_or_si128(is_at, _mm_cmpeq_epi8(there, space)));
    return static_cast<std::uint64_t>(
      static_cast<unsigned>(_mm_movemask_epi8(is_at)));
  };
  const auto bits =
    filled(0) | filled(16) << 16 | filled(32) << 32 | filled(36) << 36;
  // Ones from the lowest bit on, and nothing above them.
  return (bits & (bits + 1)) == 0 && _mm_movemask_epi8(known) == 0xffff;
}

#else

/// Each bar is a part of it, of 52 columns: "@"s, then spaces.
constexpr view all_bars =
  "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@"
  "                                                    ";
static_assert(all_bars.size() == 2 * bar_columns);

/// The 52 columns at `bar`. Without a branch on what they are: where the "@"s
/// end cannot be predicted. "@" alone has the bit 0x40, and that many of them
/// stand in front, or the columns differ from the bar of that length.
bool is_bar(const char* bar) {
  static_assert(bar_columns == 6 * 8 + 4);
  // Eight counts side by side, of at most seven each; then their sum.
  const auto last = eight(bar + 44) >> 32; // the last four
  auto counts = (last >> 6) & eight_times(1);
  for (std::size_t at = 0; at < 48; at += 8)
    counts += (eight(bar + at) >> 6) & eight_times(1);
  const auto filled = (counts * eight_times(1)) >> 56;
  if (filled > bar_columns)
    return false;
  const char* wanted = all_bars.data() + bar_columns - filled;
  std::uint64_t different = eight(bar + 44) ^ eight(wanted + 44);
  for (std::size_t at = 0; at < 48; at += 8)
    different |= eight(bar + at) ^ eight(wanted + at);
  return different == 0;
}

#endif

bool are_spaces(view text) {
  if (text.size() < 8)
    return text.find_first_not_of(' ') == view::npos;
  auto different = eight(text.data() + text.size() - 8) ^ eight_times(' ');
  for (std::size_t at = 0; at + 8 <= text.size(); at += 8)
    different |= eight(text.data() + at) ^ eight_times(' ');
  return different == 0;
}

/// A count of up to eight digits behind spaces, in the eight bytes at `at`:
/// as a rule a column of that width. Little endian: the first is the lowest.
bool read_column(const char* at, std::uint64_t& count) {
  if constexpr (std::endian::native != std::endian::little)
    return false;
  const auto bytes = eight(at);
  // All bits of the bytes that are digits, if this is a count.
  const auto digits = ((bytes >> 4) & eight_times(1)) * 0xff;
  const auto spaces = ~digits;
  if ((spaces & (spaces + 1)) != 0 || digits == 0
      || (bytes & spaces) != (eight_times(' ') & spaces)
      || (bytes & digits & eight_times('\xf0')) != (eight_times('0') & digits)
      || ((bytes + (eight_times(6) & digits)) & digits & eight_times('\xf0'))
           != (eight_times('0') & digits))
    return false;
  // Pairs, fours, then all eight of them; a space counts as a leading zero.
  auto sum = bytes & eight_times('\x0f');
  sum = (sum * 10 + (sum >> 8)) & 0x00ff00ff00ff00ff;
  sum = (sum * 100 + (sum >> 16)) & 0x0000ffff0000ffff;
  count = (sum * 10000 + (sum >> 32)) & 0xffffffff;
  return true;
}

/// What stands between a label and the bar: spaces, then up to 20 digits.
bool read_count(view text, std::uint64_t& count) {
  if (text.size() >= 8 && are_spaces(text.substr(0, text.size() - 8))
      && read_column(text.data() + text.size() - 8, count))
    return true;
  std::size_t from = 0;
  while (from < text.size() && text[from] == ' ')
    ++from;
  if (from == text.size() || text.size() - from > 20)
    return false;
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  auto may_be_more = text.size() - from == 20;
  std::uint64_t sum = 0;
  for (; from < text.size(); ++from) {
    if (!is_digit(text[from]))
      return false;
    auto digit = static_cast<std::uint64_t>(text[from] - '0');
    if (may_be_more && sum > (most - digit) / 10)
      return false;
    sum = sum * 10 + digit;
  }
  count = sum;
  return true;
}

/// " |", the bar, "|".
bool is_frame(const char* at) {
  return at[0] == ' ' && at[1] == '|' && at[frame - 1] == '|' && is_bar(at + 2);
}

/// A line that can be a row, cut at the end of its count.
bool has_frame(view line) {
  if (line.size() < frame + 4 || line.back() != '|')
    return false;
  return is_frame(line.data() + line.size() - frame);
}

/// bpftrace writes a label to the left in so many columns and a count to the
/// right in so many; what needs more takes more.
constexpr std::size_t label_columns = 16;
constexpr std::size_t count_columns = 8;
static_assert(usual_bar_bytes == label_columns + count_columns + frame + 1);

struct power_row {
  std::array<char, label_columns> padded{}; // the label in its columns
  std::size_t label_bytes = 0;
  std::int64_t min = 0;
  std::int64_t max = 0;

  constexpr void add(char c) {
    padded[label_bytes++] = c;
  }

  /// 2^power as bpftrace writes it, as 512K.
  constexpr void add_bound(std::size_t power) {
    const auto number = 1u << power % 10;
    for (auto digit = 1000u; digit != 0; digit /= 10)
      if (number >= digit)
        add(static_cast<char>('0' + number / digit % 10));
    if (power >= 10)
      add("KMGTPE"[power / 10 - 1]);
  }
};

/// [0, 2^63) in rows of hist().
constexpr std::size_t powers = 64;

constexpr std::array<power_row, powers> power_rows = [] {
  std::array<power_row, powers> made{};
  for (std::size_t i = 0; i < powers; ++i) {
    auto& row = made[i];
    row.padded.fill(' ');
    row.add('[');
    if (i < 2) {
      row.add(static_cast<char>('0' + i));
      row.min = row.max = static_cast<std::int64_t>(i);
      row.add(']');
      continue;
    }
    row.min = std::int64_t{1} << (i - 1);
    row.max = row.min - 1 + row.min;
    row.add_bound(i - 1);
    row.add(',');
    row.add(' ');
    row.add_bound(i);
    row.add(')');
  }
  return made;
}();

} // namespace

bool read_bar(view line, bucket& row) {
  if (line.empty() || (line[0] != '[' && line[0] != '(') || !has_frame(line))
    return false;
  line.remove_suffix(frame);
  bucket_bounds bounds;
  std::size_t from = parse_bucket_label(line, bounds);
  std::uint64_t count = 0;
  if (from == 0 || !read_count(line.substr(from), count))
    return false;
  row.min = bounds.min;
  row.max = bounds.max;
  row.count = count;
  return true;
}

bool read_usual_bar(view lines, std::size_t power, std::uint64_t& count) {
  if (lines.size() < usual_bar_bytes || power >= powers)
    return false;
  const char* at = lines.data();
  const auto& known = power_rows[power];
  return at[usual_bar_bytes - 1] == '\n'
         && eight(at) == eight(known.padded.data())
         && eight(at + 8) == eight(known.padded.data() + 8)
         && read_column(at + label_columns, count)
         && is_frame(at + label_columns + count_columns);
}

bool read_hist_bar(view line, std::size_t power, bucket& row) {
  if (power >= powers)
    return false;
  const auto& known = power_rows[power];
  std::uint64_t count = 0;
  // As a rule nothing is wider than its columns.
  const auto usual = line.size() == label_columns + count_columns + frame
                     && eight(line.data()) == eight(known.padded.data())
                     && eight(line.data() + 8) == eight(known.padded.data() + 8)
                     && read_column(line.data() + label_columns, count);
  // (A view that is long enough for a frame holds any of the labels.)
  if (!usual
      && (line.size() < frame + known.label_bytes
          || std::memcmp(line.data(), known.padded.data(), known.label_bytes)
               != 0))
    return false;
  if (!has_frame(line))
    return false;
  line.remove_suffix(frame);
  if (!usual && !read_count(line.substr(known.label_bytes), count))
    return false;
  row.min = known.min;
  row.max = known.max;
  row.count = count;
  return true;
}

std::size_t power_of(const bucket& row) {
  if (!row.min || !row.max || *row.min < 0)
    return no_power;
  auto power = static_cast<std::size_t>(
    std::bit_width(static_cast<std::uint64_t>(*row.min)));
  const auto& known = power_rows[power];
  return known.min == *row.min && known.max == *row.max ? power : no_power;
}

} // namespace bpf2graphite
