#include "actors/line_reader/line_reader.hpp"

#include "messages/exit.hpp"
#include "tests/support/actor_fixture.hpp"

#include <stdexcept>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using words = std::vector<std::string>;

std::string text_of(const output_lines& lines) {
  return lines.joined
         + (lines.buffer ? lines.buffer->substr(lines.offset, lines.size)
                         : std::string{});
}

class LineReaderTest : public testing::actor_test {
protected:
  static constexpr std::size_t line_bytes_max = 1000;

  inbox<output_event> in;
  inbox<lines_event> out;
  line_reader_memory memory{line_bytes_max};
  byte_credit credit;
  trace_ledger ledger;
  bool poisoned = false; // each message kills the reader
  std::size_t resumes = 0;
  line_reader_environment env{
    .trace = "cpu",
    .in = in,
    .out = out,
    .memory = memory,
    .credit = credit,
    .give_back =
      [this](std::size_t bytes) {
        credit.give_back(bytes, [this] { ++resumes; });
      },
    .ledger = ledger,
    .log = [](log_level, std::string_view) {},
    .fault =
      [this](const char*, const std::string&) {
        if (poisoned)
          throw std::runtime_error("as told");
      },
  };
  line_reader_actor reader;
  histogram_parser_actor parser;
  std::vector<numbered<lines_event>> heard;

  void TearDown() override {
    caf::anon_send_exit(reader, caf::exit_reason::kill);
    caf::anon_send_exit(parser, caf::exit_reason::kill);
    drain();
  }

  void spawn() {
    parser = sys.spawn([this](histogram_parser_actor::pointer)
                         -> histogram_parser_actor::behavior_type {
      return {[this](const numbered<lines_event>& message) {
                heard.push_back(message);
              },
              [](pause_atom, std::uint64_t) {
              }};
    });
    reader = sys.spawn(
      [this](line_reader_actor::stateful_pointer<line_reader_state> actor) {
        return line_reader(actor, env, parser);
      });
    drain();
  }

  numbered<output_event> put(std::string bytes) {
    credit.take(bytes.size());
    return in.put(
      output_bytes{std::make_shared<const std::string>(std::move(bytes)),
                   wall_time_from_ms(1000)});
  }

  void send(std::string bytes) {
    caf::anon_send(reader, put(std::move(bytes)));
    drain();
  }

  /// What the parser got; finishes it, gives its credit back.
  words take() {
    words result;
    out.resume(
      [&](const lines_event& event) {
        if (const auto* lines = std::get_if<output_lines>(&event)) {
          result.push_back(text_of(*lines));
          credit.give_back(lines->credit, [] {});
        } else if (const auto* rest = std::get_if<output_rest>(&event)) {
          result.push_back("rest " + rest->rest);
        } else {
          result.push_back(
            "opened " + std::to_string(std::get<output_opened>(event).life));
        }
      },
      [](const lines_event&) {});
    return result;
  }
};

TEST_F(LineReaderTest, PassesWholeLinesOnInOrder) {
  spawn();
  caf::anon_send(reader, in.put(output_opened{3, "bpftrace v0.17.0", {}}));
  drain();
  send("a\nb");
  send("c\nd\ne");
  send("\n");
  caf::anon_send(reader, in.put(output_closed{wall_time_from_ms(2000)}));
  drain();
  EXPECT_EQ(take(), (words{"opened 3", "a\n", "bc\nd\n", "e\n", "rest "}));
  EXPECT_EQ(credit.under_way(), 0u);
  EXPECT_EQ(in.size(), 0u);
}

TEST_F(LineReaderTest, SaysWhenLinesCameThatWereHeld) {
  spawn();
  send("be");
  const auto marks = std::make_shared<const arrivals>(
    arrivals{{2, wall_time_from_ms(2000)}, {9, wall_time_from_ms(3000)}});
  const std::string bytes = "gin\nmiddle\nend\n";
  credit.take(bytes.size());
  caf::anon_send(reader,
                 in.put(output_bytes{std::make_shared<const std::string>(bytes),
                                     wall_time_from_ms(4000), marks}));
  drain();
  std::vector<output_lines> all;
  out.resume(
    [&](const lines_event& event) {
      all.push_back(std::get<output_lines>(event));
      credit.give_back(all.back().credit, [] {});
    },
    [](const lines_event&) {});
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].joined, "begin\n");
  EXPECT_EQ(all[0].earlier, marks);
  EXPECT_EQ(all[0].offset, 4u);
  // The end of the joined line came with the second mark.
  EXPECT_EQ(arrival_of(marks.get(), all[0].offset, all[0].arrival),
            wall_time_from_ms(3000));
  EXPECT_EQ(all[0].arrival, wall_time_from_ms(4000));
}

TEST_F(LineReaderTest, KnowsWhenTheOnlyLineOfAChunkCame) {
  spawn();
  send("be");
  const std::string bytes = "gin\nmid";
  credit.take(bytes.size());
  caf::anon_send(
    reader, in.put(output_bytes{std::make_shared<const std::string>(bytes),
                                wall_time_from_ms(4000),
                                std::make_shared<const arrivals>(
                                  arrivals{{5, wall_time_from_ms(2000)}})}));
  drain();
  out.resume(
    [&](const lines_event& event) {
      const auto& lines = std::get<output_lines>(event);
      EXPECT_EQ(lines.joined, "begin\n");
      EXPECT_EQ(lines.buffer, nullptr);
      EXPECT_EQ(lines.arrival, wall_time_from_ms(2000));
      credit.give_back(lines.credit, [] {});
    },
    [](const lines_event&) {});
}

TEST_F(LineReaderTest, HandsOnWhatStoodAfterTheLastLine) {
  spawn();
  send("a\nhalf");
  caf::anon_send(reader, in.put(output_closed{}));
  drain();
  EXPECT_EQ(take(), (words{"a\n", "rest half"}));
  send("b\n");
  EXPECT_EQ(take(), (words{"b\n"})) << "of the next life";
}

TEST_F(LineReaderTest, CopiesNothingButTheLineThatWasCut) {
  spawn();
  send("a\nb");
  send("c\nd\n");
  ASSERT_EQ(heard.size(), 2u);
  const auto& lines = std::get<output_lines>(*heard[1].value);
  EXPECT_EQ(lines.joined, "bc\n");
  EXPECT_EQ(lines.offset, 2u);
  EXPECT_EQ(lines.size, 2u);
  EXPECT_EQ(lines.arrival, wall_time_from_ms(1000));
  EXPECT_EQ(lines.credit, 5u);
}

TEST_F(LineReaderTest, KeepsNoCreditForAHalfLineAndTakesItForAWholeOne) {
  spawn();
  send(std::string(600, 'x'));
  EXPECT_EQ(credit.under_way(), 0u) << "or a long line would wait for ever";
  send("y\nz");
  EXPECT_EQ(credit.under_way(), 602u);
  take();
  EXPECT_EQ(credit.under_way(), 0u);
}

TEST_F(LineReaderTest, CountsALineOverTheLimitAndGivesItsBytesBack) {
  spawn();
  send("a\n" + std::string(line_bytes_max + 1, 'x') + "\nb\nc");
  send(std::string(3 * line_bytes_max, 'y'));
  send("y\nd\n");
  EXPECT_EQ(take(), (words{"a\n", "b\n", "d\n"}));
  EXPECT_EQ(ledger.lines_discarded.load(), 2u);
  EXPECT_EQ(credit.under_way(), 0u);
}

TEST_F(LineReaderTest, BalancesItsCreditHoweverTheBytesAreCut) {
  std::string stream;
  for (int i = 0; i < 40; ++i)
    stream += std::string(static_cast<std::size_t>(i * 7 % 30), 'x') + '\n';
  spawn();
  for (std::size_t cut = 1; cut < stream.size(); cut += 3) {
    std::string all;
    for (std::size_t at = 0; at < stream.size(); at += cut) {
      send(stream.substr(at, cut));
      for (const auto& lines : take())
        all += lines;
    }
    ASSERT_EQ(all, stream) << cut;
    ASSERT_EQ(credit.under_way(), 0u) << cut;
  }
}

TEST_F(LineReaderTest, GoesOnWhereItsPredecessorDied) {
  spawn();
  send("a\nb");
  poisoned = true;
  send("c\nd\n");
  EXPECT_TRUE(is_dead(reader));
  put("e\n"); // told to nobody
  poisoned = false;
  spawn();
  EXPECT_EQ(take(), (words{"a\n", "bc\nd\n", "e\n"}));
  EXPECT_EQ(credit.under_way(), 0u);
  EXPECT_EQ(ledger.crash_messages.load(), 0u);
}

TEST_F(LineReaderTest, GivesUpWhatKillsEveryReader) {
  spawn();
  send("a\nhalf");
  poisoned = true;
  send("poison\n");
  spawn();
  EXPECT_TRUE(is_dead(reader));
  spawn(); // gives it up without a look
  poisoned = false;
  send("b\n");
  EXPECT_EQ(take(), (words{"a\n", "b\n"}));
  EXPECT_EQ(ledger.crash_messages.load(), 1u);
  EXPECT_EQ(credit.under_way(), 0u);
}

TEST_F(LineReaderTest, FinishesItsInboxBeforeItEnds) {
  spawn();
  put("a\n");
  put("b\n");
  caf::anon_send_exit(reader, caf::exit_reason::user_shutdown);
  drain();
  EXPECT_TRUE(is_dead(reader));
  EXPECT_EQ(take(), (words{"a\n", "b\n"}));
}

} // namespace
} // namespace bpf2graphite
