#pragma once
// Several traces in one bpftrace (`share = true`). A bpftrace costs 36 MB of
// real memory, one more script in it a few hundred kB.
//
// Nothing is decided ahead. A trace whose process has to start asks here; all
// that ask at about the same time and fit each other are merged into one
// program (script_merge) and started as one process; one that is left over
// starts its own. So at the start of the daemon, after the death of a shared
// process and after a reload the same rule holds, and a running process is
// never restarted for a trace that comes or goes.
//
// What its traces share, and what they do not:
//
//  - Its death: each watchdog is told of it and decides by itself; all get the
//    same random number for their delay, so that they meet here again.
//  - Its silence (`expect-output-within`), lost events, and room in its pipe:
//    where the stages of one trace stand still the pipe is read on for
//    `stall_max` no more, then what is meant for that trace is dropped until
//    it has room, and counted (`lines_discarded`, as one line each time).
//  - The budget does not add up: a trace that floods is put down with its
//    process, and runs alone from then on.
//  - A crash of an actor of one trace touches nobody else: nothing here is an
//    actor. What was sent to the dead one lies in its inbox.
//  - Told to stop, a trace leaves: its output is not read any more, its process
//    counts as ended (status 0). Its final maps are only printed when all leave
//    within `leave_within`, or the daemon stops: then the process is
//    interrupted. A process without traces is killed.
//
// A program that does not start is taken apart: the traces that its words
// point to (a line of the program, a probe) start alone, the others together;
// where the words point to nobody, it is halved, and each half goes on like
// this. So k culprits among n cost at most 2 n - 1 starts, as a rule 2. A
// start that failed without pointing at anything in the program may have a
// cause outside: the first time it is reported to all, and they try again.

#include "actors/watchdog/command_line.hpp"
#include "actors/watchdog/output_budget.hpp"
#include "actors/watchdog/process_run.hpp"
#include "actors/watchdog/script_merge.hpp"
#include "actors/watchdog/shared_output.hpp"
#include "messages/log.hpp"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

/// One trace's side of a shared process. io thread.
class share_member {
public:
  virtual ~share_member() = default;

  virtual void shared_started(int pid, const std::string& version) = 0;
  /// Its own output, as it would be alone.
  virtual void shared_bytes(std::string_view bytes) = 0;
  /// Something was written, to whomever.
  virtual void shared_alive() = 0;
  virtual std::size_t shared_room() = 0;
  /// As pipe_sink::left_alone.
  virtual bool shared_left_alone() = 0;
  /// So many texts of printf and the like were dropped.
  virtual void shared_printed(std::uint64_t texts) = 0;
  /// Output of this trace was dropped, see `stall_max`.
  virtual void shared_dropped() = 0;
  virtual void shared_flooding() = 0;
  /// `jitter`: within [0, 1), for the delay of the next start.
  virtual void shared_ended(process_exited end, double jitter) = 0;
  /// Nobody to share with, this time.
  virtual void start_alone() = 0;
};

struct share_limits {
  /// Those that ask are waited for until nobody asked for `quiet`, and no
  /// longer than `gather_max`.
  std::chrono::milliseconds quiet{500};
  std::chrono::milliseconds gather_max{5'000};
  std::chrono::milliseconds leave_within{500};
  std::chrono::milliseconds stall_max{5'000};
  /// Two interrupts within this time are one: each watchdog sends its own.
  std::chrono::milliseconds interrupts_apart{1'500};
};

class share_pool {
public:
  using clock = std::chrono::steady_clock;

  /// `random`: within [0, 1).
  share_pool(process_host host, std::function<double()> random, log_sink log,
             share_limits limits = {});
  ~share_pool();
  share_pool(const share_pool&) = delete;
  share_pool& operator=(const share_pool&) = delete;

  /// It wants to start `command`, which has a share_wish. Answered by
  /// shared_started, shared_ended or start_alone.
  void ask(share_member& member, const std::string& trace,
           const process_command& command, std::size_t budget);

  /// The member's watchdog says so. SIGINT: it wants to stop.
  void signal(share_member& member, int number);

  /// It is gone: no more calls to it.
  void forget(share_member& member);

  void attached(share_member& member);
  void resume(share_member& member);

  /// A process of its own has printed and not failed: it may share again.
  void well_alone(const std::string& trace);

  /// The daemon stops: from now on an interrupt is for the whole process.
  void begin_stop();

private:
  struct request {
    share_member* member = nullptr;
    std::string trace;
    process_command command;
    std::size_t budget = 0;
  };
  struct gathering {
    std::vector<request> requests;
    clock::time_point first{};
    std::unique_ptr<boost::asio::steady_timer> timer;
  };
  /// Why a trace runs alone for now.
  struct bar {
    std::string program;  // the text that failed, or flooded
    bool flooded = false; // then only another text helps
  };
  class shared_run;

  void gathered(const std::string& key);
  /// Starts them in as few processes as possible.
  void place(std::vector<request> requests);
  void start_together(std::vector<request> requests, merged_program program);
  void failed(shared_run& run, const process_exited& end);
  void remove(const shared_run* run);
  shared_run* find(const share_member& member);
  bool barred(const request& one);

  process_host host_;
  std::function<double()> random_;
  log_sink log_;
  share_limits limits_;
  std::map<std::string, gathering> waiting_; // by what has to be equal
  std::vector<std::shared_ptr<shared_run>> runs_;
  std::map<std::string, bar> barred_;      // by trace
  std::map<std::string, int> unexplained_; // failed starts, by key
  bool stopping_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

} // namespace bpf2graphite
