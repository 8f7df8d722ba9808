#include "actors/watchdog/print_every.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace bpf2graphite {

namespace {

bool is_aggregation(map_action action) {
  switch (action) {
    case map_action::hist:
    case map_action::lhist:
    case map_action::count:
    case map_action::sum:
    case map_action::avg:
    case map_action::min:
    case map_action::max:
    case map_action::stats:
    case map_action::tseries:
    case map_action::increment:
    case map_action::add:
      return true;
    default:
      return false;
  }
}

/// Has a value of its own type, made by a function: count() and the like.
bool is_function(map_action action) {
  return is_aggregation(action) && action != map_action::increment
         && action != map_action::add;
}

bool fills(map_action action) {
  return is_aggregation(action) || action == map_action::assign
         || action == map_action::assign_zero || action == map_action::decrement
         || action == map_action::subtract || action == map_action::change;
}

bool in(probe_kind kind, const map_use& use, const script_facts& facts) {
  return use.body < facts.bodies.size() && facts.bodies[use.body].only(kind);
}

template <class Predicate>
bool any_use(const script_map& map, Predicate predicate) {
  return std::any_of(map.uses.begin(), map.uses.end(), predicate);
}

std::string_view kind_name(const script_map& map) {
  static constexpr std::array<std::pair<map_action, std::string_view>, 11>
    names{{{map_action::hist, "hist"},
           {map_action::lhist, "lhist"},
           {map_action::count, "count"},
           {map_action::sum, "sum"},
           {map_action::avg, "avg"},
           {map_action::min, "min"},
           {map_action::max, "max"},
           {map_action::stats, "stats"},
           {map_action::tseries, "tseries"},
           {map_action::increment, "++"},
           {map_action::add, "+="}}};
  for (auto& [action, name] : names)
    if (any_use(map,
                [wanted = action](auto& use) { return use.action == wanted; }))
      return name;
  return "a value";
}

} // namespace

std::optional<std::chrono::milliseconds>
parse_print_every(std::string_view text) {
  if (text == "auto")
    return std::chrono::milliseconds{1000};
  if (text == "off")
    return std::chrono::milliseconds{0};
  static constexpr std::array<std::pair<std::string_view, std::int64_t>, 3>
    units{{{"ms", 1}, {"s", 1000}, {"min", 60'000}}};
  std::int64_t number = 0;
  auto end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || number < 0 || number > print_every_max.count())
    return std::nullopt;
  std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  for (auto& [name, factor] : units) {
    if (unit != name)
      continue;
    std::chrono::milliseconds period{number * factor};
    if (period < print_every_min || period > print_every_max)
      return std::nullopt;
    return period;
  }
  return std::nullopt;
}

std::string map_name_of(std::string_view configured) {
  if (configured.starts_with('@'))
    return std::string(configured);
  return "@" + std::string(configured);
}

std::string scratch_reason(const script_map& map, const script_facts& facts) {
  bool function = false, aggregation = false, filled = false, stamped = false;
  bool read = false, shown_in_end = false, removed = false, printed = false;
  bool cleared_in_end = false;
  for (auto& use : map.uses) {
    function = function || is_function(use.action);
    aggregation = aggregation || is_aggregation(use.action);
    filled = filled || fills(use.action);
    stamped = stamped || (use.action == map_action::assign && use.timestamp);
    if (use.action == map_action::read || use.action == map_action::iterate
        || use.action == map_action::print_key)
      (in(probe_kind::end, use, facts) ? shown_in_end : read) = true;
    removed = removed || use.action == map_action::remove_key
              || use.action == map_action::remove_all;
    printed = printed || use.action == map_action::print;
    cleared_in_end =
      cleared_in_end
      || (use.action == map_action::clear && in(probe_kind::end, use, facts));
  }
  if (!filled || printed)
    return {};
  if (stamped && !aggregation)
    return "holds time stamps";
  if (!function && read && (removed || cleared_in_end))
    return "is read and emptied by the script itself";
  if (cleared_in_end && !read && !shown_in_end)
    return "END clears it and nothing ever prints it";
  return {};
}

bool printed_while_running(const script_map& map, const script_facts& facts) {
  bool later = any_use(map, [&](auto& use) {
    return fills(use.action) && !in(probe_kind::begin, use, facts)
           && !in(probe_kind::end, use, facts);
  });
  return any_use(map, [&](auto& use) {
    return use.action == map_action::print && !in(probe_kind::end, use, facts)
           && !(later && in(probe_kind::begin, use, facts));
  });
}

print_every_result append_prints(std::string_view script,
                                 const script_facts& facts,
                                 const print_every_config& config) {
  print_every_result result;
  result.program = script;
  if (facts.error)
    return result;
  for (auto& map : facts.maps) {
    bool filled = any_use(map, [](auto& use) { return fills(use.action); });
    bool aggregation =
      any_use(map, [](auto& use) { return is_aggregation(use.action); });
    bool named =
      std::any_of(config.maps.begin(), config.maps.end(),
                  [&](auto& name) { return map_name_of(name) == map.name; });
    if (!filled || (!aggregation && !named))
      continue;
    auto leave_out = [&](std::string why) {
      result.left_out.push_back({map.name, std::move(why)});
    };
    auto scratch = scratch_reason(map, facts);
    if (printed_while_running(map, facts))
      leave_out("the script prints it itself");
    else if (!named && !config.maps.empty())
      leave_out("`maps` does not name it");
    else if (!named && !scratch.empty())
      leave_out(scratch);
    else if (config.period.count() == 0)
      leave_out("print-every is off");
    else
      result.appended.push_back(
        {map.name, std::string(kind_name(map))
                     + (named ? ", named by `maps`, nothing prints it"
                              : ", nothing prints it")
                     + " while the script runs"});
  }
  if (result.appended.empty())
    return result;
  auto period = config.period.count();
  result.probe = period % 1000 == 0
                   ? "interval:s:" + std::to_string(period / 1000)
                   : "interval:ms:" + std::to_string(period);
  result.probe += " {";
  for (auto& map : result.appended)
    result.probe += " print(" + map.map + ");";
  result.probe += " }";
  // A line of its own: the script may end in a comment. A backslash would
  // join that line with one of the preprocessor's: one more.
  if (!script.empty() && script.back() != '\n')
    result.program += '\n';
  if (script.ends_with('\\') || script.ends_with("\\\n")
      || script.ends_with("\\\r\n"))
    result.program += '\n';
  result.program += result.probe + '\n';
  return result;
}

} // namespace bpf2graphite
