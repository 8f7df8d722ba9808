#pragma once
// The one thread that owns every descriptor: child pipes, pidfds, sockets,
// signals. It is the main thread, because a child dies with the thread that
// forked it (PR_SET_PDEATHSIG).

#include "actors/watchdog/bpftrace_process.hpp"
#include "actors/watchdog/pipe_poller.hpp"
#include "actors/watchdog/program_versions.hpp"
#include "actors/watchdog/start_turns.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstddef>

namespace bpf2graphite {

class io_thread {
public:
  /// `read_delay`: how long readable child pipes are left alone at most;
  /// `starts_at_once`: processes between their start and their attach line.
  io_thread(std::chrono::milliseconds read_delay, std::size_t starts_at_once);

  /// Everything that was made on it has to be gone: the processes above all.
  ~io_thread() = default;
  io_thread(const io_thread&) = delete;
  io_thread& operator=(const io_thread&) = delete;

  /// For sockets, timers, signals. No resolver here: with a name server that
  /// does not answer it would hold up the end.
  boost::asio::io_context& io() {
    return io_;
  }

  /// What the processes share, with the wall clock.
  process_host host();

  /// Runs until stop(). The thread that calls it is the io thread. Never polls:
  /// with nothing to do it does not wake up.
  void run();

  /// Ends run() after the handler that runs now. Any thread.
  void stop();

private:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
    work_{io_.get_executor()};
  launcher children_;
  pipe_poller pipes_;
  start_turns turns_;
  program_versions versions_;
};

/// The wall clock in the resolution of arrivals.
wall_time wall_clock_now();

} // namespace bpf2graphite
