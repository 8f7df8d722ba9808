#include "app/top_screen.hpp"

#include <boost/json.hpp>
#include <gtest/gtest.h>

#include <algorithm>

namespace bpf2graphite {
namespace {

namespace json = boost::json;

json::value document(int traces) {
  json::array all;
  for (int i = 0; i < traces; ++i) {
    json::array slots;
    for (int n = 0; n < 60; ++n)
      slots.push_back(json::object{
        {"slot", 15 * n},
        {"counts", json::array{json::array{0, n}, json::array{2, 1000}}}});
    all.push_back(json::object{
      {"name", "trace-" + std::to_string(i)},
      {"state", i == 1 ? "failing" : "running"},
      {"reason", i == 1 ? "no such probe\x1b[2J" : ""},
      {"counts", json::object{{"read", 100 + i}, {"series", 25}}},
      {"history", json::array{json::object{
                    {"map", "@usecs"},
                    {"rows", json::array{json::array{4, 7}, json::array{8, 15},
                                         json::array{1024, 2047}}},
                    {"slots", std::move(slots)}}}}});
  }
  return json::object{
    {"version", "1.0.0"},
    {"host", "h"},
    {"now", 1000},
    {"started", 100},
    {"resolution", 15},
    {"traces", std::move(all)},
    {"destinations", json::array{json::object{
                       {"name", "localhost:2003"},
                       {"state", ""},
                       {"counts", json::object{{"accepted", 12345678}}}}}}};
}

/// Cells on the screen, escapes left out.
std::size_t cells(const std::string& line) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < line.size(); ++i)
    if (line[i] == '\x1b')
      i = line.find('m', i);
    else
      ++n;
  return n;
}

bool holds(const std::vector<std::string>& lines, std::string_view text) {
  return std::any_of(lines.begin(), lines.end(), [&](const auto& line) {
    return line.find(text) != std::string::npos;
  });
}

TEST(TopScreen, FitsEveryTerminal) {
  for (auto colours : {top_colours::none, top_colours::few, top_colours::many})
    for (std::size_t rows : {1, 5, 24, 60})
      for (std::size_t columns : {1, 9, 40, 80, 200})
        for (int traces : {0, 1, 3, 300}) {
          auto lines = top_screen(document(traces), nullptr,
                                  {.rows = rows,
                                   .columns = columns,
                                   .colours = colours,
                                   .selected = 2,
                                   .map = 0});
          EXPECT_LE(lines.size(), rows);
          for (const auto& line : lines)
            EXPECT_LE(cells(line), columns) << line;
        }
}

TEST(TopScreen, DrawsTheSelectedTrace) {
  auto lines = top_screen(document(3), nullptr, {.selected = 2});
  EXPECT_TRUE(holds(lines, ">trace-2"));
  EXPECT_TRUE(holds(lines, "trace-2 @usecs: 60 slots of 15 s, brightest 1000"));
  EXPECT_TRUE(holds(lines, "      1K @@@@@@@@"));
  EXPECT_TRUE(holds(lines, "12.3M accepted"));
}

TEST(TopScreen, LetsNoDataMoveTheCursor) {
  auto lines = top_screen(document(2), nullptr, {.selected = 1});
  EXPECT_TRUE(holds(lines, "no such probe\\x1b[2J"));
}

TEST(TopScreen, CountsRatesFromTwoDocuments) {
  auto before = document(1);
  auto now = document(1);
  now.as_object()["now"] = 1002;
  now.as_object()["traces"].as_array()[0].at("counts").as_object()["read"] =
    600;
  auto lines = top_screen(now, before, {});
  EXPECT_TRUE(holds(lines, " 250 ")) << "500 values in 2 s";
}

TEST(TopScreen, TakesADocumentOfAnotherVersion) {
  for (const char* text :
       {"null", "[]", "{}", R"({"traces":[1,{"history":[{"rows":[1],"slots":[2]}
        ]}]})",
        R"({"traces":[{"name":7,"history":[{"rows":[[1,1]],"slots":
           [{"counts":[[9,9],["a",1],[0]]}]}]}]})"})
    EXPECT_NO_THROW(top_screen(json::parse(text), nullptr, {})) << text;
}

TEST(TopTable, IsPlainAndWhole) {
  auto text = top_table(document(50));
  EXPECT_EQ(std::string::npos, text.find('\x1b'));
  EXPECT_NE(std::string::npos, text.find("trace-49"));
  EXPECT_EQ(std::string::npos, text.find("@usecs"));
}

} // namespace
} // namespace bpf2graphite
