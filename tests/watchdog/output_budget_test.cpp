#include "actors/watchdog/output_budget.hpp"

#include <gtest/gtest.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

const output_budget::clock::time_point start{1h};

TEST(OutputBudget, LetsEverythingPassWhenItIsOff) {
  output_budget budget{0, start};
  EXPECT_EQ(budget.room(start), SIZE_MAX);
  budget.take(SIZE_MAX);
  EXPECT_EQ(budget.room(start), SIZE_MAX);
  EXPECT_FALSE(budget.flooding(start + 1h));
}

TEST(OutputBudget, HasFiveSecondsForABurst) {
  output_budget budget{1'000'000, start};
  EXPECT_EQ(budget.room(start), 5'000'000u);
  budget.take(5'000'000);
  EXPECT_EQ(budget.room(start), 0u);
  auto next = budget.next();
  EXPECT_EQ(budget.room(next - 1ms), 0u);
  EXPECT_GE(budget.room(next), output_budget::step_bytes_max);
  EXPECT_LT(next, start + 66ms);
}

TEST(OutputBudget, KeepsAFloodAtItsRateAndThenCallsItOne) {
  output_budget budget{1'000'000, start};
  std::uint64_t read = 0;
  auto now = start;
  while (!budget.flooding(now) && now < start + 1min) {
    auto room = budget.room(now);
    budget.take(room);
    read += room;
    now = room == 0 ? budget.next() : now;
  }
  EXPECT_GE(now, start + output_budget::patience);
  EXPECT_LT(now, start + output_budget::patience + 1s);
  EXPECT_NEAR(static_cast<double>(read), 15e6, 1e5);
}

TEST(OutputBudget, ForgivesOneThatCalmsDown) {
  output_budget budget{1'000'000, start};
  budget.take(5'000'000);
  EXPECT_EQ(budget.room(start), 0u);
  EXPECT_GT(budget.room(start + 1s), 0u);
  EXPECT_FALSE(budget.flooding(start + 1h));
}

TEST(OutputBudget, NeverStandsStillHoweverSmall) {
  output_budget budget{1, start};
  budget.take(5);
  EXPECT_EQ(budget.room(start), 0u);
  EXPECT_EQ(budget.room(start + 1s), 1u);
}

} // namespace
} // namespace bpf2graphite
