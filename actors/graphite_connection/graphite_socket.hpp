#pragma once
// One TCP connection at a time to a Graphite server, on the io thread.
//
// What it knows: how to resolve, connect, write, half-close, and to see what
// the peer does. When to try again and what a batch means is the delivery's.
//
// Costs: nothing wakes up while nothing is under way. While bytes wait for the
// peer's acknowledgement a timer looks at SIOCOUTQ, 4 to 20 times a second.

#include "actors/graphite_connection/graphite_wire.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>

namespace bpf2graphite {

/// Bytes that a peer may send on one connection. Graphite never sends any; one
/// that talks on and on is not Graphite.
inline constexpr std::size_t peer_talk_bytes_max = 64 << 10;

/// Owned by the topology. Orders may come from any thread and are posted;
/// construct and destroy it on the thread that runs `io`, or while none does,
/// and before `io` goes.
///
/// Names are looked up anew for each attempt by a short-lived thread, one at a
/// time: a resolver that does not answer delays neither the io thread nor the
/// end of the program, which has to be an _exit then. While a look-up is
/// stuck, or fails, the last good answer is used. Numeric addresses and
/// `localhost` (both loopback addresses, RFC 6761) need no look-up.
class graphite_socket final : public graphite_wire {
public:
  explicit graphite_socket(boost::asio::io_context& io);
  ~graphite_socket() override;

  void listen(std::function<void(wire_event)> listener) override;
  void connect(std::uint64_t attempt, const graphite_address& address,
               wire_limits limits) override;
  void send(std::uint64_t attempt,
            std::shared_ptr<const std::string> lines) override;
  void half_close(std::uint64_t attempt) override;
  void close(std::uint64_t attempt) override;

private:
  class impl;
  boost::asio::io_context& io_;
  std::shared_ptr<impl> impl_;
};

} // namespace bpf2graphite
