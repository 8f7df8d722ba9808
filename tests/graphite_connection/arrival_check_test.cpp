#include "actors/graphite_connection/arrival_check.hpp"

#include <gtest/gtest.h>

#include <string>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

class ArrivalCheck : public ::testing::Test {
protected:
  arrival_check check;
  steady_time now{1h};
  std::vector<std::string> verdicts; // "1", "1 lacks 15 30"

  void take(std::vector<arrival_verdict> all) {
    for (auto& v : all) {
      auto text = std::to_string(v.id);
      for (auto slot : v.unseen)
        text += " lacks " + std::to_string(slot);
      verdicts.push_back(text);
    }
  }

  void accept(std::uint64_t id, const std::string& lines) {
    take(check.accepted(id, lines, now));
  }

  /// Waits for the next question and answers it; the question.
  std::string answer(const std::optional<std::string>& body) {
    if (!check.deadline())
      return "none";
    now = std::max(now, *check.deadline());
    auto question = check.ask(now);
    if (!question)
      return "none";
    take(check.answered(question->number, body, now));
    return question->query;
  }

  std::vector<std::string> said() {
    return std::exchange(verdicts, {});
  }
};

using texts = std::vector<std::string>;

const std::string there =
  R"([{"target": "a.b", "tags": {"name": "a.b"},
       "datapoints": [[null, 0], [5.0, 15], [0, 30], [null, 45]]}])";
const std::string empty = "[]";

TEST_F(ArrivalCheck, AsksForOneSeriesThatCoversAllSlots) {
  accept(1, "a.b 5 15\na.c 1 15\na.b 0 30\n");
  EXPECT_EQ(check.deadline(), now + 5s);
  EXPECT_EQ(check.ask(now + 4s), std::nullopt);
  EXPECT_EQ(answer(there),
            "?format=json&noCache=1&from=0&until=150&target=a.b");
  EXPECT_EQ(said(), texts{"1"});
  EXPECT_EQ(check.pending(), 0);
  EXPECT_EQ(check.deadline(), std::nullopt);
}

TEST_F(ArrivalCheck, AsksForTaggedSeriesByTheirTags) {
  accept(1, "a;host=x;le=8 5 1500\n");
  EXPECT_EQ(answer("[{\"target\": \"a;host=x;le=8\", \"datapoints\": "
                   "[[1, 1500]]}]"),
            "?format=json&noCache=1&from=1380&until=1620&target="
            "seriesByTag%28%27name%3Da%27%2C%27host%3Dx%27%2C%27le%3D8%27%29");
  EXPECT_EQ(said(), texts{"1"});
}

TEST_F(ArrivalCheck, SendsOneBatchAgainWhileNothingArrives) {
  accept(1, "a.b 5 15\n");
  accept(2, "a.b 5 30\n");
  answer(empty);
  EXPECT_EQ(said(), texts{}); // it may only be late
  answer(empty);
  EXPECT_EQ(said(), texts{"1 lacks 15"});
  EXPECT_EQ(check.pending(), 1); // waits for its turn
  answer(empty);
  EXPECT_EQ(said(), texts{"2 lacks 30"});
}

TEST_F(ArrivalCheck, SendsEverythingAgainOnceTheServerStores) {
  for (std::uint64_t id = 1; id <= 3; ++id) {
    accept(id, "a.b 5 " + std::to_string(id * 15) + "\n");
    now += 1s;
  }
  answer(empty);
  answer(empty);
  answer(empty);
  said();
  now += 1min;
  accept(9, "a.b 5 150\n");
  while (check.pending() > 0 && verdicts.size() < 10)
    answer(R"([{"target": "a.b", "datapoints": [[1, 150], [null, 165]]}])");
  auto all = said();
  // What was there is let go, what was not is sent again.
  EXPECT_EQ(std::count(all.begin(), all.end(), "9"), 1);
  EXPECT_EQ(std::count(all.begin(), all.end(), "3 lacks 45"), 1);
}

TEST_F(ArrivalCheck, NamesOnlyTheSlotsThatAreMissing) {
  accept(1, "a.b 5 15\na.b 5 45\na.b 0 30\n");
  answer(there);
  answer(there);
  EXPECT_EQ(said(), texts{"1 lacks 45"});
}

TEST_F(ArrivalCheck, LetsABatchGoWhenNobodyAnswers) {
  accept(1, "a.b 5 15\n");
  auto began = now;
  int questions = 0;
  while (check.pending() > 0) {
    answer(questions++ % 2 == 0 ? std::nullopt
                                : std::optional<std::string>{"<html>"});
    EXPECT_TRUE(check.failing());
    ASSERT_LT(questions, 100);
  }
  EXPECT_EQ(said(), texts{"1"});
  EXPECT_GT(now - began, 10min);
  EXPECT_LT(questions, 20);
}

TEST_F(ArrivalCheck, GivesUpASeriesThatNeverShows) {
  int again = 0;
  for (std::uint64_t round = 0; round < 100; ++round) {
    accept(1, "bad 5 15\n");
    now += 1s;
    accept(round + 2, "a.b 5 30\n"); // arrives each time
    for (auto& v : [&] {
           for (int i = 0; i < 4 && check.pending() > 0; ++i)
             answer(there);
           return said();
         }())
      again += v == "1 lacks 15";
  }
  EXPECT_GT(again, 2);
  EXPECT_LT(again, 100);
}

TEST_F(ArrivalCheck, HoldsABoundedNumberOfBatches) {
  for (std::uint64_t id = 1; id <= arrival_check::batches_max + 5; ++id)
    accept(id, "a.b 5 15\n");
  EXPECT_EQ(said(), (texts{"1", "2", "3", "4", "5"}));
  std::string many;
  for (int i = 0; i < 50; ++i)
    many +=
      "s" + std::to_string(i) + " 1 " + std::to_string(15 * i + 15) + "\n";
  arrival_check other;
  other.accepted(1, many, now);
  auto query = other.ask(now + 5s)->query;
  std::size_t targets = 0;
  for (auto at = query.find("target="); at != query.npos;
       at = query.find("target=", at + 1))
    ++targets;
  EXPECT_EQ(targets, arrival_check::series_max);
}

TEST_F(ArrivalCheck, SurvivesAnyAnswer) {
  for (auto body :
       {"", "{}", "null", "[1]", "[{}]", R"([{"target": 1}])",
        R"([{"target": "a", "datapoints": {}}])",
        R"([{"target": "a", "datapoints": [[1]]}])",
        R"([{"target": "a", "datapoints": [["x", "y"]]}])", "[[[[[[[["}) {
    arrival_check fresh;
    fresh.accepted(1, "a 1 15\n", now);
    auto question = fresh.ask(now + 5s);
    EXPECT_TRUE(
      fresh.answered(question->number, std::string{body}, now).empty());
    EXPECT_TRUE(fresh.failing()) << body;
  }
}

TEST_F(ArrivalCheck, IgnoresAnOlderAnswer) {
  accept(1, "a.b 5 15\n");
  auto question = check.ask(now + 5s);
  check.adopt(); // a new actor
  EXPECT_TRUE(check.answered(question->number, there, now).empty());
  EXPECT_EQ(check.pending(), 1);
  answer(there);
  EXPECT_EQ(check.pending(), 0);
}

} // namespace
} // namespace bpf2graphite
