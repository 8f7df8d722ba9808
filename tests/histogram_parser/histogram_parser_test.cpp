#include "actors/histogram_parser/histogram_parser.hpp"

#include "messages/exit.hpp"
#include "tests/support/actor_fixture.hpp"

#include <stdexcept>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

/// Keeps what a normalizer would be told.
struct sink_state {
  std::vector<snapshot_event> events;
  static inline const char* name = "normalizer";
};

normalizer_actor::behavior_type
sink(normalizer_actor::stateful_pointer<sink_state> self,
     std::vector<snapshot_event>* into) {
  return {
    [into](const numbered<snapshot_event>& m) { into->push_back(*m.value); },
    [self](collect_atom, std::uint64_t) {},
  };
}

parser_options options(output_format format) {
  parser_options result;
  result.speaks = {format, bpftrace_version{0, 17, 0}};
  return result;
}

class HistogramParserActor : public testing::actor_test {
protected:
  inbox<lines_event> in;
  inbox<snapshot_event> out;
  trace_ledger ledger;
  output_decoder decoder{options(output_format::json), ledger};
  std::size_t given_back = 0;
  int attached = 0;
  int faults_left = 0;
  std::vector<snapshot_event> events;
  histogram_parser_environment env{
    .trace = "t",
    .in = in,
    .out = out,
    .decoder = decoder,
    .ledger = ledger,
    .options = [] { return options(output_format::json); },
    .give_back = [this](std::size_t n) { given_back += n; },
    .attached = [this] { ++attached; },
    .printed = {},
    .now = [] { return wall_time_from_ms(5000); },
    .log = [](log_level, std::string_view) {},
    .fault =
      [this](const char*, const std::string&) {
        if (faults_left > 0 && faults_left-- > 0)
          throw std::runtime_error("a test's fault");
      },
  };
  normalizer_actor next = sys.spawn(sink, &events);

  histogram_parser_actor start() {
    auto parser = sys.spawn(
      [this](histogram_parser_actor::stateful_pointer<histogram_parser_state>
               subject) { return histogram_parser(subject, env, next); });
    drain();
    return parser;
  }

  void say(const histogram_parser_actor& to, lines_event event) {
    caf::anon_send(to, in.put(std::move(event)));
    drain();
  }

  static lines_event lines(const std::string& text) {
    return output_lines{text,       nullptr, 0, 0, wall_time_from_ms(1000),
                        text.size()};
  }

  std::size_t snapshots_seen() const {
    std::size_t n = 0;
    for (const auto& event : events)
      if (const auto* s = std::get_if<snapshots>(&event))
        n += s->items.size();
    return n;
  }

  ~HistogramParserActor() override {
    caf::anon_send_exit(next, caf::exit_reason::user_shutdown);
    drain();
  }
};

constexpr const char* attach_line =
  "{\"type\": \"attached_probes\", \"data\": {\"probes\": 1}}\n";
constexpr const char* one_map = "{\"type\": \"map\", \"data\": {\"@x\": 5}}\n";

TEST_F(HistogramParserActor, PassesSnapshotsOnWithTheirCredit) {
  auto parser = start();
  say(parser, output_opened{1, "bpftrace v0.17.0", wall_time_from_ms(0)});
  say(parser, lines(attach_line));
  say(parser, lines(one_map));
  say(parser, output_rest{"", wall_time_from_ms(2000)});
  ASSERT_EQ(events.size(), 4U);
  EXPECT_TRUE(std::holds_alternative<output_opened>(events[0]));
  EXPECT_TRUE(std::holds_alternative<probes_attached>(events[1]));
  const auto& got = std::get<snapshots>(events[2]);
  EXPECT_EQ(got.items.at(0).map, "@x");
  EXPECT_EQ(got.credit, std::string_view{one_map}.size());
  EXPECT_TRUE(std::holds_alternative<output_closed>(events[3]));
  EXPECT_EQ(attached, 1);
  EXPECT_EQ(ledger.values, 1U);
  EXPECT_EQ(given_back, std::string_view{attach_line}.size())
    << "only the line about probes is done with";
  caf::anon_send_exit(parser, caf::exit_reason::user_shutdown);
  drain();
}

TEST_F(HistogramParserActor, ASuccessorGoesOnWithTheMessageThatKilled) {
  auto parser = start();
  faults_left = 1;
  say(parser, lines(one_map));
  EXPECT_TRUE(is_dead(parser));
  EXPECT_EQ(snapshots_seen(), 0U);
  say(parser, lines(one_map)); // to a dead actor: only the inbox keeps it
  auto successor = start();
  EXPECT_EQ(snapshots_seen(), 2U);
  EXPECT_EQ(ledger.crash_messages, 0U);
  EXPECT_EQ(in.size(), 0U);
  caf::anon_send_exit(successor, caf::exit_reason::user_shutdown);
  drain();
}

TEST_F(HistogramParserActor, AMessageThatKillsAgainAndAgainIsGivenUp) {
  faults_left = 100;
  auto parser = start();
  say(parser, lines(one_map));
  for (int i = 1; i < inbox_attempts_max; ++i) {
    EXPECT_EQ(ledger.crash_messages, 0U);
    EXPECT_TRUE(is_dead(start()));
  }
  faults_left = 0;
  auto last = start();
  EXPECT_FALSE(is_dead(last));
  EXPECT_EQ(ledger.crash_messages, 1U);
  EXPECT_EQ(given_back, std::string_view{one_map}.size());
  say(last, lines(one_map));
  EXPECT_EQ(snapshots_seen(), 1U);
  caf::anon_send_exit(last, restart_reason);
  drain();
  EXPECT_TRUE(is_dead(last));
}

TEST_F(HistogramParserActor, APauseEndsAPrintThatHasNoEnd) {
  decoder = output_decoder{options(output_format::text), ledger};
  auto parser = start();
  say(parser, lines("Attaching 1 probe...\n@x[a]: 1\n@x[b]: 2\n"));
  EXPECT_EQ(snapshots_seen(), 0U);
  advance(decoder.pause_after());
  EXPECT_EQ(snapshots_seen(), 1U);
  caf::anon_send_exit(parser, caf::exit_reason::user_shutdown);
  drain();
}

TEST_F(HistogramParserActor, AsksForOnePauseHoweverMuchComes) {
  decoder = output_decoder{options(output_format::text), ledger};
  auto parser = start();
  const auto timers = [&] {
    return sched.clock().schedule().size();
  };
  const auto half = decoder.pause_after() / 2;
  EXPECT_EQ(timers(), 0U);
  say(parser, lines("Attaching 1 probe...\n@x[a]: 1\n"));
  for (int i = 0; i < 100; ++i)
    say(parser, lines("@x[b" + std::to_string(i) + "]: 2\n"));
  EXPECT_EQ(timers(), 1U);
  advance(half);
  say(parser, lines("@x[c]: 3\n"));
  advance(half);
  EXPECT_EQ(snapshots_seen(), 0U) << "something came since";
  EXPECT_EQ(timers(), 1U);
  advance(half);
  EXPECT_EQ(snapshots_seen(), 1U);
  EXPECT_EQ(timers(), 0U);
  // One that ends before its pause asks for nothing more.
  say(parser, lines("@x[a]: 1\n"));
  say(parser, output_rest{"", wall_time_from_ms(2000)});
  EXPECT_EQ(snapshots_seen(), 2U);
  advance(2 * half);
  EXPECT_EQ(timers(), 0U);
  caf::anon_send_exit(parser, caf::exit_reason::user_shutdown);
  drain();
}

} // namespace
} // namespace bpf2graphite
