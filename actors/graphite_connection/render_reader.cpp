#include "actors/graphite_connection/render_reader.hpp"

#include "actors/graphite_connection/name_lookup.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <cerrno>
#include <netinet/in.h>
#include <optional>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace bpf2graphite {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t header_bytes_max = 16 << 10;

} // namespace

/// All on the io thread. A pending handler of an older question finds another
/// generation and does nothing.
class render_reader::impl
  : public std::enable_shared_from_this<render_reader::impl> {
public:
  impl(asio::io_context& io, render_url url, std::chrono::milliseconds limit)
    : io_{io}, url_{std::move(url)}, limit_{limit}, deadline_{io} {}

  template <class F>
  auto guarded(F f) {
    return [self = shared_from_this(), generation = generation_,
            held = exchange_, f = std::move(f)](auto&&... xs) {
      if (self->generation_ == generation)
        f(std::forward<decltype(xs)>(xs)...);
    };
  }

  void listen(std::function<void(render_answer)> listener) {
    listener_ = std::move(listener);
  }

  void get(std::uint64_t number, std::string query) {
    end();
    number_ = number;
    exchange_ = std::make_shared<exchange>(io_);
    auto& request = exchange_->request;
    request = {http::verb::get, url_.path + query, 11};
    request.set(http::field::host, url_.host_field);
    request.set(http::field::accept, "application/json");
    request.set(http::field::user_agent, "bpf2graphite");
    request.set(http::field::connection, "close");
    deadline_.expires_after(limit_);
    deadline_.async_wait(guarded([this](const error_code& ec) {
      if (!ec)
        answer("no answer within " + std::to_string(limit_.count()) + " ms");
    }));
    endpoints_ = addresses_without_lookup(url_.host, url_.port);
    if (!endpoints_.empty())
      return try_next("no address");
    if (!lookup_)
      lookup_.emplace(
        io_, [weak = weak_from_this()](auto&, auto addresses, auto error) {
          if (auto self = weak.lock())
            self->resolved(std::move(addresses), std::move(error));
        });
    resolving_ = true;
    lookup_->start(url_.host, url_.port);
  }

  void shut() {
    listener_ = nullptr;
    end();
    lookup_.reset();
  }

private:
  /// What one question needs. Beast refers to it until its handlers have run,
  /// which may be after the next question has begun: they hold it.
  struct exchange {
    explicit exchange(asio::io_context& io) : socket{io} {
      parser.body_limit(render_answer_bytes_max);
      parser.header_limit(header_bytes_max);
    }
    tcp::socket socket;
    http::request<http::empty_body> request;
    boost::beast::flat_buffer buffer{render_answer_bytes_max
                                     + header_bytes_max};
    http::response_parser<http::string_body> parser;
  };

  void end() {
    ++generation_;
    deadline_.cancel();
    resolving_ = false;
    if (exchange_) {
      error_code ignored;
      exchange_->socket.close(ignored);
    }
    exchange_.reset();
  }

  void answer(std::string error, std::string body = {}) {
    render_answer result;
    result.number = number_;
    if (error.empty())
      result.body = std::move(body);
    else
      result.error = url_.host_field + ": " + error;
    end();
    if (listener_)
      listener_(std::move(result));
  }

  void resolved(tcp_endpoints addresses, std::string error) {
    if (!std::exchange(resolving_, false))
      return;
    if (!error.empty())
      return answer("resolve: " + error);
    endpoints_ = std::move(addresses);
    try_next("no address");
  }

  void try_next(const std::string& error) {
    if (endpoints_.empty())
      return answer(error);
    auto endpoint = endpoints_.front();
    endpoints_.erase(endpoints_.begin());
    auto& socket = exchange_->socket;
    error_code ec;
    socket.close(ec);
    // Asio's own open leaves the descriptor open in children.
    auto fd = ::socket(endpoint.protocol().family(),
                       SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
      return answer(
        "socket: "
        + error_code{errno, boost::system::system_category()}.message());
    socket.assign(endpoint.protocol(), fd, ec);
    if (ec) {
      ::close(fd);
      return answer("socket: " + ec.message());
    }
    socket.non_blocking(true, ec);
    socket.async_connect(endpoint, guarded([this](const error_code& failure) {
                           if (failure)
                             return try_next("connect: " + failure.message());
                           write();
                         }));
  }

  void write() {
    http::async_write(exchange_->socket, exchange_->request,
                      guarded([this](const error_code& ec, std::size_t) {
                        if (ec)
                          return answer("write: " + ec.message());
                        read();
                      }));
  }

  void read() {
    http::async_read(exchange_->socket, exchange_->buffer, exchange_->parser,
                     guarded([this](const error_code& ec, std::size_t) {
                       if (ec)
                         return answer("read: " + ec.message());
                       auto& message = exchange_->parser.get();
                       if (message.result() != http::status::ok)
                         return answer("HTTP status "
                                       + std::to_string(message.result_int()));
                       answer({}, std::move(message.body()));
                     }));
  }

  asio::io_context& io_;
  render_url url_;
  std::chrono::milliseconds limit_;
  asio::steady_timer deadline_;
  std::function<void(render_answer)> listener_;
  std::optional<name_lookup> lookup_;
  std::uint64_t generation_ = 0;
  std::uint64_t number_ = 0;
  bool resolving_ = false;
  tcp_endpoints endpoints_;
  std::shared_ptr<exchange> exchange_;
};

render_reader::render_reader(asio::io_context& io, render_url url,
                             std::chrono::milliseconds limit)
  : io_{io}, impl_{std::make_shared<impl>(io, std::move(url), limit)} {}

render_reader::~render_reader() {
  impl_->shut();
}

void render_reader::listen(std::function<void(render_answer)> listener) {
  asio::post(io_, [impl = impl_, listener = std::move(listener)]() mutable {
    impl->listen(std::move(listener));
  });
}

void render_reader::get(std::uint64_t number, std::string query) {
  asio::post(io_, [impl = impl_, number, query = std::move(query)]() mutable {
    impl->get(number, std::move(query));
  });
}

} // namespace bpf2graphite
