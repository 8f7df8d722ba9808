#include "app/own_metrics.hpp"

#include <gtest/gtest.h>

#include <map>

namespace bpf2graphite {
namespace {

using values = std::map<std::string, long long>;

values of(const std::vector<metric>& points, std::int64_t slot) {
  values out;
  for (const auto& point : points) {
    EXPECT_EQ(slot, point.timestamp);
    EXPECT_TRUE(out
                  .emplace(*point.path,
                           static_cast<long long>(std::get<exact>(point.value)))
                  .second)
      << *point.path;
  }
  return out;
}

status_report report_of(std::uint64_t read) {
  status_report report;
  report.now = 1000;
  report.ledger = {{"read", read}, {"waiting", 7}};
  report.process = {.cpu_ms = read, .rss_kb = 9000};
  trace_report trace;
  trace.name = "cpu-lat";
  trace.state.state = trace_state::running;
  trace.counts = {{"read", read}, {"lost_events", 3}, {"series", 25}};
  report.traces = {trace};
  destination_report to;
  to.name = "localhost:2003";
  to.counts = {{"accepted", read}, {"waiting", 7}};
  to.oldest_slot = 970;
  to.state.state = destination_state::frozen;
  to.state.acceptance_ms = 41;
  report.destinations = {to};
  return report;
}

TEST(OwnMetrics, CountersAreWhatTheyGainedAndStatesAsTheyAre) {
  naming_config naming;
  naming.host = "web1.example.org";
  own_metrics own{naming, "bpf2graphite"};
  auto first = of(own.points(report_of(100), 15), 15);
  const std::string base = "bpf.web1_example_org.bpf2graphite.";
  EXPECT_EQ(100, first.at(base + "ledger.read"));
  EXPECT_EQ(7, first.at(base + "ledger.waiting"));
  EXPECT_EQ(1, first.at(base + "traces.cpu-lat.up"));
  EXPECT_EQ(3, first.at(base + "traces.cpu-lat.lost"));
  EXPECT_EQ(25, first.at(base + "traces.cpu-lat.series"));
  EXPECT_EQ(100, first.at(base + "destinations.localhost_2003.accepted"));
  EXPECT_EQ(30, first.at(base + "destinations.localhost_2003.oldest_age_s"));
  EXPECT_EQ(41, first.at(base + "destinations.localhost_2003.acceptance_ms"));
  EXPECT_EQ(0, first.at(base + "destinations.localhost_2003.up"));
  EXPECT_EQ(1, first.at(base + "states.running"));
  EXPECT_EQ(0, first.at(base + "states.failing"));
  auto second = of(own.points(report_of(130), 30), 30);
  EXPECT_EQ(30, second.at(base + "ledger.read"));
  EXPECT_EQ(7, second.at(base + "ledger.waiting"));
  EXPECT_EQ(0, second.at(base + "traces.cpu-lat.lost"));
  EXPECT_EQ(9000, second.at(base + "process.rss_kb"));
}

TEST(OwnMetrics, TellEachSlotOnceAndFollowAClockThatWasSetBack) {
  EXPECT_EQ(15, slot_to_tell(31, 15, -1));
  EXPECT_EQ(std::nullopt, slot_to_tell(31, 15, 15)) << "told already";
  EXPECT_EQ(30, slot_to_tell(45, 15, 15));
  EXPECT_EQ(std::nullopt, slot_to_tell(7200, 15, 7200)) << "30 s back";
  EXPECT_EQ(0, slot_to_tell(15, 15, 7200)) << "two hours back";
  EXPECT_EQ(std::nullopt, slot_to_tell(7195, 3600, 3600))
    << "a little back, over a boundary";
}

TEST(OwnMetrics, EndWithWhatTheySpeakOf) {
  own_metrics own{{}, "self"};
  auto report = report_of(5);
  auto all = own.points(report, 0).size();
  report.traces.clear();
  EXPECT_EQ(all - 7, own.points(report, 15).size());
  auto again = of(own.points(report_of(5), 30), 30);
  EXPECT_EQ(5, again.at("bpf.self.traces.cpu-lat.read"))
    << "a new trace of that name began at zero";
}

TEST(OwnMetrics, HaveTagsWhereTheNamesHave) {
  naming_config naming;
  naming.style = path_style::tags;
  naming.host = "h";
  own_metrics own{naming, "bpf2graphite"};
  auto points = of(own.points(report_of(1), 0), 0);
  EXPECT_EQ(1, points.at("bpf.bpf2graphite.traces.up;host=h;trace=cpu-lat"));
}

} // namespace
} // namespace bpf2graphite
