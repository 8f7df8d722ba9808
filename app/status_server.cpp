#include "app/status_server.hpp"

#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <istream>
#include <set>
#include <sstream>
#include <utility>

namespace bpf2graphite {

namespace asio = boost::asio;
using local = asio::local::stream_protocol;
using boost::system::error_code;

namespace {

constexpr std::chrono::seconds accept_pause{1}; // without descriptors

} // namespace

/// One client. Lives as long as something is under way for it.
class status_server::session : public std::enable_shared_from_this<session> {
public:
  session(const environment& env, local::socket socket,
          std::shared_ptr<std::size_t> sessions, std::shared_ptr<bool> open,
          std::shared_ptr<descriptor_reserve> spare)
    : env_{env}, socket_{std::move(socket)}, deadline_{env.io},
      sessions_{std::move(sessions)}, open_{std::move(open)}, spare_{std::move(
                                                                spare)} {
    ++*sessions_;
  }

  ~session() {
    --*sessions_;
    spare_->keep(); // what was ours is free
  }

  void start() {
    expect_progress();
    asio::async_read_until(
      socket_, in_, '\n',
      [self = shared_from_this()](error_code ec, std::size_t) {
        if (ec)
          return self->close();
        std::istream stream{&self->in_};
        std::string line;
        std::getline(stream, line);
        self->answer(line);
      });
  }

private:
  void expect_progress() {
    deadline_.expires_after(patience);
    deadline_.async_wait([self = shared_from_this()](error_code ec) {
      if (!ec)
        self->close();
    });
  }

  void answer(const std::string& line) {
    if (!*open_)
      return close();
    std::istringstream words{line};
    std::string verb;
    words >> verb;
    if (verb == "status" || verb == "history") {
      last_ = true;
      send(env_.documents.get(verb == "history" ? status_document::history
                                                : status_document::status));
    } else if (verb == "tap") {
      for (std::string trace; words >> trace;)
        wanted_.insert(trace);
      tap();
    } else {
      last_ = true;
      send(std::make_shared<std::string>(
        "{\"error\":\"one of: status, history, tap\"}\n"));
    }
  }

  void tap() {
    deadline_.cancel();
    tapping_ =
      env_.tap.join([self = shared_from_this()](
                      const std::string& trace,
                      const std::shared_ptr<const std::string>& lines) {
        if (self->wanted_.empty() || self->wanted_.count(trace) != 0)
          self->send(lines);
      });
    // Its end is the only thing that a client has left to say.
    socket_.async_read_some(
      asio::buffer(&unused_, 1),
      [self = shared_from_this()](error_code, std::size_t) { self->close(); });
  }

  void send(std::shared_ptr<const std::string> text) {
    if (!socket_.is_open())
      return;
    unread_ += text->size();
    if (tapping_ && unread_ > unread_bytes_max)
      return close(); // too slow
    out_.push_back(std::move(text));
    if (out_.size() == 1)
      write();
  }

  void write() {
    if (!tapping_)
      expect_progress();
    socket_.async_write_some(
      asio::buffer(out_.front()->data() + written_,
                   out_.front()->size() - written_),
      [self = shared_from_this()](error_code ec, std::size_t n) {
        if (ec)
          return self->close();
        self->written_ += n;
        self->unread_ -= n;
        if (self->written_ == self->out_.front()->size()) {
          self->out_.pop_front();
          self->written_ = 0;
        }
        if (!self->out_.empty())
          self->write();
        else if (self->last_)
          self->close();
      });
  }

  void close() {
    if (tapping_) {
      // The tap holds us: keep this alive to the end of the function.
      auto self = shared_from_this();
      if (*open_)
        env_.tap.leave(*tapping_);
      tapping_.reset();
    }
    deadline_.cancel();
    error_code ignored;
    socket_.close(ignored);
  }

  const environment& env_;
  local::socket socket_;
  asio::steady_timer deadline_;
  std::shared_ptr<std::size_t> sessions_;
  std::shared_ptr<bool> open_; // false: the server, and `env_`, may be gone
  std::shared_ptr<descriptor_reserve> spare_;
  asio::streambuf in_{request_bytes_max};
  std::set<std::string> wanted_;
  std::optional<int> tapping_;
  std::deque<std::shared_ptr<const std::string>> out_;
  std::size_t written_ = 0; // of the front
  std::size_t unread_ = 0;
  bool last_ = false;
  char unused_ = 0;
};

status_server::status_server(environment env)
  : env_{std::move(env)}, acceptor_{env_.io}, pause_{env_.io} {}

status_server::~status_server() {
  stop();
}

std::optional<std::string> status_server::start() {
  local::endpoint at;
  try {
    at = local::endpoint{env_.path};
  } catch (const boost::system::system_error&) {
    return env_.path
           + ": too long for a unix socket (107 bytes); `status`, "
             "`top` and `tap` will not work: set "
             "status.runtime-directory to a shorter path";
  }
  error_code ec;
  ::unlink(env_.path.c_str()); // of a daemon that was killed: we have the lock
  acceptor_.open(at.protocol(), ec);
  if (!ec) {
    auto mask = ::umask(0117); // 0660 from the beginning
    acceptor_.bind(at, ec);
    ::umask(mask);
  }
  if (!ec)
    acceptor_.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) {
    error_code ignored;
    acceptor_.close(ignored);
    return env_.path + ": " + ec.message()
           + "; `status`, `top` and `tap` will not work";
  }
  *open_ = true;
  accept();
  return std::nullopt;
}

void status_server::accept() {
  acceptor_.async_accept([this, open = open_](error_code ec,
                                              local::socket socket) {
    if (ec == asio::error::operation_aborted || !*open)
      return;
    auto none_left = ec == asio::error::no_descriptors || ec.value() == ENFILE;
    if (none_left && spare_->give())
      return accept();
    if (ec) { // no descriptors: they come back
      pause_.expires_after(accept_pause);
      pause_.async_wait([this](error_code stopped) {
        if (stopped)
          return;
        spare_->keep();
        accept();
      });
      return;
    }
    if (*sessions_ < sessions_max)
      std::make_shared<session>(env_, std::move(socket), sessions_, open_,
                                spare_)
        ->start();
    accept();
  });
}

void status_server::stop() {
  if (!*open_)
    return;
  *open_ = false;
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
  ::unlink(env_.path.c_str());
}

} // namespace bpf2graphite
