#pragma once
// What a trace's series are at, for `status`: published by the normalizer after
// each flush, read by anybody.

#include "actors/normalizer/trace_series.hpp"

#include <cstddef>
#include <cstdint>
#include <mutex>

namespace bpf2graphite {

struct series_state {
  series_counts counts;
  std::uint64_t open_values = 0;
  std::size_t alive = 0;
};

class series_view {
public:
  void publish(const trace_series& series) {
    std::lock_guard guard{mutex_};
    state_ = {series.counts(), series.open_values(), series.alive()};
  }

  series_state read() const {
    std::lock_guard guard{mutex_};
    return state_;
  }

private:
  mutable std::mutex mutex_;
  series_state state_;
};

} // namespace bpf2graphite
