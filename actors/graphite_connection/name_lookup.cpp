#include "actors/graphite_connection/name_lookup.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <netdb.h>
#include <system_error>
#include <thread>
#include <utility>

namespace bpf2graphite {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

/// Blocks as long as the resolver likes.
tcp_endpoints look_up(const std::string& host, std::uint16_t port,
                      std::string& error) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* first = nullptr;
  auto code = ::getaddrinfo(host.c_str(), nullptr, &hints, &first);
  if (code != 0) {
    error = code == EAI_SYSTEM ? std::generic_category().message(errno)
                               : ::gai_strerror(code);
    return {};
  }
  tcp_endpoints result;
  for (auto a = first; a != nullptr && result.size() < addresses_max;
       a = a->ai_next) {
    tcp::endpoint endpoint;
    if (a->ai_addrlen > endpoint.capacity()
        || (a->ai_family != AF_INET && a->ai_family != AF_INET6))
      continue;
    std::memcpy(endpoint.data(), a->ai_addr, a->ai_addrlen);
    endpoint.resize(a->ai_addrlen);
    endpoint.port(port);
    if (std::find(result.begin(), result.end(), endpoint) == result.end())
      result.push_back(endpoint);
  }
  ::freeaddrinfo(first);
  if (result.empty())
    error = "no address";
  return result;
}

/// A thread that no signal interrupts: they are the io thread's.
template <class Body>
bool start_thread(Body body) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  auto started = true;
  try {
    std::thread{std::move(body)}.detach();
  } catch (const std::system_error&) {
    started = false; // no more threads: the last good answer has to do
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

} // namespace

tcp_endpoints addresses_without_lookup(const std::string& host,
                                       std::uint16_t port) {
  auto bare = host.size() > 2 && host.front() == '[' && host.back() == ']'
                ? host.substr(1, host.size() - 2)
                : host;
  boost::system::error_code ec;
  auto address = asio::ip::make_address(bare, ec);
  if (!ec)
    return {{address, port}};
  if (bare == "localhost" || bare == "localhost.")
    return {{asio::ip::address_v4::loopback(), port},
            {asio::ip::address_v6::loopback(), port}};
  return {};
}

struct name_lookup::shared {
  std::mutex mutex;
  asio::io_context* io = nullptr; // null: nobody waits any more
  answer on_answer;
  bool busy = false; // io thread only
};

name_lookup::name_lookup(asio::io_context& io, answer on_answer)
  : shared_{std::make_shared<shared>()} {
  shared_->io = &io;
  shared_->on_answer = std::move(on_answer);
}

name_lookup::~name_lookup() {
  std::lock_guard guard{shared_->mutex};
  shared_->io = nullptr;
}

bool name_lookup::start(const std::string& host, std::uint16_t port) {
  if (shared_->busy)
    return false;
  shared_->busy = true;
  auto started = start_thread([state = shared_, host, port] {
    std::string error;
    auto addresses = look_up(host, port, error);
    std::lock_guard guard{state->mutex};
    if (state->io == nullptr)
      return;
    // The pending answer must not let io_context::run end.
    asio::post(*state->io, [state, host, addresses = std::move(addresses),
                            error = std::move(error)]() mutable {
      state->busy = false;
      if (state->io != nullptr)
        state->on_answer(host, std::move(addresses), std::move(error));
    });
  });
  if (!started)
    shared_->busy = false;
  return started;
}

} // namespace bpf2graphite
