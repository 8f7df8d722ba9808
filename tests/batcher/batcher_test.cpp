#include "actors/batcher/batcher.hpp"

#include "actors/batcher/spool_format.hpp"

#include "messages/exit.hpp"
#include "tests/support/actor_fixture.hpp"

#include <stdexcept>

#include <map>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

std::vector<metric> point(const std::string& path, std::int64_t at = 15) {
  return {{series_name{path}, exact{1}, at}};
}

struct memory_store : slot_store {
  std::string text;
  bool broken = false;
  std::optional<std::string> read() override {
    return text;
  }
  bool write(std::string_view what) override {
    if (!broken)
      text = std::string{what};
    return !broken;
  }
};

/// A normalizer that answers each collect with one point of its own, unless
/// it is told to be silent.
struct fake_normalizer_setup {
  std::string path;
  inbox<std::vector<metric>>* out = nullptr;
  batcher_actor next;
  bool* silent = nullptr;
  bool* leaves = nullptr;
  int* asked = nullptr;
};

normalizer_actor::behavior_type fake_normalizer(normalizer_actor::pointer self,
                                                fake_normalizer_setup setup) {
  self->send(setup.next, join_atom_v, caf::actor_cast<normalizer_actor>(self));
  return {
    [](const numbered<snapshot_event>&) {},
    [self, setup](collect_atom, std::uint64_t round) {
      ++*setup.asked;
      if (*setup.silent)
        return;
      self->send(setup.next, setup.out->put(point(setup.path)));
      self->send(setup.next, collected_atom_v, round, self->address(),
                 !*setup.leaves);
    },
  };
}

class Batcher : public testing::actor_test {
protected:
  batcher_ledger ledger;
  destination_ledger first;
  destination_ledger second;
  memory_store store;
  slot_record slots{store, INT64_MAX};
  inbox<std::vector<metric>> points;
  inbox<delivery_report> reports;
  std::vector<std::string> log;
  std::function<void()> fault;
  std::chrono::steady_clock::time_point began = sched.clock().current_time;
  batch_queue queue{config(), 60s, ledger, {&first, &second}};
  batcher_environment env{
    config(),
    queue,
    points,
    reports,
    slots,
    ledger,
    [this] { // the test's clock; it stood at 1 500 001 000 ms at the beginning
      return wall_time_from_ms(1'500'001'000)
             + std::chrono::duration_cast<std::chrono::milliseconds>(
               sched.clock().current_time - began);
    },
    [this](log_level, std::string_view text) { log.emplace_back(text); },
    [this](const char*, const std::string&) {
      if (fault)
        fault();
    }};
  batcher_actor subject;
  std::vector<caf::actor> actors;
  bool silent = false;
  bool leaves = false;
  int asked = 0;

  Batcher() {
    spawn();
  }

  ~Batcher() override {
    end_now(actors);
  }

  static batcher_config config() {
    batcher_config result;
    result.offset = 4s;
    return result;
  }

  void spawn() {
    subject =
      sys.spawn([this](batcher_actor::stateful_pointer<batcher_state> actor) {
        return batcher(actor, env);
      });
    actors.push_back(caf::actor_cast<caf::actor>(subject));
    drain();
  }

  normalizer_actor join(const std::string& path) {
    auto result = sys.spawn(
      fake_normalizer,
      fake_normalizer_setup{path, &points, subject, &silent, &leaves, &asked});
    actors.push_back(caf::actor_cast<caf::actor>(result));
    drain();
    return result;
  }

  void add(const std::string& path, std::int64_t at = 15) {
    caf::anon_send(subject, points.put(point(path, at)));
    drain();
  }

  /// The text that a destination gets now, or "none".
  std::string next(std::size_t destination = 0, bool afresh = true) {
    std::string result = "none";
    auto pending = self->request(subject, caf::infinite, next_batch_atom_v,
                                 destination, afresh);
    drain();
    if (!self->mailbox().empty())
      pending.receive(
        [&](const metric_batch& batch) {
          result = *batch.lines;
          last_id = batch.id;
        },
        [&](caf::error& e) { result = sys.render(e); });
    return result;
  }

  void report(delivery_report::what kind, std::uint64_t id = 0,
              std::size_t destination = 0) {
    caf::anon_send(subject,
                   reports.put({destination, kind, id,
                                sched.clock().current_time, 0, nullptr}));
    drain();
  }

  void end(const normalizer_actor& who) {
    caf::anon_send_exit(who, caf::exit_reason::kill);
    drain();
  }

  std::uint64_t last_id = 0;
};

TEST_F(Batcher, ClosesTheBatchAtTheOffsetInTheInterval) {
  add("a");
  advance(2'999ms);
  EXPECT_EQ(next(), "none");
  advance(1ms); // 1 500 004 000
  EXPECT_EQ(next(), "a 1 15\n");
}

TEST_F(Batcher, AsksEveryNormalizerAtEachTick) {
  join("a");
  join("b");
  advance(3s);
  EXPECT_EQ(asked, 2);
  auto text = next();
  EXPECT_EQ(text.size(), 14);
  EXPECT_NE(text.find("a 1 15\n"), text.npos);
  EXPECT_NE(text.find("b 1 15\n"), text.npos);
  advance(15s);
  EXPECT_EQ(asked, 4);
  advance(14'999ms);
  EXPECT_EQ(asked, 4);
  advance(1ms);
  EXPECT_EQ(asked, 6);
  EXPECT_EQ(ledger.rounds, 3);
  EXPECT_EQ(ledger.late, 0);
}

TEST_F(Batcher, WaitsASecondForANormalizerThatDoesNotAnswer) {
  join("a");
  silent = true;
  add("b");
  advance(3s);
  EXPECT_EQ(next(), "none");
  advance(999ms);
  EXPECT_EQ(next(), "none");
  advance(1ms);
  EXPECT_EQ(next(), "b 1 15\n");
  EXPECT_EQ(ledger.late, 1);
}

TEST_F(Batcher, DoesNotWaitForANormalizerThatHasDied) {
  auto a = join("a");
  silent = true;
  add("b");
  advance(3s);
  EXPECT_EQ(next(), "none");
  end(a);
  EXPECT_EQ(next(), "b 1 15\n");
  EXPECT_EQ(ledger.late, 0);
  add("c");
  advance(15s);
  EXPECT_EQ(asked, 1);
}

TEST_F(Batcher, IgnoresTheAnswerToAnOlderRound) {
  auto a = join("a");
  silent = true;
  advance(3s);
  advance(1s); // late
  add("b");
  advance(14s);
  ASSERT_EQ(asked, 2);
  caf::anon_send(subject, collected_atom_v, std::uint64_t{1}, a.address(),
                 true);
  drain();
  EXPECT_EQ(next(), "none");
  caf::anon_send(subject, collected_atom_v, std::uint64_t{2}, a.address(),
                 true);
  drain();
  EXPECT_EQ(next(), "b 1 15\n");
}

TEST_F(Batcher, SleepsWhileNobodyHasJoined) {
  advance_in_steps(60s, 500ms);
  EXPECT_EQ(ledger.rounds, 0);
  EXPECT_TRUE(sched.clock().schedule().empty());
  auto a = join("a");
  EXPECT_FALSE(sched.clock().schedule().empty());
  end(a);
  advance_in_steps(60s, 500ms);
  EXPECT_TRUE(sched.clock().schedule().empty());
}

TEST_F(Batcher, SaysWhenItsNextTickIs) {
  auto next_tick = std::chrono::steady_clock::time_point::max();
  env.next_tick = [&](std::chrono::steady_clock::time_point at) {
    next_tick = at;
  };
  auto a = join("a");
  EXPECT_EQ(next_tick, began + 3s);
  advance(3s);
  EXPECT_EQ(next_tick, began + 18s);
  end(a);
  advance(15s);
  EXPECT_EQ(next_tick, std::chrono::steady_clock::time_point::min());
}

TEST_F(Batcher, AsksNobodyWhoHasNothingOpen) {
  leaves = true;
  auto a = join("a");
  advance(3s);
  EXPECT_EQ(asked, 1);
  advance_in_steps(60s, 500ms);
  EXPECT_EQ(asked, 1);
  EXPECT_TRUE(sched.clock().schedule().empty());
  caf::anon_send(subject, join_atom_v, a);
  drain();
  advance(15s);
  EXPECT_EQ(asked, 2);
}

TEST_F(Batcher, ClosesALittleEarlyWhenNothingElseWaits) {
  advance(2800ms);
  add("own");
  EXPECT_EQ(next(), "own 1 15\n");
  EXPECT_TRUE(sched.clock().schedule().empty());
}

TEST_F(Batcher, AnswersADemandThatWaits) {
  auto pending = self->request(subject, caf::infinite, next_batch_atom_v,
                               std::size_t{1}, true);
  add("a");
  EXPECT_TRUE(self->mailbox().empty());
  advance(3s);
  ASSERT_FALSE(self->mailbox().empty());
  pending.receive(
    [](const metric_batch& batch) { EXPECT_EQ(*batch.lines, "a 1 15\n"); },
    [&](caf::error& e) { FAIL() << sys.render(e); });
  EXPECT_EQ(next(1, false), "none"); // given
  EXPECT_EQ(next(1, true), "a 1 15\n");
}

TEST_F(Batcher, GivesAgainWhatWasLost) {
  add("a");
  advance(3s);
  next();
  report(delivery_report::what::accepted, last_id);
  EXPECT_EQ(first.accepted, 1);
  EXPECT_EQ(reports.size(), 0);
  auto pending = self->request(subject, caf::infinite, next_batch_atom_v,
                               std::size_t{0}, true);
  drain();
  EXPECT_TRUE(self->mailbox().empty());
  report(delivery_report::what::lost);
  EXPECT_FALSE(self->mailbox().empty()); // the demand that waited
  pending.receive([](const metric_batch&) {}, [](caf::error&) { FAIL(); });
}

TEST_F(Batcher, ClosesTheOpenBatchOnFlush) {
  add("a");
  add("b");
  EXPECT_EQ(ask<std::uint64_t>(subject, caf::flush_atom_v, std::size_t{0}), 2);
  EXPECT_EQ(next(), "a 1 15\nb 1 15\n");
  report(delivery_report::what::accepted, last_id);
  EXPECT_EQ(ask<std::uint64_t>(subject, caf::flush_atom_v, std::size_t{0}), 0);
  EXPECT_EQ(ask<std::uint64_t>(subject, caf::flush_atom_v, std::size_t{1}), 2);
}

TEST_F(Batcher, KeepsTheNewestSlotBeforeABatchLeaves) {
  add("a", 30);
  advance(3s);
  EXPECT_EQ(store.text, "");
  next();
  EXPECT_EQ(store.text, "30\n");
}

TEST_F(Batcher, DeliversAlsoWhenTheSlotCannotBeKeptAndSaysSoOnce) {
  store.broken = true;
  for (int i = 0; i < 3; ++i) {
    add("a", 15 * (i + 1));
    advance(15s);
    ASSERT_NE(next(0, false), "none");
  }
  EXPECT_EQ(log.size(), 1);
  EXPECT_EQ(ledger.record_failures, 3);
}

TEST_F(Batcher, LosesNothingByACrash) {
  add("a");
  fault = [this] {
    fault = nullptr;
    throw std::runtime_error{"test"};
  };
  add("b");
  EXPECT_TRUE(is_dead(subject));
  EXPECT_EQ(points.size(), 1);
  add("c"); // into the mailbox of a dead one
  spawn();
  EXPECT_EQ(points.size(), 0);
  add("d");
  advance(3s);
  EXPECT_EQ(next(), "a 1 15\nb 1 15\nc 1 15\nd 1 15\n");
}

TEST_F(Batcher, TakesReportsOfItsPredecessor) {
  add("a");
  advance(3s);
  next();
  fault = [this] {
    fault = nullptr;
    throw std::runtime_error{"test"};
  };
  report(delivery_report::what::accepted, last_id);
  EXPECT_TRUE(is_dead(subject));
  EXPECT_EQ(first.accepted, 0);
  spawn();
  EXPECT_EQ(first.accepted, 1);
}

TEST_F(Batcher, FinishesItsInboxBeforeItMakesWay) {
  points.put(point("a")); // its message is still on its way
  reports.put({0, delivery_report::what::lost, 0, began, 0, nullptr});
  caf::anon_send_exit(subject, restart_reason);
  drain();
  EXPECT_TRUE(is_dead(subject));
  EXPECT_EQ(points.size(), 0);
  EXPECT_EQ(reports.size(), 0);
  EXPECT_EQ(first.waiting, 1);
}

TEST_F(Batcher, EndsAnOpenRoundAtTheNextTick) {
  env.config.interval = 1s;
  env.config.offset = 0s;
  join("a");
  silent = true;
  advance_in_steps(10s, 100ms);
  EXPECT_GE(ledger.rounds, 9);
  EXPECT_GE(ledger.late, 8);
}

struct memory_spool : spool_store {
  std::map<std::string, std::string> files;
  bool full = false;

  std::string write(const std::string& file, std::string_view text) override {
    if (full)
      return "disk full";
    files[file] = text;
    return {};
  }
  std::string remove(const std::string& file) override {
    files.erase(file);
    return {};
  }
  std::string place(const std::string& file) const override {
    return "/spool/" + file;
  }
};

class BatcherWithSpool : public Batcher {
protected:
  memory_spool spool;
  const std::string file = spool_file_name("carbon:2003");

  /// Again, as the topology would start it.
  void begin(const std::string& left = {}) {
    end_now(std::vector<caf::actor>{actors.back()});
    env.spool = &spool;
    env.destination_name = [](std::size_t i) {
      return i == 0 ? "carbon:2003" : "other:2003";
    };
    env.spool_files = {file, spool_file_name("other:2003")};
    if (!left.empty()) {
      spool.files[file] = "of before";
      queue.restore(0, {{0, std::make_shared<const std::string>(left), 1, 15}});
    }
    spawn();
  }
};

TEST_F(BatcherWithSpool, KeepsWhatIsNotAcceptedWhenADestinationGivesUp) {
  begin();
  add("a");
  add("b", 30);
  ask<std::uint64_t>(subject, caf::flush_atom_v, std::size_t{0});
  report(delivery_report::what::gave_up);
  auto content = decode_spool(spool.files[file], "carbon:2003");
  EXPECT_EQ(content.error, "");
  ASSERT_EQ(content.batches.size(), 1);
  EXPECT_EQ(*content.batches[0].lines, "a 1 15\nb 1 30\n");
  EXPECT_EQ(first.spooled, 2);
  EXPECT_EQ(first.dropped_stop, 0);
  EXPECT_TRUE(queue.valid());
  // The next daemon must keep out of these slots.
  EXPECT_EQ(store.text, "30\n");
  ASSERT_EQ(log.size(), 1);
  EXPECT_NE(log[0].find("2 points that carbon:2003 did not accept are kept in "
                        "/spool/"
                        + file),
            std::string::npos)
    << log[0];
}

TEST_F(BatcherWithSpool, CountsTheLossWhenItCannotWrite) {
  begin("old 1 15\n");
  spool.full = true;
  add("a");
  ask<std::uint64_t>(subject, caf::flush_atom_v, std::size_t{0});
  report(delivery_report::what::gave_up);
  EXPECT_EQ(first.spooled, 0);
  EXPECT_EQ(first.dropped_stop, 2);
  EXPECT_EQ(spool.files[file], "of before"); // better than nothing
  EXPECT_NE(log.at(0).find("disk full"), std::string::npos);
}

TEST_F(BatcherWithSpool, RemovesTheFileWhenAllInItIsDelivered) {
  begin("old 1 15\n");
  add("a");
  ask<std::uint64_t>(subject, caf::flush_atom_v, std::size_t{0});
  EXPECT_EQ(next(), "old 1 15\na 1 15\n");
  EXPECT_EQ(spool.files.count(file), 1);
  report(delivery_report::what::accepted, last_id);
  EXPECT_EQ(spool.files.count(file), 0);
}

TEST_F(BatcherWithSpool, RemovesTheFileAlsoAfterACrash) {
  begin("old 1 15\n");
  next();
  end_now(std::vector<caf::actor>{actors.back()});
  spawn();
  EXPECT_EQ(spool.files.count(file), 1);
  next();
  report(delivery_report::what::accepted, last_id);
  EXPECT_EQ(spool.files.count(file), 0);
}

} // namespace
} // namespace bpf2graphite
