#pragma once
// What Graphite is told: points, and batches of them.

#include "messages/series_name.hpp"
#include "messages/snapshot.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <variant>

namespace bpf2graphite {

/// A point's value: integers stay exact up to the encoder.
using metric_value = std::variant<exact, double>;

/// One point. The path is shared: a series keeps it for its whole life.
struct metric {
  series_name path;
  metric_value value;
  std::int64_t timestamp = 0; // start of its slot, seconds since the epoch
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
