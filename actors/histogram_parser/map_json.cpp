#include "actors/histogram_parser/map_json.hpp"

#include "actors/histogram_parser/hist_row_text.hpp"
#include "actors/histogram_parser/json_scanner.hpp"
#include "actors/histogram_parser/key_parts.hpp"
#include "actors/histogram_parser/known_keys.hpp"
#include "actors/histogram_parser/printf_metrics.hpp"
#include "actors/histogram_parser/records.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

namespace bpf2graphite {

namespace {

constexpr auto npos = std::string_view::npos;

/// What is known of something: not yet, or for certain (or assumed).
enum class known { not_yet, no, yes };

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
         || (c >= '0' && c <= '9') || c == '_';
}

bool is_map_name(std::string_view name) {
  return name.starts_with('@')
         && std::all_of(name.begin() + 1, name.end(), is_name_byte);
}

bool is_speech(std::string_view type) {
  constexpr std::array<std::string_view, 7> all{
    "printf", "time", "cat", "join", "syscall", "errorf", "warnf"};
  return std::find(all.begin(), all.end(), type) != all.end();
}

bool is_bench(std::string_view type) {
  return type == "test_result" || type == "benchmark_result"
         || type == "benchmark_results";
}

/// What the records of a map hold, by the type of the record.
std::optional<map_kind> kind_of(std::string_view type) {
  if (type == "map")
    return map_kind::value;
  if (type == "hist")
    return map_kind::hist;
  if (type == "stats")
    return map_kind::stats;
  if (type == "tseries")
    return map_kind::tseries;
  return std::nullopt;
}

/// A bound as int64. 0.9.2 - 0.19 compute bounds in 32 bits: what exceeds them
/// came out negative, and 2^32 as 0 (lhist() has no negative bounds).
bool to_bounds(std::optional<exact> low, std::optional<exact> high,
               bucket& out) {
  constexpr exact wrapped = exact{1} << 32;
  if (low && *low < 0 && *low >= -(wrapped / 2)) {
    *low += wrapped;
    if (high && *high <= 0)
      *high += *high == 0 ? wrapped - 1 : wrapped;
  } else if (low && high && *low >= 0 && *high < 0 && *high >= -(wrapped / 2)) {
    *high += wrapped;
  }
  constexpr exact most = std::numeric_limits<std::int64_t>::max();
  constexpr exact least = std::numeric_limits<std::int64_t>::min();
  if ((!low && !high) || (low && (*low < least || *low > most))
      || (high && (*high < least || *high > most))
      || (low && high && *low > *high))
    return false;
  out.min.reset();
  out.max.reset();
  if (low)
    out.min = static_cast<std::int64_t>(*low);
  if (high)
    out.max = static_cast<std::int64_t>(*high);
  return true;
}

/// The JSON text of a tuple or struct as JSON that others can read: bytes that
/// bpftrace wrote as \uffffffHH become themselves, what is no UTF-8 U+FFFD.
std::string clean_json(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (;;) {
    auto slash = text.find('\\');
    bytes += text.substr(0, slash);
    if (slash == npos)
      break;
    auto length = text.substr(slash).starts_with("\\uffffff") ? 10u : 2u;
    std::string byte;
    if (length == 10)
      unescape(text.substr(slash, length), byte);
    if (byte.size() == 1)
      bytes += byte;
    else
      bytes += text.substr(slash, length = 2);
    text.remove_prefix(std::min<std::size_t>(slash + length, text.size()));
  }
  std::string result;
  result.reserve(bytes.size());
  std::string_view left{bytes};
  while (!left.empty()) {
    std::size_t broken = 0;
    auto length = utf8_sequence(left, broken);
    result +=
      length == 0 ? std::string_view{"\xef\xbf\xbd"} : left.substr(0, length);
    left.remove_prefix(length == 0 ? broken : length);
  }
  return result;
}

/// A record of this size leaves no memory behind that is kept for the next.
constexpr std::size_t kept_record_bytes_max = 1 << 20;

class json_parser final : public map_parser {
public:
  explicit json_parser(parser_options options) : options_{std::move(options)} {
    if (options_.metrics != metric_calls::off)
      metrics_ = std::make_unique<printf_metrics>(options_.metrics);
    if (options_.speaks.version) {
      auto fourth = options_.speaks.at_least(0, 24);
      fourth_ = fourth ? known::yes : known::no;
      twice_ =
        !fourth && options_.speaks.at_least(0, 22) ? known::yes : known::no;
    }
  }

  void feed(std::string_view lines, wall_time arrival, parsed& out) override {
    arrival_ = arrival;
    while (!lines.empty()) {
      auto end = lines.find('\n');
      if (end == npos) {
        ++counts_.invalid; // against the contract: no whole line
        break;
      }
      take_line(lines.substr(0, end), out);
      lines.remove_prefix(end + 1);
    }
    if (metrics_)
      metrics_->hand_out(arrival_, out);
  }

  void pause(wall_time, parsed&) override {
    // A record is whole when its line is: no silence ends anything.
  }

  void finish(std::string_view rest, parsed& out) override {
    if (!rest.empty()) {
      // Cut by a kill, unless the last record lacks only its line end: of
      // JSON no beginning is whole.
      std::string line{rest};
      line += '\n';
      std::string_view record{line.data(), rest.size()};
      if (record.size() > options_.record_bytes_max || !take_json(record, out))
        ++counts_.truncated;
    }
    flush_speech(out);
    if (!metrics_)
      return;
    metrics_->finish(counts_);
    metrics_->hand_out(arrival_, out);
  }

  std::size_t held_bytes() const override {
    return speech_.size() + (metrics_ ? metrics_->held_bytes() : 0);
  }

  bool waiting() const override {
    return false;
  }

  const parser_counts& counts() const override {
    return counts_;
  }

private:
  struct map_state {
    std::uint64_t prints = 0;
    std::size_t elements = 0; // of its last print
    bool keyed = false;       // any print of it had keys
    key_shape learnt;
    known_keys shared;            // those that are split alone ...
    std::size_t shared_parts = 0; // ... into so many parts, ...
    known twice = known::not_yet; // ... with twice_ being that
  };

  /// A key that is not known, of entry `of`.
  struct new_key {
    std::size_t of = 0;
    json_string text;
  };

  /// One print while it is read. Nothing of it counts until commit().
  struct draft {
    std::string_view map;
    map_kind kind = map_kind::value;
    bool keyed = false;
    std::vector<new_key> keys; // of entries that have none yet, when keyed
    std::vector<map_entry> entries;

    void start(std::string_view name, map_kind of) {
      map = name;
      kind = of;
      keyed = false;
      keys.clear();
      entries.clear();
    }

    bool read_key(json_scanner& in) {
      return entries.size() < json_elements_max
             && in.string(keys.emplace_back(new_key{entries.size(), {}}).text);
    }
  };

  // --- lines ---------------------------------------------------------------

  void take_line(std::string_view line, parsed& out) {
    if (line.ends_with('\r'))
      line.remove_suffix(1);
    if (line.empty()) {
      if (++blank_lines_ == 2 && fourth_ != known::yes) {
        ending_ = true;
        settle_fourth(known::no, "two empty lines before the final maps", out);
      }
      return;
    }
    blank_lines_ = 0;
    if (line.size() > options_.record_bytes_max) {
      ++counts_.invalid;
      note_unicode(line);
      return;
    }
    take_record(line, out);
    if (line.size() > kept_record_bytes_max) {
      draft_ = {};
      // (`= {}` would keep what they have.)
      rows_.release();
      std::vector<std::string_view>{}.swap(texts_);
      std::vector<new_key>{}.swap(new_keys_);
      std::string{}.swap(unescaped_);
    }
  }

  void take_record(std::string_view line, parsed& out) {
    if (take_json(line, out))
      return;
    if (take_odd(line, out)) {
      note_unicode(line);
      return;
    }
    ++counts_.invalid;
    // What a child of -c writes without a line end stands before a record.
    auto record = line.front() == '{' ? npos : line.find("{\"type\": \"");
    if (record == npos || !take_json(line.substr(record), out))
      note_unicode(line);
  }

  bool take_json(std::string_view line, parsed& out) {
    if (fourth_ == known::not_yet)
      observe(line, out);
    bool taken = take_fixed(line, out)
                 || take_general(line, fourth_ == known::yes, unicode_, out);
    if (!taken && fourth_ != known::no && !hex()
        && (line.starts_with("{\"type\": \"hist\"")
            || line.starts_with("{\"type\": \"lost_events\""))) {
      // Perhaps the \u stood in a record that never reached us.
      taken = take_general(line, true, true, out);
      if (taken) {
        settle_fourth(known::yes, "hexadecimal counts", out);
        unicode_ = true;
        assume("counts are read as hexadecimal, although no \\u was seen", out);
      }
    }
    if (taken)
      note_unicode(line);
    return taken;
  }

  void note_unicode(std::string_view line) {
    if (!unicode_ && fourth_ != known::no)
      unicode_ = has_unicode_escape(line);
  }

  // --- the generation ------------------------------------------------------

  bool hex() const {
    return unicode_ && fourth_ == known::yes;
  }

  json_scanner scan(std::string_view text, bool unicode) const {
    auto possible = fourth_ == known::yes;
    return {text, possible, possible && unicode};
  }

  void assume(std::string sentence, parsed& out) {
    out.assumptions.push_back(std::move(sentence));
  }

  void settle_fourth(known is, std::string_view sign, parsed& out) {
    if (fourth_ == is || (fourth_ != known::not_yet && is == known::no))
      return;
    fourth_ = is;
    if (is == known::yes)
      twice_ = known::no;
    assume(std::string{"bpftrace is taken for "}
             + (is == known::yes ? "0.24 or later" : "0.23 or earlier") + ": "
             + std::string{sign},
           out);
  }

  void settle_twice(known is, parsed& out) {
    if (twice_ == is)
      return;
    twice_ = is;
    assume(is == known::yes
             ? "bpftrace is taken for 0.22 or 0.23: keys are escaped twice"
             : "bpftrace is taken for none of 0.22 and 0.23: keys are escaped "
               "once",
           out);
  }

  /// What a record shows of the generation, before it is read. None of these
  /// texts can stand within a JSON string, where quotes are escaped.
  void observe(std::string_view line, parsed& out) {
    auto begins = [line](std::string_view with) {
      return line.starts_with(with);
    };
    if (begins("{\"type\": \"attached_probes\"")) {
      bool count = begins("{\"type\": \"attached_probes\", \"count\"");
      settle_fourth(count ? known::yes : known::no,
                    count ? "attached_probes has a count"
                          : "attached_probes has no count",
                    out);
    } else if (begins("{\"type\": \"lost_events\"")) {
      bool count = begins("{\"type\": \"lost_events\", \"count\"");
      settle_fourth(
        count ? known::yes : known::no,
        count ? "lost_events has a count" : "lost_events has no count", out);
    } else if (begins("{\"type\": \"helper_error\"")) {
      bool file = line.find("\", \"helper\": ") != npos
                  && line.find(", \"filename\": ") != npos;
      settle_fourth(file ? known::yes : known::no,
                    file ? "helper_error has a file name"
                         : "helper_error has no file name",
                    out);
    } else if (begins("{\"type\": \"tseries\"")
               || begins("{\"type\": \"runtime_error\"")
               || begins("{\"type\": \"errorf\"")
               || begins("{\"type\": \"warnf\"")) {
      settle_fourth(known::yes, "a type of record that is new in 0.24", out);
    } else if (begins("{\"type\": \"hist\"")) {
      if (line.find("},{\"m") != npos)
        settle_fourth(known::yes, "no space between the rows of a histogram",
                      out);
      else if (line.find("}, {\"m") != npos)
        settle_fourth(known::no, "a space between the rows of a histogram",
                      out);
    }
  }

  // --- the reader of fixed shapes ------------------------------------------

  bool take_fixed(std::string_view line, parsed& out) {
    auto in = scan(line, unicode_);
    if (!in.literal("{\"type\": \""))
      return false;
    switch (in.next()) {
      case 'h':
        return in.literal("hist\", \"data\": {\"@")
               && fixed_map(in, map_kind::hist, out);
      case 'm':
        return in.literal("map\", \"data\": {\"@")
               && fixed_map(in, map_kind::value, out);
      case 's':
        if (in.literal("stats\", \"data\": {\"@"))
          return fixed_map(in, map_kind::stats, out);
        return fixed_speech(in, out);
      default:
        return fixed_speech(in, out);
    }
  }

  bool fixed_speech(json_scanner& in, parsed& out) {
    json_string type;
    json_string text;
    if (!in.string_body(type) || !in.literal(", \"data\": ") || !in.string(text)
        || !in.byte('}') || !in.at_end() || !is_speech(type.raw))
      return false;
    say(type.raw, text, out);
    return true;
  }

  // Behind `"@` of the name.
  bool fixed_map(json_scanner& in, map_kind kind, parsed& out) {
    auto name = in.position() - 1;
    json_string rest;
    if (!in.string_body(rest))
      return false;
    draft_.start({name, rest.raw.size() + 1}, kind);
    if (!is_map_name(draft_.map) || !in.literal(": "))
      return false;
    auto* state = state_of(draft_.map);
    if (in.next() == '{' && kind == map_kind::value && told_unkeyed(draft_.map))
      return false; // a struct
    if (in.next() == '{'
        && !(kind == map_kind::stats && !is_keyed(state, draft_.map)
             && in.rest().starts_with("{\"count\": ")
             && !in.rest().starts_with("{\"count\": {"))) {
      in.byte('{');
      draft_.keyed = true;
      if (state != nullptr)
        draft_.entries.reserve(state->elements);
      if (!in.byte('}')) {
        auto* shared = keys_of(state);
        const shared_key* key = nullptr;
        do {
          if (!fixed_key(in, shared, key))
            return false;
          if (exact value = 0; kind == map_kind::value) {
            if (!in.integer(value))
              return false;
            draft_.entries.emplace_back(key, value);
            continue;
          }
          if (!fixed_element(in))
            return false;
          if (key != nullptr)
            draft_.entries.back().keys = map_key{key};
        } while (in.literal(", "));
        if (!in.byte('}'))
          return false;
      }
    } else if (!fixed_element(in)) {
      return false;
    }
    if (!in.literal("}}") || !in.at_end())
      return false;
    commit(out);
    return true;
  }

  /// The keys of a map that may be looked up, if there are any.
  known_keys* keys_of(map_state* state) {
    if (state == nullptr)
      return nullptr;
    auto hint = hint_of(draft_.map);
    auto parts =
      hint != nullptr && hint->parts > 0 ? hint->parts : state->learnt.parts;
    if (state->twice != twice_ || state->shared_parts != parts)
      forget_keys(*state);
    return state->shared.size() > 0 ? &state->shared : nullptr;
  }

  /// A key and what stands behind it. `key`: null when it is not one of those.
  bool fixed_key(json_scanner& in, known_keys* among, const shared_key*& key) {
    if (draft_.entries.size() >= json_elements_max)
      return false;
    std::size_t size = 0;
    key = among == nullptr ? nullptr : among->next(in.behind_quote(), size);
    if (key != nullptr) {
      in.move_to(in.position() + 1 + size);
      return true;
    }
    json_string text;
    if (!in.string(text) || !in.literal(": "))
      return false;
    if (among != nullptr)
      key = among->find(text.raw);
    if (key == nullptr)
      draft_.keys.push_back({draft_.entries.size(), text});
    return true;
  }

  bool fixed_element(json_scanner& in) {
    exact value;
    switch (draft_.kind) {
      case map_kind::hist:
        if (!fixed_rows(in))
          return false;
        draft_.entries.emplace_back().value.emplace<buckets>(rows_);
        return true;
      case map_kind::stats: {
        stats_value stats;
        if (in.literal("{\"count\": ")) {
          if (!in.maybe_quoted(stats.count) || !in.literal(", \"average\": ")
              || !in.maybe_quoted(stats.average) || !in.literal(", \"total\": ")
              || !in.maybe_quoted(stats.total) || !in.byte('}'))
            return false;
          draft_.entries.emplace_back().value = stats;
          return true;
        }
        if (!in.maybe_quoted(value))
          return false;
        draft_.entries.emplace_back().value = value;
        return true;
      }
      default:
        if (!in.integer(value))
          return false;
        draft_.entries.emplace_back().value = value;
        return true;
    }
  }

  bool fixed_rows(json_scanner& in) {
    rows_.clear();
    if (!in.byte('['))
      return false;
    if (in.byte(']'))
      return true;
    // The row that is expected next; behind the last one: none is.
    const auto& texts = json_hist_rows();
    auto place = first_row_;
    do {
      if (place < hist_rows_all && in.text(texts[place - 1])) {
        std::uint64_t count;
        if (!in.count(count))
          return false;
        rows_.push_hist(place++, count);
      } else {
        bucket row;
        if (!fixed_bounds(in, row) || !in.count(row.count))
          return false;
        rows_.push_back(row);
        place = place_behind(row);
      }
      if (!in.byte('}'))
        return false;
    } while (in.byte(',') && (in.byte(' ') || true));
    if (const auto first = rows_.front(); first.min && *first.min >= 0)
      first_row_ = hist_place_of(*first.min);
    return in.byte(']');
  }

  /// Where in hist_bounds the row behind this one stands, if this is a row of
  /// hist().
  static std::size_t place_behind(const bucket& row) {
    if (!row.max || *row.max < -1)
      return no_hist_place;
    return *row.max == std::numeric_limits<std::int64_t>::max()
             ? no_hist_place
             : hist_place_of(*row.max + 1);
  }

  /// The bounds of a row, whatever they are, up to its count.
  bool fixed_bounds(json_scanner& in, bucket& row) {
    std::uint64_t low;
    std::uint64_t high;
    auto start = in.position();
    constexpr auto most =
      static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (in.literal("{\"min\": ") && in.natural(low) && in.literal(", \"max\": ")
        && in.natural(high) && low <= high && high <= most) {
      row.min = static_cast<std::int64_t>(low);
      row.max = static_cast<std::int64_t>(high);
    } else {
      in.move_to(start);
      if (!odd_bounds(in, row))
        return false;
    }
    return in.literal(", \"count\": ");
  }

  // Rows with one bound only, with quotes, or of 32 bits.
  bool odd_bounds(json_scanner& in, bucket& row) {
    std::optional<exact> low;
    std::optional<exact> high;
    if (in.literal("{\"min\": ")) {
      if (!in.maybe_quoted(low.emplace()))
        return false;
      if (in.literal(", \"max\": ") && !in.maybe_quoted(high.emplace()))
        return false;
    } else if (!in.literal("{\"max\": ") || !in.maybe_quoted(high.emplace())) {
      return false;
    }
    return to_bounds(low, high, row);
  }

  // --- the general reader --------------------------------------------------

  /// A field of a record: its JSON text, and how counts are written there.
  struct field {
    std::string_view text;
    bool hex_possible = false;
    bool hex = false; // from its beginning on

    json_scanner scan() const {
      return {text, hex_possible, hex};
    }
  };

  struct fields {
    field type, data, msg, helper, retcode, count, events;
  };

  bool take_general(std::string_view line, bool hex_possible, bool unicode,
                    parsed& out) {
    json_scanner in{line, hex_possible, hex_possible && unicode};
    fields record;
    if (!read_fields(in, hex_possible, record))
      return false;
    auto type = record.type.text;
    if (type.size() < 2)
      return false;
    type = type.substr(1, type.size() - 2);
    if (auto kind = kind_of(type))
      return general_maps(*kind, record.data, out);
    if (type == "value")
      return general_print(record.data.text, out);
    if (is_speech(type)) {
      const auto& text =
        record.data.text.empty() ? record.msg.text : record.data.text;
      if (text.size() < 2 || text.front() != '"')
        return false;
      auto raw = text.substr(1, text.size() - 2);
      say(type, {raw, raw.find('\\') != npos}, out);
      return true;
    }
    if (type == "attached_probes") {
      if (fourth_ == known::no && !record.count.text.empty())
        settle_fourth(known::yes, "attached_probes has a count", out);
      out.attached = true;
      return true;
    }
    if (type == "lost_events")
      return lost_events(record);
    if (type == "helper_error" || type == "runtime_error") {
      ++counts_.helper_errors;
      if ((record.helper.text.find("map_update") != npos
           && record.retcode.text == "-7")
          || record.msg.text.starts_with("\"Map full"))
        ++counts_.map_full;
      return true;
    }
    if (is_bench(type)) {
      ++counts_.printed;
      return true;
    }
    return false;
  }

  static bool read_fields(json_scanner& in, bool hex_possible, fields& record) {
    if (!in.token('{'))
      return false;
    do {
      json_string name;
      field value;
      in.skip_space();
      if (!in.string(name) || !in.token(':'))
        return false;
      in.skip_space();
      value.hex_possible = hex_possible;
      value.hex = in.hex();
      if (!field_value(in, name.raw, value.text))
        return false;
      field* slot = name.raw == "type"      ? &record.type
                    : name.raw == "data"    ? &record.data
                    : name.raw == "msg"     ? &record.msg
                    : name.raw == "helper"  ? &record.helper
                    : name.raw == "retcode" ? &record.retcode
                    : name.raw == "count"   ? &record.count
                    : name.raw == "events"  ? &record.events
                                            : nullptr;
      if (slot != nullptr && slot->text.empty())
        *slot = value;
    } while (in.token(','));
    if (!in.token('}'))
      return false;
    in.skip_space();
    return in.at_end() && record.type.text.starts_with('"');
  }

  /// json_scanner::value for the field of that name: it may be a count.
  static bool field_value(json_scanner& in, std::string_view name,
                          std::string_view& text) {
    bool is_count = name == "count" || name == "events" || name == "probes";
    if (is_count && in.hex()) {
      auto begin = in.position();
      std::uint64_t ignored;
      if (in.count(ignored)) {
        text = {begin, static_cast<std::size_t>(in.position() - begin)};
        return true;
      }
      in.move_to(begin);
    }
    return in.value(text);
  }

  bool lost_events(const fields& record) {
    auto number = [](const field& from, std::uint64_t& count) {
      auto in = from.scan();
      return !from.text.empty() && in.count(count) && in.at_end();
    };
    std::uint64_t lost = 0;
    const auto& data = record.data;
    if (data.text.starts_with('{')) {
      auto in = data.scan();
      json_string name;
      if (!in.token('{'))
        return false;
      in.skip_space();
      if (!in.string(name) || name.raw != "events" || !in.token(':'))
        return false;
      in.skip_space();
      if (!in.count(lost) || !in.token('}'))
        return false;
    } else if (data.text.starts_with('"')
               || (data.text.empty() && record.msg.text.starts_with('"'))) {
      // 0.12 - 0.23: words about a watchpoint that could not be set.
      ++counts_.helper_errors;
      return true;
    } else if (!number(data, lost) && !number(record.events, lost)
               && !number(record.count, lost)) {
      return false;
    }
    counts_.lost_events += lost;
    return true;
  }

  bool general_maps(map_kind kind, const field& data, parsed& out) {
    // All of it is read before anything counts.
    auto in = data.scan();
    std::vector<draft> drafts;
    if (!in.token('{'))
      return false;
    if (in.token('}'))
      return true; // 0.24 for a map without elements
    do {
      json_string name;
      in.skip_space();
      if (!in.string(name) || !is_map_name(name.raw) || !in.token(':'))
        return false;
      auto& next = drafts.emplace_back();
      next.start(name.raw, kind);
      if (!general_map(in, next))
        return false;
    } while (in.token(','));
    if (!in.token('}'))
      return false;
    for (auto& next : drafts) {
      std::swap(draft_, next);
      commit(out);
    }
    return true;
  }

  bool general_map(json_scanner& in, draft& to) {
    in.skip_space();
    auto begin = in.position();
    if (in.next() != '{')
      return general_element(in, to);
    if (to.kind == map_kind::stats && !is_keyed(state_of(to.map), to.map)) {
      if (general_element(in, to))
        return true;
      in.move_to(begin);
      to.start(to.map, to.kind);
    }
    if (to.kind == map_kind::value && told_unkeyed(to.map))
      return general_element(in, to);
    in.byte('{');
    to.keyed = true;
    if (in.token('}'))
      return true;
    do {
      in.skip_space();
      if (!to.read_key(in) || !in.token(':'))
        return false;
      in.skip_space();
      if (!general_element(in, to))
        return false;
    } while (in.token(','));
    return in.token('}');
  }

  bool general_element(json_scanner& in, draft& to) {
    auto& value = to.entries.emplace_back().value;
    exact number;
    switch (to.kind) {
      case map_kind::hist:
        if (!general_rows(in))
          return false;
        value.emplace<buckets>(rows_);
        return true;
      case map_kind::stats:
        if (in.next() == '{')
          return general_stats(in, value.emplace<stats_value>());
        if (!in.maybe_quoted(number))
          return false;
        value = number;
        return true;
      case map_kind::tseries:
        return intervals(in, false,
                         value.emplace<std::vector<tseries_value>>());
      default:
        return general_value(in, value);
    }
  }

  bool general_rows(json_scanner& in) {
    rows_.clear();
    if (!in.token('['))
      return false;
    if (in.token(']'))
      return true;
    do {
      bucket row;
      std::optional<exact> low;
      std::optional<exact> high;
      bool counted = false;
      if (!in.token('{'))
        return false;
      do {
        json_string name;
        in.skip_space();
        if (!in.string(name) || !in.token(':'))
          return false;
        in.skip_space();
        bool good = false;
        if (name.raw == "min" && !low)
          good = in.maybe_quoted(low.emplace());
        else if (name.raw == "max" && !high)
          good = in.maybe_quoted(high.emplace());
        else if (name.raw == "count" && !counted)
          good = counted = in.count(row.count);
        if (!good)
          return false;
      } while (in.token(','));
      if (!in.token('}') || !counted || !to_bounds(low, high, row))
        return false;
      rows_.push_back(row);
    } while (in.token(','));
    return in.token(']');
  }

  static bool general_stats(json_scanner& in, stats_value& stats) {
    if (!in.token('{'))
      return false;
    unsigned seen = 0;
    do {
      json_string name;
      in.skip_space();
      if (!in.string(name) || !in.token(':'))
        return false;
      in.skip_space();
      auto bit = name.raw == "count"     ? 1u
                 : name.raw == "average" ? 2u
                 : name.raw == "total"   ? 4u
                                         : 0u;
      auto& field = bit == 1   ? stats.count
                    : bit == 2 ? stats.average
                               : stats.total;
      if (bit == 0 || (seen & bit) != 0 || !in.maybe_quoted(field))
        return false;
      seen |= bit;
    } while (in.token(','));
    return in.token('}') && seen == 7;
  }

  /// With `bare` the times may stand without quotes (0.24).
  static bool intervals(json_scanner& in, bool bare,
                        std::vector<tseries_value>& to) {
    if (!in.token('['))
      return false;
    if (in.token(']'))
      return true;
    do {
      json_string name;
      json_string time;
      if (!in.token('{'))
        return false;
      in.skip_space();
      if (!in.string(name) || name.raw != "interval_start" || !in.token(':'))
        return false;
      in.skip_space();
      if (bare && in.next() != '"') {
        auto end = in.rest().find(',');
        if (end == npos)
          return false;
        time.raw = in.rest().substr(0, end);
        if (time.raw.empty() || time.raw.find_first_of("\"{}[]\\") != npos)
          return false;
        in.move_to(in.position() + end);
      } else if (!in.string(time)) {
        return false;
      }
      if (!in.token(','))
        return false;
      in.skip_space();
      if (!in.string(name) || name.raw != "value" || !in.token(':'))
        return false;
      in.skip_space();
      exact value;
      if (in.next() == 'n') {
        if (!in.literal("null"))
          return false; // an interval without a value is left out
      } else {
        if (!in.maybe_quoted(value))
          return false;
        auto& interval = to.emplace_back();
        interval.value = value;
        unescape(time.raw, interval.time);
      }
      if (!in.token('}'))
        return false;
    } while (in.token(','));
    return in.token(']');
  }

  template <class Value>
  bool general_value(json_scanner& in, Value& value) const {
    std::string_view text;
    if (!in.value(text))
      return false;
    exact number;
    switch (text.front()) {
      case '"': {
        auto raw = text.substr(1, text.size() - 2);
        if (quoted_integer(raw, number)) {
          value = number;
        } else {
          text_value plain;
          unescape(raw, plain.text);
          value = std::move(plain);
        }
        return true;
      }
      case 't': // 0 and 1 up to 0.23
      case 'f':
        value = static_cast<exact>(text.front() == 't');
        return true;
      case '[':
      case '{':
      case 'n':
        value = text_value{clean_json(text), true};
        return true;
      default: {
        json_scanner digits{text, false, false};
        if (!digits.integer(number) || !digits.at_end())
          return false; // bpftrace writes no fractions
        value = number;
        return true;
      }
    }
  }

  /// 0.24+ puts quotes around an integer exactly when no double holds it.
  bool quoted_integer(std::string_view raw, exact& number) const {
    if (fourth_ == known::no || raw.empty())
      return false;
    json_scanner digits{raw, false, false};
    return digits.integer(number) && digits.at_end() && !fits_double(number);
  }

  bool general_print(std::string_view data, parsed& out) {
    std::variant<exact, text_value> value;
    json_scanner in{data, false, false};
    if (data.empty() || !general_value(in, value))
      return false;
    if (auto number = std::get_if<exact>(&value))
      print(*number, data, out);
    else
      print(std::move(std::get<text_value>(value)), data, out);
    return true;
  }

  // --- what bpftrace writes although it is no JSON -------------------------

  bool take_odd(std::string_view line, parsed& out) {
    auto in = scan(line, unicode_);
    if (!in.literal("{\"type\": \""))
      return false;
    if (fourth_ != known::no && in.literal("tseries\", \"data\": {"))
      return odd_tseries(in, out);
    if (fourth_ == known::yes)
      return false;
    if (in.literal("value\", \"data\": "))
      return odd_print(in, out);
    return in.literal("map\", \"data\": {\"@") && odd_map(in, out);
  }

  bool odd_tseries(json_scanner& in, parsed& out) {
    json_string name;
    if (!in.string(name) || !is_map_name(name.raw) || !in.literal(": "))
      return false;
    draft_.start(name.raw, map_kind::tseries);
    auto element = [&] {
      auto& value = draft_.entries.emplace_back().value;
      return intervals(in, true, value.emplace<std::vector<tseries_value>>());
    };
    if (in.byte('{')) {
      draft_.keyed = true;
      do {
        in.skip_space();
        if (!draft_.read_key(in) || !in.token(':') || !element())
          return false;
      } while (in.token(','));
      if (!in.token('}'))
        return false;
    } else if (!element()) {
      return false;
    }
    if (!in.token('}') || !in.token('}') || !in.at_end())
      return false;
    commit(out);
    return true;
  }

  /// Text without quotes: no string, and no line of its own.
  static bool is_bare(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
      return static_cast<unsigned char>(c) >= 0x20 && c != '"';
    });
  }

  bool odd_print(json_scanner& in, parsed& out) {
    auto text = in.rest();
    if (!text.ends_with('}'))
      return false;
    text.remove_suffix(1);
    if (!is_bare(text) || text.starts_with('{'))
      return false;
    print(text_value{std::string{text}, false}, text, out);
    return true;
  }

  // Behind `"@` of the name.
  bool odd_map(json_scanner& in, parsed& out) {
    auto name = in.position() - 1;
    json_string rest;
    if (!in.string_body(rest) || !in.literal(": "))
      return false;
    draft_.start({name, rest.raw.size() + 1}, map_kind::value);
    auto body = in.rest();
    if (!is_map_name(draft_.map) || !body.ends_with("}}"))
      return false;
    body.remove_suffix(2);
    if (!body.starts_with('{')) {
      if (!is_bare(body) && !body.starts_with('['))
        return false;
      draft_.entries.emplace_back().value =
        text_value{std::string{body}, false};
      commit(out);
      return true;
    }
    if (!body.ends_with('}'))
      return false;
    body = body.substr(1, body.size() - 2);
    draft_.keyed = true;
    while (!body.empty()) {
      json_scanner element{body, false, false};
      if (!draft_.read_key(element) || !element.literal(": "))
        return false;
      body = element.rest();
      auto end = element_end(body);
      if (!odd_element(body.substr(0, end)))
        return false;
      body.remove_prefix(end);
      if (body.starts_with(", "))
        body.remove_prefix(2);
    }
    commit(out);
    return true;
  }

  /// Where the first element of `body` ends: before a comma, space, key and
  /// colon, or at its end.
  static std::size_t element_end(std::string_view body) {
    // A string may hold what looks like the next key: step over it.
    json_scanner in{body, false, false};
    std::string_view value;
    std::size_t from = 0;
    if (in.value(value) && (in.at_end() || in.rest().starts_with(", \"")))
      from = body.size() - in.rest().size();
    for (;;) {
      auto at = body.find(", \"", from);
      if (at == npos)
        return body.size();
      json_scanner next{body.substr(at + 2), false, false};
      json_string key;
      if (next.string(key) && next.literal(": "))
        return at;
      from = at + 1;
    }
  }

  bool odd_element(std::string_view text) {
    auto& value = draft_.entries.emplace_back().value;
    json_scanner in{text, false, false};
    if (!text.empty() && general_value(in, value) && in.at_end())
      return true;
    if (!is_bare(text) && !text.starts_with('['))
      return false;
    value = text_value{std::string{text}, false};
    return true;
  }

  // --- what was read -------------------------------------------------------

  const key_shape* hint_of(std::string_view map) const {
    auto found = options_.keys.find(map);
    return found == options_.keys.end() ? nullptr : &found->second;
  }

  bool told_unkeyed(std::string_view map) const {
    auto hint = hint_of(map);
    return hint != nullptr && hint->parts == 0;
  }

  map_state* state_of(std::string_view map) {
    auto found = states_.find(map);
    return found == states_.end() ? nullptr : &found->second;
  }

  bool is_keyed(const map_state* state, std::string_view map) const {
    auto hint = hint_of(map);
    return hint != nullptr ? hint->parts > 0 : state != nullptr && state->keyed;
  }

  /// In JSON a stack that ends a key of several parts is given without its
  /// last line end. (A key that is a stack only keeps it, as in text.)
  static void drop_stack_end(std::string& part) {
    if (part.size() > 1 && is_stack(part))
      part.pop_back();
  }

  static std::uint64_t values_in(const map_entry& entry) {
    if (auto rows = std::get_if<buckets>(&entry.value))
      return rows->size();
    if (auto series = std::get_if<std::vector<tseries_value>>(&entry.value))
      return series->size();
    return std::holds_alternative<stats_value>(entry.value) ? 3 : 1;
  }

  /// draft_ is a whole print.
  void commit(parsed& out) {
    auto found = states_.find(draft_.map);
    if (found == states_.end()) {
      if (states_.size() == json_maps_max) {
        counts_.rejected += draft_.entries.size();
        return;
      }
      found = states_.try_emplace(std::string{draft_.map}).first;
    }
    auto& state = found->second;
    if (draft_.keyed) {
      state.keyed = true;
      assign_keys(state, out);
    }
    flush_speech(out);
    auto& print = out.snapshots.emplace_back();
    print.map = found->first;
    print.kind = draft_.kind;
    if (!draft_.entries.empty()) {
      const auto& first = draft_.entries.front().value;
      if (std::holds_alternative<exact>(first))
        print.kind = map_kind::value;
      else if (std::holds_alternative<text_value>(first))
        print.kind = map_kind::text;
    }
    print.number = ++state.prints;
    print.arrival = arrival_;
    print.ending = ending_;
    state.elements = draft_.entries.size();
    for (const auto& entry : draft_.entries)
      counts_.values += values_in(entry);
    ++counts_.snapshots;
    print.entries = std::move(draft_.entries);
    if (draft_.keyed)
      share_keys(state, print);
  }

  /// Gives a key to the entries that have none yet.
  void assign_keys(map_state& state, parsed& out) {
    if (draft_.keys.empty())
      return;
    auto hint = hint_of(draft_.map);
    const bool told = hint != nullptr && hint->parts > 0;
    read_texts(out);
    if (draft_.keys.size() < draft_.entries.size()
        && !std::all_of(texts_.begin(), texts_.end(), [&](auto text) {
             return splits_alone(text, ",", state.shared_parts, told);
           })) {
      // What these are depends on those that are known, too.
      all_are_new(state);
      read_texts(out);
    }
    auto parts = split_keys(texts_, ",", hint, state.learnt);
    // If some were known and are not read again, none of this has changed, or
    // (twice_, which the first escape settles) it does not matter to them.
    known_keys forgotten;
    if (draft_.keys.size() == draft_.entries.size()
        && (state.twice != twice_
            || state.shared_parts != state.learnt.parts)) {
      shared_bytes_ -= state.shared.bytes();
      std::swap(forgotten, state.shared); // texts_ may be of it
    }
    state.twice = twice_;
    state.shared_parts = state.learnt.parts;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].size() > 1)
        drop_stack_end(parts[i].back());
      const auto& from = draft_.keys[i];
      const shared_key* key = nullptr;
      if (splits_alone(texts_[i], ",", state.shared_parts, told))
        key = remember(state, from.text, parts[i]);
      auto& entry = draft_.entries[from.of];
      if (key != nullptr)
        entry.keys = map_key{key};
      else
        entry.keys = std::move(parts[i]);
    }
  }

  /// The entries that have keys are to be read like the others.
  void all_are_new(map_state& state) {
    draft_.keys.swap(new_keys_);
    draft_.keys.clear();
    auto next = new_keys_.begin();
    for (std::size_t i = 0; i < draft_.entries.size(); ++i) {
      if (next != new_keys_.end() && next->of == i) {
        draft_.keys.push_back(*next++);
        continue;
      }
      auto raw = state.shared.raw(*draft_.entries[i].keys.shared());
      draft_.keys.push_back({i, {raw, raw.find('\\') != npos}});
    }
  }

  /// The texts of draft_.keys.
  void read_texts(parsed& out) {
    texts_.clear();
    std::size_t escaped = 0;
    for (const auto& key : draft_.keys)
      escaped += key.text.escaped ? key.text.raw.size() : 0;
    unescaped_.clear();
    if (escaped > 0) {
      see_escaping(out);
      // Views into it stay good: unescaping never makes longer.
      unescaped_.reserve(2 * escaped);
    }
    for (const auto& key : draft_.keys)
      texts_.push_back(key.text.escaped ? key_text(key.text.raw)
                                        : key.text.raw);
    if (fourth_ == known::not_yet)
      for (auto text : texts_)
        if (text.find(' ') != npos) {
          settle_fourth(known::no, "a key with a space in it", out);
          break;
        }
  }

  const shared_key* remember(map_state& state, const json_string& key,
                             const std::vector<std::string>& parts) {
    if (const auto* known = state.shared.find(key.raw))
      return known;
    if (shared_bytes_ >= known_keys_bytes_max)
      return nullptr;
    auto before = state.shared.bytes();
    // An escape may tell how counts are written: it must be read each time.
    const auto* known =
      state.shared.add(key.raw, key.escaped ? "" : "\": ", parts);
    shared_bytes_ += state.shared.bytes() - before;
    return known;
  }

  void forget_keys(map_state& state) {
    shared_bytes_ -= state.shared.bytes();
    state.shared.clear();
  }

  /// `print` is whole and holds what it needs.
  void share_keys(map_state& state, snapshot& print) {
    print.keys = state.shared.shared();
    // Most of them are gone from the map, or there is no room for others.
    if (state.shared.size() > 2 * print.entries.size() + 64)
      forget_keys(state);
    else if (shared_bytes_ >= known_keys_bytes_max)
      for (auto& [name, other] : states_)
        forget_keys(other);
  }

  std::string_view key_text(std::string_view raw) {
    auto begin = unescaped_.size();
    unescape(raw, unescaped_);
    auto text = std::string_view{unescaped_}.substr(begin);
    if (twice_ != known::yes || text.find('\\') == npos)
      return text;
    begin = unescaped_.size();
    unescape_again(text, unescaped_);
    return std::string_view{unescaped_}.substr(begin);
  }

  /// Without a version: are the keys of this print escaped twice?
  void see_escaping(parsed& out) {
    if (twice_ != known::not_yet || fourth_ == known::yes)
      return;
    auto twice = false;
    for (const auto& [of, key] : draft_.keys) {
      auto seen = key.escaped ? escaping_of(key.raw) : key_escaping::unknown;
      if (seen == key_escaping::once) {
        settle_twice(known::no, out);
        return;
      }
      twice = twice || seen == key_escaping::twice;
    }
    if (twice)
      settle_twice(known::yes, out);
  }

  template <class Value>
  void print(Value value, std::string_view text, parsed& out) {
    ++counts_.printed;
    ++counts_.values;
    ++counts_.snapshots;
    flush_speech(out);
    if (out.keep_printed) {
      auto& line = out.printed.emplace_back();
      if (text.starts_with('"'))
        unescape(text.substr(1, text.size() - 2), line);
      else
        line = text;
    }
    auto& made = out.snapshots.emplace_back();
    made.kind = map_kind::print;
    made.arrival = arrival_;
    made.ending = ending_;
    made.entries.emplace_back().value = std::move(value);
  }

  // --- printf and the like -------------------------------------------------

  void say(std::string_view type, const json_string& text, parsed& out) {
    ++counts_.printed;
    if (metrics_)
      note_metrics(type, text);
    if (!out.keep_printed)
      return;
    auto begin = speech_.size();
    if (text.escaped)
      unescape(text.raw, speech_);
    else
      speech_ += text.raw;
    std::size_t from = 0;
    for (auto end = speech_.find('\n', begin); end != npos;
         end = speech_.find('\n', from)) {
      out.printed.push_back(speech_.substr(from, end - from));
      from = end + 1;
    }
    speech_.erase(0, from);
    // printf and time write on where they left off; the others are lines.
    if ((type != "printf" && type != "time")
        || speech_.size() > options_.record_bytes_max)
      flush_speech(out);
  }

  void note_metrics(std::string_view type, const json_string& text) {
    unescaped_.clear();
    if (text.escaped)
      unescape(text.raw, unescaped_);
    auto written = text.escaped ? std::string_view{unescaped_} : text.raw;
    if (type == "printf")
      metrics_->call(written, counts_);
    else // join() ends its line without saying so; errorf is on stderr's side
      metrics_->foreign(written, type != "time" && type != "cat", counts_);
  }

  void flush_speech(parsed& out) {
    if (speech_.empty())
      return;
    if (out.keep_printed)
      out.printed.push_back(speech_);
    speech_.clear();
  }

  parser_options options_;
  std::unique_ptr<printf_metrics> metrics_; // null: none are wanted
  parser_counts counts_;
  wall_time arrival_{};
  known fourth_ = known::not_yet; // 0.24 or later?
  known twice_ = known::not_yet;  // keys escaped twice: 0.22 or 0.23?
  bool unicode_ = false;          // a \u was seen (noted while fourth_ != no)
  bool ending_ = false;
  unsigned blank_lines_ = 0; // just before
  std::map<std::string, map_state, std::less<>> states_;
  std::string speech_; // what printf has begun and not ended with a line end
  // Of hist(): where in hist_bounds its last print began; never the row below
  // 0.
  std::size_t first_row_ = 1;
  // Kept for their memory only; of a histogram, for all parsers of a thread
  // together: a thousand of them would empty the caches.
  static inline thread_local buckets rows_;
  draft draft_;
  std::vector<std::string_view> texts_;
  std::vector<new_key> new_keys_;
  std::string unescaped_;
  std::size_t shared_bytes_ = 0; // of all maps' known keys
};

} // namespace

std::unique_ptr<map_parser> make_json_parser(parser_options options) {
  return std::make_unique<json_parser>(std::move(options));
}

} // namespace bpf2graphite
