#include "app/own_metrics.hpp"

#include "actors/normalizer/metric_path.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace bpf2graphite {
namespace {

constexpr std::size_t figures_of_process = 2;
constexpr std::size_t figures_of_states = 4;
constexpr std::size_t figures_of_trace = 7;
constexpr std::size_t figures_of_destination = 8;

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

void trace_figures::take(const trace_numbers& counts) {
  constexpr auto of = [](const char* which) consteval {
    return place_of(trace_counts, which);
  };
  read = counts[of("read")];
  restarts = counts[of("restarts")];
  lost = counts[of("lost_events")] + counts[of("rejected")]
         + counts[of("invalid")] + counts[of("crash")]
         + counts[of("dropped_budget")];
  series = counts[of("series")];
}

void set_costs(std::vector<trace_figures>& traces,
               const std::function<process_costs(int pid)>& costs_of) {
  std::vector<cost_share> all;
  all.reserve(traces.size());
  for (auto& trace : traces)
    all.emplace_back(trace.pid, &trace.process);
  set_costs(std::move(all), costs_of);
}

/// The one of that name, in its place now: the order is that of the batch
/// before, but for what came and went. Behind the n first there is what this
/// batch has not told of.
own_metrics::subject& own_metrics::nth(std::vector<subject>& known,
                                       std::size_t n, std::string_view name) {
  const auto place = known.begin() + static_cast<std::ptrdiff_t>(n);
  const auto at = std::find_if(
    place, known.end(), [name](const auto& one) { return one.name == name; });
  if (at == known.end()) {
    known.push_back({std::string{name}, {}});
    if (n + 1 != known.size())
      std::swap(known[n], known.back());
  } else if (at != place) {
    std::swap(*at, *place);
  }
  return known[n];
}

void own_metrics::name_all(std::string_view map, subject& of,
                           std::span<const figure> figures) const {
  const std::vector<std::string> tags{map == "traces" ? "trace"
                                                      : "destination"};
  // Named like a map: what has no @ is a metric of printf.
  const metric_path path{naming_, name_, tags, "@" + std::string{map}};
  std::vector<std::string_view> parts;
  if (!of.name.empty())
    parts.push_back(of.name);
  of.told.reserve(figures.size());
  for (const auto& one : figures)
    of.told.push_back({series_name{path.render(path.key(parts), one.leaf)}, 0});
}

void own_metrics::tell(std::string_view map, subject& of,
                       std::span<const figure> figures) {
  if (of.told.empty())
    name_all(map, of, figures);
  auto one = of.told.begin();
  for (const auto& [leaf, kind, number] : figures) {
    auto& [path, before] = *one++;
    auto value = number;
    // A new process of a trace begins its CPU time anew.
    if (kind == figure_kind::gain && number >= before)
      value -= before;
    before = number;
    out_.push_back({path, exact{value}, slot_});
  }
}

void own_metrics::tell_ledger(const std::vector<named_count>& ledger) {
  std::vector<figure> figures;
  figures.reserve(ledger.size());
  for (const auto& [name, number] : ledger)
    figures.push_back(
      {name, is_gauge(name) ? figure_kind::state : figure_kind::gain, number});
  tell("ledger", ledger_, figures);
}

void own_metrics::tell_states(const std::vector<trace_figures>& traces) {
  std::array<figure, figures_of_states> figures{};
  auto to = figures.begin();
  for (auto state : {trace_state::running, trace_state::starting,
                     trace_state::failing, trace_state::stopped}) {
    const auto number =
      std::count_if(traces.begin(), traces.end(), [state](const auto& trace) {
        return trace.state == state;
      });
    *to++ = {to_text(state), figure_kind::state,
             static_cast<std::uint64_t>(number)};
  }
  tell("states", states_, figures);
}

void own_metrics::tell_trace(subject& of, const trace_figures& trace) {
  using enum figure_kind;
  const std::array<figure, figures_of_trace> figures{{
    {"up", state, trace.state == trace_state::running ? 1U : 0U},
    {"read", gain, trace.read},
    {"restarts", gain, trace.restarts},
    {"lost", gain, trace.lost},
    {"series", state, trace.series},
    {"cpu_ms", gain, trace.process.cpu_ms},
    {"rss_kb", state, trace.process.rss_kb},
  }};
  tell("traces", of, figures);
}

void own_metrics::tell_destination(subject& of, const destination_report& to,
                                   std::int64_t now) {
  using enum figure_kind;
  const auto& counts = to.counts;
  const auto age =
    to.oldest_slot == 0 ? 0 : std::max<std::int64_t>(0, now - to.oldest_slot);
  const std::array<figure, figures_of_destination> figures{{
    {"up", state, in_trouble(to.state.state) ? 0U : 1U},
    {"accepted", gain, count_of(counts, "accepted")},
    {"waiting", state, count_of(counts, "waiting")},
    {"dropped", gain,
     count_of(counts, "dropped_buffer") + count_of(counts, "dropped_stop")},
    {"resent", gain, count_of(counts, "resent")},
    {"connects", gain, count_of(counts, "connects")},
    {"oldest_age_s", state, static_cast<std::uint64_t>(age)},
    {"acceptance_ms", state, to.state.acceptance_ms},
  }};
  tell("destinations", of, figures);
}

std::vector<metric> own_metrics::points(const own_figures& now,
                                        std::int64_t slot) {
  slot_ = slot;
  out_.reserve(now.ledger.size() + figures_of_process + figures_of_states
               + figures_of_trace * now.traces.size()
               + figures_of_destination * now.destinations.size());
  tell_ledger(now.ledger);
  tell("process", process_,
       std::array<figure, figures_of_process>{
         {{"cpu_ms", figure_kind::gain, now.process.cpu_ms},
          {"rss_kb", figure_kind::state, now.process.rss_kb}}});
  tell_states(now.traces);
  for (std::size_t i = 0; i < now.traces.size(); ++i)
    tell_trace(nth(traces_, i, now.traces[i].name), now.traces[i]);
  traces_.resize(now.traces.size());
  for (std::size_t i = 0; i < now.destinations.size(); ++i) {
    const auto& to = now.destinations[i];
    tell_destination(nth(destinations_, i, to.name), to, now.now);
  }
  destinations_.resize(now.destinations.size());
  return std::exchange(out_, {});
}

} // namespace bpf2graphite
