#pragma once
// Which traces may share a bpftrace (`share`), and which would, as `check`
// shows it and as they do when all start together.

#include "actors/watchdog/script_merge.hpp"
#include "app/trace_plan.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// Why a trace with `share` on runs alone, as far as its configuration tells;
/// empty: nothing speaks against it.
std::string share_refusal(const trace_config& trace);

/// All that has to be equal in traces that share a process: the program, its
/// environment, format and rights, and when it is started, stopped and
/// restarted.
std::string share_key(const trace_config& trace);

struct share_group {
  std::vector<std::string> traces; // in the order of the program
  merged_program program;
};

struct share_outlook {
  std::vector<share_group> groups;
  /// Traces with `share` on that run alone, and why.
  std::vector<std::pair<std::string, std::string>> alone;
  /// bpftrace processes of all traces, shared or not, and what they need.
  std::size_t processes = 0;
  double memory_mb = 0;
};

/// Memory of bpftrace in MB, measured with 0.17 and 0.23 on x86-64.
struct share_costs {
  double process_mb = 36; // one process more
  double script_mb = 0.5; // one script more in a process
  double ring_mb = 0.25;  // of a process, on each CPU
};

share_outlook plan_shares(const std::vector<trace_plan>& plans,
                          unsigned int cpus, const share_costs& costs = {});

} // namespace bpf2graphite
