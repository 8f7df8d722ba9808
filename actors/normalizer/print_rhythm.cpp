#include "actors/normalizer/print_rhythm.hpp"

#include <algorithm>
#include <cstdlib>

namespace bpf2graphite {

std::int64_t slot_of(std::int64_t ms, std::int64_t resolution_seconds) {
  const auto length = resolution_seconds * 1000;
  auto remainder = ms % length;
  if (remainder < 0)
    remainder += length;
  return (ms - remainder) / 1000;
}

print_rhythm::print_rhythm(const slots_config& config,
                           std::chrono::milliseconds period)
  : resolution_{config.resolution.count()}, grace_ms_{config.grace.count()},
    period_ms_{period.count()} {}

void print_rhythm::opened(std::int64_t at_ms) {
  opened_ms_ = at_ms;
  last_ms_.reset();
  gaps_seen_ = 0;
  locked_ = false;
  lock_slot_.reset();
}

void print_rhythm::attached(std::int64_t at_ms) {
  if (!last_ms_)
    opened_ms_ = at_ms;
}

void print_rhythm::set_grace(std::chrono::milliseconds grace) {
  grace_ms_ = grace.count();
}

void print_rhythm::set_period(std::chrono::milliseconds period) {
  period_ms_ = period.count();
}

std::int64_t print_rhythm::within_period(std::int64_t gap_ms) const {
  return period_ms_ == 0 ? gap_ms : std::min(gap_ms, period_ms_);
}

void print_rhythm::stepped() {
  last_ms_.reset();
  opened_ms_.reset();
  lock_slot_.reset();
}

std::int64_t print_rhythm::median_gap() const {
  auto sorted = gaps_;
  const auto n = std::min(gaps_seen_, gaps_kept);
  const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(n);
  std::sort(sorted.begin(), end);
  return sorted[(n - 1) / 2];
}

std::int64_t print_rhythm::place(std::int64_t arrival_ms, bool ending,
                                 std::int64_t newest_sent) {
  const auto before = last_ms_ ? last_ms_ : opened_ms_;
  // A clock that went back, or a first print without a beginning, has no gap.
  const auto since =
    before && arrival_ms >= *before ? arrival_ms - *before : std::int64_t{0};
  if (ending) {
    const auto gap =
      within_period(gaps_seen_ == 0 ? since : std::min(since, gap_ms_));
    return slot_of(arrival_ms - gap / 2, resolution_);
  }
  if (last_ms_ && arrival_ms >= *last_ms_)
    gaps_[gaps_seen_++ % gaps_kept] = since;
  gap_ms_ = within_period(gaps_seen_ == 0 ? since : median_gap());
  last_ms_ = arrival_ms;
  const auto slot_ms = resolution_ * 1000;
  const auto target = arrival_ms - gap_ms_ / 2;
  auto slot = slot_of(target, resolution_);
  locked_ = std::abs(gap_ms_ - slot_ms) * 20 <= slot_ms;
  if (locked_ && lock_slot_ && 2 * since >= gap_ms_
      && 2 * since <= 3 * gap_ms_) {
    const auto next = *lock_slot_ + resolution_;
    const auto from = next * 1000 - slot_ms / 2;
    const auto until = next * 1000 + slot_ms + slot_ms / 2;
    if (target >= from && target < until
        && next <= slot_of(arrival_ms, resolution_) && next > newest_sent)
      slot = next;
  }
  lock_slot_ = slot;
  early_ = target < slot * 1000 - slot_ms / 4;
  return slot;
}

bool print_rhythm::over(std::int64_t slot, std::int64_t now_ms) const {
  const auto end = (slot + resolution_) * 1000;
  if (!locked_)
    return now_ms >= end + grace_ms_ + gap_ms_ / 2;
  if (now_ms >= end + grace_ms_ + resolution_ * 500)
    return true;
  // A print that runs ahead of its slot may soon be set right, and then the
  // next one goes to the same slot: that one stays open.
  const auto print_came =
    lock_slot_ && (slot < *lock_slot_ || (slot == *lock_slot_ && !early_));
  return print_came && now_ms >= end;
}

} // namespace bpf2graphite
