// The half of map_series that makes points of what was gathered.
#include "actors/normalizer/histogram_metrics.hpp"
#include "actors/normalizer/map_series.hpp"

#include <algorithm>
#include <utility>

namespace bpf2graphite {

void map_series::put(const series& one, metric_value value,
                     std::vector<metric>& out) const {
  if (!one.refused())
    out.push_back({one.path, value, slot_});
}

bool map_series::silent(const series& one) const {
  return slot_ - one.active >= silent_after_ && one.active != slot_;
}

void map_series::emit_group(index which, std::vector<metric>& out,
                            series_counts& counts) {
  auto& group = groups_[which];
  const auto stays = shape_ == value_shape::rows
                       ? emit_rows(group, which == other_, out, counts)
                       : emit_values(group, out, counts);
  if (!stays)
    remove(which);
}

/// Books what a group's values became; `refused` of them have no name of ours.
void map_series::settle(const key_group& of, bool is_other,
                        std::uint64_t refused, series_counts& counts) const {
  const auto own = of.values - of.merged;
  const auto lost = std::min(refused, is_other ? counts.folded : own);
  counts.dropped_collision += lost;
  if (is_other) { // counted as folded before
    counts.folded -= lost;
    return;
  }
  counts.measured += own - lost;
  counts.merged += of.merged;
}

bool map_series::emit_rows(key_group& of, bool is_other,
                           std::vector<metric>& out, series_counts& counts) {
  const auto touched = of.touched == emission_;
  // What the slot gives to each leaf: scratch of all maps.
  struct gained {
    exact sum = 0;
    bool seen = false; // it was printed
  };
  static thread_local std::vector<gained> slot;
  slot.assign(of.leaves.size(), {});
  if (touched) {
    auto next = std::size_t{0}; // both rise: mostly the one behind the last
    for (const auto& row : of.sum.rows) {
      auto* leaf =
        next < of.leaves.size() && of.leaves[next].bounds == row.bounds
          ? &of.leaves[next]
          : find_leaf(of, row.bounds);
      if (leaf == nullptr)
        continue;
      const auto at = static_cast<std::size_t>(leaf - of.leaves.data());
      next = at + 1;
      auto& to = slot[at];
      to.sum += row.count;
      to.seen = true;
      if (to.sum != 0 || !sums())
        leaf->active = slot_;
    }
  }
  // Only at the ends: between them there is no gap.
  while (!of.leaves.empty() && silent(of.leaves.back())) {
    give_back(is_other, of.leaves.back());
    of.leaves.pop_back();
  }
  const auto first =
    std::find_if(of.leaves.begin(), of.leaves.end(),
                 [this](const series& leaf) { return !silent(leaf); });
  for (auto leaf = of.leaves.begin(); leaf != first; ++leaf)
    give_back(is_other, *leaf);
  auto given = slot.begin() + (first - of.leaves.begin());
  of.leaves.erase(of.leaves.begin(), first);
  auto refused = std::uint64_t{0};
  for (const auto& leaf : of.leaves) {
    const auto [sum, seen] = *given++;
    refused += leaf.refused() && seen;
    if (!seen && !(zero_fill_ && sums()))
      continue;
    counts.zero_filled += !seen && !leaf.refused();
    put(leaf, sum, out);
  }
  if (touched)
    settle(of, is_other, refused, counts);
  else
    of.sum.rows.clear();
  emit_derived(of, out);
  return !of.leaves.empty();
}

void map_series::emit_derived(const key_group& of,
                              std::vector<metric>& out) const {
  if (of.derived.empty() || of.leaves.empty())
    return;
  const auto touched = of.touched == emission_;
  auto one = of.derived.begin();
  const auto offer = [&](const std::optional<metric_value>& value) {
    if (value && touched)
      put(*one, *value, out);
    ++one;
  };
  for (const auto p : percentiles_)
    offer(percentile(of.sum.rows, p));
  if (derived_samples_) {
    if (touched || (zero_fill_ && sums()))
      put(*one, total_of(of.sum.rows), out);
    ++one;
  }
  if (derived_mean_)
    offer(mean_estimate(of.sum.rows));
  if (derived_highest_)
    offer(highest_of(of.sum.rows));
}

bool map_series::emit_values(key_group& of, std::vector<metric>& out,
                             series_counts& counts) {
  const auto touched = of.touched == emission_;
  const auto& sum = of.sum;
  const auto zero = !touched || (sum.value == 0 && sum.samples == 0);
  if (touched && (!zero || !sums()))
    for (auto& leaf : of.leaves)
      leaf.active = slot_;
  // A map without keys that prints its zeros is not silent.
  if (silent(of.leaves.front()) && !(touched && of.key.empty())) {
    counts.unchanged += touched ? of.values : 0;
    return false;
  }
  if (touched)
    settle(of, &of == (other_ == nothing ? nullptr : &groups_[other_]),
           of.leaves.front().refused() ? of.values : 0, counts);
  else if (!zero_fill_ || !sums())
    return true;
  else
    counts.zero_filled += of.leaves.size() == 3 ? 2 : 1;
  const auto value = touched ? sum.value : exact{0};
  const auto samples = touched ? sum.samples : exact{0};
  if (shape_ == value_shape::stats) {
    put(of.leaves[0], samples, out);
    if (touched && !sums())
      put(of.leaves[1], sum.average, out);
    else if (samples != 0)
      put(of.leaves[1], ratio(value, samples), out);
    put(of.leaves[2], value, out);
  } else if (from_->rules().how == accumulation::mean && samples != 0) {
    put(of.leaves[0], ratio(value, samples * unit_), out);
  } else {
    put(of.leaves[0], unit_ == 1 ? metric_value{value} : ratio(value, unit_),
        out);
  }
  return true;
}

} // namespace bpf2graphite
