#pragma once
// The verb `parse`: bpftrace's output, from a file, to Graphite's lines.

#include "app/options.hpp"
#include "messages/trace.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// When bytes came, from a file with lines `milliseconds cumulative-bytes`.
class arrival_times {
public:
  /// Without times everything came at `start`.
  explicit arrival_times(wall_time start) : start_{start} {}

  /// False when a line is none, or a number falls.
  bool read(std::string_view text);

  /// How many of the bytes from `offset` on came with it, and when.
  std::pair<std::uint64_t, wall_time> at(std::uint64_t offset);

private:
  wall_time start_;
  std::vector<std::pair<std::int64_t, std::uint64_t>> times_; // ms, bytes
  std::size_t next_ = 0;
};

} // namespace bpf2graphite
