// How many names a CPU second makes of keys and rows, and how many points a CPU
// second get a name that is known. Before anything is timed, names are compared
// with what they must be.
//
//   micro_names [--benchmark_filter=...] [--benchmark_repetitions=...]
//
// A map of 100 keys, each a histogram of 20 buckets.

#include "actors/normalizer/trace_series.hpp"

#include <benchmark/benchmark.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace bpf2graphite;

constexpr int keys = 100;
constexpr int rows = 20;
constexpr std::int64_t t0 = 1'700'000'010; // a slot begins

naming_config naming() {
  naming_config result;
  result.host = "web1.example.org";
  return result;
}

std::string key_of(int k) {
  return "kworker/" + std::to_string(k) + ":1"; // to be cleaned
}

row_bounds row(int r) {
  const auto low = std::int64_t{2} << r;
  return {low, low * 2 - 1};
}

void new_names(benchmark::State& state) {
  const metric_path paths{naming(), "biolatency", {}, "@usecs"};
  std::vector<std::string> raw;
  raw.reserve(keys);
  for (int k = 0; k < keys; ++k)
    raw.push_back(key_of(k));
  for (auto _ : state)
    for (const auto& key : raw) {
      const auto clean = paths.key({key});
      for (int r = 0; r < rows; ++r)
        benchmark::DoNotOptimize(paths.render(clean, row(r)));
    }
  state.SetItemsProcessed(state.iterations() * keys * rows);
  state.SetLabel("names");
}
BENCHMARK(new_names)->Name("new");

/// A trace whose names are known; each `next` gives the points of one slot.
class known {
public:
  known() : total_{10000} {
    config_.trace = "biolatency";
    config_.naming = naming();
    config_.max_series = 10000;
    config_.other_maps.how = accumulation::cleared;
    series_ = std::make_unique<trace_series>(config_, total_, 0);
    series_->opened(wall_time_from_ms(t0 * 1000));
    print_.map = "@usecs";
    print_.kind = map_kind::hist;
    for (int k = 0; k < keys; ++k) {
      auto& entry = print_.entries.emplace_back();
      entry.keys.push_back(key_of(k));
      auto& to = entry.value.emplace<buckets>();
      for (int r = 0; r < rows; ++r)
        to.push_back({row(r).min, row(r).max, 7});
    }
  }

  void add() {
    at_ += 15;
    print_.arrival = wall_time_from_ms(at_ * 1000);
    series_->add(print_);
    ++print_.number;
  }

  const std::vector<metric>& collect() {
    points_.clear();
    series_->collect(wall_time_from_ms((at_ + 60) * 1000), points_);
    return points_;
  }

private:
  series_config config_;
  series_budget total_;
  std::unique_ptr<trace_series> series_;
  snapshot print_;
  std::int64_t at_ = t0;
  std::vector<metric> points_;
};

void known_names(benchmark::State& state) {
  known trace;
  trace.add();
  trace.collect();
  std::int64_t points = 0;
  for (auto _ : state) {
    state.PauseTiming();
    trace.add();
    state.ResumeTiming();
    points += static_cast<std::int64_t>(trace.collect().size());
  }
  state.SetItemsProcessed(points);
  state.SetLabel("points");
}
BENCHMARK(known_names)->Name("known, a slot collected");

bool right() {
  const metric_path paths{naming(), "biolatency", {}, "@usecs"};
  if (paths.render(paths.key({key_of(3)}), row(4))
      != "bpf.web1_example_org.biolatency.usecs.kworker_3_1.32")
    return false;
  known trace;
  trace.add();
  if (trace.collect().size() != std::size_t{keys} * rows)
    return false;
  const auto first = trace.collect();
  trace.add();
  const auto& points = trace.collect();
  return first.empty() && points.size() == std::size_t{keys} * rows
         && (*points[0].path)
              .starts_with("bpf.web1_example_org.biolatency.usecs.kworker_");
}

} // namespace

int main(int argc, char** argv) {
  if (!right()) {
    std::fputs("micro_names: names or points are wrong\n", stderr);
    return 1;
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
