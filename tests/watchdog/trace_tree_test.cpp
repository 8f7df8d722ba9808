// Supervisor, watchdog, line_reader and real processes together, on CAF's real
// scheduler: what the parts promise each other when actors die.

#include "actors/line_reader/line_reader.hpp"
#include "actors/supervisor/supervisor.hpp"
#include "actors/watchdog/bpftrace_process.hpp"
#include "actors/watchdog/watchdog.hpp"
#include "app/io_thread.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <boost/asio/steady_timer.hpp>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

struct actor_config : caf::actor_system_config {
  actor_config() {
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::size_t{1});
  }
};

/// One trace with all that is lent to its actors.
struct trace {
  trace(io_thread& io, process_command what, std::chrono::milliseconds timeout)
    : command{std::move(what)}, process{io.host(),
                                        process_output{.out = to_reader,
                                                       .credit = credit,
                                                       .ledger = ledger,
                                                       .log = log}} {
    config.stop_timeout = timeout;
  }

  process_command command;
  bpftrace_config config;
  inbox<output_event> to_reader;
  inbox<lines_event> to_parser;
  byte_credit credit;
  trace_ledger ledger;
  trace_status status;
  log_sink log = [](log_level, std::string_view) {
  };
  bpftrace_process process;
  line_reader_memory splitting{64 << 10};
  watchdog_memory memory{restart_mode::always};
  std::atomic<int> calls{0};
  std::atomic<int> fault_every{0}; // calls; 0: never
  std::atomic<int> restarts{0};
  std::chrono::milliseconds backoff{1}; // of its actors
  fault_hook fault = [this](const char*, const std::string&) {
    auto every = fault_every.load();
    if (every > 0 && ++calls % every == 0)
      throw std::runtime_error("as told");
  };
  line_reader_environment reading{
    .trace = "t",
    .in = to_reader,
    .out = to_parser,
    .memory = splitting,
    .credit = credit,
    .give_back = [this](std::size_t bytes) { give_back(bytes); },
    .ledger = ledger,
    .log = log,
    .fault = fault,
  };
  watchdog_environment watching{
    .trace = "t",
    .process = process,
    .memory = memory,
    .status = status,
    .ledger = ledger,
    .config = config,
    .prepare =
      [this] {
        return prepared_command{command, {}};
      },
    .random = [] { return 0.5; },
    .log = log,
    .fault = fault,
  };

  std::mutex mutex;
  std::string text; // what came out at the end
  int closed = 0;

  void give_back(std::size_t bytes) {
    credit.give_back(bytes, [this] { process.resume_reading(); });
  }

  void parse(const lines_event& event) {
    std::lock_guard guard{mutex};
    if (const auto* lines = std::get_if<output_lines>(&event)) {
      text += lines->joined;
      if (lines->buffer)
        text += lines->buffer->substr(lines->offset, lines->size);
      give_back(lines->credit);
    } else if (std::holds_alternative<output_rest>(event)) {
      ++closed;
    }
  }

  std::size_t lines() {
    std::lock_guard guard{mutex};
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  child_spec tree(std::string id) {
    supervisor_spec spec;
    spec.id = id;
    spec.strategy = supervision::strategy::rest_for_one;
    spec.exhaustion = supervision::exhaustion::retry_at_cap;
    spec.intensity = {.max_restarts = 1'000'000, .period = 60s};
    spec.backoff = {.initial = backoff,
                    .max = std::max(backoff, std::chrono::milliseconds{2})};
    spec.observer.restarting = [this](const std::string&, const std::string&,
                                      std::chrono::milliseconds) {
      ++restarts;
    };
    spec.children.push_back(
      {.id = "parser",
       .start = [this](caf::event_based_actor* parent, const siblings&) {
         return caf::actor_cast<caf::actor>(
           parent->spawn([this](histogram_parser_actor::pointer)
                           -> histogram_parser_actor::behavior_type {
             auto work = [this](const lines_event& x) {
               parse(x);
             };
             auto drop = [](const lines_event&) {
             };
             return {[this, work, drop](const numbered<lines_event>& m) {
                       to_parser.deliver(m.number, work, drop);
                     },
                     [](pause_atom, std::uint64_t) {
                     }};
           }));
       }});
    spec.children.push_back(
      {.id = "line_reader",
       .start = [this](caf::event_based_actor* parent, const siblings& before) {
         auto next = before.get<histogram_parser_actor>("parser");
         return caf::actor_cast<caf::actor>(parent->spawn(
           [this,
            next](line_reader_actor::stateful_pointer<line_reader_state> self) {
             return line_reader(self, reading, next);
           }));
       }});
    spec.children.push_back(
      {.id = "watchdog",
       .start =
         [this](caf::event_based_actor* parent, const siblings& before) {
           auto reader = before.get<line_reader_actor>("line_reader");
           return caf::actor_cast<caf::actor>(parent->spawn(
             [this,
              reader](watchdog_actor::stateful_pointer<watchdog_state> self) {
               return watchdog(self, watching, reader);
             }));
         },
       .grace = 30s});
    return {.id = id,
            .start =
              [spec](caf::event_based_actor* parent, const siblings&) {
                return parent->spawn(supervisor, spec);
              },
            .grace = std::nullopt};
  }
};

class TraceTree : public ::testing::Test {
protected:
  io_thread io{20ms, 1000};
  std::filesystem::path folder;
  std::vector<std::unique_ptr<trace>> traces;

  void SetUp() override {
    auto name = ::testing::TempDir() + "/tree_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder = name;
    std::ofstream{folder / "program"}
      << "#!/bin/sh\n[ \"$1\" = --version ] && exit\neval \"$1\"\n";
    std::filesystem::permissions(folder / "program",
                                 std::filesystem::perms::owner_all);
  }

  void TearDown() override {
    traces.clear();
    std::filesystem::remove_all(folder);
  }

  trace& add(const std::string& body, std::chrono::milliseconds timeout = 5s) {
    return *traces.emplace_back(std::make_unique<trace>(
      io,
      process_command{.program = folder / "program",
                      .arguments = {body},
                      .environment = {"PATH=/usr/bin:/bin"},
                      .directory = folder,
                      .input = std::nullopt},
      timeout));
  }

  /// Runs the io thread (this one) until `done`; false after `limit`.
  bool run_until(const std::function<bool()>& done,
                 clock::duration limit = 20s) {
    auto deadline = clock::now() + limit;
    while (!done() && clock::now() < deadline) {
      io.io().restart();
      io.io().run_for(5ms);
    }
    return done();
  }

  caf::actor start(caf::actor_system& sys) {
    supervisor_spec spec;
    spec.id = "traces";
    spec.stop = supervision::stop_order::together;
    for (std::size_t i = 0; i < traces.size(); ++i)
      spec.children.push_back(traces[i]->tree("t" + std::to_string(i)));
    return sys.spawn(supervisor, spec);
  }

  /// Tells all to end for good; false when they did not in time.
  bool stop(caf::actor_system& sys, const caf::actor& top,
            clock::duration limit = 20s) {
    std::atomic<bool> over{false};
    // Somebody has to hold it, or CAF ends it.
    auto witness =
      sys.spawn([&over, top](caf::event_based_actor* self) -> caf::behavior {
        self->set_down_handler([self, &over](const caf::down_msg&) {
          over = true;
          self->quit();
        });
        self->monitor(top);
        caf::anon_send_exit(top, caf::exit_reason::user_shutdown);
        return {[](int) {
        }};
      });
    auto ended = run_until([&] { return over.load(); }, limit);
    caf::anon_send_exit(witness, caf::exit_reason::kill);
    return ended;
  }
};

std::string counted(std::size_t lines) {
  std::string text;
  for (std::size_t i = 0; i < lines; ++i)
    text += "line " + std::to_string(i) + '\n';
  return text;
}

TEST_F(TraceTree, LosesNoLineAndStopsNoProcessWhileItsActorsDieAllTheTime) {
  auto& t = add("trap 'echo end; exit 0' INT; i=0; while :; do echo line $i; "
                "i=$((i+1)); [ $((i % 50)) -eq 0 ] && sleep 0.01; done");
  t.fault_every = 5;
  actor_config cfg;
  caf::actor_system sys{cfg};
  auto top = start(sys);
  EXPECT_TRUE(run_until([&] { return t.restarts > 30 && t.lines() > 1000; }))
    << t.restarts << " restarts, " << t.lines() << " lines";
  auto pid = t.status.read().pid;
  EXPECT_GT(pid, 0);
  EXPECT_EQ(::kill(pid, 0), 0);
  t.fault_every = 0;
  EXPECT_TRUE(stop(sys, top));
  EXPECT_EQ(t.ledger.starts.load(), 1u);
  EXPECT_EQ(t.ledger.crash_messages.load(), 0u);
  auto lines = t.lines();
  EXPECT_GT(lines, 1000u);
  EXPECT_EQ(t.text, counted(lines - 1) + "end\n") << "with its final words";
  EXPECT_EQ(t.closed, 1);
  EXPECT_EQ(t.credit.under_way(), 0u);
  EXPECT_FALSE(t.process.busy());
  EXPECT_EQ(t.status.read().state, trace_state::stopped);
}

TEST_F(TraceTree, StopsAProcessWhoseActorsAreDown) {
  auto& t = add("trap 'echo end; exit 0' INT; i=0; while :; do echo line $i; "
                "i=$((i+1)); sleep 0.01; done");
  t.backoff = 1h; // they stay down
  actor_config cfg;
  caf::actor_system sys{cfg};
  auto top = start(sys);
  ASSERT_TRUE(run_until([&] { return t.lines() > 3; }));
  t.fault_every = 1;
  ASSERT_TRUE(run_until([&] { return t.restarts == 1; }));
  t.fault_every = 0;
  auto stuck = t.lines();
  run_until([] { return false; }, 200ms);
  EXPECT_EQ(t.lines(), stuck);
  EXPECT_TRUE(stop(sys, top, 3s));
  EXPECT_FALSE(t.process.busy());
  EXPECT_EQ(t.ledger.starts.load(), 1u);
  EXPECT_GT(t.lines(), stuck);
  EXPECT_EQ(t.text, counted(t.lines() - 1) + "end\n")
    << "with what came while they were down";
}

TEST_F(TraceTree, StartsAgainWhatWasKilledAndLeavesOthersAlone) {
  const auto* body = "trap 'exit 0' INT; i=0; while :; do echo line $i; "
                     "i=$((i+1)); sleep 0.01; done";
  for (int i = 0; i < 5; ++i)
    add(body);
  actor_config cfg;
  caf::actor_system sys{cfg};
  auto top = start(sys);
  ASSERT_TRUE(run_until([&] {
    return std::all_of(traces.begin(), traces.end(),
                       [](auto& t) { return t->lines() > 0; });
  }));
  auto victim = traces[2]->status.read().pid;
  auto begin = clock::now();
  ::kill(victim, SIGKILL);
  ASSERT_TRUE(run_until([&] {
    auto view = traces[2]->status.read();
    return view.pid != 0 && view.pid != victim;
  }));
  EXPECT_LT(clock::now() - begin, 500ms);
  EXPECT_TRUE(stop(sys, top));
  EXPECT_EQ(traces[2]->ledger.starts.load(), 2u);
  EXPECT_EQ(traces[2]->ledger.restarts.load(), 1u);
  for (auto& t : traces)
    if (t != traces[2]) {
      EXPECT_EQ(t->ledger.starts.load(), 1u);
      EXPECT_EQ(t->text, counted(t->lines()));
    }
}

TEST_F(TraceTree, StopsManyDeafOnesTogether) {
  for (int i = 0; i < 20; ++i)
    add("trap '' INT TERM; echo deaf; while :; do sleep 0.1; done", 1s);
  actor_config cfg;
  caf::actor_system sys{cfg};
  auto top = start(sys);
  ASSERT_TRUE(run_until([&] {
    return std::all_of(traces.begin(), traces.end(),
                       [](auto& t) { return t->lines() > 0; });
  }));
  auto begin = clock::now();
  EXPECT_TRUE(stop(sys, top));
  EXPECT_GE(clock::now() - begin, 1s);
  EXPECT_LT(clock::now() - begin, 3s) << "not one after the other";
  for (auto& t : traces) {
    EXPECT_FALSE(t->process.busy());
    EXPECT_EQ(t->status.read().state, trace_state::stopped);
  }
}

TEST_F(TraceTree, CallsAnExitAtOnceFailingAndStaysQuiet) {
  auto& t = add("echo 'a.bt:1: ERROR: no such probe' >&2; exit 1");
  actor_config cfg;
  caf::actor_system sys{cfg};
  auto top = start(sys);
  ASSERT_TRUE(
    run_until([&] { return t.status.read().state == trace_state::failing; }));
  EXPECT_EQ(t.status.read().reason,
            "bpftrace: exit status 1: a.bt:1: ERROR: no such probe");
  run_until([] { return false; }, 500ms);
  EXPECT_EQ(t.ledger.starts.load(), 1u) << "15 s to wait";
  EXPECT_TRUE(stop(sys, top, 1s));
}

} // namespace
} // namespace bpf2graphite
