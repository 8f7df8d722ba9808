#pragma once
// What a bpftrace process writes, on its way to the parser. Every stage keeps
// the order; one variant per hop holds all that can happen on it.

#include "messages/snapshot.hpp"
#include "messages/trace.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace bpf2graphite {

/// A new bpftrace process has been started: a new life of the trace.
struct output_opened {
  std::uint64_t life = 0; // rising within one run of the daemon, from 1
  std::string version;    // what `bpftrace --version` said; empty: not known
  wall_time at{};
};

/// When bytes of a chunk came that were left in their pipe for a while: those
/// before `end`, down to the `end` before.
struct earlier_bytes {
  std::size_t end = 0;
  wall_time at{};
};

/// By rising `end`. What lies behind the last one came when the chunk was read.
using arrivals = std::vector<earlier_bytes>;

/// When the byte before `end` of a chunk came that was read at `latest`.
/// `earlier` may be null.
inline wall_time arrival_of(const arrivals* earlier, std::size_t end,
                            wall_time latest) {
  if (earlier != nullptr)
    for (const auto& mark : *earlier)
      if (end <= mark.end)
        return mark.at;
  return latest;
}

/// Bytes as they were read from the pipe, cut anywhere.
struct output_bytes {
  std::shared_ptr<const std::string> bytes;
  wall_time arrival{};
  std::shared_ptr<const arrivals> earlier{}; // null: all came at `arrival`
};

/// The pipe has ended; nothing of this life comes any more.
struct output_closed {
  wall_time at{};
};

/// io thread -> line_reader.
using output_event = std::variant<output_opened, output_bytes, output_closed>;

/// Whole lines, each with its '\n'. The second buffer is shared with the chunk
/// they came in, the first holds the one line that was cut by its beginning.
struct output_lines {
  std::string joined;                        // at most one line; often empty
  std::shared_ptr<const std::string> buffer; // may be null
  std::size_t offset = 0;                    // of the lines in `buffer`
  std::size_t size = 0;
  wall_time arrival{};
  std::size_t credit = 0; // bytes of the pipe that this message answers for
  /// Of `buffer`. Null: all lines came at `arrival`.
  std::shared_ptr<const arrivals> earlier{};
};

/// The end of the output and what stood after the last line end.
struct output_rest {
  std::string rest;
  wall_time at{};
};

/// line_reader -> histogram_parser.
using lines_event = std::variant<output_opened, output_lines, output_rest>;

/// Snapshots that were completed by one message of lines.
struct snapshots {
  std::vector<snapshot> items;
  std::size_t credit = 0; // as in output_lines
};

/// The process has its probes in place; snapshots follow.
struct probes_attached {
  wall_time at{};
};

/// histogram_parser -> normalizer.
using snapshot_event =
  std::variant<output_opened, probes_attached, snapshots, output_closed>;

/// A message with its place in the receiver's inbox (see inbox.hpp). What it
/// holds is shared with the inbox, so sending it copies a pointer.
template <class T>
struct numbered {
  std::uint64_t number = 0;
  std::shared_ptr<const T> value;
};

/// How a process ended, or why it did not start.
struct process_exited {
  std::uint64_t life = 0;
  int status = 0;            // as waitpid gives it; undefined if start_error
  std::string start_error;   // not empty: it was never started, and why
  std::string last_words;    // last bytes of stderr, at most 4 KiB, raw
  std::uint64_t written = 0; // bytes of its standard output
};

/// The process runs.
struct process_started {
  std::uint64_t life = 0;
  int pid = 0;
  std::string version; // what `bpftrace --version` said; empty: not known
};

/// The process has been printing more than its budget for too long.
struct process_flooding {
  std::uint64_t life = 0;
};

} // namespace bpf2graphite
