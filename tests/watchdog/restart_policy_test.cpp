#include "actors/watchdog/restart_policy.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using clock = supervision::clock;
using std::chrono::milliseconds;

const clock::time_point start{1h};

// As waitpid(2) gives them.
constexpr int exit_status(int code) {
  return code << 8;
}
constexpr int by_signal(int number) {
  return number;
}

process_exited end_of(int status, std::uint64_t written,
                      std::string words = {}) {
  process_exited end;
  end.status = status;
  end.written = written;
  end.last_words = std::move(words);
  return end;
}

TEST(Judge, TellsHowALifeEnded) {
  struct row {
    const char* name;
    process_exited end;
    life_end expected;
  };
  process_exited missing;
  missing.start_error = "no such program";
  const row rows[] = {
    {"exit() in the script", end_of(exit_status(0), 1000), life_end::finished},
    {"exit 0 without a word", end_of(exit_status(0), 0), life_end::finished},
    {"bad syntax", end_of(exit_status(1), 0), life_end::misconfigured},
    {"0.17 fails to attach after its attach line", end_of(exit_status(255), 23),
     life_end::misconfigured},
    {"the same as JSON",
     end_of(exit_status(255),
            std::string{"{\"type\": \"attached_probes\", \"count\": 1024, "
                        "\"data\": {\"probes\": 1024}}\n"}
              .size()),
     life_end::misconfigured},
    {"an error after it had printed", end_of(exit_status(1), 5000),
     life_end::failed},
    {"SIGKILL", end_of(by_signal(9), 5000), life_end::killed},
    {"SIGSEGV while compiling", end_of(by_signal(11), 0), life_end::killed},
    {"not started", missing, life_end::not_started},
  };
  for (const auto& row : rows)
    EXPECT_EQ(judge(row.end), row.expected) << row.name;
}

TEST(DescribeEnd, SaysItInWords) {
  EXPECT_EQ(describe_end(end_of(exit_status(255), 0)), "exit status 255");
  EXPECT_EQ(describe_end(end_of(by_signal(9), 0)),
            "killed by signal 9 (Killed)");
  EXPECT_EQ(describe_end(end_of(by_signal(11) | 0x80, 0)),
            "killed by signal 11 (Segmentation fault)")
    << "with a core dump";
  process_exited missing;
  missing.start_error = "no such program";
  EXPECT_EQ(describe_end(missing), "no such program");
}

TEST(OwnReason, IsTheLineThatSaysWhy) {
  struct row {
    const char* name;
    std::string words;
    std::string expected;
  };
  const row rows[] = {
    {"nothing", "", ""},
    {"blank lines", "\n \n\r\n", ""},
    {"an error with its excerpt",
     "ERROR: Unknown error -1: couldn't set RLIMIT_MEMLOCK for bpftrace. If "
     "your program is not loading, you can try \"ulimit -l 8192\" to fix the "
     "problem\na.bt:1:9-12: ERROR: Unknown function: foo\nBEGIN { foo(1) "
     "}\n        ~~~\n",
     "a.bt:1:9-12: ERROR: Unknown function: foo"},
    {"nothing but the noise", "ERROR: couldn't set RLIMIT_MEMLOCK\n", ""},
    {"no error line", "first\nlast words\n\n", "last words"},
    {"no line end", "last words", "last words"},
    {"long", std::string(1000, 'x'), std::string(200, 'x')},
  };
  for (const auto& row : rows)
    EXPECT_EQ(own_reason(row.words), row.expected) << row.name;
}

TEST(RestartPolicy, StartsAgainForEverWithGrowingDelays) {
  restart_policy policy{restart_mode::always};
  auto now = start;
  std::vector<milliseconds> delays;
  for (int i = 0; i < 1000; ++i) {
    auto decision = policy.ended(now, life_end::killed, 1.0);
    ASSERT_TRUE(decision.delay) << i;
    delays.push_back(*decision.delay);
    now += *decision.delay;
  }
  delays.resize(10);
  EXPECT_EQ(delays,
            (std::vector<milliseconds>{200ms, 400ms, 800ms, 1600ms, 3200ms,
                                       6400ms, 12800ms, 25600ms, 30s, 30s}));
}

TEST(RestartPolicy, DrawsFullJitter) {
  restart_policy policy{restart_mode::always};
  EXPECT_EQ(policy.ended(start, life_end::killed, 0.0).delay, 0ms);
  EXPECT_EQ(policy.ended(start, life_end::killed, 0.5).delay, 200ms);
}

TEST(RestartPolicy, IsQuickAgainAfterAMinuteOfHealth) {
  restart_policy policy{restart_mode::always};
  policy.ended(start, life_end::killed, 1.0);
  EXPECT_EQ(policy.ended(start + 60s, life_end::killed, 1.0).delay, 400ms);
  EXPECT_EQ(
    policy.ended(start + 60s + 400ms + 60s, life_end::killed, 1.0).delay,
    200ms);
}

TEST(RestartPolicy, CallsTheSixthDeathInAMinuteFailing) {
  restart_policy policy{restart_mode::always};
  for (int i = 0; i < 5; ++i)
    EXPECT_FALSE(policy.ended(start + i * 1s, life_end::killed, 0.0).failing);
  auto sixth = policy.ended(start + 5s, life_end::killed, 0.0);
  EXPECT_TRUE(sixth.failing);
  EXPECT_TRUE(sixth.report);
  EXPECT_TRUE(sixth.delay) << "it goes on all the same";
}

TEST(RestartPolicy, LeavesFailingAfterHealth) {
  restart_policy policy{restart_mode::always};
  EXPECT_FALSE(policy.healthy_at());
  for (int i = 0; i < 6; ++i)
    policy.ended(start, life_end::killed, 0.0);
  ASSERT_TRUE(policy.healthy_at());
  EXPECT_EQ(*policy.healthy_at(), start + 60s);
  EXPECT_FALSE(policy.check_health(start + 59s));
  EXPECT_TRUE(policy.check_health(start + 60s));
  EXPECT_FALSE(policy.failing());
  EXPECT_FALSE(policy.check_health(start + 61s)) << "said once";
  EXPECT_FALSE(policy.ended(start + 61s, life_end::killed, 0.0).failing);
}

TEST(RestartPolicy, PutsAConfigurationFaultAtTheCapAtOnce) {
  restart_policy policy{restart_mode::always};
  auto first = policy.ended(start, life_end::misconfigured, 1.0);
  EXPECT_EQ(first.delay, 30s);
  EXPECT_TRUE(first.failing);
  EXPECT_TRUE(first.report);
  restart_policy flooded{restart_mode::always};
  auto penalty = flooded.ended(start, life_end::put_down, 1.0);
  EXPECT_EQ(penalty.delay, 30s);
  EXPECT_FALSE(penalty.failing);
}

TEST(RestartPolicy, ReportsSeldomWhatDoesNotChange) {
  restart_policy policy{restart_mode::always};
  int reports = 0;
  int ends = 0;
  for (auto now = start; now < start + 120s; ++ends) {
    auto decision = policy.ended(now, life_end::misconfigured, 0.5);
    reports += decision.report;
    now += *decision.delay;
  }
  EXPECT_EQ(reports, 1) << "one line for the whole row of " << ends;
  EXPECT_LE(ends, 25);
}

TEST(RestartPolicy, ReportsTheFirstOfAFewDeaths) {
  restart_policy policy{restart_mode::always};
  EXPECT_TRUE(policy.ended(start, life_end::killed, 1.0).report);
  EXPECT_FALSE(policy.ended(start + 29s, life_end::killed, 1.0).report);
  EXPECT_TRUE(policy.ended(start + 30s, life_end::killed, 1.0).report);
}

TEST(RestartPolicy, ObeysItsMode) {
  struct row {
    const char* name;
    restart_mode mode;
    life_end how;
    bool again;
    bool failing;
  };
  const row rows[] = {
    {"always, after the end", restart_mode::always, life_end::finished, true,
     false},
    {"on failure, after the end", restart_mode::on_failure, life_end::finished,
     false, false},
    {"on failure, after one", restart_mode::on_failure, life_end::failed, true,
     false},
    {"on failure, not started", restart_mode::on_failure, life_end::not_started,
     true, false},
    {"on failure, put down", restart_mode::on_failure, life_end::put_down, true,
     false},
    {"never, after the end", restart_mode::never, life_end::finished, false,
     false},
    {"never, after a failure", restart_mode::never, life_end::failed, false,
     true},
  };
  for (const auto& row : rows) {
    restart_policy policy{row.mode};
    auto decision = policy.ended(start, row.how, 1.0);
    EXPECT_EQ(decision.delay.has_value(), row.again) << row.name;
    EXPECT_EQ(decision.failing, row.failing) << row.name;
  }
}

using action = stop_sequence::action;

TEST(StopSequence, InterruptsAtOnceAndLooksAgainAfterTheQuietTime) {
  stop_sequence stop;
  EXPECT_FALSE(stop.begun());
  auto step = stop.begin(start, 5s);
  EXPECT_TRUE(stop.begun());
  EXPECT_EQ(step.what, action::interrupt);
  EXPECT_EQ(step.look, start + 2s);
}

TEST(StopSequence, RepeatsTheInterruptOfASilentOneThenKills) {
  stop_sequence stop;
  stop.begin(start, 5s);
  auto step = stop.look(start + 2s, start - 10s);
  EXPECT_EQ(step.what, action::interrupt);
  EXPECT_EQ(step.look, start + 4s);
  step = stop.look(start + 4s, start - 10s);
  EXPECT_EQ(step.what, action::interrupt);
  EXPECT_EQ(step.look, start + 5s) << "the time-out comes first";
  step = stop.look(start + 5s, start - 10s);
  EXPECT_EQ(step.what, action::kill);
  EXPECT_FALSE(step.look);
  EXPECT_EQ(stop.look(start + 6s, start).what, action::wait) << "killed once";
}

TEST(StopSequence, DoesNotCutAFinalDump) {
  stop_sequence stop;
  stop.begin(start, 60s);
  for (int second = 2; second < 60; ++second) {
    auto step = stop.look(start + second * 1s, start + second * 1s - 500ms);
    EXPECT_EQ(step.what, action::wait) << second;
    EXPECT_EQ(step.look, std::min(start + second * 1s + 1500ms, start + 60s));
  }
  EXPECT_EQ(stop.look(start + 60s, start + 60s).what, action::kill);
}

TEST(StopSequence, KillsAtOnceWithoutATimeout) {
  stop_sequence stop;
  auto step = stop.begin(start, 0s);
  EXPECT_EQ(step.what, action::interrupt);
  EXPECT_EQ(step.look, start);
  EXPECT_EQ(stop.look(start, start).what, action::kill);
}

TEST(StopSequence, DoesNothingBeforeItHasBegun) {
  stop_sequence stop;
  auto step = stop.look(start, start);
  EXPECT_EQ(step.what, action::wait);
  EXPECT_FALSE(step.look);
}

} // namespace
} // namespace bpf2graphite
