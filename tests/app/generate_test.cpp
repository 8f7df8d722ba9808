#include "app/generate.hpp"

#include "app/config.hpp"

#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

#include <regex.h>

#include <functional>

namespace bpf2graphite {
namespace {

using std::chrono::seconds;

trace_plan plan_of(const std::string& id, const std::string& script,
                   const std::function<void(trace_config&)>& change = {}) {
  config all;
  auto trace = trace_for_script("/" + id + ".bt", all);
  trace.id = id;
  trace.series.trace = id;
  if (change)
    change(trace);
  return plan_trace(trace, script, all, "web1.example.org");
}

config quiet() {
  config all;
  all.own_metrics.enabled = false;
  return all;
}

constexpr auto keyless = "interval:s:1 { @usecs = hist(nsecs); print(@usecs); "
                         "clear(@usecs); }";
constexpr auto keyed = "interval:s:1 { @n[comm, pid] = count(); @s = stats(1); "
                       "@g = 4; print(@n); print(@s); print(@g); }";

/// As carbon's re.search does; by POSIX, which knows no `(?:`. (std::regex
/// makes g++ 12 warn under ASan, bug 105562.)
bool found(std::string pattern, const std::string& name) {
  for (std::size_t at; (at = pattern.find("(?:")) != std::string::npos;)
    pattern.replace(at, 3, "(");
  regex_t compiled;
  EXPECT_EQ(0, regcomp(&compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB))
    << pattern;
  auto fits = regexec(&compiled, name.c_str(), 0, nullptr, 0) == 0;
  regfree(&compiled);
  return fits;
}

bool fits(const series_family& family, const std::string& name) {
  return found(family.pattern, name);
}

TEST(SeriesFamilies, FindTheNamesThatAreSent) {
  auto families = series_families(plan_of("cpu-lat", keyless, [](auto& trace) {
    trace.series.percentiles = {50, 99.9};
    trace.series.derived_mean = true;
  }));
  ASSERT_EQ(4U, families.size());
  EXPECT_EQ("bpf.web1_example_org.cpu-lat.usecs.*", families[0].target);
  EXPECT_EQ(4U, families[0].bucket_node);
  EXPECT_EQ(roll_up::sum, families[0].method);
  EXPECT_TRUE(fits(families[0], "bpf.web1_example_org.cpu-lat.usecs.1024"));
  EXPECT_TRUE(fits(families[0], "bpf.other.cpu-lat.usecs.-inf"));
  EXPECT_FALSE(fits(families[0], "bpf.other.cpu-lat.usecs.derived.p50"));
  EXPECT_FALSE(fits(families[0], "bpfx.other.cpu-lat.usecs.4"));
  EXPECT_EQ("bpf.web1_example_org.cpu-lat.usecs.derived.p99_9",
            families[2].target);
  EXPECT_EQ(roll_up::max, families[2].method);
  EXPECT_EQ(roll_up::average, families[3].method);
}

TEST(SeriesFamilies, KnowKeysStatsAndGauges) {
  auto families = series_families(plan_of("t", keyed), "$host");
  ASSERT_EQ(5U, families.size());
  EXPECT_EQ("bpf.$host.t.n.*.*", families[0].target);
  EXPECT_EQ(2U, families[0].key_parts);
  EXPECT_EQ("bpf.$host.t.s.samples", families[1].target);
  EXPECT_EQ("bpf.$host.t.s.average", families[3].target);
  EXPECT_EQ(roll_up::average, families[3].method);
  EXPECT_EQ("bpf.$host.t.g", families[4].target);
  EXPECT_EQ(roll_up::last, families[4].method);
}

TEST(SeriesFamilies, AskForTagsWhereTheNamesHaveTags) {
  auto families = series_families(plan_of("t",
                                          "interval:s:1 { @u[comm] = "
                                          "hist(nsecs); print(@u); clear(@u); "
                                          "}",
                                          [](auto& trace) {
                                            trace.series.naming.style =
                                              path_style::tags;
                                            trace.series.keys = {"comm"};
                                          }),
                                  "*");
  ASSERT_EQ(1U, families.size());
  EXPECT_EQ("seriesByTag('name=bpf.t.u','comm!=','host=~^.*$','le!=')",
            families[0].target);
  EXPECT_TRUE(fits(families[0], "bpf.t.u;comm=bash;host=a_b;le=8"));
  EXPECT_FALSE(fits(families[0], "bpf.t.u;comm=bash;host=a_b"));
}

TEST(SeriesFamilies, TakeEveryHostWhoseDotsAreLevels) {
  auto families = series_families(plan_of("cpu-lat", keyless, [](auto& trace) {
    trace.series.naming.prefix = "";
    trace.series.naming.dots = host_dots::keep;
    trace.series.naming.map_level = false;
  }));
  EXPECT_EQ("web1.example.org.cpu-lat.*", families[0].target);
  EXPECT_EQ(4U, families[0].bucket_node);
  EXPECT_TRUE(fits(families[0], "tuxgrid.com.cpu-lat.4"));
}

TEST(Retentions, AreMultiplesOfEachOther) {
  EXPECT_EQ("15s:7d,1m:30d,10m:1y", retentions(seconds{15}));
  EXPECT_EQ("1s:11h,1m:30d,10m:1y", retentions(seconds{1}));
  EXPECT_EQ("60s:7d,5m:30d,10m:1y", retentions(seconds{60}));
  EXPECT_EQ("7s:3d,63s:30d,630s:1y", retentions(seconds{7}));
  EXPECT_EQ("3600s:7d,6h:30d,12h:1y", retentions(seconds{3600}));
}

TEST(StorageSchemas, TellAPrefixOnceWhereItsTracesAgree) {
  auto text =
    storage_schemas_conf(quiet(), {plan_of("a", keyless), plan_of("b", keyed)});
  EXPECT_NE(std::string::npos,
            text.find("\n[bpf]\npattern = ^bpf[.;]\nretentions = 15s:7d,"));
  EXPECT_EQ(text.find("\n["), text.rfind("\n["));
}

TEST(StorageSchemas, TellEachTraceWhereThePrefixDoesNotDecide) {
  auto slow = plan_of("b", keyed, [](auto& trace) {
    trace.series.slots.resolution = seconds{60};
  });
  auto text = storage_schemas_conf(quiet(), {plan_of("a", keyless), slow});
  EXPECT_NE(std::string::npos,
            text.find("\n[bpf2graphite-a]\npattern = "
                      "^bpf\\.[^.]+\\.a\\.usecs\\.[^.]+$\nretentions = 15s:"));
  EXPECT_NE(std::string::npos, text.find("\n[bpf2graphite-b]\n"));
  EXPECT_NE(std::string::npos, text.find("retentions = 60s:"));
  auto bare =
    storage_schemas_conf(quiet(), {plan_of("a", keyless, [](auto& trace) {
                           trace.series.naming.prefix = "";
                         })});
  EXPECT_NE(std::string::npos,
            bare.find("pattern = ^[^.]+\\.a\\.usecs\\.[^.]+$\n"))
    << "a pattern that fits everything would be a disaster: " << bare;
}

TEST(StorageAggregation, SumsAllButTheExceptionsBeforeIt) {
  auto text =
    storage_aggregation_conf(quiet(), {plan_of("a", keyless, [](auto& trace) {
                               trace.series.percentiles = {50, 99};
                             })});
  auto exception = text.find(
    "\n[bpf2graphite-a-usecs-max]\npattern = "
    "^(?:bpf\\.[^.]+\\.a\\.usecs\\.derived\\.p50|bpf\\.[^.]+\\.a\\.usecs\\."
    "derived\\.p99)$\nxFilesFactor = 0\naggregationMethod = max\n");
  auto rule = text.find("\n[bpf]\npattern = ^bpf[.;]\nxFilesFactor = "
                        "0\naggregationMethod = sum\n");
  ASSERT_NE(std::string::npos, exception) << text;
  ASSERT_NE(std::string::npos, rule) << text;
  EXPECT_LT(exception, rule);
}

TEST(StorageAggregation, KnowsOurOwnStatesFromOurCounters) {
  EXPECT_EQ("^bpf\\.[^.]+\\.bpf2graphite\\.", own_pattern({}, "bpf2graphite"));
  naming_config tags;
  tags.style = path_style::tags;
  EXPECT_EQ("^bpf\\.bpf2graphite\\.", own_pattern(tags, "bpf2graphite"));
  const config defaults; // g++ 12 finds one without a name uninitialized
  auto text = storage_aggregation_conf(defaults, {});
  auto begin = text.find("pattern = ") + 10;
  auto states = text.substr(begin, text.find('\n', begin) - begin);
  auto fits_states = [&](const char* name) {
    return found(states, name);
  };
  EXPECT_TRUE(fits_states("bpf.h.bpf2graphite.traces.cpu-lat.up"));
  EXPECT_TRUE(fits_states("bpf.h.bpf2graphite.ledger.waiting"));
  EXPECT_TRUE(fits_states("bpf.h.bpf2graphite.states.failing"));
  EXPECT_TRUE(fits_states("bpf.h.bpf2graphite.destinations.g.acceptance_ms"));
  EXPECT_FALSE(fits_states("bpf.h.bpf2graphite.ledger.read"));
  EXPECT_FALSE(fits_states("bpf.h.other.up"));
}

TEST(GrafanaDashboard, DrawsEachMapAndAsksForTheHost) {
  auto text = grafana_dashboard(plan_of("cpu-lat", keyless, [](auto& trace) {
    trace.series.percentiles = {50, 99};
  }));
  auto board = boost::json::parse(text).as_object();
  EXPECT_EQ("bpf2graphite: cpu-lat", board["title"].as_string());
  auto& panels = board["panels"].as_array();
  ASSERT_EQ(2U, panels.size());
  EXPECT_EQ("heatmap", panels[0].at("type").as_string());
  EXPECT_EQ(
    "sortByName(groupByNode(bpf.$host.cpu-lat.usecs.*,4,'sum'),natural=True)",
    panels[0].at("targets").at(0).at("target").as_string());
  EXPECT_EQ(2U, panels[1].at("targets").as_array().size());
  auto& variables = board["templating"].at("list").as_array();
  ASSERT_EQ(2U, variables.size());
  EXPECT_EQ("bpf.*", variables[1].at("query").as_string());
}

TEST(GrafanaDashboard, NamesUnitsAndTellsHostsApart) {
  auto text = grafana_dashboard(plan_of(
    "cpu-lat", keyless, [](auto& trace) { trace.series.percentiles = {50}; }));
  auto panels = boost::json::parse(text).at("panels").as_array();
  EXPECT_EQ("µs", panels[0].at("options").at("yAxis").at("unit").as_string());
  EXPECT_EQ("ge",
            panels[0].at("options").at("rowsFrame").at("layout").as_string());
  EXPECT_EQ("µs",
            panels[1].at("fieldConfig").at("defaults").at("unit").as_string());
  EXPECT_EQ("aliasByNode(bpf.$host.cpu-lat.usecs.derived.p50,1,-1)",
            panels[1].at("targets").at(0).at("target").as_string());
}

TEST(GrafanaDashboard, LongNamesKeepAnIdOfTheirOwn) {
  const std::string same(40, 'x');
  auto uid = [](const std::string& id) {
    auto board = boost::json::parse(grafana_dashboard(plan_of(id, keyless)));
    return std::string{board.at("uid").as_string()};
  };
  EXPECT_EQ("bpf2graphite-cpu-lat", uid("cpu-lat"));
  EXPECT_EQ(40U, uid(same + "a").size());
  EXPECT_NE(uid(same + "a"), uid(same + "b"));
}

TEST(UnitOfMap, FollowsItsName) {
  EXPECT_EQ("µs", unit_of_map("@usecs"));
  EXPECT_EQ("ns", unit_of_map("@read_ns"));
  EXPECT_EQ("bytes", unit_of_map("@bytes"));
  EXPECT_EQ("short", unit_of_map("@focus"));
  EXPECT_EQ("short", unit_of_map("@"));
}

TEST(OwnFamilies, AreNamedAsOurOwnMetricsAre) {
  naming_config naming;
  naming.host = "web1.example.org";
  auto families = own_families(naming, "bpf2graphite");
  auto target = [&](std::string_view map, std::string_view leaf) {
    for (const auto& one : families)
      if (one.map == map && one.leaf == leaf)
        return one.target;
    return std::string{};
  };
  EXPECT_EQ("bpf.web1_example_org.bpf2graphite.ledger.read",
            target("ledger", "read"));
  EXPECT_EQ("bpf.web1_example_org.bpf2graphite.traces.*.up",
            target("traces", "up"));
  naming.style = path_style::tags;
  families = own_families(naming, "bpf2graphite", "*");
  EXPECT_EQ("seriesByTag('name=bpf.bpf2graphite.traces.up','host=~^.*$',"
            "'trace!=')",
            target("traces", "up"));
}

TEST(OwnDashboard, DrawsWhatTheAggregationKnows) {
  config all;
  auto board = boost::json::parse(own_dashboard(all, "web1.example.org"));
  EXPECT_EQ("bpf2graphite", board.at("uid").as_string());
  auto panels = board.at("panels").as_array();
  EXPECT_EQ("groupByNode(bpf.$host.bpf2graphite.traces.*.up,-2,'sum')",
            panels[0].at("targets").at(0).at("target").as_string());
  EXPECT_EQ("bpf.*",
            board.at("templating").at("list").at(1).at("query").as_string());
  // Tags, and hosts whose dots are levels: no variable fits them.
  all.defaults.naming.dots = host_dots::keep;
  board = boost::json::parse(own_dashboard(all, "web1.example.org"));
  EXPECT_EQ(1U, board.at("templating").at("list").as_array().size());
  EXPECT_EQ(
    "groupByNode(bpf.web1.example.org.bpf2graphite.traces.*.up,-2,"
    "'sum')",
    board.at("panels").at(0).at("targets").at(0).at("target").as_string());
}

} // namespace
} // namespace bpf2graphite
