#pragma once
// What became of a trace's values.

#include <cstdint>

namespace bpf2graphite {

/// Sums since the trace's series were made. A value is one printed row, scalar
/// or stats. The books always balance:
///
///   values = waiting + combined + measured + merged + folded + unchanged
///            + dropped()
///
/// where `waiting` is trace_series::open_values().
struct series_counts {
  std::uint64_t snapshots = 0;
  std::uint64_t values = 0; // in
  std::uint64_t points = 0; // out, of all sorts

  std::uint64_t combined = 0;  // with an earlier value of the same slot
  std::uint64_t measured = 0;  // became a point (stats: three)
  std::uint64_t merged = 0;    // added to another key's: one name for both
  std::uint64_t folded = 0;    // added to the key `_other`
  std::uint64_t unchanged = 0; // difference zero: nothing to add

  std::uint64_t late = 0;         // values that came after their slot was sent
  std::uint64_t zero_filled = 0;  // points of 0 for what was not printed
  std::uint64_t resets = 0;       // a cumulative map began anew
  std::uint64_t inconsistent = 0; // prints that fell without a reason
  std::uint64_t slots_rewritten = 0;  // after the clock was set back
  std::uint64_t clock_steps_back = 0; // further than a minute

  // Dropped, by reason.
  std::uint64_t dropped_text = 0;         // a string, tuple, stack, print()
  std::uint64_t dropped_tseries = 0;      // see trace_series.hpp
  std::uint64_t dropped_unwanted = 0;     // a map that is not to be sent
  std::uint64_t dropped_filtered = 0;     // keep-keys, drop-keys
  std::uint64_t dropped_kind = 0;         // not of the map's kind; no true row
  std::uint64_t dropped_inconsistent = 0; // fell without a reason
  std::uint64_t dropped_keys = 0;         // over the limits for maps and keys
  std::uint64_t dropped_gauge = 0;        // `last`, `mean`: no two can be one
  std::uint64_t dropped_budget = 0;    // no room in max-series, not even folded
  std::uint64_t dropped_collision = 0; // another map or trace has that name

  std::uint64_t dropped() const {
    return dropped_text + dropped_tseries + dropped_unwanted + dropped_filtered
           + dropped_kind + dropped_inconsistent + dropped_keys + dropped_gauge
           + dropped_budget + dropped_collision;
  }

  friend bool operator==(const series_counts&, const series_counts&) = default;
};

/// Adds all of `more`.
inline void add_counts(series_counts& to, const series_counts& more) {
  for (auto which : {&series_counts::snapshots,
                     &series_counts::values,
                     &series_counts::points,
                     &series_counts::combined,
                     &series_counts::measured,
                     &series_counts::merged,
                     &series_counts::folded,
                     &series_counts::unchanged,
                     &series_counts::late,
                     &series_counts::zero_filled,
                     &series_counts::resets,
                     &series_counts::inconsistent,
                     &series_counts::slots_rewritten,
                     &series_counts::clock_steps_back,
                     &series_counts::dropped_text,
                     &series_counts::dropped_tseries,
                     &series_counts::dropped_unwanted,
                     &series_counts::dropped_filtered,
                     &series_counts::dropped_kind,
                     &series_counts::dropped_inconsistent,
                     &series_counts::dropped_keys,
                     &series_counts::dropped_gauge,
                     &series_counts::dropped_budget,
                     &series_counts::dropped_collision})
    to.*which += more.*which;
  static_assert(sizeof(series_counts) == 24 * sizeof(std::uint64_t),
                "name the new one above");
}

} // namespace bpf2graphite
