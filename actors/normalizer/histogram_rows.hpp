#pragma once
// Rows of a histogram as exact bounds with exact counts, and the arithmetic on
// them: adding, subtracting, comparing, the rows that bpftrace left out.

#include "messages/snapshot.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bpf2graphite {

/// A row's identity: its bounds, both inclusive. An open end holds the extreme
/// of int64 and says so in its flag. bpftrace 0.9 to 0.19 counts all values of
/// 2^31 and above in [2G, 4G): the row stays as it was printed.
struct row_bounds {
  std::int64_t min = 0;
  std::int64_t max = 0;
  bool open_low = false;
  bool open_high = false;

  friend bool operator==(const row_bounds&, const row_bounds&) = default;

  /// By the lower end; an open one is lowest.
  bool before(const row_bounds& other) const;

  /// How many integers fall into it; 0: an open end, no number.
  exact width() const;
};

/// The bounds of a row as it was printed.
row_bounds bounds_of(const bucket& row);

struct histogram_row {
  row_bounds bounds;
  exact count = 0;
};

/// Rising, each bounds once.
using histogram_rows = std::vector<histogram_row>;

/// bpftrace's own limit: hist() has at most 2^5 rows for each of 64 powers of
/// two, lhist() 1002.
inline constexpr std::size_t rows_per_histogram_max = 4096;

/// Fills `out` (its capacity is kept) from one printed histogram: sorted, equal
/// bounds added. Returns how many rows had to be left out: over the limit, or
/// a lower bound above the upper one.
std::size_t read_rows(const std::vector<bucket>& printed, histogram_rows& out);

/// Adds `from` to `into`, or takes it away (`sign` -1). Returns how many rows
/// `into` gained. Allocates only for those.
std::size_t add_rows(histogram_rows& into, const histogram_rows& from,
                     int sign = 1);

/// `now` minus `before`, into `out`: only rows that differ from zero and stand
/// in `now`.
void subtract_rows(const histogram_rows& now, const histogram_rows& before,
                   histogram_rows& out);

/// True when each row of `small` is in `large` with at least its count. Rows of
/// zero need not be there.
bool covers(const histogram_rows& large, const histogram_rows& small);

/// The sum of all counts.
exact total_of(const histogram_rows& rows);

/// The rows that lie between two rows of one histogram and were never printed,
/// lowest first: of lhist() those of equal width, of hist(x, bits) those that
/// split each power of two evenly. Appended to `out`. Nothing when the rows
/// touch, when no such row fits exactly, when both kinds would fit in different
/// ways, or when they were more than `rows_per_histogram_max`.
/// Source: the labels that bpftrace prints, as its reference defines hist() and
/// lhist().
void rows_between(const row_bounds& low, const row_bounds& high,
                  std::vector<row_bounds>& out);

} // namespace bpf2graphite
