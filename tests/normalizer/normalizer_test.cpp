#include "actors/normalizer/normalizer.hpp"

#include "messages/exit.hpp"
#include "tests/support/actor_fixture.hpp"

#include <stdexcept>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

/// What a batcher was told.
struct heard {
  std::vector<metric> points;
  std::vector<normalizer_actor> joined;
  std::vector<std::uint64_t> collected;
  bool stays = true; // ... said the last one
};

struct fake_batcher_state {
  static inline const char* name = "batcher";
};

batcher_actor::behavior_type
fake_batcher(batcher_actor::stateful_pointer<fake_batcher_state> self,
             heard* into) {
  return {
    [into](const numbered<std::vector<metric>>& m) {
      into->points.insert(into->points.end(), m.value->begin(), m.value->end());
    },
    [into](join_atom, const normalizer_actor& who) {
      into->joined.push_back(who);
    },
    [into](collected_atom, std::uint64_t round, const caf::actor_addr&,
           bool stays) {
      into->collected.push_back(round);
      into->stays = stays;
    },
    [self](next_batch_atom, std::size_t, bool) {
      return self->make_response_promise<metric_batch>();
    },
    [](const numbered<delivery_report>&) {},
    [](caf::tick_atom, std::uint64_t) {},
    [](pause_atom, std::uint64_t) {},
    [](caf::flush_atom, std::size_t) -> std::uint64_t { return 0; },
  };
}

class NormalizerActor : public testing::actor_test {
protected:
  NormalizerActor() {
    rules.trace = "t";
    rules.naming.host = "h";
    rules.slots.resolution = std::chrono::seconds{1};
    rules.other_maps.how = accumulation::cleared;
    rules.other_scalars.how = accumulation::cleared;
    series = env.fresh();
  }

  ~NormalizerActor() override {
    told.joined.clear();
    caf::anon_send_exit(next, caf::exit_reason::user_shutdown);
    drain();
  }

  normalizer_actor start() {
    auto started = sys.spawn(
      [this](normalizer_actor::stateful_pointer<normalizer_state> subject) {
        return normalizer(subject, env, next);
      });
    drain();
    return started;
  }

  void say(const normalizer_actor& to, snapshot_event event) {
    caf::anon_send(to, in.put(std::move(event)));
    drain();
  }

  static snapshots one_print(std::int64_t ms, exact count) {
    snapshot print;
    print.map = "@x";
    print.kind = map_kind::value;
    print.entries.emplace_back(nullptr, count);
    print.arrival = wall_time_from_ms(ms);
    return {{print}, 10};
  }

  exact sum() const {
    exact result = 0;
    for (const auto& point : told.points)
      result += std::get<exact>(point.value);
    return result;
  }

  inbox<snapshot_event> in;
  inbox<std::vector<metric>> out;
  series_budget total{1000};
  series_config rules;
  std::unique_ptr<trace_series> series;
  trace_ledger ledger;
  series_view view;
  std::size_t given_back = 0;
  std::int64_t clock_ms = 0;
  int faults_left = 0;
  heard told;
  normalizer_environment env{
    .trace = "t",
    .in = in,
    .out = out,
    .series = series,
    .fresh = [this] { return std::make_unique<trace_series>(rules, total, 0); },
    .rules = [this] { return std::make_shared<const series_config>(rules); },
    .ledger = ledger,
    .view = view,
    .tap = {},
    .give_back = [this](std::size_t n) { given_back += n; },
    .now = [this] { return wall_time_from_ms(clock_ms); },
    .log = [](log_level, std::string_view) {},
    .fault =
      [this](const char*, const std::string&) {
        if (faults_left > 0 && faults_left-- > 0)
          throw std::runtime_error("a test's fault");
      },
  };
  batcher_actor next = sys.spawn(fake_batcher, &told);
};

TEST_F(NormalizerActor, SendsClosedSlotsWhenItIsAskedAndSaysWhenItHasDone) {
  auto subject = start();
  say(subject, output_opened{1, "", wall_time_from_ms(10'000)});
  say(subject, probes_attached{wall_time_from_ms(10'000)});
  EXPECT_TRUE(told.joined.empty()) << "nothing will be due";
  say(subject, one_print(11'000, 7));
  ASSERT_EQ(told.joined.size(), 1U);
  EXPECT_EQ(given_back, 10U);
  EXPECT_TRUE(told.points.empty());
  clock_ms = 60'000;
  caf::anon_send(subject, collect_atom_v, std::uint64_t{4});
  drain();
  EXPECT_EQ(sum(), 7);
  EXPECT_EQ(told.collected, std::vector<std::uint64_t>{4});
  EXPECT_FALSE(told.stays);
  say(subject, one_print(61'000, 7));
  EXPECT_EQ(told.joined.size(), 2U);
  EXPECT_EQ(ledger.points, told.points.size());
  caf::anon_send_exit(subject, caf::exit_reason::user_shutdown);
  drain();
  EXPECT_TRUE(is_dead(subject));
}

TEST_F(NormalizerActor, HandsOnItsOpenSlotsOnlyWhenItEndsForGood) {
  auto subject = start();
  say(subject, output_opened{1, "", wall_time_from_ms(10'000)});
  say(subject, one_print(11'000, 7));
  clock_ms = 11'000;
  caf::anon_send_exit(subject, restart_reason);
  drain();
  EXPECT_TRUE(is_dead(subject));
  EXPECT_TRUE(told.points.empty());
  auto successor = start();
  EXPECT_EQ(told.joined.size(), 2U) << "of what it inherits";
  caf::anon_send_exit(successor, caf::exit_reason::user_shutdown);
  drain();
  EXPECT_EQ(sum(), 7);
}

TEST_F(NormalizerActor, ASuccessorGoesOnWithTheMessageThatKilled) {
  auto subject = start();
  say(subject, output_opened{1, "", wall_time_from_ms(10'000)});
  faults_left = 1;
  say(subject, one_print(11'000, 7));
  EXPECT_TRUE(is_dead(subject));
  auto successor = start();
  caf::anon_send_exit(successor, caf::exit_reason::user_shutdown);
  drain();
  EXPECT_EQ(sum(), 7);
  EXPECT_EQ(ledger.crash_values, 0U);
}

TEST_F(NormalizerActor, CountsTheValuesOfAMessageThatKillsAgainAndAgain) {
  auto subject = start();
  say(subject, output_opened{1, "", wall_time_from_ms(10'000)});
  faults_left = inbox_attempts_max;
  say(subject, one_print(11'000, 7));
  for (int i = 0; i < inbox_attempts_max; ++i) {
    auto successor = start();
    // It takes up what was left when it is asked for points.
    caf::anon_send(successor, collect_atom_v, std::uint64_t{1});
    drain();
    subject = successor;
  }
  EXPECT_FALSE(is_dead(subject));
  EXPECT_EQ(ledger.crash_values, 1U);
  EXPECT_EQ(ledger.crash_messages, 1U);
  EXPECT_EQ(given_back, 10U);
  caf::anon_send_exit(subject, caf::exit_reason::user_shutdown);
  drain();
  EXPECT_EQ(sum(), 0);
}

} // namespace
} // namespace bpf2graphite
