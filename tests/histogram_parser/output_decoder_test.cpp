#include "actors/histogram_parser/output_decoder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

lines_event lines(const std::string& text, std::size_t credit = 0) {
  return output_lines{text, nullptr, 0, 0, wall_time_from_ms(1000), credit};
}

std::size_t prints_in(const output_decoder::result& result) {
  std::size_t n = 0;
  for (const auto& event : result.events)
    if (const auto* s = std::get_if<snapshots>(&event))
      n += s->items.size();
  return n;
}

constexpr const char* attached =
  "{\"type\": \"attached_probes\", \"data\": {\"probes\": 1}}\n";
constexpr const char* one_map = "{\"type\": \"map\", \"data\": {\"@x\": 5}}\n";

TEST(OutputDecoder, TellsOfAttachedProbesOnceALife) {
  trace_ledger books;
  output_decoder decoder{{}, books};
  for (std::uint64_t life : {1, 2}) {
    (void)decoder.take(output_opened{life, "", wall_time_from_ms(0)});
    EXPECT_TRUE(decoder.take(lines(attached)).attached);
    EXPECT_FALSE(decoder.take(lines(attached)).attached);
  }
}

TEST(OutputDecoder, BooksWhatAllLivesGave) {
  trace_ledger books;
  output_decoder decoder{{}, books};
  for (std::uint64_t life : {1, 2, 3}) {
    (void)decoder.take(output_opened{life, "", wall_time_from_ms(0)});
    EXPECT_EQ(prints_in(decoder.take(lines(one_map))), 1U);
    (void)decoder.take(output_rest{"", wall_time_from_ms(2000)});
  }
  EXPECT_EQ(books.values, 3U);
  EXPECT_EQ(books.snapshots, 3U);
}

TEST(OutputDecoder, BooksAStatsAsOneValueAsTheNormalizerDoes) {
  trace_ledger books;
  output_decoder decoder{{}, books};
  (void)decoder.take(
    lines("{\"type\": \"stats\", \"data\": {\"@s\": {\"count\": 1, "
          "\"average\": 10, \"total\": 10}}}\n"
          "{\"type\": \"hist\", \"data\": {\"@h\": [{\"min\": 0, \"max\": 0, "
          "\"count\": 1}, {\"min\": 1, \"max\": 1, \"count\": 2}]}}\n"));
  EXPECT_EQ(books.values, 3U);
}

TEST(OutputDecoder, GivesCreditBackForWhatMakesNoSnapshot) {
  trace_ledger books;
  output_decoder decoder{{}, books};
  EXPECT_EQ(decoder.take(lines(attached, 57)).credit_back, 57U);
  auto result = decoder.take(lines(one_map, 40));
  EXPECT_EQ(result.credit_back, 0U);
  EXPECT_EQ(std::get<snapshots>(result.events.back()).credit, 40U);
}

/// What a decoder makes of chunks, as text with arrivals.
std::string decoded(output_format format,
                    const std::vector<output_lines>& chunks) {
  trace_ledger books;
  parser_options options;
  options.speaks.format = format;
  output_decoder decoder{options, books};
  std::string text;
  const auto add = [&](const output_decoder::result& result) {
    for (const auto& event : result.events)
      if (const auto* some = std::get_if<snapshots>(&event))
        for (const auto& one : some->items)
          text += one.map + " " + std::to_string(values_in(one)) + " "
                  + std::to_string(one.arrival.time_since_epoch().count())
                  + "\n";
  };
  add(decoder.take(output_opened{1, "v0.17.0", wall_time_from_ms(0)}));
  for (const auto& chunk : chunks)
    add(decoder.take(chunk));
  add(decoder.take(output_rest{"", wall_time_from_ms(90'000)}));
  return text;
}

/// Output that was held is one chunk with marks; it must give what its pieces
/// give, each read as it came. Marks may cut lines, which then came later.
TEST(OutputDecoder, GivesEachPrintThatWasHeldItsOwnArrival) {
  const std::string json =
    "{\"type\": \"map\", \"data\": {\"@x\": 5}}\n"
    "{\"type\": \"hist\", \"data\": {\"@h\": [{\"min\": 0, \"max\": 0, "
    "\"count\": 1}, {\"min\": 1, \"max\": 1, \"count\": 2}]}}\n";
  const std::string hist = "@h: \n"
                           "[0]                    4 |@@@@@@@@@@@@@@@@|\n"
                           "[1]                    4 |@@@@@@@@@@@@@@@@|\n\n";
  const std::string keyed = "@k[a]: 1\n@k[b]: 2\n\n";
  for (auto format : {output_format::json, output_format::text}) {
    const auto print = format == output_format::json ? json : hist + keyed;
    std::uint32_t seed = 7;
    for (int round = 0; round < 300; ++round) {
      std::string all;
      for (int i = 0; i < 5; ++i)
        all += print;
      arrivals marks;
      std::vector<output_lines> pieces;
      std::size_t from = 0;
      const auto piece_to = [&](std::size_t end, wall_time at) {
        const auto whole = all.substr(0, end).rfind('\n') + 1;
        if (whole <= from)
          return;
        output_lines piece;
        piece.joined = all.substr(from, whole - from);
        piece.arrival = at;
        pieces.push_back(piece);
        from = whole;
      };
      std::int64_t at = 0;
      for (std::size_t end = 0; end < all.size();) {
        seed = seed * 1'664'525 + 1'013'904'223;
        // Mostly between prints, as a rule a second apart.
        end += (seed >> 28) < 3 ? 1 + (seed >> 8) % 40
                                : print.size() - end % print.size();
        at += (seed >> 20) % 5 == 0 ? 10 : 1000;
        marks.push_back({std::min(end, all.size()), wall_time_from_ms(at)});
        piece_to(marks.back().end, marks.back().at);
      }
      output_lines held;
      held.buffer = std::make_shared<const std::string>("ab" + all);
      held.offset = 2; // of a line that was joined
      held.size = all.size();
      for (auto& mark : marks)
        mark.end += 2;
      held.arrival = wall_time_from_ms(at + 500);
      held.earlier = std::make_shared<const arrivals>(marks);
      const auto expected = decoded(format, pieces);
      ASSERT_EQ(std::count(expected.begin(), expected.end(), '\n'), 10);
      ASSERT_EQ(decoded(format, {held}), expected) << round;
    }
  }
}

TEST(OutputDecoder, TakesANewConfigurationWithTheNextLife) {
  trace_ledger books;
  output_decoder decoder{{}, books};
  parser_options text;
  text.speaks.format = output_format::text;
  decoder.reconfigure(text);
  EXPECT_EQ(prints_in(decoder.take(lines(one_map))), 1U) << "still JSON";
  (void)decoder.take(output_opened{1, "v0.17.0", wall_time_from_ms(0)});
  EXPECT_EQ(prints_in(decoder.take(lines("Attaching 1 probe...\n@x: 5\n"
                                         "@y: 6\n"))),
            2U);
}

} // namespace
} // namespace bpf2graphite
