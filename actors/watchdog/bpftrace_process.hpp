#pragma once
// One trace's bpftrace and its pipes, or its part in one that is shared with
// other traces (share_pool). It belongs to the topology, not to an actor: when
// actors die, it goes on, and their successors are told where it stands. All
// its work is on the io thread.

#include "actors/line_reader/byte_credit.hpp"
#include "actors/supervisor/inbox.hpp"
#include "actors/watchdog/process_port.hpp"
#include "actors/watchdog/process_run.hpp"
#include "messages/ledger.hpp"
#include "messages/log.hpp"
#include "messages/output.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace bpf2graphite {

/// Where one trace's output goes; outlives its process object.
struct process_output {
  inbox<output_event>& out; // the line_reader's
  byte_credit& credit;
  trace_ledger& ledger;
  log_sink log; // what it says on standard error, and trouble
};

class bpftrace_process final : public process_port {
public:
  static constexpr auto held_open_max = process_run::held_open_max;

  /// `trace` is its name among those that share a process.
  bpftrace_process(process_host host, process_output output,
                   std::string trace = {});

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

  /// After the end of a shared process, once: the number that all its traces
  /// take for their delay, so that they start together again. Any thread.
  std::optional<double> take_shared_jitter();

private:
  class impl;

  template <class Work>
  void on_io_thread(Work work);

  std::shared_ptr<impl> impl_;
};

} // namespace bpf2graphite
