// How many rows of histograms a CPU second parses: our readers of bpftrace's
// JSON and text, and simdjson over the same JSON with the same records made of
// it (its on-demand reader and its tree, each over the whole padded stream as
// its documentation advises). Before anything is timed, all must say the same.
//
//   micro_parser [--benchmark_filter=...] [--benchmark_repetitions=...]
//
// The stream: prints of 20 buckets, of which six counts change between two.

#include "actors/histogram_parser/map_parser.hpp"
#include "tests/support/bpftrace_printer.hpp"

#include <benchmark/benchmark.h>
#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace bpf2graphite;

constexpr int prints = 2000;
constexpr int rows = 20;

std::string stream_of(output_format format) {
  std::mt19937 random{1};
  printer::printed map;
  map.name = "@usecs";
  map.type = printer::map_type::hist;
  map.elements.resize(1);
  auto& counts = map.elements[0].rows;
  for (int i = 0; i < rows; ++i)
    counts[std::int64_t{2} << i] = 1;
  printer::writer bpftrace{17, format == output_format::json};
  std::string out;
  for (int i = 0; i < prints; ++i) {
    for (int k = 0; k < 6; ++k)
      counts[std::int64_t{2} << random() % rows] += random() % 1000;
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

void add_row(std::vector<bucket>& to, std::int64_t min, std::int64_t max,
             std::uint64_t count) {
  to.push_back({min, max, count});
}

snapshot& add_print(std::vector<snapshot>& to, std::string_view map) {
  auto& print = to.emplace_back();
  print.map = map;
  print.kind = map_kind::hist;
  print.number = to.size();
  print.arrival = wall_time_from_ms(1);
  print.entries.emplace_back().value.emplace<buckets>();
  return print;
}

std::vector<snapshot> by_demand(simdjson::ondemand::parser& parser,
                                const simdjson::padded_string& stream) {
  std::vector<snapshot> out;
  simdjson::ondemand::document_stream records =
    parser.iterate_many(stream, 1 << 20);
  for (auto record : records) {
    std::string_view type = record["type"];
    if (type != "hist")
      continue;
    for (auto map : record["data"].get_object()) {
      std::string_view name = map.unescaped_key();
      auto& to = std::get<0>(add_print(out, name).entries[0].value);
      for (auto row : map.value().get_array()) {
        auto fields = row.get_object();
        std::int64_t min = fields["min"];
        std::int64_t max = fields["max"];
        std::uint64_t count = fields["count"];
        add_row(to, min, max, count);
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
    if (type != "hist")
      continue;
    for (auto map : record["data"].get_object()) {
      auto& to = std::get<0>(add_print(out, map.key).entries[0].value);
      for (simdjson::dom::object row : map.value.get_array())
        add_row(to, row["min"].get_int64(), row["max"].get_int64(),
                row["count"].get_uint64());
    }
  }
  return out;
}

bool same(const std::vector<snapshot>& a, const std::vector<snapshot>& b) {
  if (a.size() != b.size() || a.size() != prints)
    return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].map != b[i].map || a[i].kind != b[i].kind
        || a[i].entries.size() != b[i].entries.size()
        || a[i].entries[0].value != b[i].entries[0].value)
      return false;
  return true;
}

void rows_done(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * prints * rows);
  state.SetLabel("rows");
}

void json_ours(benchmark::State& state) {
  auto stream = stream_of(output_format::json);
  for (auto _ : state)
    benchmark::DoNotOptimize(ours(output_format::json, stream));
  rows_done(state);
}
BENCHMARK(json_ours)->Name("JSON");

void json_simdjson_on_demand(benchmark::State& state) {
  simdjson::padded_string stream{stream_of(output_format::json)};
  simdjson::ondemand::parser parser;
  for (auto _ : state)
    benchmark::DoNotOptimize(by_demand(parser, stream));
  rows_done(state);
}
BENCHMARK(json_simdjson_on_demand)->Name("JSON, simdjson on demand");

void json_simdjson_tree(benchmark::State& state) {
  simdjson::padded_string stream{stream_of(output_format::json)};
  simdjson::dom::parser parser;
  for (auto _ : state)
    benchmark::DoNotOptimize(by_tree(parser, stream));
  rows_done(state);
}
BENCHMARK(json_simdjson_tree)->Name("JSON, simdjson tree");

void text_ours(benchmark::State& state) {
  auto stream = stream_of(output_format::text);
  for (auto _ : state)
    benchmark::DoNotOptimize(ours(output_format::text, stream));
  rows_done(state);
}
BENCHMARK(text_ours)->Name("text");

} // namespace

int main(int argc, char** argv) {
  simdjson::padded_string json{stream_of(output_format::json)};
  simdjson::ondemand::parser demand;
  simdjson::dom::parser tree;
  auto ours_of_json = ours(output_format::json, std::string_view{json});
  if (!same(ours_of_json, by_demand(demand, json))
      || !same(ours_of_json, by_tree(tree, json))
      || !same(ours_of_json,
               ours(output_format::text, stream_of(output_format::text)))) {
    std::fputs("micro_parser: the readers do not agree\n", stderr);
    return 1;
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
