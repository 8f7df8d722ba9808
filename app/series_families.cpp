#include "app/series_families.hpp"

#include "actors/normalizer/metric_path.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace bpf2graphite {
namespace {

/// Rows that a hist() of latencies or sizes usually fills; for estimates only.
constexpr std::size_t rows_estimate = 25;

// What stands for the unknown while a path is made: clean levels that nobody
// uses.
constexpr std::string_view any_key = "QanyZkeyQ";
constexpr std::string_view any_row = "QanyZrowQ";
constexpr std::string_view any_host_level = "QanyZhostQ";

std::size_t key_parts_of(const trace_plan& plan, const std::string& map) {
  auto shape = plan.parser.keys.find(map);
  return shape == plan.parser.keys.end() ? 0 : shape->second.parts;
}

void replace_all(std::string& text, std::string_view what,
                 std::string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos;
       at += with.size())
    text.replace(at, what.size(), with);
}

/// `path` as a regular expression: all but our marks stands for itself.
std::string pattern_of(const std::string& path, bool host_has_dots) {
  std::string out = "^";
  for (char c : path) {
    if (c == '.')
      out += '\\';
    out += c;
  }
  out += '$';
  auto tagged = path.find(';') != std::string::npos;
  std::string_view one = tagged ? "[^;]+" : "[^.]+";
  replace_all(out, any_key, one);
  replace_all(out, any_row, one);
  replace_all(out, any_host_level, host_has_dots && !tagged ? ".+" : one);
  return out;
}

/// `path` as a glob, or with tags as a call of seriesByTag.
std::string target_of(const std::string& path, const std::string& host) {
  auto semicolon = path.find(';');
  std::string out;
  if (semicolon == std::string::npos) {
    out = path;
    replace_all(out, any_key, "*");
    replace_all(out, any_row, "*");
    replace_all(out, any_host_level, host);
    return out;
  }
  out = "seriesByTag('name=" + path.substr(0, semicolon) + "'";
  for (auto at = semicolon; at != std::string::npos;) {
    auto end = path.find(';', at + 1);
    auto tag = path.substr(at + 1, end - at - 1);
    auto equals = tag.find('=');
    auto value = tag.substr(equals + 1);
    out += ",'" + tag.substr(0, equals);
    if (value == any_host_level)
      out += "=~^" + (host == "*" ? std::string{".*"} : host) + "$";
    else if (value == any_key || value == any_row)
      out += "!="; // any value, but there is one
    else
      out += "=" + value;
    out += "'";
    at = end;
  }
  return out + ")";
}

roll_up gauge_roll_up(accumulation how) {
  switch (how) {
    case accumulation::max:
      return roll_up::max;
    case accumulation::min:
      return roll_up::min;
    case accumulation::last:
      return roll_up::last;
    case accumulation::mean:
      return roll_up::average;
    case accumulation::cleared:
    case accumulation::cumulative:
      break;
  }
  return roll_up::sum;
}

} // namespace

std::string_view to_text(roll_up method) {
  switch (method) {
    case roll_up::sum:
      return "sum";
    case roll_up::max:
      return "max";
    case roll_up::min:
      return "min";
    case roll_up::average:
      return "average";
    case roll_up::last:
      break;
  }
  return "last";
}

std::vector<series_family> series_families(const trace_plan& plan,
                                           const std::string& any_host) {
  using kind = series_family::kind;
  std::vector<series_family> families;
  const auto& series = plan.series;
  auto marked = series.naming;
  marked.host = any_host_level;
  marked.dots = host_dots::keep;
  auto host = any_host.empty()
                ? host_levels(series.naming.host, series.naming.dots)
                : any_host;
  auto host_has_dots = series.naming.dots == host_dots::keep
                       || series.naming.dots == host_dots::reverse;
  for (const auto& map : plan.script.maps) {
    if (!map.rules.wanted)
      continue;
    metric_path path{marked, series.trace, series.keys, map.name};
    auto parts = key_parts_of(plan, map.name);
    auto key = path.key(std::vector<std::string_view>(parts, any_key));
    auto add = [&](kind is, const std::string& leaf, roll_up method) {
      std::string name;
      if (is == kind::rows) {
        if (series.naming.style == path_style::tags) {
          name = path.render(key, row_bounds{.min = 1024, .max = 2047});
          auto le = name.find(";le=");
          auto end = name.find(';', le + 1);
          name.replace(le + 4,
                       (end == std::string::npos ? name.size() : end) - le - 4,
                       any_row);
        } else {
          name = path.render(key, any_row);
        }
      } else {
        auto whole = is == kind::percentile || is == kind::derived
                       ? "derived." + leaf
                       : leaf;
        name = path.render(key, whole);
      }
      auto before = target_of(name.substr(0, name.find(any_row)), host);
      families.push_back({.map = map.name,
                          .is = is,
                          .leaf = leaf,
                          .key_parts = parts,
                          .target = target_of(name, host),
                          .bucket_node = static_cast<std::size_t>(
                            std::count(before.begin(), before.end(), '.')),
                          .pattern = pattern_of(name, host_has_dots),
                          .method = method});
    };
    switch (map.shape) {
      case map_shape::histogram:
        add(kind::rows, "", roll_up::sum);
        for (auto p : series.percentiles)
          add(kind::percentile, percentile_leaf(p), roll_up::max);
        if (series.derived_samples)
          add(kind::derived, "samples", roll_up::sum);
        if (series.derived_mean)
          add(kind::derived, "mean", roll_up::average);
        if (series.derived_highest)
          add(kind::derived, "highest", roll_up::max);
        break;
      case map_shape::stats:
        add(kind::stats, "samples", roll_up::sum);
        add(kind::stats, "total", roll_up::sum);
        add(kind::stats, "average", roll_up::average);
        break;
      case map_shape::number:
        add(kind::number, "", gauge_roll_up(map.rules.how));
        break;
    }
  }
  for (const auto& line : plan.script.printf.lines) {
    if (line.metric.empty()
        || std::any_of(families.begin(), families.end(),
                       [&](auto& known) { return known.map == line.metric; }))
      continue;
    metric_path path{marked, series.trace, {}, line.metric};
    auto parts = metric_labels(line.metric).size();
    auto name =
      path.render(path.key(std::vector<std::string_view>(parts, any_key)), "");
    families.push_back(
      {.map = line.metric,
       .is = kind::number,
       .leaf = "",
       .key_parts = parts,
       .target = target_of(name, host),
       .bucket_node = 0,
       .pattern = pattern_of(name, host_has_dots),
       .method = gauge_roll_up(metric_rules_of(plan, line.metric).how)});
  }
  return families;
}

const map_rules& metric_rules_of(const trace_plan& plan,
                                 const std::string& metric) {
  const auto known =
    plan.series.maps.find(metric_rule_name(metric_name(metric)));
  return known == plan.series.maps.end() ? plan.series.other_metrics
                                         : known->second;
}

std::string own_pattern(const naming_config& naming, const std::string& name) {
  auto marked = naming;
  marked.host = any_host_level;
  auto host_has_dots =
    naming.dots == host_dots::keep || naming.dots == host_dots::reverse;
  marked.dots = host_dots::keep;
  marked.map_level = true;
  metric_path path{marked, name, {}, '@' + std::string{any_key}};
  auto pattern = pattern_of(path.render("", "LEAF"), host_has_dots);
  // The level of the map is the first one that differs.
  auto map = pattern.find("[^", pattern.rfind("LEAF") - 8);
  return pattern.substr(0, map);
}

std::vector<series_family> own_families(const naming_config& naming,
                                        const std::string& name,
                                        const std::string& any_host) {
  struct own_leaf {
    const char* map;
    const char* leaf;
    roll_up method;
  };
  constexpr auto sum = roll_up::sum;
  constexpr auto state = roll_up::average;
  constexpr std::array<own_leaf, 38> leaves{{
    {"ledger", "read", sum},           {"ledger", "accepted", sum},
    {"ledger", "waiting", state},      {"ledger", "series", state},
    {"ledger", "folded", sum},         {"ledger", "late", sum},
    {"ledger", "dropped_values", sum}, {"ledger", "dropped_buffer", sum},
    {"ledger", "dropped_stop", sum},   {"ledger", "parked", sum},
    {"ledger", "resent", sum},         {"ledger", "lost_events", sum},
    {"ledger", "map_full", sum},       {"ledger", "rejected", sum},
    {"ledger", "invalid", sum},        {"ledger", "truncated", sum},
    {"ledger", "crash", sum},          {"process", "cpu_ms", sum},
    {"process", "rss_kb", state},      {"traces", "up", state},
    {"traces", "read", sum},           {"traces", "restarts", sum},
    {"traces", "lost", sum},           {"traces", "series", state},
    {"traces", "cpu_ms", sum},         {"traces", "rss_kb", state},
    {"destinations", "accepted", sum}, {"destinations", "waiting", state},
    {"destinations", "dropped", sum},  {"destinations", "resent", sum},
    {"destinations", "connects", sum}, {"destinations", "oldest_age_s", state},
    {"destinations", "up", state},     {"destinations", "acceptance_ms", state},
    {"states", "running", state},      {"states", "starting", state},
    {"states", "failing", state},      {"states", "stopped", state},
  }};
  auto marked = naming;
  marked.host = any_host_level;
  marked.dots = host_dots::keep;
  marked.map_level = true;
  auto host =
    any_host.empty() ? host_levels(naming.host, naming.dots) : any_host;
  auto host_has_dots =
    naming.dots == host_dots::keep || naming.dots == host_dots::reverse;
  std::vector<series_family> families;
  for (const auto& [map, leaf, method] : leaves) {
    const std::string_view level{map};
    auto of_traces = level == "traces";
    auto keyed = of_traces || level == "destinations";
    const std::vector<std::string> tags{of_traces ? "trace" : "destination"};
    metric_path path{marked, name, tags, '@' + std::string{level}};
    const std::vector<std::string_view> parts(keyed ? 1 : 0, any_key);
    auto whole = path.render(path.key(parts), leaf);
    families.push_back({.map = std::string{level},
                        .is = series_family::kind::number,
                        .leaf = leaf,
                        .key_parts = parts.size(),
                        .target = target_of(whole, host),
                        .bucket_node = 0,
                        .pattern = pattern_of(whole, host_has_dots),
                        .method = method});
  }
  return families;
}

std::size_t own_series_count(std::size_t traces, std::size_t destinations) {
  // As own_metrics makes them of topology::figures; a test counts those that a
  // daemon sends.
  constexpr std::size_t ledger_process_and_states = 63;
  constexpr std::size_t of_a_trace = 7;
  constexpr std::size_t of_a_destination = 8;
  return ledger_process_and_states + of_a_trace * traces
         + of_a_destination * destinations;
}

std::size_t series_estimate(const trace_plan& plan) {
  std::size_t sum = 0;
  for (const auto& line : plan.script.printf.lines)
    if (line.open) // nobody knows its name
      return plan.series.max_series;
  for (const auto& family : series_families(plan)) {
    if (family.key_parts > 0)
      return plan.series.max_series;
    sum += family.is == series_family::kind::rows ? rows_estimate : 1;
  }
  return sum;
}

} // namespace bpf2graphite
