#include "actors/normalizer/map_series.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace bpf2graphite {
namespace {

exact magnitude(exact value) {
  return value < 0 ? -value : value;
}

} // namespace

map_series::map_series(const series_config& config, std::string_view map,
                       series_budget& trace, series_budget& total)
  : paths_{config.naming, config.trace, config.keys, map}, trace_{trace},
    total_{total}, percentiles_{config.percentiles},
    derived_samples_{config.derived_samples},
    derived_mean_{config.derived_mean}, derived_highest_{
                                          config.derived_highest} {
  if (!map.empty() && !map.starts_with('@'))
    unit_ = metric_unit;
  for (const auto p : percentiles_)
    derived_names_.push_back("derived." + percentile_leaf(p));
  if (derived_samples_)
    derived_names_.emplace_back("derived.samples");
  if (derived_mean_)
    derived_names_.emplace_back("derived.mean");
  if (derived_highest_)
    derived_names_.emplace_back("derived.highest");
  set_config(config);
}

map_series::~map_series() {
  for (auto i = index{0}; i < groups_.size(); ++i)
    if (groups_[i].used)
      remove(i);
  trace_.give_back(reserve_);
  total_.give_back(reserve_);
}

void map_series::set_config(const series_config& config) {
  zero_fill_ = config.slots.zero_fill;
  silent_after_ = config.slots.zero_fill_for.count();
  series_max_ = config.max_series;
}

bool map_series::sums() const {
  const auto how = from_->rules().how;
  return how == accumulation::cleared || how == accumulation::cumulative;
}

bool map_series::foldable() const {
  const auto how = from_->rules().how;
  return sums()
         || (shape_ == value_shape::scalar
             && (how == accumulation::max || how == accumulation::min));
}

std::uint64_t map_series::values_of(const amount& what) const {
  return shape_ == value_shape::rows ? what.rows.size() : 1;
}

exact map_series::weight(const amount& what) const {
  switch (shape_) {
    case value_shape::rows:
      return total_of(what.rows);
    case value_shape::stats:
      return what.samples != 0 ? what.samples : magnitude(what.value);
    default:
      return magnitude(what.value);
  }
}

std::size_t map_series::fixed_names() const {
  switch (shape_) {
    case value_shape::rows:
      return derived_names_.size();
    case value_shape::stats:
      return 3;
    default:
      return 1;
  }
}

void map_series::emit(const map_slot& slot, map_slots& from,
                      std::vector<metric>& out, series_counts& counts) {
  ++emission_;
  slot_ = slot.start;
  from_ = &from;
  if (shape_ != from.shape()) { // another script: other names
    for (auto i = index{0}; i < groups_.size(); ++i)
      if (groups_[i].used)
        remove(i);
    shape_ = from.shape();
  }
  touched_.clear();
  const auto points = out.size();
  gather(slot, counts);
  admit_all(counts);
  admit_other(counts);
  for (auto i = index{0}; i < groups_.size(); ++i)
    if (groups_[i].alive)
      emit_group(i, out, counts);
  // Not kept for the next slot, which is seconds away: with a thousand traces
  // that is a megabyte.
  for (const auto i : touched_)
    groups_[i].sum.rows.release();
  std::vector<row_bounds>{}.swap(missing_);
  std::vector<index>{}.swap(touched_);
  counts.points += out.size() - points;
}

void map_series::gather(const map_slot& slot, series_counts& counts) {
  auto& keys = from_->keys();
  for (auto i = std::size_t{0}; i < slot.used; ++i) {
    const auto& [key, sum] = slot.cells[i];
    const auto values = values_of(sum);
    if (key_parts_ == 0 && key != key_table::none && keys.keyed(key)) {
      keys.parts(key, parts_);
      key_parts_ = parts_.size();
      other_name_ = paths_.other_key(key_parts_);
    }
    if (key == key_table::none) {
      fold(sum, values, counts);
      continue;
    }
    reserve_for_other();
    const auto which = group_of(key);
    if (which == nothing) {
      if (sums() && weight(sum) == 0)
        counts.unchanged += values;
      else
        fold(sum, values, counts);
      continue;
    }
    auto& group = groups_[which];
    if (!foldable() && group.owner != keys.hash(key)) {
      counts.dropped_gauge += values; // no two of them can be one
      continue;
    }
    counts.folded += which == other_ ? values : 0; // really called `_other`
    join(which, sum, values);
  }
}

/// The group of a raw key; nothing when it is new and there is no room.
map_series::index map_series::group_of(key_table::id key) {
  auto& keys = from_->keys();
  const auto tag = keys.tag(key);
  if (tag != key_table::no_tag) {
    const auto which = static_cast<index>(tag & 0xffffffff);
    if (which < groups_.size() && groups_[which].used
        && groups_[which].generation == tag >> 32)
      return which;
  }
  keys.parts(key, parts_);
  auto name = paths_.key(parts_);
  if (!name.empty() && by_key_.find(name) == by_key_.end()
      && (trace_.full() || total_.full()))
    return nothing;
  if (!name.empty() && name == other_name_ && foldable())
    find_other();
  const auto which = find_or_add(std::move(name));
  auto& group = groups_[which];
  if (!group.alive && group.touched != emission_)
    group.owner = keys.hash(key);
  keys.set_tag(key, std::uint64_t{group.generation} << 32 | which);
  return which;
}

map_series::index map_series::find_or_add(std::string name) {
  if (const auto found = by_key_.find(name); found != by_key_.end())
    return found->second;
  if (free_.empty()) {
    groups_.add();
    free_.push_back(groups_.size() - 1);
  }
  const auto which = free_.back();
  by_key_.emplace(name, which);
  free_.pop_back();
  auto& group = groups_[which];
  group.key = std::move(name);
  group.used = true;
  group.touched = 0;
  return which;
}

void map_series::join(index to, const amount& what, std::uint64_t values) {
  auto& group = groups_[to];
  if (group.touched != emission_) {
    group.touched = emission_;
    group.sum = what;
    group.values = values;
    group.merged = 0;
    touched_.push_back(to);
    return;
  }
  group.values += values;
  group.merged += values;
  switch (from_->rules().how) {
    case accumulation::max:
      group.sum.value = std::max(group.sum.value, what.value);
      break;
    case accumulation::min:
      group.sum.value = std::min(group.sum.value, what.value);
      break;
    default:
      group.sum.value += what.value;
      group.sum.samples += what.samples;
      add_rows(group.sum.rows, what.rows);
  }
}

bool map_series::find_other() {
  if (other_ == nothing && !other_name_.empty())
    other_ = find_or_add(other_name_);
  return other_ != nothing;
}

void map_series::fold(const amount& what, std::uint64_t values,
                      series_counts& counts) {
  if (!foldable() || !find_other()) {
    counts.dropped_budget += values;
    return;
  }
  counts.folded += values;
  join(other_, what, values);
}

/// Of a group that found no room for its new rows, those rows.
void map_series::fold_missing(key_group& from, series_counts& counts) {
  amount surplus;
  auto& rows = from.sum.rows;
  rows.erase_if([&](const histogram_row& row) {
    if (find_leaf(from, row.bounds) != nullptr)
      return false;
    surplus.rows.push_back(row);
    return true;
  });
  const auto values = std::min<std::uint64_t>(surplus.rows.size(), from.values);
  from.values -= values;
  from.merged = std::min(from.merged, from.values);
  fold(surplus, values, counts);
}

/// Rows of zero beyond what has a value or a name say nothing.
void map_series::trim_zero_ends(key_group& of, series_counts& counts) {
  if (!sums())
    return;
  auto& rows = of.sum.rows;
  const auto says = [&](const histogram_row& row) {
    return row.count != 0
           || (!of.leaves.empty()
               && !row.bounds.before(of.leaves.front().bounds)
               && !of.leaves.back().bounds.before(row.bounds));
  };
  std::optional<row_bounds> first;
  std::optional<row_bounds> last;
  for (const auto& row : rows)
    if (says(row)) {
      last = row.bounds;
      first = first ? first : last;
    }
  const auto before = rows.size();
  rows.erase_if([&](const histogram_row& row) {
    return !first || row.bounds.before(*first) || last->before(row.bounds);
  });
  const auto is_other = other_ != nothing && &of == &groups_[other_];
  const auto gone = std::min<std::uint64_t>(
    before - rows.size(), is_other ? of.values : of.values - of.merged);
  of.values -= gone;
  if (is_other) // counted as folded before
    counts.folded -= std::min(counts.folded, gone);
  counts.unchanged += gone;
}

void map_series::follow_clock(std::int64_t slot) {
  for (auto i = index{0}; i < groups_.size(); ++i)
    for (auto& leaf : groups_[i].leaves)
      leaf.active = std::min(leaf.active, slot);
}

bool map_series::valid() const {
  auto alive = std::size_t{0};
  auto used = std::size_t{0};
  for (auto i = index{0}; i < groups_.size(); ++i) {
    const auto& group = groups_[i];
    alive += group.leaves.size() + group.derived.size();
    used += group.used;
    if ((group.alive && !group.used)
        || (!group.alive && (!group.leaves.empty() || !group.derived.empty())))
      return false;
  }
  return alive == alive_ && used == by_key_.size() && reserve_ <= reserved_
         && used + free_.size() == groups_.size();
}

} // namespace bpf2graphite
