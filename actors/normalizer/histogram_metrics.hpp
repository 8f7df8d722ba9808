#pragma once
// Numbers that are derived from the histogram of one slot.

#include "actors/normalizer/histogram_rows.hpp"
#include "messages/metric.hpp"

#include <optional>

namespace bpf2graphite {

/// `numerator / denominator`, exact when it is integral. Denominator not 0.
metric_value ratio(exact numerator, exact denominator);

/// The `p`-th percentile, 0 < p < 100; none when the histogram is empty.
///
/// Method: with N values, the rank is r = p / 100 * N (taken as whole when it
/// is within 1e-9 of a whole number). In the row that holds the r-th smallest
/// value, which has c values below it and n in it, the answer is
///     min + (max - min) * (r - c) / n
/// with both bounds inclusive, so a row of one integer gives that integer.
///
/// Error: the true percentile (nearest rank: the smallest value with at least
/// r values not above it) lies in the same row, so the answer is off by at most
/// max - min of that row: for hist() less than the lower bound itself, for
/// hist(x, k) less than 2^-k of it, for lhist() less than the step. An open row
/// has no such bound: its finite end is given. Rows of bpftrace 0.9 to 0.19
/// that say [2G, 4G) hold all that is larger, too.
std::optional<metric_value> percentile(const histogram_rows& rows, double p);

/// The mean as if each value lay in the middle of its row (an open row: at its
/// finite end). An estimate: off by at most half the width of the rows. None
/// when the histogram is empty.
std::optional<metric_value> mean_estimate(const histogram_rows& rows);

/// The inclusive upper end of the highest row that holds a value: no value was
/// larger. Of an open row its lower end: some value was at least that. None
/// when the histogram is empty.
std::optional<exact> highest_of(const histogram_rows& rows);

} // namespace bpf2graphite
