#pragma once
// The shell around restart_policy and stop_sequence: keeps a trace's bpftrace
// running through a process_port.
//
// Told to end for good (user_shutdown) it stops the process, waits until that
// has ended and all its output was sent on, then quits. For any other reason
// it quits at once: the process goes on and the next watchdog adopts it. Its
// grace in the child_spec must be longer than `stop_timeout`, by some seconds.

#include "actors/watchdog/bpftrace_config.hpp"
#include "actors/watchdog/process_port.hpp"
#include "actors/watchdog/restart_policy.hpp"
#include "actors/watchdog/trace_status.hpp"
#include "messages/ledger.hpp"
#include "messages/log.hpp"
#include "messages/protocols.hpp"

#include <functional>
#include <optional>
#include <string>

namespace bpf2graphite {

/// What a watchdog knows of its process and its successor has to know. One per
/// trace; lives as long as the process object.
struct watchdog_memory {
  using clock = supervision::clock;

  explicit watchdog_memory(restart_mode mode) : policy{mode} {}

  restart_policy policy;
  std::uint64_t life = 0;         // the last one ordered; from 1
  std::uint64_t ended = 0;        // the last one whose end was dealt with
  clock::time_point next_start{}; // when `life` == `ended`
  bool given_up = false;          // it is not started again (`restart`)
  bool putting_down = false;      // it is being stopped to be started again
  bool reloading = false;         // ... because its configuration has changed
};

/// A command, or why there is none (a script that is missing or unsafe).
struct prepared_command {
  process_command command;
  std::string error;
};

/// What a watchdog works on; lent by the topology, outlives it.
struct watchdog_environment {
  trace_name trace;
  process_port& process;
  watchdog_memory& memory;
  trace_status& status;
  trace_ledger& ledger; // starts are counted by the process
  /// Of it: stop_timeout, expect_output_within, output_budget.
  const bpftrace_config& config;
  /// Asked before each start; must not block for long. May change `config`,
  /// which is read by the watchdog only.
  std::function<prepared_command()> prepare;
  std::function<double()> random; // within [0, 1]
  log_sink log;
  fault_hook fault; // tests only; may be empty
  /// Whether the configuration has changed since `prepare` was asked: the word
  /// of it may have died with a watchdog. May be empty.
  std::function<bool()> outdated{};
  /// Called when `status` says something else; may be empty.
  std::function<void()> changed{};
};

struct watchdog_state {
  static inline const char* name = "watchdog";

  stop_sequence stop;
  bool ending = false; // quits when the process has ended
  /// While it runs: since when we know.
  std::optional<supervision::clock::time_point> running_since;
  /// A silence that was too long: since when, and until when it is doubted.
  struct doubted_silence {
    supervision::clock::time_point heard;
    supervision::clock::time_point until;
  };
  std::optional<doubted_silence> doubt;
  std::uint64_t start_generation = 0;
  std::uint64_t tick_generation = 0;
};

watchdog_actor::behavior_type
watchdog(watchdog_actor::stateful_pointer<watchdog_state> self,
         watchdog_environment& env, line_reader_actor reader);

} // namespace bpf2graphite
