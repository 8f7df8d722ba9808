#pragma once
// Back-pressure in bytes: how much of one pipe is under way between the io
// thread and the slowest stage of its trace. Lent by the topology.

#include <atomic>
#include <cstddef>
#include <functional>
#include <utility>

namespace bpf2graphite {

class byte_credit {
public:
  /// Bytes of one trace that may be under way. Two pipes full: reading goes on
  /// while the stages work on the first.
  static constexpr std::size_t window_bytes = 256 << 10;

  /// Room for reading now, 0 when reading has to stop. io thread only.
  std::size_t room() const {
    auto used = under_way_.load(std::memory_order_acquire);
    return used >= window_bytes ? 0 : window_bytes - used;
  }

  /// `bytes` were read and sent on (io thread), or were held for a while, when
  /// nobody paid for them, and are sent on now. Any thread.
  void take(std::size_t bytes) {
    under_way_.fetch_add(bytes, std::memory_order_acq_rel);
  }

  /// The io thread found no room and stopped reading. True when room came back
  /// in between: then it has to go on by itself.
  bool stop_reading() {
    stopped_.store(true, std::memory_order_seq_cst);
    if (under_way_.load(std::memory_order_seq_cst) > window_bytes / 2)
      return false;
    return stopped_.exchange(false, std::memory_order_seq_cst);
  }

  /// `bytes` are done with: in a slot, held as part of an unfinished record,
  /// or given up. Any thread. Calls `resume` once when reading may go on.
  void give_back(std::size_t bytes, const std::function<void()>& resume) {
    if (bytes == 0)
      return;
    auto before = under_way_.fetch_sub(bytes, std::memory_order_seq_cst);
    if (before - bytes <= window_bytes / 2
        && stopped_.load(std::memory_order_seq_cst)
        && stopped_.exchange(false, std::memory_order_seq_cst))
      resume();
  }

  std::size_t under_way() const {
    return under_way_.load(std::memory_order_relaxed);
  }

private:
  std::atomic<std::size_t> under_way_{0};
  std::atomic<bool> stopped_{false};
};

} // namespace bpf2graphite
