#pragma once
// Names to addresses, without ever waiting for a name server.

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bpf2graphite {

using tcp_endpoints = std::vector<boost::asio::ip::tcp::endpoint>;

/// Addresses of one name that are tried; what a resolver gives beyond is left.
inline constexpr std::size_t addresses_max = 32;

/// The addresses of a numeric host (with or without brackets) or of
/// `localhost`; empty when the name has to be looked up.
tcp_endpoints addresses_without_lookup(const std::string& host,
                                       std::uint16_t port);

/// Looks one name up at a time in a thread of its own, which ends with the
/// answer. Belongs to the io thread. When it is destroyed during a look-up, the
/// thread is left to itself: it touches only what it owns.
class name_lookup {
public:
  /// `error` is empty on success.
  using answer = std::function<void(
    const std::string& host, tcp_endpoints addresses, std::string error)>;

  /// `on_answer` is called on the io thread, never from within `start`.
  name_lookup(boost::asio::io_context& io, answer on_answer);
  ~name_lookup();

  /// Begins a look-up; false if one is under way already (its answer comes
  /// first) or no thread can be had.
  bool start(const std::string& host, std::uint16_t port);

private:
  struct shared;
  std::shared_ptr<shared> shared_;
};

} // namespace bpf2graphite
