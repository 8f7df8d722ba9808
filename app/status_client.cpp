#include "app/status_client.hpp"

#include "app/log.hpp"
#include "app/startup.hpp"
#include "app/status_text.hpp"
#include "app/verbs.hpp"

#include <boost/json.hpp>

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>

namespace bpf2graphite {
namespace {

/// A daemon that is stuck must not hold us.
constexpr int patience_ms = 10'000;

struct connection {
  int fd = -1;
  connection() = default;
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection() {
    if (fd >= 0)
      ::close(fd);
  }
};

bool refuse(const std::string& path, int error) {
  std::cerr << "bpf2graphite: " << path << ": " << std::strerror(error);
  switch (error) {
    case ENOENT:
    case ECONNREFUSED:
      std::cerr << "; no daemon runs with this runtime directory (systemctl "
                   "status bpf2graphite)";
      break;
    case EACCES:
      std::cerr << "; only root and its group may ask (sudo)";
      break;
    default:
      break;
  }
  std::cerr << '\n';
  return false;
}

bool open_connection(connection& to, const std::string& path,
                     std::string_view question) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return refuse(path, ENAMETOOLONG);
  path.copy(address.sun_path, path.size());
  to.fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (to.fd < 0
      || ::connect(to.fd, reinterpret_cast<sockaddr*>(&address), sizeof address)
           != 0)
    return refuse(path, errno);
  auto line = std::string{question} + "\n";
  if (::send(to.fd, line.data(), line.size(), MSG_NOSIGNAL)
      != static_cast<ssize_t>(line.size()))
    return refuse(path, errno);
  return true;
}

} // namespace

std::string status_socket_path(const options& given) {
  auto files = open_files();
  auto started = read_config(given, files, given.config_path.has_value());
  auto folder = started.value.status.runtime_directory;
  return (folder.empty() ? std::string{"/run/bpf2graphite"} : folder)
         + "/status.sock";
}

bool follow_daemon(const std::string& path, std::string_view question,
                   const std::function<bool(std::string_view)>& take) {
  connection to;
  if (!open_connection(to, path, question))
    return false;
  char bytes[65536];
  for (;;) {
    auto n = ::read(to.fd, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0 || !take({bytes, static_cast<std::size_t>(n)}))
      return true;
  }
}

std::optional<std::string> ask_daemon(const std::string& path,
                                      std::string_view question) {
  connection to;
  if (!open_connection(to, path, question))
    return std::nullopt;
  std::string answer;
  char bytes[65536];
  for (;;) {
    pollfd wait{.fd = to.fd, .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, patience_ms) == 0) {
      std::cerr << "bpf2graphite: " << path
                << ": the daemon does not answer; it is stuck, or stopped by a "
                   "signal\n";
      return std::nullopt;
    }
    auto n = ::read(to.fd, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      refuse(path, errno);
      return std::nullopt;
    }
    if (n == 0)
      break;
    answer.append(bytes, static_cast<std::size_t>(n));
  }
  if (answer.empty()) {
    std::cerr << "bpf2graphite: " << path
              << ": the daemon hung up: too many ask at once, or it stops\n";
    return std::nullopt;
  }
  return answer;
}

int status(const options& given) {
  auto answer = ask_daemon(status_socket_path(given), "status");
  if (!answer)
    return exit_code::unavailable;
  if (given.json) {
    std::cout << *answer << std::flush;
    return exit_code::ok;
  }
  boost::system::error_code ec;
  auto document = boost::json::parse(*answer, ec);
  if (ec) {
    std::cerr << "bpf2graphite: the daemon's answer is no JSON: "
              << ec.message() << "; is it of another version?\n";
    return exit_code::data;
  }
  winsize size{};
  auto columns = ::isatty(STDOUT_FILENO) == 1
                     && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0
                   ? std::size_t{size.ws_col}
                   : 0;
  std::cout << status_text(document, columns) << std::flush;
  return exit_code::ok;
}

int tap(const options& given) {
  std::string question = "tap";
  for (const auto& name : given.names)
    question += " " + name;
  auto written = true;
  auto connected =
    follow_daemon(status_socket_path(given), question, [&](auto bytes) {
      written =
        std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size()
        && std::fflush(stdout) == 0;
      return written;
    });
  if (!connected)
    return exit_code::unavailable;
  if (written) {
    std::cerr << "bpf2graphite: the daemon ended the tap: it stops, or we read "
                 "too slowly\n";
    return exit_code::unavailable;
  }
  return exit_code::ok;
}

} // namespace bpf2graphite
