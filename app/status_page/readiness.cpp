#include "app/status_page/readiness.hpp"

#include <algorithm>
#include <vector>

namespace bpf2graphite {
namespace {

std::string line_of(const std::string& who, std::string_view state,
                    const std::string& why) {
  return who + " is " + std::string{state} + (why.empty() ? "" : ": " + why);
}

} // namespace

readiness readiness_of(const status_report& report) {
  std::vector<std::string> reasons;
  for (const auto& trace : report.traces) {
    auto state = trace.state.state;
    if (state == trace_state::starting || state == trace_state::failing)
      reasons.push_back(
        line_of("trace " + trace.name, to_text(state), trace.state.cause));
  }
  auto well = [](const destination_report& to) {
    return !in_trouble(to.state.state);
  };
  const auto& all = report.destinations;
  if (std::none_of(all.begin(), all.end(), well))
    for (const auto& to : all)
      reasons.push_back(line_of("destination " + to.name,
                                to_text(to.state.state), to.state.reason));
  readiness result{.ready = reasons.empty(),
                   .text = reasons.empty() ? "ready\n" : "not ready\n"};
  for (std::size_t i = 0; i < std::min(reasons.size(), readiness_reasons_max);
       ++i)
    result.text += reasons[i] + "\n";
  if (reasons.size() > readiness_reasons_max)
    result.text += "and "
                   + std::to_string(reasons.size() - readiness_reasons_max)
                   + " more\n";
  return result;
}

} // namespace bpf2graphite
