#include "actors/supervisor/supervisor.hpp"

#include "actors/supervisor/shell.hpp"
#include "messages/exit.hpp"
#include "tests/support/actor_fixture.hpp"

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using supervision::exhaustion;
using supervision::restart;
using supervision::stop_order;
using supervision::strategy;

/// What happened, in order: "+name", "-name" with the reason it ended for.
struct journal {
  std::vector<std::string> lines;
  std::map<std::string, caf::actor> actors; // the latest of each name
  std::map<std::string, int> starts;

  std::vector<std::string> take() {
    return std::exchange(lines, {});
  }
};

using words = std::vector<std::string>;

std::string word_for(const caf::error& reason) {
  if (reason == caf::exit_reason::user_shutdown)
    return " for good";
  if (reason == restart_reason)
    return " to make way";
  return " by itself";
}

struct child_state {
  static inline const char* name = "child";
};

/// Ends when told, says why; fails on "fail"; on "hang" no EXIT ends it.
caf::behavior child_actor(caf::stateful_actor<child_state>* self,
                          journal* where, std::string id) {
  auto& log = *where;
  keep_exception_text(self);
  self->set_default_handler(caf::drop);
  self->set_exit_handler([self, &log, id](const caf::exit_msg& order) {
    log.lines.push_back("-" + id + word_for(order.reason));
    self->quit(order.reason);
  });
  return {
    [self, &log, id](const std::string& order) {
      if (order == "fail")
        throw std::runtime_error(id + " has had enough");
      if (order == "quit")
        self->quit();
      if (order == "hang")
        self->set_exit_handler([&log, id](const caf::exit_msg& exit) {
          log.lines.push_back(id + " does not go" + word_for(exit.reason));
        });
    },
  };
}

class SupervisorTest : public testing::actor_test {
protected:
  journal log;
  std::vector<std::string> reasons; // of restarts
  std::vector<std::string> states;  // failing or healthy

  child_spec worker(std::string id, restart how = restart::permanent) {
    child_spec spec;
    spec.id = id;
    spec.restart = how;
    spec.start = [this, id](caf::event_based_actor* parent, const siblings&) {
      log.lines.push_back("+" + id);
      ++log.starts[id];
      auto handle = parent->spawn(child_actor, &log, id);
      log.actors[id] = handle;
      return handle;
    };
    return spec;
  }

  /// A supervisor as a child.
  child_spec tree(supervisor_spec inner) {
    child_spec spec;
    spec.id = inner.id;
    spec.grace.reset();
    spec.start = [this, inner](caf::event_based_actor* parent,
                               const siblings&) {
      auto handle = parent->spawn(supervisor, inner);
      log.actors[inner.id] = handle;
      ++log.starts[inner.id];
      return handle;
    };
    return spec;
  }

  supervisor_spec spec_of(std::string id, strategy how,
                          std::vector<child_spec> children) {
    supervisor_spec spec;
    spec.id = id;
    spec.strategy = how;
    spec.children = std::move(children);
    spec.observer.restarting = [this](const std::string& child,
                                      const std::string& reason,
                                      std::chrono::milliseconds delay) {
      reasons.push_back(child + ": " + reason + ", "
                        + std::to_string(delay.count()) + " ms");
    };
    spec.observer.failing = [this](bool failing, const std::string& reason) {
      states.push_back(failing ? "failing, " + reason : "healthy");
    };
    return spec;
  }

  caf::actor run(supervisor_spec spec) {
    auto handle = sys.spawn(supervisor, std::move(spec));
    drain();
    return handle;
  }

  void tell(const std::string& id, const std::string& order) {
    caf::anon_send(log.actors[id], order);
    drain();
  }

  void end(const caf::actor& top,
           caf::exit_reason why = caf::exit_reason::user_shutdown) {
    caf::anon_send_exit(top, why);
    drain();
  }
};

TEST_F(SupervisorTest, StartsInOrderAndStopsInReverse) {
  auto top = run(spec_of("top", strategy::rest_for_one,
                         {worker("a"), worker("b"), worker("c")}));
  EXPECT_EQ(log.take(), (words{"+a", "+b", "+c"}));
  end(top);
  EXPECT_EQ(log.take(), (words{"-c for good", "-b for good", "-a for good"}));
  EXPECT_TRUE(is_dead(top));
}

TEST_F(SupervisorTest, StopsAChildOnlyAfterTheOneBehindItHasGone) {
  auto top =
    run(spec_of("top", strategy::rest_for_one, {worker("a"), worker("b")}));
  tell("b", "hang");
  log.take();
  end(top);
  EXPECT_EQ(log.take(), (words{"b does not go for good"}));
  EXPECT_FALSE(is_dead(log.actors["a"]));
  advance(4999ms);
  EXPECT_TRUE(log.take().empty());
  advance(1ms); // its grace is over
  EXPECT_EQ(log.take(), (words{"-a for good"}));
  EXPECT_TRUE(is_dead(log.actors["b"]));
  EXPECT_TRUE(is_dead(top));
}

TEST_F(SupervisorTest, StopsThoseThatKnowNothingOfEachOtherTogether) {
  auto spec = spec_of("top", strategy::one_for_one,
                      {worker("a"), worker("b"), worker("c")});
  spec.stop = stop_order::together;
  auto top = run(spec);
  for (auto id : {"a", "b", "c"})
    tell(id, "hang");
  log.take();
  end(top);
  EXPECT_EQ(log.take().size(), 3u);
  advance(5s);
  EXPECT_TRUE(is_dead(top)) << "three times five seconds, not fifteen";
}

TEST_F(SupervisorTest, StopsTwinsTogetherAndTheRestBeforeAndAfterThem) {
  auto spec =
    spec_of("top", strategy::one_for_one,
            {worker("a"), worker("b"), worker("c"), worker("d"), worker("e")});
  spec.children[2].with_previous = true;
  spec.children[3].with_previous = true;
  auto top = run(spec);
  for (auto id : {"c", "d"})
    tell(id, "hang");
  log.take();
  end(top);
  EXPECT_EQ(log.take(), (words{"-e for good", "d does not go for good",
                               "c does not go for good", "-b for good"}))
    << "a waits, although b has gone";
  advance(5s);
  EXPECT_EQ(log.take(), words{"-a for good"});
  EXPECT_TRUE(is_dead(top));
}

TEST_F(SupervisorTest, RestartsTheRestAfterTheOneThatFailed) {
  auto top = run(spec_of("top", strategy::rest_for_one,
                         {worker("a"), worker("b"), worker("c")}));
  log.take();
  tell("b", "fail");
  EXPECT_EQ(log.take(), (words{"-c to make way"}));
  advance(199ms);
  EXPECT_TRUE(log.take().empty());
  advance(1ms);
  EXPECT_EQ(log.take(), (words{"+b", "+c"}));
  EXPECT_EQ(log.starts["a"], 1);
  EXPECT_EQ(reasons, (words{"b: b has had enough, 200 ms"}));
  end(top);
}

TEST_F(SupervisorTest, RestartsOneAloneOrAll) {
  auto one =
    run(spec_of("one", strategy::one_for_one, {worker("a"), worker("b")}));
  auto all =
    run(spec_of("all", strategy::one_for_all, {worker("c"), worker("d")}));
  log.take();
  tell("a", "fail");
  EXPECT_EQ(log.take(), words{});
  tell("d", "fail");
  EXPECT_EQ(log.take(), (words{"-c to make way"}));
  advance(200ms);
  auto started = log.take();
  std::sort(started.begin(), started.end());
  EXPECT_EQ(started, (words{"+a", "+c", "+d"}));
  end(one);
  end(all);
}

TEST_F(SupervisorTest, WaitsTwiceAsLongEachTimeToTheMillisecond) {
  auto top = run(spec_of("top", strategy::one_for_one, {worker("a")}));
  auto delay = 200ms;
  for (int starts = 1; starts <= 5; ++starts) {
    tell("a", "fail");
    advance(delay - 1ms);
    EXPECT_EQ(log.starts["a"], starts);
    advance(1ms);
    EXPECT_EQ(log.starts["a"], starts + 1);
    delay *= 2;
  }
  end(top);
}

TEST_F(SupervisorTest, AddsJitterByTheGivenChance) {
  auto spec = spec_of("top", strategy::one_for_one, {worker("a")});
  spec.random = [] {
    return 0.5;
  };
  auto top = run(spec);
  tell("a", "fail");
  EXPECT_EQ(reasons, (words{"a: a has had enough, 100 ms"}));
  advance(99ms);
  EXPECT_EQ(log.starts["a"], 1);
  advance(1ms);
  EXPECT_EQ(log.starts["a"], 2);
  end(top);
}

TEST_F(SupervisorTest, IsQuickAgainAfterHealth) {
  auto top = run(spec_of("top", strategy::one_for_one, {worker("a")}));
  tell("a", "fail");
  advance(200ms);
  tell("a", "fail");
  advance(400ms);
  advance(60s);
  tell("a", "fail");
  EXPECT_EQ(reasons.back(), "a: a has had enough, 200 ms");
  end(top);
}

TEST_F(SupervisorTest, DoesNotLetOneChildSlowDownAnother) {
  auto top =
    run(spec_of("top", strategy::one_for_one, {worker("a"), worker("b")}));
  for (int i = 0; i < 4; ++i) {
    tell("a", "fail");
    advance(200ms * (1 << i));
  }
  tell("b", "fail");
  EXPECT_EQ(reasons.back(), "b: b has had enough, 200 ms");
  end(top);
}

TEST_F(SupervisorTest, GivesUpAfterOneRestartTooMany) {
  auto spec = spec_of("top", strategy::one_for_one, {worker("a"), worker("b")});
  spec.intensity = {.max_restarts = 2, .period = 60s};
  auto top = run(spec);
  self->monitor(top);
  for (int i = 0; i < 2; ++i) {
    tell("a", "fail");
    advance(400ms);
  }
  EXPECT_FALSE(is_dead(top));
  log.take();
  tell("a", "fail");
  EXPECT_TRUE(is_dead(top));
  EXPECT_EQ(log.take(), (words{"-b to make way"}))
    << "somebody above starts us again";
  self->receive([&](const caf::down_msg& msg) {
    EXPECT_EQ(describe(sys, msg.reason),
              "top: too many restarts, last of a: a has had enough");
  });
}

TEST_F(SupervisorTest, CallsItselfFailingInsteadAndTriesForEver) {
  auto spec = spec_of("trace", strategy::rest_for_one, {worker("a")});
  spec.intensity = {.max_restarts = 2, .period = 60s};
  spec.exhaustion = exhaustion::retry_at_cap;
  auto top = run(spec);
  for (int i = 0; i < 2; ++i) {
    tell("a", "fail");
    advance(400ms);
  }
  EXPECT_TRUE(states.empty());
  for (int i = 0; i < 50; ++i) {
    tell("a", "fail");
    EXPECT_EQ(reasons.back(), "a: a has had enough, 30000 ms");
    advance(30s);
    EXPECT_FALSE(is_dead(top));
  }
  EXPECT_EQ(log.starts["a"], 53);
  EXPECT_EQ(states, (words{"failing, a: a has had enough"})) << "said once";
  advance(60s);
  EXPECT_EQ(states.back(), "healthy");
  tell("a", "fail");
  EXPECT_EQ(reasons.back(), "a: a has had enough, 200 ms");
  end(top);
}

TEST_F(SupervisorTest, EscalatesNoFurtherThanTheOneThatRetries) {
  auto inner =
    spec_of("trace", strategy::rest_for_one, {worker("a"), worker("b")});
  inner.exhaustion = exhaustion::retry_at_cap;
  inner.intensity = {.max_restarts = 1, .period = 60s};
  auto other = spec_of("other", strategy::rest_for_one, {worker("c")});
  auto top =
    run(spec_of("traces", strategy::one_for_one, {tree(inner), tree(other)}));
  for (int i = 0; i < 20; ++i) {
    tell("a", "fail");
    advance(30s);
  }
  EXPECT_EQ(log.starts["trace"], 1);
  EXPECT_EQ(log.starts["c"], 1) << "nobody else notices";
  EXPECT_EQ(log.starts["a"], 21);
  end(top);
  EXPECT_TRUE(is_dead(log.actors["a"]));
  EXPECT_TRUE(is_dead(log.actors["c"]));
}

TEST_F(SupervisorTest, RestartsASupervisorThatGaveUp) {
  auto inner = spec_of("inner", strategy::one_for_one, {worker("a")});
  inner.intensity = {.max_restarts = 0, .period = 60s};
  auto top = run(spec_of("top", strategy::one_for_one, {tree(inner)}));
  tell("a", "fail");
  EXPECT_EQ(reasons.back(),
            "inner: inner: too many restarts, last of a: a has had enough, "
            "200 ms");
  advance(200ms);
  EXPECT_EQ(log.starts["inner"], 2);
  EXPECT_EQ(log.starts["a"], 2);
  end(top);
}

TEST_F(SupervisorTest, EndsWithASignificantChild) {
  auto significant = worker("a");
  significant.significant = true;
  auto inner =
    spec_of("inner", strategy::one_for_one, {significant, worker("b")});
  auto top = run(spec_of("top", strategy::one_for_one, {tree(inner)}));
  log.take();
  tell("a", "fail");
  EXPECT_EQ(log.take(), (words{"-b to make way"}));
  advance(200ms);
  EXPECT_EQ(log.take(), (words{"+a", "+b"}));
  EXPECT_EQ(log.starts["inner"], 2);
  end(top);
}

TEST_F(SupervisorTest, LetsATransientChildEndInPeace) {
  auto top = run(spec_of(
    "top", strategy::one_for_one,
    {worker("a", restart::transient), worker("b", restart::temporary)}));
  tell("a", "fail");
  advance(200ms);
  EXPECT_EQ(log.starts["a"], 2);
  tell("a", "quit");
  tell("b", "fail");
  advance(60s);
  EXPECT_EQ(log.starts["a"], 2);
  EXPECT_EQ(log.starts["b"], 1);
  EXPECT_FALSE(is_dead(top));
  end(top);
  EXPECT_TRUE(is_dead(top));
}

TEST_F(SupervisorTest, TakesItsChildrenWithItWhateverKillsIt) {
  auto top =
    run(spec_of("top", strategy::one_for_one, {worker("a"), worker("b")}));
  log.take();
  end(top, caf::exit_reason::kill);
  EXPECT_EQ(log.take(), (words{"-b to make way", "-a to make way"}));
  EXPECT_TRUE(is_dead(log.actors["a"]));
}

TEST_F(SupervisorTest, TellsTheWholeTreeWhetherItEndsForGood) {
  auto leaf =
    spec_of("leaf", strategy::rest_for_one, {worker("a"), worker("b")});
  auto middle = spec_of("middle", strategy::one_for_one, {tree(leaf)});
  auto top = run(spec_of("top", strategy::one_for_one, {tree(middle)}));
  log.take();
  end(top, restart_reason);
  EXPECT_EQ(log.take(), (words{"-b to make way", "-a to make way"}));
  top = run(spec_of("top", strategy::one_for_one, {tree(middle)}));
  log.take();
  end(top);
  EXPECT_EQ(log.take(), (words{"-b for good", "-a for good"}));
}

TEST_F(SupervisorTest, BringsUpWhatIsDownToEndItForGood) {
  auto top = run(spec_of("top", strategy::rest_for_one,
                         {worker("a"), worker("b"), worker("c")}));
  tell("b", "fail");
  log.take();
  end(top); // b and c wait for their restart
  EXPECT_EQ(log.take(),
            (words{"+b", "+c", "-c for good", "-b for good", "-a for good"}));
  EXPECT_TRUE(is_dead(top));
}

TEST_F(SupervisorTest, EndsForGoodAlsoWhenItWasMakingWay) {
  auto top =
    run(spec_of("top", strategy::rest_for_one, {worker("a"), worker("b")}));
  tell("b", "hang");
  log.take();
  end(top, restart_reason);
  EXPECT_EQ(log.take(), (words{"b does not go to make way"}));
  end(top);
  EXPECT_EQ(log.take(), (words{"b does not go for good"}));
  advance(5s); // b is killed; what it held is for a new b to end
  EXPECT_EQ(log.take(), (words{"-a to make way", "+a", "+b", "-b for good",
                               "-a for good"}));
  EXPECT_TRUE(is_dead(top));
}

TEST_F(SupervisorTest, AddsAChildLater) {
  auto top = run(spec_of("top", strategy::one_for_one, {worker("a")}));
  log.take();
  ask<caf::ok_atom>(top, add_atom_v, worker("b"));
  EXPECT_EQ(log.take(), (words{"+b"}));
  tell("b", "fail");
  advance(200ms);
  EXPECT_EQ(log.starts["b"], 2);
  end(top);
  EXPECT_TRUE(is_dead(log.actors["b"]));
}

TEST_F(SupervisorTest, RefusesASecondChildOfTheSameName) {
  auto top = run(spec_of("top", strategy::one_for_one, {worker("a")}));
  std::string answer;
  auto pending = self->request(top, caf::infinite, add_atom_v, worker("a"));
  drain();
  pending.receive([](caf::ok_atom) { FAIL() << "accepted"; },
                  [&](caf::error& e) { answer = describe(sys, e); });
  EXPECT_EQ(answer, "top: has a child a");
  EXPECT_EQ(log.starts["a"], 1);
  end(top);
}

TEST_F(SupervisorTest, RemovesAChildForGoodAndSaysWhenItIsGone) {
  auto top =
    run(spec_of("top", strategy::one_for_one, {worker("a"), worker("b")}));
  tell("a", "hang");
  log.take();
  auto pending =
    self->request(top, caf::infinite, remove_atom_v, std::string{"a"});
  drain();
  EXPECT_EQ(log.take(), (words{"a does not go for good"}));
  EXPECT_TRUE(self->mailbox().empty()) << "an answer too early";
  advance(5s);
  int answers = 0;
  ASSERT_FALSE(self->mailbox().empty());
  pending.receive([&](caf::ok_atom) { ++answers; },
                  [&](caf::error& e) { FAIL() << describe(sys, e); });
  EXPECT_EQ(answers, 1);
  advance(60s);
  EXPECT_EQ(log.starts["a"], 1);
  EXPECT_FALSE(is_dead(log.actors["b"]));
  ask<caf::ok_atom>(top, add_atom_v, worker("a"));
  EXPECT_EQ(log.starts["a"], 2);
  end(top);
}

TEST_F(SupervisorTest, RemovesAChildThatIsDownByWayOfOneMoreStart) {
  auto top = run(spec_of("top", strategy::one_for_one, {worker("a")}));
  tell("a", "fail");
  log.take();
  ask<caf::ok_atom>(top, remove_atom_v, std::string{"a"});
  EXPECT_EQ(log.take(), (words{"+a", "-a for good"}));
  advance(60s);
  EXPECT_EQ(log.starts["a"], 2);
  end(top);
  EXPECT_TRUE(is_dead(top));
}

TEST_F(SupervisorTest, RemovesNoneThatOthersNeed) {
  auto top =
    run(spec_of("top", strategy::rest_for_one, {worker("a"), worker("b")}));
  std::string answer;
  auto pending =
    self->request(top, caf::infinite, remove_atom_v, std::string{"a"});
  drain();
  pending.receive([](caf::ok_atom) { FAIL() << "removed"; },
                  [&](caf::error& e) { answer = describe(sys, e); });
  EXPECT_EQ(answer, "top: its children depend on each other");
  end(top);
}

TEST_F(SupervisorTest, GivesAChildTheHandlesOfThoseBeforeIt) {
  std::vector<caf::actor> seen;
  auto second = worker("b");
  second.start = [&](caf::event_based_actor* parent, const siblings& before) {
    seen.push_back(before.get<caf::actor>("a"));
    return parent->spawn(child_actor, &log, std::string{"b"});
  };
  auto top = run(spec_of("top", strategy::rest_for_one, {worker("a"), second}));
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0], log.actors["a"]);
  tell("a", "fail");
  advance(200ms);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[1], log.actors["a"]);
  EXPECT_NE(seen[1], seen[0]);
  end(top);
}

TEST_F(SupervisorTest, TreatsAStartThatThrowsAsAFailure) {
  int attempts = 0;
  auto broken = worker("b");
  broken.start = [&](caf::event_based_actor* parent, const siblings& before) {
    ++attempts;
    if (attempts < 3)
      before.get<caf::actor>("nobody");
    log.lines.push_back("+b");
    return parent->spawn(child_actor, &log, std::string{"b"});
  };
  auto top = run(
    spec_of("top", strategy::rest_for_one, {worker("a"), broken, worker("c")}));
  EXPECT_EQ(log.take(), (words{"+a"})) << "c needs b";
  EXPECT_EQ(reasons, (words{"b: not started: no sibling nobody is started "
                            "before, 200 ms"}));
  advance(200ms);
  EXPECT_EQ(log.take(), words{});
  advance(400ms);
  EXPECT_EQ(log.take(), (words{"+b", "+c"}));
  end(top);
  EXPECT_TRUE(is_dead(top));
}

TEST_F(SupervisorTest, EndsARollCallWhenEverybodyBelowHasRun) {
  auto inner = spec_of("inner", strategy::one_for_one, {worker("a")});
  auto top =
    run(spec_of("top", strategy::one_for_one, {tree(inner), worker("b")}));
  int over = 0;
  caf::anon_send(top, make_roll_call([&] { ++over; }));
  // As long as somebody does not come to run, it is not over.
  while (sched.next_job<caf::scheduled_actor>().address()
         != log.actors["a"].address())
    sched.run_once();
  EXPECT_EQ(over, 0);
  drain();
  EXPECT_EQ(over, 1);
  end(top);
}

TEST_F(SupervisorTest, EndsARollCallWithoutThoseThatAreDown) {
  auto top = run(spec_of("top", strategy::one_for_one, {worker("a")}));
  tell("a", "fail");
  int over = 0;
  caf::anon_send(top, make_roll_call([&] { ++over; }));
  drain();
  EXPECT_EQ(over, 1);
  end(top);
  caf::anon_send(top, make_roll_call([&] { ++over; }));
  EXPECT_EQ(over, 2) << "nobody is there";
}

TEST_F(SupervisorTest, SetsNoTimersWhileAllIsWell) {
  auto top =
    run(spec_of("top", strategy::rest_for_one, {worker("a"), worker("b")}));
  EXPECT_FALSE(sched.has_pending_timeout());
  tell("a", "fail");
  advance_in_steps(10s, 1s);
  EXPECT_FALSE(sched.has_pending_timeout());
  end(top);
}

} // namespace
} // namespace bpf2graphite
