#pragma once
// What confirmed and streaming delivery share: the numbers of the attempts,
// which address is next and when, and the troubles that are spoken of.
//
// Pauses: full jitter, doubling from `backoff_first` to `backoff_max`, short
// again after an acceptance. Failover: with several addresses the first one
// that did not fail within `failover_rest` is used, without a pause when there
// is one.

#include "actors/graphite_connection/delivery_action.hpp"
#include "actors/graphite_connection/destination_status.hpp"
#include "actors/graphite_connection/graphite_config.hpp"
#include "messages/ledger.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bpf2graphite {

class connection_attempts {
public:
  /// `destination`: the index in reports. `addresses`: how many there are, at
  /// least 1. Counts connects and refusals in `books`, which must outlive it.
  connection_attempts(const graphite_config& config, std::size_t destination,
                      std::size_t addresses, destination_ledger& books);

  /// The number of the newest attempt; 0: none yet.
  std::uint64_t newest() const {
    return attempt_;
  }

  /// When the newest attempt began.
  steady_time began() const {
    return began_;
  }

  /// The earliest time of the next attempt.
  steady_time not_before() const {
    return not_before_;
  }

  /// Begins the next attempt.
  wire_connect next(steady_time now);

  /// The peer has read something on the newest attempt: pauses are short again.
  void reached(steady_time now);

  /// A batch was accepted, so a loss may be told again.
  void may_lose() {
    may_mark_ = true;
  }

  /// A batch was accepted: the trouble is over.
  void recovered(steady_time now, delivery_actions& out);

  /// What went wrong, and which of the states of trouble it is; a note if it
  /// is the first since the last acceptance.
  void trouble(destination_state kind, std::string reason, steady_time now,
               delivery_actions& out);

  /// The address of the newest attempt failed.
  void avoid_address(steady_time now);

  /// The peer ended a connection that stood.
  void count_refusal();

  /// Pauses before the next attempt. `random` is in [0, 1). The pause counts
  /// from `since`: a connect that waited for an answer until its time was up
  /// has paused enough.
  void rest(steady_time since, steady_time now, double random);

  /// The addresses are others now.
  void forget_failures(steady_time now);

  /// The next attempt needs no pause.
  void no_rest(steady_time now) {
    not_before_ = now;
  }

  /// Tells the queue that what was accepted up to `resend` before `began`, or
  /// later, may be lost; unless nothing was accepted since it was told last:
  /// what it still keeps then was too old already.
  void report_loss(steady_time began, delivery_actions& out);

  std::size_t destination() const {
    return destination_;
  }

  /// Since when nothing was accepted although something should have been.
  std::optional<steady_time> trouble_since() const {
    return trouble_since_;
  }

  /// The reason of the newest failure; empty when the last try was accepted.
  const std::string& trouble() const {
    return trouble_;
  }

  /// Its kind; none when the last try was accepted.
  std::optional<destination_state> trouble_kind() const {
    return trouble_since_ ? std::optional{trouble_kind_} : std::nullopt;
  }

  bool valid() const {
    return address_ < bad_until_.size();
  }

  /// Forgets all but the number of the newest attempt.
  void start_fresh();

private:
  std::size_t choose_address(steady_time now) const;

  graphite_config config_;
  std::size_t destination_;
  destination_ledger* books_;
  std::uint64_t attempt_ = 0;
  std::size_t address_ = 0;
  steady_time began_{};
  steady_time not_before_{};
  int failures_ = 0;                   // in a row: the backoff's exponent
  std::vector<steady_time> bad_until_; // by address
  bool may_mark_ = false; // accepted something since the last report of a loss
  std::optional<steady_time> trouble_since_;
  std::string trouble_;
  destination_state trouble_kind_ = destination_state::unreachable;
};

/// "60 s", "0.25 s": for messages.
std::string seconds_text(std::chrono::milliseconds time);

} // namespace bpf2graphite
