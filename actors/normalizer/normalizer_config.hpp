#pragma once
// How one trace's snapshots become points: names and slots. The defaults are
// those of the configuration file; design and reasons stand at the keys in
// config/caf-application.conf.

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bpf2graphite {

enum class host_dots { underscore, keep, reverse, shorten };
enum class path_style { path, tags };
enum class bucket_leaf { lower, upper, range };
// The configuration's word is `exact`; so is the name of a type in messages.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
enum class bucket_units { exact, decimal };
#pragma GCC diagnostic pop

/// How a host, a trace, a map, a key and a bucket become a Graphite path.
struct naming_config {
  std::string prefix = "bpf"; // may hold dots; empty: no such level
  std::string host;           // empty: gethostname(), filled in by the caller
  host_dots dots = host_dots::underscore;
  std::string path_template = "{prefix}.{host}.{trace}.{map}.{key}.{bucket}";
  path_style style = path_style::path;
  bool map_level = true;
  /// Path style: the last level of a histogram's row. In tag style the tag `le`
  /// is the upper bound, as its name says, and with `range` both.
  bucket_leaf buckets = bucket_leaf::lower;
  /// `decimal` writes n * 1000^k for a bound that bpftrace prints as nK, nM, nG
  /// ...; metric_path.hpp says for which rows that is done.
  bucket_units units = bucket_units::exact;

  friend bool operator==(const naming_config&, const naming_config&) = default;
};

/// What the prints of one map mean; see design: "accumulate".
enum class accumulation { cleared, cumulative, last, max, min, mean };

/// How a script treats one map, as far as that decides how to read its prints.
struct map_rules {
  accumulation how = accumulation::cumulative;
  /// The script clears or zeroes the whole map somewhere (or is not known): a
  /// fall of a value means that the whole map counts from zero again.
  bool resets = true;
  /// The script deletes single keys: one that vanished counts from zero.
  bool deletes_keys = false;
  /// Some print of the map has a top N: an absent key means nothing.
  bool top = false;
  /// END prints the map and does not clear it: the final dump repeats it.
  bool printed_in_end = false;
  /// Values of a cumulative scalar may fall (sum, total with negative values):
  /// a fall is no reset once a negative value was seen.
  bool may_fall = false;
  /// False: the map is not wanted (not named by `maps`, or only dumped).
  bool wanted = true;
  /// The script prints the map at least so often, whatever it holds; zero: that
  /// is not known. bpftrace shows nothing of an empty map, so a print after a
  /// long time without one still speaks of no more than this.
  std::chrono::milliseconds print_period{0};
  /// Only END resets the map, and END prints it with a divisor: what falls is
  /// that print, not the map, and its values are no part of any sum.
  bool divided_in_end = false;

  friend bool operator==(const map_rules&, const map_rules&) = default;
};

/// Of a printf metric: what falls counts from zero again, alone.
inline map_rules metric_rules(accumulation how) {
  return {.how = how, .resets = false, .deletes_keys = true, .top = true};
}

struct slots_config {
  std::chrono::seconds resolution{15}; // > 0
  std::chrono::milliseconds grace{1000};
  /// Send 0 for what was sent before and is not in a slot's prints. Sums only
  /// (`cleared`, `cumulative`): a gauge that was not printed is not known.
  bool zero_fill = true;
  /// So long without a value other than 0, and a name is silent: it is neither
  /// filled nor counted against the budget any more.
  std::chrono::seconds zero_fill_for{3600};

  friend bool operator==(const slots_config&, const slots_config&) = default;
};

/// Everything about one trace's series.
struct series_config {
  std::string trace; // the level in the name; may hold dots
  naming_config naming;
  slots_config slots;
  /// By map name with its @; a map that is not in it gets `other_maps`, and
  /// hist that, values `other_scalars` (a script that is not known).
  std::map<std::string, map_rules, std::less<>> maps;
  map_rules other_maps{.how = accumulation::cleared};
  map_rules other_scalars{.how = accumulation::last};
  /// Printf metrics: by their name without labels in `maps`, else this. A line
  /// speaks of its own key only: of no other may be said that it vanished.
  map_rules other_metrics = metric_rules(accumulation::last);
  std::vector<std::string> keys; // names of the key parts, for tags
  /// Patterns for keys, as the shell's: `*` any bytes, `?` one byte, all else
  /// itself; a pattern has to fit a key part from end to end, as bpftrace
  /// printed it (before it is cleaned). A key is kept when any of `keep_keys`
  /// fits any of its parts (none given: always), and then dropped when any of
  /// `drop_keys` does. `NAME=PATTERN` looks only at the part that `keys` calls
  /// NAME; where `keys` has no such name the whole text is the pattern. Maps
  /// without keys are not concerned. What is left out is counted.
  std::vector<std::string> keep_keys;
  std::vector<std::string> drop_keys;
  std::vector<double> percentiles; // 0 < p < 100
  bool derived_samples = false;
  bool derived_mean = false;
  bool derived_highest = false;
  std::size_t max_series = 1000;

  friend bool operator==(const series_config&, const series_config&) = default;
};

} // namespace bpf2graphite
