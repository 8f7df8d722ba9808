#include "actors/graphite_connection/graphite_socket.hpp"

#include "actors/graphite_connection/name_lookup.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace bpf2graphite {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using clock = std::chrono::steady_clock;

// One call of write: others have their turn on the io thread in between.
constexpr std::size_t piece_bytes_max = 256 << 10;
// While an address of several is tried it gets its share of the time, but at
// least this.
constexpr milliseconds connect_share_min{250};
constexpr milliseconds poll_first{50};
constexpr milliseconds poll_max{250};
// Reasons of so many addresses stand in one message.
constexpr std::size_t reasons_max = 3;
// What a peer that is no Graphite says is shown up to here.
constexpr std::size_t talk_shown_max = 40;

std::string text_of(const tcp::endpoint& e) {
  auto address = e.address().to_string();
  if (e.address().is_v6())
    address = "[" + address + "]";
  return address + ":" + std::to_string(e.port());
}

std::string seconds_text(milliseconds time) {
  if (time.count() % 1000 == 0)
    return std::to_string(time.count() / 1000) + " s";
  return std::to_string(time.count()) + " ms";
}

void set_option(int fd, int level, int name, int value) {
  // What the kernel does not know is left as it is: only speed or the time
  // until a dead peer is seen depend on it.
  (void)::setsockopt(fd, level, name, &value, sizeof value);
}

bool is_reset(const error_code& ec) {
  return ec == asio::error::connection_reset || ec == asio::error::broken_pipe
         || ec == asio::error::connection_aborted
         || ec == asio::error::not_connected; // shutdown after a reset
}

/// True when the connection was thrown away: an end that the peer told would
/// leave it half open.
bool is_dead(int fd) {
  tcp_info state{};
  socklen_t size = sizeof state;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &size) == 0
         && state.tcpi_state == TCP_CLOSE;
}

std::string printable(std::string_view bytes) {
  std::string result;
  for (auto c : bytes.substr(0, talk_shown_max))
    result += c >= ' ' && c <= '~' ? c : '?';
  return result;
}

} // namespace

/// All on the io thread. Every pending handler holds a reference; it looks at
/// `generation_` to see whether it is still meant.
class graphite_socket::impl
  : public std::enable_shared_from_this<graphite_socket::impl> {
public:
  explicit impl(asio::io_context& io)
    : io_{io}, socket_{io}, deadline_{io}, poll_{io}, settled_{io} {}

  void listen(std::function<void(wire_event)> listener) {
    listener_ = std::move(listener);
  }

  void connect(std::uint64_t attempt, const graphite_address& address,
               wire_limits limits) {
    end();
    attempt_ = attempt;
    limits_ = limits;
    address_ = address;
    reasons_.clear();
    connect_until_ = clock::now() + limits.connect_timeout;
    endpoints_ = addresses_without_lookup(address.host, address.port);
    if (!endpoints_.empty())
      return try_next();
    resolving_ = true;
    if (!lookup_)
      lookup_.emplace(
        io_, [weak = weak_from_this()](auto& host, auto addresses, auto error) {
          if (auto self = weak.lock())
            self->resolved(host, std::move(addresses), std::move(error));
        });
    // When one is under way already, its answer will be ours, too.
    lookup_->start(address.host, address.port);
    // With an old answer at hand, only half of the time is spent on a new one.
    auto has_old = last_good_host_ == address.host;
    at_deadline(has_old ? limits.connect_timeout / 2 : limits.connect_timeout,
                [this] {
                  use_last_good("no answer from the name server within "
                                + seconds_text(limits_.connect_timeout));
                });
  }

  void send(std::uint64_t attempt, std::shared_ptr<const std::string> lines) {
    if (attempt != attempt_ || !connected_ || half_closed_)
      return;
    auto idle = acknowledged_ == total_;
    auto writing = written_ < total_;
    total_ += lines->size();
    lines_.push_back(std::move(lines));
    if (idle) {
      progress_at_ = clock::now();
      poll_pause_ = poll_first;
    }
    if (!writing)
      write();
    if (connected_ && idle)
      look_at_queue();
  }

  void half_close(std::uint64_t attempt) {
    if (attempt != attempt_ || !connected_ || half_closed_)
      return;
    // An end that came before ours is no answer to it, even when the handler
    // that reports it has not run yet.
    char byte;
    auto n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0)
      return peer_closed();
    // The kernel tells of a reset once: the handler would see a plain end now,
    // and take it for the answer.
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
      return broken({errno, boost::system::system_category()});
    error_code ec;
    socket_.shutdown(tcp::socket::shutdown_send, ec);
    if (ec)
      return broken(ec);
    half_closed_ = true;
  }

  void close(std::uint64_t attempt) {
    if (attempt == attempt_)
      end();
  }

  /// The owner goes; pending handlers may live on for a while.
  void shut() {
    listener_ = nullptr;
    end();
    lookup_.reset();
  }

private:
  /// No event, no handler of before does anything any more.
  void end() {
    ++generation_;
    deadline_.cancel();
    poll_.cancel();
    resolving_ = false;
    error_code ignored;
    if (socket_.is_open()) {
      // What was sent and not confirmed must not arrive after us: a second
      // connection with the same batch may be there before it.
      if ((acknowledged_ < total_ || half_closed_) && !peer_ended_)
        socket_.set_option(asio::socket_base::linger(true, 0), ignored);
      socket_.close(ignored);
    }
    connected_ = half_closed_ = peer_ended_ = false;
    lines_.clear();
    front_done_ = 0;
    total_ = written_ = acknowledged_ = 0;
    talk_bytes_ = 0;
    attempt_ = 0;
  }

  template <class F>
  auto guarded(F f) {
    return [self = shared_from_this(), generation = generation_,
            f = std::move(f)](auto&&... xs) {
      if (self->generation_ == generation)
        f(std::forward<decltype(xs)>(xs)...);
    };
  }

  template <class F>
  void at_deadline(clock::duration after, F f) {
    deadline_.expires_after(after);
    deadline_.async_wait(guarded([f = std::move(f)](const error_code& ec) {
      if (!ec)
        f();
    }));
  }

  /// Asio leaves the kernel's timer set for a deadline that was cancelled: it
  /// would wake us for nothing, seconds later. A timer that is over already is
  /// handled before the loop sleeps, and sets it for what really comes next.
  void settle_timers() {
    settled_.expires_at(clock::time_point::min());
    settled_.async_wait([self = shared_from_this()](const error_code&) {});
  }

  void tell(wire_event event) {
    event.attempt = attempt_;
    if (listener_)
      listener_(std::move(event));
  }

  void fail(wire_event_kind kind, std::string reason) {
    auto attempt = attempt_;
    end();
    wire_event event;
    event.attempt = attempt;
    event.kind = kind;
    event.reason = std::move(reason);
    if (listener_)
      listener_(std::move(event));
  }

  // -- resolving and connecting -----------------------------------------------

  void resolved(const std::string& host, tcp_endpoints addresses,
                std::string error) {
    if (error.empty()) {
      last_good_host_ = host;
      last_good_ = std::move(addresses);
    }
    if (!resolving_)
      return;
    if (host != address_.host) { // of an earlier attempt (failover)
      lookup_->start(address_.host, address_.port);
      return;
    }
    use_last_good(error);
  }

  void use_last_good(const std::string& error) {
    resolving_ = false;
    deadline_.cancel();
    if (last_good_host_ != address_.host)
      return fail(wire_event_kind::failed,
                  "resolve " + address_.host + ": " + error);
    if (!error.empty())
      reasons_.push_back("resolve " + address_.host + ": " + error);
    endpoints_ = last_good_;
    for (auto& e : endpoints_)
      e.port(address_.port);
    try_next();
  }

  /// Connects to the first of the addresses that are left.
  void try_next() {
    while (!endpoints_.empty()) {
      auto endpoint = endpoints_.front();
      endpoints_.erase(endpoints_.begin());
      auto left = connect_until_ - clock::now();
      if (left <= clock::duration::zero())
        break;
      error_code ec;
      open(endpoint.protocol(), ec);
      if (ec) {
        add_reason(endpoint, ec.message());
        continue;
      }
      auto share = std::max<clock::duration>(
        left / static_cast<int>(endpoints_.size() + 1), connect_share_min);
      at_deadline(std::min(left, share), [this, endpoint] {
        add_reason(endpoint, "no answer");
        next_address();
      });
      socket_.async_connect(
        endpoint, guarded([this, endpoint](const error_code& failure) {
          deadline_.cancel();
          settle_timers();
          if (failure)
            add_reason(endpoint, failure.message());
          else if (is_connected_to_itself())
            add_reason(endpoint, "Connection refused");
          else
            return stands();
          next_address();
        }));
      return;
    }
    std::string text;
    for (auto& r : reasons_)
      text += (text.empty() ? "" : "; ") + r;
    if (text.empty())
      text = "connect to " + address_.host + ": no answer";
    fail(wire_event_kind::failed,
         text
           + (clock::now() >= connect_until_
                ? " within " + seconds_text(limits_.connect_timeout)
                : ""));
  }

  void next_address() {
    ++generation_; // the handlers of this address
    error_code ignored;
    socket_.close(ignored);
    try_next();
  }

  void add_reason(const tcp::endpoint& endpoint, const std::string& why) {
    if (reasons_.size() < reasons_max)
      reasons_.push_back("connect to " + text_of(endpoint) + ": " + why);
  }

  /// Asio's own open leaves the descriptor open in children.
  void open(const tcp& protocol, error_code& ec) {
    auto fd = ::socket(protocol.family(),
                       SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
      ec = {errno, boost::system::system_category()};
      return;
    }
    socket_.assign(protocol, fd, ec);
    if (ec) {
      ::close(fd);
      return;
    }
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    // Nothing is outstanding while we wait for the peer's FIN or keep a
    // connection ready: only probes tell that the peer is gone.
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 2);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
               static_cast<int>(limits_.progress_timeout.count()));
    socket_.non_blocking(true, ec);
  }

  /// TCP lets a socket connect to itself when its port is one that the kernel
  /// gives out: it would read its own lines and confirm them.
  bool is_connected_to_itself() {
    error_code local;
    error_code remote;
    auto same =
      socket_.local_endpoint(local) == socket_.remote_endpoint(remote);
    return !local && !remote && same;
  }

  void stands() {
    connected_ = true;
    endpoints_.clear();
    read();
    wire_event event;
    event.kind = wire_event_kind::connected;
    tell(std::move(event));
  }

  // -- reading: only to see the end -------------------------------------------

  void read() {
    socket_.async_read_some(
      asio::buffer(scratch_),
      guarded([this](const error_code& ec, std::size_t n) {
        if (ec == asio::error::eof)
          return peer_closed();
        if (ec)
          return broken(ec);
        if (talk_bytes_ == 0)
          talk_ = printable({scratch_.data(), n});
        talk_bytes_ += n;
        if (talk_bytes_ > peer_talk_bytes_max)
          return fail(wire_event_kind::failed,
                      text_of_peer() + " talks, so it is no Graphite: \""
                        + talk_ + "\"");
        read();
      }));
  }

  std::string text_of_peer() {
    return address_.host + ":" + std::to_string(address_.port);
  }

  void peer_closed() {
    // A write may have been told of the reset, then reading sees a plain end.
    // Once we have half-closed nothing is written any more.
    if (!half_closed_ && is_dead(socket_.native_handle()))
      return broken(asio::error::connection_reset);
    peer_ended_ = true;
    wire_event event;
    event.attempt = attempt_;
    event.kind = wire_event_kind::peer_closed;
    event.after_half_close = half_closed_;
    end();
    if (listener_)
      listener_(std::move(event));
  }

  void broken(const error_code& ec) {
    if (is_reset(ec))
      return fail(wire_event_kind::reset,
                  text_of_peer() + " reset the connection");
    fail(wire_event_kind::failed,
         "connection to " + text_of_peer() + ": " + ec.message());
  }

  // -- writing ----------------------------------------------------------------

  void write() {
    while (!lines_.empty() && front_done_ == lines_.front()->size()) {
      lines_.pop_front();
      front_done_ = 0;
    }
    if (lines_.empty())
      return;
    auto lines = lines_.front();
    auto piece = std::min(piece_bytes_max, lines->size() - front_done_);
    socket_.async_write_some(
      asio::buffer(lines->data() + front_done_, piece),
      // Holds the text: the kernel may still read it when we are done with it.
      guarded([this, lines](const error_code& ec, std::size_t n) {
        if (ec)
          return broken(ec);
        written_ += n;
        front_done_ += n;
        if (written_ == total_)
          look_at_queue(); // mostly all is there already on a fast link
        else
          write();
      }));
  }

  /// How many bytes the peer's kernel has; again after a while if not all.
  void look_at_queue() {
    int queued = 0;
    if (::ioctl(socket_.native_handle(), SIOCOUTQ, &queued) != 0)
      return broken({errno, boost::system::system_category()});
    auto acknowledged =
      written_ - std::min(written_, static_cast<std::uint64_t>(queued));
    if (acknowledged > acknowledged_) {
      acknowledged_ = acknowledged;
      progress_at_ = clock::now();
      poll_pause_ = poll_first;
      wire_event event;
      event.kind = wire_event_kind::acknowledged;
      event.bytes = acknowledged_;
      tell(std::move(event));
    }
    if (acknowledged_ == total_) {
      poll_.cancel();
      return;
    }
    auto limit = progress_at_ + limits_.progress_timeout;
    auto now = clock::now();
    if (now >= limit)
      return fail(wire_event_kind::failed,
                  text_of_peer() + " took no byte within "
                    + seconds_text(limits_.progress_timeout));
    poll_.expires_at(std::min(now + poll_pause_, limit));
    poll_pause_ = std::min(poll_pause_ * 2, poll_max);
    poll_.async_wait(guarded([this](const error_code& ec) {
      if (!ec)
        look_at_queue();
    }));
  }

  asio::io_context& io_;
  tcp::socket socket_;
  asio::steady_timer deadline_; // of resolving and connecting
  asio::steady_timer poll_;     // of SIOCOUTQ
  asio::steady_timer settled_;  // see settle_timers
  std::function<void(wire_event)> listener_;
  std::optional<name_lookup> lookup_;

  std::uint64_t generation_ = 0; // of handlers
  std::uint64_t attempt_ = 0;    // 0: none
  graphite_address address_;
  wire_limits limits_;

  bool resolving_ = false;
  clock::time_point connect_until_;
  tcp_endpoints endpoints_; // still to be tried
  std::string last_good_host_;
  tcp_endpoints last_good_;
  std::vector<std::string> reasons_;

  bool connected_ = false;
  bool half_closed_ = false;
  bool peer_ended_ = false;
  std::array<char, 512> scratch_;
  std::string talk_;
  std::size_t talk_bytes_ = 0;

  std::deque<std::shared_ptr<const std::string>> lines_; // not all written
  std::size_t front_done_ = 0;                           // of the first
  std::uint64_t total_ = 0;        // bytes to be written on this connection
  std::uint64_t written_ = 0;      // of these
  std::uint64_t acknowledged_ = 0; // of these
  clock::time_point progress_at_;
  milliseconds poll_pause_{poll_first};
};

graphite_socket::graphite_socket(asio::io_context& io)
  : io_{io}, impl_{std::make_shared<impl>(io)} {}

graphite_socket::~graphite_socket() {
  impl_->shut();
}

void graphite_socket::listen(std::function<void(wire_event)> listener) {
  asio::post(io_, [impl = impl_, listener = std::move(listener)]() mutable {
    impl->listen(std::move(listener));
  });
}

void graphite_socket::connect(std::uint64_t attempt,
                              const graphite_address& address,
                              wire_limits limits) {
  asio::post(io_, [impl = impl_, attempt, address, limits] {
    impl->connect(attempt, address, limits);
  });
}

void graphite_socket::send(std::uint64_t attempt,
                           std::shared_ptr<const std::string> lines) {
  asio::post(io_, [impl = impl_, attempt, lines = std::move(lines)]() mutable {
    impl->send(attempt, std::move(lines));
  });
}

void graphite_socket::half_close(std::uint64_t attempt) {
  asio::post(io_, [impl = impl_, attempt] { impl->half_close(attempt); });
}

void graphite_socket::close(std::uint64_t attempt) {
  asio::post(io_, [impl = impl_, attempt] { impl->close(attempt); });
}

} // namespace bpf2graphite
