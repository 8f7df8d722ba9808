#include "actors/histogram_parser/records.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>

namespace bpf2graphite {
namespace {

snapshot print_of(std::string map, map_kind kind, map_entry entry) {
  snapshot print;
  print.map = std::move(map);
  print.kind = kind;
  print.number = 3;
  print.entries.push_back(std::move(entry));
  return print;
}

map_entry entry_of(std::vector<std::string> keys,
                   decltype(map_entry::value) v) {
  map_entry entry;
  entry.keys = std::move(keys);
  entry.value = std::move(v);
  return entry;
}

std::string records_of(const snapshot& print) {
  std::string out;
  write_records(print, out);
  return out;
}

std::string json(std::string_view bytes) {
  std::string out;
  append_json_string(bytes, out);
  return out;
}

TEST(Records, WriteAHistogramRowByRow) {
  std::vector<bucket> rows{{std::nullopt, -1, 1},
                           {0, 0, std::numeric_limits<std::uint64_t>::max()},
                           {95, std::nullopt, 0}};
  EXPECT_EQ(
    records_of(print_of("@h", map_kind::hist, entry_of({"a", "7"}, rows))),
    "{\"map\":\"@h\",\"keys\":[\"a\",\"7\"],\"kind\":\"hist\",\"bucket\":"
    "{\"min\":null,\"max\":-1},\"value\":1,\"snapshot\":3}\n"
    "{\"map\":\"@h\",\"keys\":[\"a\",\"7\"],\"kind\":\"hist\",\"bucket\":"
    "{\"min\":0,\"max\":0},\"value\":18446744073709551615,\"snapshot\":3}\n"
    "{\"map\":\"@h\",\"keys\":[\"a\",\"7\"],\"kind\":\"hist\",\"bucket\":"
    "{\"min\":95,\"max\":null},\"value\":0,\"snapshot\":3}\n");
}

TEST(Records, WriteNothingForAHistogramWithoutRows) {
  EXPECT_EQ(records_of(print_of("@h", map_kind::hist,
                                entry_of({}, std::vector<bucket>{}))),
            "");
}

TEST(Records, WriteExactIntegers) {
  exact lowest = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(records_of(print_of("@", map_kind::value, entry_of({}, lowest))),
            "{\"map\":\"@\",\"keys\":[],\"kind\":\"value\",\"value\":"
            "-9223372036854775808,\"snapshot\":3}\n");
}

TEST(Records, WriteStatsAsThreeLines) {
  EXPECT_EQ(records_of(print_of("@s", map_kind::stats,
                                entry_of({}, stats_value{2, -10, -21}))),
            "{\"map\":\"@s\",\"keys\":[],\"kind\":\"stats\",\"value\":2,"
            "\"snapshot\":3,\"field\":\"count\"}\n"
            "{\"map\":\"@s\",\"keys\":[],\"kind\":\"stats\",\"value\":-10,"
            "\"snapshot\":3,\"field\":\"average\"}\n"
            "{\"map\":\"@s\",\"keys\":[],\"kind\":\"stats\",\"value\":-21,"
            "\"snapshot\":3,\"field\":\"total\"}\n");
}

TEST(Records, WriteTheTimesOfATseries) {
  std::vector<tseries_value> intervals{{"20:44:56.400", 1261}};
  EXPECT_EQ(
    records_of(print_of("@r", map_kind::tseries, entry_of({}, intervals))),
    "{\"map\":\"@r\",\"keys\":[],\"kind\":\"tseries\",\"value\":1261,"
    "\"snapshot\":3,\"time\":\"20:44:56.400\"}\n");
}

TEST(Records, WritePrintsOfNoMapWithoutNameAndNumber) {
  EXPECT_EQ(records_of(print_of("", map_kind::print, entry_of({}, exact{42}))),
            "{\"map\":null,\"keys\":[],\"kind\":\"print\",\"value\":42,"
            "\"snapshot\":null}\n");
  EXPECT_EQ(records_of(print_of("", map_kind::print,
                                entry_of({}, text_value{"[1,\"x\"]", true}))),
            "{\"map\":null,\"keys\":[],\"kind\":\"print\",\"value\":[1,\"x\"],"
            "\"snapshot\":null}\n");
}

TEST(Records, NameTheKindOfEachValueOfATextMap) {
  snapshot print =
    print_of("@m", map_kind::text, entry_of({"a"}, text_value{"x\"y", false}));
  print.entries.push_back(entry_of({"b"}, exact{5}));
  EXPECT_EQ(records_of(print),
            "{\"map\":\"@m\",\"keys\":[\"a\"],\"kind\":\"text\",\"value\":"
            "\"x\\\"y\",\"snapshot\":3}\n"
            "{\"map\":\"@m\",\"keys\":[\"b\"],\"kind\":\"value\",\"value\":5,"
            "\"snapshot\":3}\n");
}

TEST(Records, GiveTheBytesOfAllKeysWhenOneIsNoUtf8) {
  EXPECT_EQ(records_of(print_of("@m", map_kind::value,
                                entry_of({"7", "\xff\xfe bad"}, exact{1}))),
            "{\"map\":\"@m\",\"keys\":[\"7\",\"\xef\xbf\xbd\xef\xbf\xbd bad\"],"
            "\"keys_hex\":[\"37\",\"fffe20626164\"],\"kind\":\"value\","
            "\"value\":1,\"snapshot\":3}\n");
}

TEST(JsonString, EscapesWhatJsonWants) {
  EXPECT_EQ(json("a\"b\\c\n\r\t\b\f\x01\x7f/"),
            "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\x7f/\"");
  EXPECT_EQ(json(std::string_view{"\0", 1}), "\"\\u0000\"");
}

TEST(JsonString, KeepsUtf8) {
  for (const char* text : {"caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x9d",
                           "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"})
    EXPECT_EQ(json(text), "\"" + std::string{text} + "\"");
}

// What Python's bytes.decode(errors="replace") makes of them.
TEST(JsonString, ReplacesBrokenUtf8AsPythonDoes) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(json("\x80"), "\"" + r + "\"");
  EXPECT_EQ(json("\xc3"), "\"" + r + "\"");
  EXPECT_EQ(json("\xc3\x28"), "\"" + r + "(\"");
  EXPECT_EQ(json("\xc0\x80"), "\"" + r + r + "\"");
  EXPECT_EQ(json("\xe2\x82"), "\"" + r + "\"");
  EXPECT_EQ(json("\xe2\x82z"), "\"" + r + "z\"");
  EXPECT_EQ(json("\xe0\x80\x80"), "\"" + r + r + r + "\"");
  EXPECT_EQ(json("\xed\xa0\x80"), "\"" + r + r + r + "\"");
  EXPECT_EQ(json("\xf0\x9f\x90"), "\"" + r + "\"");
  EXPECT_EQ(json("\xf4\x90\x80\x80"), "\"" + r + r + r + r + "\"");
  EXPECT_EQ(json("\xff\xc3\xa9"), "\"" + r + "\xc3\xa9\"");
}

} // namespace
} // namespace bpf2graphite
