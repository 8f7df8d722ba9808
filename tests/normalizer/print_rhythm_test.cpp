#include "actors/normalizer/print_rhythm.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>
#include <vector>

namespace bpf2graphite {
namespace {

constexpr std::int64_t t0 = 1'700'000'010; // a multiple of 15
constexpr auto nothing_sent = std::numeric_limits<std::int64_t>::min() / 2;

slots_config slots(std::int64_t resolution) {
  slots_config config;
  config.resolution = std::chrono::seconds{resolution};
  return config;
}

TEST(SlotOf, RoundsDownAlsoBefore1970) {
  EXPECT_EQ(slot_of(14'999, 15), 0);
  EXPECT_EQ(slot_of(15'000, 15), 15);
  EXPECT_EQ(slot_of(-1, 15), -15);
  EXPECT_EQ(slot_of(-15'000, 15), -15);
}

TEST(PrintRhythm, APrintSpeaksOfTheTimeBeforeIt) {
  print_rhythm rhythm{slots(15)};
  rhythm.opened(t0 * 1000 - 900);
  // Half a second after the boundary, and half a gap is 0.5 s.
  EXPECT_EQ(rhythm.place(t0 * 1000 + 100, false, nothing_sent), t0 - 15);
  EXPECT_EQ(rhythm.place(t0 * 1000 + 1100, false, nothing_sent), t0);
}

TEST(PrintRhythm, TheFirstGapIsTheTimeSinceAttaching) {
  print_rhythm rhythm{slots(15)};
  rhythm.opened((t0 - 60) * 1000);
  rhythm.attached((t0 - 20) * 1000);
  EXPECT_EQ(rhythm.place(t0 * 1000, false, nothing_sent), t0 - 15);
  rhythm.opened((t0 - 60) * 1000);
  EXPECT_EQ(rhythm.place(t0 * 1000, false, nothing_sent), t0 - 30);
}

TEST(PrintRhythm, AMapThatWasEmptyForLongSpeaksOfItsPeriodOnly) {
  print_rhythm rhythm{slots(15), std::chrono::seconds{1}};
  rhythm.opened((t0 - 7200) * 1000);
  // The first print of a life, an hour after it began ...
  EXPECT_EQ(rhythm.place(t0 * 1000 + 600, false, nothing_sent), t0);
  EXPECT_TRUE(rhythm.over(t0, (t0 + 15) * 1000 + 1500));
  // ... and those after: rare ones, five minutes from each other.
  for (auto i = 1; i <= 6; ++i)
    EXPECT_EQ(rhythm.place((t0 + i * 300) * 1000 + 600, false, nothing_sent),
              t0 + i * 300);
  // The dump, too.
  EXPECT_EQ(rhythm.place((t0 + 3000) * 1000 + 600, true, nothing_sent),
            t0 + 3000);
  // Without the period, half of the time since it began: nothing else is known.
  print_rhythm unknown{slots(15)};
  unknown.opened((t0 - 7200) * 1000);
  EXPECT_EQ(unknown.place(t0 * 1000 + 600, false, nothing_sent), t0 - 3600);
}

TEST(PrintRhythm, APeriodLongerThanTheGapsChangesNothing) {
  print_rhythm rhythm{slots(15), std::chrono::seconds{60}};
  rhythm.opened(t0 * 1000 - 900);
  EXPECT_EQ(rhythm.place(t0 * 1000 + 100, false, nothing_sent), t0 - 15);
  EXPECT_EQ(rhythm.place(t0 * 1000 + 1100, false, nothing_sent), t0);
}

TEST(PrintRhythm, OnePauseChangesNothing) {
  print_rhythm rhythm{slots(15)};
  rhythm.opened(t0 * 1000);
  for (auto i = 1; i <= 5; ++i)
    rhythm.place(t0 * 1000 + i * 1000, false, nothing_sent);
  // 20 s later than due; still half a second before the arrival.
  EXPECT_EQ(rhythm.place((t0 + 30) * 1000 + 600, false, nothing_sent), t0 + 30);
}

/// Prints with a gap of about the resolution, whatever their phase, jitter up
/// to `jitter_ms`: how many go to each slot.
std::map<std::int64_t, int> prints_per_slot(std::int64_t resolution,
                                            double gap_ms, std::int64_t phase,
                                            int jitter_ms, int prints) {
  print_rhythm rhythm{slots(resolution)};
  std::mt19937 random{7};
  std::uniform_int_distribution<int> jitter{-jitter_ms, jitter_ms};
  const auto begin = t0 / 60 * 60 * 1000 + phase;
  rhythm.opened(begin);
  std::map<std::int64_t, int> result;
  for (auto i = 1; i <= prints; ++i) {
    const auto at =
      begin + static_cast<std::int64_t>(i * gap_ms) + jitter(random);
    const auto slot = rhythm.place(at, false, nothing_sent);
    EXPECT_LE(slot * 1000, at);
    ++result[slot];
  }
  return result;
}

TEST(PrintRhythm, AGapOfTheResolutionGivesOnePrintASlotAtEveryPhase) {
  for (const auto resolution : {1, 15, 60})
    for (auto phase = 0; phase < resolution * 1000; phase += 50) {
      const auto jitter = std::min(resolution * 20, 100);
      const auto per_slot =
        prints_per_slot(resolution, resolution * 1000, phase, jitter, 200);
      EXPECT_EQ(per_slot.size(), 200u) << resolution << " s, phase " << phase;
    }
}

TEST(PrintRhythm, AGapNearTheResolutionSkipsOrDoublesOnlyWhereItMust) {
  struct {
    double gap_ms;
    std::size_t uneven_max; // slots with two prints, or with none
  } cases[] = {
    {15'001, 1}, {14'999, 1}, {15'300, 5}, {14'700, 5}, {15'700, 10}};
  for (const auto& one : cases)
    for (auto phase = 0; phase < 15'000; phase += 500) {
      const auto per_slot = prints_per_slot(15, one.gap_ms, phase, 50, 200);
      auto uneven = std::size_t{0};
      auto slot = per_slot.begin()->first;
      for (const auto& [start, prints] : per_slot) {
        uneven += static_cast<std::size_t>((start - slot) / 15);
        uneven += static_cast<std::size_t>(prints - 1);
        slot = start + 15;
      }
      EXPECT_LE(uneven, one.uneven_max)
        << "gap " << one.gap_ms << ", phase " << phase;
    }
}

TEST(PrintRhythm, FivePercentFromTheResolutionIsTheEndOfTheLock) {
  struct {
    std::int64_t gap_ms;
    bool locked;
  } cases[] = {{15'000, true},  {15'750, true}, {15'751, false}, {14'250, true},
               {14'249, false}, {7500, false},  {30'000, false}, {1000, false}};
  for (const auto& one : cases) {
    print_rhythm rhythm{slots(15)};
    rhythm.opened(t0 * 1000);
    for (auto i = 1; i <= 5; ++i)
      rhythm.place(t0 * 1000 + i * one.gap_ms, false, nothing_sent);
    EXPECT_EQ(rhythm.locked(), one.locked) << one.gap_ms;
  }
}

TEST(PrintRhythm, ManyPrintsASlotAreEvenUpToOne) {
  const auto per_slot = prints_per_slot(15, 1000, 0, 20, 600);
  auto at = ++per_slot.begin();
  for (; std::next(at) != per_slot.end(); ++at) {
    EXPECT_GE(at->second, 14);
    EXPECT_LE(at->second, 16);
  }
}

TEST(PrintRhythm, AMissedPrintSetsTheLockAnew) {
  print_rhythm rhythm{slots(15)};
  rhythm.opened((t0 - 15) * 1000 + 7000);
  for (auto i = 0; i < 4; ++i)
    EXPECT_EQ(rhythm.place((t0 + i * 15) * 1000 + 7000, false, nothing_sent),
              t0 + (i - 1) * 15);
  EXPECT_TRUE(rhythm.locked());
  // The print at t0 + 67 is missing.
  EXPECT_EQ(rhythm.place((t0 + 75) * 1000 + 7000, false, nothing_sent),
            t0 + 60);
}

TEST(PrintRhythm, TheFinalDumpIsOutsideTheLock) {
  print_rhythm rhythm{slots(15)};
  rhythm.opened((t0 - 15) * 1000 + 8000);
  for (auto i = 0; i < 4; ++i)
    rhythm.place((t0 + i * 15) * 1000 + 8000, false, nothing_sent);
  // One second after the last print: it speaks of that second.
  EXPECT_EQ(rhythm.place((t0 + 54) * 1000, true, nothing_sent), t0 + 45);
}

TEST(PrintRhythm, ASlotIsOverGraceAndHalfAGapAfterItsEnd) {
  print_rhythm rhythm{slots(15)};
  rhythm.opened(t0 * 1000);
  for (auto i = 1; i <= 5; ++i)
    rhythm.place(t0 * 1000 + i * 2000, false, nothing_sent);
  const auto end = (t0 + 15) * 1000;
  EXPECT_FALSE(rhythm.over(t0, end + 1999));
  EXPECT_TRUE(rhythm.over(t0, end + 2000));
}

TEST(PrintRhythm, ALockedSlotIsOverAtItsEndOnceItsPrintCame) {
  print_rhythm rhythm{slots(15)};
  rhythm.opened((t0 - 15) * 1000 + 10'000);
  rhythm.place(t0 * 1000 + 10'000, false, nothing_sent);
  const auto slot =
    rhythm.place((t0 + 15) * 1000 + 10'000, false, nothing_sent);
  ASSERT_EQ(slot, t0 + 15);
  EXPECT_FALSE(rhythm.over(slot, (t0 + 30) * 1000 - 1));
  EXPECT_TRUE(rhythm.over(slot, (t0 + 30) * 1000));
  EXPECT_FALSE(rhythm.over(slot + 15, (t0 + 45) * 1000 + 8499));
  EXPECT_TRUE(rhythm.over(slot + 15, (t0 + 45) * 1000 + 8500));
}

TEST(PrintRhythm, TheLockDoesNotLeadToASlotThatWasSent) {
  print_rhythm rhythm{slots(15)};
  rhythm.opened((t0 - 15) * 1000 + 22'300);
  // It speaks of t0 + 14.8 s, the next one of t0 + 30 s: a slot would be left.
  ASSERT_EQ(rhythm.place(t0 * 1000 + 22'300, false, nothing_sent), t0);
  auto other = rhythm;
  const auto next = (t0 + 15) * 1000 + 22'700;
  EXPECT_EQ(rhythm.place(next, false, nothing_sent), t0 + 15);
  EXPECT_EQ(other.place(next, false, t0 + 15), t0 + 30);
}

} // namespace
} // namespace bpf2graphite
