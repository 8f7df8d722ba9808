#include "app/status_page/prometheus_text.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

namespace bpf2graphite {
namespace {

status_report report() {
  status_report out;
  out.version = "1.0.0";
  out.started = 1'700'000'000;
  out.now = 1'700'000'100;
  out.process = {.cpu_ms = 1234, .rss_kb = 9000};
  trace_report trace;
  trace.name = "cpu-lat";
  trace.state.state = trace_state::running;
  trace.process = {.cpu_ms = 50, .rss_kb = 36'000};
  trace.counts = {
    {"read", 18'446'744'073'709'551'615U}, {"restarts", 2}, {"lost_events", 7}};
  out.traces = {trace};
  destination_report to;
  to.name = "a\"b\\c\nd\xFF";
  to.state.state = destination_state::frozen;
  to.state.accepted_at = 1'700'000'060;
  to.state.acceptance_ms = 1500;
  to.counts = {{"waiting", 9}, {"dropped_buffer", 4}};
  to.oldest_slot = 1'700'000'045;
  out.destinations = {to};
  out.ledger = {
    {"read", 10}, {"measured", 8}, {"open", 2}, {"late", 3}, {"waiting", 9}};
  out.page.counts = {{"answered", 5}};
  return out;
}

TEST(PrometheusText, GivesNumbersInBaseUnits) {
  auto text = prometheus_text(report());
  for (const char* line :
       {"process_cpu_seconds_total 1.234\n",
        "process_resident_memory_bytes 9216000\n",
        "process_start_time_seconds 1700000000\n",
        "bpf2graphite_build_info{version=\"1.0.0\"} 1\n",
        "bpf2graphite_traces{state=\"running\"} 1\n",
        "bpf2graphite_trace_state{trace=\"cpu-lat\",state=\"running\"} 1\n",
        "bpf2graphite_trace_state{trace=\"cpu-lat\",state=\"failing\"} 0\n",
        "bpf2graphite_trace_restarts_total{trace=\"cpu-lat\"} 2\n",
        "bpf2graphite_trace_values_total{trace=\"cpu-lat\"} "
        "18446744073709551615\n",
        "bpf2graphite_trace_lost_total{trace=\"cpu-lat\",reason=\"lost_"
        "events\"} 7\n",
        "bpf2graphite_trace_process_cpu_seconds_total{trace=\"cpu-lat\"} "
        "0.050\n",
        "bpf2graphite_ledger_read_values_total 10\n",
        "bpf2graphite_ledger_values_total{outcome=\"measured\"} 8\n",
        "bpf2graphite_ledger_pending_values{where=\"open\"} 2\n",
        "bpf2graphite_ledger_events_total{event=\"late\"} 3\n",
        "bpf2graphite_page_events_total{event=\"answered\"} 5\n"})
    EXPECT_NE(std::string::npos, text.find(line)) << line << "in\n" << text;
}

TEST(PrometheusText, EscapesLabels) {
  auto text = prometheus_text(report());
  auto name = std::string{"{destination=\"a\\\"b\\\\c\\nd\xEF\xBF\xBD\""};
  for (const auto& line :
       {"bpf2graphite_destination_waiting_points" + name + "} 9\n",
        "bpf2graphite_destination_oldest_waiting_age_seconds" + name + "} 55\n",
        "bpf2graphite_destination_acceptance_duration_seconds" + name
          + "} 1.500\n",
        "bpf2graphite_destination_state" + name + ",state=\"frozen\"} 1\n"})
    EXPECT_NE(std::string::npos, text.find(line)) << line << "in\n" << text;
}

// promtool looks at the rest, see tests/end_to_end/page_test.py.
TEST(PrometheusText, HasEachFamilyOnceAndEachSampleOnce) {
  auto many = report();
  many.traces.push_back(many.traces[0]);
  many.traces[1].name = "other";
  std::istringstream lines{prometheus_text(many)};
  std::set<std::string> seen;
  std::string family;
  std::map<std::string, std::string> types;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_TRUE(seen.insert(line.substr(0, line.rfind(' '))).second) << line;
    if (line.starts_with("# TYPE ")) {
      family = line.substr(7, line.rfind(' ') - 7);
      auto counts = line.ends_with(" counter");
      EXPECT_EQ(counts, family.ends_with("_total")) << line;
    } else if (line[0] != '#') {
      EXPECT_EQ(family, line.substr(0, line.find_first_of("{ "))) << line;
    }
  }
  EXPECT_GT(seen.size(), 60U);
}

TEST(PrometheusText, IsWellWithoutTraces) {
  EXPECT_NE(std::string::npos,
            prometheus_text({}).find("# TYPE bpf2graphite_trace_state gauge\n"
                                     "# HELP"));
}

} // namespace
} // namespace bpf2graphite
