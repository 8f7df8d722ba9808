#include "actors/normalizer/histogram_rows.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>

namespace bpf2graphite {
namespace {

constexpr auto lowest = std::numeric_limits<std::int64_t>::min();
constexpr auto highest = std::numeric_limits<std::int64_t>::max();

bool rising(const histogram_row& a, const histogram_row& b) {
  return a.bounds.before(b.bounds);
}

/// The finite rows of [from, to) with a width of `width` each.
bool even_rows(exact from, exact to, exact width,
               std::vector<row_bounds>& out) {
  if (width <= 0 || (to - from) % width != 0
      || (to - from) / width > exact{rows_per_histogram_max})
    return false;
  for (auto at = from; at < to; at += width)
    out.push_back({static_cast<std::int64_t>(at),
                   static_cast<std::int64_t>(at + width - 1), false, false});
  return true;
}

/// log2 of the number of rows in each power of two, as this row shows it; none
/// when it is no row of a hist(), or single (those are alike for all).
struct hist_shape {
  bool fits = false;
  std::optional<int> bits;
};

constexpr int bits_max = 5; // hist(x, 5) is bpftrace's finest

hist_shape shape_of(const row_bounds& row) {
  if (row.open_high)
    return {};
  if (row.open_low)
    return {row.max == -1, std::nullopt};
  const auto width = row.width();
  if (row.min < 0 || width <= 0)
    return {};
  if (width == 1) // 0 ... 2^(bits+1)-1 have a row each
    return {row.min < (2 << bits_max), std::nullopt};
  const auto w = static_cast<std::uint64_t>(width);
  const auto min = static_cast<std::uint64_t>(row.min);
  if (!std::has_single_bit(w) || min < w || min % w != 0)
    return {};
  const auto bits =
    static_cast<int>(std::bit_width(min)) - 1 - std::countr_zero(w);
  return {bits <= bits_max, bits};
}

/// The hist() rows of [from, to) with 2^bits rows for each power of two.
bool power_rows(exact from, exact to, int bits, std::vector<row_bounds>& out) {
  auto rows = std::size_t{0};
  for (auto at = from; at < to; ++rows) {
    if (rows == rows_per_histogram_max)
      return false;
    const auto value = static_cast<std::uint64_t>(at);
    const auto power =
      value == 0 ? 0 : static_cast<int>(std::bit_width(value)) - 1;
    const auto width = power <= bits ? exact{1} : exact{1} << (power - bits);
    if (at % width != 0 || at + width > to)
      return false;
    out.push_back({static_cast<std::int64_t>(at),
                   static_cast<std::int64_t>(at + width - 1), false, false});
    at += width;
  }
  return true;
}

bool between_hist(const row_bounds& low, const row_bounds& high, exact from,
                  exact to, std::vector<row_bounds>& out) {
  const auto a = shape_of(low);
  const auto b = shape_of(high);
  if (!a.fits || !b.fits || from < 0
      || (a.bits && b.bits && *a.bits != *b.bits))
    return false;
  // Two single rows: whatever the bits, only single rows lie between them.
  const auto bits = a.bits ? *a.bits : b.bits ? *b.bits : bits_max;
  // A single row above 2^(bits+1)-1 does not belong to this histogram.
  for (const auto* row : {&low, &high})
    if (!row->open_low && row->width() == 1 && row->min >= (2 << bits))
      return false;
  return power_rows(from, to, bits, out);
}

bool between_lhist(const row_bounds& low, const row_bounds& high, exact from,
                   exact to, std::vector<row_bounds>& out) {
  const auto a = low.width();
  const auto b = high.width();
  if (a != 0 && b != 0)
    return a == b && even_rows(from, to, a, out);
  if (a == 0 && b == 0)
    return false;
  const auto width = a != 0 ? a : b;
  // lhist counts from `low`'s end (open below) or up to `high` (open above).
  return even_rows(from, to, width, out);
}

/// Moves `at` forward to the row of these bounds, or to where it would stand.
/// True when it is there. As a rule two prints of one histogram are compared,
/// row by row the same: what is equal is seen before an order is asked for.
template <class Iterator>
bool step_to(const row_bounds& bounds, Iterator& at, Iterator end) {
  auto equal = at != end && at->bounds == bounds;
  while (!equal && at != end && at->bounds.before(bounds))
    equal = ++at != end && at->bounds == bounds;
  return equal;
}

} // namespace

bool row_bounds::before(const row_bounds& other) const {
  if (open_low != other.open_low)
    return open_low;
  if (min != other.min)
    return min < other.min;
  if (max != other.max)
    return max < other.max;
  return !open_high && other.open_high;
}

exact row_bounds::width() const {
  return open_low || open_high ? exact{0} : exact{max} - exact{min} + 1;
}

row_bounds bounds_of(const bucket& row) {
  return {row.min.value_or(lowest), row.max.value_or(highest), !row.min,
          !row.max};
}

std::size_t read_rows(const std::vector<bucket>& printed, histogram_rows& out) {
  out.clear();
  out.reserve(std::min(printed.size(), rows_per_histogram_max));
  auto refused = std::size_t{0};
  auto sorted = true;
  for (const auto& row : printed) {
    const auto bounds = bounds_of(row);
    if (bounds.min > bounds.max || out.size() == rows_per_histogram_max) {
      ++refused;
      continue;
    }
    if (!out.empty() && !out.back().bounds.before(bounds))
      sorted = false;
    out.push_back({bounds, exact{row.count}});
  }
  if (sorted)
    return refused;
  std::stable_sort(out.begin(), out.end(), rising);
  auto last = out.begin();
  for (auto row = last + 1; row != out.end(); ++row)
    if (row->bounds == last->bounds)
      last->count += row->count;
    else
      *++last = *row;
  out.erase(last + 1, out.end());
  return refused;
}

std::size_t add_rows(histogram_rows& into, const histogram_rows& from,
                     int sign) {
  auto gained = std::size_t{0};
  // Not by doubling: a trace keeps half a dozen of these for good.
  if (into.empty())
    into.reserve(from.size());
  auto at = into.begin();
  for (const auto& row : from) {
    const auto count = sign < 0 ? -row.count : row.count;
    if (step_to(row.bounds, at, into.end())) {
      at->count += count;
    } else {
      at = into.insert(at, {row.bounds, count});
      ++gained;
    }
    ++at;
  }
  return gained;
}

void subtract_rows(const histogram_rows& now, const histogram_rows& before,
                   histogram_rows& out) {
  out.clear();
  out.reserve(now.size());
  auto old = before.begin();
  for (const auto& row : now) {
    auto difference = row.count;
    if (step_to(row.bounds, old, before.end()))
      difference -= old++->count;
    if (difference != 0)
      out.push_back({row.bounds, difference});
  }
}

bool covers(const histogram_rows& large, const histogram_rows& small) {
  auto at = large.begin();
  for (const auto& row : small) {
    const auto there = step_to(row.bounds, at, large.end());
    if ((there ? at++->count : exact{0}) < row.count)
      return false;
  }
  return true;
}

exact total_of(const histogram_rows& rows) {
  auto sum = exact{0};
  for (const auto& row : rows)
    sum += row.count;
  return sum;
}

void rows_between(const row_bounds& low, const row_bounds& high,
                  std::vector<row_bounds>& out) {
  if (low.open_high || high.open_low)
    return;
  const auto from = exact{low.max} + 1;
  const auto to = exact{high.min};
  if (from >= to)
    return;
  std::vector<row_bounds> of_hist;
  std::vector<row_bounds> of_lhist;
  const auto hist = between_hist(low, high, from, to, of_hist);
  const auto lhist = between_lhist(low, high, from, to, of_lhist);
  if (hist && lhist && of_hist != of_lhist)
    return;
  const auto& rows = hist ? of_hist : of_lhist;
  if (hist || lhist)
    out.insert(out.end(), rows.begin(), rows.end());
}

} // namespace bpf2graphite
