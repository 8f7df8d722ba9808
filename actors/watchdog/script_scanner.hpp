#pragma once
// Reads the text of a bpftrace script as far as the daemon has to know it:
// which probes and blocks it has, and what it does with each map. It is no
// compiler: what it does not understand it steps over, since bpftrace itself
// will say what is wrong with a script.
//
// What it knows of the language (bpftrace 0.9 to 0.27, docs/language.md):
//
//   script  := { "#..." | "//..." | "/*...*/" }
//              { struct | union | enum | typedef | config | import | let }
//              { probe | "macro" name ["(" params ")"] block
//                      | "fn" name "(" params ")" ":" type block }
//   probe   := point { "," point } [ "/" expression "/" ] block
//   block   := "{" { token | block } "}"   brackets of all kinds in pairs
//   token   := string | name | number | map | variable | parameter | symbol
//   string  := '"' { byte | "\\" byte } '"'     on one line
//   name    := letter or "_", then letters, digits, "_"
//   number  := digit, then letters, digits, "_"       10, 0x1f, 1e6, 5ms
//   variable := "$" name        parameter := "$" digits | "$#"
//   map     := "@" [name] [ "[" expression { "," expression } "]" ]
//   directive := "#" at the beginning of a line, "\\" joins the next line
//
// A "/" begins a predicate unless it stands in the path of a probe such as
// uprobe:/usr/lib/*/libc.so:malloc; it ends one where "{" comes next.
//
// What stands around a map says what is done with it:
//
//   map "=" FUNCTION "(" ... ")"    hist, lhist, count, sum, avg, min, max,
//                                   stats, tseries, and nothing behind it
//   map "=" "0" | map "=" expression | map ("+=" | "-=" | "*=" ...) expression
//   map ("++" | "--") | ("++" | "--") map
//   ("print" | "clear" | "zero" | "delete" | "has_key") "(" map { "," ... } ")"
//   "for" ["("] variable ":" map [")"] block
//   anything else reads it
//
// A macro is walked through where it is called, with the maps it is given.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// Bytes of the script, end exclusive.
struct source_range {
  std::size_t begin = 0;
  std::size_t end = 0;

  friend bool operator==(const source_range&, const source_range&) = default;
};

/// Both from 1; a column is a byte of the line.
struct source_position {
  std::size_t line = 1;
  std::size_t column = 1;

  friend bool operator==(const source_position&,
                         const source_position&) = default;
};

struct script_limits {
  std::size_t script_bytes_max = 1 << 20;
  std::size_t nesting_max = 64;      // brackets within brackets
  std::size_t map_uses_max = 10'000; // in the whole script, macros replayed
  std::size_t jumps_max = 10'000;    // return, break, continue: likewise
  std::size_t macro_depth_max = 8;   // macros that call macros
  std::size_t steps_max = 4'000'000; // tokens looked at, macros replayed
};

/// Why a script could not be read to its end.
struct script_error {
  source_position at;
  std::string reason;
};

enum class probe_kind { begin, end, interval, profile, signal, other };

/// One attach point of a probe.
struct attach_point {
  probe_kind kind = probe_kind::other;
  std::string text;
  source_range range;
};

/// A probe with its block, or a function (`fn`), which has no attach points.
struct script_body {
  std::vector<attach_point> points;
  source_position at;
  std::optional<source_range> predicate; // without its slashes
  source_range block;                    // with its braces
  /// Every attach point is of that kind.
  bool only(probe_kind kind) const;
};

/// What stands before the probes.
enum class preamble_kind {
  hash_bang,
  preprocessor,
  definition, // struct, union, enum, typedef
  config,
  import,
  map_declaration, // let @x = hash(10);
  macro,
  function, // fn
};

struct preamble_part {
  preamble_kind kind = preamble_kind::preprocessor;
  source_range range;
};

enum class map_action {
  hist,
  lhist,
  count,
  sum,
  avg,
  min,
  max,
  stats,
  tseries,
  increment,   // ++
  decrement,   // --
  add,         // +=
  subtract,    // -=
  change,      // another compound assignment
  assign,      // = anything else
  assign_zero, // = 0
  print,
  print_key, // print(@x[key]): the value only
  clear,
  zero,
  remove_key, // delete(@x[key]), delete(@x, key)
  remove_all, // delete(@x)
  iterate,    // for ($kv : @x)
  read,
};

/// What surely is known of an expression's value.
enum class expression_shape {
  unknown,
  single, // one value, no tuple
  integer,
  text, // strings, stacks, addresses as text
  tuple,
};

/// What becomes of a map after a print() of it, in the same block.
enum class after_print {
  kept,          // nothing
  reset,         // clear, zero, delete or = 0
  printed_again, // a second print comes before the reset
  may_leave,     // a return, break or continue may come before the reset
};

struct map_use {
  map_action action = map_action::read;
  source_position at;
  std::size_t body = 0; // index into script_facts::bodies
  bool keyed = false;   // @x[...]
  /// print: a top argument that is not 0, a div argument that is not 1.
  bool top = false;
  bool divided = false;
  after_print after = after_print::kept;
  /// print: each run of its body comes to it: it stands in no inner block and
  /// behind no return.
  bool each_time = false;
  /// sum, stats, +=: the argument is no plain number, so it may be negative.
  bool may_be_negative = false;
  /// assign: what is stored; `timestamp` when it is nsecs or elapsed.
  expression_shape stored = expression_shape::unknown;
  bool timestamp = false;
};

struct script_map {
  std::string name;      // with its @
  bool declared = false; // let @x = ...
  std::vector<map_use> uses;
  /// Number of parts of its key, when all uses that tell agree; 0: no key.
  std::optional<std::size_t> key_parts;
  /// One for each part.
  std::vector<expression_shape> key_shapes;
};

/// printf, time, cat, join, system, print of what is no map ...
struct text_output {
  std::string function;
  source_position at;
  std::size_t body = 0;
  /// Its first argument, when that is a string: as it stands in the text,
  /// without the quotes, escapes unread.
  std::optional<std::string> format;
};

/// One name in the text: @map, $variable or $1, where it stands.
struct name_use {
  static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);
  source_range range;
  std::size_t body = nowhere; // index into bodies; nowhere: in the preamble
};

struct script_facts {
  /// Set when the text could not be read: nothing else is complete then.
  std::optional<script_error> error;
  /// The error is that there is no probe at all.
  bool no_probe = false;
  std::vector<preamble_part> preamble;
  std::vector<std::pair<std::string, std::string>> config; // config = {...}
  std::vector<script_body> bodies;                         // in order
  std::vector<script_map> maps; // in the order in which they appear
  std::vector<text_output> outputs;
  std::vector<source_position> exits;   // exit()
  std::vector<std::string> parameters;  // $1, $2, $#: each once
  std::vector<name_use> map_names;      // in the text's order
  std::vector<name_use> variable_names; // likewise
  bool prints_maps_on_exit = true;      // config print_maps_on_exit

  const script_map* find(std::string_view name) const; // with its @
};

/// Reads a script. Never fails otherwise than by `error`: not closed strings,
/// comments, brackets and predicates, no probe, a limit. Time and memory grow
/// with the text alone.
script_facts scan_script(std::string_view text, const script_limits& = {});

} // namespace bpf2graphite
