#include "actors/histogram_parser/loss_report.hpp"

#include <gtest/gtest.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

struct LossReport : ::testing::Test {
  trace_ledger books;
  loss_report report;

  std::vector<std::string> look(std::chrono::seconds at, bool all = false) {
    return report.look(books, loss_report::clock::time_point{1000s + at}, all);
  }
};

TEST_F(LossReport, SaysNothingWhileNothingIsLost) {
  books.values += 5;
  EXPECT_TRUE(look(0s).empty());
  EXPECT_TRUE(look(0s, true).empty());
}

TEST_F(LossReport, TellsALossAtOnce) {
  books.lost_events += 5;
  auto told = look(0s);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_TRUE(told[0].starts_with("5 events were lost by bpftrace: "))
    << told[0];
}

TEST_F(LossReport, TellsWhatCameMeanwhileOnceAMinute) {
  books.lost_events += 1;
  EXPECT_TRUE(look(0s)[0].starts_with("1 event was lost"));
  books.lost_events += 7;
  EXPECT_TRUE(look(59s).empty());
  books.lost_events += 1;
  auto told = look(60s);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_TRUE(told[0].starts_with("8 events were lost")) << told[0];
  EXPECT_TRUE(look(200s).empty());
}

TEST_F(LossReport, TellsAllWhenTheOutputHasEnded) {
  books.rejected += 1;
  look(0s);
  books.rejected += 2;
  EXPECT_TRUE(look(1s).empty());
  EXPECT_EQ(look(1s, true).size(), 1U);
}

TEST_F(LossReport, TellsEachKindOnItsOwn) {
  books.lost_events += 1;
  books.map_full += 1;
  books.helper_errors += 1;
  books.rejected += 1;
  books.invalid += 1;
  books.lines_discarded += 1;
  EXPECT_EQ(look(0s).size(), 6U);
  books.map_full += 3;
  EXPECT_EQ(look(61s).size(), 1U);
}

} // namespace
} // namespace bpf2graphite
