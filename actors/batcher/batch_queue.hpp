#pragma once
// The open batch, and what each destination still has to get.
//
// Points are encoded as they come, once for all destinations: a closed batch's
// text is shared. Each destination has its own three lists:
//
//   waiting   closed, never accepted                       oldest first
//   again     accepted once, but a loss was seen since     longest ago first
//   kept      accepted; the server may not have stored it  longest ago first
//
// The text of what is kept is packed (packed_lines.hpp) until it is given once
// more: a resend is rare. It counts with its full size all the same.
//
// Small batches that wait behind each other are joined when they are handed
// out: from then on they are one batch, with the last one's id.
//
// `next` hands out from `waiting`, then from `again`. New before again, since a
// server that dies of or after each batch would else be fed the same one for
// ever, while what it never saw is dropped. And from `again` no more than a
// share of what is new (batcher_config::resend_share): each loss marks what the
// loss before it had marked, so that it would grow without end.

#include "actors/graphite_connection/graphite_config.hpp"
#include "messages/ledger.hpp"
#include "messages/metric.hpp"
#include "messages/wire.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bpf2graphite {

/// What the batcher itself has to tell; lent like the other ledgers.
struct batcher_ledger {
  counter points{0};  // taken
  counter refused{0}; // not a line that carbon reads; see plaintext.hpp
  counter rounds{0};  // batches that were closed by the clock, empty or not
  counter late{0};    // normalizers that did not answer a round in time
  counter crash_points{0};    // given up after they made the batcher die twice
  counter crash_messages{0};  // the messages that held them
  counter record_failures{0}; // `last-slot` could not be written
};

/// Owned by the topology, used by the batcher only (one thread at a time).
///
/// Bounds: for each destination, its three lists and the open batch hold at
/// most `buffer_bytes_max` bytes of text, under way included. Over it goes,
/// first, the oldest of `kept`, then of `again` (both count as
/// `resend_dropped`), then of `waiting` (`dropped_buffer`). What is under way
/// is never dropped: it may be at the peer already, and it is at most a quarter
/// of the bound, as every batch.
///
/// Books: for each destination always
/// points = accepted + waiting + dropped_buffer + dropped_stop + spooled
///          + parked,
/// where `waiting` holds the open batch, too. A batch that is sent again stays
/// `accepted`.
class batch_queue {
public:
  /// `ledgers`: one per destination, in the order of the destinations' indices;
  /// they must outlive the queue. `resend`: how long accepted batches may have
  /// to be sent again; 0: never.
  batch_queue(const batcher_config& config, std::chrono::milliseconds resend,
              batcher_ledger& books,
              const std::vector<destination_ledger*>& ledgers);

  /// Encodes `points` into the open batch; a line that must not be sent is
  /// counted as refused.
  void add(std::span<const metric> points);

  /// Ends the open batch; `next` sees it from now on. An empty one makes none.
  void close();

  /// The daemon ends: what is to be sent again is given as fast as it is taken.
  void finish() {
    finishing_ = true;
  }

  /// Nothing is under way to `destination` any more: all can be given again.
  void give_back(std::size_t destination);

  /// The oldest batch that `destination` needs and was not given; it stays
  /// here and counts as given. `afresh`: after `give_back`.
  std::optional<metric_batch> next(std::size_t destination, bool afresh);

  /// What became of a batch or a connection; an id that is not under way is
  /// ignored.
  void report(const delivery_report& what);

  /// The points that `destination` still has to get, the open ones and those
  /// to be sent again included.
  std::uint64_t unsent_points(std::size_t destination) const;

  /// What was closed and not accepted, oldest first, and what was accepted
  /// before a loss and is to be sent again: for a spool.
  std::vector<metric_batch> unsent(std::size_t destination) const;

  /// `unsent` is on disk: nothing is left to be delivered.
  void spooled(std::size_t destination);

  /// Puts batches of the daemon before us in front. To be called before the
  /// first `add`; their ids are given here.
  void restore(std::size_t destination, std::vector<metric_batch> batches);

  /// Batches of `restore` wait still.
  bool restored_wait(std::size_t destination) const;

  bool has_open_points() const {
    return open_points_ > 0 || last_id_ > closed_id_;
  }

  std::size_t destinations() const {
    return lines_.size();
  }

  /// Bytes of text that count against the bound of `destination`.
  std::size_t bytes(std::size_t destination) const {
    return lines_[destination].bytes + open_.size();
  }

  /// True when sizes, books and lists agree: a restarted batcher may go on.
  bool valid() const;

private:
  struct entry {
    metric_batch batch;
    std::string packed; // instead of the batch's lines, which are null then
    bool given = false;
    bool restored = false;
    bool unverified = false; // in `kept`: stays until it is seen
    steady_time accepted_at{};

    std::size_t bytes() const; // of the lines, packed or not
    void pack();
    void unpack();
  };

  struct line {
    std::deque<entry> waiting;
    std::deque<entry> again;
    std::deque<entry> kept;
    std::size_t bytes = 0; // of the three lists
    std::size_t join_bytes = 0;
    std::int64_t resend_left = 0; // bytes of `again`; below 0: too many were
    destination_ledger* books = nullptr;
  };

  void seal(std::size_t bytes);
  void join(line& l, std::deque<entry>& entries, std::size_t first);
  void trim();
  void note_oldest();
  bool drop_one(line& l);
  void accept(line& l, const delivery_report& what);
  void mark(line& l, steady_time began);
  void allow_resend(line& l, std::size_t bytes);
  void resend_unseen(line& l, const delivery_report& what);
  void give_up(line& l, counter& where);

  std::size_t bytes_max_;
  std::size_t batch_bytes_max_;
  std::size_t batch_points_max_;
  std::size_t join_bytes_first_;
  std::size_t join_bytes_max_;
  std::size_t resend_share_;
  std::size_t resend_bytes_per_close_;
  std::chrono::milliseconds resend_;
  bool verify_;
  batcher_ledger& books_;
  std::vector<line> lines_;

  std::string open_;
  std::size_t open_bytes_ = 0;  // of the largest batch of the round before ...
  std::size_t round_bytes_ = 0; // ... and of this one
  std::size_t open_points_ = 0;
  std::int64_t open_newest_ = 0;
  std::int64_t open_oldest_ = 0;
  std::uint64_t last_id_ = 0;   // of the newest sealed batch
  std::uint64_t closed_id_ = 0; // up to here `next` sees them
  bool finishing_ = false;
};

} // namespace bpf2graphite
