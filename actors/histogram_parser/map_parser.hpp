#pragma once
// What the text parser and the JSON parser have in common: whole lines of
// bpftrace's output in, snapshots out.

#include "actors/histogram_parser/dialect.hpp"
#include "messages/snapshot.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

/// What the script says of a map's key, where it is known: the number of
/// parts, and which of them are integers. A text without such a hint is split
/// by what all the rows of that map have in common.
struct key_shape {
  std::size_t parts = 0;
  std::vector<bool> integer; // one per part; empty: types are not known
};

/// `printf-metrics`: what calls of printf are read for metrics.
enum class metric_calls {
  off,
  one_line, // JSON: of a call that wrote several lines none counts
  lines,    // no text from outside is printed: it may write several
};

struct parser_options {
  dialect speaks;
  /// A line (text) or record (JSON) longer than this was cut by the line
  /// splitter already; a map held open grows no further than this either.
  std::size_t record_bytes_max = 16 << 20;
  /// By map name with its @.
  std::map<std::string, key_shape, std::less<>> keys;
  /// Text only: a silence after which a print of a keyed scalar map, which
  /// has no end of its own, is over.
  std::chrono::milliseconds pause{50};
  metric_calls metrics = metric_calls::off;
};

/// What was seen besides snapshots; sums since the parser was made.
struct parser_counts {
  std::uint64_t values = 0;          // rows and scalars in snapshots
  std::uint64_t snapshots = 0;       //
  std::uint64_t lost_events = 0;     // the sum of N of "Lost N events"
  std::uint64_t helper_errors = 0;   // failed helpers, all kinds ...
  std::uint64_t map_full = 0;        // ... of these: an update of a full map
  std::uint64_t rejected = 0;        // rows that fit no map being parsed
  std::uint64_t invalid = 0;         // records that are no JSON or of no type
  std::uint64_t printed = 0;         // printf, time, cat, join, system, print
  std::uint64_t printf_rejected = 0; // lines that are no metric (if wanted)
  std::uint64_t truncated = 0;       // cut at the end of the output
};

/// What a parser hands out; the caller takes from it and clears it.
struct parsed {
  std::vector<snapshot> snapshots;
  /// Output of printf, print() of text and the like, a line each, without the
  /// line end; only filled when the caller wants it (`keep_printed`).
  std::vector<std::string> printed;
  bool keep_printed = false;
  /// Set when the record or line that tells of attached probes was seen.
  bool attached = false;
  /// One sentence per assumption made about the dialect, each once.
  std::vector<std::string> assumptions;
};

/// One parser per life of a bpftrace process. No clock, no I/O; input never
/// throws (std::bad_alloc apart).
class map_parser {
public:
  virtual ~map_parser() = default;

  /// Takes whole lines, each with its '\n'; all arrived at `arrival`.
  /// Arrival times never fall. What is complete is appended to `out`.
  virtual void feed(std::string_view lines, wall_time arrival, parsed& out) = 0;

  /// Nothing more has come up to `now`: ends a print that only a pause ends.
  virtual void pause(wall_time now, parsed& out) = 0;

  /// The output has ended. `rest` is what stood after the last line end: it
  /// is garbage (cut by a kill) unless it closes nothing else.
  virtual void finish(std::string_view rest, parsed& out) = 0;

  /// Bytes that are held of something unfinished, for the credit ledger.
  virtual std::size_t held_bytes() const = 0;

  /// True while a snapshot is held that only more input or a pause can end.
  virtual bool waiting() const = 0;

  virtual const parser_counts& counts() const = 0;
};

/// The parser for that dialect's format.
std::unique_ptr<map_parser> make_map_parser(parser_options options);

} // namespace bpf2graphite
