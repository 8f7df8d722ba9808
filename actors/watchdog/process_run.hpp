#pragma once
// One child that writes: its turn to start, its pipes, its end. Whose output
// it is, and when to start another, is its listener's business: one trace
// (bpftrace_process) or several (share_pool). io thread only.

#include "actors/watchdog/child.hpp"
#include "actors/watchdog/last_words.hpp"
#include "actors/watchdog/pipe_poller.hpp"
#include "actors/watchdog/program_versions.hpp"
#include "actors/watchdog/start_turns.hpp"
#include "messages/log.hpp"
#include "messages/output.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bpf2graphite {

class share_pool;

/// What all processes share; outlives them.
struct process_host {
  boost::asio::io_context& io;
  launcher& children;
  pipe_poller& pipes;
  start_turns& turns;
  program_versions& versions;
  std::function<wall_time()> now; // stamps what was read
  /// Null: nothing is shared.
  share_pool* shares = nullptr;
  /// After its probes are attached, all is read as it comes for so long: who
  /// starts a trace and looks at `status` wants to see its first prints.
  std::chrono::milliseconds hold_after{10'000};
};

/// Told what happens to a process_run. It may end the run from any of these.
class process_listener {
public:
  virtual ~process_listener() = default;

  /// The process runs; before any of its output.
  virtual void run_started(int pid, const std::string& version) = 0;

  /// Bytes of standard output that may be read now.
  virtual std::size_t output_room() = 0;

  /// There was no room, and reading stops. True: there is room after all.
  virtual bool output_left_alone() = 0;

  virtual void output_came(std::string_view bytes, arrivals earlier) = 0;

  /// Something came on standard error; a line of it that is worth telling.
  virtual void error_came() = 0;
  virtual void error_line(const std::string& line) = 0;

  /// It has ended and all its output was given, or it was not started. `life`
  /// is left to the listener. The run may be started again.
  virtual void run_ended(process_exited end) = 0;
};

class process_run final : public std::enable_shared_from_this<process_run> {
public:
  /// After a process has ended, something it started may hold its pipes. It
  /// gets this long, then it is killed, and what it would write is lost.
  static constexpr std::chrono::milliseconds held_open_max{1'000};

  /// The listener outlives the run, or calls close() first.
  process_run(process_host host, process_listener& listener, log_sink log);

  /// Looks for the program, asks its version, waits for its turn, starts it.
  /// Never while one is under way.
  void start(process_command command);

  /// One that has not been started will not be: run_ended follows at once.
  void signal(int number);

  /// Its probes are in place: another process may start.
  void attached();

  /// Whether its output may stay in its pipe until the next batch.
  void hold_output(bool allowed);

  /// There is room again.
  void resume();

  /// The same at that time.
  void resume_at(std::chrono::steady_clock::time_point when);

  /// Kills it, if it runs, and forgets it: nobody is told.
  void close();

  bool busy() const {
    return stage_ != stage::idle;
  }

  /// 0: it does not run.
  int pid() const {
    return stage_ == stage::running ? pid_ : 0;
  }

private:
  enum class stage { idle, waiting, running };

  class out_sink final : public pipe_sink {
  public:
    explicit out_sink(process_run& owner) : owner_{owner} {}
    std::size_t room() override {
      return owner_.listener_.output_room();
    }
    bool left_alone() override {
      return owner_.listener_.output_left_alone();
    }
    void take(std::string_view bytes, arrivals earlier) override {
      owner_.written_ += bytes.size();
      owner_.listener_.output_came(bytes, std::move(earlier));
    }
    void ended() override {
      owner_.close_out();
      owner_.finish_if_over();
    }

  private:
    process_run& owner_;
  };

  class err_sink final : public pipe_sink {
  public:
    explicit err_sink(process_run& owner) : owner_{owner} {}
    std::size_t room() override {
      return SIZE_MAX;
    }
    bool left_alone() override {
      return false;
    }
    void take(std::string_view bytes, arrivals) override {
      owner_.err_bytes(bytes);
    }
    void ended() override {
      owner_.close_err();
      owner_.finish_if_over();
    }

  private:
    process_run& owner_;
  };

  bool is_waiting(std::uint64_t run) const {
    return stage_ == stage::waiting && run_ == run;
  }
  void take_turn(const process_command& command, const std::string& version);
  void run(const process_command& command, const std::string& version);
  void not_started(std::string error);
  void err_bytes(std::string_view bytes);
  void exited(int status);
  void wait_for_pipes();
  void let_go();
  bool finish_if_over();
  void leave_gate();
  void close_out();
  void close_err();

  process_host host_;
  process_listener& listener_;
  log_sink log_;
  stage stage_ = stage::idle;
  std::uint64_t run_ = 0; // tells handlers of an older process
  std::optional<start_gate::ticket> ticket_;
  launched child_;
  out_sink out_{*this};
  err_sink err_{*this};
  last_words words_;
  std::uint64_t written_ = 0;
  std::optional<int> status_; // of the exit, once it was seen
  int pid_ = 0;
  boost::asio::steady_timer held_open_;
  boost::asio::steady_timer resume_timer_;
};

} // namespace bpf2graphite
