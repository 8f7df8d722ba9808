#include "actors/batcher/batcher.hpp"

#include "actors/batcher/spool_format.hpp"
#include "actors/batcher/tick_times.hpp"
#include "actors/supervisor/shell.hpp"

#include <algorithm>
#include <utility>

namespace bpf2graphite {
namespace {

using self_ptr = batcher_actor::stateful_pointer<batcher_state>;

void count(counter& c, std::uint64_t n) {
  c.fetch_add(n, std::memory_order_relaxed);
}

/// The handlers' work; `self` and what is lent, nothing more.
struct work {
  self_ptr self;
  batcher_environment& env;

  batcher_state& state() const {
    return self->state;
  }

  void check() const {
    if (env.fault)
      env.fault(batcher_state::name, {});
  }

  // -- inboxes ----------------------------------------------------------------

  void take_points(std::uint64_t up_to) const {
    env.points.deliver(
      up_to,
      [this](const std::vector<metric>& points) { env.queue.add(points); },
      [this](const std::vector<metric>& points) {
        count(env.ledger.crash_messages, 1);
        count(env.ledger.crash_points, points.size());
      });
  }

  void take_reports(std::uint64_t up_to) const {
    env.reports.deliver(
      up_to, [this](const delivery_report& report) { take(report); },
      [this](const delivery_report&) {
        // The batch is sent once more; nothing is lost.
        count(env.ledger.crash_messages, 1);
      });
  }

  void take(const delivery_report& report) const {
    if (report.kind != delivery_report::what::gave_up
        || !to_spool(report.destination))
      env.queue.report(report);
    // When what is left could not be written, the old file is better than none.
    if (env.spool != nullptr && report.kind != delivery_report::what::gave_up)
      drop_spool(report.destination);
  }

  // -- the spool --------------------------------------------------------------

  /// Writes what `destination` has not accepted; false: it must be dropped.
  bool to_spool(std::size_t destination) const {
    if (env.spool == nullptr)
      return false;
    auto left = env.queue.unsent(destination);
    if (left.empty())
      return false;
    auto name = env.destination_name(destination);
    auto file = spool_file_name(name);
    std::uint64_t points = 0;
    for (auto& batch : left) {
      points += batch.points;
      // The daemon after us must not write into these slots.
      keep_slot(batch.newest_slot);
    }
    auto error = env.spool->write(file, encode_spool(name, left));
    if (!error.empty()) {
      env.log(log_level::error,
              "what " + name + " did not accept cannot be kept: " + error);
      return false;
    }
    env.queue.spooled(destination);
    // What it still held is in the new one, which has another name after a
    // reload with other addresses.
    if (const auto& old = env.spool_files.at(destination); old != file)
      env.spool->remove(old);
    state().has_spool.at(destination) = false; // of the daemon after us
    env.log(log_level::notice, std::to_string(points) + " points that " + name
                                 + " did not accept are kept in "
                                 + env.spool->place(file)
                                 + " and are sent first at the next start");
    return true;
  }

  /// Removes the file of the daemon before us once all in it is delivered.
  void drop_spool(std::size_t destination) const {
    if (!state().has_spool.at(destination)
        || env.queue.restored_wait(destination))
      return;
    state().has_spool[destination] = false;
    const auto& file = env.spool_files.at(destination);
    if (auto error = env.spool->remove(file); !error.empty())
      env.log(log_level::warning,
              error + "; it is delivered and would be sent again");
  }

  // -- demand -----------------------------------------------------------------

  /// Gives every destination that waits what there is for it.
  void serve() const {
    for (std::size_t i = 0; i < state().demand.size(); ++i)
      if (state().demand[i].pending())
        serve(i);
  }

  void serve(std::size_t destination) const {
    auto batch = env.queue.next(destination, false);
    if (!batch)
      return;
    keep_slot(batch->newest_slot);
    auto promise = std::exchange(state().demand[destination], {});
    promise.deliver(std::move(*batch));
  }

  /// Delivery goes on without the record: a slot written twice after the next
  /// start is less than no data now.
  void keep_slot(std::int64_t slot) const {
    auto kept = env.slots.keep(slot);
    if (!kept)
      count(env.ledger.record_failures, 1);
    if (!kept && !state().record_failing)
      env.log(log_level::warning,
              "last-slot cannot be written into the runtime directory: after "
              "a restart the slot under way may be sent with a second value");
    state().record_failing = !kept;
  }

  // -- the clock --------------------------------------------------------------

  batch_times times() const {
    return env.times ? env.times()
                     : batch_times{env.config.interval, env.config.offset};
  }

  void start_ticking() const {
    if (state().ticking)
      return;
    state().ticking = true;
    watch_clock();
    auto [interval, offset] = times();
    auto after = time_to_tick(env.now(), interval, offset);
    // Our own metrics come alone, shortly before the tick: a timer for the rest
    // of the way would be a wake-up of its own.
    if (after <= tick_early_max && state().joined.empty())
      return tick();
    schedule(after);
  }

  void schedule(std::chrono::milliseconds after) const {
    self->delayed_send(self, after, caf::tick_atom_v, ++state().schedule);
    announce(self->clock().now() + after);
  }

  void announce(std::chrono::steady_clock::time_point next) const {
    if (env.next_tick)
      env.next_tick(next);
  }

  void watch_clock() const {
    if (!env.since_boot)
      return;
    if (auto step = state().wall_clock.observe(env.now(), env.since_boot()))
      env.log(log_level::warning, clock_step_text(*step));
  }

  void tick() const {
    watch_clock();
    end_round(); // one that is open still has had its time
    begin_round();
    state().ticking = !state().joined.empty() || env.queue.has_open_points();
    if (!state().ticking) {
      ++state().schedule; // none that is on its way counts
      announce(std::chrono::steady_clock::time_point::min());
    }
    auto [interval, offset] = times();
    if (state().ticking)
      schedule(time_after_tick(env.now(), interval, offset));
  }

  // -- rounds -----------------------------------------------------------------

  void begin_round() const {
    auto& st = state();
    ++st.round;
    st.round_open = true;
    count(env.ledger.rounds, 1);
    for (auto& [address, normalizer] : st.joined) {
      st.awaited.insert(address);
      self->send(normalizer, collect_atom_v, st.round);
    }
    if (st.awaited.empty())
      return end_round();
    // Over before the next tick also where the interval is a second.
    auto limit = std::min(env.config.collect_timeout, times().interval / 2);
    self->delayed_send(self, limit, pause_atom_v, st.round);
  }

  void answered(const caf::actor_addr& who) const {
    auto& st = state();
    if (st.round_open && st.awaited.erase(who) > 0 && st.awaited.empty())
      end_round();
  }

  void end_round() const {
    auto& st = state();
    if (!std::exchange(st.round_open, false))
      return;
    count(env.ledger.late, st.awaited.size());
    st.awaited.clear();
    env.queue.close();
    serve();
  }
};

} // namespace

batcher_actor::behavior_type batcher(self_ptr self, batcher_environment& env) {
  work w{self, env};
  keep_exception_text(self);
  answer_roll_calls(self);
  self->state.demand.resize(env.queue.destinations());
  for (std::size_t i = 0; i < env.queue.destinations(); ++i)
    self->state.has_spool.push_back(env.spool != nullptr
                                    && env.queue.restored_wait(i));
  self->set_down_handler([w](const caf::down_msg& down) {
    w.state().joined.erase(down.source);
    w.answered(down.source);
  });
  on_exit(self, [w](const caf::error&) {
    w.take_points(UINT64_MAX);
    w.take_reports(UINT64_MAX);
  });
  // What the one before us left.
  w.take_points(UINT64_MAX);
  w.take_reports(UINT64_MAX);
  if (env.queue.has_open_points())
    w.start_ticking();
  return {
    [w](const numbered<std::vector<metric>>& message) {
      w.check();
      w.take_points(message.number);
      w.start_ticking();
    },
    [w](join_atom, const normalizer_actor& who) {
      w.check();
      if (w.state().joined.insert_or_assign(who.address(), who).second)
        w.self->monitor(who);
      w.start_ticking();
    },
    [w](collected_atom, std::uint64_t round, const caf::actor_addr& who,
        bool stays) {
      w.check();
      if (!stays && w.state().joined.erase(who) > 0)
        w.self->demonitor(who);
      if (round == w.state().round)
        w.answered(who);
    },
    [w](next_batch_atom, std::size_t destination, bool afresh) {
      w.check();
      auto promise = w.self->make_response_promise<metric_batch>();
      if (afresh)
        w.env.queue.give_back(destination);
      w.state().demand.at(destination) = promise;
      w.serve(destination);
      return promise;
    },
    [w](const numbered<delivery_report>& message) {
      w.check();
      w.take_reports(message.number);
      w.serve(); // a loss may have made something to be sent again
    },
    [w](caf::tick_atom, std::uint64_t schedule) {
      w.check();
      if (schedule == w.state().schedule)
        w.tick();
    },
    [w](pause_atom, std::uint64_t round) {
      w.check();
      if (round == w.state().round)
        w.end_round();
    },
    [w](caf::flush_atom, std::size_t destination) {
      w.check();
      w.take_points(UINT64_MAX);
      w.env.queue.close();
      w.env.queue.finish();
      w.serve();
      return w.env.queue.unsent_points(destination);
    },
  };
}

} // namespace bpf2graphite
