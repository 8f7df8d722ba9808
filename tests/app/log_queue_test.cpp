#include "app/log_queue.hpp"

#include <gtest/gtest.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

log_record record(std::string text) {
  log_record result;
  result.text = std::move(text);
  return result;
}

TEST(LogQueue, GivesWhatItGotInOrder) {
  log_queue queue;
  EXPECT_FALSE(queue.pop());
  queue.push(record("one"));
  queue.push(record("two"));
  EXPECT_EQ(queue.pop()->text, "one");
  EXPECT_EQ(queue.pop()->text, "two");
  EXPECT_TRUE(queue.empty());
}

TEST(LogQueue, CountsWhatFindsNoRoomAndSaysItWhereItHappened) {
  log_queue queue;
  for (std::size_t i = 0; i < log_queue::records_max; ++i)
    ASSERT_TRUE(queue.push(record("waits")));
  for (int i = 0; i < 37; ++i)
    EXPECT_FALSE(queue.push(record("lost")));
  EXPECT_EQ(queue.size(), log_queue::records_max);
  EXPECT_EQ(queue.pop()->text, "waits");
  ASSERT_TRUE(queue.push(record("after")));
  for (std::size_t i = 1; i < log_queue::records_max; ++i)
    EXPECT_EQ(queue.pop()->text, "waits");
  auto word = queue.pop();
  EXPECT_TRUE(word->text.starts_with("37 messages dropped")) << word->text;
  EXPECT_EQ(word->level, log_level::warning);
  EXPECT_EQ(queue.pop()->text, "after");
  EXPECT_TRUE(queue.empty());
}

TEST(LogQueue, SaysWhatWasDroppedAlsoWhenNothingComesAfter) {
  log_queue queue;
  for (std::size_t i = 0; i <= log_queue::records_max; ++i)
    queue.push(record("waits"));
  for (std::size_t i = 0; i < log_queue::records_max; ++i)
    queue.pop();
  EXPECT_FALSE(queue.empty());
  EXPECT_TRUE(queue.pop()->text.starts_with("1 messages dropped"));
  EXPECT_FALSE(queue.pop());
  EXPECT_TRUE(queue.empty());
}

TEST(LogQueue, IsBoundedInBytes) {
  log_queue queue;
  std::string large(4'000, 'x');
  std::size_t taken = 0;
  while (queue.push(record(large)))
    ++taken;
  EXPECT_LE(taken * large.size(), log_queue::bytes_max);
  EXPECT_GT((taken + 2) * (large.size() + 300), log_queue::bytes_max);
  EXPECT_EQ(queue.pop()->text.size(), large.size());
  EXPECT_TRUE(queue.push(record(large))) << "the room of the one taken";
}

log_limiter::clock::time_point at(std::chrono::seconds time) {
  return log_limiter::clock::time_point{1000s + time};
}

TEST(LogLimiter, LeavesOutWhatOnePlaceSaysTooOften) {
  log_limiter limiter;
  log_limiter::place here{"", "a.cpp", 1};
  log_limiter::place there{"", "a.cpp", 2};
  log_limiter::place other_trace{"t", "a.cpp", 1};
  for (int i = 0; i < log_limiter::lines_max; ++i)
    EXPECT_TRUE(limiter.admit(here, "said", at(0s)));
  EXPECT_FALSE(limiter.admit(here, "first left out", at(1s)));
  EXPECT_FALSE(limiter.admit(here, "second", at(59s)));
  EXPECT_TRUE(limiter.admit(there, "another place", at(1s)));
  EXPECT_TRUE(limiter.admit(other_trace, "another trace", at(1s)));
  EXPECT_TRUE(limiter.over(at(59s)).empty());
  auto over = limiter.over(at(60s));
  ASSERT_EQ(over.size(), 1U);
  EXPECT_EQ(over[0].count, 2U);
  EXPECT_EQ(over[0].example, "first left out");
  EXPECT_TRUE(limiter.over(at(61s)).empty()) << "said once";
  EXPECT_TRUE(limiter.admit(here, "a new minute", at(60s)));
}

TEST(LogLimiter, GivesWhatWasLeftOutAtTheEnd) {
  log_limiter limiter;
  log_limiter::place here{"t", "a.cpp", 1};
  for (int i = 0; i < log_limiter::lines_max + 5; ++i)
    limiter.admit(here, "x", at(0s));
  auto rest = limiter.rest();
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].count, 5U);
  EXPECT_EQ(rest[0].trace, "t");
  EXPECT_TRUE(limiter.rest().empty());
}

TEST(LogLimiter, ForgetsTheOldestPlaceWhenThereAreTooMany) {
  log_limiter limiter;
  for (std::size_t i = 0; i < log_limiter::places_max; ++i)
    EXPECT_TRUE(limiter.admit({std::to_string(i), "a.cpp", 1}, "x",
                              at(std::chrono::seconds{i})));
  EXPECT_TRUE(limiter.admit({"one more", "a.cpp", 1}, "x", at(9'999s)));
  for (int i = 1; i < log_limiter::lines_max; ++i)
    EXPECT_TRUE(limiter.admit({"1", "a.cpp", 1}, "x", at(1s)));
  EXPECT_FALSE(limiter.admit({"1", "a.cpp", 1}, "x", at(1s)))
    << "the second oldest is still known";
}

TEST(LogText, IsOneLineWithItsPrefix) {
  auto one = record("it ended");
  one.level = log_level::warning;
  one.prefix = "trace \"a\": ";
  EXPECT_EQ(as_text(one), "bpf2graphite: warning: trace \"a\": it ended\n");
}

TEST(LogJson, IsOneObjectALine) {
  auto one = record(R"(said "x" \x1b)");
  one.level = log_level::error;
  one.at = std::chrono::system_clock::time_point{1'572'824'535'042ms};
  one.prefix = "trace \"a\": ";
  EXPECT_EQ(as_json(one),
            "{\"time\":\"2019-11-03T23:42:15.042Z\",\"level\":"
            "\"error\",\"message\":\"said \\\"x\\\" \\\\x1b\"}\n");
  one.trace = "a";
  one.event = "trace-ended";
  EXPECT_TRUE(
    as_json(one).ends_with(",\"trace\":\"a\",\"event\":\"trace-ended\"}\n"));
}

} // namespace
} // namespace bpf2graphite
