#pragma once
// For tests: writes maps as bpftrace of each generation writes them, text and
// JSON. The opposite of the daemon's parsers and written without a line of
// them. Versions are 0.MINOR; the four generations are 0.9 to 0.12, 0.13 to
// 0.21, 0.22 to 0.23, 0.24 and later. What differs:
//
//   text  0.9-0.12  an empty line after each print of a map that is no hist
//         -0.23     an empty line after avg and stats; `count 2, average ...`
//         -0.21     a blank after the header of a histogram
//         -0.20     K and M for every lhist bound that is a multiple
//         -0.19     hist: all from 2^31 up is one row, [2G, 4G)
//         0.20-     P and E for bounds, before that T with more digits
//         0.24-     outer parentheses of a key are lost, stats are a record,
//                   lhist rows of width 1 are [3], nothing on stdout about
//                   attaching
//   JSON  -0.16     bytes from 0x80 raw; later \uffffffHH
//         -0.19     the row [2^31, 2^32) in 32 bits: -2147483648 to 0
//         0.22-0.23 strings in keys are escaped twice
//         0.24-     no blank between buckets, none in keys, integers that no
//                   double holds in quotes, `count` of buckets in hexadecimal
//                   once a \u was written
//
// No input, no output, no clock: strings out.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite::printer {

__extension__ typedef __int128 wide;
__extension__ typedef unsigned __int128 unsigned_wide;

enum class map_type { hist, lhist, count, sum, stats, avg };

struct lhist_bounds {
  std::int64_t min = 0;
  std::int64_t max = 100;
  std::int64_t step = 10;
};

/// One element of a map. Rows by lower bound; `below` is (..., 0) or (..., MIN)
/// and stands in front of all.
struct element {
  static constexpr std::int64_t below = -1;

  std::vector<std::string> key;
  std::map<std::int64_t, std::uint64_t> rows;
  wide value = 0;   // count, sum, avg; stats: total
  wide samples = 0; // stats
};

struct printed {
  std::string name; // with its @
  map_type type = map_type::count;
  lhist_bounds bounds; // lhist
  std::vector<element> elements;
};

inline std::string to_text(wide value) {
  const auto negative = value < 0;
  auto rest = static_cast<unsigned_wide>(negative ? -value : value);
  std::string digits;
  do {
    digits.insert(digits.begin(),
                  static_cast<char>('0' + static_cast<int>(rest % 10)));
    rest /= 10;
  } while (rest != 0);
  return negative ? "-" + digits : digits;
}

/// One process of bpftrace: what it writes depends on what it wrote before.
class writer {
public:
  writer(int minor, bool json) : minor_{minor}, json_{json} {}

  /// What stands on standard output when `probes` are attached.
  std::string attached(int probes = 1) const {
    const auto n = std::to_string(probes);
    if (json_)
      return R"({"type": "attached_probes", )"
             + (minor_ >= 24 ? R"("count": )" + n + ", " : std::string{})
             + R"("data": {"probes": )" + n + "}}\n";
    if (minor_ >= 24)
      return {};
    return "Attaching " + n + " probe" + (probes == 1 ? "" : "s") + "...\n";
  }

  /// What comes between END's output and the final dump.
  std::string end() const {
    return json_ && minor_ >= 24 ? "" : "\n\n";
  }

  std::string lost(std::uint64_t events) {
    if (!json_)
      return minor_ >= 24 ? "" : "Lost " + std::to_string(events) + " events\n";
    return R"({"type": "lost_events", )"
           + (minor_ >= 24 ? R"("count": )" + counted(events) + ", "
                           : std::string{})
           + R"("data": {"events": )" + counted(events) + "}}\n";
  }

  std::string printf(const std::string& text) {
    return json_ ? R"({"type": "printf", "data": )" + quoted(text) + "}\n"
                 : text;
  }

  /// One print of a map. `top`: only so many elements were asked for; they
  /// have been chosen already.
  std::string print(const printed& map, bool top = false) {
    const auto hist = map.type == map_type::hist || map.type == map_type::lhist;
    if (map.elements.empty())
      return empty(map, hist);
    return json_ ? json(map, hist) : text(map, hist, top);
  }

private:
  bool summed(const printed& map) const {
    return map.type == map_type::stats || map.type == map_type::avg;
  }

  std::string empty(const printed& map, bool hist) const {
    if (json_ || minor_ >= 24)
      return {};
    if (minor_ <= 12)
      return hist ? "" : "\n";
    return summed(map) ? "\n\n" : "\n";
  }

  // ---- text -----------------------------------------------------------------

  std::string text_key(const std::vector<std::string>& key) const {
    std::string joined;
    for (const auto& part : key)
      joined += (&part == &key.front() ? "" : ", ") + part;
    if (minor_ >= 24 && joined.starts_with('(') && joined.ends_with(')'))
      joined = joined.substr(1, joined.size() - 2);
    return key.empty() ? "" : "[" + joined + "]";
  }

  std::string text(const printed& map, bool hist, bool top) const {
    std::string out;
    for (const auto& one : map.elements) {
      out += map.name + text_key(one.key) + ":";
      if (hist)
        out += (minor_ <= 21 ? " \n" : "\n") + text_rows(map, one) + "\n";
      else
        out += " " + text_value(map, one) + "\n";
    }
    const auto empty_line =
      !hist && ((minor_ <= 12 && !top) || (minor_ <= 23 && summed(map)));
    return empty_line ? out + "\n" : out;
  }

  std::string text_value(const printed& map, const element& one) const {
    if (map.type != map_type::stats)
      return to_text(one.value);
    const auto samples = to_text(one.samples);
    const auto average =
      to_text(one.samples == 0 ? 0 : one.value / one.samples);
    const auto total = to_text(one.value);
    return minor_ >= 24
             ? "{ .count = " + samples + ", .average = " + average
                 + ", .total = " + total + " }"
             : "count " + samples + ", average " + average + ", total " + total;
  }

  std::string suffixed(std::int64_t bound, std::string_view suffixes) const {
    std::size_t power = 0;
    while (bound != 0 && bound % 1024 == 0 && power < suffixes.size()) {
      bound /= 1024;
      ++power;
    }
    auto text = std::to_string(bound);
    if (power > 0)
      text += suffixes[power - 1];
    return text;
  }

  std::string hist_bound(std::int64_t bound, bool doubled) const {
    // 2^63 is no int64.
    const auto* suffixes = minor_ >= 20 ? "KMGTPE" : "KMGT";
    if (!doubled)
      return suffixed(bound, suffixes);
    if (bound == std::int64_t{1} << 62)
      return minor_ >= 20 ? "8E" : "8388608T";
    return suffixed(bound * 2, suffixes);
  }

  std::string lhist_bound(std::int64_t bound, std::int64_t step) const {
    if (minor_ >= 21 && step % 1024 != 0)
      return std::to_string(bound);
    return suffixed(bound, "KM");
  }

  std::string label(const printed& map, std::int64_t low) const {
    if (map.type == map_type::hist) {
      if (low == element::below)
        return "(..., 0)";
      if (low < 2)
        return "[" + std::to_string(low) + "]";
      return "[" + hist_bound(low, false) + ", " + hist_bound(low, true) + ")";
    }
    const auto& of = map.bounds;
    if (low == element::below)
      return "(..., " + lhist_bound(of.min, of.step) + ")";
    if (low >= of.max)
      return "[" + lhist_bound(of.max, of.step) + ", ...)";
    if (minor_ >= 24 && of.step == 1)
      return "[" + std::to_string(low) + "]";
    return "[" + lhist_bound(low, of.step) + ", "
           + lhist_bound(low + of.step, of.step) + ")";
  }

  std::string text_rows(const printed& map, const element& one) const {
    std::string out;
    std::uint64_t highest = 1;
    const auto rows = filled(map, one);
    for (const auto& [low, count] : rows)
      highest = count > highest ? count : highest;
    for (const auto& [low, count] : rows) {
      auto row = label(map, low);
      row.resize(row.size() < 16 ? 16 : row.size(), ' ');
      const auto number = std::to_string(count);
      if (number.size() < 8)
        row.append(8 - number.size(), ' ');
      auto bar =
        std::string(static_cast<std::size_t>(52.0F * static_cast<float>(count)
                                             / static_cast<float>(highest)),
                    '@');
      bar.resize(52, ' ');
      out += row + number + " |" + bar + "|\n";
    }
    return out;
  }

  // ---- rows -----------------------------------------------------------------

  /// From the first to the last row with a count, none left out between.
  std::vector<std::pair<std::int64_t, std::uint64_t>>
  filled(const printed& map, const element& one) const {
    std::map<std::int64_t, std::uint64_t> rows;
    for (const auto& [low, count] : one.rows) {
      if (count == 0)
        continue;
      constexpr auto highest = std::int64_t{1} << 31;
      const auto folded =
        map.type == map_type::hist && minor_ <= 19 && low > highest;
      rows[folded ? highest : low] += count;
    }
    std::vector<std::pair<std::int64_t, std::uint64_t>> out;
    if (rows.empty())
      return out;
    const auto last = rows.rbegin()->first;
    for (auto low = rows.begin()->first;; low = after(map, low)) {
      out.emplace_back(low, rows.contains(low) ? rows[low] : 0);
      if (low >= last)
        return out;
    }
  }

  static std::int64_t after(const printed& map, std::int64_t low) {
    if (map.type == map_type::hist)
      return low < 2 ? low + 1 : low * 2;
    return low == element::below ? map.bounds.min : low + map.bounds.step;
  }

  // ---- JSON -----------------------------------------------------------------

  std::string json(const printed& map, bool hist) {
    const auto* type = hist ? "hist" : summed(map) ? "stats" : "map";
    const auto keyed = !map.elements.front().key.empty();
    auto out = std::string{R"({"type": ")"} + type + R"(", "data": {)"
               + quoted(map.name) + ": " + (keyed ? "{" : "");
    for (const auto& one : map.elements) {
      if (&one != &map.elements.front())
        out += ", ";
      if (keyed)
        out += json_key(one.key) + ": ";
      out += hist ? json_rows(map, one) : json_value(map, one);
    }
    return out + (keyed ? "}" : "") + "}}\n";
  }

  std::string json_value(const printed& map, const element& one) const {
    if (map.type != map_type::stats)
      return integer(one.value);
    return R"({"count": )" + integer(one.samples) + R"(, "average": )"
           + integer(one.samples == 0 ? 0 : one.value / one.samples)
           + R"(, "total": )" + integer(one.value) + "}";
  }

  std::string json_rows(const printed& map, const element& one) {
    std::string out = "[";
    for (const auto& [low, count] : filled(map, one)) {
      if (out.size() > 1)
        out += minor_ >= 24 ? "," : ", ";
      out +=
        "{" + json_bounds(map, low) + R"("count": )" + counted(count) + "}";
    }
    return out + "]";
  }

  std::string json_bounds(const printed& map, std::int64_t low) const {
    const auto from = [this](std::int64_t n) {
      return R"("min": )" + integer(n) + ", ";
    };
    const auto to = [this](wide n) {
      return R"("max": )" + integer(n) + ", ";
    };
    if (map.type == map_type::hist) {
      if (low == element::below)
        return to(-1);
      if (minor_ <= 19 && low == std::int64_t{1} << 31)
        return from(-2147483648) + to(0);
      return from(low) + to(low < 2 ? wide{low} : wide{low} * 2 - 1);
    }
    const auto& of = map.bounds;
    if (low == element::below)
      return to(of.min - 1);
    if (low >= of.max)
      return from(of.max);
    return from(low) + to(low + of.step - 1);
  }

  /// An integer; in quotes where no double holds it (0.24 and later).
  std::string integer(wide value) const {
    auto text = to_text(value);
    const auto exact_double = static_cast<wide>(static_cast<double>(value));
    return minor_ >= 24 && exact_double != value ? "\"" + text + "\"" : text;
  }

  /// The count of a bucket or of lost events.
  std::string counted(std::uint64_t count) const {
    if (minor_ < 24 || !escaped_)
      return std::to_string(count);
    std::string digits;
    do {
      digits.insert(digits.begin(), "0123456789abcdef"[count % 16]);
      count /= 16;
    } while (count != 0);
    return digits;
  }

  std::string json_key(const std::vector<std::string>& key) {
    std::string joined;
    for (const auto& part : key) {
      if (&part != &key.front())
        joined += ",";
      joined += minor_ == 22 || minor_ == 23 ? escaped(part) : part;
    }
    if (minor_ >= 24) {
      std::erase(joined, ' ');
      if (joined.starts_with('(') && joined.ends_with(')'))
        joined = joined.substr(1, joined.size() - 2);
    }
    return quoted(joined);
  }

  std::string quoted(std::string_view text) {
    return "\"" + escaped(text) + "\"";
  }

  std::string escaped(std::string_view text) {
    std::string out;
    for (const auto c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\')
        out += std::string{'\\'} + c;
      else if (c == '\n')
        out += "\\n";
      else if (c == '\r')
        out += "\\r";
      else if (c == '\t')
        out += "\\t";
      else if (byte < 0x20 || (byte >= 0x80 && minor_ >= 17))
        out += (byte < 0x20 ? "\\u00" : "\\uffffff") + hex_byte(byte);
      else
        out += c;
    }
    return out;
  }

  std::string hex_byte(unsigned char byte) {
    escaped_ = true;
    const std::string_view digits = "0123456789abcdef";
    return {digits[byte / 16U], digits[byte % 16U]};
  }

  int minor_;
  bool json_;
  bool escaped_ = false;
};

} // namespace bpf2graphite::printer
