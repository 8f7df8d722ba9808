#include "app/status_text.hpp"

#include <boost/json.hpp>

#include <gtest/gtest.h>

#include <string>

namespace bpf2graphite {
namespace {

boost::json::value document(int running, int failing) {
  boost::json::array traces;
  for (int i = 0; i < running + failing; ++i)
    traces.push_back(
      boost::json::object{{"name", "t" + std::to_string(i)},
                          {"state", i < running ? "running" : "failing"}});
  return boost::json::object{{"traces", traces}};
}

TEST(StatusText, TellsBelowTheTableHowManyTracesAreInWhichState) {
  auto text = status_text(document(998, 2), 80);
  auto last = text.find("t999 ");
  ASSERT_NE(std::string::npos, last);
  EXPECT_NE(std::string::npos,
            text.find("\n1000 traces: 2 failing, 998 running\n", last))
    << text.substr(last);
}

TEST(StatusText, CountsOneTraceAndNone) {
  EXPECT_NE(std::string::npos,
            status_text(document(1, 0), 80).find("\n1 trace: 1 running\n"));
  EXPECT_NE(std::string::npos,
            status_text(boost::json::object{}, 80).find("\n0 traces\n"));
}

} // namespace
} // namespace bpf2graphite
