#pragma once
// Lets a test make an actor throw, or work slowly. Only in builds with
// BPF2GRAPHITE_TEST_HOOKS; a release has no way to do so.

#include "messages/log.hpp"

#include <boost/asio/io_context.hpp>

namespace bpf2graphite {

/// $BPF2GRAPHITE_TEST_BLOCK: `io`, or `actor:trace` (`batcher:`): after a
/// SIGUSR1 that thread, or the one of the actors as soon as that one gets a
/// message, stands still for ever. `hook` is the one that is in use.
fault_hook block_from_environment(boost::asio::io_context& io, fault_hook hook);

/// The hook for $BPF2GRAPHITE_TEST_THROW, `actor:trace:n` (for example
/// `normalizer:cpu-lat:3`, `batcher::1`): throws once, at the n-th message of
/// that actor. And for $BPF2GRAPHITE_TEST_SLOW, `actor:trace:ms`: that actor
/// takes so long for each message. Empty when there is nothing to do.
fault_hook fault_from_environment(log_sink log);

} // namespace bpf2graphite
