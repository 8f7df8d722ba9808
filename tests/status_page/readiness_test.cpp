#include "app/status_page/readiness.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace bpf2graphite {
namespace {

status_report report_of(trace_state trace, destination_state first,
                        destination_state second) {
  status_report report;
  report.traces.resize(1);
  report.traces[0].name = "cpu-lat";
  report.traces[0].state.state = trace;
  report.traces[0].state.reason = "bpftrace: exit status 1: secret";
  report.traces[0].state.cause = "bpftrace: exit status 1";
  report.destinations.resize(2);
  report.destinations[0].name = "a:2003";
  report.destinations[0].state.state = first;
  report.destinations[0].state.reason = "nobody listens";
  report.destinations[1].name = "b:2003";
  report.destinations[1].state.state = second;
  return report;
}

TEST(Readiness, IsThereWhenAllTracesRunAndADestinationAccepts) {
  using state = destination_state;
  auto well = report_of(trace_state::running, state::idle, state::sending);
  EXPECT_TRUE(readiness_of(well).ready);
  EXPECT_EQ("ready\n", readiness_of(well).text);
  auto one = report_of(trace_state::running, state::refused, state::idle);
  EXPECT_TRUE(readiness_of(one).ready) << "the other one accepts";
  auto stopped = report_of(trace_state::stopped, state::idle, state::idle);
  EXPECT_TRUE(readiness_of(stopped).ready) << "restart says so";
}

TEST(Readiness, SaysWhatIsMissingWithoutBpftracesWords) {
  using state = destination_state;
  auto failing = readiness_of(
    report_of(trace_state::failing, state::unreachable, state::frozen));
  EXPECT_FALSE(failing.ready);
  EXPECT_EQ("not ready\n"
            "trace cpu-lat is failing: bpftrace: exit status 1\n"
            "destination a:2003 is unreachable: nobody listens\n"
            "destination b:2003 is frozen\n",
            failing.text);
}

TEST(Readiness, NamesSoManyAndCountsTheRest) {
  auto report = report_of(trace_state::starting, destination_state::idle,
                          destination_state::idle);
  report.traces.resize(300, report.traces[0]);
  auto text = readiness_of(report).text;
  EXPECT_EQ(readiness_reasons_max + 2, static_cast<std::size_t>(std::count(
                                         text.begin(), text.end(), '\n')));
  EXPECT_NE(std::string::npos, text.find("and 280 more\n"));
}

} // namespace
} // namespace bpf2graphite
