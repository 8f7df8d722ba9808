#include "actors/histogram_parser/map_text.hpp"

#include "actors/histogram_parser/bar_line.hpp"
#include "actors/histogram_parser/key_parts.hpp"
#include "actors/histogram_parser/known_keys.hpp"
#include "actors/histogram_parser/printf_metrics.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <utility>

namespace bpf2graphite {
namespace {

using view = std::string_view;
constexpr std::size_t npos = view::npos;

constexpr std::size_t graph_columns = 53; // of a tseries row
constexpr std::size_t bar_bytes = 80;     // of a whole such row, about
constexpr std::size_t point_bytes = 72;
constexpr std::size_t comm_bytes_max = 15; // of a process name
constexpr int glued_places_max = 16;       // "@"s looked at in one line of text

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_name(char c) {
  return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z')
         || (c >= 'A' && c <= 'Z');
}

/// All of `text` as an integer that bpftrace can print.
bool read_integer(view text, exact& value) {
  bool negative = !text.empty() && text[0] == '-';
  if (negative)
    text.remove_prefix(1);
  if (text.empty() || text.size() > 20)
    return false;
  if (text[0] == '0' && (text.size() > 1 || negative))
    return false;
  std::uint64_t high = 0; // of the first 19 digits
  for (char c : text.substr(0, 19)) {
    if (!is_digit(c))
      return false;
    high = high * 10 + static_cast<std::uint64_t>(c - '0');
  }
  exact sum = high;
  if (text.size() <= 18) {
    value = negative ? -sum : sum;
    return true;
  }
  if (text.size() == 20) {
    if (!is_digit(text[19]))
      return false;
    sum = sum * 10 + (text[19] - '0');
  }
  if (sum > (negative
               ? -static_cast<exact>(std::numeric_limits<std::int64_t>::min())
               : static_cast<exact>(std::numeric_limits<std::uint64_t>::max())))
    return false;
  value = negative ? -sum : sum;
  return true;
}

/// The same for what `line` ends in, from `at` on: mostly a few digits, and
/// more before them, so that eight bytes can be looked at together.
bool read_integer_at(view line, std::size_t at, exact& value) {
  const std::size_t size = line.size() - at;
  if (std::endian::native != std::endian::little || size == 0 || size > 8
      || line.size() < 8 || (line[at] == '0' && size > 1))
    return read_integer(line.substr(at), value);
  // The eight last bytes; those before the digits become zeros.
  constexpr std::uint64_t zeros = 0x3030303030303030;
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, line.data() + line.size() - 8, 8);
  bytes ^= zeros;
  bytes &= ~std::uint64_t{0} << (64 - 8 * size);
  if (((bytes | (bytes + 0x7676767676767676)) & 0x8080808080808080) != 0)
    return read_integer(line.substr(at), value); // a minus, or none at all
  bytes = (bytes * 10 + (bytes >> 8)) & 0x00ff00ff00ff00ff;
  bytes = (bytes * 100 + (bytes >> 16)) & 0x0000ffff0000ffff;
  value = (bytes * 10000 + (bytes >> 32)) & 0xffffffff;
  return true;
}

/// Takes `text` from the front of `from`.
bool skip(view& from, view text) {
  if (!from.starts_with(text))
    return false;
  from.remove_prefix(text.size());
  return true;
}

/// Takes an integer and the text behind it from the front of `from`.
bool take_integer(view& from, view behind, exact& value) {
  std::size_t end = behind.empty() ? from.size() : from.find(behind);
  if (end == npos || !read_integer(from.substr(0, end), value))
    return false;
  from.remove_prefix(end + behind.size());
  return true;
}

/// All of `text` as stats, in either notation.
bool read_stats(view text, stats_value& stats) {
  if (skip(text, "count "))
    return take_integer(text, ", average ", stats.count)
           && take_integer(text, ", total ", stats.average)
           && take_integer(text, "", stats.total);
  return skip(text, "{ .count = ")
         && take_integer(text, ", .average = ", stats.count)
         && take_integer(text, ", .total = ", stats.average)
         && take_integer(text, " }", stats.total) && text.empty();
}

/// 0: no width, an end is open. At most 2^63.
std::uint64_t width(const bucket& row) {
  if (!row.min || !row.max)
    return 0;
  return static_cast<std::uint64_t>(*row.max)
         - static_cast<std::uint64_t>(*row.min) + 1;
}

/// True when `row` can follow the rows of one histogram.
bool joins(const buckets& rows, const bucket& row) {
  if (rows.empty())
    return true;
  const auto last = rows.back();
  if (!last.max || !row.min || *row.min <= *last.max)
    return false;
  std::uint64_t gap = static_cast<std::uint64_t>(*row.min)
                      - static_cast<std::uint64_t>(*last.max) - 1;
  std::uint64_t before = width(last);
  if (!row.max) // lhist, what is left of an uneven range has no row
    return gap == 0 || gap < before;
  if (gap != 0)
    return false;
  std::uint64_t now = width(row);
  if (before == 0 || now == before)
    return true;
  // Only hist() changes its width: by doubling, at a multiple of the new one.
  return now == 2 * before && (now & (now - 1)) == 0
         && static_cast<std::uint64_t>(*row.min) % now == 0;
}

/// What a line, or its end, is.
enum class tail { number, stats, header, text, open };

/// A line as a row: from the "@" on, or from the middle of a key.
struct found_row {
  view name;
  view key;   // what stands before the closing bracket
  view value; // of number, stats and text
  tail ends = tail::open;
  bool keyed = false;
  bool space = false; // header: with one behind it
  exact number = 0;
  stats_value stats;
};

/// Looks for the bracket that closes a key in `text`.
void find_close(view text, found_row& row) {
  row.keyed = true;
  row.key = text;
  row.ends = tail::open;
  if (text.size() < 2)
    return;
  char last = text.back();
  if (last == ':' && text[text.size() - 2] == ']') {
    row.ends = tail::header;
    row.space = false;
    row.key.remove_suffix(2);
    return;
  }
  if (last == ' ' && text.ends_with("]: ")) {
    row.ends = tail::header;
    row.space = true;
    row.key.remove_suffix(3);
    return;
  }
  if (is_digit(last)) {
    std::size_t from = text.size();
    while (from > 0 && is_digit(text[from - 1]))
      --from;
    if (from > 0 && text[from - 1] == '-')
      --from;
    if (from >= 3 && text.substr(from - 3, 3) == "]: "
        && read_integer(text.substr(from), row.number)) {
      row.ends = tail::number;
      row.key = text.substr(0, from - 3);
      row.value = text.substr(from);
      return;
    }
  }
  if (is_digit(last) || last == '}') {
    std::size_t close =
      text.rfind(last == '}' ? view{"]: { .count = "} : view{"]: count "});
    if (close != npos && read_stats(text.substr(close + 3), row.stats)) {
      row.ends = tail::stats;
      row.key = text.substr(0, close);
      row.value = text.substr(close + 3);
      return;
    }
  }
  std::size_t close = text.find("]: ");
  if (close != npos) {
    row.ends = tail::text;
    row.key = text.substr(0, close);
    row.value = text.substr(close + 3);
  }
}

/// The row that begins with the "@" at the front of `text`, if one does.
bool find_row(view text, found_row& row) {
  std::size_t end = 1;
  while (end < text.size() && is_name(text[end]))
    ++end;
  if (end == text.size())
    return false;
  row.name = text.substr(0, end);
  view rest = text.substr(end + 1);
  if (text[end] == '[') {
    find_close(rest, row);
    return true;
  }
  if (text[end] != ':')
    return false;
  row.keyed = false;
  row.key = {};
  row.space = !rest.empty();
  if (rest.empty() || rest == " ") {
    row.ends = tail::header;
    return true;
  }
  if (rest[0] != ' ')
    return false;
  row.value = rest.substr(1);
  if (read_integer(row.value, row.number))
    row.ends = tail::number;
  else if (read_stats(row.value, row.stats))
    row.ends = tail::stats;
  else
    row.ends = tail::text;
  return true;
}

bool is_frame(view line) {
  return line.starts_with("    ") || line.starts_with('\t');
}

/// Bytes of a key that are neither frames nor integers nor separators: what a
/// process may have put there.
std::size_t free_bytes(view key) {
  std::size_t bytes = 0;
  while (!key.empty()) {
    std::size_t end = std::min(key.find('\n'), key.size());
    view line = key.substr(0, end);
    key.remove_prefix(std::min(end + 1, key.size()));
    if (is_frame(line))
      continue;
    ++bytes; // the line end
    for (;;) {
      std::size_t cut = std::min(line.find(", "), line.size());
      exact ignored = 0;
      if (!read_integer(line.substr(0, cut), ignored))
        bytes += cut;
      if (cut == line.size())
        break;
      line.remove_prefix(cut + 2);
    }
  }
  return bytes;
}

/// True when all parts of a key are integers.
bool is_integers(view key) {
  for (;;) {
    std::size_t cut = std::min(key.find(", "), key.size());
    exact ignored = 0;
    if (!read_integer(key.substr(0, cut), ignored))
      return false;
    if (cut == key.size())
      return true;
    key.remove_prefix(cut + 2);
  }
}

bool has_stack(view key) {
  return key.find("\n    ") != npos || key.find("\n\t") != npos;
}

/// The two equal lines above and below a tseries: the ends of its scale.
bool is_scale(view line) {
  std::size_t from = line.find_first_not_of(' ');
  if (from == npos || from < 9 || line.size() < from + 3)
    return false;
  std::size_t end = line.find(' ', from);
  std::size_t second = line.rfind(' ') + 1;
  exact ignored = 0;
  return end != npos && second > end
         && read_integer(line.substr(from, end - from), ignored)
         && read_integer(line.substr(second), ignored);
}

/// All of `line` as one interval of a tseries; `missing`: it has no value.
bool read_point(view line, tseries_value& point, bool& missing) {
  std::size_t end = line.find(' ');
  if (end == npos || end < 8 || line[2] != ':' || line[5] != ':'
      || line.substr(0, end).find_first_not_of("0123456789:.") != npos
      || line.size() < end + 1 + graph_columns + 2)
    return false;
  view graph = line.substr(end + 1, graph_columns);
  view value = line.substr(end + 1 + graph_columns);
  if (graph.find_first_not_of(" |*.") != npos || !skip(value, " "))
    return false;
  missing = value == "-";
  if (!missing && !read_integer(value, point.value))
    return false;
  point.time = line.substr(0, end);
  return true;
}

/// "Lost N events" at the end of a line; `before` is what stands before it.
bool read_lost(view line, view& before, std::uint64_t& lost) {
  constexpr view mark = "Lost ";
  constexpr view after = " events";
  if (!line.ends_with(after))
    return false;
  line.remove_suffix(after.size());
  std::size_t from = line.size();
  while (from > 0 && is_digit(line[from - 1]))
    --from;
  exact number = 0;
  if (!line.substr(0, from).ends_with(mark)
      || !read_integer(line.substr(from), number))
    return false;
  lost = static_cast<std::uint64_t>(number);
  before = line.substr(0, from - mark.size());
  return true;
}

/// Where digits that end at `end` begin.
std::size_t digits_before(view text, std::size_t end) {
  while (end > 0 && is_digit(text[end - 1]))
    --end;
  return end;
}

/// FILE:line:columns: LEVEL: message. `excerpt`: the source line follows.
bool is_diagnostic(view line, bool& excerpt) {
  for (view level : {view{": WARNING: "}, view{": ERROR: "}}) {
    std::size_t end = line.find(level);
    if (end == npos)
      continue;
    std::size_t at = digits_before(line, end);
    if (at == end || at == 0)
      continue;
    bool range = line[at - 1] == '-';
    if (range) {
      std::size_t second = at - 1;
      at = digits_before(line, second);
      if (at == second || at == 0)
        continue;
    }
    if (line[at - 1] != ':')
      continue;
    std::size_t place = digits_before(line, at - 1);
    excerpt = place < at - 1 && place > 0 && line[place - 1] == ':';
    if (excerpt || range)
      return true;
  }
  return false;
}

bool is_marker(view line) {
  std::size_t from = line.find_first_not_of(" \t");
  if (from == npos || line[from] != '~')
    return false;
  return line.find_first_not_of('~', from) == npos;
}

bool is_attaching(view line) {
  if (!skip(line, "Attaching "))
    return false;
  std::size_t digits = 0;
  while (digits < line.size() && is_digit(line[digits]))
    ++digits;
  line.remove_prefix(digits);
  return digits > 0 && (line == " probe..." || line == " probes...");
}

/// What is known of one map of the stream.
struct map_state {
  view name; // the key of the table's node
  const key_shape* hint = nullptr;
  key_shape learnt;
  known_keys shared;            // those that are split alone ...
  std::size_t shared_parts = 0; // ... into so many parts
  std::uint32_t shared_change = 0;
  std::size_t elements = 0; // of its last print
  std::uint64_t prints = 0;
  bool texts = false;      // a value of it was text
  bool numbers = false;    // a value of it was none for sure
  bool divided = false;    // a histogram began or ended with a row of 0
  bool sorted = false;     // five rising values, no fall, were seen
  bool disordered = false; // a print of it fell
};

/// Finds a key among those of the open print. Reused from print to print.
class key_index {
public:
  void clear() {
    ++epoch_;
    size_ = 0;
    if (epoch_ == 0) { // after 2^32 prints
      std::fill(cells_.begin(), cells_.end(), cell{});
      epoch_ = 1;
    }
  }

  /// The place of the cell for `key`; `equal(i)` compares with entry i.
  template <class Equal>
  std::size_t find(std::size_t hash, Equal equal) const {
    std::size_t at = hash & (cells_.size() - 1);
    while (cells_[at].epoch == epoch_ && !equal(cells_[at].entry))
      at = (at + 1) & (cells_.size() - 1);
    return at;
  }

  bool taken(std::size_t at) const {
    return cells_[at].epoch == epoch_;
  }
  std::uint32_t entry(std::size_t at) const {
    return cells_[at].entry;
  }
  void put(std::size_t at, std::size_t entry) {
    cells_[at] = {epoch_, static_cast<std::uint32_t>(entry)};
    ++size_;
  }

  /// True when all has to be put in again, into the larger table.
  bool grow() {
    if (size_ * 2 < cells_.size())
      return false;
    cells_.assign(cells_.size() * 2, cell{});
    epoch_ = 1;
    size_ = 0;
    return true;
  }

private:
  struct cell {
    std::uint32_t epoch = 0;
    std::uint32_t entry = 0;
  };
  std::vector<cell> cells_{64};
  std::uint32_t epoch_ = 1;
  std::size_t size_ = 0;
};

/// A print of a map with keys that has not ended.
struct open_print {
  struct row {
    const shared_key* known = nullptr; // in the map's; null: its text is ...
    std::size_t end = 0;               // ... in `keys`, up to here
    exact order = 0;                   // what bpftrace sorts by
  };

  map_state* map = nullptr;
  std::vector<map_entry> entries; // without keys that are not known
  std::vector<row> rows;          // of each entry
  std::string keys;               // texts of those not known, joined
  std::vector<std::size_t> falls; // entries below the one before, undecided
  std::size_t rises = 0;          // entries above the one before, in a row
  std::size_t bytes = 0;
  map_kind kind = map_kind::value;
  wall_time arrival{};

  view key(std::size_t i) const {
    if (rows[i].known != nullptr)
      return map->shared.raw(*rows[i].known);
    std::size_t from = i == 0 ? 0 : rows[i - 1].end;
    return view{keys}.substr(from, rows[i].end - from);
  }
};

/// A row that is believed when the next line came.
struct pending_row {
  map_state* map = nullptr; // none: there is no such row
  bool keyed = false;
  tail ends = tail::number;
  const shared_key* known = nullptr; // its key, if the map was not changed ...
  std::uint32_t change = 0;          // ... since
  bool spelled = true;   // `text` is there; else it is that of known and number
  std::size_t bytes = 0; // of `text`
  std::string text;      // from behind the "[" on, or the value
  std::size_t key_bytes = 0;
  std::size_t value_at = 0;
  std::string more; // lines behind a text, each with a '\n' before it
  std::size_t more_lines = 0;
  exact number = 0;
  stats_value stats;
  wall_time arrival{};
};

class text_parser final : public map_parser {
public:
  explicit text_parser(parser_options options)
    : options_{std::move(options)}, metrics_{options_.metrics} {
    const auto& speaks = options_.speaks;
    if (speaks.version) {
      before_024_ = !speaks.at_least(0, 24);
      since_024_ = !before_024_;
      any_order_ = speaks.at_least(0, 26);
    }
  }

  void feed(view lines, wall_time arrival, parsed& out) override {
    out_ = &out;
    silence(arrival);
    now_ = arrival;
    seen_ = true;
    while (!lines.empty()) {
      if ((where_ == place::bars || where_ == place::header)
          && usual_bars(lines))
        continue;
      std::size_t end = std::min(lines.find('\n'), lines.size());
      whole_line(lines.substr(0, end));
      lines.remove_prefix(std::min(end + 1, lines.size()));
    }
    metrics_.hand_out(now_, out);
    out_ = nullptr;
  }

  void pause(wall_time now, parsed& out) override {
    // The wall clock was set back meanwhile; it is silent none the less.
    now = now < now_ ? now_ + options_.pause : now;
    out_ = &out;
    silence(now);
    metrics_.hand_out(now_, out);
    out_ = nullptr;
  }

  void finish(view rest, parsed& out) override {
    out_ = &out;
    end_of_output(rest);
    metrics_.hand_out(now_, out);
    out_ = nullptr;
  }

  std::size_t held_bytes() const override {
    std::size_t bytes = held_bytes_ + print_.bytes;
    if (pending_.map)
      bytes += pending_.bytes + pending_.more.size();
    if (where_ != place::between)
      bytes += key_text_.size() + excerpt_.size() + frames_.size()
               + rows_.size() * bar_bytes + points_.size() * point_bytes;
    return bytes;
  }

  bool waiting() const override {
    return pending_.map || print_.map || !held_.empty();
  }

  const parser_counts& counts() const override {
    return counts_;
  }

private:
  // ---- lines ---------------------------------------------------------------

  enum class place {
    between, // two maps
    header,  // after what may be one
    bars,    // in a histogram
    series,  // in a tseries
    frames,  // in a stack that is a value
    key,     // that goes on with the next line
    excerpt, // after a diagnostic
  };

  void whole_line(view text) {
    if (!first_line_seen_) {
      first_line_seen_ = true;
      // bpftrace writes no CR; a file that went through Windows has it in
      // every line. A name of a process may end a line with one, too.
      crlf_ = text.ends_with('\r');
    }
    if (crlf_ && text.ends_with('\r'))
      text.remove_suffix(1);
    line(text);
  }

  void line(view text) {
    switch (where_) {
      case place::between:
        return between(text);
      case place::header:
        return after_header(text);
      case place::bars:
        return in_bars(text);
      case place::series:
        return in_series(text);
      case place::frames:
        return in_frames(text);
      case place::key:
        return in_key(text);
      case place::excerpt:
        return in_excerpt(text);
    }
  }

  void between(view text) {
    if (text.empty())
      return empty_line();
    if (text[0] == '@' && take_known_row(text))
      return;
    found_row row;
    if (text[0] == '@' && find_row(text, row))
      return begin(row, text, {});
    if (pending_.map && join_pending(text))
      return;
    other_line(text);
  }

  /// A number behind the key that is expected in the map of the line before:
  /// the same row that find_row would find.
  bool take_known_row(view text) {
    map_state* map = last_map_;
    // (Of a map whose values are texts, "]: 5" may be in one.)
    if (!map || !map->numbers || text.size() <= map->name.size()
        || text[map->name.size()] != '[' || !text.starts_with(map->name))
      return false;
    text.remove_prefix(map->name.size() + 1);
    std::size_t size = 0;
    const auto* known = map->shared.next(text, size);
    exact number = 0;
    if (!known || !read_integer_at(text, size, number))
      return false;
    constexpr auto behind = view{"]: "}.size();
    const auto change = map->shared_change;
    // As commit_pending would, but for what such rows do not need.
    if (!pending_.map || !add_rising(*map))
      commit_pending(map, text.substr(0, size - behind), true);
    pending_.map = map;
    pending_.keyed = true;
    pending_.ends = tail::number;
    pending_.bytes = text.size();
    pending_.key_bytes = size - behind;
    pending_.value_at = size;
    pending_.number = number;
    pending_.arrival = now_;
    pending_.known = known;
    pending_.change = map->shared_change;
    pending_.spelled = change != map->shared_change;
    if (pending_.spelled) { // a print has ended, and keys were forgotten
      pending_.text = text;
      pending_.known = map->shared.find(pending_key());
    }
    return true;
  }

  /// The pending row is one of many: a number of `map` that is not below the
  /// one before, its key known and new in the open print. Else false, and
  /// nothing was done.
  bool add_rising(map_state& map) {
    const auto* known = pending_.known;
    if (pending_.map != &map || print_.map != &map || !known
        || pending_.change != map.shared_change || !pending_.keyed
        || pending_.ends != tail::number || pending_.more_lines != 0
        || print_.kind != map_kind::value || print_.rows.empty()
        || entry_of({}, known) != npos)
      return false;
    const auto before = print_.rows.back().order;
    const auto bytes = pending_.bytes + entry_bytes;
    if (pending_.number < before
        || print_.bytes + bytes > options_.record_bytes_max)
      return false;
    after_stats_ = false;
    note_rise(map, pending_.number > before);
    print_.entries.emplace_back(known, pending_.number);
    push_row(known, pending_.number, bytes, pending_.arrival);
    pending_.map = nullptr;
    return true;
  }

  /// A row, header or open key was found at the end of `line`, behind `glued`.
  void begin(const found_row& row, view line, view glued) {
    map_state* map = map_of(row.name);
    if (!map) {
      commit_pending(nullptr);
      end_print();
      ++counts_.rejected;
      return;
    }
    if (!glued.empty()) {
      commit_pending(nullptr);
      // With an open key or a header the whole line may prove to be text.
      if (row.ends != tail::open && row.ends != tail::header) {
        other_output();
        print_text(glued);
      }
    }
    if (row.ends == tail::open || row.ends == tail::header) {
      commit_pending(map);
      where_ = row.ends == tail::open ? place::key : place::header;
      head_map_ = map;
      head_keyed_ = row.keyed;
      head_space_ = row.space;
      head_glued_ = glued.size();
      doubtful_ = false;
      head_line_ = line;
      key_text_ = row.key;
      key_lines_ = 1;
      return;
    }
    take_row(*map, row);
  }

  void take_row(map_state& map, found_row row) {
    view text;
    if (row.keyed) {
      // From the bracket on: the key, its end and the value in one.
      text = view{row.key.data(),
                  static_cast<std::size_t>(row.value.data() + row.value.size()
                                           - row.key.data())};
      if (row.ends == tail::number && holds_texts(map)) {
        // Its values are text, and text may end in "]: 5".
        std::size_t close = text.find("]: ");
        if (close < row.key.size()) {
          row.ends = tail::text;
          row.key = text.substr(0, close);
          row.value = text.substr(close + 3);
        }
      }
      if (row.ends == tail::text && !since_024_)
        text = take_addresses(map, row, text);
    } else {
      text = row.value;
    }
    commit_pending(&map, row.keyed ? row.key : view{}, row.keyed);
    if (!row.keyed && row.ends != tail::text) {
      end_print();
      map_entry entry;
      if (row.ends == tail::number)
        entry.value = row.number;
      else
        entry.value = row.stats;
      after_stats_ = row.ends == tail::stats && !since_024_;
      return emit_single(
        map, std::move(entry),
        row.ends == tail::number ? map_kind::value : map_kind::stats, now_);
    }
    pending_.map = &map;
    pending_.keyed = row.keyed;
    pending_.ends = row.ends;
    pending_.text = text;
    pending_.bytes = text.size();
    pending_.spelled = true;
    pending_.key_bytes = row.key.size();
    pending_.value_at = row.keyed ? row.key.size() + 3 : 0;
    pending_.number = row.number;
    pending_.stats = row.stats;
    pending_.arrival = now_;
    pending_.change = map.shared_change;
    pending_.known = row.keyed ? map.shared.find(pending_key()) : nullptr;
  }

  /// Only text was seen as values of `map`.
  bool holds_texts(const map_state& map) const {
    return !map.numbers
           && (map.texts
               || (pending_.map == &map && pending_.ends == tail::text));
  }

  /// Elements without line ends between them (rule 5): adds all but the last
  /// and leaves that in `row`. Returns its text.
  view take_addresses(map_state& map, found_row& row, view text) {
    for (;;) {
      std::size_t at = 0;
      for (;;) {
        at = row.value.find('@', at);
        if (at == npos)
          return text;
        view from = row.value.substr(at);
        if (from.starts_with(map.name)
            && from.substr(map.name.size()).starts_with('[')
            && from.find("]: ") != npos)
          break;
        ++at;
      }
      view from = row.value.substr(at + map.name.size() + 1);
      std::size_t close = from.find("]: ");
      commit_pending(&map, row.key, true);
      map_entry entry;
      entry.value = text_value{std::string{row.value.substr(0, at)}, false};
      map.texts = true;
      add_entry(map, row.key, map.shared.find(row.key), std::move(entry),
                map_kind::text, nullptr, text.size(), now_);
      text = from;
      row.key = from.substr(0, close);
      row.value = from.substr(close + 3);
    }
  }

  void empty_line() {
    commit_pending(nullptr);
    end_print();
    if (std::exchange(after_stats_, false))
      return; // belongs to the stats before it
    ++empty_lines_;
    bool strong = empty_lines_ >= 2;
    if (strong && !held_.empty())
      second_ending_ = held_.size();
    if (ending_ || !(strong || after_text_))
      return;
    ending_ = true;
  }

  /// A line that begins no map.
  void other_line(view text) {
    std::uint64_t lost = 0;
    view before;
    bool excerpt = false;
    if (!since_024_) {
      if (read_lost(text, before, lost)) {
        commit_pending(nullptr);
        end_print();
        counts_.lost_events +=
          std::min(lost, std::numeric_limits<std::uint64_t>::max()
                           - counts_.lost_events);
        if (!before.empty())
          print_text(before);
        other_output();
        return;
      }
      if (is_diagnostic(text, excerpt)) {
        commit_pending(nullptr);
        other_output();
        return diagnostic(text, excerpt);
      }
      if (!attached_ && is_attaching(text)) {
        commit_pending(nullptr);
        other_output();
        attached_ = true;
        out_->attached = true;
        if (!options_.speaks.version && !before_024_) {
          before_024_ = true;
          any_order_ = false;
          assume("no version is known: \"Attaching probes\" on the standard "
                 "output tells of one before 0.24");
        }
        return;
      }
    }
    if (text == "__BPFTRACE_NOTIFY_PROBES_ATTACHED") {
      commit_pending(nullptr);
      other_output();
      out_->attached = true;
      return;
    }
    if (find_glued(text))
      return;
    if (pending_.map && pending_.ends == tail::text
        && pending_.more_lines < text_key_lines_max
        && pending_.more.size() + text.size() < text_key_bytes_max) {
      pending_.more += '\n';
      pending_.more += text;
      ++pending_.more_lines;
      return;
    }
    commit_pending(nullptr);
    stray(text);
  }

  /// Text that belongs to no map.
  void stray(view text) {
    other_output();
    bucket ignored;
    if (read_bar(text, ignored))
      ++counts_.rejected;
    else
      print_text(text, true);
    after_text_ = true;
  }

  /// Rule 4: a map behind text on the same line.
  bool find_glued(view text) {
    found_row best;
    std::size_t best_at = npos;
    int rank = 0; // of the best: 1 open key, 2 text of a known map
    std::size_t at = text.find('@', 1);
    for (int i = 0; i < glued_places_max && at != npos; ++i) {
      found_row row;
      if (find_row(text.substr(at), row)) {
        if (row.ends != tail::text && row.ends != tail::open) {
          begin(row, text, text.substr(0, at));
          return true;
        }
        int now = row.ends == tail::open ? 1 : 2;
        if (now > rank && (now == 1 || maps_.find(row.name) != maps_.end())) {
          rank = now;
          best = row;
          best_at = at;
        }
      }
      at = text.find('@', at + 1);
    }
    if (rank == 0 || (rank == 1 && no_open_keys_))
      return false;
    begin(best, text, text.substr(0, best_at));
    return true;
  }

  // ---- rows that are believed later ----------------------------------------

  std::size_t name_bytes_max(const map_state& map) const {
    std::size_t parts = map.hint ? map.hint->parts : map.learnt.parts;
    return (comm_bytes_max + 1) * std::max<std::size_t>(parts, 1);
  }

  view pending_key() {
    return view{pending_text()}.substr(0, pending_.key_bytes);
  }

  /// To be called before keys of its map are forgotten.
  const std::string& pending_text() {
    if (!std::exchange(pending_.spelled, true)) {
      auto value = static_cast<std::uint64_t>(
        pending_.number < 0 ? -pending_.number : pending_.number);
      pending_.text = pending_.map->shared.raw(*pending_.known);
      pending_.text += pending_.number < 0 ? "]: -" : "]: ";
      pending_.text += std::to_string(value);
    }
    return pending_.text;
  }

  static exact pending_value(tail ends, exact number,
                             const stats_value& stats) {
    return ends == tail::stats ? stats.average : number;
  }

  /// Nothing but integers was seen as keys of `map`, or can be.
  bool keys_are_integers(const map_state& map) const {
    const key_shape& shape = map.hint ? *map.hint : map.learnt;
    if (!shape.integer.empty())
      return std::find(shape.integer.begin(), shape.integer.end(), false)
             == shape.integer.end();
    if (print_.map != &map)
      return false;
    for (std::size_t i = 0; i < print_.entries.size(); ++i)
      if (!is_integers(print_.key(i)))
        return false;
    return true;
  }

  /// A map that was seen before is printed behind text on this line.
  bool holds_known_row(view text) const {
    std::size_t at = text.find('@', 1);
    for (int i = 0; i < glued_places_max && at != npos; ++i) {
      found_row row;
      if (find_row(text.substr(at), row) && row.ends != tail::open
          && row.ends != tail::text && maps_.find(row.name) != maps_.end())
        return true;
      at = text.find('@', at + 1);
    }
    return false;
  }

  /// Rule 1: `text` ends the key that the pending row seemed to have ended.
  bool join_pending(view text) {
    if (!pending_.keyed || pending_.more_lines != 0)
      return false;
    found_row row;
    find_close(text, row);
    if (row.ends == tail::open || row.ends == tail::text)
      return false;
    std::string whole = pending_text();
    whole += '\n';
    whole += row.key;
    map_state& map = *pending_.map;
    if (free_bytes(whole) > name_bytes_max(map)
        || (is_integers(pending_key()) && keys_are_integers(map))
        || holds_known_row(text))
      return false;
    // Rows rise: where the pending one fits and the joined one does not, this
    // line is text that looks like the end of a row.
    if (print_.map == &map && print_.falls.empty() && !map.disordered) {
      exact before = print_.rows.back().order;
      exact value =
        pending_value(pending_.ends, pending_.number, pending_.stats);
      exact joined = pending_value(row.ends, row.number, row.stats);
      if (value >= before && joined < before && row.ends == pending_.ends)
        return false;
    }
    pending_.map = nullptr;
    key_text_ = std::move(whole);
    head_map_ = &map;
    head_keyed_ = true;
    head_glued_ = 0;
    head_line_ = key_text_;
    close_key(row);
    return true;
  }

  /// The key in `key_text_` is whole; `row` tells how its last line goes on.
  void close_key(const found_row& row) {
    if (row.ends == tail::header) {
      head_space_ = row.space;
      where_ = place::header;
      return;
    }
    where_ = place::between;
    found_row joined = row;
    std::string text = key_text_;
    text += "]: ";
    text += row.value;
    joined.keyed = true;
    joined.key = view{text}.substr(0, key_text_.size());
    joined.value = view{text}.substr(key_text_.size() + 3);
    if (head_glued_ > 0) {
      other_output();
      print_text(view{head_line_}.substr(0, head_glued_));
    }
    take_row(*head_map_, joined);
  }

  /// The pending row is a row. `next`: the map whose row, with `next_key`, is
  /// why (rule 8 wants to know).
  void commit_pending(const map_state* next, view next_key = {},
                      bool next_keyed = false) {
    if (!pending_.map)
      return;
    map_state& map = *pending_.map;
    view key = pending_key();
    pending_.map = nullptr;
    const auto* known = pending_.change == map.shared_change
                          ? pending_.known
                          : map.shared.find(key);
    if (pending_.keyed && pending_.ends == tail::number
        && pending_.more_lines == 0) {
      map.numbers = map.numbers || key.find("]: ") == npos;
      after_stats_ = false;
      return add_entry(map, key, known, map_entry{known, pending_.number},
                       map_kind::value, &pending_.number, pending_.text.size(),
                       pending_.arrival);
    }
    view value = view{pending_.text}.substr(pending_.value_at);
    bool goes_on = pending_.more_lines > 0
                   && (ending_
                       || (next == &map && next_keyed && pending_.keyed
                           && next_key != key && !holds(map, next_key)));
    map_entry entry;
    map_kind kind = map_kind::value;
    const exact* order = nullptr;
    switch (pending_.ends) {
      case tail::number:
        entry.value = pending_.number;
        order = &pending_.number;
        map.numbers = map.numbers || key.find("]: ") == npos;
        break;
      case tail::stats:
        entry.value = pending_.stats;
        order = &pending_.stats.average;
        kind = map_kind::stats;
        break;
      default: {
        text_value text{std::string{value}, false};
        if (goes_on)
          text.text += pending_.more;
        entry.value = std::move(text);
        kind = map_kind::text;
        map.texts = true;
      }
    }
    after_stats_ = kind == map_kind::stats && !since_024_;
    std::size_t bytes = pending_.text.size();
    if (pending_.keyed) {
      add_entry(map, key, known, std::move(entry), kind, order, bytes,
                pending_.arrival);
    } else {
      end_print();
      emit_single(map, std::move(entry), kind, pending_.arrival);
    }
    if (pending_.more_lines > 0 && !goes_on) {
      view more = pending_.more;
      while (!more.empty()) {
        std::size_t end = std::min(more.find('\n', 1), more.size());
        stray(more.substr(1, end - 1));
        more.remove_prefix(end);
      }
    }
    pending_.more.clear();
    pending_.more_lines = 0;
  }

  // ---- keys over several lines ---------------------------------------------

  void in_key(view text) {
    bool begins = false;
    if (text.starts_with('@')) {
      found_row other;
      begins = find_row(text, other) && other.ends != tail::open;
    }
    if (begins
        && (key_silence_ || doubtful_
            || free_bytes(key_text_) > name_bytes_max(*head_map_)))
      return give_up_key(text);
    found_row row;
    find_close(text, row);
    if (doubtful_ && row.ends == tail::open
        && (text.empty()
            || free_bytes(key_text_) + text.size()
                 > name_bytes_max(*head_map_)))
      return give_up_key(text);
    if (!is_frame(text) && ++key_lines_ > text_key_lines_max)
      return give_up_key(text);
    if (key_text_.size() + text.size() + 1 > text_key_bytes_max)
      return give_up_key(text);
    key_text_ += '\n';
    key_text_ += row.key;
    if (row.ends != tail::open) {
      key_silence_ = false;
      doubtful_ = false;
      close_key(row);
    }
  }

  /// What looked like the beginning of a key was none: its first line is text
  /// (or an element that is empty), the others are looked at again.
  void give_up_key() {
    key_silence_ = false;
    where_ = place::between;
    std::string held = std::move(key_text_);
    commit_pending(nullptr);
    std::size_t from = std::min(held.find('\n'), held.size());
    if (std::exchange(doubtful_, false)) {
      key_text_ = held.substr(0, doubtful_bytes_);
      from = std::min(held.find('\n', doubtful_bytes_), held.size());
      add_text({});
    } else if (head_glued_ > 0) {
      stray(head_line_);
    } else {
      reject();
    }
    key_text_.clear();
    bool nested = std::exchange(no_open_keys_, true);
    while (from < held.size()) {
      std::size_t end = std::min(held.find('\n', from + 1), held.size());
      view one = view{held}.substr(from + 1, end - from - 1);
      found_row row;
      // No second attempt at a key from the same bytes: it might never end.
      if (where_ == place::key
          || (one.starts_with('@') && find_row(one, row)
              && row.ends == tail::open))
        reject();
      else
        line(one);
      from = end;
    }
    no_open_keys_ = nested;
  }

  void give_up_key(view text) {
    give_up_key();
    line(text);
  }

  void reject() {
    other_output();
    ++counts_.rejected;
  }

  // ---- headers and what follows them ---------------------------------------

  void after_header(view text) {
    bucket row;
    if (read_bar(text, row)) {
      begin_bars();
      return in_bars(text);
    }
    if (text.empty()) {
      where_ = place::between;
      bool is_text =
        head_space_ && (options_.speaks.at_least(0, 22) || head_map_->texts);
      if (is_text) {
        add_text({});
        return empty_line();
      }
      if (head_glued_ > 0 && head_map_->prints == 0) {
        stray(head_line_);
        return empty_line();
      }
      believe_head();
      rows_.clear();
      return end_hist(false);
    }
    if (is_scale(text)) {
      believe_head();
      where_ = place::series;
      series_step_ = 0;
      points_.clear();
      return;
    }
    if (!head_space_ && text == "<no data>") {
      believe_head();
      points_.clear();
      where_ = place::between;
      return end_series(false);
    }
    if (head_space_
        && (text.starts_with("        ") || text.starts_with('\t'))) {
      believe_head();
      where_ = place::frames;
      frames_ = '\n';
      frames_ += text;
      frames_ += '\n';
      return;
    }
    found_row next;
    bool begins = text[0] == '@' && find_row(text, next);
    if (head_keyed_ && !(head_space_ && begins)) {
      // Rule 2: the beginning of a key, or of an empty text and other output.
      if (head_space_ && head_map_->texts) {
        where_ = place::between;
        add_text({});
        return between(text);
      }
      doubtful_ = head_space_;
      doubtful_bytes_ = key_text_.size();
      key_text_ += head_space_ ? "]: " : "]:";
      where_ = place::key;
      return in_key(text);
    }
    where_ = place::between;
    if (head_space_)
      add_text({});
    else
      stray(head_line_);
    between(text);
  }

  /// The header is one: what stood before it on its line is text.
  void believe_head() {
    if (head_glued_ > 0) {
      other_output();
      print_text(view{head_line_}.substr(0, head_glued_));
      head_glued_ = 0;
    }
  }

  /// An element of the head's map that is text.
  void add_text(std::string text) {
    believe_head();
    head_map_->texts = true;
    view key = key_text_;
    if (head_keyed_ && !since_024_) {
      // Empty stacks, before 0.24: the next element stands on the same line.
      std::string mark{"]: "};
      mark += head_map_->name;
      mark += '[';
      for (;;) {
        std::size_t at = key.find(mark);
        if (at == npos)
          break;
        add_head_entry(key.substr(0, at), {});
        key.remove_prefix(at + mark.size());
      }
    }
    add_head_entry(key, std::move(text));
  }

  void add_head_entry(view key, std::string text) {
    map_entry entry;
    std::size_t bytes = key.size() + text.size();
    entry.value = text_value{std::move(text), false};
    add_head(key, std::move(entry), map_kind::text, nullptr, bytes);
  }

  void add_head(view key, map_entry entry, map_kind kind, const exact* order,
                std::size_t bytes) {
    if (head_keyed_) {
      add_entry(*head_map_, key, head_map_->shared.find(key), std::move(entry),
                kind, order, bytes, now_);
    } else {
      end_print();
      emit_single(*head_map_, std::move(entry), kind, now_);
    }
  }

  void begin_bars() {
    believe_head();
    where_ = place::bars;
    rows_.clear();
    next_power_ = first_power_;
    follows_ = true;
  }

  /// The bars of a hist() at the front of `lines`, the first as in the print
  /// before, each other one power behind the one before, and none wider than
  /// its columns: as a rule that is all of them. They are taken from `lines`;
  /// false when there is none.
  bool usual_bars(view& lines) {
    const auto all = lines.size();
    std::uint64_t count = 0;
    if (where_ == place::header) {
      if (!read_usual_bar(lines, first_power_, count))
        return false;
      begin_bars();
      rows_.push_hist(++next_power_, count);
      lines.remove_prefix(usual_bar_bytes);
    }
    while (follows_ && rows_.size() < rows_max
           && read_usual_bar(lines, next_power_, count)) {
      rows_.push_hist(++next_power_, count);
      lines.remove_prefix(usual_bar_bytes);
    }
    return lines.size() != all;
  }

  void in_bars(view text) {
    bucket row;
    bool expected = read_hist_bar(text, next_power_, row);
    if (expected || (!text.empty() && read_bar(text, row))) {
      auto power = expected ? next_power_ : power_of(row);
      if (rows_.empty() && power != no_power)
        first_power_ = power;
      next_power_ = power == no_power ? no_power : power + 1;
      // One power behind the other needs no second look.
      follows_ = (expected && follows_)
                 || (rows_.size() < rows_max && joins(rows_, row));
      if (follows_)
        rows_.push_back(row);
      else
        ++counts_.rejected;
      return;
    }
    if (text.empty())
      return end_hist(false);
    found_row next;
    if (text[0] == '@' && find_row(text, next)) {
      end_hist(true); // bpftrace writes nothing between: rows were lost
      return between(text);
    }
    ++counts_.rejected;
  }

  void end_hist(bool partial) {
    where_ = place::between;
    const auto total = rows_.total();
    if (!rows_.empty() && (rows_.front().count == 0 || rows_.back().count == 0))
      head_map_->divided = true;
    map_entry entry;
    std::size_t bytes = key_text_.size() + rows_.size() * bar_bytes;
    entry.value = rows_; // a copy takes only what it needs
    entry.partial = partial;
    rows_.clear();
    add_head(key_text_, std::move(entry), map_kind::hist, &total, bytes);
  }

  void in_series(view text) {
    tseries_value point;
    bool missing = false;
    switch (series_step_) {
      case 0: // the clock line
        if (text.starts_with("hh:mm:ss") && text.ends_with("_|")) {
          series_step_ = 1;
          return;
        }
        break;
      case 1:
        if (read_point(text, point, missing)) {
          if (points_.size() >= rows_max)
            ++counts_.rejected;
          else if (!missing)
            points_.push_back(std::move(point));
          return;
        }
        if (text.starts_with("         ") && text.ends_with("_v")) {
          series_step_ = 2;
          return;
        }
        break;
      case 2:
        if (is_scale(text)) {
          series_step_ = 3;
          return;
        }
        break;
      default:
        if (text.empty())
          return end_series(false);
    }
    end_series(true);
    between(text);
  }

  void end_series(bool partial) {
    where_ = place::between;
    map_entry entry;
    std::size_t bytes = key_text_.size() + points_.size() * point_bytes;
    entry.value = std::exchange(points_, {});
    entry.partial = partial;
    add_head(key_text_, std::move(entry), map_kind::tseries, nullptr, bytes);
  }

  void in_frames(view text) {
    if (text.starts_with("        ") || text.starts_with('\t')) {
      if (frames_.size() + text.size() < text_key_bytes_max) {
        frames_ += text;
        frames_ += '\n';
      } else {
        ++counts_.rejected;
      }
      return;
    }
    where_ = place::between;
    add_text(std::exchange(frames_, {}));
    if (!text.empty())
      return between(text);
    // 0.24+: one empty line behind each element; before: one behind the last.
    if (before_024_)
      end_print();
  }

  // ---- diagnostics ---------------------------------------------------------

  void diagnostic(view text, bool excerpt) {
    ++counts_.helper_errors;
    full_counted_ =
      text.find("Map full") != npos
      || (text.find("map_update_elem") != npos && text.find("(-7)") != npos);
    if (full_counted_)
      ++counts_.map_full;
    where_ = place::excerpt;
    excerpt_wanted_ = excerpt;
    excerpt_held_ = false;
    excerpt_.clear();
  }

  void in_excerpt(view text) {
    if (!excerpt_held_ && text.starts_with("Additional Info - helper: ")) {
      if (!full_counted_ && text.find("map_update_elem, retcode: -7") != npos) {
        full_counted_ = true;
        ++counts_.map_full;
      }
      return;
    }
    if (!excerpt_held_ && excerpt_wanted_) {
      excerpt_ = text;
      excerpt_held_ = true;
      return;
    }
    where_ = place::between;
    if (!excerpt_held_)
      return between(text);
    excerpt_held_ = false;
    if (is_marker(text))
      return;
    // There was no excerpt: what was taken for it is a line like any other.
    std::string held = std::exchange(excerpt_, {});
    line(held);
    line(text);
  }

  // ---- prints of maps with keys --------------------------------------------

  bool holds(map_state& map, view key) {
    return print_.map == &map && entry_of(key, map.shared.find(key)) != npos;
  }

  std::size_t cell_of(view key) const {
    return index_.find(std::hash<view>{}(key),
                       [&](std::uint32_t i) { return print_.key(i) == key; });
  }

  /// The entry of the open print with that key; npos: there is none.
  std::size_t entry_of(view key, const shared_key* known) const {
    if (known) {
      auto seen = known->number < keys_seen_.size() ? keys_seen_[known->number]
                                                    : seen_key{};
      return seen.print == seen_print_ ? seen.entry : npos;
    }
    std::size_t at = cell_of(key);
    return index_.taken(at) ? index_.entry(at) : npos;
  }

  void clear_index() {
    index_.clear();
    ++seen_print_;
  }

  void index_entry(std::size_t i) {
    if (const auto* known = print_.rows[i].known) {
      if (known->number >= keys_seen_.size())
        keys_seen_.resize(std::size_t{known->number} + 1);
      auto& seen = keys_seen_[known->number];
      if (seen.print != seen_print_)
        seen = {seen_print_, i};
      return;
    }
    std::size_t at = cell_of(print_.key(i));
    if (!index_.taken(at))
      index_.put(at, i);
    if (index_.grow())
      for (std::size_t j = 0; j <= i; ++j) {
        if (print_.rows[j].known)
          continue;
        at = cell_of(print_.key(j));
        if (!index_.taken(at))
          index_.put(at, j);
      }
  }

  /// Rule 6: whether a fall at this value surely begins a new print.
  bool fall_is_sure(const map_state& map, map_kind kind) const {
    switch (kind) {
      case map_kind::hist:
        return !map.divided;
      case map_kind::stats:
        return true;
      default:
        if (map.disordered)
          return false;
        return map.sorted || !any_order_;
    }
  }

  /// `known`: the map's shared key of that text, if it has one.
  void add_entry(map_state& map, view key, const shared_key* known,
                 map_entry&& entry, map_kind kind, const exact* order,
                 std::size_t bytes, wall_time arrival) {
    constexpr exact order_max = std::numeric_limits<std::int64_t>::max();
    auto change = map.shared_change;
    if (print_.map != &map)
      end_print();
    bool fall = false;
    bool rise = false;
    if (print_.map) {
      bool plain = false; // neither depends on how a version sees signs
      if (order && print_.kind == kind) {
        exact before = print_.rows.back().order;
        fall = *order < before;
        rise = *order > before;
        plain = *order >= 0 && before <= order_max && before >= 0;
      }
      if (fall && plain && fall_is_sure(map, kind)) {
        end_print();
      } else {
        std::size_t first = entry_of(key, known);
        if (first != npos && (!has_stack(key) || fall || !print_.falls.empty()))
          part_print(first, fall);
      }
    }
    if (change != map.shared_change) // by the end of a print
      known = map.shared.find(key);
    if (!print_.map) {
      print_.map = &map;
      print_.kind = kind;
      print_.entries.reserve(map.elements);
      clear_index();
      fall = rise = false;
    }
    bytes += entry_bytes;
    if (print_.bytes + bytes > options_.record_bytes_max) {
      ++counts_.rejected;
      return;
    }
    std::size_t i = print_.entries.size();
    if (fall) {
      print_.falls.push_back(i);
      map.sorted = false;
    }
    if (!fall)
      note_rise(map, rise);
    if (!known)
      print_.keys += key;
    entry.keys = map_key{known};
    print_.entries.push_back(std::move(entry));
    push_row(known, order ? *order : 0, bytes, arrival);
  }

  void note_rise(map_state& map, bool rise) {
    print_.rises += rise ? 1 : 0;
    if (print_.rises >= 5 && print_.falls.empty() && !map.disordered)
      map.sorted = true;
  }

  /// Of the entry that was added last.
  void push_row(const shared_key* known, exact order, std::size_t bytes,
                wall_time arrival) {
    print_.rows.push_back({known, print_.keys.size(), order});
    print_.bytes += bytes;
    print_.arrival = arrival;
    index_entry(print_.rows.size() - 1);
  }

  /// The entry that comes next repeats the key of entry `first`: ends the open
  /// print at the last fall behind that, or, without one, as it stands.
  void part_print(std::size_t first, bool falls_now) {
    if (falls_now || print_.falls.empty() || print_.falls.back() <= first
        || print_.map->disordered) {
      print_.falls.clear(); // explained by the repeated key, or not at all
      return end_print();
    }
    std::size_t at = print_.falls.back();
    open_print rest;
    rest.map = print_.map;
    rest.kind = print_.kind;
    rest.arrival = print_.arrival;
    for (std::size_t i = at; i < print_.entries.size(); ++i) {
      rest.keys += print_.key(i);
      rest.entries.push_back(std::move(print_.entries[i]));
      rest.entries.back().keys = {};
      rest.rows.push_back({nullptr, rest.keys.size(), print_.rows[i].order});
    }
    print_.keys.resize(print_.rows[at - 1].end);
    print_.entries.resize(at);
    print_.rows.resize(at);
    rest.bytes = print_.bytes / 2;
    print_.falls.clear();
    end_print();
    print_ = std::move(rest);
    clear_index();
    know_keys();
    for (std::size_t i = 0; i < print_.entries.size(); ++i)
      index_entry(i);
  }

  /// Looks for the keys of the open print, of which none is known yet.
  void know_keys() {
    std::string unknown;
    std::size_t from = 0;
    for (std::size_t i = 0; i < print_.rows.size(); ++i) {
      auto& row = print_.rows[i];
      auto key = view{print_.keys}.substr(from, row.end - from);
      from = row.end;
      row.known = print_.map->shared.find(key);
      print_.entries[i].keys = map_key{row.known};
      if (!row.known)
        unknown += key;
      row.end = unknown.size();
    }
    print_.keys = std::move(unknown);
  }

  void end_print() {
    if (!print_.map)
      return;
    if (pending_.map)
      pending_text();
    map_state& map = *print_.map;
    if (!print_.falls.empty())
      map.disordered = true;
    give_keys(map);
    map.elements = print_.entries.size();
    print_.map = nullptr;
    std::size_t bytes = std::exchange(print_.bytes, 0);
    snapshot print;
    print.entries = std::move(print_.entries);
    print.kind = print_.kind;
    print.arrival = print_.arrival;
    print.keys = map.shared.shared();
    print_.entries.clear();
    print_.rows.clear();
    print_.keys.clear();
    print_.falls.clear();
    print_.rises = 0;
    forget_old_keys(map);
    emit(map, std::move(print), bytes);
  }

  /// Gives the entries of the open print their keys.
  void give_keys(map_state& map) {
    auto& entries = print_.entries;
    const auto& rows = print_.rows;
    new_rows_.clear();
    raw_keys_.clear();
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (rows[i].known)
        continue;
      new_rows_.push_back(i);
      raw_keys_.push_back(print_.key(i));
    }
    if (new_rows_.empty())
      return;
    const bool told = map.hint && map.hint->parts > 0;
    auto alone = [&](view key) {
      return splits_alone(key, ", ", map.shared_parts, told);
    };
    if (new_rows_.size() < entries.size()
        && !std::all_of(raw_keys_.begin(), raw_keys_.end(), alone)) {
      // What these are depends on those that are known, too.
      new_rows_.clear();
      raw_keys_.clear();
      for (std::size_t i = 0; i < entries.size(); ++i) {
        new_rows_.push_back(i);
        raw_keys_.push_back(print_.key(i));
      }
    }
    auto keys = split_keys(raw_keys_, ", ", map.hint, map.learnt);
    known_keys forgotten; // raw_keys_ may be of them
    if (map.shared_parts != map.learnt.parts) {
      shared_bytes_ -= map.shared.bytes();
      std::swap(forgotten, map.shared);
      map.shared_parts = map.learnt.parts;
    }
    ++map.shared_change;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const shared_key* key = nullptr;
      if (alone(raw_keys_[i]))
        key = remember(map, raw_keys_[i], keys[i]);
      auto& entry = entries[new_rows_[i]];
      if (key)
        entry.keys = map_key{key};
      else
        entry.keys = std::move(keys[i]);
    }
  }

  const shared_key* remember(map_state& map, view raw,
                             const std::vector<std::string>& parts) {
    if (const auto* known = map.shared.find(raw))
      return known;
    if (shared_bytes_ >= known_keys_bytes_max)
      return nullptr;
    auto before = map.shared.bytes();
    const auto* known = map.shared.add(raw, "]: ", parts);
    shared_bytes_ += map.shared.bytes() - before;
    return known;
  }

  void forget_keys(map_state& map) {
    shared_bytes_ -= map.shared.bytes();
    map.shared.clear();
    ++map.shared_change;
  }

  /// Most of them are gone from the map, or there is no room for others.
  void forget_old_keys(map_state& map) {
    if (map.shared.size() > 2 * map.elements + 64)
      forget_keys(map);
    else if (shared_bytes_ >= known_keys_bytes_max)
      for (auto& [name, other] : maps_)
        forget_keys(other);
  }

  void emit_single(map_state& map, map_entry entry, map_kind kind,
                   wall_time arrival) {
    snapshot print;
    print.entries.push_back(std::move(entry));
    print.kind = kind;
    print.arrival = arrival;
    emit(map, std::move(print), map.name.size() + 64);
  }

  // ---- snapshots -----------------------------------------------------------

  void emit(map_state& map, snapshot print, std::size_t bytes) {
    print.map = map.name;
    print.number = ++map.prints;
    ++counts_.snapshots;
    for (const map_entry& entry : print.entries) {
      if (const auto* rows = std::get_if<buckets>(&entry.value))
        counts_.values += rows->size();
      else if (const auto* points =
                 std::get_if<std::vector<tseries_value>>(&entry.value))
        counts_.values += points->size();
      else if (std::holds_alternative<stats_value>(entry.value))
        counts_.values += 3;
      else
        ++counts_.values;
    }
    empty_lines_ = 0;
    after_text_ = false;
    if (ending_ && !held_.empty() && !follows_in_dump(print)) {
      // What was held was no final dump; perhaps what begins now is one.
      std::size_t mark = std::exchange(second_ending_, 0);
      bool again = mark > 0 && mark == held_.size();
      release(held_.size(), false);
      ++false_endings_;
      ending_ = again;
    }
    if (!ending_) {
      out_->snapshots.push_back(std::move(print));
      return;
    }
    if (held_bytes_ + bytes > options_.record_bytes_max) {
      release(held_.size(), false); // no dump, or one that nobody can hold
      ++false_endings_;
      ending_ = false;
      out_->snapshots.push_back(std::move(print));
      return;
    }
    held_bytes_ += bytes;
    held_.push_back(std::move(print));
  }

  bool follows_in_dump(const snapshot& print) const {
    const snapshot& last = held_.back();
    if (print.map == last.map) // parted by mistake, or never in a dump
      return !print.entries.front().keys.empty();
    return print.map > last.map;
  }

  void release(std::size_t count, bool ending) {
    for (std::size_t i = 0; i < count; ++i) {
      held_[i].ending = ending;
      out_->snapshots.push_back(std::move(held_[i]));
    }
    held_.erase(held_.begin(),
                held_.begin() + static_cast<std::ptrdiff_t>(count));
    held_bytes_ = held_.empty() ? 0 : held_bytes_;
    second_ending_ = 0;
  }

  /// Output that is no map: no print, and no final dump, goes on behind it.
  void other_output() {
    end_print();
    if (ending_ && !held_.empty()) {
      release(held_.size(), false);
      ++false_endings_;
    }
    ending_ = false;
    second_ending_ = 0;
    empty_lines_ = 0;
    after_stats_ = false;
    after_text_ = false;
  }

  void print_text(view text, bool whole_line = false) {
    ++counts_.printed;
    after_text_ = true;
    if (metrics_.on() && whole_line)
      metrics_.line(text, counts_);
    else if (metrics_.on())
      metrics_.broken_line(text, counts_);
    if (out_->keep_printed)
      out_->printed.emplace_back(text);
  }

  // ---- time ----------------------------------------------------------------

  /// Nothing came between the last bytes and `now`.
  void silence(wall_time now) {
    if (!seen_ || now - now_ < options_.pause)
      return;
    if (where_ == place::key) {
      key_silence_ = true;
      if (doubtful_ || (head_glued_ > 0 && head_map_->prints == 0))
        give_up_key();
    }
    if (where_ == place::between) {
      commit_pending(nullptr);
      end_print();
      empty_lines_ = 0;
      after_text_ = false;
      after_stats_ = false;
    }
    if (!ending_)
      return;
    if (held_.empty() && where_ == place::between) {
      ending_ = false; // the dump comes in one go with its empty lines
    } else if (false_endings_ > 0 || now - now_ >= text_ending_hold) {
      if (!held_.empty())
        ++false_endings_;
      release(held_.size(), false);
      ending_ = false;
    }
  }

  void end_of_output(view rest) {
    if (crlf_ && rest.ends_with('\r'))
      rest.remove_suffix(1);
    if (pending_.map) {
      bool doubtful = pending_.keyed && !rest.empty() && rest[0] != '@'
                      && free_bytes(pending_text()) + rest.size()
                           <= name_bytes_max(*pending_.map);
      if (doubtful) {
        pending_.map = nullptr;
        ++counts_.truncated;
      } else {
        commit_pending(nullptr);
      }
    }
    if (!rest.empty()) {
      bool row = rest[0] == '@' || rest[0] == '[' || rest[0] == '(';
      if (where_ == place::between && !row)
        end_print(), print_text(rest);
      else if (where_ == place::between)
        ++counts_.truncated;
    }
    switch (where_) {
      case place::between:
      case place::excerpt:
        break;
      case place::bars:
        ++counts_.truncated;
        if (!rows_.empty())
          end_hist(true);
        break;
      case place::series:
        ++counts_.truncated;
        if (!points_.empty())
          end_series(true);
        break;
      case place::header:
        if (head_space_ && head_map_->texts && rest.empty())
          add_text({}); // an empty text is whole
        else
          ++counts_.truncated;
        break;
      case place::key:
        if (doubtful_)
          give_up_key();
        else
          ++counts_.truncated;
        break;
      case place::frames:
        ++counts_.truncated;
        break;
    }
    commit_pending(nullptr);
    end_print();
    release(held_.size(), true);
    ending_ = false;
    where_ = place::between;
    key_text_.clear();
    rows_.clear();
    points_.clear();
    frames_.clear();
    excerpt_.clear();
  }

  // ---- maps ----------------------------------------------------------------

  map_state* map_of(view name) {
    if (last_map_ && last_map_->name == name)
      return last_map_;
    auto found = maps_.find(name);
    if (found == maps_.end()) {
      if (maps_.size() >= text_maps_max)
        return nullptr;
      found = maps_.emplace(std::string{name}, map_state{}).first;
      found->second.name = found->first;
      auto hint = options_.keys.find(name);
      if (hint != options_.keys.end())
        found->second.hint = &hint->second;
    }
    return last_map_ = &found->second;
  }

  void assume(view sentence) {
    out_->assumptions.emplace_back(sentence);
  }

  /// What an entry takes here, beside its text.
  static constexpr std::size_t entry_bytes = sizeof(map_entry) + 64;

  /// More rows than any histogram has: lhist() may have 1002.
  static constexpr std::size_t rows_max = 8192;

  parser_options options_;
  printf_metrics metrics_;
  parser_counts counts_;
  parsed* out_ = nullptr; // only within a call from outside

  bool before_024_ = false; // known to be; neither: not known
  bool since_024_ = false;
  bool any_order_ = true; // integers may print unsorted
  bool attached_ = false;
  bool crlf_ = false;
  bool first_line_seen_ = false;
  bool seen_ = false;
  wall_time now_{}; // of the last bytes

  std::map<std::string, map_state, std::less<>> maps_;
  map_state* last_map_ = nullptr;

  place where_ = place::between;
  // The header or open key under way.
  map_state* head_map_ = nullptr;
  bool head_keyed_ = false;
  bool head_space_ = false;
  std::size_t head_glued_ = 0; // bytes of text before it on its line
  std::string head_line_;
  std::string key_text_;
  std::size_t key_lines_ = 0;
  bool key_silence_ = false;
  bool no_open_keys_ = false;
  bool doubtful_ = false;          // may be an empty text instead of a key ...
  std::size_t doubtful_bytes_ = 0; // ... with this much of key_text_ as its key

  buckets rows_;
  // The power of two that begins the row which is expected next, and began the
  // last histogram; whether the row before was taken into rows_.
  std::size_t next_power_ = no_power;
  std::size_t first_power_ = 0;
  bool follows_ = false;
  std::vector<tseries_value> points_;
  int series_step_ = 0;
  std::string frames_;

  bool excerpt_wanted_ = false;
  bool excerpt_held_ = false;
  bool full_counted_ = false;
  std::string excerpt_;

  pending_row pending_;
  open_print print_;
  key_index index_; // of keys that are not known
  struct seen_key {
    std::uint64_t print = 0;
    std::size_t entry = 0;
  };
  std::vector<seen_key> keys_seen_; // of those that are, by number
  std::uint64_t seen_print_ = 1;
  std::vector<view> raw_keys_;
  std::vector<std::size_t> new_rows_;
  std::size_t shared_bytes_ = 0; // of all maps' known keys

  // The final dump.
  std::size_t empty_lines_ = 0; // just seen, that belong to no map
  bool after_stats_ = false;    // an empty line now belongs to stats
  bool after_text_ = false;     // the line before was no map
  bool ending_ = false;         // held_ is a final dump, it seems
  std::vector<snapshot> held_;
  std::size_t held_bytes_ = 0;
  std::size_t second_ending_ = 0; // two empty lines after so many of held_
  std::size_t false_endings_ = 0;
};

} // namespace

std::unique_ptr<map_parser> make_text_parser(parser_options options) {
  return std::make_unique<text_parser>(std::move(options));
}

} // namespace bpf2graphite
