#include "app/reload_plan.hpp"

#include "app/config_schema.hpp"

#include <gmock/gmock.h>

#include <set>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

trace_config trace(const std::string& id) {
  trace_config result;
  result.id = id;
  result.script = "/" + id + ".bt";
  result.series.trace = id;
  return result;
}

config with(std::vector<trace_config> traces) {
  config result;
  result.destinations = {{"localhost", 2003}};
  result.traces = std::move(traces);
  return result;
}

reload_plan plan(const config& running, const config& next,
                 const std::set<std::string>& changed = {}) {
  return plan_reload(
    running, next, [&](const std::string& id) { return changed.contains(id); });
}

TEST(ReloadPlan, TouchesNothingWhenNothingHasChanged) {
  auto one = with({trace("a"), trace("b")});
  auto result = plan(one, one);
  EXPECT_EQ(result.unchanged, 2U);
  EXPECT_THAT(result.removed, IsEmpty());
  EXPECT_THAT(result.restarted, IsEmpty());
  EXPECT_THAT(result.replaced, IsEmpty());
  EXPECT_THAT(result.added, IsEmpty());
  EXPECT_THAT(result.needs_restart, IsEmpty());
  EXPECT_EQ(describe(result), "2 traces unchanged");
}

TEST(ReloadPlan, DoesNotCareWhereATraceStandsInTheFile) {
  auto before = with({trace("a"), trace("b")});
  auto after = with({trace("b"), trace("a")});
  after.traces[0].file = "other.conf";
  after.traces[0].place = {7, 1};
  after.traces[1].script_place = {9, 3};
  EXPECT_EQ(plan(before, after).unchanged, 2U);
}

TEST(ReloadPlan, TellsAddedFromRemovedAndRestarted) {
  auto before = with({trace("gone"), trace("off"), trace("args"),
                      trace("script"), trace("same")});
  auto after = with({trace("off"), trace("args"), trace("script"),
                     trace("same"), trace("new")});
  after.traces[0].enabled = false;
  after.traces[1].args = {"7"};
  auto result = plan(before, after, {"script"});
  EXPECT_THAT(result.removed, ElementsAre("gone", "off"));
  EXPECT_THAT(result.restarted, ElementsAre("args", "script"));
  EXPECT_THAT(result.added, ElementsAre("new"));
  EXPECT_EQ(describe(result), "1 trace unchanged, 2 restarted (args, script), "
                              "1 added (new), 2 removed (gone, off)");
}

TEST(ReloadPlan, BeginsATraceAnewWhoseSeriesAreCalledOtherwise) {
  auto before = with({trace("a"), trace("b"), trace("c"), trace("d")});
  auto after = before;
  after.traces[0].series.trace = "other";
  after.traces[1].series.slots.resolution = 60s;
  after.traces[2].series.percentiles = {50};
  after.traces[3].bpftrace.stop_timeout = 9s;
  EXPECT_THAT(plan(before, after).replaced, ElementsAre("a", "b", "c", "d"));
}

TEST(ReloadPlan, KeepsTheSlotsOfATraceWhosePrintsMeanSomethingElse) {
  auto before = with({trace("a"), trace("b")});
  auto after = before;
  after.traces[0].accumulate.all = accumulation::max;
  after.traces[1].series.max_series = 5;
  EXPECT_THAT(plan(before, after).restarted, ElementsAre("a", "b"));
}

TEST(ReloadPlan, RestartsATraceWhoseLinesMayBeLonger) {
  auto before = with({trace("json"), trace("text")});
  before.traces[1].bpftrace.format = format_mode::text;
  auto after = before;
  after.limits.record_bytes_max *= 2;
  EXPECT_THAT(plan(before, after).restarted, ElementsAre("json"));
  EXPECT_THAT(plan(before, after).needs_restart, IsEmpty());
}

TEST(ReloadPlan, KeepsWhatCannotBeTakenOverAndNamesIt) {
  auto before = with({trace("a")});
  auto after = before;
  after.batcher.buffer_bytes_max = 1 << 20;
  after.graphite.resend = 0ms;
  after.log.level = log_level::debug;
  after.batcher.interval = 30s;
  after.caf_text = "[x]\n";
  auto result = plan(before, after);
  EXPECT_THAT(result.needs_restart,
              ElementsAre("graphite.buffer", "graphite.resend", "caf"));
  EXPECT_EQ(result.in_force->batcher.buffer_bytes_max,
            before.batcher.buffer_bytes_max);
  EXPECT_EQ(result.in_force->graphite.resend, before.graphite.resend);
  EXPECT_EQ(result.in_force->caf_text, before.caf_text);
  EXPECT_EQ(result.in_force->log.level, log_level::debug);
  EXPECT_EQ(result.in_force->batcher.interval, 30s);
  EXPECT_THAT(plan(*result.in_force, after).needs_restart,
              ElementsAre("graphite.buffer", "graphite.resend", "caf"))
    << "it is still so at the next reload";
}

TEST(ReloadPlan, MovesToAnotherGraphite) {
  auto before = with({trace("a")});
  auto after = before;
  after.destinations = {{"other", 2003}};
  auto result = plan(before, after);
  EXPECT_TRUE(result.other_addresses);
  EXPECT_EQ(result.in_force->destinations[0].host, "other");
  EXPECT_THAT(result.needs_restart, IsEmpty());
}

TEST(ReloadPlan, NeedsARestartForAnotherNumberOfQueues) {
  auto before = with({trace("a")});
  auto after = before;
  after.server = "x";
  after.destinations = {{"x", 2003}, {"y", 2003}};
  auto result = plan(before, after);
  EXPECT_FALSE(result.other_addresses);
  EXPECT_THAT(result.needs_restart, ElementsAre("graphite.destinations"));
  EXPECT_EQ(result.in_force->destinations, before.destinations);
  EXPECT_EQ(result.in_force->server, before.server);
}

/// Every key for all traces together is either taken over or named: none is
/// forgotten, also not one that comes later.
TEST(ReloadPlan, NamesEveryOtherKey) {
  const std::set<std::string> taken_over{".trace-files",
                                         "naming.host",
                                         "naming.host-dots",
                                         "graphite.server",
                                         "graphite.port",
                                         "graphite.destinations",
                                         "graphite.interval",
                                         "slots.grace",
                                         "bpftrace.stop-timeout",
                                         "limits.max-series-total",
                                         "limits.line-bytes-max",
                                         "limits.record-bytes-max",
                                         "log.level",
                                         "status.listen"};
  std::size_t named = 0;
  for (const auto& row : config_schema()) {
    if (row.per_trace || row.group == "traces")
      continue;
    auto name = std::string{row.group} + '.' + std::string{row.name};
    auto before = with({trace("a")});
    auto after = before;
    std::visit(
      [](auto* field) {
        using value = std::remove_pointer_t<decltype(field)>;
        if constexpr (std::is_same_v<value, bool>)
          *field = !*field;
        else if constexpr (std::is_arithmetic_v<value>)
          *field = static_cast<value>(*field + 1);
        else if constexpr (std::is_same_v<value, std::string>)
          *field += "/x";
        else if constexpr (std::is_enum_v<value>)
          *field = *field == value{} ? static_cast<value>(1) : value{};
        else if constexpr (requires { field->count(); })
          *field += value{1000};
      },
      field_of(row, {&after, &after.defaults, nullptr}));
    auto result = plan(before, after);
    if (taken_over.contains(name)) {
      EXPECT_THAT(result.needs_restart, IsEmpty()) << name;
    } else {
      EXPECT_THAT(result.needs_restart, ElementsAre(name));
      ++named;
    }
  }
  EXPECT_GT(named, 15U);
}

} // namespace
} // namespace bpf2graphite
