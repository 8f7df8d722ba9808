#pragma once
// The verb `check`: what the daemon would do, and what is wrong.

#include "app/options.hpp"
#include "app/trace_plan.hpp"

#include <string>

namespace bpf2graphite {

/// The part of the plan about one trace, for stdout.
std::string describe_trace(const trace_plan& plan);

/// A rough number of series that one trace makes, from the kinds of its maps.
/// Keyed maps are counted with their limit, since nobody knows their keys.
std::size_t series_estimate(const trace_plan& plan);

/// The section of storage-schemas.conf that fits a resolution, and what
/// storage-aggregation.conf needs, for names that begin with `prefix`.
std::string storage_schemas(const std::string& prefix,
                            std::chrono::seconds resolution);

} // namespace bpf2graphite
