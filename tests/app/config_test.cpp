#include "app/config.hpp"

#include "app/config_schema.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>

namespace bpf2graphite {
namespace {

/// Files in a table; a pattern matches what begins like it up to its `*`.
class fake_files : public file_access {
public:
  file_text read(const std::string& path, std::size_t bytes_max) override {
    if (auto found = faults.find(path); found != faults.end())
      return {found->second, {}, path + " is bad; mend it"};
    auto found = texts.find(path);
    if (found == texts.end())
      return {file_fault::missing, {}, "no such file " + path};
    if (found->second.size() > bytes_max)
      return {file_fault::too_large, {}, path + " is too large; split it"};
    return {file_fault::none, found->second, {}};
  }

  file_matches match(const std::string& pattern) override {
    patterns.push_back(pattern);
    file_matches result;
    result.trouble = match_trouble;
    auto begin = pattern.substr(0, pattern.find('*'));
    for (const auto& [path, text] : texts)
      if (pattern.find('*') != std::string::npos && path.starts_with(begin))
        result.paths.push_back(path);
    return result;
  }

  bool exists(const std::string& path) override {
    return texts.contains(path) || faults.contains(path);
  }

  std::map<std::string, std::string> texts;
  std::map<std::string, file_fault> faults;
  std::vector<std::string> patterns;
  std::string match_trouble;
};

constexpr const char* one_trace = "traces { t { script = \"t.bt\" } }\n";

config_result load(const std::string& text, config_overrides overrides = {}) {
  fake_files files;
  files.texts["etc/c"] = text;
  return load_config({"etc/c", "/", std::move(overrides)}, files);
}

/// Messages about a text to which a trace was added, as rendered.
std::string about(const std::string& text, config_overrides overrides = {}) {
  return render(load(text + '\n' + one_trace, std::move(overrides)).messages);
}

/// About what stands in a trace beside its script, without place and trace.
std::string about_trace(const std::string& text) {
  auto result = load("traces { t { script = \"t.bt\"\n" + text + "\n} }");
  std::string all;
  for (const auto& message : result.messages) {
    EXPECT_EQ(message.trace, "t");
    all += message.text + '\n';
  }
  return all;
}

// -- acceptance ---------------------------------------------------------------

TEST(Config, ReportsTenMistakesInOneRunEachWithPlaceAndRemedy) {
  auto result = load(R"(graphite {
  server = "graphite:2003"
  prot = 2003
  port = 99999
  interval = "15s"
  delivery = "sure"
}
naming { template = "{host}.{trace}.{foo}.{bucket}" }
slots { resolution = 7s }
graphite.buffer = "1MiB"
limits {
  max-series = 10
  max-series = 20
}
traces {
  a {
    percentiles = [50, 100]
    interval = 1s
  }
  b { script = "b.bt", environment { LD_PRELOAD = "x.so" }, name = "c" }
  c {
    script = "c.bt"
    keep-keys = ["java["]
  }
}
)");
  EXPECT_FALSE(result.ok());
  EXPECT_FALSE(result.unsafe);
  EXPECT_EQ(
    render(result.messages),
    R"(etc/c:2:12: server = "graphite:2003" holds a port; write server = "graphite" and port = 2003
etc/c:3:3: unknown key "prot" in graphite { }; did you mean "port"?
etc/c:4:10: port = 99999 is out of range; write a whole number from 1 to 65535
etc/c:5:14: interval = "15s" is a text; write a duration from 1s to 1h
etc/c:6:14: delivery = "sure" is not known; write "confirmed" or "streaming"
etc/c:8:21: template = "{host}.{trace}.{foo}.{bucket}" holds "{foo}", which is not known; use {prefix} {host} {trace} {map} {key} {bucket}
etc/c:10:1: a key holds no dots; write graphite { buffer = "1MiB" }
etc/c:13:3: "max-series" is given twice, first at 12:3; remove one
etc/c:16:3: trace "a": there is no script; add script = "FILE.bt"
etc/c:17:19: trace "a": percentiles: 100 is out of range; write a number above 0 and below 100
etc/c:18:5: trace "a": unknown key "interval" in a trace; it stands for all traces: move it to graphite { }
etc/c:20:36: trace "b": environment: LD_PRELOAD is not bpftrace's; only names that begin with BPFTRACE_ are passed on
etc/c:21:3: trace "c": would write the series of trace "b" at etc/c:20:3, both are named "c"; give one another name
etc/c:23:17: trace "c": keep-keys: "java[" holds a [ or \, which mean nothing special in keys; write ? for one byte, * for any
)");
}

// -- the table ----------------------------------------------------------------

/// All fields of a configuration with one trace, as rendered by the table.
std::vector<std::string> all_fields(config& all, trace_settings& settings,
                                    trace_config& trace) {
  std::vector<std::string> result;
  for (const auto& row : config_schema())
    result.push_back(std::string{row.name} + " = "
                     + to_text(row, field_of(row, {&all, &settings, &trace})));
  return result;
}

TEST(ConfigSchema, HasTheDefaultsOfTheStructs) {
  for (const auto& row : config_schema()) {
    if (row.default_text.empty())
      continue;
    config all;
    trace_settings settings;
    trace_config trace;
    auto before = all_fields(all, settings, trace);
    auto tree = read_config_text("k = " + std::string{row.default_text}, "f");
    ASSERT_EQ(render(tree.messages), "") << row.name;
    auto faults = store(row, tree.root.entries.at(0).value,
                        field_of(row, {&all, &settings, &trace}));
    EXPECT_TRUE(faults.empty()) << faults.front();
    EXPECT_EQ(all_fields(all, settings, trace), before) << row.name;
  }
}

// Such a field could not tell a wrong default from a right one.
TEST(ConfigSchema, EveryFieldTakesAnotherValueAndShowsIt) {
  std::map<key_kind, std::vector<std::string>> others{
    {key_kind::boolean, {"true", "false"}},
    {key_kind::whole, {"7"}},
    {key_kind::duration, {"3s"}},
    {key_kind::size, {"\"1MiB\""}},
    {key_kind::text,
     {"\"other\"", "\"/other\"", "\"http://o\"", "\"{trace}.{key}.{bucket}\""}},
    {key_kind::texts,
     {"[\"other\"]", "[\"@other\"]", "[\"other:1\"]", "[\"-p\"]",
      "[\"mean\"]"}},
    {key_kind::numbers, {"[99.9]"}},
    {key_kind::environment, {"{ BPFTRACE_X = \"1\" }"}},
    {key_kind::print_period, {"\"5s\""}},
    {key_kind::meaning, {"\"max\"", "{ m = \"max\" }"}},
  };
  for (const auto& row : config_schema()) {
    config all;
    trace_settings settings;
    trace_config trace;
    auto field = field_of(row, {&all, &settings, &trace});
    auto before = to_text(row, field);
    auto texts = others[row.kind];
    if (row.kind == key_kind::choice) {
      std::string choices{row.choices};
      texts.push_back('"'
                      + choices.substr(choices.find('|') + 1,
                                       choices.find('|', choices.find('|') + 1)
                                         - choices.find('|') - 1)
                      + '"');
    }
    bool changed = false;
    for (const auto& text : texts) {
      auto tree = read_config_text("k = " + text, "f");
      if (store(row, tree.root.entries.at(0).value, field).empty()
          && to_text(row, field) != before) {
        changed = true;
        EXPECT_EQ(to_text(row, field), text) << row.group << '.' << row.name;
      }
    }
    EXPECT_TRUE(changed) << row.group << '.' << row.name;
  }
}

TEST(ConfigSchema, HasEachKeyOnceInATrace) {
  std::set<std::string_view> names;
  for (const auto& row : config_schema())
    if (row.per_trace || row.group == "traces") {
      EXPECT_TRUE(names.insert(row.name).second) << row.name;
    }
  std::set<std::pair<std::string_view, std::string_view>> all;
  for (const auto& row : config_schema())
    EXPECT_TRUE(all.insert({row.group, row.name}).second) << row.name;
}

TEST(ConfigSchema, AcceptsEveryDefaultInTheFile) {
  std::map<std::string_view, std::string> groups;
  std::string in_trace = "script = \"t.bt\"\n";
  for (const auto& row : config_schema()) {
    if (row.default_text.empty())
      continue;
    auto line =
      std::string{row.name} + " = " + std::string{row.default_text} + '\n';
    if (row.group == "traces" || row.per_trace)
      in_trace += line;
    if (row.group != "traces")
      groups[row.group] += line;
  }
  std::string text;
  for (const auto& [group, lines] : groups)
    text += group.empty() ? lines : std::string{group} + " {\n" + lines + "}\n";
  text += "traces { t {\n" + in_trace + "} }\n";
  auto result = load(text);
  EXPECT_EQ(render(result.messages), "");
  ASSERT_EQ(result.value.traces.size(), 1U);
}

// -- single values
// --------------------------------------------------------------

struct value_case {
  std::string text;
  std::string messages;
};

std::ostream& operator<<(std::ostream& out, const value_case& value) {
  return out << value.text;
}

class ConfigRefuses : public testing::TestWithParam<value_case> {};

TEST_P(ConfigRefuses, AValueWithPlaceAndRemedy) {
  EXPECT_EQ(about(GetParam().text), GetParam().messages);
}

INSTANTIATE_TEST_SUITE_P(
  Table, ConfigRefuses,
  testing::Values(
    value_case{"graphite { port = 0 }",
               "etc/c:1:19: port = 0 is out of range; write a whole number "
               "from 1 to 65535\n"},
    value_case{"graphite { port = -1 }",
               "etc/c:1:19: port = -1 is out of range; write a whole number "
               "from 1 to 65535\n"},
    value_case{"graphite { port = true }",
               "etc/c:1:19: port = true is no such value; write a whole number "
               "from 1 to 65535\n"},
    value_case{"graphite { splay = 1 }",
               "etc/c:1:20: splay = 1 is a whole number; write true or "
               "false\n"},
    value_case{"graphite { interval = 0s }",
               "etc/c:1:23: interval = 0s is out of range; write a duration "
               "from 1s to 1h\n"},
    value_case{"graphite { interval = -5ms }",
               "etc/c:1:23: interval = -5ms is out of range; write a duration "
               "from 1s to 1h\n"},
    value_case{"graphite { interval = 1500ms }",
               "etc/c:1:23: interval = 1500ms is too fine; write whole "
               "seconds\n"},
    value_case{"graphite { interval = 87600h }",
               "etc/c:1:23: interval = 87600h is out of range; write a "
               "duration from 1s to 1h\n"},
    value_case{"graphite { resend = 1ns }",
               "etc/c:1:21: resend = 1ns is too fine; write whole "
               "milliseconds\n"},
    value_case{"graphite { interval = 15 }",
               "etc/c:1:23: interval = 15 is a whole number; write a duration "
               "from 1s to 1h\n"},
    value_case{"graphite { buffer = \"64MB\" }",
               "etc/c:1:21: buffer = \"64MB\" is no size; write bytes with a "
               "unit of B, KiB, MiB or GiB, such as \"64MiB\"\n"},
    value_case{"graphite { buffer = \"1KiB\" }",
               "etc/c:1:21: buffer = \"1KiB\" is out of range; write a size "
               "from \"16KiB\" to \"64GiB\"\n"},
    value_case{"graphite { buffer = 64 }",
               "etc/c:1:21: buffer = 64 is a whole number; write a size from "
               "\"16KiB\" to \"64GiB\"\n"},
    value_case{"graphite { server = \"\" }",
               "etc/c:1:21: server = \"\" is empty; write the name or address "
               "of the Graphite server\n"},
    value_case{"graphite { server = \"a b\" }",
               "etc/c:1:21: server = \"a b\" is no host name or address; use "
               "letters, digits, - and dots only\n"},
    value_case{"graphite { server = \"a..b\" }",
               "etc/c:1:21: server = \"a..b\" has an empty part or one above "
               "63 bytes; write a host name such as "
               "\"graphite.example.com\"\n"},
    value_case{"graphite { delivery = \"confirm\" }",
               "etc/c:1:23: delivery = \"confirm\" is not known; write "
               "\"confirmed\" or \"streaming\"\n"},
    value_case{"graphite { delivery = 'confirmed' }",
               "etc/c:1:23: delivery = 'confirmed' is an atom; write "
               "\"confirmed\" or \"streaming\"\n"},
    value_case{"graphite { confirm-delay = 5s, confirm-timeout = 5s }",
               "etc/c:1:32: confirm-delay is not below confirm-timeout, so "
               "that no batch could ever be accepted; write a longer "
               "confirm-timeout\n"},
    value_case{"limits { partial-bytes-max = \"1MiB\" }",
               "etc/c:1:10: partial-bytes-max, for all traces, is below what "
               "one record or line may have; write a larger one\n"},
    value_case{"naming { prefix = \"a..b\" }",
               "etc/c:1:19: prefix = \"a..b\" has an empty level; write one "
               "name between two dots\n"},
    value_case{"naming { prefix = \"a;b\" }",
               "etc/c:1:19: prefix = \"a;b\" holds a character that no level "
               "of a name may have; use A-Z a-z 0-9 _ - and dots between "
               "levels\n"},
    value_case{"naming { template = \"{trace}.x{map}.{key}.{bucket}\" }",
               "etc/c:1:21: template = \"{trace}.x{map}.{key}.{bucket}\" holds "
               "\"x{map}\"; a placeholder is a level of its own, such as "
               "{trace}.{map}\n"},
    value_case{"naming { template = \"{trace}.{key\" }",
               "etc/c:1:21: template = \"{trace}.{key\" holds \"{key\"; a "
               "placeholder is a level of its own, such as {trace}.{map}\n"},
    value_case{"naming { template = \"{trace}.{trace}.{key}.{bucket}\" }",
               "etc/c:1:21: template = \"{trace}.{trace}.{key}.{bucket}\" "
               "holds \"{trace}\" twice; remove one\n"},
    value_case{"naming { template = \"{trace}.{map}.{bucket}\" }",
               "etc/c:1:21: template = \"{trace}.{map}.{bucket}\" lacks {key}, "
               "so that values would share one series; add it\n"},
    value_case{"naming { template = \"{bucket}.{trace}.{key}\" }",
               "etc/c:1:21: template = \"{bucket}.{trace}.{key}\" does not end "
               "in {bucket}; put it last\n"},
    value_case{"slots { resolution = 10s }",
               "etc/c:1:9: resolution = 10s and interval = 15s are not "
               "multiples of one another; write a resolution such as 15s\n"},
    value_case{"bpftrace { program = \"./bpftrace\" }",
               "etc/c:1:22: program = \"./bpftrace\" is a relative path; write "
               "\"bpftrace\" or an absolute path\n"},
    value_case{"bpftrace { environment { PATH = \"/x\" } }",
               "etc/c:1:24: environment: PATH is not bpftrace's; only names "
               "that begin with BPFTRACE_ are passed on\n"},
    value_case{"bpftrace { print-every = \"often\" }",
               "etc/c:1:26: print-every = \"often\" is not known; write "
               "\"auto\", \"off\" or a period such as \"1s\"\n"},
    value_case{"bpftrace { print-every = \"1ms\" }",
               "etc/c:1:26: print-every = \"1ms\" is out of range; write a "
               "period from \"10ms\" to \"1h\"\n"},
    value_case{"status { runtime-directory = \"run\" }",
               "etc/c:1:30: runtime-directory = \"run\" is no absolute path; "
               "write one that begins with /\n"},
    value_case{"trace-files = \"a[\"",
               "etc/c:1:15: trace-files = \"a[\" has a [ that is never closed; "
               "add a ] or write \\[\n"},
    // Keys and groups.
    value_case{"port = 2003",
               "etc/c:1:1: unknown key \"port\" in the top level; move it to "
               "graphite { }\n"},
    value_case{
      "naming { script = \"x\" }",
      "etc/c:1:10: unknown key \"script\" in naming { }; it belongs in "
      "a trace: move it there\n"},
    value_case{"naming { resolution = 1s }",
               "etc/c:1:10: unknown key \"resolution\" in naming { }; move it "
               "to slots { }\n"},
    value_case{"graphit { }",
               "etc/c:1:1: unknown key \"graphit\" in the top level; did you "
               "mean \"graphite\"?\n"},
    value_case{"graphite { Connect_TimeOut = 1s }",
               "etc/c:1:12: unknown key \"Connect_TimeOut\" in graphite { }; "
               "did you mean \"connect-timeout\"?\n"},
    value_case{"stop { frobnicate = 1 }",
               "etc/c:1:8: unknown key \"frobnicate\" in stop { }; remove it, "
               "or look it up in caf-application.conf\n"},
    value_case{"graphite = \"x\"",
               "etc/c:1:12: \"graphite\" is a group, not a text; write "
               "graphite { key = value }\n"},
    value_case{"caf { scheduler { policy = 'stealing' } }",
               "etc/c:1:19: scheduler.policy is fixed: another one than "
               "'sharing' wakes up a hundred times a second for nothing; "
               "remove it\n"},
    value_case{"[caf.scheduler]\npolicy = 'x'\n[stop]",
               "etc/c:2:1: scheduler.policy is fixed: another one than "
               "'sharing' wakes up a hundred times a second for nothing; "
               "remove it\n"
               "etc/c:4:1: unknown key \"traces\" in stop { }; move it to the "
               "top level, where groups stand\n"}));

TEST(Config, RefusesBadValuesInATrace) {
  EXPECT_EQ(about_trace("percentiles = [0, -1, 50, 50.0, \"x\", 99.9999]"),
            "percentiles: 0 is out of range; write a number above 0 and below "
            "100\n"
            "percentiles: -1 is out of range; write a number above 0 and below "
            "100\n"
            "percentiles: 50.0 is given twice; remove one\n"
            "percentiles: \"x\" is a text; write a number such as 99.9\n"
            "percentiles: 99.9999 is too fine; write at most three decimals\n");
  EXPECT_EQ(about_trace("maps = [\"usecs\", \"@a b\", \"@x\", \"@x\", 5]"),
            "maps: \"usecs\" is no map; write \"@usecs\"\n"
            "maps: \"@a b\" is no map; use letters, digits and _ after the @\n"
            "maps: \"@x\" is given twice; remove one\n"
            "maps: 5 is a whole number; write a text in quotes\n");
  EXPECT_EQ(about_trace("maps = \"@x\""),
            "maps = \"@x\" is a text; write a list of texts such as [\"a\", "
            "\"b\"]\n");
  EXPECT_EQ(about_trace("keys = [\"host\", \"a b\", \"\"]"),
            "keys: \"host\" is a tag that every series has; choose another "
            "name\n"
            "keys: \"a b\" is no name of a key; use A-Z a-z 0-9 _ -\n"
            "keys: \"\" is no name of a key; use A-Z a-z 0-9 _ -\n");
  EXPECT_EQ(
    about_trace("keep-keys = [\"\"]\ndrop-keys = [\"a\\\\\"]"),
    "keep-keys: \"\" is empty; write a pattern such as \"java*\"\n"
    "drop-keys: \"a\\\\\" holds a [ or \\, which mean nothing special in "
    "keys; write ? for one byte, * for any\n");
  EXPECT_EQ(about_trace("derived = [\"median\"]"),
            "derived: \"median\" is not known; write \"samples\", \"mean\" or "
            "\"highest\"\n");
  EXPECT_EQ(
    about_trace("accumulate = \"sum\""),
    "accumulate = \"sum\" is not known; write \"cleared\", "
    "\"cumulative\", \"last\", \"max\", \"min\" or \"mean\", or a group "
    "such as { usecs = \"cleared\" }\n");
  EXPECT_EQ(about_trace("accumulate { usecs = \"sum\", a-b = \"max\" }"),
            "accumulate: usecs = \"sum\" is not known; write \"cleared\", "
            "\"cumulative\", \"last\", \"max\", \"min\" or \"mean\"\n"
            "accumulate: \"a-b\" cannot be a map; write its name without @, "
            "such as usecs\n");
  EXPECT_EQ(about_trace("options = [\"-p\", \"12\", \"-o\", \"-ftext\", "
                        "\"--unsafe\"]"),
            "options: \"-o\" cannot be passed on; remove it: its output is "
            "read from a pipe\n"
            "options: \"-ftext\" cannot be passed on; remove it: set format "
            "instead\n"
            "options: \"--unsafe\" cannot be passed on; remove it: set unsafe "
            "= true instead\n");
  EXPECT_EQ(about_trace("resolution = 20s"),
            "resolution = 20s and interval = 15s are not multiples of one "
            "another; write a resolution such as 15s\n");
  EXPECT_EQ(about_trace("name = \"a..b\""),
            "name = \"a..b\" has an empty level; write one name between two "
            "dots\n");
  EXPECT_EQ(about_trace("read-delay = 1s\nmax_series = 5"),
            "unknown key \"read-delay\" in a trace; it stands for all traces: "
            "move it to bpftrace { }\n"
            "unknown key \"max_series\" in a trace; did you mean "
            "\"max-series\"?\n");
  EXPECT_EQ(render(load("traces { t = 5 }").messages),
            "etc/c:1:14: trace \"t\": \"t\" is a group, not a whole number; "
            "write t { key = value }\n");
  EXPECT_EQ(about_trace("script-file = \"x\""),
            "unknown key \"script-file\" in a trace; remove it, or look it up "
            "in caf-application.conf\n");
}

TEST(Config, RefusesAnEmptyScript) {
  EXPECT_EQ(render(load("traces { t { script = \"\" } }").messages),
            "etc/c:1:23: trace \"t\": script = \"\" is empty; write the path "
            "of a bpftrace script\n");
}

// -- what comes out -----------------------------------------------------------

TEST(Config, GivesATraceWhatStandsForAllAndItsOwn) {
  auto result = load(R"(
graphite { interval = 30s, resend = 5s, buffer = "1MiB" }
naming { prefix = "p", host-dots = "short", bucket-units = "decimal" }
slots { grace = 2s, zero-fill-for = 10min }
bpftrace {
  restart = "on-failure"
  stop-timeout = 3s
  environment { BPFTRACE_STRLEN = 100, BPFTRACE_LOG_SIZE = "1" }
}
limits { max-series = 7 }
traces {
  plain { script = "/x/../y.bt" }
  own {
    script = "sub/./own.bt"
    name = "a.b"
    prefix = ""
    resolution = 1s
    restart = "never"
    environment { BPFTRACE_STRLEN = "200" }
    accumulate { usecs = "cleared" }
    percentiles = [50, 99.9]
    derived = ["mean", "samples"]
    print-every = 2s
    max-series = 9
    map-level = false
    maps = ["@usecs"]
    args = ["1", "1"]
  }
}
)");
  ASSERT_EQ(render(result.messages),
            "etc/c:23:5: warning: trace \"own\": print-every is longer than "
            "the resolution, so that most slots stay empty; write a shorter "
            "one\n");
  const auto& all = result.value;
  EXPECT_EQ(all.batcher.interval, std::chrono::seconds{30});
  EXPECT_EQ(all.batcher.buffer_bytes_max, std::size_t{1} << 20);
  EXPECT_EQ(all.graphite.resend, std::chrono::seconds{5});
  ASSERT_EQ(all.traces.size(), 2U);
  const auto& plain = all.traces[0];
  EXPECT_EQ(plain.id, "plain");
  EXPECT_EQ(plain.script, "/y.bt");
  EXPECT_EQ(plain.series.trace, "plain");
  EXPECT_EQ(plain.series.naming.prefix, "p");
  EXPECT_EQ(plain.series.naming.dots, host_dots::shorten);
  EXPECT_EQ(plain.series.naming.units, bucket_units::decimal);
  EXPECT_EQ(plain.series.slots.resolution, std::chrono::seconds{30});
  EXPECT_EQ(plain.series.slots.grace, std::chrono::seconds{2});
  EXPECT_EQ(plain.series.slots.zero_fill_for, std::chrono::minutes{10});
  EXPECT_EQ(plain.series.max_series, 7U);
  EXPECT_EQ(plain.bpftrace.restart, restart_mode::on_failure);
  EXPECT_EQ(plain.bpftrace.stop_timeout, std::chrono::seconds{3});
  const auto& own = all.traces[1];
  EXPECT_EQ(own.script, "/etc/sub/own.bt");
  EXPECT_EQ(own.series.trace, "a.b");
  EXPECT_EQ(own.series.naming.prefix, "");
  EXPECT_EQ(own.series.naming.dots, host_dots::shorten);
  EXPECT_FALSE(own.series.naming.map_level);
  EXPECT_EQ(own.series.slots.resolution, std::chrono::seconds{1});
  EXPECT_EQ(own.bpftrace.restart, restart_mode::never);
  EXPECT_EQ(own.bpftrace.environment,
            (std::map<std::string, std::string>{{"BPFTRACE_LOG_SIZE", "1"},
                                                {"BPFTRACE_STRLEN", "200"}}));
  EXPECT_EQ(own.accumulate.by_map.at("@usecs"), accumulation::cleared);
  EXPECT_EQ(own.series.percentiles, (std::vector<double>{50, 99.9}));
  EXPECT_TRUE(own.series.derived_mean);
  EXPECT_TRUE(own.series.derived_samples);
  EXPECT_FALSE(own.series.derived_highest);
  EXPECT_EQ(own.print_every.what, print_every_choice::kind::period);
  EXPECT_EQ(own.print_every.period, std::chrono::seconds{2});
  EXPECT_EQ(own.series.max_series, 9U);
  EXPECT_EQ(own.maps, std::vector<std::string>{"@usecs"});
  EXPECT_EQ(own.args, (std::vector<std::string>{"1", "1"}));
  EXPECT_EQ(own.place, (text_place{13, 3}));
}

TEST(Config, LetsGroupsStandAfterTheTracesThatNeedThem) {
  auto result = load("traces { t { script = \"t\" } }\nnaming { prefix = \"q\" "
                     "}\ngraphite { interval = 60s }");
  ASSERT_EQ(render(result.messages), "");
  EXPECT_EQ(result.value.traces.at(0).series.naming.prefix, "q");
  EXPECT_EQ(result.value.traces.at(0).series.slots.resolution,
            std::chrono::seconds{60});
}

TEST(Config, TakesSectionsToo) {
  auto result = load("[graphite]\nport = 7\n[traces.a]\nscript = \"a\"\n"
                     "[traces.b]\nscript = \"b\"\n");
  ASSERT_EQ(render(result.messages), "");
  EXPECT_EQ(result.value.port, 7);
  EXPECT_EQ(result.value.traces.size(), 2U);
}

TEST(Config, HandsTheInsideOfCafOn) {
  auto result =
    load(std::string{"caf { scheduler { max-threads = 2 } }\n"} + one_trace);
  ASSERT_EQ(render(result.messages), "");
  EXPECT_EQ(result.value.caf_text, "[scheduler]\nmax-threads = 2\n");
}

TEST(Config, TakesAddressesOfEveryForm) {
  for (const auto& [text, host] :
       std::map<std::string, std::string>{{"::1", "::1"},
                                          {"[::1]", "::1"},
                                          {"fe80::1%eth0", "fe80::1%eth0"},
                                          {"10.0.0.1", "10.0.0.1"},
                                          {"g.example.", "g.example."}}) {
    auto result = load("graphite { server = \"" + text + "\" }\n" + one_trace);
    EXPECT_EQ(render(result.messages), "") << text;
    EXPECT_EQ(result.value.destinations,
              (std::vector<graphite_address>{{host, 2003}}));
  }
}

TEST(Config, WarnsOfWhatIsProbablyNotMeant) {
  EXPECT_EQ(about("graphite { port = 2004 }"),
            "etc/c:1:12: warning: port 2004 is where carbon takes pickles, not "
            "lines; lines go to port 2003\n");
  EXPECT_EQ(about("graphite { port = 2023 }"),
            "etc/c:1:12: warning: port 2023 is where carbon-aggregator "
            "listens, which would count a point twice that is sent twice; "
            "write resend = 0s\n");
  EXPECT_EQ(about("graphite { port = 2023, resend = 0s }"), "");
  EXPECT_EQ(about("stop { flush-timeout = 30s }"),
            "etc/c:1:8: warning: stop-timeout and flush-timeout are 35s "
            "together, but the unit's TimeoutStopSec is 30s; raise it, or "
            "lower them\n");
  EXPECT_EQ(about("limits { max-series-total = 10 }"),
            "etc/c:2:10: warning: trace \"t\": max-series is above "
            "max-series-total, which goes before it; lower one or raise the "
            "other\n");
  EXPECT_EQ(
    about_trace("style = \"tags\"\ntemplate = \"{trace}.{key}.{bucket}\""),
    "template has no effect with style = \"tags\"; remove one\n");
  EXPECT_EQ(render(load("").messages),
            "etc/c: warning: there is no trace, so there is nothing to "
            "measure; add traces { NAME { script = \"FILE.bt\" } }\n");
}

TEST(Config, LetsTracesShareANameWhenTheirSeriesDiffer) {
  EXPECT_TRUE(load("traces { a { script = \"a\", name = \"n\" }\n"
                   "b { script = \"b\", name = \"n\", prefix = \"q\" }\n"
                   "c { script = \"c\", name = \"n\", enabled = false }\n"
                   "d { script = \"d\", name = \"n\", style = \"tags\" } }")
                .ok());
}

// -- option > environment > file > default
// --------------------------------------

TEST(Config, TakesServerAndPortFromTheFirstThatSaysSo) {
  auto origin = [](const config_result& result) {
    EXPECT_TRUE(result.ok()) << render(result.messages);
    const auto& c = result.value;
    EXPECT_EQ(c.destinations,
              (std::vector<graphite_address>{{c.server, c.port}}));
    return c.server + ' ' + std::string{to_text(c.server_origin)} + ' '
           + std::to_string(c.port) + ' ' + std::string{to_text(c.port_origin)};
  };
  std::string file =
    std::string{"graphite { server = \"f\", port = 1 }\n"} + one_trace;
  EXPECT_EQ(origin(load(one_trace)), "localhost default 2003 default");
  EXPECT_EQ(origin(load(file)), "f file 1 file");
  config_overrides from;
  from.server_variable = "e";
  EXPECT_EQ(origin(load(file, from)), "e environment 1 file");
  from.port_variable = "2";
  EXPECT_EQ(origin(load(file, from)), "e environment 2 environment");
  from.port_option = "3";
  EXPECT_EQ(origin(load(file, from)), "e environment 3 option");
  from.server_option = "[::1]";
  EXPECT_EQ(origin(load(file, from)), "::1 option 3 option");
  EXPECT_EQ(origin(load(one_trace, from)), "::1 option 3 option");
}

TEST(Config, ChecksTheEnvironmentAsItChecksTheFile) {
  for (const char* port : {"abc", "0", "70000", "-1", "2003 ", "0x10", "1.5"}) {
    config_overrides from;
    from.port_variable = port;
    EXPECT_EQ(about("", from),
              "BPF2GRAPHITE_PORT: \"" + std::string{port}
                + "\" is no port; give a whole number from 1 to 65535\n");
  }
  config_overrides empty;
  empty.server_variable = "";
  empty.port_variable = "";
  EXPECT_EQ(about("", empty),
            "BPF2GRAPHITE_SERVER: \"\" is empty; write the name or address of "
            "the Graphite server, or unset the variable\n"
            "BPF2GRAPHITE_PORT: \"\" is empty; give a whole number from 1 to "
            "65535, or unset the variable\n");
  config_overrides option;
  option.server_option = "a b";
  option.port_option = "x\n";
  option.log_level_option = "loud";
  EXPECT_EQ(about("", option),
            "--server: \"a b\" is no host name or address; use letters, "
            "digits, - and dots only\n"
            "--port: \"x\\x0a\" is no port; give a whole number from 1 to "
            "65535\n"
            "--log-level: \"loud\" is no level; give error, warning, notice, "
            "info or debug\n");
}

TEST(Config, TakesTheLogLevelFromTheOption) {
  config_overrides from;
  from.log_level_option = "debug";
  auto result =
    load(std::string{"log { level = \"error\" }\n"} + one_trace, from);
  EXPECT_EQ(result.value.log.level, log_level::debug);
}

TEST(Config, TakesTheRuntimeDirectoryOfSystemdUnlessTheFileHasOne) {
  config_overrides from;
  from.runtime_directory = "/run/a:/run/b";
  EXPECT_EQ(load(one_trace, from).value.status.runtime_directory, "/run/a");
  EXPECT_EQ(
    load(std::string{"status { runtime-directory = \"/x\" }\n"} + one_trace,
         from)
      .value.status.runtime_directory,
    "/x");
  from.runtime_directory = "a";
  EXPECT_EQ(about("", from), "RUNTIME_DIRECTORY: \"a\" is no absolute path; "
                             "write one that begins with /\n");
}

// -- files
// ------------------------------------------------------------------------

TEST(ConfigFiles, ThatCannotBeReadAreReportedWithTheirReason) {
  fake_files files;
  auto missing = load_config({"etc/c", "/", {}}, files);
  EXPECT_EQ(render(missing.messages), "etc/c: no such file etc/c\n");
  EXPECT_FALSE(missing.unsafe);
  files.faults["etc/c"] = file_fault::unsafe;
  auto unsafe = load_config({"etc/c", "/", {}}, files);
  EXPECT_EQ(render(unsafe.messages), "etc/c: etc/c is bad; mend it\n");
  EXPECT_TRUE(unsafe.unsafe);
}

TEST(ConfigFiles, NamedByTraceFilesAddTheirTraces) {
  fake_files files;
  files.texts["etc/c"] = "trace-files = \"d/*\"\nnaming { prefix = \"p\" }\n"
                         "traces { a { script = \"a.bt\" } }";
  files.texts["/etc/d/1"] = "traces { b { script = \"b.bt\" } }";
  files.texts["/etc/d/2"] = "[traces.c]\nscript = \"/c.bt\"\n";
  auto result = load_config({"etc/c", "/", {}}, files);
  ASSERT_EQ(render(result.messages), "");
  EXPECT_EQ(files.patterns, std::vector<std::string>{"/etc/d/*"});
  ASSERT_EQ(result.value.traces.size(), 3U);
  EXPECT_EQ(result.value.traces[0].script, "/etc/a.bt");
  EXPECT_EQ(result.value.traces[1].script, "/etc/d/b.bt");
  EXPECT_EQ(result.value.traces[1].file, "/etc/d/1");
  EXPECT_EQ(result.value.traces[1].series.naming.prefix, "p");
  EXPECT_EQ(result.value.traces[2].script, "/c.bt");
}

TEST(ConfigFiles, NamedByTraceFilesAreCheckedAsStrictly) {
  fake_files files;
  files.texts["etc/c"] = "trace-files = \"d/*\"\n"
                         "traces { a { script = \"a.bt\" } }";
  files.texts["/etc/d/1"] = "traces {\n  a { script = \"b.bt\" }\n"
                            "  b { scripts = \"b.bt\" }\n}\n"
                            "graphite { port = 1 }\n";
  files.texts["/etc/d/2"] = "traces { c { script = } }";
  files.texts["/etc/d/3"] = "";
  files.faults["/etc/d/3"] = file_fault::unsafe;
  auto result = load_config({"etc/c", "/", {}}, files);
  EXPECT_EQ(
    render(result.messages),
    "/etc/d/1:2:3: trace \"a\": defined twice, first at etc/c:2:10; "
    "rename or remove one\n"
    "/etc/d/1:3:3: trace \"b\": there is no script; add script = "
    "\"FILE.bt\"\n"
    "/etc/d/1:3:7: trace \"b\": unknown key \"scripts\" in a trace; did "
    "you mean \"script\"?\n"
    "/etc/d/1:5:1: only traces { } may stand in a file of trace-files; "
    "move \"graphite\" to etc/c\n"
    "/etc/d/2:1:10: trace \"c\": there is no script; add script = "
    "\"FILE.bt\"\n"
    "/etc/d/2:1:23: \"}\" begins no value; put a text in quotes\n"
    "etc/c:1:1: /etc/d/3 is bad; mend it\n");
  EXPECT_TRUE(result.unsafe);
}

TEST(ConfigFiles, ThatNoPatternMatchesAreWorthAWarning) {
  fake_files files;
  files.texts["etc/c"] = "trace-files = \"none/*\"\n" + std::string{one_trace};
  auto result = load_config({"etc/c", "/", {}}, files);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(render(result.messages),
            "etc/c:1:1: warning: trace-files = \"none/*\" matches no file; add "
            "one, or remove the line\n");
  files.match_trouble = "the folder cannot be read";
  result = load_config({"etc/c", "/", {}}, files);
  EXPECT_EQ(render(result.messages), "etc/c:1:1: trace-files = \"none/*\": the "
                                     "folder cannot be read\n");
}

TEST(ConfigFiles, AreLookedForInEtcThenHere) {
  fake_files files;
  auto none = find_config(files);
  EXPECT_EQ(none.file, "");
  EXPECT_EQ(none.error,
            "there is no configuration: neither "
            "/etc/bpf2graphite/caf-application.conf nor "
            "./caf-application.conf exists; create one, or name it with "
            "--config FILE");
  files.texts["./caf-application.conf"] = "";
  EXPECT_EQ(find_config(files).file, "./caf-application.conf");
  // One that is there but cannot be used must not be passed over.
  files.faults["/etc/bpf2graphite/caf-application.conf"] = file_fault::denied;
  EXPECT_EQ(find_config(files).file, "/etc/bpf2graphite/caf-application.conf");
}

TEST(ConfigFiles, ScriptsAreJudgedForEnabledTracesOnly) {
  fake_files files;
  files.texts["etc/c"] = "traces {\n  a { script = \"a.bt\" }\n"
                         "  b { script = \"b.bt\" }\n"
                         "  c { script = \"c.bt\" }\n"
                         "  d { script = \"d.bt\", enabled = false }\n}";
  files.texts["/etc/a.bt"] = "BEGIN { }";
  files.faults["/etc/c.bt"] = file_fault::unsafe;
  auto result = load_config({"etc/c", "/", {}}, files);
  ASSERT_TRUE(result.ok());
  bool unsafe = false;
  EXPECT_EQ(render(check_scripts(result.value, files, unsafe)),
            "etc/c:3:16: trace \"b\": no such file /etc/b.bt; correct the path "
            "of script\n"
            "etc/c:4:16: trace \"c\": /etc/c.bt is bad; mend it\n");
  EXPECT_TRUE(unsafe);
}

TEST(ConfigFiles, MayDefineTenThousandTraces) {
  std::string text = "traces {\n";
  for (std::size_t i = 0; i < traces_max; ++i)
    text += "t" + std::to_string(i) + " { script = \"x\" }\n";
  auto result = load(text + "}");
  EXPECT_EQ(render(result.messages), "");
  EXPECT_EQ(result.value.traces.size(), traces_max);
  result = load(text + "one-more { script = \"x\" }\n}");
  EXPECT_EQ(render(result.messages),
            "etc/c:10002:1: trace \"one-more\": more than 10000 traces; remove "
            "some\n");
}

// -- the shipped files
// ------------------------------------------------------------

std::string shipped(const std::string& name) {
  std::ifstream file{std::string{BPF2GRAPHITE_SOURCE_DIR} + "/config/" + name};
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Reads the files of the checkout, whoever owns them.
class checkout_files : public file_access {
public:
  file_text read(const std::string& path, std::size_t) override {
    std::ifstream file{path};
    std::ostringstream text;
    text << file.rdbuf();
    return file ? file_text{file_fault::none, text.str(), {}}
                : file_text{file_fault::missing, {}, "no such file " + path};
  }
  file_matches match(const std::string&) override {
    return {};
  }
  bool exists(const std::string&) override {
    return true;
  }
};

config_result load_shipped(const std::string& name) {
  checkout_files files;
  return load_config(
    {std::string{BPF2GRAPHITE_SOURCE_DIR} + "/config/" + name, {}, {}}, files);
}

/// `key = value`, `  # key = value`: a key, in force or not.
struct key_line {
  std::size_t mark; // where "# " begins; npos: in force
  std::string key;
  std::string value;
};

std::optional<key_line> parse_key_line(const std::string& line) {
  auto first = line.find_first_not_of(' ');
  if (first == std::string::npos)
    return std::nullopt;
  auto mark = line.compare(first, 2, "# ") == 0 ? first : std::string::npos;
  if (mark != std::string::npos)
    first += 2;
  auto last = line.find_first_not_of("abcdefghijklmnopqrstuvwxyz-", first);
  if (last == std::string::npos || last == first
      || line.compare(last, 3, " = ") != 0)
    return std::nullopt;
  return key_line{mark, line.substr(first, last - first),
                  line.substr(last + 3)};
}

/// One key in the example: what stands after its `=`, and the comment above.
struct documented {
  std::string value;
  std::string comment; // in one line
};

/// By "group.key". The keys of a trace are those of the first one.
std::map<std::string, documented> documented_keys(const std::string& text) {
  std::map<std::string, documented> keys;
  std::istringstream lines{text};
  std::string group;
  std::string comment;
  std::size_t traces = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) {
      comment.clear();
    } else if (line == "}") {
      group.clear();
    } else if (line.ends_with(" {") && line.front() != ' ') {
      group = line.substr(0, line.size() - 2);
      comment.clear();
    } else if (line.ends_with(" {") && group == "traces") {
      ++traces;
      comment.clear();
    } else if (auto key = parse_key_line(line)) {
      if (traces <= 1)
        keys.try_emplace(group + '.' + key->key,
                         documented{key->value, comment});
    } else if (auto hash = line.find('#'); hash != std::string::npos) {
      comment += line.substr(hash + 1);
    }
  }
  return keys;
}

TEST(ShippedExample, DocumentsEveryKeyWithItsDefault) {
  auto keys = documented_keys(shipped("caf-application.conf"));
  std::set<std::string> known;
  for (const auto& row : config_schema()) {
    auto name = std::string{row.group} + '.' + std::string{row.name};
    known.insert(name);
    auto found = keys.find(name);
    if (found == keys.end()) {
      ADD_FAILURE() << name << " is not in the example";
      continue;
    }
    const auto& [value, comment] = found->second;
    // Follows the interval, whose default it shows; has none at all.
    auto expected = name == "slots.resolution" ? "15s"
                    : name == "traces.script"  ? "\"traces/cpu_latency.bt\""
                                               : std::string{row.default_text};
    EXPECT_EQ(value, expected) << name;
    EXPECT_GT(comment.size(), 20U) << name << " has no explanation";
    EXPECT_EQ(comment.find("(also per trace)") != std::string::npos,
              row.per_trace)
      << name << ":" << comment;
  }
  for (const auto& [name, key] : keys)
    EXPECT_TRUE(known.contains(name) || name == "traces.map-level")
      << name << " is no key";
}

// With every "# key = value" taken into force nothing may change.
TEST(ShippedExample, IsRightWithEveryDefaultWrittenOut) {
  std::istringstream lines{shipped("caf-application.conf")};
  std::string text;
  std::size_t taken = 0;
  for (std::string line; std::getline(lines, line); text += line + '\n') {
    auto key = parse_key_line(line);
    if (key && key->mark != std::string::npos) {
      line.erase(key->mark, 2);
      ++taken;
    }
  }
  EXPECT_GT(taken, 50U);
  auto written = load(text);
  EXPECT_EQ(render(written.messages), "");
  auto plain = load(shipped("caf-application.conf"));
  EXPECT_EQ(render(plain.messages), "");
  // What the example shows of it is what follows from the interval.
  EXPECT_EQ(written.value.defaults.resolution, std::chrono::seconds{15});
  written.value.defaults.resolution.reset();
  auto fields = [](config& all) {
    return all_fields(all, all.defaults, all.traces.at(0));
  };
  EXPECT_EQ(fields(written.value), fields(plain.value));
}

TEST(ShippedExample, HasSixTracesAndMoreWhoseScriptsAreThere) {
  auto result = load_shipped("caf-application.conf");
  ASSERT_EQ(render(result.messages), "");
  auto enabled =
    std::count_if(result.value.traces.begin(), result.value.traces.end(),
                  [](const auto& t) { return t.enabled; });
  EXPECT_GE(enabled, 6);
  checkout_files files;
  bool unsafe = false;
  for (auto& trace : result.value.traces)
    trace.enabled = true;
  EXPECT_EQ(render(check_scripts(result.value, files, unsafe)), "");
}

TEST(ShippedOriginal, GivesTheNamesOf2019) {
  auto result = load_shipped("original.conf");
  ASSERT_EQ(render(result.messages), "");
  checkout_files files;
  bool unsafe = false;
  EXPECT_EQ(render(check_scripts(result.value, files, unsafe)), "");
  ASSERT_EQ(result.value.traces.size(), 1U);
  EXPECT_EQ(result.value.batcher.interval, std::chrono::seconds{15});
  const auto& series = result.value.traces[0].series;
  EXPECT_EQ(series.trace, "cpu-lat");
  EXPECT_EQ(series.naming.prefix, "");
  EXPECT_EQ(series.naming.dots, host_dots::keep);
  EXPECT_FALSE(series.naming.map_level);
  EXPECT_EQ(series.naming.buckets, bucket_leaf::lower);
  EXPECT_EQ(series.naming.units, bucket_units::decimal);
  EXPECT_EQ(series.slots.resolution, std::chrono::seconds{1});
  EXPECT_FALSE(series.slots.zero_fill);
}

TEST(ShippedTraces, SayWhatTheyMeasureAndWhatTheyCost) {
  for (const auto& trace : load_shipped("caf-application.conf").value.traces) {
    checkout_files files;
    auto text = files.read(trace.script, script_bytes_max).text;
    EXPECT_TRUE(text.starts_with("// ")) << trace.script;
    EXPECT_NE(text.find("\n// Cost: "), std::string::npos) << trace.script;
    EXPECT_NE(text.find("interval:s:1"), std::string::npos) << trace.script;
    // They must run where there are no kernel headers and no BTF.
    for (const char* word :
         {"#include", "kprobe", "kfunc", "fentry", "curtask", "(struct "})
      EXPECT_EQ(text.find(word), std::string::npos)
        << trace.script << " holds " << word;
  }
}

} // namespace
} // namespace bpf2graphite
