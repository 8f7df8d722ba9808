#include "actors/normalizer/trace_series.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace bpf2graphite {
namespace {

constexpr std::size_t map_name_bytes_max = 1024;

std::int64_t ms_of(wall_time at) {
  return at.time_since_epoch().count();
}

} // namespace

bool same_names(const series_config& one, const series_config& other) {
  return one.trace == other.trace && one.naming == other.naming
         && one.keys == other.keys
         && one.slots.resolution == other.slots.resolution
         && one.percentiles == other.percentiles
         && one.derived_samples == other.derived_samples
         && one.derived_mean == other.derived_mean
         && one.derived_highest == other.derived_highest;
}

trace_series::trace_series(std::shared_ptr<const series_config> config,
                           series_budget& total, std::int64_t floor)
  : config_{std::move(config)}, total_{total}, budget_{config_->max_series},
    filter_{config_->keys, config_->keep_keys, config_->drop_keys},
    floor_{boundary_from(floor)},
    newest_slot_{floor_ - config_->slots.resolution.count()},
    // Nothing is known of the clock yet: the floor may lie ahead of it.
    newest_arrival_ms_{std::numeric_limits<std::int64_t>::min() / 2},
    newest_now_ms_{newest_arrival_ms_} {}

std::int64_t trace_series::boundary_from(std::int64_t second) const {
  const auto resolution = config_->slots.resolution.count();
  const auto slot = slot_of(second * 1000, resolution);
  return slot == second ? slot : slot + resolution;
}

void trace_series::observe(std::int64_t& newest_ms, wall_time at) {
  const auto ms = ms_of(at);
  if (ms < newest_ms - step_back_ms_max)
    follow_clock(ms);
  newest_ms = std::max(newest_ms, ms);
}

void trace_series::follow_clock(std::int64_t now_ms) {
  ++counts_.clock_steps_back;
  const auto resolution = config_->slots.resolution.count();
  const auto slot = slot_of(now_ms, resolution);
  newest_arrival_ms_ = std::min(newest_arrival_ms_, now_ms);
  newest_now_ms_ = std::min(newest_now_ms_, now_ms);
  floor_ = std::min(floor_, slot);
  newest_slot_ = std::min(newest_slot_, slot - resolution);
  for (auto& [name, map] : maps_) {
    map->slots.follow_clock();
    map->series->follow_clock(slot);
  }
}

void trace_series::opened(wall_time at) {
  work_mark work{torn_};
  observe(newest_arrival_ms_, at);
  opened_ms_ = ms_of(at);
  for (auto& [name, map] : maps_)
    map->slots.opened(ms_of(at));
  work.done();
}

void trace_series::attached(wall_time at) {
  work_mark work{torn_};
  observe(newest_arrival_ms_, at);
  opened_ms_ = ms_of(at);
  for (auto& [name, map] : maps_)
    map->slots.attached(ms_of(at));
  work.done();
}

void trace_series::closed(wall_time at) {
  work_mark work{torn_};
  observe(newest_arrival_ms_, at);
  for (auto& [name, map] : maps_)
    map->slots.closed(ms_of(at), counts_);
  work.done();
}

const map_rules& trace_series::rules_of(const std::string& map,
                                        bool rows) const {
  const auto metric = !map.empty() && map.front() != '@';
  const auto known = metric
                       ? config_->maps.find(metric_rule_name(metric_name(map)))
                       : config_->maps.find(map);
  if (known != config_->maps.end())
    return known->second;
  if (metric)
    return config_->other_metrics;
  return rows ? config_->other_maps : config_->other_scalars;
}

std::unique_ptr<key_filter>
trace_series::filter_of(const std::string& map) const {
  const auto labels = metric_labels(map);
  if (labels.empty())
    return nullptr;
  return std::make_unique<key_filter>(labels, config_->keep_keys,
                                      config_->drop_keys);
}

trace_series::map_state* trace_series::state_of(const snapshot& print) {
  if (const auto known = maps_.find(print.map); known != maps_.end())
    return known->second.get();
  if (maps_.size() == maps_max || print.map.size() > map_name_bytes_max)
    return nullptr;
  const auto& rules = rules_of(print.map, print.kind == map_kind::hist);
  auto map = std::make_unique<map_state>(map_state{
    print.map, map_slots{config_->slots, rules, config_->max_series},
    std::make_unique<map_series>(*config_, print.map, budget_, total_),
    filter_of(print.map)});
  if (opened_ms_)
    map->slots.opened(*opened_ms_);
  return maps_.emplace(print.map, std::move(map)).first->second.get();
}

void trace_series::add(const snapshot& print) {
  work_mark work{torn_};
  observe(newest_arrival_ms_, print.arrival);
  const auto values = values_in(print);
  ++counts_.snapshots;
  counts_.values += values;
  const auto rows = print.kind == map_kind::hist;
  if (print.kind == map_kind::print)
    counts_.dropped_text += values;
  else if (!rules_of(print.map, rows).wanted)
    counts_.dropped_unwanted += values;
  else if (auto* map = state_of(print))
    map->slots.add(print, map->filter ? *map->filter : filter_, floor_,
                   counts_);
  else
    counts_.dropped_keys += values;
  work.done();
}

void trace_series::send(map_state& map, std::int64_t now_ms, bool all,
                        std::vector<metric>& out) {
  while (const auto* slot = map.slots.next_over(now_ms, all)) {
    // One that the clock was set back behind says nothing of what is newest.
    if (!slot->overtaken)
      newest_slot_ = std::max(newest_slot_, slot->start);
    if (out.empty()) // to fit: all traces have their points at one time
      out.reserve(alive());
    map.series->emit(*slot, map.slots, out, counts_);
    if (history_ != nullptr && map.slots.shape() == value_shape::rows)
      history_->add(map.name, *slot);
    counts_.slots_rewritten += map.slots.sent();
  }
}

void trace_series::collect(wall_time now, std::vector<metric>& out) {
  work_mark work{torn_};
  observe(newest_now_ms_, now);
  for (auto& [name, map] : maps_)
    send(*map, ms_of(now), false, out);
  work.done();
}

void trace_series::drain(wall_time now, std::vector<metric>& out) {
  work_mark work{torn_};
  observe(newest_now_ms_, now);
  for (auto& [name, map] : maps_)
    send(*map, ms_of(now), true, out);
  work.done();
}

void trace_series::reconfigure(std::shared_ptr<const series_config> config,
                               wall_time now, std::vector<metric>& out) {
  work_mark work{torn_};
  const auto same = same_names(*config_, *config);
  if (!same)
    for (auto& [name, map] : maps_)
      send(*map, ms_of(now), true, out);
  config_ = std::move(config);
  filter_ = key_filter{config_->keys, config_->keep_keys, config_->drop_keys};
  budget_.set_max(config_->max_series);
  if (!same)
    floor_ = boundary_from(std::max(floor_, newest_slot_ + 1));
  for (auto& [name, map] : maps_) {
    auto& slots = map->slots;
    map->filter = filter_of(name);
    const auto& rules = rules_of(name, slots.shape() == value_shape::rows);
    if (rules.how != slots.rules().how)
      send(*map, ms_of(now), true, out);
    slots.set_config(config_->slots, rules, config_->max_series);
    if (same) {
      map->series->set_config(*config_);
      continue;
    }
    // What the prints are compared with stays: bpftrace may run on.
    slots.keys().clear_tags();
    map->series.reset(); // first give back, then take
    map->series = std::make_unique<map_series>(*config_, name, budget_, total_);
  }
  work.done();
}

bool trace_series::valid() const {
  if (torn_ || maps_.size() > maps_max)
    return false;
  return std::all_of(maps_.begin(), maps_.end(), [](const auto& map) {
    return map.second->slots.valid() && map.second->series->valid();
  });
}

std::uint64_t trace_series::open_values() const {
  auto values = std::uint64_t{0};
  for (const auto& [name, map] : maps_)
    values += map->slots.open_values();
  return values;
}

bool trace_series::has_open() const {
  return std::any_of(maps_.begin(), maps_.end(), [](const auto& map) {
    return map.second->slots.has_open();
  });
}

std::size_t trace_series::alive() const {
  auto alive = std::size_t{0};
  for (const auto& [name, map] : maps_)
    alive += map->series->alive();
  return alive;
}

} // namespace bpf2graphite
