#pragma once
// What bpftrace says on its standard error: the end of it is kept, and a few
// lines go to the log.

#include "actors/supervisor/supervision.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

class last_words {
public:
  using clock = supervision::clock;

  static constexpr std::size_t kept_bytes_max = 4 << 10;
  /// A longer line is cut in the log.
  static constexpr std::size_t line_bytes_max = 200;
  static constexpr std::size_t lines_max = 10;  // in the log, per period ...
  static constexpr std::size_t losses_max = 10; // ... of is_loss, beside these
  static constexpr std::chrono::milliseconds period{60'000};
  /// A line is logged again after that long: what always fails says the same
  /// with each start.
  static constexpr std::chrono::milliseconds repeat_after{600'000};
  static constexpr std::size_t known_lines_max = 20; // looked at for that

  /// Takes bytes cut anywhere; returns the lines that should be logged, raw,
  /// without line ends. Lines that were logged not long ago, and those beyond
  /// `lines_max`, are counted, and a later one brings the count. Lines that
  /// tell of a loss have room of their own, or the warnings that bpftrace puts
  /// before them would hide them.
  std::vector<std::string> add(std::string_view bytes, clock::time_point now);

  /// The last bytes, at most `kept_bytes_max`, raw.
  std::string_view text() const {
    std::string_view all = kept_;
    return all.substr(all.size() - std::min(all.size(), kept_bytes_max));
  }

  /// A new process: forgets what the one before said, but not its lines in
  /// the log.
  void start_over();

private:
  void end_line(clock::time_point now, std::vector<std::string>& lines);

  bool known(const std::string& line, clock::time_point now);

  struct logged_line {
    std::string text;
    clock::time_point at;
  };

  std::string kept_;
  std::vector<logged_line> known_; // oldest first; few, so no deque
  std::string line_;               // of the line that is not complete
  bool cut_ = false;
  clock::time_point period_began_{};
  std::size_t logged_ = 0;     // in this period
  std::size_t losses_ = 0;     // likewise
  std::uint64_t left_out_ = 0; // since the last line in the log
};

/// The complaint about RLIMIT_MEMLOCK: it comes with every start in a
/// container and means nothing on kernels since 5.11.
bool is_noise(std::string_view line);

/// A probe was not attached, or the names that a `*` stands for cannot be read,
/// and bpftrace runs on without it: what that trace should count will be
/// missing.
bool is_loss(std::string_view line);

} // namespace bpf2graphite
