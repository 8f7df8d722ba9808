#pragma once
// `check --deep`: does bpftrace take each script, does Graphite answer?

#include "app/trace_plan.hpp"

#include <vector>

namespace bpf2graphite {

/// Compiles each script with its bpftrace (`-d`: nothing is attached) and
/// connects to each destination. One line for each on stdout. Returns the exit
/// status: 0, or 69 when something does not answer or does not compile.
int deep_check(const config& all, const std::vector<trace_plan>& plans);

} // namespace bpf2graphite
