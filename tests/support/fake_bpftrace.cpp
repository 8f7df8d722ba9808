// Stands in for bpftrace where a test needs an exact fault or exact values.
//
// It takes bpftrace's command line (`-f json`, `-B line`, `-e TEXT` or the path
// of a script), prints in the format of its version (bpftrace_printer.hpp),
// ends like it on SIGINT or SIGTERM (two newlines, the maps, exit 0), and
// otherwise does what the script's comments `//fake WORD name=value...` say:
//
//   record path=FILE       append what happened, one JSON object a line (below)
//   hist map=@u values=4:3,8:1 PRINTS     a power-of-two histogram; each value
//                          is lower bound:count, the bound `neg` is (..., 0)
//   lhist map=@l values=10:3,20:1 [min=0] [max=100] [step=10] PRINTS  likewise;
//                          `neg` is what is below min
//   count map=@c value=7 PRINTS           a scalar; `sum` likewise
//   stats map=@s count=2 total=20 PRINTS  stats; `avg` likewise, prints only
//   the
//                          average
//   crowd map=@c count=N [seed=N] PRINTS  a count of N new random keys a print,
//                          each with 1 to 9; the record has only their sum
//   align ms=N             time begins where the wall clock's second is at N ms
//   raw at=MS text=...     bytes as they are; \n, \xHH understood; to line end
//   replay at=MS file=F [times=F]  a capture; times: lines `ms bytes-so-far`
//   garbage at=MS bytes=N [seed=N]        any bytes, from a fixed sequence
//   line at=MS bytes=N     one line of that many bytes, then a newline
//   lost at=MS events=N    bpftrace's word for lost events
//   stderr at=MS text=...  a line on standard error; to the end of the line
//   flood at=MS [text=..]  writes for ever, as fast as it is read
//   hang at=MS             no output any more; signals still end it
//   eat at=MS bytes=N      takes that much memory, and keeps it
//   exit at=MS|prints=N [code=C] [dump=yes] [cut=yes]  ends by itself; dump:
//                          prints its maps as on a signal; cut: half a record
//   die at=MS|prints=N signal=N           kills itself
//   fail code=C text=...   before attaching
//   ignore signals=INT,TERM
//
// Any of them may have life=N: only in the N-th process that wrote to the same
// record file. PRINTS is: every=MS [start=MS] [kind=cleared|cumulative]
// [keys=a;b,c;d] (a comma between the parts of a key, \x20 for a blank)
// [vary=N] (print n shows 1 + (n - 1) % N times the values) [limit=N] (prints,
// then no more) [rest=N] (the last dump holds N more of the values) [top=N]
// (prints only the N largest keys; the last dump all) [fresh=N] (instead of
// keys: N that no print of this process had before). The i-th key shows i times
// the values.
//
// The record file: {"event":"start","pid":..,"life":..}, then for each print
// {"event":"print","n":..,"at":MS,"map":..,"type":..,"how":..,"final":..,
// "values":{KEY: VALUE or {LOWER: COUNT} or {"count":..,"total":..}}} before it
// is written and {"event":"done","n":..,"at":MS} when the pipe has taken all of
// it (at that wall time, ms since 1970), so that after a SIGKILL it is known
// which print is in doubt. Also {"event":"signal","number":..,"at":MS} and
// {"event":"end","code":..}.
//
// Its version is 0.17.0, or what follows the last `-` of the name it is called
// by (a link fake_bpftrace-0.23.2), or FAKE_VERSION.

#include "tests/support/bpftrace_printer.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace printer = bpf2graphite::printer;

using values = std::map<std::string, std::string>;

// ---- the command line and the directives
// --------------------------------------

struct directive {
  std::string word;
  values options;
};

[[noreturn]] void give_up(int code, const std::string& text) {
  const std::string line = text + "\n";
  [[maybe_unused]] const auto n = ::write(2, line.data(), line.size());
  ::_exit(code);
}

std::string option(const directive& from, const std::string& name,
                   const std::string& otherwise) {
  const auto found = from.options.find(name);
  return found == from.options.end() ? otherwise : found->second;
}

std::int64_t to_number(std::string_view text) {
  std::int64_t result = 0;
  const auto [end, error] =
    std::from_chars(text.data(), text.data() + text.size(), result);
  if (error != std::errc{} || end != text.data() + text.size())
    give_up(2, "fake: not a number: " + std::string{text});
  return result;
}

std::int64_t number(const directive& from, const std::string& name,
                    std::int64_t otherwise) {
  const auto found = from.options.find(name);
  return found == from.options.end() ? otherwise : to_number(found->second);
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in{text};
  for (std::string part; std::getline(in, part, at);)
    parts.push_back(part);
  return parts;
}

/// `\n`, `\t`, `\\` and `\xHH` become what they mean.
std::string unescape(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      result += text[i];
      continue;
    }
    const char next = text[++i];
    if (next == 'x' && i + 2 < text.size()) {
      result +=
        static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      result += next == 'n' ? '\n' : next == 't' ? '\t' : next;
    }
  }
  return result;
}

std::vector<directive> directives_of(const std::string& script) {
  constexpr std::string_view mark = "//fake ";
  std::vector<directive> result;
  for (const auto& line : split(script, '\n')) {
    const auto at = line.find(mark);
    if (at == std::string::npos)
      continue;
    auto rest = line.substr(at + mark.size());
    directive one;
    // A text goes to the end of the line.
    if (const auto text = rest.find(" text="); text != std::string::npos) {
      one.options["text"] = unescape(rest.substr(text + 6));
      rest.resize(text);
    }
    for (const auto& word : split(rest, ' ')) {
      const auto equals = word.find('=');
      if (word.empty())
        continue;
      if (equals == std::string::npos)
        one.word = word;
      else
        one.options[word.substr(0, equals)] = word.substr(equals + 1);
    }
    result.push_back(one);
  }
  return result;
}

std::string whole_file(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in)
    give_up(255, "ERROR: failed to open file '" + path
                   + "': No such file or directory");
  return {std::istreambuf_iterator<char>{in}, {}};
}

// ---- output
// ------------------------------------------------------------------

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

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      result += '\\';
    if (c == '\n')
      result += "\\n";
    else
      result += c;
  }
  return result + "\"";
}

/// What the test is told.
class record_file {
public:
  void open(const std::string& path) {
    std::ifstream before{path};
    for (std::string line; std::getline(before, line);)
      life_ += line.starts_with(R"({"event":"start")") ? 1 : 0;
    descriptor_ =
      ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0)
      give_up(2, "fake: cannot write " + path);
  }

  void write(const std::string& event) const {
    if (descriptor_ >= 0)
      write_all(descriptor_, "{" + event + "}\n");
  }

  int life() const {
    return life_;
  }

private:
  int descriptor_ = -1;
  int life_ = 1;
};

// ---- the maps
// ----------------------------------------------------------------

struct row {
  std::string lower; // "neg" or a number; empty for what is no histogram
  std::int64_t count = 0;
};

/// One map with what its prints show.
struct printed_map {
  directive how;
  std::vector<std::string> keys; // parts joined by ','; one empty: no key
  std::vector<row> rows;         // what is added before each print
  std::int64_t prints = 0;
  std::int64_t total = 0; // how many times the rows were added since a clear

  bool cumulative() const {
    return option(how, "kind", "cleared") == "cumulative";
  }

  bool is_hist() const {
    return how.word == "hist" || how.word == "lhist";
  }

  printer::lhist_bounds bounds() const {
    return {number(how, "min", 0), number(how, "max", 100),
            number(how, "step", 10)};
  }

  /// The keys that a print shows, from this one on.
  std::size_t first_shown(bool final) const {
    const auto top = static_cast<std::size_t>(number(how, "top", 0));
    return final || top == 0 || top >= keys.size() ? 0 : keys.size() - top;
  }
};

/// The rows that bpftrace prints: from the first to the last, no gap.
std::vector<row> filled(const printed_map& map) {
  std::map<std::int64_t, std::int64_t> by_lower;
  for (const auto& one : map.rows)
    by_lower[one.lower == "neg" ? printer::element::below
                                : to_number(one.lower)] += one.count;
  const auto bounds = map.bounds();
  const auto after = [&](std::int64_t low) {
    if (map.how.word == "hist")
      return low < 2 ? low + 1 : low * 2;
    return low == printer::element::below ? bounds.min : low + bounds.step;
  };
  std::vector<row> result;
  if (by_lower.empty())
    return result;
  const auto last = by_lower.rbegin()->first;
  for (auto at = by_lower.begin()->first;; at = after(at)) {
    result.push_back({at < 0 ? "neg" : std::to_string(at), by_lower[at]});
    if (at >= last)
      return result;
  }
}

/// What one print shows: each key `times` its number.
printer::printed shown(const printed_map& map, std::int64_t times, bool final) {
  static const std::map<std::string, printer::map_type> types{
    {"hist", printer::map_type::hist},   {"lhist", printer::map_type::lhist},
    {"count", printer::map_type::count}, {"sum", printer::map_type::sum},
    {"stats", printer::map_type::stats}, {"avg", printer::map_type::avg}};
  printer::printed result{
    option(map.how, "map", "@"), types.at(map.how.word), map.bounds(), {}};
  for (auto i = map.first_shown(final); i < map.keys.size(); ++i) {
    const auto by = times * static_cast<std::int64_t>(i + 1);
    printer::element one;
    if (!map.keys[i].empty())
      one.key = split(map.keys[i], ',');
    if (map.is_hist()) {
      for (const auto& each : filled(map))
        one.rows[each.lower == "neg" ? printer::element::below
                                     : to_number(each.lower)] =
          static_cast<std::uint64_t>(each.count * by);
    } else if (result.type == printer::map_type::count
               || result.type == printer::map_type::sum) {
      one.value = printer::wide{number(map.how, "value", 1)} * by;
    } else {
      one.samples = printer::wide{number(map.how, "count", 1)} * by;
      one.value = printer::wide{number(map.how, "total", 1)} * by;
      if (result.type == printer::map_type::avg)
        one.value /= one.samples;
    }
    result.elements.push_back(std::move(one));
  }
  return result;
}

/// The same for the record file.
std::string told(const printed_map& map, std::int64_t times, bool final) {
  std::string text;
  const auto print = shown(map, times, final);
  auto name =
    map.keys.begin() + static_cast<std::ptrdiff_t>(map.first_shown(final));
  for (const auto& one : print.elements) {
    text += (text.empty() ? "" : ",") + quoted(*name++) + ":";
    if (map.is_hist()) {
      std::string rows;
      for (const auto& [low, count] : one.rows)
        rows += (rows.empty() ? "" : ",")
                + quoted(low < 0 ? "neg" : std::to_string(low)) + ":"
                + std::to_string(count);
      text += "{" + rows + "}";
    } else if (map.how.word == "stats") {
      text += R"({"count":)" + printer::to_text(one.samples) + R"(,"total":)"
              + printer::to_text(one.value) + "}";
    } else {
      text += printer::to_text(one.value);
    }
  }
  return text;
}

// ---- the run
// -----------------------------------------------------------------

std::int64_t wall_ms() {
  timespec at{};
  ::clock_gettime(CLOCK_REALTIME, &at);
  return std::int64_t{at.tv_sec} * 1000 + at.tv_nsec / 1'000'000;
}

/// In pieces: it may be longer than our memory.
void write_long_line(std::size_t bytes) {
  const std::string piece(std::min<std::size_t>(bytes, 1 << 20), 'x');
  for (; bytes > 0; bytes -= std::min(bytes, piece.size()))
    write_all(1, std::string_view{piece}.substr(0, bytes));
  write_all(1, "\n");
}

std::int64_t now_ms() {
  timespec at{};
  ::clock_gettime(CLOCK_MONOTONIC, &at);
  return std::int64_t{at.tv_sec} * 1000 + at.tv_nsec / 1'000'000;
}

struct event {
  std::int64_t at_ms = 0; // since attaching
  std::function<void()> act;
};

class fake {
public:
  fake(bool json, int minor, const std::string& script)
    : json_{json}, minor_{minor}, writer_{minor, json} {
    const auto all = directives_of(script);
    for (const auto& one : all)
      if (one.word == "record")
        record_.open(option(one, "path", ""));
    record_.write(R"("event":"start","pid":)" + std::to_string(::getpid())
                  + R"(,"life":)" + std::to_string(record_.life()));
    ::sigemptyset(&waited_);
    ::sigaddset(&waited_, SIGINT);
    ::sigaddset(&waited_, SIGTERM);
    for (const auto& one : all)
      if (number(one, "life", record_.life()) == record_.life())
        plan(one);
  }

  /// Until a signal or a directive ends it.
  [[noreturn]] void run() {
    sigset_t both;
    ::sigemptyset(&both);
    ::sigaddset(&both, SIGINT);
    ::sigaddset(&both, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &both, nullptr);
    write_all(1, writer_.attached());
    if (!json_ && minor_ >= 24)
      write_all(2, "Attached 1 probe\n");
    const auto start = now_ms() + align_ms_to_wait();
    for (;;) {
      const auto next = earliest();
      const auto wait =
        next == events_.end() || hanging_
          ? std::int64_t{60'000}
          : std::max<std::int64_t>(0, start + next->at_ms - now_ms());
      if (signalled(wait))
        end(0, true);
      if (hanging_ || next == events_.end() || now_ms() < start + next->at_ms)
        continue;
      const auto act = next->act;
      now_at_ = next->at_ms;
      events_.erase(next);
      act();
    }
  }

private:
  using events = std::vector<event>;

  events::iterator earliest() {
    auto best = events_.begin();
    for (auto i = events_.begin(); i != events_.end(); ++i)
      if (i->at_ms < best->at_ms)
        best = i;
    return best;
  }

  bool signalled(std::int64_t wait_ms) {
    const timespec limit{static_cast<time_t>(wait_ms / 1000),
                         static_cast<long>(wait_ms % 1000 * 1'000'000)};
    const int number = ::sigtimedwait(&waited_, nullptr, &limit);
    if (number > 0)
      record_.write(R"("event":"signal","number":)" + std::to_string(number)
                    + R"(,"at":)" + std::to_string(wall_ms()));
    return number > 0;
  }

  std::int64_t align_ms_to_wait() const {
    if (align_ms_ < 0)
      return 0;
    timespec at{};
    ::clock_gettime(CLOCK_REALTIME, &at);
    return (align_ms_ + 1000 - at.tv_nsec / 1'000'000) % 1000;
  }

  /// `act` at the directive's time, or when so many prints were made.
  void schedule(const directive& one, std::function<void()> act) {
    if (one.options.contains("prints"))
      after_prints_.emplace_back(number(one, "prints", 0), std::move(act));
    else
      events_.push_back({number(one, "at", 0), std::move(act)});
  }

  void plan(const directive& one) {
    const auto& word = one.word;
    if (word == "record")
      return;
    if (word == "align") {
      align_ms_ = number(one, "ms", 0);
      return;
    }
    if (word == "crowd")
      return plan_crowd(one);
    if (word == "hist" || word == "lhist" || word == "count" || word == "sum"
        || word == "stats" || word == "avg")
      return plan_map(one);
    if (word == "fail")
      end_quietly(static_cast<int>(number(one, "code", 1)),
                  option(one, "text", "ERROR: told to fail"));
    if (word == "ignore") {
      for (const auto& name : split(option(one, "signals", ""), ','))
        ::sigdelset(&waited_, name == "INT" ? SIGINT : SIGTERM);
      return;
    }
    if (word == "replay")
      return plan_replay(one);
    const auto text = option(one, "text", "");
    const auto bytes = static_cast<std::size_t>(number(one, "bytes", 1));
    const auto code = static_cast<int>(number(one, "code", 0));
    if (word == "raw")
      schedule(one, [text] { write_all(1, text); });
    else if (word == "garbage")
      schedule(one, [bytes, seed = number(one, "seed", 1)] {
        std::mt19937 random{static_cast<std::mt19937::result_type>(seed)};
        std::string noise(bytes, ' ');
        for (auto& c : noise)
          c = static_cast<char>(random());
        write_all(1, noise + "\n");
      });
    else if (word == "line")
      schedule(one, [bytes] { write_long_line(bytes); });
    else if (word == "lost")
      schedule(one, [this, events = option(one, "events", "1")] {
        write_all(1, json_ ? R"({"type": "lost_events", "data": {"events": )"
                               + events + "}}\n"
                           : "Lost " + events + " events\n");
      });
    else if (word == "stderr")
      schedule(one, [text] { write_all(2, text + "\n"); });
    else if (word == "flood")
      schedule(one, [this, text] { flood(text); });
    else if (word == "hang")
      schedule(one, [this] { hanging_ = true; });
    else if (word == "eat")
      schedule(one, [this, bytes] { eaten_.assign(bytes, 'x'); });
    else if (word == "exit")
      schedule(one, [this, code, dump = option(one, "dump", "no") == "yes",
                     cut = option(one, "cut", "no") == "yes"] {
        if (cut && !maps_.empty()) {
          const auto whole = writer_.print(shown(maps_.front(), 1, false));
          write_all(1, std::string_view{whole}.substr(0, whole.size() / 2));
        }
        end(code, dump);
      });
    else if (word == "die")
      schedule(one,
               [signal = static_cast<int>(number(one, "signal", SIGKILL))] {
                 ::kill(::getpid(), signal);
               });
    else
      give_up(2, "fake: no such directive: " + word);
  }

  void plan_map(const directive& one) {
    printed_map map{.how = one, .keys = {}, .rows = {}};
    for (const auto& key : split(option(one, "keys", ""), ';'))
      map.keys.push_back(unescape(key));
    if (map.keys.empty())
      map.keys.emplace_back();
    for (const auto& value : split(option(one, "values", "1:1"), ',')) {
      const auto colon = value.find(':');
      map.rows.push_back(
        {value.substr(0, colon), to_number(value.substr(colon + 1))});
    }
    maps_.push_back(map);
    const auto every = number(one, "every", 1000);
    print_again(maps_.size() - 1, number(one, "start", every), every);
  }

  void print_again(std::size_t index, std::int64_t at, std::int64_t every) {
    events_.push_back({at, [this, index, every] {
                         auto& map = maps_[index];
                         const auto n = map.prints++;
                         map.total += 1 + n % number(map.how, "vary", 1);
                         print(map, false);
                         if (map.prints < number(map.how, "limit", INT64_MAX))
                           print_again(index, now_at_ + every, every);
                         for (auto& [count, act] : after_prints_)
                           if (prints_ == count)
                             act();
                       }});
  }

  void plan_crowd(const directive& one) {
    crowds_.push_back(
      {one, std::mt19937{static_cast<unsigned>(number(one, "seed", 1))}, 0});
    const auto every = number(one, "every", 1000);
    crowd_again(crowds_.size() - 1, number(one, "start", every), every);
  }

  void crowd_again(std::size_t index, std::int64_t at, std::int64_t every) {
    events_.push_back({at, [this, index, every] {
                         auto& crowd = crowds_[index];
                         print_crowd(crowd);
                         if (++crowd.prints
                             < number(crowd.how, "limit", INT64_MAX))
                           crowd_again(index, now_at_ + every, every);
                       }});
  }

  struct crowd_map {
    directive how;
    std::mt19937 random;
    std::int64_t prints = 0;
  };

  void print_crowd(crowd_map& crowd) {
    printer::printed map{
      option(crowd.how, "map", "@"), printer::map_type::count, {}, {}};
    printer::wide sum = 0;
    for (auto i = number(crowd.how, "count", 1000); i > 0; --i) {
      printer::element one;
      one.key = {std::to_string(crowd.random()) + "-"
                 + std::to_string(crowd.random() % 100'000)};
      one.value = 1 + static_cast<std::int64_t>(crowd.random() % 9);
      sum += one.value;
      map.elements.push_back(std::move(one));
    }
    const auto n = std::to_string(++prints_);
    record_.write(R"("event":"print","n":)" + n + R"(,"map":)"
                  + quoted(map.name)
                  + R"(,"type":"count","how":"cleared","final":false,)"
                  + R"("values":{"":)" + printer::to_text(sum) + "}");
    write_all(1, writer_.print(map));
    done(n);
  }

  void done(const std::string& n) {
    record_.write(R"("event":"done","n":)" + n + R"(,"at":)"
                  + std::to_string(wall_ms()));
  }

  void print(printed_map& map, bool final) {
    const auto n = std::to_string(++prints_);
    if (const auto fresh = number(map.how, "fresh", 0); fresh > 0) {
      map.keys.clear();
      for (std::int64_t i = 0; i < fresh; ++i)
        map.keys.push_back("k" + std::to_string(fresh_keys_++));
    }
    record_.write(
      R"("event":"print","n":)" + n + R"(,"at":)" + std::to_string(wall_ms())
      + R"(,"map":)" + quoted(option(map.how, "map", "@")) + R"(,"type":")"
      + map.how.word + R"(","how":")" + option(map.how, "kind", "cleared")
      + R"(","final":)" + (final ? "true" : "false") + R"(,"values":{)"
      + told(map, map.total, final) + "}");
    write_all(1, writer_.print(shown(map, map.total, final),
                               map.first_shown(final) > 0));
    done(n);
    if (!map.cumulative())
      map.total = 0;
  }

  void plan_replay(const directive& one) {
    const auto bytes = whole_file(option(one, "file", ""));
    const auto at = number(one, "at", 0);
    std::size_t from = 0;
    if (one.options.contains("times")) {
      std::istringstream times{whole_file(option(one, "times", ""))};
      std::int64_t ms = 0;
      for (std::size_t upto = 0; times >> ms >> upto; from = upto) {
        auto piece = bytes.substr(from, upto - from);
        events_.push_back({at + ms, [piece = std::move(piece)] {
                             write_all(1, piece);
                           }});
      }
    }
    if (from < bytes.size())
      events_.push_back({at, [piece = bytes.substr(from)] {
                           write_all(1, piece);
                         }});
  }

  [[noreturn]] void flood(const std::string& text) {
    const auto line =
      json_ ? R"({"type": "printf", "data": )" + quoted(text + "\n") + "}\n"
            : text + "\n";
    std::string block;
    while (block.size() < 64 << 10)
      block += line;
    while (!signalled(0))
      write_all(1, block);
    end(0, true);
  }

  [[noreturn]] void end(int code, bool dump) {
    if (dump) {
      write_all(1, writer_.end());
      for (auto& map : maps_) {
        map.total += number(map.how, "rest", 0);
        if (map.total > 0)
          print(map, true);
      }
    }
    end_quietly(code, "");
  }

  [[noreturn]] void end_quietly(int code, const std::string& text) {
    if (!text.empty())
      write_all(2, text + "\n");
    record_.write(R"("event":"end","code":)" + std::to_string(code));
    ::_exit(code);
  }

  bool json_;
  int minor_;
  printer::writer writer_;
  record_file record_;
  sigset_t waited_{};
  std::vector<printed_map> maps_;
  std::vector<crowd_map> crowds_;
  std::int64_t align_ms_ = -1;
  events events_;
  std::vector<std::pair<std::int64_t, std::function<void()>>> after_prints_;
  std::int64_t now_at_ = 0;
  std::int64_t prints_ = 0;
  std::int64_t fresh_keys_ = 0;
  bool hanging_ = false;
  std::string eaten_;
};

std::string version(const std::string& called) {
  if (const char* told = std::getenv("FAKE_VERSION"))
    return told;
  const auto dash = called.rfind('-');
  const auto tail = dash == std::string::npos ? "" : called.substr(dash + 1);
  const bool is_version = tail.find('.') != tail.npos
                          && tail.find_first_not_of("0123456789.") == tail.npos;
  return is_version ? tail : "0.17.0";
}

/// The 17 of 0.17.0.
int minor_of(const std::string& of) {
  const auto parts = split(of, '.');
  return parts.size() < 2 ? 17 : static_cast<int>(to_number(parts[1]));
}

} // namespace

int main(int argc, char** argv) {
  bool json = false;
  std::string script;
  bool have_script = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool more = i + 1 < argc;
    if (argument == "--version" || argument == "-V") {
      write_all(1, "bpftrace v" + version(argv[0]) + "\n");
      return 0;
    }
    if (argument == "-f" && more) {
      json = std::string_view{argv[++i]} == "json";
    } else if (argument == "-e" && more) {
      script = argv[++i];
      have_script = true;
    } else if ((argument == "-B" || argument == "-p" || argument == "-c"
                || argument == "-o" || argument == "-I")
               && more) {
      ++i;
    } else if (!argument.starts_with('-') && !have_script) {
      script = whole_file(argv[i]);
      have_script = true;
    }
  }
  if (!have_script)
    give_up(1, "USAGE: fake_bpftrace [options] filename");
  fake{json, minor_of(version(argv[0])), script}.run();
}
