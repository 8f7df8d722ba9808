#include "app/generate.hpp"

#include "actors/normalizer/metric_path.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace bpf2graphite {
namespace {

namespace json = boost::json;
using std::chrono::seconds;

constexpr std::int64_t points_max = 40'320; // in the first archive
constexpr std::int64_t minute = 60;
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t day = 24 * hour;
constexpr std::int64_t second_archive = 30 * day;
constexpr std::int64_t third_archive = 365 * day;

/// The smallest usual step that is a multiple of `fine` and larger.
std::int64_t coarser(std::int64_t fine, std::int64_t at_least) {
  constexpr std::array<std::int64_t, 9> usual{
    minute, 5 * minute, 10 * minute, 15 * minute, 30 * minute,
    hour,   6 * hour,   12 * hour,   day};
  for (auto step : usual)
    if (step >= at_least && step > fine && step % fine == 0)
      return step;
  return fine * std::max<std::int64_t>(2, (at_least + fine - 1) / fine);
}

std::string duration_text(std::int64_t s) {
  if (s % (365 * day) == 0)
    return std::to_string(s / (365 * day)) + "y";
  if (s % day == 0)
    return std::to_string(s / day) + "d";
  if (s % hour == 0)
    return std::to_string(s / hour) + "h";
  if (s % minute == 0)
    return std::to_string(s / minute) + "m";
  return std::to_string(s) + "s";
}

/// A text as a regular expression that fits nothing else.
std::string literal(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '.')
      out += '\\';
    out += c;
  }
  return out;
}

/// Several expressions over whole names as one.
std::string any_of(const std::vector<std::string>& patterns) {
  if (patterns.size() == 1)
    return patterns.front();
  std::string out = "^(?:";
  for (const auto& pattern : patterns)
    out +=
      (out.back() == ':' ? "" : "|") + pattern.substr(1, pattern.size() - 2);
  return out + ")$";
}

/// Every name of that trace begins with its prefix.
bool leads_with_prefix(const trace_plan& plan) {
  const auto& naming = plan.series.naming;
  return !clean_levels(naming.prefix).empty()
         && (naming.style == path_style::tags
             || naming.path_template.starts_with("{prefix}."));
}

std::string section(const std::string& name, const std::string& pattern,
                    const std::string& rest) {
  return "\n[" + name + "]\npattern = " + pattern + "\n" + rest;
}

struct group {
  std::string name;
  std::string pattern;
  seconds resolution{0};
  std::vector<const trace_plan*> plans;
};

/// What can be told by its prefix alone, and else trace by trace. The longer
/// prefix first: carbon takes the first pattern that fits.
std::vector<group> groups_of(const std::vector<trace_plan>& plans) {
  std::map<std::string, std::set<seconds>, std::greater<>> prefixes;
  for (const auto& plan : plans)
    if (leads_with_prefix(plan))
      prefixes[clean_levels(plan.series.naming.prefix)].insert(
        plan.series.slots.resolution);
  std::vector<group> groups;
  std::vector<group> singles;
  std::map<std::string, std::size_t> at;
  for (const auto& plan : plans) {
    auto prefix = clean_levels(plan.series.naming.prefix);
    auto resolution = plan.series.slots.resolution;
    if (leads_with_prefix(plan) && prefixes[prefix].size() == 1) {
      auto [found, fresh] = at.emplace(prefix, groups.size());
      if (fresh)
        groups.push_back({.name = prefix,
                          .pattern = "^" + literal(prefix) + "[.;]",
                          .resolution = resolution,
                          .plans = {}});
      groups[found->second].plans.push_back(&plan);
      continue;
    }
    std::vector<std::string> patterns;
    for (const auto& family : series_families(plan))
      patterns.push_back(family.pattern);
    if (patterns.empty())
      continue; // a script that could not be read
    singles.push_back({.name = "bpf2graphite-" + plan.trace.id,
                       .pattern = any_of(patterns),
                       .resolution = resolution,
                       .plans = {&plan}});
  }
  std::sort(groups.begin(), groups.end(),
            [](auto& a, auto& b) { return a.name.size() > b.name.size(); });
  singles.insert(singles.end(), groups.begin(), groups.end());
  return singles;
}

json::object target(const std::string& text, const char* id) {
  return {{"refId", id}, {"target", text}, {"textEditor", true}};
}

json::object source() {
  return {{"type", "graphite"}, {"uid", "${datasource}"}};
}

constexpr int panel_width = 24;
constexpr int panel_height = 9;

json::object panel(const char* type, const std::string& title,
                   json::array targets, std::size_t number) {
  return {
    {"id", number + 1},
    {"type", type},
    {"title", title},
    {"datasource", source()},
    {"gridPos",
     {{"x", 0},
      {"y", number * panel_height},
      {"w", panel_width},
      {"h", panel_height}}},
    {"targets", std::move(targets)},
  };
}

json::object heatmap(const series_family& rows, bucket_leaf leaf,
                     std::size_t number) {
  auto result =
    panel("heatmap", rows.map, {target(heatmap_target(rows), "A")}, number);
  result["options"] = {
    {"calculate", false},
    {"cellGap", 1},
    {"color",
     {{"mode", "scheme"},
      {"scheme", "Turbo"},
      {"scale", "exponential"},
      {"exponent", 0.5},
      {"steps", 64}}},
    {"filterValues", {{"le", 1e-9}}}, // a count of 0 is background
    {"rowsFrame",
     {{"layout", leaf == bucket_leaf::upper ? "le" : "ge"},
      {"value", "count"}}},
    {"tooltip", {{"show", true}, {"yHistogram", true}}},
    {"yAxis", {{"axisPlacement", "left"}}},
    {"legend", {{"show", true}}},
  };
  return result;
}

std::string graph_target(const series_family& family) {
  constexpr auto keys_shown = 10;
  auto tagged = family.target.starts_with("seriesByTag(");
  if (family.key_parts == 0)
    return tagged ? "aliasByTags(" + family.target + ",'host')"
                  : "aliasByMetric(" + family.target + ")";
  return "highestMax(" + family.target + "," + std::to_string(keys_shown) + ")";
}

/// Where the host is a level of its own: what lists the hosts.
std::string hosts_query(const trace_plan& plan) {
  auto naming = plan.series.naming;
  if (naming.style == path_style::tags) {
    auto families = series_families(plan);
    if (families.empty())
      return {};
    auto name = families.front().target;
    auto from = name.find("name=");
    return "tag_values(host, " + name.substr(from, name.find('\'', from) - from)
           + ")";
  }
  if (naming.dots == host_dots::keep || naming.dots == host_dots::reverse)
    return {}; // several levels: no glob fits hosts of different depth
  constexpr std::string_view mark = "QhostQ";
  for (const auto& family : series_families(plan, std::string{mark}))
    if (auto at = family.target.find(mark); at != std::string::npos)
      return family.target.substr(0, at) + "*";
  return {};
}

} // namespace

std::string retentions(seconds resolution) {
  auto first = std::max<std::int64_t>(1, resolution.count());
  auto second = coarser(first, minute);
  auto third = coarser(second, 10 * minute);
  auto keep = std::min<std::int64_t>(7 * day, first * points_max);
  keep = keep >= day ? keep / day * day : keep / hour * hour;
  keep = std::max(keep, 2 * second);
  return std::to_string(first) + "s:" + duration_text(keep) + ","
         + duration_text(second) + ":"
         + duration_text(std::max(second_archive, 2 * third)) + ","
         + duration_text(third) + ":" + duration_text(third_archive);
}

std::string storage_schemas_conf(const config& all,
                                 const std::vector<trace_plan>& plans) {
  std::string out = "# storage-schemas.conf: to be put above every section "
                    "whose pattern fits everything;\n# carbon takes the first "
                    "that fits, and only when it makes a new file.\n";
  if (all.own_metrics.enabled)
    out += section(
      "bpf2graphite-own",
      own_pattern(all.defaults.naming, all.own_metrics.name),
      "retentions = "
        + retentions(std::chrono::duration_cast<seconds>(all.batcher.interval))
        + "\n");
  for (const auto& one : groups_of(plans))
    out += section(one.name, one.pattern,
                   "retentions = " + retentions(one.resolution) + "\n");
  return out;
}

std::string storage_aggregation_conf(const config& all,
                                     const std::vector<trace_plan>& plans) {
  std::string out = "# storage-aggregation.conf: to be put above every section "
                    "whose pattern fits everything;\n# carbon takes the first "
                    "that fits, and only when it makes a new file.\n";
  auto rule = [&](const std::string& name, const std::string& pattern,
                  roll_up method) {
    out += section(name, pattern,
                   "xFilesFactor = 0\naggregationMethod = "
                     + std::string{to_text(method)} + "\n");
  };
  // The exceptions first.
  if (all.own_metrics.enabled) {
    auto own = own_pattern(all.defaults.naming, all.own_metrics.name);
    rule("bpf2graphite-own-states",
         own
           + "(?:.*\\.)?(?:waiting|open|series|on_the_way|up|rss_kb|oldest_age_"
             "s)(?:;.*)?$",
         roll_up::average);
    rule("bpf2graphite-own", own, roll_up::sum);
  }
  for (const auto& plan : plans) {
    std::map<std::pair<std::string, roll_up>, std::vector<std::string>> others;
    for (const auto& family : series_families(plan))
      if (family.method != roll_up::sum)
        others[{family.map, family.method}].push_back(family.pattern);
    for (const auto& [what, patterns] : others)
      rule("bpf2graphite-" + plan.trace.id + "-"
             + clean_level(what.first.substr(1)) + "-"
             + std::string{to_text(what.second)},
           any_of(patterns), what.second);
  }
  for (const auto& one : groups_of(plans))
    rule(one.name, one.pattern, roll_up::sum);
  return out;
}

std::string heatmap_target(const series_family& rows) {
  auto tagged = rows.target.starts_with("seriesByTag(");
  auto grouped =
    tagged ? "aliasByTags(groupByTags(" + rows.target + ",'sum','le'),'le')"
           : "groupByNode(" + rows.target + ","
               + std::to_string(rows.bucket_node) + ",'sum')";
  return "sortByName(" + grouped + ",natural=True)";
}

std::string grafana_dashboard(const trace_plan& plan) {
  auto hosts = hosts_query(plan);
  auto tagged = plan.series.naming.style == path_style::tags;
  auto families = series_families(plan, hosts.empty() ? ""
                                        : tagged      ? "${host:regex}"
                                                      : "$host");
  json::array panels;
  json::array percentiles;
  std::string percentiles_of;
  auto flush = [&] {
    if (!percentiles.empty())
      panels.push_back(panel("timeseries", percentiles_of + " percentiles",
                             std::move(percentiles), panels.size()));
    percentiles = {};
  };
  for (const auto& family : families) {
    using kind = series_family::kind;
    if (family.is == kind::percentile) {
      constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
      percentiles_of = family.map;
      const std::string id{letters.at(percentiles.size() % letters.size())};
      percentiles.push_back(target(graph_target(family), id.c_str()));
      continue;
    }
    flush();
    if (family.is == kind::rows)
      panels.push_back(
        heatmap(family, plan.series.naming.buckets, panels.size()));
    else
      panels.push_back(
        panel("timeseries",
              family.map + (family.leaf.empty() ? "" : " " + family.leaf),
              {target(graph_target(family), "A")}, panels.size()));
  }
  flush();
  json::array variables;
  variables.push_back({{"name", "datasource"},
                       {"label", "Data source"},
                       {"type", "datasource"},
                       {"query", "graphite"}});
  if (!hosts.empty())
    variables.push_back({{"name", "host"},
                         {"label", "Host"},
                         {"type", "query"},
                         {"datasource", source()},
                         {"query", hosts},
                         {"definition", hosts},
                         {"refresh", 2}, // when the time range changes
                         {"includeAll", true},
                         {"multi", false},
                         {"allValue", tagged ? ".*" : "*"},
                         {"sort", 1}});
  auto interval = std::to_string(plan.series.slots.resolution.count()) + "s";
  json::object dashboard{
    {"title", "bpf2graphite: " + plan.trace.id},
    // Grafana takes at most 40 bytes; the same trace is the same dashboard.
    {"uid", ("bpf2graphite-" + clean_level(plan.trace.id)).substr(0, 40)},
    {"tags", json::array{"bpf2graphite"}},
    {"schemaVersion", 37},
    {"editable", true},
    {"refresh", "1m"},
    {"time", {{"from", "now-1h"}, {"to", "now"}}},
    {"timepicker",
     {{"refresh_intervals", json::array{interval, "1m", "5m", "15m"}}}},
    {"templating", {{"list", std::move(variables)}}},
    {"panels", std::move(panels)},
  };
  return json::serialize(dashboard) + "\n";
}

} // namespace bpf2graphite
