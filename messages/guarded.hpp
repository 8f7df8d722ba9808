#pragma once
// A plain value that one thread changes and others read whole.

#include <functional>
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

  /// What `look(const Value&)` returns: a part of it.
  template <class Look>
  auto read(Look&& look) const {
    std::lock_guard guard{mutex_};
    return std::invoke(std::forward<Look>(look), value_);
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
