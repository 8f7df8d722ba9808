#include "actors/watchdog/watchdog.hpp"

#include "actors/supervisor/shell.hpp"
#include "messages/exit.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

namespace bpf2graphite {
namespace {

using self_ptr = watchdog_actor::stateful_pointer<watchdog_state>;
using clock = supervision::clock;
using namespace std::chrono_literals;

std::string seconds(clock::duration time) {
  auto tenths =
    std::chrono::duration_cast<std::chrono::milliseconds>(time).count() / 100;
  return std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10) + " s";
}

void call_fault(watchdog_environment& env) {
  if (env.fault)
    env.fault(watchdog_state::name, env.trace);
}

bool under_way(const watchdog_environment& env) {
  return env.memory.life != env.memory.ended;
}

void show(watchdog_environment& env, trace_state state, std::string reason = {},
          std::string cause = {}) {
  env.status.update([&](trace_view& view) {
    view.state = state;
    view.life = env.memory.life;
    if (state != trace_state::running)
      view.pid = 0;
    if (!reason.empty()) {
      view.cause = cause.empty() ? reason : std::move(cause);
      view.reason = std::move(reason);
    }
  });
  if (env.changed)
    env.changed();
}

/// Replaces what was asked to be looked at before.
void tick_at(self_ptr self, clock::time_point when) {
  auto wait = std::max(when - self->clock().now(), clock::duration::zero());
  self->delayed_send(self, wait, caf::tick_atom_v,
                     ++self->state.tick_generation);
}

void start_at(self_ptr self, clock::time_point when) {
  auto wait = std::max(when - self->clock().now(), clock::duration::zero());
  self->delayed_send(self, wait, start_atom_v, ++self->state.start_generation);
}

void obey(watchdog_environment& env, const stop_sequence::step& step) {
  if (step.what == stop_sequence::action::interrupt)
    env.process.signal(SIGINT);
  if (step.what == stop_sequence::action::kill) {
    env.log(log_level::warning, "bpftrace did not end in "
                                  + seconds(env.config.stop_timeout)
                                  + ": killed");
    env.process.signal(SIGKILL);
  }
}

void begin_stop(self_ptr self, watchdog_environment& env) {
  auto& st = self->state;
  if (st.stop.begun())
    return;
  auto step = st.stop.begin(self->clock().now(), env.config.stop_timeout);
  obey(env, step);
  if (step.look)
    tick_at(self, *step.look);
}

void put_down(self_ptr self, watchdog_environment& env,
              const std::string& why) {
  env.memory.putting_down = true;
  env.log(log_level::warning, why);
  env.status.update([&](trace_view& view) { view.reason = view.cause = why; });
  begin_stop(self, env);
}

/// How long a silence that was noticed `late` is doubted. It may be ours: after
/// a suspend this look may come before what lies in the pipe has been read, and
/// bpftrace may have stood still, too.
clock::duration second_look_after(clock::duration late, clock::duration limit) {
  return std::max<clock::duration>(500ms, std::min(late, limit));
}

/// Looks at what there is to look at, and says when the next time is.
void look(self_ptr self, watchdog_environment& env) {
  auto& st = self->state;
  auto now = self->clock().now();
  if (st.stop.begun()) {
    auto step = st.stop.look(now, env.process.last_output());
    obey(env, step);
    if (step.look)
      tick_at(self, *step.look);
    return;
  }
  if (!st.running_since)
    return;
  auto next = clock::time_point::max();
  if (auto limit = env.config.expect_output_within; limit.count() > 0) {
    auto heard = std::max(*st.running_since, env.process.last_output());
    next = heard + limit;
    if (now >= next) {
      if (!st.doubt || st.doubt->heard != heard)
        st.doubt = {heard, now + second_look_after(now - next, limit)};
      if (now >= st.doubt->until)
        return put_down(self, env,
                        "no output for " + seconds(limit)
                          + ": bpftrace is stopped and started again");
      next = st.doubt->until;
    }
  }
  if (env.memory.policy.check_health(now)) {
    env.log(log_level::notice, "bpftrace is well again", log_event::trace_well);
    show(env, trace_state::running);
  } else if (auto at = env.memory.policy.healthy_at()) {
    next = std::min(next, *at);
  }
  if (next != clock::time_point::max())
    tick_at(self, next);
}

/// The old words are no more in force: what they led to is forgotten, too.
void start_anew(self_ptr self, watchdog_environment& env) {
  env.memory.given_up = false;
  env.memory.next_start = self->clock().now();
  start_at(self, env.memory.next_start);
}

void reload(self_ptr self, watchdog_environment& env) {
  if (self->state.ending)
    return;
  env.memory.reloading = true;
  if (under_way(env))
    begin_stop(self, env); // one that was begun goes on
  else
    start_anew(self, env);
}

/// An end that we did not ask for, or asked for to start it again.
void decide(self_ptr self, watchdog_environment& env, life_end how,
            const process_exited& end) {
  auto& memory = env.memory;
  auto now = self->clock().now();
  auto decision = memory.policy.ended(now, how, env.random());
  auto text = "bpftrace: " + describe_end(end);
  auto cause = text;
  if (auto said = own_reason(end.last_words); !said.empty())
    text += ": " + said;
  memory.given_up = !decision.delay;
  show(env,
       decision.failing ? trace_state::failing
       : decision.delay ? trace_state::starting
                        : trace_state::stopped,
       text, cause);
  if (decision.delay) {
    env.ledger.restarts.fetch_add(1, std::memory_order_relaxed);
    memory.next_start = now + *decision.delay;
    start_at(self, memory.next_start);
    text +=
      decision.failing ? "; failing, tried again in " : "; started again in ";
    text += seconds(*decision.delay);
  } else {
    text += "; not started again (restart)";
  }
  if (decision.report)
    env.log(decision.failing ? log_level::error : log_level::warning, text,
            decision.failing ? log_event::trace_failing
                             : log_event::trace_ended);
}

void on_started(self_ptr self, watchdog_environment& env,
                const process_started& event) {
  auto& st = self->state;
  if (event.life != env.memory.life || !under_way(env))
    return;
  if (!st.running_since)
    st.running_since = self->clock().now();
  show(env, env.memory.policy.failing() ? trace_state::failing
                                        : trace_state::running);
  env.status.update([&](trace_view& view) {
    view.pid = event.pid;
    view.version = event.version;
  });
  if (!st.ending && env.outdated && env.outdated())
    env.memory.reloading = true;
  if (st.ending || env.memory.putting_down || env.memory.reloading)
    begin_stop(self, env);
  else
    look(self, env);
}

void on_exited(self_ptr self, watchdog_environment& env,
               const process_exited& event) {
  auto& st = self->state;
  auto& memory = env.memory;
  if (event.life != memory.life || !under_way(env))
    return;
  st.running_since.reset();
  st.stop = {};
  ++st.tick_generation;
  env.status.update(
    [&](trace_view& view) { view.last_words = event.last_words; });
  auto put_down_by_us = std::exchange(memory.putting_down, false);
  memory.ended = event.life;
  if (st.ending) {
    show(env, trace_state::stopped);
    self->quit(caf::exit_reason::user_shutdown);
    return;
  }
  if (memory.reloading) {
    env.log(log_level::info, "bpftrace: " + describe_end(event)
                               + "; its configuration has changed, it is "
                                 "started again");
    start_anew(self, env);
    return;
  }
  decide(self, env, put_down_by_us ? life_end::put_down : judge(event), event);
}

void start(self_ptr self, watchdog_environment& env) {
  auto& memory = env.memory;
  if (under_way(env) || memory.given_up || self->state.ending)
    return;
  auto prepared = env.prepare();
  if (std::exchange(memory.reloading, false))
    memory.policy = restart_policy{env.config.restart};
  ++memory.life;
  if (!memory.policy.failing())
    show(env, trace_state::starting);
  if (prepared.error.empty()) {
    // A limit of silence is measured by what is read.
    prepared.command.hold_output = env.config.expect_output_within.count() == 0;
    env.process.start(memory.life, std::move(prepared.command),
                      env.config.output_budget);
    return;
  }
  process_exited end;
  end.life = memory.life;
  end.start_error = std::move(prepared.error);
  on_exited(self, env, end);
}

void on_order_to_end(self_ptr self, watchdog_environment& env,
                     const caf::error& reason) {
  auto& st = self->state;
  if (!ends_for_good(reason) || !under_way(env)) {
    if (ends_for_good(reason))
      show(env, trace_state::stopped);
    self->quit(reason);
    return;
  }
  st.ending = true;
  // One that is not running yet will not be; process_exited tells.
  begin_stop(self, env);
}

} // namespace

watchdog_actor::behavior_type watchdog(self_ptr self, watchdog_environment& env,
                                       line_reader_actor reader) {
  keep_exception_text(self);
  answer_roll_calls(self);
  self->set_exit_handler([self, &env](const caf::exit_msg& order) {
    on_order_to_end(self, env, order.reason);
  });
  env.process.attach(std::move(reader), caf::actor_cast<watchdog_actor>(self));
  if (!under_way(env) && !env.memory.given_up)
    start_at(self, env.memory.next_start);
  return {
    [self, &env](const process_started& event) {
      call_fault(env);
      on_started(self, env, event);
    },
    [self, &env](const process_exited& event) {
      call_fault(env);
      on_exited(self, env, event);
    },
    [self, &env](const process_flooding& event) {
      call_fault(env);
      if (event.life == env.memory.life && under_way(env)
          && !self->state.stop.begun())
        put_down(self, env,
                 "more output than output-budget allows: bpftrace is stopped "
                 "and started again");
    },
    [self, &env](reload_atom) {
      call_fault(env);
      reload(self, env);
    },
    [self, &env](start_atom, std::uint64_t generation) {
      call_fault(env);
      if (generation == self->state.start_generation)
        start(self, env);
    },
    [self, &env](caf::tick_atom, std::uint64_t generation) {
      call_fault(env);
      if (generation == self->state.tick_generation)
        look(self, env);
    },
  };
}

} // namespace bpf2graphite
