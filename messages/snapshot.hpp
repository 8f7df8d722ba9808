#pragma once
// One print of one bpftrace map, as exact numbers.

#include "messages/buckets.hpp"
#include "messages/map_key.hpp"
#include "messages/trace.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace bpf2graphite {

/// What bpftrace's stats() prints.
struct stats_value {
  exact count = 0;
  exact average = 0;
  exact total = 0;

  friend bool operator==(const stats_value&, const stats_value&) = default;
};

/// One interval of a tseries().
struct tseries_value {
  std::string time; // as printed: the text shows neither date nor zone
  exact value = 0;

  friend bool operator==(const tseries_value&, const tseries_value&) = default;
};

/// A value that is no number: a string, tuple, stack, address. In JSON it is
/// the value's JSON text when `json` is set (a tuple, an object), else bytes.
struct text_value {
  std::string text;
  bool json = false;

  friend bool operator==(const text_value&, const text_value&) = default;
};

enum class map_kind {
  hist,    // hist and lhist: buckets
  value,   // count, sum, avg, min, max, plain integers: exact
  stats,   // stats_value
  tseries, // std::vector<tseries_value>
  text,    // text_value
  print,   // print() of what is no map (JSON only): exact or text_value
  metric,  // a line of printf (`printf-metrics`): exact, in metric_unit
};

/// The values of a `metric` are whole numbers of 1 / metric_unit.
inline constexpr exact metric_unit = 1'000'000'000;

/// One element of a map. `value` holds the alternative named at its map_kind.
struct map_entry {
  using any_value = std::variant<buckets, exact, stats_value,
                                 std::vector<tseries_value>, text_value>;

  map_entry() = default;

  map_entry(map_key of, any_value is, bool cut)
    : keys{std::move(of)}, partial{cut}, value{std::move(is)} {}

  /// A number, its key shared or, when null, not known yet.
  map_entry(const shared_key* of, exact number)
    : keys{of}, value{std::in_place_type<exact>, number} {}

  /// Key parts as printed, raw bytes; empty for a map without keys.
  map_key keys;
  /// The output ended within this histogram: rows may be missing.
  bool partial = false;
  any_value value;
};

/// One print of one map (of one kind: a text map may hold a number in one
/// element and text in the next, then it comes as `text` and `value` entries
/// side by side in one snapshot and `kind` tells that of the first).
struct snapshot {
  /// With its @; empty for print() of what is no map; for a metric its name,
  /// and if it has labels `{` their names, separated by commas, `}`.
  std::string map;
  map_kind kind = map_kind::value;
  std::vector<map_entry> entries; // in print order
  /// Holds the keys that entries share with those of other prints.
  std::shared_ptr<const shared_keys> keys;
  std::uint64_t number = 1; // the how-manieth print of that map, from 1
  wall_time arrival{};      // of the last byte of the print
  /// Printed after the two newlines by which bpftrace ends: its final dump.
  /// (bpftrace 0.24+ writes none in JSON: there it stays false.)
  bool ending = false;
};

/// Values as the ledger counts them: a row of a histogram is one, so is any
/// other element, stats and tseries included.
inline std::uint64_t values_in(const snapshot& print) {
  std::uint64_t values = 0;
  for (const auto& entry : print.entries)
    if (const auto* rows = std::get_if<buckets>(&entry.value))
      values += rows->size();
    else
      ++values;
  return values;
}

} // namespace bpf2graphite
