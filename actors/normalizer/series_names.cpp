// The half of map_series that gives names, within the budget, and takes them
// back.
#include "actors/normalizer/map_series.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace bpf2graphite {
namespace {

// A hist() without the bits argument has no more rows than this.
constexpr std::size_t usual_rows = 66;

} // namespace

/// What is folded needs names, too, also when all the rest is taken.
void map_series::reserve_for_other() {
  if (other_name_.empty() || !foldable())
    return;
  auto want = fixed_names();
  if (shape_ == value_shape::rows)
    want += std::max(widest_, std::min(usual_rows, series_max_ / 4));
  if (want <= reserved_)
    return;
  const auto of_trace = trace_.take_up_to(want - reserved_);
  const auto taken = total_.take_up_to(of_trace);
  trace_.give_back(of_trace - taken);
  reserve_ += taken;
  reserved_ += taken;
}

bool map_series::take(std::size_t n, bool is_other) {
  const auto kept = is_other ? std::min(n, reserve_) : 0;
  if (!trace_.take(n - kept))
    return false;
  if (!total_.take(n - kept)) {
    trace_.give_back(n - kept);
    return false;
  }
  reserve_ -= kept;
  return true;
}

void map_series::admit_all(series_counts& counts) {
  std::vector<std::pair<exact, index>> order; // of those without names
  // By index: folding may add `_other` to those that are touched.
  const auto touched = touched_.size();
  for (auto i = std::size_t{0}; i < touched; ++i) {
    const auto which = touched_[i];
    auto& group = groups_[which];
    if (shape_ == value_shape::rows)
      trim_zero_ends(group, counts);
    if (which == other_)
      continue;
    if (!group.alive)
      order.emplace_back(weight(group.sum), which);
    else if (shape_ == value_shape::rows && !admit(group, true)
             && !admit(group, false))
      fold_missing(group, counts);
  }
  // Largest first; equal ones by name, or the order would be bpftrace's.
  std::sort(order.begin(), order.end(), [this](auto& a, auto& b) {
    return a.first != b.first ? a.first > b.first
                              : groups_[a.second].key < groups_[b.second].key;
  });
  for (const auto& [size, which] : order) {
    auto& group = groups_[which];
    const auto nothing_to_say =
      sums() && size == 0 && group.sum.value == 0
      && (shape_ == value_shape::rows || !group.key.empty());
    if (!nothing_to_say && (admit(group, true) || admit(group, false)))
      continue;
    if (nothing_to_say)
      counts.unchanged += group.values;
    else
      fold(group.sum, group.values, counts);
    remove(which);
  }
}

/// Names for all that the group has values for, or for nothing.
bool map_series::admit(key_group& next, bool fills) {
  missing_rows(next, fills);
  const auto needed = missing_.size() + (next.alive ? 0 : fixed_names());
  if (!take(needed, false))
    return false;
  add_names(next);
  return true;
}

void map_series::admit_other(series_counts& counts) {
  if (other_ == nothing)
    return;
  auto& group = groups_[other_];
  if (group.touched != emission_) {
    if (!group.alive)
      remove(other_);
    return;
  }
  for (const auto fills : {true, false}) {
    missing_rows(group, fills);
    if (take(missing_.size() + (group.alive ? 0 : fixed_names()), true)) {
      add_names(group);
      return;
    }
  }
  // No room for all. What it can have goes to the rows that hold most.
  auto& rows = group.sum.rows;
  std::vector<histogram_row> by_count{rows.begin(), rows.end()};
  std::stable_sort(by_count.begin(), by_count.end(),
                   [](auto& a, auto& b) { return a.count > b.count; });
  const auto shape_names = group.alive ? 0 : fixed_names();
  if (shape_ != value_shape::rows || by_count.empty()
      || !take(shape_names, true)) {
    const auto lost = std::min<std::uint64_t>(group.values, counts.folded);
    counts.folded -= lost;
    counts.dropped_budget += lost;
    if (group.alive)
      group.touched = 0;
    else
      remove(other_);
    return;
  }
  missing_.clear();
  add_names(group);
  for (const auto& row : by_count) {
    if (find_leaf(group, row.bounds))
      continue;
    if (take(1, true)) {
      missing_.assign(1, row.bounds);
      add_names(group);
      continue;
    }
    rows.erase_if(
      [&](const histogram_row& other) { return other.bounds == row.bounds; });
    --counts.folded;
    ++counts.dropped_budget;
  }
}

/// Fills `missing_` with the rows that need a name.
void map_series::missing_rows(key_group& of, bool fills) {
  missing_.clear();
  if (shape_ != value_shape::rows)
    return;
  for (const auto& row : of.sum.rows) {
    if (find_leaf(of, row.bounds) != nullptr)
      continue;
    const auto alike = [&](const row_bounds& other) {
      return paths_.same_name(row.bounds, other);
    };
    if (std::none_of(missing_.begin(), missing_.end(), alike))
      missing_.push_back(row.bounds);
  }
  if (missing_.empty() || !fills || !zero_fill_ || !sums())
    return;
  std::vector<row_bounds> known;
  known.reserve(of.leaves.size() + missing_.size());
  for (const auto& leaf : of.leaves)
    known.push_back(leaf.bounds);
  known.insert(known.end(), missing_.begin(), missing_.end());
  std::sort(known.begin(), known.end(),
            [](auto& a, auto& b) { return a.before(b); });
  for (auto i = std::size_t{1}; i < known.size(); ++i)
    rows_between(known[i - 1], known[i], missing_);
}

/// Begins the series in `missing_` and, for a new group, those that each has.
void map_series::add_names(key_group& to) {
  to.leaves.reserve(to.leaves.size() + missing_.size());
  for (const auto& row : missing_) {
    const auto at =
      std::find_if(to.leaves.begin(), to.leaves.end(),
                   [&](const series& leaf) { return row.before(leaf.bounds); });
    to.leaves.insert(at, make_series(to, row));
  }
  auto begun = missing_.size();
  if (!to.alive) {
    begun += fixed_names();
    if (shape_ == value_shape::rows)
      for (const auto& name : derived_names_)
        to.derived.push_back(make_series(to, name));
    else if (shape_ == value_shape::stats)
      for (const auto* name : {"samples", "average", "total"})
        to.leaves.push_back(make_series(to, name));
    else
      to.leaves.push_back(make_series(to, ""));
    to.alive = true;
  }
  alive_ += begun;
  widest_ = std::max(widest_, to.leaves.size());
}

map_series::series map_series::make_series(const key_group& in,
                                           std::string_view leaf) {
  return claimed(paths_.render(in.key, leaf));
}

map_series::series map_series::make_series(const key_group& in,
                                           const row_bounds& row) {
  auto one = claimed(paths_.render(in.key, row));
  one.bounds = row;
  return one;
}

map_series::series map_series::claimed(std::string_view path) {
  series one;
  one.path = series_name{path};
  if (!total_.claim(one.path))
    one.path = {};
  one.active = slot_;
  return one;
}

map_series::series* map_series::find_leaf(key_group& in,
                                          const row_bounds& row) const {
  const auto at = std::lower_bound(in.leaves.begin(), in.leaves.end(), row,
                                   [](const series& leaf, const row_bounds& r) {
                                     return leaf.bounds.before(r);
                                   });
  if (at != in.leaves.end() && at->bounds == row)
    return &*at;
  for (auto& leaf : in.leaves)
    if (paths_.same_name(leaf.bounds, row))
      return &leaf;
  return nullptr;
}

void map_series::give_back(bool is_other, const series& gone) {
  if (!gone.refused())
    total_.release(gone.path);
  assert(alive_ != 0);
  --alive_;
  if (is_other && reserve_ < reserved_) {
    ++reserve_;
    return;
  }
  trace_.give_back(1);
  total_.give_back(1);
}

void map_series::remove(index which) {
  auto& group = groups_[which];
  const auto is_other = which == other_;
  for (const auto& leaf : group.leaves)
    give_back(is_other, leaf);
  for (const auto& derived : group.derived)
    give_back(is_other, derived);
  if (is_other)
    other_ = nothing;
  by_key_.erase(group.key);
  const auto generation = group.generation + 1;
  group = {};
  group.generation = generation;
  free_.push_back(which);
}

} // namespace bpf2graphite
