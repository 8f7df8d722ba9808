#pragma once
// What a person must learn while a trace runs: that its numbers are too low,
// and why. From the trace's books, so it outlives every actor.

#include "messages/ledger.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bpf2graphite {

class loss_report {
public:
  using clock = std::chrono::steady_clock;

  /// One kind of loss is told at once, then again after so much time, with
  /// what came meanwhile.
  static constexpr std::chrono::seconds period{60};

  /// What is new in the books and may be told now, a sentence for each kind:
  /// how many, what it means, what to do. `all`: everything that was not told
  /// (the output has ended).
  std::vector<std::string> look(const trace_ledger& books,
                                clock::time_point now, bool all);

private:
  struct kind_state {
    std::uint64_t told = 0;
    clock::time_point at{};
    bool ever = false;
  };

  std::vector<kind_state> kinds_; // none before the first loss
};

} // namespace bpf2graphite
