#include "actors/normalizer/normalizer.hpp"

#include "actors/supervisor/shell.hpp"
#include "messages/exit.hpp"

#include <utility>

namespace bpf2graphite {
namespace {

using self_ptr = normalizer_actor::stateful_pointer<normalizer_state>;

void pass_on(normalizer_environment& env, const batcher_actor& next,
             std::vector<metric> points) {
  if (points.empty())
    return;
  if (env.tap)
    env.tap(points);
  env.ledger.points.fetch_add(points.size(), std::memory_order_relaxed);
  caf::anon_send(next, env.out.put(std::move(points)));
}

struct apply {
  normalizer_environment& env;
  const batcher_actor& next;

  void operator()(const output_opened& event) const {
    // The script may have changed since the last start.
    std::vector<metric> points;
    env.series->reconfigure(env.rules(), env.now(), points);
    pass_on(env, next, std::move(points));
    env.series->opened(event.at);
  }

  void operator()(const probes_attached& event) const {
    env.series->attached(event.at);
  }

  void operator()(const snapshots& event) const {
    for (const auto& item : event.items)
      env.series->add(item);
    env.give_back(event.credit);
  }

  void operator()(const output_closed& event) const {
    env.series->closed(event.at);
  }
};

/// To be asked at each tick: there is something that will be due, or that
/// `status` has not seen.
void join(self_ptr self, const batcher_actor& next) {
  if (!std::exchange(self->state.joined, true))
    self->send(next, join_atom_v, caf::actor_cast<normalizer_actor>(self));
}

void process(self_ptr self, normalizer_environment& env,
             const batcher_actor& next, const snapshot_event& event) {
  if (env.fault)
    env.fault(normalizer_state::name, env.trace);
  std::visit(apply{env, next}, event);
  if (std::holds_alternative<snapshots>(event))
    join(self, next);
}

std::uint64_t values_in(const snapshots& event) {
  std::uint64_t values = 0;
  for (const auto& item : event.items)
    values += values_in(item);
  return values;
}

/// A message that killed us twice.
void give_up(normalizer_environment& env, const snapshot_event& event) {
  env.ledger.crash_messages.fetch_add(1, std::memory_order_relaxed);
  if (const auto* lost = std::get_if<snapshots>(&event)) {
    env.ledger.crash_values.fetch_add(values_in(*lost),
                                      std::memory_order_relaxed);
    env.give_back(lost->credit);
  }
}

} // namespace

normalizer_actor::behavior_type
normalizer(self_ptr self, normalizer_environment& env, batcher_actor next) {
  keep_exception_text(self);
  answer_roll_calls(self);
  if (!env.series->valid()) {
    auto lost = env.series->open_values();
    env.ledger.crash_values.fetch_add(lost, std::memory_order_relaxed);
    env.log(log_level::error, "the open slots were in doubt after a crash: "
                                + std::to_string(lost)
                                + " values dropped, counted as crash");
    env.series = env.fresh();
  }
  auto work = [self, &env, next](const snapshot_event& event) {
    process(self, env, next, event);
  };
  auto drop = [&env](const snapshot_event& event) {
    give_up(env, event);
  };
  on_exit(self, [&env, next, work, drop](const caf::error& reason) {
    env.in.resume(work, drop);
    if (!ends_for_good(reason))
      return;
    std::vector<metric> points;
    env.series->drain(env.now(), points);
    env.view.publish(*env.series);
    pass_on(env, next, std::move(points));
  });
  // Our predecessor's slots, and what it did not finish, are due some time.
  if (env.series->has_open() || env.in.size() > 0)
    join(self, next);
  return {
    [&env, work, drop](const numbered<snapshot_event>& message) {
      env.in.deliver(message.number, work, drop);
    },
    [self, &env, next, work, drop](collect_atom, std::uint64_t round) {
      env.in.resume(work, drop);
      std::vector<metric> points;
      env.series->collect(env.now(), points);
      env.view.publish(*env.series);
      pass_on(env, next, std::move(points));
      self->state.joined = env.series->has_open();
      self->send(next, collected_atom_v, round, self->address(),
                 self->state.joined);
    },
  };
}

} // namespace bpf2graphite
