#include "app/trace_plan.hpp"

#include <gtest/gtest.h>

#include <set>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

TEST(FirstSlot, IsTheNextBoundary) {
  EXPECT_EQ(first_slot(wall_time_from_ms(30'000), 15s, -1), 30);
  EXPECT_EQ(first_slot(wall_time_from_ms(30'001), 15s, -1), 45);
}

TEST(FirstSlot, IsPastWhatWasSentBefore) {
  EXPECT_EQ(first_slot(wall_time_from_ms(30'001), 15s, 45), 60);
  EXPECT_EQ(first_slot(wall_time_from_ms(90'000), 15s, 45), 90);
}

TEST(Splay, IsFixedPerHostAndSpreadsOverTheInterval) {
  EXPECT_EQ(splay_offset("a", 15s), splay_offset("a", 15s));
  std::set<std::int64_t> tenths;
  for (int i = 0; i < 1000; ++i) {
    auto offset = splay_offset("host" + std::to_string(i), 15s);
    EXPECT_GE(offset, 0ms);
    EXPECT_LT(offset, 15s);
    tenths.insert(offset.count() / 1500);
  }
  EXPECT_EQ(tenths.size(), 10U);
}

TEST(TraceForScript, IsNamedLikeTheFile) {
  config all;
  EXPECT_EQ(trace_for_script("/usr/sbin/runqlat.bt", all).id, "runqlat");
  EXPECT_EQ(trace_for_script("./my file.v2.bt", all).id, "my_file_v2");
  EXPECT_EQ(trace_for_script("/", all).id, "script");
}

TEST(PlanTrace, AppendsPrintsAndKnowsWhatTheyMean) {
  config all;
  auto trace = trace_for_script("/x/lat.bt", all);
  auto plan = plan_trace(
    trace, "kprobe:f { @us[comm] = hist(1); } END { clear(@us); print(@us); }",
    all, "h");
  EXPECT_TRUE(plan.script.errors.empty());
  EXPECT_NE(plan.script.appended_probe.find("print(@us)"), std::string::npos);
  EXPECT_EQ(plan.series.maps.at("@us").how, accumulation::cumulative);
  EXPECT_EQ(plan.parser.keys.at("@us").parts, 1U);
  EXPECT_EQ(plan.series.naming.host, "h");
}

} // namespace
} // namespace bpf2graphite
