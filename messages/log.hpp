#pragma once
// Where an actor's words for people go. Injected, so tests read them and no
// actor knows a journal.

#include <functional>
#include <string>
#include <string_view>

namespace bpf2graphite {

enum class log_level { error, warning, notice, info, debug };

/// Takes one line of text without a line end; any thread, never blocks.
using log_sink = std::function<void(log_level, std::string_view text)>;

/// Called by an actor at the start of each message handler with its name and
/// its trace or destination. Tests let it throw; empty otherwise.
using fault_hook =
  std::function<void(const char* actor, const std::string& trace)>;

} // namespace bpf2graphite
