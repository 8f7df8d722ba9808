#pragma once
// The prints of one map, combined into exact sums per slot. No names.

#include "actors/normalizer/histogram_rows.hpp"
#include "actors/normalizer/key_filter.hpp"
#include "actors/normalizer/key_table.hpp"
#include "actors/normalizer/normalizer_config.hpp"
#include "actors/normalizer/print_rhythm.hpp"
#include "actors/normalizer/series_counts.hpp"
#include "messages/snapshot.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bpf2graphite {

/// What the values of a map are made of.
enum class value_shape { none, scalar, stats, rows };

/// One key's value: as printed, or gathered in a slot.
struct amount {
  exact value = 0;   // scalar: its value; stats: total
  exact samples = 0; // stats: samples; gauge `mean`: how many were added
  exact average = 0; // stats as a gauge: as printed
  histogram_rows rows;

  void clear();
};

/// One slot of one map.
struct map_slot {
  struct cell {
    key_table::id key = key_table::none; // none: of the keys without a place
    amount sum;
  };

  std::int64_t start = 0;
  /// The clock was set back behind it: it is sent as it is, nothing is added.
  bool overtaken = false;
  std::vector<cell> cells; // the first `used`; the rest is kept capacity
  std::size_t used = 0;
  std::vector<std::uint32_t> cell_of_key; // index + 1; 0: none
  std::uint32_t cell_of_rest = 0;         // index + 1: keys without a place
};

/// The open slots of one map and what is needed to fill them.
class map_slots {
public:
  /// Keys with a place of their own in a slot; those above are gathered in one
  /// cell, which is folded. At least twice what may have names.
  static constexpr std::size_t slot_keys_max = 16384;
  static constexpr std::size_t open_slots_max = 1024;

  map_slots(const slots_config& slots, const map_rules& rules,
            std::size_t series_max);

  void opened(std::int64_t at_ms);
  /// A new life's probes are in place: its first gap counts from here.
  void attached(std::int64_t at_ms);
  /// The output has ended: a dump that was not marked as one, and repeats what
  /// END had printed (see map_rules::printed_in_end), is taken back now.
  void closed(std::int64_t at_ms, series_counts& counts);

  /// Adds a print. Its slot is never before `floor`.
  void add(const snapshot& print, const key_filter& filter, std::int64_t floor,
           series_counts& counts);

  /// The next slot that is over, oldest first; null when there is none. With
  /// `all`, each. The caller sends it and calls `sent` before anything else.
  const map_slot* next_over(std::int64_t now_ms, bool all) const;
  /// Forgets that slot. True when it had been sent before or is older than one
  /// that was: the clock was set back.
  bool sent();

  /// The clock was set back by more than a minute: what is open is over.
  void follow_clock();

  /// New rules for the same map. What is open stays; another resolution only
  /// when nothing is.
  void set_config(const slots_config& slots, const map_rules& rules,
                  std::size_t series_max);

  const map_rules& rules() const {
    return rules_;
  }

  value_shape shape() const {
    return shape_;
  }

  key_table& keys() {
    return keys_;
  }

  const key_table& keys() const {
    return keys_;
  }

  /// Rows, scalars and stats in open slots.
  std::uint64_t open_values() const;

  bool has_open() const {
    return !open_.empty();
  }

  std::int64_t newest_sent() const {
    return newest_sent_;
  }

  bool valid() const;

private:
  struct printed_key {
    key_table::id key = 0;
    bool partial = false;
    amount now;
    std::size_t values = 0;
    const amount* repeated = nullptr; // scratch
  };

  /// A print as it was read: one entry per key, of which `used` count.
  struct whole_print {
    std::vector<printed_key> entries;
    std::size_t used = 0;
    std::int64_t arrival_ms = 0;
    std::int64_t gap_ms = 0; // since the one before; the first: far more
    std::int64_t slot = 0;
  };

  /// As long as it lives a map has the memory for the print that is read: all
  /// maps of a thread have it in turn. One for each of a thousand would lie
  /// idle, and be out of the caches when it is wanted.
  class borrowed_print {
  public:
    explicit borrowed_print(map_slots& borrower);
    ~borrowed_print();
    borrowed_print(const borrowed_print&) = delete;
    borrowed_print& operator=(const borrowed_print&) = delete;

  private:
    map_slots* borrower_; // null: it keeps its prints, and with them the memory
  };

  struct baseline {
    amount last;
    std::uint64_t print = 0; // the number of the print; 0: there is none
  };

  void swap_print();
  bool read(const snapshot& from, const key_filter& filter,
            series_counts& counts);
  void read_entry(const map_entry& entry, series_counts& counts);
  void read_scalar(const map_entry& entry, exact value, series_counts& counts);
  map_slot& slot_for(const snapshot& print, std::int64_t floor,
                     std::uint64_t values, series_counts& counts);
  map_slot& open_slot(std::int64_t start);
  amount* find_cell(map_slot& slot, key_table::id key);
  amount& make_cell(map_slot& slot, key_table::id key, bool& fresh);

  void add_counts(map_slot& slot, const printed_key& from, const amount& what,
                  series_counts& counts);
  void add_scalar(map_slot& slot, const printed_key& from, exact what,
                  series_counts& counts);
  void add_risen_scalars(map_slot& slot, series_counts& counts);
  void add_cleared(map_slot& slot, bool ending, series_counts& counts);
  void add_cumulative(map_slot& slot, series_counts& counts);
  void add_gauge(map_slot& slot, const printed_key& from,
                 series_counts& counts);
  void take_difference(const amount& now, const amount& before);
  bool fell(const printed_key& now, const amount& before) const;
  void note_negative();
  baseline& baseline_of(key_table::id key);
  void set_baseline(const printed_key& from);
  void forget_baseline(key_table::id key);
  void forget_baselines();
  bool repeats(const whole_print& later, const whole_print& earlier) const;
  void keep_print();
  void let_go(whole_print& kept);

  map_rules rules_;
  std::int64_t resolution_;
  std::size_t keys_max_;
  print_rhythm rhythm_;
  key_table keys_;
  value_shape shape_ = value_shape::none;

  std::vector<map_slot> open_; // overtaken ones first, then rising
  std::vector<map_slot> spare_;
  std::int64_t newest_sent_;
  std::int64_t newest_placed_;
  std::int64_t rewrite_until_;
  std::int64_t newest_arrival_ms_;

  whole_print now_;                       // its memory: see borrowed_print
  std::vector<std::uint32_t> now_of_key_; // index + 1 into now_; by key
  std::vector<baseline> baselines_;       // by key
  std::size_t baselines_used_ = 0;
  std::uint64_t print_number_ = 0;
  bool negative_seen_ = false;
  bool partial_ = false;

  // Only for cleared maps that END prints: the last two prints of this life.
  whole_print last_;
  whole_print before_last_;
  bool dump_seen_ = false;

  static thread_local amount difference_; // scratch of all maps
};

} // namespace bpf2graphite
