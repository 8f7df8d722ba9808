#include "actors/normalizer/histogram_metrics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <random>
#include <vector>

namespace bpf2graphite {
namespace {

histogram_rows rows_of(const std::vector<bucket>& printed) {
  histogram_rows rows;
  read_rows(printed, rows);
  return rows;
}

double as_double(const metric_value& value) {
  if (const auto* whole = std::get_if<exact>(&value))
    return static_cast<double>(*whole);
  return std::get<double>(value);
}

TEST(Ratio, IsExactWhereItIsIntegral) {
  EXPECT_EQ(ratio(12, 4), metric_value{exact{3}});
  EXPECT_EQ(ratio(-12, 4), metric_value{exact{-3}});
  EXPECT_EQ(ratio(1, 4), metric_value{0.25});
}

TEST(Percentile, InterpolatesInsideTheRow) {
  const auto rows = rows_of({{0, 0, 5}, {4, 7, 4}, {8, 15, 1}});
  EXPECT_EQ(percentile(rows, 50), metric_value{exact{0}});
  EXPECT_EQ(percentile(rows, 70), metric_value{5.5}); // 2 of 4 in 4 ... 7
  EXPECT_EQ(percentile(rows, 90), metric_value{exact{7}});
  EXPECT_EQ(percentile(rows, 99), metric_value{8 + 7 * 0.9});
}

TEST(Percentile, OfAnEmptyHistogramIsNone) {
  EXPECT_FALSE(percentile({}, 50));
  EXPECT_FALSE(percentile(rows_of({{4, 7, 0}}), 50));
  EXPECT_FALSE(mean_estimate({}));
  EXPECT_FALSE(highest_of(rows_of({{4, 7, 0}})));
}

TEST(Percentile, OfAnOpenRowIsItsFiniteEnd) {
  const auto rows = rows_of({{std::nullopt, -1, 1}, {100, std::nullopt, 1}});
  EXPECT_EQ(percentile(rows, 10), metric_value{exact{-1}});
  EXPECT_EQ(percentile(rows, 90), metric_value{exact{100}});
  EXPECT_EQ(highest_of(rows), exact{100});
  EXPECT_EQ(mean_estimate(rows), metric_value{49.5});
}

TEST(Percentile, ARankThatIsWholeIsNotRoundedUp) {
  // 99.9 / 100 * 1000 is a little above 999 in floating point.
  EXPECT_EQ(percentile(rows_of({{1, 1, 999}, {2, 2, 1}}), 99.9),
            metric_value{exact{1}});
}

TEST(Percentile, IsWithinTheWidthOfItsRowOfTheTruth) {
  std::mt19937_64 random{20'190'401};
  auto worst = 0.0L;
  for (auto distribution = 0; distribution < 10'000; ++distribution) {
    const auto step = static_cast<std::int64_t>(random() % 3 == 0 ? 50 : 0);
    const auto n = 1 + random() % 60;
    const auto scale = random() % 40;
    std::vector<std::int64_t> values;
    std::map<std::int64_t, bucket> rows;
    for (auto i = std::uint64_t{0}; i < n; ++i) {
      const auto value =
        static_cast<std::int64_t>(random() % (std::uint64_t{1} << scale));
      values.push_back(value);
      auto low = std::int64_t{0};
      auto high = std::int64_t{0};
      if (step != 0) {
        low = value / step * step;
        high = low + step - 1;
      } else if (value > 0) {
        low = static_cast<std::int64_t>(
          std::bit_floor(static_cast<std::uint64_t>(value)));
        high = 2 * low - 1;
      }
      auto& one = rows[low];
      one = {low, high, one.count + 1};
    }
    std::sort(values.begin(), values.end());
    std::vector<bucket> printed;
    for (const auto& [low, one] : rows)
      printed.push_back(one);
    const auto histogram = rows_of(printed);
    for (const auto p : {1.0, 25.0, 50.0, 90.0, 99.0, 99.9}) {
      auto rank =
        static_cast<long double>(p) * static_cast<long double>(n) / 100;
      if (std::abs(rank - std::nearbyint(rank)) <= 1e-9L)
        rank = std::nearbyint(rank);
      const auto truth = values[static_cast<std::size_t>(std::ceil(rank)) - 1];
      const auto estimate = percentile(histogram, p);
      ASSERT_TRUE(estimate);
      const auto& at = std::prev(rows.upper_bound(truth))->second;
      const auto bound = static_cast<double>(*at.max - *at.min);
      const auto off =
        std::abs(as_double(*estimate) - static_cast<double>(truth));
      ASSERT_LE(off, bound) << "p" << p << " of " << n << " values";
      if (bound > 0)
        worst = std::max(worst, static_cast<long double>(off / bound));
    }
  }
  EXPECT_GT(worst, 0.5); // the bound is not idle
}

TEST(MeanEstimate, IsWithinHalfTheWidestRowOfTheTruth) {
  const auto rows = rows_of({{1, 1, 2}, {2, 3, 2}, {8, 15, 4}});
  EXPECT_EQ(mean_estimate(rows), metric_value{(2 + 5 + 46) / 8.0});
}

TEST(Highest, IsTheUpperEndOfTheHighestRowWithAValue) {
  EXPECT_EQ(highest_of(rows_of({{1, 1, 2}, {2, 3, 2}, {8, 15, 0}})), exact{3});
}

} // namespace
} // namespace bpf2graphite
