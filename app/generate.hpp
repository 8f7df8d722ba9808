#pragma once
// The verb `generate`: what Graphite and Grafana have to be told, from the
// configuration, so that it fits the names that are really sent.

#include "app/series_families.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

/// Retentions for a first archive of that resolution, at least 1 s: each
/// archive a multiple of the one before it, as whisper demands, and the first
/// one never more than 40 320 points (a week of 15 s).
std::string retentions(std::chrono::seconds resolution);

/// storage-schemas.conf: one section a prefix where all its traces have one
/// resolution, else one a trace.
std::string storage_schemas_conf(const config& all,
                                 const std::vector<trace_plan>& plans);

/// storage-aggregation.conf: counts are added (xFilesFactor 0, or a slot
/// without a value would lose a minute), percentiles keep the largest.
std::string storage_aggregation_conf(const config& all,
                                     const std::vector<trace_plan>& plans);

/// What a map's rows are measured in, as Grafana names units, judged by its
/// name alone: usecs is "µs", bytes "bytes"; else "short".
std::string_view unit_of_map(std::string_view map);

/// What draws the heatmap of a family of rows: summed over keys and hosts,
/// sorted by bucket, each series named by its bucket alone.
std::string heatmap_target(const series_family& rows);

/// A Grafana dashboard (JSON) for our own metrics: do the traces run, what was
/// read, lost and accepted, what does it cost. `host` is what gethostname(2)
/// says.
std::string own_dashboard(const config& all, const std::string& host);

/// A Grafana dashboard (JSON) for one trace: a heatmap for each histogram, a
/// graph for all else, with the host as a variable where the names allow.
std::string grafana_dashboard(const trace_plan& plan);

} // namespace bpf2graphite
