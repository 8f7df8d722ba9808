// How many rows of maps a CPU second adds to slots: snapshots in, points
// out, without parsing and without text. Before anything is timed, the points
// must add up to what was printed.
//
//   micro_slots [--benchmark_filter=...] [--benchmark_repetitions=...]
//
// Prints of 20 buckets, or of a count by each of 40 keys, each 100 ms, slots of
// 15 s: a collect for 150 prints.

#include "actors/normalizer/trace_series.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace {

using namespace bpf2graphite;

constexpr int rows = 20;
constexpr std::int64_t t0 = 1'700'000'010'000; // a slot begins, in ms

enum class shape { hist, lhist, counts };

struct plan {
  accumulation how = accumulation::cleared;
  int keys = 0; // 0: a map without keys
  int prints = 1500;
  shape what = shape::hist;

  int values() const { // of one print
    return (what == shape::counts ? 1 : rows) * std::max(1, keys);
  }
};

constexpr plan cleared{};
constexpr plan cumulative{.how = accumulation::cumulative};
constexpr plan keyed{
  .how = accumulation::cumulative, .keys = 10, .prints = 150};

constexpr plan lhist{.how = accumulation::cumulative, .what = shape::lhist};
constexpr plan counts_cleared{
  .how = accumulation::cleared, .keys = 40, .what = shape::counts};
constexpr plan counts{
  .how = accumulation::cumulative, .keys = 40, .what = shape::counts};

/// Row `r` of 20; of lhist() the first and the last are open.
bucket bounds_of(shape what, int r) {
  if (what == shape::hist) {
    const auto low = std::int64_t{2} << r;
    return {low, low * 2 - 1, 0};
  }
  bucket row;
  if (r > 0)
    row.min = (r - 1) * 10;
  if (r < rows - 1)
    row.max = r * 10 - 1;
  return row;
}

std::vector<snapshot> printed(const plan& of) {
  std::vector<snapshot> out;
  for (int n = 1; n <= of.prints; ++n) {
    auto& print = out.emplace_back();
    print.map = "@usecs";
    print.kind = of.what == shape::counts ? map_kind::value : map_kind::hist;
    print.number = static_cast<std::uint64_t>(n);
    print.arrival = wall_time_from_ms(t0 + 50 + std::int64_t{n} * 100);
    for (int k = 0; k < std::max(1, of.keys); ++k) {
      auto& entry = print.entries.emplace_back();
      if (of.keys > 0)
        entry.keys.push_back("key" + std::to_string(k));
      const auto shown = [&](int r) {
        const auto count = std::uint64_t{5} + static_cast<unsigned>(r + k);
        return of.how == accumulation::cleared
                 ? count
                 : count * static_cast<std::uint64_t>(n);
      };
      if (of.what == shape::counts) {
        entry.value = exact{shown(0)};
        continue;
      }
      auto& to = entry.value.emplace<buckets>();
      for (int r = 0; r < rows; ++r) {
        auto row = bounds_of(of.what, r);
        row.count = shown(r);
        to.push_back(row);
      }
    }
  }
  return out;
}

/// The sum of all points of these prints.
exact add_all(const plan& of, const std::vector<snapshot>& prints) {
  series_config config;
  config.trace = "t";
  config.naming.host = "h";
  config.other_maps.how = of.how;
  config.other_scalars.how = of.how;
  series_budget total{10000};
  trace_series series{config, total, 0};
  series.opened(wall_time_from_ms(t0));
  std::vector<metric> points;
  exact sum = 0;
  const auto take = [&] {
    for (const auto& point : points)
      sum += std::get<exact>(point.value);
    points.clear();
  };
  int until_collect = 0;
  for (const auto& print : prints) {
    series.add(print);
    if (++until_collect == 150) {
      until_collect = 0;
      series.collect(print.arrival, points);
      take();
    }
  }
  series.drain(prints.back().arrival, points);
  take();
  return sum;
}

exact expected(const plan& of, const std::vector<snapshot>& prints) {
  exact sum = 0;
  for (const auto& print : prints) {
    if (of.how == accumulation::cumulative)
      sum = 0; // the last print counts
    for (const auto& entry : print.entries)
      if (const auto* value = std::get_if<exact>(&entry.value))
        sum += *value;
      else
        for (const auto& row : std::get<buckets>(entry.value))
          sum += row.count;
  }
  return sum;
}

void add(benchmark::State& state, const plan& of) {
  const auto prints = printed(of);
  for (auto _ : state)
    benchmark::DoNotOptimize(add_all(of, prints));
  state.SetItemsProcessed(state.iterations() * of.prints * of.values());
  state.SetLabel("rows");
}
BENCHMARK_CAPTURE(add, cleared, cleared)->Name("cleared");
BENCHMARK_CAPTURE(add, cumulative, cumulative)->Name("cumulative");
BENCHMARK_CAPTURE(add, keyed, keyed)->Name("cumulative, 10 keys");
BENCHMARK_CAPTURE(add, lhist, lhist)->Name("cumulative, lhist()");
BENCHMARK_CAPTURE(add, counts_cleared, counts_cleared)
  ->Name("cleared, counts by key");
BENCHMARK_CAPTURE(add, counts, counts)->Name("cumulative, counts by key");

} // namespace

int main(int argc, char** argv) {
  for (const auto& of :
       {cleared, cumulative, keyed, lhist, counts_cleared, counts}) {
    const auto prints = printed(of);
    if (add_all(of, prints) != expected(of, prints)) {
      std::fputs("micro_slots: points do not add up to what was printed\n",
                 stderr);
      return 1;
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
