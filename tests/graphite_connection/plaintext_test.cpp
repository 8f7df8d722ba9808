#include "actors/graphite_connection/plaintext.hpp"

#include <gtest/gtest.h>

#include <cfloat>
#include <clocale>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

metric point(std::string_view path, metric_value value, std::int64_t at = 15) {
  return {series_name{path}, value, at};
}

std::string line(const metric& m) {
  std::string out;
  auto fault = append_line(out, m);
  return fault == line_fault::none ? out : "refused";
}

TEST(Plaintext, WritesPathValueAndTimestamp) {
  EXPECT_EQ(line(point("bpf.h.cpu-lat.4", exact{17}, 1'700'000'010)),
            "bpf.h.cpu-lat.4 17 1700000010\n");
}

TEST(Plaintext, AppendsBehindWhatIsThere) {
  std::string out = "a 1 15\n";
  EXPECT_EQ(append_line(out, point("b", exact{2})), line_fault::none);
  EXPECT_EQ(out, "a 1 15\nb 2 15\n");
}

TEST(Plaintext, WritesIntegersExactly) {
  auto two_to = [](int n) {
    return exact{1} << n;
  };
  struct {
    exact value;
    const char* text;
  } cases[] = {
    {0, "0"},
    {-5, "-5"},
    {9'007'199'254'740'993, "9007199254740993"}, // 2^53 + 1, no double
    {exact{INT64_MAX}, "9223372036854775807"},
    {exact{INT64_MIN}, "-9223372036854775808"},
    {exact{INT64_MAX} + 1, "9223372036854775808"},
    {exact{UINT64_MAX}, "18446744073709551615"},
    {exact{INT64_MIN} - 1, "-9223372036854775809"},
    {two_to(126) - 1 + two_to(126), "170141183460469231731687303715884105727"},
    {-(two_to(126) - 1 + two_to(126)) - 1,
     "-170141183460469231731687303715884105728"},
  };
  for (auto& c : cases)
    EXPECT_EQ(line(point("a", c.value)), std::string{"a "} + c.text + " 15\n");
}

TEST(Plaintext, WritesDoublesInTheirShortestForm) {
  struct {
    double value;
    const char* text;
  } cases[] = {
    {0.0, "0"},
    {-0.0, "0"},
    {1.5, "1.5"},
    {0.1, "0.1"},
    {-2.25, "-2.25"},
    {100000000, "100000000"},
    {1.0 / 3, "0.3333333333333333"},
    {0.00001, "0.00001"},
    {123456789012345680000.0, "123456789012345683968"}, // its exact value
    {1e21, "1e+21"},
    {1e-7, "1e-07"},
    {DBL_MAX, "1.7976931348623157e+308"},
    {5e-324, "5e-324"},
  };
  for (auto& c : cases) {
    EXPECT_EQ(line(point("a", c.value)), std::string{"a "} + c.text + " 15\n");
    EXPECT_EQ(std::strtod(c.text, nullptr), c.value);
  }
}

TEST(Plaintext, IgnoresTheLocale) {
  for (auto name : {"de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"})
    if (std::setlocale(LC_ALL, name) != nullptr)
      break;
  EXPECT_EQ(line(point("a", 1234567.5)), "a 1234567.5 15\n");
  std::setlocale(LC_ALL, "C");
}

TEST(Plaintext, RefusesWhatIsNoFiniteNumber) {
  for (auto value : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    std::string out = "before\n";
    EXPECT_EQ(append_line(out, point("a", value)), line_fault::value);
    EXPECT_EQ(out, "before\n");
  }
}

TEST(Plaintext, RefusesTimestampsThatWhisperCannotHold) {
  std::string out;
  for (std::int64_t at : {std::int64_t{0}, std::int64_t{-1},
                          std::int64_t{1} << 32, INT64_MAX, INT64_MIN})
    EXPECT_EQ(append_line(out, point("a", exact{1}, at)),
              line_fault::timestamp);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(line(point("a", exact{1}, UINT32_MAX)), "a 1 4294967295\n");
}

TEST(Plaintext, TakesThePathsOfGraphite) {
  for (auto path : {
         "a",
         "bpf.tuxgrid_com.runqlat.usecs.1024",
         "tuxgrid.com.cpu-lat.4",
         "x.-inf",
         "x._other.derived.p99_9",
         "disk.used;datacenter=dc1;rack=a1",
         "bpf.biolatency.usecs;comm=bash;host=tux.grid;le=-8",
         "a:b.c~d.e+f",
       })
    EXPECT_EQ(judge_path(path), line_fault::none) << path;
}

TEST(Plaintext, RefusesPathsThatCarbonWouldBend) {
  for (auto path : {
         "",       ".",          ".a",      "a.",     "a..b",     "a b",
         "a\tb",   "a\nb",       "a\rb",    "a/b",    "a\x1b[0m", "a\x7f",
         "a\xff",  "\xc3\xa4",   "a*",      "a?b",    "a{b}",     "a[b]",
         "a\"b",   "a'b",        "a,b",     "a(b)",   "a\\b",     "a=b",
         ";a=b",   "a;",         "a;b",     "a;b=",   "a;=c",     "a;b=~c",
         "a;b=c;", "a;b=c;;d=e", "a;b=c d", "a.;b=c", "a;b=c=d",
       })
    EXPECT_EQ(judge_path(path), line_fault::path) << path;
  EXPECT_EQ(judge_path(std::string_view{"a\0b", 3}), line_fault::path);
}

TEST(Plaintext, RefusesAMissingPath) {
  std::string out;
  EXPECT_EQ(append_line(out, metric{}), line_fault::path);
}

TEST(Plaintext, AcceptsNoByteOutsideItsAlphabet) {
  std::string taken;
  for (int c = 0; c < 256; ++c)
    if (judge_path(std::string{'a', static_cast<char>(c), 'b'})
        == line_fault::none)
      taken += static_cast<char>(c);
  EXPECT_EQ(taken, "#%+-.0123456789:@ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
                   "abcdefghijklmnopqrstuvwxyz~");
}

TEST(Plaintext, LimitsPathsLevelsAndTags) {
  EXPECT_EQ(judge_path(std::string(level_bytes_max, 'a')), line_fault::none);
  EXPECT_EQ(judge_path(std::string(level_bytes_max + 1, 'a')),
            line_fault::too_long);
  EXPECT_EQ(judge_path(std::string(level_bytes_max + 1, 'a') + ".b"),
            line_fault::too_long);
  std::string path = "a";
  while (path.size() < path_bytes_max - 1)
    path += ".b";
  path.resize(path_bytes_max - 1, 'c');
  EXPECT_EQ(judge_path(path + "c"), line_fault::none);
  EXPECT_EQ(judge_path(path + "cc"), line_fault::too_long);
  std::string tags = "a";
  while (tags.size() + 4 <= series_bytes_max)
    tags += ";b=c";
  EXPECT_EQ(judge_path(tags), line_fault::none);
  EXPECT_EQ(judge_path(tags + ";bbb=ccc"), line_fault::too_long);
}

/// Whatever came before, a line is what it is on its own.
TEST(Plaintext, WritesAfterAnyLineWhatItWritesAlone) {
  const std::string level(level_bytes_max, 'x');
  std::vector<metric> points;
  for (const auto& path :
       {std::string{"a.b.c"},
        std::string{"a.b.cd"},
        std::string{"a.b"},
        std::string{"a.b."},
        std::string{"a..b"},
        std::string{"a.b c"},
        std::string{"a.b.\xFF"},
        std::string{".a"},
        std::string{"a"},
        std::string{"a.b;t=v"},
        std::string{"a.b;t=v.w"},
        std::string{"a.b;t=v.x"},
        std::string{"a.b;t=~v"},
        std::string{"a.b;t"},
        std::string{"a.b;t=v;u=w"},
        "a." + level + ".c",
        "a." + level + "x.c",
        "a." + level,
        "a." + level + "x",
        "a." + level + "." + level + "." + level + ".b",
        "a." + level + "." + level + "." + level + "." + level})
    points.push_back(point(path, exact{17}, 30));
  points.push_back({});
  points.push_back(point("a.b.c", exact{-1}, 4'294'967'295));
  points.push_back(point("a.b.c", exact{1}, 4'294'967'296));
  points.push_back(point("a.b.c", exact{1}, 0));
  points.push_back(point("a.b.c", 0.5, 30));
  points.push_back(point("a.b.c", std::nan(""), 45));
  for (const auto& first : points)
    for (const auto& second : points) {
      line_writer lines;
      std::string out;
      lines.append(out, first);
      out.clear();
      const auto fault = lines.append(out, second);
      std::string alone;
      EXPECT_EQ(fault, append_line(alone, second));
      EXPECT_EQ(out, alone);
    }
}

} // namespace
} // namespace bpf2graphite
