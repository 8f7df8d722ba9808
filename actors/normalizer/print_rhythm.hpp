#pragma once
// Which slot a print belongs to, and when a slot is over: the half-gap rule
// and the lock for maps that print once a slot. One per map. No values, no
// names. Times are milliseconds since the epoch, slots the second they start.

#include "actors/normalizer/normalizer_config.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace bpf2graphite {

/// The slot that holds a time: rounded down, before 1970, too.
std::int64_t slot_of(std::int64_t ms, std::int64_t resolution_seconds);

class print_rhythm {
public:
  /// `period`: map_rules::print_period.
  explicit print_rhythm(const slots_config& config,
                        std::chrono::milliseconds period = {});

  /// A new bpftrace has attached: the gap before its first print counts from
  /// here. What was learnt of the old one's gaps is forgotten with its print.
  void opened(std::int64_t at_ms);

  /// Before the first print of a life: its gap counts from here, rather.
  void attached(std::int64_t at_ms);

  void set_grace(std::chrono::milliseconds grace);
  void set_period(std::chrono::milliseconds period);

  /// A print has arrived; returns its slot. `newest_sent`: that slot and those
  /// before it can take nothing any more, so the lock must not lead there.
  ///
  /// The slot is the one that holds the arrival minus half the gap; the gap is
  /// the median of the last ones (`gaps_kept`), for the first print of a life
  /// the time since `opened`; never more than the script's own period, where
  /// that is known: a map that was empty for an hour is not printed, and its
  /// next print speaks of the last second, not of the half hour before it.
  /// Where that gap is within 5 % of the resolution,
  /// a print goes to the slot after that of the print before it, unless
  ///  - it came over 1.5 gaps after that, or under half a gap: one is missing,
  ///    or it is not of the series; or the clock was stepped;
  ///  - it would stand more than half a slot before or after its own slot;
  ///  - it would stand later than its arrival.
  /// The final dump (`ending`) leaves all this alone; where it comes sooner
  /// than half a gap after the last print, it speaks of that shorter time.
  std::int64_t place(std::int64_t arrival_ms, bool ending,
                     std::int64_t newest_sent);

  /// True when nothing more can be expected for the slot: `grace` and half a
  /// gap after its end (locked: half a slot, or when its print came).
  bool over(std::int64_t slot, std::int64_t now_ms) const;

  /// The clock was set back: the next print sets the lock anew.
  void stepped();

  bool locked() const {
    return locked_;
  }

  /// The gap by which the last print was placed.
  std::int64_t gap_ms() const {
    return gap_ms_;
  }

private:
  static constexpr std::size_t gaps_kept = 5;

  std::int64_t median_gap() const;
  std::int64_t within_period(std::int64_t gap_ms) const;

  std::int64_t resolution_; // seconds
  std::int64_t grace_ms_;
  std::int64_t period_ms_; // 0: not known
  std::optional<std::int64_t> opened_ms_;
  std::optional<std::int64_t> last_ms_; // arrival of the print before
  std::array<std::int64_t, gaps_kept> gaps_{};
  std::size_t gaps_seen_ = 0;
  std::int64_t gap_ms_ = 0; // the one that was used last
  bool locked_ = false;
  std::optional<std::int64_t> lock_slot_; // of the print before
  bool early_ = false; // that print was more than a quarter slot ahead
};

} // namespace bpf2graphite
