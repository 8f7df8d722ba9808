#include "actors/normalizer/series_budget.hpp"

#include <algorithm>
#include <cassert>

namespace bpf2graphite {

series_budget::series_budget(std::size_t series_max) : max_{series_max} {}

bool series_budget::take(std::size_t series) {
  const std::lock_guard guard{lock_};
  if (used_ > max_ || series > max_ - used_)
    return false;
  used_ += series;
  return true;
}

std::size_t series_budget::take_up_to(std::size_t series) {
  const std::lock_guard guard{lock_};
  const auto taken = std::min(series, max_ - std::min(used_, max_));
  used_ += taken;
  return taken;
}

void series_budget::give_back(std::size_t series) {
  const std::lock_guard guard{lock_};
  assert(series <= used_);
  used_ -= series;
}

void series_budget::set_max(std::size_t series_max) {
  const std::lock_guard guard{lock_};
  max_ = series_max;
}

std::size_t series_budget::used() const {
  const std::lock_guard guard{lock_};
  return used_;
}

bool series_budget::full() const {
  const std::lock_guard guard{lock_};
  return used_ >= max_;
}

bool series_budget::claim(const series_name& path) {
  const std::lock_guard guard{lock_};
  return paths_.insert(path);
}

void series_budget::release(const series_name& path) {
  const std::lock_guard guard{lock_};
  paths_.erase(path);
}

std::size_t series_budget::claimed() const {
  const std::lock_guard guard{lock_};
  return paths_.size();
}

} // namespace bpf2graphite
