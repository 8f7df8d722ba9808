#include "actors/batcher/tick_times.hpp"

#include <gtest/gtest.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

wall_time at(std::int64_t ms) {
  return wall_time_from_ms(ms);
}

TEST(TickTimes, AreAlignedToTheWallClockAndTheOffset) {
  struct {
    std::int64_t now;
    std::chrono::milliseconds interval;
    std::chrono::milliseconds offset;
    std::chrono::milliseconds expected;
  } cases[] = {
    {1'500'000, 15s, 0s, 15s}, // on a tick: the next one
    {1'500'001, 15s, 0s, 14'999ms},
    {1'514'999, 15s, 0s, 1ms},
    {1'500'000, 15s, 4s, 4s},
    {1'504'000, 15s, 4s, 15s},
    {1'505'000, 15s, 4s, 14s},
    {1'500'250, 1s, 0s, 750ms},
    {0, 15s, 4s, 4s},
    {1'500'000, 15s, 15s, 15s}, // an offset of a whole interval is none
  };
  for (auto& c : cases)
    EXPECT_EQ(time_to_tick(at(c.now), c.interval, c.offset), c.expected)
      << c.now;
}

TEST(TickTimes, DoNotTickTwiceWhenATimerIsALittleEarlyOrLate) {
  struct {
    std::int64_t now;
    std::chrono::milliseconds expected;
  } cases[] = {
    {1'515'000, 15s},
    {1'514'997, 15'003ms},
    {1'515'080, 14'920ms},
  };
  for (auto& c : cases)
    EXPECT_EQ(time_after_tick(at(c.now), 15s, 0s), c.expected) << c.now;
}

TEST(TickTimes, ComeBackIntoLineSlowlyAfterTheClockWasSet) {
  for (std::int64_t step : {7'201'500, -7'201'500, 1'000, -3'600'000, 6'900}) {
    auto now = 1'700'000'010'000 + step; // a tick at the old time
    int ticks = 0;
    for (; (now % 15'000) != 0; ++ticks) {
      auto pause = time_after_tick(at(now), 15s, 0s);
      ASSERT_LE(pause, 15'400ms);
      ASSERT_GE(pause, 14'600ms);
      now += pause.count();
      ASSERT_LT(ticks, 30);
    }
  }
}

TEST(TickTimes, KeepShortIntervals) {
  for (std::int64_t now = 1'000'000; now < 1'002'000; ++now) {
    auto pause = time_after_tick(at(now), 1s, 300ms);
    ASSERT_GE(pause, 750ms);
    ASSERT_LE(pause, 1250ms);
  }
}

} // namespace
} // namespace bpf2graphite
