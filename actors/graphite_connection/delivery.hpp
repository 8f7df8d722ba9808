#pragma once
// Delivery to one destination: confirmed or streaming, and when to change from
// one to the other.
//
// Everything that happens goes in (a batch, an event of the wire, the time),
// and out comes the list of what has to be done. No clock, socket or actor.
//
//               three time-outs in a row, nothing confirmed ever
//   confirmed ────────────────────────────────────────────────▶ streaming
//             ◀────────────────────────────────────────────────
//               each `confirmed_again_after`, until it confirms
//
// Streaming by configuration: a window that was refused `refusals_max` times in
// a row may hold a line that the peer hangs up on. Then its batches are
// delivered one by one, confirmed, which finds and parks that line, and
// streaming goes on.
//
// What one of them has taken and not delivered the other one gets first, so
// the queue does not notice.

#include "actors/graphite_connection/confirmed_delivery.hpp"
#include "actors/graphite_connection/connection_attempts.hpp"
#include "actors/graphite_connection/delivery_action.hpp"
#include "actors/graphite_connection/graphite_config.hpp"
#include "actors/graphite_connection/streaming_delivery.hpp"
#include "messages/ledger.hpp"
#include "messages/metric.hpp"
#include "messages/wire.hpp"

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>

namespace bpf2graphite {

/// Owned by the topology and lent to the connection; outlives it. Every
/// function gives what to do, in this order. `now` never goes back; `random`
/// is in [0, 1) and new each time.
class delivery {
public:
  /// Time-outs in a row after which a peer that has never confirmed is not
  /// believed to do so any more.
  static constexpr int timeouts_max = 3;
  /// When it is tried again.
  static constexpr std::chrono::minutes confirmed_again_after{10};
  /// Streaming: refusals in a row after which bad lines are looked for.
  static constexpr int refusals_max = 3;

  /// `destination`: the index in reports. `addresses`: how many there are, at
  /// least 1. `probe_path`: the series of our harmless line, a clean path.
  /// Counts connects and refusals in `books`, which must outlive it.
  delivery(const graphite_config& config, std::size_t destination,
           std::size_t addresses, std::string probe_path,
           destination_ledger& books);
  delivery(const delivery&) = delete;
  delivery& operator=(const delivery&) = delete;

  /// A new connection actor takes over: the old socket is closed, what is
  /// under way will be sent again, otherwise a batch is asked for.
  delivery_actions adopt(steady_time now);

  /// The addresses are others now: the connection is closed, and what is under
  /// way is sent to them, as if it had never been refused.
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

  /// The daemon ends: no connect-ahead any more, an idle connection is closed,
  /// a streaming one as soon as its end is confirmed.
  delivery_actions finish(steady_time now);

  /// Closes whatever connection there is; what is under way stays in the
  /// queue.
  delivery_actions abandon();

  /// A batch is with us.
  bool busy() const {
    return confirmed_.busy() || streaming_.busy() || !backlog_.empty();
  }

  /// Batches go over one long connection at present.
  bool streams() const {
    return mode_ == mode::streaming;
  }

  /// See connection_attempts.
  std::optional<steady_time> trouble_since() const {
    return attempts_.trouble_since();
  }
  const std::string& trouble() const {
    return attempts_.trouble();
  }

  /// Where it stands, see destination_state.
  destination_state standing() const;

  /// True when the state makes sense: a new actor may adopt it.
  bool valid() const;

  /// Forgets all but the number of the last attempt. What is under way is
  /// still in the queue.
  void start_fresh();

private:
  enum class mode { confirmed, streaming };

  void take(delivery_actions actions, steady_time now);
  void review(steady_time now);
  void to_confirmed(steady_time now);
  void to_streaming(steady_time now);
  delivery_actions result(steady_time now);

  graphite_config config_;
  connection_attempts attempts_;
  confirmed_delivery confirmed_;
  streaming_delivery streaming_;

  mode mode_;
  std::deque<metric_batch> backlog_; // taken from the queue, with neither
  bool asked_ = false;
  bool finishing_ = false;
  /// The peer takes all and never confirms.
  bool silent_ = false;
  steady_time confirmed_again_at_{};
  bool trying_confirmed_ = false; // after `confirmed_again_after`
  std::size_t hunt_left_ =
    0; // batches to be confirmed before streaming goes on

  delivery_actions actions_; // of the call under way
};

} // namespace bpf2graphite
