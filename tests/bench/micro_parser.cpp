// How many rows of maps a CPU second parses: our readers of bpftrace's JSON and
// text, and simdjson over the same JSON with the same records made of it (its
// on-demand reader and its tree, each over the whole padded stream as its
// documentation advises). Before anything is timed, all must say the same.
//
//   micro_parser [--benchmark_filter=...] [--benchmark_repetitions=...]
//
// The streams, each of prints of which six values change between two: hist()
// of 20 buckets, lhist() of 22 (one of them open to each side), and count() by
// 40 keys.

#include "actors/histogram_parser/map_parser.hpp"
#include "tests/support/bpftrace_printer.hpp"

#include <benchmark/benchmark.h>
#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace bpf2graphite;

constexpr int prints = 2000;

enum class shape { hist, lhist, counts };

constexpr std::size_t values_in(shape what) {
  return what == shape::hist ? 20 : what == shape::lhist ? 22 : 40;
}

printer::printed map_of(shape what) {
  printer::printed map;
  map.name = "@usecs";
  if (what == shape::counts) {
    map.type = printer::map_type::count;
    for (int k = 0; k < 40; ++k)
      map.elements.push_back({{"key" + std::to_string(k)}, {}, 1, 0});
    return map;
  }
  auto& rows = map.elements.emplace_back().rows;
  if (what == shape::hist) {
    map.type = printer::map_type::hist;
    for (int i = 0; i < 20; ++i)
      rows[std::int64_t{2} << i] = 1;
    return map;
  }
  map.type = printer::map_type::lhist;
  map.bounds = {0, 200, 10};
  rows[printer::element::below] = 1;
  for (std::int64_t low = 0; low <= 200; low += 10)
    rows[low] = 1;
  return map;
}

/// More in six rows or elements. Counts stay in rising order, as bpftrace
/// prints them.
void change(printer::printed& map, shape what, std::mt19937& random) {
  for (int k = 0; k < 6; ++k) {
    if (what != shape::counts) {
      auto at = map.elements[0].rows.begin();
      std::advance(at, random() % values_in(what));
      at->second += random() % 1000;
      continue;
    }
    const auto first = random() % values_in(what);
    const auto more = random() % 1000;
    for (auto i = first; i < values_in(what); ++i)
      map.elements[i].value += more;
  }
}

std::string stream_of(shape what, output_format format) {
  std::mt19937 random{1};
  auto map = map_of(what);
  printer::writer bpftrace{17, format == output_format::json};
  std::string out;
  for (int i = 0; i < prints; ++i) {
    change(map, what, random);
    out += bpftrace.print(map);
  }
  return out;
}

parser_options options_of(output_format format) {
  parser_options options;
  options.speaks.format = format;
  options.speaks.version = bpftrace_version{0, 17, 0};
  return options;
}

/// What our parser makes of it; fed in pieces as a pipe gives them.
std::vector<snapshot> ours(output_format format, std::string_view stream) {
  auto parser = make_map_parser(options_of(format));
  parsed out;
  while (!stream.empty()) {
    auto end =
      stream.find('\n', std::min<std::size_t>(stream.size() - 1, 32768));
    parser->feed(stream.substr(0, end + 1), wall_time_from_ms(1), out);
    stream.remove_prefix(end + 1);
  }
  parser->finish({}, out);
  return std::move(out.snapshots);
}

snapshot& add_print(std::vector<snapshot>& to, std::string_view map,
                    map_kind kind) {
  auto& print = to.emplace_back();
  print.map = map;
  print.kind = kind;
  print.number = to.size();
  print.arrival = wall_time_from_ms(1);
  return print;
}

buckets& add_histogram(snapshot& to) {
  return to.entries.emplace_back().value.emplace<buckets>();
}

void add_count(snapshot& to, std::string_view key, std::int64_t value) {
  auto& entry = to.entries.emplace_back();
  entry.keys.emplace_back(key);
  entry.value = exact{value};
}

std::vector<snapshot> by_demand(simdjson::ondemand::parser& parser,
                                const simdjson::padded_string& stream) {
  std::vector<snapshot> out;
  simdjson::ondemand::document_stream records =
    parser.iterate_many(stream, 1 << 20);
  for (auto record : records) {
    std::string_view type = record["type"];
    const auto hist = type == "hist";
    if (!hist && type != "map")
      continue;
    for (auto map : record["data"].get_object()) {
      std::string_view name = map.unescaped_key();
      auto& print =
        add_print(out, name, hist ? map_kind::hist : map_kind::value);
      if (!hist) {
        for (auto element : map.value().get_object()) {
          std::string_view key = element.unescaped_key();
          std::int64_t value = element.value();
          add_count(print, key, value);
        }
        continue;
      }
      auto& to = add_histogram(print);
      for (auto row : map.value().get_array()) {
        auto fields = row.get_object();
        bucket made;
        std::int64_t bound = 0;
        if (fields["min"].get(bound) == simdjson::SUCCESS)
          made.min = bound;
        if (fields["max"].get(bound) == simdjson::SUCCESS)
          made.max = bound;
        made.count = fields["count"];
        to.push_back(made);
      }
    }
  }
  return out;
}

std::vector<snapshot> by_tree(simdjson::dom::parser& parser,
                              const simdjson::padded_string& stream) {
  std::vector<snapshot> out;
  simdjson::dom::document_stream records = parser.parse_many(stream, 1 << 20);
  for (simdjson::dom::element record : records) {
    std::string_view type = record["type"];
    const auto hist = type == "hist";
    if (!hist && type != "map")
      continue;
    for (auto map : record["data"].get_object()) {
      auto& print =
        add_print(out, map.key, hist ? map_kind::hist : map_kind::value);
      if (!hist) {
        for (auto element : map.value.get_object())
          add_count(print, element.key, element.value.get_int64());
        continue;
      }
      auto& to = add_histogram(print);
      for (simdjson::dom::object row : map.value) {
        bucket made;
        made.count = row["count"].get_uint64();
        std::int64_t bound = 0;
        if (row["min"].get(bound) == simdjson::SUCCESS)
          made.min = bound;
        if (row["max"].get(bound) == simdjson::SUCCESS)
          made.max = bound;
        to.push_back(made);
      }
    }
  }
  return out;
}

bool same(const std::vector<snapshot>& a, const std::vector<snapshot>& b) {
  if (a.size() != b.size() || a.size() != prints)
    return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].map != b[i].map || a[i].kind != b[i].kind
        || a[i].entries.size() != b[i].entries.size())
      return false;
    for (std::size_t k = 0; k < a[i].entries.size(); ++k)
      if (a[i].entries[k].keys != b[i].entries[k].keys
          || a[i].entries[k].value != b[i].entries[k].value)
        return false;
  }
  return true;
}

void rows_done(benchmark::State& state, shape what) {
  state.SetItemsProcessed(state.iterations() * prints
                          * static_cast<std::int64_t>(values_in(what)));
  state.SetLabel("rows");
}

void parsed_by_us(benchmark::State& state, output_format format, shape what) {
  const auto stream = stream_of(what, format);
  for (auto _ : state)
    benchmark::DoNotOptimize(ours(format, stream));
  rows_done(state, what);
}

void simdjson_on_demand(benchmark::State& state, shape what) {
  const simdjson::padded_string stream{stream_of(what, output_format::json)};
  simdjson::ondemand::parser parser;
  for (auto _ : state)
    benchmark::DoNotOptimize(by_demand(parser, stream));
  rows_done(state, what);
}

void simdjson_tree(benchmark::State& state, shape what) {
  const simdjson::padded_string stream{stream_of(what, output_format::json)};
  simdjson::dom::parser parser;
  for (auto _ : state)
    benchmark::DoNotOptimize(by_tree(parser, stream));
  rows_done(state, what);
}

constexpr auto json = output_format::json;
constexpr auto text = output_format::text;

BENCHMARK_CAPTURE(parsed_by_us, json, json, shape::hist)->Name("JSON");
BENCHMARK_CAPTURE(simdjson_on_demand, hist, shape::hist)
  ->Name("JSON, simdjson on demand");
BENCHMARK_CAPTURE(simdjson_tree, hist, shape::hist)
  ->Name("JSON, simdjson tree");
BENCHMARK_CAPTURE(parsed_by_us, text, text, shape::hist)->Name("text");
BENCHMARK_CAPTURE(parsed_by_us, json_lhist, json, shape::lhist)
  ->Name("JSON of lhist()");
BENCHMARK_CAPTURE(simdjson_on_demand, lhist, shape::lhist)
  ->Name("JSON of lhist(), simdjson on demand");
BENCHMARK_CAPTURE(parsed_by_us, text_lhist, text, shape::lhist)
  ->Name("text of lhist()");
BENCHMARK_CAPTURE(parsed_by_us, json_counts, json, shape::counts)
  ->Name("JSON of counts by key");
BENCHMARK_CAPTURE(simdjson_on_demand, counts, shape::counts)
  ->Name("JSON of counts by key, simdjson on demand");
BENCHMARK_CAPTURE(parsed_by_us, text_counts, text, shape::counts)
  ->Name("text of counts by key");

/// All readers make the same of these prints.
bool agree(shape what) {
  const simdjson::padded_string stream{stream_of(what, json)};
  simdjson::ondemand::parser demand;
  simdjson::dom::parser tree;
  const auto wanted = ours(json, std::string_view{stream});
  return same(wanted, by_demand(demand, stream))
         && same(wanted, by_tree(tree, stream))
         && same(wanted, ours(text, stream_of(what, text)));
}

} // namespace

int main(int argc, char** argv) {
  for (const auto what : {shape::hist, shape::lhist, shape::counts})
    if (!agree(what)) {
      std::fputs("micro_parser: the readers do not agree\n", stderr);
      return 1;
    }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
