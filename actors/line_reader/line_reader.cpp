#include "actors/line_reader/line_reader.hpp"

#include "actors/supervisor/shell.hpp"

#include <iterator>
#include <utility>
#include <vector>

namespace bpf2graphite {
namespace {

using self_ptr = line_reader_actor::stateful_pointer<line_reader_state>;
using events = std::vector<lines_event>;

events apply(line_reader_environment& env, const output_opened& event) {
  auto limit =
    env.line_bytes_max ? env.line_bytes_max() : env.memory.line_bytes_max;
  auto plain =
    env.plain_bytes_max ? env.plain_bytes_max() : env.memory.plain_bytes_max;
  // Between two lives the splitter holds nothing.
  if (limit != env.memory.line_bytes_max
      || plain != env.memory.plain_bytes_max) {
    env.memory.line_bytes_max = limit;
    env.memory.plain_bytes_max = plain;
    env.memory.splitter = line_splitter{limit, plain};
  }
  return {event};
}

/// One message as a rule; more only where a line over the limit was cut out.
events apply(line_reader_environment& env, const output_bytes& event) {
  auto& splitter = env.memory.splitter;
  auto held = splitter.held_bytes();
  auto discarded = splitter.discarded_lines();
  auto split = splitter.take(*event.bytes);
  std::vector<output_lines> messages;
  auto add = [&]() -> output_lines& {
    auto& lines = messages.emplace_back();
    lines.arrival = event.arrival;
    return lines;
  };
  std::size_t paid = 0; // bytes of this chunk that go on
  if (auto size = split.joined.size(); size > 0) {
    paid = size - held;
    env.credit.take(held);
    auto& lines = add();
    lines.joined = splitter.take_joined();
    lines.credit = size;
    lines.arrival = arrival_of(event.earlier.get(), paid, event.arrival);
  }
  for (auto region : split.regions) {
    auto fresh = messages.empty() || messages.back().buffer != nullptr;
    auto& lines = fresh ? add() : messages.back();
    lines.buffer = event.bytes;
    lines.earlier = event.earlier;
    lines.arrival = event.arrival;
    lines.offset =
      static_cast<std::size_t>(region.data() - event.bytes->data());
    lines.size = region.size();
    lines.credit += region.size();
    paid += region.size();
  }
  env.ledger.lines_discarded.fetch_add(splitter.discarded_lines() - discarded,
                                       std::memory_order_relaxed);
  env.give_back(event.bytes->size() - paid);
  return {std::make_move_iterator(messages.begin()),
          std::make_move_iterator(messages.end())};
}

events apply(line_reader_environment& env, const output_closed& event) {
  return {output_rest{env.memory.splitter.finish(), event.at}};
}

void process(line_reader_environment& env, const histogram_parser_actor& next,
             const output_event& event) {
  if (env.fault)
    env.fault(line_reader_state::name, env.trace);
  env.memory.busy = true;
  auto messages =
    std::visit([&env](const auto& what) { return apply(env, what); }, event);
  for (auto& message : messages)
    caf::anon_send(next, env.out.put(std::move(message)));
  env.memory.busy = false;
}

/// What the splitter holds belongs to nothing that comes.
void start_fresh(line_reader_environment& env) {
  env.memory.splitter =
    line_splitter{env.memory.line_bytes_max, env.memory.plain_bytes_max};
  env.memory.busy = false;
}

/// A message that killed us twice: its bytes are lost, and the line that it
/// was in the middle of. The life it begins or ends is not.
void give_up(line_reader_environment& env, const histogram_parser_actor& next,
             const output_event& event) {
  env.ledger.crash_messages.fetch_add(1, std::memory_order_relaxed);
  start_fresh(env);
  if (const auto* bytes = std::get_if<output_bytes>(&event))
    env.give_back(bytes->bytes->size());
  else if (const auto* opened = std::get_if<output_opened>(&event))
    caf::anon_send(next, env.out.put(*opened));
  else if (const auto* closed = std::get_if<output_closed>(&event))
    caf::anon_send(next, env.out.put(output_rest{{}, closed->at}));
}

} // namespace

line_reader_actor::behavior_type line_reader(self_ptr self,
                                             line_reader_environment& env,
                                             histogram_parser_actor next) {
  keep_exception_text(self);
  answer_roll_calls(self);
  if (env.memory.busy) {
    env.ledger.crash_messages.fetch_add(1, std::memory_order_relaxed);
    start_fresh(env);
  }
  auto work = [&env, next](const output_event& event) {
    process(env, next, event);
  };
  auto drop = [&env, next](const output_event& event) {
    give_up(env, next, event);
  };
  on_exit(self,
          [&env, work, drop](const caf::error&) { env.in.resume(work, drop); });
  self->send(self, resume_atom_v);
  return {
    [&env, work, drop](const numbered<output_event>& message) {
      env.in.deliver(message.number, work, drop);
    },
    [&env, work, drop](resume_atom) { env.in.resume(work, drop); },
  };
}

} // namespace bpf2graphite
