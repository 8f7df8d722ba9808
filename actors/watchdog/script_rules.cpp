#include "actors/watchdog/script_rules.hpp"

#include "actors/normalizer/metric_path.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <utility>

namespace bpf2graphite {

namespace {

bool in(probe_kind kind, const map_use& use, const script_facts& facts) {
  return use.body < facts.bodies.size() && facts.bodies[use.body].only(kind);
}

bool in_end(const map_use& use, const script_facts& facts) {
  return in(probe_kind::end, use, facts);
}

bool in_begin(const map_use& use, const script_facts& facts) {
  return in(probe_kind::begin, use, facts);
}

template <class Predicate>
bool any_use(const script_map& map, Predicate predicate) {
  return std::any_of(map.uses.begin(), map.uses.end(), predicate);
}

bool has(const script_map& map, map_action action) {
  return any_use(map, [&](auto& use) { return use.action == action; });
}

/// The ways in which values get into a map, as they are named to the user, in
/// the order in which they decide.
constexpr std::array<std::pair<map_action, std::string_view>, 15> fillings{{
  {map_action::hist, "hist"},
  {map_action::lhist, "lhist"},
  {map_action::count, "count"},
  {map_action::sum, "sum"},
  {map_action::stats, "stats"},
  {map_action::avg, "avg"},
  {map_action::min, "min"},
  {map_action::max, "max"},
  {map_action::tseries, "tseries"},
  {map_action::increment, "++"},
  {map_action::add, "+="},
  {map_action::decrement, "--"},
  {map_action::subtract, "-="},
  {map_action::change, "compound assignment"},
  {map_action::assign, "plain assignment"},
}};

std::string filled_by(const script_map& map) {
  std::string result;
  for (auto& [action, name] : fillings)
    if (has(map, action)) {
      if (!result.empty())
        result += ", ";
      result += name;
    }
  if (!result.empty())
    return result;
  return has(map, map_action::assign_zero) ? "plain assignment"
                                           : "never assigned";
}

/// Whether its values only grow until they are cleared.
bool is_counter(const script_map& map, const script_facts& facts) {
  for (auto action :
       {map_action::tseries, map_action::avg, map_action::min, map_action::max})
    if (has(map, action))
      return false;
  for (auto action : {map_action::hist, map_action::lhist, map_action::count,
                      map_action::sum, map_action::stats})
    if (has(map, action))
      return true;
  for (auto action :
       {map_action::decrement, map_action::subtract, map_action::change})
    if (has(map, action))
      return false;
  // A value given in BEGIN is where a ++ begins; = 0 is a clear.
  if (any_use(map, [&](auto& use) {
        return use.action == map_action::assign && !in_begin(use, facts);
      }))
    return false;
  return has(map, map_action::increment) || has(map, map_action::add);
}

bool is_reset(const map_use& use, const script_facts& facts) {
  return use.action == map_action::clear || use.action == map_action::zero
         || use.action == map_action::remove_all
         || (use.action == map_action::assign_zero && !use.keyed
             && !in_begin(use, facts));
}

std::string lines_of(const std::vector<std::size_t>& lines) {
  std::string result = lines.size() == 1 ? "line " : "lines ";
  constexpr std::size_t shown_max = 3;
  for (std::size_t i = 0; i < lines.size() && i < shown_max; ++i)
    result += (i == 0 ? "" : ", ") + std::to_string(lines[i]);
  if (lines.size() > shown_max)
    result += " ...";
  return result;
}

template <class Predicate>
std::vector<std::size_t> lines_where(const script_map& map,
                                     Predicate predicate) {
  std::vector<std::size_t> lines;
  for (auto& use : map.uses)
    if (predicate(use)
        && std::find(lines.begin(), lines.end(), use.at.line) == lines.end())
      lines.push_back(use.at.line);
  return lines;
}

/// How many letters differ; names are cut, so that the work is bounded.
std::size_t distance(std::string_view a, std::string_view b) {
  constexpr std::size_t letters_max = 64;
  a = a.substr(0, letters_max);
  b = b.substr(0, letters_max);
  std::array<std::size_t, letters_max + 1> row{};
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      auto cost = std::min(
        {row[j] + 1, row[j + 1] + 1, diagonal + (a[i] == b[j] ? 0u : 1u)});
      diagonal = row[j + 1];
      row[j + 1] = cost;
    }
  }
  return row[b.size()];
}

std::string no_such_map(std::string_view key, std::string_view name,
                        const script_facts& facts) {
  auto text = "`" + std::string(key) + "` names \"" + std::string(name)
              + "\", but the script has no such map";
  const script_map* nearest = nullptr;
  for (auto& map : facts.maps)
    if (!nearest || distance(map.name, name) < distance(nearest->name, name))
      nearest = &map;
  if (nearest)
    text += "; the nearest is \"" + nearest->name + "\"";
  return text;
}

/// What the prints of a map mean by the script's text, and why.
struct default_meaning {
  accumulation how = accumulation::cumulative;
  std::string why;
};

default_meaning meaning_of(const script_map& map, const script_facts& facts,
                           bool appended) {
  auto what = filled_by(map);
  if (!is_counter(map, facts))
    return {accumulation::last, what};
  auto print = [&](const map_use& use) {
    return use.action == map_action::print && !in_end(use, facts);
  };
  auto open = lines_where(map, [&](auto& use) {
    return print(use) && use.after != after_print::reset;
  });
  auto lines = lines_where(map, print);
  if (appended)
    return {accumulation::cumulative,
            what + "; printed by the appended probe and not cleared there"};
  if (lines.empty())
    return {accumulation::cumulative,
            what + "; printed only when the script ends"};
  if (open.empty())
    return {accumulation::cleared,
            what + "; cleared after each print (" + lines_of(lines) + ")"};
  auto why = what + "; not cleared after the print at " + lines_of(open);
  if (any_use(map, [&](auto& use) {
        return print(use) && use.after == after_print::printed_again;
      }))
    why += ", which comes twice before the clear";
  if (any_use(map, [&](auto& use) {
        return print(use) && use.after == after_print::may_leave;
      }))
    why += ", since the block may be left before the clear";
  return {accumulation::cumulative, why};
}

/// What the script surely says of the key. Types only when all are known: the
/// parser takes a part that is not called an integer for text, and does
/// better by learning than by half of the truth.
std::optional<key_shape> key_shape_of(const script_map& map) {
  if (!map.key_parts || *map.key_parts == 0)
    return std::nullopt;
  key_shape result;
  result.parts = *map.key_parts;
  for (auto part : map.key_shapes) {
    if (part != expression_shape::integer && part != expression_shape::text) {
      result.integer.clear();
      break;
    }
    result.integer.push_back(part == expression_shape::integer);
  }
  return result;
}

std::optional<accumulation> configured(const script_rules_config& config,
                                       const std::string& map) {
  for (auto& [name, how] : config.accumulate_by_map)
    if (map_name_of(name) == map)
      return how;
  return config.accumulate;
}

/// The period of `interval:s:5`, `i:ms:100`, `interval:hz:2` or `interval:5s`;
/// none for anything else. Below a millisecond: one.
std::optional<std::chrono::milliseconds> period_of(const attach_point& point) {
  const std::string_view text = point.text;
  const auto colon = text.find(':');
  if (point.kind != probe_kind::interval || colon == text.npos)
    return std::nullopt;
  auto unit = text.substr(colon + 1);
  auto digits = unit;
  if (const auto second = unit.find(':'); second != unit.npos) {
    digits = unit.substr(second + 1);
    unit = unit.substr(0, second);
  } else {
    const auto n = unit.find_first_not_of("0123456789");
    digits = unit.substr(0, n);
    unit = n == unit.npos ? std::string_view{} : unit.substr(n);
  }
  std::int64_t number = 0;
  const auto end = digits.data() + digits.size();
  const auto read = std::from_chars(digits.data(), end, number);
  constexpr std::int64_t number_max = 1'000'000'000'000;
  if (read.ec != std::errc{} || read.ptr != end || number < 1
      || number > number_max)
    return std::nullopt;
  auto at_least_one = [](std::int64_t ms) {
    return std::chrono::milliseconds{std::max<std::int64_t>(1, ms)};
  };
  if (unit == "s")
    return at_least_one(number * 1000);
  if (unit == "ms")
    return at_least_one(number);
  if (unit == "us")
    return at_least_one(number / 1000);
  if (unit == "ns")
    return at_least_one(number / 1'000'000);
  if (unit == "hz")
    return at_least_one(1000 / number);
  return std::nullopt;
}

/// How often the map is printed at least; zero when the text does not say it.
std::chrono::milliseconds print_period_of(const script_map& map,
                                          const script_facts& facts) {
  std::optional<std::chrono::milliseconds> shortest;
  for (auto& use : map.uses) {
    if (use.action != map_action::print || !use.each_time
        || use.body >= facts.bodies.size() || facts.bodies[use.body].predicate)
      continue;
    for (auto& point : facts.bodies[use.body].points)
      if (const auto period = period_of(point))
        shortest = std::min(shortest.value_or(*period), *period);
  }
  return shortest.value_or(std::chrono::milliseconds{0});
}

bool named(const script_rules_config& config, const std::string& map) {
  return std::any_of(config.maps.begin(), config.maps.end(),
                     [&](auto& name) { return map_name_of(name) == map; });
}

std::string unwanted_reason(const script_map& map, const script_facts& facts,
                            const print_every_result& prints,
                            const script_rules_config& config) {
  if (!config.maps.empty())
    return "`maps` does not name it";
  auto scratch = scratch_reason(map, facts);
  if (!scratch.empty())
    return scratch;
  for (auto& left : prints.left_out)
    if (left.map == map.name && !printed_while_running(map, facts))
      return "nothing prints it while the script runs, and " + left.why;
  return "nothing prints it while the script runs; naming it in `maps` would";
}

void warn_of(const script_map& map, const map_plan& plan,
             const script_facts& facts, std::vector<std::string>& warnings) {
  auto warn = [&](const std::string& text) {
    warnings.push_back(map.name + ": " + text);
  };
  auto running_print = [&](const map_use& use) {
    return use.action == map_action::print && !in_end(use, facts);
  };
  auto clears = lines_where(map, [&](auto& use) {
    return is_reset(use, facts) && !in_end(use, facts) && !in_begin(use, facts);
  });
  if (plan.rules.how == accumulation::cumulative && !clears.empty())
    warn("cleared at " + lines_of(clears)
         + ", but not after each print: what is counted between a print and "
           "the clear is lost; clear it in the block that prints it, right "
           "after the print");
  auto tops =
    lines_where(map, [&](auto& use) { return running_print(use) && use.top; });
  if (!tops.empty() && plan.rules.how == accumulation::cleared)
    warn("only the largest elements are printed before the clear ("
         + lines_of(tops) + "): the others are lost");
  auto divided = lines_where(map, [&](auto& use) {
    return running_print(use) && use.divided && !has(map, map_action::lhist);
  });
  if (!divided.empty())
    warn("printed with a divisor (" + lines_of(divided)
         + "): the values are sent as they are printed, divided");
  if (plan.rules.divided_in_end)
    warn("END prints it with a divisor: what was counted since the print "
         "before is not sent");
  bool text = has(map, map_action::assign);
  for (auto& use : map.uses)
    if (use.action == map_action::assign)
      text = text
             && (use.stored == expression_shape::text
                 || use.stored == expression_shape::tuple);
  if (text)
    warn("holds text, of which nothing can be sent");
}

/// What `accumulate` calls a metric: it has no dots, colons and hyphens.
std::string metric_rule(std::string_view metric) {
  return metric_rule_name(metric_name(metric));
}

void plan_metrics(const script_facts& facts, const script_rules_config& config,
                  script_plan& plan) {
  plan.printf.calls = metric_calls::off;
  if (config.accumulate)
    plan.other_metrics = metric_rules(*config.accumulate);
  if (!config.printf_metrics)
    return;
  // Of a script that could not be read nothing is known.
  plan.printf = judge_formats(facts);
  if (facts.error)
    plan.printf.calls = metric_calls::one_line;
  for (auto& [name, how] : config.accumulate_by_map)
    plan.rules[map_name_of(name).substr(1)] = metric_rules(how);
  for (auto line : plan.printf.refused_calls)
    plan.warnings.push_back(
      "printf at line " + std::to_string(line)
      + ": it writes several lines at once, and the script prints text (%s): "
        "in JSON such a call is not taken, since a line could be forged by "
        "that text; write a printf for each line");
}

bool names_metric(const script_plan& plan, const std::string& map) {
  return std::any_of(plan.printf.lines.begin(), plan.printf.lines.end(),
                     [&](auto& line) {
                       return line.open
                              || (!line.metric.empty()
                                  && metric_rule(line.metric) == map.substr(1));
                     });
}

/// The output that is most the script's own: not a headline of BEGIN.
const text_output* main_output(const script_facts& facts) {
  auto headline = [&](const text_output& output) {
    return output.body < facts.bodies.size()
           && facts.bodies[output.body].only(probe_kind::begin);
  };
  const text_output* found = nullptr;
  for (auto& output : facts.outputs)
    if (!headline(output)
        && (!found
            || (found->function != "printf" && output.function == "printf")))
      found = &output;
  if (found)
    return found;
  return facts.outputs.empty() ? nullptr : &facts.outputs.front();
}

std::string nothing_to_send(const script_facts& facts,
                            const script_plan& plan) {
  auto output = main_output(facts);
  if (!output && facts.maps.empty())
    return "it can never print anything: it has no map and no printf";
  std::string text;
  if (output)
    text = "it prints only text (" + output->function + ", line "
           + std::to_string(output->at.line)
           + "), of which nothing is sent unless printf-metrics is on";
  if (facts.maps.empty())
    return text + "; it has no map";
  text +=
    text.empty() ? "nothing prints a map that could be sent: " : "; its maps: ";
  constexpr std::size_t shown_max = 4;
  for (std::size_t i = 0; i < plan.maps.size() && i < shown_max; ++i)
    text +=
      (i == 0 ? "" : "; ") + plan.maps[i].name + " is " + plan.maps[i].why;
  if (plan.maps.size() > shown_max)
    text += "; ...";
  return text;
}

} // namespace

std::string_view accumulation_word(accumulation how) {
  switch (how) {
    case accumulation::cleared:
      return "cleared";
    case accumulation::cumulative:
      return "cumulative";
    case accumulation::last:
      return "last";
    case accumulation::max:
      return "max";
    case accumulation::min:
      return "min";
    case accumulation::mean:
      return "mean";
  }
  return "";
}

script_plan plan_script(std::string_view script, const script_facts& facts,
                        const script_rules_config& config) {
  script_plan plan;
  auto prints = append_prints(script, facts, {config.print_every, config.maps});
  plan.program = std::move(prints.program);
  plan.appended_probe = std::move(prints.probe);
  plan_metrics(facts, config, plan);
  if (facts.error) {
    auto where = std::to_string(facts.error->at.line) + ":"
                 + std::to_string(facts.error->at.column) + ": "
                 + facts.error->reason;
    plan.unreadable = facts.error;
    if (facts.no_probe)
      plan.errors.push_back(where + ": it can never print anything");
    else
      plan.warnings.push_back(
        where
        + ": the script could not be read: histograms are taken as cleared by "
          "each print, other values as they are, and nothing is appended");
    if (config.accumulate)
      plan.other_maps.how = plan.other_scalars.how = *config.accumulate;
    for (auto& [name, how] : config.accumulate_by_map)
      plan.rules[map_name_of(name)] = map_rules{.how = how};
    return plan;
  }
  for (auto& name : config.maps)
    if (!facts.find(map_name_of(name)))
      plan.errors.push_back(no_such_map("maps", map_name_of(name), facts));
  for (auto& [name, how] : config.accumulate_by_map)
    if (!facts.find(map_name_of(name))
        && !names_metric(plan, map_name_of(name)))
      plan.errors.push_back(
        no_such_map("accumulate", map_name_of(name), facts));
  bool wanted = false;
  for (auto& map : facts.maps) {
    map_plan decided;
    decided.name = map.name;
    if (has(map, map_action::hist) || has(map, map_action::lhist))
      decided.shape = map_shape::histogram;
    else if (has(map, map_action::stats))
      decided.shape = map_shape::stats;
    decided.appended =
      std::any_of(prints.appended.begin(), prints.appended.end(),
                  [&](auto& appended) { return appended.map == map.name; });
    auto meaning = meaning_of(map, facts, decided.appended);
    auto& rules = decided.rules;
    auto choice = configured(config, map.name);
    rules.how = choice.value_or(meaning.how);
    rules.resets =
      any_use(map, [&](auto& use) { return is_reset(use, facts); });
    rules.deletes_keys = any_use(map, [&](auto& use) {
      return use.action == map_action::remove_key
             || (use.action == map_action::assign_zero && use.keyed
                 && !in_begin(use, facts));
    });
    rules.top = any_use(map, [](auto& use) {
      return use.action == map_action::print && use.top;
    });
    rules.divided_in_end =
      !has(map, map_action::lhist)
      && any_use(map,
                 [&](auto& use) {
                   return use.action == map_action::print && use.divided
                          && in_end(use, facts);
                 })
      && !any_use(map, [&](auto& use) {
           return is_reset(use, facts) && !in_end(use, facts)
                  && !in_begin(use, facts);
         });
    rules.printed_in_end =
      facts.prints_maps_on_exit && any_use(map, [&](auto& use) {
        return use.action == map_action::print && in_end(use, facts)
               && use.after != after_print::reset;
      });
    rules.print_period =
      decided.appended ? config.print_every : print_period_of(map, facts);
    rules.may_fall = !is_counter(map, facts) || any_use(map, [](auto& use) {
      return use.may_be_negative;
    });
    rules.wanted = config.maps.empty()
                     ? decided.appended
                         || any_use(map,
                                    [&](auto& use) {
                                      return use.action == map_action::print
                                             && !in_end(use, facts);
                                    })
                     : named(config, map.name);
    if (!rules.wanted) {
      decided.why = "not sent: " + unwanted_reason(map, facts, prints, config);
    } else {
      decided.why = std::string(accumulation_word(rules.how)) + ": ";
      if (choice && *choice != meaning.how)
        decided.why += "as configured; by the script's text "
                       + std::string(accumulation_word(meaning.how)) + ": ";
      decided.why += meaning.why;
      warn_of(map, decided, facts, plan.warnings);
    }
    wanted = wanted || rules.wanted;
    plan.rules[map.name] = rules;
    if (auto shape = key_shape_of(map))
      plan.keys[map.name] = *std::move(shape);
    plan.maps.push_back(std::move(decided));
  }
  if (!wanted && plan.errors.empty()
      && !(config.printf_metrics && !facts.outputs.empty()))
    plan.errors.push_back(nothing_to_send(facts, plan));
  return plan;
}

script_plan plan_script(std::string_view script,
                        const script_rules_config& config) {
  return plan_script(script, scan_script(script), config);
}

} // namespace bpf2graphite
