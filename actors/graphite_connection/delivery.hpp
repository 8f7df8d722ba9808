#pragma once
// Confirmed delivery to one destination: what to do next, and nothing of how.
//
// Everything that happens goes in (a batch, an event of the wire, the time),
// and out comes the list of what has to be done. No clock, socket or actor.
//
//             batch                 connected            all acknowledged
//   resting ────────▶ connecting ─────────────▶ sending ────────────────┐
//      ▲  ▲              ▲    │ no batch yet       ▲ batch              ▼
//      │  │ loss:        │    └──────▶ ready ──────┘                settling
//      │  │ pause        │ at once (connect-ahead)                      │
//      │  └── any state  │                  peer's FIN    confirm_delay │
//      └─────────────────┴────── accepted ◀────────── confirming ◀──────┘
//                                                        half-close
//
// Accepted means: the peer's FIN came after our half-close, so the process that
// answers has read everything. (A process that closes with bytes unread makes
// its kernel send RST instead.) Everything else keeps the batch.
//
// Poison. A batch that is refused `refusals_max` times (the peer ended a
// standing connection, before our half-close or by a reset) is cut in two, and
// its parts are sent one by one without a pause. A refused part is only a
// suspect until the server has accepted something after it: the next part, or,
// when there is none or two suspects wait, a harmless line of our own, the
// probe. Then each suspect is cut again; a single line that was refused alone
// `line_refusals_max` times is parked. A refused probe says that it is the
// server's fault: pause, then the probe again, and nothing is parked. So the
// cost is bounded by 3 log2(lines) short connections for each bad line.
//
// Failover. With several addresses the first one that did not fail within
// `failover_rest` is used; all of them count as one destination.
//
// Streaming, when it comes, is a second class with the same ins and outs: the
// queue can have several batches given, `acknowledged` tells how far the peer's
// kernel is, and `ask_batch.afresh` starts again from the front.

#include "actors/graphite_connection/graphite_config.hpp"
#include "messages/ledger.hpp"
#include "messages/metric.hpp"
#include "messages/wire.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bpf2graphite {

struct wire_connect {
  std::uint64_t attempt = 0;
  std::size_t address = 0; // index into the destination's addresses
};

struct wire_send {
  std::uint64_t attempt = 0;
  std::shared_ptr<const std::string> lines;
};

struct wire_half_close {
  std::uint64_t attempt = 0;
};

struct wire_close {
  std::uint64_t attempt = 0;
};

/// A batch is wanted; `offer` it when there is one.
struct ask_batch {
  bool afresh = false; // nothing is under way: see batch_queue::next
};

/// A change of state that a person may want to read.
struct delivery_note {
  enum class what {
    trouble,     // not accepted (`reason`); once until `recovered`
    recovered,   // accepted again, `lasted` after the trouble began
    parked,      // `reason` is the line that the peer refuses when it is alone
    parked_part, // a part with `points` lines: too many bad ones to find each
    ahead_off, // the peer closes idle connections: no connect-ahead for a while
  };
  what kind = what::trouble;
  std::string reason;
  std::chrono::milliseconds lasted{0};
  std::size_t points = 0;
};

using delivery_action =
  std::variant<wire_connect, wire_send, wire_half_close, wire_close, ask_batch,
               delivery_report, delivery_note>;

using delivery_actions = std::vector<delivery_action>;

/// Owned by the topology and lent to the connection; outlives it. Every
/// function gives what to do, in this order. `now` never goes back; `random`
/// is in [0, 1) and new each time.
class delivery {
public:
  /// How often a batch is refused before it is cut.
  static constexpr int refusals_max = 3;
  /// How often a line is refused alone, each time with something accepted after
  /// it, before it is parked: a server that ends connections at random must not
  /// make us take a good line for a bad one.
  static constexpr int line_refusals_max = 10;
  /// Connections that are spent on finding the bad lines of one batch; then
  /// whole suspects are parked.
  static constexpr int split_attempts_max = 1000;
  /// So many idle connections ended in a row by a peer that accepted the next
  /// one at once: it is a habit, no death.
  static constexpr int idle_ends_max = 3;
  /// For so long there is no connect-ahead then.
  static constexpr std::chrono::minutes ahead_rest{10};

  /// `destination`: the index in reports. `addresses`: how many there are, at
  /// least 1. `probe_path`: the series of our harmless line, a clean path.
  /// Counts connects and refusals in `books`, which must outlive it.
  delivery(const graphite_config& config, std::size_t destination,
           std::size_t addresses, std::string probe_path,
           destination_ledger& books);

  /// A new connection actor takes over: the old socket is closed, a batch
  /// under way will be sent again, otherwise one is asked for.
  delivery_actions adopt(steady_time now);

  /// The addresses are others now: the connection is closed, and a batch under
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

  /// The daemon ends: no connect-ahead any more, an idle one is closed.
  delivery_actions finish();

  /// Closes whatever connection there is; the batch under way stays in the
  /// queue.
  delivery_actions abandon();

  /// A batch is with us.
  bool busy() const {
    return batch_.has_value();
  }

  /// Since when nothing was accepted although something should have been.
  std::optional<steady_time> trouble_since() const {
    return trouble_since_;
  }

  /// The reason of the newest failure; empty when the last try was accepted.
  const std::string& trouble() const {
    return trouble_;
  }

  /// True when the state makes sense: a new actor may adopt it.
  bool valid() const;

  /// Forgets all but the number of the last attempt. The batch under way is
  /// still in the queue.
  void start_fresh();

private:
  enum class phase {
    resting,    // no connection; with a batch: until not_before_
    connecting, // to send, or ahead
    ready,      // connected ahead, nothing sent
    sending,    // not all bytes acknowledged
    settling,   // until until_: confirm_delay
    confirming, // until until_: waiting for the peer's FIN
  };

  /// Whole lines of the batch: [begin, end) of its text.
  struct part {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t lines = 0;
    int refused_alone = 0; // a single line: how often, with proof
  };

  /// The hunt for bad lines in the batch under way.
  struct hunt {
    std::vector<part> todo; // the next one last
    std::vector<part> suspects;
    std::vector<part> parked;
    bool probing = false; // what is under way is the probe
    bool accepted_some = false;
    /// Began an attempt that failed after some part was accepted.
    std::optional<steady_time> lost;
    int attempts = 0;
  };

  void connect(steady_time now);
  void connected(steady_time now);
  void send(steady_time now);
  void go_on(steady_time now);
  void accepted(steady_time now);
  void finish_batch(steady_time now);
  void lose(std::string reason, bool refused, steady_time now, double random);
  bool take_refusal();
  void prove();
  void park(const part& p);
  void cut(const part& p);
  void rest(steady_time since, steady_time now, double random);
  void report_loss(steady_time began);
  void count_idle_end(steady_time now);
  bool may_go_ahead(steady_time now) const;
  std::size_t choose_address(steady_time now) const;
  std::shared_ptr<const std::string> text_to_send();
  std::shared_ptr<const std::string> text_without_parked() const;
  void note(delivery_note n) {
    actions_.emplace_back(std::move(n));
  }
  delivery_actions take() {
    return std::exchange(actions_, {});
  }
  std::string_view text_of(const part& p) const {
    return std::string_view{*batch_->lines}.substr(p.begin, p.end - p.begin);
  }

  graphite_config config_;
  std::size_t destination_;
  std::string probe_path_;
  destination_ledger* books_;

  phase phase_ = phase::resting;
  steady_time until_{};      // of settling and confirming
  steady_time not_before_{}; // the next attempt
  std::uint64_t attempt_ = 0;
  std::size_t address_ = 0;
  steady_time began_{};       // the attempt
  steady_time ready_since_{}; // connected ahead
  std::shared_ptr<const std::string> sent_;

  bool asked_ = false;
  bool finishing_ = false;
  std::optional<metric_batch> batch_;
  int refusals_ = 0; // of the whole batch
  std::optional<hunt> hunt_;

  int failures_ = 0;                   // in a row: the backoff's exponent
  std::vector<steady_time> bad_until_; // by address
  bool may_mark_ = false; // accepted something since the last report of a loss
  int idle_ends_ = 0;
  bool ended_idle_ = false; // the last attempt did
  steady_time::duration idle_end_after_{};
  std::optional<steady_time> no_ahead_until_;
  std::optional<steady_time> trouble_since_;
  std::string trouble_;

  delivery_actions actions_; // of the call under way
};

} // namespace bpf2graphite
