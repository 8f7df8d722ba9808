#include "app/share_plan.hpp"

#include <algorithm>
#include <map>

namespace bpf2graphite {

std::string share_refusal(const trace_config& trace) {
  if (trace.printf_metrics)
    return "printf-metrics is on";
  if (!trace.args.empty())
    return "it has args of its own";
  if (!trace.options.empty())
    return "it has options of its own";
  return {};
}

std::string share_key(const trace_config& trace) {
  const auto& words = trace.bpftrace;
  // No part holds a zero byte: all of them come from a configuration file.
  std::string key = words.program;
  auto add = [&key](const std::string& part) {
    key += '\0';
    key += part;
  };
  auto add_number = [&add](auto number) {
    add(std::to_string(number));
  };
  add_number(words.format == format_mode::text);
  add_number(words.unsafe);
  add_number(static_cast<int>(words.restart));
  add_number(words.stop_timeout.count());
  add_number(words.output_budget);
  add_number(words.expect_output_within.count());
  for (const auto& [name, value] : words.environment)
    add(name + '=' + value);
  return key;
}

share_outlook plan_shares(const std::vector<trace_plan>& plans,
                          unsigned int cpus, const share_costs& costs) {
  share_outlook out;
  std::map<std::string, std::vector<const trace_plan*>> by_key;
  for (const auto& plan : plans) {
    if (!plan.trace.share)
      continue;
    if (auto why = share_refusal(plan.trace); !why.empty())
      out.alone.emplace_back(plan.trace.id, why);
    else
      by_key[share_key(plan.trace)].push_back(&plan);
  }
  auto shared = std::size_t{0};
  for (auto& [key, members] : by_key) {
    std::sort(members.begin(), members.end(), [](const auto* a, const auto* b) {
      return a->trace.id < b->trace.id;
    });
    std::vector<std::string> scripts;
    for (const auto* plan : members)
      scripts.push_back(plan->script.program);
    auto text = members[0]->trace.bpftrace.format == format_mode::text;
    auto merged = merge_scripts(scripts, "", text);
    for (auto& [script, why] : merged.alone)
      out.alone.emplace_back(members[script]->trace.id, std::move(why));
    for (auto& program : merged.programs) {
      share_group group;
      for (const auto& part : program.parts)
        group.traces.push_back(members[part.script]->trace.id);
      shared += group.traces.size();
      group.program = std::move(program);
      out.groups.push_back(std::move(group));
    }
  }
  std::sort(out.alone.begin(), out.alone.end());
  out.processes = plans.size() - shared + out.groups.size();
  out.memory_mb =
    static_cast<double>(out.processes)
      * (costs.process_mb + costs.ring_mb * static_cast<double>(cpus))
    + static_cast<double>(shared - out.groups.size()) * costs.script_mb;
  return out;
}

} // namespace bpf2graphite
