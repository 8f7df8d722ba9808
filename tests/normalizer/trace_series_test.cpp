#include "actors/normalizer/trace_series.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

constexpr std::int64_t t0 = 1'700'000'010; // a multiple of 15

using lines = std::vector<std::string>;

std::string number(const metric_value& value) {
  if (const auto* whole = std::get_if<exact>(&value))
    return std::to_string(static_cast<long long>(*whole));
  auto text = std::to_string(std::get<double>(value));
  text.erase(text.find_last_not_of('0') + 1);
  return text;
}

// (Set one by one: of a variant that is moved, g++ 12 warns with a sanitizer.)
map_entry entry(std::vector<std::string> keys, exact value) {
  map_entry one{nullptr, value};
  one.keys = std::move(keys);
  return one;
}

map_entry entry(std::vector<std::string> keys,
                const std::vector<bucket>& rows) {
  map_entry one;
  one.keys = std::move(keys);
  one.value.emplace<buckets>(rows);
  return one;
}

/// Prints at seconds after t0; lines are `path value seconds-after-t0`.
class TraceSeries : public ::testing::Test {
protected:
  TraceSeries() {
    config.trace = "t";
    config.naming.prefix = "";
    config.naming.host = "h";
    config.other_maps.how = accumulation::cleared;
    config.other_scalars.how = accumulation::cleared;
  }

  trace_series& series() {
    if (!series_) {
      series_ = std::make_unique<trace_series>(config, total, floor);
      series_->opened(wall_time_from_ms((t0 - 1) * 1000));
    }
    return *series_;
  }

  void print(double after, std::vector<map_entry> entries,
             const std::string& map = "@m", bool ending = false) {
    snapshot one;
    one.map = map;
    if (!entries.empty() && std::holds_alternative<buckets>(entries[0].value))
      one.kind = map_kind::hist;
    one.entries = std::move(entries);
    one.arrival = at(after);
    one.ending = ending;
    series().add(one);
    EXPECT_TRUE(series().valid());
  }

  lines collect(double after) {
    std::vector<metric> out;
    series().collect(at(after), out);
    return text(out);
  }

  lines drain(double after) {
    std::vector<metric> out;
    series().drain(at(after), out);
    return text(out);
  }

  lines text(const std::vector<metric>& out) {
    EXPECT_TRUE(series().valid());
    lines result;
    for (const auto& point : out)
      result.push_back(std::string{*point.path} + ' ' + number(point.value)
                       + ' ' + std::to_string(point.timestamp - t0));
    return result;
  }

  static wall_time at(double after) {
    return wall_time_from_ms(t0 * 1000
                             + static_cast<std::int64_t>(after * 1000));
  }

  void expect_balance() {
    const auto& c = series().counts();
    EXPECT_EQ(c.values, series().open_values() + c.combined + c.measured
                          + c.merged + c.folded + c.unchanged + c.dropped());
  }

  const series_counts& counts() {
    return series().counts();
  }

  series_config config;
  series_budget total{10'000};
  std::int64_t floor = t0 - 15;
  std::unique_ptr<trace_series> series_;
};

TEST_F(TraceSeries, TakesNoValueFromAPrintOfEndThatIsDivided) {
  config.maps["@m"] = map_rules{.how = accumulation::cumulative,
                                .top = true,
                                .printed_in_end = true,
                                .wanted = true,
                                .divided_in_end = true};
  print(1, {entry({"a"}, 100), entry({"b"}, 700)});
  print(2, {entry({"a"}, 300), entry({"b"}, 1000)});
  print(2.1, {entry({"b"}, 10)}); // END { print(@m, 1, 100); clear(@m); }
  EXPECT_EQ(drain(3), (lines{"h.t.m.a 300 0", "h.t.m.b 1000 0"}));
  EXPECT_EQ(series().counts().dropped_inconsistent, 1u);
  EXPECT_EQ(series().counts().resets, 0u);
}

TEST_F(TraceSeries, AddsThePrintsOfASlot) {
  print(1, {entry({}, {{4, 7, 1}, {8, 15, 2}})});
  print(2, {entry({}, {{4, 7, 3}})});
  print(16, {entry({}, {{4, 7, 5}})});
  EXPECT_EQ(collect(16), lines{});
  EXPECT_EQ(collect(17), (lines{"h.t.m.4 4 0", "h.t.m.8 2 0"}));
  EXPECT_EQ(drain(18), (lines{"h.t.m.4 5 15", "h.t.m.8 0 15"}));
  expect_balance();
  EXPECT_EQ(counts().zero_filled, 1u);
  EXPECT_EQ(counts().combined, 1u);
}

TEST_F(TraceSeries, FillsAllRowsBetweenTheLowestAndTheHighestKnown) {
  print(1, {entry({}, {{4, 7, 1}})});
  print(2, {entry({}, {{64, 127, 1}})});
  EXPECT_EQ(drain(3), (lines{"h.t.m.4 1 0", "h.t.m.8 0 0", "h.t.m.16 0 0",
                             "h.t.m.32 0 0", "h.t.m.64 1 0"}));
  expect_balance();
}

TEST_F(TraceSeries, WithoutZeroFillOnlyWhatWasPrintedIsSent) {
  config.slots.zero_fill = false;
  print(1, {entry({}, {{4, 7, 1}, {8, 15, 0}, {16, 31, 2}})});
  print(16, {entry({}, {{64, 127, 1}})});
  EXPECT_EQ(drain(20), (lines{"h.t.m.4 1 0", "h.t.m.8 0 0", "h.t.m.16 2 0",
                              "h.t.m.64 1 15"}));
}

TEST_F(TraceSeries, ASlotWithoutAPrintIsAGap) {
  print(1, {entry({"a"}, 1)});
  print(2, {entry({"a"}, 0)});
  print(32, {entry({"b"}, 2)});
  EXPECT_EQ(drain(40), (lines{"h.t.m.a 1 0", "h.t.m.a 0 30", "h.t.m.b 2 30"}));
}

TEST_F(TraceSeries, ATraceThatIsDownSendsNothing) {
  print(1, {entry({"a"}, 1)});
  print(2, {entry({"a"}, 1)});
  series().closed(at(3));
  lines out;
  for (auto after = 4; after <= 64; after += 5)
    for (const auto& line : collect(after))
      out.push_back(line);
  series().opened(at(65));
  print(66, {entry({"b"}, 1)});
  for (const auto& line : drain(80))
    out.push_back(line);
  // The slots 15 to 45 are gaps, not zeros; what was known goes on after them.
  EXPECT_EQ(out, (lines{"h.t.m.a 2 0", "h.t.m.a 0 60", "h.t.m.b 1 60"}));
}

TEST_F(TraceSeries, AMapThatWasEmptyForAnHourIsDatedByItsPeriod) {
  config.maps["@m"] = {.how = accumulation::cleared,
                       .print_period = std::chrono::seconds{1}};
  (void)series(); // opened at -1
  print(3601, {entry({"a"}, 1)});
  EXPECT_EQ(collect(3617), lines{"h.t.m.a 1 3600"});
  print(7201, {entry({"a"}, 2)});
  EXPECT_EQ(drain(7210), lines{"h.t.m.a 2 7200"});
  EXPECT_EQ(counts().late, 0u);
}

TEST_F(TraceSeries, ASlotWaitsForTheGraceThatIsConfigured) {
  config.slots.grace = std::chrono::milliseconds{4000};
  print(1, {entry({"a"}, 1)});
  print(2, {entry({"a"}, 1)});
  print(3, {entry({"a"}, 1)});
  EXPECT_EQ(collect(19.4), lines{});
  EXPECT_EQ(collect(19.5), lines{"h.t.m.a 3 0"}); // 15 + 4 + half a gap
}

TEST_F(TraceSeries, ZerosEndAfterTheTimeOfSilenceAndTheRoomIsFree) {
  config.slots.zero_fill_for = std::chrono::seconds{60};
  print(1, {entry({"a"}, 1)});
  for (auto slot = 1; slot <= 5; ++slot)
    print(slot * 15 + 1, {entry({"b"}, 1)});
  auto a = 0;
  for (const auto& line : drain(100))
    a += line.starts_with("h.t.m.a ");
  EXPECT_EQ(a, 4); // its own and 15, 30, 45
  EXPECT_EQ(series().alive(), 1u);
  EXPECT_EQ(total.claimed(), 1u);
}

TEST_F(TraceSeries, RowsAtTheEndsGoSilentThoseBetweenStay) {
  config.slots.zero_fill_for = std::chrono::seconds{45};
  print(1, {entry({}, {{2, 3, 1}, {4, 7, 0}, {8, 15, 1}, {16, 31, 1}})});
  for (auto slot = 1; slot <= 3; ++slot)
    print(slot * 15 + 1, {entry({}, {{4, 7, 1}, {8, 15, 0}, {16, 31, 1}})});
  const auto out = drain(60);
  EXPECT_EQ(lines(out.end() - 3, out.end()),
            (lines{"h.t.m.4 1 45", "h.t.m.8 0 45", "h.t.m.16 1 45"}));
}

TEST_F(TraceSeries, CumulativePrintsAreDifferenced) {
  config.other_maps = {.how = accumulation::cumulative};
  print(1, {entry({}, {{4, 7, 10}})});
  print(2, {entry({}, {{4, 7, 12}, {8, 15, 1}})});
  print(16, {entry({}, {{4, 7, 12}, {8, 15, 5}})});
  EXPECT_EQ(drain(20), (lines{"h.t.m.4 12 0", "h.t.m.8 1 0", "h.t.m.4 0 15",
                              "h.t.m.8 4 15"}));
  expect_balance();
}

/// They read into the same memory, one after the other.
TEST_F(TraceSeries, MapsThatArePrintedInTurnDoNotMeet) {
  config.other_maps = {.how = accumulation::cumulative};
  config.maps["@kept"] = {.how = accumulation::cleared, .printed_in_end = true};
  std::vector<bucket> wide;
  for (std::int64_t row = 0; row < 40; ++row)
    wide.push_back({row * 10, row * 10 + 9, 1});
  for (const auto time : {1, 2, 3}) {
    const auto n = static_cast<std::uint64_t>(time);
    wide.front().count = n;
    print(time, {entry({}, wide)}, "@wide");
    print(time, {entry({"x"}, time), entry({"y"}, 1), entry({"z"}, 1)}, "@v");
    print(time, {entry({}, {{4, 7, n}})}, "@one");
    print(time, {entry({"z"}, time), entry({"x"}, 1)}, "@kept");
  }
  const auto out = drain(15);
  ASSERT_EQ(out.size(), 2 + 1 + 3 + 40u);
  EXPECT_EQ(
    lines(out.begin(), out.begin() + 7),
    (lines{"h.t.kept.z 6 0", "h.t.kept.x 3 0", "h.t.one.4 3 0", "h.t.v.x 6 0",
           "h.t.v.y 3 0", "h.t.v.z 3 0", "h.t.wide.0 3 0"}));
  EXPECT_EQ(out.back(), "h.t.wide.390 1 0");
  expect_balance();
}

TEST_F(TraceSeries, ANewBpftraceCountsFromZero) {
  config.other_maps = {.how = accumulation::cumulative, .resets = false};
  print(1, {entry({}, {{4, 7, 10}})});
  series().closed(at(2));
  series().opened(at(3));
  print(4, {entry({}, {{4, 7, 3}})});
  print(5, {entry({}, {{4, 7, 4}})});
  EXPECT_EQ(drain(20), lines{"h.t.m.4 14 0"});
  EXPECT_EQ(counts().inconsistent, 0u);
}

TEST_F(TraceSeries, AFallOfOneRowIsAResetOfTheWholeMap) {
  config.other_maps = {.how = accumulation::cumulative, .resets = true};
  print(1, {entry({"a"}, {{4, 7, 10}}), entry({"b"}, {{4, 7, 10}})});
  print(2, {entry({"a"}, {{4, 7, 9}}), entry({"b"}, {{4, 7, 11}})});
  EXPECT_EQ(drain(20), (lines{"h.t.m.a.4 19 0", "h.t.m.b.4 21 0"}));
  EXPECT_EQ(counts().resets, 1u);
}

TEST_F(TraceSeries, AKeyThatVanishedIsAResetOfTheWholeMapUnlessAPrintHasATop) {
  config.maps["@m"] = {.how = accumulation::cumulative, .resets = true};
  print(1, {entry({"a"}, 10), entry({"b"}, 10)});
  print(2, {entry({"a"}, 12)});
  print(3, {entry({"a"}, 13), entry({"b"}, 2)});
  EXPECT_EQ(drain(20), (lines{"h.t.m.a 23 0", "h.t.m.b 12 0"}));
  EXPECT_EQ(counts().resets, 1u);
  series_.reset();
  config.maps["@m"].top = true;
  print(1, {entry({"a"}, 10), entry({"b"}, 10)});
  print(2, {entry({"a"}, 12)});
  print(3, {entry({"a"}, 13), entry({"b"}, 14)});
  EXPECT_EQ(drain(20), (lines{"h.t.m.a 13 0", "h.t.m.b 14 0"}));
  EXPECT_EQ(counts().resets, 0u);
  EXPECT_EQ(counts().inconsistent, 0u);
}

TEST_F(TraceSeries, WhereKeysAreDeletedOnlyThatKeyCountsFromZero) {
  config.other_scalars = {
    .how = accumulation::cumulative, .resets = false, .deletes_keys = true};
  print(1, {entry({"a"}, 10), entry({"b"}, 10), entry({"c"}, 5)});
  print(2, {entry({"a"}, 9), entry({"b"}, 11)});
  print(3, {entry({"a"}, 9), entry({"b"}, 11), entry({"c"}, 7)});
  EXPECT_EQ(drain(20), (lines{"h.t.m.a 19 0", "h.t.m.b 11 0", "h.t.m.c 12 0"}));
}

TEST_F(TraceSeries, AFallWithoutAReasonIsCountedAndNotUsed) {
  config.other_scalars = {.how = accumulation::cumulative, .resets = false};
  print(1, {entry({"a"}, 10), entry({"b"}, 10)});
  print(2, {entry({"a"}, 9), entry({"b"}, 11)});
  print(3, {entry({"a"}, 12), entry({"b"}, 12)});
  EXPECT_EQ(drain(20), (lines{"h.t.m.a 12 0", "h.t.m.b 12 0"}));
  EXPECT_EQ(counts().inconsistent, 1u);
  EXPECT_EQ(counts().dropped_inconsistent, 1u);
  expect_balance();
}

TEST_F(TraceSeries, RowsThatMayBeMissingAreNoReset) {
  config.other_maps = {.how = accumulation::cumulative};
  print(1, {entry({"a"}, {{4, 7, 10}, {8, 15, 3}}), entry({"b"}, {{1, 1, 1}})});
  auto cut = entry({"a"}, {{4, 7, 11}});
  cut.partial = true;
  print(2, {cut});
  EXPECT_EQ(drain(20),
            (lines{"h.t.m.a.4 11 0", "h.t.m.a.8 3 0", "h.t.m.b.1 1 0"}));
  EXPECT_EQ(counts().resets, 0u);
}

TEST_F(TraceSeries, TheSameKeyTwiceInAPrintIsAddedBeforeDifferencing) {
  config.other_scalars = {.how = accumulation::cumulative, .resets = false};
  print(1, {entry({"a"}, 10), entry({"a"}, 3)});
  print(2, {entry({"a"}, 4), entry({"a"}, 11)});
  EXPECT_EQ(drain(20), lines{"h.t.m.a 15 0"});
  EXPECT_EQ(counts().inconsistent, 0u);
  expect_balance();
}

TEST_F(TraceSeries, TheDumpReplacesWhatEndPrinted) {
  config.maps["@m"] = {.how = accumulation::cleared, .printed_in_end = true};
  print(1, {entry({}, {{4, 7, 5}})});
  print(1.5, {entry({}, {{4, 7, 2}, {8, 15, 1}})});
  print(1.6, {entry({}, {{4, 7, 3}, {8, 15, 1}})}, "@m", true);
  series().closed(at(1.7));
  EXPECT_EQ(drain(20), (lines{"h.t.m.4 8 0", "h.t.m.8 1 0"}));
  expect_balance();
}

TEST_F(TraceSeries, TheDumpReplacesWhatEndPrintedAlsoWithoutItsMark) {
  config.maps["@m"] = {.how = accumulation::cleared, .printed_in_end = true};
  for (auto i = 1; i <= 3; ++i)
    print(i, {entry({}, {{4, 7, 5}})});
  print(3.5, {entry({}, {{4, 7, 2}, {8, 15, 1}})});
  print(3.5, {entry({}, {{4, 7, 3}, {8, 15, 1}})});
  series().closed(at(3.6));
  EXPECT_EQ(drain(20), (lines{"h.t.m.4 18 0", "h.t.m.8 1 0"}));
}

TEST_F(TraceSeries, GaugesKeepWhatTheirWordSays) {
  const std::pair<accumulation, const char*> cases[] = {
    {accumulation::last, "2"},    {accumulation::max, "7"},
    {accumulation::min, "-3"},    {accumulation::mean, "1.5"},
    {accumulation::cleared, "6"},
  };
  for (const auto& [how, value] : cases) {
    series_.reset();
    config.maps["@m"] = {.how = how};
    for (const auto printed : {0, -3, 7, 2})
      print(1 + printed * 0, {entry({"a"}, printed)});
    print(16, {entry({"b"}, 1)});
    // A gauge that was not printed is not known: no zero.
    auto expected = lines{std::string{"h.t.m.a "} + value + " 0"};
    if (how == accumulation::cleared)
      expected.emplace_back("h.t.m.a 0 15");
    expected.emplace_back("h.t.m.b 1 15");
    EXPECT_EQ(drain(20), expected);
    expect_balance();
  }
}

TEST_F(TraceSeries, StatsAreThreeSeriesAndAverageIsOfTheSlot) {
  const auto stats = [](exact count, exact total_) {
    return map_entry{{}, stats_value{count, total_ / count, total_}, false};
  };
  config.maps["@m"] = {.how = accumulation::cumulative};
  print(1, {stats(2, 10)});
  print(2, {stats(3, 15)});
  print(3, {stats(4, 16)});
  print(16, {stats(6, 21)});
  print(31, {stats(6, 21)});
  EXPECT_EQ(drain(50), (lines{"h.t.m.samples 4 0", "h.t.m.average 4 0",
                              "h.t.m.total 16 0", "h.t.m.samples 2 15",
                              "h.t.m.average 2.5 15", "h.t.m.total 5 15",
                              "h.t.m.samples 0 30", "h.t.m.total 0 30"}));
  expect_balance();
  series_.reset();
  config.maps["@m"] = {.how = accumulation::last};
  print(1, {stats(4, 17)});
  EXPECT_EQ(drain(20), (lines{"h.t.m.samples 4 0", "h.t.m.average 4 0",
                              "h.t.m.total 17 0"}));
}

TEST_F(TraceSeries, DerivedNumbersHaveALevelOfTheirOwn) {
  config.percentiles = {50, 99.9};
  config.derived_samples = config.derived_mean = config.derived_highest = true;
  print(1, {entry({"k"}, {{2, 3, 1}, {4, 7, 3}})});
  print(16, {entry({"l"}, {{1, 1, 1}})});
  EXPECT_EQ(
    drain(20),
    (lines{"h.t.m.k.2 1 0", "h.t.m.k.4 3 0", "h.t.m.k.derived.p50 5 0",
           "h.t.m.k.derived.p99_9 6.996 0", "h.t.m.k.derived.samples 4 0",
           "h.t.m.k.derived.mean 4.75 0", "h.t.m.k.derived.highest 7 0",
           "h.t.m.k.2 0 15", "h.t.m.k.4 0 15", "h.t.m.k.derived.samples 0 15",
           "h.t.m.l.1 1 15", "h.t.m.l.derived.p50 1 15",
           "h.t.m.l.derived.p99_9 1 15", "h.t.m.l.derived.samples 1 15",
           "h.t.m.l.derived.mean 1 15", "h.t.m.l.derived.highest 1 15"}));
}

TEST_F(TraceSeries, WhatCarriesNoNumberIsCountedByItsReason) {
  config.maps["@unwanted"] = {.wanted = false};
  config.drop_keys = {"d*"};
  print(
    1,
    {{{}, text_value{"x", false}, false}, entry({"a"}, 1), entry({"dd"}, 2)});
  print(1, {{{}, std::vector<tseries_value>{{"t", 1}, {"u", 2}}, false}},
        "@ts");
  print(1, {entry({}, 1)}, "@unwanted");
  print(1, {entry({}, 7), entry({}, {{1, 1, 1}, {2, 3, 1}})}, "@mixed");
  snapshot value;
  value.kind = map_kind::print;
  value.entries = {entry({}, 5)};
  value.arrival = at(1);
  series().add(value);
  EXPECT_EQ(drain(20), (lines{"h.t.m.a 1 0", "h.t.mixed 7 0"}));
  EXPECT_EQ(counts().dropped_text, 2u);
  EXPECT_EQ(counts().dropped_tseries, 1u);
  EXPECT_EQ(counts().dropped_filtered, 1u);
  EXPECT_EQ(counts().dropped_unwanted, 1u);
  EXPECT_EQ(counts().dropped_kind, 2u);
  expect_balance();
}

TEST_F(TraceSeries, KeysThatCleanToOneNameAreAddedAndCounted) {
  print(1, {entry({"a/b"}, 1), entry({"a b"}, 2), entry({"a_b"}, 4)});
  EXPECT_EQ(drain(20), lines{"h.t.m.a_b 7 0"});
  EXPECT_EQ(counts().merged, 2u);
  expect_balance();
  series_.reset();
  config.other_scalars.how = accumulation::max;
  print(1, {entry({"a/b"}, 1), entry({"a b"}, 5), entry({"a_b"}, 4)});
  EXPECT_EQ(drain(20), lines{"h.t.m.a_b 5 0"});
  series_.reset();
  config.other_scalars.how = accumulation::last;
  print(1, {entry({"a/b"}, 1), entry({"a b"}, 5)});
  print(16, {entry({"a b"}, 6), entry({"a/b"}, 2)});
  // The one that had the name first keeps it.
  EXPECT_EQ(drain(20), (lines{"h.t.m.a_b 1 0", "h.t.m.a_b 2 15"}));
  EXPECT_EQ(counts().dropped_gauge, 2u);
  expect_balance();
}

TEST_F(TraceSeries, OnePathHasOneWriter) {
  config.naming.map_level = false;
  print(1, {entry({}, 1)}, "@a");
  print(1, {entry({}, 2)}, "@b");
  EXPECT_EQ(drain(20), lines{"h.t 1 0"});
  EXPECT_EQ(counts().dropped_collision, 1u);
  expect_balance();
  trace_series other{config, total, floor};
  snapshot one;
  one.map = "@c";
  one.entries = {entry({}, 9)};
  one.arrival = at(1);
  other.add(one);
  std::vector<metric> out;
  other.drain(at(20), out);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(other.counts().dropped_collision, 1u);
}

TEST_F(TraceSeries, NothingGoesBeforeTheFloor) {
  floor = t0 + 15;
  print(1, {entry({"a"}, 1)});
  print(14, {entry({"a"}, 2)});
  print(20, {entry({"a"}, 4)});
  EXPECT_EQ(series().newest_slot(), t0);
  EXPECT_EQ(drain(40), lines{"h.t.m.a 7 15"});
  EXPECT_EQ(counts().late, 0u);
  EXPECT_EQ(series().newest_slot(), t0 + 15);
  EXPECT_EQ(series().next_floor(), t0 + 30);
}

TEST_F(TraceSeries, WhatComesLateGoesToTheOpenSlotAndIsCounted) {
  print(1, {entry({"a"}, 1)});
  print(2, {entry({"a"}, 1)});
  EXPECT_EQ(collect(17), lines{"h.t.m.a 2 0"});
  print(14, {entry({"a"}, 5), entry({"b"}, 1)});
  EXPECT_EQ(counts().late, 2u);
  EXPECT_EQ(drain(40), (lines{"h.t.m.a 5 15", "h.t.m.b 1 15"}));
}

TEST_F(TraceSeries, AClockSetBackALittleIsWaitedFor) {
  for (auto i = 1; i <= 20; ++i)
    print(i, {entry({"a"}, 1)});
  collect(20);
  for (auto i = -19; i <= 0; ++i)
    print(i, {entry({"a"}, 1)});
  std::map<std::string, int> at_time;
  auto sum = 0;
  for (const auto& line : drain(1)) {
    EXPECT_EQ(++at_time[line.substr(line.rfind(' '))], 1);
    sum += std::stoi(line.substr(8));
  }
  EXPECT_EQ(sum + 15, 40); // 15 of them were sent
  EXPECT_EQ(counts().clock_steps_back, 0u);
  EXPECT_EQ(counts().slots_rewritten, 0u);
}

TEST_F(TraceSeries, AMinuteBackIsWaitedForAMillisecondMoreIsFollowed) {
  for (const auto ms : {60'000, 60'001}) {
    series_.reset();
    floor = t0 - 300;
    print(100, {entry({"a"}, 1)});
    print(100 - ms / 1000.0, {entry({"a"}, 2)});
    EXPECT_EQ(counts().clock_steps_back, ms > 60'000 ? 1u : 0u) << ms;
    auto out = drain(100 - ms / 1000.0);
    EXPECT_EQ(out.size(), ms > 60'000 ? 2u : 1u) << ms;
  }
}

TEST_F(TraceSeries, EachSlotUntilTheClockIsBackWhereItWasIsRewritten) {
  floor = t0 - 300;
  for (auto i = 0; i < 4; ++i)
    print(i * 15 + 5, {entry({"a"}, 1)});
  EXPECT_EQ(collect(75).size(), 4u);
  auto sum = 4;
  for (auto i = -8; i < 6; ++i) // two minutes back, over the newest and on
    print(i * 15 + 5, {entry({"a"}, 1)});
  const auto after = drain(100);
  for (const auto& line : after)
    sum += std::stoi(line.substr(8));
  EXPECT_EQ(sum, 18) << "on the wire nothing is lost";
  // The floor is left behind with the clock: slots -135 (half a gap before the
  // first of these prints) to 45 may have been sent before.
  EXPECT_EQ(counts().slots_rewritten, 13u);
  EXPECT_EQ(counts().clock_steps_back, 1u);
}

TEST_F(TraceSeries, SlotTimesDoNotGoBackWithTheClock) {
  floor = t0 - 300;
  for (auto i = 17; i <= 20; ++i)
    print(i, {entry({"a"}, 1)});
  for (auto i = -35; i <= -30; ++i) // 50 s back
    print(i, {entry({"a"}, 1)});
  EXPECT_EQ(counts().late, 0u);
  EXPECT_EQ(drain(-25), (lines{"h.t.m.a 1 0", "h.t.m.a 9 15"}));
}

TEST_F(TraceSeries, AClockSetBackFarIsFollowedAndCounted) {
  print(1, {entry({"a"}, 1)});
  collect(17);
  print(18, {entry({"a"}, 2)});
  print(-7200 + 19, {entry({"a"}, 4)});
  EXPECT_EQ(counts().clock_steps_back, 1u);
  // What was open is sent at once, under the time it had.
  EXPECT_EQ(collect(-7200 + 20), lines{"h.t.m.a 2 15"});
  EXPECT_EQ(series().newest_slot(), t0 - 7200);
  EXPECT_EQ(drain(-7200 + 40), lines{"h.t.m.a 4 -7185"});
  EXPECT_EQ(series().newest_slot(), t0 - 7200 + 15);
  EXPECT_EQ(counts().slots_rewritten, 1u);
}

TEST_F(TraceSeries, APrintEachSlotGoesToEachSlotWhateverItsPhase) {
  for (const auto phase : {0.0, 0.01, 3.7, 7.49, 7.5, 7.51, 14.99}) {
    series_.reset();
    std::map<std::string, int> times;
    auto jitter = 0.06;
    for (auto i = 1; i <= 30; ++i) {
      jitter = -jitter;
      print(i * 15 + phase + jitter, {entry({}, 1)});
      for (const auto& line : collect(i * 15 + phase + 0.1))
        ++times[line];
    }
    EXPECT_EQ(counts().late, 0u) << phase;
    for (const auto& line : drain(1000))
      ++times[line];
    EXPECT_EQ(times.size(), 30u) << phase;
    for (const auto& [line, often] : times)
      EXPECT_TRUE(often == 1 && line.starts_with("h.t.m 1 ")) << line;
  }
}

TEST_F(TraceSeries, TheLargestNewKeysAreAdmittedAndTheRestIsFolded) {
  config.max_series = 3; // one is kept for what is folded
  print(1,
        {entry({"a"}, 1), entry({"b"}, 5), entry({"c"}, 3), entry({"d"}, 2)});
  print(16, {entry({"d"}, 100), entry({"c"}, 1)});
  EXPECT_EQ(drain(40),
            (lines{"h.t.m.b 5 0", "h.t.m.c 3 0", "h.t.m._other 3 0",
                   "h.t.m.b 0 15", "h.t.m.c 1 15", "h.t.m._other 100 15"}));
  EXPECT_EQ(counts().folded, 3u);
  EXPECT_EQ(series().alive(), 3u);
  expect_balance();
}

// What is folded is counted at once; its rows of zero were then counted a
// second time, as unchanged (found by path_cleaner_fuzz).
TEST_F(TraceSeries, CountsTheEmptyRowsOfWhatIsFoldedOnce) {
  config.max_series = 2; // one is kept for what is folded
  print(1, {entry({"b"}, {{1, 1, 5}})});
  print(16, {entry({"a"}, {{1, 1, 0}, {2, 3, 1}})});
  EXPECT_EQ(drain(20),
            (lines{"h.t.m.b.1 5 0", "h.t.m.b.1 0 15", "h.t.m._other.2 1 15"}));
  EXPECT_EQ(counts().folded, 1u);
  EXPECT_EQ(counts().unchanged, 1u);
  expect_balance();
}

TEST_F(TraceSeries, FoldingTakesTheMaximumAndDropsWhatCannotFold) {
  config.max_series = 2;
  config.other_scalars.how = accumulation::max;
  print(1, {entry({"a", "x"}, 9), entry({"b", "x"}, 5), entry({"c", "x"}, 7)});
  EXPECT_EQ(drain(20), (lines{"h.t.m.a.x 9 0", "h.t.m._other._other 7 0"}));
  series_.reset();
  config.other_scalars.how = accumulation::last;
  print(1, {entry({"a"}, 9), entry({"b"}, 5), entry({"c"}, 7)});
  EXPECT_EQ(drain(20), (lines{"h.t.m.a 9 0", "h.t.m.c 7 0"}));
  EXPECT_EQ(counts().dropped_budget, 1u);
  expect_balance();
}

TEST_F(TraceSeries, AHistogramHasAllItsRowsOrNoName) {
  config.max_series = 10; // two are kept
  print(1, {entry({"a"}, {{1, 1, 9}, {2, 3, 9}, {4, 7, 9}}),
            entry({"b"}, {{1, 1, 8}, {2, 3, 8}, {4, 7, 8}}),
            entry({"c"}, {{1, 1, 7}, {2, 3, 7}})});
  const auto out = drain(20);
  EXPECT_EQ(out.size(), 8u);
  EXPECT_EQ(lines(out.end() - 2, out.end()),
            (lines{"h.t.m.c.1 7 0", "h.t.m.c.2 7 0"}));
  expect_balance();
}

TEST_F(TraceSeries, AKeyThatIsReallyCalledOtherIsPartOfIt) {
  config.max_series = 2;
  print(1, {entry({"_other"}, 1), entry({"a"}, 5), entry({"b"}, 3)});
  EXPECT_EQ(drain(20), (lines{"h.t.m._other 4 0", "h.t.m.a 5 0"}));
  expect_balance();
}

TEST_F(TraceSeries, TheTotalBudgetHoldsForAllTraces) {
  series_budget small{3};
  trace_series a{config, small, floor};
  config.trace = "u";
  trace_series b{config, small, floor};
  std::vector<metric> out;
  for (auto* one : {&a, &b}) {
    snapshot print_;
    print_.map = "@m";
    print_.entries = {entry({"x"}, 1), entry({"y"}, 2), entry({"z"}, 3)};
    print_.arrival = at(1);
    one->add(print_);
    one->drain(at(20), out);
  }
  EXPECT_EQ(out.size(), 3u);
  EXPECT_EQ(small.used(), 3u);
  EXPECT_EQ(b.counts().dropped_budget, 3u);
}

TEST_F(TraceSeries, AReloadKeepsOpenSlotsWhereNamesStay) {
  print(1, {entry({"a"}, 1)});
  auto next = config;
  next.max_series = 5;
  next.slots.grace = std::chrono::milliseconds{5000};
  std::vector<metric> out;
  series().reconfigure(next, at(2), out);
  EXPECT_TRUE(out.empty());
  print(3, {entry({"a"}, 2)});
  EXPECT_EQ(drain(20), lines{"h.t.m.a 3 0"});
}

TEST_F(TraceSeries, AReloadWithOtherNamesSendsWhatIsOpenUnderTheOldOnes) {
  config.other_scalars = {.how = accumulation::cumulative, .resets = false};
  print(1, {entry({"a"}, 10)});
  auto next = config;
  next.trace = "u";
  next.slots.resolution = std::chrono::seconds{60};
  std::vector<metric> out;
  series().reconfigure(next, at(2), out);
  EXPECT_EQ(text(out), lines{"h.t.m.a 10 0"});
  EXPECT_EQ(total.claimed(), 0u);
  // bpftrace ran on: its counts are compared with what was seen.
  print(3, {entry({"a"}, 12)});
  const auto rest = drain(100);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_TRUE(rest[0].starts_with("h.u.m.a 2 ")) << rest[0];
  EXPECT_GT(std::stoi(rest[0].substr(10)), 0);
}

/// Bytes of memory that this process has in use.
std::size_t resident_bytes() {
  std::ifstream statm{"/proc/self/statm"};
  std::size_t size = 0;
  std::size_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

TEST_F(TraceSeries, AHundredThousandKeysStayWithinTheBudget) {
  config.max_series = 1000;
  std::mt19937 random{5};
  auto printed = exact{0};
  auto sent = exact{0};
  auto most = std::size_t{0};
  auto memory = std::size_t{0};
  const auto before = resident_bytes();
  std::vector<metric> out;
  // A loop that forks under random names, a full map each second.
  for (auto second = 1; second <= 25; ++second) {
    std::vector<map_entry> entries;
    for (auto i = 0; i < 4096; ++i) {
      std::string key(15, 'x');
      for (auto& c : key)
        c = static_cast<char>('a' + random() % 26);
      const auto value = 1 + random() % 100;
      printed += value;
      entries.push_back(entry({key}, exact{value}));
    }
    print(second, std::move(entries));
    series().collect(at(second), out);
    most = std::max(most, series().alive());
    memory = std::max(memory, resident_bytes());
  }
  const auto grown = memory - std::min(before, memory);
  std::cout << "102400 keys: " << (grown >> 10) << " KiB\n";
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LT(grown, std::size_t{32} << 20);
#endif
  series().drain(at(60), out);
  std::map<std::string, int> names;
  for (const auto& point : out) {
    sent += std::get<exact>(point.value);
    ++names[std::string{*point.path}];
  }
  EXPECT_EQ(static_cast<long>(sent), static_cast<long>(printed));
  EXPECT_LE(most, 1000u);
  EXPECT_LE(names.size(), 1000u);
  EXPECT_TRUE(names.contains("h.t.m._other"));
  expect_balance();
}

TEST_F(TraceSeries, RandomBytesAsKeysLoseNothing) {
  std::mt19937 random{6};
  auto printed = exact{0};
  for (auto second = 1; second <= 100; ++second) {
    std::vector<map_entry> entries;
    for (auto i = 0; i < 50; ++i) {
      std::string key(random() % 3, '\0');
      for (auto& c : key)
        c = static_cast<char>(random() % 256);
      printed += i;
      entries.push_back(entry({key}, i));
    }
    print(second, std::move(entries));
  }
  std::vector<metric> out;
  series().drain(at(200), out);
  auto sent = exact{0};
  for (const auto& point : out)
    sent += std::get<exact>(point.value);
  EXPECT_EQ(static_cast<long>(sent), static_cast<long>(printed));
  EXPECT_GT(counts().merged, 0u);
  expect_balance();
}

TEST_F(TraceSeries, MapNamesAreLimited) {
  for (auto i = 0; i < 300; ++i)
    print(1, {entry({}, 1)}, "@m" + std::to_string(i));
  EXPECT_EQ(drain(20).size(), trace_series::maps_max);
  EXPECT_EQ(counts().dropped_keys, 300 - trace_series::maps_max);
}

} // namespace
} // namespace bpf2graphite
