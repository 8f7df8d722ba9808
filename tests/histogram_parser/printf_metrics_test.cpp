#include "actors/histogram_parser/printf_metrics.hpp"

#include "actors/histogram_parser/records.hpp"
#include "actors/normalizer/trace_series.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

/// "map|label values|value" as `parse --records` would show the value.
std::string shown(std::string_view line) {
  auto metric = read_printf_metric(line);
  if (!metric)
    return "no";
  snapshot print;
  print.kind = map_kind::metric;
  print.map = metric->map();
  map_entry entry;
  for (const auto& label : metric->labels)
    entry.keys.push_back(label.second);
  entry.value = metric->value;
  print.entries.push_back(std::move(entry));
  std::string out;
  write_records(print, out);
  auto from = out.find("\"value\":") + 8;
  auto value = out.substr(from, out.find(',', from) - from);
  auto text = print.map;
  for (const auto& key : print.entries[0].keys)
    text += "|" + key;
  return text + " " + value;
}

TEST(PrintfMetric, IsANameLabelsAndAValue) {
  struct good {
    const char* line;
    const char* is;
  };
  for (auto [line, is] : std::vector<good>{
         {"x 5", "x 5"},
         {"x -5", "x -5"},
         {"x +5", "x 5"},
         {"x -0", "x 0"},
         {"  x\t 5  \r", "x 5"},
         {"_a:b.c-d 5", "_a:b.c-d 5"},
         {"x 18446744073709551615", "x 18446744073709551615"},
         {"x 99999999999999999999", "x 99999999999999999999"},
         {"x 0.25", "x 0.25"},
         {"x -0.5", "x -0.5"},
         {"x 1.000000001", "x 1.000000001"},
         {"x 007.50", "x 7.5"},
         {"x{} 5", "x 5"},
         {"x{a=b} 5", "x{a}|b 5"},
         {"x{a=b,c=d} 5", "x{a,c}|b|d 5"},
         {"x{c=d,a=b} 5", "x{c,a}|d|b 5"},
         {"x{a=\"b\",c=\"d\"} 5", "x{a,c}|b|d 5"},
         {"x {a = \"b c\" , } 5", "x{a}|b c 5"},
         {"x{a=\"q\\\"uo\\\\te\\n\"} 5", "x{a}|q\"uo\\te\n 5"},
         {"x{a=} 5", "x{a}| 5"},
         {"x{a=\"}\"} 5", "x{a}|} 5"},
         {"x{a=/usr/bin/x} 5", "x{a}|/usr/bin/x 5"},
         {"x{a=\xff\xfe} 5", "x{a}|\xff\xfe 5"},
       })
    EXPECT_EQ(shown(line), is) << line;
}

TEST(PrintfMetric, IsNothingElse) {
  for (std::string line : {"",
                           "x",
                           "x ",
                           "x5",
                           "5 x",
                           "5",
                           "x 5 6",
                           "x 5s",
                           "x 5%",
                           "x 1e3",
                           "x 1E3",
                           "x nan",
                           "x NaN",
                           "x inf",
                           "x -inf",
                           "x +Inf",
                           "x 0x1f",
                           "x 1f",
                           "x .5",
                           "x 5.",
                           "x 1.0000000001",
                           "x - 5",
                           "x --5",
                           "x 1,000",
                           "x=5",
                           "x: 5",
                           "x 5;",
                           "# HELP x 5",
                           "@x: 5",
                           "x@ 5",
                           "x/y 5",
                           ".x 5",
                           "x. 5",
                           "x..y 5",
                           "-x 5",
                           "x{a=b} ",
                           "x{a=b}5",
                           "x{a=b 5",
                           "x{a} 5",
                           "x{=b} 5",
                           "x{a=b,,c=d} 5",
                           "x{,} 5",
                           "x{a=b c=d} 5",
                           "x{a=\"b} 5",
                           "x{a=\"b\"c} 5",
                           "x{a=\"\\x\"} 5",
                           "x{a=b,a=c} 5",
                           "x{1a=b} 5",
                           "x{a.b=c} 5",
                           "x{a=b}{c=d} 5",
                           "x{a={} 5",
                           "x\n 5",
                           "x{a=b\n} 5",
                           "x 5\n",
                           "x 123456789012345678901",
                           "Hit Ctrl-C to end.",
                           "PID COMM",
                           "12:00:01 5"})
    EXPECT_EQ(shown(line), "no") << line;
  EXPECT_EQ(shown(std::string("x\0 5", 4)), "no");
}

TEST(PrintfMetric, HasLimits) {
  auto name = std::string(metric_name_bytes_max, 'n');
  EXPECT_TRUE(read_printf_metric(name + " 5"));
  EXPECT_FALSE(read_printf_metric(name + "n 5"));
  auto key = std::string(metric_label_name_bytes_max, 'k');
  EXPECT_TRUE(read_printf_metric("x{" + key + "=v} 5"));
  EXPECT_FALSE(read_printf_metric("x{" + key + "k=v} 5"));
  std::string labels;
  for (std::size_t i = 0; i < metric_labels_max; ++i)
    labels += "l" + std::to_string(i) + "=v,";
  EXPECT_TRUE(read_printf_metric("x{" + labels + "} 5"));
  EXPECT_FALSE(read_printf_metric("x{" + labels + "z=v} 5"));
  auto line = "x " + std::string(metric_line_bytes_max - 3, ' ') + "5";
  EXPECT_TRUE(read_printf_metric(line));
  EXPECT_FALSE(read_printf_metric(line + " "));
}

/// What a parser makes of some output: "map|keys value" of each entry, prints
/// parted by "/".
struct heard {
  std::string values;
  parser_counts counts;
};

heard hear(output_format format, metric_calls calls, const std::string& output,
           std::string_view rest = {}) {
  parser_options options;
  options.speaks.format = format;
  options.speaks.version = parse_bpftrace_version("v0.17.0");
  options.metrics = calls;
  auto parser = make_map_parser(options);
  parsed out;
  parser->feed(output, wall_time_from_ms(1000), out);
  parser->finish(rest, out);
  heard result;
  for (const auto& print : out.snapshots) {
    if (print.kind != map_kind::metric)
      continue;
    result.values += result.values.empty() ? "" : "/";
    for (const auto& entry : print.entries) {
      result.values += &entry == &print.entries[0] ? "" : " ";
      result.values += print.map;
      for (const auto& key : entry.keys)
        result.values += "|" + key;
      auto value = std::get<exact>(entry.value) / metric_unit;
      result.values += "=" + std::to_string(static_cast<long>(value));
    }
  }
  result.counts = parser->counts();
  return result;
}

std::string call(const std::string& text, const char* type = "printf") {
  std::string json = "{\"type\": \"" + std::string(type) + "\", \"data\": ";
  append_json_string(text, json);
  return json + "}\n";
}

heard json(const std::vector<std::string>& calls,
           metric_calls mode = metric_calls::one_line) {
  std::string all;
  for (const auto& text : calls)
    all += call(text);
  return hear(output_format::json, mode, all);
}

TEST(PrintfMetrics, ComeFromBothFormats) {
  auto text = hear(output_format::text, metric_calls::one_line,
                   "Attaching 1 probe...\nreads 5\n@m: 3\nruns{cpu=1} 7\n\n"
                   "runs{cpu=2} 8\nTracing... Hit Ctrl-C.\n");
  EXPECT_EQ(text.values, "reads=5/runs{cpu}|1=7 runs{cpu}|2=8");
  EXPECT_EQ(text.counts.printf_rejected, 1u);
  EXPECT_EQ(text.counts.values, 4u);
  EXPECT_EQ(text.counts.snapshots, 3u);
  auto records =
    hear(output_format::json, metric_calls::one_line,
         call("reads 5\n") + "{\"type\": \"map\", \"data\": {\"@m\": 3}}\n"
           + call("runs{cpu=1} 7\n") + call("\n") + call("runs{cpu=2} 8\n")
           + call("Tracing... Hit Ctrl-C.\n"));
  EXPECT_EQ(records.values, text.values);
  EXPECT_EQ(records.counts.printf_rejected, 1u);
  EXPECT_EQ(records.counts.values, 4u);
}

TEST(PrintfMetrics, AreOffUnlessAskedFor) {
  auto text = hear(output_format::text, metric_calls::off, "reads 5\nno\n");
  EXPECT_EQ(text.values, "");
  EXPECT_EQ(text.counts.printf_rejected, 0u);
  EXPECT_EQ(json({"reads 5\n"}, metric_calls::off).values, "");
}

TEST(PrintfMetrics, AreJoinedOfSeveralCalls) {
  EXPECT_EQ(json({"runs{cpu=", "1", "} ", "7\n", "x 1\n"}).values,
            "runs{cpu}|1=7/x=1");
  auto cut = json({"x 1\n", "runs 7"});
  EXPECT_EQ(cut.values, "x=1") << "nothing ended the second line";
  EXPECT_EQ(cut.counts.printf_rejected, 1u);
  std::string endless(metric_line_bytes_max, 'a');
  auto bounded = json({endless, "b", endless, " 5\n", "x 1\n"});
  EXPECT_EQ(bounded.values, "x=1");
  EXPECT_EQ(bounded.counts.printf_rejected, 1u);
}

TEST(PrintfMetrics, AreNewPrintsWhenAKeyComesAgain) {
  EXPECT_EQ(
    json({"x 1\n", "x 2\n", "y{a=b} 3\n", "y{a=b} 4\n", "y{a=c} 5\n"}).values,
    "x=1/x=2/y{a}|b=3/y{a}|b=4 y{a}|c=5");
}

TEST(PrintfMetrics, AreOnlyWhatPrintfWroteInJson) {
  auto heard =
    hear(output_format::json, metric_calls::one_line,
         call("x 1\n", "cat") + call("x 2\n", "time") + call("x 3", "join")
           + call("x 4\n", "syscall") + call("12:00 ", "time") + call("x 5\n")
           + call("x 6 ") + call("12:00\n", "time") + call("x 7\n")
           + call("x 8 ") + call("joined", "join") + call("x 9\n"));
  EXPECT_EQ(heard.values, "x=7/x=9");
  EXPECT_EQ(heard.counts.printf_rejected, 2u) << "the lines with time in them";
}

TEST(PrintfMetrics, TakeNoLineThatANameHasBegun) {
  // printf("runs{comm=\"%s\"} %d\n", comm, 5) with names of 15 bytes.
  for (std::string comm :
       {"\nx 9\n", "a\nx 9", "a\"} 9\nx{y=\"", "\n", "x\n\n", "\"} 9\nx 1\n"}) {
    auto heard = json({"runs{comm=\"" + comm + "\"} 5\n", "good 1\n"});
    EXPECT_EQ(heard.values, "good=1") << comm;
    EXPECT_EQ(heard.counts.printf_rejected, 1u) << comm;
    // In pieces: the name is a call of its own.
    heard = json({"runs{comm=\"", comm, "\"} 5\n", "good 1\n"});
    EXPECT_EQ(heard.values.find("x="), std::string::npos) << heard.values;
    EXPECT_TRUE(heard.values.ends_with("good=1")) << heard.values;
  }
  // What such a name can do: add a label, which makes another series.
  EXPECT_EQ(json({"runs{comm=\"a\",b=\"c\"} 5\n"}).values,
            "runs{comm,b}|a|c=5");
  // ... but not change the value, a label or the name.
  for (std::string comm : {"a\"} 9", "a\"} 9 #", "a\",comm=\"b", "a\"} 9 {\""})
    EXPECT_EQ(json({"runs{comm=\"" + comm + "\"} 5\n"}).values, "") << comm;
}

TEST(PrintfMetrics, MayBeSeveralInACallWhereNoTextComesFromOutside) {
  EXPECT_EQ(json({"x 1\ny 2\n", "z 3\n"}, metric_calls::lines).values,
            "x=1/y=2/z=3");
  auto refused = json({"x 1\ny 2\n", "z 3\n"});
  EXPECT_EQ(refused.values, "z=3");
  EXPECT_EQ(refused.counts.printf_rejected, 1u);
}

TEST(PrintfMetrics, AreNoLinesThatAMapHasCut) {
  auto heard = hear(output_format::text, metric_calls::one_line,
                    "x 5@m: 3\ny 6\nz 7", "z 7");
  EXPECT_EQ(heard.values, "y=6/z=7");
  EXPECT_EQ(heard.counts.printf_rejected, 2u);
}

TEST(PrintfMetrics, ReadAnyBytesWithoutHarm) {
  std::mt19937 random{7};
  std::string alphabet = "x{}=\",.- 59\n\\a";
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    auto size = random() % 24;
    for (std::size_t i = 0; i < size; ++i)
      text += random() % 8 == 0 ? static_cast<char>(random() % 256)
                                : alphabet[random() % alphabet.size()];
    auto metric = read_printf_metric(text);
    if (!metric)
      continue;
    EXPECT_FALSE(metric->name.empty());
    EXPECT_TRUE(std::isdigit(
      static_cast<unsigned char>(text[text.find_last_not_of(" \t\r")])))
      << text;
  }
}

// ---- on the wire -----------------------------------------------------------

class metric_wire {
public:
  explicit metric_wire(series_config config)
    : series_{std::move(config), total_, 0} {}

  /// What all these lines, a print each second, become: "path=value ...".
  std::string of(const std::vector<std::string>& lines) {
    std::int64_t now = 10'000;
    for (const auto& text : lines) {
      parser_counts counts;
      parsed out;
      printf_metrics metrics{metric_calls::one_line};
      metrics.line(text, counts);
      metrics.hand_out(wall_time_from_ms(now += 100), out);
      for (const auto& print : out.snapshots)
        series_.add(print);
    }
    std::vector<metric> points;
    series_.drain(wall_time_from_ms(now), points);
    std::string all;
    for (const auto& point : points) {
      all += (all.empty() ? "" : " ") + std::string{*point.path} + "=";
      if (auto* number = std::get_if<exact>(&point.value))
        all += std::to_string(static_cast<long long>(*number));
      else
        all += std::to_string(std::get<double>(point.value));
    }
    return all;
  }

  const series_counts& counts() const {
    return series_.counts();
  }

private:
  series_budget total_{1000};
  trace_series series_;
};

series_config wire_config() {
  series_config config;
  config.trace = "t";
  config.naming.host = "h";
  config.slots.resolution = std::chrono::seconds{60};
  return config;
}

TEST(PrintfMetricNames, TakeThePlaceOfTheMap) {
  auto config = wire_config();
  config.naming.map_level = false; // of maps; a metric has no other name
  metric_wire wire{config};
  EXPECT_EQ(
    wire.of({"x 5", "net.tx 0.5", "runs{comm=\"a b\",cpu=3} 7", "ns:x-y -2"}),
    "bpf.h.t.net.tx=0.500000 bpf.h.t.ns_x-y=-2 bpf.h.t.runs.a_b.3=7 "
    "bpf.h.t.x=5");
}

TEST(PrintfMetricNames, HaveTheirLabelsAsTags) {
  auto config = wire_config();
  config.naming.style = path_style::tags;
  config.keys = {"nothing", "of", "this"};
  metric_wire wire{config};
  EXPECT_EQ(wire.of({"x 5", "runs{pid=3,comm=a} 7", "runs{host=z} 1"}),
            "bpf.t.runs;host=h;host_=z=1 bpf.t.runs;comm=a;host=h;pid=3=7 "
            "bpf.t.x;host=h=5");
}

TEST(PrintfMetricValues, AreWhatAccumulateSays) {
  auto lines = std::vector<std::string>{"x 5", "x 1.5", "x 9", "x 2.5"};
  auto sent = [&](std::optional<accumulation> how) {
    auto config = wire_config();
    if (how)
      config.maps["x"] = metric_rules(*how);
    return metric_wire{config}.of(lines);
  };
  EXPECT_EQ(sent({}), "bpf.h.t.x=2.500000");
  EXPECT_EQ(sent(accumulation::last), "bpf.h.t.x=2.500000");
  EXPECT_EQ(sent(accumulation::max), "bpf.h.t.x=9");
  EXPECT_EQ(sent(accumulation::min), "bpf.h.t.x=1.500000");
  EXPECT_EQ(sent(accumulation::mean), "bpf.h.t.x=4.500000");
  EXPECT_EQ(sent(accumulation::cleared), "bpf.h.t.x=18");
  // 5, a fall to 1.5 (from zero), +7.5, a fall to 2.5
  EXPECT_EQ(sent(accumulation::cumulative), "bpf.h.t.x=16.500000");
}

TEST(PrintfMetricValues, OfOneKeySayNothingOfAnother) {
  auto config = wire_config();
  config.other_metrics = metric_rules(accumulation::cumulative);
  EXPECT_EQ(metric_wire{config}.of(
              {"x{k=a} 5", "x{k=b} 7", "x{k=a} 6", "x{k=b} 3", "x{k=a} 8"}),
            "bpf.h.t.x.a=8 bpf.h.t.x.b=10");
}

TEST(PrintfMetricValues, AreFoldedOrDroppedBeyondTheBudget) {
  std::vector<std::string> lines;
  for (int i = 0; i < 50; ++i)
    lines.push_back("x{k=n" + std::to_string(i) + "} 1.5");
  auto config = wire_config();
  config.max_series = 10;
  metric_wire gauges{config};
  auto sent = gauges.of(lines);
  EXPECT_EQ(std::count(sent.begin(), sent.end(), '='), 10);
  EXPECT_EQ(gauges.counts().dropped_budget, 40u);
  config.other_metrics = metric_rules(accumulation::cleared);
  metric_wire sums{config};
  sent = sums.of(lines);
  EXPECT_EQ(std::count(sent.begin(), sent.end(), '='), 10);
  EXPECT_NE(sent.find("bpf.h.t.x._other=61.5"), std::string::npos) << sent;
}

TEST(PrintfMetricValues, AreFilteredByTheirLabels) {
  auto config = wire_config();
  config.keys = {"other"};
  config.keep_keys = {"comm=ba*"};
  metric_wire wire{config};
  EXPECT_EQ(wire.of({"x{cpu=bash,comm=sh} 1", "x{cpu=1,comm=bash} 2", "y 3"}),
            "bpf.h.t.x.1.bash=2 bpf.h.t.y=3");
  EXPECT_EQ(wire.counts().dropped_filtered, 1u);
}

} // namespace
} // namespace bpf2graphite
