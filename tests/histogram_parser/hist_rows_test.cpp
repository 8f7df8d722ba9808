// Rows of hist() that are recognized by their bytes, against the readers that
// take any row: what the first accept, the second read the same.

#include "actors/histogram_parser/bar_line.hpp"
#include "actors/histogram_parser/hist_row_text.hpp"
#include "actors/histogram_parser/json_scanner.hpp"
#include "actors/histogram_parser/map_json.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>

namespace bpf2graphite {
namespace {

std::string spelled(std::uint64_t bound) {
  constexpr const char* units[] = {"", "K", "M", "G", "T", "P", "E"};
  std::size_t unit = 0;
  for (; bound >= 1024 && bound % 1024 == 0; bound /= 1024)
    ++unit;
  return std::to_string(bound) + units[unit];
}

std::string line_of(std::size_t power, std::uint64_t count, int filled) {
  auto low = power == 0 ? 0 : std::uint64_t{1} << (power - 1);
  auto label = power < 2 ? "[" + spelled(low) + "]"
                         : "[" + spelled(low) + ", " + spelled(2 * low) + ")";
  label.resize(std::max<std::size_t>(label.size(), 16), ' ');
  auto number = std::to_string(count);
  if (number.size() < 8)
    number.insert(0, 8 - number.size(), ' ');
  auto bar = std::string(static_cast<std::size_t>(filled), '@');
  bar.resize(52, ' ');
  return label + ' ' + number + " |" + bar + '|';
}

TEST(HistRows, AreReadAlikeByBothReadersOfText) {
  for (std::size_t power = 0; power < 64; ++power)
    for (std::uint64_t count : {std::uint64_t{0}, std::uint64_t{7},
                                std::uint64_t{123456789}, UINT64_MAX})
      for (int filled : {0, 1, 7, 8, 9, 47, 48, 51, 52}) {
        auto line = line_of(power, count, filled);
        bucket compared;
        bucket read;
        ASSERT_TRUE(read_bar(line, read)) << line;
        ASSERT_TRUE(read_hist_bar(line, power, compared)) << line;
        EXPECT_EQ(compared, read) << line;
        EXPECT_EQ(read.count, count) << line;
        EXPECT_EQ(power_of(read), power) << line;
        EXPECT_FALSE(read_hist_bar(line, power + 1, compared)) << line;
      }
}

TEST(HistRows, AreNeverMoreThanTheStrictReaderOfTextAccepts) {
  std::mt19937 random{8};
  const std::string marks = "@ |[]),0123456789KMGTPE(.\t";
  std::size_t accepted = 0;
  for (int round = 0; round < 200000; ++round) {
    auto power = random() % 64;
    auto line =
      line_of(power, random() % 100000, static_cast<int>(random() % 53));
    for (auto n = random() % 3; n > 0; --n) {
      auto at = random() % line.size();
      switch (random() % 3) {
        case 0:
          line[at] = marks[random() % marks.size()];
          break;
        case 1:
          line.erase(at, 1);
          break;
        default:
          line.insert(at, 1, marks[random() % marks.size()]);
      }
    }
    bucket compared{1, 2, 3};
    bucket read{1, 2, 3};
    auto fast = read_hist_bar(line, power, compared);
    auto strict = read_bar(line, read);
    if (fast) {
      ++accepted;
      ASSERT_TRUE(strict) << line;
      ASSERT_EQ(compared, read) << line;
    } else {
      ASSERT_EQ(compared, (bucket{1, 2, 3})) << line;
    }
  }
  EXPECT_GT(accepted, 50000u);
}

TEST(HistRows, RefuseABarThatNoPrintHas) {
  bucket row;
  for (std::string bar : {std::string(51, '@'), std::string(53, '@'),
                          std::string(51, ' ') + '@', std::string(52, '#')})
    EXPECT_FALSE(read_bar("[1]                     5 |" + bar + '|', row))
      << bar;
}

TEST(HistRows, OfJsonSpellTheirBounds) {
  for (const auto& row : json_hist_rows()) {
    std::string text{row.view()};
    text += "1}";
    EXPECT_TRUE(row.begins(text.data(), text.size())) << text;
    EXPECT_FALSE(row.begins(text.data(), row.size - 1)) << text;
    json_scanner in{text, false, false};
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    EXPECT_TRUE(in.literal("{\"min\": ") && in.natural(low)
                && in.literal(", \"max\": ") && in.natural(high)
                && in.literal(", \"count\": "))
      << text;
    EXPECT_EQ(low, static_cast<std::uint64_t>(row.min));
    EXPECT_EQ(high, static_cast<std::uint64_t>(row.max));
    for (std::size_t i = 0; i < row.size; ++i) {
      auto other = text;
      other[i] = static_cast<char>(other[i] ^ 1);
      EXPECT_FALSE(row.begins(other.data(), other.size())) << other;
    }
  }
}

/// Prints of rows that begin, leave out and end anywhere, with any bounds in
/// between; JSON with more space in it goes to the general reader.
TEST(HistRows, OfJsonAreReadAlikeByBothReaders) {
  std::mt19937 random{9};
  auto fixed = make_json_parser({});
  auto general = make_json_parser({});
  for (int round = 0; round < 2000; ++round) {
    std::string tight = "{\"type\": \"hist\", \"data\": {\"@x\": [";
    std::string wide = "{ \"type\": \"hist\", \"data\": {\"@x\": [";
    std::int64_t low = random() % 3 == 0 ? 0 : std::int64_t{1} << random() % 40;
    for (auto n = 1 + random() % 20; n > 0; --n) {
      auto high = random() % 8 == 0 ? low + random() % 5
                  : low < 2         ? low
                                    : 2 * low - 1;
      auto row = "{\"min\": " + std::to_string(low)
                 + ", \"max\": " + std::to_string(high) + ", \"count\": "
                 + std::to_string(random()) + "}" + (n > 1 ? ", " : "]}}\n");
      tight += row;
      wide += row;
      low = high + 1 + (random() % 10 == 0 ? 3 : 0);
    }
    parsed a;
    parsed b;
    fixed->feed(tight, {}, a);
    general->feed(wide, {}, b);
    ASSERT_EQ(a.snapshots.size(), 1u) << tight;
    ASSERT_EQ(b.snapshots.size(), 1u) << wide;
    EXPECT_EQ(a.snapshots[0].entries[0].value, b.snapshots[0].entries[0].value)
      << tight;
  }
}

} // namespace
} // namespace bpf2graphite
