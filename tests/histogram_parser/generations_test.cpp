// Random prints, written as each generation of bpftrace writes them, in text
// and in JSON, decode to what was printed. The writer below is the reference:
// it follows bpftrace's src/output.cpp (up to 0.23), src/output/text.cpp and
// src/output/json.cpp (from 0.24) as they were observed in captures.

#include "actors/histogram_parser/map_parser.hpp"
#include "actors/line_reader/line_splitter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {
namespace {

using number = std::int64_t;

/// What a process may have written into its name, 15 bytes at most.
const std::vector<std::string> odd_names{"tmux: server",
                                         "(sd-pam)",
                                         "Web Content",
                                         "kworker/u8:1-ev",
                                         "a[1]",
                                         "x, y",
                                         "a:b",
                                         "say \"hi\"",
                                         "back\\slash",
                                         "tab\tname",
                                         "caf\xc3\xa9",
                                         "\xff\xfe bad",
                                         "new\nline",
                                         "@usecs",
                                         "100%",
                                         "dot.name",
                                         "semi;x=y",
                                         "",
                                         "]: 7",
                                         "a]: 7",
                                         "[1, 2)  3 |",
                                         "@x[1]: 5",
                                         "\n]: 3",
                                         "Lost 3 events",
                                         "x]:",
                                         " ",
                                         "]",
                                         "12",
                                         "-5",
                                         "@h:",
                                         "a,b",
                                         ", ",
                                         "count 1, a",
                                         "\\n",
                                         "\\u0041",
                                         "end\n",
                                         "\x01\x1b[31mr",
                                         "a\nb\nc",
                                         "@b[",
                                         "x\ny 1 1",
                                         "{\"a\": 1}",
                                         "[1, 2) 99 |\n"};

enum class shape { none, integer, name, name_pid, pid_name, stack, name_stack };
enum class what { count, average, stats, hist, fine_hist, lhist };

/// bpftrace's map of the script that is played.
struct played_map {
  std::string name;
  shape keys = shape::none;
  what holds = what::count;
  int bits = 0;                       // fine_hist
  number low = 0, high = 0, step = 1; // lhist
  /// It was printed before. (A header without rows, behind text on its line, is
  /// text else.)
  bool seen = false;
};

struct element {
  std::vector<std::string> key; // stacks: frames, each after a line end
  number value = 0;
  stats_value stats;
  std::vector<bucket> rows; // from the first to the last that is not empty
};

struct played_print {
  const played_map* map = nullptr;
  std::vector<element> elements;
  bool ending = false;
};

class writer {
public:
  writer(int minor, output_format format) : minor_{minor}, format_{format} {}

  std::string out;

  bool text() const {
    return format_ == output_format::text;
  }

  void attach() {
    if (!text())
      out += minor_ >= 24 ? "{\"type\": \"attached_probes\", \"count\": 2, "
                            "\"data\": {\"probes\": 2}}\n"
                          : "{\"type\": \"attached_probes\", \"data\": "
                            "{\"probes\": 2}}\n";
    else if (minor_ < 24)
      out += "Attaching 2 probes...\n";
  }

  void say(const std::string& words) {
    if (text())
      out += words;
    else
      out += "{\"type\": \"printf\", \"data\": " + quoted(words) + "}\n";
  }

  void lost(number events) {
    auto n = std::to_string(events);
    if (text())
      out += minor_ < 24 ? "Lost " + n + " events\n" : "";
    else if (minor_ >= 24)
      out += "{\"type\": \"lost_events\", \"count\": " + count(events)
             + ", \"data\": {\"events\": " + count(events) + "}}\n";
    else
      out += "{\"type\": \"lost_events\", \"data\": {\"events\": " + n + "}}\n";
  }

  void warn(const std::string& map) {
    if (!text() || minor_ < 11 || minor_ >= 24)
      return;
    if (minor_ < 20)
      out += "x.bt:1:47-53: WARNING: Failed to map_update_elem: Argument list "
             "too long (-7)\n";
    else
      out += "x.bt:1:47-54: WARNING: Map full; can't update element. Try "
             "increasing max_map_keys config\nAdditional Info - helper: "
             "map_update_elem, retcode: -7\n";
    out += map + "[a]: 7\n       ~~~~~~\n";
  }

  void end() {
    if (text() || minor_ < 24)
      out += "\n\n";
  }

  void print(const played_print& one) {
    if (text())
      print_text(one);
    else
      print_json(one);
  }

  void empty(const played_map& map) {
    if (!text() || minor_ >= 24)
      return;
    bool hist = map.holds >= what::hist;
    if (map.keys == shape::none && map.holds == what::count)
      out += map.name + ": 0\n" + (minor_ <= 12 ? "\n" : "");
    else if (hist && minor_ <= 12)
      return;
    else
      out += hist || map.holds == what::count ? "\n" : "\n\n";
  }

  /// A key as it can be read back: 0.24+ loses bytes.
  std::vector<std::string> readable(std::vector<std::string> key) const {
    if (key.empty() || minor_ < 24)
      return key;
    if (!text())
      for (auto& part : key)
        std::erase(part, ' ');
    auto& first = key.front();
    auto& last = key.back();
    bool both = first.starts_with('(') && last.ends_with(')')
                && (key.size() > 1 || first.size() > 1);
    if (both) {
      last.pop_back();
      first.erase(0, 1);
    }
    return key;
  }

private:
  // ---- text ----------------------------------------------------------------

  std::string head(const played_map& map, const element& one) const {
    std::string key;
    for (const auto& part : one.key)
      key += (&part == &one.key.front() ? "" : ", ") + part;
    if (minor_ >= 24 && key.size() > 1 && key.starts_with('(')
        && key.ends_with(')'))
      key = key.substr(1, key.size() - 2);
    return one.key.empty() ? map.name : map.name + "[" + key + "]";
  }

  void print_text(const played_print& one) {
    const auto& map = *one.map;
    for (const auto& entry : one.elements) {
      auto head_text = head(map, entry);
      switch (map.holds) {
        case what::count:
        case what::average:
          out += head_text + ": " + std::to_string(entry.value) + "\n";
          break;
        case what::stats: {
          auto text = [](exact value) {
            return std::to_string(static_cast<number>(value));
          };
          const auto& s = entry.stats;
          if (minor_ >= 24)
            out += head_text + ": { .count = " + text(s.count) + ", .average = "
                   + text(s.average) + ", .total = " + text(s.total) + " }\n";
          else
            out += head_text + ": count " + text(s.count) + ", average "
                   + text(s.average) + ", total " + text(s.total) + "\n";
          break;
        }
        default:
          out += head_text + (minor_ <= 21 ? ": \n" : ":\n");
          rows(map, entry.rows);
          out += '\n';
      }
    }
    bool hist = map.holds >= what::hist;
    bool blank =
      !hist && (minor_ <= 12 || (minor_ <= 23 && map.holds != what::count));
    if (blank)
      out += '\n';
  }

  void rows(const played_map& map, const std::vector<bucket>& all) {
    std::uint64_t most = 1;
    for (const auto& row : all)
      most = std::max(most, row.count);
    for (const auto& row : all) {
      auto label =
        map.holds == what::lhist ? lhist_label(map, row) : hist_label(map, row);
      auto digits = std::to_string(row.count);
      if (label.size() < 16)
        label.resize(16, ' ');
      if (digits.size() < 8)
        digits.insert(0, 8 - digits.size(), ' ');
      auto filled = static_cast<std::size_t>(
        52.0f * static_cast<float>(row.count) / static_cast<float>(most));
      out += label + digits + " |" + std::string(filled, '@')
             + std::string(52 - filled, ' ') + "|\n";
    }
  }

  std::string lhist_bound(const played_map& map, number bound) const {
    if (bound != 0 && (minor_ <= 20 || map.step % 1024 == 0)) {
      if (bound % (1 << 20) == 0)
        return std::to_string(bound >> 20) + "M";
      if (bound % 1024 == 0)
        return std::to_string(bound >> 10) + "K";
    }
    return std::to_string(bound);
  }

  std::string lhist_label(const played_map& map, const bucket& row) const {
    if (!row.min)
      return "(..., " + lhist_bound(map, map.low) + ")";
    if (!row.max)
      return "[" + lhist_bound(map, *row.min) + ", ...)";
    if (minor_ >= 24 && map.step == 1)
      return "[" + lhist_bound(map, *row.min) + "]";
    return "[" + lhist_bound(map, *row.min) + ", "
           + lhist_bound(map, *row.max + 1) + ")";
  }

  /// The suffix follows the width of the row that begins at the bound.
  std::string hist_bound(int bits, std::uint64_t bound) const {
    int power = 63;
    while (power > 0 && (bound >> power) == 0)
      --power;
    constexpr std::string_view suffixes = "KMGTPE";
    int level = std::max(power - bits, 0) / 10;
    if (minor_ < 20)
      level = std::min(level, 4);
    auto text = std::to_string(bound >> (10 * level));
    return level == 0 ? text
                      : text + suffixes[static_cast<std::size_t>(level - 1)];
  }

  std::string hist_label(const played_map& map, const bucket& row) const {
    if (!row.min)
      return "(..., 0)";
    auto low = static_cast<std::uint64_t>(*row.min);
    auto high = static_cast<std::uint64_t>(*row.max) + 1;
    if (high - low == 1)
      return "[" + std::to_string(low) + "]";
    return "[" + hist_bound(map.bits, low) + ", " + hist_bound(map.bits, high)
           + ")";
  }

  // ---- JSON ----------------------------------------------------------------

  std::string escaped(std::string_view bytes) {
    constexpr std::string_view hex = "0123456789abcdef";
    std::string result;
    for (char c : bytes) {
      auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        result += '\\';
        result += c;
      } else if (c == '\n') {
        result += "\\n";
      } else if (c == '\r') {
        result += "\\r";
      } else if (c == '\t') {
        result += "\\t";
      } else if (byte < 0x20 || (byte >= 0x80 && minor_ >= 17)) {
        result += byte < 0x20 ? "\\u00" : "\\uffffff";
        result += hex[byte >> 4];
        result += hex[byte & 15];
        hex_ = minor_ >= 24;
      } else {
        result += c;
      }
    }
    return result;
  }

  std::string quoted(std::string_view bytes) {
    return "\"" + escaped(bytes) + "\"";
  }

  std::string key(const element& one) {
    std::string whole;
    for (const auto& part : one.key) {
      whole += &part == &one.key.front() ? "" : ",";
      bool twice =
        (minor_ == 22 || minor_ == 23) && part.find("\n        ") == part.npos;
      whole += twice ? escaped(part) : part;
    }
    if (minor_ >= 24) {
      std::erase(whole, ' ');
      if (whole.size() > 1 && whole.starts_with('(') && whole.ends_with(')'))
        whole = whole.substr(1, whole.size() - 2);
    }
    return quoted(whole);
  }

  std::string whole(exact value) const {
    auto text = value < 0 ? std::to_string(static_cast<number>(value))
                          : std::to_string(static_cast<std::uint64_t>(value));
    auto fits = static_cast<exact>(static_cast<double>(value)) == value;
    return minor_ >= 24 && !fits ? "\"" + text + "\"" : text;
  }

  std::string count(std::int64_t value) const {
    std::array<char, 24> buffer{};
    std::snprintf(buffer.data(), buffer.size(), hex_ ? "%lx" : "%ld",
                  static_cast<long>(value));
    return buffer.data();
  }

  void print_json(const played_print& one) {
    const auto& map = *one.map;
    bool hist = map.holds >= what::hist;
    out += std::string{"{\"type\": \""}
           + (hist                       ? "hist"
              : map.holds == what::count ? "map"
                                         : "stats")
           + "\", \"data\": {\"" + map.name + "\": ";
    if (map.keys != shape::none)
      out += '{';
    for (const auto& entry : one.elements) {
      if (&entry != &one.elements.front())
        out += ", ";
      if (map.keys != shape::none)
        out += key(entry) + ": ";
      if (hist)
        buckets(entry.rows);
      else if (map.holds == what::stats)
        out += "{\"count\": " + whole(entry.stats.count)
               + ", \"average\": " + whole(entry.stats.average)
               + ", \"total\": " + whole(entry.stats.total) + "}";
      else
        out += whole(entry.value);
    }
    out += map.keys == shape::none ? "}}\n" : "}}}\n";
  }

  void buckets(const std::vector<bucket>& rows) {
    // 0.9.2 to 0.19 compute bounds in 32 bits.
    auto bound = [this](number value) {
      return minor_ < 20 ? std::to_string(static_cast<std::int32_t>(value))
                         : whole(value);
    };
    out += '[';
    for (const auto& row : rows) {
      if (&row != &rows.front())
        out += minor_ >= 24 ? "," : ", ";
      out += '{';
      if (row.min)
        out += "\"min\": " + bound(*row.min) + ", ";
      if (row.max) {
        bool wraps = minor_ < 20 && *row.max == (number{1} << 32) - 1;
        out += "\"max\": " + (wraps ? "0" : bound(*row.max)) + ", ";
      }
      out += "\"count\": " + count(static_cast<number>(row.count)) + "}";
    }
    out += ']';
  }

  int minor_;
  output_format format_;
  bool hex_ = false;
};

/// A script and what it prints, at random.
class player {
public:
  player(unsigned seed, int minor) : random_{seed}, minor_{minor} {
    std::vector<std::string> names{"@",    "@a",   "@b",  "@usecs",
                                   "@h_2", "@z9A", "@_x", "@calls"};
    std::shuffle(names.begin(), names.end(), random_);
    for (auto n = 1 + below(5); n > 0; --n) {
      auto& map = maps.emplace_back();
      map.name = names[maps.size()];
      map.keys = static_cast<shape>(below(7));
      map.holds = static_cast<what>(below(6));
      if (map.holds == what::fine_hist && minor < 20)
        map.holds = what::hist;
      if (map.holds == what::fine_hist)
        map.bits = 1 + static_cast<int>(below(5));
      constexpr std::array<number, 7> steps{1,    7,         10,     1024,
                                            1000, 100000000, 1 << 20};
      map.step = steps[below(steps.size())];
      map.low = map.step * static_cast<number>(below(3));
      map.high = std::min<number>(
        map.low + map.step * static_cast<number>(2 + below(20)), 2000000000);
    }
  }

  std::vector<played_map> maps;
  std::size_t below(std::size_t end) {
    return random_() % end;
  }

  /// Elements in the order in which bpftrace prints them.
  played_print print_of(const played_map& map) {
    played_print print;
    print.map = &map;
    std::vector<std::vector<std::string>> keys;
    auto wanted = map.keys == shape::none ? 1 : 1 + below(8);
    for (std::size_t i = 0; i < wanted; ++i) {
      auto key = key_of(map.keys, i == 0);
      if (std::find(keys.begin(), keys.end(), key) == keys.end())
        keys.push_back(key);
    }
    for (auto& key : keys) {
      auto& one = print.elements.emplace_back();
      one.key = std::move(key);
      one.value = value();
      if (map.holds == what::average && below(3) == 0)
        one.value = -one.value;
      one.stats = {static_cast<exact>(below(1000)),
                   below(2) == 0 ? one.value : -one.value, value()};
      if (map.holds == what::lhist)
        one.rows = lhist_rows(map);
      else if (map.holds >= what::hist)
        one.rows = hist_rows(map);
    }
    auto rank = [&](const element& one) {
      exact total = 0;
      for (const auto& row : one.rows)
        total += row.count;
      return map.holds >= what::hist    ? total
             : map.holds == what::stats ? one.stats.average
                                        : exact{one.value};
    };
    std::stable_sort(
      print.elements.begin(), print.elements.end(),
      [&](const element& a, const element& b) { return rank(a) < rank(b); });
    return print;
  }

private:
  number value() {
    auto wide = (std::uint64_t{random_()} << 32) | random_();
    return static_cast<number>(wide >> (1 + below(63)));
  }

  std::string name(bool plain) {
    static const std::vector<std::string> plain_names{"bash", "nginx", "java",
                                                      "sshd"};
    return plain || below(3) == 0 ? plain_names[below(plain_names.size())]
                                  : odd_names[below(odd_names.size())];
  }

  std::string stack() {
    std::string result = "\n";
    for (auto n = 1 + below(4); n > 0; --n)
      result += std::string(minor_ >= 22 ? 8 : 4, ' ')
                + std::array{"schedule", "do_idle", "x86_64_start"}[below(3)]
                + "+" + std::to_string(below(500)) + "\n";
    return result;
  }

  /// `plain`: a name without oddities, so that the number of parts shows.
  std::vector<std::string> key_of(shape keys, bool plain) {
    auto pid = std::to_string(1 + below(70000));
    switch (keys) {
      case shape::none:
        return {};
      case shape::integer:
        return {below(4) == 0 ? "-" + pid : pid};
      case shape::name:
        return {name(plain)};
      case shape::name_pid:
        return {name(plain), pid};
      case shape::pid_name:
        return {pid, name(plain)};
      case shape::stack:
        return {stack()};
      default:
        return {name(true), stack()};
    }
  }

  std::uint64_t some_count() {
    return below(4) == 0 ? 0 : std::uint64_t{random_()} >> below(32) >> 1;
  }

  static void trim(std::vector<bucket>& rows) {
    while (!rows.empty() && rows.back().count == 0)
      rows.pop_back();
    auto empty = [](const bucket& row) {
      return row.count == 0;
    };
    rows.erase(rows.begin(), std::find_if_not(rows.begin(), rows.end(), empty));
  }

  std::vector<bucket> hist_rows(const played_map& map) {
    if (map.seen && below(30) == 0)
      return {}; // as after zero()
    std::vector<bucket> rows{{std::nullopt, -1, some_count()}};
    number singles = number{2} << map.bits;
    for (number n = 0; n < singles; ++n)
      rows.push_back({n, n, some_count()});
    if (map.bits == 0)
      rows.pop_back(), rows.pop_back(),
        rows.insert(rows.end(), {{0, 0, some_count()}, {1, 1, some_count()}});
    int top = minor_ < 20 ? 32 : 63;
    for (int power = map.bits + 1; power < top; ++power)
      for (number i = 0; i < number{1} << map.bits; ++i) {
        auto width = number{1} << (power - map.bits);
        auto low = (number{1} << power) + i * width;
        rows.push_back({low, low + (width - 1), some_count()});
      }
    auto first = rows.begin() + static_cast<std::ptrdiff_t>(below(rows.size()));
    auto last = rows.begin() + static_cast<std::ptrdiff_t>(below(rows.size()));
    if (last < first)
      std::swap(first, last);
    std::vector<bucket> some{first, last + 1};
    some.front().count += 1;
    trim(some);
    return some;
  }

  std::vector<bucket> lhist_rows(const played_map& map) {
    std::vector<bucket> rows{{std::nullopt, map.low - 1, some_count()}};
    auto at = map.low;
    for (; at + map.step <= map.high; at += map.step)
      rows.push_back({at, at + map.step - 1, some_count()});
    rows.push_back(
      {minor_ >= 24 ? at : map.high, std::nullopt, 1 + some_count()});
    if (below(2) == 0) {
      rows.pop_back();
      rows.back().count += 1;
    }
    trim(rows);
    return rows;
  }

  std::mt19937 random_;
  int minor_;
};

std::string text_of(exact value) {
  auto big = static_cast<std::uint64_t>(value < 0 ? -value : value);
  return (value < 0 ? "-" : "") + std::to_string(big);
}

std::string text_of(const bucket& row) {
  return (row.min ? std::to_string(*row.min) : "") + ".."
         + (row.max ? std::to_string(*row.max) : "") + ":"
         + std::to_string(row.count) + " ";
}

/// One element in a line. The last line end of a stack is not compared: JSON
/// gives it or not, as the stack is the whole key or its last part.
std::string line_of(const std::string& map, std::vector<std::string> key,
                    const std::string& value, bool ending) {
  std::string result = map;
  for (auto& part : key) {
    if (part.starts_with('\n') && part.size() > 1 && part.ends_with('\n'))
      part.pop_back();
    result += "|" + part;
  }
  return result + " = " + value + (ending ? "!" : "");
}

struct expectation {
  std::vector<std::string> lines; // one per element
  std::vector<std::size_t> sizes; // of each print, in elements
};

void expect_print(expectation& to, const writer& as, const played_print& one) {
  for (const auto& entry : one.elements) {
    std::string value;
    if (one.map->holds >= what::hist)
      for (const auto& row : entry.rows)
        value += text_of(row);
    else if (one.map->holds == what::stats)
      value = text_of(entry.stats.count) + "/" + text_of(entry.stats.average)
              + "/" + text_of(entry.stats.total);
    else
      value = text_of(exact{entry.value});
    to.lines.push_back(
      line_of(one.map->name, as.readable(entry.key), value, one.ending));
  }
  to.sizes.push_back(one.elements.size());
}

expectation said(const parsed& out) {
  expectation result;
  for (const auto& print : out.snapshots) {
    for (const auto& entry : print.entries) {
      std::string value;
      if (auto rows = std::get_if<buckets>(&entry.value))
        for (const auto& row : *rows)
          value += text_of(row);
      else if (auto stats = std::get_if<stats_value>(&entry.value))
        value = text_of(stats->count) + "/" + text_of(stats->average) + "/"
                + text_of(stats->total);
      else if (auto whole = std::get_if<exact>(&entry.value))
        value = text_of(*whole);
      else
        value = "text";
      result.lines.push_back(
        line_of(print.map, entry.keys, value, print.ending));
    }
    result.sizes.push_back(print.entries.size());
  }
  return result;
}

struct sums {
  std::size_t prints = 0;
  std::size_t values = 0;
};

/// Plays one script and compares; false when something differs.
bool play(unsigned seed, int minor, output_format format, sums& seen) {
  player script{seed, minor};
  writer as{minor, format};
  expectation expected;
  struct piece {
    std::int64_t ms;
    std::size_t end;
  };
  std::vector<piece> pieces;
  std::int64_t ms = 1000;
  as.attach();
  // Without a dump no empty maps: who is killed after the empty lines of some
  // seems to have ended by himself.
  bool dump = script.below(3) != 0;
  for (auto rounds = 1 + script.below(5); rounds > 0; --rounds) {
    for (auto& map : script.maps) {
      switch (script.below(8)) {
        case 0:
          as.say("20:43:08 opens: ");
          break;
        case 1:
          as.say("a line\n");
          break;
        case 2:
          as.lost(7);
          break;
        case 3:
          as.warn(map.name);
          break;
        case 4:
          if (!dump)
            break;
          as.empty(map);
          if (as.text() && minor < 24 && map.keys == shape::none
              && map.holds == what::count) {
            // Cleared: a count is 0 then, and has no other sign of it.
            played_print zero{&map, {element{}}, false};
            expect_print(expected, as, zero);
          }
          continue;
        default:
          break;
      }
      auto print = script.print_of(map);
      map.seen = true;
      as.print(print);
      expect_print(expected, as, print);
      // The same once more, as a second print in the same interval does.
      if (script.below(6) == 0 && map.keys != shape::stack
          && map.keys != shape::name_stack) {
        as.print(print);
        expect_print(expected, as, print);
      }
    }
    pieces.push_back({ms, as.out.size()});
    ms += 1000;
  }
  if (dump) {
    if (script.below(3) == 0)
      as.say("bye\n");
    as.end();
    std::sort(script.maps.begin(), script.maps.end(),
              [](auto& a, auto& b) { return a.name < b.name; });
    for (const auto& map : script.maps) {
      auto print = script.print_of(map);
      print.ending = as.text() || minor < 24;
      as.print(print);
      expect_print(expected, as, print);
    }
    pieces.push_back({ms, as.out.size()});
  }

  parser_options options;
  options.speaks = {format, bpftrace_version{0, minor, 0}};
  auto parser = make_map_parser(options);
  line_splitter splitter{1 << 20};
  parsed out;
  std::size_t at = 0;
  for (const auto& [when, end] : pieces) {
    while (at < end) {
      auto size = std::min(end - at, 1 + script.below(300));
      auto split = splitter.take(std::string_view{as.out}.substr(at, size));
      if (!split.joined.empty())
        parser->feed(split.joined, wall_time_from_ms(when), out);
      for (auto lines : split.regions)
        parser->feed(lines, wall_time_from_ms(when), out);
      at += size;
    }
  }
  parser->finish(splitter.finish(), out);
  auto got = said(out);
  seen.prints += expected.sizes.size();
  seen.values += parser->counts().values;
  bool good = got.lines == expected.lines && got.sizes == expected.sizes;
  if (good)
    return true;
  std::string why;
  for (std::size_t i = 0; i < std::max(got.lines.size(), expected.lines.size());
       ++i) {
    auto g = i < got.lines.size() ? got.lines[i] : "(nothing)";
    auto w = i < expected.lines.size() ? expected.lines[i] : "(nothing)";
    if (g != w) {
      why = "element " + std::to_string(i) + "\n  got  " + g + "\n  want " + w;
      break;
    }
  }
  ADD_FAILURE() << "0." << minor << " seed " << seed << ": "
                << (why.empty() ? "parted in another way" : why)
                << (as.out.size() < 6000 ? "\n" + as.out : "");
  return false;
}

void play_all(output_format format) {
  constexpr unsigned scripts = 40;
  for (int minor : {9, 11, 12, 13, 16, 17, 19, 20, 21, 22, 23, 24, 25, 27}) {
    sums seen;
    unsigned right = 0;
    for (unsigned seed = 1; seed <= scripts; ++seed)
      right +=
        play(seed * 100 + static_cast<unsigned>(minor), minor, format, seen);
    std::cout << "0." << minor << ": " << right << " of " << scripts << " ("
              << seen.prints << " prints, " << seen.values << " values)\n";
  }
}

TEST(Generations, TextOfEachDecodesToWhatWasPrinted) {
  play_all(output_format::text);
}

TEST(Generations, JsonOfEachDecodesToWhatWasPrinted) {
  play_all(output_format::json);
}

} // namespace
} // namespace bpf2graphite
