#include "actors/batcher/clock_watch.hpp"

#include <gtest/gtest.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t t0 = 1'700'000'000'000;

TEST(ClockWatch, TellsOfEachStepOnceWithItsSize) {
  clock_watch watch;
  EXPECT_FALSE(watch.observe(wall_time_from_ms(t0), 5s)) << "nothing before it";
  EXPECT_FALSE(watch.observe(wall_time_from_ms(t0 + 15'000), 20s));
  EXPECT_EQ(watch.observe(wall_time_from_ms(t0 + 7'230'000), 35s), 7'200'000ms);
  EXPECT_FALSE(watch.observe(wall_time_from_ms(t0 + 7'245'000), 50s));
  EXPECT_EQ(watch.observe(wall_time_from_ms(t0 + 60'000), 65s), -7'200'000ms);
  EXPECT_FALSE(watch.observe(wall_time_from_ms(t0 + 75'000), 80s));
}

TEST(ClockWatch, AMinuteIsNoStepAndMinutesDoNotAddUp) {
  clock_watch watch;
  for (auto i = 0; i < 10; ++i)
    EXPECT_FALSE(
      watch.observe(wall_time_from_ms(t0 - i * 60'000), 1s)); // a minute back
  EXPECT_EQ(watch.observe(wall_time_from_ms(t0 - 600'001), 1s), -60'001ms);
}

TEST(ClockWatch, ASuspendIsNoStep) {
  clock_watch watch;
  EXPECT_FALSE(watch.observe(wall_time_from_ms(t0), 1s));
  EXPECT_FALSE(watch.observe(wall_time_from_ms(t0 + 86'400'000), 86'401s));
}

TEST(ClockWatch, TheWordsNameDirectionSizeAndConsequence) {
  EXPECT_NE(clock_step_text(7'200'200ms).find("forward by 7200 s"),
            std::string::npos);
  const auto back = clock_step_text(-7'199'900ms);
  EXPECT_NE(back.find("back by 7200 s"), std::string::npos);
  EXPECT_NE(back.find("slots_rewritten"), std::string::npos);
}

} // namespace
} // namespace bpf2graphite
