#include "app/own_metrics.hpp"

#include <gtest/gtest.h>

#include <map>
#include <utility>

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

trace_figures trace_of(std::string name, std::uint64_t read) {
  trace_figures trace;
  trace.name = std::move(name);
  trace.state = trace_state::running;
  trace.read = read;
  trace.lost = 3;
  trace.series = 25;
  return trace;
}

own_figures figures_of(std::uint64_t read) {
  own_figures figures;
  figures.now = 1000;
  figures.ledger = {{"read", read}, {"waiting", 7}};
  figures.process = {.cpu_ms = read, .rss_kb = 9000};
  figures.traces = {trace_of("cpu-lat", read)};
  destination_report to;
  to.name = "localhost:2003";
  to.counts = {{"accepted", read}, {"waiting", 7}};
  to.oldest_slot = 970;
  to.state.state = destination_state::frozen;
  to.state.acceptance_ms = 41;
  figures.destinations = {to};
  return figures;
}

TEST(OwnMetrics, CountersAreWhatTheyGainedAndStatesAsTheyAre) {
  naming_config naming;
  naming.host = "web1.example.org";
  own_metrics own{naming, "bpf2graphite"};
  auto first = of(own.points(figures_of(100), 15), 15);
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
  auto second = of(own.points(figures_of(130), 30), 30);
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
  auto figures = figures_of(5);
  auto all = own.points(figures, 0).size();
  figures.traces.clear();
  EXPECT_EQ(all - 7, own.points(figures, 15).size());
  auto again = of(own.points(figures_of(5), 30), 30);
  EXPECT_EQ(5, again.at("bpf.self.traces.cpu-lat.read"))
    << "a new trace of that name began at zero";
}

TEST(OwnMetrics, KeepApartWhatComesAndGoes) {
  own_metrics own{{}, "self"};
  auto now = figures_of(0);
  auto read_of = [&](std::vector<trace_figures> traces, std::int64_t slot) {
    now.traces = std::move(traces);
    values read;
    for (const auto& [path, value] : of(own.points(now, slot), slot))
      if (path.starts_with("bpf.self.traces.") && path.ends_with(".read"))
        read[path.substr(16, path.size() - 16 - 5)] = value;
    return read;
  };
  EXPECT_EQ(
    (values{{"a", 10}, {"b", 20}, {"c", 30}}),
    read_of({trace_of("a", 10), trace_of("b", 20), trace_of("c", 30)}, 15));
  EXPECT_EQ((values{{"b", 2}, {"c", 3}}),
            read_of({trace_of("b", 22), trace_of("c", 33)}, 30))
    << "the first one went";
  EXPECT_EQ((values{{"b", 1}, {"c", 1}, {"d", 40}, {"a", 11}}),
            read_of({trace_of("d", 40), trace_of("c", 34), trace_of("a", 11),
                     trace_of("b", 23)},
                    45))
    << "another order, and one that is back";
  EXPECT_EQ((values{{"b", 0}, {"c", 0}, {"d", 1}, {"a", 5}}),
            read_of({trace_of("d", 41), trace_of("c", 34), trace_of("a", 5),
                     trace_of("b", 23)},
                    60))
    << "one of that name began anew";
}

TEST(OwnMetrics, CountAsLostWhatNobodyAskedToLeaveOut) {
  trace_numbers counts{};
  std::uint64_t n = 1;
  for (auto place :
       {place_of(trace_counts, "lost_events"),
        place_of(trace_counts, "rejected"), place_of(trace_counts, "invalid"),
        place_of(trace_counts, "crash"),
        place_of(trace_counts, "dropped_budget")})
    counts[place] = std::exchange(n, n * 10);
  counts[place_of(trace_counts, "dropped_filtered")] = 500'000;
  counts[place_of(trace_counts, "read")] = 7;
  counts[place_of(trace_counts, "restarts")] = 2;
  counts[place_of(trace_counts, "series")] = 4;
  trace_figures figures;
  figures.take(counts);
  EXPECT_EQ(11'111U, figures.lost);
  EXPECT_EQ(7U, figures.read);
  EXPECT_EQ(2U, figures.restarts);
  EXPECT_EQ(4U, figures.series);
}

TEST(OwnMetrics, HaveTagsWhereTheNamesHave) {
  naming_config naming;
  naming.style = path_style::tags;
  naming.host = "h";
  own_metrics own{naming, "bpf2graphite"};
  auto points = of(own.points(figures_of(1), 0), 0);
  EXPECT_EQ(1, points.at("bpf.bpf2graphite.traces.up;host=h;trace=cpu-lat"));
}

} // namespace
} // namespace bpf2graphite
