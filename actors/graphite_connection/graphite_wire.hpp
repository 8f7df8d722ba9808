#pragma once
// The socket as the actor sees it: orders go in, events come out. Tests put
// something of their own behind it.

#include "actors/graphite_connection/graphite_config.hpp"
#include "messages/wire.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace bpf2graphite {

struct wire_limits {
  /// For resolving and connecting together.
  std::chrono::milliseconds connect_timeout{5'000};
  /// While bytes are under way: how long none of them may be acknowledged.
  std::chrono::milliseconds progress_timeout{10'000};
};

/// One connection at a time. All functions may be called from any thread and
/// return at once. An order that names an older attempt than the newest
/// `connect` is ignored.
struct graphite_wire {
  virtual ~graphite_wire() = default;

  /// Who gets the events from now on; nobody if empty. An event of the old
  /// listener may still be on its way.
  virtual void listen(std::function<void(wire_event)> listener) = 0;

  /// Ends the connection there is, if any, without an event, and begins the
  /// attempt of that number. Answers with `connected` or `failed` within
  /// `connect_timeout`.
  virtual void connect(std::uint64_t attempt, const graphite_address& address,
                       wire_limits limits) = 0;

  /// Writes `lines`, behind what was to be sent before. Answers with
  /// `acknowledged` until all bytes are at the peer's kernel, or with one of
  /// the events that end the attempt; at the latest when none was acknowledged
  /// for `progress_timeout`.
  virtual void send(std::uint64_t attempt,
                    std::shared_ptr<const std::string> lines) = 0;

  /// Tells the peer that nothing more comes: its FIN answers.
  virtual void half_close(std::uint64_t attempt) = 0;

  /// Ends the attempt without an event; thrown away (RST) when the peer's
  /// kernel does not have all bytes, or our half-close was not answered, so
  /// that nothing of it arrives later.
  virtual void close(std::uint64_t attempt) = 0;
};

} // namespace bpf2graphite
