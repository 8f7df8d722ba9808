#pragma once
// `output-budget`: how much one child may print. No clock of its own.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace bpf2graphite {

/// Bytes a second. A burst of `burst_seconds` is free; then reading slows to
/// the budget, the child blocks in its own write; and after `patience` of that
/// it is flooding.
class output_budget {
public:
  using clock = std::chrono::steady_clock;

  static constexpr std::uint64_t burst_seconds = 5;
  static constexpr std::chrono::seconds patience{10};
  /// Reading goes on when at least that much may be read.
  static constexpr std::uint64_t step_bytes_max = 64 << 10;

  /// 0: no budget.
  output_budget(std::size_t bytes_per_second, clock::time_point now);

  /// Bytes that may be read now.
  std::size_t room(clock::time_point now);

  void take(std::size_t bytes);

  /// When there is room again, after room() gave 0.
  clock::time_point next() const;

  /// It has been kept back for so long that it will not get better. (To print
  /// less than the budget for half a second ends that.)
  bool flooding(clock::time_point now) const;

private:
  std::uint64_t step() const;
  void refill(clock::time_point now);

  std::uint64_t rate_;
  std::uint64_t left_;
  clock::time_point filled_;
  std::optional<clock::time_point> slow_since_;
};

} // namespace bpf2graphite
