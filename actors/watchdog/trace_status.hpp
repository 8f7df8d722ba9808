#pragma once
// Where a trace stands, for `status`. Lent by the topology; the watchdog
// writes, anybody reads.

#include "messages/guarded.hpp"
#include "messages/trace.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace bpf2graphite {

enum class trace_state { starting, running, failing, stopped };

/// "starting", "running", "failing", "stopped".
constexpr std::string_view to_text(trace_state state) {
  switch (state) {
    case trace_state::starting:
      return "starting";
    case trace_state::running:
      return "running";
    case trace_state::failing:
      return "failing";
    case trace_state::stopped:
      break;
  }
  return "stopped";
}

/// Counts of starts and restarts are in the trace's ledger.
struct trace_view {
  trace_state state = trace_state::starting;
  int pid = 0; // 0: no process
  std::uint64_t life = 0;
  std::string version;    // of bpftrace; empty: not known
  std::string reason;     // why it failed, or ended the last time
  std::string cause;      // the same without what bpftrace itself said
  std::string last_words; // of the last process that ended: raw, at most 4 KiB
};

using trace_status = guarded<trace_view>;

} // namespace bpf2graphite
