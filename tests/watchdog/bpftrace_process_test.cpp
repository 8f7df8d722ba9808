// Real processes: small shell scripts in bpftrace's place, and bpftrace itself
// where the machine lets it run.

#include "actors/watchdog/bpftrace_process.hpp"

#include "app/io_thread.hpp"
#include "tests/support/actor_fixture.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;
using words = std::vector<std::string>;

/// Gone, or dead and not yet reaped by whoever has to.
bool is_gone(int pid) {
  std::ifstream stat{"/proc/" + std::to_string(pid) + "/stat"};
  std::string text;
  if (!std::getline(stat, text))
    return true;
  auto after_name = text.rfind(')');
  return text.substr(after_name + 2, 1) == "Z";
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator{"/proc/self/fd"})
    ++count;
  return count;
}

words lines_of(const std::string& text) {
  words result;
  std::istringstream in{text};
  for (std::string line; std::getline(in, line);)
    result.push_back(line);
  return result;
}

/// One trace: where its output goes, and what its watchdog hears.
struct trace {
  inbox<output_event> out;
  byte_credit credit;
  trace_ledger ledger;
  words log;
  std::unique_ptr<bpftrace_process> process;
  // What came.
  words order; // "opened", "bytes" (once for a row of them), "closed"
  std::string text;
  std::string version;
  std::size_t chunks = 0;
  std::vector<process_started> started;
  std::vector<process_exited> exited;
  std::size_t flooding = 0;
  bool taking = true; // false: the stages of the trace are stuck

  bool ended() const {
    return !exited.empty();
  }
  int pid() const {
    return started.empty() ? 0 : started.back().pid;
  }
};

class BpftraceProcess : public testing::actor_test {
protected:
  boost::asio::io_context io{1};
  launcher children{io};
  pipe_poller pipes{io, 20ms};
  start_turns turns{io, 4};
  program_versions versions{io, children, pipes};
  std::filesystem::path folder;
  std::vector<std::unique_ptr<trace>> traces;
  std::vector<caf::actor> actors; // of the traces

  void SetUp() override {
    auto name = ::testing::TempDir() + "/process_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder = name;
    std::ofstream file{folder / "program"};
    file << "#!/bin/sh\n"
            "[ \"$1\" = --version ] && { echo 'bpftrace v9.9.9'; exit; }\n"
            "eval \"$1\"\n";
    file.close();
    std::filesystem::permissions(folder / "program",
                                 std::filesystem::perms::owner_all);
  }

  void TearDown() override {
    for (const auto& actor : actors)
      caf::anon_send_exit(actor, caf::exit_reason::kill);
    drain();
    traces.clear();
    std::filesystem::remove_all(folder);
  }

  trace& add() {
    return add(pipes);
  }

  trace& add(pipe_poller& pipes_of_it) {
    auto& t = *traces.emplace_back(std::make_unique<trace>());
    t.process = std::make_unique<bpftrace_process>(
      process_host{.io = io,
                   .children = children,
                   .pipes = pipes_of_it,
                   .turns = turns,
                   .versions = versions,
                   .now = wall_clock_now,
                   .hold_after = 0ms},
      process_output{.out = t.out,
                     .credit = t.credit,
                     .ledger = t.ledger,
                     .log = [&t](log_level, std::string_view text) {
                       t.log.emplace_back(text);
                     }});
    attach(t);
    return t;
  }

  /// Actors that write down what they hear.
  void attach(trace& t) {
    auto reader = sys.spawn(
      [](line_reader_actor::pointer) -> line_reader_actor::behavior_type {
        return {[](const numbered<output_event>&) {},
                [](resume_atom) {
                }};
      });
    auto watchdog =
      sys.spawn([&t](watchdog_actor::pointer) -> watchdog_actor::behavior_type {
        return {
          [&t](const process_started& event) { t.started.push_back(event); },
          [&t](const process_exited& event) { t.exited.push_back(event); },
          [&t](const process_flooding&) { ++t.flooding; },
          [](reload_atom) {},
          [](start_atom, std::uint64_t) {},
          [](caf::tick_atom, std::uint64_t) {},
        };
      });
    actors.push_back(caf::actor_cast<caf::actor>(reader));
    actors.push_back(caf::actor_cast<caf::actor>(watchdog));
    t.process->attach(reader, watchdog);
  }

  process_command script(const std::string& body) const {
    return {.program = folder / "program",
            .arguments = {body},
            .environment = {"PATH=" + std::string{program_path}},
            .directory = folder,
            .input = std::nullopt};
  }

  trace& start(const std::string& body, std::size_t budget = 0) {
    auto& t = add();
    t.process->start(1, script(body), budget);
    return t;
  }

  /// Takes what came, as the stages of a trace would.
  void take(trace& t) {
    if (!t.taking)
      return;
    auto note = [&t](const char* what) {
      if (t.order.empty() || t.order.back() != what)
        t.order.emplace_back(what);
    };
    t.out.resume(
      [&](const output_event& event) {
        if (const auto* opened = std::get_if<output_opened>(&event)) {
          note("opened");
          t.version = opened->version;
        } else if (const auto* bytes = std::get_if<output_bytes>(&event)) {
          note("bytes");
          t.text += *bytes->bytes;
          ++t.chunks;
          t.credit.give_back(bytes->bytes->size(),
                             [&t] { t.process->resume_reading(); });
        } else {
          note("closed");
        }
      },
      [](const output_event&) {});
  }

  /// Runs everything until `done`; false after `limit`.
  bool run_until(const std::function<bool()>& done,
                 clock::duration limit = 10s) {
    auto deadline = clock::now() + limit;
    while (!done()) {
      if (clock::now() > deadline)
        return false;
      io.restart();
      io.run_one_for(50ms);
      io.poll();
      drain();
      for (auto& t : traces)
        take(*t);
    }
    return true;
  }

  void run_for(clock::duration time) {
    auto end = clock::now() + time;
    run_until([&] { return clock::now() >= end; }, time + 1s);
  }

  bool run_to_end(trace& t, clock::duration limit = 10s) {
    return run_until([&] { return t.ended(); }, limit);
  }
};

TEST_F(BpftraceProcess, TellsOfStartOutputAndEndInOrder) {
  auto& t = start("echo one; echo two; exit 3");
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.order, (words{"opened", "bytes", "closed"}));
  EXPECT_EQ(t.text, "one\ntwo\n");
  EXPECT_EQ(t.version, "bpftrace v9.9.9");
  ASSERT_EQ(t.started.size(), 1u);
  EXPECT_EQ(t.started[0].life, 1u);
  EXPECT_EQ(t.started[0].version, "bpftrace v9.9.9");
  EXPECT_GT(t.started[0].pid, 0);
  ASSERT_EQ(t.exited.size(), 1u);
  EXPECT_EQ(t.exited[0].life, 1u);
  EXPECT_TRUE(WIFEXITED(t.exited[0].status));
  EXPECT_EQ(WEXITSTATUS(t.exited[0].status), 3);
  EXPECT_EQ(t.exited[0].written, 8u);
  EXPECT_EQ(t.exited[0].start_error, "");
  EXPECT_EQ(t.ledger.starts.load(), 1u);
  EXPECT_EQ(t.ledger.bytes.load(), 8u);
  EXPECT_FALSE(t.process->busy());
}

TEST_F(BpftraceProcess, RunsAgainInTheSameObject) {
  auto& t = add();
  for (std::uint64_t life = 1; life <= 3; ++life) {
    t.process->start(life, script("echo " + std::to_string(life)), 0);
    ASSERT_TRUE(run_until([&] { return t.exited.size() == life; }));
    EXPECT_EQ(t.exited.back().life, life);
  }
  EXPECT_EQ(t.text, "1\n2\n3\n");
  EXPECT_EQ(t.order, (words{"opened", "bytes", "closed", "opened", "bytes",
                            "closed", "opened", "bytes", "closed"}));
}

TEST_F(BpftraceProcess, KeepsCompleteOutputOfOneThatIsKilled) {
  auto& t = start("echo begun; echo also >&2; kill -KILL $$");
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.text, "begun\n");
  EXPECT_TRUE(WIFSIGNALED(t.exited[0].status));
  EXPECT_EQ(WTERMSIG(t.exited[0].status), SIGKILL);
  EXPECT_EQ(t.exited[0].last_words, "also\n");
}

TEST_F(BpftraceProcess, ReadsMoreThanAPipeHolds) {
  auto& t = start("head -c 3000000 /dev/zero");
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.text.size(), 3'000'000u);
}

TEST_F(BpftraceProcess, LogsWhatIsSaidOnStandardErrorAndKeepsTheEnd) {
  auto& t = start("i=0; while [ $i -lt 2000 ]; do echo line $i >&2; "
                  "i=$((i+1)); done; printf 'last words' >&2");
  ASSERT_TRUE(run_to_end(t));
  ASSERT_EQ(t.log.size(), 10u);
  EXPECT_EQ(t.log[0], "bpftrace: line 0");
  EXPECT_EQ(t.exited[0].last_words.size(), 4096u);
  EXPECT_TRUE(t.exited[0].last_words.ends_with("line 1999\nlast words"));
}

// -- what the child inherits -------------------------------------------------

TEST_F(BpftraceProcess, GivesTheChildNothingOfOurs) {
  // As a parent that does everything wrong.
  auto before = ::signal(SIGPIPE, SIG_IGN);
  sigset_t some;
  sigset_t mask;
  ::sigemptyset(&some);
  ::sigaddset(&some, SIGINT);
  ::sigaddset(&some, SIGTERM);
  ::sigaddset(&some, SIGRTMIN + 3);
  ::sigprocmask(SIG_BLOCK, &some, &mask);
  ::setenv("NOTIFY_SOCKET", "/run/notify", 1);
  auto& t = start("grep -E 'SigBlk|SigIgn' /proc/self/status; "
                  "ls /proc/self/fd | tr '\\n' ' '; echo; "
                  "readlink /proc/self/fd/0; pwd; "
                  "cut -d' ' -f5 /proc/self/stat; echo $$; "
                  "cat /proc/self/oom_score_adj; "
                  "env | grep -v -E '^(PWD|OLDPWD|SHLVL|_)=' ");
  ASSERT_TRUE(run_to_end(t));
  ::signal(SIGPIPE, before);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::unsetenv("NOTIFY_SOCKET");
  auto lines = lines_of(t.text);
  ASSERT_EQ(lines.size(), 9u) << t.text;
  EXPECT_EQ(lines[0], "SigBlk:\t0000000000000000");
  EXPECT_EQ(lines[1], "SigIgn:\t0000000000000000");
  EXPECT_EQ(lines[2], "0 1 2 3 ") << "3 is the folder that ls reads";
  EXPECT_EQ(lines[3], "/dev/null");
  EXPECT_EQ(lines[4], folder);
  EXPECT_EQ(lines[5], lines[6]) << "leads its own process group";
  EXPECT_EQ(lines[7], "500") << "goes before us where memory ends";
  EXPECT_EQ(lines[8], "PATH=" + std::string{program_path});
}

TEST_F(BpftraceProcess, PassesNoDescriptorWhileManyAreOpen) {
  // Also those between 3 and the launcher's own pipe.
  std::vector<unique_fd> many;
  for (int i = 0; i < 100; ++i)
    many.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (int i = 0; i < 100; i += 2)
    many[static_cast<std::size_t>(i)].reset();
  auto& other = start("sleep 100"); // its pipes are open, too
  ASSERT_TRUE(run_until([&] { return !other.started.empty(); }));
  auto& t = start("ls /proc/self/fd | tr '\\n' ' '");
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.text, "0 1 2 3 ");
}

TEST_F(BpftraceProcess, HandsATextOverOnStandardInput) {
  auto& t = add();
  auto command = script("cat; echo; cat; { echo x >/proc/self/fd/0; } "
                        "2>/dev/null || echo sealed");
  command.input = std::string(300'000, 'x') + "\nend";
  t.process->start(1, command, 0);
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.text, *command.input + "\nsealed\n");
}

TEST_F(BpftraceProcess, LeavesNoDescriptorsBehind) {
  auto& warm_up = start("true");
  ASSERT_TRUE(run_to_end(warm_up));
  auto before = open_descriptors();
  for (int i = 0; i < 20; ++i) {
    auto& t = start(i % 2 == 0 ? "echo a" : "echo a >&2; exit 1");
    ASSERT_TRUE(run_to_end(t));
  }
  auto& missing = add();
  missing.process->start(1,
                         {.program = "/no/such/program",
                          .arguments = {},
                          .environment = {},
                          .directory = "/",
                          .input = std::nullopt},
                         0);
  ASSERT_TRUE(run_to_end(missing));
  EXPECT_EQ(open_descriptors(), before);
}

// -- starts that fail
// ----------------------------------------------------------

TEST_F(BpftraceProcess, SaysWhyItWasNotStarted) {
  auto make = [this](const std::string& name, const std::string& text,
                     std::filesystem::perms mode) {
    std::ofstream{folder / name} << text;
    std::filesystem::permissions(folder / name, mode);
    return (folder / name).string();
  };
  using std::filesystem::perms;
  struct row {
    const char* name;
    std::string program;
    std::string directory;
    std::string expected;
  };
  const row rows[] = {
    {"missing", "/no/such/bpftrace", "/",
     "/no/such/bpftrace is no program that can be run; see "
     "bpftrace.program"},
    {"a folder", folder, "/",
     folder.string()
       + " is no program that can be "
         "run; see bpftrace.program"},
    {"not in the path", "no-such-bpftrace", "/",
     "no-such-bpftrace is not in " + std::string{program_path}
       + "; install bpftrace or set bpftrace.program"},
    {"not executable", make("a", "#!/bin/sh\n", perms::owner_read), "/",
     (folder / "a").string()
       + " is no program that can be run; see bpftrace.program"},
    {"no program inside", make("b", "hello", perms::owner_all), "/",
     (folder / "b").string() + " cannot be started: Exec format error"},
    {"no interpreter", make("c", "#!/no/such/interpreter\n", perms::owner_all),
     "/",
     (folder / "c").string() + " cannot be started: No such file or directory"},
    {"the script's folder has gone", (folder / "program").string(),
     "/no/such/folder",
     "the script's folder /no/such/folder: No such file or directory"},
  };
  for (const auto& row : rows) {
    auto& t = add();
    t.process->start(5,
                     {.program = row.program,
                      .arguments = {"true"},
                      .environment = {},
                      .directory = row.directory,
                      .input = std::nullopt},
                     0);
    ASSERT_TRUE(run_to_end(t)) << row.name;
    EXPECT_EQ(t.exited[0].start_error, row.expected) << row.name;
    EXPECT_EQ(t.exited[0].life, 5u) << row.name;
    EXPECT_TRUE(t.started.empty()) << row.name;
    EXPECT_EQ(t.order, words{}) << row.name << ": no life was opened";
    EXPECT_EQ(t.ledger.starts.load(), 0u) << row.name;
    // Nothing of it is in the way of the next.
    t.process->start(6, script("echo fine"), 0);
    ASSERT_TRUE(run_until([&] { return t.exited.size() == 2; })) << row.name;
    EXPECT_EQ(t.text, "fine\n") << row.name;
  }
}

TEST_F(BpftraceProcess, SurvivesTheLackOfDescriptors) {
  auto& running = start("while :; do echo tick; sleep 0.05; done");
  ASSERT_TRUE(run_until([&] { return !running.text.empty(); }));
  auto before = open_descriptors();
  rlimit old{};
  ::getrlimit(RLIMIT_NOFILE, &old);
  // Each number of free descriptors fails at another step.
  for (rlim_t spare = 0; spare < 12; ++spare) {
    auto limited = old;
    limited.rlim_cur = static_cast<rlim_t>(before) + spare;
    ::setrlimit(RLIMIT_NOFILE, &limited);
    auto& t = start("echo made it");
    EXPECT_TRUE(run_to_end(t)) << spare;
    ::setrlimit(RLIMIT_NOFILE, &old);
    if (t.exited[0].start_error.empty())
      EXPECT_EQ(t.text, "made it\n") << spare;
    else
      EXPECT_NE(t.exited[0].start_error.find("Too many open files"),
                std::string::npos)
        << spare << ": " << t.exited[0].start_error;
  }
  EXPECT_EQ(open_descriptors(), before);
  auto seen = running.text.size();
  EXPECT_TRUE(run_until([&] { return running.text.size() > seen; }))
    << "the running one goes on";
  auto& t = start("echo made it");
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.text, "made it\n");
}

// -- ends
// ----------------------------------------------------------------------

TEST_F(BpftraceProcess, SignalsWhatTheChildStarted) {
  auto& t = start("trap 'echo bye; exit 0' INT; sleep 1000 & echo $!; wait");
  ASSERT_TRUE(run_until([&] { return !t.text.empty(); }));
  auto grandchild = std::stoi(t.text);
  t.process->signal(SIGINT);
  t.process->signal(SIGKILL);
  ASSERT_TRUE(run_to_end(t));
  EXPECT_TRUE(run_until([&] { return is_gone(grandchild); }));
}

TEST_F(BpftraceProcess, ReadsOnWhileItStops) {
  // Only the shell: a background job of it would ignore SIGINT.
  auto& t = start("trap 'head -c 500000 /dev/zero; exit 0' INT; echo up; "
                  "while :; do sleep 0.02; done");
  ASSERT_TRUE(run_until([&] { return !t.text.empty(); }));
  t.process->signal(SIGINT);
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.text.size(), 500'003u);
  EXPECT_EQ(t.exited[0].status, 0);
}

TEST_F(BpftraceProcess, KillsOneThatIgnoresTheInterrupt) {
  auto& t = start("trap '' INT TERM; echo deaf; while :; do sleep 0.05; done");
  ASSERT_TRUE(run_until([&] { return !t.text.empty(); }));
  t.process->signal(SIGINT);
  run_for(300ms);
  EXPECT_FALSE(t.ended());
  t.process->signal(SIGKILL);
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(WTERMSIG(t.exited[0].status), SIGKILL);
}

TEST_F(BpftraceProcess, DoesNotWaitForWhoeverHoldsThePipe) {
  auto& t = start("sleep 1000 & echo $!");
  auto begin = clock::now();
  ASSERT_TRUE(run_to_end(t));
  EXPECT_LT(clock::now() - begin, 3s);
  EXPECT_EQ(t.exited[0].status, 0);
  auto grandchild = std::stoi(t.text);
  EXPECT_TRUE(run_until([&] { return is_gone(grandchild); }));
  EXPECT_EQ(t.order.back(), "closed");
}

TEST_F(BpftraceProcess, KillsNobodyAfterWeStoodStill) {
  pipe_poller slow{io, 400ms};
  auto& t = add(slow);
  t.process->start(1, script("echo up; sleep 0.7 &"), 0);
  ASSERT_TRUE(run_until([&] { return !t.started.empty(); }));
  // Until its exit was seen, but not yet the end of its output, which what it
  // started holds a little longer. Then a pause of ours, after which all that
  // was waited for is due at once.
  auto exit_seen = "/proc/" + std::to_string(t.pid());
  auto deadline = clock::now() + 10s;
  while (std::filesystem::exists(exit_seen) && clock::now() < deadline) {
    io.restart();
    io.run_one_for(10ms);
  }
  ASSERT_FALSE(t.ended());
  std::this_thread::sleep_for(bpftrace_process::held_open_max + 100ms);
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.text, "up\n");
  run_for(100ms);
  EXPECT_EQ(t.log, words{});
  t.process.reset(); // before the poller
}

TEST_F(BpftraceProcess, KillsItsChildWhenItIsDestroyed) {
  auto& t = start("trap '' INT TERM; echo up; while :; do sleep 0.05; done");
  ASSERT_TRUE(run_until([&] { return !t.text.empty(); }));
  auto pid = t.pid();
  EXPECT_FALSE(is_gone(pid));
  t.process.reset();
  EXPECT_TRUE(is_gone(pid));
  run_for(100ms); // nothing of it is left to be called
  EXPECT_TRUE(t.exited.empty());
}

TEST_F(BpftraceProcess, DiesWithItsParent) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  auto command = script("trap '' HUP INT TERM; while :; do sleep 0.05; done");
  auto parent = ::fork();
  if (parent == 0) {
    boost::asio::io_context own{1};
    launcher starter{own};
    auto launched = starter.launch(command, [](int) {});
    auto pid = launched.process ? launched.process->pid() : -1;
    [[maybe_unused]] auto n = ::write(ends[1], &pid, sizeof(pid));
    ::pause();
    ::_exit(0);
  }
  int pid = -1;
  ASSERT_EQ(::read(ends[0], &pid, sizeof(pid)),
            static_cast<ssize_t>(sizeof(pid)));
  ::close(ends[0]);
  ::close(ends[1]);
  ASSERT_GT(pid, 0);
  EXPECT_FALSE(is_gone(pid));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  EXPECT_TRUE(run_until([&] { return is_gone(pid); }, 2s));
}

// -- many
// ------------------------------------------------------------------------

TEST_F(BpftraceProcess, RunsFiftyAndLosesNothingOfTheOthersWhenOneIsKilled) {
  std::vector<trace*> all;
  for (int i = 0; i < 50; ++i)
    all.push_back(&start("trap 'exit 0' INT; i=0; while :; do echo line $i; "
                         "i=$((i+1)); sleep 0.1; done"));
  ASSERT_TRUE(run_until(
    [&] {
      // The gate: no attach line tells that these are up.
      for (auto* t : all)
        t->process->probes_attached();
      return std::all_of(all.begin(), all.end(),
                         [](auto* t) { return !t->text.empty(); });
    },
    60s));
  ::kill(all[17]->pid(), SIGKILL);
  ASSERT_TRUE(run_to_end(*all[17]));
  run_for(300ms);
  auto begin = clock::now();
  for (auto* t : all)
    t->process->signal(SIGINT);
  ASSERT_TRUE(run_until([&] {
    return std::all_of(all.begin(), all.end(),
                       [](auto* t) { return t->ended(); });
  }));
  EXPECT_LT(clock::now() - begin, 3s);
  for (auto* t : all) {
    std::string expected;
    for (std::size_t i = 0; expected.size() < t->text.size(); ++i)
      expected += "line " + std::to_string(i) + '\n';
    EXPECT_EQ(t->text, expected);
    EXPECT_EQ(t->exited[0].status, t == all[17] ? SIGKILL : 0);
  }
}

TEST_F(BpftraceProcess, StartsAFewAtOnce) {
  std::vector<trace*> all;
  for (int i = 0; i < 6; ++i)
    all.push_back(&start("echo up; sleep 1000"));
  auto running = [&] {
    return std::count_if(all.begin(), all.end(),
                         [](auto* t) { return !t->started.empty(); });
  };
  ASSERT_TRUE(run_until([&] { return running() == 4; }));
  run_for(200ms);
  EXPECT_EQ(running(), 4);
  (*std::find_if(all.begin(), all.end(),
                 [](auto* t) { return !t->started.empty(); }))
    ->process->probes_attached();
  ASSERT_TRUE(run_until([&] { return running() == 5; }));
  // The end of one makes room, too.
  (*std::find_if(all.begin(), all.end(),
                 [](auto* t) { return !t->started.empty(); }))
    ->process->signal(SIGKILL);
  run_for(200ms);
  EXPECT_EQ(running(), 5) << "that one had attached: it held no place";
  all[3]->process->signal(SIGKILL);
  EXPECT_TRUE(run_until([&] { return running() == 6; }));
}

TEST_F(BpftraceProcess, DoesNotStartWhatIsStoppedInTheQueue) {
  for (int i = 0; i < 4; ++i)
    start("sleep 1000");
  auto& t = start("echo never");
  run_for(200ms);
  ASSERT_TRUE(t.started.empty());
  t.process->signal(SIGINT);
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.exited[0].start_error, "stopped before it was started");
  EXPECT_EQ(t.text, "");
}

// -- reading
// -----------------------------------------------------------------------

TEST_F(BpftraceProcess, BoundsWhatIsUnderWayOfAFlood) {
  auto& t = add();
  t.taking = false;
  t.process->start(1, script("exec yes 0123456789"), 0);
  ASSERT_TRUE(run_until(
    [&] { return t.credit.under_way() == byte_credit::window_bytes; }));
  run_for(300ms);
  EXPECT_EQ(t.ledger.bytes.load(), byte_credit::window_bytes);
  EXPECT_EQ(t.credit.under_way(), byte_credit::window_bytes);
  // Others have their turn meanwhile, and it goes on when it may.
  auto& other = start("echo here");
  ASSERT_TRUE(run_to_end(other));
  t.taking = true;
  ASSERT_TRUE(run_until([&] { return t.ledger.bytes.load() > 50u << 20; }));
  EXPECT_LE(t.credit.under_way(), byte_credit::window_bytes);
  t.process->signal(SIGKILL);
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.text.size(), t.ledger.bytes.load());
  std::string row = "0123456789\n";
  for (std::size_t i = 0; i < t.text.size(); i += row.size() * 9973)
    EXPECT_EQ(t.text.substr(i, row.size()), row);
}

TEST_F(BpftraceProcess, KeepsOutputThatHasToWaitForItsStages) {
  auto& t = add();
  t.taking = false;
  // A window and a pipe full: it ends while nobody takes a byte.
  t.process->start(1, script("head -c 300000 /dev/zero"), 0);
  run_for(1500ms);
  EXPECT_FALSE(t.ended()) << "there is more than a window to be read";
  t.taking = true;
  // Nothing was given back so far, so nobody has called.
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.text.size(), 300'000u);
}

TEST_F(BpftraceProcess, SlowsAChildDownToItsBudget) {
  constexpr std::size_t budget = 200'000;
  auto& t = start("exec yes", budget);
  ASSERT_TRUE(run_until([&] { return t.ledger.bytes.load() >= 5 * budget; }));
  auto begin = clock::now();
  auto before = t.ledger.bytes.load();
  run_for(2s);
  auto seconds = std::chrono::duration<double>(clock::now() - begin).count();
  auto rate = static_cast<double>(t.ledger.bytes.load() - before) / seconds;
  EXPECT_LT(rate, 1.4 * budget);
  EXPECT_GT(rate, 0.5 * budget);
  EXPECT_EQ(t.flooding, 0u) << "not yet";
}

TEST_F(BpftraceProcess, HoldsNothingOnceItIsStopped) {
  pipes.hold_with([] { return clock::now() + 1h; }, wall_clock_now);
  auto& t = add();
  auto command =
    script("trap 'echo last; sleep 20' INT; echo a; read x < " + folder.string()
           + "/go; echo b; while :; do sleep 0.1; done");
  command.hold_output = true;
  ASSERT_EQ(::mkfifo((folder / "go").c_str(), 0600), 0);
  t.process->start(1, command, 0);
  ASSERT_TRUE(run_until([&] { return !t.started.empty(); }));
  t.process->probes_attached();
  ASSERT_TRUE(run_until([&] { return t.text == "a\n"; }));
  std::ofstream{folder / "go"} << "go\n";
  run_for(300ms);
  ASSERT_EQ(t.text, "a\n") << "it is held";
  t.process->signal(SIGINT);
  EXPECT_TRUE(run_until([&] { return t.text == "a\nb\nlast\n"; }));
  EXPECT_FALSE(t.ended());
}

TEST(PipePoller, WakesUpSeldomForSmallWrites) {
  // The daemon's own delay, and its own loop: run(), not a poll.
  io_thread thread{250ms, 4};
  struct counting final : pipe_sink {
    std::size_t bytes = 0;
    std::size_t takes = 0;
    bool over = false;
    std::function<void()> at_end;
    std::size_t room() override {
      return SIZE_MAX;
    }
    bool left_alone() override {
      return false;
    }
    void take(std::string_view text, arrivals) override {
      bytes += text.size();
      ++takes;
    }
    void ended() override {
      over = true;
      at_end();
    }
  } sink;
  auto child = thread.host().children.launch(
    {.program = "/bin/sh",
     .arguments = {"-c", "i=0; while [ $i -lt 100 ]; do echo "
                         "x; i=$((i+1)); sleep 0.02; done"},
     .environment = {"PATH=/usr/bin:/bin"},
     .directory = "/",
     .input = std::nullopt},
    [](int) {});
  ASSERT_TRUE(child.process) << child.error;
  sink.at_end = [&] {
    thread.stop();
  };
  ASSERT_EQ(thread.host().pipes.add(child.out.get(), sink), 0);
  rusage before{};
  rusage after{};
  auto begin = clock::now();
  ::getrusage(RUSAGE_THREAD, &before);
  thread.run();
  ::getrusage(RUSAGE_THREAD, &after);
  auto seconds = std::chrono::duration<double>(clock::now() - begin).count();
  EXPECT_TRUE(sink.over);
  EXPECT_EQ(sink.bytes, 200u);
  EXPECT_LE(static_cast<double>(sink.takes), seconds * 4 + 2);
  // Each delay costs two: the first readiness and the timer.
  EXPECT_LE(static_cast<double>(after.ru_nvcsw - before.ru_nvcsw),
            seconds * 8 + 6);
}

TEST(PipePoller, MakesRoomInPipesThatGoOnFilling) {
  io_thread thread{250ms, 4};
  struct greedy final : pipe_sink {
    std::size_t room() override {
      return SIZE_MAX;
    }
    bool left_alone() override {
      return false;
    }
    void take(std::string_view, arrivals) override {}
    void ended() override {}
  } sink;
  auto& pipes = thread.host().pipes;
  const auto size_of = [](int fd) {
    return static_cast<std::size_t>(::fcntl(fd, F_GETPIPE_SZ));
  };
  struct both_ends {
    std::array<int, 2> fd{};
    both_ends() {
      EXPECT_EQ(::pipe2(fd.data(), O_CLOEXEC | O_NONBLOCK), 0);
    }
    ~both_ends() {
      ::close(fd[0]);
      ::close(fd[1]);
    }
  };
  constexpr auto many = pipe_poller::roomy_pipes_max + 2;
  std::array<both_ends, many> floods;
  both_ends calm;
  const auto before = size_of(calm.fd[0]);
  ASSERT_LT(before, pipe_poller::roomy_bytes);
  for (auto& flood : floods)
    ASSERT_EQ(pipes.add(flood.fd[0], sink), 0);
  ASSERT_EQ(pipes.add(calm.fd[0], sink), 0);
  // Each is filled again as soon as it was read.
  const std::string bytes(1 << 20, 'x');
  const auto fill = [&] {
    for (auto& flood : floods)
      (void)!::write(flood.fd[1], bytes.data(), bytes.size());
    (void)!::write(calm.fd[1], "x", 1);
  };
  const auto roomy = [&] {
    return static_cast<std::size_t>(
      std::count_if(floods.begin(), floods.end(), [&](const auto& flood) {
        return size_of(flood.fd[0]) == pipe_poller::roomy_bytes;
      }));
  };
  fill();
  thread.io().poll();
  EXPECT_EQ(roomy(), 0u) << "a burst is none";
  const auto run_until = [&](auto what) {
    for (int i = 0; i < 20'000 && !what(); ++i) {
      fill();
      thread.io().run_for(1ms);
    }
    return what();
  };
  ASSERT_TRUE(run_until([&] { return roomy() == many - 2; }));
  run_until([i = 0]() mutable { return ++i == 100; });
  EXPECT_EQ(roomy(), many - 2) << "and no more";
  EXPECT_EQ(size_of(calm.fd[0]), before);
  // One that goes leaves its place to another.
  auto gone = std::find_if(floods.begin(), floods.end(), [&](auto& flood) {
    return size_of(flood.fd[0]) == pipe_poller::roomy_bytes;
  });
  pipes.remove(gone->fd[0]);
  EXPECT_TRUE(run_until([&] { return roomy() == many - 1; }));
  for (auto& flood : floods)
    pipes.remove(flood.fd[0]);
  pipes.remove(calm.fd[0]);
}

TEST(PipePoller, SeesTheEndBehindWhatItDrains) {
  io_thread thread{250ms, 4};
  struct ending final : pipe_sink {
    std::string bytes;
    bool over = false;
    std::size_t room() override {
      return SIZE_MAX;
    }
    bool left_alone() override {
      return false;
    }
    void take(std::string_view text, arrivals) override {
      bytes += text;
    }
    void ended() override {
      over = true;
    }
  } gone, held;
  auto& pipes = thread.host().pipes;
  for (auto* sink : {&gone, &held}) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    ASSERT_EQ(::write(ends[1], "last\n", 5), 5);
    ASSERT_EQ(pipes.add(ends[0], *sink), 0);
    if (sink == &gone)
      ::close(ends[1]);
    pipes.drain(ends[0]);
    EXPECT_EQ(sink->bytes, "last\n");
    EXPECT_EQ(sink->over, sink == &gone) << "without running the loop";
    if (sink == &held) {
      pipes.remove(ends[0]);
      ::close(ends[1]);
    }
    ::close(ends[0]);
  }
}

// -- successors
// ----------------------------------------------------------------

TEST_F(BpftraceProcess, GoesOnWhileActorsComeAndGo) {
  auto& t = start("echo one; read line < go; echo two; exit 7");
  ASSERT_EQ(::mkfifo((folder / "go").c_str(), 0600), 0);
  ASSERT_TRUE(run_until([&] { return !t.text.empty(); }));
  EXPECT_EQ(t.started.size(), 1u);
  attach(t); // new ones
  ASSERT_TRUE(run_until([&] { return t.started.size() == 2; }));
  EXPECT_EQ(t.started[1].pid, t.started[0].pid);
  std::ofstream{folder / "go"} << "go\n";
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.text, "one\ntwo\n");
  attach(t); // they hear of the end, too
  ASSERT_TRUE(run_until([&] { return t.exited.size() == 2; }));
  EXPECT_EQ(WEXITSTATUS(t.exited[1].status), 7);
}

TEST_F(BpftraceProcess, TellsANewReaderOfOutputThatNobodyTook) {
  auto& t = add();
  t.taking = false;
  t.process->start(1, script("echo one"), 0);
  ASSERT_TRUE(run_to_end(t));
  std::vector<std::uint64_t> heard;
  auto reader = sys.spawn(
    [&heard](line_reader_actor::pointer) -> line_reader_actor::behavior_type {
      return {[&heard](const numbered<output_event>& message) {
                heard.push_back(message.number);
              },
              [](resume_atom) {
              }};
    });
  actors.push_back(caf::actor_cast<caf::actor>(reader));
  t.process->attach(reader, watchdog_actor{});
  ASSERT_TRUE(run_until([&] { return !heard.empty(); }));
  EXPECT_EQ(heard, (std::vector<std::uint64_t>{3})) << "the newest of three";
}

// -- versions
// --------------------------------------------------------------------

TEST_F(BpftraceProcess, AsksABinaryForItsVersionOnce) {
  std::ofstream{folder / "asked"};
  std::ofstream file{folder / "program"};
  file << "#!/bin/sh\n[ \"$1\" = --version ] && { echo x >> "
       << (folder / "asked").string()
       << "; echo 'bpftrace v1.2.3'; exit; }\neval \"$1\"\n";
  file.close();
  for (int i = 0; i < 3; ++i)
    start("echo a");
  ASSERT_TRUE(run_until([&] {
    return std::all_of(traces.begin(), traces.end(),
                       [](auto& t) { return t->ended(); });
  }));
  auto& later = start("echo a");
  ASSERT_TRUE(run_to_end(later));
  for (auto& t : traces)
    EXPECT_EQ(t->version, "bpftrace v1.2.3");
  EXPECT_EQ(std::filesystem::file_size(folder / "asked"), 2u);
  // A package upgrade.
  std::ofstream{folder / "new"} << "#!/bin/sh\n[ \"$1\" = --version ] && { "
                                   "echo 'bpftrace v2.0.0'; exit; }\neval "
                                   "\"$1\"\n";
  std::filesystem::permissions(folder / "new",
                               std::filesystem::perms::owner_all);
  std::filesystem::rename(folder / "new", folder / "program");
  auto& upgraded = start("echo a");
  ASSERT_TRUE(run_to_end(upgraded));
  EXPECT_EQ(upgraded.version, "bpftrace v2.0.0");
}

TEST_F(BpftraceProcess, StartsWithoutAVersionWhereThereIsNone) {
  std::ofstream file{folder / "program"};
  file << "#!/bin/sh\n[ \"$1\" = --version ] && exit 1\neval \"$1\"\n";
  file.close();
  auto& t = start("echo a");
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(t.version, "");
  EXPECT_EQ(t.text, "a\n");
}

// -- bpftrace itself
// ---------------------------------------------------------------

class RealBpftrace : public BpftraceProcess {
protected:
  void SetUp() override {
    BpftraceProcess::SetUp();
    std::string error;
    if (find_program("bpftrace", error).empty())
      GTEST_SKIP() << error;
    if (::geteuid() != 0)
      GTEST_SKIP() << "bpftrace has to be run by root";
    if (!std::filesystem::exists("/sys/kernel/tracing/events"))
      GTEST_SKIP() << "tracefs is not mounted on /sys/kernel/tracing";
  }
};

TEST_F(RealBpftrace, PrintsAndEndsWithItsDump) {
  std::ofstream{folder / "a.bt"}
    << "#include \"bound.h\"\n"
       "interval:ms:100 { @ticks = count(); @who[comm, $1] = BOUND; "
       "print(@ticks); }\n";
  std::ofstream{folder / "bound.h"} << "#define BOUND 77\n";
  std::ifstream file{folder / "a.bt"};
  std::string text{std::istreambuf_iterator<char>{file}, {}};
  for (auto extended : {false, true}) {
    script_source source{folder / "a.bt", std::nullopt};
    if (extended)
      source.text = text + "interval:ms:100 { printf(\"added\"); }\n";
    auto& t = add();
    t.process->start(1, command_line({}, source, {"-5"}, {}), 8 << 20);
    ASSERT_TRUE(run_until(
      [&] {
        return t.text.find("\"@ticks\": 2") != std::string::npos || t.ended();
      },
      30s))
      << t.text;
    ASSERT_FALSE(t.ended())
      << t.exited[0].start_error << t.exited[0].last_words;
    EXPECT_TRUE(t.version.starts_with("bpftrace v")) << t.version;
    EXPECT_TRUE(t.text.starts_with("{\"type\": \"attached_probes\""));
    t.process->signal(SIGINT);
    if (!run_to_end(t, 2s))
      t.process->signal(SIGINT); // 0.17 can miss one
    ASSERT_TRUE(run_to_end(t));
    EXPECT_EQ(t.exited[0].status, 0);
    auto dump = t.text.rfind("{\"type\": \"map\", \"data\": {\"@who\": {");
    ASSERT_NE(dump, std::string::npos) << t.text;
    EXPECT_NE(t.text.find(",-5\": 77", dump), std::string::npos) << t.text;
    EXPECT_EQ(t.text.find("added") != std::string::npos, extended);
  }
}

TEST_F(RealBpftrace, SaysWhatIsWrongWithAScript) {
  std::ofstream{folder / "a.bt"} << "BEGIN { foo(1) }\n";
  auto& t = add();
  t.process->start(1, command_line({}, {folder / "a.bt", std::nullopt}, {}, {}),
                   0);
  ASSERT_TRUE(run_to_end(t, 30s));
  EXPECT_EQ(WEXITSTATUS(t.exited[0].status), 1);
  EXPECT_EQ(t.exited[0].written, 0u);
  EXPECT_NE(t.exited[0].last_words.find("a.bt:1:9-12: ERROR: Unknown function"),
            std::string::npos)
    << t.exited[0].last_words;
}

TEST_F(RealBpftrace, DiesOfAKillWithoutADump) {
  std::ofstream{folder / "a.bt"}
    << "interval:ms:50 { @ticks = count(); print(@ticks); }\n";
  auto& t = add();
  t.process->start(1, command_line({}, {folder / "a.bt", std::nullopt}, {}, {}),
                   0);
  ASSERT_TRUE(run_until(
    [&] { return t.text.find("\"@ticks\": 1") != std::string::npos; }, 30s));
  ::kill(t.pid(), SIGKILL);
  ASSERT_TRUE(run_to_end(t));
  EXPECT_EQ(WTERMSIG(t.exited[0].status), SIGKILL);
  EXPECT_TRUE(t.text.ends_with("\n"));
}

} // namespace
} // namespace bpf2graphite
