#pragma once
// How long readable pipes are left alone.

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace bpf2graphite {

/// A read for every small write would wake us hundreds of times a second. So
/// reading waits, for all pipes together; shorter when a pipe fills, since a
/// bpftrace that blocks in write() loses events.
class read_pace {
public:
  /// A pipe of 64 KiB that fills faster than this comes at 0.26 GB/s. With 2 ms
  /// a flood came in at 24 MB/s, and each row cost 1.3 to 1.7 times as much
  /// (tests/bench): after a sleep so long everything has left the caches. Far
  /// shorter ones cost more in sleeps than they save.
  static constexpr std::chrono::microseconds delay_min{250};

  explicit read_pace(std::chrono::microseconds longest)
    : longest_{std::max(longest, std::chrono::microseconds{0})}, delay_{
                                                                   longest_} {}

  /// How long to wait after the first pipe became readable.
  std::chrono::microseconds delay() const {
    return delay_;
  }

  /// It waits as short as it ever does.
  bool hurried() const {
    return delay_ <= std::min(delay_min, longest_);
  }

  /// That much (bytes) is in a pipe that holds `capacity`: do not wait.
  static bool urgent(std::size_t bytes, std::size_t capacity) {
    return bytes > capacity / 2;
  }

  /// So little that waiting longer would do.
  static bool calm(std::size_t bytes, std::size_t capacity) {
    return bytes < capacity / 4;
  }

  /// All was read; `fullest` is the most that came out of one pipe.
  void drained(std::size_t fullest, std::size_t capacity) {
    if (urgent(fullest, capacity))
      delay_ = std::min(std::max(delay_ / 8, delay_min), longest_);
    else if (calm(fullest, capacity))
      delay_ = std::min(std::max(delay_ * 2, delay_min), longest_);
  }

private:
  std::chrono::microseconds longest_;
  std::chrono::microseconds delay_;
};

} // namespace bpf2graphite
