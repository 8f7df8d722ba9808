#pragma once
// What /proc says of a process.

#include "app/status_report.hpp"

namespace bpf2graphite {

/// CPU time and resident memory of a process; zeros when it is gone.
/// Source: proc(5), /proc/PID/stat.
process_costs costs_of(int pid);

} // namespace bpf2graphite
