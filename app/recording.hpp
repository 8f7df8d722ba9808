#pragma once
// A recording of bpftrace's output, as `record` writes it and `parse` reads it:
// the raw bytes in one file, and beside it (`FILE.times`) when they came:
//
//   # version bpftrace v0.17.0  what `bpftrace --version` said
//   # began 1572824522.123      the wall clock at millisecond 0
//   250 51                      by millisecond 250 the first 51 bytes had come
//   957 210
//
// Both columns never fall. The lines with # are optional, and unknown ones are
// passed over: a file without them is one, too.

#include "messages/trace.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// What the head of the times tells.
struct recording_head {
  std::string version; // as bpftrace said it; empty: not known
  std::optional<wall_time> began;

  friend bool operator==(const recording_head&,
                         const recording_head&) = default;
};

/// The head as lines. A version that holds a control byte is left out.
std::string to_text(const recording_head& head);

/// One line of the times, with its newline.
std::string times_line(std::chrono::milliseconds since_began,
                       std::uint64_t bytes);

/// When bytes came.
class arrival_times {
public:
  /// Without times everything came at `start`.
  explicit arrival_times(wall_time start) : start_{start} {}

  /// False when a line is none, or a number falls.
  bool read(std::string_view text);

  const recording_head& head() const {
    return head_;
  }

  /// Another wall time of millisecond 0.
  void begin_at(wall_time start) {
    start_ = start;
  }

  /// How many of the bytes from `offset` on came with it, and when. Offsets of
  /// successive calls never fall.
  std::pair<std::uint64_t, wall_time> at(std::uint64_t offset);

private:
  bool read_head(std::string_view line);

  wall_time start_;
  recording_head head_;
  std::vector<std::pair<std::int64_t, std::uint64_t>> times_; // ms, bytes
  std::size_t next_ = 0;
};

/// How a bpftrace that is recorded is ended: SIGINT, so that it prints its maps
/// for the last time; again after 2 s without a byte (0.17 can miss one, and a
/// second one during the last print would cut that); SIGKILL after
/// `stop_timeout`. No clock: times are arguments.
class recording_end {
public:
  using time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds quiet_max{2};

  enum class order { none, interrupt, kill };

  explicit recording_end(std::chrono::milliseconds stop_timeout)
    : stop_timeout_{stop_timeout} {}

  /// It shall end. Asked a second time: at once.
  order ask(time now);

  /// What is due at `now`; `last_output`: when the last byte came.
  order due(time now, time last_output);

  /// When `due` has to be asked next; none while nobody wants an end, and after
  /// the kill.
  std::optional<time> deadline(time last_output) const;

  bool asked() const {
    return asked_at_.has_value();
  }

private:
  std::chrono::milliseconds stop_timeout_;
  std::optional<time> asked_at_;
  time interrupted_at_{};
  bool killed_ = false;
};

} // namespace bpf2graphite
