// What the daemon's costs are measured against: the least that the same work
// can take, written to be fast.
//
//   bare_loop HOST-ADDRESS PORT COUNT HOW PROGRAM [ARG ...]
//
// starts COUNT times PROGRAM ARG ..., where %d in an ARG is the child's index,
// and does, in one thread and one epoll loop:
//
//   - reads up to 64 KiB of a pipe that is ready, finds the lines in place
//     (memchr) and keeps what is left of a line for the next read;
//   - parses bpftrace 0.17's text and JSON, told by the first byte of a line,
//     by walking over their fixed shapes: map, key, the lower bound of a bucket
//     (K and M are powers of 1024), count. What has another shape is skipped;
//   - HOW = rows: formats each row as a Graphite line `bpf.testhost.tN.MAP.KEY.
//     LOWER COUNT TIME` at once, with the time of the turn, and sends what one
//     turn gave (from 64 KiB on at once) in one write to one connection that
//     stays. This is what the tool of 2019 did, in C++. It adds nothing up and
//     takes no differences: of a cumulative map it sends what was printed;
//   - HOW = slots or slots-cumulative: adds each row (or its difference to the
//     print before) to the value of its series, and sends each series with one
//     line a slot of 15 s. Series are found by comparing with the one that
//     followed last time, else by a hash table.
//
// On SIGTERM it sends SIGINT to its children, reads to their ends, sends what
// is left, half-closes and waits for the server's end.
//
// It has no supervision, no second try, no confirmation while it runs, no limit
// of memory or names, no own figures, and does not clean names: honest, but
// bare.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

constexpr std::int64_t slot_seconds = 15;

volatile std::sig_atomic_t over = 0;

struct one_series {
  std::string label; // as it was printed: map, key and bound
  std::string path;
  std::uint64_t sum = 0;
  std::uint64_t before = 0; // cumulative: of the last print
};

struct child {
  int pipe = -1;
  pid_t pid = -1;
  std::string prefix; // "bpf.testhost.t17."
  std::string partial;
  std::string header; // text: "u.key." of the block that we are in
  // HOW = slots
  std::vector<one_series> series;
  std::unordered_map<std::string, std::size_t> by_label;
  std::size_t expected = 0;
};

enum class how { rows, slots, slots_cumulative };

class loop {
public:
  loop(how mode, int graphite) : mode_{mode}, graphite_{graphite} {
    out_.reserve(128 << 10);
  }

  void new_turn(std::int64_t now) {
    if (now == now_)
      return;
    now_ = now;
    char digits[24];
    time_.assign(digits,
                 std::to_chars(digits, digits + sizeof digits, now).ptr);
  }

  void take(child& from, std::string_view bytes) {
    if (!from.partial.empty()) {
      const auto end = bytes.find('\n');
      from.partial += bytes.substr(0, end);
      if (end == bytes.npos)
        return;
      take_line(from, from.partial);
      from.partial.clear();
      bytes.remove_prefix(end + 1);
    }
    while (!bytes.empty()) {
      const auto end = bytes.find('\n');
      if (end == bytes.npos) {
        from.partial = bytes;
        return;
      }
      take_line(from, bytes.substr(0, end));
      bytes.remove_prefix(end + 1);
    }
  }

  /// All sums as lines of the slot that began at `slot`.
  void flush_slots(std::vector<child>& children, std::int64_t slot) {
    new_turn(slot);
    for (auto& from : children)
      for (auto& one : from.series) {
        out_ += one.path;
        finish_line(one.sum);
        one.sum = 0;
        send_if(64 << 10);
      }
    send_if(1);
  }

  void send_if(std::size_t at_least) {
    if (out_.size() < at_least)
      return;
    for (std::size_t sent = 0; sent < out_.size();) {
      const auto n =
        ::send(graphite_, out_.data() + sent, out_.size() - sent, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        std::exit(69);
      sent += static_cast<std::size_t>(n);
    }
    out_.clear();
  }

private:
  void take_line(child& from, std::string_view line) {
    if (line.empty())
      return;
    if (line.front() == '{')
      take_json(from, line);
    else if (line.front() == '@')
      take_header(from, line);
    else if (line.front() == '[' || line.front() == '(')
      take_row(from, line);
  }

  // `@u[key]: ` begins a block of rows, `@u[key]: 7` is a value.
  void take_header(child& from, std::string_view line) {
    const auto colon = line.rfind(": ");
    if (colon == line.npos)
      return;
    auto name = line.substr(1, colon - 1);
    from.header.clear();
    if (const auto open = name.find('['); open != name.npos) {
      from.header.append(name, 0, open);
      from.header += '.';
      from.header.append(name, open + 1, name.size() - open - 2);
    } else {
      from.header = name;
    }
    std::uint64_t value = 0;
    const auto* begin = line.data() + colon + 2;
    const auto* end = line.data() + line.size();
    if (begin != end && std::from_chars(begin, end, value).ec == std::errc{})
      emit(from, from.header, {}, value);
    else
      from.header += '.';
  }

  // `[1K, 2K)            12 |@@   |`
  void take_row(child& from, std::string_view line) {
    const auto close = line.find(')');
    const auto end = close == line.npos ? line.find(']') : close;
    if (end == line.npos)
      return;
    const auto* at = line.data() + end + 1;
    const auto* const last = line.data() + line.size();
    while (at != last && *at == ' ')
      ++at;
    std::uint64_t count = 0;
    if (std::from_chars(at, last, count).ec != std::errc{})
      return;
    if (mode_ != how::rows) // the label itself is the name until it is new
      return add(from, from.header, line.substr(0, end), count);
    emit(from, from.header, lower_bound(line), count);
  }

  std::string_view lower_bound(std::string_view label) {
    if (label.front() == '(')
      return "-inf";
    std::int64_t low = 0;
    const auto [after, error] =
      std::from_chars(label.data() + 1, label.data() + label.size(), low);
    if (error != std::errc{})
      return {};
    if (*after == 'K')
      low <<= 10;
    else if (*after == 'M')
      low <<= 20;
    else if (*after == 'G')
      low <<= 30;
    else
      return label.substr(1,
                          static_cast<std::size_t>(after - label.data() - 1));
    return {bound_,
            static_cast<std::size_t>(
              std::to_chars(bound_, bound_ + sizeof bound_, low).ptr - bound_)};
  }

  /// Walks over `text` at `at`; false where something else stands.
  static bool skip(std::string_view line, std::size_t& at,
                   std::string_view text) {
    if (line.compare(at, text.size(), text) != 0)
      return false;
    at += text.size();
    return true;
  }

  // {"type": "hist", "data": {"@u": [{"min": 2, "max": 3, "count": 5}, ...]}}
  // {"type": "hist", "data": {"@u": {"key": [...], ...}}}
  // {"type": "map", "data": {"@u": {"key": 7, ...}}}
  void take_json(child& from, std::string_view line) {
    std::size_t at = 0;
    if (!skip(line, at, R"({"type": ")"))
      return;
    const auto hist = skip(line, at, R"(hist", "data": {"@)");
    if (!hist && !skip(line, at, R"(map", "data": {"@)"))
      return;
    auto end = line.find('"', at);
    if (end == line.npos)
      return;
    from.header.assign(line, at, end - at);
    from.header += '.';
    const auto map_size = from.header.size();
    at = end;
    if (!skip(line, at, "\": "))
      return;
    if (hist && at < line.size() && line[at] == '[') {
      rows(from, line, at);
      return;
    }
    if (!skip(line, at, "{"))
      return;
    while (skip(line, at, "\"")) {
      end = line.find('"', at);
      if (end == line.npos)
        return;
      from.header.resize(map_size);
      from.header.append(line, at, end - at);
      at = end;
      if (!skip(line, at, "\": "))
        return;
      if (hist) {
        from.header += '.';
        if (!rows(from, line, at))
          return;
      } else {
        std::uint64_t value = 0;
        if (!digits(line, at, value))
          return;
        emit(from, from.header, {}, value);
      }
      if (!skip(line, at, ", "))
        return;
    }
  }

  static bool digits(std::string_view line, std::size_t& at,
                     std::uint64_t& value) {
    const auto [end, error] =
      std::from_chars(line.data() + at, line.data() + line.size(), value);
    at = static_cast<std::size_t>(end - line.data());
    return error == std::errc{};
  }

  bool rows(child& from, std::string_view line, std::size_t& at) {
    ++at; // [
    while (skip(line, at, R"({"min": )")) {
      const auto low = at;
      at = line.find(',', at);
      if (at == line.npos)
        return false;
      const auto bound = line.substr(low, at - low);
      if (!skip(line, at, R"(, "max": )"))
        return false;
      at = line.find(',', at);
      std::uint64_t count = 0;
      if (at == line.npos || !skip(line, at, R"(, "count": )")
          || !digits(line, at, count) || !skip(line, at, "}"))
        return false;
      emit(from, from.header, bound, count);
      if (!skip(line, at, ", "))
        break;
    }
    return skip(line, at, "]");
  }

  void emit(child& from, std::string_view name, std::string_view bound,
            std::uint64_t value) {
    if (mode_ != how::rows)
      return add(from, name, bound, value);
    out_ += from.prefix;
    out_ += name;
    out_ += bound;
    finish_line(value);
    send_if(64 << 10);
  }

  void finish_line(std::uint64_t value) {
    char text[48];
    auto* at = text;
    *at++ = ' ';
    at = std::to_chars(at, at + 20, value).ptr;
    *at++ = ' ';
    std::memcpy(at, time_.data(), time_.size());
    at += time_.size();
    *at++ = '\n';
    out_.append(text, at);
  }

  /// `bound`: a JSON bound or a text label, whichever this child prints.
  void add(child& from, std::string_view name, std::string_view bound,
           std::uint64_t value) {
    auto at = from.expected < from.series.size() ? from.expected : 0;
    if (from.series.empty() || !is(from.series[at], name, bound)) {
      auto label = std::string{name};
      label += bound;
      const auto [found, added] =
        from.by_label.try_emplace(label, from.series.size());
      at = found->second;
      if (added) {
        const auto text = bound.starts_with('[') || bound.starts_with('(');
        auto path = from.prefix + std::string{name};
        path += text ? lower_bound(bound) : bound;
        from.series.push_back({label, std::move(path)});
      }
    }
    auto& one = from.series[at];
    from.expected = at + 1;
    if (mode_ == how::slots) {
      one.sum += value;
    } else {
      one.sum += value - one.before;
      one.before = value;
    }
  }

  static bool is(const one_series& one, std::string_view name,
                 std::string_view bound) {
    return one.label.size() == name.size() + bound.size()
           && std::memcmp(one.label.data(), name.data(), name.size()) == 0
           && std::memcmp(one.label.data() + name.size(), bound.data(),
                          bound.size())
                == 0;
  }

  how mode_;
  int graphite_;
  std::int64_t now_ = 0;
  std::string time_;
  std::string out_;
  char bound_[24] = {};
};

child start(int index, char** argv) {
  int p[2];
  if (::pipe2(p, O_CLOEXEC | O_NONBLOCK) != 0)
    std::exit(71);
  const auto pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::dup2(p[1], 1);
    ::fcntl(1, F_SETFL, 0);
    std::vector<std::string> args;
    for (char** a = argv; *a != nullptr; ++a) {
      std::string arg = *a;
      if (const auto at = arg.find("%d"); at != arg.npos)
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
  child result;
  result.pipe = p[0];
  result.pid = pid;
  result.prefix = "bpf.testhost.t" + std::to_string(index) + ".";
  return result;
}

int connect_to(const char* address, const char* port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  const auto graphite = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::inet_pton(AF_INET, address, &to.sin_addr) != 1
      || ::connect(graphite, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
    std::exit(69);
  return graphite;
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 6)
    return 64;
  const std::string_view word = argv[4];
  const auto mode = word == "rows"    ? how::rows
                    : word == "slots" ? how::slots
                                      : how::slots_cumulative;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  // The order to end comes in while we wait, and nowhere else.
  sigset_t end;
  sigset_t waiting;
  ::sigemptyset(&end);
  ::sigaddset(&end, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &end, &waiting);
  ::sigdelset(&waiting, SIGTERM);
  struct sigaction act {};
  act.sa_handler = [](int) {
    over = 1;
  };
  ::sigaction(SIGTERM, &act, nullptr);

  const auto graphite = connect_to(argv[1], argv[2]);
  loop work{mode, graphite};
  std::vector<child> children;
  const auto count = std::atoi(argv[3]);
  const auto poll = ::epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < count; ++i) {
    children.push_back(start(i, argv + 5));
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.u64 = static_cast<std::uint64_t>(i);
    ::epoll_ctl(poll, EPOLL_CTL_ADD, children.back().pipe, &e);
  }
  std::vector<char> scratch(64 << 10);
  std::vector<epoll_event> ready(64);
  auto open = count;
  auto told = false;
  auto slot = std::time(nullptr) / slot_seconds;
  while (open > 0) {
    if (over != 0 && !told) {
      told = true;
      for (const auto& one : children)
        ::kill(one.pid, SIGINT);
    }
    auto pause = -1;
    if (mode != how::rows) {
      timespec at{};
      ::clock_gettime(CLOCK_REALTIME, &at);
      pause = static_cast<int>(((slot + 1) * slot_seconds - at.tv_sec) * 1000
                               - at.tv_nsec / 1'000'000 + 1);
      pause = pause < 0 ? 0 : pause;
    }
    const auto n =
      ::epoll_pwait(poll, ready.data(), static_cast<int>(ready.size()), pause,
                    told ? nullptr : &waiting);
    const auto now = std::time(nullptr);
    if (mode == how::rows) {
      work.new_turn(now);
    } else if (now / slot_seconds != slot) {
      work.flush_slots(children, slot * slot_seconds);
      slot = now / slot_seconds;
    }
    for (int i = 0; i < n; ++i) {
      auto& from = children[ready[static_cast<std::size_t>(i)].data.u64];
      const auto got = ::read(from.pipe, scratch.data(), scratch.size());
      if (got == 0) {
        ::epoll_ctl(poll, EPOLL_CTL_DEL, from.pipe, nullptr);
        --open;
      }
      if (got > 0)
        work.take(from, {scratch.data(), static_cast<std::size_t>(got)});
    }
    work.send_if(1);
  }
  if (mode != how::rows)
    work.flush_slots(children, slot * slot_seconds);
  for (const auto& one : children)
    ::waitpid(one.pid, nullptr, 0);
  ::shutdown(graphite, SHUT_WR);
  while (::read(graphite, scratch.data(), scratch.size()) > 0) {
  }
  return 0;
}
