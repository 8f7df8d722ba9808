#include "actors/histogram_parser/histogram_parser.hpp"

#include "actors/supervisor/shell.hpp"

#include <utility>

namespace bpf2graphite {
namespace {

using self_ptr =
  histogram_parser_actor::stateful_pointer<histogram_parser_state>;

void pass_on(histogram_parser_environment& env, const normalizer_actor& next,
             output_decoder::result result) {
  for (auto& sentence : result.assumptions)
    env.log(log_level::notice, sentence);
  if (result.attached && env.attached)
    env.attached();
  if (env.printed)
    for (const auto& line : result.printed)
      env.printed(line);
  for (auto& event : result.events)
    caf::anon_send(next, env.out.put(std::move(event)));
  env.give_back(result.credit_back);
}

void tell_losses(self_ptr self, histogram_parser_environment& env, bool all) {
  if (env.losses == nullptr)
    return;
  for (const auto& sentence :
       env.losses->look(env.ledger, self->clock().now(), all))
    env.log(log_level::warning, sentence, log_event::values_lost);
}

void process(self_ptr self, histogram_parser_environment& env,
             const normalizer_actor& next, const lines_event& event) {
  if (env.fault)
    env.fault(histogram_parser_state::name, env.trace);
  if (std::holds_alternative<output_opened>(event))
    env.decoder.reconfigure(env.options());
  pass_on(env, next, env.decoder.take(event));
  tell_losses(self, env, std::holds_alternative<output_rest>(event));
}

/// A message that killed us twice: its values cannot be known, its bytes can.
void give_up(histogram_parser_environment& env, const lines_event& event) {
  env.ledger.crash_messages.fetch_add(1, std::memory_order_relaxed);
  if (const auto* lines = std::get_if<output_lines>(&event))
    env.give_back(lines->credit);
}

constexpr std::uint64_t at_start = 0;
constexpr std::uint64_t at_pause = 1;

/// One delayed message at a time, however much comes: each has a timer to be
/// set and an actor to be woken, and a flood of them cost a tenth of all.
void ask_for_pause(self_ptr self, histogram_parser_environment& env) {
  if (!env.decoder.waiting())
    return;
  auto& state = self->state;
  state.pause_at = self->clock().now() + env.decoder.pause_after();
  if (!std::exchange(state.pause_asked, true))
    self->delayed_send(self, env.decoder.pause_after(), pause_atom_v, at_pause);
}

/// The delayed message is there: it was a pause, or some of it is left.
void look_for_pause(self_ptr self, histogram_parser_environment& env,
                    const normalizer_actor& next) {
  auto& state = self->state;
  state.pause_asked = false;
  if (!env.decoder.waiting())
    return;
  const auto left = state.pause_at - self->clock().now();
  if (left <= left.zero())
    return pass_on(env, next, env.decoder.pause(env.now()));
  state.pause_asked = true;
  self->delayed_send(self, left, pause_atom_v, at_pause);
}

} // namespace

histogram_parser_actor::behavior_type
histogram_parser(self_ptr self, histogram_parser_environment& env,
                 normalizer_actor next) {
  keep_exception_text(self);
  answer_roll_calls(self);
  if (!env.decoder.valid()) {
    env.ledger.crash_messages.fetch_add(1, std::memory_order_relaxed);
    env.decoder.start_fresh();
  }
  auto work = [self, &env, next](const lines_event& event) {
    process(self, env, next, event);
  };
  auto drop = [&env](const lines_event& event) {
    give_up(env, event);
  };
  on_exit(self,
          [&env, work, drop](const caf::error&) { env.in.resume(work, drop); });
  // What a predecessor left comes first; in a message, so that an exception
  // ends the actor and not its start.
  self->send(self, pause_atom_v, at_start);
  return {
    [self, &env, work, drop](const numbered<lines_event>& message) {
      env.in.deliver(message.number, work, drop);
      ask_for_pause(self, env);
    },
    [self, &env, next, work, drop](pause_atom, std::uint64_t what) {
      if (what == at_pause)
        return look_for_pause(self, env, next);
      env.in.resume(work, drop);
      ask_for_pause(self, env);
    },
  };
}

} // namespace bpf2graphite
