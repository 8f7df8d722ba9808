#pragma once
// `starts-at-once`: compiling a script costs up to a second of CPU and 90 MB,
// so only so many may be between their start and their attach line.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

namespace bpf2graphite {

class start_gate {
public:
  using clock = std::chrono::steady_clock;
  using ticket = std::uint64_t;

  /// One that neither attaches nor ends holds its place for this long.
  static constexpr std::chrono::milliseconds hold_max{10'000};

  /// `at_once` below 1 counts as 1.
  explicit start_gate(std::size_t at_once);

  /// Joins the queue; admit() tells when it is this one's turn.
  ticket ask();

  /// Attached, ended, or not wanted any more. Unknown tickets are ignored.
  void leave(ticket who);

  /// Those whose turn it is now, in the order in which they asked.
  std::vector<ticket> admit(clock::time_point now);

  /// When admit() has to be called again although nobody left; only while
  /// somebody waits.
  std::optional<clock::time_point> next() const;

  std::size_t waiting() const {
    return queue_.size();
  }
  std::size_t inside() const {
    return inside_.size();
  }

private:
  std::size_t at_once_;
  ticket last_ = 0;
  std::deque<ticket> queue_;
  std::map<ticket, clock::time_point> inside_; // until when it holds its place
};

} // namespace bpf2graphite
