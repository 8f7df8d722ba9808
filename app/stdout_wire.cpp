#include "app/stdout_wire.hpp"

#include <boost/asio/post.hpp>

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace bpf2graphite {
namespace {

/// The lines whose time stamp is at most `last`.
std::string only_up_to(std::string_view lines, std::int64_t last) {
  std::string out;
  while (!lines.empty()) {
    auto size = lines.find('\n') + 1;
    auto line = lines.substr(0, size);
    lines.remove_prefix(size);
    std::int64_t slot = 0;
    auto at = line.rfind(' ') + 1;
    std::from_chars(line.data() + at, line.data() + line.size(), slot);
    if (slot <= last)
      out += line;
  }
  return out;
}

} // namespace

stdout_wire::stdout_wire(boost::asio::io_context& io,
                         std::function<void(std::string)> broken)
  : io_{io}, broken_{std::move(broken)} {}

void stdout_wire::listen(std::function<void(wire_event)> listener) {
  std::lock_guard guard{mutex_};
  listener_ = std::move(listener);
}

void stdout_wire::tell(wire_event event) {
  boost::asio::post(io_, [this, event = std::move(event)] {
    std::unique_lock guard{mutex_};
    auto listener = listener_;
    guard.unlock();
    if (listener)
      listener(event);
  });
}

void stdout_wire::connect(std::uint64_t attempt, const graphite_address&,
                          wire_limits) {
  tell({.attempt = attempt, .kind = wire_event_kind::connected, .reason = {}});
}

void stdout_wire::send(std::uint64_t attempt,
                       std::shared_ptr<const std::string> lines) {
  boost::asio::post(io_, [this, attempt, lines = std::move(lines)] {
    auto shown = only_up_to(*lines, last_slot_);
    for (std::size_t done = 0; done < shown.size();) {
      auto n = ::write(STDOUT_FILENO, shown.data() + done, shown.size() - done);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0) {
        broken_(std::strerror(errno));
        return;
      }
      done += static_cast<std::size_t>(n);
    }
    tell({.attempt = attempt,
          .kind = wire_event_kind::acknowledged,
          .bytes = lines->size(),
          .reason = {}});
  });
}

void stdout_wire::half_close(std::uint64_t attempt) {
  tell({.attempt = attempt,
        .kind = wire_event_kind::peer_closed,
        .after_half_close = true,
        .reason = {}});
}

void stdout_wire::close(std::uint64_t) {}

} // namespace bpf2graphite
