#pragma once
// Everything between a trace's snapshots and Graphite's points.
//
// tseries() maps are refused and counted: their intervals are bpftrace's own,
// their text names neither date nor zone, each print repeats them all and the
// last one is unfinished, so a point could neither be given the right slot nor
// be sent once.

#include "actors/normalizer/key_filter.hpp"
#include "actors/normalizer/map_series.hpp"
#include "actors/normalizer/normalizer_config.hpp"
#include "actors/normalizer/series_budget.hpp"
#include "actors/normalizer/series_counts.hpp"
#include "actors/normalizer/slot_history.hpp"
#include "actors/normalizer/slots.hpp"
#include "messages/metric.hpp"
#include "messages/snapshot.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// True when every series is called the same and has the same slots.
bool same_names(const series_config& one, const series_config& other);

/// One per trace. Lives longer than its actor and than each bpftrace. No
/// clock: each call brings the wall clock's time with it. Input never throws
/// (std::bad_alloc apart); after an exception `valid()` is false.
class trace_series {
public:
  /// Text that looks like maps may come from anybody's process name.
  static constexpr std::size_t maps_max = 256;
  /// A clock that goes back by no more than this is waited for.
  static constexpr std::int64_t step_back_ms_max = 60'000;

  /// `total` is shared by all traces and outlives them. No slot starts before
  /// `floor` (seconds since the epoch; rounded up to a boundary).
  trace_series(std::shared_ptr<const series_config> config,
               series_budget& total, std::int64_t floor);
  trace_series(series_config config, series_budget& total, std::int64_t floor)
    : trace_series{std::make_shared<const series_config>(std::move(config)),
                   total, floor} {}

  /// A bpftrace was started: a new life; cumulative maps count from zero.
  void opened(wall_time at);
  /// It has its probes in place: the gap of a first print counts from here.
  void attached(wall_time at);
  /// Its output ended; the final dump was added before.
  void closed(wall_time at);
  /// One print of one map, at `snapshot.arrival`. In the order of arrival.
  void add(const snapshot& print);

  /// Appends the points of all slots that are over by now. To be called at each
  /// flush. Per series, times rise, except when the clock was set back by more
  /// than a minute.
  void collect(wall_time now, std::vector<metric>& out);
  /// Appends all, at an orderly stop.
  void drain(wall_time now, std::vector<metric>& out);

  /// A reload. Where names and resolution stay, open slots do, too (of a map
  /// whose prints mean something else now, what is open is sent first); else
  /// all that is open is appended to `out` under the old names, and no slot
  /// that was sent is sent again.
  void reconfigure(std::shared_ptr<const series_config> config, wall_time now,
                   std::vector<metric>& out);
  void reconfigure(series_config config, wall_time now,
                   std::vector<metric>& out) {
    reconfigure(std::make_shared<const series_config>(std::move(config)), now,
                out);
  }

  /// Slots of histograms are shown to it when they are over; it outlives this.
  void show_to(slot_history* history) {
    history_ = history;
  }

  /// The newest slot that was sent, for `last-slot`; before the first, the one
  /// before the floor. Goes back only with the clock.
  std::int64_t newest_slot() const {
    return newest_slot_;
  }

  /// The floor for a successor in the same daemon.
  std::int64_t next_floor() const {
    return newest_slot_ + config_->slots.resolution.count();
  }

  /// False when a call was left by an exception, or the parts contradict each
  /// other: then it must not be used on.
  bool valid() const;

  const series_counts& counts() const {
    return counts_;
  }

  /// Values in open slots: read, not yet sent.
  std::uint64_t open_values() const;
  /// True while a slot is open: there is something to collect later.
  bool has_open() const;
  /// Series alive; never more than `max-series`.
  std::size_t alive() const;

private:
  struct map_state {
    std::string name;
    map_slots slots;
    std::unique_ptr<map_series> series;
    /// A metric with labels: they are the names of its key parts. Else null.
    std::unique_ptr<key_filter> filter;
  };

  // Marks the time in which an exception would leave things half done.
  class work_mark {
  public:
    explicit work_mark(bool& torn) : torn_{torn} {
      torn_ = true;
    }
    void done() {
      torn_ = false;
    }

  private:
    bool& torn_;
  };

  map_state* state_of(const snapshot& print);
  std::unique_ptr<key_filter> filter_of(const std::string& map) const;
  const map_rules& rules_of(const std::string& map, bool rows) const;
  std::int64_t boundary_from(std::int64_t second) const;
  void observe(std::int64_t& newest_ms, wall_time at);
  void follow_clock(std::int64_t now_ms);
  void send(map_state& map, std::int64_t now_ms, bool all,
            std::vector<metric>& out);

  std::shared_ptr<const series_config> config_;
  series_budget& total_;
  series_budget budget_;
  key_filter filter_;
  std::map<std::string, std::unique_ptr<map_state>, std::less<>> maps_;
  series_counts counts_;
  std::int64_t floor_;
  std::int64_t newest_slot_;
  std::int64_t newest_arrival_ms_;
  std::int64_t newest_now_ms_;
  std::optional<std::int64_t> opened_ms_;
  slot_history* history_ = nullptr;
  bool torn_ = false;
};

} // namespace bpf2graphite
