#pragma once
// When the batcher's clock ticks: at wall clock times t with
// t % interval == offset.

#include "messages/trace.hpp"

#include <algorithm>
#include <chrono>

namespace bpf2graphite {

/// How far one tick may be from an interval after the one before it. After the
/// wall clock was set, the ticks come back into line by at most so much each:
/// data goes on flowing at an even pace.
inline constexpr std::chrono::milliseconds tick_correction_max{400};

/// When nothing but points of our own waits, a batch may close that much before
/// its tick. Longer than they come ahead of it (see self_report).
inline constexpr std::chrono::milliseconds tick_early_max{250};

/// The time from `now` to the next tick: more than 0, at most `interval`.
/// `interval` > 0, `offset` >= 0.
constexpr std::chrono::milliseconds
time_to_tick(wall_time now, std::chrono::milliseconds interval,
             std::chrono::milliseconds offset) {
  auto past = (now.time_since_epoch() - offset) % interval;
  if (past.count() < 0)
    past += interval;
  return interval - past;
}

/// The time to the tick after one that is happening now, give or take: a timer
/// that fired a little early must not tick twice.
constexpr std::chrono::milliseconds
time_after_tick(wall_time now, std::chrono::milliseconds interval,
                std::chrono::milliseconds offset) {
  auto half = interval / 2;
  auto aligned = half + time_to_tick(now + half, interval, offset);
  auto most = std::min(tick_correction_max, interval / 4);
  return std::clamp(aligned, interval - most, interval + most);
}

} // namespace bpf2graphite
