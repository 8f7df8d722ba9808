#pragma once
// What a delivery wants done.

#include "messages/metric.hpp"
#include "messages/wire.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
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
    ahead_off,   // the peer closes idle connections: no connect-ahead for a
                 // while
    fell_back,   // the peer takes all and never confirms: streaming from now on
    confirms,    // after `fell_back`: it does confirm
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

} // namespace bpf2graphite
