#include "actors/normalizer/histogram_rows.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace bpf2graphite {
namespace {

constexpr auto none = std::nullopt;

row_bounds row(std::optional<std::int64_t> min,
               std::optional<std::int64_t> max) {
  return bounds_of({min, max, 0});
}

histogram_rows rows_of(const std::vector<bucket>& printed) {
  histogram_rows rows;
  EXPECT_EQ(read_rows(printed, rows), 0u);
  return rows;
}

std::string text(const histogram_rows& rows) {
  std::string result;
  for (const auto& one : rows)
    result += '[' + std::to_string(one.bounds.min)
              + "]=" + std::to_string(static_cast<long long>(one.count)) + ' ';
  return result;
}

std::string between(const row_bounds& low, const row_bounds& high) {
  std::vector<row_bounds> found;
  rows_between(low, high, found);
  std::string result;
  for (const auto& one : found)
    result += std::to_string(one.min) + "-" + std::to_string(one.max) + ' ';
  return result;
}

TEST(HistogramRows, AreSortedAndEqualOnesAdded) {
  EXPECT_EQ(text(rows_of({{4, 7, 1}, {0, 0, 2}, {4, 7, 3}, {none, -1, 1}})),
            "[-9223372036854775808]=1 [0]=2 [4]=4 ");
}

TEST(HistogramRows, RefuseALowerBoundAboveTheUpperOneAndTooMany) {
  histogram_rows rows;
  EXPECT_EQ(read_rows({{4, 3, 1}, {4, 4, 1}}, rows), 1u);
  EXPECT_EQ(rows.size(), 1u);
  std::vector<bucket> many;
  for (auto i = 0; i < 5000; ++i)
    many.push_back({i, i, 1});
  EXPECT_EQ(read_rows(many, rows), 5000 - rows_per_histogram_max);
  EXPECT_EQ(rows.size(), rows_per_histogram_max);
}

TEST(HistogramRows, AreAddedAndTakenAwayExactly) {
  auto sum = rows_of({{4, 7, 1}, {16, 31, ~std::uint64_t{0}}});
  EXPECT_EQ(add_rows(sum, rows_of({{8, 15, 2}, {16, 31, 1}})), 1u);
  EXPECT_EQ(total_of(sum), exact{3} + (exact{1} << 64));
  EXPECT_EQ(add_rows(sum, rows_of({{8, 15, 2}}), -1), 0u);
  EXPECT_EQ(total_of(sum), exact{1} + (exact{1} << 64));
  histogram_rows difference;
  subtract_rows(rows_of({{4, 7, 3}, {8, 15, 2}, {16, 31, 5}}),
                rows_of({{4, 7, 1}, {16, 31, 5}}), difference);
  EXPECT_EQ(text(difference), "[4]=2 [8]=2 ");
}

TEST(HistogramRows, CoverWhatIsNowhereMore) {
  const auto large = rows_of({{4, 7, 3}, {8, 15, 2}});
  EXPECT_TRUE(covers(large, rows_of({{4, 7, 3}})));
  EXPECT_TRUE(covers(large, rows_of({{2, 3, 0}, {8, 15, 1}})));
  EXPECT_FALSE(covers(large, rows_of({{4, 7, 4}})));
  EXPECT_FALSE(covers(large, rows_of({{16, 31, 1}})));
}

/// The same arithmetic, row by row.
using plain_rows = std::map<std::pair<std::int64_t, bool>, exact>;

std::pair<std::int64_t, bool> key_of(const row_bounds& row) {
  return {row.open_low ? 0 : row.min, !row.open_low};
}

plain_rows plain(const histogram_rows& rows) {
  plain_rows result;
  for (const auto& one : rows)
    EXPECT_TRUE(result.emplace(key_of(one.bounds), one.count).second);
  EXPECT_EQ(result.size(), rows.size());
  EXPECT_EQ(result.empty(), rows.empty());
  return result;
}

/// Some rows, mostly of hist(), behind each other or with gaps.
std::vector<bucket> some_rows(std::mt19937& random) {
  const auto pick = [&](std::size_t n) {
    return random() % n;
  };
  std::vector<bucket> rows;
  const auto gaps = pick(3) == 0;
  const auto first = pick(hist_rows_all);
  const auto end = std::min(hist_rows_all, first + 1 + pick(hist_rows_all));
  for (auto at = pick(8) == 0 ? 0 : first; at < end; ++at)
    if (!gaps || pick(2) == 0)
      rows.push_back(bucket_of(hist_bounds[at], pick(20) == 0
                                                  ? ~std::uint64_t{0} - pick(2)
                                                  : pick(4)));
  if (pick(6) == 0)
    rows.push_back({3'000, 3'999, pick(4)}); // of lhist(): no such hist() row
  return rows;
}

TEST(HistogramRows, CountAsARowByRowModelDoes) {
  std::mt19937 random{20261123};
  for (auto round = 0; round < 20'000; ++round) {
    const auto printed = some_rows(random);
    EXPECT_EQ(buckets{printed}.size(), printed.size());
    auto a = rows_of(printed);
    const auto b = rows_of(some_rows(random));
    auto sum = plain(a);
    const auto more = plain(b);
    auto covered = true;
    auto gained = std::size_t{0};
    auto difference = sum;
    for (const auto& [row, count] : more) {
      const auto known = sum.find(row);
      covered = covered && count <= (known == sum.end() ? 0 : known->second);
      if (known != sum.end())
        difference[row] -= count;
      gained += sum.emplace(row, 0).second;
      sum[row] += count;
    }
    std::erase_if(difference, [](auto& one) { return one.second == 0; });
    EXPECT_EQ(covers(a, b), covered);
    histogram_rows less;
    subtract_rows(a, b, less);
    EXPECT_EQ(plain(less), difference);
    EXPECT_EQ(add_rows(a, b), gained);
    EXPECT_EQ(plain(a), sum);
    exact total = 0;
    for (const auto& [row, count] : sum)
      total += count;
    EXPECT_EQ(total_of(a), total);
    EXPECT_EQ(add_rows(a, b, -1), 0U);
    for (const auto& [row, count] : more)
      sum[row] -= count;
    EXPECT_EQ(plain(a), sum);
    a.erase_if([](const histogram_row& row) { return row.count <= 1; });
    std::erase_if(sum, [](auto& one) { return one.second <= 1; });
    EXPECT_EQ(plain(a), sum);
  }
}

TEST(RowsBetween, FillHistEachPowerOfTwo) {
  EXPECT_EQ(between(row(4, 7), row(32, 63)), "8-15 16-31 ");
  EXPECT_EQ(between(row(0, 0), row(4, 7)), "1-1 2-3 ");
  EXPECT_EQ(between(row(0, 0), row(2, 3)), "1-1 ");
  EXPECT_EQ(between(row(none, -1), row(1, 1)), "0-0 ");
  EXPECT_EQ(between(row(4, 7), row(8, 15)), "");
  EXPECT_EQ(between(row(std::int64_t{1} << 60, (std::int64_t{1} << 61) - 1),
                    row(std::int64_t{1} << 62,
                        std::numeric_limits<std::int64_t>::max())),
            "2305843009213693952-4611686018427387903 ");
}

TEST(RowsBetween, FillHistWithBits) {
  // hist(x, 2): four rows for each power of two.
  EXPECT_EQ(between(row(7, 7), row(12, 13)), "8-9 10-11 ");
  EXPECT_EQ(between(row(14, 15), row(24, 27)), "16-19 20-23 ");
}

TEST(RowsBetween, FillLhistInEqualSteps) {
  EXPECT_EQ(between(row(0, 9), row(30, 39)), "10-19 20-29 ");
  EXPECT_EQ(between(row(0, 9), row(30, none)), "10-19 20-29 ");
  EXPECT_EQ(between(row(none, 99), row(120, 129)), "100-109 110-119 ");
  EXPECT_EQ(between(row(64, 127), row(192, 255)), "128-191 ");
}

TEST(RowsBetween, SayNothingWhereTheRowsAreNotCertain) {
  EXPECT_EQ(between(row(none, -1), row(2, 3)), ""); // hist or lhist by two
  EXPECT_EQ(between(row(none, -1), row(4, 7)), ""); // ... or by four
  EXPECT_EQ(between(row(0, 9), row(25, 34)), "");
  EXPECT_EQ(between(row(2, 3), row(12, 13)), "4-5 6-7 8-9 10-11 ");
  EXPECT_EQ(between(row(none, 3), row(8, none)), "");
  EXPECT_EQ(between(row(8, 15), row(4, 7)), "");
  EXPECT_EQ(between(row(0, 0), row(1'000'000, 1'000'000)), "");
}

} // namespace
} // namespace bpf2graphite
