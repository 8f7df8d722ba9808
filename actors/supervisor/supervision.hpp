#pragma once
// The arithmetic of supervision: no CAF, no clock and no chance of its own.
// The terms are those of Erlang/OTP's `supervisor`.

#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace bpf2graphite::supervision {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// Which siblings a failing child takes down with it.
enum class strategy { one_for_one, rest_for_one, one_for_all };

/// When a child that ended is started again: always, after a failure, never.
enum class restart { permanent, transient, temporary };

/// How a supervisor stops its children: the last one first, each after the
/// one before has gone (a pipeline is drained that way), or all at once
/// (children that know nothing of each other).
enum class stop_order { last_first, together };

/// What a supervisor does after one restart too many: end, so that the one
/// above decides; or call itself failing and go on, at the longest delay.
enum class exhaustion { escalate, retry_at_cap };

/// How many restarts within `period` are a bad day, and one more a bug.
struct intensity {
  std::size_t max_restarts = 5;
  clock::duration period = std::chrono::minutes{1};
};

/// Half-open range of child indices, in start order.
using index_range = std::pair<std::size_t, std::size_t>;

/// The children that go down when the one at `failed` of `count` failed.
constexpr index_range affected(strategy how, std::size_t failed,
                               std::size_t count) {
  switch (how) {
    case strategy::one_for_one:
      return {failed, failed + 1};
    case strategy::rest_for_one:
      return {failed, count};
    case strategy::one_for_all:
      break;
  }
  return {0, count};
}

/// Sliding window over restart times. Holds `max_restarts` + 1 of them at most.
class restart_window {
public:
  explicit restart_window(intensity limit) : limit_{limit} {}

  /// Records a restart; false when it is one too many.
  bool admit(clock::time_point now);

private:
  intensity limit_;
  std::vector<clock::time_point> restarts_; // few: a deque takes 600 bytes
};

struct backoff_limits {
  milliseconds initial{200};
  milliseconds max{30'000};
  /// Without a failure for this long after a restart the next delay is short
  /// again.
  milliseconds healthy_after{60'000};
};

/// Doubling delays with full jitter: each is anything between nothing and a
/// cap that doubles, so that what failed together does not come back together
/// (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
class backoff {
public:
  explicit backoff(backoff_limits limits)
    : limits_{limits}, cap_{limits.initial} {}

  /// The delay after a failure at `now`; `random` is within [0, 1].
  milliseconds next(clock::time_point now, double random);

  /// The same for a failure that shorter delays would not mend: the cap is at
  /// its largest at once, and stays until there was health.
  milliseconds next_at_cap(clock::time_point now, double random);

  /// When there will have been health, if nothing fails before; nothing before
  /// the first failure.
  std::optional<clock::time_point> healthy_at() const {
    return healthy_at_;
  }

private:
  void rest(clock::time_point now);
  milliseconds draw(clock::time_point now, double random);

  backoff_limits limits_;
  milliseconds cap_;
  std::optional<clock::time_point> healthy_at_;
};

} // namespace bpf2graphite::supervision
