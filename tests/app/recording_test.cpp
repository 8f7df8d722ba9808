#include "app/recording.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using order = recording_end::order;

constexpr auto everything = std::numeric_limits<std::uint64_t>::max();

wall_time at_ms(std::int64_t ms) {
  return wall_time_from_ms(ms);
}

TEST(RecordingTimes, WhatIsWrittenIsRead) {
  const recording_head head{"bpftrace v0.17.0", at_ms(1'572'824'522'007)};
  auto text = to_text(head) + times_line(250ms, 51) + times_line(957ms, 210);
  EXPECT_EQ(text, "# version bpftrace v0.17.0\n# began 1572824522.007\n"
                  "250 51\n957 210\n");
  arrival_times times{at_ms(0)};
  ASSERT_TRUE(times.read(text));
  EXPECT_EQ(times.head(), head);
  times.begin_at(*times.head().began);
  EXPECT_EQ(times.at(0), (std::pair{51UL, at_ms(1'572'824'522'257)}));
  EXPECT_EQ(times.at(50), (std::pair{1UL, at_ms(1'572'824'522'257)}));
  EXPECT_EQ(times.at(51), (std::pair{159UL, at_ms(1'572'824'522'964)}));
  EXPECT_EQ(times.at(210), (std::pair{everything, at_ms(1'572'824'522'964)}));
}

TEST(RecordingTimes, AHeadIsNotNeededAndUnknownLinesOfItArePassedOver) {
  arrival_times times{at_ms(5'000)};
  ASSERT_TRUE(times.read("# from the corpus\n#\n0 4\n\n"));
  EXPECT_EQ(times.head(), recording_head{});
  EXPECT_EQ(times.at(0), (std::pair{4UL, at_ms(5'000)}));
}

TEST(RecordingTimes, WithoutTimesEverythingCameAtTheStart) {
  arrival_times times{at_ms(7)};
  EXPECT_TRUE(times.read(""));
  EXPECT_EQ(times.at(99), (std::pair{everything, at_ms(7)}));
}

TEST(RecordingTimes, RefusesWhatIsNone) {
  for (const char* text :
       {"x 1\n", "1\n", "1 \n", "1 x\n", "1 2 3\n", "5 1\n4 2\n", "1 9\n2 8\n",
        "# began soon\n", "# began 12\n", "# began 12.1\n", "# began 12.1234\n",
        "# began 99999999999999999999.000\n", "# began 12.+12\n",
        "99999999999999999999 1\n"}) {
    arrival_times times{at_ms(0)};
    EXPECT_FALSE(times.read(text)) << text;
  }
}

TEST(RecordingTimes, AVersionThatWouldForgeLinesIsLeftOut) {
  EXPECT_EQ(to_text({"v1\n0 99", std::nullopt}), "");
}

const recording_end::time start{1'000s};

TEST(RecordingEnd, InterruptsAgainOnlyAfterSilence) {
  recording_end end{10s};
  EXPECT_FALSE(end.deadline(start));
  EXPECT_EQ(end.due(start + 1h, start), order::none);
  EXPECT_FALSE(end.asked());
  EXPECT_EQ(end.ask(start), order::interrupt);
  EXPECT_TRUE(end.asked());
  EXPECT_EQ(end.deadline(start - 5s), start + 2s);
  EXPECT_EQ(end.due(start + 1999ms, start), order::none);
  // It prints its maps: the silence begins anew.
  EXPECT_EQ(end.due(start + 2s, start + 500ms), order::none);
  EXPECT_EQ(end.due(start + 2500ms, start + 500ms), order::interrupt);
  EXPECT_EQ(end.deadline(start + 500ms), start + 4500ms);
}

TEST(RecordingEnd, KillsAfterItsTimeHoweverMuchIsPrinted) {
  recording_end end{5s};
  EXPECT_EQ(end.ask(start), order::interrupt);
  EXPECT_EQ(end.due(start + 4999ms, start + 4999ms), order::none);
  EXPECT_EQ(end.due(start + 5s, start + 5s), order::kill);
  EXPECT_FALSE(end.deadline(start + 5s));
  EXPECT_EQ(end.due(start + 1h, start), order::none);
}

TEST(RecordingEnd, ASecondWishKillsAtOnce) {
  recording_end end{5s};
  EXPECT_EQ(end.ask(start), order::interrupt);
  EXPECT_EQ(end.ask(start + 1ms), order::kill);
  EXPECT_FALSE(end.deadline(start));
}

} // namespace
} // namespace bpf2graphite
