#include "actors/normalizer/slots.hpp"

#include <algorithm>
#include <limits>

namespace bpf2graphite {
namespace {

// Far below every slot, and far enough from the end to be added to.
constexpr auto never = std::numeric_limits<std::int64_t>::min() / 2;
constexpr std::size_t spare_slots_max = 4;
// END's print and the dump follow each other at once: they are read together
// (`read-delay`), and far closer than two prints of an interval.
constexpr std::int64_t repeat_within_ms = 250;

} // namespace

void amount::clear() {
  value = 0;
  samples = 0;
  average = 0;
  rows.clear();
}

map_slots::map_slots(const slots_config& slots, const map_rules& rules,
                     std::size_t series_max)
  : rules_{rules}, resolution_{slots.resolution.count()}, keys_max_{std::max(
                                                            slot_keys_max,
                                                            2 * series_max)},
    rhythm_{slots, rules.print_period}, newest_sent_{never},
    newest_placed_{never}, rewrite_until_{never}, newest_arrival_ms_{never} {}

void map_slots::opened(std::int64_t at_ms) {
  rhythm_.opened(at_ms);
  forget_baselines();
  let_go(last_);
  let_go(before_last_);
  negative_seen_ = false;
  dump_seen_ = false;
}

void map_slots::closed(std::int64_t at_ms, series_counts& counts) {
  const auto since = last_.arrival_ms - before_last_.arrival_ms;
  const auto repeated =
    rules_.how == accumulation::cleared && rules_.printed_in_end && !dump_seen_
    && last_.used != 0 && before_last_.used != 0 && since <= repeat_within_ms
    && 4 * since < before_last_.gap_ms && at_ms - last_.arrival_ms <= 60'000
    && repeats(last_, before_last_);
  if (!repeated)
    return;
  const auto slot = std::find_if(open_.begin(), open_.end(), [&](auto& open) {
    return !open.overtaken && open.start == last_.slot;
  });
  if (slot == open_.end()) {
    ++counts.inconsistent; // too late: it counts twice
    return;
  }
  for (auto i = std::size_t{0}; i < before_last_.used; ++i) {
    const auto& gone = before_last_.entries[i];
    if (auto* cell = find_cell(*slot, gone.key)) {
      cell->value -= gone.now.value;
      cell->samples -= gone.now.samples;
      add_rows(cell->rows, gone.now.rows, -1);
    }
  }
  let_go(before_last_);
}

void map_slots::attached(std::int64_t at_ms) {
  rhythm_.attached(at_ms);
}

void map_slots::set_config(const slots_config& slots, const map_rules& rules,
                           std::size_t series_max) {
  rhythm_.set_grace(slots.grace);
  if (slots.resolution.count() != resolution_) { // nothing is open then
    resolution_ = slots.resolution.count();
    rhythm_ = print_rhythm{slots, rules.print_period};
  }
  rhythm_.set_period(rules.print_period);
  keys_max_ = std::max(slot_keys_max, 2 * series_max);
  if (rules.how != rules_.how) {
    forget_baselines();
    let_go(last_);
    let_go(before_last_);
  }
  rules_ = rules;
}

map_slot& map_slots::slot_for(const snapshot& print, std::int64_t floor,
                              std::uint64_t values, series_counts& counts) {
  const auto arrival = print.arrival.time_since_epoch().count();
  auto start =
    std::max(rhythm_.place(arrival, print.ending, newest_sent_), floor);
  // The clock was set back a little: not into the past with it.
  if (arrival < newest_arrival_ms_)
    start = std::max(start, newest_placed_);
  newest_arrival_ms_ = std::max(newest_arrival_ms_, arrival);
  if (start <= newest_sent_) {
    start = newest_sent_ + resolution_;
    counts.late += values;
  }
  newest_placed_ = std::max(newest_placed_, start);
  return open_slot(start);
}

map_slot& map_slots::open_slot(std::int64_t start) {
  auto at = open_.end();
  while (at != open_.begin()) {
    const auto& before = *(at - 1);
    if (!before.overtaken && before.start == start)
      return *(at - 1);
    if (before.overtaken || before.start < start)
      break;
    --at;
  }
  // Never with a caller that collects; then the time is wrong, not the sum.
  if (open_.size() >= open_slots_max && !open_.back().overtaken)
    return open_.back();
  auto fresh = map_slot{};
  if (!spare_.empty()) {
    fresh = std::move(spare_.back());
    spare_.pop_back();
  }
  fresh.start = start;
  return *open_.insert(at, std::move(fresh));
}

amount* map_slots::find_cell(map_slot& slot, key_table::id key) {
  auto place = slot.cell_of_rest;
  if (key != key_table::none) {
    place = key < slot.cell_of_key.size() ? slot.cell_of_key[key] : 0;
    if (place == 0 && slot.used >= keys_max_)
      place = slot.cell_of_rest;
  }
  return place == 0 ? nullptr : &slot.cells[place - 1].sum;
}

amount& map_slots::make_cell(map_slot& slot, key_table::id key, bool& fresh) {
  fresh = false;
  if (auto* found = find_cell(slot, key))
    return *found;
  fresh = true;
  if (slot.used >= keys_max_)
    key = key_table::none;
  if (slot.used == slot.cells.size())
    slot.cells.emplace_back();
  const auto place = static_cast<std::uint32_t>(slot.used + 1);
  if (key == key_table::none) {
    slot.cell_of_rest = place;
  } else {
    if (key >= slot.cell_of_key.size())
      slot.cell_of_key.resize(keys_.limit(), 0);
    slot.cell_of_key[key] = place;
    keys_.hold(key);
  }
  auto& cell = slot.cells[slot.used++];
  cell.key = key;
  cell.sum.clear();
  return cell.sum;
}

const map_slot* map_slots::next_over(std::int64_t now_ms, bool all) const {
  if (open_.empty())
    return nullptr;
  const auto& first = open_.front();
  if (all || first.overtaken || rhythm_.over(first.start, now_ms))
    return &first;
  return nullptr;
}

bool map_slots::sent() {
  auto slot = std::move(open_.front());
  open_.erase(open_.begin());
  const auto rewritten = !slot.overtaken && slot.start <= rewrite_until_;
  if (!slot.overtaken)
    newest_sent_ = std::max(newest_sent_, slot.start);
  for (auto i = std::size_t{0}; i < slot.used; ++i) {
    const auto key = slot.cells[i].key;
    if (key == key_table::none)
      continue;
    slot.cell_of_key[key] = 0;
    keys_.release(key);
  }
  // What a burst of keys took is not kept for ever.
  const auto modest = slot.cells.size() <= 2 * slot.used + 64
                      && slot.cell_of_key.size() <= 4 * slot.used + 1024;
  slot.used = 0;
  slot.cell_of_rest = 0;
  slot.overtaken = false;
  if (modest && spare_.size() < spare_slots_max)
    spare_.push_back(std::move(slot));
  keys_.sweep();
  return rewritten;
}

void map_slots::follow_clock() {
  rewrite_until_ = std::max(rewrite_until_, newest_sent_);
  for (auto& slot : open_) {
    rewrite_until_ = std::max(rewrite_until_, slot.start);
    slot.overtaken = true;
  }
  newest_sent_ = never;
  newest_placed_ = never;
  newest_arrival_ms_ = never;
  rhythm_.stepped();
}

std::uint64_t map_slots::open_values() const {
  auto values = std::uint64_t{0};
  for (const auto& slot : open_)
    for (auto i = std::size_t{0}; i < slot.used; ++i)
      values += shape_ == value_shape::rows ? slot.cells[i].sum.rows.size() : 1;
  return values;
}

bool map_slots::valid() const {
  const map_slot* before = nullptr;
  for (const auto& slot : open_) {
    if (before != nullptr && !before->overtaken
        && (slot.overtaken || slot.start <= before->start))
      return false;
    before = &slot;
    if (!slot.overtaken && slot.start <= newest_sent_)
      return false;
    if (slot.used > slot.cells.size())
      return false;
    for (auto i = std::size_t{0}; i < slot.used; ++i) {
      const auto key = slot.cells[i].key;
      const auto place = key == key_table::none          ? slot.cell_of_rest
                         : key < slot.cell_of_key.size() ? slot.cell_of_key[key]
                                                         : 0;
      if (place != i + 1)
        return false;
    }
  }
  return baselines_used_ <= baselines_.size() && keys_.valid();
}

} // namespace bpf2graphite
