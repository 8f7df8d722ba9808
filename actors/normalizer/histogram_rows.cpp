#include "actors/normalizer/histogram_rows.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>

namespace bpf2graphite {
namespace {

constexpr auto most_counted = std::numeric_limits<std::uint64_t>::max();

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
  auto equal = at != end && (*at).bounds == bounds;
  while (!equal && at != end && (*at).bounds.before(bounds))
    equal = ++at != end && (*at).bounds == bounds;
  return equal;
}

} // namespace

histogram_rows::histogram_rows(std::initializer_list<histogram_row> rows) {
  for (const auto& row : rows)
    push_back(row);
}

void histogram_rows::clear() {
  counts_.clear();
  present_ = 0;
  list_.clear();
}

std::size_t histogram_rows::behind(std::size_t at) const {
  if (!list_.empty())
    return at;
  if (at >= counts_.size())
    return counts_.size();
  const auto rest = present_ >> at;
  return rest == 0 ? counts_.size()
                   : at + static_cast<std::size_t>(std::countr_zero(rest));
}

void histogram_rows::to_list() {
  if (!list_.empty())
    return;
  list_.reserve(size() + 1);
  for (std::size_t at = 0; at < counts_.size(); ++at)
    if (has(at))
      list_.push_back(at_place(at));
  counts_.clear();
  present_ = 0;
}

/// Makes room for the places [first, end) of hist_bounds. False when they and
/// those that are there are too many.
bool histogram_rows::widen(std::size_t first, std::size_t end) {
  if (present_ == 0) {
    if (end - first > window_max)
      return false;
    counts_.assign(end - first, 0);
    first_ = first;
    return true;
  }
  const auto low = std::min(first, first_);
  const auto high = std::max(end, first_ + counts_.size());
  if (high - low > window_max)
    return false;
  if (low < first_) {
    counts_.insert(counts_.begin(), first_ - low, 0);
    present_ <<= first_ - low;
    first_ = low;
  }
  if (high - low > counts_.size())
    counts_.resize(high - low, 0);
  return true;
}

void histogram_rows::push_back(const histogram_row& row) {
  const auto place = list_.empty() ? hist_place_of(row.bounds) : no_hist_place;
  if (place != no_hist_place && row.count >= 0
      && row.count <= exact{most_counted} && widen(place, place + 1)) {
    counts_[place - first_] = static_cast<std::uint64_t>(row.count);
    present_ |= std::uint64_t{1} << (place - first_);
    return;
  }
  to_list();
  list_.push_back(row);
}

std::size_t read_rows(const buckets& printed, histogram_rows& out) {
  out.clear();
  const auto first = printed.first_place();
  if (first != no_hist_place && printed.size() <= histogram_rows::window_max) {
    out.counts_ = printed.counts();
    out.present_ = ~std::uint64_t{0} >> (64 - printed.size());
    out.first_ = first;
    return 0;
  }
  auto& list = out.list_;
  list.reserve(std::min(printed.size(), rows_per_histogram_max));
  auto refused = std::size_t{0};
  auto sorted = true;
  for (const auto row : printed) {
    const auto bounds = bounds_of(row);
    if (bounds.min > bounds.max || list.size() == rows_per_histogram_max) {
      ++refused;
      continue;
    }
    if (!list.empty() && !list.back().bounds.before(bounds))
      sorted = false;
    list.push_back({bounds, exact{row.count}});
  }
  if (sorted)
    return refused;
  std::stable_sort(list.begin(), list.end(), rising);
  auto last = list.begin();
  for (auto row = last + 1; row != list.end(); ++row)
    if (row->bounds == last->bounds)
      last->count += row->count;
    else
      *++last = *row;
  list.erase(last + 1, list.end());
  return refused;
}

/// Adds rows of hist() to rows of hist(). False, and nothing is added, when a
/// sum does not fit or the rows are too far apart.
bool histogram_rows::add_window(const histogram_rows& from,
                                std::size_t& gained) {
  const auto rows = from.counts_.size();
  auto over = false;
  for (std::size_t at = 0; at < rows; ++at)
    over |= from.counts_[at] > most_counted - count_at(from.first_ + at);
  if (over || !widen(from.first_, from.first_ + rows))
    return false;
  const auto offset = from.first_ - first_;
  for (std::size_t at = 0; at < rows; ++at)
    counts_[offset + at] += from.counts_[at];
  const auto there = from.present_ << offset;
  gained = static_cast<std::size_t>(std::popcount(there & ~present_));
  present_ |= there;
  return true;
}

std::size_t histogram_rows::add_list(const histogram_rows& from, int sign) {
  auto gained = std::size_t{0};
  to_list();
  // Not by doubling: a trace keeps half a dozen of these for good.
  if (list_.empty())
    list_.reserve(from.size());
  auto at = list_.begin();
  for (const auto& row : from) {
    const auto count = sign < 0 ? -row.count : row.count;
    if (step_to(row.bounds, at, list_.end())) {
      at->count += count;
    } else {
      at = list_.insert(at, {row.bounds, count});
      ++gained;
    }
    ++at;
  }
  return gained;
}

std::size_t add_rows(histogram_rows& into, const histogram_rows& from,
                     int sign) {
  auto gained = std::size_t{0};
  if (from.empty()
      || (sign > 0 && into.list_.empty() && from.list_.empty()
          && into.add_window(from, gained)))
    return gained;
  return into.add_list(from, sign);
}

void subtract_rows(const histogram_rows& now, const histogram_rows& before,
                   histogram_rows& out) {
  out.clear();
  if (now.list_.empty() && before.list_.empty()) {
    const auto rows = now.counts_.size();
    out.counts_.resize(rows);
    out.first_ = now.first_;
    auto less = false;
    std::uint64_t present = 0;
    const auto take = [&](std::size_t at, std::uint64_t old) {
      const auto count = now.counts_[at];
      less |= count < old;
      out.counts_[at] = count - old;
      present |= std::uint64_t{count != old} << at;
    };
    // As a rule both have the same rows.
    if (before.first_ == now.first_ && before.counts_.size() == rows)
      for (std::size_t at = 0; at < rows; ++at)
        take(at, before.counts_[at]);
    else
      for (std::size_t at = 0; at < rows; ++at)
        take(at, before.count_at(now.first_ + at));
    // (A row that is not there now counts zero: then `less` is true.)
    out.present_ = present;
    if (!less)
      return;
    out.clear();
  }
  out.list_.reserve(now.size());
  auto old = before.begin();
  for (const auto& row : now) {
    auto difference = row.count;
    if (step_to(row.bounds, old, before.end()))
      difference -= (*old++).count;
    if (difference != 0)
      out.list_.push_back({row.bounds, difference});
  }
}

bool covers(const histogram_rows& large, const histogram_rows& small) {
  if (large.list_.empty() && small.list_.empty()) {
    const auto rows = small.counts_.size();
    const auto offset = small.first_ - large.first_;
    auto less = false;
    // As a rule the rows of `small` are among those of `large`.
    if (small.first_ >= large.first_ && offset + rows <= large.counts_.size())
      for (std::size_t at = 0; at < rows; ++at)
        less |= large.counts_[offset + at] < small.counts_[at];
    else
      for (std::size_t at = 0; at < rows; ++at)
        less |= large.count_at(small.first_ + at) < small.counts_[at];
    return !less;
  }
  auto at = large.begin();
  for (const auto& row : small) {
    const auto there = step_to(row.bounds, at, large.end());
    if ((there ? (*at++).count : exact{0}) < row.count)
      return false;
  }
  return true;
}

exact total_of(const histogram_rows& rows) {
  auto sum = exact{0};
  for (const auto count : rows.counts_)
    sum += count;
  for (const auto& row : rows.list_)
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
