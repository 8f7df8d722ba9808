#pragma once
// The shell around batch_queue: the clock, the rounds of the normalizers, and
// answering demand.
//
// A tick asks every normalizer that has joined for the points of the slots that
// are over. When all have answered, or after `collect_timeout`, the open batch
// is closed. Who has no open slot leaves until its next print; while nobody has
// joined and no point waits there is no tick.

#include "actors/batcher/batch_queue.hpp"
#include "actors/batcher/clock_watch.hpp"
#include "actors/batcher/slot_record.hpp"
#include "actors/batcher/spool_folder.hpp"
#include "actors/graphite_connection/graphite_config.hpp"
#include "actors/supervisor/inbox.hpp"
#include "messages/log.hpp"
#include "messages/protocols.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace bpf2graphite {

/// When batches close: each `interval`, at `offset` of it.
struct batch_times {
  std::chrono::milliseconds interval{0};
  std::chrono::milliseconds offset{0};
};

/// What a batcher works on; lent by the topology, outlives it.
struct batcher_environment {
  batcher_config config;
  batch_queue& queue;
  inbox<std::vector<metric>>& points; // the normalizers put them in
  inbox<delivery_report>& reports;    // the connections do
  slot_record& slots;
  batcher_ledger& ledger;
  std::function<wall_time()> now;
  log_sink log;
  fault_hook fault; // tests only; may be empty
  /// Asked at each tick; empty: as in `config`.
  std::function<batch_times()> times{};
  /// See clock_watch; empty: nobody watches.
  std::function<std::chrono::milliseconds()> since_boot{};
  /// Where what is not accepted at the end goes; null: it is dropped.
  spool_store* spool = nullptr;
  /// With a spool: the present name of a destination, by its index, and the
  /// file that its restored batches came from.
  std::function<std::string(std::size_t)> destination_name{};
  std::vector<std::string> spool_files{};
  /// Told when the next tick will be; time_point::min(): there is none.
  std::function<void(std::chrono::steady_clock::time_point)> next_tick{};
};

struct batcher_state {
  static inline const char* name = "batcher";

  /// By address: a handle that is kept until its DOWN has come.
  std::unordered_map<caf::actor_addr, normalizer_actor> joined;
  std::uint64_t round = 0;
  std::unordered_set<caf::actor_addr> awaited; // of the round
  bool round_open = false;
  bool ticking = false;
  std::uint64_t schedule = 0; // ticks of older ones are ignored
  bool record_failing = false;
  clock_watch wall_clock;
  /// By destination: set while it waits for a batch.
  std::vector<caf::typed_response_promise<metric_batch>> demand;
  /// By destination: its spool file may be removed when it is delivered.
  std::vector<bool> has_spool;
};

/// `env` is lent: spawn it by a lambda that holds a reference.
/// On an order to end it finishes its inboxes.
batcher_actor::behavior_type
batcher(batcher_actor::stateful_pointer<batcher_state> self,
        batcher_environment& env);

} // namespace bpf2graphite
