#pragma once
// Every key of the configuration as a table: its type, range, default and
// place. Reading, checking, documents and tests follow this one table.

#include "app/config.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bpf2graphite {

/// How a value is written.
enum class key_kind {
  boolean,
  whole,        // a whole number
  duration,     // 15s
  size,         // "64MiB"
  text,         // "..."
  choice,       // one of `choices`, as a text
  texts,        // ["a", "b"]
  numbers,      // [50, 99.9]
  environment,  // { BPFTRACE_STRLEN = "128" }
  print_period, // "auto", "off" or "1s"
  meaning,      // "cleared", or { usecs = "cleared" }
};

/// What a text must be, beyond being a text.
enum class text_rule {
  any,
  server,        // a host name or address without a port
  servers,       // "host:port"
  levels,        // dotted Graphite levels, or nothing
  host,          // a host name as a level, or nothing
  path_template, // {prefix}.{host}...
  program,       // a name without slash, or an absolute path
  folder,        // an absolute path
  folder_or_none,
  file,         // a path, absolute or relative to the file
  file_pattern, // the same with * ? [ ], or nothing
  url,          // http://..., or nothing
  listen,       // a loopback address with port or a socket's path, or nothing
  map_names,    // "@usecs"
  tag_names,    // names of key parts
  patterns,     // of keys
  options,      // of bpftrace
  derived,      // samples, mean, highest
};

/// One row.
struct schema_key {
  std::string_view group; // "" top level, "traces": in each trace
  std::string_view name;
  key_kind kind;
  /// As it would stand in the file. `resolution` has none: it follows
  /// `interval`; `script` has none: it is required.
  std::string_view default_text;
  /// Smallest and largest, in the unit of the kind: ns, bytes, or the number.
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::string_view choices{}; // "a|b|c", in the order of the enumeration
  text_rule rule = text_rule::any;
  /// May stand in a trace, too (marked * in the documents).
  bool per_trace = false;
};

/// The table, groups in the order of the documents.
std::span<const schema_key> config_schema();

/// Names of the groups that may stand at the top level, `traces` and `caf` too.
std::span<const std::string_view> config_groups();

/// Where a key's value is kept, one alternative for each C++ type in use.
using config_field = std::variant<
  bool*, std::string*, std::vector<std::string>*, std::vector<double>*,
  std::uint16_t*, std::size_t*, std::chrono::milliseconds*,
  std::chrono::seconds*, std::optional<std::chrono::seconds>*,
  std::map<std::string, std::string>*, print_every_choice*, accumulate_config*,
  series_config*, std::vector<graphite_address>*, delivery_mode*, routing_mode*,
  host_dots*, path_style*, bucket_leaf*, bucket_units*, format_mode*,
  restart_mode*, log_level*, log_format*>;

/// What a key may write to.
struct config_target {
  config* all = nullptr;
  trace_settings* settings = nullptr; // of all traces, or of one
  trace_config* trace = nullptr;      // null unless in a trace
};

/// The field of a row; `row` is one of `config_schema()`, and the target has
/// what its group needs.
config_field field_of(const schema_key& row, const config_target& target);

/// A field as the file would say it; "" for what is not set.
std::string to_text(const schema_key& row, const config_field& field);

/// Bytes from "4096", "64KiB", "16MiB" or "1GiB"; none for anything else.
std::optional<std::int64_t> parse_size(std::string_view text);

/// Takes `value` into the field. Empty when it is right, else what is wrong and
/// what mends it (nothing is stored then).
std::vector<std::string> store(const schema_key& row, const config_value& value,
                               const config_field& field);

/// The key out of `names` that a typist most likely meant; empty: none is near.
std::string_view nearest(std::string_view word,
                         std::span<const std::string_view> names);

/// Parses "host:port" or "[v6]:port". Empty when right, else what is wrong.
std::string parse_address(std::string_view text, graphite_address& result);

/// Checks a text by its rule. Empty when right, else what is wrong.
std::string check_text(text_rule rule, std::string_view text);

} // namespace bpf2graphite
