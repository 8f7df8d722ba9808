#include "app/top_screen.hpp"

#include "app/json_fields.hpp"
#include "app/status_client.hpp"
#include "app/verbs.hpp"

#include <boost/json.hpp>

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

namespace bpf2graphite {
namespace {

namespace json = boost::json;

constexpr int refresh_ms = 1000;
constexpr int page = 20; // traces that page up and page down go over

/// The terminal as we use it: an own screen, keys at once, no cursor. Gives it
/// back however we leave.
class own_screen {
public:
  own_screen() {
    ::tcgetattr(STDIN_FILENO, &before_);
    auto raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    say("\x1b[?1049h\x1b[?25l");
  }
  own_screen(const own_screen&) = delete;
  own_screen& operator=(const own_screen&) = delete;
  ~own_screen() {
    say("\x1b[0m\x1b[?25h\x1b[?1049l");
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }

  /// One write for one picture, or it flickers.
  static void say(std::string_view text) {
    while (!text.empty()) {
      auto n = ::write(STDOUT_FILENO, text.data(), text.size());
      if (n <= 0)
        return;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
  }

private:
  termios before_{};
};

/// Signals that end us, and the one of a new window size, as a descriptor.
int signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGWINCH})
    sigaddset(&set, number);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

top_colours colours() {
  if (const char* no = std::getenv("NO_COLOR"); no != nullptr && *no != '\0')
    return top_colours::none;
  const char* term = std::getenv("TERM");
  std::string_view name = term == nullptr ? "dumb" : term;
  if (name == "dumb")
    return top_colours::none;
  const char* more = std::getenv("COLORTERM");
  return name.find("256color") != std::string_view::npos
             || (more != nullptr && *more != '\0')
           ? top_colours::many
           : top_colours::few;
}

void measure(top_view& view) {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return;
  view.rows = size.ws_row;
  view.columns = size.ws_col;
}

std::optional<json::value> ask(const std::string& path) {
  auto answer = ask_daemon(path, "history");
  if (!answer)
    return std::nullopt;
  boost::system::error_code ec;
  auto document = json::parse(*answer, ec);
  if (!ec)
    return document;
  std::cerr << "bpf2graphite: the daemon's answer is no JSON: " << ec.message()
            << "; is it of another version?\n";
  return std::nullopt;
}

/// False: leave.
bool keys(top_view& view, std::size_t traces) {
  char bytes[64];
  auto n = ::read(STDIN_FILENO, bytes, sizeof bytes);
  if (n <= 0)
    return n != 0; // the terminal is gone
  std::string_view typed{bytes, static_cast<std::size_t>(n)};
  auto step = [&](int by) {
    auto last = traces == 0 ? 0 : traces - 1;
    auto at = std::min(view.selected, last);
    auto far = static_cast<std::size_t>(std::abs(by));
    view.selected = by < 0 ? at - std::min(at, far) : std::min(at + far, last);
    view.map = 0;
  };
  while (!typed.empty()) {
    if (typed.starts_with("\x1b[A") || typed.starts_with("\x1bOA")) {
      step(-1);
      typed.remove_prefix(3);
    } else if (typed.starts_with("\x1b[B") || typed.starts_with("\x1bOB")) {
      step(1);
      typed.remove_prefix(3);
    } else if (typed.starts_with("\x1b[5~") || typed.starts_with("\x1b[6~")) {
      step(typed[2] == '5' ? -page : page);
      typed.remove_prefix(4);
    } else {
      switch (typed.front()) {
        case 'k':
          step(-1);
          break;
        case 'j':
        case '\t':
          step(1);
          break;
        case 'm':
          ++view.map; // round and round: see below
          break;
        case 'q':
        case 'Q':
          return false;
        default:
          break;
      }
      typed.remove_prefix(1);
    }
  }
  return true;
}

void draw(const json::value& now, const json::value& before,
          const top_view& view) {
  std::string out = "\x1b[H";
  auto lines = top_screen(now, before, view);
  for (std::size_t i = 0; i < lines.size(); ++i)
    out += lines[i] + "\x1b[K" + (i + 1 < lines.size() ? "\r\n" : "");
  own_screen::say(out + "\x1b[J");
}

/// `m` goes on to the next histogram of the trace, after the last to the first.
void wrap_map(top_view& view, const json::value& now) {
  const auto* traces = member(now, "traces").if_array();
  if (traces == nullptr || traces->empty())
    return;
  const auto& trace = (*traces)[std::min(view.selected, traces->size() - 1)];
  const auto* maps = member(trace, "history").if_array();
  view.map = maps == nullptr || maps->empty() ? 0 : view.map % maps->size();
}

} // namespace

int top(const options& given) {
  auto path = status_socket_path(given);
  auto now = ask(path);
  if (!now)
    return exit_code::unavailable;
  if (::isatty(STDOUT_FILENO) != 1 || ::isatty(STDIN_FILENO) != 1) {
    std::cout << top_table(*now) << std::flush;
    return exit_code::ok;
  }
  using clock = std::chrono::steady_clock;
  top_view view;
  view.colours = colours();
  json::value before;
  auto ended = signals();
  auto gone = false;
  {
    own_screen screen;
    auto next = clock::now() + std::chrono::milliseconds{refresh_ms};
    for (auto leave = false; !leave;) {
      measure(view);
      wrap_map(view, *now);
      draw(*now, before, view);
      auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(
        next - clock::now());
      pollfd watched[]{{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                       {.fd = ended, .events = POLLIN, .revents = 0}};
      ::poll(watched, 2, std::max(0, static_cast<int>(wait.count())));
      if ((watched[0].revents & (POLLIN | POLLHUP)) != 0)
        leave = !keys(view, traces_in(*now));
      signalfd_siginfo what{};
      while (::read(ended, &what, sizeof what) == sizeof what)
        leave = leave || what.ssi_signo != SIGWINCH;
      if (clock::now() < next || leave)
        continue;
      next = clock::now() + std::chrono::milliseconds{refresh_ms};
      auto answer = ask(path);
      if (!answer) {
        gone = true;
        break;
      }
      before = std::move(*now);
      now = std::move(answer);
    }
  }
  ::close(ended);
  if (gone)
    std::cerr << "bpf2graphite: the daemon is gone\n";
  return gone ? exit_code::unavailable : exit_code::ok;
}

} // namespace bpf2graphite
