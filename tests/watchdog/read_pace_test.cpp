#include "actors/watchdog/read_pace.hpp"

#include <gtest/gtest.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t capacity = 64 << 10;

TEST(ReadPace, WaitsLongWhileLittleComes) {
  read_pace pace{250ms};
  for (int i = 0; i < 100; ++i)
    pace.drained(1000, capacity);
  EXPECT_EQ(pace.delay(), 250ms);
}

TEST(ReadPace, HurriesWhenAPipeFillsAndCalmsDownAgain) {
  read_pace pace{250ms};
  pace.drained(capacity / 2 + 1, capacity);
  EXPECT_EQ(pace.delay(), 31250us);
  EXPECT_FALSE(pace.hurried());
  for (int i = 0; i < 3; ++i)
    pace.drained(capacity, capacity);
  EXPECT_EQ(pace.delay(), read_pace::delay_min);
  EXPECT_TRUE(pace.hurried());
  pace.drained(capacity / 3, capacity);
  EXPECT_EQ(pace.delay(), read_pace::delay_min) << "just right";
  int rounds = 0;
  for (; pace.delay() < 250ms; ++rounds)
    pace.drained(100, capacity);
  EXPECT_EQ(rounds, 10);
  pace.drained(100, capacity);
  EXPECT_EQ(pace.delay(), 250ms);
}

TEST(ReadPace, CallsLittleWhatLeavesTimeForALongerPause) {
  EXPECT_TRUE(read_pace::calm(capacity / 4 - 1, capacity));
  EXPECT_FALSE(read_pace::calm(capacity / 4, capacity));
}

TEST(ReadPace, NeverWaitsLongerThanItIsTold) {
  for (auto longest : {0ms, 1ms, 2ms}) {
    read_pace pace{longest};
    EXPECT_EQ(pace.delay(), longest);
    pace.drained(capacity, capacity);
    pace.drained(0, capacity);
    EXPECT_LE(pace.delay(), longest);
  }
}

TEST(ReadPace, DoesNotWaitAtAllForAPipeThatIsMoreThanHalfFull) {
  EXPECT_FALSE(read_pace::urgent(capacity / 2, capacity));
  EXPECT_TRUE(read_pace::urgent(capacity / 2 + 1, capacity));
}

} // namespace
} // namespace bpf2graphite
