#pragma once
// Why an actor is told to end: for good, or to be started again.

#include <caf/all.hpp>

namespace bpf2graphite {

/// The reason a supervisor gives when a child only makes way for its
/// successor: what it holds (a bpftrace, open slots, a batch) goes on.
/// remote_link_unreachable has no other meaning here: we load no middleman.
inline constexpr auto restart_reason =
  caf::exit_reason::remote_link_unreachable;

/// True when the order to end came from outside: stop what you hold, hand on
/// what is left.
inline bool ends_for_good(const caf::error& reason) {
  return reason == caf::exit_reason::user_shutdown;
}

} // namespace bpf2graphite
