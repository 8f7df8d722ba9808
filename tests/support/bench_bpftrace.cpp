// Stands in for bpftrace where costs are measured: prints known values in the
// form of bpftrace 0.17, as fast as they are read or at a given rate, and says
// afterwards what it printed. Small, since a thousand of them run at once: what
// it writes is composed by hand. `--self-check` compares that with
// bpftrace_printer.hpp, and exits with 1 where a byte differs.
//
// It takes bpftrace's command line (`-f json`, `-f text`, `-e TEXT` or the path
// of a script; also `-f putval` for collectd's exec plugin, and --version). The
// script has one line
//
//   //bench name=value ...
//     folder=DIR   where it finds the gate and leaves its truth; required
//     index=N      which one it is, 0
//     shape=hist   a histogram @u of `rows` buckets from [2, 4) on
//           keyed  @u[key] with `keys` such histograms
//           counts @u[key] = count() with `keys` keys
//           none   prints nothing
//     rows=20 keys=10
//     kind=cleared | cumulative
//     every=MS     a print so often, each trace with a phase of its own; 0: as
//                  fast as it is read
//     prints=N     then no more; 0: no end
//     tell=1       leaves DIR/printed.INDEX after the first print
//     writes=own   as 0.17 writes: text: of the last element of a map each line
//                  alone, what stands before it in pieces of up to 4096 bytes;
//                  JSON: records in pieces of up to 4096 bytes
//            line  each line in a write of its own, as 0.22 and later can
//            large blocks of 64 KiB and more, many prints in one
//
// It attaches, writes its process id to DIR/ready.INDEX, and waits until
// somebody opens the FIFO DIR/gate for writing. When `prints` are written it
// leaves DIR/done.INDEX. SIGUSR1: no more prints. SIGINT and SIGTERM: the last
// dump of a cumulative map, as bpftrace does, and the end. In all three cases
// DIR/truth.INDEX says what was printed: a line `prints rows`, then for each
// series `KEY LOWER TOTAL` (`-` where there is none), with the total of all
// prints of a cleared map and the last value of a cumulative one.
//
// Print n, counted from 1, shows in row r of key k
//   cleared: base(r) + (7 n + 3 r + 5 k) mod 16 + 16 k
//   cumulative: the sum of these
// where base is 40 in the middle rows and 1 at the edges, so that each print
// differs from the one before in every row. bpftrace prints the keys of a map
// by their totals, the smallest first: 16 k sees to that.

#include "tests/support/bpftrace_printer.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace printer = bpf2graphite::printer;

volatile std::sig_atomic_t ending = 0;
volatile std::sig_atomic_t quiet = 0;

[[noreturn]] void give_up(const std::string& text) {
  const auto line = "bench_bpftrace: " + text + "\n";
  [[maybe_unused]] const auto n = ::write(2, line.data(), line.size());
  ::_exit(2);
}

void write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::write(descriptor, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      ::_exit(1);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::int64_t to_number(std::string_view text) {
  std::int64_t result = 0;
  const auto [end, error] =
    std::from_chars(text.data(), text.data() + text.size(), result);
  if (error != std::errc{} || end != text.data() + text.size())
    give_up("not a number: " + std::string{text});
  return result;
}

void append(std::string& out, std::uint64_t value) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

// ---- what is printed --------------------------------------------------------

enum class form { text, json, putval };
enum class shape { hist, keyed, counts, none };
enum class writes { own, line, large };

struct plan {
  std::string folder;
  int index = 0;
  shape what = shape::hist;
  int rows = 20;
  int keys = 10;
  bool cumulative = false;
  std::int64_t every_ms = 1000;
  std::int64_t prints = 0;
  bool tell = false;
  writes how = writes::own;
  form format = form::text;
};

class output {
public:
  explicit output(const plan& from) : plan_{from} {
    if (plan_.what == shape::hist)
      plan_.keys = 1;
    if (plan_.what == shape::counts)
      plan_.rows = 1;
    if (plan_.what == shape::none)
      plan_.keys = 0;
    for (int k = 0; k < plan_.keys; ++k)
      keys_.push_back(plan_.what == shape::hist ? ""
                                                : "key" + std::to_string(k));
    const auto middle = plan_.rows / 2;
    for (int r = 0; r < plan_.rows; ++r) {
      base_.push_back(std::abs(r - middle) < plan_.rows / 4 + 1 ? 40 : 1);
      const auto low = std::int64_t{2} << r;
      text_labels_.push_back(label(low));
      json_labels_.push_back("{\"min\": " + std::to_string(low) + ", \"max\": "
                             + std::to_string(low * 2 - 1) + ", \"count\": ");
    }
    shown_.resize(keys_.size() * static_cast<std::size_t>(plan_.rows));
    total_.resize(shown_.size());
  }

  /// The next print, appended to `out`. Where the last element begins, and the
  /// end of all but its last line, for writes::own, are kept in `last_element`.
  void next(std::string& out) {
    ++prints_;
    std::size_t at = 0;
    for (std::size_t k = 0; k < keys_.size(); ++k)
      for (int r = 0; r < plan_.rows; ++r, ++at) {
        const auto count =
          static_cast<std::uint64_t>(base_[static_cast<std::size_t>(r)])
          + (prints_ * 7 + static_cast<std::uint64_t>(r) * 3 + k * 5) % 16
          + k * 16;
        total_[at] += count;
        shown_[at] = plan_.cumulative ? total_[at] : count;
      }
    compose(out);
  }

  /// The values of the last print once more.
  void compose(std::string& out) {
    if (keys_.empty())
      return;
    if (plan_.format == form::json)
      json(out);
    else if (plan_.format == form::text)
      text(out);
    else
      putval(out);
  }

  /// Writes one print as bpftrace would.
  void write(std::string_view bytes) const {
    if (bytes.empty())
      return;
    if (plan_.how == writes::large || plan_.format == form::putval)
      return write_all(1, bytes);
    if (plan_.how == writes::line) {
      while (!bytes.empty()) {
        const auto line = bytes.substr(0, bytes.find('\n') + 1);
        write_all(1, line);
        bytes.remove_prefix(line.size());
      }
      return;
    }
    if (plan_.format == form::json)
      return write_pieces(bytes);
    // 0.17 composes all elements but the last; a hist without a key has all
    // its rows in that.
    const auto last =
      plan_.what == shape::hist ? bytes.size() - 1 : last_element_;
    write_pieces(bytes.substr(0, last));
    bytes.remove_prefix(last);
    while (!bytes.empty()) {
      const auto line = bytes.substr(0, bytes.find('\n') + 1);
      write_all(1, line);
      bytes.remove_prefix(line.size());
    }
  }

  std::string truth() const {
    auto out = std::to_string(prints_) + " "
               + std::to_string(prints_ * shown_.size()) + "\n";
    std::size_t at = 0;
    for (const auto& key : keys_)
      for (int r = 0; r < plan_.rows; ++r, ++at)
        out += (key.empty() ? "-" : key) + " "
               + (plan_.what == shape::counts ? "-" : std::to_string(2LL << r))
               + " " + std::to_string(total_[at]) + "\n";
    return out;
  }

  std::uint64_t prints() const {
    return prints_;
  }

  /// The same values for the printer that the parsers are tested with.
  printer::printed as_printed() const {
    printer::printed map{"@u",
                         plan_.what == shape::counts ? printer::map_type::count
                                                     : printer::map_type::hist,
                         {},
                         {}};
    std::size_t at = 0;
    for (const auto& key : keys_) {
      printer::element one;
      if (!key.empty())
        one.key = {key};
      if (plan_.what == shape::counts)
        one.value = printer::wide{shown_[at++]};
      else
        for (int r = 0; r < plan_.rows; ++r)
          one.rows[std::int64_t{2} << r] = shown_[at++];
      map.elements.push_back(std::move(one));
    }
    return map;
  }

private:
  /// `[1K, 2K)`, 16 wide.
  static std::string label(std::int64_t low) {
    const auto bound = [](std::int64_t n) {
      std::size_t power = 0;
      for (; n % 1024 == 0 && power < 6; ++power)
        n /= 1024;
      auto text = std::to_string(n);
      if (power > 0)
        text += "KMGTPE"[power - 1];
      return text;
    };
    auto text = "[" + bound(low) + ", " + bound(low * 2) + ")";
    text.resize(std::max<std::size_t>(text.size(), 16), ' ');
    return text;
  }

  void text(std::string& out) {
    static const std::string bar(52, '@');
    static const std::string blanks(52, ' ');
    std::size_t at = 0;
    const auto begun = out.size();
    for (const auto& key : keys_) {
      last_element_ = out.size() - begun;
      out += "@u";
      if (!key.empty())
        out += "[" + key + "]";
      if (plan_.what == shape::counts) {
        out += ": ";
        append(out, shown_[at++]);
        out += '\n';
        continue;
      }
      out += ": \n";
      const auto rows = static_cast<std::size_t>(plan_.rows);
      const auto from = shown_.begin() + static_cast<std::ptrdiff_t>(at);
      const auto highest = static_cast<float>(
        *std::max_element(from, from + static_cast<std::ptrdiff_t>(rows)));
      for (std::size_t r = 0; r < rows; ++r, ++at) {
        out += text_labels_[r];
        char digits[20];
        const auto end =
          std::to_chars(digits, digits + sizeof digits, shown_[at]).ptr;
        const auto width = static_cast<std::size_t>(end - digits);
        out.append(width < 8 ? 8 - width : 0, ' ');
        out.append(digits, width);
        out += " |";
        const auto full = static_cast<std::size_t>(
          52.0F * static_cast<float>(shown_[at]) / highest);
        out.append(bar, 0, full);
        out.append(blanks, 0, 52 - full);
        out += "|\n";
      }
      out += '\n';
    }
  }

  void json(std::string& out) const {
    std::size_t at = 0;
    out += plan_.what == shape::counts ? R"({"type": "map", "data": {"@u": )"
                                       : R"({"type": "hist", "data": {"@u": )";
    const auto keyed = plan_.what != shape::hist;
    if (keyed)
      out += '{';
    for (std::size_t k = 0; k < keys_.size(); ++k) {
      if (k > 0)
        out += ", ";
      if (keyed)
        out.append("\"").append(keys_[k]).append("\": ");
      if (plan_.what == shape::counts) {
        append(out, shown_[at++]);
        continue;
      }
      out += '[';
      for (std::size_t r = 0; r < json_labels_.size(); ++r, ++at) {
        if (r > 0)
          out += ", ";
        out += json_labels_[r];
        append(out, shown_[at]);
        out += '}';
      }
      out += ']';
    }
    out += keyed ? "}}}\n" : "}}\n";
  }

  void putval(std::string& out) const {
    std::size_t at = 0;
    for (const auto& key : keys_)
      for (int r = 0; r < plan_.rows; ++r, ++at) {
        out.append("PUTVAL testhost/t").append(std::to_string(plan_.index));
        out.append("-u").append(key).append("/gauge-");
        append(out, std::uint64_t{2} << r);
        out += " interval=1 N:";
        append(out, shown_[at]);
        out += '\n';
      }
  }

  static void write_pieces(std::string_view bytes) {
    for (; !bytes.empty();
         bytes.remove_prefix(std::min<std::size_t>(bytes.size(), 4096)))
      write_all(1, bytes.substr(0, 4096));
  }

  plan plan_;
  std::vector<std::string> keys_;
  std::vector<int> base_; // a row
  std::vector<std::string> text_labels_;
  std::vector<std::string> json_labels_;
  std::vector<std::uint64_t> shown_; // key by key, row by row
  std::vector<std::uint64_t> total_;
  std::uint64_t prints_ = 0;
  std::size_t last_element_ = 0; // of the last print, in bytes
};

// ---- the run ----------------------------------------------------------------

void leave(const plan& of, const char* name, const std::string& text) {
  const auto path = of.folder + "/" + name + "." + std::to_string(of.index);
  const auto half = path + ".half";
  const auto file =
    ::open(half.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0)
    give_up("cannot write " + half + ": " + std::strerror(errno));
  write_all(file, text);
  ::close(file);
  if (::rename(half.c_str(), path.c_str()) != 0)
    give_up("cannot rename " + half);
}

std::int64_t now_ns() {
  timespec at{};
  ::clock_gettime(CLOCK_MONOTONIC, &at);
  return std::int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

void wait_at_the_gate(const plan& of) {
  const auto path = of.folder + "/gate";
  while (ending == 0) {
    const auto gate = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (gate >= 0) {
      ::close(gate);
      return;
    }
    if (errno != EINTR)
      give_up("cannot open " + path + ": " + std::strerror(errno));
  }
}

/// Until that time, or until a signal comes; with `wait` blocked but here.
void sleep_until(std::int64_t at_ns, const sigset_t& unblocked) {
  const auto left = at_ns - now_ns();
  if (left <= 0)
    return;
  const timespec pause{static_cast<time_t>(left / 1'000'000'000),
                       static_cast<long>(left % 1'000'000'000)};
  ::pselect(0, nullptr, nullptr, nullptr, &pause, &unblocked);
}

[[noreturn]] void run(const plan& of) {
  // Who started us was killed: a thousand of us must not stay.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t all;
  sigset_t unblocked;
  ::sigemptyset(&all);
  for (const auto number : {SIGINT, SIGTERM, SIGUSR1})
    ::sigaddset(&all, number);
  ::sigprocmask(SIG_BLOCK, &all, &unblocked);
  for (const auto number : {SIGINT, SIGTERM, SIGUSR1}) {
    ::sigdelset(&unblocked, number);
    struct sigaction act {};
    act.sa_handler = [](int n) {
      if (n == SIGUSR1)
        quiet = 1;
      else
        ending = 1;
    };
    ::sigaction(number, &act, nullptr);
  }
  const auto json = of.format == form::json;
  if (of.format != form::putval)
    write_all(1, printer::writer{17, json}.attached());
  leave(of, "ready", std::to_string(::getpid()) + "\n");
  // Here, and where a pipe is full, a signal may come in.
  ::sigprocmask(SIG_SETMASK, &unblocked, nullptr);
  wait_at_the_gate(of);
  if (of.every_ms > 0)
    ::sigprocmask(SIG_BLOCK, &all, nullptr);

  output out{of};
  std::string bytes;
  auto due = now_ns();
  if (of.every_ms > 0)
    due += (of.index * std::int64_t{617} % of.every_ms + 1) * 1'000'000;
  auto more = of.what != shape::none;
  while (ending == 0) {
    if (quiet == 1) {
      quiet = 2;
      more = false;
      leave(of, "truth", out.truth());
    }
    if (!more) {
      sleep_until(now_ns() + 60'000'000'000, unblocked);
      continue;
    }
    if (of.every_ms > 0 && now_ns() < due) {
      sleep_until(due, unblocked);
      continue;
    }
    due += of.every_ms * 1'000'000;
    out.next(bytes);
    const auto last =
      of.prints > 0 && out.prints() >= static_cast<std::uint64_t>(of.prints);
    if (of.how != writes::large || bytes.size() >= 64 << 10 || last
        || of.every_ms > 0) {
      out.write(bytes);
      bytes.clear();
    }
    if (of.tell && out.prints() == 1)
      leave(of, "printed", "");
    if (last) {
      more = false;
      ::sigprocmask(SIG_BLOCK, &all, nullptr);
      leave(of, "truth", out.truth());
      leave(of, "done", "");
    }
  }
  out.write(bytes);
  if (of.format != form::putval) {
    std::string dump = "\n\n";
    if (of.cumulative && out.prints() > 0)
      out.compose(dump);
    write_all(1, dump);
  }
  leave(of, "truth", out.truth());
  ::_exit(0);
}

int self_check() {
  int wrong = 0;
  for (const auto what : {shape::hist, shape::keyed, shape::counts})
    for (const auto format : {form::text, form::json})
      for (const auto cumulative : {false, true}) {
        plan of;
        of.what = what;
        of.format = format;
        of.cumulative = cumulative;
        output out{of};
        printer::writer reference{17, format == form::json};
        for (int n = 0; n < 300; ++n) {
          std::string bytes;
          out.next(bytes);
          wrong += bytes == reference.print(out.as_printed()) ? 0 : 1;
        }
      }
  const auto words = "prints that differ: " + std::to_string(wrong) + "\n";
  write_all(1, words);
  return wrong == 0 ? 0 : 1;
}

std::string whole_file(const std::string& path) {
  const auto file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0)
    give_up("cannot open " + path);
  std::string text(64 << 10, '\0');
  const auto n = ::read(file, text.data(), text.size());
  ::close(file);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

template <class Value>
Value one_of(std::string_view name, std::string_view value,
             std::initializer_list<std::pair<std::string_view, Value>> known) {
  for (const auto& [word, meaning] : known)
    if (word == value)
      return meaning;
  give_up("no such " + std::string{name} + ": " + std::string{value});
}

plan plan_of(std::string_view script) {
  constexpr std::string_view mark = "//bench ";
  const auto at = script.find(mark);
  if (at == script.npos)
    give_up("no line //bench in the script");
  auto rest = script.substr(at + mark.size());
  rest = rest.substr(0, rest.find('\n'));
  plan result;
  while (!rest.empty()) {
    const auto word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    const auto equals = word.find('=');
    if (word.empty() || equals == word.npos)
      continue;
    const auto name = word.substr(0, equals);
    const auto value = word.substr(equals + 1);
    if (name == "folder")
      result.folder = value;
    else if (name == "index")
      result.index = static_cast<int>(to_number(value));
    else if (name == "rows")
      result.rows = static_cast<int>(to_number(value));
    else if (name == "keys")
      result.keys = static_cast<int>(to_number(value));
    else if (name == "every")
      result.every_ms = to_number(value);
    else if (name == "prints")
      result.prints = to_number(value);
    else if (name == "tell")
      result.tell = to_number(value) != 0;
    else if (name == "kind")
      result.cumulative =
        one_of<bool>(name, value, {{"cleared", false}, {"cumulative", true}});
    else if (name == "shape")
      result.what = one_of<shape>(name, value,
                                  {{"hist", shape::hist},
                                   {"keyed", shape::keyed},
                                   {"counts", shape::counts},
                                   {"none", shape::none}});
    else if (name == "writes")
      result.how = one_of<writes>(name, value,
                                  {{"own", writes::own},
                                   {"line", writes::line},
                                   {"large", writes::large}});
    else
      give_up("no such word: " + std::string{name});
  }
  // Bounds are below 2^62.
  if (result.rows < 1 || result.rows > 60 || result.keys < 1)
    give_up("rows are 1 to 60, keys at least 1");
  return result;
}

} // namespace

int main(int argc, char** argv) {
  std::string script;
  auto format = form::text;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto more = i + 1 < argc;
    if (argument == "--self-check")
      return self_check();
    if (argument == "--version" || argument == "-V") {
      write_all(1, "bpftrace v0.17.0\n");
      return 0;
    }
    if (argument == "-f" && more)
      format = one_of<form>(
        "format", argv[++i],
        {{"text", form::text}, {"json", form::json}, {"putval", form::putval}});
    else if (argument == "-e" && more)
      script = argv[++i];
    else if (argument == "-B" && more)
      ++i;
    else if (!argument.starts_with('-') && script.empty())
      script = whole_file(argv[i]);
  }
  if (script.empty())
    give_up("no script");
  auto of = plan_of(script);
  of.format = format;
  run(of);
}
