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

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
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

class own_metrics {
public:
  /// `naming`: of the daemon, its host filled in; `name`: the level in the
  /// place of a trace's name.
  own_metrics(naming_config naming, std::string name);

  /// The points of one batch, at `slot`. Counters begin at zero with the
  /// daemon; the first call has all since then. Series of traces and
  /// destinations that are gone end.
  std::vector<metric> points(const status_report& now, std::int64_t slot);

private:
  void add(std::string_view map, std::string_view key, std::string_view leaf,
           exact value);
  void add_gain(std::string_view map, std::string_view key,
                std::string_view leaf, std::uint64_t total);

  struct series {
    std::string_view leaf; // all are literals
    series_name path;
    std::uint64_t before = 0;
  };

  /// All that is told of one trace, or of one destination.
  struct subject {
    std::vector<series> told;
    std::uint64_t round = 0; // the last one it was told in
  };

  series& series_of(std::string_view map, std::string_view key,
                    std::string_view leaf);

  naming_config naming_;
  std::string name_;
  std::map<std::string, subject> known_; // map, a zero byte, key
  std::uint64_t round_ = 0;
  std::int64_t slot_ = 0;
  std::vector<metric> out_;
};

} // namespace bpf2graphite
