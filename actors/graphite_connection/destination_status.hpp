#pragma once
// Where a destination stands, for `status`. Lent by the topology; the
// connection writes, anybody reads.

#include "messages/guarded.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace bpf2graphite {

/// The first five while nothing is wrong; one of the last three from a failure
/// until something is accepted, whatever is tried meanwhile.
enum class destination_state {
  idle,        // no connection, nothing to deliver
  connecting,  //
  connected,   // nothing is under way
  sending,     // not all bytes are at the peer's kernel
  confirming,  // they are; its end of the connection is awaited
  unreachable, // no connection came about
  refused,     // the peer ended a connection that stood
  frozen,      // it took no bytes, or did not confirm them, in time
};

/// The word of the enumerator.
constexpr std::string_view to_text(destination_state state) {
  switch (state) {
    case destination_state::idle:
      return "idle";
    case destination_state::connecting:
      return "connecting";
    case destination_state::connected:
      return "connected";
    case destination_state::sending:
      return "sending";
    case destination_state::confirming:
      return "confirming";
    case destination_state::unreachable:
      return "unreachable";
    case destination_state::refused:
      return "refused";
    case destination_state::frozen:
      break;
  }
  return "frozen";
}

/// Something is wrong.
constexpr bool in_trouble(destination_state state) {
  return state >= destination_state::unreachable;
}

struct destination_view {
  destination_state state = destination_state::idle;
  std::string reason;           // in trouble: what failed, the newest
  bool streams = false;         // over one connection, not confirmed by batch
  std::int64_t since = 0;       // in this state; seconds since the epoch
  std::int64_t accepted_at = 0; // the newest acceptance; 0: never
  /// Of the batch that was accepted last: from the moment it was taken from
  /// the queue.
  std::uint64_t acceptance_ms = 0;
};

using destination_status = guarded<destination_view>;

} // namespace bpf2graphite
