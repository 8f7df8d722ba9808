#pragma once
// Whether accepted points really are in Graphite (`render-url`). "Accepted" is
// the word of whoever answers on the port; a proxy gives it for a server that
// is dead behind it.
//
// Of each accepted batch one series for each slot is read back, if possible the
// same for all. A slot is there when the answer holds a value that is not null
// for the step that covers it. What is missing is asked for again, with growing
// pauses, since a busy server shows points late.
//
// A batch is sent again (its missing slots) when it was missing twice and
//   - a batch that was accepted after it has been seen, so the server does
//     store again; at most `rounds_max` times: a series that the server refuses
//     to make would never be seen;
//   - or it is the oldest that is missing: one at a time is enough to try a
//     server that stores nothing.
//
// A render API that does not answer delays nothing: after `answer_within` a
// batch is let go as if it had been seen.

#include "messages/wire.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// What to GET, behind the path of `render-url`.
struct render_question {
  std::uint64_t number = 0;
  std::string query; // begins with ?
};

/// What is known of a batch.
struct arrival_verdict {
  std::uint64_t id = 0;
  std::vector<std::int64_t> unseen; // slots, rising; empty: let it go
};

/// Owned by the topology and lent to the connection. No clock, no socket.
class arrival_check {
public:
  static constexpr std::size_t batches_max = 2000; // then the oldest is let go
  static constexpr std::size_t slots_max = 2000;   // of a batch
  static constexpr std::size_t series_max = 8;     // of a batch
  static constexpr std::size_t targets_max = 16;   // in a question
  static constexpr std::size_t batches_asked_max = 16;
  static constexpr int rounds_max = 5;
  /// The server has so much time before it is asked.
  static constexpr std::chrono::seconds first_after{5};
  /// Pauses double from `first_after` to this.
  static constexpr std::chrono::seconds pause_max{60};
  static constexpr std::chrono::minutes answer_within{10};

  /// A batch was accepted, or accepted again. `lines`: its text.
  std::vector<arrival_verdict>
  accepted(std::uint64_t id, std::string_view lines, steady_time now);

  /// The next question, when its time has come and none is under way.
  std::optional<render_question> ask(steady_time now);

  /// The answer to a question; no body: there was none. Older ones are ignored.
  std::vector<arrival_verdict> answered(std::uint64_t number,
                                        const std::optional<std::string>& body,
                                        steady_time now);

  /// When `ask` has something.
  std::optional<steady_time> deadline() const;

  /// A new actor takes over: no answer is on its way.
  void adopt() {
    asked_.clear();
  }

  /// The last question had no usable answer.
  bool failing() const {
    return failures_ > 0;
  }

  /// Batches that are not seen yet.
  std::size_t pending() const {
    return batches_.size();
  }

private:
  struct batch {
    std::uint64_t id = 0;
    std::vector<std::string> series;
    std::vector<std::pair<std::int64_t, std::size_t>> slots; // and their series
    steady_time accepted_at{};
    steady_time due{};
    int missing = 0; // answers without it
    std::vector<std::int64_t> missing_slots;
  };

  void let_go(const batch& b, std::vector<arrival_verdict>& out);
  void judge(std::vector<arrival_verdict>& out, steady_time now);

  std::deque<batch> batches_;           // by acceptance
  std::map<std::uint64_t, int> rounds_; // of batches that were sent again
  std::vector<std::uint64_t> asked_;    // ids in the question under way
  std::uint64_t number_ = 0;
  int failures_ = 0;                       // in a row
  std::optional<steady_time> newest_seen_; // acceptance of what was seen
  steady_time try_at_{};                   // the next single resend
  std::chrono::seconds try_pause_{first_after};
};

} // namespace bpf2graphite
