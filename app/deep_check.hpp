#pragma once
// `check --deep`: does bpftrace take each script, does Graphite answer, and
// does what it has stored fit?

#include "app/trace_plan.hpp"

#include <vector>

namespace bpf2graphite {

/// Compiles each script with its bpftrace (`-d`: nothing is attached), connects
/// to each destination and, where `render-url` is set, compares step and
/// aggregation of the series that are stored with those that are sent
/// (graphite_fit.hpp). One line for each on stdout; what does not fit is a
/// warning on stderr, with the lines that mend it. Returns the exit status: 0,
/// or 69 when something does not answer or does not compile.
int deep_check(const config& all, const std::vector<trace_plan>& plans);

} // namespace bpf2graphite
