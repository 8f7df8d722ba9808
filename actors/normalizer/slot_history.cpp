#include "actors/normalizer/slot_history.hpp"

#include "messages/packed_number.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace bpf2graphite {
namespace {

std::uint64_t count_of(const histogram_row& row) {
  constexpr exact most = std::numeric_limits<std::uint64_t>::max();
  return static_cast<std::uint64_t>(
    std::clamp<exact>(row.count, 0, most)); // a picture needs no more
}

/// Where that row stands, or would.
std::size_t place_of(const std::vector<row_bounds>& rows,
                     const row_bounds& row) {
  return static_cast<std::size_t>(std::find(rows.begin(), rows.end(), row)
                                  - rows.begin());
}

/// Counts by index of row, as they are kept.
std::string
in_runs(const std::vector<std::pair<std::size_t, std::uint64_t>>& counts) {
  std::string out;
  out.reserve(2 * counts.size());
  for (auto first = counts.begin(); first != counts.end();) {
    auto end = std::next(first);
    while (end != counts.end() && end->first == std::prev(end)->first + 1)
      ++end;
    put_number(out, first->first);
    put_number(out, static_cast<std::uint64_t>(std::distance(first, end)));
    for (; first != end; ++first)
      put_number(out, first->second);
  }
  return out;
}

} // namespace

void slot_history::add(std::string_view map, const map_slot& slot) {
  std::lock_guard guard{mutex_};
  histogram_rows of_all;
  if (slot.used != 1)
    for (std::size_t i = 0; i < slot.used; ++i)
      add_rows(of_all, slot.cells[i].sum.rows);
  const auto& sum = slot.used == 1 ? slot.cells.front().sum.rows : of_all;
  auto at = std::find_if(maps_.begin(), maps_.end(),
                         [&](const kept_map& kept) { return kept.map == map; });
  if (at == maps_.end()) {
    if (sum.empty() || maps_.size() == maps_max)
      return;
    maps_.emplace_back().map = map;
    at = std::prev(maps_.end());
  }
  auto& kept = *at;
  std::vector<std::pair<std::size_t, std::uint64_t>> counts;
  counts.reserve(sum.size());
  const auto rows_before = kept.rows.size();
  auto next = std::size_t{0}; // they mostly come as they came before
  for (const auto& row : sum) {
    if (row.count <= 0)
      continue;
    if (next >= kept.rows.size() || kept.rows[next] != row.bounds)
      next = place_of(kept.rows, row.bounds);
    if (next == rows_max) {
      ++kept.rows_left_out;
      continue;
    }
    if (next == kept.rows.size())
      kept.rows.push_back(row.bounds);
    counts.emplace_back(next++, count_of(row));
  }
  if (kept.rows.size() != rows_before)
    kept.rows.shrink_to_fit(); // most come with the first slot
  forget_from(kept, slot.start);
  keep(kept, slot.start, in_runs(counts));
}

/// What is there from that slot on: the clock went back.
void slot_history::forget_from(kept_map& kept, std::int64_t slot) {
  if (kept.slots_kept == 0 || kept.newest < slot)
    return;
  std::string_view rest{kept.slots};
  auto at = kept.oldest;
  auto newest = at;
  auto stay = std::size_t{0};
  auto end = std::size_t{0};
  for (; stay < kept.slots_kept; ++stay) {
    at += static_cast<std::int64_t>(get_number(rest));
    if (at >= slot)
      break;
    newest = at;
    rest.remove_prefix(get_number(rest));
    end = kept.slots.size() - rest.size();
  }
  kept.slots.resize(end);
  kept.slots_kept = stay;
  kept.newest = newest;
}

void slot_history::keep(kept_map& kept, std::int64_t slot,
                        std::string_view counts) {
  std::string_view stays{kept.slots};
  std::string head; // of the first slot that stays, when it was not the first
  if (kept.slots_kept == slots_max) {
    get_number(stays);
    stays.remove_prefix(get_number(stays));
    kept.oldest += static_cast<std::int64_t>(get_number(stays));
    put_number(head, 0);
    --kept.slots_kept;
  }
  std::string mine;
  put_number(mine, kept.slots_kept == 0
                     ? 0
                     : static_cast<std::uint64_t>(slot - kept.newest));
  put_number(mine, counts.size());
  // A text of exactly that size: one that grows has room for as much again.
  std::string all;
  all.reserve(head.size() + stays.size() + mine.size() + counts.size());
  all.append(head).append(stays).append(mine).append(counts);
  kept.slots = std::move(all);
  if (kept.slots_kept++ == 0)
    kept.oldest = slot;
  kept.newest = slot;
}

std::vector<map_history> slot_history::read() const {
  std::lock_guard guard{mutex_};
  std::vector<map_history> all;
  for (const auto& kept : maps_) {
    map_history one{.map = kept.map,
                    .rows = kept.rows,
                    .columns = {},
                    .rows_left_out = kept.rows_left_out};
    std::vector<std::size_t> order(kept.rows.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](auto a, auto b) {
      return kept.rows[a].before(kept.rows[b]);
    });
    std::vector<std::size_t> place(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      place[order[i]] = i;
      one.rows[i] = kept.rows[order[i]];
    }
    std::string_view rest{kept.slots};
    auto slot = kept.oldest;
    for (std::size_t i = 0; i < kept.slots_kept; ++i) {
      slot += static_cast<std::int64_t>(get_number(rest));
      const auto bytes = get_number(rest);
      auto counts = rest.substr(0, bytes);
      rest.remove_prefix(bytes);
      slot_column column{.slot = slot, .counts = {}};
      while (!counts.empty()) {
        auto row = static_cast<std::size_t>(get_number(counts));
        for (auto left = get_number(counts); left > 0; --left)
          column.counts.emplace_back(place[row++], get_number(counts));
      }
      std::sort(column.counts.begin(), column.counts.end());
      one.columns.push_back(std::move(column));
    }
    all.push_back(std::move(one));
  }
  return all;
}

} // namespace bpf2graphite
