#include "actors/watchdog/last_words.hpp"

#include <gtest/gtest.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using words = std::vector<std::string>;

const last_words::clock::time_point start{1h};

TEST(LastWords, GivesWholeLinesHoweverTheyAreCut) {
  last_words said;
  EXPECT_EQ(said.add("WARN", start), words{});
  EXPECT_EQ(said.add("ING: a\n\n  \nERROR: b\r\nrest", start),
            (words{"WARNING: a", "ERROR: b\r"}));
  EXPECT_EQ(said.text(), "WARNING: a\n\n  \nERROR: b\r\nrest");
}

TEST(LastWords, KeepsTheEndOnly) {
  last_words said;
  std::string all;
  for (int i = 0; i < 5000; ++i) {
    auto piece = std::to_string(i) + '\n';
    said.add(piece, start);
    all += piece;
    ASSERT_LE(said.text().size(), last_words::kept_bytes_max);
  }
  EXPECT_EQ(said.text(), all.substr(all.size() - last_words::kept_bytes_max));
  said.add(std::string(100'000, 'x'), start);
  EXPECT_EQ(said.text(), std::string(last_words::kept_bytes_max, 'x'));
}

TEST(LastWords, CutsALongLine) {
  last_words said;
  said.add(std::string(150, 'a'), start);
  said.add(std::string(150, 'b'), start);
  EXPECT_EQ(
    said.add("\nnext\n", start),
    (words{std::string(150, 'a') + std::string(50, 'b') + " ...", "next"}));
}

TEST(LastWords, LogsAFewLinesAndCountsTheRest) {
  last_words said;
  std::size_t logged = 0;
  for (int i = 0; i < 1000; ++i)
    logged +=
      said.add("line " + std::to_string(i) + '\n', start + i * 1ms).size();
  EXPECT_EQ(logged, last_words::lines_max);
  EXPECT_EQ(said.add("later\n", start + 60s),
            (words{"later (990 lines before this left out)"}));
}

TEST(LastWords, LogsWhatEachProcessRepeatsOnceInTenMinutes) {
  last_words said;
  EXPECT_EQ(said.add("ERROR: no luck\n", start), words{"ERROR: no luck"});
  for (int i = 1; i < 20; ++i) {
    said.start_over();
    EXPECT_EQ(said.add("ERROR: no luck\n", start + i * 30s), words{}) << i;
    EXPECT_EQ(said.text(), "ERROR: no luck\n");
  }
  EXPECT_EQ(said.add("ERROR: no luck\n", start + 600s),
            words{"ERROR: no luck (19 lines before this left out)"});
}

TEST(LastWords, LogsALossBehindManyLines) {
  last_words said;
  for (int i = 0; i < 50; ++i)
    said.add("stdin:1-2: WARNING: " + std::to_string(i) + " is not traceable\n",
             start);
  EXPECT_EQ(
    said.add("WARNING: could not attach probe kprobe:x, skipping.\n", start),
    (words{"WARNING: could not attach probe kprobe:x, skipping. (40 lines "
           "before this left out)"}));
  std::size_t logged = 0;
  for (int i = 0; i < 1000; ++i)
    logged +=
      said
        .add("WARNING: Unable to attach probe " + std::to_string(i) + "\n",
             start)
        .size();
  EXPECT_EQ(logged, last_words::losses_max - 1);
}

TEST(LastWords, ForgetsTheWordsOfTheOneBefore) {
  last_words said;
  said.add("old\nhalf", start);
  said.start_over();
  EXPECT_EQ(said.text(), "");
  EXPECT_EQ(said.add("new\n", start), (words{"new"}));
}

TEST(Loss, IsAProbeThatIsNotAttached) {
  for (auto* line :
       {"WARNING: could not attach probe kprobe:vfs_create, skipping.",
        "WARNING: Unable to attach probe: kprobe:nothing. Skipping.",
        "WARNING: Could not read symbols from "
        "/sys/kernel/debug/tracing/available_filter_functions: Operation not "
        "permitted"})
    EXPECT_TRUE(is_loss(line)) << line;
  EXPECT_FALSE(is_loss("stdin:1-2: WARNING: x is not traceable"));
}

TEST(Noise, IsTheComplaintThatEveryStartBrings) {
  EXPECT_TRUE(is_noise("ERROR: Unknown error -1: couldn't set RLIMIT_MEMLOCK "
                       "for bpftrace. If your program is not loading, ..."));
  EXPECT_FALSE(is_noise("ERROR: Unknown function: foo"));
}

} // namespace
} // namespace bpf2graphite
