#pragma once
// From one trace of the configuration and the text of its script to all that
// its stages need. `check` prints it, the daemon carries it out.

#include "actors/histogram_parser/map_parser.hpp"
#include "actors/normalizer/normalizer_config.hpp"
#include "actors/watchdog/script_rules.hpp"
#include "app/config.hpp"

#include <string>
#include <vector>

namespace bpf2graphite {

struct trace_plan {
  trace_config trace;
  script_plan script;    // its errors and warnings, too
  series_config series;  // complete
  parser_options parser; // complete but for bpftrace's version
};

/// `host` is what gethostname(2) says; the `naming` of the trace decides what
/// becomes of it.
trace_plan plan_trace(const trace_config& trace, std::string_view script,
                      const config& all, const std::string& host);

/// The plan for output whose script is not known (`parse`).
trace_plan plan_unknown(const trace_config& trace, const config& all,
                        const std::string& host);

/// A trace that nobody configured: a script file given to `once`. Its name is
/// the file's, cleaned to what a configuration key may hold.
trace_config trace_for_script(const std::string& path, const config& all);

/// Where in its interval this host's batches close, so that ten thousand hosts
/// do not send in the same second: a hash (FNV-1a) of the name, in whole
/// milliseconds below `interval`.
std::chrono::milliseconds splay_offset(const std::string& host,
                                       std::chrono::milliseconds interval);

/// The first second that a daemon started at `now` may send a point for: the
/// next boundary of `resolution`, and past `last_slot` (the newest slot that
/// was sent before; negative: none).
std::int64_t first_slot(wall_time now, std::chrono::seconds resolution,
                        std::int64_t last_slot);

} // namespace bpf2graphite
