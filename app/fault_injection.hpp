#pragma once
// Lets a test make an actor throw. Only in builds with
// BPF2GRAPHITE_TEST_HOOKS; a release has no way to do so.

#include "messages/log.hpp"

namespace bpf2graphite {

/// The hook for $BPF2GRAPHITE_TEST_THROW, `actor:trace:n` (for example
/// `normalizer:cpu-lat:3`, `batcher::1`): throws once, at the n-th message of
/// that actor. Empty when there is nothing to do.
fault_hook fault_from_environment(log_sink log);

} // namespace bpf2graphite
