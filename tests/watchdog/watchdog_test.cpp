#include "actors/watchdog/watchdog.hpp"

#include "actors/supervisor/supervisor.hpp"
#include "messages/exit.hpp"
#include "tests/support/actor_fixture.hpp"

#include <csignal>
#include <stdexcept>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using words = std::vector<std::string>;

/// A process that does what the test says; keeps its promise to tell a new
/// watchdog where it stands.
class fake_process final : public process_port {
public:
  words orders;
  watchdog_actor watchdog;
  std::uint64_t life = 0;
  bool running = false;
  std::chrono::steady_clock::time_point output{};
  std::optional<process_exited> last;

  void attach(line_reader_actor, watchdog_actor who) override {
    orders.push_back("attach");
    watchdog = std::move(who);
    if (running)
      caf::anon_send(watchdog, process_started{life, 42, "bpftrace v0.17.0"});
    else if (last)
      caf::anon_send(watchdog, *last);
  }

  void start(std::uint64_t number, process_command command,
             std::size_t) override {
    orders.push_back("start " + std::to_string(number) + ' ' + command.program);
    life = number;
    last.reset();
  }

  void signal(int number) override {
    orders.push_back(number == SIGINT    ? "INT"
                     : number == SIGKILL ? "KILL"
                                         : std::to_string(number));
  }

  std::chrono::steady_clock::time_point last_output() const override {
    return output;
  }

  void run() {
    running = true;
    caf::anon_send(watchdog, process_started{life, 42, "bpftrace v0.17.0"});
  }

  void end(int status, std::uint64_t written = 5000,
           std::string last_words = {}, std::string start_error = {}) {
    running = false;
    process_exited event;
    event.life = life;
    event.status = status;
    event.written = written;
    event.last_words = std::move(last_words);
    event.start_error = std::move(start_error);
    last = event;
    caf::anon_send(watchdog, event);
  }

  words take() {
    return std::exchange(orders, {});
  }
};

class WatchdogTest : public testing::actor_test {
protected:
  fake_process process;
  bpftrace_config config;
  watchdog_memory memory{restart_mode::always};
  trace_status status;
  trace_ledger ledger;
  words log;
  std::string script_error;
  std::string throw_in; // the name of an actor
  watchdog_environment env{
    .trace = "cpu",
    .process = process,
    .memory = memory,
    .status = status,
    .ledger = ledger,
    .config = config,
    .prepare =
      [this] {
        prepared_command result;
        result.command.program = "bpftrace";
        result.error = script_error;
        return result;
      },
    .random = [] { return 1.0; },
    .log = [this](log_level, std::string_view text) { log.emplace_back(text); },
    .fault =
      [this](const char* actor, const std::string&) {
        if (throw_in == actor)
          throw std::runtime_error("as told");
      },
  };
  watchdog_actor dog;

  /// The actor system outlives what the watchdog works on, and still runs
  /// what is due when it ends.
  void TearDown() override {
    process.watchdog = nullptr;
    end(caf::exit_reason::kill);
  }

  void spawn() {
    dog =
      sys.spawn([this](watchdog_actor::stateful_pointer<watchdog_state> actor) {
        return watchdog(actor, env, line_reader_actor{});
      });
    drain();
    advance(0ms); // timers of no length
  }

  void spawn_running() {
    spawn();
    process.run();
    drain();
    process.take();
  }

  void end(caf::exit_reason why = caf::exit_reason::user_shutdown) {
    caf::anon_send_exit(dog, why);
    drain();
  }

  trace_state state() const {
    return status.read().state;
  }

  auto now() {
    return sched.clock().now();
  }
};

TEST_F(WatchdogTest, StartsItsProcessAtOnce) {
  spawn();
  EXPECT_EQ(process.take(), (words{"attach", "start 1 bpftrace"}));
  EXPECT_EQ(state(), trace_state::starting);
  process.run();
  drain();
  auto view = status.read();
  EXPECT_EQ(view.state, trace_state::running);
  EXPECT_EQ(view.pid, 42);
  EXPECT_EQ(view.life, 1u);
  EXPECT_EQ(view.version, "bpftrace v0.17.0");
  EXPECT_FALSE(sched.has_pending_timeout()) << "it has nothing to wait for";
}

TEST_F(WatchdogTest, StartsItAgainWhenItHasEnded) {
  spawn_running();
  process.end(9, 5000, "ERROR: no more\n");
  drain();
  EXPECT_EQ(state(), trace_state::starting);
  EXPECT_EQ(status.read().pid, 0);
  EXPECT_EQ(status.read().last_words, "ERROR: no more\n");
  EXPECT_EQ(log, (words{"bpftrace: killed by signal 9 (Killed): ERROR: no "
                        "more; started again in 0.2 s"}));
  advance(199ms);
  EXPECT_EQ(process.take(), words{});
  advance(1ms);
  EXPECT_EQ(process.take(), (words{"start 2 bpftrace"}));
  EXPECT_EQ(ledger.restarts.load(), 1u);
}

TEST_F(WatchdogTest, CallsAFaultOfTheScriptFailingAndTriesSeldom) {
  spawn_running();
  process.end(1 << 8, 0, "a.bt:1:1-2: ERROR: syntax error\n");
  drain();
  EXPECT_EQ(state(), trace_state::failing);
  EXPECT_EQ(status.read().reason,
            "bpftrace: exit status 1: a.bt:1:1-2: ERROR: syntax error");
  ASSERT_EQ(log.size(), 1u);
  EXPECT_EQ(log[0], "bpftrace: exit status 1: a.bt:1:1-2: ERROR: syntax "
                    "error; failing, tried again in 30.0 s");
  advance(29'999ms);
  EXPECT_EQ(process.take(), words{});
  advance(1ms);
  EXPECT_EQ(process.take(), (words{"start 2 bpftrace"}));
  EXPECT_EQ(state(), trace_state::failing) << "until it is well";
  process.end(1 << 8, 0);
  drain();
  EXPECT_EQ(log.size(), 1u) << "once is enough";
}

TEST_F(WatchdogTest, IsWellAgainAfterAMinute) {
  spawn_running();
  process.end(1 << 8, 0);
  drain();
  advance(30s);
  process.run();
  drain();
  EXPECT_EQ(state(), trace_state::failing);
  advance(59'999ms);
  EXPECT_EQ(state(), trace_state::failing);
  advance(1ms);
  EXPECT_EQ(state(), trace_state::running);
  EXPECT_EQ(status.read().pid, 42);
  EXPECT_EQ(log.back(), "bpftrace is well again");
  EXPECT_FALSE(sched.has_pending_timeout());
}

TEST_F(WatchdogTest, TriesAgainWhatCouldNotBeStarted) {
  spawn();
  process.end(0, 0, {}, "bpftrace is not in /usr/bin");
  drain();
  EXPECT_EQ(status.read().reason, "bpftrace: bpftrace is not in /usr/bin");
  process.take();
  advance(200ms);
  EXPECT_EQ(process.take(), (words{"start 2 bpftrace"}));
}

TEST_F(WatchdogTest, DoesNotRunAScriptThatIsNotSafe) {
  script_error = "cpu.bt is writable by others";
  spawn();
  EXPECT_EQ(process.take(), (words{"attach"}));
  EXPECT_EQ(status.read().reason, "bpftrace: cpu.bt is writable by others");
  script_error.clear();
  advance(200ms);
  EXPECT_EQ(process.take(), (words{"start 2 bpftrace"}));
}

TEST_F(WatchdogTest, LeavesOneThatMayEndInPeace) {
  memory.policy = restart_policy{restart_mode::on_failure};
  spawn_running();
  process.end(0);
  drain();
  EXPECT_EQ(state(), trace_state::stopped);
  advance(1h);
  EXPECT_EQ(process.take(), words{});
  // Neither does a successor start it.
  end(restart_reason);
  spawn();
  advance(1h);
  EXPECT_EQ(process.take(), (words{"attach"}));
  end();
  EXPECT_TRUE(is_dead(dog));
}

TEST_F(WatchdogTest, StopsTheProcessWhenItIsToEndForGood) {
  spawn_running();
  end();
  EXPECT_EQ(process.take(), (words{"INT"}));
  EXPECT_FALSE(is_dead(dog)) << "the final dump is still to come";
  process.end(0);
  drain();
  EXPECT_TRUE(is_dead(dog));
  EXPECT_EQ(state(), trace_state::stopped);
  EXPECT_EQ(log, words{});
}

TEST_F(WatchdogTest, RepeatsItselfToADeafOneThenKillsIt) {
  spawn_running();
  end();
  process.take();
  advance(1999ms);
  EXPECT_EQ(process.take(), words{});
  advance(1ms);
  EXPECT_EQ(process.take(), (words{"INT"}));
  advance(2s);
  EXPECT_EQ(process.take(), (words{"INT"}));
  advance(999ms);
  EXPECT_EQ(process.take(), words{});
  advance(1ms);
  EXPECT_EQ(process.take(), (words{"KILL"}));
  EXPECT_EQ(log, (words{"bpftrace did not end in 5.0 s: killed"}));
  process.end(9);
  drain();
  EXPECT_TRUE(is_dead(dog));
}

TEST_F(WatchdogTest, DoesNotInterruptAFinalDumpTwice) {
  config.stop_timeout = 60s;
  spawn_running();
  end();
  process.take();
  for (int i = 0; i < 20; ++i) {
    process.output = now() + 500ms;
    advance(1s);
  }
  EXPECT_EQ(process.take(), words{});
  process.end(0);
  drain();
  EXPECT_TRUE(is_dead(dog));
}

TEST_F(WatchdogTest, LeavesTheProcessToItsSuccessor) {
  spawn_running();
  end(restart_reason);
  EXPECT_TRUE(is_dead(dog));
  EXPECT_EQ(process.take(), words{});
  spawn();
  EXPECT_EQ(process.take(), (words{"attach"}));
  EXPECT_EQ(state(), trace_state::running);
  end();
  EXPECT_EQ(process.take(), (words{"INT"}));
  process.end(0);
  drain();
  EXPECT_TRUE(is_dead(dog));
}

TEST_F(WatchdogTest, HearsOfAnEndThatNobodyHeard) {
  spawn_running();
  end(restart_reason);
  process.end(9); // to a dead one
  drain();
  spawn();
  EXPECT_EQ(process.take(), (words{"attach"}));
  advance(200ms);
  EXPECT_EQ(process.take(), (words{"start 2 bpftrace"}));
}

TEST_F(WatchdogTest, GoesOnAfterACrashWithoutSecondStartOrLostEnd) {
  spawn_running();
  throw_in = "watchdog";
  process.end(9);
  drain();
  EXPECT_TRUE(is_dead(dog));
  throw_in.clear();
  spawn();
  EXPECT_EQ(memory.ended, 1u);
  EXPECT_EQ(ledger.restarts.load(), 1u);
  process.take();
  // A crash while it waits: the time of the next start stays.
  end(restart_reason);
  advance(100ms);
  spawn();
  advance(99ms);
  EXPECT_EQ(process.take(), (words{"attach"}));
  advance(1ms);
  EXPECT_EQ(process.take(), (words{"start 2 bpftrace"}));
  EXPECT_EQ(ledger.restarts.load(), 1u) << "counted once";
}

TEST_F(WatchdogTest, StartsNothingWhenItIsToldToEndFirst) {
  dog =
    sys.spawn([this](watchdog_actor::stateful_pointer<watchdog_state> actor) {
      return watchdog(actor, env, line_reader_actor{});
    });
  end();
  advance(1h);
  EXPECT_TRUE(is_dead(dog));
  EXPECT_EQ(process.take(), (words{"attach"}));
}

TEST_F(WatchdogTest, AdoptsAProcessOnlyToStopIt) {
  spawn_running();
  end(restart_reason);
  dog =
    sys.spawn([this](watchdog_actor::stateful_pointer<watchdog_state> actor) {
      return watchdog(actor, env, line_reader_actor{});
    });
  end();
  EXPECT_EQ(process.take(), (words{"attach", "INT"}));
  EXPECT_FALSE(is_dead(dog));
  process.end(0);
  drain();
  EXPECT_TRUE(is_dead(dog));
}

TEST_F(WatchdogTest, StopsOneThatIsAboutToStart) {
  spawn();
  process.take();
  end();
  EXPECT_EQ(process.take(), (words{"INT"}));
  process.end(0, 0, {}, "stopped before it was started");
  drain();
  EXPECT_TRUE(is_dead(dog));
  EXPECT_EQ(log, words{});
}

TEST_F(WatchdogTest, WakesUpASilentOne) {
  config.expect_output_within = 10s;
  process.output = now();
  spawn_running();
  advance(5s);
  process.output = now();
  advance(5s); // looked at; it said something 5 s ago
  EXPECT_EQ(process.take(), words{});
  advance(4999ms);
  EXPECT_EQ(process.take(), words{});
  advance(1ms);
  EXPECT_EQ(process.take(), words{}) << "looked at twice";
  advance(499ms);
  EXPECT_EQ(process.take(), words{});
  advance(1ms);
  EXPECT_EQ(process.take(), (words{"INT"}));
  EXPECT_EQ(log, (words{"no output for 10.0 s: bpftrace is stopped and started "
                        "again"}));
  process.end(0);
  drain();
  advance(30s);
  EXPECT_EQ(process.take(), (words{"start 2 bpftrace"}));
}

TEST_F(WatchdogTest, DoubtsASilenceThatWasItsOwn) {
  config.expect_output_within = 3s;
  process.output = now();
  spawn_running();
  sched.clock().current_time += 60s; // we were stopped
  advance(0ms);
  EXPECT_EQ(process.take(), words{}) << "what lies in the pipe comes first";
  process.output = now();
  advance(2999ms);
  EXPECT_EQ(process.take(), words{});
  process.output = now();
  // Stopped once more, and bpftrace with us: it has the whole time again.
  sched.clock().current_time += 60s;
  advance(0ms);
  advance(2999ms);
  EXPECT_EQ(process.take(), words{});
  advance(1ms);
  EXPECT_EQ(process.take(), (words{"INT"}));
}

TEST_F(WatchdogTest, PutsDownAFlood) {
  spawn_running();
  caf::anon_send(dog, process_flooding{7}); // of another life
  drain();
  EXPECT_EQ(process.take(), words{});
  caf::anon_send(dog, process_flooding{1});
  drain();
  EXPECT_EQ(process.take(), (words{"INT"}));
  process.end(0);
  drain();
  advance(29'999ms);
  EXPECT_EQ(process.take(), words{}) << "with a penalty";
  advance(1ms);
  EXPECT_EQ(process.take(), (words{"start 2 bpftrace"}));
}

TEST_F(WatchdogTest, DropsARollCallSilently) {
  spawn();
  int over = 0;
  caf::anon_send(caf::actor_cast<caf::actor>(dog),
                 make_roll_call([&] { ++over; }));
  drain();
  EXPECT_EQ(over, 1);
}

TEST_F(WatchdogTest, StopsAndStartsItAtOnceWhenItsConfigurationHasChanged) {
  spawn_running();
  caf::anon_send(dog, reload_atom_v);
  drain();
  EXPECT_EQ(process.take(), words{"INT"});
  caf::anon_send(dog, reload_atom_v); // once more while it is being stopped
  drain();
  EXPECT_EQ(process.take(), words{});
  process.end(0);
  drain();
  advance(0ms);
  EXPECT_EQ(process.take(), words{"start 2 bpftrace"});
  EXPECT_EQ(ledger.restarts.load(), 0u) << "we asked for it";
  process.run();
  drain();
  EXPECT_EQ(process.take(), words{}) << "that was all";
  EXPECT_EQ(state(), trace_state::running);
}

TEST_F(WatchdogTest, ForgetsThatItFailedWhenItsConfigurationHasChanged) {
  spawn_running();
  process.end(1 << 8, 0);
  drain();
  EXPECT_EQ(state(), trace_state::failing);
  caf::anon_send(dog, reload_atom_v);
  drain();
  advance(0ms);
  EXPECT_EQ(process.take(), words{"start 2 bpftrace"});
  EXPECT_FALSE(memory.policy.failing());
  advance(60s);
  EXPECT_EQ(process.take(), words{}) << "the start that was due is no more";
}

TEST_F(WatchdogTest, StartsAnewWhatWasGivenUpWhenItsConfigurationHasChanged) {
  memory.policy = restart_policy{restart_mode::never};
  spawn_running();
  process.end(0);
  drain();
  EXPECT_EQ(state(), trace_state::stopped);
  caf::anon_send(dog, reload_atom_v);
  drain();
  advance(0ms);
  EXPECT_EQ(process.take(), words{"start 2 bpftrace"});
  process.run();
  process.end(9);
  drain();
  advance(1s);
  EXPECT_EQ(process.take(), words{"start 3 bpftrace"})
    << "restart is what the new configuration says";
}

TEST_F(WatchdogTest, LearnsOfAChangeThatItsPredecessorDidNotLiveToSee) {
  bool outdated = false;
  env.outdated = [&] {
    return outdated;
  };
  spawn_running();
  end(restart_reason);
  outdated = true;
  spawn();
  EXPECT_EQ(process.take(), (words{"attach", "INT"}));
  outdated = false;
  process.end(0);
  drain();
  advance(0ms);
  EXPECT_EQ(process.take(), words{"start 2 bpftrace"});
}

TEST_F(WatchdogTest, DoesNotStartAgainWhenItEndsDuringAReload) {
  spawn_running();
  caf::anon_send(dog, reload_atom_v);
  drain();
  end();
  process.end(0);
  drain();
  advance(60s);
  EXPECT_EQ(process.take(), words{"INT"});
  EXPECT_EQ(state(), trace_state::stopped);
}

} // namespace
} // namespace bpf2graphite
