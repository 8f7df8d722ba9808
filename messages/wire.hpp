#pragma once
// What a Graphite socket tells the connection that uses it, and what the
// connection tells the batcher.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bpf2graphite {

/// Time for delays and ages; never set back.
using steady_time = std::chrono::steady_clock::time_point;

enum class wire_event_kind {
  connected,    // the connection stands
  acknowledged, // `bytes` of the batch are with the peer's kernel so far
  peer_closed,  // FIN: the peer closed its side; see `after_half_close`
  reset,        // the peer threw the connection away (RST)
  failed,       // resolving or connecting failed, or a time-out
};

/// One event of one connection attempt. The last three end the attempt: they
/// come once, and nothing comes after them.
struct wire_event {
  std::uint64_t attempt = 0; // which attempt; older ones are ignored
  wire_event_kind kind = wire_event_kind::failed;
  std::uint64_t bytes = 0; // with `acknowledged`: since the connection stands
  /// With `peer_closed`: our side was shut down before the peer's end was seen.
  /// Only the io thread knows the order, so it says so.
  bool after_half_close = false;
  std::string reason; // with `reset`, `failed`: for a person to read
};

/// What Graphite's render API said.
struct render_answer {
  std::uint64_t number = 0;        // of the question
  std::optional<std::string> body; // none: there is no answer
  std::string error;               // then the reason, for a person
};

/// What became of a batch or of a connection, for the queue's books.
struct delivery_report {
  enum class what {
    accepted, // the batch with this id was read by the peer
    lost,     // a loss was seen: what was accepted lately may be lost, too
    gave_up,  // the daemon ends: what waits is not delivered any more
    seen,     // the batch with this id is in Graphite, or nobody can tell
    unseen,   // the `slots` of the batch with this id are not in Graphite
  };
  std::size_t destination = 0; // its index
  what kind = what::accepted;
  std::uint64_t id = 0; // with `accepted`, `seen`, `unseen`
  /// `accepted`: when; `lost`: when the attempt that failed began.
  steady_time at{};
  std::size_t parked = 0; // with `accepted`: points left out, refused alone
  /// With `accepted`: what the peer has read, which is the batch without what
  /// was parked.
  std::shared_ptr<const std::string> lines;
  std::vector<std::int64_t> slots{}; // with `unseen`, rising
};

} // namespace bpf2graphite
