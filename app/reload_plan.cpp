#include "app/reload_plan.hpp"

#include "actors/normalizer/trace_series.hpp"
#include "app/config_schema.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace bpf2graphite {
namespace {

/// Keys for all traces together that a running daemon takes over; server, port
/// and destinations are looked at as what follows from them. Every other key
/// that differs is named.
constexpr std::array<std::string_view, 12> taken_over{
  ".trace-files",          // its traces are compared
  "naming.host",           // part of each trace
  "naming.host-dots",      //
  "graphite.server",       //
  "graphite.port",         //
  "graphite.destinations", //
  "graphite.interval",     // with the next batch
  "slots.grace",           // part of each trace
  "bpftrace.stop-timeout", // likewise
  "limits.max-series-total",
  "log.level",
  "status.listen"};

/// Traces are compared with these in mind, see `as_one`.
constexpr std::array<std::string_view, 2> of_each_trace{
  "limits.line-bytes-max", "limits.record-bytes-max"};

template <std::size_t n>
bool contains(const std::array<std::string_view, n>& names,
              std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string full_name(const schema_key& row) {
  return std::string{row.group} + '.' + std::string{row.name};
}

void copy_field(const config_field& from, const config_field& to) {
  std::visit(
    [&](auto* value) {
      if (auto* const* same = std::get_if<decltype(value)>(&to))
        **same = *value;
    },
    from);
}

/// Keeps the old value of what cannot be taken over, and names it.
void keep_fixed(const config& running, config& next,
                std::vector<std::string>& named) {
  auto old = running; // fields are reached by pointers that may write
  for (const auto& row : config_schema()) {
    auto name = full_name(row);
    if (row.per_trace || row.group == "traces" || contains(taken_over, name)
        || contains(of_each_trace, name))
      continue;
    auto before = field_of(row, {&old, &old.defaults, nullptr});
    auto after = field_of(row, {&next, &next.defaults, nullptr});
    if (to_text(row, before) == to_text(row, after))
      continue;
    named.push_back(std::move(name));
    copy_field(before, after);
  }
  if (old.caf_text != next.caf_text) {
    named.emplace_back("caf");
    next.caf_text = old.caf_text;
  }
}

/// As many queues as there were, each with as many addresses: then only the
/// addresses differ.
bool keep_queues(const config& running, config& next,
                 std::vector<std::string>& named) {
  if (running.destinations == next.destinations)
    return false;
  if (running.destinations.size() == next.destinations.size())
    return true;
  named.emplace_back("graphite.destinations");
  next.destinations = running.destinations;
  next.server = running.server;
  next.port = running.port;
  next.server_origin = running.server_origin;
  next.port_origin = running.port_origin;
  return false;
}

/// Without what does not matter for what it does.
trace_config as_one(trace_config trace) {
  trace.file.clear();
  trace.place = {};
  trace.script_place = {};
  return trace;
}

std::size_t longest_line(const config& all, const trace_config& trace) {
  return trace.bpftrace.format == format_mode::text
           ? all.limits.line_bytes_max
           : all.limits.record_bytes_max;
}

const trace_config* enabled(const config& all, const std::string& id) {
  auto found = std::find_if(
    all.traces.begin(), all.traces.end(),
    [&](const trace_config& t) { return t.enabled && t.id == id; });
  return found == all.traces.end() ? nullptr : &*found;
}

std::string list(const std::vector<std::string>& ids) {
  constexpr std::size_t shown_max = 10;
  std::string text = " (";
  for (std::size_t i = 0; i < std::min(ids.size(), shown_max); ++i)
    text += (i == 0 ? "" : ", ") + ids[i];
  return text + (ids.size() > shown_max ? ", ...)" : ")");
}

} // namespace

reload_plan
plan_reload(const config& running, config next,
            const std::function<bool(const std::string& id)>& script_changed) {
  reload_plan plan;
  keep_fixed(running, next, plan.needs_restart);
  plan.other_addresses = keep_queues(running, next, plan.needs_restart);
  for (const auto& trace : running.traces)
    if (trace.enabled && enabled(next, trace.id) == nullptr)
      plan.removed.push_back(trace.id);
  for (const auto& trace : next.traces) {
    if (!trace.enabled)
      continue;
    const auto* before = enabled(running, trace.id);
    if (before == nullptr)
      plan.added.push_back(trace.id);
    // Its supervisor has been told how long it may take to stop.
    else if (!same_names(before->series, trace.series)
             || before->bpftrace.stop_timeout != trace.bpftrace.stop_timeout)
      plan.replaced.push_back(trace.id);
    else if (as_one(*before) != as_one(trace)
             || longest_line(running, *before) != longest_line(next, trace)
             || script_changed(trace.id))
      plan.restarted.push_back(trace.id);
    else
      ++plan.unchanged;
  }
  plan.in_force = std::make_shared<const config>(std::move(next));
  return plan;
}

std::string describe(const reload_plan& plan) {
  auto text = std::to_string(plan.unchanged)
              + (plan.unchanged == 1 ? " trace" : " traces") + " unchanged";
  auto add = [&](const std::vector<std::string>& ids, const char* what) {
    if (!ids.empty())
      text += ", " + std::to_string(ids.size()) + ' ' + what + list(ids);
  };
  auto again = plan.restarted;
  again.insert(again.end(), plan.replaced.begin(), plan.replaced.end());
  add(again, "restarted");
  add(plan.added, "added");
  add(plan.removed, "removed");
  if (plan.other_addresses)
    text += ", another Graphite";
  return text;
}

} // namespace bpf2graphite
