#pragma once
// The configuration: what the file, the environment and the command line say,
// checked as a whole. Defaults stand here and in config_schema.cpp, and a test
// holds the two together; reasons stand in config/caf-application.conf.

#include "actors/graphite_connection/graphite_config.hpp"
#include "actors/normalizer/normalizer_config.hpp"
#include "actors/watchdog/bpftrace_config.hpp"
#include "app/config_text.hpp"
#include "app/file_access.hpp"
#include "app/log.hpp"
#include "messages/log.hpp"
#include "messages/trace.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bpf2graphite {

/// Traces in one configuration, those of `trace-files` included.
inline constexpr std::size_t traces_max = 10'000;
/// A script that is larger is refused.
inline constexpr std::size_t script_bytes_max = 1 << 20;

/// Who decided a value; `check` and `status` show it for server and port.
enum class value_origin { built_in, file, environment, option };
std::string_view to_text(value_origin origin);

/// When a map that nothing prints is printed (`print-every`).
struct print_every_choice {
  enum class kind { automatic, off, period };
  kind what = kind::automatic;            // automatic: once a second
  std::chrono::milliseconds period{1000}; // for `period` only

  friend bool operator==(const print_every_choice&,
                         const print_every_choice&) = default;
};

/// What the prints of a trace's maps mean, where the file says so.
struct accumulate_config {
  std::optional<accumulation> all;
  std::map<std::string, accumulation>
    by_map; // name with its @; wins over `all`

  friend bool operator==(const accumulate_config&,
                         const accumulate_config&) = default;
};

/// What stands for all traces, and may be set in each (marked * in the table).
struct trace_settings {
  naming_config naming;
  /// None: as long as `graphite.interval`.
  std::optional<std::chrono::seconds> resolution;
  bool zero_fill = true;
  std::chrono::seconds zero_fill_for{3600};
  bpftrace_config bpftrace;
  print_every_choice print_every;
  bool share = false;
  std::size_t max_series = 1000;
};

/// One trace, complete: what its stages need, with all defaults applied.
struct trace_config {
  std::string id;   // NAME in `traces { NAME { } }`
  std::string file; // where it is defined ...
  text_place place;
  std::string script;      // absolute, or relative if no folder was given
  text_place script_place; // where `script` stands in `file`
  bool enabled = true;
  std::vector<std::string> args;    // the script's $1, $2 ...
  std::vector<std::string> options; // bpftrace's own
  std::vector<std::string> maps;    // with their @; empty: all
  accumulate_config accumulate;
  bool printf_metrics = false;
  print_every_choice print_every;
  bool share = false;
  bpftrace_config bpftrace;
  /// Complete but for what only the script, or the host, can tell: the rules
  /// in `maps`, and the host name when `naming.host` is empty.
  series_config series;

  friend bool operator==(const trace_config&, const trace_config&) = default;
};

struct limits_config {
  std::size_t max_series_total = 50'000;
  std::size_t line_bytes_max = 64 << 10;
  std::size_t record_bytes_max = 16 << 20;
  std::size_t partial_bytes_max = 64 << 20;
};

struct own_metrics_config {
  bool enabled = true;
  std::string name = "bpf2graphite";
};

struct status_config {
  std::string runtime_directory = "/run/bpf2graphite";
  std::string listen; // empty: no HTTP
};

struct log_config {
  log_level level = log_level::info;
  log_format format = log_format::automatic;
};

struct stop_config {
  std::chrono::milliseconds flush_timeout{15'000};
};

struct config {
  std::string file; // as it was named

  // graphite
  std::string server = "localhost";
  std::uint16_t port = 2003;
  value_origin server_origin = value_origin::built_in;
  value_origin port_origin = value_origin::built_in;
  /// Where batches go: `destinations`, or server and port alone (never empty in
  /// what `load_config` returns).
  std::vector<graphite_address> destinations;
  routing_mode routing = routing_mode::replicate;
  graphite_config graphite;
  batcher_config batcher; // but for `offset`, which follows from the host name
  bool splay = true;
  std::string spool;
  std::string render_url;

  trace_settings defaults; // naming, slots, bpftrace, limits for all traces
  std::chrono::milliseconds grace{1000};
  std::size_t starts_at_once = 4;
  std::chrono::milliseconds read_delay{250};
  limits_config limits;
  own_metrics_config own_metrics;
  status_config status;
  log_config log;
  stop_config stop;

  std::string trace_files; // as written
  std::string caf_text;    // what CAF gets, in its own syntax
  /// In the order of the file, then those of `trace-files`; disabled ones too.
  std::vector<trace_config> traces;
};

/// What comes from outside the file. Texts, because they are checked as the
/// file's values are; a variable that is set but empty is a mistake.
struct config_overrides {
  std::optional<std::string> server_option;
  std::optional<std::string> port_option;
  std::optional<std::string> log_level_option;
  std::optional<std::string> server_variable;   // BPF2GRAPHITE_SERVER
  std::optional<std::string> port_variable;     // BPF2GRAPHITE_PORT
  std::optional<std::string> runtime_directory; // RUNTIME_DIRECTORY; a value
                                                // in the file goes before it
};

struct config_request {
  std::string file; // as named by --config, or found
  /// Absolute; relative scripts and patterns start in the folder of the file
  /// that names them, and that one here. Empty: they stay relative.
  std::string working_folder;
  config_overrides overrides;
};

/// What came of it. `value` is complete only when there is no error.
struct config_result {
  config value;
  std::vector<config_message> messages;
  /// A file was refused because others could change it: exit 77, not 78.
  bool unsafe = false;

  bool ok() const; // no message is an error
};

/// Reads and checks the file and the `trace-files` it names; all mistakes in
/// one run. Scripts are not looked at: see `check_scripts`.
config_result load_config(const config_request& request, file_access& files);

/// The scripts of the enabled traces: there, safe, readable. One error for each
/// that is not. `check` and reload refuse then; at start that trace alone is
/// failing. `unsafe` is set when one could be changed by others.
std::vector<config_message> check_scripts(const config& value,
                                          file_access& files, bool& unsafe);

/// Which file to read without --config: /etc/bpf2graphite/caf-application.conf,
/// else ./caf-application.conf.
struct found_config {
  std::string file;  // empty: none
  std::string error; // then the sentence that says so
};
found_config find_config(file_access& files);

} // namespace bpf2graphite
