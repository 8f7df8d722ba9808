#pragma once
// `printf-metrics`: what a script's printf writes, as values. One line is one
// value; this is all that is accepted, in our words:
//
//   line   := [SP] name [SP] [ "{" [ label { "," label } [","] ] [SP] "}" ]
//             SP value [SP] NL
//   name   := ( letter | "_" | ":" ) { letter | digit | "_" | ":" | "." | "-" }
//             at most 200 bytes; each "." begins another level, so that none
//             stands at an end or beside another; no ":" at its end ("read: 5"
//             is meant for a reader)
//   label  := [SP] key [SP] "=" [SP] ( quoted | bare ) [SP]
//   key    := ( letter | "_" ) { letter | digit | "_" }, at most 40 bytes, each
//             once in a line; at most 16 labels
//   quoted := '"' { any byte but '"' and "\" | '\"' | "\\" | "\n" } '"'
//   bare   := { any byte but white space and any of  " , = { } }
//   value  := ["+" | "-"] digits [ "." digits ]    at most 20 digits before and
//             9 behind the point, kept exactly
//   SP     := spaces and tabs
//
// That is what Prometheus writes, less its time stamps, comments and
// exponents: bpftrace has no floating point numbers, so `1e3`, `nan`, `inf` and
// hexadecimal numbers come from elsewhere. Lines of nothing but white space are
// stepped over, all others are counted as rejected and cost only themselves.
// A line is at most 4096 bytes long.
//
// A line may be written by several calls of printf: they are joined up to the
// next line end. In text mode nothing marks what printf wrote, so a line that
// time(), cat() or a child of `-c` wrote counts as well, and so does one that a
// hostile process forges with a line end in its name. In JSON each call is a
// record of its own, and only printf's count; a record with a line end anywhere
// but at its end is rejected as a whole, unless no format of the script takes
// text from outside (`metric_calls::lines`). So no name that a script prints
// can begin a line of its own there. What it can do is fill the place where it
// is printed: between the quotes of a label it can end them and add labels
// (which makes another series, and never changes the name, the value or an
// existing label); printed where the name or the value stands it chooses these.

#include "actors/histogram_parser/map_parser.hpp"
#include "messages/snapshot.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bpf2graphite {

inline constexpr std::size_t metric_line_bytes_max = 4096;
inline constexpr std::size_t metric_name_bytes_max = 200;
inline constexpr std::size_t metric_labels_max = 16;
inline constexpr std::size_t metric_label_name_bytes_max = 40;
inline constexpr std::size_t metric_digits_max = 20;

struct printf_metric {
  std::string name;
  std::vector<std::pair<std::string, std::string>> labels; // as written
  exact value = 0;                                         // in metric_unit
  /// The name with those of its labels, as in snapshot::map.
  std::string map() const;
};

/// Reads one line, without its line end; none when it is no metric.
std::optional<printf_metric> read_printf_metric(std::string_view line);

/// Lines and pieces of printf in, snapshots out. One per parser. Values of one
/// metric that arrive together are one print, as long as no key comes twice.
class printf_metrics {
public:
  explicit printf_metrics(metric_calls mode) : mode_{mode} {}

  bool on() const {
    return mode_ != metric_calls::off;
  }

  /// Text mode: a whole line, without its line end.
  void line(std::string_view line, parser_counts& counts);
  /// Text mode: a line that something else has cut.
  void broken_line(std::string_view text, parser_counts& counts);
  /// JSON: what one call of printf wrote.
  void call(std::string_view text, parser_counts& counts);
  /// JSON: what time(), cat() and the like wrote; it spoils the line it is on.
  void foreign(std::string_view text, bool whole_line, parser_counts& counts);
  /// The output has ended: what is unfinished never will be.
  void finish(parser_counts& counts);

  /// Appends the snapshots of what came since the last time.
  void hand_out(wall_time arrival, parsed& out);

  /// Bytes of an unfinished line.
  std::size_t held_bytes() const {
    return begun_.size();
  }

private:
  void spoil(parser_counts& counts);

  metric_calls mode_;
  std::string begun_;   // JSON: the line under way
  bool spoilt_ = false; // ... is none of ours; it was counted
  std::vector<snapshot> prints_;
  std::unordered_map<std::string, std::size_t> open_; // in prints_, by map
  std::unordered_map<std::string, std::uint64_t> numbers_;
};

} // namespace bpf2graphite
