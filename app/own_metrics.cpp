#include "app/own_metrics.hpp"

#include "actors/normalizer/metric_path.hpp"

#include <algorithm>
#include <utility>

namespace bpf2graphite {
namespace {

std::uint64_t count_of(const std::vector<named_count>& counts,
                       std::string_view name) {
  for (const auto& [known, number] : counts)
    if (name == known)
      return number;
  return 0;
}

} // namespace

bool is_gauge(std::string_view name) {
  for (std::string_view gauge : {"waiting", "open", "series", "on_the_way"})
    if (name == gauge)
      return true;
  return false;
}

std::optional<std::int64_t>
slot_to_tell(std::int64_t now, std::int64_t interval, std::int64_t newest) {
  constexpr std::int64_t step_back_max = 60;
  auto slot = now - now % interval - interval;
  if (slot <= newest && newest - slot <= std::max(step_back_max, interval))
    return std::nullopt;
  return slot;
}

own_metrics::own_metrics(naming_config naming, std::string name)
  : naming_{std::move(naming)}, name_{std::move(name)} {
  naming_.map_level = true; // it tells ledger from traces
}

own_metrics::series& own_metrics::series_of(std::string_view map,
                                            std::string_view key,
                                            std::string_view leaf) {
  std::string id{map};
  id.append(1, '\0').append(key);
  auto& of = known_[std::move(id)];
  of.round = round_;
  auto at = std::find_if(of.told.begin(), of.told.end(),
                         [&](const auto& one) { return one.leaf == leaf; });
  if (at == of.told.end()) {
    const std::vector<std::string> tags{map == "traces" ? "trace"
                                                        : "destination"};
    // Named like a map: what has no @ is a metric of printf.
    const metric_path path{naming_, name_, tags, "@" + std::string{map}};
    std::vector<std::string_view> parts;
    if (!key.empty())
      parts.push_back(key);
    // They come once, one after the other: no room for more than there are.
    of.told.reserve(of.told.size() + 1);
    of.told.push_back(
      {leaf, series_name{path.render(path.key(parts), leaf)}, 0});
    return of.told.back();
  }
  return *at;
}

void own_metrics::add(std::string_view map, std::string_view key,
                      std::string_view leaf, exact value) {
  out_.push_back({series_of(map, key, leaf).path, value, slot_});
}

void own_metrics::add_gain(std::string_view map, std::string_view key,
                           std::string_view leaf, std::uint64_t total) {
  auto& one = series_of(map, key, leaf);
  // A new process of a trace begins its CPU time anew.
  auto gain = total < one.before ? total : total - one.before;
  one.before = total;
  out_.push_back({one.path, exact{gain}, slot_});
}

std::vector<metric> own_metrics::points(const status_report& now,
                                        std::int64_t slot) {
  ++round_;
  slot_ = slot;
  out_.clear();
  for (const auto& [name, number] : now.ledger)
    if (is_gauge(name))
      add("ledger", {}, name, exact{number});
    else
      add_gain("ledger", {}, name, number);
  add_gain("process", {}, "cpu_ms", now.process.cpu_ms);
  add("process", {}, "rss_kb", exact{now.process.rss_kb});
  for (auto state : {trace_state::running, trace_state::starting,
                     trace_state::failing, trace_state::stopped})
    add("states", {}, to_text(state),
        exact{std::count_if(
          now.traces.begin(), now.traces.end(),
          [state](const auto& trace) { return trace.state.state == state; })});
  for (const auto& trace : now.traces) {
    const auto& counts = trace.counts;
    add("traces", trace.name, "up",
        trace.state.state == trace_state::running ? 1 : 0);
    add_gain("traces", trace.name, "read", count_of(counts, "read"));
    add_gain("traces", trace.name, "restarts", count_of(counts, "restarts"));
    add_gain("traces", trace.name, "lost",
             count_of(counts, "lost_events") + count_of(counts, "rejected")
               + count_of(counts, "invalid") + count_of(counts, "crash")
               + count_of(counts, "dropped_budget"));
    add("traces", trace.name, "series", exact{count_of(counts, "series")});
    add_gain("traces", trace.name, "cpu_ms", trace.process.cpu_ms);
    add("traces", trace.name, "rss_kb", exact{trace.process.rss_kb});
  }
  for (const auto& to : now.destinations) {
    const auto& counts = to.counts;
    add("destinations", to.name, "up", in_trouble(to.state.state) ? 0 : 1);
    add_gain("destinations", to.name, "accepted", count_of(counts, "accepted"));
    add("destinations", to.name, "waiting", exact{count_of(counts, "waiting")});
    add_gain("destinations", to.name, "dropped",
             count_of(counts, "dropped_buffer")
               + count_of(counts, "dropped_stop"));
    add_gain("destinations", to.name, "resent", count_of(counts, "resent"));
    add_gain("destinations", to.name, "connects", count_of(counts, "connects"));
    add("destinations", to.name, "oldest_age_s",
        to.oldest_slot == 0
          ? exact{0}
          : exact{std::max<std::int64_t>(0, now.now - to.oldest_slot)});
    add("destinations", to.name, "acceptance_ms",
        exact{to.state.acceptance_ms});
  }
  std::erase_if(known_,
                [this](const auto& one) { return one.second.round != round_; });
  return std::exchange(out_, {});
}

} // namespace bpf2graphite
