#include "actors/normalizer/slot_history.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace bpf2graphite {
namespace {

/// Seven bits a byte, lowest first; the top bit says that more follow.
void put_number(std::string& out, std::uint64_t number) {
  constexpr unsigned more = 0x80;
  for (; number >= more; number >>= 7)
    out += static_cast<char>(number | more);
  out += static_cast<char>(number);
}

std::uint64_t get_number(std::string_view& in) {
  std::uint64_t number = 0;
  for (unsigned shift = 0; !in.empty(); shift += 7) {
    auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    number |= std::uint64_t{byte & 0x7FU} << shift;
    if ((byte & 0x80U) == 0)
      break;
  }
  return number;
}

std::uint64_t count_of(const histogram_row& row) {
  constexpr exact most = std::numeric_limits<std::uint64_t>::max();
  return static_cast<std::uint64_t>(
    std::clamp<exact>(row.count, 0, most)); // a picture needs no more
}

} // namespace

void slot_history::add(std::string_view map, const map_slot& slot) {
  std::lock_guard guard{mutex_};
  histogram_rows sum;
  for (std::size_t i = 0; i < slot.used; ++i)
    add_rows(sum, slot.cells[i].sum.rows);
  auto at = std::find_if(maps_.begin(), maps_.end(),
                         [&](const kept_map& kept) { return kept.map == map; });
  if (at == maps_.end()) {
    if (sum.empty() || maps_.size() == maps_max)
      return;
    maps_.push_back({std::string{map}, {}, {}, 0});
    at = std::prev(maps_.end());
  }
  auto& kept = *at;
  packed_slot packed{slot.start, {}};
  for (const auto& row : sum) {
    if (row.count <= 0)
      continue;
    auto known = std::find(kept.rows.begin(), kept.rows.end(), row.bounds);
    if (known == kept.rows.end()) {
      if (kept.rows.size() == rows_max) {
        ++kept.rows_left_out;
        continue;
      }
      known = kept.rows.insert(known, row.bounds);
    }
    put_number(packed.counts, static_cast<std::uint64_t>(
                                std::distance(kept.rows.begin(), known)));
    put_number(packed.counts, count_of(row));
  }
  packed.counts.shrink_to_fit();
  while (!kept.slots.empty() && kept.slots.back().slot >= slot.start)
    kept.slots.pop_back();
  kept.slots.push_back(std::move(packed));
  if (kept.slots.size() > slots_max)
    kept.slots.erase(kept.slots.begin());
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
    for (const auto& packed : kept.slots) {
      slot_column column{.slot = packed.slot, .counts = {}};
      std::string_view rest{packed.counts};
      while (!rest.empty()) {
        auto row = static_cast<std::size_t>(get_number(rest));
        column.counts.emplace_back(place[row], get_number(rest));
      }
      std::sort(column.counts.begin(), column.counts.end());
      one.columns.push_back(std::move(column));
    }
    all.push_back(std::move(one));
  }
  return all;
}

} // namespace bpf2graphite
