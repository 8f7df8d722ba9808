#pragma once
// Which series a trace will send, before it has sent any: as Graphite's globs
// (or seriesByTag) to look at them, as carbon's patterns to configure it, and
// what becomes of their points when Graphite thins them out.

#include "app/trace_plan.hpp"

#include <string>
#include <vector>

namespace bpf2graphite {

/// How points are joined into a coarser archive (carbon's aggregationMethod).
enum class roll_up { sum, max, min, average, last };

/// "sum", "max", "min", "average", "last".
std::string_view to_text(roll_up method);

/// Series of one map that differ only in host, key and bucket.
struct series_family {
  enum class kind { rows, percentile, derived, stats, number };

  std::string map; // with its @; a printf metric's as in snapshot::map
  kind is = kind::number;
  /// `p50`, `samples`, `average` ...; empty for rows and plain numbers.
  std::string leaf;
  /// Parts of a key.
  std::size_t key_parts = 0;
  /// What finds them: a glob (`bpf.HOST.cpu-lat.usecs.*`), or in tag style
  /// `seriesByTag(...)`. `HOST` stands where the host is when `any_host` was
  /// given to series_families, else it is this host.
  std::string target;
  /// Path style: which level of `target`, from 0, is the bucket.
  std::size_t bucket_node = 0;
  /// The same as a regular expression over whole names, for any host and key.
  std::string pattern;
  roll_up method = roll_up::sum;
};

/// All families of a trace: rows first, then what is derived from them; maps in
/// the order of the script, then the metrics that its printf formats tell.
/// `any_host` takes the place of the host in `target`; empty: this host. A
/// script that could not be read has none.
std::vector<series_family> series_families(const trace_plan& plan,
                                           const std::string& any_host = {});

/// How the values of a printf metric (as in snapshot::map) are joined.
const map_rules& metric_rules_of(const trace_plan& plan,
                                 const std::string& metric);

/// The beginning of the names of our own metrics, as a regular expression for
/// any host: `^bpf\.[^.]+\.bpf2graphite\.`.
std::string own_pattern(const naming_config& naming, const std::string& name);

/// Our own metrics, as own_metrics.hpp lists them: `map` is their first level
/// (ledger, process, traces, destinations), those of a trace or destination
/// have a key. Of the ledger only what a dashboard shows. `naming`: of the
/// daemon, its host filled in.
std::vector<series_family> own_families(const naming_config& naming,
                                        const std::string& name,
                                        const std::string& any_host = {});

/// How many series of our own a daemon sends.
std::size_t own_series_count(std::size_t traces, std::size_t destinations);

/// A number of series for `check`: rows of histograms are estimated, and keyed
/// maps count with their limit, since nobody knows their keys.
std::size_t series_estimate(const trace_plan& plan);

} // namespace bpf2graphite
