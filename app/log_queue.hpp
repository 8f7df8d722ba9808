#pragma once
// What is bounded about the log, without its thread: messages that wait to be
// written, and how many one place may bring.

#include "messages/log.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// One message, fit to be shown: its bytes are escaped.
struct log_record {
  log_level level = log_level::info;
  std::chrono::system_clock::time_point at{};
  std::string prefix; // `trace "cpu-lat": `; not in JSON
  std::string text;
  std::string trace; // empty: not about one trace
  std::string event; // see log_event
};

/// First in, first out. What finds no room is counted, and said once there is
/// room again.
class log_queue {
public:
  static constexpr std::size_t records_max = 1'000;
  static constexpr std::size_t bytes_max = 256 << 10;

  /// False: no room.
  bool push(log_record record);

  /// The oldest, or word of what was dropped behind it.
  std::optional<log_record> pop();

  bool empty() const {
    return records_.empty() && dropped_ == 0;
  }
  std::size_t size() const {
    return records_.size();
  }

private:
  void say_dropped();

  std::deque<log_record> records_;
  std::size_t bytes_ = 0;
  std::uint64_t dropped_ = 0; // since the last that was taken
  std::chrono::system_clock::time_point dropped_at_{};
};

/// At most `lines_max` messages of one place (and one trace) in a minute.
class log_limiter {
public:
  using clock = std::chrono::steady_clock;

  static constexpr int lines_max = 20;
  static constexpr std::chrono::seconds period{60};
  /// Places that are known; of more the oldest is forgotten.
  static constexpr std::size_t places_max = 4'096;

  struct place {
    std::string trace;
    std::string file;
    int line = 0;

    friend auto operator<=>(const place&, const place&) = default;
  };

  /// False: leave it out; it is counted.
  bool admit(const place& where, const std::string& text,
             clock::time_point now);

  /// What was left out in minutes that are over, and not said yet.
  struct left_out {
    std::string trace;
    std::string example; // the first of them
    std::uint64_t count = 0;
  };
  std::vector<left_out> over(clock::time_point now);

  /// All that was left out and not said yet.
  std::vector<left_out> rest();

private:
  struct budget {
    clock::time_point began{};
    int lines = 0;
    std::uint64_t left_out = 0;
    std::string example;
  };

  std::vector<left_out> take(clock::time_point before);

  std::map<place, budget> places_;
  std::optional<clock::time_point> first_over_; // of those that left out
};

/// "bpf2graphite: warning: trace "x": text\n".
std::string as_text(const log_record& record);

/// One JSON object and a line end: time (RFC 3339, UTC), level, message, and
/// trace and event where there are any.
std::string as_json(const log_record& record);

} // namespace bpf2graphite
