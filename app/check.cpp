#include "app/check.hpp"

#include "actors/normalizer/metric_path.hpp"
#include "app/config_files.hpp"
#include "app/deep_check.hpp"
#include "app/startup.hpp"
#include "app/verbs.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <set>
#include <thread>
#include <utility>

namespace bpf2graphite {
namespace {

/// Rows that a hist() of latencies or sizes usually fills; for estimates only.
constexpr std::size_t rows_estimate = 25;
/// New files that carbon makes in a minute in its default configuration.
constexpr std::size_t carbon_creates_per_minute = 50;
/// Real memory of one bpftrace and of its ring buffers on each CPU.
constexpr double bpftrace_mb = 36;
constexpr double bpftrace_mb_per_cpu = 0.25;
constexpr double daemon_mb = 60;

bool is_histogram(const map_plan& map) {
  return map.why.find("hist") != std::string::npos;
}

std::vector<std::string_view> example_key(const trace_plan& plan,
                                          const std::string& map) {
  auto shape = plan.parser.keys.find(map);
  return std::vector<std::string_view>(
    shape == plan.parser.keys.end() ? 0 : shape->second.parts, "KEY");
}

/// A path of that map with `*` for key and bucket.
std::string pattern_of(const trace_plan& plan, const map_plan& map) {
  metric_path path{plan.series.naming, plan.series.trace, plan.series.keys,
                   map.name};
  auto key = path.key(example_key(plan, map.name));
  auto whole = path.render(key, is_histogram(map) ? "ROW" : "");
  for (std::string_view word : {"KEY", "ROW"})
    for (std::size_t at; (at = whole.find(word)) != std::string::npos;)
      whole.replace(at, word.size(), "*");
  return whole;
}

std::string example_of(const trace_plan& plan, const map_plan& map) {
  metric_path path{plan.series.naming, plan.series.trace, plan.series.keys,
                   map.name};
  auto key = path.key(example_key(plan, map.name));
  if (is_histogram(map))
    return path.render(key, row_bounds{.min = 1024, .max = 2047});
  return path.render(key, "");
}

std::string seconds_text(std::chrono::seconds s) {
  return std::to_string(s.count()) + "s";
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
  std::set<std::pair<std::string, std::int64_t>> schemas;
  for (const auto& plan : plans) {
    std::cout << '\n' << describe_trace(plan);
    series += series_estimate(plan);
    schemas.emplace(plan.series.naming.prefix,
                    plan.series.slots.resolution.count());
  }
  std::cout << "\nGraphite must be told before the first point arrives:\n";
  for (const auto& [prefix, resolution] : schemas)
    std::cout << storage_schemas(prefix, std::chrono::seconds{resolution});
  std::cout << "\nabout " << series << " new series; carbon's default of "
            << carbon_creates_per_minute << " new files a minute "
            << "(MAX_CREATES_PER_MINUTE) would take "
            << (series + carbon_creates_per_minute - 1)
                 / carbon_creates_per_minute
            << " minutes to make their files, and throw points away until "
               "then\n";
  auto cpus = std::max(1U, std::thread::hardware_concurrency());
  auto memory = daemon_mb
                + static_cast<double>(plans.size())
                    * (bpftrace_mb + bpftrace_mb_per_cpu * cpus);
  std::cout << "about " << static_cast<std::int64_t>(memory)
            << " MB of memory, bpftrace included\n";
  if (auto limit = memory_limit_mb(); limit && *limit < memory)
    std::cerr << "warning: the control group allows "
              << static_cast<std::int64_t>(*limit)
              << " MB: give it more, or fewer traces\n";
}

/// Maps of two traces that would write one series.
std::vector<std::string> collisions(const std::vector<trace_plan>& plans) {
  std::vector<std::string> found;
  std::map<std::string, std::string> owners;
  for (const auto& plan : plans)
    for (const auto& map : plan.script.maps) {
      if (!map.rules.wanted)
        continue;
      auto who = "trace \"" + plan.trace.id + "\", map " + map.name;
      auto [at, fresh] = owners.emplace(pattern_of(plan, map), who);
      if (!fresh)
        found.push_back(who + " and " + at->second + " would write one series ("
                        + at->first
                        + "); give one of them another name or map-level = "
                          "true");
    }
  return found;
}

} // namespace

std::size_t series_estimate(const trace_plan& plan) {
  std::size_t sum = 0;
  bool keyed = false;
  for (const auto& map : plan.script.maps) {
    if (!map.rules.wanted)
      continue;
    if (!example_key(plan, map.name).empty())
      keyed = true;
    else
      sum += is_histogram(map) ? rows_estimate : 1;
  }
  return keyed ? plan.series.max_series : sum;
}

std::string describe_trace(const trace_plan& plan) {
  std::string out = "trace \"" + plan.trace.id + "\": " + plan.trace.script;
  out += "\n  slots of " + std::to_string(plan.series.slots.resolution.count())
         + " s, at most " + std::to_string(plan.series.max_series)
         + " series, about " + std::to_string(series_estimate(plan)) + "\n";
  const map_plan* shown = nullptr;
  for (const auto& map : plan.script.maps) {
    out += "  " + map.name + ": " + map.why + "\n";
    if (map.rules.wanted) {
      out += "    for example " + example_of(plan, map) + "\n";
      if (shown == nullptr || (!is_histogram(*shown) && is_histogram(map)))
        shown = &map;
    }
  }
  if (!plan.script.appended_probe.empty())
    out += "  appended to the script: " + plan.script.appended_probe + "\n";
  for (const auto& warning : plan.script.warnings)
    out += "  warning: " + warning + "\n";
  if (shown != nullptr) {
    auto all = pattern_of(plan, *shown);
    out += "  to look at it:\n    sortByName(" + all
           + ",natural=True)\n    sumSeries(" + all + ")\n    highestMax(" + all
           + ",10)\n";
  }
  return escaped_lines(out);
}

std::string storage_schemas(const std::string& prefix,
                            std::chrono::seconds resolution) {
  auto dots = clean_levels(prefix);
  std::string pattern = dots.empty() ? ".*" : "^";
  for (char c : dots)
    pattern += c == '.' ? std::string{"\\."} : std::string(1, c);
  if (!dots.empty())
    pattern += "[.;]";
  auto name = dots.empty() ? "bpf2graphite" : dots;
  return "  # storage-schemas.conf\n  [" + name + "]\n  pattern = " + pattern
         + "\n  retentions = " + seconds_text(resolution) + ":7d,"
         + (resolution < std::chrono::seconds{60} ? "60s:30d," : "")
         + "10m:1y\n  # storage-aggregation.conf\n  [" + name
         + "]\n  pattern = " + pattern
         + "\n  xFilesFactor = 0\n  aggregationMethod = sum\n";
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
  print_plan(all, plans);
  std::cout << std::flush;
  return given.deep ? deep_check(all, plans) : exit_code::ok;
}

} // namespace bpf2graphite
