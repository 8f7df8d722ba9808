#include "app/graphite_fit.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace bpf2graphite {
namespace {

trace_plan plan_of(const config& all, const std::string& script) {
  auto trace = trace_for_script("/cpu-lat.bt", all);
  trace.series.percentiles = {50};
  return plan_trace(trace, script, all, "web1.example.org");
}

constexpr auto script =
  "interval:s:1 { @usecs = hist(nsecs); print(@usecs); clear(@usecs); }";

TEST(FitQuestions, AskForWhatIsSentWithItsStepAndRollUp) {
  config all;
  auto questions =
    fit_questions(all, {plan_of(all, script)}, "web1.example.org");
  ASSERT_GT(questions.size(), 10U);
  EXPECT_EQ("limit(bpf.web1_example_org.cpu-lat.usecs.*,10)",
            questions[0].target);
  EXPECT_EQ(15, questions[0].step);
  EXPECT_EQ(roll_up::sum, questions[0].method);
  EXPECT_EQ(roll_up::max, questions[1].method);
  auto up = std::find_if(questions.begin(), questions.end(), [](auto& one) {
    return one.target
           == "limit(bpf.web1_example_org.bpf2graphite.traces.*.up,10)";
  });
  ASSERT_NE(up, questions.end());
  EXPECT_EQ(roll_up::average, up->method);
  all.own_metrics.enabled = false;
  EXPECT_EQ(2U, fit_questions(all, {plan_of(all, script)}, "h").size());
}

TEST(RenderQuery, EscapesTheTarget) {
  EXPECT_EQ("?format=raw&noCache=1&from=-30s&target=limit%28bpf.h.%2A%2C10%29",
            render_query("limit(bpf.h.*,10)", 30, 0));
  EXPECT_EQ("?format=raw&noCache=1&from=-90s&until=-30s&target=a",
            render_query("a", 90, 30));
}

TEST(RawAnswer, IsReadFromItsEnd) {
  auto found = read_raw("a.b,1,61,15|1.0,None\nf(a,b),0,60,60|None\r\n\n"
                        "t;host=a;le=8,0,60,1|\n");
  ASSERT_TRUE(found);
  ASSERT_EQ(3U, found->size());
  EXPECT_EQ("a.b", (*found)[0].name);
  EXPECT_EQ(15, (*found)[0].step);
  EXPECT_EQ(1, (*found)[0].start);
  EXPECT_EQ((std::vector<std::optional<double>>{1.0, std::nullopt}),
            (*found)[0].values);
  EXPECT_EQ("f(a,b)", (*found)[1].name);
  EXPECT_EQ("t;host=a;le=8", (*found)[2].name);
  EXPECT_EQ(1, (*found)[2].step);
}

TEST(RawAnswer, NothingIsAnAnswerToo) {
  auto found = read_raw("");
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->empty());
}

TEST(RawAnswer, WhatIsNoneIsTold) {
  for (const char* text :
       {"<html>\n", "[]", "a,1,2|3", "a,1,2,x|3", "a,1,2,0|3", "a,1,2,-5|3",
        ",1,2,3|3", "a,1,2,99999999999999999999|", "|", "a,1,2,3", "a,1,2,3|x",
        "a,1,2,3|1,,2"})
    EXPECT_FALSE(read_raw(text)) << text;
}

using values = std::vector<std::optional<double>>;

/// Six fine slots of 10 s each, and three coarse ones of 20 s; the last two of
/// these are never believed, so two more follow.
std::vector<roll_up> judged(values fine, values coarse) {
  coarse.resize(coarse.size() + 2);
  return roll_ups_that_fit({"a", 100, 10, std::move(fine)},
                           {"a", 100, 20, std::move(coarse)});
}

TEST(RollUps, AreSeenInTheValues) {
  using list = std::vector<roll_up>;
  EXPECT_EQ(list{roll_up::sum}, judged({1, 3, 2, 2, 0, 5}, {4, 4, 5}));
  EXPECT_EQ(list{roll_up::average}, judged({1, 3, 2, 2, 0, 5}, {2, 2, 2.5}));
  EXPECT_EQ(list{roll_up::min}, judged({1, 3}, {1}));
  EXPECT_EQ((list{roll_up::max, roll_up::last}), judged({1, 3}, {3}));
}

TEST(RollUps, NothingIsSaidOfWhatNothingTells) {
  EXPECT_TRUE(judged({0, 0, 0, 0}, {0, 0}).empty());
  EXPECT_TRUE(judged({5, std::nullopt}, {5}).empty());
  EXPECT_TRUE(judged({1, 3}, {std::nullopt}).empty());
  EXPECT_TRUE(judged({1, 3}, {77}).empty()) << "no method explains it";
  EXPECT_TRUE(judged({}, {}).empty());
  // Only a part of the fine slots is known.
  EXPECT_TRUE(
    roll_ups_that_fit({"a", 110, 10, {3}}, {"a", 100, 20, {3, 0, 0}}).empty());
}

TEST(RollUps, TheNewestCoarseSlotsAreNotBelieved) {
  EXPECT_TRUE(
    roll_ups_that_fit({"a", 0, 10, {1, 3, 1, 3}}, {"a", 0, 20, {1, 1}})
      .empty());
}

TEST(Spoils, OnlyAddingMatters) {
  using enum roll_up;
  EXPECT_FALSE(spoils(sum, {sum}));
  EXPECT_FALSE(spoils(sum, {sum, last}));
  EXPECT_TRUE(spoils(sum, {average}));
  EXPECT_TRUE(spoils(sum, {max, last}));
  EXPECT_TRUE(spoils(max, {sum}));
  EXPECT_FALSE(spoils(max, {average}));
  EXPECT_FALSE(spoils(last, {sum, last}));
  EXPECT_FALSE(spoils(sum, {}));
  EXPECT_FALSE(spoils(max, {}));
}

} // namespace
} // namespace bpf2graphite
