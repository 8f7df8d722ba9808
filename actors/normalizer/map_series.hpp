#pragma once
// The series of one map: a closed slot's values become points. Names, merging,
// folding within the budget, zeros for what was not printed.

#include "actors/normalizer/metric_path.hpp"
#include "actors/normalizer/series_budget.hpp"
#include "actors/normalizer/series_counts.hpp"
#include "actors/normalizer/slots.hpp"
#include "messages/metric.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bpf2graphite {

class map_series {
public:
  /// `trace` and `total` outlive it; it gives back what it took.
  map_series(const series_config& config, std::string_view map,
             series_budget& trace, series_budget& total);
  ~map_series();
  map_series(const map_series&) = delete;
  map_series& operator=(const map_series&) = delete;

  /// Appends the points of a slot, in a stable order. `from` is what the slot
  /// belongs to.
  void emit(const map_slot& slot, map_slots& from, std::vector<metric>& out,
            series_counts& counts);

  /// The clock was set back to this slot.
  void follow_clock(std::int64_t slot);

  /// Everything that does not change names: percentiles, zero fill.
  void set_config(const series_config& config);

  /// Names alive: sent, and not yet silent.
  std::size_t alive() const {
    return alive_;
  }

  bool valid() const;

private:
  /// One name.
  struct series {
    row_bounds bounds;       // rows only
    series_name path;        // none: it is another's
    std::int64_t active = 0; // the last slot with a value

    bool refused() const {
      return !path;
    }
  };

  /// One key, or the keys that clean to one name.
  struct key_group {
    std::string key;
    std::uint32_t generation = 0;
    bool used = false;
    bool alive = false;
    std::size_t owner = 0;       // hash of the raw key that began it
    std::vector<series> leaves;  // rows: rising; else 1, or 3 for stats
    std::vector<series> derived; // rows only
    std::uint64_t touched = 0;   // the emission that has values for it
    amount sum;                  // ... these
    std::uint64_t values = 0;    // ... counted
    std::uint64_t merged = 0;    // ... of these: of another raw key
  };

  /// A reference to one outlives growth. Most maps have one: a deque of it
  /// would take 600 bytes.
  class group_list {
  public:
    std::size_t size() const {
      return groups_.size();
    }
    key_group& operator[](std::size_t which) {
      return *groups_[which];
    }
    const key_group& operator[](std::size_t which) const {
      return *groups_[which];
    }
    void add() {
      groups_.push_back(std::make_unique<key_group>());
    }

  private:
    std::vector<std::unique_ptr<key_group>> groups_;
  };

  using index = std::size_t;
  static constexpr index nothing = ~index{0};

  // What a slot gives to each group.
  void gather(const map_slot& slot, series_counts& counts);
  index group_of(key_table::id key);
  index find_or_add(std::string name);
  void join(index to, const amount& what, std::uint64_t values);
  void fold(const amount& what, std::uint64_t values, series_counts& counts);
  void fold_missing(key_group& from, series_counts& counts);
  bool find_other();
  bool foldable() const;
  bool sums() const;
  exact weight(const amount& what) const;
  std::uint64_t values_of(const amount& what) const;

  // Room and names.
  void reserve_for_other();
  void admit_all(series_counts& counts);
  bool admit(key_group& next, bool fills);
  void admit_other(series_counts& counts);
  void missing_rows(key_group& of, bool fills);
  bool take(std::size_t n, bool is_other);
  void add_names(key_group& to);
  series make_series(const key_group& in, std::string_view leaf);
  series make_series(const key_group& in, const row_bounds& row);
  series claimed(std::string_view path);
  series* find_leaf(key_group& in, const row_bounds& row) const;
  void give_back(bool is_other, const series& gone);
  void remove(index which);
  std::size_t fixed_names() const;
  void trim_zero_ends(key_group& of, series_counts& counts);

  // Points.
  void emit_group(index which, std::vector<metric>& out, series_counts& counts);
  bool emit_rows(key_group& of, bool is_other, std::vector<metric>& out,
                 series_counts& counts);
  void emit_derived(const key_group& of, std::vector<metric>& out) const;
  bool emit_values(key_group& of, std::vector<metric>& out,
                   series_counts& counts);
  void settle(const key_group& of, bool is_other, std::uint64_t refused,
              series_counts& counts) const;
  bool silent(const series& one) const;
  void put(const series& one, metric_value value,
           std::vector<metric>& out) const;

  metric_path paths_;
  series_budget& trace_;
  series_budget& total_;
  std::vector<double> percentiles_;
  std::vector<std::string> derived_names_;
  bool zero_fill_ = true;
  std::int64_t silent_after_ = 0; // seconds
  std::size_t series_max_ = 0;
  bool derived_samples_ = false;
  bool derived_mean_ = false;
  bool derived_highest_ = false;
  exact unit_ = 1; // scalars are so many times as large

  group_list groups_;
  std::vector<index> free_;
  std::unordered_map<std::string, index> by_key_;
  index other_ = nothing;
  std::size_t key_parts_ = 0; // of the keys; `_other` has as many ...
  std::string other_name_;    // ... in this name; empty: no such key
  std::size_t reserve_ = 0;   // room taken for `_other`, not yet used ...
  std::size_t reserved_ = 0;  // ... and what was taken in all
  std::size_t widest_ = 0;    // rows of the widest group so far
  std::size_t alive_ = 0;

  // Of the emission under way.
  std::uint64_t emission_ = 0;
  std::int64_t slot_ = 0;
  map_slots* from_ = nullptr;
  value_shape shape_ = value_shape::none;
  std::vector<index> touched_;
  std::vector<row_bounds> missing_;
  std::vector<std::string_view> parts_;
};

} // namespace bpf2graphite
