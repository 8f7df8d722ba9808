#pragma once
// Streaming delivery: one long connection for all batches. What to do next, and
// nothing of how.
//
//             batch               connected
//   resting ────────▶ connecting ───────────▶ standing ◀──┐ batch
//      ▲                  │                      │        │
//      │ loss: pause      │         at the end:  ▼        │
//      └──── any state ◀──┴── ending ◀──────── settling ──┘
//                             half-close     confirm_delay
//
// What the peer's kernel has acknowledged may die with the peer's process
// (measured: thousands of lines). So the newest acknowledged batches are kept,
// the tail:
//
//   released │ tail: acknowledged │ sent │ not sent          (the window)
//
// A batch is released, and reported as accepted, when it is acknowledged and
// `tail_bytes` more are, or `tail_time` has passed, without a loss. After a
// loss the whole window is sent again, from the front, in whole batches. A tail
// that is larger than what a connection carries would never come to an end, so
// it is small, and batches beyond it are not.
//
// At the end of the daemon the connection is half-closed: the peer's FIN
// accepts all that is left, as in confirmed delivery.

#include "actors/graphite_connection/connection_attempts.hpp"
#include "actors/graphite_connection/delivery_action.hpp"
#include "actors/graphite_connection/graphite_config.hpp"
#include "messages/metric.hpp"
#include "messages/wire.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

namespace bpf2graphite {

/// Every function gives what to do, in this order. `now` never goes back;
/// `random` is in [0, 1) and new each time.
class streaming_delivery {
public:
  /// `attempts` must outlive it.
  streaming_delivery(const graphite_config& config,
                     connection_attempts& attempts);

  /// A new connection actor takes over: the old socket is closed, the window is
  /// forgotten and asked for again. (A batch may have been on its way to the
  /// actor before, so the queue has to begin anew.)
  delivery_actions adopt(steady_time now);

  /// The addresses are others now: the connection is closed, and the window is
  /// sent to them.
  delivery_actions redirect(steady_time now);

  /// Answers an `ask_batch`.
  delivery_actions offer(metric_batch batch, steady_time now);

  /// Something happened on the wire; events of older attempts are ignored.
  delivery_actions wire(const wire_event& event, steady_time now,
                        double random);

  /// The time of `deadline` has come (or any other).
  delivery_actions time_passed(steady_time now, double random);

  /// When `time_passed` has to be called next; none: when something happens.
  std::optional<steady_time> deadline() const;

  /// The daemon ends: what is left is to be confirmed.
  delivery_actions finish(steady_time now);

  /// Closes whatever connection there is and forgets the window.
  delivery_actions abandon();

  /// With true, a peer that has all bytes at the end counts as having read
  /// them: for one that is known never to confirm.
  void trust_silence(bool trust) {
    trust_silence_ = trust;
  }

  /// The batches that were offered and not released, oldest first.
  std::deque<metric_batch> window() const;

  bool busy() const {
    return !window_.empty();
  }

  /// What is being done, whatever went wrong before.
  destination_state doing() const;

  /// All that was offered is at the peer's kernel.
  bool all_acknowledged() const {
    return unacknowledged_ == 0;
  }

  /// How often in a row the peer ended a connection that carried something,
  /// with nothing released in between.
  int refusals() const {
    return refusals_;
  }

  /// True when the state makes sense: a new actor may adopt it.
  bool valid() const;

  /// Forgets all. The window is still in the queue.
  void start_fresh();

private:
  enum class phase {
    resting,    // no connection; with a window: until the next attempt
    connecting, //
    standing,   // batches are sent as they come
    settling,   // at the end: until until_, confirm_delay
    ending,     // half-closed; until until_, for the peer's FIN
  };

  struct item {
    metric_batch batch;
    std::uint64_t end = 0; // its last byte on this connection; 0: not sent
    std::optional<steady_time> acknowledged_at;
  };

  void go_on(steady_time now);
  void send(item& one);
  void acknowledged(std::uint64_t bytes, steady_time now);
  void release(steady_time now);
  void release_front(steady_time now);
  void release_all(steady_time now);
  void forget_connection();
  void lose(std::string reason, bool by_peer, steady_time now, double random);
  bool stands() const {
    return phase_ == phase::standing || phase_ == phase::settling
           || phase_ == phase::ending;
  }
  delivery_actions take() {
    return std::exchange(actions_, {});
  }

  graphite_config config_;
  connection_attempts* attempts_;

  phase phase_ = phase::resting;
  steady_time until_{};
  std::deque<item> window_;
  std::size_t unacknowledged_ = 0;       // bytes of the window
  std::uint64_t sent_bytes_ = 0;         // on this connection
  std::uint64_t acknowledged_bytes_ = 0; // of these
  steady_time alive_at_{}; // the last sign of life on this connection
  bool asked_ = false;
  bool finishing_ = false;
  bool trust_silence_ = false;
  int refusals_ = 0;

  delivery_actions actions_; // of the call under way
};

} // namespace bpf2graphite
