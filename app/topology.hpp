#pragma once
// The tree of actors, and all that outlives them. The only place that names
// every actor.
//
//   root -- pipeline (one_for_one) -+- batcher (significant)
//                                   |- graphite_connection, one a destination
//                                   '- traces (one_for_one)
//                                        '- one per trace (rest_for_one):
//                                           normalizer, histogram_parser,
//                                           line_reader, watchdog
//
// What must survive a crash lies here, in a trace_unit or a destination_unit,
// and is lent to the actors. An escalation ends at the supervisor of a trace:
// one whose actors keep dying is failing, and is tried again for ever.

#include "actors/batcher/batcher.hpp"
#include "actors/graphite_connection/graphite_connection.hpp"
#include "actors/graphite_connection/graphite_wire.hpp"
#include "actors/histogram_parser/histogram_parser.hpp"
#include "actors/line_reader/line_reader.hpp"
#include "actors/normalizer/normalizer.hpp"
#include "actors/normalizer/series_budget.hpp"
#include "actors/supervisor/supervisor.hpp"
#include "actors/watchdog/watchdog.hpp"
#include "app/config.hpp"
#include "app/io_thread.hpp"
#include "app/trace_plan.hpp"

#include <caf/all.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bpf2graphite {

/// Makes the plan of a trace, or says why there is none. Called before each
/// start of its bpftrace, by an actor.
using trace_planner =
  std::function<std::pair<std::optional<trace_plan>, std::string>(
    const trace_config&)>;

/// What the topology needs of the world.
struct topology_environment {
  caf::actor_system& actors;
  io_thread& io;
  const config& settings;
  trace_planner plan;
  /// One wire for each of `settings.destinations`.
  std::vector<std::unique_ptr<graphite_wire>> wires;
  slot_store& last_slot;
  std::string host;
  std::function<double()> random; // within [0, 1), from any thread
  /// A sink with that prefix before each message.
  std::function<log_sink(std::string prefix)> log;
  fault_hook fault; // tests only; may be empty
};

class topology {
public:
  /// Makes everything that outlives the actors. The first slot is decided here.
  topology(topology_environment env);
  topology(const topology&) = delete;
  topology& operator=(const topology&) = delete;
  /// After run() of the io thread has ended and `ended` was called, or in
  /// despair: kills every bpftrace.
  ~topology();

  /// Starts the tree. `ended` is called once, from an actor's thread, when the
  /// root has ended.
  void start(std::function<void(const std::string& reason)> ended);

  /// The order to stop: each bpftrace is stopped, its last output is taken,
  /// all is sent and confirmed within `stop.flush-timeout`.
  void stop();

  /// Kills every bpftrace at once; nothing is flushed.
  void kill_all();

  /// The books in one line: `name=number ...`.
  std::string books() const;

  /// No bpftrace runs or is being started: all are failing or stopped.
  bool none_runs() const;

  /// One line for systemd's STATUS.
  std::string summary() const;

  /// The first second that points are sent for.
  std::int64_t first_slot() const {
    return first_slot_;
  }

private:
  struct trace_unit;
  struct destination_unit;

  supervisor_spec trace_tree(trace_unit& unit, batcher_actor batcher);
  supervisor_spec traces_tree(const batcher_actor& batcher);
  supervisor_spec pipeline_tree();
  std::string probe_path() const;

  topology_environment env_;
  process_host processes_;
  series_budget series_;
  std::int64_t first_slot_ = 0;
  inbox<std::vector<metric>> to_batcher_;
  inbox<delivery_report> reports_;
  batcher_ledger batcher_books_;
  std::unique_ptr<slot_record> slots_;
  std::vector<std::unique_ptr<destination_unit>> destinations_;
  std::unique_ptr<batch_queue> queue_;
  std::unique_ptr<batcher_environment> batcher_;
  std::vector<std::unique_ptr<trace_unit>> traces_;
  caf::actor root_;
};

} // namespace bpf2graphite
