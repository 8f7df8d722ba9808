#include "actors/supervisor/supervision.hpp"

#include <algorithm>
#include <cmath>

namespace bpf2graphite::supervision {

bool restart_window::admit(clock::time_point now) {
  while (!restarts_.empty() && now - restarts_.front() > limit_.period)
    restarts_.erase(restarts_.begin());
  restarts_.push_back(now);
  auto admitted = restarts_.size() <= limit_.max_restarts;
  while (restarts_.size() > limit_.max_restarts + 1)
    restarts_.erase(restarts_.begin());
  return admitted;
}

milliseconds backoff::next(clock::time_point now, double random) {
  rest(now);
  auto delay = draw(now, random);
  cap_ = std::min(cap_ * 2, limits_.max);
  return delay;
}

milliseconds backoff::next_at_cap(clock::time_point now, double random) {
  cap_ = limits_.max;
  return draw(now, random);
}

void backoff::rest(clock::time_point now) {
  if (healthy_at_ && now >= *healthy_at_)
    cap_ = limits_.initial;
}

milliseconds backoff::draw(clock::time_point now, double random) {
  auto share = std::clamp(random, 0.0, 1.0);
  auto delay =
    milliseconds{std::llround(static_cast<double>(cap_.count()) * share)};
  healthy_at_ = now + delay + limits_.healthy_after;
  return delay;
}

} // namespace bpf2graphite::supervision
