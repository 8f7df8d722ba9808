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
//
// With `share` several traces have one bpftrace. The tree is the same: each
// has its watchdog and its stages, which do not know of it; share_pool.hpp
// says what is common.

#include "actors/batcher/batcher.hpp"
#include "actors/graphite_connection/graphite_connection.hpp"
#include "actors/graphite_connection/graphite_wire.hpp"
#include "actors/histogram_parser/histogram_parser.hpp"
#include "actors/line_reader/line_reader.hpp"
#include "actors/normalizer/normalizer.hpp"
#include "actors/normalizer/series_budget.hpp"
#include "actors/supervisor/supervisor.hpp"
#include "actors/watchdog/share_pool.hpp"
#include "actors/watchdog/watchdog.hpp"
#include "app/config.hpp"
#include "app/io_thread.hpp"
#include "app/own_metrics.hpp"
#include "app/reload_plan.hpp"
#include "app/status_report.hpp"
#include "app/trace_plan.hpp"

#include <caf/all.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// Makes the plan of a trace of that configuration, or says why there is none.
/// Called before each start of its bpftrace, by an actor.
using trace_planner =
  std::function<std::pair<std::optional<trace_plan>, std::string>(
    const trace_config&, const config&)>;

/// What the topology needs of the world.
struct topology_environment {
  caf::actor_system& actors;
  io_thread& io;
  std::shared_ptr<const config> settings; // at the start
  trace_planner plan;
  /// One wire for each of `settings.destinations`.
  std::vector<std::unique_ptr<graphite_wire>> wires;
  slot_store& last_slot;
  spool_folder* spool = nullptr; // open; null: none
  /// Reads back what the first destination accepted; null: nobody does.
  std::unique_ptr<render_wire> render;
  std::string host;
  std::function<double()> random; // within [0, 1), from any thread
  /// A sink with that prefix before each message; `trace` may be empty.
  std::function<log_sink(std::string prefix, std::string trace)> log;
  /// For `tap`; may be empty.
  std::function<void(const std::string& trace, std::span<const metric>)> tap;
  fault_hook fault; // tests only; may be empty
  /// Called when `status_line` may say something else, from any thread, often.
  /// May be empty.
  std::function<void()> changed{};
  /// The last points of our own, asked for once, when all traces are over and
  /// their points are in the batch. From an actor's thread; may be empty.
  std::function<std::vector<metric>()> last_points{};
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

  /// Carries out a reload; orders are given at once, and `done` is called when
  /// those that had to end have ended and the new ones may start. One at a
  /// time. What is lost on the way (an actor may die of something else just
  /// then) is ordered again. io thread.
  void reload(const reload_plan& plan, std::function<void()> done);

  /// What the bpftrace of a trace was told to run when it was started last;
  /// empty: it never was. Any thread.
  std::string program_of(const std::string& trace) const;

  /// Kills every bpftrace at once; nothing is flushed.
  void kill_all();

  /// Where everything stands; any time, from the io thread. `history`: the
  /// last slots of each trace's histograms, too. What it says of the machine
  /// (version, times, costs) is left to the caller.
  status_report report(bool history) const;

  /// Somebody looks at the reports, now and perhaps again: for a while nothing
  /// that bpftrace prints is left in its pipe. io thread.
  void looked_at();

  /// The part of the report that our own metrics tell, times and costs left
  /// out, too.
  own_figures figures() const;

  /// The last slots of one trace's histograms; none when there is no such
  /// trace. io thread.
  std::optional<std::vector<map_history>>
  history_of(const std::string& trace) const;

  /// Our own metrics, into the open batch. What comes before the batcher is
  /// there is left out. Any thread.
  void add_points(std::vector<metric> points);

  /// When batches close, after the newest reload.
  batch_times times() const;

  /// The books in one line: `name=number ...`.
  std::string books() const;

  /// No bpftrace runs or is being started: all are failing or stopped.
  bool none_runs() const;

  /// What runs, in one line for the log.
  std::string summary() const;

  /// How it stands, in one line for systemd's STATUS. io thread.
  std::string status_line() const;

  /// Asks every supervisor and, through them, every actor; `answered` is
  /// called on the io thread when all have.
  void ping(std::function<void()> answered);

  /// The first second that points are sent for.
  std::int64_t first_slot() const {
    return first_slot_;
  }

private:
  struct trace_unit;
  struct destination_unit;

  struct reload_order;

  trace_numbers retired_numbers() const;
  std::vector<destination_report>
  destination_reports(destination_numbers& sum) const;
  supervisor_spec trace_tree(trace_unit& unit, batcher_actor batcher);
  child_spec trace_child(trace_unit& unit, const batcher_actor& batcher);
  supervisor_spec traces_tree(const batcher_actor& batcher);
  supervisor_spec pipeline_tree();
  std::string probe_path() const;
  batch_times times_of(const config& settings) const;
  std::vector<std::vector<graphite_address>>
  queues_of(const config& settings) const;
  trace_unit* find(const std::string& trace) const;
  void remove(const std::string& trace);
  void removed(const std::string& trace, const caf::actor& by);
  void retire(trace_unit& unit);
  void add_traces();
  void read_spool();
  void add_last_points();

  topology_environment env_;
  share_pool shares_;
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
  /// Of the batcher's clock, its steady time; the batcher sets it.
  std::atomic<std::chrono::steady_clock::rep> next_tick_{
    std::chrono::steady_clock::time_point::min().time_since_epoch().count()};
  /// Up to then somebody looks; io thread.
  std::chrono::steady_clock::time_point looked_at_until_{};
  caf::actor root_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(); // a roll call looks
  std::function<void()> answered_; // to the ping under way; io thread
  bool stopping_ = false;
  std::once_flag last_points_;
  std::unique_ptr<reload_order> reloading_;
  std::atomic<std::int64_t> accepted_at_{0}; // wall clock, seconds; 0: never
  trace_ledger retired_;                     // of the traces that are gone
  series_counts retired_series_;
  std::int64_t retired_newest_slot_ = -1; // the newest that any of them sent

  /// What the io thread changes and the actors look at when they start.
  mutable std::mutex mutex_;
  std::shared_ptr<const config> in_force_;
  batch_times times_;
  std::vector<std::unique_ptr<trace_unit>> traces_; // changed by io thread only
  /// The supervisor of the traces, and the batcher it hands to them.
  std::pair<caf::actor, batcher_actor> traces_supervisor_;
};

} // namespace bpf2graphite
