#include "actors/supervisor/supervision.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace bpf2graphite::supervision {
namespace {

using namespace std::chrono_literals;

const clock::time_point start{1h};

TEST(Affected, IsWhoTheStrategyTakesDown) {
  struct row {
    const char* name;
    strategy how;
    std::size_t failed;
    index_range expected;
  };
  const row rows[] = {
    {"one alone", strategy::one_for_one, 1, {1, 2}},
    {"the rest", strategy::rest_for_one, 1, {1, 4}},
    {"the first takes all the rest", strategy::rest_for_one, 0, {0, 4}},
    {"the last alone", strategy::rest_for_one, 3, {3, 4}},
    {"all", strategy::one_for_all, 2, {0, 4}},
  };
  for (const auto& row : rows)
    EXPECT_EQ(affected(row.how, row.failed, 4), row.expected) << row.name;
}

TEST(RestartWindow, AdmitsAsManyAsAllowedAndNoMore) {
  restart_window window{{.max_restarts = 3, .period = 60s}};
  EXPECT_TRUE(window.admit(start));
  EXPECT_TRUE(window.admit(start + 1s));
  EXPECT_TRUE(window.admit(start + 2s));
  EXPECT_FALSE(window.admit(start + 3s));
}

TEST(RestartWindow, ForgetsWhatIsOlderThanThePeriod) {
  restart_window window{{.max_restarts = 1, .period = 60s}};
  EXPECT_TRUE(window.admit(start));
  EXPECT_FALSE(window.admit(start + 60s)) << "the period includes its end";
  EXPECT_TRUE(window.admit(start + 60s + 61s));
}

TEST(RestartWindow, RefusesUntilTheBadPeriodHasPassed) {
  restart_window window{{.max_restarts = 2, .period = 10s}};
  EXPECT_TRUE(window.admit(start));
  EXPECT_TRUE(window.admit(start + 1s));
  for (int i = 2; i < 1000; ++i)
    EXPECT_FALSE(window.admit(start + i * 1s)) << i;
  EXPECT_TRUE(window.admit(start + 1011s));
}

TEST(Backoff, DoublesUpToItsMaximum) {
  backoff timing{{.initial = 200ms, .max = 3s, .healthy_after = 60s}};
  std::vector<milliseconds> delays;
  for (int i = 0; i < 7; ++i)
    delays.push_back(timing.next(start, 1.0));
  EXPECT_EQ(delays, (std::vector<milliseconds>{200ms, 400ms, 800ms, 1600ms, 3s,
                                               3s, 3s}));
}

TEST(Backoff, DrawsBetweenNothingAndTheCap) {
  const backoff_limits limits{.initial = 200ms, .max = 30s};
  EXPECT_EQ(backoff{limits}.next(start, 0.0), 0ms);
  EXPECT_EQ(backoff{limits}.next(start, 0.25), 50ms);
  EXPECT_EQ(backoff{limits}.next(start, 1.0), 200ms);
  EXPECT_EQ(backoff{limits}.next(start, 7.0), 200ms) << "not a share";
  EXPECT_EQ(backoff{limits}.next(start, -1.0), 0ms) << "not a share";
}

TEST(Backoff, IsShortAgainAfterHealth) {
  backoff timing{{.initial = 200ms, .max = 30s, .healthy_after = 60s}};
  EXPECT_FALSE(timing.healthy_at());
  EXPECT_EQ(timing.next(start, 1.0), 200ms);
  EXPECT_EQ(timing.next(start + 1s, 1.0), 400ms);
  // Health is counted from the restart, not from the failure.
  ASSERT_TRUE(timing.healthy_at());
  EXPECT_EQ(*timing.healthy_at(), start + 1s + 400ms + 60s);
  auto unwell = timing;
  EXPECT_EQ(unwell.next(start + 61s + 399ms, 1.0), 800ms);
  EXPECT_EQ(timing.next(start + 61s + 400ms, 1.0), 200ms);
}

TEST(Backoff, GoesStraightToTheCapAndStaysThereUntilHealth) {
  backoff timing{{.initial = 200ms, .max = 30s, .healthy_after = 60s}};
  EXPECT_EQ(timing.next_at_cap(start, 1.0), 30s);
  EXPECT_EQ(timing.next(start + 31s, 1.0), 30s);
  EXPECT_EQ(timing.next(start + 31s + 30s + 60s, 1.0), 200ms);
}

} // namespace
} // namespace bpf2graphite::supervision
