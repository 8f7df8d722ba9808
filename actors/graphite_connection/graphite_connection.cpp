#include "actors/graphite_connection/graphite_connection.hpp"

#include "actors/supervisor/shell.hpp"
#include "messages/exit.hpp"

#include <algorithm>
#include <string_view>
#include <utility>
#include <variant>

namespace bpf2graphite {
namespace {

using self_ptr =
  graphite_connection_actor::stateful_pointer<graphite_connection_state>;

// A line that is shown in the log.
constexpr std::size_t line_shown_max = 200;
// Batches whose acceptance is timed.
constexpr std::size_t taken_max = 1000;

std::string time_text(std::chrono::milliseconds time) {
  auto seconds = (time.count() + 500) / 1000;
  return seconds < 120 ? std::to_string(seconds) + " s"
                       : std::to_string(seconds / 60) + " min";
}

/// The handlers' work; `self` and what is lent, nothing more.
struct work {
  self_ptr self;
  connection_environment& env;
  batcher_actor batcher;

  graphite_connection_state& state() const {
    return self->state;
  }

  steady_time now() const {
    return self->clock().now();
  }

  void check() const {
    if (env.fault)
      env.fault(graphite_connection_state::name, {});
  }

  // -- actions ----------------------------------------------------------------

  void run(delivery_actions actions) const {
    for (auto& action : actions)
      std::visit([this](auto& a) { run(a); }, action);
    arm();
    show();
  }

  std::int64_t wall_seconds() const {
    return env.wall ? std::chrono::floor<std::chrono::seconds>(
                        env.wall().time_since_epoch())
                        .count()
                    : 0;
  }

  /// For `status`.
  void show() const {
    auto state = env.state.standing();
    env.status.update([&](destination_view& view) {
      if (view.state != state || view.since == 0) {
        view.state = state;
        view.since = wall_seconds();
      }
      view.reason = in_trouble(state) ? env.state.trouble() : std::string{};
      view.streams = env.state.streams();
    });
  }

  void took(std::uint64_t id) const {
    // It is about the newest: the others were forgotten by a crash.
    if (state().taken.size() == taken_max)
      state().taken.erase(state().taken.begin());
    state().taken.try_emplace(id, now());
  }

  void note_acceptance(std::uint64_t id) const {
    auto at = state().taken.find(id);
    env.status.update([&](destination_view& view) {
      view.accepted_at = wall_seconds();
      if (at != state().taken.end())
        view.acceptance_ms = static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::milliseconds>(now()
                                                                - at->second)
            .count());
    });
    if (at != state().taken.end())
      state().taken.erase(at);
  }

  void run(const wire_connect& a) const {
    env.wire.connect(a.attempt, env.addresses.at(a.address), env.limits);
  }

  void run(const wire_send& a) const {
    env.wire.send(a.attempt, a.lines);
  }

  void run(const wire_half_close& a) const {
    env.wire.half_close(a.attempt);
  }

  void run(const wire_close& a) const {
    env.wire.close(a.attempt);
  }

  void run(const ask_batch& a) const {
    auto w = *this;
    self
      ->request(batcher, caf::infinite, next_batch_atom_v, env.destination,
                a.afresh)
      .then(
        [w](const metric_batch& batch) {
          w.check();
          w.took(batch.id);
          w.run(w.env.state.offer(batch, w.now()));
        },
        [w](const caf::error& why) { w.self->quit(why); });
  }

  void run(const delivery_report& report) const {
    if (report.kind == delivery_report::what::accepted)
      note_acceptance(report.id);
    self->send(batcher, env.reports.put(report));
    if (env.reported)
      env.reported(report.kind == delivery_report::what::accepted);
    if (env.arrivals != nullptr && !state().finishing && report.lines
        && report.kind == delivery_report::what::accepted)
      tell(env.arrivals->accepted(report.id, *report.lines, now()));
    if (state().finishing && report.kind == delivery_report::what::accepted)
      ask_for_the_rest();
  }

  void run(const delivery_note& note) const {
    switch (note.kind) {
      case delivery_note::what::trouble:
        state().trouble_logged = state().troubles.admit(now());
        if (state().trouble_logged)
          env.log(log_level::warning,
                  "Graphite " + env.name + ": " + note.reason + "; " + waiting()
                    + state().troubles.left_out(),
                  log_event::graphite_trouble);
        break;
      case delivery_note::what::recovered:
        if (std::exchange(state().trouble_logged, false))
          env.log(log_level::notice,
                  "Graphite " + env.name + " accepts again after "
                    + time_text(note.lasted),
                  log_event::graphite_well);
        break;
      case delivery_note::what::parked:
      case delivery_note::what::parked_part:
        if (state().parked.admit(now()))
          env.log(log_level::warning,
                  "Graphite " + env.name + " refuses "
                    + (note.points == 1
                         ? "this line, which is left out: "
                         : std::to_string(note.points)
                             + " lines, which are left out, the first: ")
                    + note.reason.substr(0, line_shown_max)
                    + state().parked.left_out(),
                  log_event::line_refused);
        break;
      case delivery_note::what::ahead_off:
        env.log(log_level::notice,
                "Graphite " + env.name + " closes idle connections after "
                  + time_text(note.lasted)
                  + ": no connect-ahead for 10 minutes; connect-ahead = false "
                    "switches it off");
        break;
      case delivery_note::what::fell_back:
        env.log(log_level::warning,
                "Graphite " + env.name
                  + " takes every byte and never closes its side of a "
                    "connection, so it cannot say what it has read: streaming "
                    "over one connection from now on, confirmation is tried "
                    "again every 10 minutes; delivery = \"streaming\" if it "
                    "is meant to be so");
        break;
      case delivery_note::what::confirms:
        env.log(log_level::notice, "Graphite " + env.name
                                     + " confirms batches now: no streaming "
                                       "any more");
        break;
    }
  }

  /// True when they are others than before.
  bool take_addresses() const {
    if (!env.newest)
      return false;
    auto newest = env.newest();
    env.name = std::move(newest.name);
    if (newest.addresses == env.addresses)
      return false;
    env.addresses = std::move(newest.addresses);
    return true;
  }

  // -- reading back -----------------------------------------------------------

  /// Asks what is due.
  void read_back() const {
    if (env.arrivals == nullptr || state().finishing)
      return;
    if (auto question = env.arrivals->ask(now()))
      env.render->get(question->number, std::move(question->query));
  }

  void take(const render_answer& answer) const {
    if (env.arrivals == nullptr || state().finishing)
      return;
    tell(env.arrivals->answered(answer.number, answer.body, now()));
    auto failing = env.arrivals->failing();
    if (failing && !std::exchange(state().render_failing, failing))
      env.log(log_level::warning,
              "render-url: "
                + (answer.body ? "what answers there is no render API of "
                                 "Graphite"
                               : answer.error)
                + "; nothing can be read back, delivery goes on");
    if (!failing && std::exchange(state().render_failing, failing))
      env.log(log_level::notice, "render-url answers again");
    arm();
  }

  /// Tells the queue what is in Graphite and what is to be sent again.
  void tell(const std::vector<arrival_verdict>& verdicts) const {
    std::size_t slots = 0;
    for (const auto& verdict : verdicts) {
      delivery_report report;
      report.destination = env.destination;
      report.kind = verdict.unseen.empty() ? delivery_report::what::seen
                                           : delivery_report::what::unseen;
      report.id = verdict.id;
      report.at = now();
      report.slots = verdict.unseen;
      slots += verdict.unseen.size();
      self->send(batcher, env.reports.put(std::move(report)));
    }
    if (slots > 0 && state().unseen.admit(now()))
      env.log(log_level::warning,
              "Graphite " + env.name + " accepted points of "
                + std::to_string(slots) + (slots == 1 ? " slot" : " slots")
                + " that are not there: they are sent again"
                + state().unseen.left_out());
  }

  std::string waiting() const {
    auto n = env.ledger.waiting.load(std::memory_order_relaxed);
    return std::to_string(n) + (n == 1 ? " point waits" : " points wait");
  }

  // -- time -------------------------------------------------------------------

  /// CAF cannot take a timer back, so one that is on its way and comes no
  /// later than the deadline is used, whatever it was meant for.
  std::optional<steady_time> next_deadline() const {
    auto next = env.state.deadline();
    if (env.arrivals != nullptr && !state().finishing)
      if (auto other = env.arrivals->deadline())
        next = next ? std::min(*next, *other) : *other;
    return next;
  }

  void arm() const {
    auto deadline = next_deadline();
    auto& timers = state().timers;
    if (!deadline || std::any_of(timers.begin(), timers.end(), [&](auto& t) {
          return t.second <= *deadline;
        }))
      return;
    timers[++state().timer] = *deadline;
    auto after = std::max(*deadline - now(), steady_time::duration::zero());
    self->delayed_send(self, after, caf::tick_atom_v, state().timer);
  }

  void tick(std::uint64_t timer) const {
    state().timers.erase(timer);
    read_back();
    auto deadline = env.state.deadline();
    if (deadline && now() >= *deadline)
      run(env.state.time_passed(now(), env.random()));
    else
      arm();
  }

  // -- the end ----------------------------------------------------------------

  void finish() const {
    state().finishing = true;
    if (env.ends)
      env.ends();
    self->delayed_send(self, env.flush_timeout, stop_atom_v);
    run(env.state.finish(now()));
    ask_for_the_rest();
  }

  /// Ends when nothing is left.
  void ask_for_the_rest() const {
    auto w = *this;
    self->request(batcher, caf::infinite, caf::flush_atom_v, env.destination)
      .then(
        [w](std::uint64_t points) {
          if (points == 0)
            w.leave();
        },
        [w](const caf::error& why) { w.self->quit(why); });
  }

  void give_up() const {
    auto w = *this;
    self->request(batcher, caf::infinite, caf::flush_atom_v, env.destination)
      .then(
        [w](std::uint64_t points) {
          if (points > 0)
            w.env.log(log_level::error, "Graphite " + w.env.name
                                          + " did not accept "
                                          + std::to_string(points)
                                          + (points == 1 ? " point" : " points")
                                          + " before the end"
                                          + (w.env.state.trouble().empty()
                                               ? ""
                                               : ": " + w.env.state.trouble()));
          delivery_report report;
          report.destination = w.env.destination;
          report.kind = delivery_report::what::gave_up;
          w.run(report);
          w.leave();
        },
        [w](const caf::error& why) { w.self->quit(why); });
  }

  void leave() const {
    env.wire.listen(nullptr);
    if (env.render != nullptr)
      env.render->listen(nullptr);
    run(env.state.abandon());
    self->quit(caf::exit_reason::user_shutdown);
  }
};

} // namespace

graphite_connection_actor::behavior_type
graphite_connection(self_ptr self, connection_environment& env,
                    batcher_actor batcher) {
  work w{self, env, std::move(batcher)};
  keep_exception_text(self);
  answer_roll_calls(self);
  self->set_exit_handler([w](const caf::exit_msg& order) {
    if (!ends_for_good(order.reason))
      w.self->quit(order.reason);
    else if (w.state().finishing)
      w.leave(); // told twice: at once
    else
      w.finish();
  });
  // A batcher that dies answers no demand that it has kept.
  self->monitor(w.batcher);
  self->set_down_handler([w](const caf::down_msg& down) { //
    w.self->quit(down.reason);
  });
  // The wire outlives us: it must not keep us alive.
  env.wire.listen([address = self->address()](wire_event event) {
    if (auto alive = caf::actor_cast<caf::strong_actor_ptr>(address))
      caf::anon_send(caf::actor_cast<graphite_connection_actor>(alive),
                     std::move(event));
  });
  if (env.arrivals != nullptr) {
    env.render->listen([address = self->address()](render_answer answer) {
      if (auto alive = caf::actor_cast<caf::strong_actor_ptr>(address))
        caf::anon_send(caf::actor_cast<graphite_connection_actor>(alive),
                       std::move(answer));
    });
    env.arrivals->adopt();
  }
  if (!env.state.valid()) {
    env.log(log_level::error,
            "Graphite " + env.name
              + ": the state of the delivery was in doubt after a crash; it "
                "begins anew, no point is lost");
    env.state.start_fresh();
  }
  w.take_addresses();
  w.run(env.state.adopt(w.now()));
  return {
    [w](const wire_event& event) {
      w.check();
      w.run(w.env.state.wire(event, w.now(), w.env.random()));
    },
    [w](const render_answer& answer) {
      w.check();
      w.take(answer);
    },
    [w](reload_atom) {
      w.check();
      if (w.take_addresses())
        w.run(w.env.state.redirect(w.now()));
    },
    [w](caf::tick_atom, std::uint64_t timer) {
      w.check();
      w.tick(timer);
    },
    [w](stop_atom) {
      w.check();
      w.give_up();
    },
  };
}

} // namespace bpf2graphite
