#pragma once
// Where everything stands, as plain values: for `status`, `top`, the page, our
// own metrics, systemd. Made by the topology, written as JSON here.

#include "actors/graphite_connection/destination_status.hpp"
#include "actors/normalizer/slot_history.hpp"
#include "actors/watchdog/trace_status.hpp"
#include "app/book_counts.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace bpf2graphite {

struct process_costs {
  std::uint64_t cpu_ms = 0; // user and system, since its start
  std::uint64_t rss_kb = 0;
};

struct trace_report {
  std::string name;
  std::string script;
  trace_view state;
  std::int64_t resolution = 0; // of its slots, seconds
  /// Of its bpftrace, or its part of one that it shares; zeros without one.
  process_costs process;
  std::vector<named_count> counts;
  std::vector<map_history> history; // only when asked for
};

struct destination_report {
  std::string name; // host:port
  destination_view state;
  std::vector<named_count> counts;
  std::int64_t oldest_slot = 0; // waiting; 0: nothing waits
};

/// The status page itself.
struct page_report {
  std::string listen;  // status.listen; empty: there is none
  std::string trouble; // why nobody can be served
  std::vector<named_count> counts;
};

struct status_report {
  std::string version;
  std::string host;
  std::string config_file;
  std::string server_origin; // "file", "environment" ...
  std::string port_origin;
  std::int64_t started = 0; // seconds since the epoch
  std::int64_t now = 0;
  int pid = 0;
  std::int64_t resolution = 0; // of the first trace, seconds
  process_costs process;
  std::vector<trace_report> traces;
  std::vector<destination_report> destinations;
  /// Sums over all traces and destinations, and what belongs to none.
  std::vector<named_count> ledger;
  page_report page;
};

/// The process of a trace, or 0, and where to say what it costs.
using cost_share = std::pair<int, process_costs*>;

/// Sets what each trace's process costs. `costs_of` is asked once for each
/// process. Traces that share one have equal parts of it, so that the sum over
/// all traces is what all processes cost; when one of them leaves, the parts of
/// the others grow.
void set_costs(std::vector<cost_share> traces,
               const std::function<process_costs(int pid)>& costs_of);
void set_costs(std::vector<trace_report>& traces,
               const std::function<process_costs(int pid)>& costs_of);

enum class report_readers {
  local,   // of the unix socket: with what bpftrace wrote to stderr
  network, // without a word of that, and without counters that are zero
};

/// One JSON document, one line.
std::string to_json(const status_report& report, report_readers readers);

} // namespace bpf2graphite
