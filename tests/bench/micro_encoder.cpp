// How many points a CPU second become lines of plaintext: alone, and in a
// batch from the queue's add to its acceptance. Before anything is timed, the
// text is compared with what it must be.
//
//   micro_encoder [--benchmark_filter=...] [--benchmark_repetitions=...]

#include "actors/batcher/batch_queue.hpp"
#include "actors/graphite_connection/plaintext.hpp"

#include <benchmark/benchmark.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace bpf2graphite;

constexpr std::int64_t t0 = 1'700'000'010;
constexpr int count = 2000;

std::vector<metric> points(bool whole) {
  std::vector<metric> out;
  for (int n = 0; n < count; ++n) {
    const series_name path{"bpf.web1_example_org.biolatency.usecs.key"
                           + std::to_string(n / 20) + "."
                           + std::to_string(std::int64_t{2} << n % 20)};
    metric_value value = exact{n} * 37;
    if (!whole)
      value = n * 1.37 + 0.1;
    out.push_back({path, value, t0});
  }
  return out;
}

void lines(benchmark::State& state, bool whole) {
  const auto from = points(whole);
  std::string text;
  for (auto _ : state) {
    text.clear();
    for (const auto& point : from)
      benchmark::DoNotOptimize(append_line(text, point));
  }
  state.SetItemsProcessed(state.iterations() * count);
  state.SetLabel("lines");
}
BENCHMARK_CAPTURE(lines, whole, true)->Name("a line, integer");
BENCHMARK_CAPTURE(lines, fraction, false)->Name("a line, fraction");

/// The text of a batch of these points, from add to acceptance.
std::shared_ptr<const std::string> batch_of(batch_queue& queue,
                                            const std::vector<metric>& from) {
  queue.add(from);
  queue.close();
  auto batch = queue.next(0, false);
  if (!batch)
    return nullptr;
  queue.report({.destination = 0,
                .kind = delivery_report::what::accepted,
                .id = batch->id,
                .at = {},
                .parked = 0,
                .lines = batch->lines});
  return batch->lines;
}

void batches(benchmark::State& state) {
  const auto from = points(true);
  batcher_ledger books;
  destination_ledger destination;
  batch_queue queue{{}, std::chrono::milliseconds{0}, books, {&destination}};
  for (auto _ : state)
    benchmark::DoNotOptimize(batch_of(queue, from));
  state.SetItemsProcessed(state.iterations() * count);
  state.SetLabel("lines");
}
BENCHMARK(batches)->Name("a batch of 2000");

bool right() {
  const auto from = points(true);
  std::string text;
  for (const auto& point : from)
    if (append_line(text, point) != line_fault::none)
      return false;
  batcher_ledger books;
  destination_ledger destination;
  batch_queue queue{{}, std::chrono::milliseconds{0}, books, {&destination}};
  const auto batch = batch_of(queue, from);
  return text.starts_with("bpf.web1_example_org.biolatency.usecs.key0.2 0 "
                          "1700000010\nbpf.web1_example_org.biolatency.usecs."
                          "key0.4 37 1700000010\n")
         && batch != nullptr && *batch == text && destination.accepted == count;
}

} // namespace

int main(int argc, char** argv) {
  if (!right()) {
    std::fputs("micro_encoder: the text is wrong\n", stderr);
    return 1;
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
