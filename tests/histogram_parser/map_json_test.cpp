#include "actors/histogram_parser/map_json.hpp"

#include "actors/histogram_parser/json_scanner.hpp"
#include "actors/histogram_parser/records.hpp"
#include "actors/line_reader/line_splitter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <ostream>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bpf2graphite {
namespace {

const std::filesystem::path corpus =
  std::filesystem::path{BPF2GRAPHITE_SOURCE_DIR} / "tests/golden/corpus";

std::string read(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

std::optional<bpftrace_version> version_of(std::string_view text) {
  bpftrace_version version;
  if (std::sscanf(std::string{text}.c_str(), "%d.%d.%d", &version.major,
                  &version.minor, &version.patch)
      < 2)
    return std::nullopt;
  return version;
}

parser_options options_for(std::string_view version) {
  parser_options options;
  options.speaks.version = version_of(version);
  options.record_bytes_max = 32 << 20;
  return options;
}

/// A line splitter, a parser behind it, and what that gave.
struct run {
  explicit run(parser_options options)
    : splitter{options.record_bytes_max}, parser{make_json_parser(
                                            std::move(options))} {}

  void bytes(std::string_view some, wall_time arrival = {}) {
    auto lines = splitter.take(some);
    feed(lines.joined, arrival);
    for (auto region : lines.regions)
      feed(region, arrival);
  }

  void finish() {
    parser->finish(splitter.finish(), out);
  }

  const parser_counts& counts() const {
    return parser->counts();
  }

  std::string records() const {
    std::string result;
    for (const auto& print : out.snapshots)
      write_records(print, result);
    return result;
  }

  line_splitter splitter;
  std::unique_ptr<map_parser> parser;
  parsed out;

private:
  void feed(std::string_view lines, wall_time arrival) {
    // A block of its own size: reading beyond it shows under ASan.
    std::vector<char> block(lines.begin(), lines.end());
    parser->feed({block.data(), block.size()}, arrival, out);
  }
};

run run_of(std::string_view stream, std::string_view version,
           std::size_t chunk = std::string_view::npos) {
  run result{options_for(version)};
  for (std::size_t at = 0; at < stream.size();) {
    auto some = stream.substr(at, chunk);
    result.bytes(some);
    at += some.size();
  }
  result.finish();
  return result;
}

/// The expected records without the fields that a stream does not show.
std::string truth_of(const std::filesystem::path& path) {
  std::string result;
  std::istringstream lines{read(path)};
  for (std::string line; std::getline(lines, line);) {
    for (std::string_view name : {"agg", "note"}) {
      auto begin = line.find(",\"" + std::string{name} + "\":\"");
      if (begin != std::string::npos)
        line.erase(begin, line.find('"', begin + name.size() + 5) + 1 - begin);
    }
    for (std::string_view flag : {",\"glued\":true", ",\"partial\":true"}) {
      auto begin = line.find(flag);
      if (begin != std::string::npos)
        line.erase(begin, flag.size());
    }
    result += line + '\n';
  }
  return result;
}

struct capture {
  std::string name; // NAME.VERSION.json
  std::string version;
};

std::vector<capture> captures() {
  std::vector<capture> result;
  const std::string tail = ".json.expected.jsonl";
  for (const auto& file : std::filesystem::directory_iterator{corpus}) {
    auto name = file.path().filename().string();
    if (!name.ends_with(tail))
      continue;
    name.resize(name.size() - tail.size());
    auto version = name.substr(name.find('.') + 1);
    result.push_back({name + ".json", version});
  }
  std::sort(result.begin(), result.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return result;
}

/// The first line in which two texts differ, for the message.
std::string first_difference(const std::string& got, const std::string& want) {
  std::istringstream a{got};
  std::istringstream b{want};
  std::string left;
  std::string right;
  for (int line = 1;; ++line) {
    bool more_left = !!std::getline(a, left);
    bool more_right = !!std::getline(b, right);
    if (!more_left && !more_right)
      return "";
    if (!more_left || !more_right || left != right)
      return "line " + std::to_string(line) + "\n  got      "
             + (more_left ? left : "(end)") + "\n  expected "
             + (more_right ? right : "(end)");
  }
}

// --- the captures ----------------------------------------------------------

void decode_all(bool with_version, std::size_t chunk, const char* how) {
  std::size_t good = 0;
  auto all = captures();
  ASSERT_FALSE(all.empty());
  for (const auto& one : all) {
    auto done = run_of(read(corpus / one.name),
                       with_version ? one.version : std::string{}, chunk);
    auto truth = truth_of(corpus / (one.name + ".expected.jsonl"));
    auto difference = first_difference(done.records(), truth);
    EXPECT_EQ(difference, "") << one.name;
    EXPECT_EQ(done.counts().invalid, 0u) << one.name;
    EXPECT_EQ(done.counts().rejected, 0u) << one.name;
    EXPECT_EQ(done.counts().values, static_cast<std::uint64_t>(std::count(
                                      truth.begin(), truth.end(), '\n')))
      << one.name;
    EXPECT_TRUE(done.out.attached) << one.name;
    EXPECT_EQ(done.out.assumptions.empty(), with_version) << one.name;
    good += difference.empty() ? 1 : 0;
  }
  std::cout << how << ": " << good << " of " << all.size() << '\n';
}

TEST(MapJsonCorpus, DecodesEveryCaptureExactly) {
  decode_all(true, std::string::npos, "whole, version given");
}

TEST(MapJsonCorpus, DecodesEveryCaptureWithoutTheVersion) {
  decode_all(false, std::string::npos, "whole, version found");
}

TEST(MapJsonCorpus, DecodesEveryCaptureCutAt4096) {
  decode_all(true, 4096, "cut at 4096, version given");
  decode_all(false, 4096, "cut at 4096, version found");
}

TEST(MapJsonCorpus, DecodesEveryCaptureInSingleBytes) {
  decode_all(true, 1, "single bytes, version given");
  decode_all(false, 1, "single bytes, version found");
}

TEST(MapJsonCorpus, StampsEachPrintWithTheArrivalOfItsLastByte) {
  std::size_t good = 0;
  auto all = captures();
  for (const auto& one : all) {
    auto bytes = read(corpus / one.name);
    std::istringstream times{read(corpus / (one.name + ".times"))};
    run done{options_for(one.version)};
    std::vector<std::pair<std::size_t, wall_time>> chunks;
    std::int64_t ms = 0;
    std::size_t from = 0;
    for (std::size_t to = 0; times >> ms >> to; from = to) {
      chunks.emplace_back(to, wall_time_from_ms(ms));
      done.bytes(std::string_view{bytes}.substr(from, to - from),
                 wall_time_from_ms(ms));
    }
    ASSERT_EQ(from, bytes.size()) << one.name;
    done.finish();
    EXPECT_EQ(
      first_difference(done.records(),
                       truth_of(corpus / (one.name + ".expected.jsonl"))),
      "")
      << one.name;
    std::vector<wall_time> expected;
    for (std::size_t at = 0, end = 0;
         (end = bytes.find('\n', at)) != std::string::npos; at = end + 1) {
      auto line = std::string_view{bytes}.substr(at, end - at);
      for (std::string_view type : {"map", "hist", "stats", "tseries", "value"})
        if (line.starts_with("{\"type\": \"" + std::string{type} + "\""))
          for (const auto& [to, time] : chunks)
            if (to >= end + 1) {
              expected.push_back(time);
              break;
            }
    }
    std::vector<wall_time> got;
    for (const auto& print : done.out.snapshots)
      got.push_back(print.arrival);
    EXPECT_EQ(got.size(), expected.size()) << one.name;
    EXPECT_TRUE(got == expected) << one.name;
    good += got == expected ? 1 : 0;
  }
  std::cout << "arrival times: " << good << " of " << all.size() << '\n';
}

TEST(MapJsonCorpus, MarksTheFinalDumpWhereTwoEmptyLinesPrecedeIt) {
  for (const auto& one : captures()) {
    auto bytes = read(corpus / one.name);
    auto dump = bytes.find("\n\n\n");
    std::size_t before = 0;
    if (dump == std::string::npos) {
      before = std::string::npos;
    } else {
      run head{options_for(one.version)};
      head.bytes(std::string_view{bytes}.substr(0, dump + 1));
      before = head.out.snapshots.size();
    }
    for (auto version : {one.version, std::string{}}) {
      auto done = run_of(bytes, version);
      for (std::size_t i = 0; i < done.out.snapshots.size(); ++i)
        EXPECT_EQ(done.out.snapshots[i].ending, i >= before)
          << one.name << ' ' << i;
    }
    if (one.version.starts_with("0.27")) {
      EXPECT_EQ(dump, std::string::npos) << one.name;
    }
  }
}

TEST(MapJsonCorpus, CountsLostEventsAndFailedHelpers) {
  struct {
    const char* name;
    const char* version;
    std::uint64_t lost, helpers, full, printed;
  } const cases[] = {
    {"lost-events.0.17.0.json", "0.17.0", 66323, 0, 0, 2572},
    {"lost-events.0.23.2.json", "0.23.2", 26967, 0, 0, 4440},
    {"lost-events.0.27.1.json", "0.27.1", 24051, 0, 0, 4437},
    {"map-full.0.17.0.json", "0.17.0", 0, 2, 2, 0},
    {"map-full.0.23.2.json", "0.23.2", 0, 2, 2, 0},
    {"map-full.0.27.1.json", "0.27.1", 0, 2, 2, 0},
    {"syscall-latency.0.23.2.json", "0.23.2", 0, 1, 0, 0},
    {"printf-mix.0.17.0.json", "0.17.0", 0, 0, 0, 16},
  };
  for (const auto& x : cases) {
    auto done = run_of(read(corpus / x.name), x.version);
    EXPECT_EQ(done.counts().lost_events, x.lost) << x.name;
    EXPECT_EQ(done.counts().helper_errors, x.helpers) << x.name;
    EXPECT_EQ(done.counts().map_full, x.full) << x.name;
    EXPECT_EQ(done.counts().printed, x.printed) << x.name;
  }
}

// The general reader, which space between the tokens calls for, and the reader
// of fixed shapes must agree on everything.
TEST(MapJsonCorpus, ReadsTheSameWithOtherSpaceBetweenTheTokens) {
  std::mt19937 random{11};
  const std::string_view spaces[] = {"", " ", "\t ", "  "};
  for (const auto& one : captures()) {
    auto bytes = read(corpus / one.name);
    if (bytes.size() > 100000 || one.name.starts_with("print-values"))
      continue; // the text of a tuple is kept as it came
    std::string spaced;
    bool in_string = false;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      auto c = bytes[i];
      if (in_string) {
        spaced += c;
        if (c == '\\')
          spaced += bytes[++i];
        in_string = c != '"';
        continue;
      }
      in_string = c == '"';
      if (c == ' ')
        continue;
      bool structural = std::string_view{"{}[]:,"}.find(c) != std::string::npos;
      if (structural)
        spaced += spaces[random() % 4];
      spaced += c;
      if (structural)
        spaced += spaces[random() % 4];
    }
    auto done = run_of(spaced, one.version);
    EXPECT_EQ(
      first_difference(done.records(),
                       truth_of(corpus / (one.name + ".expected.jsonl"))),
      "")
      << one.name;
    EXPECT_EQ(done.counts().invalid, 0u) << one.name;
  }
}

// --- each form and quirk ---------------------------------------------------

struct form {
  std::string name;
  std::string version; // empty: not given
  std::string stream;
  std::string records;
  std::uint64_t invalid = 0;

  friend std::ostream& operator<<(std::ostream& out, const form& x) {
    return out << x.name;
  }
};

class MapJsonForms : public testing::TestWithParam<form> {};

TEST_P(MapJsonForms, BecomeTheseRecords) {
  const auto& x = GetParam();
  auto done = run_of(x.stream, x.version);
  EXPECT_EQ(done.records(), x.records);
  EXPECT_EQ(done.counts().invalid, x.invalid);
  EXPECT_EQ(done.counts().truncated, 0u);
  // Nothing but whole lines matters to what comes out.
  auto again = run_of(x.stream, x.version, 1);
  EXPECT_EQ(again.records(), x.records);
}

std::string map_record(const std::string& data) {
  return R"({"type": "map", "data": {)" + data + "}}\n";
}

std::string hist_record(const std::string& data) {
  return R"({"type": "hist", "data": {)" + data + "}}\n";
}

std::string scalar(const std::string& map, const std::string& keys,
                   const std::string& value, int number = 1,
                   const std::string& kind = "value") {
  return "{\"map\":\"" + map + "\",\"keys\":[" + keys + "],\"kind\":\"" + kind
         + "\",\"value\":" + value + ",\"snapshot\":" + std::to_string(number)
         + "}\n";
}

std::string row(const std::string& map, const std::string& keys,
                const std::string& min, const std::string& max,
                const std::string& count, int number = 1) {
  return "{\"map\":\"" + map + "\",\"keys\":[" + keys
         + "],\"kind\":\"hist\",\"bucket\":{\"min\":" + min + ",\"max\":" + max
         + "},\"value\":" + count + ",\"snapshot\":" + std::to_string(number)
         + "}\n";
}

std::string tseries(const std::string& keys, const std::string& value,
                    const std::string& time, int number = 1) {
  return "{\"map\":\"@t\",\"keys\":[" + keys
         + "],\"kind\":\"tseries\",\"value\":" + value + ",\"snapshot\":"
         + std::to_string(number) + ",\"time\":\"" + time + "\"}\n";
}

std::string stats(const std::string& map, const std::string& keys,
                  const std::string& count, const std::string& average,
                  const std::string& total) {
  std::string result;
  auto head = "{\"map\":\"" + map + "\",\"keys\":[" + keys
              + "],\"kind\":\"stats\",\"value\":";
  result += head + count + ",\"snapshot\":1,\"field\":\"count\"}\n";
  result += head + average + ",\"snapshot\":1,\"field\":\"average\"}\n";
  result += head + total + ",\"snapshot\":1,\"field\":\"total\"}\n";
  return result;
}

std::string print_of(const std::string& value) {
  return "{\"map\":null,\"keys\":[],\"kind\":\"print\",\"value\":" + value
         + ",\"snapshot\":null}\n";
}

const std::string attached_24 =
  R"({"type": "attached_probes", "count": 3, "data": {"probes": 3}})"
  "\n";
const std::string attached_23 =
  R"({"type": "attached_probes", "data": {"probes": 3}})"
  "\n";

std::vector<form> forms() {
  const std::string one_row = R"([{"min": 8, "max": 15, "count": 10}])";
  std::vector<form> all{
    {"AttachedOf092", "0.9.2",
     R"({"type": "attached_probes", "probes": 3})"
     "\n",
     ""},
    {"AScalar", "0.9.2", map_record(R"("@x": 5)"), scalar("@x", "", "5")},
    {"TheMapWithoutAName", "0.17", map_record(R"("@": {"a": 5})"),
     scalar("@", "\"a\"", "5")},
    {"TheWholeRangeOfIntegers", "0.17",
     map_record(R"("@a": -9223372036854775808)")
       + map_record(R"("@b": 18446744073709551615)")
       + map_record(R"("@c": {"x": 0, "y": -1})"),
     scalar("@a", "", "-9223372036854775808")
       + scalar("@b", "", "18446744073709551615") + scalar("@c", "\"x\"", "0")
       + scalar("@c", "\"y\"", "-1")},
    {"IntegersBeyondTheRangeAreInvalid", "0.24",
     map_record(R"("@a": -9223372036854775809)")
       + map_record(R"("@b": 18446744073709551616)")
       + map_record(R"("@c": 1.5)") + map_record(R"("@ok": 1)"),
     scalar("@ok", "", "1"), 3},
    {"OrTextWhereTimesAreUnquoted", "0.17",
     map_record(R"("@a": -9223372036854775809)")
       + map_record(R"("@b": 18446744073709551616)")
       + map_record(R"("@b": 340282366920938463463374607431768211456)")
       + map_record(R"("@ok": 1)"),
     scalar("@a", "", "\"-9223372036854775809\"", 1, "text")
       + scalar("@b", "", "\"18446744073709551616\"", 1, "text")
       + scalar("@b", "", "\"340282366920938463463374607431768211456\"", 2,
                "text")
       + scalar("@ok", "", "1")},
    {"IntegersInQuotes", "0.27.1",
     map_record(R"("@a": "9007199254740993")")
       + map_record(R"("@b": "-9007199254740993")")
       + map_record(R"("@c": {"x": "18446744073709551615", "y": 1})"),
     scalar("@a", "", "9007199254740993")
       + scalar("@b", "", "-9007199254740993")
       + scalar("@c", "\"x\"", "18446744073709551615")
       + scalar("@c", "\"y\"", "1")},
    {"DigitsInQuotesThatADoubleHoldsAreAString", "0.27.1",
     map_record(R"("@a": "9007199254740992")") + map_record(R"("@b": "12")")
       + map_record(R"("@c": "9223372036854775808")")
       + map_record(R"("@d": "9007199254740991")")
       + map_record(R"("@e": "-9007199254740995")"),
     scalar("@a", "", "\"9007199254740992\"", 1, "text")
       + scalar("@b", "", "\"12\"", 1, "text")
       + scalar("@c", "", "\"9223372036854775808\"", 1, "text")
       + scalar("@d", "", "\"9007199254740991\"", 1, "text")
       + scalar("@e", "", "-9007199254740995")},
    {"DigitsInQuotesAreAStringUpTo023", "0.23.2",
     map_record(R"("@a": "9007199254740993")"),
     scalar("@a", "", "\"9007199254740993\"", 1, "text")},
    {"StatsAndAvg", "0.17",
     R"({"type": "stats", "data": {"@a": -7}})"
     "\n"
     R"({"type": "stats", "data": {"@s": {"count": 1, "average": -10, "total": -10}}})"
     "\n"
     R"({"type": "stats", "data": {"@k": {"a": 3, "b": 4}}})"
     "\n"
     R"({"type": "stats", "data": {"@ks": {"a": {"count": 2, "average": 3, "total": 7}}}})"
     "\n",
     scalar("@a", "", "-7") + stats("@s", "", "1", "-10", "-10")
       + scalar("@k", "\"a\"", "3") + scalar("@k", "\"b\"", "4")
       + stats("@ks", "\"a\"", "2", "3", "7")},
    {"StatsInQuotes", "0.27.1",
     R"({"type": "stats", "data": {"@s": {"count": 2, "average": "4611686018427387905", "total": "9223372036854775811"}}})"
     "\n"
     R"({"type": "stats", "data": {"@a": "9007199254740993"}})"
     "\n",
     stats("@s", "", "2", "4611686018427387905", "9223372036854775811")
       + scalar("@a", "", "9007199254740993")},
    {"AvgByTheKeyCountIsNotStats", "0.17",
     R"({"type": "stats", "data": {"@a": {"count": 1, "nginx": 2}}})"
     "\n"
     R"({"type": "stats", "data": {"@a": {"count": 1, "average": 2, "total": 3}}})"
     "\n"
     R"({"type": "stats", "data": {"@s": {"count": {"count": 1, "average": 2, "total": 2}}}})"
     "\n",
     scalar("@a", "\"count\"", "1") + scalar("@a", "\"nginx\"", "2")
       + scalar("@a", "\"count\"", "1", 2) + scalar("@a", "\"average\"", "2", 2)
       + scalar("@a", "\"total\"", "3", 2)
       + stats("@s", "\"count\"", "1", "2", "2")},
    {"OpenEndsOfHistograms", "0.23.2",
     hist_record(
       R"("@h": [{"max": -1, "count": 1}, {"min": 0, "max": 0, "count": 0}])")
       + hist_record(
         R"("@l": [{"max": 99, "count": 1}, {"min": 100, "max": 199, "count": 0}, {"min": 200, "count": 3}])"),
     row("@h", "", "null", "-1", "1") + row("@h", "", "0", "0", "0")
       + row("@l", "", "null", "99", "1") + row("@l", "", "100", "199", "0")
       + row("@l", "", "200", "null", "3")},
    {"RowsWithoutASpaceBetween", "0.27.1",
     hist_record(
       R"("@h": [{"max": -1, "count": 1},{"min": 0, "max": 0, "count": 10},{"min": 90, "count": 11}])"),
     row("@h", "", "null", "-1", "1") + row("@h", "", "0", "0", "10")
       + row("@h", "", "90", "null", "11")},
    {"BoundsInQuotes", "0.27.1",
     hist_record(
       R"("@h": [{"min": 9007199254740992, "max": "18014398509481983", "count": 1},{"min": 4611686018427387904, "max": "9223372036854775807", "count": 2}])"),
     row("@h", "", "9007199254740992", "18014398509481983", "1")
       + row("@h", "", "4611686018427387904", "9223372036854775807", "2")},
    {"BoundsOf32Bits", "0.17.0",
     hist_record(
       R"("@h": [{"min": 1073741824, "max": 2147483647, "count": 1}, {"min": -2147483648, "max": 0, "count": 2}])"),
     row("@h", "", "1073741824", "2147483647", "1")
       + row("@h", "", "2147483648", "4294967295", "2")},
    {"AZeroedHistogram", "0.17",
     hist_record(R"("@h": [])")
       + hist_record(R"("@k": {"a": [], "b": )" + one_row + "}")
       + hist_record("\"@h\": " + one_row),
     row("@k", "\"b\"", "8", "15", "10") + row("@h", "", "8", "15", "10", 2)},
    {"BadRowsAreInvalid", "0.17",
     hist_record(R"("@h": [{"min": 5, "max": 4, "count": 1}])")
       + hist_record(R"("@h": [{"count": 1}])")
       + hist_record(R"("@h": [{"min": 5, "max": 5}])")
       + hist_record(R"("@h": [{"min": 05, "max": 5, "count": 1}])")
       + hist_record(R"("@h": [{"min": 5, "max": 5, "count": -1}])")
       + hist_record(R"("@h": [{"min": 5, "max": 5, "count": 1},])")
       + hist_record(
         R"("@h": [{"min": 5, "max": 5, "count": 18446744073709551616}])")
       + hist_record(R"("@h": 5)") + hist_record("\"@h\": " + one_row),
     row("@h", "", "8", "15", "10"), 8},
    {"TheSameKeyTwice", "0.27.1",
     map_record(R"("@x": {"a": 1, "a": 2})")
       + hist_record("\"@h\": {\"a\": " + one_row + ", \"a\": " + one_row
                     + "}"),
     scalar("@x", "\"a\"", "1") + scalar("@x", "\"a\"", "2")
       + row("@h", "\"a\"", "8", "15", "10")
       + row("@h", "\"a\"", "8", "15", "10")},
    {"TheEmptyKey", "0.17", map_record(R"("@x": {"": 1})"),
     scalar("@x", "\"\"", "1")},
    {"AMapWithoutElements", "0.24.1",
     map_record(R"("@x": {})")
       + R"({"type": "map", "data": {}})"
         "\n"
       + map_record(R"("@x": {"a": 1})"),
     scalar("@x", "\"a\"", "1", 2)},
    {"BytesOfAKey", "0.17.0",
     map_record(
       R"("@x": {"caf\uffffffc3\uffffffa9": 1, "\uffffffff\ufffffffe bad": 2, "\u0001\u001b\"\\\n\t\r": 3})"),
     scalar("@x", "\"caf\xc3\xa9\"", "1")
       + "{\"map\":\"@x\",\"keys\":[\"\xef\xbf\xbd\xef\xbf\xbd bad\"],"
         "\"keys_hex\":[\"fffe20626164\"],\"kind\":\"value\",\"value\":2,"
         "\"snapshot\":1}\n"
       + scalar("@x", R"("\u0001\u001b\"\\\n\t\r")", "3")},
    {"RawBytesOf09To016", "0.16.0",
     map_record("\"@x\": {\"caf\xc3\xa9\": 1, \"\xff\xfe bad\": 2}"),
     scalar("@x", "\"caf\xc3\xa9\"", "1")
       + "{\"map\":\"@x\",\"keys\":[\"\xef\xbf\xbd\xef\xbf\xbd bad\"],"
         "\"keys_hex\":[\"fffe20626164\"],\"kind\":\"value\",\"value\":2,"
         "\"snapshot\":1}\n"},
    {"UnicodeEscapesOfOtherWriters", "0.17",
     map_record(R"("@x": {"\u00e9\u20ac\ud83d\ude00\uffff": 1})"),
     scalar("@x", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbf\"", "1")},
    {"KeysEscapedOnce", "0.21.0",
     map_record(R"("@x": {"a\\nb": 1, "back\\slash": 2, "\\\\": 3})"),
     scalar("@x", R"("a\\nb")", "1") + scalar("@x", R"("back\\slash")", "2")
       + scalar("@x", R"("\\\\")", "3")},
    {"KeysEscapedTwice", "0.22.0",
     map_record(
       R"("@x": {"a\\nb": 1, "back\\\\slash": 2, "say \\\"hi\\\"": 3, "caf\\uffffffc3\\uffffffa9": 4, "\\u0001\\t\\r": 5, "\\x00": 6, "end\\": 7})"),
     scalar("@x", R"("a\nb")", "1") + scalar("@x", R"("back\\slash")", "2")
       + scalar("@x", R"("say \"hi\"")", "3")
       + scalar("@x", "\"caf\xc3\xa9\"", "4")
       + scalar("@x", R"("\u0001\t\r")", "5") + scalar("@x", R"("\\x00")", "6")
       + scalar("@x", R"("end\\")", "7")},
    {"ValuesAreNeverEscapedTwice", "0.23.2",
     map_record(R"("@x": {"a": "b\\nc\n"})"),
     scalar("@x", "\"a\"", R"("b\\nc\n")", 1, "text")},
    {"TwiceEscapedKeysAreRecognised", "",
     attached_23 + map_record(R"("@x": {"back\\\\slash": 2, "a\\nb": 1})"),
     scalar("@x", R"("back\\slash")", "2") + scalar("@x", R"("a\nb")", "1")},
    {"OnceEscapedKeysAreRecognised", "",
     attached_23 + map_record(R"("@x": {"a\\nb": 1, "back\\slash": 2})")
       + map_record(R"("@x": {"a\\nb": 1})"),
     scalar("@x", R"("a\\nb")", "1") + scalar("@x", R"("back\\slash")", "2")
       + scalar("@x", R"("a\\nb")", "1", 2)},
    {"KeysOf024AreEscapedOnce", "",
     attached_24 + map_record(R"("@x": {"a\\nb": 1})"),
     scalar("@x", R"("a\\nb")", "1")},
    {"PartsOfKeys", "0.27.1",
     map_record(R"("@x": {"x,y,9606": 1, "myapp,9604": 2})")
       + map_record(R"("@y": {"9606,x,y": 1, "9604,myapp": 2})")
       + map_record(R"("@z": {"x,y": 1, "bash": 2})"),
     scalar("@x", R"("x,y","9606")", "1")
       + scalar("@x", R"("myapp","9604")", "2")
       + scalar("@y", R"("9606","x,y")", "1")
       + scalar("@y", R"("9604","myapp")", "2") + scalar("@z", R"("x,y")", "1")
       + scalar("@z", R"("bash")", "2")},
    {"Stacks", "0.17.0",
     map_record(R"("@": {"\n    a+1\n    b+2\n": 1})")
       + map_record(R"("@by": {"bash,\n    a+1\n    f(int, char)+2\n": 1})"),
     scalar("@", R"("\n    a+1\n    b+2\n")", "1")
       + scalar("@by", R"("bash","\n    a+1\n    f(int, char)+2")", "1")},
    // Hexadecimal counts.
    {"CountsAfterAUnicodeEscapeAreHexadecimal", "0.27.1",
     hist_record("\"@h\": " + one_row)
       + hist_record(
         "\"@k\": {\"a\": " + one_row
         + R"(, "\uffffffc3\uffffffa9": [{"min": 10, "max": 16, "count": 10},{"min": 17, "max": 17, "count": b},{"min": 18, "count": ffffffffffffffff}], "b": )"
         + one_row + "}")
       + hist_record("\"@h\": " + one_row) + map_record(R"("@n": 10)")
       + R"({"type": "stats", "data": {"@s": {"count": 10, "average": 10, "total": 100}}})"
         "\n",
     row("@h", "", "8", "15", "10") + row("@k", "\"a\"", "8", "15", "10")
       + row("@k", "\"\xc3\xa9\"", "10", "16", "16")
       + row("@k", "\"\xc3\xa9\"", "17", "17", "11")
       + row("@k", "\"\xc3\xa9\"", "18", "null", "18446744073709551615")
       + row("@k", "\"b\"", "8", "15", "16") + row("@h", "", "8", "15", "16", 2)
       + scalar("@n", "", "10") + stats("@s", "", "10", "10", "100")},
    {"TheUnicodeEscapeMayStandInPrintf", "0.24.0",
     R"({"type": "printf", "data": "\u0007"})"
     "\n"
       + hist_record("\"@h\": " + one_row),
     row("@h", "", "8", "15", "16")},
    {"OrInAValue", "0.24.0",
     map_record(R"("@s": "\u0007")") + hist_record("\"@h\": " + one_row),
     scalar("@s", "", R"("\u0007")", 1, "text")
       + row("@h", "", "8", "15", "16")},
    {"OrInAnInvalidRecord", "0.24.0",
     "{\"type\": \"printf\", \"data\": \"\\u0007\n"
       + hist_record("\"@h\": " + one_row),
     row("@h", "", "8", "15", "16"), 1},
    {"ABackslashBeforeAUIsNone", "0.24.0",
     R"({"type": "printf", "data": "\\u0007"})"
     "\n"
       + hist_record("\"@h\": " + one_row),
     row("@h", "", "8", "15", "10")},
    {"NeverHexadecimalUpTo023", "0.23.2",
     hist_record(R"("@h": {"\\u0001\u0001": )" + one_row + "}"),
     row("@h", R"("\u0001\u0001")", "8", "15", "10")},
    {"HexadecimalInAnyOrderOfFields", "0.27.1",
     R"({"data": {"@h": {"\u0001": [{"count": 10, "max": 10, "min": 10}]}}, "type": "hist"})"
     "\n",
     row("@h", R"("\u0001")", "10", "10", "16")},
    {"HexadecimalFoundWithoutTheVersion", "",
     attached_24 + hist_record(R"("@h": {"\u0001": )" + one_row + "}"),
     row("@h", R"("\u0001")", "8", "15", "16")},
    {"HexadecimalByTheFormOfTheRows", "",
     hist_record(
       R"("@h": {"\u0001": [{"min": 0, "max": 0, "count": 10},{"min": 1, "max": 1, "count": 10}]})"),
     row("@h", R"("\u0001")", "0", "0", "16")
       + row("@h", R"("\u0001")", "1", "1", "16")},
    {"HexadecimalAfterAnEscapeThatGotLost", "0.27.1",
     hist_record(
       R"("@h": [{"min": 0, "max": 0, "count": 10},{"min": 1, "max": 1, "count": b}])"),
     row("@h", "", "0", "0", "16") + row("@h", "", "1", "1", "11")},
    {"LettersAreNoCountUpTo023", "0.23.2",
     hist_record(R"("@h": {"\u0001": [{"min": 0, "max": 0, "count": b}]})"), "",
     1},
    // print()
    {"PrintOfValues", "0.23.2",
     R"({"type": "value", "data": -42})"
     "\n"
     R"({"type": "value", "data": "te\nxt"})"
     "\n"
     R"({"type": "value", "data": [1,[2,3],"a, b"]})"
     "\n"
     R"({"type": "value", "data": { "a": 1, "b": [1,2] }})"
     "\n",
     print_of("-42") + print_of(R"("te\nxt")") + print_of(R"([1,[2,3],"a, b"])")
       + print_of(R"({ "a": 1, "b": [1,2] })")},
    {"PrintOfValuesOf024", "0.27.1",
     R"({"type": "value", "data": "9007199254740993"})"
     "\n"
     R"({"type": "value", "data": true})"
     "\n"
     R"({"type": "value", "data": null})"
     "\n",
     print_of("9007199254740993") + print_of("1") + print_of("null")},
    {"TextMaps", "0.23.2",
     map_record(R"("@s": "some text")") + map_record(R"("@t": [1,"x"])")
       + map_record(
         R"("@k": {"1": "one", "2": [1,"\uffffffc3\uffffffa9\uffffffff\\n"], "3": { "a": 1 }, "4": 5})"),
     scalar("@s", "", "\"some text\"", 1, "text")
       + scalar("@t", "", R"([1,"x"])", 1, "text")
       + scalar("@k", "\"1\"", "\"one\"", 1, "text")
       + scalar("@k", "\"2\"", "[1,\"\xc3\xa9\xef\xbf\xbd\\\\n\"]", 1, "text")
       + scalar("@k", "\"3\"", R"({ "a": 1 })", 1, "text")
       + scalar("@k", "\"4\"", "5")},
    {"Booleans", "0.27.1", map_record(R"("@b": {"x": true, "y": false})"),
     scalar("@b", "\"x\"", "1") + scalar("@b", "\"y\"", "0")},
    {"StringsOf092", "0.9.2",
     R"({"type": "printf", "msg": "a\n"})"
     "\n"
     R"({"type": "time", "msg": "20:43\n"})"
     "\n",
     ""},
    // What is no JSON.
    {"UnquotedStrftime", "0.17.0",
     map_record(R"("@t": 20:43:08)")
       + map_record(
         R"("@k": {"a, \"b\": 1": 2026-11-22 20:43, "c": 5, "d": x, y})")
       + R"({"type": "value", "data": 2026-11-22})"
         "\n",
     scalar("@t", "", "\"20:43:08\"", 1, "text")
       + scalar("@k", R"("a, \"b\": 1")", "\"2026-11-22 20:43\"", 1, "text")
       + scalar("@k", R"("c")", "5")
       + scalar("@k", R"("d")", "\"x, y\"", 1, "text")
       + print_of("\"2026-11-22\"")},
    {"UnquotedMacaddrBesideStrings", "0.23.2",
     map_record(
       R"("@m": {"a": 00:11:22:33:44:55, "b": "x, \"y\": 1", "c": 66:77:88:99:aa:bb})"),
     scalar("@m", R"("a")", "\"00:11:22:33:44:55\"", 1, "text")
       + scalar("@m", R"("b")", R"("x, \"y\": 1")", 1, "text")
       + scalar("@m", R"("c")", "\"66:77:88:99:aa:bb\"", 1, "text")},
    {"UnquotedTextInATuple", "0.17.0", map_record(R"("@t": [1,20:43:08,"x"])"),
     scalar("@t", "", R"("[1,20:43:08,\"x\"]")", 1, "text")},
    {"NothingAtAll", "0.17.0",
     map_record(R"("@t": )") + map_record(R"("@k": {"a": , "b": 1})"),
     scalar("@t", "", "\"\"", 1, "text")
       + scalar("@k", R"("a")", "\"\"", 1, "text")
       + scalar("@k", R"("b")", "1")},
    {"UnquotedTextIsInvalidFrom024", "0.27.1",
     map_record(R"("@t": 20:43:08)") + map_record(R"("@n": 1)"),
     scalar("@n", "", "1"), 1},
    {"TseriesOf024", "0.24.0",
     R"({"type": "tseries", "data": {"@t": [{"interval_start":2026-11-22 20:44:57.000000000,"value":780},{"interval_start":2026-11-22 20:44:57.200000000,"value":null},{"interval_start":2026-11-22 20:44:57.400000000,"value":-3}]}})"
     "\n"
     R"({"type": "tseries", "data": {"@t": {"a, b": [{"interval_start":2026-11-22 20:44:57.000000000,"value":1}], "c": []}}})"
     "\n",
     tseries("", "780", "2026-11-22 20:44:57.000000000")
       + tseries("", "-3", "2026-11-22 20:44:57.400000000")
       + tseries(R"("a, b")", "1", "2026-11-22 20:44:57.000000000", 2)},
    {"TseriesOf025", "0.25.0",
     R"({"type": "tseries", "data": {"@t": [{"interval_start":"2026-11-22 20:44:57.000000000","value":780},{"interval_start":"2026-11-22 20:44:57.200000000","value":"9007199254740993"}]}})"
     "\n",
     tseries("", "780", "2026-11-22 20:44:57.000000000")
       + tseries("", "9007199254740993", "2026-11-22 20:44:57.200000000")},
    {"AnInvalidLineCostsOnlyItself", "0.23.2",
     "No probes to attach\n" + map_record(R"("@a": 1)")
       + "{\n}\n[]\n\"x\"\n{}\n"
       + R"({"type": "map", "data": {"@a": {"k": 1, "l": }}}} )"
         "\n"
       + R"({"type": "map", "data": {"a": 1}})"
         "\n"
         R"({"type": "unheard", "data": 1})"
         "\n"
       + R"({"type": "map"})"
         "\n"
         R"({"data": {"@a": 1}})"
         "\n"
       + map_record(R"("@a": 2)"),
     scalar("@a", "", "1") + scalar("@a", "", "2", 2), 11},
    {"ARecordBehindAChildsUnendedLine", "0.23.2",
     "progress 50%" + map_record(R"("@a": 1)"), scalar("@a", "", "1"), 1},
    {"TextWithinAStringIsNoRecord", "0.23.2",
     R"({"type": "printf", "data": "{\"type\": \"map\", \"data\": {\"@a\": 1}}"})"
     "\n",
     ""},
    {"CarriageReturnsBeforeLineEnds", "0.23.2",
     R"({"type": "map", "data": {"@a": 1}})"
     "\r\n",
     scalar("@a", "", "1")},
    {"TheLastRecordWithoutItsLineEnd", "0.23.2",
     R"({"type": "map", "data": {"@a": 1}})", scalar("@a", "", "1")},
    {"FormsOfNoUse", "0.25.0",
     R"({"type": "test_result", "data": 1})"
     "\n"
     R"({"type": "benchmark_result", "data": {"a": 1}})"
     "\n"
     R"({"type": "runtime_error", "msg": "x", "filename": "a.bt", "line": 1, "col": 2})"
     "\n"
     R"({"type": "errorf", "msg": "x", "filename": "a.bt", "line": 1, "col": 2})"
     "\n"
     R"({"type": "warnf", "msg": "x", "filename": "a.bt", "line": 1, "col": 2})"
     "\n"
     R"({"type": "syscall", "data": "x"})"
     "\n"
     R"({"type": "join", "data": "x y"})"
     "\n",
     ""},
  };
  return all;
}

INSTANTIATE_TEST_SUITE_P(Table, MapJsonForms, testing::ValuesIn(forms()),
                         [](const auto& x) { return x.param.name; });

TEST(MapJson, CountsLostEventsInAllForms) {
  struct {
    const char* version;
    std::string stream;
    std::uint64_t lost;
  } const cases[] = {
    {"0.9.2", R"({"type": "lost_events", "events": 5})", 5},
    {"0.17.0", R"({"type": "lost_events", "data": {"events": 81}})", 81},
    {"0.17.0", R"({"type": "lost_events", "data": "watchpoint"})", 0},
    {"0.27.1",
     R"({"type": "lost_events", "count": 10, "data": {"events": 10}})", 10},
    {"0.27.1",
     "{\"type\": \"printf\", \"data\": \"\\u0001\"}\n"
     R"({"type": "lost_events", "count": 10, "data": {"events": 10}})",
     16},
    {"0.27.1",
     "{\"type\": \"printf\", \"data\": \"\\u0001\"}\n"
     R"({"type": "lost_events", "count": fa, "data": {"events": fa}})",
     250},
    {"",
     attached_24
       + "{\"type\": \"printf\", \"data\": \"\\u0001\"}\n"
         R"({"type": "lost_events", "count": 10, "data": {"events": 10}})",
     16},
    {"0.27.1",
     R"({"type": "lost_events", "count": 1f, "data": {"events": 1f}})", 31},
  };
  for (const auto& x : cases) {
    auto done = run_of(x.stream + "\n", x.version);
    EXPECT_EQ(done.counts().lost_events, x.lost) << x.stream;
    EXPECT_EQ(done.counts().invalid, 0u) << x.stream;
  }
}

TEST(MapJson, CountsHelperErrorsInAllForms) {
  struct {
    const char* version;
    const char* record;
    std::uint64_t full;
  } const cases[] = {
    {"0.16.0",
     R"({"type": "helper_error", "helper": "map_update_elem", "retcode": -7, "line": 1, "col": 27})",
     1},
    {"0.20.0",
     R"({"type": "helper_error", "msg": "Map full; can't update element.", "helper": "map_update_elem", "retcode": -7, "line": 1, "col": 48})",
     1},
    {"0.27.1",
     R"({"type": "helper_error", "msg": "Argument list too long", "helper": "map_update_elem", "retcode": -7, "filename": "a.bt", "line": 1, "col": 48})",
     1},
    {"0.23.2",
     R"({"type": "helper_error", "msg": "No such file", "helper": "map_delete_elem", "retcode": -2, "line": 1, "col": 48})",
     0},
    {"0.23.2",
     R"({"type": "helper_error", "msg": "x", "helper": "map_update_elem", "retcode": -12, "line": 1, "col": 48})",
     0},
    {"0.27.1",
     R"({"type": "runtime_error", "msg": "x", "filename": "a.bt", "line": 1, "col": 2})",
     0},
  };
  for (const auto& x : cases) {
    auto done = run_of(std::string{x.record} + "\n", x.version);
    EXPECT_EQ(done.counts().helper_errors, 1u) << x.record;
    EXPECT_EQ(done.counts().map_full, x.full) << x.record;
    EXPECT_EQ(done.counts().invalid, 0u) << x.record;
  }
}

TEST(MapJson, KnowsAttachedProbesInAllForms) {
  for (std::string record :
       {R"({"type": "attached_probes", "probes": 3})",
        R"({"type": "attached_probes", "data": {"probes": 3}})",
        R"({"type": "attached_probes", "count": 3, "data": {"probes": 3}})"}) {
    auto done = run_of(record + "\n", "");
    EXPECT_TRUE(done.out.attached) << record;
    EXPECT_EQ(done.counts().invalid, 0u) << record;
  }
  // BEGIN may write a \u before the probes are attached.
  auto late =
    run_of(R"({"type": "printf", "data": "\u0001"})"
           "\n"
           R"({"type": "attached_probes", "count": b, "data": {"probes": b}})"
           "\n",
           "0.27.1");
  EXPECT_TRUE(late.out.attached);
  EXPECT_EQ(late.counts().invalid, 0u);
  EXPECT_FALSE(run_of(map_record("\"@x\": 1"), "").out.attached);
}

TEST(MapJson, SaysOnceWhatItAssumed) {
  auto done =
    run_of(attached_23 + attached_23 + map_record(R"("@x": {"a\\nb": 1})")
             + map_record(R"("@x": {"a\\nb": 1})"),
           "");
  EXPECT_EQ(done.out.assumptions,
            (std::vector<std::string>{
              "bpftrace is taken for 0.23 or earlier: attached_probes has no "
              "count",
              "bpftrace is taken for 0.22 or 0.23: keys are escaped twice"}));
  EXPECT_TRUE(run_of(attached_24, "0.27").out.assumptions.empty());
}

TEST(MapJson, BelievesACountOfAttachedProbesMoreThanAnOlderVersion) {
  auto done = run_of(
    attached_24
      + hist_record(R"("@h": {"\u0001": [{"min": 0, "max": 0, "count": 10}]})"),
    "0.23.9");
  EXPECT_EQ(done.records(), row("@h", R"("\u0001")", "0", "0", "16"));
  EXPECT_EQ(done.out.assumptions.size(), 1u);
}

TEST(MapJson, OneEmptyLineBeginsNoFinalDump) {
  auto done =
    run_of(map_record("\"@x\": 1") + "\n" + map_record("\"@x\": 2") + "\n\n"
             + map_record("\"@x\": 3") + map_record("\"@y\": 4"),
           "0.17");
  ASSERT_EQ(done.out.snapshots.size(), 4u);
  EXPECT_FALSE(done.out.snapshots[0].ending);
  EXPECT_FALSE(done.out.snapshots[1].ending);
  EXPECT_TRUE(done.out.snapshots[2].ending);
  EXPECT_TRUE(done.out.snapshots[3].ending);
}

TEST(MapJson, EmptyLinesMeanNothingFrom024) {
  for (auto version : {"0.24", ""}) {
    auto done = run_of(attached_24 + "\n\n" + map_record("\"@x\": 1"), version);
    ASSERT_EQ(done.out.snapshots.size(), 1u);
    EXPECT_FALSE(done.out.snapshots[0].ending);
  }
}

TEST(MapJson, CountsACutRecordAtTheEnd) {
  auto done = run_of(
    map_record("\"@x\": 1") + R"({"type": "map", "data": {"@x": 1)", "0.17");
  EXPECT_EQ(done.records(), scalar("@x", "", "1"));
  EXPECT_EQ(done.counts().truncated, 1u);
  EXPECT_EQ(done.counts().invalid, 0u);
}

TEST(MapJson, EveryCutOfARecordIsTruncatedAndNothingElse) {
  auto whole =
    hist_record(R"("@h": {"a,1": [{"min": 8, "max": 15, "count": 10}]})");
  for (std::size_t cut = 1; cut + 1 < whole.size(); ++cut) {
    auto done = run_of(whole + whole.substr(0, cut), "0.17");
    EXPECT_EQ(done.out.snapshots.size(), 1u) << cut;
    EXPECT_EQ(done.counts().truncated, 1u) << cut;
  }
}

TEST(MapJson, HandsOutPrintedLinesWhenAsked) {
  run done{options_for("0.17")};
  done.out.keep_printed = true;
  done.bytes(R"({"type": "time", "data": "20:43:09 "})"
             "\n"
             R"({"type": "printf", "data": "opens: "})"
             "\n"
             R"({"type": "printf", "data": "5\nnext"})"
             "\n"
             R"({"type": "map", "data": {"@o": 1}})"
             "\n"
             R"({"type": "join", "data": "a b"})"
             "\n"
             R"({"type": "printf", "data": "--\n\n"})"
             "\n"
             R"({"type": "value", "data": "te\"xt"})"
             "\n"
             R"({"type": "value", "data": 42})"
             "\n"
             R"({"type": "printf", "data": "\uffffffc3\uffffffa9"})"
             "\n");
  EXPECT_EQ(done.parser->held_bytes(), 2u);
  done.finish();
  EXPECT_EQ(done.out.printed,
            (std::vector<std::string>{"20:43:09 opens: 5", "next", "a b", "--",
                                      "", "te\"xt", "42", "\xc3\xa9"}));
  EXPECT_EQ(done.counts().printed, 8u);
  EXPECT_EQ(done.parser->held_bytes(), 0u);
}

TEST(MapJson, UsesTheKeyShapesGiven) {
  auto options = options_for("0.17");
  options.keys["@one"] = {1, {}};
  options.keys["@two"] = {2, {true, false}};
  options.keys["@avg"] = {1, {}};
  options.keys["@struct"] = {0, {}};
  run done{options};
  done.bytes(
    map_record(R"("@one": {"x,y": 1})") + map_record(R"("@two": {"1,2,3": 1})")
    + R"({"type": "stats", "data": {"@avg": {"count": 1, "average": 2, "total": 3}}})"
      "\n"
    + map_record(R"("@struct": {"a": 1, "b": 2})"));
  EXPECT_EQ(
    done.records(),
    scalar("@one", R"("x,y")", "1") + scalar("@two", R"("1","2,3")", "1")
      + scalar("@avg", "\"count\"", "1") + scalar("@avg", "\"average\"", "2")
      + scalar("@avg", "\"total\"", "3")
      + scalar("@struct", "", R"({"a": 1, "b": 2})", 1, "text"));
}

TEST(MapJson, NeverWaitsForMoreThanALine) {
  run done{options_for("")};
  done.bytes(map_record("\"@x\": 1"));
  EXPECT_FALSE(done.parser->waiting());
  done.parser->pause({}, done.out);
  EXPECT_EQ(done.out.snapshots.size(), 1u);
}

TEST(MapJson, RefusesDeepNesting) {
  for (int depth :
       {1, json_scanner::depth_max, json_scanner::depth_max + 1, 1000000}) {
    auto n = static_cast<std::size_t>(depth);
    auto tuple = std::string(n, '[') + "1" + std::string(n, ']');
    auto done = run_of("{\"type\": \"value\", \"data\": " + tuple + "}\n"
                         + map_record("\"@x\": 1"),
                       "0.27.1");
    bool fits = depth <= json_scanner::depth_max;
    EXPECT_EQ(done.counts().invalid, fits ? 0u : 1u) << depth;
    EXPECT_EQ(done.out.snapshots.size(), fits ? 2u : 1u) << depth;
  }
}

TEST(MapJson, ReadsARecordOf20Megabytes) {
  std::string hist = R"({"type": "hist", "data": {"@h": {)";
  std::uint64_t rows = 0;
  for (int key = 0; hist.size() < (20u << 20); ++key) {
    hist += (key > 0 ? ", \"" : "\"") + std::to_string(key) + "\": [";
    for (int i = 0; i < 1000; ++i, ++rows) {
      auto text = std::to_string(i);
      hist += (i > 0 ? ", " : "") + ("{\"min\": " + text) + ", \"max\": " + text
              + ", \"count\": " + text + "}";
    }
    hist += "]";
  }
  hist += "}}}\n";
  auto done = run_of(hist, "0.23.2");
  EXPECT_EQ(done.counts().values, rows);
  EXPECT_EQ(done.counts().invalid, 0u);
  // The same for the general reader, and for a map of counts.
  hist.insert(1, " ");
  EXPECT_EQ(run_of(hist, "0.23.2").counts().values, rows);
  std::string map = R"({"type": "map", "data": {"@h": {)";
  for (int key = 0; map.size() < (20u << 20); ++key)
    map += (key > 0 ? ", \"" : "\"") + std::to_string(key) + ",bash\": 1";
  map += "}}}\n";
  auto counts = run_of(map, "0.23.2");
  EXPECT_EQ(counts.counts().invalid, 0u);
  ASSERT_EQ(counts.out.snapshots.size(), 1u);
  EXPECT_EQ(counts.out.snapshots[0].entries.back().keys.size(), 2u);
}

TEST(MapJson, RefusesARecordBeyondItsLimit) {
  auto options = options_for("0.17");
  options.record_bytes_max = 100;
  auto parser = make_json_parser(options);
  parsed out;
  // The splitter would have discarded it.
  auto lines = map_record("\"@x\": {\"" + std::string(100, 'a') + "\": 1}")
               + map_record("\"@x\": 1");
  parser->feed(lines, {}, out);
  EXPECT_EQ(parser->counts().invalid, 1u);
  EXPECT_EQ(out.snapshots.size(), 1u);
}

// --- what nobody wrote -----------------------------------------------------

TEST(MapJsonGarbage, NeverHarms) {
  std::mt19937 random{23};
  const std::string_view words[] = {
    "{\"type\": \"",
    "map\", ",
    "\"data\": ",
    "{\"@x\": ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\\u",
    "\\uffffff",
    "ff",
    ", ",
    ",",
    ": ",
    "-",
    "9",
    "10",
    "18446744073709551616",
    "null",
    "hist\", \"data\": {\"@h\": [",
    "{\"min\": 0, \"max\": 1, \"count\": ",
    "\n",
    "\n\n",
    "true",
    "\x80",
    "\r",
    "stats\", ",
    "tseries\", \"data\": {\"@t\": [{\"interval_start\":",
    "@"};
  for (int round = 0; round < 20000; ++round) {
    std::string bytes;
    for (auto n = random() % 30; n > 0; --n)
      bytes += words[random() % std::size(words)];
    const char* versions[] = {"", "0.9.2", "0.17", "0.23", "0.24", "0.27"};
    auto done = run_of(bytes, versions[random() % 6]);
    EXPECT_EQ(done.counts().snapshots, done.out.snapshots.size());
  }
}

TEST(MapJsonGarbage, MutatedCapturesNeverHarmAndCostOnlyTheirLines) {
  std::mt19937 random{42};
  for (const auto& one : captures()) {
    auto original = read(corpus / one.name);
    if (original.size() > 60000)
      original.resize(60000);
    auto lines = static_cast<std::size_t>(
      std::count(original.begin(), original.end(), '\n'));
    auto whole = run_of(original, one.version);
    for (int round = 0; round < 12; ++round) {
      auto bytes = original;
      auto changes = 1 + random() % 8;
      std::size_t broken = 0;
      for (std::size_t i = 0; i < changes && !bytes.empty(); ++i) {
        auto at = random() % bytes.size();
        switch (random() % 4) {
          case 0:
            broken += bytes[at] == '\n' ? 2 : 1;
            bytes[at] = static_cast<char>(random());
            break;
          case 1: {
            auto gone = std::string_view{bytes}.substr(at, random() % 40);
            broken += 1
                      + static_cast<std::size_t>(
                        std::count(gone.begin(), gone.end(), '\n'));
            bytes.erase(at, gone.size());
            break;
          }
          case 2:
            bytes.insert(at,
                         bytes.substr(random() % bytes.size(), random() % 40));
            broken += 2;
            break;
          default:
            bytes[at] = static_cast<char>(bytes[at] ^ (1 << (random() % 8)));
            broken += 2;
        }
      }
      auto done = run_of(bytes, round % 2 == 0 ? one.version : std::string{});
      const auto& counts = done.counts();
      EXPECT_EQ(counts.snapshots, done.out.snapshots.size());
      EXPECT_LE(counts.invalid, lines + changes * 40);
      EXPECT_GE(counts.snapshots + 2 * broken, whole.counts().snapshots)
        << one.name;
    }
  }
}

// Work must grow with the size of a record, not with its square.
TEST(MapJsonGarbage, HardRecordsEndSoon) {
  auto many = [](std::string_view text, std::size_t bytes) {
    std::string result;
    while (result.size() < bytes)
      result += text;
    return result;
  };
  constexpr std::size_t size = 2 << 20;
  for (const auto& stream : {
         many(", \"", size),
         R"({"type": "map", "data": {"@x": {"a": )" + many(", \"", size)
           + "}}}",
         R"({"type": "map", "data": {"@x": {"a": )" + many("x, \"b\": ", size)
           + "}}}",
         R"({"type": "map", "data": {"@x": {"a": )" + many("[1, \"b\": ", size)
           + "}}}",
         R"({"type": "map", "data": {"@x": {)" + many("\"a\": {", size) + "}}}",
         R"({"type": "map", "data": {"@x": {"a": )" + many("[\"b\",", size)
           + "}}}",
         R"({"type": "map", "data": {"@x": {"a": )"
           + many("\"c\", \"b\": ", size) + "x}}}",
         many("{\"type\": \"", size),
         "x" + many("{\"type\": \"", size),
         "\"" + many("\\u", size),
         many("{\"type\": \"map\", ", size),
         R"({"type": "map", "data": {"@x": {")" + many(",(", size)
           + "\": 1, \"a,b\": 2}}}",
         R"({"type": "map", "data": {"@x": {")" + many(",\\n    a", size)
           + "\": 1, \"a,b\": 2}}}",
       }) {
    for (auto version : {"0.17", "0.23", "0.27", ""})
      run_of(stream + "\n", version);
  }
}

} // namespace
} // namespace bpf2graphite
