#pragma once
// The shell around delivery: asks the batcher for batches, tells the wire what
// to do, keeps the time, and speaks of changes.
//
// Told to end for good, it has the open batch closed, delivers all that waits
// within `flush_timeout`, counts what is left as dropped, and ends. Told to end
// for any other reason it ends at once: its successor goes on with the batch
// under way. When the batcher ends, so does it.

#include "actors/graphite_connection/arrival_check.hpp"
#include "actors/graphite_connection/delivery.hpp"
#include "actors/graphite_connection/destination_status.hpp"
#include "actors/graphite_connection/graphite_config.hpp"
#include "actors/graphite_connection/graphite_wire.hpp"
#include "actors/graphite_connection/log_budget.hpp"
#include "actors/graphite_connection/render_wire.hpp"
#include "actors/supervisor/inbox.hpp"
#include "messages/ledger.hpp"
#include "messages/log.hpp"
#include "messages/protocols.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace bpf2graphite {

/// Where a destination is, and what people call it.
struct connection_addresses {
  std::string name;
  std::vector<graphite_address> addresses;
};

/// What a graphite_connection works on; lent by the topology, outlives it.
struct connection_environment {
  std::string name;            // for people: "localhost:2003"
  std::size_t destination = 0; // its index in the batcher's queue
  /// One, or for failover several: the first is preferred. As many as
  /// `state` was made for.
  std::vector<graphite_address> addresses;
  wire_limits limits;
  std::chrono::milliseconds flush_timeout{15'000};
  delivery& state;
  graphite_wire& wire;
  inbox<delivery_report>& reports; // the batcher's
  destination_ledger& ledger;
  destination_status& status;
  std::function<double()> random; // in [0, 1)
  log_sink log;
  fault_hook fault; // tests only; may be empty
  /// The wall clock.
  std::function<wall_time()> wall{};
  /// The newest addresses, as many as before; empty: they stay what they are.
  std::function<connection_addresses()> newest{};
  /// Called with each report to the batcher; may be empty.
  std::function<void(bool accepted)> reported{};
  /// The end has begun and all traces are over: the last moment to add points.
  /// May be empty.
  std::function<void()> ends{};
  /// Both or none: accepted points are read back.
  arrival_check* arrivals = nullptr;
  render_wire* render = nullptr;
};

struct graphite_connection_state {
  static inline const char* name = "graphite_connection";

  std::map<std::uint64_t, steady_time> timers; // that are on their way
  std::uint64_t timer = 0;                     // the newest
  bool finishing = false;
  bool trouble_logged = false;
  log_budget troubles{1, std::chrono::seconds{60}};
  log_budget parked{5, std::chrono::seconds{60}};
  log_budget unseen{1, std::chrono::seconds{60}};
  bool render_failing = false;
  /// When batches that are not accepted yet were taken, by their ids.
  std::map<std::uint64_t, steady_time> taken;
};

/// `env` is lent: spawn it by a lambda that holds a reference.
graphite_connection_actor::behavior_type graphite_connection(
  graphite_connection_actor::stateful_pointer<graphite_connection_state> self,
  connection_environment& env, batcher_actor batcher);

} // namespace bpf2graphite
