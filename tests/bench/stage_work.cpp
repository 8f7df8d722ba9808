// Our stages without actors, pipes and sockets, for counting instructions
// (bench/run, part `instructions`): chunk -> lines -> snapshots -> slots ->
// lines of plaintext.
//
//   stage_work json|text KIND PRINTS
//
// KIND: cleared, cumulative  a histogram of 20 buckets
//       keyed                10 such histograms, cleared
//       counts               40 counts by key, cleared
//       counts-cumulative    the same, never cleared
//
// The first WARM prints are not counted: names are made there. What is counted
// is the function `counted_stages`. On stdout: the rows that it was given.
// Exit status 1 when the lines do not add up to what was printed.

#include "actors/batcher/batch_queue.hpp"
#include "actors/histogram_parser/output_decoder.hpp"
#include "actors/line_reader/line_splitter.hpp"
#include "actors/normalizer/trace_series.hpp"
#include "tests/support/bpftrace_printer.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace bpf2graphite;

constexpr int warm = 30;
constexpr std::int64_t t0 = 1'700'000'010'000; // a slot begins, in ms
constexpr std::size_t chunk_bytes = 64 << 10;

parser_options parsing(bool json) {
  parser_options options;
  options.speaks.format = json ? output_format::json : output_format::text;
  options.speaks.version = bpftrace_version{0, 17, 0};
  return options;
}

series_config naming(bool cumulative) {
  series_config config;
  config.trace = "t0";
  config.naming.host = "testhost";
  config.other_maps.how =
    cumulative ? accumulation::cumulative : accumulation::cleared;
  config.other_scalars.how = config.other_maps.how;
  return config;
}

/// One trace and the queue of its only destination.
struct stages {
  stages(bool json, bool cumulative)
    : decoder{parsing(json), ledger}, series{naming(cumulative), total, 0},
      queue{{}, std::chrono::milliseconds{0}, books, {&destination}} {}

  void pass(const std::vector<snapshot_event>& events) {
    for (const auto& event : events)
      if (const auto* prints = std::get_if<snapshots>(&event))
        for (const auto& print : prints->items)
          series.add(print);
  }

  void take(const std::shared_ptr<const std::string>& chunk, wall_time at) {
    const auto split = splitter.take(*chunk);
    output_lines lines;
    lines.arrival = at;
    lines.joined = std::string{split.joined};
    if (!split.regions.empty()) {
      lines.buffer = chunk;
      lines.offset =
        static_cast<std::size_t>(split.regions.front().data() - chunk->data());
      lines.size = split.regions.front().size();
    }
    const auto taken = decoder.take(lines);
    pass(taken.events);
    points.clear();
    series.collect(at, points);
    encode();
  }

  void encode() {
    queue.add(points);
    queue.close();
    while (const auto batch = queue.next(0, false)) {
      text += *batch->lines;
      queue.report({.destination = 0,
                    .kind = delivery_report::what::accepted,
                    .id = batch->id,
                    .at = {},
                    .parked = 0,
                    .lines = batch->lines});
    }
  }

  trace_ledger ledger;
  batcher_ledger books;
  destination_ledger destination;
  series_budget total{10000};
  line_splitter splitter{16 << 20};
  output_decoder decoder;
  trace_series series;
  batch_queue queue;
  std::vector<metric> points;
  std::string text;
};

/// Up to 64 KiB a quarter of a second.
[[gnu::noinline]] void
counted_stages(stages& work,
               const std::vector<std::shared_ptr<const std::string>>& chunks,
               std::int64_t& at_ms) {
  for (const auto& chunk : chunks)
    work.take(chunk, wall_time_from_ms(at_ms += 250));
}

/// Whole prints: in text a pause within one would end it.
class chunks {
public:
  void add(std::string_view print) {
    if (all.empty() || last_->size() + print.size() > chunk_bytes)
      all.push_back(last_ = std::make_shared<std::string>());
    *last_ += print;
  }

  std::vector<std::shared_ptr<const std::string>> all;

private:
  std::shared_ptr<std::string> last_;
};

std::uint64_t sum_of(std::string_view text) {
  std::uint64_t sum = 0;
  while (!text.empty()) {
    const auto at = text.find(' ') + 1;
    std::uint64_t value = 0;
    std::from_chars(text.data() + at, text.data() + text.size(), value);
    sum += value;
    text.remove_prefix(text.find('\n') + 1);
  }
  return sum;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 4)
    return 64;
  const auto json = std::string_view{argv[1]} == "json";
  const std::string_view kind = argv[2];
  const auto counts = kind.starts_with("counts");
  const auto cumulative = kind.ends_with("cumulative");
  const auto keys = counts ? 40 : kind == "keyed" ? 10 : 1;
  const auto rows = counts ? 1 : 20;
  const auto prints = std::atoi(argv[3]);
  printer::printed map{
    "@u", counts ? printer::map_type::count : printer::map_type::hist, {}, {}};
  map.elements.resize(static_cast<std::size_t>(keys));
  printer::writer bpftrace{17, json};
  std::uint64_t sum = 0;
  chunks head;
  chunks rest;
  for (int n = 1; n <= warm + prints; ++n) {
    std::uint64_t now = 0;
    for (int k = 0; k < keys; ++k) {
      auto& one = map.elements[static_cast<std::size_t>(k)];
      if (keys > 1)
        one.key = {"key" + std::to_string(k)};
      for (int r = 0; r < rows; ++r) {
        const int added = 40 + (n * 7 + r * 3) % 16 + 16 * k;
        const auto count = static_cast<std::uint64_t>(added);
        now += count;
        if (counts) {
          one.value = cumulative ? one.value + added : added;
          continue;
        }
        auto& shown = one.rows[std::int64_t{2} << r];
        shown = cumulative ? shown + count : count;
      }
    }
    sum += now;
    (n <= warm ? head : rest).add(bpftrace.print(map));
  }
  stages work{json, cumulative};
  std::int64_t at_ms = t0;
  work.decoder.take(
    output_opened{1, "bpftrace v0.17.0", wall_time_from_ms(t0)});
  work.series.opened(wall_time_from_ms(t0));
  for (const auto& chunk : head.all)
    work.take(chunk, wall_time_from_ms(at_ms += 250));
  counted_stages(work, rest.all, at_ms);
  work.pass(
    work.decoder.take(output_rest{{}, wall_time_from_ms(at_ms)}).events);
  work.points.clear();
  work.series.drain(wall_time_from_ms(at_ms), work.points);
  work.encode();
  std::printf("%d\n", prints * keys * rows);
  return sum_of(work.text) == sum ? 0 : 1;
}
