#pragma once
// The shell around trace_series: snapshots in, points to the batcher.

#include "actors/normalizer/series_view.hpp"
#include "actors/normalizer/trace_series.hpp"
#include "actors/supervisor/inbox.hpp"
#include "messages/ledger.hpp"
#include "messages/log.hpp"
#include "messages/protocols.hpp"

#include <functional>
#include <memory>
#include <span>

namespace bpf2graphite {

/// What a normalizer works on; lent by the topology, outlives it.
struct normalizer_environment {
  trace_name trace;
  inbox<snapshot_event>& in;
  inbox<std::vector<metric>>& out; // the batcher's
  /// Replaced by `fresh` when a crash left it in doubt.
  std::unique_ptr<trace_series>& series;
  std::function<std::unique_ptr<trace_series>()> fresh;
  /// What a new life of the trace is named and counted by.
  std::function<std::shared_ptr<const series_config>()> rules;
  trace_ledger& ledger;
  series_view& view;                                // told after each flush
  std::function<void(std::span<const metric>)> tap; // may be empty
  std::function<void(std::size_t)> give_back;       // bytes of the pipe
  std::function<wall_time()> now;
  log_sink log;
  fault_hook fault; // tests only; may be empty
};

struct normalizer_state {
  static inline const char* name = "normalizer";
  bool joined = false; // the batcher asks us at each tick

  /// Declared, or this were an aggregate, and CAF would make it of the pointer
  /// to its actor: as a bool that is true.
  normalizer_state() = default;
};

normalizer_actor::behavior_type
normalizer(normalizer_actor::stateful_pointer<normalizer_state> self,
           normalizer_environment& env, batcher_actor next);

} // namespace bpf2graphite
