#include "actors/watchdog/script_rules.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

/// "@x cumulative wanted resets deletes top in_end may_fall": what is true.
std::string summary(const std::string& map, const map_rules& rules) {
  auto result = map + " " + std::string(accumulation_word(rules.how));
  auto add = [&](bool set, std::string_view word) {
    if (set)
      result += " " + std::string(word);
  };
  add(rules.wanted, "wanted");
  add(rules.resets, "resets");
  add(rules.deletes_keys, "deletes");
  add(rules.top, "top");
  add(rules.printed_in_end, "in_end");
  add(rules.may_fall, "may_fall");
  return result;
}

std::vector<std::string> summary(const script_plan& plan) {
  std::vector<std::string> result;
  for (auto& map : plan.maps) {
    result.push_back(summary(map.name, map.rules));
    EXPECT_EQ(summary(map.name, plan.rules.at(map.name)), result.back());
    EXPECT_FALSE(map.why.empty());
    EXPECT_EQ(map.why.starts_with("not sent: "), !map.rules.wanted) << map.why;
  }
  EXPECT_EQ(plan.rules.size(), plan.maps.size());
  return result;
}

struct rules_case {
  std::string name;
  std::string script;
  std::vector<std::string> expected;
};

void PrintTo(const rules_case& c, std::ostream* out) {
  *out << c.name;
}

class ScriptRules : public testing::TestWithParam<rules_case> {};

TEST(ScriptRulesPeriod, IsThatOfTheShortestIntervalThatAlwaysPrints) {
  const std::pair<const char*, std::chrono::milliseconds> cases[] = {
    {"interval:s:5 { print(@x); clear(@x); }", 5s},
    {"i:ms:200 { print(@x); }", 200ms},
    {"interval:hz:4 { print(@x); }", 250ms},
    {"interval:us:500 { print(@x); }", 1ms},
    {"interval:10s { print(@x); }", 10s},
    {"interval:s:60 { print(@x); } interval:s:5 { print(@x, 3); }", 5s},
    {"interval:s:5, profile:hz:1 { print(@x); }", 5s},
    {"interval:s:5 { if (@n > 3) { clear(@n); } print(@x); }", 5s},
    // What may not be reached, or is reached at other times, says nothing.
    {"interval:s:5 { if (@n > 3) { print(@x); } }", 0s},
    {"interval:s:5 { if (@n > 3) { return; } print(@x); }", 0s},
    {"interval:s:5 /@n > 3/ { print(@x); }", 0s},
    {"tracepoint:a:b { print(@x); }", 0s},
    {"interval:s:5 { print(@x[1]); } tracepoint:a:b { print(@x); }", 0s},
    {"interval:s:$1 { print(@x); }", 0s},
    {"interval:parsecs:5 { print(@x); }", 0s},
    {"interval:s:99999999999999999999 { print(@x); }", 0s},
    // Nothing prints it: the appended probe does, each second.
    {"END { print(@x); }", 1s},
  };
  for (const auto& [prints, period] : cases) {
    const auto plan = plan_script(
      std::string{"profile:hz:9 { @n = count(); @x = hist(1); } "} + prints,
      {});
    ASSERT_EQ(plan.rules.count("@x"), 1u) << prints;
    EXPECT_EQ(plan.rules.at("@x").print_period, period) << prints;
  }
}

TEST_P(ScriptRules, FollowFromTheText) {
  EXPECT_EQ(summary(plan_script(GetParam().script, {})), GetParam().expected);
}

const std::vector<rules_case> rules_cases{
  {"EndPrintsOfLatency",
   "k:f { @t[tid] = nsecs; } k:g /@t[tid]/ { @us = hist(nsecs - @t[tid]); "
   "delete(@t[tid]); } END { clear(@t); }",
   {"@t last resets deletes may_fall", "@us cumulative wanted"}},
  {"TopInEnd",
   "k:f { @n[comm] = count(); } END { print(@n, 10); clear(@n); }",
   {"@n cumulative wanted resets top"}},
  {"PrintedInEndAndDumped",
   "k:f { @n = count(); } END { print(@n); }",
   {"@n cumulative wanted in_end"}},
  {"PrintedInEndWithoutADump",
   "config = { print_maps_on_exit = false } k:f { @n = count(); } END { "
   "print(@n); }",
   {"@n cumulative wanted"}},
  {"Cleared",
   "k:f { @n = count(); } interval:s:1 { print(@n); clear(@n); }",
   {"@n cleared wanted resets"}},
  {"ClearedAlsoInEnd",
   "k:f { @n = count(); } interval:s:1 { print(@n); clear(@n); } END { "
   "clear(@n); }",
   {"@n cleared wanted resets"}},
  {"ZeroedIsCleared",
   "k:f { @n[1] = hist(1); } interval:s:1 { time(); print(@n); zero(@n); }",
   {"@n cleared wanted resets"}},
  {"TopBeforeClear",
   "k:f { @n[comm] = count(); } interval:s:1 { print(@n, 5); clear(@n); }",
   {"@n cleared wanted resets top"}},
  {"SetToZeroIsCleared",
   "k:f { @n++; } interval:s:1 { print(@n); @n = 0; }",
   {"@n cleared wanted resets"}},
  {"OneOfTwoPrintsIsNotCleared",
   "k:f { @n = count(); } interval:s:1 { print(@n); clear(@n); } interval:s:5 "
   "{ print(@n); }",
   {"@n cumulative wanted resets"}},
  {"EndPrintIsLeftAside",
   "k:f { @n = sum(arg0); } interval:s:1 { print(@n); clear(@n); } END { "
   "print(@n); }",
   {"@n cleared wanted resets in_end may_fall"}},
  {"EndPrintClearedIsNotRepeated",
   "k:f { @n = sum(5); } interval:s:1 { print(@n); clear(@n); } END { "
   "print(@n); clear(@n); }",
   {"@n cleared wanted resets"}},
  {"ClearedElsewhere",
   "k:f { @n = count(); } interval:s:1 { print(@n); } interval:s:9 { "
   "clear(@n); }",
   {"@n cumulative wanted resets"}},
  {"ClearInIf",
   "k:f { @n = count(); } interval:s:1 { print(@n); if (@x) { clear(@n); } }",
   {"@n cumulative wanted resets", "@x last may_fall"}},
  {"PrintInIf",
   "k:f { @n = lhist(1, 0, 9, 1); } interval:s:1 { if (@n) { print(@n); } "
   "clear(@n); }",
   {"@n cleared wanted resets"}},
  {"PrintedTwiceBeforeClear",
   "k:f { @n = count(); } interval:s:1 { print(@n); print(@n, 3); clear(@n); }",
   {"@n cumulative wanted resets top"}},
  {"Gauges",
   "k:f { @a = avg(1); @b = min(1); @c = max(1); @d = 5; @e--; @e++; @f = "
   "tseries(1, 1s, 3); @g -= 1; @g += 1; @h *= 2; @i++; @i = 7; } interval:s:1 "
   "{ print(@a); print(@b); print(@c); print(@d); print(@e); print(@f); "
   "print(@g); print(@h); print(@i); clear(@a); }",
   {"@a last wanted resets may_fall", "@b last wanted may_fall",
    "@c last wanted may_fall", "@d last wanted may_fall",
    "@e last wanted may_fall", "@f last wanted may_fall",
    "@g last wanted may_fall", "@h last wanted may_fall",
    "@i last wanted may_fall"}},
  {"Counters",
   "BEGIN { @i = 5; } k:f { @a = count(); @b = sum(5); @c = sum(arg0); @d = "
   "stats(arg0); @e += arg0; @f += 1; @g[1]++; @g[1] = 0; @i++; @j[2] = "
   "count(); delete(@j[2]); delete(@a); } interval:s:1 { print(@a); print(@b); "
   "print(@c); print(@d); print(@e); print(@f); print(@g); print(@i); "
   "print(@j); }",
   {"@i cumulative wanted", "@a cumulative wanted resets",
    "@b cumulative wanted", "@c cumulative wanted may_fall",
    "@d cumulative wanted may_fall", "@e cumulative wanted may_fall",
    "@f cumulative wanted", "@g cumulative wanted deletes",
    "@j cumulative wanted deletes"}},
  {"ZeroInBeginIsNoReset",
   "BEGIN { @n = 0; @m[1] = 0; } k:f { @n++; @m[1]++; } interval:s:1 { "
   "print(@n); print(@m); }",
   {"@n cumulative wanted", "@m cumulative wanted"}},
  {"EndAmongOthersIsNotEnd",
   "k:f { @n = count(); } END, interval:s:1 { print(@n); }",
   {"@n cumulative wanted"}},
  {"NewSyntaxEnd",
   "k:f { @n = count(); } end { print(@n); }",
   {"@n cumulative wanted in_end"}},
  {"MacroThatPrintsAndClears",
   "macro show(@m) { print(@m); clear(@m); } k:f { @n = count(); } "
   "interval:1s { show(@n); }",
   {"@n cleared wanted resets"}},
};

INSTANTIATE_TEST_SUITE_P(, ScriptRules, testing::ValuesIn(rules_cases),
                         [](auto& test) { return test.param.name; });

const std::string two_maps =
  "k:f { @usecs = hist(1); @n = count(); } interval:s:1 { print(@usecs); "
  "clear(@usecs); print(@n); }";

TEST(ScriptPlan, ExplainEachDecisionInALine) {
  auto plan = plan_script(
    "k:f { @t[tid] = nsecs;\n @a = hist(1);\n @b = count();\n @c = sum(1); @d "
    "= 1; }\ninterval:s:1 { print(@b);\n print(@c); clear(@c); }",
    {});
  std::vector<std::string> why;
  for (auto& map : plan.maps)
    why.push_back(map.name + " " + map.why);
  EXPECT_EQ(why, (std::vector<std::string>{
                   "@t not sent: holds time stamps",
                   "@a cumulative: hist; printed by the appended probe and "
                   "not cleared there",
                   "@b cumulative: count; not cleared after the print at "
                   "line 5",
                   "@c cleared: sum; cleared after each print (line 6)",
                   "@d not sent: nothing prints it while the script runs; "
                   "naming it in `maps` would",
                 }));
  EXPECT_EQ(plan.appended_probe, "interval:s:1 { print(@a); }");
  EXPECT_TRUE(plan.errors.empty());
  EXPECT_TRUE(plan.warnings.empty());
}

TEST(ScriptPlan, ObeyAccumulateForAllAndByMap) {
  script_rules_config config;
  config.accumulate = accumulation::max;
  auto plan = plan_script(two_maps, config);
  EXPECT_EQ(plan.rules.at("@usecs").how, accumulation::max);
  EXPECT_EQ(plan.rules.at("@n").how, accumulation::max);
  EXPECT_EQ(plan.maps[1].why,
            "max: as configured; by the script's text cumulative: count; not "
            "cleared after the print at line 1");
  config.accumulate_by_map["n"] = accumulation::cumulative;
  plan = plan_script(two_maps, config);
  EXPECT_EQ(plan.rules.at("@usecs").how, accumulation::max);
  EXPECT_EQ(plan.rules.at("@n").how, accumulation::cumulative);
  EXPECT_EQ(plan.maps[1].why,
            "cumulative: count; not cleared after the print at line 1");
}

TEST(ScriptPlan, WantOnlyTheMapsThatAreNamed) {
  script_rules_config config;
  config.maps = {"n"};
  auto plan = plan_script(two_maps, config);
  EXPECT_FALSE(plan.rules.at("@usecs").wanted);
  EXPECT_TRUE(plan.rules.at("@n").wanted);
  EXPECT_EQ(plan.maps[0].why, "not sent: `maps` does not name it");
  // Named, but printed only by the final dump.
  config.maps = {"@g"};
  config.print_every = 0ms;
  plan = plan_script("k:f { @g = 3; @h = hist(1); }", config);
  EXPECT_TRUE(plan.errors.empty());
  EXPECT_TRUE(plan.rules.at("@g").wanted);
  EXPECT_FALSE(plan.rules.at("@h").wanted);
  EXPECT_EQ(plan.program, "k:f { @g = 3; @h = hist(1); }");
}

TEST(ScriptPlan, NameTheNearestMapForOneThatIsNotThere) {
  script_rules_config config;
  config.maps = {"usec", "@n"};
  config.accumulate_by_map["@m"] = accumulation::last;
  auto plan = plan_script(two_maps, config);
  EXPECT_EQ(plan.errors,
            (std::vector<std::string>{
              "`maps` names \"@usec\", but the script has no such map; the "
              "nearest is \"@usecs\"",
              "`accumulate` names \"@m\", but the script has no such map; the "
              "nearest is \"@n\""}));
  config.accumulate_by_map.clear();
  config.maps = {std::string(100'000, 'x')};
  EXPECT_EQ(plan_script(two_maps, config).errors.size(), 1u);
  config.maps = {"x"};
  plan = plan_script("BEGIN { printf(\"a\"); }", config);
  EXPECT_EQ(plan.errors,
            std::vector<std::string>{
              "`maps` names \"@x\", but the script has no such map"});
}

TEST(ScriptPlan, RefuseAScriptThatCanNeverPrintAnything) {
  struct silent {
    std::string script;
    std::string error;
  };
  const std::string text_only =
    "), of which nothing is sent unless printf-metrics is on";
  for (auto& [script, error] : std::vector<silent>{
         {"k:f { $x = 1; }",
          "it can never print anything: it has no map and no printf"},
         {"BEGIN { printf(\"head\"); }\nk:f { printf(\"%d\", pid); }",
          "it prints only text (printf, line 2" + text_only
            + "; it has no map"},
         {"BEGIN { printf(\"head\"); }", "it prints only text (printf, line 1"
                                           + text_only + "; it has no map"},
         {"k:f { @t[tid] = nsecs; } k:g { printf(\"%d\", nsecs - @t[tid]); "
          "delete(@t[tid]); }",
          "it prints only text (printf, line 1" + text_only
            + "; its maps: @t is not sent: holds time stamps"},
         {"k:f { @t = 5; }",
          "nothing prints a map that could be sent: @t is not sent: nothing "
          "prints it while the script runs; naming it in `maps` would"},
         {"", "1:1: no probe in it: it can never print anything"},
       }) {
    auto plan = plan_script(script, {});
    EXPECT_EQ(plan.errors, std::vector<std::string>{error}) << script;
  }
  script_rules_config off;
  off.print_every = 0ms;
  EXPECT_EQ(plan_script("k:f { @n = count(); }", off).errors,
            std::vector<std::string>{
              "nothing prints a map that could be sent: @n is not sent: "
              "nothing prints it while the script runs, and print-every is "
              "off"});
  script_rules_config printing;
  printing.printf_metrics = true;
  EXPECT_TRUE(
    plan_script("k:f { printf(\"%d\", pid); }", printing).errors.empty());
  EXPECT_EQ(plan_script("k:f { $x = 1; }", printing).errors.size(), 1u);
}

TEST(ScriptPlan, TellWhatPrintfMetricsBecome) {
  script_rules_config config;
  config.printf_metrics = true;
  config.accumulate_by_map = {{"@net_tx", accumulation::max}};
  auto script = "k:f { printf(\"net.tx{dev=%d} %d\\n\", 1, 2); }";
  auto plan = plan_script(script, config);
  EXPECT_EQ(plan.errors, std::vector<std::string>{});
  EXPECT_EQ(plan.rules.at("net_tx").how, accumulation::max);
  EXPECT_FALSE(plan.rules.at("net_tx").resets);
  EXPECT_EQ(plan.other_metrics.how, accumulation::last);
  EXPECT_EQ(plan.printf.calls, metric_calls::lines);
  ASSERT_EQ(plan.printf.lines.size(), 1u);
  EXPECT_EQ(plan.printf.lines[0].metric, "net.tx{dev}");
  config.accumulate_by_map = {{"@net_rx", accumulation::max}};
  EXPECT_EQ(plan_script(script, config).errors.size(), 1u);
  config.accumulate_by_map.clear();
  config.accumulate = accumulation::cumulative;
  EXPECT_EQ(plan_script(script, config).other_metrics.how,
            accumulation::cumulative);
  config.printf_metrics = false;
  EXPECT_EQ(plan_script(script, config).printf.calls, metric_calls::off);
  EXPECT_EQ(plan_script(script, config).errors.size(), 1u);
}

TEST(ScriptPlan, ReadNoForgeableCallsOfAScriptThatCannotBeRead) {
  script_rules_config config;
  config.printf_metrics = true;
  auto plan = plan_script("k:f { printf(\"x 1\\ny 2\\n\"); ", config);
  EXPECT_TRUE(plan.unreadable);
  EXPECT_EQ(plan.printf.calls, metric_calls::one_line);
}

TEST(ScriptPlan, WarnOfPrintfCallsThatAreNotTaken) {
  script_rules_config config;
  config.printf_metrics = true;
  auto plan = plan_script(
    "k:f { printf(\"x 1\\ny 2\\n\"); printf(\"z{c=%s} 1\\n\", comm); }",
    config);
  ASSERT_EQ(plan.warnings.size(), 1u);
  EXPECT_TRUE(plan.warnings[0].starts_with("printf at line 1: it writes"));
}

TEST(ScriptPlan, WarnOfWhatLosesOrChangesValues) {
  struct warned {
    std::string script;
    std::string part; // empty: no warning
  };
  for (auto& [script, part] : std::vector<warned>{
         {"k:f { @n = count(); } interval:s:1 { print(@n); } interval:s:9 { "
          "clear(@n); }",
          "@n: cleared at line 1, but not after each print"},
         {"k:f { @n = count(); } interval:s:1 { print(@n); } END { clear(@n); "
          "}",
          ""},
         {"k:f { @n[pid] = count(); } interval:s:1 { print(@n, 5); clear(@n); "
          "}",
          "@n: only the largest elements are printed before the clear"},
         {"k:f { @n[pid] = count(); } interval:s:1 { print(@n, 5); }", ""},
         {"k:f { @n = sum(1); } interval:s:1 { print(@n, 0, 1000); }",
          "@n: printed with a divisor (line 1)"},
         {"k:f { @n = sum(1); } END { print(@n, 0, 1000); clear(@n); }",
          "@n: END prints it with a divisor"},
         {"k:f { @n = sum(1); } END { print(@n, 5); clear(@n); }", ""},
         {"k:f { @n = lhist(1, 0, 9, 1); } interval:s:1 { print(@n, 0, 10); }",
          ""},
         {"k:f { @n = comm; } interval:s:1 { print(@n); }", "@n: holds text"},
         {"k:f { @n = comm; @n = args->x; } interval:s:1 { print(@n); }", ""},
         {"k:f { @n = count(; }", "1:20: this bracket does not close"},
       }) {
    auto plan = plan_script(script, {});
    EXPECT_EQ(plan.warnings.size(), part.empty() ? 0u : 1u) << script;
    if (!part.empty() && !plan.warnings.empty()) {
      EXPECT_NE(plan.warnings[0].find(part), std::string::npos)
        << plan.warnings[0];
    }
  }
}

TEST(ScriptPlan, GiveKeyShapesOnlyWhereTheyAreSure) {
  auto plan = plan_script(
    "k:f { @a[comm, pid] = count(); @b[args->x, pid] = count(); @c[$x] = "
    "count(); @d = count(); @e[tid] = count(); }",
    {});
  ASSERT_EQ(plan.keys.size(), 3u);
  EXPECT_EQ(plan.keys.at("@a").parts, 2u);
  EXPECT_EQ(plan.keys.at("@a").integer, (std::vector<bool>{false, true}));
  EXPECT_EQ(plan.keys.at("@b").parts, 2u);
  EXPECT_TRUE(plan.keys.at("@b").integer.empty());
  EXPECT_EQ(plan.keys.at("@e").integer, std::vector<bool>{true});
}

TEST(ScriptPlan, FallBackWhereTheScriptCannotBeRead) {
  script_rules_config config;
  auto plan = plan_script("k:f { @n = count(; }", config);
  ASSERT_TRUE(plan.unreadable);
  EXPECT_TRUE(plan.errors.empty());
  EXPECT_EQ(plan.program, "k:f { @n = count(; }");
  EXPECT_EQ(plan.other_maps.how, accumulation::cleared);
  EXPECT_EQ(plan.other_scalars.how, accumulation::last);
  config.accumulate = accumulation::cumulative;
  config.accumulate_by_map["m"] = accumulation::max;
  config.maps = {"m"};
  plan = plan_script("k:f { @n = count(; }", config);
  EXPECT_EQ(plan.other_maps.how, accumulation::cumulative);
  EXPECT_EQ(plan.other_scalars.how, accumulation::cumulative);
  EXPECT_EQ(plan.rules.at("@m").how, accumulation::max);
  EXPECT_FALSE(plan_script(two_maps, {}).unreadable);
}

TEST(ScriptPlan, HoldForAnyText) {
  const std::vector<std::string> words{"@x ",
                                       "@[1] ",
                                       "= ",
                                       "print(@x); ",
                                       "clear(@x); ",
                                       "@x = 0; ",
                                       "hist(1); ",
                                       "count(); ",
                                       "{ ",
                                       "} ",
                                       "if (1) { ",
                                       "END { ",
                                       "k:f { ",
                                       "interval:s:1 { ",
                                       "return; ",
                                       "@x++; ",
                                       "// ",
                                       "\n",
                                       "delete(@x[1]); ",
                                       "printf(\"\"); "};
  std::mt19937 random(4);
  for (int round = 0; round < 20'000; ++round) {
    std::string text = "k:f { ";
    for (auto n = random() % 25; n > 0; --n)
      text += words[random() % words.size()];
    auto facts = scan_script(text);
    auto plan = plan_script(text, facts, {});
    ASSERT_TRUE(plan.program.starts_with(text));
    ASSERT_EQ(plan.maps.size(), facts.error ? 0 : facts.maps.size());
    bool any = std::any_of(plan.maps.begin(), plan.maps.end(),
                           [](auto& map) { return map.rules.wanted; });
    if (!facts.error) {
      ASSERT_EQ(plan.errors.empty(), any) << text;
    }
    if (!plan.appended_probe.empty()) {
      ASSERT_FALSE(scan_script(plan.program).error) << plan.program;
    }
  }
}

} // namespace
} // namespace bpf2graphite
