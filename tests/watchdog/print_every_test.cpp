#include "actors/watchdog/print_every.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

print_every_result append_to(const std::string& script,
                             print_every_config config = {}) {
  return append_prints(script, scan_script(script), config);
}

struct append_case {
  std::string name;
  std::string script;
  std::string probe; // what is appended
  std::vector<std::string> maps;
  std::chrono::milliseconds period{1000};
};

void PrintTo(const append_case& c, std::ostream* out) {
  *out << c.name;
}

class PrintEvery : public testing::TestWithParam<append_case> {};

TEST_P(PrintEvery, AppendsWhatIsMissing) {
  auto& c = GetParam();
  auto result = append_to(c.script, {c.period, c.maps});
  EXPECT_EQ(result.probe, c.probe);
  ASSERT_TRUE(result.program.starts_with(c.script));
  if (c.probe.empty()) {
    EXPECT_EQ(result.program, c.script);
    EXPECT_TRUE(result.appended.empty());
    return;
  }
  // What was appended is a probe of its own that prints those maps.
  auto facts = scan_script(result.program);
  ASSERT_FALSE(facts.error) << result.program;
  auto before = scan_script(c.script);
  ASSERT_EQ(facts.bodies.size(), before.bodies.size() + 1);
  EXPECT_TRUE(facts.bodies.back().only(probe_kind::interval));
  ASSERT_EQ(result.appended.size(),
            facts.map_names.size() - before.map_names.size());
  for (auto& appended : result.appended) {
    auto map = facts.find(appended.map);
    ASSERT_TRUE(map);
    EXPECT_EQ(map->uses.back().action, map_action::print);
    EXPECT_EQ(map->uses.back().body, facts.bodies.size() - 1);
    EXPECT_FALSE(appended.why.empty());
  }
  // Nothing is missing then.
  auto again = append_prints(result.program, facts, {c.period, c.maps});
  EXPECT_EQ(again.program, result.program);
}

const std::vector<append_case> append_cases{
  {"HistogramOfLatency",
   "k:f { @t[tid] = nsecs; } k:g /@t[tid]/ { @us = hist(nsecs - @t[tid]); "
   "delete(@t[tid]); } END { clear(@t); }",
   "interval:s:1 { print(@us); }",
   {}},
  {"AllKinds",
   "k:f { @a = hist(1); @b = lhist(1, 0, 9, 1); @c = count(); @d = sum(1); @e "
   "= avg(1); @f = min(1); @g = max(1); @h = stats(1); @i++; @j += 2; @k = "
   "tseries(1, 1s, 9); @l = 5; @m--; }",
   "interval:s:1 { print(@a); print(@b); print(@c); print(@d); print(@e); "
   "print(@f); print(@g); print(@h); print(@i); print(@j); print(@k); }",
   {}},
  {"Nameless", "k:f { @[comm] = count(); }", "interval:s:1 { print(@); }", {}},
  {"PrintedInEndOnly",
   "k:f { @n[comm] = count(); } END { print(@n, 10); "
   "clear(@n); }",
   "interval:s:1 { print(@n); }",
   {}},
  {"PrintedByItself",
   "k:f { @n = count(); } interval:s:9 { print(@n); clear(@n); }",
   "",
   {}},
  {"OneOfTwo",
   "k:f { @n = count(); @m = count(); } interval:s:9 { print(@n); }",
   "interval:s:1 { print(@m); }",
   {}},
  {"ElementPrintedOnly",
   "k:f { @n[1] = count(); print(@n[1]); }",
   "interval:s:1 { print(@n); }",
   {}},
  {"PrintedInBeginOnly",
   "BEGIN { print(@n); } k:f { @n = count(); }",
   "interval:s:1 { print(@n); }",
   {}},
  {"FilledAndPrintedInBegin",
   "BEGIN { @n = count(); print(@n); exit(); }",
   "",
   {}},
  {"BeginThatExits",
   "BEGIN { @h = hist(5); exit(); }",
   "interval:s:1 { print(@h); }",
   {}},
  {"HiddenByEnd", "k:f { @n = count(); } END { clear(@n); }", "", {}},
  {"ShownByPrintfInEnd",
   "k:f { @n++; } END { printf(\"%d\", @n); clear(@n); }",
   "interval:s:1 { print(@n); }",
   {}},
  {"NotesOfTheScript",
   "k:f { @seen[tid]++; if (@seen[tid] > 3) { delete(@seen[tid]); } }",
   "",
   {}},
  {"CountedPerProcessAndForgotten",
   "k:f { @n[pid]++; } k:exit { delete(@n[pid]); }",
   "interval:s:1 { print(@n); }",
   {}},
  {"TimeStampsNeverDeleted", "k:f { @t[tid] = nsecs; }", "", {}},
  {"NarrowedByMaps",
   "k:f { @a = count(); @b = count(); @c = 1; }",
   "interval:s:1 { print(@b); }",
   {"b"}},
  {"NamedWithAt",
   "k:f { @a = count(); @b = count(); @c = 1; }",
   "interval:s:1 { print(@a); print(@c); }",
   {"@a", "c"}},
  {"NamedThoughHidden",
   "k:f { @n = count(); } END { clear(@n); }",
   "interval:s:1 { print(@n); }",
   {"n"}},
  {"NamedAndPrinted",
   "k:f { @n = count(); } interval:s:1 { print(@n); }",
   "",
   {"n"}},
  {"NamedUnknown", "k:f { @n = count(); }", "", {"m"}},
  {"Off", "k:f { @n = count(); }", "", {}, 0ms},
  {"HalfASecond",
   "k:f { @n = count(); }",
   "interval:ms:500 { print(@n); }",
   {},
   500ms},
  {"OneAndAHalf",
   "k:f { @n = count(); }",
   "interval:ms:1500 { print(@n); }",
   {},
   1500ms},
  {"TenSeconds",
   "k:f { @n = count(); }",
   "interval:s:10 { print(@n); }",
   {},
   10s},
  {"EndsInALineComment",
   "k:f { @n = count(); } // the end",
   "interval:s:1 { print(@n); }",
   {}},
  {"EndsInABlockComment",
   "k:f { @n = count(); } /* the end */",
   "interval:s:1 { print(@n); }",
   {}},
  {"EndsInABackslash",
   "k:f { @n = count(); }\n#define A \\",
   "interval:s:1 { print(@n); }",
   {}},
  {"EndsInABackslashAndALineEnd",
   "k:f { @n = count(); }\n#define A \\\r\n",
   "interval:s:1 { print(@n); }",
   {}},
  {"EndsInALineEnd",
   "k:f { @n = count(); }\n",
   "interval:s:1 { print(@n); }",
   {}},
  {"NeverFilled", "k:f { if (@n) { print(1); } }", "", {}},
  {"Unreadable", "k:f { @n = count(; }", "", {}},
  {"OnlyDeclared", "let @n = hash(10); k:f { }", "", {"n"}},
};

INSTANTIATE_TEST_SUITE_P(, PrintEvery, testing::ValuesIn(append_cases),
                         [](auto& test) { return test.param.name; });

TEST(PrintEveryText, LeavesTheScriptAsItIsAndPutsTheProbeOnALineOfItsOwn) {
  EXPECT_EQ(append_to("k:f { @n = count(); } // x").program,
            "k:f { @n = count(); } // x\ninterval:s:1 { print(@n); }\n");
  EXPECT_EQ(append_to("k:f { @n = count(); }\n").program,
            "k:f { @n = count(); }\ninterval:s:1 { print(@n); }\n");
}

TEST(PrintEveryText, SaysWhyAMapIsAppendedAndWhyNot) {
  auto result = append_to("k:f { @a = hist(1); @b = count(); @c = count(); } "
                          "interval:s:1 { print(@b); } END { clear(@c); }");
  ASSERT_EQ(result.appended.size(), 1u);
  EXPECT_EQ(result.appended[0].map, "@a");
  EXPECT_EQ(result.appended[0].why,
            "hist, nothing prints it while the script runs");
  ASSERT_EQ(result.left_out.size(), 2u);
  EXPECT_EQ(result.left_out[0].map, "@b");
  EXPECT_EQ(result.left_out[0].why, "the script prints it itself");
  EXPECT_EQ(result.left_out[1].map, "@c");
  EXPECT_EQ(result.left_out[1].why, "END clears it and nothing ever prints it");
}

TEST(PrintEveryText, ReadsItsSetting) {
  struct setting {
    std::string text;
    std::optional<std::chrono::milliseconds> expected;
  };
  for (auto& [text, expected] : std::vector<setting>{
         {"auto", 1000ms},
         {"off", 0ms},
         {"1s", 1000ms},
         {"250ms", 250ms},
         {"2min", 120'000ms},
         {"10ms", 10ms},
         {"9ms", std::nullopt},
         {"0s", std::nullopt},
         {"3600s", 3'600'000ms},
         {"3601s", std::nullopt},
         {"99999999999999999999s", std::nullopt},
         {"-1s", std::nullopt},
         {"1", std::nullopt},
         {"1 s", std::nullopt},
         {"1.5s", std::nullopt},
         {"s", std::nullopt},
         {"", std::nullopt},
         {"Auto", std::nullopt},
         {"1h", std::nullopt},
       })
    EXPECT_EQ(parse_print_every(text), expected) << text;
}

TEST(PrintEveryText, TakesNamesWithAndWithoutAt) {
  EXPECT_EQ(map_name_of("usecs"), "@usecs");
  EXPECT_EQ(map_name_of("@usecs"), "@usecs");
  EXPECT_EQ(map_name_of("@"), "@");
  EXPECT_EQ(map_name_of(""), "@");
}

} // namespace
} // namespace bpf2graphite
