#pragma once
// One trace's bpftrace and its pipes. It belongs to the topology, not to an
// actor: when actors die, it goes on, and their successors are told where it
// stands. All its work is on the io thread.

#include "actors/line_reader/byte_credit.hpp"
#include "actors/supervisor/inbox.hpp"
#include "actors/watchdog/child.hpp"
#include "actors/watchdog/pipe_poller.hpp"
#include "actors/watchdog/process_port.hpp"
#include "actors/watchdog/program_versions.hpp"
#include "actors/watchdog/start_turns.hpp"
#include "messages/ledger.hpp"
#include "messages/log.hpp"
#include "messages/output.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <memory>

namespace bpf2graphite {

/// What all processes share; outlives them.
struct process_host {
  boost::asio::io_context& io;
  launcher& children;
  pipe_poller& pipes;
  start_turns& turns;
  program_versions& versions;
  std::function<wall_time()> now; // stamps what was read
};

/// Where one trace's output goes; outlives its process object.
struct process_output {
  inbox<output_event>& out; // the line_reader's
  byte_credit& credit;
  trace_ledger& ledger;
  log_sink log; // what it says on standard error, and trouble
};

class bpftrace_process final : public process_port {
public:
  /// After a process has ended, something it started may hold its pipes. It
  /// gets this long, then it is killed, and what it would write is lost.
  static constexpr std::chrono::milliseconds held_open_max{1'000};

  bpftrace_process(process_host host, process_output output);

  /// On the io thread, or when that has ended. Kills the process, if there is
  /// one, and waits for that.
  ~bpftrace_process() override;

  void attach(line_reader_actor reader, watchdog_actor watchdog) override;
  void start(std::uint64_t life, process_command command,
             std::size_t output_budget) override;
  void signal(int signal) override;
  std::chrono::steady_clock::time_point last_output() const override;

  /// The parser has seen that the probes are in place: another one may start.
  /// Any thread.
  void probes_attached();

  /// byte_credit::give_back's second argument: go on reading. Any thread.
  void resume_reading();

  /// True while there is a process or one is about to start. io thread.
  bool busy() const;

private:
  class impl;

  template <class Work>
  void on_io_thread(Work work);

  std::shared_ptr<impl> impl_;
};

} // namespace bpf2graphite
