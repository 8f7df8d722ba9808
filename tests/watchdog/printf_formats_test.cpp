#include "actors/watchdog/printf_formats.hpp"

#include <gtest/gtest.h>

#include <string>

namespace bpf2graphite {
namespace {

printf_formats judge(const std::string& block) {
  return judge_formats(scan_script("k:f { " + block + " }"));
}

/// Each line as its metric, "?" for one that is open, "-" for none.
std::string lines_of(const printf_formats& formats) {
  std::string all;
  for (const auto& line : formats.lines)
    all += (all.empty() ? "" : " ")
           + (line.open             ? "?"
              : line.metric.empty() ? "-"
                                    : line.metric);
  return all;
}

TEST(PrintfFormats, TellWhichMetricsAScriptPrints) {
  struct format {
    const char* text;
    const char* is;
  };
  for (auto [text, is] : std::vector<format>{
         {"printf(\"x %d\\n\", 5);", "x"},
         {"printf(\"x{cpu=%d,comm=\\\"%s\\\"} %llu\\n\", cpu, comm, 5);",
          "x{cpu,comm}"},
         {"printf(\"x %d.%03d\\n\", 5, 6);", "x"},
         {"printf(\"x{a=%x} %d\\n\", 1, 5);", "x{a}"},
         {"printf(\"x %x\\n\", 5);", "-"},
         {"printf(\"%s %d\\n\", comm, 5);", "?"},
         {"printf(\"x%d 5\\n\", 5);", "?"},
         {"printf(\"x %s\\n\", str(arg0));", "?"},
         {"printf(\"x %d\", 5);", "?"},
         {"printf(\"x{\"); printf(\"a=1} 5\\n\");", "? -"},
         {"printf(\"Tracing... Hit Ctrl-C to end.\\n\");", "-"},
         {"printf(\"\\n\");", ""},
         {"printf(\"%d%%\\n\", 5);", "-"},
         {"printf(\"x %d\\ny %d\\n\", 5, 6);", "x y"},
         {"time(\"%H\\n\"); cat(\"x 5\\n\");", ""},
       })
    EXPECT_EQ(lines_of(judge(text)), is) << text;
}

TEST(PrintfFormats, SayHowStrictlyCallsAreRead) {
  auto numbers = judge("printf(\"x %d\\ny %d\\n\", 1, 2);");
  EXPECT_EQ(numbers.calls, metric_calls::lines);
  EXPECT_TRUE(numbers.refused_calls.empty());
  auto text = judge("printf(\"x %d\\ny %d\\n\", 1, 2);\n"
                    "printf(\"x{c=%s} %d\\n\", comm, 2);");
  EXPECT_EQ(text.calls, metric_calls::one_line);
  EXPECT_EQ(text.refused_calls, (std::vector<std::size_t>{1}));
  for (auto* one : {"%s", "%-10s", "%.3s", "%r", "%rx", "%c"})
    EXPECT_EQ(
      judge("printf(\"x{a=" + std::string(one) + "} 1\\n\", comm);").calls,
      metric_calls::one_line)
      << one;
}

} // namespace
} // namespace bpf2graphite
