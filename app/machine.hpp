#pragma once
// What /proc says of a process.

#include "app/status_report.hpp"

#include <string_view>

namespace bpf2graphite {

/// CPU time and resident memory of a process; zeros when it is gone.
process_costs costs_of(int pid);

/// The same, of what stands in its file. Source: proc(5), /proc/PID/stat.
process_costs costs_in(std::string_view stat);

} // namespace bpf2graphite
