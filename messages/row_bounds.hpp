#pragma once
// Which values a row of a histogram counts.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

namespace bpf2graphite {

/// Holds every integer that bpftrace prints (-2^63 ... 2^64-1) and sums of
/// them.
__extension__ typedef __int128 exact;

/// A row's identity: its bounds, both inclusive. An open end holds the extreme
/// of int64 and says so in its flag. bpftrace 0.9 to 0.19 counts all values of
/// 2^31 and above in [2G, 4G): the row stays as it was printed.
struct row_bounds {
  std::int64_t min = 0;
  std::int64_t max = 0;
  bool open_low = false;
  bool open_high = false;

  friend constexpr bool operator==(const row_bounds&,
                                   const row_bounds&) = default;

  /// By the lower end; an open one is lowest.
  constexpr bool before(const row_bounds& other) const {
    if (open_low != other.open_low)
      return open_low;
    if (min != other.min)
      return min < other.min;
    if (max != other.max)
      return max < other.max;
    return !open_high && other.open_high;
  }

  /// How many integers fall into it; 0: an open end, no number.
  constexpr exact width() const {
    return open_low || open_high ? exact{0} : exact{max} - exact{min} + 1;
  }
};

/// All rows that hist() has without its bits argument, rising: what is
/// negative, 0, 1, and then [2^n, 2^(n+1)) each, up to 2^63. Rows of one
/// histogram that follow each other here follow each other in its print: it
/// needs but the place of the first.
/// Source: the labels that bpftrace prints, as its reference defines hist().
inline constexpr std::size_t hist_rows_all = 65;
inline constexpr std::array<row_bounds, hist_rows_all> hist_bounds = [] {
  constexpr auto lowest = std::numeric_limits<std::int64_t>::min();
  std::array<row_bounds, hist_rows_all> made{};
  made[0] = {lowest, -1, true, false};
  made[2] = {1, 1, false, false};
  for (std::size_t at = 3; at < made.size(); ++at) {
    const auto low = std::int64_t{1} << (at - 2);
    made[at] = {low, low - 1 + low, false, false};
  }
  return made;
}();

/// Of the row of hist() that counts `value`, its place in hist_bounds.
constexpr std::size_t hist_place_of(std::int64_t value) {
  return value < 0 ? 0
                   : static_cast<std::size_t>(
                       std::bit_width(static_cast<std::uint64_t>(value)))
                       + 1;
}

/// No row of hist().
inline constexpr std::size_t no_hist_place = hist_rows_all;

/// The place of a row in hist_bounds; no_hist_place when it is not there.
constexpr std::size_t hist_place_of(const row_bounds& row) {
  const auto place = hist_place_of(row.max);
  return hist_bounds[place] == row ? place : no_hist_place;
}

} // namespace bpf2graphite
