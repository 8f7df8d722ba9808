#include "app/status_report.hpp"

#include <boost/json.hpp>
#include <gtest/gtest.h>

#include <algorithm>

namespace bpf2graphite {
namespace {

namespace json = boost::json;

status_report report() {
  status_report out;
  out.version = "1.0.0";
  out.host = "a\xFFz";
  trace_report trace;
  trace.name = "cpu-lat";
  trace.state.state = trace_state::failing;
  trace.state.last_words = "no \"luck\"\n";
  trace.counts = {{"read", 18'446'744'073'709'551'615U}, {"series", 3}};
  trace.history = {
    {.map = "@u",
     .rows = {{.min = 0, .max = -1, .open_low = true}, {.min = 4, .max = 7}},
     .columns = {{.slot = 15, .counts = {{1, 9}}}},
     .rows_left_out = 0}};
  out.traces = {trace};
  out.destinations = {{.name = "g:2003",
                       .state = {.state = destination_state::frozen,
                                 .reason = "takes no bytes",
                                 .streams = false,
                                 .since = 20,
                                 .accepted_at = 10,
                                 .acceptance_ms = 300},
                       .counts = {{"waiting", 2}},
                       .oldest_slot = 0}};
  out.ledger = {{"read", 7}, {"waiting", 2}};
  return out;
}

TEST(StatusReport, IsAJsonDocument) {
  auto text = to_json(report(), report_readers::local);
  EXPECT_EQ(text.size() - 1, text.find('\n')) << "one line";
  auto document = json::parse(text);
  EXPECT_EQ("a\xEF\xBF\xBDz", document.at("host").as_string());
  const auto& trace = document.at("traces").at(0);
  EXPECT_EQ("failing", trace.at("state").as_string());
  EXPECT_EQ(18'446'744'073'709'551'615U,
            trace.at("counts").at("read").as_uint64());
  EXPECT_EQ("no \"luck\"\n", trace.at("last_words").as_string());
  const auto& to = document.at("destinations").at(0);
  EXPECT_EQ("frozen", to.at("state").as_string());
  EXPECT_EQ("takes no bytes", to.at("reason").as_string());
  EXPECT_EQ(10, to.at("accepted_at").as_int64());
  const auto& map = trace.at("history").at(0);
  EXPECT_EQ(json::parse("[[null,-1],[4,7]]"), map.at("rows"));
  EXPECT_EQ(json::parse(R"([{"slot":15,"counts":[[1,9]]}])"), map.at("slots"));
}

TEST(StatusReport, PartsWhatASharedProcessCosts) {
  std::vector<trace_report> traces(4);
  for (int i = 0; i < 3; ++i)
    traces[static_cast<std::size_t>(i)].state.pid = i < 2 ? 7 : 8;
  std::vector<int> asked;
  set_costs(traces, [&](int pid) {
    asked.push_back(pid);
    return process_costs{.cpu_ms = 10, .rss_kb = 100'000};
  });
  std::sort(asked.begin(), asked.end());
  EXPECT_EQ((std::vector{7, 8}), asked);
  EXPECT_EQ(50'000, traces[0].process.rss_kb);
  EXPECT_EQ(5, traces[1].process.cpu_ms);
  EXPECT_EQ(100'000, traces[2].process.rss_kb);
  EXPECT_EQ(0, traces[3].process.rss_kb) << "without a process";
}

TEST(StatusReport, KeepsWhatBpftraceSaidFromThePublic) {
  auto told = report();
  told.traces[0].state.reason = "bpftrace: exit status 1: no luck";
  told.traces[0].state.cause = "bpftrace: exit status 1";
  auto text = to_json(told, report_readers::network);
  EXPECT_EQ(std::string::npos, text.find("luck"));
  EXPECT_EQ("bpftrace: exit status 1",
            json::parse(text).at("traces").at(0).at("reason").as_string());
}

} // namespace
} // namespace bpf2graphite
