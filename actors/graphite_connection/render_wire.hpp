#pragma once
// Graphite's render API as the actor sees it.

#include "messages/wire.hpp"

#include <cstdint>
#include <functional>
#include <string>

namespace bpf2graphite {

/// The reader as the actor sees it; tests put something of their own behind it.
struct render_wire {
  virtual ~render_wire() = default;

  /// Who gets the answers from now on; nobody if empty.
  virtual void listen(std::function<void(render_answer)> listener) = 0;

  /// Asks; exactly one answer with that number follows within the time limit,
  /// unless another question comes before it. Any thread.
  virtual void get(std::uint64_t number, std::string query) = 0;
};

} // namespace bpf2graphite
