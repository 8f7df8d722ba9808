#pragma once
// Whether somebody has set the wall clock. Points carry its time, so whoever
// reads the graphs must learn of it.

#include "messages/trace.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace bpf2graphite {

class clock_watch {
public:
  /// Below this a step is what time synchronisation does, and harmless: slots
  /// wait for a clock that goes back so little.
  static constexpr std::chrono::milliseconds step_min{60'000};

  /// `since_boot` is a clock that nobody sets and that goes on in a suspend
  /// (CLOCK_BOOTTIME). Returns by how much the wall clock was set since the
  /// call before, forward when positive, if that is more than `step_min`.
  std::optional<std::chrono::milliseconds>
  observe(wall_time now, std::chrono::milliseconds since_boot);

private:
  std::optional<std::chrono::milliseconds> offset_;
};

/// The sentence for the log.
std::string clock_step_text(std::chrono::milliseconds step);

} // namespace bpf2graphite
