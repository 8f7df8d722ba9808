#pragma once
// The last slots of a trace's histograms as JSON, for `top` and the page:
//
//   [{"map": "@usecs", "rows": [[4, 7], [8, null]], "rows_left_out": 0,
//     "slots": [{"slot": 1700000000, "counts": [[1, 9]]}]}]
//
// Rows are inclusive bounds, rising, null where there is none; counts are pairs
// of a row's index and its count, rising, without zeros.

#include "actors/normalizer/slot_history.hpp"

#include <boost/json/array.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace bpf2graphite {

struct history_wish {
  std::int64_t since = 0; // only later slots; seconds since the epoch
  /// Each slot with values has "p50", "p90" and "p99" as well, with the method
  /// of histogram_metrics.hpp.
  bool percentiles = false;
};

boost::json::array history_json(const std::vector<map_history>& maps,
                                const history_wish& wish = {});

/// {"trace": NAME, "maps": [as above, with percentiles]}, one line.
std::string heatmap_json(const std::string& trace,
                         const std::vector<map_history>& maps,
                         std::int64_t since);

} // namespace bpf2graphite
