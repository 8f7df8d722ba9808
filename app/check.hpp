#pragma once
// The verb `check`: what the daemon would do, and what is wrong.

#include "app/options.hpp"
#include "app/trace_plan.hpp"

#include <string>
#include <vector>

namespace bpf2graphite {

/// The part of the plan about one trace, for stdout.
std::string describe_trace(const trace_plan& plan);

/// A sentence for each two maps that would write one series.
std::vector<std::string> collisions(const std::vector<trace_plan>& plans);

} // namespace bpf2graphite
