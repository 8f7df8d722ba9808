#pragma once
// One stream of bpftrace's output, fed to a parser whole and in pieces: what
// it says must be the same, and nothing it holds may exceed its limits.

#include "actors/histogram_parser/map_parser.hpp"
#include "actors/histogram_parser/records.hpp"
#include "actors/line_reader/line_splitter.hpp"
#include "tests/fuzz/fuzz_input.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace bpf2graphite {

/// Small, so that a fuzzer reaches them.
inline constexpr std::size_t fuzz_line_bytes_max = 4 << 10;
inline constexpr std::size_t fuzz_record_bytes_max = 8 << 10;

/// All that one run said.
struct fuzz_outcome {
  std::string records;
  std::vector<std::string> printed;
  std::vector<std::string> assumptions;
  parser_counts counts;
  bool attached = false;
};

inline std::uint64_t values_in(const map_entry& entry) {
  if (auto rows = std::get_if<buckets>(&entry.value))
    return rows->size();
  if (auto points = std::get_if<std::vector<tseries_value>>(&entry.value))
    return points->size();
  return std::holds_alternative<stats_value>(entry.value) ? 3 : 1;
}

/// A snapshot as text, with what records do not show.
inline void describe(const snapshot& print, std::string& out) {
  write_records(print, out);
  out += print.map + (print.ending ? " ending " : " ")
         + std::to_string(static_cast<int>(print.kind)) + " "
         + std::to_string(print.number) + " "
         + std::to_string(print.entries.size()) + " at "
         + std::to_string(print.arrival.time_since_epoch().count());
  for (const auto& entry : print.entries)
    out += entry.partial ? " partial" : " whole";
  out += '\n';
}

/// What holds for every snapshot of either parser.
inline void check_snapshot(const snapshot& print) {
  FUZZ_REQUIRE((print.kind == map_kind::print) == print.map.empty());
  FUZZ_REQUIRE(print.map.empty() || print.map.front() == '@');
  FUZZ_REQUIRE(print.number > 0);
  for (const auto& entry : print.entries) {
    auto rows = std::get_if<buckets>(&entry.value);
    if (!rows)
      continue;
    for (const auto& row : *rows) {
      FUZZ_REQUIRE(row.min || row.max);
      FUZZ_REQUIRE(!row.min || !row.max || *row.min <= *row.max);
    }
  }
}

/// Runs the input's text. The arrival changes at the input's own places (so
/// that pauses are part of it); with `cut` it is also cut at others.
inline fuzz_outcome run_parser(const fuzz_input& in,
                               const parser_options& options,
                               std::size_t held_bytes_max, bool cut) {
  auto parser = make_map_parser(options);
  line_splitter splitter{fuzz_line_bytes_max};
  fuzz_outcome result;
  parsed out;
  out.keep_printed = true;
  std::uint64_t values = 0;
  std::uint64_t snapshots = 0;
  auto collect = [&] {
    for (const auto& print : out.snapshots) {
      check_snapshot(print);
      describe(print, result.records);
      ++snapshots;
      for (const auto& entry : print.entries)
        values += values_in(entry);
    }
    out.snapshots.clear();
    FUZZ_REQUIRE(parser->held_bytes() <= held_bytes_max);
  };
  // Half of all inputs arrive at once, the others with a silence now and then.
  bool silences = in.control(2) % 2 != 0;
  std::size_t silent_rounds = 0;
  std::size_t cut_rounds = 0;
  std::int64_t ms = 1'000'000;
  std::size_t silence = in.text.size();
  if (silences)
    silence = 8 * in.piece(3, silent_rounds);
  std::size_t at = 0;
  while (at < in.text.size()) {
    if (at == silence) {
      ms += silent_rounds % 3 == 0 ? 700 : 60;
      if (silent_rounds % 2 == 0) {
        parser->pause(wall_time_from_ms(ms - 1), out);
        collect();
      }
      silence += 8 * in.piece(3, silent_rounds);
    }
    auto end = std::min(silence, in.text.size());
    if (cut)
      end = std::min(end, at + in.piece(8, cut_rounds));
    auto split = splitter.take(in.text.substr(at, end - at));
    if (!split.joined.empty())
      parser->feed(split.joined, wall_time_from_ms(ms), out);
    for (auto lines : split.regions)
      parser->feed(lines, wall_time_from_ms(ms), out);
    collect();
    at = end;
  }
  parser->finish(splitter.finish(), out);
  collect();
  FUZZ_REQUIRE(parser->held_bytes() == 0);
  FUZZ_REQUIRE(!parser->waiting());
  result.printed = std::move(out.printed);
  result.assumptions = std::move(out.assumptions);
  result.counts = parser->counts();
  result.attached = out.attached;
  FUZZ_REQUIRE(result.counts.values == values);
  FUZZ_REQUIRE(result.counts.snapshots == snapshots);
  return result;
}

inline bool same(const parser_counts& a, const parser_counts& b) {
  return a.values == b.values && a.snapshots == b.snapshots
         && a.lost_events == b.lost_events && a.helper_errors == b.helper_errors
         && a.map_full == b.map_full && a.rejected == b.rejected
         && a.invalid == b.invalid && a.printed == b.printed
         && a.truncated == b.truncated;
}

/// The versions that a fuzzer tries: one of each change of the formats, and
/// none at all.
inline std::optional<bpftrace_version> version_of(std::uint8_t choice) {
  constexpr int minors[] = {9, 12, 17, 20, 21, 22, 23, 24, 25, 27};
  constexpr std::size_t all = std::size(minors);
  auto i = choice % (all + 2); // twice as likely: not known
  if (i >= all)
    return std::nullopt;
  return bpftrace_version{0, minors[i], 0};
}

/// Both runs, and the comparison.
inline fuzz_outcome fuzz_parser(const fuzz_input& in, output_format format,
                                std::size_t held_bytes_max) {
  parser_options options;
  options.record_bytes_max = fuzz_record_bytes_max;
  options.speaks.format = format;
  options.speaks.version = version_of(in.control(0));
  auto shape = in.control(1);
  if (shape % 4 == 1)
    options.keys["@k"] = {1 + shape / 4 % 3u, {}};
  else if (shape % 4 == 2)
    options.keys["@k"] = {2, {true, shape / 4 % 2 != 0}};
  else if (shape % 4 == 3)
    options.keys["@k"] = {0, {}};
  auto whole = run_parser(in, options, held_bytes_max, false);
  auto pieces = run_parser(in, options, held_bytes_max, true);
  FUZZ_REQUIRE(whole.records == pieces.records);
  FUZZ_REQUIRE(whole.printed == pieces.printed);
  FUZZ_REQUIRE(whole.assumptions == pieces.assumptions);
  FUZZ_REQUIRE(same(whole.counts, pieces.counts));
  FUZZ_REQUIRE(whole.attached == pieces.attached);
  return whole;
}

} // namespace bpf2graphite
