#include "actors/histogram_parser/map_text.hpp"

#include "actors/histogram_parser/records.hpp"
#include "actors/line_reader/line_splitter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bpf2graphite {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    out.push_back(line);
  return out;
}

/// Arrival times beside a capture: milliseconds, bytes up to then.
using arrivals = std::vector<std::pair<std::int64_t, std::size_t>>;

arrivals read_times(const fs::path& path) {
  arrivals out;
  std::ifstream in(path);
  std::int64_t ms = 0;
  std::size_t bytes = 0;
  while (in >> ms >> bytes)
    out.emplace_back(ms, bytes);
  return out;
}

/// All that a parser said of one stream.
struct outcome {
  std::vector<snapshot> snapshots;
  std::vector<std::string> printed;
  parser_counts counts;
  bool attached = false;

  std::vector<std::string> records() const {
    std::string text;
    for (const snapshot& print : snapshots)
      write_records(print, text);
    return lines_of(text);
  }
};

/// Runs `bytes` through splitter and parser, cut every `cut` bytes and where
/// the arrival changes. cut 0: only there.
outcome parse(std::string_view bytes, dialect speaks, const arrivals& times,
              std::size_t cut, std::size_t line_bytes_max = 64 << 10) {
  parser_options options;
  options.speaks = speaks;
  auto parser = make_text_parser(options);
  line_splitter splitter{line_bytes_max};
  parsed out;
  out.keep_printed = true;
  std::size_t at = 0;
  std::size_t chunk_no = 0;
  while (at < bytes.size()) {
    while (chunk_no < times.size() && times[chunk_no].second <= at)
      ++chunk_no;
    std::size_t end = bytes.size();
    std::int64_t ms = times.empty() ? 0 : times.back().first;
    if (chunk_no < times.size()) {
      end = std::min(end, times[chunk_no].second);
      ms = times[chunk_no].first;
    }
    if (cut != 0)
      end = std::min(end, (at / cut + 1) * cut);
    auto split = splitter.take(bytes.substr(at, end - at));
    auto arrival = wall_time_from_ms(ms);
    if (!split.joined.empty())
      parser->feed(split.joined, arrival, out);
    for (std::string_view lines : split.regions)
      parser->feed(lines, arrival, out);
    at = end;
  }
  std::string rest = splitter.finish();
  parser->finish(rest, out);
  EXPECT_EQ(parser->held_bytes(), 0u);
  EXPECT_FALSE(parser->waiting());
  return {std::move(out.snapshots), std::move(out.printed), parser->counts(),
          out.attached};
}

dialect text_of(int minor) {
  return {output_format::text, bpftrace_version{0, minor, 0}};
}

const dialect unknown{output_format::text, std::nullopt};

/// One expected record without the fields that tell what text does not show.
std::string comparable(std::string line) {
  for (const char* field : {",\"agg\":\"", ",\"note\":\""}) {
    auto from = line.find(field);
    if (from != std::string::npos)
      line.erase(from, line.find('"', from + 8) + 1 - from);
  }
  for (const char* field : {",\"glued\":true", ",\"partial\":true"}) {
    auto from = line.find(field);
    if (from != std::string::npos)
      line.erase(from, std::string_view{field}.size());
  }
  return line;
}

std::vector<std::string> expected_records(const fs::path& path) {
  std::vector<std::string> out;
  for (const std::string& line : lines_of(read_file(path)))
    out.push_back(comparable(line));
  return out;
}

struct capture {
  std::string name;
  fs::path out;
  fs::path times;
  fs::path expected;
  dialect speaks;
};

std::vector<capture> captures() {
  std::vector<capture> found;
  fs::path folder{BPF2GRAPHITE_SOURCE_DIR "/tests/golden/corpus"};
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::string name = entry.path().filename();
    if (!name.ends_with(".out"))
      continue;
    name.resize(name.size() - 4);
    capture one{name,
                entry.path(),
                folder / (name + ".times"),
                folder / (name + ".expected.jsonl"),
                {}};
    if (!fs::exists(one.expected))
      continue;
    one.speaks.format = output_format::text;
    one.speaks.version = parse_bpftrace_version(name.substr(name.find('.')));
    found.push_back(std::move(one));
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return found;
}

/// The first difference, for a reader.
std::string difference(const std::vector<std::string>& got,
                       const std::vector<std::string>& want) {
  for (std::size_t i = 0; i < std::max(got.size(), want.size()); ++i) {
    std::string g = i < got.size() ? got[i] : "(nothing)";
    std::string w = i < want.size() ? want[i] : "(nothing)";
    if (g != w)
      return "record " + std::to_string(i + 1) + "\n  got  " + g + "\n  want "
             + w;
  }
  return {};
}

/// Captures whose truth is wrong; the next test says what is in them.
bool truth_is_wrong(const std::string& name) {
  return name == "sigint-end-block.0.17.0";
}

void compare_corpus(std::size_t cut, bool with_version) {
  std::size_t right = 0;
  std::size_t all = 0;
  for (const capture& one : captures()) {
    if (truth_is_wrong(one.name))
      continue;
    ++all;
    auto got = parse(read_file(one.out), with_version ? one.speaks : unknown,
                     read_times(one.times), cut)
                 .records();
    auto why = difference(got, expected_records(one.expected));
    if (why.empty())
      ++right;
    else if (with_version)
      ADD_FAILURE() << one.name << ": " << why;
    else
      std::cout << one.name << ": " << why << '\n';
  }
  std::cout << right << " of " << all << '\n';
  EXPECT_GT(all, 90u);
}

TEST(MapTextCorpus, GivesTheTruthWhenFedWhole) {
  compare_corpus(0, true);
}

TEST(MapTextCorpus, GivesTheTruthWhenCutAt4096) {
  compare_corpus(4096, true);
}

TEST(MapTextCorpus, GivesTheTruthWhenCutIntoBytes) {
  compare_corpus(1, true);
}

TEST(MapTextCorpus, GivesWhatItCanWithoutAVersion) {
  compare_corpus(0, false);
}

// Its expected.jsonl leaves out the two rows whose keys hold line ends (names
// of processes made to look like rows) and takes them for the end of a print.
// The JSON run of the same script has all of them in one print.
TEST(MapTextCorpus, ReadsTheForgedNamesThatOneTruthLacks) {
  fs::path folder{BPF2GRAPHITE_SOURCE_DIR "/tests/golden/corpus"};
  auto got = parse(read_file(folder / "sigint-end-block.0.17.0.out"),
                   text_of(17), {}, 0);
  ASSERT_EQ(got.snapshots.size(), 4u);
  const snapshot& faults = got.snapshots[2];
  EXPECT_EQ(faults.map, "@f");
  ASSERT_EQ(faults.entries.size(), 13u);
  EXPECT_EQ(faults.entries[0].keys[0], "x\ny 1 1");
  EXPECT_EQ(faults.entries[2].keys[0], "\n[1, 2) 99 |\n");
  EXPECT_EQ(faults.number, 1u);
  EXPECT_TRUE(faults.ending);
}

// ---- short streams
// -----------------------------------------------------------

std::string bar_of(std::string label, std::string count) {
  label.resize(std::max<std::size_t>(label.size(), 16), ' ');
  if (count.size() < 8)
    count.insert(0, 8 - count.size(), ' ');
  return label + count + " |" + std::string(7, '@') + std::string(45, ' ')
         + "|\n";
}

/// A snapshot in one line: "@map#1{key,part=value;...}".
std::string number_text(exact value) {
  bool negative = value < 0;
  return (negative ? "-" : "")
         + std::to_string(
           static_cast<std::uint64_t>(negative ? -value : value));
}

std::string brief(const snapshot& print) {
  std::string out = print.map + "#" + std::to_string(print.number) + "{";
  for (const map_entry& entry : print.entries) {
    if (&entry != &print.entries.front())
      out += ";";
    for (const std::string& key : entry.keys) {
      if (&key != &entry.keys.front())
        out += ",";
      out += key;
    }
    out += "=";
    if (const auto* number = std::get_if<exact>(&entry.value))
      out += number_text(*number);
    if (const auto* text = std::get_if<text_value>(&entry.value))
      out += "'" + text->text + "'";
    if (const auto* stats = std::get_if<stats_value>(&entry.value))
      out += number_text(stats->count) + "/" + number_text(stats->average) + "/"
             + number_text(stats->total);
    if (const auto* rows = std::get_if<buckets>(&entry.value))
      for (const bucket& row : *rows)
        out += (row.min ? std::to_string(*row.min) : "") + ".."
               + (row.max ? std::to_string(*row.max) : "") + ":"
               + std::to_string(row.count) + " ";
    if (const auto* points =
          std::get_if<std::vector<tseries_value>>(&entry.value))
      for (const tseries_value& point : *points)
        out += point.time + ":" + number_text(point.value) + " ";
    if (entry.partial)
      out += "partial";
  }
  return out + "}" + (print.ending ? "!" : "");
}

std::string brief(const std::vector<snapshot>& prints) {
  std::string out;
  for (const snapshot& print : prints)
    out += (out.empty() ? "" : " ") + brief(print);
  return out;
}

struct stream_case {
  const char* name;
  int minor; // of the version; 0: not known
  std::string text;
  std::string expected;
};

/// For GoogleTest's messages.
[[maybe_unused]] void PrintTo(const stream_case& one, std::ostream* out) {
  *out << one.name;
}

class MapTextStream : public testing::TestWithParam<stream_case> {};

TEST_P(MapTextStream, GivesTheseSnapshotsHoweverItIsCut) {
  const auto& one = GetParam();
  dialect speaks = one.minor == 0 ? unknown : text_of(one.minor);
  for (std::size_t cut : {0, 1, 5, 64})
    EXPECT_EQ(brief(parse(one.text, speaks, {}, cut).snapshots), one.expected)
      << "cut " << cut;
}

const std::string two_bars = bar_of("[2, 4)", "3") + bar_of("[4, 8)", "1");

INSTANTIATE_TEST_SUITE_P(
  Scalars, MapTextStream,
  testing::Values(
    stream_case{"unkeyed", 17, "@n: 3\n@: -4\n@_9a: 0\n",
                "@n#1{=3} @#1{=-4} @_9a#1{=0}"},
    stream_case{"whole_range", 17,
                "@a: 18446744073709551615\n@b: -9223372036854775808\n",
                "@a#1{=18446744073709551615} @b#1{=-9223372036854775808}"},
    stream_case{"no_integers", 17,
                "@a: 18446744073709551616\n@b: 007\n@c: -0\n@d: +1\n@e: 1.5\n",
                "@a#1{='18446744073709551616'} @b#1{='007'} @c#1{='-0'} "
                "@d#1{='+1'} @e#1{='1.5'}"},
    stream_case{
      "old_stats", 17,
      "@s: count 2, average -10, total -21\n\n@k[a]: count 1, average "
      "2, total 2\n@k[b]: count 1, average 3, total 3\n\n",
      "@s#1{=2/-10/-21} @k#1{a=1/2/2;b=1/3/3}"},
    stream_case{"new_stats", 27,
                "@s: { .count = 2, .average = -10, .total = -21 }\n",
                "@s#1{=2/-10/-21}"},
    stream_case{"values_that_are_text", 27,
                "@a: true\n@b: [1,2]\n@c: { .a = 1, .b = 2 }\n@d: 0x7f\n",
                "@a#1{='true'} @b#1{='[1,2]'} @c#1{='{ .a = 1, .b = 2 }'} "
                "@d#1{='0x7f'}"},
    stream_case{"empty_keys", 17, "@s[]: 1\n@k[, 2]: 6\n",
                "@s#1{=1} @k#1{,2=6}"},
    stream_case{"other_map_ends_a_print", 17,
                "@a[x]: 1\n@b[x]: 1\n@a[y]: 2\n@b[y]: 2\n",
                "@a#1{x=1} @b#1{x=1} @a#2{y=2} @b#2{y=2}"},
    stream_case{"empty_line_ends_a_print", 17, "@a[x]: 1\n\n@a[y]: 2\n",
                "@a#1{x=1} @a#2{y=2}"},
    stream_case{"known_key_ends_a_print", 27,
                "@a[x]: 1\n@a[y]: 2\n@a[x]: 2\n@a[y]: 2\n",
                "@a#1{x=1;y=2} @a#2{x=2;y=2}"},
    stream_case{"fall_ends_a_print", 23, "@a[x]: 5\n@a[y]: 7\n@a[z]: 6\n",
                "@a#1{x=5;y=7} @a#2{z=6}"},
    stream_case{"top_before_all", 23,
                "@a[z]: 9\n@a[x]: 5\n@a[y]: 7\n@a[z]: 9\n",
                "@a#1{z=9} @a#2{x=5;y=7;z=9}"},
    stream_case{"top_before_all_in_new_versions", 27,
                "@a[z]: 9\n@a[x]: 5\n@a[y]: 7\n@a[z]: 9\n",
                "@a#1{z=9} @a#2{x=5;y=7;z=9}"},
    stream_case{"small_types_print_in_any_order", 27,
                "@a[z]: 9\n@a[x]: 5\n@a[y]: 7\n", "@a#1{z=9;x=5;y=7}"},
    stream_case{"a_fall_counts_once_order_was_seen", 27,
                "@a[a]: 1\n@a[b]: 2\n@a[c]: 3\n@a[d]: 4\n@a[e]: 5\n@a[f]: 6\n"
                "@a[g]: 2\n",
                "@a#1{a=1;b=2;c=3;d=4;e=5;f=6} @a#2{g=2}"},
    stream_case{"negative_values_fall", 23, "@a[x]: 5\n@a[y]: -7\n",
                "@a#1{x=5;y=-7}"},
    stream_case{"unsigned_values_fall", 17,
                "@a[x]: 18446744073709551615\n@a[y]: 1\n",
                "@a#1{x=18446744073709551615;y=1}"},
    stream_case{"average_falls", 27,
                "@s[a]: { .count = 1, .average = 5, .total = 5 }\n"
                "@s[b]: { .count = 1, .average = 4, .total = 4 }\n",
                "@s#1{a=1/5/5} @s#2{b=1/4/4}"}),
  [](const auto& one) { return std::string{one.param.name}; });

INSTANTIATE_TEST_SUITE_P(
  Keys, MapTextStream,
  testing::Values(
    stream_case{"with_a_line_end", 17, "@c[new\nline]: 3\n@c[b]: 4\n",
                "@c#1{new\nline=3;b=4}"},
    stream_case{"that_begin_with_line_ends", 17,
                "@c[\n]: 3\n@c[\n\n]: 4\n@c[\n\nb]: 5\n",
                "@c#1{\n=3;\n\n=4;\n\nb=5}"},
    stream_case{"that_hold_an_end", 17, "@c[a]: 7]: 9\n@c[]]: 10\n@c[]:]: 11\n",
                "@c#1{a]: 7=9;]=10;]:=11}"},
    stream_case{"that_hold_a_whole_row", 17, "@c[x\n@c[y]: 1\nz]: 60\n",
                "@c#1{x\n@c[y]: 1\nz=60}"},
    stream_case{"that_end_a_line_like_a_row", 17, "@c[]: 7\n]: 60\n@c[b]: 61\n",
                "@c#1{]: 7\n=60;b=61}"},
    stream_case{"with_two_false_ends", 17, "@c[a\nb]: 7\nc]: 60\n",
                "@c#1{a\nb]: 7\nc=60}"},
    stream_case{"that_look_like_a_header", 17,
                "@c[a]:\nb]: 60\n@c[x]: \n]: 61\n",
                "@c#1{a]:\nb=60;x]: \n=61}"},
    stream_case{
      "with_a_false_bar", 17,
      "@c[\n[1, 2) 99 |\n]: 60\n@c[a]: 61\n@h[x]:\n[1] 9 |\n]: \n" + two_bars
        + "\n",
      "@c#1{\n[1, 2) 99 |\n=60;a=61} @h#1{x]:\n[1] 9 |\n=2..3:3 4..7:1 }"},
    stream_case{"with_lost_events", 17, "@c[\nLost 5 events\n]: 60\n",
                "@c#1{\nLost 5 events\n=60}"},
    stream_case{"with_other_maps", 17, "@c[x\n@n: 5]: 60\n@c[@n: 5\n]: 61\n",
                "@c#1{x\n@n: 5=60;@n: 5\n=61}"},
    stream_case{"of_histograms_with_a_whole_row", 23,
                "@h[x\n@h[y]: 1\nz]:\n" + two_bars + "\n",
                "@h#1{x\n@h[y]: 1\nz=2..3:3 4..7:1 }"},
    stream_case{"of_histograms_with_a_header", 23,
                "@h[x]:\n@h[y]:\n" + two_bars + "\n",
                "@h#1{x]:\n@h[y=2..3:3 4..7:1 }"},
    stream_case{"with_carriage_returns", 17, "@c[a\r]: 60\n@c[a\r\nb]: 61\n",
                "@c#1{a\r=60;a\r\nb=61}"},
    stream_case{"of_two_parts", 17, "@a[x, y, 9606]: 1\n@a[bash, 1]: 2\n",
                "@a#1{x, y,9606=1;bash,1=2}"},
    stream_case{"without_parentheses", 27, "@c[sd-pam]: 1\n@c[]: 2\n",
                "@c#1{sd-pam=1;=2}"},
    stream_case{"are_stacks", 17,
                "@[\n    a+1\n    b+2\n]: 1\n@[\n    a+1\n]: 2\n",
                "@#1{\n    a+1\n    b+2\n=1;\n    a+1\n=2}"},
    stream_case{"are_stacks_and_names", 27,
                "@[\n        a+1\n, bash]: 1\n@[sh, \n        a+1\n]: 2\n",
                "@#1{\n        a+1\n,bash=1;sh,\n        a+1\n=2}"},
    stream_case{"are_equal_stacks_in_one_print", 27,
                "@[\n        a+1\n]: 1\n@[\n        a+1\n]: 1\n@[\n        "
                "b+1\n]: 2\n",
                "@#1{\n        a+1\n=1;\n        a+1\n=1;\n        b+1\n=2}"},
    stream_case{"are_stacks_of_two_prints", 17,
                "@[\n    a\n]: 1\n@[\n    b\n]: 4\n@[\n    a\n]: 2\n@[\n    "
                "b\n]: 5\n",
                "@#1{\n    a\n=1;\n    b\n=4} @#2{\n    a\n=2;\n    b\n=5}"}),
  [](const auto& one) { return std::string{one.param.name}; });

INSTANTIATE_TEST_SUITE_P(
  Histograms, MapTextStream,
  testing::Values(
    stream_case{"old_header", 9, "@h: \n" + two_bars + "\n\n",
                "@h#1{=2..3:3 4..7:1 }"},
    stream_case{"new_header", 27, "@h:\n" + two_bars + "\n",
                "@h#1{=2..3:3 4..7:1 }"},
    stream_case{"keyed", 23,
                "@h[a]:\n" + two_bars + "\n@h[b]:\n" + two_bars + "\n\n@n: 1\n",
                "@h#1{a=2..3:3 4..7:1 ;b=2..3:3 4..7:1 } @n#1{=1}"},
    stream_case{"touching_prints", 23,
                "@h[a]:\n" + two_bars + "\n@h[a]:\n" + two_bars + "\n",
                "@h#1{a=2..3:3 4..7:1 } @h#2{a=2..3:3 4..7:1 }"},
    stream_case{"totals_fall", 23,
                "@h[a]:\n" + two_bars + "\n@h[b]:\n" + bar_of("[1]", "3")
                  + "\n",
                "@h#1{a=2..3:3 4..7:1 } @h#2{b=1..1:3 }"},
    stream_case{"divided_totals_fall", 23,
                "@h[a]:\n" + two_bars + bar_of("[8, 16)", "0") + "\n@h[b]:\n"
                  + bar_of("[1]", "3") + "\n",
                "@h#1{a=2..3:3 4..7:1 8..15:0 ;b=1..1:3 }"},
    stream_case{"zeroed", 23, "@h:\n\n@k[a]:\n\n@k[b]:\n\n@n: 1\n",
                "@h#1{=} @k#1{a=;b=} @n#1{=1}"},
    stream_case{"label_touches_count", 17,
                "@l: \n" + bar_of("[1500000000, 1562500K)", "12345678")
                  + bar_of("[1562500K, 1700000000)", "5") + "\n",
                "@l#1{=1500000000..1599999999:12345678 "
                "1600000000..1699999999:5 }"},
    stream_case{"all_of_64_bits", 27,
                "@h:\n" + bar_of("(..., 0)", "18446744073709551615")
                  + bar_of("[0]", "1") + bar_of("[1]", "0")
                  + bar_of("[2, 4)", "1") + "\n",
                "@h#1{=..-1:18446744073709551615 0..0:1 1..1:0 2..3:1 }"},
    stream_case{"finer_hist", 27,
                "@h:\n" + bar_of("[768, 1024)", "1")
                  + bar_of("[1024, 1536)", "2") + bar_of("[1536, 2K)", "3")
                  + bar_of("[2K, 3K)", "4") + "\n",
                "@h#1{=768..1023:1 1024..1535:2 1536..2047:3 2048..3071:4 }"},
    stream_case{"uneven_lhist", 17,
                "@l: \n" + bar_of("(..., 0)", "1") + bar_of("[0, 10)", "1")
                  + bar_of("[10, 20)", "2") + bar_of("[25, ...)", "3") + "\n",
                "@l#1{=..-1:1 0..9:1 10..19:2 25..:3 }"},
    stream_case{"lhist_of_step_one", 27,
                "@l:\n" + bar_of("[3]", "1") + bar_of("[4]", "2")
                  + bar_of("[5, ...)", "3") + "\n",
                "@l#1{=3..3:1 4..4:2 5..:3 }"},
    stream_case{"rows_that_do_not_join", 27,
                "@h:\n" + bar_of("[2, 4)", "1") + bar_of("[2, 4)", "9")
                  + bar_of("[8, 16)", "9") + bar_of("[4, 9)", "9")
                  + bar_of("[4, 16)", "9") + bar_of("[4, 8)", "2") + "\n",
                "@h#1{=2..3:1 4..7:2 }"},
    stream_case{"rows_outside", 17, two_bars + "@n: 1\n" + two_bars,
                "@n#1{=1}"},
    stream_case{"header_without_anything", 27, "@h:\nfoo\n@n: 1\n", "@n#1{=1}"},
    stream_case{"bad_rows", 27,
                "@h:\n" + bar_of("[1]", "1") + "[2, 4)  3 |@@@|\n"
                  + bar_of("[2, 4)", "-1") + bar_of("[2, 4)", "")
                  + bar_of("[2, 4)", "18446744073709551616")
                  + bar_of("[2, 4) x", "1") + "\n",
                "@h#1{=1..1:1 }"}),
  [](const auto& one) { return std::string{one.param.name}; });

std::string points(const char* a, const char* b) {
  std::string scale =
    std::string(13, ' ') + "780" + std::string(46, ' ') + "2050\n";
  return scale + "hh:mm:ss.ms  |" + std::string(51, '_') + "|\n20:44:56.400 |"
         + std::string(51, ' ') + "| " + a + "\n20:44:56.600 *"
         + std::string(20, ' ') + "." + std::string(30, ' ') + "| " + b
         + "\n             v" + std::string(51, '_') + "v\n" + scale + "\n";
}

INSTANTIATE_TEST_SUITE_P(
  Others, MapTextStream,
  testing::Values(
    stream_case{"tseries", 27, "@t:\n" + points("1", "-7") + "@n: 1\n",
                "@t#1{=20:44:56.400:1 20:44:56.600:-7 } @n#1{=1}"},
    stream_case{"tseries_with_a_gap", 27,
                "@t[a]:\n" + points("-", "7") + "@t[b]:\n" + points("2", "-"),
                "@t#1{a=20:44:56.600:7 ;b=20:44:56.400:2 }"},
    stream_case{"tseries_without_values", 27, "@t:\n<no data>\n@n: 1\n",
                "@t#1{=} @n#1{=1}"},
    stream_case{"stack_values", 17,
                "@s[1]: \n        a+1\n        b+2\n@s[2]: \n        c+3\n\n"
                "@n: 1\n",
                "@s#1{1='\n        a+1\n        b+2\n';2='\n        c+3\n'} "
                "@n#1{=1}"},
    stream_case{"new_stack_values", 27,
                "@s[1]: \n        a+1\n\n@s[2]: \n        c+3\n\n@n: 1\n",
                "@s#1{1='\n        a+1\n';2='\n        c+3\n'} @n#1{=1}"},
    stream_case{"empty_stack_before_another", 17,
                "@s[1]: @s[2]: \n        c+3\n\n",
                "@s#1{1='';2='\n        c+3\n'}"},
    stream_case{"addresses_on_one_line", 23,
                "@ip[1]: 127.0.0.1@ip[2]: ::1@ip[a, 3]: 8.8.8.8\n@n: 1\n",
                "@ip#1{1='127.0.0.1';2='::1';a, 3='8.8.8.8'} @n#1{=1}"},
    stream_case{"new_addresses", 27, "@ip[1]: 127.0.0.1@ip[2]: ::1\n",
                "@ip#1{1='127.0.0.1@ip[2]: ::1'}"},
    stream_case{"text_with_ends_of_rows", 17,
                "@s[1]: one\n@s[2]: two]: 2\n@s[3]: bob@host: 5\n@s[4]: a@s\n",
                "@s#1{1='one';2='two]: 2';3='bob@host: 5';4='a@s'}"},
    stream_case{"text_over_two_lines", 17,
                "@s[1]: one\n@s[2]: two\nlines\n@s[3]: three\n",
                "@s#1{1='one';2='two\nlines';3='three'}"},
    stream_case{"empty_texts", 23,
                "@s[1]: \n@s[2]: x\n@s[3]: \n@n: 1\n@u: \n@n: 2\n",
                "@s#1{1='';2='x';3=''} @n#1{=1} @u#1{=''} @n#2{=2}"},
    stream_case{"text_before_a_map", 17,
                "20:43:08 opens: @o: 14\nx=@k[a b]: 1\n@k[c]: 2\nh@h: \n"
                  + two_bars + "\n",
                "@o#1{=14} @k#1{a b=1;c=2} @h#1{=2..3:3 4..7:1 }"},
    stream_case{"text_before_each_print_of_a_map", 17,
                "> @k[a]: 1\n> @k[a]: 2\n> @k[a]: 3\n@k[b]: 4\n",
                "@k#1{a=1} @k#2{a=2} @k#3{a=3;b=4}"},
    stream_case{"text_before_an_open_key", 17, "x @k[new\nline]: 1\n@k[c]: 2\n",
                "@k#1{new\nline=1;c=2}"},
    stream_case{"text_with_an_at", 17,
                "mail bob@host: hello\nfoo@[bar\na@b:\n@@\n@x y\n@n: 1\n",
                "@n#1{=1}"},
    stream_case{"text_like_the_end_of_a_row", 17,
                "@c[a]: 700\n@c[b]: 701\ncpu[1]: 5\n@c[b]: 702\n",
                "@c#1{a=700;b=701} @c#2{b=702}"},
    stream_case{"text_like_the_end_of_an_integer_key", 17,
                "@c[1]: 7\n@c[3]: 8\ncpu[1]: 9\n@c[2]: 702\n",
                "@c#1{1=7;3=8} @c#2{2=702}"},
    stream_case{"warning_with_a_false_row", 23,
                "@c[a]: 1\nx.bt:1:2-3: WARNING: Map full; can't update\n"
                "Additional Info - helper: map_update_elem, retcode: -7\n"
                "@c[q]: 5\n    ~~~\n@c[b]: 2\n",
                "@c#1{a=1} @c#2{b=2}"},
    stream_case{"warning_without_an_excerpt", 23,
                "x.bt:1-3: WARNING: Map full; can't update\n"
                "Additional Info - helper: map_update_elem, retcode: -7\n"
                "@c[q]: 5\n    ~~~\n@c[b]: 2\n",
                "@c#1{q=5} @c#2{b=2}"},
    stream_case{"warning_that_lacks_its_excerpt", 23,
                "x.bt:1:2: WARNING: foo\n@c[q]: 5\n@c[b]: 6\n",
                "@c#1{q=5;b=6}"},
    stream_case{"no_warnings_in_new_versions", 27,
                "x.bt:1:2: WARNING: foo\n@c[q]: 5\n  ~~~\n", "@c#1{q=5}"},
    stream_case{"crlf", 17,
                "@n: 3\r\n@h: \r\n[1]                    3 |"
                  + std::string(52, '@') + "|\r\n\r\n@k[a]: 1\r\n",
                "@n#1{=3} @h#1{=1..1:3 } @k#1{a=1}"}),
  [](const auto& one) { return std::string{one.param.name}; });

INSTANTIATE_TEST_SUITE_P(
  Endings, MapTextStream,
  testing::Values(
    stream_case{"after_two_empty_lines", 27, "@n: 1\n\n\n@a: 1\n@k[x]: 2\n",
                "@n#1{=1} @a#1{=1}! @k#1{x=2}!"},
    stream_case{"after_text_without_its_end", 17,
                "@n: 1\nbye\n\n@a: 1\n@b: 2\n", "@n#1{=1} @a#1{=1}! @b#1{=2}!"},
    stream_case{"after_a_histogram", 17,
                "@h: \n" + two_bars + "\n\n\n@h: \n" + two_bars + "\n",
                "@h#1{=2..3:3 4..7:1 } @h#2{=2..3:3 4..7:1 }!"},
    stream_case{"one_empty_line_is_none", 17, "@n: 1\n\n@a: 1\n",
                "@n#1{=1} @a#1{=1}"},
    stream_case{"stats_have_their_own", 17,
                "@s: count 1, average 1, total 1\n\n\n@a: 1\n",
                "@s#1{=1/1/1} @a#1{=1}"},
    stream_case{"new_stats_have_none", 27,
                "@s: { .count = 1, .average = 1, .total = 1 }\n\n\n@a: 1\n",
                "@s#1{=1/1/1} @a#1{=1}!"},
    stream_case{"text_after_it_shows_it_was_none", 17,
                "\n\n@a: 1\nmore\n@b: 1\n", "@a#1{=1} @b#1{=1}"},
    stream_case{"order_shows_it_was_none", 17, "\n\n@b: 1\n@a: 1\n",
                "@b#1{=1} @a#1{=1}"},
    stream_case{"the_second_one_counts", 17, "\n\n@b: 1\n\n\n@a: 1\n@b: 1\n",
                "@b#1{=1} @a#1{=1}! @b#2{=1}!"},
    stream_case{"texts_go_on_in_it", 17, "\n\n@s: one\ntwo\n@t: x\ny\n",
                "@s#1{='one\ntwo'}! @t#1{='x\ny'}!"}),
  [](const auto& one) { return std::string{one.param.name}; });

// ---- counts
// ------------------------------------------------------------------

TEST(MapText, CountsLostEventsWhereverTheyStand) {
  auto got = parse("Attaching 3 probes...\nLost 5 events\n862164 xx Lost 7 "
                   "events\n@n: 1\nLost x events\n",
                   text_of(17), {}, 0);
  EXPECT_TRUE(got.attached);
  EXPECT_EQ(got.counts.lost_events, 12u);
  EXPECT_EQ(got.printed,
            (std::vector<std::string>{"862164 xx ", "Lost x events"}));
  EXPECT_EQ(brief(got.snapshots), "@n#1{=1}");
}

TEST(MapText, TakesLostEventsForTextWhereTheyGoToStderr) {
  auto got =
    parse("Lost 5 events\nAttaching 3 probes...\n", text_of(27), {}, 0);
  EXPECT_EQ(got.counts.lost_events, 0u);
  EXPECT_EQ(got.counts.printed, 2u);
  EXPECT_FALSE(got.attached);
}

TEST(MapText, CountsFailedHelpersAndFullMaps) {
  auto got = parse(
    "a.bt:1:56-57: WARNING: Failed to map_update_elem: Argument list too long "
    "(-7)\nBEGIN { @x[1] = 1 }\n   ~\n"
    "a.bt:1:2-3: WARNING: Can't lookup map element because it does not exist.\n"
    "Additional Info - helper: map_lookup_elem, retcode: 0\n x\n ~\n"
    "glued a.bt:1:2-3: WARNING: Map full; can't update element.\n"
    "Additional Info - helper: map_update_elem, retcode: -7\n x\n ~\n",
    text_of(23), {}, 0);
  EXPECT_EQ(got.counts.helper_errors, 3u);
  EXPECT_EQ(got.counts.map_full, 2u);
  EXPECT_EQ(got.counts.printed, 0u);
  EXPECT_TRUE(got.snapshots.empty());
}

TEST(MapText, CountsWhatFitsNoMap) {
  auto got = parse(two_bars + "@h:\n" + bar_of("[1]", "1") + two_bars
                     + bar_of("[2, 4)", "1") + "\n",
                   text_of(27), {}, 0);
  EXPECT_EQ(got.counts.rejected, 3u);
  EXPECT_EQ(got.counts.values, 3u);
  EXPECT_EQ(got.counts.snapshots, 1u);
}

TEST(MapText, CountsAndKeepsPrintedLines) {
  auto got = parse("COMM COUNT\nopens: @o: 1\n--\n\nhalf", text_of(17), {}, 0);
  EXPECT_EQ(got.printed,
            (std::vector<std::string>{"COMM COUNT", "opens: ", "--", "half"}));
  EXPECT_EQ(got.counts.printed, 4u);
}

TEST(MapText, SaysWhatItAssumesOfTheVersion) {
  auto parser = make_text_parser({unknown, 1 << 20, {}, {}});
  parsed out;
  parser->feed("Attaching 1 probe...\n@n: 1\n", wall_time_from_ms(0), out);
  ASSERT_EQ(out.assumptions.size(), 1u);
  EXPECT_NE(out.assumptions[0].find("0.24"), std::string::npos);
}

TEST(MapText, UsesTheShapeOfKeysThatTheScriptTells) {
  parser_options options;
  options.speaks = text_of(17);
  options.keys["@a"] = {2, {false, true}};
  options.keys["@b"] = {1, {false}};
  auto parser = make_text_parser(options);
  parsed out;
  parser->feed("@a[x, y, 9606]: 1\n@b[x, y, 1]: 1\n", {}, out);
  parser->finish("", out);
  ASSERT_EQ(out.snapshots.size(), 2u);
  EXPECT_EQ(out.snapshots[0].entries[0].keys,
            (std::vector<std::string>{"x, y", "9606"}));
  EXPECT_EQ(out.snapshots[1].entries[0].keys,
            (std::vector<std::string>{"x, y, 1"}));
}

// ---- time
// --------------------------------------------------------------------

class MapTextPause : public testing::Test {
protected:
  void feed(std::string_view lines, std::int64_t ms) {
    parser->feed(lines, wall_time_from_ms(ms), out);
  }
  std::string pause(std::int64_t ms) {
    parser->pause(wall_time_from_ms(ms), out);
    return brief(out.snapshots);
  }

  std::unique_ptr<map_parser> parser =
    make_text_parser({text_of(23), 1 << 20, {}, std::chrono::milliseconds{50}});
  parsed out;
};

TEST_F(MapTextPause, EndsAPrint) {
  feed("@a[x]: 1\n@a[y]: 2\n", 1000);
  EXPECT_EQ(pause(1049), "");
  EXPECT_TRUE(parser->waiting());
  EXPECT_GT(parser->held_bytes(), 0u);
  EXPECT_EQ(pause(1050), "@a#1{x=1;y=2}");
  EXPECT_FALSE(parser->waiting());
  EXPECT_EQ(parser->held_bytes(), 0u);
  EXPECT_EQ(out.snapshots[0].arrival, wall_time_from_ms(1000));
}

TEST_F(MapTextPause, EndsAPrintAlsoWhenTheClockWasSetBackMeanwhile) {
  feed("@a[x]: 1\n@a[y]: 2\n", 1'000'000);
  EXPECT_EQ(pause(970'050), "@a#1{x=1;y=2}");
  EXPECT_EQ(out.snapshots[0].arrival, wall_time_from_ms(1'000'000));
  feed("@a[z]: 3\n", 970'100);
  EXPECT_EQ(pause(970'150), "@a#1{x=1;y=2} @a#2{z=3}");
}

TEST_F(MapTextPause, IsSeenInTheArrivalTimesToo) {
  feed("@a[x]: 1\n", 1000);
  feed("@a[y]: 2\n", 1040);
  feed("@a[z]: 3\n", 1095);
  parser->finish("", out);
  EXPECT_EQ(brief(out.snapshots), "@a#1{x=1;y=2} @a#2{z=3}");
  EXPECT_EQ(out.snapshots[0].arrival, wall_time_from_ms(1040));
}

TEST_F(MapTextPause, DoesNotPartAHistogramThatArrivesSlowly) {
  feed("@h[a]:\n" + bar_of("[1]", "1"), 1000);
  pause(1300);
  feed(bar_of("[2, 4)", "2") + "\n", 1300);
  EXPECT_EQ(pause(1400), "@h#1{a=1..1:1 2..3:2 }");
}

TEST_F(MapTextPause, LetsAnUnkeyedMapGoAtOnce) {
  feed("@n: 1\n@h:\n" + two_bars + "\n", 1000);
  EXPECT_EQ(brief(out.snapshots), "@n#1{=1} @h#1{=2..3:3 4..7:1 }");
  EXPECT_FALSE(parser->waiting());
}

TEST_F(MapTextPause, ReleasesWhatWasNoFinalDump) {
  feed("\n\n@n: 1\n", 1000);
  EXPECT_EQ(pause(1499), "");
  EXPECT_TRUE(parser->waiting());
  EXPECT_EQ(pause(1500), "@n#1{=1}");
  // Two empty lines are usual here: the next one waits for a pause only.
  feed("\n\n@n: 1\n", 2000);
  EXPECT_EQ(pause(2049), "@n#1{=1}");
  EXPECT_EQ(pause(2050), "@n#1{=1} @n#2{=1}");
  feed("\n\n@n: 1\n", 3000);
  parser->finish("", out);
  EXPECT_EQ(brief(out.snapshots), "@n#1{=1} @n#2{=1} @n#3{=1}!");
}

TEST_F(MapTextPause, ForgetsEmptyLinesThatNothingFollowed) {
  feed("\n\n", 1000);
  feed("@n: 1\n", 2000);
  EXPECT_EQ(brief(out.snapshots), "@n#1{=1}");
}

TEST_F(MapTextPause, GivesUpTextThatLookedLikeAKey) {
  feed("see foo@bar[baz\n", 1000);
  pause(1050);
  feed("@n: 1\n", 2000);
  EXPECT_EQ(brief(out.snapshots), "@n#1{=1}");
  EXPECT_EQ(parser->counts().printed, 1u);
}

// ---- the end of the output
// -----------------------------------------------------

TEST(MapTextEnd, DropsARowWithoutItsLineEnd) {
  auto got = parse("@n: 1\n@n: 12", text_of(23), {}, 0);
  EXPECT_EQ(brief(got.snapshots), "@n#1{=1}");
  EXPECT_EQ(got.counts.truncated, 1u);
}

TEST(MapTextEnd, HandsOutAnUnfinishedHistogramAsPartial) {
  auto got =
    parse("@h:\n" + bar_of("[1]", "1") + "[2, 4)    ", text_of(23), {}, 0);
  EXPECT_EQ(brief(got.snapshots), "@h#1{=1..1:1 partial}");
  EXPECT_EQ(got.counts.truncated, 1u);
}

TEST(MapTextEnd, DropsHeadersAndKeysWithoutAnEnd) {
  for (const char* text : {"@h:\n", "@h: \n", "@h[a]:\n", "@h[a\n",
                           "@s: \n    "
                           "    a+1\n"}) {
    auto got = parse(text, text_of(23), {}, 0);
    EXPECT_TRUE(got.snapshots.empty()) << text;
    EXPECT_EQ(got.counts.truncated, 1u) << text;
  }
}

/// Each record of `some` is among `all`, in that order.
bool is_subset(const std::vector<std::string>& some,
               const std::vector<std::string>& all) {
  auto at = all.begin();
  for (const std::string& one : some) {
    at = std::find(at, all.end(), one);
    if (at == all.end())
      return false;
    ++at;
  }
  return true;
}

TEST(MapTextEnd, AnOutputCutAnywhereInventsNothing) {
  fs::path folder{BPF2GRAPHITE_SOURCE_DIR "/tests/golden/corpus"};
  for (const char* name :
       {"odd-comm-count.0.17.0", "odd-comm-pid.0.23.2", "kernel-stacks.0.17.0",
        "stack-hist.0.27.1", "scalars.0.23.2", "top-and-div.0.17.0",
        "map-full.0.23.2", "clear-and-zero.0.17.0", "printf-mix.0.17.0",
        "time-series.0.27.1", "hist-whole-range.0.27.1"}) {
    std::string bytes = read_file(folder / (std::string{name} + ".out"));
    dialect speaks{output_format::text,
                   parse_bpftrace_version(
                     std::string{name}.substr(std::string{name}.find('.')))};
    auto all = parse(bytes, speaks, {}, 0).records();
    ASSERT_FALSE(all.empty()) << name;
    for (std::size_t cut = 0; cut < bytes.size(); ++cut)
      ASSERT_TRUE(
        is_subset(parse(bytes.substr(0, cut), speaks, {}, 0).records(), all))
        << name << " cut at " << cut;
  }
}

// ---- hostile input
// ---------------------------------------------------------------

TEST(MapTextHostile, ALineOfTenMegabytesCostsOnlyItself) {
  for (const char* begin : {"x", "@x[", "@x: ", "[1, 2) ", "Lost "}) {
    std::string bytes = "@n: 1\n";
    bytes += begin;
    bytes += std::string(10 << 20, '7') + "\n@n: 2\n";
    auto got = parse(bytes, text_of(17), {}, 4096);
    EXPECT_EQ(brief(got.snapshots), "@n#1{=1} @n#2{=2}") << begin;
  }
}

TEST(MapTextHostile, AKeyWithoutAnEndIsGivenUp) {
  std::string bytes = "@x[\n";
  for (int i = 0; i < 5000; ++i)
    bytes += "        frame+" + std::to_string(i) + "\n";
  bytes += "@n: 1\n";
  auto got = parse(bytes, text_of(17), {}, 0);
  EXPECT_EQ(brief(got.snapshots), "@n#1{=1}");
  EXPECT_GT(got.counts.rejected, 0u);

  bytes = "@x[a\n";
  for (int i = 0; i < 100; ++i)
    bytes += "text\n";
  bytes += "@n: 1\n";
  got = parse(bytes, text_of(17), {}, 0);
  EXPECT_EQ(brief(got.snapshots), "@n#1{=1}");
}

TEST(MapTextHostile, MoreMapsThanTheLimitAreRejected) {
  std::string bytes;
  for (std::size_t i = 0; i < text_maps_max + 10; ++i)
    bytes += "@m" + std::to_string(i) + ": 1\n";
  auto got = parse(bytes, text_of(17), {}, 0);
  EXPECT_EQ(got.snapshots.size(), text_maps_max);
  EXPECT_EQ(got.counts.rejected, 10u);
}

TEST(MapTextHostile, APrintOverTheLimitLosesItsLastRowsCounted) {
  auto parser = make_text_parser({text_of(17), 1000, {}, {}});
  parsed out;
  std::string bytes;
  for (int i = 0; i < 100; ++i)
    bytes += "@k[" + std::to_string(i) + "]: 1\n";
  parser->feed(bytes, {}, out);
  EXPECT_LE(parser->held_bytes(), 1100u);
  parser->finish("", out);
  ASSERT_EQ(out.snapshots.size(), 1u);
  EXPECT_EQ(out.snapshots[0].entries.size() + parser->counts().rejected, 100u);
}

// Two empty lines, then one map after the other in the order of their names:
// a final dump by all that is seen, without an end.
TEST(MapTextHostile, WhatMayBeAFinalDumpIsHeldOnlyUpToTheLimit) {
  parser_options options;
  options.speaks = text_of(17);
  options.record_bytes_max = 10'000;
  auto parser = make_text_parser(options);
  parsed out;
  parser->feed("\n\n@h[a]: 1\n", {}, out);
  std::size_t most = 0;
  for (int i = 0; i < 1000; ++i) {
    parser->feed("@h[a]: 1\n", {}, out);
    most = std::max(most, parser->held_bytes());
  }
  EXPECT_LE(most, 11'000u);
  parser->finish("", out);
  EXPECT_EQ(out.snapshots.size(), 1001u);
}

TEST(MapTextHostile, NothingThatComesCrashesIt) {
  std::mt19937 random{20240607};
  std::vector<std::string> pieces{"@",
                                  "@x",
                                  "@x[",
                                  "@h[",
                                  "]: ",
                                  "]:",
                                  ": ",
                                  "\n",
                                  "\n",
                                  "\n\n",
                                  "5",
                                  "-7",
                                  "18446744073709551615",
                                  "count 1, average 2, total 3",
                                  "{ .count = 1, .average = 2, .total = 3 }",
                                  "[1, 2)",
                                  "(..., 0)",
                                  " |",
                                  "|",
                                  "a",
                                  "Lost 5 events",
                                  "x.bt:1:2-3: WARNING: foo",
                                  "    ~~~",
                                  "        f+1",
                                  "\tffff f+1",
                                  "Attaching 1 probe...",
                                  "hh:mm:ss ___|",
                                  "\r",
                                  std::string(1, '\0'),
                                  "\xff\xfe",
                                  ", ",
                                  "@x: \n",
                                  "@h:\n",
                                  two_bars,
                                  points("1", "2"),
                                  "<no data>\n",
                                  "20:44:56.400 "};
  for (int round = 0; round < 3000; ++round) {
    std::string bytes;
    std::size_t length = random() % 60;
    for (std::size_t i = 0; i < length; ++i) {
      if (random() % 8 == 0)
        bytes += static_cast<char>(random() % 256);
      else
        bytes += pieces[random() % pieces.size()];
    }
    dialect speaks = round % 4 == 0   ? unknown
                     : round % 4 == 1 ? text_of(9)
                     : round % 4 == 2 ? text_of(23)
                                      : text_of(27);
    auto whole = parse(bytes, speaks, {}, 0);
    auto bytewise = parse(bytes, speaks, {}, 1);
    ASSERT_EQ(whole.records(), bytewise.records()) << bytes;
    std::uint64_t values = 0;
    for (const snapshot& print : whole.snapshots) {
      ASSERT_FALSE(print.entries.empty());
      for (const map_entry& entry : print.entries)
        if (const auto* rows = std::get_if<buckets>(&entry.value))
          values += rows->size();
    }
    ASSERT_LE(values, whole.counts.values);
  }
}

TEST(MapTextHostile, ALongMixOfOpenKeysTakesNoQuadraticTime) {
  // 2 MiB each; quadratic work would take hours.
  for (const char* line : {"@a[x\n", "x@a[y\n", "    @a[\n", "@a[x]:\n",
                           "@a[x]: \n", "]: 5\n", "@@@@@@@@@@@@@@@@@@@@[\n",
                           "@a[b]: c@a[b]: c@a[b]: c@a[b]: c@a[b]: c\n"}) {
    std::string bytes;
    while (bytes.size() < (2 << 20))
      bytes += line;
    auto got = parse(bytes, unknown, {}, 65536);
    SUCCEED() << got.counts.rejected;
  }
}

} // namespace
} // namespace bpf2graphite
