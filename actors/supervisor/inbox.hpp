#pragma once
// What an actor was told and has not finished. CAF throws a dead actor's
// mailbox away; an inbox is owned by the topology and outlives the actor, so
// its successor goes on where it died. Its size is bounded by the senders'
// credit (bytes of a pipe), not here.

#include "messages/output.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// How often a message is tried before it is given up: an actor that dies of a
/// message twice would die of it for ever.
inline constexpr int inbox_attempts_max = 2;

template <class T>
class inbox {
public:
  /// Keeps `value` until it is finished; send the result to the actor. Any
  /// thread.
  numbered<T> put(T value) {
    auto kept = std::make_shared<const T>(std::move(value));
    std::lock_guard guard{mutex_};
    items_.push_back({++last_, kept, 0});
    return {last_, std::move(kept)};
  }

  /// Calls `process(const T&)` for each unfinished message up to and including
  /// `number`, oldest first: what a dead predecessor left comes before. A
  /// message is finished when `process` returned; when it throws, it stays and
  /// the exception goes on. `give_up(const T&)` is called, instead of
  /// `process`, for one that was tried `inbox_attempts_max` times.
  template <class Process, class GiveUp>
  void deliver(std::uint64_t number, Process&& process, GiveUp&& give_up) {
    while (auto next = oldest(number)) {
      if (next->attempts > inbox_attempts_max)
        give_up(*next->value);
      else
        process(*next->value);
      finish(next->number);
    }
  }

  /// The same for all that is there; a new actor begins with it.
  template <class Process, class GiveUp>
  void resume(Process&& process, GiveUp&& give_up) {
    deliver(UINT64_MAX, std::forward<Process>(process),
            std::forward<GiveUp>(give_up));
  }

  /// The last unfinished message: sending it to an actor that came while
  /// messages went to its predecessor makes it take all of them. Any thread.
  std::optional<numbered<T>> newest() const {
    std::lock_guard guard{mutex_};
    if (first_ == items_.size())
      return std::nullopt;
    return numbered<T>{items_.back().number, items_.back().value};
  }

  /// Messages that are not finished. Any thread.
  std::size_t size() const {
    std::lock_guard guard{mutex_};
    return items_.size() - first_;
  }

private:
  struct item {
    std::uint64_t number;
    std::shared_ptr<const T> value;
    int attempts;
  };

  std::optional<item> oldest(std::uint64_t number) {
    std::lock_guard guard{mutex_};
    if (first_ == items_.size() || items_[first_].number > number)
      return std::nullopt;
    ++items_[first_].attempts;
    return items_[first_];
  }

  void finish(std::uint64_t number) {
    std::lock_guard guard{mutex_};
    if (first_ == items_.size() || items_[first_].number != number)
      return;
    items_[first_++].value.reset();
    // What is finished is dropped from time to time, so that each costs little,
    // and what a crowd took is given back.
    if (first_ < items_.size() && first_ < finished_kept_max)
      return;
    items_.erase(items_.begin(),
                 items_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
    if (items_.empty() && items_.capacity() > finished_kept_max)
      items_.shrink_to_fit();
  }

  static constexpr std::size_t finished_kept_max = 32;

  mutable std::mutex mutex_;
  // Not a deque: there are three to a trace, and an empty deque takes 600
  // bytes.
  std::vector<item> items_; // the first `first_` are finished
  std::size_t first_ = 0;
  std::uint64_t last_ = 0;
};

} // namespace bpf2graphite
