#pragma once
// What the daemon says of itself in each batch.
//
// Counters are sent as what they gained since the batch before, so that they
// add up over time and over hosts like every count here; what is a state is
// sent as it is. Names, in path style, below `{prefix}.{host}.bpf2graphite`:
//
//   ledger.read, ledger.folded ...        every counter of the ledger
//   ledger.waiting, ledger.open ...       ... and its states
//   process.cpu_ms, process.rss_kb
//   states.running, .starting, .failing, .stopped: how many traces are so
//   traces.TRACE.up                       1 while its bpftrace runs, else 0
//   traces.TRACE.read, .restarts, .lost, .series, .cpu_ms, .rss_kb
//   destinations.HOST_PORT.up             0 after a failure, until something is
//                                         accepted; else 1
//   destinations.HOST_PORT.accepted, .waiting, .dropped, .resent, .connects,
//   .oldest_age_s                         of the oldest slot that waits
//   .acceptance_ms                        from the queue to the acceptance, of
//                                         the batch that was accepted last

#include "actors/normalizer/normalizer_config.hpp"
#include "app/status_report.hpp"
#include "messages/metric.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

/// True for numbers of the books that go up and down.
bool is_gauge(std::string_view name);

/// The slot that is just over at `now`, to be told now; none when it, or a
/// newer one up to `newest`, was told already. All in seconds, `interval` > 0.
/// After a clock that was set back by more than a minute (and an interval) it
/// follows the clock, as the traces do: silence until the old time comes again
/// would be worse than a slot that is written twice.
std::optional<std::int64_t>
slot_to_tell(std::int64_t now, std::int64_t interval, std::int64_t newest);

/// What is told of one trace.
struct trace_figures {
  std::string name;
  trace_state state = trace_state::starting;
  int pid = 0;           // 0: no process
  process_costs process; // as in trace_report
  std::uint64_t read = 0;
  std::uint64_t restarts = 0;
  std::uint64_t lost = 0; // whatever nobody asked to leave out
  std::uint64_t series = 0;

  void take(const trace_numbers& counts);
};

/// What is told in all. A status_report would say it, too, and much more: this
/// is made once in each batch, for every trace.
struct own_figures {
  std::int64_t now = 0;
  process_costs process;
  std::vector<trace_figures> traces;
  std::vector<destination_report> destinations;
  std::vector<named_count> ledger; // as in status_report
};

/// As for a status_report.
void set_costs(std::vector<trace_figures>& traces,
               const std::function<process_costs(int pid)>& costs_of);

class own_metrics {
public:
  /// `naming`: of the daemon, its host filled in; `name`: the level in the
  /// place of a trace's name.
  own_metrics(naming_config naming, std::string name);

  /// The points of one batch, at `slot`. Counters begin at zero with the
  /// daemon; the first call has all since then. Series of traces and
  /// destinations that are gone end.
  std::vector<metric> points(const own_figures& now, std::int64_t slot);

private:
  struct series {
    series_name path;
    std::uint64_t before = 0;
  };

  /// A trace, a destination, or (without a name) a part of the daemon: what is
  /// told of it, always the same figures in the same order.
  struct subject {
    std::string name;
    std::vector<series> told;
  };

  enum class figure_kind { state, gain };

  struct figure {
    std::string_view leaf;
    figure_kind kind;
    std::uint64_t number;
  };

  static subject& nth(std::vector<subject>& known, std::size_t n,
                      std::string_view name);
  void name_all(std::string_view map, subject& of,
                std::span<const figure> figures) const;
  void tell(std::string_view map, subject& of, std::span<const figure> figures);
  void tell_ledger(const std::vector<named_count>& ledger);
  void tell_states(const std::vector<trace_figures>& traces);
  void tell_trace(subject& of, const trace_figures& trace);
  void tell_destination(subject& of, const destination_report& to,
                        std::int64_t now);

  naming_config naming_;
  std::string name_;
  subject ledger_;
  subject process_;
  subject states_;
  std::vector<subject> traces_; // in the order of the last report
  std::vector<subject> destinations_;
  std::int64_t slot_ = 0;
  std::vector<metric> out_;
};

} // namespace bpf2graphite
