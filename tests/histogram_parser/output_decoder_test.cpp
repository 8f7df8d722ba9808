#include "actors/histogram_parser/output_decoder.hpp"

#include <gtest/gtest.h>

#include <string>

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
