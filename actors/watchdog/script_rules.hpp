#pragma once
// What follows from a script's text: what each map's prints mean, which maps
// are sent at all, what has to be appended, and why, a line for each.

// Ahead of the others: it names an enumerator `exact`, a type there.
#include "actors/normalizer/normalizer_config.hpp"

#include "actors/histogram_parser/map_parser.hpp"
#include "actors/watchdog/print_every.hpp"
#include "actors/watchdog/printf_formats.hpp"
#include "actors/watchdog/script_scanner.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

/// What a trace's configuration says about its maps. Names come with or
/// without their @.
struct script_rules_config {
  std::vector<std::string> maps;                         // empty: all
  std::optional<accumulation> accumulate;                // for all maps
  std::map<std::string, accumulation> accumulate_by_map; // wins over that
  std::chrono::milliseconds print_every{1000};           // zero: off
  bool printf_metrics = false;
};

/// What one element of a map is.
enum class map_shape { number, histogram, stats };

/// One map of the script, with what was decided.
struct map_plan {
  std::string name; // with its @
  map_shape shape = map_shape::number;
  map_rules rules;
  bool appended = false;
  /// One sentence for `check`, without the name: "cumulative: hist; ...".
  std::string why;
};

struct script_plan {
  /// What bpftrace has to run, see print_every_result.
  std::string program;
  std::string appended_probe;
  /// All maps of the script, in the order in which they appear.
  std::vector<map_plan> maps;
  /// For series_config::maps and parser_options::keys. A key shape is there
  /// only where the script leaves no doubt, types only when all are known.
  std::map<std::string, map_rules, std::less<>> rules;
  std::map<std::string, key_shape, std::less<>> keys;
  /// For maps that are not in `rules`: all, when the script could not be read
  /// (hist cleared, others last, or as `accumulate` says).
  map_rules other_maps{.how = accumulation::cleared};
  map_rules other_scalars{.how = accumulation::last};
  /// `printf-metrics`: what the script's printf will be read for (`calls` is
  /// off when it is not on), and for metrics that are not in `rules`, how.
  printf_formats printf;
  map_rules other_metrics = metric_rules(accumulation::last);
  /// The script could not be read; bpftrace may still run it.
  std::optional<script_error> unreadable;
  /// `check` and reload refuse a script with errors.
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
};

/// The word that the configuration uses: "cleared", "cumulative" ...
std::string_view accumulation_word(accumulation how);

/// Decides for a script as it was scanned. `facts` are those of `script`.
script_plan plan_script(std::string_view script, const script_facts& facts,
                        const script_rules_config& config);

/// Scans and decides.
script_plan plan_script(std::string_view script,
                        const script_rules_config& config);

} // namespace bpf2graphite
