// The example lines of the daemon of 2019, from the histograms behind them:
// same names, numbers and times. tests/golden/seed-2019-lines.txt are its lines
// without the journal's words; it wrote `1.0` where we write `1`.
#include "actors/normalizer/trace_series.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

struct printed_second {
  std::int64_t second;
  std::int64_t lowest; // lower bound of the first row
  std::vector<std::uint64_t> counts;
};

// Each block of one second is one print of a cleared histogram.
const std::vector<printed_second> prints = {
  {1572824522, 4, {1, 1, 0, 0, 0, 1}},
  {1572824523, 8, {1, 0, 0, 0, 0, 0, 0, 0, 1}},
  {1572824524, 4, {1}},
  {1572824527, 2, {2, 4, 1, 0, 0, 0, 1, 1}},
  {1572824528, 16, {1, 0, 0, 0, 0, 0, 0, 0, 1}},
  {1572824529, 8, {1, 0, 0, 0, 1, 1}},
  {1572824530, 16, {1, 0, 0, 0, 0, 0, 0, 1}},
  {1572824531, 4, {1}},
};

snapshot print_of(const printed_second& from) {
  snapshot print;
  print.map = "@usecs";
  print.kind = map_kind::hist;
  std::vector<bucket> rows;
  auto low = from.lowest;
  for (const auto count : from.counts) {
    rows.push_back({low, 2 * low - 1, count});
    low *= 2;
  }
  print.entries.push_back({{}, rows, false});
  // Printed each second, 0.2 s after it was full.
  print.arrival = wall_time_from_ms((from.second + 1) * 1000 + 200);
  return print;
}

std::vector<std::string> seed_lines() {
  std::ifstream file{BPF2GRAPHITE_SOURCE_DIR
                     "/tests/golden/seed-2019-lines.txt"};
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words{line};
    std::string path;
    double value = 0;
    std::string time;
    words >> path >> value >> time;
    lines.push_back(path + ' ' + std::to_string(static_cast<long>(value)) + ' '
                    + time);
  }
  return lines;
}

series_config original() {
  series_config config;
  config.trace = "cpu-lat";
  config.naming.prefix = "";
  config.naming.host = "tuxgrid.com";
  config.naming.dots = host_dots::keep;
  config.naming.map_level = false;
  config.naming.units = bucket_units::decimal;
  config.slots.resolution = std::chrono::seconds{1};
  config.slots.zero_fill = false;
  return config;
}

TEST(Seed2019, TheSameLinesComeFromTheSameHistograms) {
  series_budget total{1000};
  trace_series series{original(), total, 1572824522};
  series.opened(wall_time_from_ms(1572824522200));
  std::vector<metric> points;
  for (const auto& print : prints) {
    const auto snapshot = print_of(print);
    series.add(snapshot);
    series.collect(snapshot.arrival, points);
  }
  series.drain(wall_time_from_ms(1572824533000), points);
  std::vector<std::string> lines;
  for (const auto& point : points)
    lines.push_back(
      std::string{*point.path} + ' '
      + std::to_string(static_cast<long>(std::get<exact>(point.value))) + ' '
      + std::to_string(point.timestamp));
  const auto expected = seed_lines();
  ASSERT_EQ(expected.size(), 48u);
  EXPECT_EQ(lines, expected);
}

} // namespace
} // namespace bpf2graphite
