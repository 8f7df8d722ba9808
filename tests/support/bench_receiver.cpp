// Graphite's end where costs are measured: takes plaintext on any number of
// connections as fast as it comes, and says afterwards what it has taken.
//
//   bench_receiver RESOLUTION FILE...
// prints a port of 127.0.0.1 for each FILE, one a line, and listens on all of
// them. RESOLUTION: of the sender's slots, in seconds. SIGTERM: writes each
// FILE and ends. SIGUSR1: writes them and goes on. A file begins with
//
//   lines L bytes B bad N late S connections C
//
// (late: the longest time in ms from the end of a point's slot to its arrival,
// for the first point of each series and slot), then for each path a line
//
//   PATH POINTS SLOTS FIRST LAST BACKWARDS SUM VALUE
//
// POINTS that came, in SLOTS different slots from FIRST to LAST; BACKWARDS: how
// often a time was before the one that came before it; SUM of all points; VALUE
// of the last. Values are integers; a fraction (collectd writes none for whole
// numbers) is cut off.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

struct series {
  std::uint64_t points = 0;
  std::uint64_t slots = 0;
  std::uint64_t backwards = 0;
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::uint64_t sum = 0;
  std::uint64_t value = 0;
};

struct text_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>{}(text);
  }
};

/// What came on one port.
struct port {
  int listener = -1;
  std::string file;
  std::unordered_map<std::string, series, text_hash, std::equal_to<>> known;
  std::uint64_t lines = 0;
  std::uint64_t bytes = 0;
  std::uint64_t bad = 0;
  std::uint64_t connections = 0;
  std::int64_t late_ms = 0;
};

struct connection {
  int socket = -1;
  port* of = nullptr; // null: a listener's own entry
  port* accepts = nullptr;
  std::string rest;
};

std::int64_t resolution = 15;

std::int64_t wall_ms() {
  timespec at{};
  ::clock_gettime(CLOCK_REALTIME, &at);
  return std::int64_t{at.tv_sec} * 1000 + at.tv_nsec / 1'000'000;
}

template <class Integer>
bool number(std::string_view text, Integer& value) {
  const auto [end, error] =
    std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{}
         && (end == text.data() + text.size() || *end == '.');
}

void take(port& to, std::string_view line, std::int64_t now_ms) {
  if (line.ends_with('\r'))
    line.remove_suffix(1);
  const auto first = line.find(' ');
  const auto second = line.find(' ', first + 1);
  std::uint64_t value = 0;
  std::int64_t at = 0;
  if (first == line.npos || second == line.npos || first == 0
      || !number(line.substr(first + 1, second - first - 1), value)
      || !number(line.substr(second + 1), at)) {
    ++to.bad;
    return;
  }
  ++to.lines;
  const auto path = line.substr(0, first);
  auto found = to.known.find(path);
  if (found == to.known.end())
    found = to.known.emplace(path, series{}).first;
  auto& one = found->second;
  if (one.points == 0 || at != one.last) {
    if (one.points == 0)
      one.first = at;
    else if (at < one.last)
      ++one.backwards;
    one.last = at;
    ++one.slots;
    const auto late = now_ms - (at + resolution) * 1000;
    to.late_ms = late > to.late_ms ? late : to.late_ms;
  }
  ++one.points;
  one.sum += value;
  one.value = value;
}

/// False at its end.
bool read_all(connection& from, std::vector<char>& scratch) {
  const auto got = ::read(from.socket, scratch.data(), scratch.size());
  if (got <= 0)
    return false;
  auto& to = *from.of;
  const auto now = wall_ms();
  std::string_view bytes{scratch.data(), static_cast<std::size_t>(got)};
  to.bytes += bytes.size();
  if (!from.rest.empty()) {
    const auto end = bytes.find('\n');
    from.rest += bytes.substr(0, end);
    if (end == bytes.npos)
      return true;
    take(to, from.rest, now);
    from.rest.clear();
    bytes.remove_prefix(end + 1);
  }
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    if (end == bytes.npos) {
      from.rest = bytes;
      break;
    }
    take(to, bytes.substr(0, end), now);
    bytes.remove_prefix(end + 1);
  }
  return true;
}

void report(const port& of) {
  const auto half = of.file + ".half";
  auto* file = std::fopen(half.c_str(), "w");
  if (file == nullptr)
    std::exit(1);
  std::fprintf(
    file, "lines %llu bytes %llu bad %llu late %lld connections %llu\n",
    static_cast<unsigned long long>(of.lines),
    static_cast<unsigned long long>(of.bytes),
    static_cast<unsigned long long>(of.bad), static_cast<long long>(of.late_ms),
    static_cast<unsigned long long>(of.connections));
  for (const auto& [path, one] : of.known)
    std::fprintf(file, "%s %llu %llu %lld %lld %llu %llu %llu\n", path.c_str(),
                 static_cast<unsigned long long>(one.points),
                 static_cast<unsigned long long>(one.slots),
                 static_cast<long long>(one.first),
                 static_cast<long long>(one.last),
                 static_cast<unsigned long long>(one.backwards),
                 static_cast<unsigned long long>(one.sum),
                 static_cast<unsigned long long>(one.value));
  if (std::fclose(file) != 0 || std::rename(half.c_str(), of.file.c_str()) != 0)
    std::exit(1);
}

int listen_on_any(int& number) {
  const auto listener =
    ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&at), size) != 0
      || ::listen(listener, 128) != 0
      || ::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size) != 0)
    std::exit(69);
  number = ntohs(at.sin_port);
  return listener;
}

void watch(int poll, connection& one) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &one;
  ::epoll_ctl(poll, EPOLL_CTL_ADD, one.socket, &event);
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3)
    return 64;
  resolution = std::atoi(argv[1]);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  const auto poll = ::epoll_create1(EPOLL_CLOEXEC);
  connection told;
  told.socket = ::signalfd(-1, &signals, SFD_CLOEXEC);
  watch(poll, told);
  std::deque<port> ports;
  std::deque<connection> listeners;
  for (int i = 2; i < argc; ++i) {
    int number = 0;
    auto& one = ports.emplace_back();
    one.listener = listen_on_any(number);
    one.file = argv[i];
    auto& entry = listeners.emplace_back();
    entry.socket = one.listener;
    entry.accepts = &one;
    watch(poll, entry);
    std::printf("%d\n", number);
  }
  std::fflush(stdout);
  std::vector<char> scratch(256 << 10);
  std::vector<epoll_event> ready(64);
  for (;;) {
    const auto n =
      ::epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), -1);
    for (int i = 0; i < n; ++i) {
      auto& at =
        *static_cast<connection*>(ready[static_cast<std::size_t>(i)].data.ptr);
      if (&at == &told) {
        signalfd_siginfo which{};
        [[maybe_unused]] const auto size =
          ::read(told.socket, &which, sizeof which);
        for (const auto& one : ports)
          report(one);
        if (which.ssi_signo == SIGTERM)
          return 0;
      } else if (at.accepts != nullptr) {
        const auto socket =
          ::accept4(at.socket, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0)
          continue;
        auto entry = std::make_unique<connection>();
        entry->socket = socket;
        entry->of = at.accepts;
        ++at.accepts->connections;
        watch(poll, *entry.release());
      } else if (!read_all(at, scratch)) {
        ::close(at.socket);
        delete &at;
      }
    }
  }
}
