#pragma once
// Confirmed delivery: one connection a batch, and the peer's own end says that
// it has read it. What to do next, and nothing of how.
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

#include "actors/graphite_connection/connection_attempts.hpp"
#include "actors/graphite_connection/delivery_action.hpp"
#include "actors/graphite_connection/graphite_config.hpp"
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
#include <vector>

namespace bpf2graphite {

/// Every function gives what to do, in this order. `now` never goes back;
/// `random` is in [0, 1) and new each time.
class confirmed_delivery {
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
  /// See `trust_silence`: enough for a server to read a line and hang up on it.
  static constexpr std::chrono::milliseconds silence{2'000};

  /// `probe_path`: the series of our harmless line, a clean path. `attempts`
  /// must outlive it.
  confirmed_delivery(const graphite_config& config, std::string probe_path,
                     connection_attempts& attempts);

  /// A new connection actor takes over: the old socket is closed, a batch
  /// under way will be sent again, otherwise one is asked for.
  delivery_actions adopt(steady_time now);

  /// The addresses are others now: the connection is closed, and a batch under
  /// way is sent to them, as if it had never been refused.
  delivery_actions redirect(steady_time now);

  /// Nothing is known of the peer: it is another one.
  void forget_peer() {
    has_confirmed_ = trust_silence_ = false;
    timeouts_ = 0;
  }

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

  /// Closes whatever connection there is and forgets the batch under way.
  delivery_actions abandon();

  /// With true, a peer that has all bytes and stays silent for `silence`
  /// counts as having read them: for one that never confirms, while the bad
  /// lines of a batch are looked for.
  void trust_silence(bool trust) {
    trust_silence_ = trust;
  }

  /// A batch is with us.
  bool busy() const {
    return batch_.has_value();
  }

  /// What is being done, whatever went wrong before.
  destination_state doing() const;

  /// The batch under way.
  const std::optional<metric_batch>& batch() const {
    return batch_;
  }

  /// Whether the peer has confirmed anything, ever.
  bool has_confirmed() const {
    return has_confirmed_;
  }

  /// How often in a row the peer had all bytes and did not confirm them.
  int timeouts() const {
    return timeouts_;
  }

  /// True when the state makes sense: a new actor may adopt it.
  bool valid() const;

  /// Forgets all. The batch under way is still in the queue.
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
  void lose(std::string reason, bool by_peer, steady_time now, double random);
  bool take_refusal();
  void prove();
  void park(const part& p);
  void cut(const part& p);
  void count_idle_end(steady_time now);
  bool may_go_ahead(steady_time now) const;
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
  std::string probe_path_;
  connection_attempts* attempts_;

  phase phase_ = phase::resting;
  steady_time until_{};       // of settling and confirming
  steady_time ready_since_{}; // connected ahead
  std::shared_ptr<const std::string> sent_;

  bool asked_ = false;
  bool finishing_ = false;
  std::optional<metric_batch> batch_;
  int refusals_ = 0; // of the whole batch
  std::optional<hunt> hunt_;

  int idle_ends_ = 0;
  bool ended_idle_ = false; // the last attempt did
  steady_time::duration idle_end_after_{};
  std::optional<steady_time> no_ahead_until_;
  bool trust_silence_ = false;
  bool has_confirmed_ = false;
  int timeouts_ = 0;

  delivery_actions actions_; // of the call under way
};

} // namespace bpf2graphite
