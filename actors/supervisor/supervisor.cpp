#include "actors/supervisor/supervisor.hpp"

#include "actors/supervisor/shell.hpp"
#include "messages/exit.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>

namespace bpf2graphite {
namespace {

using self_ptr = caf::stateful_actor<supervisor_state>*;
using supervision::clock;
using supervision::strategy;

void advance(self_ptr self);

double draw(const supervisor_state& st) {
  return st.spec.random ? st.spec.random() : 1.0;
}

supervision::backoff& backoff_of(supervisor_state& st, child& which) {
  auto& backoff =
    st.spec.strategy == strategy::one_for_one ? which.backoff : st.backoff;
  if (!backoff)
    backoff = std::make_unique<supervision::backoff>(st.spec.backoff);
  return *backoff;
}

bool admit_restart(supervisor_state& st, clock::time_point now) {
  if (!st.window)
    st.window =
      std::make_unique<supervision::restart_window>(st.spec.intensity);
  return st.window->admit(now);
}

bool ended_clean(const caf::error& reason) {
  return !reason || reason == caf::exit_reason::normal
         || reason == caf::exit_reason::user_shutdown;
}

bool wants_restart(const child_spec& spec, const caf::error& reason) {
  using supervision::restart;
  return spec.restart == restart::permanent
         || (spec.restart == restart::transient && !ended_clean(reason));
}

void mark_stopping(child& which) {
  which.stopping = which.up;
}

/// Ends the supervisor once its children are gone, last one first.
void shut_down(self_ptr self, caf::error reason) {
  auto& st = self->state;
  auto for_good = ends_for_good(reason);
  if (st.verdict && (!for_good || ends_for_good(*st.verdict)))
    return;
  st.verdict = std::move(reason);
  st.adopting = for_good;
  for (auto& which : st.children) {
    if (!for_good)
      mark_stopping(which);
    // Told to make way, now told to end for good: those that are supervisors
    // understand, the others are as good as gone, and come up once more.
    else if (which.up && which.asked)
      self->send_exit(which.handle, caf::exit_reason::user_shutdown);
  }
  advance(self);
}

/// A child that ought to run does not.
void on_failure(self_ptr self, std::size_t failed, const std::string& reason) {
  auto& st = self->state;
  auto now = self->clock().now();
  auto& which = st.children[failed];
  auto admitted = admit_restart(st, now);
  if (!admitted && st.spec.exhaustion == supervision::exhaustion::escalate) {
    shut_down(self, caf::make_error(caf::sec::runtime_error,
                                    st.spec.id + ": too many restarts, last of "
                                      + which.spec.id + ": " + reason));
    return;
  }
  auto began_failing = !admitted && !st.failing;
  st.failing = st.failing || !admitted;
  auto& timing = backoff_of(st, which);
  auto delay =
    st.failing ? timing.next_at_cap(now, draw(st)) : timing.next(now, draw(st));
  auto [first, last] =
    supervision::affected(st.spec.strategy, failed, st.children.size());
  for (auto i = first; i < last; ++i) {
    mark_stopping(st.children[i]);
    st.children[i].due = now + delay;
  }
  if (st.failing)
    self->delayed_send(self, delay + st.spec.backoff.healthy_after,
                       health_atom_v, ++st.failures);
  if (st.spec.observer.restarting)
    st.spec.observer.restarting(which.spec.id, reason, delay);
  if (began_failing && st.spec.observer.failing)
    st.spec.observer.failing(true, which.spec.id + ": " + reason);
}

/// Starts one child; what its start function throws is the child's failure.
void start(self_ptr self, std::size_t index) {
  auto& st = self->state;
  auto& which = st.children[index];
  std::string trouble;
  try {
    which.handle = which.spec.start(self, siblings{st.children, index});
    if (!which.handle)
      trouble = "its start function gave no actor";
  } catch (const std::exception& e) {
    trouble = e.what();
  }
  if (!trouble.empty()) {
    which.handle = nullptr;
    if (!st.verdict && !which.removing)
      on_failure(self, index, "not started: " + trouble);
    return;
  }
  which.up = true;
  which.stopping = false;
  which.asked = false;
  which.incarnation = ++st.incarnations;
  self->monitor(which.handle);
}

bool some_stopping(const supervisor_state& st) {
  return std::any_of(st.children.begin(), st.children.end(),
                     [](const child& x) { return x.up && x.stopping; });
}

/// Brings up every wanted child that is down and due, in start order. Children
/// that depend on each other wait for those before them.
void start_due(self_ptr self, bool all) {
  auto& st = self->state;
  auto alone = st.spec.strategy == strategy::one_for_one;
  if (!alone && some_stopping(st))
    return;
  auto now = self->clock().now();
  for (std::size_t i = 0; i < st.children.size(); ++i) {
    auto& which = st.children[i];
    if (which.up || !which.wanted || which.removing)
      continue;
    if (all || which.due <= now)
      start(self, i);
    if (st.verdict && !all)
      return; // that was one failure too many
    if (!alone && !st.children[i].up)
      return; // those behind it need it
  }
}

void ask_to_end(self_ptr self, child& which) {
  auto& st = self->state;
  auto for_good = which.removing
                  || (st.verdict && !st.adopting && ends_for_good(*st.verdict));
  which.asked = true;
  self->send_exit(which.handle,
                  for_good ? caf::exit_reason::user_shutdown : restart_reason);
  if (which.spec.grace)
    self->delayed_send(self, *which.spec.grace, kill_atom_v, which.incarnation);
}

/// Tells those to end that have to and may now.
void stop_marked(self_ptr self) {
  auto& st = self->state;
  auto one_by_one = st.spec.stop == supervision::stop_order::last_first;
  auto waiting = false;
  for (auto i = st.children.rbegin(); i != st.children.rend(); ++i) {
    if (i->up && i->stopping) {
      if (!i->asked)
        ask_to_end(self, *i);
      waiting = waiting || (one_by_one && !i->removing);
    }
    if (waiting && !i->spec.with_previous)
      return;
  }
}

void forget_removed(self_ptr self) {
  auto& st = self->state;
  for (auto i = st.children.begin(); i != st.children.end();) {
    if (i->up || !i->removing) {
      ++i;
      continue;
    }
    auto id = std::move(i->spec.id);
    i = st.children.erase(i);
    std::erase_if(st.removals, [&id](auto& removal) {
      if (removal.first != id)
        return false;
      removal.second.deliver(caf::ok_atom_v);
      return true;
    });
  }
}

/// One timer for the child that is due next.
void set_timer(self_ptr self) {
  auto& st = self->state;
  auto now = self->clock().now();
  auto before = st.timer;
  for (const auto& which : st.children) {
    if (which.up || !which.wanted || which.removing || which.due <= now
        || (st.timer && *st.timer <= which.due))
      continue;
    st.timer = which.due;
  }
  if (st.timer != before)
    self->delayed_send(self, *st.timer - now, start_atom_v);
}

/// Takes every step that is possible now.
void advance(self_ptr self) {
  auto& st = self->state;
  if (st.adopting && !some_stopping(st)) {
    // What they hold has to be stopped by them; then all end.
    start_due(self, true);
    st.adopting = false;
    for (auto& which : st.children)
      mark_stopping(which);
  }
  stop_marked(self);
  forget_removed(self);
  if (st.verdict) {
    auto none_up = std::none_of(st.children.begin(), st.children.end(),
                                [](const child& x) { return x.up; });
    if (none_up)
      self->quit(*st.verdict);
    return;
  }
  start_due(self, false);
  // A failing start may have marked others, or have ended us.
  if (st.verdict)
    return;
  if (some_stopping(st))
    stop_marked(self);
  set_timer(self);
}

void on_down(self_ptr self, const caf::down_msg& msg) {
  auto& st = self->state;
  auto which =
    std::find_if(st.children.begin(), st.children.end(), [&](const child& x) {
      return x.up && x.handle == msg.source;
    });
  if (which == st.children.end())
    return;
  auto expected = which->stopping;
  which->up = false;
  which->stopping = false;
  which->asked = false;
  which->handle = nullptr;
  if (expected || st.verdict)
    return advance(self);
  auto reason = describe(self->system(), msg.reason);
  if (which->spec.significant)
    return shut_down(self, caf::make_error(caf::sec::runtime_error,
                                           st.spec.id + ": " + which->spec.id
                                             + " has ended: " + reason));
  which->wanted = wants_restart(which->spec, msg.reason);
  if (which->wanted)
    on_failure(self, static_cast<std::size_t>(which - st.children.begin()),
               reason);
  advance(self);
}

auto find_child(supervisor_state& st, const std::string& id) {
  return std::find_if(st.children.begin(), st.children.end(),
                      [&](const child& x) { return x.spec.id == id; });
}

caf::error refuse(const supervisor_state& st, const std::string& why) {
  return caf::make_error(caf::sec::runtime_error, st.spec.id + ": " + why);
}

caf::result<caf::ok_atom> add(self_ptr self, child_spec spec) {
  auto& st = self->state;
  if (st.verdict)
    return refuse(st, "is about to end");
  if (find_child(st, spec.id) != st.children.end())
    return refuse(st, "has a child " + spec.id);
  st.children.push_back({.spec = std::move(spec), .handle = nullptr});
  advance(self);
  return caf::ok_atom_v;
}

caf::result<caf::ok_atom> remove(self_ptr self, const std::string& id) {
  auto& st = self->state;
  if (st.spec.strategy != strategy::one_for_one)
    return refuse(st, "its children depend on each other");
  auto which = find_child(st, id);
  if (which == st.children.end())
    return refuse(st, "has no child " + id);
  auto promise = self->make_response_promise<caf::ok_atom>();
  st.removals.emplace_back(id, promise);
  if (!which->removing) {
    which->removing = true;
    // One that is down holds something all the same: it comes up once more.
    if (!which->up && which->wanted && !st.verdict)
      start(self, static_cast<std::size_t>(which - st.children.begin()));
    // Told to make way before: it is about to go, or, if a supervisor, learns.
    if (which->up && which->asked)
      self->send_exit(which->handle, caf::exit_reason::user_shutdown);
    mark_stopping(*which);
  }
  advance(self);
  return promise;
}

/// One message for all: they are many, and asked each few seconds.
void call(self_ptr self, const roll_call& all) {
  const auto message = caf::make_message(all);
  for (const auto& which : self->state.children)
    if (which.up)
      caf::anon_send(which.handle, message);
}

void on_health(self_ptr self, std::uint64_t failures) {
  auto& st = self->state;
  if (!st.failing || failures != st.failures || st.verdict)
    return;
  st.failing = false;
  st.window.reset();
  if (st.spec.observer.failing)
    st.spec.observer.failing(false, {});
}

} // namespace

const caf::actor& siblings::find(const std::string& id) const {
  for (std::size_t i = 0; i < visible_; ++i)
    if (children_[i].up && children_[i].spec.id == id)
      return children_[i].handle;
  throw std::logic_error{"no sibling " + id + " is started before"};
}

supervisor_state::~supervisor_state() {
  for (auto i = children.rbegin(); i != children.rend(); ++i)
    if (i->up)
      caf::anon_send_exit(i->handle, restart_reason);
}

std::string describe(caf::actor_system& sys, const caf::error& reason) {
  if (!reason)
    return "it quit";
  const auto& context = reason.context();
  if (context.size() == 1 && context.match_element<std::string>(0))
    return context.get_as<std::string>(0);
  return sys.render(reason);
}

caf::behavior supervisor(self_ptr self, supervisor_spec spec) {
  auto& st = self->state;
  keep_exception_text(self);
  self->set_default_handler(caf::drop);
  auto children = std::exchange(spec.children, {});
  st.spec = std::move(spec);
  st.children.reserve(children.size());
  for (auto& each : children)
    st.children.push_back({.spec = std::move(each), .handle = nullptr});
  self->set_down_handler(
    [self](const caf::down_msg& msg) { on_down(self, msg); });
  self->set_exit_handler(
    [self](const caf::exit_msg& order) { shut_down(self, order.reason); });
  advance(self);
  return {
    [self](start_atom) {
      self->state.timer.reset();
      advance(self);
    },
    [self](kill_atom, std::uint64_t incarnation) {
      for (const auto& each : self->state.children)
        if (each.up && each.asked && each.incarnation == incarnation)
          self->send_exit(each.handle, caf::exit_reason::kill);
    },
    [self](health_atom, std::uint64_t failures) { on_health(self, failures); },
    [self](add_atom, const child_spec& spec_of_child) {
      return add(self, spec_of_child);
    },
    [self](remove_atom, const std::string& id) { return remove(self, id); },
    [self](const roll_call& all) { call(self, all); },
  };
}

} // namespace bpf2graphite
