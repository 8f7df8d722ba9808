#pragma once
// The status report for Prometheus.
//
// Source of the format: Prometheus, "Exposition formats", text version 0.0.4.
// Base units (seconds, bytes), `_total` for what only rises, label values with
// \\, \" and \n escaped and bytes that are no UTF-8 replaced.

#include "app/status_report.hpp"

#include <string>

namespace bpf2graphite {

constexpr const char* prometheus_type = "text/plain; version=0.0.4; "
                                        "charset=utf-8";

/// All families, each with HELP and TYPE, however many traces there are. What
/// counts in points or values is in whole numbers.
std::string prometheus_text(const status_report& report);

} // namespace bpf2graphite
