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
                       .state = {},
                       .counts = {{"waiting", 2}},
                       .oldest_slot = 0}};
  out.ledger = {{"read", 7}, {"waiting", 2}};
  return out;
}

TEST(StatusReport, IsAJsonDocument) {
  auto text = to_json(report(), true);
  EXPECT_EQ(text.size() - 1, text.find('\n')) << "one line";
  auto document = json::parse(text);
  EXPECT_EQ("a\xEF\xBF\xBDz", document.at("host").as_string());
  const auto& trace = document.at("traces").at(0);
  EXPECT_EQ("failing", trace.at("state").as_string());
  EXPECT_EQ(18'446'744'073'709'551'615U,
            trace.at("counts").at("read").as_uint64());
  EXPECT_EQ("no \"luck\"\n", trace.at("last_words").as_string());
  const auto& map = trace.at("history").at(0);
  EXPECT_EQ(json::parse("[[null,-1],[4,7]]"), map.at("rows"));
  EXPECT_EQ(json::parse(R"([{"slot":15,"counts":[[1,9]]}])"), map.at("slots"));
}

TEST(StatusReport, KeepsWhatBpftraceSaidFromThePublic) {
  EXPECT_EQ(std::string::npos, to_json(report(), false).find("luck"));
}

} // namespace
} // namespace bpf2graphite
