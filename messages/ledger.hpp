#pragma once
// The books: what was read, and where it went. Lent by the topology, so they
// outlive every actor; written with relaxed atomics by whoever knows.

#include <atomic>
#include <cstdint>

namespace bpf2graphite {

using counter = std::atomic<std::uint64_t>;

/// One trace's books. "Values" are rows and scalars that bpftrace printed.
struct trace_ledger {
  counter starts{0};          // bpftrace processes started
  counter restarts{0};        // ... of these, after an end that we did not ask
  counter bytes{0};           // read from its standard output
  counter lines_discarded{0}; // over the limit
  counter values{0};          // read in snapshots
  counter snapshots{0};
  counter lost_events{0}; // as bpftrace reports them
  counter helper_errors{0};
  counter map_full{0};
  counter rejected{0};        // rows that fit no map
  counter invalid{0};         // records that are none
  counter printed{0};         // printf and the like
  counter printf_rejected{0}; // ... of these: no metrics, where they should be
  counter truncated{0};       // cut at the end of the output
  counter points{0};          // made from the values
  counter crash_values{0};    // lost by a crash of one of our actors
  counter crash_messages{0};  // messages given up after a crash
  counter actor_restarts{0};
};

/// Adds all of `more`, of a trace that is gone.
inline void add_ledger(trace_ledger& to, const trace_ledger& more) {
  for (auto which :
       {&trace_ledger::starts, &trace_ledger::restarts, &trace_ledger::bytes,
        &trace_ledger::lines_discarded, &trace_ledger::values,
        &trace_ledger::snapshots, &trace_ledger::lost_events,
        &trace_ledger::helper_errors, &trace_ledger::map_full,
        &trace_ledger::rejected, &trace_ledger::invalid, &trace_ledger::printed,
        &trace_ledger::printf_rejected, &trace_ledger::truncated,
        &trace_ledger::points, &trace_ledger::crash_values,
        &trace_ledger::crash_messages, &trace_ledger::actor_restarts})
    (to.*which).fetch_add((more.*which).load(std::memory_order_relaxed),
                          std::memory_order_relaxed);
  static_assert(sizeof(trace_ledger) == 18 * sizeof(counter),
                "name the new one above");
}

/// The books of one destination, in points.
struct destination_ledger {
  counter points{0};         // handed to the queue of this destination
  counter accepted{0};       // the peer read all of it
  counter waiting{0};        // in the queue or under way
  counter dropped_buffer{0}; // oldest, for lack of room
  counter dropped_stop{0};   // not accepted before the daemon ended
  counter spooled{0};        // written to disk when the daemon ended
  counter parked{0};         // refused alone, again and again
  counter batches{0};
  counter resent{0};         // points sent once more after a loss
  counter resend_dropped{0}; // kept to be sent again, dropped for lack of room
  counter from_spool{0};     // of `points`: read from disk at the start
  counter unseen{0};         // accepted, not found in Graphite, sent again
  counter connects{0};
  counter refusals{0};
  /// The smallest timestamp in the oldest batch that waits; 0: none waits.
  std::atomic<std::int64_t> oldest_slot{0};
};

} // namespace bpf2graphite
