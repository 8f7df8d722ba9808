// The invariant as a property: per series, the sum of the points is the sum of
// what bpftrace printed, to the unit, whatever happens on the way.
#include "actors/normalizer/trace_series.hpp"
#include "tests/normalizer/simulated_trace.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <set>

namespace bpf2graphite {
namespace {

struct history_options {
  // In the order in which the table below gives them.
  simulated_kind kind = simulated_kind::hist;
  bool keyed = false;
  map_rules rules;
  std::int64_t resolution = 15; // s
  std::int64_t gap_ms = 1000;
  bool zero_fill = true;
  bool signed_values = false;
  bool dump_marked = true; // as bpftrace up to 0.23, and its text
  std::size_t max_series = 1000;
  int key_count = 6;
  std::int64_t step_ms_max = 0;
  int steps = 300;
};

std::string text_of(exact value) {
  const auto negative = value < 0;
  return (negative ? "-" : "")
         + std::to_string(
           static_cast<std::uint64_t>(negative ? -value : value));
}

class history {
public:
  history(const history_options& options, unsigned seed)
    : o_{options}, random_{seed}, total_{100'000} {
    config_.trace = "t";
    config_.naming.prefix = "";
    config_.naming.host = "h";
    config_.slots.resolution = std::chrono::seconds{o_.resolution};
    config_.slots.zero_fill = o_.zero_fill;
    config_.slots.zero_fill_for = std::chrono::seconds{pick(60, 4000)};
    config_.maps["@m"] = o_.rules;
    config_.max_series = o_.max_series;
    now_ms_ = 1'700'000'000'000 + pick(0, 60'000);
    phase_ms_ = pick(0, 60'000);
    start_daemon();
  }

  void run() {
    start_trace();
    for (auto i = 0; i < o_.steps; ++i) {
      step();
      if (::testing::Test::HasFatalFailure())
        return;
    }
    stop_trace(true);
    deliver(true);
    drain();
    check_sums();
  }

  const series_counts& counts() const {
    return counts_;
  }

  std::uint64_t late() const {
    return late_;
  }

private:
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>{low, high}(random_);
  }

  bool chance(int percent) {
    return pick(1, 100) <= percent;
  }

  std::int64_t wall_ms() const {
    return now_ms_ + offset_ms_;
  }

  void start_daemon() {
    const auto boundary = slot_of(wall_ms(), o_.resolution) + o_.resolution;
    floor_ = std::max(boundary, last_slot_ + o_.resolution);
    series_ = std::make_unique<trace_series>(config_, total_, floor_);
  }

  void drain() {
    std::vector<metric> out;
    series_->drain(wall_time_from_ms(wall_ms()), out);
    take(out);
    ASSERT_TRUE(series_->valid());
    const auto& c = series_->counts();
    EXPECT_EQ(series_->open_values(), 0u);
    EXPECT_EQ(c.values, c.combined + c.measured + c.merged + c.folded
                          + c.unchanged + c.dropped());
    counts_ = c;
    late_ += c.late;
  }

  void restart_daemon() {
    stop_trace(true);
    deliver(true);
    drain();
    dropped_ += series_->counts().dropped();
    last_slot_ = series_->newest_slot();
    series_.reset();
    EXPECT_EQ(total_.used(), 0u);
    EXPECT_EQ(total_.claimed(), 0u);
    start_daemon();
    start_trace();
  }

  void start_trace() {
    deliver(true);
    map_.clear();
    running_ = true;
    negative_seen_ = false;
    series_->opened(wall_time_from_ms(wall_ms()));
    if (chance(50)) {
      now_ms_ += pick(0, 500);
      series_->attached(wall_time_from_ms(wall_ms()));
    }
    next_print_ms_ = now_ms_ + o_.gap_ms;
  }

  void stop_trace(bool politely) {
    if (!running_)
      return;
    if (politely) {
      contents end;
      if (o_.rules.printed_in_end) {
        end = map_;
        send(map_, false);
        now_ms_ += pick(0, 20);
        if (!end.empty() && chance(50))
          event();
      }
      send(map_, o_.dump_marked);
      if (o_.rules.how == accumulation::cleared)
        truth_.cleared(map_); // of END's print and the dump the last
      else
        print_truth(map_);
    }
    truth_.life_ended();
    deliver(true);
    series_->closed(wall_time_from_ms(wall_ms()));
    running_ = false;
  }

  void event() {
    const auto key =
      o_.keyed ? "k" + std::to_string(pick(1, o_.key_count)) : std::string{};
    add_event(map_, o_.kind, key,
              pick(o_.signed_values ? -50 : 0, 1 << pick(0, 12)));
  }

  void send(const contents& print, bool ending) {
    if (print.empty())
      return; // as bpftrace: it prints nothing
    auto snapshot = print_of(print, o_.kind, "@m");
    std::shuffle(snapshot.entries.begin(), snapshot.entries.end(), random_);
    snapshot.arrival = wall_time_from_ms(wall_ms());
    snapshot.ending = ending;
    pending_.push_back(snapshot);
    if (chance(90))
      deliver(false);
  }

  /// Snapshots wait in a mailbox now and then; their order stays.
  void deliver(bool all) {
    if (!all && chance(10))
      return;
    while (!pending_.empty()) {
      series_->add(pending_.front());
      pending_.pop_front();
      ASSERT_TRUE(series_->valid());
    }
  }

  void print_truth(const contents& print) {
    if (print.empty())
      return;
    if (o_.rules.may_fall || o_.kind == simulated_kind::stats)
      for (const auto& [key, parts] : print)
        for (const auto& [part, value] : parts)
          negative_seen_ = negative_seen_ || value < 0;
    const auto sums = o_.rules.may_fall || o_.kind == simulated_kind::stats;
    truth_.cumulative(
      print, o_.rules.resets, o_.rules.deletes_keys, o_.rules.top,
      !(sums
        && (negative_seen_ || (!o_.rules.resets && !o_.rules.deletes_keys))));
  }

  void regular_print() {
    auto print = map_;
    if (o_.rules.top && chance(50) && print.size() > 2)
      print.erase(print.begin());
    send(print, false);
    if (o_.rules.how == accumulation::cleared) {
      truth_.cleared(print);
      map_.clear();
    } else {
      print_truth(print);
    }
  }

  void step() {
    now_ms_ += pick(1, std::max<std::int64_t>(o_.gap_ms / 2, 500));
    if (!running_) {
      if (chance(30))
        start_trace();
    } else {
      for (auto n = pick(0, 20); n > 0; --n)
        event();
      if (now_ms_ >= next_print_ms_) {
        next_print_ms_ += o_.gap_ms;
        if (!chance(5)) // lost
          regular_print();
      }
      if (o_.rules.how == accumulation::cumulative) {
        if (o_.rules.resets && chance(2))
          map_.clear();
        if (o_.rules.deletes_keys && !map_.empty() && chance(5))
          map_.erase(map_.begin());
      }
      if (chance(2))
        stop_trace(chance(70));
    }
    if (o_.step_ms_max != 0 && chance(3)) {
      offset_ms_ = pick(-o_.step_ms_max / 2, o_.step_ms_max / 2);
      big_steps_ += o_.step_ms_max > trace_series::step_back_ms_max;
    }
    if (chance(1) && chance(30))
      return restart_daemon();
    if (chance(40)) {
      std::vector<metric> out;
      series_->collect(wall_time_from_ms(wall_ms()), out);
      take(out);
      ASSERT_TRUE(series_->valid());
      EXPECT_LE(series_->alive(), o_.max_series);
    }
  }

  void take(const std::vector<metric>& points) {
    for (const auto& point : points) {
      const std::string path{*point.path};
      ASSERT_EQ(point.timestamp % o_.resolution, 0);
      if (big_steps_ == 0) {
        // Rising: so never twice, and never back.
        const auto before = newest_.find(path);
        if (before != newest_.end()) {
          ASSERT_GT(point.timestamp, before->second) << path;
        }
        ASSERT_GE(point.timestamp, floor_);
      }
      newest_[path] = point.timestamp;
      if (const auto* value = std::get_if<exact>(&point.value))
        sums_[path] += *value;
      ++points_;
    }
  }

  std::string path_of(const std::string& key, const std::string& part) const {
    auto path = std::string{"h.t.m"};
    for (const auto* level : {&key, &part})
      if (!level->empty())
        path += "." + *level;
    return path;
  }

  void check_sums() {
    std::map<std::string, exact> expected;
    std::map<std::string, exact> by_part;
    for (const auto& [key, parts] : truth_.total())
      for (const auto& [part, value] : parts) {
        expected[path_of(key, part)] += value;
        by_part[part] += value;
      }
    if (counts_.folded + dropped_ + counts_.dropped() != 0
        || o_.max_series < 100) {
      ASSERT_EQ(dropped_ + counts_.dropped(), 0u);
      for (const auto& [part, value] : by_part) {
        auto seen = exact{0};
        for (const auto& [path, sum] : sums_)
          if (path.ends_with("." + part) || part.empty())
            seen += sum;
        EXPECT_EQ(text_of(seen), text_of(value)) << "row " << part;
      }
      return;
    }
    for (const auto& [path, value] : expected)
      EXPECT_EQ(text_of(sums_[path]), text_of(value)) << path;
    for (const auto& [path, sum] : sums_) {
      if (!path.ends_with(".average")) {
        EXPECT_EQ(text_of(sum), text_of(expected[path])) << path;
      }
    }
  }

  history_options o_;
  std::mt19937 random_;
  series_budget total_;
  series_config config_;
  std::unique_ptr<trace_series> series_;
  invariant truth_;
  contents map_;
  std::deque<snapshot> pending_;
  std::map<std::string, exact> sums_;
  std::map<std::string, std::int64_t> newest_;
  series_counts counts_;
  std::int64_t now_ms_ = 0;
  std::int64_t offset_ms_ = 0;
  std::int64_t phase_ms_ = 0;
  std::int64_t next_print_ms_ = 0;
  std::int64_t floor_ = 0;
  std::int64_t last_slot_ = -1'000'000;
  std::uint64_t points_ = 0;
  std::uint64_t late_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t big_steps_ = 0;
  bool running_ = false;
  bool negative_seen_ = false;
};

struct conservation_case {
  const char* name;
  history_options options;
};

class Conservation : public ::testing::TestWithParam<conservation_case> {};

TEST_P(Conservation, OfRandomHistories) {
  auto folded = std::uint64_t{0};
  auto late = std::uint64_t{0};
  auto measured = std::uint64_t{0};
  for (auto seed = 1u; seed <= 50; ++seed) {
    auto options = GetParam().options;
    constexpr std::int64_t resolutions[] = {1, 5, 15, 15, 60};
    constexpr std::int64_t gaps[] = {200, 1000, 1000, 15'000, 60'000};
    options.resolution = resolutions[seed % 5];
    options.gap_ms = gaps[seed / 5 % 5];
    options.dump_marked = seed % 3 != 0;
    options.zero_fill = seed % 4 != 0;
    // Two prints that are read together look like END's and the dump.
    if (options.rules.printed_in_end)
      options.gap_ms = std::max<std::int64_t>(options.gap_ms, 1000);
    SCOPED_TRACE("seed " + std::to_string(seed));
    history one{options, seed};
    one.run();
    if (HasFailure())
      return;
    folded += one.counts().folded;
    late += one.late();
    measured += one.counts().measured;
  }
  // The histories hold what they are meant to hold.
  EXPECT_GT(measured, 1000u);
  EXPECT_GT(late, 0u);
  EXPECT_EQ(folded != 0, GetParam().options.max_series < 100);
}

map_rules rules(accumulation how, bool resets, bool deletes = false,
                bool top = false, bool in_end = false, bool may_fall = false) {
  return {how, resets, deletes, top, in_end, may_fall, true};
}

constexpr auto cleared = accumulation::cleared;
constexpr auto cumulative = accumulation::cumulative;
using k = simulated_kind;

INSTANTIATE_TEST_SUITE_P(
  Histories, Conservation,
  ::testing::Values(
    conservation_case{"HistCleared", {k::hist, false, rules(cleared, true)}},
    conservation_case{"HistKeyedCleared",
                      {k::hist, true, rules(cleared, true)}},
    conservation_case{
      "HistPrintedInEnd",
      {k::hist, false, rules(cleared, true, false, false, true)}},
    conservation_case{
      "CountKeyedPrintedInEnd",
      {k::count, true, rules(cleared, true, false, false, true)}},
    conservation_case{"HistCumulative",
                      {k::hist, false, rules(cumulative, true)}},
    conservation_case{"HistKeyedCumulative",
                      {k::hist, true, rules(cumulative, true)}},
    conservation_case{
      "HistCumulativePrintedInEnd",
      {k::hist, true, rules(cumulative, true, false, false, true)}},
    conservation_case{"HistKeyedWithoutClear",
                      {k::hist, true, rules(cumulative, false)}},
    conservation_case{"HistKeyedDeletes",
                      {k::hist, true, rules(cumulative, false, true)}},
    conservation_case{"CountCleared", {k::count, false, rules(cleared, true)}},
    conservation_case{"CountKeyedCumulative",
                      {k::count, true, rules(cumulative, true)}},
    conservation_case{"CountKeyedDeletes",
                      {k::count, true, rules(cumulative, false, true)}},
    conservation_case{"CountTop",
                      {k::count, true, rules(cumulative, false, false, true)}},
    conservation_case{"HistTop",
                      {k::hist, true, rules(cumulative, true, false, true)}},
    conservation_case{
      "SumSigned",
      {.kind = k::sum,
       .keyed = true,
       .rules = rules(cumulative, false, false, false, false, true),
       .signed_values = true}},
    conservation_case{
      "SumSignedAndCleared",
      {.kind = k::sum,
       .keyed = true,
       .rules = rules(cumulative, true, false, false, false, true),
       .signed_values = true}},
    conservation_case{"SumClearedSigned",
                      {.kind = k::sum,
                       .keyed = true,
                       .rules = rules(cleared, true),
                       .signed_values = true}},
    conservation_case{"StatsCleared", {k::stats, true, rules(cleared, true)}},
    conservation_case{"StatsCumulative",
                      {k::stats, true, rules(cumulative, true)}},
    conservation_case{"HistSmallSteps",
                      {.kind = k::hist,
                       .keyed = true,
                       .rules = rules(cleared, true),
                       .step_ms_max = 50'000}},
    conservation_case{"HistLargeSteps",
                      {.kind = k::hist,
                       .keyed = true,
                       .rules = rules(cumulative, true),
                       .step_ms_max = 7'200'000}},
    conservation_case{"CountLargeSteps",
                      {.kind = k::count,
                       .keyed = true,
                       .rules = rules(cleared, true),
                       .step_ms_max = 300'000}},
    conservation_case{"HistFolded",
                      {.kind = k::hist,
                       .keyed = true,
                       .rules = rules(cleared, true),
                       .max_series = 95,
                       .key_count = 60}},
    conservation_case{"CountFolded",
                      {.kind = k::count,
                       .keyed = true,
                       .rules = rules(cumulative, true),
                       .max_series = 5,
                       .key_count = 60}},
    conservation_case{"StatsFolded",
                      {.kind = k::stats,
                       .keyed = true,
                       .rules = rules(cleared, true),
                       .max_series = 10,
                       .key_count = 60}}),
  [](const auto& of) { return of.param.name; });

} // namespace
} // namespace bpf2graphite
