#pragma once
// The last slots of a trace's histograms, summed over all keys: what `top` and
// the page draw. Kept small: a slot costs about two bytes a row.

#include "actors/normalizer/slots.hpp"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// One slot: counts by index into the rows of its map, rising.
struct slot_column {
  std::int64_t slot = 0; // seconds since the epoch
  std::vector<std::pair<std::size_t, std::uint64_t>> counts;

  friend bool operator==(const slot_column&, const slot_column&) = default;
};

/// One map's history.
struct map_history {
  std::string map;                  // with its @
  std::vector<row_bounds> rows;     // rising, every row seen
  std::vector<slot_column> columns; // oldest first
  std::uint64_t rows_left_out = 0;  // over the limit
};

/// Any thread: the normalizer writes, whoever looks reads.
class slot_history {
public:
  static constexpr std::size_t slots_max = 60;
  static constexpr std::size_t maps_max = 4;   // the first ones that have rows
  static constexpr std::size_t rows_max = 200; // of one map

  /// A slot that is over. One that is there already (the clock went back) is
  /// replaced; maps without rows are left out.
  void add(std::string_view map, const map_slot& slot);

  std::vector<map_history> read() const;

private:
  struct kept_map {
    std::string map;
    std::vector<row_bounds> rows; // in the order in which they were met
    /// Numbers of variable length, for each slot, oldest first: seconds since
    /// the slot before (the first: 0), bytes of what follows, then runs of rows
    /// that were met after each other: the index of the first, how many, and a
    /// count for each.
    std::string slots;
    std::size_t slots_kept = 0;
    std::int64_t oldest = 0;
    std::int64_t newest = 0;
    std::uint64_t rows_left_out = 0;
  };

  static void forget_from(kept_map& kept, std::int64_t slot);
  static void keep(kept_map& kept, std::int64_t slot, std::string_view counts);

  mutable std::mutex mutex_;
  std::vector<kept_map> maps_;
};

} // namespace bpf2graphite
