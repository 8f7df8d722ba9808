// The invariant from bpftrace's bytes to the points: a thousand random
// histories of a map, each printed by one of bpftrace's generations in text or
// JSON, read by the real decoder, under restarts of bpftrace and of the daemon,
// late and top-N prints. The truth is design's definition (`invariant`), fed
// with what was printed. conservation_test.cpp has the same below the parsers,
// with clock steps and budgets.
#include "actors/histogram_parser/output_decoder.hpp"
#include "actors/normalizer/trace_series.hpp"
#include "actors/watchdog/script_rules.hpp"
#include "tests/normalizer/simulated_trace.hpp"
#include "tests/support/bpftrace_printer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <deque>
#include <iomanip>
#include <iostream>
#include <memory>
#include <random>
#include <set>

namespace bpf2graphite {
namespace {

constexpr int histories = 1000;

/// How the script treats its map.
enum class way {
  cleared,
  zeroed,
  cleared_top,
  in_end,
  kept,
  kept_top,
  cleared_elsewhere,
  deleted,
};
constexpr int ways = 8;

struct tally {
  int histories = 0;
  std::uint64_t prints = 0;
  std::uint64_t values = 0;
  std::uint64_t points = 0;
  std::uint64_t series = 0;
  std::uint64_t late = 0;
  std::uint64_t lives = 0;
  std::uint64_t daemons = 0;
  std::uint64_t resets = 0;
};

std::string text_of(exact value) {
  return printer::to_text(value);
}

constexpr char between_parts = '\x1f';

std::vector<std::string> parts_of(const std::string& key) {
  std::vector<std::string> parts;
  if (key.empty())
    return parts;
  auto from = std::size_t{0};
  for (auto at = key.find(between_parts); at != key.npos;
       at = key.find(between_parts, from)) {
    parts.push_back(key.substr(from, at - from));
    from = at + 1;
  }
  parts.push_back(key.substr(from));
  return parts;
}

class history {
public:
  explicit history(unsigned seed) : random_{seed}, total_{100'000} {
    constexpr int minors[] = {9, 10, 12, 13, 17, 19, 20, 21, 22, 23, 24, 27};
    minor_ = minors[seed % std::size(minors)];
    json_ = seed / std::size(minors) % 2 != 0;
    way_ = static_cast<way>(pick(0, ways - 1));
    const printer::map_type types[] = {
      printer::map_type::hist,  printer::map_type::hist,
      printer::map_type::lhist, printer::map_type::count,
      printer::map_type::sum,   printer::map_type::stats,
      printer::map_type::avg};
    type_ = types[pick(0, std::size(types) - 1)];
    key_parts_ = pick(0, 2);
    if (way_ == way::deleted || top())
      key_parts_ = std::max<std::int64_t>(key_parts_, 1);
    signed_ = sums() && chance(30);
    constexpr std::int64_t resolutions[] = {1, 5, 15, 60};
    constexpr std::int64_t gaps[] = {200, 1000, 1000, 5000, 15'000, 60'000};
    resolution_ = resolutions[pick(0, 3)];
    gap_ms_ = gaps[pick(0, 5)];
    // Two prints that are read together look like END's and the dump.
    if (way_ == way::in_end)
      gap_ms_ = std::max<std::int64_t>(gap_ms_, 1000);
    now_ms_ = 1'700'000'000'000 + pick(0, 60'000);
    plan();
    start_daemon();
  }

  void run(tally& into) {
    start_trace();
    for (auto i = 0; i < 60 && !::testing::Test::HasFailure(); ++i)
      step();
    stop_trace(true);
    drain();
    check_sums();
    into.histories += 1;
    into.prints += prints_;
    into.values += values_;
    into.points += sent_.size();
    into.series += sums_.size();
    into.late += late_;
    into.lives += lives_;
    into.daemons += daemons_;
    into.resets += resets_;
  }

  std::string name() const {
    constexpr const char* types[] = {"hist", "lhist", "count",
                                     "sum",  "stats", "avg"};
    constexpr const char* way_names[] = {
      "cleared", "zeroed",   "cleared_top",       "in_end",
      "kept",    "kept_top", "cleared_elsewhere", "deleted"};
    return "0." + std::to_string(minor_) + (json_ ? " json " : " text ")
           + types[static_cast<int>(type_)] + " "
           + way_names[static_cast<int>(way_)] + ", "
           + std::to_string(key_parts_) + " key parts, a print each "
           + std::to_string(gap_ms_) + " ms, slots of "
           + std::to_string(resolution_) + " s";
  }

  int minor() const {
    return minor_;
  }

  bool json() const {
    return json_;
  }

private:
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>{low, high}(random_);
  }

  bool chance(int percent) {
    return pick(1, 100) <= percent;
  }

  bool top() const {
    return way_ == way::kept_top || way_ == way::cleared_top;
  }

  bool sums() const {
    return type_ == printer::map_type::sum || stats();
  }

  bool stats() const {
    return type_ == printer::map_type::stats || gauge();
  }

  bool gauge() const {
    return type_ == printer::map_type::avg;
  }

  simulated_kind kind() const {
    constexpr simulated_kind kinds[] = {
      simulated_kind::hist, simulated_kind::lhist, simulated_kind::count,
      simulated_kind::sum,  simulated_kind::stats, simulated_kind::stats};
    return kinds[static_cast<int>(type_)];
  }

  // ---- the script and what the daemon makes of it
  // ----------------------------

  void plan() {
    constexpr const char* keys[] = {"", "[comm]", "[comm, pid]"};
    constexpr const char* fillings[] = {"hist($x)",  "lhist($x, 0, 100, 10)",
                                        "count()",   "sum($x)",
                                        "stats($x)", "avg($x)"};
    const auto map = std::string{"@m"} + keys[key_parts_];
    const auto period = "interval:ms:" + std::to_string(gap_ms_);
    auto script = "tracepoint:a:b { $x = args->x; " + map + " = "
                  + fillings[static_cast<int>(type_)] + "; }\n" + period
                  + " { print(@m" + (top() ? ", 3" : "") + ");";
    if (way_ == way::cleared || way_ == way::cleared_top || way_ == way::in_end)
      script += " clear(@m);";
    if (way_ == way::zeroed)
      script += " zero(@m);";
    script += " }\n";
    if (way_ == way::in_end)
      script += "END { print(@m); }\n";
    if (way_ == way::cleared_elsewhere)
      script += "interval:s:77 { clear(@m); }\n";
    if (way_ == way::deleted)
      script += "tracepoint:c:d { delete(" + map + "); }\n";
    const auto made = plan_script(script, {});
    ASSERT_TRUE(made.errors.empty()) << script;
    rules_ = made.rules.at("@m");
    const auto cleared = way_ <= way::in_end;
    const auto expected = gauge()   ? accumulation::last
                          : cleared ? accumulation::cleared
                                    : accumulation::cumulative;
    ASSERT_EQ(rules_.how, expected) << script;
    ASSERT_EQ(rules_.print_period.count(), gap_ms_);
    config_.trace = "t";
    config_.naming.prefix = "";
    config_.naming.host = "h";
    config_.slots.resolution = std::chrono::seconds{resolution_};
    config_.slots.zero_fill = chance(75);
    config_.slots.zero_fill_for = std::chrono::seconds{pick(60, 4000)};
    config_.maps = made.rules;
    config_.max_series = 10'000;
    parser_.speaks.format = json_ ? output_format::json : output_format::text;
    parser_.keys = made.keys;
  }

  void start_daemon() {
    ++daemons_;
    const auto boundary = slot_of(now_ms_, resolution_) + resolution_;
    floor_ = std::max(boundary, last_slot_ + resolution_);
    series_ = std::make_unique<trace_series>(config_, total_, floor_);
    books_ = std::make_unique<trace_ledger>();
    decoder_ = std::make_unique<output_decoder>(parser_, *books_);
  }

  void restart_daemon() {
    stop_trace(true);
    drain();
    last_slot_ = series_->newest_slot();
    series_.reset();
    start_daemon();
    start_trace();
  }

  // ---- bpftrace
  // ----------------------------------------------------------------

  std::string any_key() {
    static const std::vector<std::string> simple{"bash", "sh", "cron", "awk",
                                                 "sed"};
    static const std::vector<std::string> odd{
      "bash",        "tmux: server", "(sd-pam)", "kworker/u8:1", "caf\xc3\xa9",
      "say \"hi\"",  "a.b",          "a_b",      "x=y;z",        "\xff\xfe bad",
      "back\\slash", "my app",       "myapp",    "100%",         "a[1]",
      "tab\tname",   "C2 CompilerTh"};
    if (key_parts_ == 0)
      return {};
    // Of keys that print alike a top N may show one and not the other.
    const auto& names = top() ? simple : odd;
    auto key = names[static_cast<std::size_t>(
      pick(0, static_cast<std::int64_t>(names.size()) - 1))];
    if (key_parts_ == 2)
      key += between_parts + std::to_string(pick(-1, 3));
    return key;
  }

  void event() {
    auto value = pick(signed_ ? -50 : 0, std::int64_t{1} << pick(0, 12));
    const auto rows = kind() == simulated_kind::hist;
    if (rows && chance(10))
      value = chance(50) ? -1 : std::int64_t{1} << pick(20, 62);
    if (kind() == simulated_kind::lhist && chance(5))
      value = -1;
    if (type_ == printer::map_type::sum && chance(5))
      value = (std::int64_t{1} << 53) + 2 * pick(0, 100) + 1;
    const auto key = any_key();
    add_event(map_, kind(), key, value);
    // As if it had happened very often.
    if (rows && chance(3))
      map_[key].begin()->second += exact{1} << pick(20, 55);
  }

  void start_trace() {
    ++lives_;
    map_.clear();
    running_ = true;
    negative_seen_ = false;
    writer_ = std::make_unique<printer::writer>(minor_, json_);
    pending_.push_back(
      output_opened{lives_, "v0." + std::to_string(minor_) + ".4", wall()});
    now_ms_ += pick(0, 500);
    write(writer_->attached());
    next_print_ms_ = now_ms_ + gap_ms_;
  }

  void stop_trace(bool politely) {
    if (!running_)
      return;
    running_ = false;
    if (politely) {
      auto ended = false;
      if (way_ == way::in_end) {
        ended = show(false);
        // A sum that fell cannot be told from one that was cleared.
        if (chance(50) && !signed_)
          event();
      }
      write(writer_->end());
      if (show(true) || ended)
        note(last_shown_);
    }
    std::string rest;
    if (!politely && json_ && chance(50) && !map_.empty())
      rest = R"({"type": "hist", "data": {"@m": [{"min": 4, "m)";
    truth_.life_ended();
    pending_.push_back(output_rest{rest, wall()});
    deliver(true);
  }

  /// Elements in bpftrace's order: by their total, stats by their average.
  printer::printed listed(const contents& map) const {
    printer::printed out{"@m", type_, {0, 100, 10}, {}};
    for (const auto& [key, parts] : map) {
      printer::element one;
      one.key = parts_of(key);
      for (const auto& [part, value] : parts) {
        if (part == "samples")
          one.samples = value;
        else if (part == "total" || part.empty())
          one.value = value;
        else
          one
            .rows[part == "-inf" ? printer::element::below : std::stoll(part)] =
            static_cast<std::uint64_t>(value);
      }
      if (gauge()) {
        one.value = one.samples == 0 ? 0 : one.value / one.samples;
        one.samples = 0;
      }
      out.elements.push_back(std::move(one));
    }
    const auto weight = [](const printer::element& one) {
      if (one.samples != 0)
        return one.value / one.samples;
      auto sum = one.value;
      for (const auto& [low, count] : one.rows)
        sum += count;
      return sum;
    };
    std::stable_sort(
      out.elements.begin(), out.elements.end(),
      [&](const auto& a, const auto& b) { return weight(a) < weight(b); });
    return out;
  }

  /// Prints the map; false when bpftrace shows nothing of it. What it showed
  /// is in `last_shown_`.
  bool show(bool final) {
    auto shown = map_;
    const auto scalar =
      type_ == printer::map_type::count || type_ == printer::map_type::sum;
    if (shown.empty() && key_parts_ == 0 && scalar && (!final || minor_ < 24))
      shown[""][""] = 0;
    auto list = listed(shown);
    const auto only = std::size_t{3};
    if (top() && !final && list.elements.size() > only) {
      list.elements.erase(list.elements.begin(), list.elements.end() - only);
      contents kept;
      for (const auto& one : list.elements)
        for (const auto& [key, parts] : shown)
          if (parts_of(key) == one.key)
            kept[key] = parts;
      shown = kept;
    }
    write(writer_->print(list, top() && !final));
    ++prints_;
    if (shown.empty())
      return false;
    last_shown_ = shown;
    return true;
  }

  void regular_print() {
    const auto seen = show(false);
    if (seen)
      note(last_shown_);
    if (way_ == way::zeroed)
      for (auto& [key, parts] : map_)
        for (auto& [part, value] : parts)
          value = 0;
    else if (way_ <= way::in_end)
      map_.clear();
    if (way_ == way::zeroed && kind() != simulated_kind::count
        && kind() != simulated_kind::sum)
      for (auto& [key, parts] : map_)
        if (!stats())
          parts.clear();
  }

  // ---- the truth
  // -----------------------------------------------------------------

  /// What a reader can see of a key: bpftrace of that generation loses some.
  std::string as_printed(const std::string& key) const {
    if (minor_ < 24 || key.empty())
      return key;
    auto lossy = key;
    if (json_)
      std::erase(lossy, ' ');
    if (lossy.starts_with('(') && lossy.ends_with(')'))
      lossy = lossy.substr(1, lossy.size() - 2);
    return lossy;
  }

  std::string as_printed_row(const std::string& part) const {
    const auto folded = type_ == printer::map_type::hist && minor_ <= 19
                        && part != "-inf" && std::stoll(part) > 1LL << 31;
    return folded ? std::to_string(1LL << 31) : part;
  }

  void note(const contents& shown) {
    contents seen;
    for (const auto& [key, parts] : shown)
      for (const auto& [part, value] : parts)
        seen[as_printed(key)][as_printed_row(part)] += value;
    // A zeroed histogram is shown without rows.
    for (const auto& [key, parts] : shown)
      seen[as_printed(key)];
    if (gauge())
      return;
    if (rules_.how == accumulation::cleared) {
      truth_.cleared(seen);
      return;
    }
    for (const auto& [key, parts] : seen)
      for (const auto& [part, value] : parts)
        negative_seen_ = negative_seen_ || (sums() && value < 0);
    truth_.cumulative(
      seen, rules_.resets, rules_.deletes_keys, rules_.top,
      !(sums()
        && (negative_seen_ || (!rules_.resets && !rules_.deletes_keys))));
  }

  std::string path_of(const std::string& key, const std::string& part) const {
    auto path = std::string{"h.t.m"};
    for (auto level : parts_of(key)) {
      for (auto& c : level)
        if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-')
          c = '_';
      path += "." + level;
    }
    return part.empty() ? path : path + "." + part;
  }

  void check_sums() {
    EXPECT_EQ(dropped_, 0u);
    if (gauge()) {
      EXPECT_FALSE(sums_.empty());
      return;
    }
    std::map<std::string, exact> expected;
    for (const auto& [key, parts] : truth_.total())
      for (const auto& [part, value] : parts)
        expected[path_of(key, part)] += value;
    for (const auto& [path, value] : expected)
      EXPECT_EQ(text_of(sums_[path]), text_of(value)) << path;
    for (const auto& [path, sum] : sums_) {
      if (!path.ends_with(".average")) {
        EXPECT_EQ(text_of(sum), text_of(expected[path])) << path;
      }
    }
  }

  // ---- from the pipe to the points
  // ---------------------------------------------

  wall_time wall() const {
    return wall_time_from_ms(now_ms_);
  }

  /// Whole lines, as the line reader hands them on; a map may come in pieces.
  void write(const std::string& bytes) {
    auto from = std::size_t{0};
    while (from < bytes.size()) {
      auto upto = bytes.size();
      if (chance(20))
        upto =
          bytes.find('\n', from + static_cast<std::size_t>(pick(0, 200))) + 1;
      if (upto == 0 || upto > bytes.size())
        upto = bytes.size();
      pending_.push_back(output_lines{bytes.substr(from, upto - from), nullptr,
                                      0, 0, wall(), 0});
      from = upto;
      now_ms_ += from < bytes.size() ? pick(0, 10) : 0;
    }
  }

  /// Lines wait in a mailbox now and then; their order stays.
  void deliver(bool all) {
    if (!all && chance(45))
      return;
    while (!pending_.empty()) {
      pass_on(decoder_->take(pending_.front()));
      pending_.pop_front();
    }
  }

  void pass_on(const output_decoder::result& result) {
    for (const auto& event : result.events) {
      if (const auto* opened = std::get_if<output_opened>(&event))
        series_->opened(opened->at);
      else if (const auto* attached = std::get_if<probes_attached>(&event))
        series_->attached(attached->at);
      else if (const auto* closed = std::get_if<output_closed>(&event))
        series_->closed(closed->at);
      else if (const auto* prints = std::get_if<snapshots>(&event))
        for (const auto& one : prints->items)
          series_->add(one);
    }
    ASSERT_TRUE(series_->valid());
  }

  void collect() {
    std::vector<metric> out;
    series_->collect(wall(), out);
    take(out);
  }

  void drain() {
    deliver(true);
    std::vector<metric> out;
    series_->drain(wall(), out);
    take(out);
    const auto& c = series_->counts();
    EXPECT_EQ(series_->open_values(), 0u);
    EXPECT_EQ(c.values, c.combined + c.measured + c.merged + c.folded
                          + c.unchanged + c.dropped());
    EXPECT_EQ(books_->values, c.values);
    EXPECT_EQ(books_->rejected, 0u);
    EXPECT_EQ(books_->invalid, 0u);
    EXPECT_EQ(c.inconsistent, 0u);
    // No two averages can be one.
    dropped_ += c.dropped() - (gauge() ? c.dropped_gauge : 0);
    late_ += c.late;
    values_ += c.values;
    resets_ += c.resets;
  }

  void take(const std::vector<metric>& points) {
    ASSERT_TRUE(series_->valid());
    for (const auto& point : points) {
      const std::string path{*point.path};
      ASSERT_EQ(point.timestamp % resolution_, 0);
      ASSERT_GE(point.timestamp, floor_);
      ASSERT_TRUE(sent_.emplace(path, point.timestamp).second)
        << path << " at " << point.timestamp << " is sent twice";
      if (const auto* value = std::get_if<exact>(&point.value))
        sums_[path] += *value;
    }
  }

  void step() {
    now_ms_ += pick(1, std::max<std::int64_t>(gap_ms_ / 2, 500));
    if (!running_) {
      if (chance(40))
        start_trace();
    } else {
      for (auto n = pick(0, 15); n > 0; --n)
        event();
      if (chance(3))
        write(writer_->lost(static_cast<std::uint64_t>(pick(1, 99))));
      if (now_ms_ >= next_print_ms_) {
        next_print_ms_ = now_ms_ + gap_ms_;
        regular_print();
      }
      if (way_ == way::cleared_elsewhere && chance(5))
        map_.clear();
      if (way_ == way::deleted && !map_.empty() && chance(15))
        map_.erase(std::next(
          map_.begin(), pick(0, static_cast<std::int64_t>(map_.size()) - 1)));
      if (chance(4))
        stop_trace(chance(60));
    }
    deliver(false);
    if (chance(2))
      return restart_daemon();
    if (pending_.empty() && decoder_->waiting())
      pass_on(decoder_->pause(wall_time_from_ms(now_ms_ += 60)));
    if (chance(40))
      collect();
  }

  std::mt19937 random_;
  series_budget total_;
  int minor_ = 0;
  bool json_ = false;
  way way_ = way::cleared;
  printer::map_type type_ = printer::map_type::hist;
  std::int64_t key_parts_ = 0;
  bool signed_ = false;
  std::int64_t resolution_ = 15;
  std::int64_t gap_ms_ = 1000;
  series_config config_;
  parser_options parser_;
  map_rules rules_;
  std::unique_ptr<trace_series> series_;
  std::unique_ptr<trace_ledger> books_;
  std::unique_ptr<output_decoder> decoder_;
  std::unique_ptr<printer::writer> writer_;
  invariant truth_;
  contents map_;
  contents last_shown_;
  std::deque<lines_event> pending_;
  std::map<std::string, exact> sums_;
  std::set<std::pair<std::string, std::int64_t>> sent_;
  std::int64_t now_ms_ = 0;
  std::int64_t next_print_ms_ = 0;
  std::int64_t floor_ = 0;
  std::int64_t last_slot_ = -1'000'000;
  std::uint64_t lives_ = 0;
  std::uint64_t daemons_ = 0;
  std::uint64_t prints_ = 0;
  std::uint64_t values_ = 0;
  std::uint64_t late_ = 0;
  std::uint64_t resets_ = 0;
  std::uint64_t dropped_ = 0;
  bool running_ = false;
  bool negative_seen_ = false;
};

const char* generation_of(int minor) {
  return minor <= 12   ? "0.9 - 0.12"
         : minor <= 21 ? "0.13 - 0.21"
         : minor <= 23 ? "0.22 - 0.23"
                       : "0.24 - 0.27";
}

TEST(ExactHistories, AThousandOfAllGenerationsAreSentToTheUnit) {
  std::map<std::pair<std::string, bool>, tally> tallies;
  tally all;
  for (auto seed = 1u; seed <= histories; ++seed) {
    history one{seed};
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + one.name());
    tally mine;
    one.run(mine);
    if (HasFailure())
      return;
    for (auto* to :
         {&all, &tallies[{generation_of(one.minor()), one.json()}]}) {
      to->histories += mine.histories;
      to->prints += mine.prints;
      to->values += mine.values;
      to->points += mine.points;
      to->series += mine.series;
      to->late += mine.late;
      to->lives += mine.lives;
      to->daemons += mine.daemons;
      to->resets += mine.resets;
    }
  }
  const auto row = [](const std::string& name, const tally& t) {
    std::cout << std::left << std::setw(18) << name << std::right
              << std::setw(9) << t.histories << std::setw(7) << t.lives
              << std::setw(8) << t.daemons << std::setw(8) << t.prints
              << std::setw(9) << t.values << std::setw(8) << t.resets
              << std::setw(8) << t.late << std::setw(8) << t.series
              << std::setw(9) << t.points << "  all exact\n";
  };
  std::cout << "                  histories lives daemons  prints   values  "
               "resets    late  series   points\n";
  for (const auto& [name, t] : tallies)
    row(name.first + (name.second ? " json" : " text"), t);
  row("all", all);
  EXPECT_EQ(all.histories, histories);
  EXPECT_EQ(tallies.size(), 8u);
  for (const auto& [name, t] : tallies) {
    EXPECT_GT(t.late, 0u) << name.first;
    EXPECT_GT(t.resets, 0u) << name.first;
    EXPECT_GT(t.daemons, static_cast<std::uint64_t>(t.histories));
  }
}

} // namespace
} // namespace bpf2graphite
