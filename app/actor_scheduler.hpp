#pragma once
// CAF's actors on the io thread: what the io thread reads is parsed, and what
// the actors decide is written, within one wake-up. Between two threads each of
// these hand-overs is a futex and a context switch, and those cost more than
// the work that is handed over (measured: a quarter of the CPU under a flood,
// two thirds of the wake-ups of a quiet daemon).
//
// Actors keep to messages as before and share nothing, so CAF's own pool of
// threads (`caf { scheduler { max-threads = N } }`) does as well.

#include <boost/asio/io_context.hpp>

#include <caf/all.hpp>

namespace bpf2graphite {

/// Lets all actors of a system with this configuration run on the thread that
/// runs `io`, which outlives the system. CAF's delayed messages become one
/// timer of `io`.
void run_actors_on(boost::asio::io_context& io,
                   caf::actor_system_config& config);

} // namespace bpf2graphite
