#pragma once
// Every typed actor interface, a sentence above each message. Actors include
// this page, never each other.

#include "messages/type_ids.hpp"
#include "messages/wire.hpp"

#include <caf/all.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace bpf2graphite {

/// The LINE READER turns bytes into whole lines, in order.
using line_reader_actor = caf::typed_actor<
  // A bpftrace was started, wrote bytes, or closed its output.
  caf::reacts_to<numbered<output_event>>,
  // INTERNAL: begin with what a predecessor left.
  caf::reacts_to<resume_atom>>;

/// The HISTOGRAM PARSER turns lines into snapshots of maps.
using histogram_parser_actor = caf::typed_actor<
  // A bpftrace was started, wrote lines, or closed its output.
  caf::reacts_to<numbered<lines_event>>,
  // INTERNAL: nothing more came for a while; ends a print without an end
  // mark.
  caf::reacts_to<pause_atom, std::uint64_t>>;

/// The NORMALIZER turns snapshots into exact points, one per series and slot.
using normalizer_actor = caf::typed_actor<
  // A bpftrace was started, attached, printed maps, or closed its output.
  caf::reacts_to<numbered<snapshot_event>>,
  // Asks for the points of all slots that are over; they go to the batcher,
  // followed by `collected` with the same round.
  caf::reacts_to<collect_atom, std::uint64_t>>;

/// The BATCHER collects points and hands them out in batches.
using batcher_actor = caf::typed_actor<
  // Keeps points for the next batch.
  caf::reacts_to<numbered<std::vector<metric>>>,
  // A normalizer has something that will be due: it wants to be asked for its
  // points at each tick, until it says that it has nothing left.
  caf::reacts_to<join_atom, normalizer_actor>,
  // A normalizer has sent all points of this round; false: no slot of it is
  // open, it need not be asked again before it joins anew.
  caf::reacts_to<collected_atom, std::uint64_t, caf::actor_addr, bool>,
  // Replies with the oldest batch that this destination (by its index) needs
  // and was not given yet, as soon as there is one. It stays until it is
  // accepted. With true, nothing is under way there any more: all can be given
  // again.
  caf::replies_to<next_batch_atom, std::size_t, bool>::with<metric_batch>,
  // A destination has accepted a batch, seen a loss, or gives up.
  caf::reacts_to<numbered<delivery_report>>,
  // INTERNAL: time to close the open batch. The generation tells a tick of an
  // older schedule.
  caf::reacts_to<caf::tick_atom, std::uint64_t>,
  // INTERNAL: the normalizers of this round have had their time.
  caf::reacts_to<pause_atom, std::uint64_t>,
  // Closes the open batch at once: the daemon is about to stop. Replies with
  // the points that this destination (by its index) still has to get.
  caf::replies_to<caf::flush_atom, std::size_t>::with<std::uint64_t>>;

/// The GRAPHITE CONNECTION delivers batches to one destination.
using graphite_connection_actor = caf::typed_actor<
  // What happened on the socket.
  caf::reacts_to<wire_event>,
  // Whether accepted points are in Graphite.
  caf::reacts_to<render_answer>,
  // The destination has other addresses.
  caf::reacts_to<reload_atom>,
  // INTERNAL: a deadline of the delivery has come (its generation).
  caf::reacts_to<caf::tick_atom, std::uint64_t>,
  // INTERNAL: the time to deliver what is left is over: the daemon ends.
  caf::reacts_to<stop_atom>>;

/// The WATCHDOG starts a trace's bpftrace, stops it, and starts it again.
using watchdog_actor = caf::typed_actor<
  // The process runs.
  caf::reacts_to<process_started>,
  // The process has ended and all its output was sent on, or it could not be
  // started.
  caf::reacts_to<process_exited>,
  // The process prints more than it may, for too long.
  caf::reacts_to<process_flooding>,
  // The trace's configuration has changed: its bpftrace is stopped in order
  // and started again with what `prepare` gives then.
  caf::reacts_to<reload_atom>,
  // INTERNAL: time to start (the generation of the order).
  caf::reacts_to<start_atom, std::uint64_t>,
  // INTERNAL: time to look at a stop under way, or at a silent bpftrace.
  caf::reacts_to<caf::tick_atom, std::uint64_t>>;

} // namespace bpf2graphite
