#include "app/trace_plan.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

namespace bpf2graphite {
namespace {

output_format format_of(format_mode mode) {
  return mode == format_mode::text ? output_format::text : output_format::json;
}

trace_plan common(const trace_config& trace, const config& all,
                  const std::string& host) {
  trace_plan plan;
  plan.trace = trace;
  plan.series = trace.series;
  if (plan.series.naming.host.empty())
    plan.series.naming.host = host;
  plan.parser.speaks.format = format_of(trace.bpftrace.format);
  plan.parser.record_bytes_max = all.limits.record_bytes_max;
  return plan;
}

} // namespace

trace_plan plan_trace(const trace_config& trace, std::string_view script,
                      const config& all, const std::string& host) {
  auto plan = common(trace, all, host);
  script_rules_config rules;
  rules.maps = trace.maps;
  rules.accumulate = trace.accumulate.all;
  rules.accumulate_by_map = trace.accumulate.by_map;
  rules.printf_metrics = trace.printf_metrics;
  switch (trace.print_every.what) {
    case print_every_choice::kind::automatic:
      rules.print_every = std::chrono::seconds{1};
      break;
    case print_every_choice::kind::off:
      rules.print_every = std::chrono::milliseconds{0};
      break;
    case print_every_choice::kind::period:
      rules.print_every = trace.print_every.period;
      break;
  }
  plan.script = plan_script(script, rules);
  plan.series.maps = plan.script.rules;
  plan.series.other_maps = plan.script.other_maps;
  plan.series.other_scalars = plan.script.other_scalars;
  plan.series.other_metrics = plan.script.other_metrics;
  plan.parser.metrics = plan.script.printf.calls;
  plan.parser.keys = plan.script.keys;
  return plan;
}

trace_plan plan_unknown(const trace_config& trace, const config& all,
                        const std::string& host) {
  auto plan = common(trace, all, host);
  if (trace.accumulate.all) {
    plan.series.other_maps.how = *trace.accumulate.all;
    plan.series.other_scalars.how = *trace.accumulate.all;
  }
  for (const auto& [map, how] : trace.accumulate.by_map)
    plan.series.maps[map] = map_rules{.how = how};
  return plan;
}

trace_config trace_for_script(const std::string& path, const config& all) {
  auto name = path.substr(path.find_last_of('/') + 1);
  if (auto dot = name.rfind('.'); dot != std::string::npos && dot > 0)
    name.resize(dot);
  for (auto& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-')
      c = '_';
  if (name.empty() || name[0] == '-')
    name = "script";
  trace_config trace;
  trace.id = name;
  trace.script = path;
  trace.print_every = all.defaults.print_every;
  trace.bpftrace = all.defaults.bpftrace;
  trace.series.trace = name;
  trace.series.naming = all.defaults.naming;
  trace.series.slots.resolution = all.defaults.resolution.value_or(
    std::chrono::duration_cast<std::chrono::seconds>(all.batcher.interval));
  trace.series.slots.grace = all.grace;
  trace.series.slots.zero_fill = all.defaults.zero_fill;
  trace.series.slots.zero_fill_for = all.defaults.zero_fill_for;
  trace.series.max_series = all.defaults.max_series;
  return trace;
}

std::chrono::milliseconds splay_offset(const std::string& host,
                                       std::chrono::milliseconds interval) {
  std::uint64_t hash = 14695981039346656037U;
  for (auto c : host) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 1099511628211U;
  }
  auto span =
    static_cast<std::uint64_t>(std::max<std::int64_t>(1, interval.count()));
  return std::chrono::milliseconds{static_cast<std::int64_t>(hash % span)};
}

std::int64_t first_slot(wall_time now, std::chrono::seconds resolution,
                        std::int64_t last_slot) {
  auto step = resolution.count();
  auto up = [step](std::int64_t t) {
    return (t + step - 1) / step * step;
  };
  auto seconds =
    std::chrono::ceil<std::chrono::seconds>(now.time_since_epoch()).count();
  auto first = up(seconds);
  return last_slot < 0 ? first : std::max(first, up(last_slot + 1));
}

} // namespace bpf2graphite
