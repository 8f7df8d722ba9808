#include "app/book_counts.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace bpf2graphite {
namespace {

std::map<std::string, std::uint64_t>
by_name(const std::vector<named_count>& counts) {
  return {counts.begin(), counts.end()};
}

TEST(BookCounts, HaveEachNameOnce) {
  std::set<std::string_view> names{"refused_lines"};
  for (const auto& entry : trace_counts)
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
  for (const auto& entry : destination_counts)
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
}

TEST(BookCounts, AreReadFromTheBooksByTheirPlace) {
  trace_ledger ledger;
  ledger.values = 20;
  ledger.crash_values = 1;
  ledger.restarts = 4;
  series_state series;
  series.counts.measured = 9;
  series.counts.dropped_keys = 2;
  series.counts.dropped_budget = 3;
  series.open_values = 3;
  series.alive = 25;
  const auto numbers = numbers_of(trace_books{ledger, series});
  EXPECT_EQ(20U, numbers[place_of(trace_counts, "read")]);
  EXPECT_EQ(4U, numbers[place_of(trace_counts, "restarts")]);
  const auto named_ones = by_name(named(numbers));
  EXPECT_EQ(trace_counts.size(), named_ones.size());
  EXPECT_EQ(9U, named_ones.at("measured"));
  EXPECT_EQ(5U, named_ones.at("dropped_values"));
  EXPECT_EQ(3U, named_ones.at("open"));
  EXPECT_EQ(25U, named_ones.at("series"));
  EXPECT_EQ(2U, named_ones.at("on_the_way")) << "20 - 9 - 5 - 3 - 1";
}

TEST(BookCounts, AddUpToTheLedger) {
  trace_numbers traces{};
  traces[place_of(trace_counts, "read")] = 10;
  traces[place_of(trace_counts, "crash")] = 1;
  auto sum = traces;
  add_numbers(sum, traces);
  destination_ledger one;
  one.accepted = 7;
  one.refusals = 2;
  batcher_ledger batcher;
  batcher.crash_points = 5;
  batcher.crash_messages = 6;
  batcher.refused = 8;
  const auto ledger = by_name(ledger_of(sum, batcher, numbers_of(one)));
  EXPECT_EQ(20U, ledger.at("read"));
  EXPECT_EQ(2U + 5U, ledger.at("crash"));
  EXPECT_EQ(6U, ledger.at("crash_messages"));
  EXPECT_EQ(8U, ledger.at("refused_lines"));
  EXPECT_EQ(7U, ledger.at("accepted"));
  EXPECT_EQ(2U, ledger.at("refusals"));
}

} // namespace
} // namespace bpf2graphite
