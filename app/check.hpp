#pragma once
// The verb `check`: what the daemon would do, and what is wrong.

#include "app/options.hpp"
#include "app/trace_plan.hpp"

#include <string>

namespace bpf2graphite {

/// The part of the plan about one trace, for stdout.
std::string describe_trace(const trace_plan& plan);

} // namespace bpf2graphite
