#pragma once
// Lines of one trace in, snapshots out, over all lives of its bpftrace. Owned
// by the topology: a restarted histogram_parser goes on with it.

#include "actors/histogram_parser/map_parser.hpp"
#include "messages/ledger.hpp"
#include "messages/output.hpp"

#include <memory>
#include <string>
#include <vector>

namespace bpf2graphite {

class output_decoder {
public:
  /// `options` is what is known of the trace; its version, when it has none,
  /// comes with each `output_opened`. The ledger outlives the decoder.
  output_decoder(parser_options options, trace_ledger& ledger);

  /// Takes one message; returns what the normalizer has to be told, in order.
  /// The credit of lines that gave no snapshot is in `credit_back`.
  struct result {
    std::vector<snapshot_event> events;
    std::size_t credit_back = 0;
    /// Set when this message told that the probes are attached.
    bool attached = false;
    /// Output of printf and the like, when asked for (`keep_printed`).
    std::vector<std::string> printed;
    /// What the parser assumed of bpftrace's version, each sentence once.
    std::vector<std::string> assumptions;
  };
  result take(const lines_event& event);

  /// Nothing more has come up to `now`.
  result pause(wall_time now);

  /// A print is held that a pause would end: call pause() after that long.
  bool waiting() const;
  std::chrono::milliseconds pause_after() const;

  /// False when take() was left by an exception: what it held is not to be
  /// trusted. start_fresh() then forgets the current life's unfinished print.
  bool valid() const;
  void start_fresh();

  /// What the next life of the trace is parsed with: a script may have changed
  /// between two starts. Takes effect with the next `output_opened`.
  void reconfigure(parser_options options);

  /// Hand out printf lines, too.
  void keep_printed(bool on);

private:
  void make_parser();
  void feed(const output_lines& lines, parsed& out);
  void collect(parsed& out, std::size_t credit, result& into);

  parser_options options_;
  bool version_given_;
  trace_ledger* ledger_;
  std::unique_ptr<map_parser> parser_;
  parser_counts booked_; // of parser_'s counts, what the ledger has
  bool attached_ = false;
  bool busy_ = false;
  bool keep_printed_ = false;
  wall_time last_arrival_{};
};

} // namespace bpf2graphite
