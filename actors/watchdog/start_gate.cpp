#include "actors/watchdog/start_gate.hpp"

#include <algorithm>

namespace bpf2graphite {

start_gate::start_gate(std::size_t at_once)
  : at_once_{std::max<std::size_t>(at_once, 1)} {}

start_gate::ticket start_gate::ask() {
  queue_.push_back(++last_);
  return last_;
}

void start_gate::leave(ticket who) {
  std::erase(queue_, who);
  inside_.erase(who);
}

std::vector<start_gate::ticket> start_gate::admit(clock::time_point now) {
  std::erase_if(inside_,
                [&](const auto& entry) { return entry.second <= now; });
  std::vector<ticket> admitted;
  while (!queue_.empty() && inside_.size() < at_once_) {
    admitted.push_back(queue_.front());
    inside_.emplace(queue_.front(), now + hold_max);
    queue_.pop_front();
  }
  return admitted;
}

std::optional<start_gate::clock::time_point> start_gate::next() const {
  if (queue_.empty() || inside_.empty())
    return std::nullopt;
  return std::min_element(
           inside_.begin(), inside_.end(),
           [](const auto& a, const auto& b) { return a.second < b.second; })
    ->second;
}

} // namespace bpf2graphite
