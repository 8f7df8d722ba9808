#pragma once
// What Graphite is told: points, and batches of them.

#include "messages/series_name.hpp"
#include "messages/snapshot.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>

namespace bpf2graphite {

/// A point's value: integers stay exact up to the encoder.
using metric_value = std::variant<exact, double>;

/// One point. The path is shared: a series keeps it for its whole life.
struct metric {
  metric() = default;
  metric(series_name path_, metric_value value_, std::int64_t timestamp_)
    : path{std::move(path_)}, timestamp{timestamp_}, value{value_} {}

  series_name path;
  std::int64_t timestamp = 0; // start of its slot, seconds since the epoch
  // Last: behind the path its alignment would leave gaps, a quarter of all that
  // the points of a tick take.
  metric_value value;
};

/// A closed batch, already in Graphite's plaintext: `path value timestamp\n`.
struct metric_batch {
  std::uint64_t id = 0; // rising within one run of the daemon, from 1
  std::shared_ptr<const std::string> lines;
  std::size_t points = 0;       // lines in it
  std::int64_t newest_slot = 0; // largest timestamp in it
  std::int64_t oldest_slot = 0; // smallest
};

} // namespace bpf2graphite
