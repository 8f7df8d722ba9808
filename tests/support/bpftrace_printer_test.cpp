// The printer that other tests trust writes what real bpftraces wrote.
#include "tests/support/bpftrace_printer.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace bpf2graphite::printer {
namespace {

constexpr std::pair<int, const char*> versions[] = {
  {17, "0.17.0"}, {23, "0.23.2"}, {27, "0.27.1"}};

std::string capture(const std::string& name, const char* version, bool json) {
  std::ifstream file{
    std::string{BPF2GRAPHITE_SOURCE_DIR "/tests/golden/corpus/"} + name + "."
      + version + (json ? ".json" : ".out"),
    std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

void expect_in(const std::string& script, const std::vector<printed>& maps,
               bool ends) {
  for (const auto& [minor, version] : versions)
    for (const auto json : {false, true}) {
      SCOPED_TRACE(script + " " + version + (json ? " json" : " text"));
      const auto whole = capture(script, version, json);
      ASSERT_FALSE(whole.empty());
      writer one{minor, json};
      EXPECT_TRUE(whole.starts_with(one.attached()));
      if (ends) {
        EXPECT_NE(whole.find(one.end()), std::string::npos);
      }
      for (const auto& map : maps) {
        const auto text = one.print(map);
        EXPECT_NE(whole.find(text), std::string::npos) << text;
      }
    }
}

TEST(BpftracePrinter, WritesScalarsAndStatsAsTheRealOnes) {
  using t = map_type;
  expect_in(
    "scalars",
    {{"@n", t::count, {}, {{{}, {}, 3, 0}}},
     {"@s", t::sum, {}, {{{}, {}, 42, 0}}},
     {"@a", t::avg, {}, {{{}, {}, 12, 0}}},
     {"@st", t::stats, {}, {{{}, {}, 350, 2}}},
     {"@k_n", t::count, {}, {{{"one"}, {}, 1, 0}, {{"two"}, {}, 2, 0}}},
     {"@k_s", t::sum, {}, {{{"two", "2"}, {}, 5, 0}, {{"one", "1"}, {}, 7, 0}}},
     {"@k_a", t::avg, {}, {{{"2"}, {}, 1, 0}, {{"1"}, {}, 3, 0}}},
     {"@k_st", t::stats, {}, {{{"y"}, {}, 7, 2}, {{"x"}, {}, 9, 1}}}},
    true);
}

TEST(BpftracePrinter, WritesHistogramsOfTheWholeRangeAsTheRealOnes) {
  std::map<std::int64_t, std::uint64_t> rows{
    {element::below, 1}, {0, 1}, {1, 1}, {2, 2}};
  // 1023, 1024, 2^20-1 ... as in the script.
  for (const auto power : {9, 10, 19, 20, 30, 31, 35, 45, 55, 62})
    rows[std::int64_t{1} << power] = 1;
  expect_in("hist-whole-range",
            {{"@h", map_type::hist, {}, {{{}, rows, 0, 0}}},
             {"@only_negative", map_type::hist, {}, {{{}, {{-1, 1}}, 0, 0}}},
             {"@gap",
              map_type::hist,
              {},
              {{{"hi"}, {{std::int64_t{1} << 50, 1}}, 0, 0},
               {{"lo"}, {{1, 1}, {524288, 1}}, 0, 0}}}},
            true);
}

TEST(BpftracePrinter, WritesEachGenerationsJsonKeys) {
  const printed map{"@calls",
                    map_type::count,
                    {},
                    {{{"(sd-pam)"}, {}, 1, 0},
                     {{"caf\xc3\xa9"}, {}, 2, 0},
                     {{"say \"hi\""}, {}, 3, 0},
                     {{"back\\slash"}, {}, 4, 0}}};
  const std::pair<int, const char*> cases[] = {
    {16, "\"(sd-pam)\": 1, \"caf\xc3\xa9\": 2, "
         R"x("say \"hi\"": 3, "back\\slash": 4)x"},
    {17, R"x("(sd-pam)": 1, "caf\uffffffc3\uffffffa9": 2, )x"
         R"x("say \"hi\"": 3, "back\\slash": 4)x"},
    {23, R"x("(sd-pam)": 1, "caf\\uffffffc3\\uffffffa9": 2, )x"
         R"x("say \\\"hi\\\"": 3, "back\\\\slash": 4)x"},
    {27, R"x("sd-pam": 1, "caf\uffffffc3\uffffffa9": 2, )x"
         R"x("say\"hi\"": 3, "back\\slash": 4)x"}};
  for (const auto& [minor, keys] : cases) {
    writer one{minor, true};
    EXPECT_EQ(one.print(map),
              std::string{R"({"type": "map", "data": {"@calls": {)"} + keys
                + "}}}\n");
  }
}

TEST(BpftracePrinter, CountsInHexadecimalAfterAnEscapeFrom024) {
  const printed hist{"@h", map_type::hist, {}, {{{}, {{4, 27}}, 0, 0}}};
  const printed odd{"@c", map_type::count, {}, {{{"\x01"}, {}, 27, 0}}};
  for (const auto minor : {23, 24}) {
    writer one{minor, true};
    EXPECT_NE(one.print(hist).find(R"("count": 27)"), std::string::npos);
    (void)one.print(odd);
    EXPECT_NE(
      one.print(hist).find(minor == 23 ? R"("count": 27)" : R"("count": 1b)"),
      std::string::npos);
  }
}

TEST(BpftracePrinter, WritesTheLabelsOfEachGeneration) {
  const auto text = [](int minor, map_type type, lhist_bounds bounds,
                       std::int64_t low) {
    writer one{minor, false};
    const auto whole =
      one.print({"@h", type, bounds, {{{}, {{low, 1}}, 0, 0}}});
    const auto begin = whole.find('\n') + 1;
    return whole.substr(begin, whole.find_first_of(")]", begin) + 1 - begin);
  };
  const lhist_bounds fine{0, 2'000'000'000, 100'000'000};
  using t = map_type;
  EXPECT_EQ(text(17, t::lhist, {0, 10, 1}, 3), "[3, 4)");
  EXPECT_EQ(text(27, t::lhist, {0, 10, 1}, 3), "[3]");
  EXPECT_EQ(text(17, t::lhist, fine, 1'500'000'000), "[1500000000, 1562500K)");
  EXPECT_EQ(text(23, t::lhist, fine, 1'500'000'000),
            "[1500000000, 1600000000)");
  EXPECT_EQ(text(23, t::lhist, {0, 10240, 1024}, 1024), "[1K, 2K)");
  EXPECT_EQ(text(23, t::lhist, {100, 200, 10}, 200), "[200, ...)");
  EXPECT_EQ(text(23, t::lhist, {100, 200, 10}, element::below), "(..., 100)");
  EXPECT_EQ(text(19, t::hist, {}, std::int64_t{1} << 40), "[2G, 4G)");
  EXPECT_EQ(text(20, t::hist, {}, std::int64_t{1} << 40), "[1T, 2T)");
  EXPECT_EQ(text(23, t::hist, {}, std::int64_t{1} << 62), "[4E, 8E)");
}

} // namespace
} // namespace bpf2graphite::printer
