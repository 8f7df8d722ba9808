// Real processes: small shell scripts in bpftrace's place, which find the
// merged program on their standard input.

#include "actors/watchdog/share_pool.hpp"

#include "app/io_thread.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/wait.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;
using words = std::vector<std::string>;

struct member final : share_member {
  void shared_started(int id, const std::string&) override {
    pid = id;
    ++starts;
  }
  void shared_bytes(std::string_view bytes) override {
    text += bytes;
  }
  void shared_alive() override {}
  std::size_t shared_room() override {
    return room;
  }
  bool shared_left_alone() override {
    return false;
  }
  void shared_printed(std::uint64_t texts) override {
    printed += texts;
  }
  void shared_dropped() override {
    ++dropped;
  }
  void shared_flooding() override {
    ++floods;
  }
  void shared_ended(process_exited event, double number) override {
    end = std::move(event);
    jitter = number;
  }
  void start_alone() override {
    ++alone;
  }

  int pid = 0;
  int starts = 0;
  int alone = 0;
  int dropped = 0;
  int floods = 0;
  std::uint64_t printed = 0;
  std::size_t room = SIZE_MAX;
  std::string text;
  std::optional<process_exited> end;
  double jitter = -1;
};

/// A record of the n-th script's @x.
std::string record(int n, int value) {
  return "echo '{\"type\": \"map\", \"data\": {\"@p" + std::to_string(n)
         + "aaaaaa_x\": " + std::to_string(value) + "}}'; ";
}

std::string seen(int value) {
  return "{\"type\": \"map\", \"data\": {\"@x\": " + std::to_string(value)
         + "}}\n";
}

class SharePool : public ::testing::Test {
protected:
  void SetUp() override {
    auto name = ::testing::TempDir() + "/share_XXXXXX";
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
    for (auto& one : members)
      pool.forget(*one);
    io.io().restart();
    io.io().poll();
    std::filesystem::remove_all(folder);
  }

  /// Asks for a trace; `body` is what its process would do, of which that of
  /// the first counts.
  member& ask(const std::string& trace, const std::string& body,
              const std::string& more = "", const std::string& key = "key") {
    auto& one = *members.emplace_back(std::make_unique<member>());
    ask(one, trace, body, more, key);
    return one;
  }

  void ask(member& one, const std::string& trace, const std::string& body,
           const std::string& more = "", const std::string& key = "key") {
    process_command command{
      .program = folder / "program",
      .arguments = {"cd " + folder.string() + "; " + body, "script"},
      .environment = {"PATH=" + std::string{program_path}},
      .directory = folder,
      .input = std::nullopt};
    command.share =
      share_wish{.key = key,
                 .program = "interval:s:1 { @x = count(); " + more + "}\n",
                 .text = false};
    pool.ask(one, trace, command, 0);
  }

  template <class Condition>
  bool run_until(Condition condition) {
    auto deadline = clock::now() + 20s;
    while (!condition() && clock::now() < deadline) {
      io.io().restart();
      io.io().run_for(5ms);
    }
    return condition();
  }

  /// The system call knows it no more, or it is a zombie.
  bool gone(int pid) {
    return ::kill(pid, 0) != 0;
  }

  std::filesystem::path folder;
  io_thread io{1ms, 4};
  words log;
  std::vector<std::unique_ptr<member>> members;
  share_pool pool{
    io.host(), [] { return 0.0; },
    [this](log_level, std::string_view text) { log.emplace_back(text); },
    share_limits{.quiet = 20ms,
                 .gather_max = 1s,
                 .leave_within = 50ms,
                 .stall_max = 100ms,
                 .interrupts_apart = 300ms}};
};

const std::string sleeping = "exec sleep 1000";

TEST_F(SharePool, ThoseThatAskTogetherShareAProcess) {
  // In the order of their names.
  auto body = record(1, 10) + record(2, 20)
              + "echo '{\"type\": \"printf\", \"data\": \"x\"}'; " + sleeping;
  auto& b = ask("b", body, "printf(\"x\");");
  auto& a = ask("a", body);
  auto& other = ask("c", body, "", "another key");
  ASSERT_TRUE(run_until([&] { return b.text == seen(20) && b.printed == 1; }));
  EXPECT_EQ(a.text, seen(10));
  EXPECT_EQ(a.printed, 0U) << "its script prints no text";
  EXPECT_EQ(a.pid, b.pid);
  EXPECT_EQ(other.alone, 1);
  EXPECT_EQ(other.starts, 0);
}

TEST_F(SharePool, AnEndIsTheEndForAllWithOneNumber) {
  auto body = record(1, 1) + "exit 3";
  auto& a = ask("a", body);
  auto& b = ask("b", body);
  ASSERT_TRUE(run_until([&] { return a.end && b.end; }));
  EXPECT_EQ(WEXITSTATUS(a.end->status), 3);
  EXPECT_EQ(a.text, seen(1)) << "its last words came before";
  EXPECT_EQ(a.jitter, b.jitter);
  EXPECT_EQ(a.alone + b.alone, 0) << "it was well: no culprit is looked for";
}

TEST_F(SharePool, OneThatLeavesTakesNobodyWithIt) {
  auto body =
    record(1, 1) + "read go < gate; " + record(1, 2) + record(2, 3) + sleeping;
  ASSERT_EQ(std::system(("mkfifo " + (folder / "gate").string()).c_str()), 0);
  auto& a = ask("a", body);
  auto& b = ask("b", body);
  ASSERT_TRUE(run_until([&] { return !a.text.empty(); }));
  pool.signal(a, SIGINT);
  ASSERT_TRUE(run_until([&] { return a.end.has_value(); }));
  EXPECT_EQ(a.end->status, 0);
  std::ofstream{folder / "gate"} << "go\n";
  ASSERT_TRUE(run_until([&] { return b.text == seen(3); }));
  EXPECT_EQ(a.text, seen(1)) << "it is not read any more";
  EXPECT_FALSE(gone(b.pid));
  // The last one's interrupt is the process's.
  pool.signal(b, SIGINT);
  ASSERT_TRUE(run_until([&] { return b.end.has_value(); }));
  EXPECT_EQ(WTERMSIG(b.end->status), SIGINT);
}

TEST_F(SharePool, TheKillOfOneThatLeavesIsNotTheOthers) {
  auto& a = ask("a", record(1, 1) + sleeping);
  auto& b = ask("b", "");
  ASSERT_TRUE(run_until([&] { return !a.text.empty(); }));
  pool.signal(a, SIGINT);
  pool.signal(a, SIGKILL);
  EXPECT_TRUE(a.end.has_value());
  io.io().restart();
  io.io().run_for(200ms);
  EXPECT_FALSE(b.end.has_value());
  pool.signal(b, SIGKILL);
  ASSERT_TRUE(run_until([&] { return b.end.has_value(); }));
  EXPECT_EQ(WTERMSIG(b.end->status), SIGKILL);
}

TEST_F(SharePool, AllThatLeaveTogetherGetTheLastMaps) {
  std::ofstream{folder / "body"}
    << "last() { echo stop >> stops; sleep 0.2; " << record(1, 7)
    << record(2, 8) << "exit 0; }\ntrap last INT\n"
    << record(1, 1) << "\nwhile :; do sleep 0.05; done\n";
  auto& a = ask("a", ". ./body");
  auto& b = ask("b", "");
  ASSERT_TRUE(run_until([&] { return !a.text.empty(); }));
  pool.signal(a, SIGINT);
  pool.signal(b, SIGINT);
  ASSERT_TRUE(run_until([&] { return a.end && b.end; }));
  EXPECT_EQ(a.end->status, 0);
  EXPECT_EQ(a.text, seen(1) + seen(7));
  EXPECT_EQ(b.text, seen(8));
  std::ifstream stops{folder / "stops"};
  words told{std::istream_iterator<std::string>{stops}, {}};
  EXPECT_EQ(told, words{"stop"}) << "a second one would cut the dump";
}

TEST_F(SharePool, WhenTheDaemonStopsTheFirstInterruptIsForAll) {
  auto& a = ask("a", record(1, 1) + sleeping);
  auto& b = ask("b", "");
  ASSERT_TRUE(run_until([&] { return !a.text.empty(); }));
  pool.begin_stop();
  pool.signal(a, SIGINT);
  ASSERT_TRUE(run_until([&] { return a.end && b.end; }));
  EXPECT_EQ(WTERMSIG(b.end->status), SIGINT);
}

TEST_F(SharePool, OneThatIsNotWantedAnyMoreIsNotWaitedFor) {
  auto& a = ask("a", sleeping);
  auto& b = ask("b", sleeping);
  pool.signal(a, SIGINT);
  EXPECT_EQ(a.end->start_error, "stopped before it was started");
  ASSERT_TRUE(run_until([&] { return b.alone == 1; }));
  EXPECT_EQ(a.alone, 0);
}

TEST_F(SharePool, AProcessWithoutTracesIsKilled) {
  auto& a = ask("a", record(1, 1) + sleeping);
  auto& b = ask("b", "");
  ASSERT_TRUE(run_until([&] { return !a.text.empty(); }));
  auto pid = a.pid;
  pool.forget(a);
  EXPECT_FALSE(gone(pid));
  pool.forget(b);
  EXPECT_TRUE(gone(pid));
}

TEST_F(SharePool, HalvesUntilTheOneIsFoundThatDoesNotStart) {
  auto body = "grep -q poison && { echo 'ERROR: Error loading program: BEGIN' "
              ">&2; exit 1; }; "
              + record(1, 1) + record(2, 1) + sleeping;
  for (int i = 0; i < 8; ++i)
    ask("t" + std::to_string(i), body, i == 5 ? "@poison = 1; " : "");
  ASSERT_TRUE(run_until([&] {
    for (int i = 0; i < 8; ++i) {
      const auto& one = *members[static_cast<std::size_t>(i)];
      if (i == 5 ? one.alone != 1
                 : one.alone == 0 && (one.pid == 0 || gone(one.pid)))
        return false;
    }
    return true;
  }));
  for (const auto& one : members)
    EXPECT_FALSE(one->end.has_value());
  // It is not tried with others again, as long as it reads the same.
  member again;
  ask(again, "t5", body, "@poison = 1; ");
  EXPECT_EQ(again.alone, 1);
  member mended;
  ask(mended, "t5", body);
  EXPECT_EQ(mended.alone, 0);
  pool.forget(again);
  pool.forget(mended);
}

TEST_F(SharePool, OneWhoseLineIsNamedIsTakenOutAtOnce) {
  auto body = "n=$(grep -n poison | cut -d: -f1); [ -n \"$n\" ] && "
              "{ echo \"stdin:$n:1-2: ERROR: bad\" >&2; exit 1; }; "
              + record(1, 1) + sleeping;
  for (int i = 0; i < 8; ++i)
    ask("t" + std::to_string(i), body, i == 5 ? "@poison = 1; " : "");
  ASSERT_TRUE(run_until([&] { return members[0]->text == seen(1); }));
  EXPECT_EQ(members[5]->alone, 1);
  for (int i : {0, 1, 2, 3, 4, 6, 7})
    EXPECT_EQ(members[static_cast<std::size_t>(i)]->pid, members[0]->pid);
}

TEST_F(SharePool, ACauseThatMayLieOutsideIsFirstReportedToAll) {
  const std::string body = "echo 'ERROR: only root may' >&2; exit 1";
  auto& a = ask("a", body);
  auto& b = ask("b", body);
  ASSERT_TRUE(run_until([&] { return a.end && b.end; }));
  EXPECT_EQ(a.end->last_words, "ERROR: only root may\n");
  ask(a, "a", body);
  ask(b, "b", body);
  ASSERT_TRUE(run_until([&] { return a.alone == 1 && b.alone == 1; }))
    << "the second time it may be one of them";
}

TEST_F(SharePool, AProgramThatIsNotThereIsReportedToAll) {
  std::filesystem::remove(folder / "program");
  auto& a = ask("a", "");
  auto& b = ask("b", "");
  ASSERT_TRUE(run_until([&] { return a.end && b.end; }));
  EXPECT_NE(a.end->start_error, "");
}

TEST_F(SharePool, OneThatStandsStillHoldsTheOthersUpForAWhileOnly) {
  std::ofstream{folder / "body"}
    << record(1, 1)
    << "\ni=10; while :; do i=$((i+1)); "
       "echo \"{\\\"type\\\": \\\"map\\\", \\\"data\\\": "
       "{\\\"@p1aaaaaa_x\\\": $i}}\"; "
       "echo \"{\\\"type\\\": \\\"map\\\", \\\"data\\\": "
       "{\\\"@p2aaaaaa_x\\\": $i}}\"; sleep 0.02; done\n";
  auto& a = ask("a", ". ./body");
  auto& b = ask("b", "");
  ASSERT_TRUE(run_until([&] { return !b.text.empty(); }));
  a.room = 0;
  auto had = a.text;
  auto others = b.text.size();
  ASSERT_TRUE(run_until([&] { return b.text.size() > others + 1000; }));
  EXPECT_EQ(a.dropped, 1);
  EXPECT_LE(a.text.size(), had.size() + 100);
  a.room = SIZE_MAX;
  pool.resume(a);
  auto kept = a.text.size();
  ASSERT_TRUE(run_until([&] { return a.text.size() > kept + 1000; }));
  // Whatever was cut, no line was made of two.
  for (std::size_t at = 0; at < a.text.size();) {
    auto end = a.text.find('\n', at);
    if (end == std::string::npos)
      break;
    auto line = a.text.substr(at, end - at);
    at = end + 1;
    EXPECT_TRUE(line.empty() || line.rfind("{\"type\"") == 0) << line;
  }
}

} // namespace
} // namespace bpf2graphite
