// What the daemon's costs are measured against: the least that the same work
// can take. One thread, epoll, children's pipes; each line of bpftrace's JSON
// is scanned for its buckets, each bucket formatted as a Graphite line at once,
// and what came in one turn of the loop is sent in one write. It has no
// supervision, no slots, no differences, no confirmation: honest, but bare.
//
//   bare_loop HOST-ADDRESS PORT COUNT PROGRAM [ARG ...]
// starts COUNT times PROGRAM ARG ..., where %d in an ARG is the child's index.

#include <arpa/inet.h>
#include <csignal>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace {

volatile std::sig_atomic_t over = 0;

struct child {
  int pipe = -1;
  pid_t pid = -1;
  std::string prefix; // "bench.t17."
  std::string partial;
};

child start(int index, char** argv) {
  int p[2];
  if (::pipe2(p, O_CLOEXEC | O_NONBLOCK) != 0)
    std::exit(1);
  auto pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(p[1], 1);
    ::fcntl(1, F_SETFL, 0);
    std::vector<std::string> args;
    for (char** a = argv; *a != nullptr; ++a) {
      std::string arg = *a;
      if (auto at = arg.find("%d"); at != std::string::npos)
        arg.replace(at, 2, std::to_string(index));
      args.push_back(arg);
    }
    std::vector<char*> raw;
    for (auto& a : args)
      raw.push_back(a.data());
    raw.push_back(nullptr);
    ::execv(raw[0], raw.data());
    ::_exit(127);
  }
  ::close(p[1]);
  return {p[0], pid, "bench.t" + std::to_string(index) + ".", {}};
}

std::int64_t number_after(std::string_view s, std::string_view name,
                          std::size_t& at) {
  at = s.find(name, at);
  if (at == std::string_view::npos)
    return 0;
  at += name.size();
  std::int64_t value = 0;
  std::from_chars(s.data() + at, s.data() + s.size(), value);
  return value;
}

void append(std::string& out, std::int64_t value) {
  char digits[24];
  auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

void take_line(const child& from, std::string_view line, std::int64_t now,
               std::string& out) {
  if (line.find("\"hist\"") == std::string_view::npos)
    return;
  for (std::size_t at = 0;;) {
    auto low = number_after(line, "\"min\": ", at);
    if (at == std::string_view::npos)
      return;
    auto count = number_after(line, "\"count\": ", at);
    if (at == std::string_view::npos)
      return;
    out += from.prefix;
    append(out, low);
    out += ' ';
    append(out, count);
    out += ' ';
    append(out, now);
    out += '\n';
  }
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 5)
    return 64;
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGTERM, [](int) { over = 1; });
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[2])));
  ::inet_pton(AF_INET, argv[1], &to.sin_addr);
  int graphite = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(graphite, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
    return 69;
  std::vector<child> children;
  auto count = std::atoi(argv[3]);
  int poll = ::epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < count; ++i) {
    children.push_back(start(i, argv + 4));
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.u64 = static_cast<std::uint64_t>(i);
    ::epoll_ctl(poll, EPOLL_CTL_ADD, children.back().pipe, &e);
  }
  std::string out;
  std::vector<char> scratch(64 << 10);
  std::vector<epoll_event> ready(64);
  while (over == 0) {
    auto n =
      ::epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), -1);
    auto now = std::time(nullptr);
    for (int i = 0; i < n; ++i) {
      auto& from = children[ready[static_cast<std::size_t>(i)].data.u64];
      auto got = ::read(from.pipe, scratch.data(), scratch.size());
      if (got == 0)
        ::epoll_ctl(poll, EPOLL_CTL_DEL, from.pipe, nullptr);
      if (got <= 0)
        continue;
      from.partial.append(scratch.data(), static_cast<std::size_t>(got));
      std::size_t first = 0;
      for (std::size_t end;
           (end = from.partial.find('\n', first)) != std::string::npos;
           first = end + 1)
        take_line(from,
                  std::string_view{from.partial}.substr(first, end - first),
                  now, out);
      from.partial.erase(0, first);
    }
    for (std::size_t sent = 0; sent < out.size();) {
      auto written = ::send(graphite, out.data() + sent, out.size() - sent, 0);
      if (written < 0)
        return 69;
      sent += static_cast<std::size_t>(written);
    }
    out.clear();
  }
  for (auto& c : children)
    ::kill(c.pid, SIGKILL);
  for (auto& c : children)
    ::waitpid(c.pid, nullptr, 0);
  return 0;
}
