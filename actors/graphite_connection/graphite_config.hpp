#pragma once
// Where batches go, and how hard we try. Defaults as in the configuration file.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bpf2graphite {

enum class delivery_mode { confirmed, streaming };
enum class routing_mode { replicate, failover };

struct graphite_address {
  std::string host = "localhost"; // name or number; IPv6 with or without []
  std::uint16_t port = 2003;

  friend bool operator==(const graphite_address&,
                         const graphite_address&) = default;
};

/// How one destination is served.
struct graphite_config {
  delivery_mode delivery = delivery_mode::confirmed;
  /// What was accepted this long before an attempt that failed is sent once
  /// more; 0: never.
  std::chrono::milliseconds resend{60'000};
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds progress_timeout{10'000};
  std::chrono::milliseconds confirm_delay{250};
  std::chrono::milliseconds confirm_timeout{60'000};
  bool connect_ahead = true;
  /// Streaming: what is acknowledged is kept until so much more is, or for so
  /// long: it may die with the peer (caf-notes: 64 KiB lost nothing in 100
  /// deaths, 1 MiB never came to an end).
  std::size_t tail_bytes = 128 << 10;
  std::chrono::milliseconds tail_time{60'000};
  /// Streaming: no further batch is begun beyond it.
  std::size_t unacknowledged_bytes_max = 256 << 10;
  /// Reconnect: doubling from the first to the second, with full jitter.
  std::chrono::milliseconds backoff_first{250};
  std::chrono::milliseconds backoff_max{5'000};
  /// Failover: an address that failed is left alone this long while there is
  /// another one.
  std::chrono::milliseconds failover_rest{60'000};
};

/// How batches are made and kept.
struct batcher_config {
  std::chrono::milliseconds interval{15'000};
  /// Where in the interval a batch closes; fixed per host (`splay`).
  std::chrono::milliseconds offset{0};
  /// How long a tick waits for a normalizer that does not answer.
  std::chrono::milliseconds collect_timeout{1'000};
  /// All that is not accepted yet, in bytes of plaintext and for each
  /// destination; the oldest batch is dropped first and counted.
  std::size_t buffer_bytes_max = 64 << 20;
  /// A batch larger than this is cut into several. One confirmation answers for
  /// one batch: carbon reads 20 000 lines in 0.14 s (147 000 lines/s measured)
  /// and in about 1 s when its flow control holds it back (19 000 lines/s), far
  /// below `confirm-timeout`; a refusal costs no more than this to send again;
  /// and with 250 ms of `confirm-delay` per batch a backlog still leaves at
  /// some 50 000 points a second. Also at most a quarter of the buffer.
  std::size_t batch_bytes_max = 1 << 20;
  std::size_t batch_points_max = 20'000;
  /// After an outage small batches that wait are joined, up to the limits of a
  /// batch and to this; 0: never. A destination begins with `join_bytes_first`,
  /// doubles it with each acceptance of one that was about so large, and begins
  /// anew after a loss, so that a bad link gets what it can carry.
  std::size_t join_bytes_max = 1 << 20;
  std::size_t join_bytes_first = 64 << 10;
  /// What is sent again after losses: at first up to a quarter of the buffer,
  /// then so many bytes for each byte that is accepted for the first time, and
  /// so many with each close of a batch. The rest waits. Without a bound, ten
  /// thousand hosts would feed a Graphite that dies of its load all that it was
  /// ever given, each time it comes back.
  std::size_t resend_share = 4;
  std::size_t resend_bytes_per_close = 64 << 10;
  /// Accepted batches are kept until they are reported as seen or unseen
  /// (`render-url`), inside the buffer, dropped first.
  bool verify = false;
};

} // namespace bpf2graphite
