#include "actors/normalizer/histogram_metrics.hpp"

#include <cmath>

namespace bpf2graphite {
namespace {

metric_value exact_if_whole(long double value) {
  const auto whole = std::nearbyint(value);
  // Up to 2^64 a long double holds each integer.
  if (value == whole && std::abs(value) < 0x1p64L)
    return static_cast<exact>(whole);
  return static_cast<double>(value);
}

} // namespace

metric_value ratio(exact numerator, exact denominator) {
  if (numerator % denominator == 0)
    return numerator / denominator;
  return static_cast<double>(static_cast<long double>(numerator)
                             / static_cast<long double>(denominator));
}

std::optional<metric_value> percentile(const histogram_rows& rows, double p) {
  const auto values = total_of(rows);
  if (values <= 0)
    return std::nullopt;
  auto rank =
    static_cast<long double>(p) * static_cast<long double>(values) / 100.0L;
  const auto whole = std::nearbyint(rank);
  if (std::abs(rank - whole) <= 1e-9L)
    rank = whole;
  auto below = exact{0};
  std::optional<histogram_row> row;
  for (const auto& candidate : rows) {
    if (candidate.count <= 0)
      continue;
    if (row)
      below += row->count;
    row = candidate;
    if (static_cast<long double>(below + candidate.count) >= rank)
      break;
  }
  if (row->bounds.open_low)
    return exact{row->bounds.max};
  if (row->bounds.open_high)
    return exact{row->bounds.min};
  const auto span = static_cast<long double>(row->bounds.width() - 1);
  const auto part = (rank - static_cast<long double>(below))
                    / static_cast<long double>(row->count);
  return exact_if_whole(static_cast<long double>(row->bounds.min)
                        + span * part);
}

std::optional<metric_value> mean_estimate(const histogram_rows& rows) {
  const auto values = total_of(rows);
  if (values <= 0)
    return std::nullopt;
  auto sum = 0.0L;
  for (const auto& row : rows) {
    const auto& at = row.bounds;
    const auto middle =
      at.open_low ? static_cast<long double>(at.max)
      : at.open_high
        ? static_cast<long double>(at.min)
        : (static_cast<long double>(at.min) + static_cast<long double>(at.max))
            / 2;
    sum += middle * static_cast<long double>(row.count);
  }
  return exact_if_whole(sum / static_cast<long double>(values));
}

std::optional<exact> highest_of(const histogram_rows& rows) {
  std::optional<exact> highest;
  for (const auto& row : rows)
    if (row.count > 0)
      highest = row.bounds.open_high ? row.bounds.min : row.bounds.max;
  return highest;
}

} // namespace bpf2graphite
