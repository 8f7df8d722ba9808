#include "app/service_notifier.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <system_error>

namespace bpf2graphite {

service_notifier::service_notifier() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (path == nullptr || (path[0] != '/' && path[0] != '@')
      || std::strlen(path) >= sizeof(address.sun_path))
    return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path, std::strlen(path));
  if (address.sun_path[0] == '@')
    address.sun_path[0] = '\0';
  auto size =
    static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ >= 0
      && ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), size)
           != 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

service_notifier::~service_notifier() {
  if (fd_ >= 0)
    ::close(fd_);
}

bool service_notifier::send(const std::string& message, int wait_ms) {
  if (fd_ < 0)
    return true;
  for (int tries = 0; tries < 2; ++tries) {
    if (::send(fd_, message.data(), message.size(), MSG_NOSIGNAL) >= 0)
      return true;
    if (errno != EAGAIN || wait_ms == 0)
      return false;
    pollfd room{fd_, POLLOUT, 0};
    ::poll(&room, 1, wait_ms);
  }
  return false;
}

bool service_notifier::tell(std::string_view what, std::string_view status) {
  std::string message{what};
  if (!status.empty()) {
    status_ = status.substr(0, message_bytes_max);
    message += "\nSTATUS=" + status_;
  }
  return send(message, 100);
}

void service_notifier::tell_reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  auto us = std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1'000;
  tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(us));
}

bool service_notifier::tell_status(std::string_view status) {
  std::string next{status.substr(0, message_bytes_max)};
  if (next == status_)
    return true;
  if (!send("STATUS=" + next, 0))
    return false;
  status_ = std::move(next);
  return true;
}

void service_notifier::ping() {
  send("WATCHDOG=1", 0);
}

std::optional<std::chrono::microseconds> watchdog_limit() {
  auto number_of = [](const char* name) -> std::optional<std::uint64_t> {
    const char* text = std::getenv(name);
    if (text == nullptr)
      return std::nullopt;
    std::uint64_t number = 0;
    const auto* end = text + std::strlen(text);
    auto [stopped, error] = std::from_chars(text, end, number);
    return error == std::errc{} && stopped == end ? std::optional{number}
                                                  : std::nullopt;
  };
  auto us = number_of("WATCHDOG_USEC");
  // It may be set for the process that started us.
  const auto for_us =
    std::getenv("WATCHDOG_PID") == nullptr
    || number_of("WATCHDOG_PID") == static_cast<std::uint64_t>(::getpid());
  constexpr auto us_max = std::uint64_t{INT64_MAX} / 1'000; // as nanoseconds
  if (!us || *us == 0 || *us > us_max || !for_us)
    return std::nullopt;
  return std::chrono::microseconds{static_cast<std::int64_t>(*us)};
}

} // namespace bpf2graphite
