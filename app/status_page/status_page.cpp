#include "app/status_page/status_page.hpp"

#include "app/config_schema.hpp"
#include "app/status_page/page_content.hpp"
#include "app/status_page/prometheus_text.hpp"

#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/span_body.hpp>
#include <boost/beast/http/write.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

namespace bpf2graphite {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr std::chrono::seconds accept_pause{1}; // without descriptors
constexpr int backlog = 128;
// What a refused client sends on is read so long and so far, or its kernel
// would throw our answer away.
constexpr std::chrono::seconds linger{1};
constexpr std::size_t linger_bytes_max = 64 * 1024;

/// Nothing but ourselves, and nobody around us.
constexpr const char* no_content = "default-src 'none'; base-uri 'none'; "
                                   "form-action 'none'; frame-ancestors 'none'";

/// A name on disk that nobody listens behind any more is removed. False: it is
/// in use, or no socket.
bool clear_name(const sockaddr_un& at) {
  struct stat entry {};
  if (::lstat(at.sun_path, &entry) != 0)
    return errno == ENOENT;
  if (!S_ISSOCK(entry.st_mode)) {
    errno = EEXIST;
    return false;
  }
  int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0)
    return false;
  auto answered =
    ::connect(probe, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0
    || errno != ECONNREFUSED;
  ::close(probe);
  if (answered) {
    errno = EADDRINUSE;
    return false;
  }
  return ::unlink(at.sun_path) == 0;
}

std::string remedy(int error, bool on_disk) {
  switch (error) {
    case EADDRINUSE:
      return on_disk ? "another program listens there; stop it, or choose "
                       "another name"
                     : "another program listens there (`ss -ltnp` shows "
                       "which); stop it, or choose another port";
    case EEXIST:
      return "there is something that is no socket; remove it, or choose "
             "another name";
    case EACCES:
    case EPERM:
      return on_disk ? "it is not allowed to write there; choose a name in the "
                       "runtime directory"
                     : "it is not allowed to listen there; choose a port above "
                       "1023";
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return "this machine has no such address; choose 127.0.0.1";
    case EROFS:
    case ENOENT:
      return std::string{std::strerror(error)}
             + "; choose a name in the runtime directory";
    default:
      return std::strerror(error);
  }
}

} // namespace

/// What connections use; they may outlive the page by a moment.
struct status_page::shared {
  explicit shared(environment given) : env{std::move(given)} {}

  environment env;
  page_place place;
  std::uint64_t generation = 0; // of the place: older connections end
  std::size_t connections = 0;
  std::uint64_t accepted = 0;
  std::uint64_t turned_away = 0;
  std::uint64_t timed_out = 0;
  std::uint64_t answered = 0;
  std::uint64_t refused = 0; // requests
};

/// One connection. Lives as long as something is under way for it.
class status_page::session : public std::enable_shared_from_this<session> {
public:
  session(std::shared_ptr<shared> all, protocol::socket socket)
    : shared_{std::move(all)},
      generation_{shared_->generation}, stream_{std::move(socket)} {
    ++shared_->connections;
    ++shared_->accepted;
  }

  ~session() {
    --shared_->connections;
  }

  void read() {
    parser_.emplace();
    parser_->header_limit(head_bytes_max);
    stream_.expires_after(served_ == 0 ? patience : idle_max);
    http::async_read_header(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](error_code ec, std::size_t) {
        self->read_head(ec);
      });
  }

private:
  void read_head(error_code ec) {
    if (generation_ != shared_->generation)
      return close();
    if (ec == beast::error::timeout)
      ++shared_->timed_out;
    if (ec == http::error::header_limit || ec == http::error::buffer_overflow)
      return refuse(431, "the head of a request may have "
                           + std::to_string(head_bytes_max) + " bytes");
    if (ec && ec != http::error::end_of_stream
        && ec != http::error::partial_message
        && ec.category()
             == make_error_code(http::error::end_of_stream).category())
      return refuse(400, "that is no HTTP");
    if (ec)
      return close();
    const auto& head = parser_->get();
    auto hosts = head.equal_range(http::field::host);
    auto length = parser_->content_length();
    auto text = [](beast::string_view view) {
      return std::string_view{view.data(), view.size()};
    };
    page_request request{
      .method = text(head.method_string()),
      .target = text(head.target()),
      .host = text(head[http::field::host]),
      .hosts =
        static_cast<std::size_t>(std::distance(hosts.first, hosts.second)),
      .has_body = parser_->chunked() || (length && *length > 0),
      .upgrades = parser_->upgrade()};
    head_only_ = request.method == "HEAD";
    ++served_;
    answer(choose_document(request, shared_->place));
  }

  void answer(const page_choice& choice) {
    auto& env = shared_->env;
    auto keep = parser_->keep_alive() && served_ < requests_of_a_connection_max;
    switch (choice.document) {
      case page_document::none:
        break;
      case page_document::page:
        return send(200, page_type, shared_page(), keep, page_policy);
      case page_document::status:
        return send(200, json_type, env.text(choice.document), keep);
      case page_document::metrics:
        return send(200, prometheus_type, env.text(choice.document), keep);
      case page_document::alive:
        return send(200, text_type, std::make_shared<std::string>("alive\n"),
                    keep);
      case page_document::ready: {
        auto text = env.text(choice.document);
        return send(text->starts_with("ready") ? 200 : 503, text_type, text,
                    keep);
      }
      case page_document::heatmap:
        if (auto text = env.heatmap(choice.trace, choice.since))
          return send(200, json_type,
                      std::make_shared<std::string>(std::move(*text)), keep);
        ++shared_->refused;
        // A trace that a reload took away: no reason to end the connection.
        return send(404, text_type,
                    std::make_shared<std::string>("no such trace\n"), keep);
    }
    refuse(choice.status, choice.text);
  }

  void refuse(unsigned status, const std::string& why) {
    ++shared_->refused;
    refused_ = true;
    send(status, text_type, std::make_shared<std::string>(why + "\n"), false);
  }

  template <class Head>
  void fill(Head& head, unsigned status, const char* type, const char* policy,
            std::size_t bytes, bool keep) {
    head.version(11);
    head.result(status);
    head.reason(status_words(status));
    head.set(http::field::content_type, type);
    head.set("Content-Security-Policy", policy);
    head.set("X-Content-Type-Options", "nosniff");
    head.set("X-Frame-Options", "DENY");
    head.set("Referrer-Policy", "no-referrer");
    head.set("Cross-Origin-Resource-Policy", "same-origin");
    head.set("Cross-Origin-Opener-Policy", "same-origin");
    head.set(http::field::cache_control, "no-store");
    if (status == 405)
      head.set(http::field::allow, "GET, HEAD");
    head.content_length(bytes);
    head.keep_alive(keep);
  }

  void send(unsigned status, const char* type, shared_text text, bool keep,
            const char* policy = no_content) {
    if (status == 200 || status == 503)
      ++shared_->answered;
    stream_.expires_after(patience);
    auto written = [self = shared_from_this(), keep](error_code ec,
                                                     std::size_t) {
      self->written(ec, keep);
    };
    if (head_only_) {
      bare_.emplace();
      fill(*bare_, status, type, policy, text->size(), keep);
      return http::async_write(stream_, *bare_, std::move(written));
    }
    text_ = std::move(text);
    full_.emplace();
    full_->body() = {text_->data(), text_->size()};
    fill(*full_, status, type, policy, text_->size(), keep);
    http::async_write(stream_, *full_, std::move(written));
  }

  void written(error_code ec, bool keep) {
    text_.reset();
    if (ec == beast::error::timeout)
      ++shared_->timed_out;
    if (ec || generation_ != shared_->generation)
      return close();
    if (keep)
      return read();
    stream_.socket().shutdown(asio::socket_base::shutdown_send, ec);
    if (!refused_)
      return close(); // all that was sent has been read
    stream_.expires_after(linger);
    drain();
  }

  /// To the client's end, within limits.
  void drain() {
    stream_.async_read_some(
      asio::buffer(unused_),
      [self = shared_from_this()](error_code ec, std::size_t n) {
        self->drained_ += n;
        if (ec || self->drained_ > linger_bytes_max)
          self->close();
        else
          self->drain();
      });
  }

  void close() {
    stream_.close();
  }

  static shared_text shared_page() {
    static const auto text = std::make_shared<const std::string>(page_html);
    return text;
  }

  static constexpr const char* page_type = "text/html; charset=utf-8";
  static constexpr const char* json_type = "application/json";
  static constexpr const char* text_type = "text/plain; charset=utf-8";

  std::shared_ptr<shared> shared_;
  std::uint64_t generation_;
  beast::basic_stream<protocol> stream_;
  beast::flat_buffer buffer_{head_bytes_max};
  std::optional<http::request_parser<http::empty_body>> parser_;
  std::optional<http::response<http::empty_body>> bare_;
  std::optional<http::response<http::span_body<const char>>> full_;
  shared_text text_; // being written
  bool head_only_ = false;
  bool refused_ = false;
  std::size_t served_ = 0;
  std::size_t drained_ = 0;
  std::array<char, 1024> unused_{};
};

status_page::status_page(environment env)
  : shared_{std::make_shared<shared>(std::move(env))},
    acceptor_{shared_->env.io}, pause_{shared_->env.io} {}

status_page::~status_page() {
  stop();
}

void status_page::listen(const std::string& where) {
  if (where == where_)
    return;
  stop();
  where_ = where;
  if (!where_.empty())
    try_to_listen();
}

void status_page::stop() {
  ++shared_->generation;
  pause_.cancel();
  error_code ignored;
  acceptor_.close(ignored);
  if (!made_.empty())
    ::unlink(made_.c_str());
  made_.clear();
  where_.clear();
  trouble_.clear();
}

/// What is wrong and what to do, or nothing.
std::string status_page::open(page_place& place) {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family = AF_UNIX;
  auto on_disk = where_.starts_with('/');
  if (on_disk) {
    auto& at = reinterpret_cast<sockaddr_un&>(storage);
    if (where_.size() >= sizeof at.sun_path)
      return "too long for a unix socket (107 bytes); choose a shorter name";
    at.sun_family = AF_UNIX;
    std::memcpy(at.sun_path, where_.data(), where_.size());
    size = sizeof at;
    place.tcp = false;
    if (!clear_name(at))
      return remedy(errno, on_disk);
  } else {
    graphite_address address;
    if (auto wrong = parse_address(where_, address); !wrong.empty())
      return wrong;
    place.port = address.port;
    if (address.host == "::1") {
      auto& at = reinterpret_cast<sockaddr_in6&>(storage);
      at.sin6_family = AF_INET6;
      at.sin6_addr = in6addr_loopback;
      at.sin6_port = htons(address.port);
      size = sizeof at;
    } else {
      auto& at = reinterpret_cast<sockaddr_in&>(storage);
      at.sin_family = AF_INET;
      at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      at.sin_port = htons(address.port);
      size = sizeof at;
    }
    family = storage.ss_family;
  }
  int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return remedy(errno, on_disk);
  int yes = 1;
  if (!on_disk)
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  auto mask = ::umask(0117); // 0660 from the beginning
  auto bound = ::bind(fd, reinterpret_cast<sockaddr*>(&storage), size) == 0;
  auto error = errno;
  ::umask(mask);
  if (bound && on_disk)
    made_ = where_;
  if (bound && ::listen(fd, backlog) != 0) {
    bound = false;
    error = errno;
  }
  error_code ec;
  if (bound) {
    acceptor_.assign(protocol{family, 0}, fd, ec);
    if (!ec)
      return {};
    error = ec.value();
  }
  ::close(fd);
  return remedy(error, on_disk);
}

void status_page::try_to_listen() {
  page_place place;
  auto trouble = open(place);
  const auto& log = shared_->env.log;
  if (trouble.empty()) {
    shared_->place = place;
    log(
      trouble_.empty() ? log_level::info : log_level::notice,
      "the status page is at "
        + (place.tcp ? "http://" + where_ + "/" : "the unix socket " + where_));
    trouble_.clear();
    return accept();
  }
  if (trouble != trouble_)
    log(log_level::warning,
        "status.listen = \"" + where_ + "\": " + trouble
          + "; there is no status page, all else goes on; tried again every "
          + std::to_string(listen_again_after.count()) + " s");
  trouble_ = trouble;
  pause_.expires_after(listen_again_after);
  pause_.async_wait([this](error_code stopped) {
    if (!stopped)
      try_to_listen();
  });
}

void status_page::accept() {
  acceptor_.async_accept(
    [this, all = shared_,
     generation = shared_->generation](error_code ec, protocol::socket socket) {
      if (ec == asio::error::operation_aborted || generation != all->generation)
        return;
      if (ec) { // no descriptors: they come back
        pause_.expires_after(accept_pause);
        pause_.async_wait([this](error_code stopped) {
          if (!stopped)
            accept();
        });
        return;
      }
      if (all->connections < connections_max)
        std::make_shared<session>(all, std::move(socket))->read();
      else
        ++all->turned_away;
      accept();
    });
}

page_report status_page::report() const {
  return {.listen = where_,
          .trouble = trouble_,
          .counts = {{"connections", shared_->accepted},
                     {"turned_away", shared_->turned_away},
                     {"timed_out", shared_->timed_out},
                     {"answered", shared_->answered},
                     {"refused", shared_->refused}}};
}

} // namespace bpf2graphite
