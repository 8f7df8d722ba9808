#include "tests/support/graphite_oracle.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace bpf2graphite::testing {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void reset(int fd) {
  linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

} // namespace

struct graphite_oracle::connection {
  int fd;
  oracle_manner manner;
  std::size_t bytes = 0;
  std::string rest; // of an unfinished line
  bool stalled = false;

  ~connection() {
    ::close(fd);
  }
};

graphite_oracle::graphite_oracle(std::uint16_t port) : port_{port} {
  if (::pipe2(wake_, O_CLOEXEC | O_NONBLOCK) != 0)
    throw std::runtime_error{"pipe"};
  listen();
  thread_ = std::thread{[this] {
    serve();
  }};
}

graphite_oracle::~graphite_oracle() {
  {
    std::lock_guard guard{mutex_};
    ending_ = true;
  }
  wake();
  thread_.join();
  for (auto fd : {listener_, wake_[0], wake_[1]})
    if (fd >= 0)
      ::close(fd);
}

void graphite_oracle::listen() {
  auto fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  auto address = loopback(port_);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0
      || ::listen(fd, 64) != 0) {
    ::close(fd);
    throw std::runtime_error{"the oracle's port is taken"};
  }
  socklen_t size = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  listener_ = fd;
}

void graphite_oracle::wake() {
  char byte = 0;
  (void)!::write(wake_[1], &byte, 1);
}

void graphite_oracle::next(oracle_manner manner) {
  std::lock_guard guard{mutex_};
  next_.push_back(std::move(manner));
}

void graphite_oracle::always(oracle_manner manner) {
  std::lock_guard guard{mutex_};
  always_ = std::move(manner);
}

void graphite_oracle::die() {
  std::lock_guard guard{mutex_};
  ::close(std::exchange(listener_, -1));
  for (auto& c : open_)
    reset(c->fd);
  open_.clear();
  wake();
}

void graphite_oracle::live() {
  std::lock_guard guard{mutex_};
  if (listener_ < 0)
    listen();
  wake();
}

void graphite_oracle::close_connections() {
  std::lock_guard guard{mutex_};
  open_.clear();
  wake();
}

std::vector<std::string> graphite_oracle::lines() const {
  std::lock_guard guard{mutex_};
  return lines_;
}

std::size_t graphite_oracle::connections() const {
  std::lock_guard guard{mutex_};
  return accepted_;
}

std::size_t graphite_oracle::open_connections() const {
  std::lock_guard guard{mutex_};
  return open_.size();
}

std::size_t graphite_oracle::open_connections_max() const {
  std::lock_guard guard{mutex_};
  return open_max_;
}

bool graphite_oracle::wait_until(
  const std::function<bool(graphite_oracle&)>& done,
  std::chrono::milliseconds limit) {
  auto until = std::chrono::steady_clock::now() + limit;
  for (;;) {
    if (done(*this))
      return true;
    std::unique_lock lock{mutex_};
    auto now = std::chrono::steady_clock::now();
    if (now >= until)
      return false;
    // A change between `done` and here is seen a moment later.
    changed_.wait_for(lock, std::chrono::milliseconds{20});
  }
}

void graphite_oracle::serve() {
  for (;;) {
    std::vector<pollfd> fds;
    {
      std::lock_guard guard{mutex_};
      if (ending_) {
        open_.clear();
        return;
      }
      fds.push_back({wake_[0], POLLIN, 0});
      fds.push_back({listener_, POLLIN, 0}); // -1 is left out by poll
      for (auto& c : open_)
        fds.push_back({c->fd, static_cast<short>(c->stalled ? 0 : POLLIN), 0});
    }
    ::poll(fds.data(), fds.size(), -1);
    std::lock_guard guard{mutex_};
    std::array<char, 64> bytes;
    while (::read(wake_[0], bytes.data(), bytes.size()) > 0) {
    }
    for (auto& fd : fds) {
      if (fd.revents == 0 || fd.fd == wake_[0])
        continue;
      if (fd.fd == listener_) {
        accept_one();
        continue;
      }
      auto c = std::find_if(open_.begin(), open_.end(),
                            [&](auto& x) { return x->fd == fd.fd; });
      if (c == open_.end())
        continue;
      if ((*c)->stalled) { // only an error wakes us
        open_.erase(c);
        continue;
      }
      if (!read_some(**c))
        open_.erase(c);
    }
    changed_.notify_all();
  }
}

void graphite_oracle::accept_one() {
  auto fd =
    ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0)
    return;
  auto manner = always_;
  if (!next_.empty()) {
    manner = next_.front();
    next_.erase(next_.begin());
  }
  ++accepted_;
  auto c =
    std::unique_ptr<connection>(new connection{fd, manner, 0, {}, false});
  if (!manner.talk.empty())
    (void)!::send(fd, manner.talk.data(), manner.talk.size(), MSG_NOSIGNAL);
  auto at_once = manner.bytes == 0;
  if (at_once && manner.then == oracle_manner::after::reset)
    return reset(fd);
  if (at_once && manner.then == oracle_manner::after::close)
    return;
  c->stalled = at_once && manner.then == oracle_manner::after::stall;
  open_.push_back(std::move(c));
  open_max_ = std::max(open_max_, open_.size());
}

/// False when the connection is to be closed.
bool graphite_oracle::read_some(connection& c) {
  std::array<char, 16384> buffer;
  auto limited = c.manner.then != oracle_manner::after::go_on;
  auto want =
    limited ? std::min(buffer.size(), c.manner.bytes - c.bytes) : buffer.size();
  auto n = ::read(c.fd, buffer.data(), want);
  if (n < 0)
    return errno == EAGAIN || errno == EINTR;
  if (n == 0) {
    if (c.manner.answer_the_end)
      return false;
    c.stalled = true;
    return true;
  }
  c.bytes += static_cast<std::size_t>(n);
  c.rest.append(buffer.data(), static_cast<std::size_t>(n));
  std::size_t done = 0;
  for (auto end = c.rest.find('\n'); end != c.rest.npos;
       end = c.rest.find('\n', done)) {
    auto line = c.rest.substr(done, end - done);
    if (!c.manner.hates.empty() && line.find(c.manner.hates) != line.npos) {
      reset(c.fd);
      return false;
    }
    lines_.push_back(std::move(line));
    done = end + 1;
  }
  c.rest.erase(0, done);
  if (!limited || c.bytes < c.manner.bytes)
    return true;
  if (c.manner.then == oracle_manner::after::stall)
    return c.stalled = true;
  if (c.manner.then == oracle_manner::after::reset)
    reset(c.fd);
  return false;
}

} // namespace bpf2graphite::testing
