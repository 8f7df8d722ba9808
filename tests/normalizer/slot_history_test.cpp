#include "actors/normalizer/slot_history.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace bpf2graphite {
namespace {

map_slot slot_of(std::int64_t start, std::vector<histogram_rows> keys) {
  map_slot slot;
  slot.start = start;
  for (auto& rows : keys) {
    map_slot::cell cell;
    cell.sum.rows = std::move(rows);
    slot.cells.push_back(std::move(cell));
  }
  slot.used = slot.cells.size();
  return slot;
}

histogram_row row(std::int64_t min, std::int64_t max, std::uint64_t count) {
  return {{.min = min, .max = max}, exact{count}};
}

TEST(SlotHistory, SumsTheKeysOfEachSlot) {
  slot_history history;
  history.add("@u", slot_of(15, {{row(4, 7, 2), row(8, 15, 300)},
                                 {row(4, 7, 1), row(64, 127, 5)}}));
  history.add("@u", slot_of(30, {{row(0, 0, 70'000)}}));
  auto all = history.read();
  ASSERT_EQ(1U, all.size());
  EXPECT_EQ("@u", all[0].map);
  ASSERT_EQ(4U, all[0].rows.size()) << "rising, although 0 came last";
  EXPECT_EQ(0, all[0].rows[0].min);
  EXPECT_EQ(64, all[0].rows[3].min);
  ASSERT_EQ(2U, all[0].columns.size());
  EXPECT_EQ((slot_column{15, {{1, 3}, {2, 300}, {3, 5}}}), all[0].columns[0]);
  EXPECT_EQ((slot_column{30, {{0, 70'000}}}), all[0].columns[1]);
}

TEST(SlotHistory, KeepsTheNewestSlotsAndFollowsTheClockBack) {
  slot_history history;
  for (int n = 0; n < 200; ++n)
    history.add("@u", slot_of(n, {{row(1, 1, 1)}}));
  auto columns = history.read().at(0).columns;
  EXPECT_EQ(slot_history::slots_max, columns.size());
  EXPECT_EQ(199, columns.back().slot);
  history.add("@u", slot_of(190, {{row(1, 1, 9)}}));
  columns = history.read().at(0).columns;
  EXPECT_EQ(190, columns.back().slot);
  EXPECT_EQ(9U, columns.back().counts.at(0).second);
}

TEST(SlotHistory, TellsWhatWasAddedWhateverTheOrder) {
  std::mt19937 engine{7};
  const auto pick = [&](std::uint32_t n) {
    return static_cast<std::int64_t>(engine() % n);
  };
  for (auto round = 0; round < 50; ++round) {
    slot_history history;
    std::map<std::int64_t, std::map<std::int64_t, std::uint64_t>> told;
    auto at = pick(1'000'000'000);
    history.add("@u", slot_of(at, {{row(0, 0, 1)}}));
    told[at] = {{0, 1}};
    for (auto step = 0; step < 200; ++step) {
      at += pick(20) == 0 ? -pick(300) : 1 + pick(40);
      histogram_rows rows;
      std::map<std::int64_t, std::uint64_t> counts;
      for (auto n = std::int64_t{0}; n < 30; ++n)
        if (pick(3) != 0) {
          const auto count = std::uint64_t{engine()} << pick(20);
          counts[n] = count;
          rows.push_back(row(n, n, count));
        }
      std::erase_if(counts, [](const auto& one) { return one.second == 0; });
      history.add("@u", slot_of(at, {rows}));
      told.erase(told.lower_bound(at), told.end());
      told[at] = counts;
      if (told.size() > slot_history::slots_max)
        told.erase(told.begin());
    }
    const auto kept = history.read().at(0);
    ASSERT_EQ(kept.columns.size(), told.size());
    auto expected = told.begin();
    for (const auto& column : kept.columns) {
      EXPECT_EQ(column.slot, expected->first);
      std::map<std::int64_t, std::uint64_t> counts;
      for (const auto& [index, count] : column.counts)
        counts[kept.rows.at(index).min] = count;
      EXPECT_EQ(counts, (expected++)->second);
    }
  }
}

TEST(SlotHistory, HasALimitForMapsAndRows) {
  slot_history history;
  for (int n = 0; n < 9; ++n)
    history.add("@m" + std::to_string(n), slot_of(0, {{row(1, 1, 1)}}));
  EXPECT_EQ(slot_history::maps_max, history.read().size());
  histogram_rows many;
  for (int n = 0; n < 300; ++n)
    many.push_back(row(n, n, 1));
  history.add("@m0", slot_of(1, {many}));
  auto first = history.read().at(0);
  EXPECT_EQ(slot_history::rows_max, first.rows.size());
  EXPECT_EQ(300 - slot_history::rows_max, first.rows_left_out);
}

TEST(SlotHistory, ShowsASlotWithoutValuesAsEmpty) {
  slot_history history;
  history.add("@u", slot_of(0, {}));
  EXPECT_TRUE(history.read().empty()) << "nothing is known of its rows yet";
  history.add("@u", slot_of(15, {{row(1, 1, 1)}}));
  history.add("@u", slot_of(30, {}));
  EXPECT_EQ(2U, history.read().at(0).columns.size());
}

} // namespace
} // namespace bpf2graphite
