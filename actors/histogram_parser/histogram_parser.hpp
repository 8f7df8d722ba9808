#pragma once
// The shell around output_decoder: lines in, snapshots to the normalizer.

#include "actors/histogram_parser/loss_report.hpp"
#include "actors/histogram_parser/output_decoder.hpp"
#include "actors/supervisor/inbox.hpp"
#include "messages/log.hpp"
#include "messages/protocols.hpp"

#include <functional>
#include <string>

namespace bpf2graphite {

/// What a histogram_parser works on; lent by the topology, outlives it.
struct histogram_parser_environment {
  trace_name trace;
  inbox<lines_event>& in;
  inbox<snapshot_event>& out; // the normalizer's
  output_decoder& decoder;
  trace_ledger& ledger;
  /// What a new life of the trace is parsed with.
  std::function<parser_options()> options;
  /// Bytes of the pipe that are done with.
  std::function<void(std::size_t)> give_back;
  /// The probes are in place (tells the gate that bounds starts).
  std::function<void()> attached;
  /// Output of printf and the like; may be empty.
  std::function<void(const std::string&)> printed;
  std::function<wall_time()> now;
  log_sink log;
  fault_hook fault; // tests only; may be empty
  /// Tells of losses while they happen; may be null.
  loss_report* losses = nullptr;
};

struct histogram_parser_state {
  static inline const char* name = "histogram_parser";
  // Or it is an aggregate, which C++20 lets CAF make of a pointer to the actor:
  // its first member would be true.
  histogram_parser_state() = default;

  bool pause_asked = false; // a delayed message is under way
  /// When it is a pause, if nothing more comes.
  caf::actor_clock::time_point pause_at;
};

histogram_parser_actor::behavior_type histogram_parser(
  histogram_parser_actor::stateful_pointer<histogram_parser_state> self,
  histogram_parser_environment& env, normalizer_actor next);

} // namespace bpf2graphite
