#pragma once
// What every message about a trace carries.

#include <chrono>
#include <cstdint>
#include <string>

namespace bpf2graphite {

/// A configured script's name (`traces { NAME { } }`, or its `name` key).
using trace_name = std::string;

/// Wall clock time with the resolution of everything here that is measured:
/// arrivals in milliseconds since 1970-01-01 UTC. Slots are whole seconds.
using wall_time =
  std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

/// `wall_time` from milliseconds since the epoch.
constexpr wall_time wall_time_from_ms(std::int64_t ms) {
  return wall_time{std::chrono::milliseconds{ms}};
}

} // namespace bpf2graphite
