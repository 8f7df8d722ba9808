#pragma once
// The watchdog's view of its process. The real one lives on the io thread
// (bpftrace_process); tests put another in its place.

#include "actors/watchdog/command_line.hpp"
#include "messages/protocols.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace bpf2graphite {

/// Any thread; nothing blocks; orders are carried out in their order.
class process_port {
public:
  virtual ~process_port() = default;

  /// From now on output goes to `reader` and what happens to `watchdog`. What
  /// they have to know comes at once: unfinished output, and the
  /// process_started of a process that runs or the process_exited of the last
  /// one.
  virtual void attach(line_reader_actor reader, watchdog_actor watchdog) = 0;

  /// Starts a process: process_started follows (when its turn has come), or
  /// process_exited with its start_error. Never while another one runs.
  virtual void start(std::uint64_t life, process_command command,
                     std::size_t output_budget) = 0;

  /// Sends `signal` to the process and all it started. One that has not been
  /// started yet will not be: process_exited follows.
  virtual void signal(int signal) = 0;

  /// When the last byte of output came (the time of its start before).
  virtual std::chrono::steady_clock::time_point last_output() const = 0;
};

} // namespace bpf2graphite
