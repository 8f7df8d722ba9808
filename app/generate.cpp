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
      {"fill", "dark-orange"}, // of the other mode, but it has to be there
      {"reverse", false},
      {"steps", 64}}},
    {"filterValues", {{"le", 1e-9}}}, // a count of 0 is background
    {"rowsFrame",
     {{"layout", leaf == bucket_leaf::upper ? "le" : "ge"},
      {"value", "count"}}},
    {"tooltip", {{"show", true}, {"yHistogram", true}}},
    {"exemplars", {{"color", "rgba(255,0,255,0.7)"}}},
    {"showValue", "never"},
    // The names of the rows are numbers: they are shown in this unit.
    {"yAxis", {{"axisPlacement", "left"}, {"unit", unit_of_map(rows.map)}}},
    {"cellValues", {{"unit", "short"}}},
    {"legend", {{"show", true}}},
  };
  result["fieldConfig"] = {
    {"defaults", {{"custom", {{"scaleDistribution", {{"type", "linear"}}}}}}},
    {"overrides", json::array{}},
  };
  return result;
}

std::string graph_target(const series_family& family) {
  constexpr auto keys_shown = 10;
  auto tagged = family.target.starts_with("seriesByTag(");
  if (family.key_parts == 0 && tagged)
    return "aliasByTags(" + family.target + ",'host','name')";
  if (family.key_parts == 0) {
    // With several hosts the last level alone would name all their lines alike.
    auto host = family.target.find("$host");
    if (host == std::string::npos)
      return "aliasByMetric(" + family.target + ")";
    auto node = std::count(
      family.target.begin(),
      family.target.begin() + static_cast<std::ptrdiff_t>(host), '.');
    return "aliasByNode(" + family.target + "," + std::to_string(node) + ",-1)";
  }
  return "highestMax(" + family.target + "," + std::to_string(keys_shown) + ")";
}

/// What lists the hosts, where the host is a level of its own: `marked` is a
/// target with `mark` in its place. Empty where no glob fits.
constexpr std::string_view host_mark = "QhostQ";

std::string hosts_query(const naming_config& naming,
                        const std::vector<series_family>& marked) {
  if (marked.empty())
    return {};
  if (naming.style == path_style::tags) {
    const auto& name = marked.front().target;
    auto from = name.find("name=");
    return "tag_values(host, " + name.substr(from, name.find('\'', from) - from)
           + ")";
  }
  if (naming.dots == host_dots::keep || naming.dots == host_dots::reverse)
    return {}; // several levels: no glob fits hosts of different depth
  for (const auto& family : marked)
    if (auto at = family.target.find(host_mark); at != std::string::npos)
      return family.target.substr(0, at) + "*";
  return {};
}

/// What stands for the host in targets, when it is a variable.
std::string host_variable(const naming_config& naming,
                          const std::string& hosts) {
  return hosts.empty()                      ? ""
         : naming.style == path_style::tags ? "${host:regex}"
                                            : "$host";
}

/// A whole dashboard. `hosts`: what lists the hosts, or empty.
std::string dashboard(const std::string& title, const std::string& uid,
                      const naming_config& naming, const std::string& hosts,
                      seconds resolution, json::array panels) {
  auto tagged = naming.style == path_style::tags;
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
  auto interval = std::to_string(resolution.count()) + "s";
  json::object whole{
    {"title", title},
    {"uid", uid},
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
  return json::serialize(whole) + "\n";
}

/// Which dashboard it is: the same trace is the same one. Grafana takes at most
/// 40 bytes; a longer name ends in its hash (FNV-1a), or two would be one.
std::string uid_of(const std::string& trace) {
  constexpr std::size_t uid_bytes_max = 40;
  auto uid = "bpf2graphite-" + clean_level(trace);
  if (uid.size() <= uid_bytes_max)
    return uid;
  std::uint32_t hash = 2166136261U;
  for (auto c : uid)
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  constexpr std::size_t digits = 8;
  uid.resize(uid_bytes_max - digits);
  for (std::size_t i = 0; i < digits; ++i)
    uid += "0123456789abcdef"[(hash >> (4 * i)) & 15U];
  return uid;
}

json::object graph(const std::string& title, std::string_view unit,
                   json::array targets, std::size_t number) {
  auto result = panel("timeseries", title, std::move(targets), number);
  result["fieldConfig"] = {
    {"defaults",
     {{"unit", unit},
      {"custom", {{"fillOpacity", 10}, {"showPoints", "auto"}}}}},
    {"overrides", json::array{}},
  };
  return result;
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
             "s|acceptance_ms|running|starting|failing|stopped)(?:;.*)?$",
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

std::string_view unit_of_map(std::string_view map) {
  auto ends_in = [map](std::string_view word) {
    if (!map.ends_with(word))
      return false;
    auto rest = map.substr(0, map.size() - word.size());
    return rest.empty() || rest.back() == '@' || rest.back() == '_';
  };
  constexpr std::array<std::pair<std::string_view, std::string_view>, 12> units{
    {{"nsecs", "ns"},
     {"ns", "ns"},
     {"usecs", "µs"},
     {"us", "µs"},
     {"msecs", "ms"},
     {"ms", "ms"},
     {"secs", "s"},
     {"seconds", "s"},
     {"bytes", "bytes"},
     {"kb", "kbytes"},
     {"kbytes", "kbytes"},
     {"mbytes", "mbytes"}}};
  for (const auto& [word, unit] : units)
    if (ends_in(word))
      return unit;
  return "short";
}

std::string grafana_dashboard(const trace_plan& plan) {
  const auto& naming = plan.series.naming;
  auto hosts =
    hosts_query(naming, series_families(plan, std::string{host_mark}));
  auto families = series_families(plan, host_variable(naming, hosts));
  json::array panels;
  json::array percentiles;
  std::string percentiles_of;
  auto flush = [&] {
    if (!percentiles.empty())
      panels.push_back(graph(percentiles_of + " percentiles",
                             unit_of_map(percentiles_of),
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
    if (family.is == kind::rows) {
      panels.push_back(heatmap(family, naming.buckets, panels.size()));
      continue;
    }
    // Samples are a number, whatever was measured; so is what was counted.
    auto measured = family.leaf == "mean" || family.leaf == "highest"
                    || family.leaf == "average" || family.leaf == "total"
                    || family.method == roll_up::max
                    || family.method == roll_up::min;
    panels.push_back(
      graph(family.map + (family.leaf.empty() ? "" : " " + family.leaf),
            measured ? unit_of_map(family.map) : "short",
            {target(graph_target(family), "A")}, panels.size()));
  }
  flush();
  return dashboard("bpf2graphite: " + plan.trace.id, uid_of(plan.trace.id),
                   naming, hosts, plan.series.slots.resolution,
                   std::move(panels));
}

std::string own_dashboard(const config& all, const std::string& host) {
  struct shown {
    const char* map;
    const char* leaf;
  };
  struct own_panel {
    const char* title;
    const char* unit;
    const char* joined; // over hosts
    std::vector<shown> series;
  };
  const std::vector<own_panel> wanted{
    {"Traces that run (hosts)", "short", "sum", {{"traces", "up"}}},
    {"Values read", "short", "sum", {{"traces", "read"}}},
    {"Points accepted by Graphite",
     "short",
     "sum",
     {{"destinations", "accepted"}}},
    {"Lost, dropped or cut",
     "short",
     "sum",
     {{"ledger", "dropped_buffer"},
      {"ledger", "dropped_stop"},
      {"ledger", "dropped_values"},
      {"ledger", "parked"},
      {"ledger", "lost_events"},
      {"ledger", "map_full"},
      {"ledger", "rejected"},
      {"ledger", "invalid"},
      {"ledger", "truncated"},
      {"ledger", "crash"}}},
    {"Age of the oldest value that waits",
     "s",
     "max",
     {{"destinations", "oldest_age_s"}}},
    {"Time to acceptance", "ms", "max", {{"destinations", "acceptance_ms"}}},
    {"Points that wait", "short", "sum", {{"destinations", "waiting"}}},
    {"Restarts of bpftrace", "short", "sum", {{"traces", "restarts"}}},
    {"Traces that fail", "short", "sum", {{"states", "failing"}}},
    {"Late, folded, sent again",
     "short",
     "sum",
     {{"ledger", "late"}, {"ledger", "folded"}, {"ledger", "resent"}}},
    {"Series", "short", "sum", {{"traces", "series"}}},
    {"CPU time in each slot, daemon", "ms", "sum", {{"process", "cpu_ms"}}},
    {"CPU time in each slot, bpftrace", "ms", "sum", {{"traces", "cpu_ms"}}},
    {"Memory, daemon", "kbytes", "sum", {{"process", "rss_kb"}}},
    {"Memory, bpftrace", "kbytes", "sum", {{"traces", "rss_kb"}}},
  };
  auto naming = all.defaults.naming;
  if (naming.host.empty())
    naming.host = host;
  const auto& name = all.own_metrics.name;
  auto hosts =
    hosts_query(naming, own_families(naming, name, std::string{host_mark}));
  auto families = own_families(naming, name, host_variable(naming, hosts));
  auto tagged = naming.style == path_style::tags;
  json::array panels;
  for (const auto& one : wanted) {
    json::array targets;
    for (const auto& wish : one.series) {
      auto family =
        std::find_if(families.begin(), families.end(), [&](const auto& f) {
          return f.map == wish.map && f.leaf == wish.leaf;
        });
      std::string text;
      if (family->key_parts == 0)
        text = "alias(" + std::string{one.joined} + "Series(" + family->target
               + "),'" + wish.leaf + "')";
      else if (tagged)
        text = "groupByTags(" + family->target + ",'" + one.joined + "','"
               + (family->map == "traces" ? "trace" : "destination") + "')";
      else // the level before the last one
        text = "groupByNode(" + family->target + ",-2,'" + one.joined + "')";
      if (tagged && family->key_parts > 0)
        text = "aliasByTags(" + text + ",'"
               + (family->map == "traces" ? "trace" : "destination") + "')";
      const std::string id(1, static_cast<char>('A' + targets.size()));
      targets.push_back(target(text, id.c_str()));
    }
    panels.push_back(
      graph(one.title, one.unit, std::move(targets), panels.size()));
  }
  return dashboard("bpf2graphite", "bpf2graphite", naming, hosts,
                   std::chrono::duration_cast<seconds>(all.batcher.interval),
                   std::move(panels));
}

} // namespace bpf2graphite
