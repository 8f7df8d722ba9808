#pragma once
// The strict reader of CAF's configuration syntax: text in, a tree in which
// every key and value knows its place out, with all mistakes in one run.
//
//   file    = { entry | "[" key { "." key } "]" }       sections, top level
//   only entry   = key "=" value | key "{" entries "}"       separated by ","
//   or \n key     = [A-Za-z0-9_] { [A-Za-z0-9_-] } value   = "true" | "false" |
//   integer | real | duration | text | atom
//           | "[" [ value { "," value } [ "," ] ] "]" | "{" entries "}"
//   integer = [sign] ( decimal | "0x" hex | "0b" binary )   within int64
//   duration= [sign] decimal ( "ns" | "us" | "ms" | "s" | "min" | "h" )
//   text    = '"' { byte | \" \\ \n \r \t } '"'             on one line
//   atom    = "'" at most 10 of [A-Za-z0-9_ ] "'"
//   comment = ( "#" | ";" ) up to the end of the line
//
// Source of the syntax: CAF 0.17.6, caf/detail/parser/read_ini.hpp, as measured
// for its configuration files. What differs, and why: "#" begins a comment and
// CR LF ends a line (people write both), a duplicate is an error (CAF lets the
// last one win), a number with a leading zero is an error (CAF reads octal).

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace bpf2graphite {

/// A larger file is refused, not read.
inline constexpr std::size_t config_bytes_max = 1 << 20;
/// Groups and lists within one another; CAF's own reader crashes on many.
inline constexpr std::size_t config_depth_max = 16;
/// Mistakes reported of one file; the rest is counted in one last message.
inline constexpr std::size_t config_mistakes_max = 500;

/// Where in a file, both from 1, columns in bytes. Line 0: the whole file.
struct text_place {
  std::size_t line = 0;
  std::size_t column = 0;

  friend auto operator<=>(const text_place&, const text_place&) = default;
};

enum class message_level { error, warning, notice };

/// One thing to tell the user about the configuration.
struct config_message {
  message_level level = message_level::error;
  std::string file;  // as it was named; a variable or option if not from a file
  text_place place;  // line 0: none
  std::string trace; // the trace's NAME; empty: not about one trace
  std::string text;  // what is wrong, and after "; " what mends it

  friend bool operator==(const config_message&,
                         const config_message&) = default;
};

/// `FILE:LINE:COLUMN: [warning: |notice: ][trace "NAME": ]TEXT`, no newline.
std::string render(const config_message& message);

/// All messages, one a line, sorted by file (the order in which files first
/// appear), then place; equal places keep their order.
std::string render(std::vector<config_message> messages);

/// A piece of somebody's text made fit for a message: printable ASCII stays,
/// other bytes become \xHH, and at most `bytes_max` bytes are shown.
std::string shown(std::string_view bytes, std::size_t bytes_max = 80);

struct config_value;
struct config_entry;

/// A word in single quotes: CAF's own type, of use in `caf { }` only.
struct config_atom {
  std::string name;

  friend bool operator==(const config_atom&, const config_atom&) = default;
};

using config_list = std::vector<config_value>;

/// The entries in the order of the file; no key twice.
struct config_group {
  std::vector<config_entry> entries;

  /// The entry with that key, or nullptr.
  const config_entry* find(std::string_view key) const;
};

/// A value and where it begins.
struct config_value {
  std::variant<bool, std::int64_t, double, std::chrono::nanoseconds,
               std::string, config_atom, config_list, config_group>
    held;
  text_place place;
};

struct config_entry {
  std::string key;
  text_place place; // of the key
  config_value value;
};

/// What became of a text: whatever could be read, and every mistake found.
struct config_tree {
  config_group root;
  std::vector<config_message> messages; // errors only; empty: all is well
};

/// Reads `text`; `file` is used for messages only. Never throws for input:
/// after a mistake it goes on at the next line. Of a duplicate key the first
/// one stays in the tree.
config_tree read_config_text(std::string_view text, const std::string& file);

/// A group as text for CAF 0.17: groups become `[a.b]` sections, because CAF
/// fills its own options from sections only; no comments, LF.
std::string to_caf_text(const config_group& group);

/// A value as it is written in a file, for messages.
std::string to_text(const config_value& value);

/// "a text", "a duration" and so on.
std::string_view kind_name(const config_value& value);

/// A duration as it is written: "15s", "250ms", "-1us". None if it is not one
/// or does not fit 64 bits of nanoseconds.
bool parse_duration(std::string_view text, std::chrono::nanoseconds& result);

/// The same the other way, in the largest unit that keeps it whole.
std::string to_text(std::chrono::nanoseconds duration);

} // namespace bpf2graphite
