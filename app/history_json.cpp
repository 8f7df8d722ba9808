#include "app/history_json.hpp"

#include "actors/normalizer/histogram_metrics.hpp"
#include "app/utf8_text.hpp"

#include <boost/json.hpp>

#include <utility>
#include <variant>

namespace bpf2graphite {
namespace {

namespace json = boost::json;

json::value bound(std::int64_t at, bool open) {
  // Round brackets: {at} would be an array of one.
  return open ? json::value(nullptr) : json::value(at);
}

void add_percentiles(json::object& slot, const map_history& map,
                     const slot_column& column) {
  histogram_rows rows;
  for (auto [row, count] : column.counts)
    rows.push_back({map.rows[row], exact{count}});
  for (const auto& [name, p] :
       {std::pair{"p50", 50.0}, {"p90", 90.0}, {"p99", 99.0}})
    if (auto found = percentile(rows, p))
      slot[name] = std::visit(
        [](auto number) { return static_cast<double>(number); }, *found);
}

} // namespace

json::array history_json(const std::vector<map_history>& maps,
                         const history_wish& wish) {
  json::array out;
  for (const auto& map : maps) {
    json::array rows;
    for (const auto& row : map.rows)
      rows.push_back(json::array{bound(row.min, row.open_low),
                                 bound(row.max, row.open_high)});
    json::array slots;
    for (const auto& column : map.columns) {
      if (wish.since > 0 && column.slot <= wish.since)
        continue;
      json::array counts;
      for (auto [row, count] : column.counts)
        counts.push_back(json::array{row, count});
      json::object slot{{"slot", column.slot}, {"counts", std::move(counts)}};
      if (wish.percentiles)
        add_percentiles(slot, map, column);
      slots.push_back(std::move(slot));
    }
    out.push_back(json::object{{"map", utf8_text(map.map)},
                               {"rows", std::move(rows)},
                               {"slots", std::move(slots)},
                               {"rows_left_out", map.rows_left_out}});
  }
  return out;
}

std::string heatmap_json(const std::string& trace,
                         const std::vector<map_history>& maps,
                         std::int64_t since) {
  json::object out{
    {"trace", utf8_text(trace)},
    {"maps", history_json(maps, {.since = since, .percentiles = true})}};
  return json::serialize(out) + "\n";
}

} // namespace bpf2graphite
