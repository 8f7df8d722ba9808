#pragma once
// Actors on a clock that the test holds and a scheduler that it turns by hand:
// no threads, no waiting, the same order in every run.

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>

namespace bpf2graphite::testing {

struct actor_test_config : caf::actor_system_config {
  actor_test_config() {
    set("scheduler.policy", caf::atom("testing"));
    set("logger.inline-output", true);
  }
};

/// A fixture with an actor system of its own for each test.
class actor_test : public ::testing::Test {
protected:
  actor_test_config cfg;
  caf::actor_system sys{cfg};
  caf::scheduler::test_coordinator& sched =
    dynamic_cast<caf::scheduler::test_coordinator&>(sys.scheduler());
  /// Stands for everybody outside: asks, sends, monitors.
  caf::scoped_actor self{sys, true};

  actor_test() {
    // CAF takes the time zero for "none".
    sched.clock().current_time += std::chrono::hours(1);
    // An actor that leaks must fail a test, not hang the program; tests that
    // end actors check `is_dead`.
    sys.await_actors_before_shutdown(false);
  }

  /// Delivers all messages; the clock stands still. Returns how many.
  std::size_t drain() {
    std::size_t n = 0;
    while (sched.try_run_once())
      ++n;
    return n;
  }

  /// Moves the clock, fires the timers that are due, delivers all messages.
  /// Timers that those messages set are not fired, even when they are due
  /// within `time`: use `advance_in_steps` for what sets timers again.
  void advance(caf::timespan time) {
    sched.advance_time(time);
    drain();
  }

  /// The same in steps, so that a timer set on the way fires on the way.
  void advance_in_steps(caf::timespan time, caf::timespan step) {
    while (time.count() > 0) {
      auto now = time < step ? time : step;
      advance(now);
      time -= now;
    }
  }

  /// Delivers the next message of `who` if it is (Ts...); else false.
  template <class... Ts, class Handle>
  bool expect_next(const Handle& who) {
    auto* actor = dynamic_cast<caf::scheduled_actor*>(
      caf::actor_cast<caf::abstract_actor*>(who));
    auto* next = actor ? actor->mailbox().peek() : nullptr;
    if (next == nullptr || !next->content().template match_elements<Ts...>()
        || !sched.prioritize(who))
      return false;
    sched.run_once();
    return true;
  }

  /// Kills actors at once. What they were lent dies before the actor system,
  /// which lets every actor that is left run on: call this at the end of the
  /// destructor of a fixture that lends something.
  template <class Handles>
  void end_now(const Handles& actors) {
    for (auto& who : actors)
      caf::anon_send_exit(who, caf::exit_reason::kill);
    drain();
  }

  /// True when the actor has ended (it runs no more handler).
  template <class Handle>
  static bool is_dead(const Handle& who) {
    auto* actor = dynamic_cast<caf::monitorable_actor*>(
      caf::actor_cast<caf::abstract_actor*>(who));
    return actor != nullptr
           && actor->getf(caf::abstract_actor::is_terminated_flag);
  }

  /// Asks `who` with `xs...`, delivers, and returns the answer of type `R`;
  /// an error or no answer fails the test and gives an empty `R`.
  template <class R, class Handle, class... Ts>
  R ask(const Handle& who, Ts&&... xs) {
    R result{};
    auto pending = self->request(who, caf::infinite, std::forward<Ts>(xs)...);
    drain();
    if (self->mailbox().empty()) {
      ADD_FAILURE() << "no answer";
      return result;
    }
    pending.receive([&](const R& value) { result = value; },
                    [&](caf::error& err) { ADD_FAILURE() << sys.render(err); });
    return result;
  }
};

} // namespace bpf2graphite::testing
