#include "actors/watchdog/output_budget.hpp"

#include <algorithm>

namespace bpf2graphite {

output_budget::output_budget(std::size_t bytes_per_second,
                             clock::time_point now)
  : rate_{bytes_per_second}, left_{rate_ * burst_seconds}, filled_{now} {}

std::size_t output_budget::room(clock::time_point now) {
  if (rate_ == 0)
    return SIZE_MAX;
  refill(now);
  if (left_ >= step())
    return left_;
  if (!slow_since_)
    slow_since_ = now;
  return 0;
}

void output_budget::take(std::size_t bytes) {
  left_ -= std::min<std::uint64_t>(bytes, left_);
}

output_budget::clock::time_point output_budget::next() const {
  if (rate_ == 0)
    return filled_;
  auto missing = step() - std::min(left_, step());
  return filled_ + std::chrono::microseconds{missing * 1'000'000 / rate_ + 1};
}

bool output_budget::flooding(clock::time_point now) const {
  return slow_since_ && now - *slow_since_ >= patience;
}

std::uint64_t output_budget::step() const {
  return std::min(step_bytes_max, rate_);
}

void output_budget::refill(clock::time_point now) {
  auto passed =
    std::chrono::duration_cast<std::chrono::microseconds>(now - filled_)
      .count();
  // More than the burst's time is as good as the burst's time.
  auto micros =
    std::min(static_cast<std::uint64_t>(std::max<std::int64_t>(passed, 0)),
             burst_seconds * 1'000'000);
  auto fresh = rate_ * micros / 1'000'000;
  if (fresh == 0)
    return;
  left_ = std::min(left_ + fresh, rate_ * burst_seconds);
  filled_ = now;
  if (left_ > std::max(rate_ / 2, step()))
    slow_since_.reset();
}

} // namespace bpf2graphite
