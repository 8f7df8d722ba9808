#pragma once
// A plain value that one thread changes and others read whole.

#include <mutex>
#include <utility>

namespace bpf2graphite {

template <class Value>
class guarded {
public:
  Value read() const {
    std::lock_guard guard{mutex_};
    return value_;
  }

  /// Calls `change(Value&)`.
  template <class Change>
  void update(Change&& change) {
    std::lock_guard guard{mutex_};
    std::forward<Change>(change)(value_);
  }

private:
  mutable std::mutex mutex_;
  Value value_;
};

} // namespace bpf2graphite
