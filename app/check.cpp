#include "app/check.hpp"

#include "actors/normalizer/metric_path.hpp"
#include "app/config_files.hpp"
#include "app/deep_check.hpp"
#include "app/generate.hpp"
#include "app/series_families.hpp"
#include "app/share_plan.hpp"
#include "app/startup.hpp"
#include "app/verbs.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <thread>
#include <utility>

namespace bpf2graphite {
namespace {

/// New files that carbon makes in a minute in its default configuration.
constexpr std::size_t carbon_creates_per_minute = 50;
constexpr double daemon_mb = 60;

/// One series of that map, whole: of a histogram the bucket of 1K.
std::string example_of(const trace_plan& plan, const map_plan& map) {
  metric_path path{plan.series.naming, plan.series.trace, plan.series.keys,
                   map.name};
  auto shape = plan.parser.keys.find(map.name);
  auto key = path.key(std::vector<std::string_view>(
    shape == plan.parser.keys.end() ? 0 : shape->second.parts, "KEY"));
  switch (map.shape) {
    case map_shape::histogram:
      return path.render(key, row_bounds{.min = 1024, .max = 2047});
    case map_shape::stats:
      return path.render(key, "samples");
    case map_shape::number:
      break;
  }
  return path.render(key, "");
}

/// A line of printf with `printf-metrics` on.
std::string describe_printf(const trace_plan& plan, const printf_line& line) {
  auto out = "  printf, line " + std::to_string(line.line) + ": ";
  if (line.metric.empty())
    return out + line.why + "\n";
  metric_path path{plan.series.naming, plan.series.trace, {}, line.metric};
  const std::vector<std::string_view> key(metric_labels(line.metric).size(),
                                          "KEY");
  return out + "metric " + line.metric + ", "
         + std::string{accumulation_word(
           metric_rules_of(plan, line.metric).how)}
         + "\n    for example " + path.render(path.key(key), "") + "\n";
}

/// Each line two levels in.
std::string indented(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    auto end = std::min(text.find('\n', at), text.size() - 1);
    if (end > at)
      out += "  ";
    out += text.substr(at, end + 1 - at);
    at = end + 1;
  }
  return out;
}

/// The memory limit of our control group in MB, v2 or v1; none: unlimited.
std::optional<double> memory_limit_mb() {
  std::ifstream groups{"/proc/self/cgroup"};
  std::optional<double> least;
  for (std::string line; std::getline(groups, line);) {
    auto first = line.find(':');
    auto second = line.find(':', first + 1);
    if (second == std::string::npos)
      continue;
    auto kind = line.substr(first + 1, second - first - 1);
    auto group = line.substr(second + 1);
    auto file = kind.empty() ? "/sys/fs/cgroup" + group + "/memory.max"
                : kind == "memory"
                  ? "/sys/fs/cgroup/memory" + group + "/memory.limit_in_bytes"
                  : std::string{};
    double bytes = 0;
    if (std::ifstream in{file}; !file.empty() && in >> bytes && bytes < 1e15)
      least = std::min(least.value_or(bytes / 1e6), bytes / 1e6);
  }
  return least;
}

share_outlook outlook_of(const std::vector<trace_plan>& plans) {
  return plan_shares(plans, std::max(1U, std::thread::hardware_concurrency()));
}

std::string list_of(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names)
    out += (out.empty() ? "" : ", ") + name;
  return out;
}

/// Nothing where no trace asks to share.
std::string describe_shares(const share_outlook& outlook) {
  std::string out;
  for (const auto& group : outlook.groups)
    out += std::to_string(group.traces.size())
           + " traces share one bpftrace: " + list_of(group.traces) + "\n";
  for (const auto& [trace, why] : outlook.alone)
    out += "trace \"" + trace + "\" runs alone: " + why + "\n";
  if (!out.empty())
    out = "\n" + out + std::to_string(outlook.processes)
          + " processes in all; `check --show-merged` prints the programs\n";
  return escaped_lines(out);
}

/// For bpftrace, or to be read.
void print_merged(const std::vector<trace_plan>& plans) {
  auto outlook = outlook_of(plans);
  if (outlook.groups.empty())
    std::cout << "// no two traces share a bpftrace\n";
  for (const auto& group : outlook.groups)
    std::cout << "// " << list_of(group.traces) << '\n' << group.program.text;
}

void print_plan(const config& all, const std::vector<trace_plan>& plans) {
  auto host = host_name();
  auto offset = all.splay ? splay_offset(host, all.batcher.interval)
                          : std::chrono::milliseconds{0};
  std::cout << "configuration " << all.file << ": " << plans.size()
            << " traces\n";
  for (const auto& to : all.destinations)
    std::cout << "graphite " << to.host << ":" << to.port << "\n";
  std::cout << "  server from " << to_text(all.server_origin) << ", port from "
            << to_text(all.port_origin) << "\n  a batch every "
            << all.batcher.interval.count() / 1000 << " s, "
            << static_cast<double>(offset.count()) / 1000
            << " s after the boundary on this host (" << host << ")\n";
  std::size_t series = 0;
  for (const auto& plan : plans) {
    std::cout << '\n' << describe_trace(plan);
    series += series_estimate(plan);
  }
  std::cout << "\nGraphite must be told before the first point arrives:\n";
  std::cout << indented(storage_schemas_conf(all, plans) + "\n"
                        + storage_aggregation_conf(all, plans));
  std::cout << "\nabout " << series << " new series";
  if (all.own_metrics.enabled) {
    auto own = own_series_count(plans.size(), all.destinations.size());
    series += own;
    std::cout << " and " << own << " of its own metrics (own-metrics), "
              << series << " in all";
  }
  std::cout << "; carbon's default of " << carbon_creates_per_minute
            << " new files a minute "
            << "(MAX_CREATES_PER_MINUTE) would take "
            << (series + carbon_creates_per_minute - 1)
                 / carbon_creates_per_minute
            << " minutes to make their files, and throw points away until "
               "then\n";
  auto outlook = outlook_of(plans);
  std::cout << describe_shares(outlook);
  auto memory = daemon_mb + outlook.memory_mb;
  std::cout << "about " << static_cast<std::int64_t>(memory)
            << " MB of memory, bpftrace included\n";
  if (auto limit = memory_limit_mb(); limit && *limit < memory)
    std::cerr << "warning: the control group allows "
              << static_cast<std::int64_t>(*limit)
              << " MB: give it more, or fewer traces\n";
}

} // namespace

std::string describe_trace(const trace_plan& plan) {
  std::string out = "trace \"" + plan.trace.id + "\": " + plan.trace.script;
  out += "\n  slots of " + std::to_string(plan.series.slots.resolution.count())
         + " s, at most " + std::to_string(plan.series.max_series)
         + " series, about " + std::to_string(series_estimate(plan)) + "\n";
  for (const auto& map : plan.script.maps) {
    out += "  " + map.name + ": " + map.why + "\n";
    if (map.rules.wanted)
      out += "    for example " + example_of(plan, map) + "\n";
  }
  for (const auto& line : plan.script.printf.lines)
    out += describe_printf(plan, line);
  if (!plan.script.appended_probe.empty())
    out += "  appended to the script: " + plan.script.appended_probe + "\n";
  for (const auto& warning : plan.script.warnings)
    out += "  warning: " + warning + "\n";
  auto families = series_families(plan);
  auto shown = std::find_if(families.begin(), families.end(), [](auto& one) {
    return one.is == series_family::kind::rows;
  });
  if (shown == families.end())
    shown = families.begin();
  if (shown != families.end())
    out += "  to look at it:\n    "
           + (shown->is == series_family::kind::rows
                ? heatmap_target(*shown)
                : "aliasByMetric(" + shown->target + ")")
           + "\n    sumSeries(" + shown->target + ")\n    highestMax("
           + shown->target + ",10)\n";
  return escaped_lines(out);
}

std::vector<std::string> collisions(const std::vector<trace_plan>& plans) {
  std::vector<std::string> found;
  std::map<std::string, std::string> owners;
  for (const auto& plan : plans)
    for (const auto& family : series_families(plan)) {
      auto who = "trace \"" + plan.trace.id + "\", "
                 + (family.map.starts_with('@') ? "map " : "metric ")
                 + family.map;
      auto [at, fresh] = owners.emplace(family.target, who);
      if (!fresh)
        found.push_back(who + " and " + at->second + " would write one series ("
                        + at->first
                        + "); give one of them another name or map-level = "
                          "true");
    }
  return found;
}

int check(const options& given) {
  auto files = open_files();
  auto started = read_config(given, files, true);
  const auto& all = started.value;
  bool unsafe = false;
  std::vector<config_message> messages;
  messages = check_scripts(all, files, unsafe);
  if (!messages.empty())
    std::cerr << render(messages);
  auto bad = !messages.empty();
  std::vector<trace_plan> plans;
  if (!started.exit && !bad)
    for (const auto& trace : all.traces) {
      if (!trace.enabled)
        continue;
      auto planned = plan_from_disk(trace, all, files);
      if (planned.plan) {
        plans.push_back(std::move(*planned.plan));
        continue;
      }
      bad = true;
      std::cerr << trace.file << ':' << trace.place.line << ": trace \""
                << trace.id << "\": " << escaped(planned.error) << '\n';
    }
  if (started.exit)
    return *started.exit;
  for (const auto& text : collisions(plans)) {
    bad = true;
    std::cerr << all.file << ": " << text << '\n';
  }
  if (bad)
    return unsafe ? exit_code::permission : exit_code::config;
  if (given.show_merged)
    print_merged(plans);
  else
    print_plan(all, plans);
  std::cout << std::flush;
  return given.deep ? deep_check(all, plans) : exit_code::ok;
}

} // namespace bpf2graphite
