#include "app/config_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace bpf2graphite {

namespace {

bool is_key_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
         || (c >= '0' && c <= '9') || c == '_';
}

bool is_key_char(char c) {
  return is_key_start(c) || c == '-';
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

/// What a number, a duration or an unquoted word may consist of.
bool is_word_char(char c) {
  return is_key_char(c) || c == '.' || c == '+' || c == '/' || c == ':'
         || c == '@' || c == '%' || c == '*';
}

struct duration_unit {
  std::string_view name;
  std::int64_t ns;
};

constexpr std::array<duration_unit, 6> duration_units{{
  {"ns", 1},
  {"us", 1'000},
  {"ms", 1'000'000},
  {"s", 1'000'000'000},
  {"min", 60'000'000'000},
  {"h", 3'600'000'000'000},
}};

std::string at(text_place place) {
  return std::to_string(place.line) + ":" + std::to_string(place.column);
}

std::string in_quotes(std::string_view text) {
  return '"' + shown(text) + '"';
}

/// Recursive descent, at most config_depth_max deep. What a function cannot
/// read it reports and steps over; all of them end, since each turn of each
/// loop takes at least one byte.
class reader {
public:
  reader(std::string_view text, const std::string& file)
    : text_(text), file_(file) {
    if (text_.starts_with("\xef\xbb\xbf"))
      text_.remove_prefix(3); // an editor's byte order mark says nothing
  }

  config_tree run() {
    read_top();
    if (left_out_ > 0)
      tree_.messages.push_back(
        {message_level::error,
         file_,
         place(),
         {},
         std::to_string(left_out_)
           + " more mistakes are not shown; mend those above first"});
    return std::move(tree_);
  }

private:
  // -- the text -----------------------------------------------------------

  bool done() const {
    return at_ == text_.size();
  }

  char peek() const {
    return done() ? '\0' : text_[at_];
  }

  void step() {
    if (text_[at_++] == '\n') {
      ++line_;
      line_start_ = at_;
    }
  }

  text_place place() const {
    return {line_, at_ - line_start_ + 1};
  }

  void skip_blanks() {
    while (!done() && is_blank(peek()))
      step();
    if (peek() == '#' || peek() == ';')
      while (!done() && peek() != '\n')
        step();
  }

  void skip_blanks_and_newlines() {
    for (skip_blanks(); !done() && peek() == '\n'; skip_blanks())
      step();
  }

  std::string_view take_while(bool (*wanted)(char)) {
    auto first = at_;
    while (!done() && wanted(peek()))
      step();
    return text_.substr(first, at_ - first);
  }

  void report(text_place where, std::string text) {
    if (tree_.messages.size() >= config_mistakes_max)
      ++left_out_;
    else
      tree_.messages.push_back(
        {message_level::error, file_, where, {}, std::move(text)});
  }

  std::string here() const {
    if (done())
      return "the end of the file";
    if (peek() == '\n')
      return "the end of the line";
    return in_quotes(text_.substr(at_, 1));
  }

  // -- stepping over ------------------------------------------------------

  /// Over a text in quotes, or the rest of the line when it is not closed.
  void skip_quoted() {
    char quote = peek();
    step();
    while (!done() && peek() != '\n') {
      char c = peek();
      step();
      if (c == quote)
        return;
      if (c == '\\' && !done() && peek() != '\n')
        step();
    }
  }

  /// After a mistake: up to the end of the line or the bracket that closes
  /// what we are in. Groups that begin on the way are read, or their closing
  /// brackets would close others.
  void skip_line(std::size_t depth, bool nested) {
    while (!done() && peek() != '\n') {
      char c = peek();
      if (c == '"') {
        skip_quoted();
      } else if (c == '{') {
        auto opened = place();
        step();
        config_group dropped;
        read_entries(dropped, depth + 1, opened);
      } else if (c == '}' && nested) {
        return;
      } else if (c == '#' || c == ';') {
        skip_blanks();
      } else {
        step();
      }
    }
  }

  /// Over what is nested too deeply, without recursion.
  void skip_balanced() {
    std::size_t open = 0;
    while (!done()) {
      char c = peek();
      if (c == '"') {
        skip_quoted();
        continue;
      }
      if (c == '#' || c == ';') {
        skip_blanks();
        continue;
      }
      step();
      if (c == '{' || c == '[')
        ++open;
      else if ((c == '}' || c == ']') && --open == 0)
        return;
    }
  }

  // -- groups -------------------------------------------------------------

  using key_places = std::unordered_map<std::string, text_place>;

  void read_top() {
    config_group* group = &tree_.root;
    key_places seen;
    std::set<std::string> opened; // sections that had their own header
    for (;;) {
      read_run(*group, 1, false, seen);
      if (done())
        return;
      // Only a section can stop a run at the top level.
      auto where = place();
      auto path = read_section_name();
      if (path.empty()) {
        // Its entries are still read for their mistakes.
        dropped_ = {};
        group = &dropped_;
        seen.clear();
        continue;
      }
      group = open_section(path, where, opened, seen);
    }
  }

  std::vector<std::string> read_section_name() {
    auto where = place();
    step();
    std::vector<std::string> path;
    for (;;) {
      skip_blanks();
      auto key = is_key_start(peek()) ? take_while(is_key_char) : "";
      skip_blanks();
      if (key.empty() || (peek() != '.' && peek() != ']')) {
        report(where, "a section is not finished; write [name] or "
                      "[traces.name] on one line");
        skip_line(1, false);
        return {};
      }
      path.emplace_back(key);
      bool last = peek() == ']';
      step();
      if (last)
        break;
    }
    skip_blanks();
    if (!done() && peek() != '\n') {
      report(place(), here() + " follows a section; begin a new line");
    }
    if (path.size() > config_depth_max) {
      report(where, "a section is nested deeper than "
                      + std::to_string(config_depth_max)
                      + " levels; take some away");
      return {};
    }
    return path;
  }

  config_group* open_section(const std::vector<std::string>& path,
                             text_place where, std::set<std::string>& opened,
                             key_places& seen) {
    auto* group = &tree_.root;
    std::string name;
    for (std::size_t i = 0; i < path.size(); ++i) {
      name += (i == 0 ? "" : ".") + path[i];
      auto& entries = group->entries;
      auto found =
        std::find_if(entries.begin(), entries.end(),
                     [&](const auto& entry) { return entry.key == path[i]; });
      bool last = i + 1 == path.size();
      if (found == entries.end()) {
        entries.push_back(
          {path[i], where, {.held = config_group{}, .place = where}});
        found = entries.end() - 1;
        if (!last)
          implied_.insert(name);
      } else if (!std::holds_alternative<config_group>(found->value.held)
                 || (last && !implied_.contains(name))
                 || (last && opened.contains(name))) {
        report(where, in_quotes(name) + " is given twice, first at "
                        + at(found->place) + "; remove one");
        dropped_ = {};
        seen.clear();
        return &dropped_;
      }
      group = &std::get<config_group>(found->value.held);
    }
    opened.insert(name);
    seen.clear();
    for (const auto& entry : group->entries)
      seen.emplace(entry.key, entry.place);
    return group;
  }

  void read_entries(config_group& group, std::size_t depth, text_place opened) {
    if (depth > config_depth_max) {
      report(opened, "nested deeper than " + std::to_string(config_depth_max)
                       + " levels; take some away");
      --at_; // the bracket itself, which is on this line
      skip_balanced();
      return;
    }
    key_places seen;
    read_run(group, depth, true, seen);
    if (done())
      report(opened, "this { is never closed; add a }");
    else
      step(); // the closing bracket
  }

  /// Entries up to the end of the text, the bracket that closes the group
  /// (left for the caller) or, at the top level, a section.
  void read_run(config_group& group, std::size_t depth, bool nested,
                key_places& seen) {
    bool separated = true;
    bool after_entry = false;
    while (!done()) {
      skip_blanks();
      if (done())
        return;
      char c = peek();
      if (c == '\n') {
        separated = true;
        step();
      } else if (c == ',') {
        if (separated && !after_entry)
          report(place(), "nothing stands before this comma; remove it");
        separated = true;
        after_entry = false;
        step();
      } else if (c == '}') {
        if (nested)
          return;
        report(place(), "this } closes nothing; remove it");
        step();
      } else if (c == '[' && !nested) {
        return;
      } else if (is_key_start(c)) {
        if (!separated)
          report(place(), "no comma or new line before "
                            + in_quotes(word_ahead())
                            + "; put a comma between the two");
        read_entry(group, depth, nested, seen);
        separated = line_begins();
        after_entry = true;
      } else {
        report_no_key();
        skip_line(depth, nested);
      }
    }
  }

  /// Nothing but blanks since the last line end: so it is after a list that
  /// was never closed, which took the line ends before the next entry.
  bool line_begins() const {
    auto last = at_;
    while (last > 0 && is_blank(text_[last - 1]))
      --last;
    return last > 0 && text_[last - 1] == '\n';
  }

  std::string_view word_ahead() const {
    auto last = at_;
    while (last < text_.size() && is_key_char(text_[last]))
      ++last;
    return text_.substr(at_, last - at_);
  }

  void report_no_key() {
    switch (peek()) {
      case '"':
      case '\'':
        report(place(), "a key stands without quotes; write name = value");
        return;
      case '[':
        report(place(),
               "a section cannot begin inside { }; close the group first");
        return;
      case '/':
        report(place(), "a comment begins with # or ;; put one in front");
        return;
      default:
        report(place(), here()
                          + " cannot begin a key; write name = value "
                            "or name { }");
    }
  }

  void read_entry(config_group& group, std::size_t depth, bool nested,
                  key_places& seen) {
    auto where = place();
    std::string key{take_while(is_key_char)};
    bool dotted = peek() == '.';
    if (dotted)
      key += take_while([](char c) { return is_key_char(c) || c == '.'; });
    skip_blanks();
    config_value value{.held = false, .place = place()};
    bool good = false;
    auto value_at = at_;
    if (peek() == '{') {
      good = read_value(value, depth);
    } else if (peek() == '=') {
      step();
      skip_blanks();
      value_at = at_;
      good = read_value(value, depth);
    } else {
      auto sign = peek() == ':' ? std::string{"a key takes \"=\", not \":\""}
                                : "no \"=\" or \"{\" follows " + in_quotes(key)
                                    + " but " + here();
      report(place(), sign + "; write " + shown(key) + " = value");
      value_at = at_;
    }
    if (!good)
      skip_line(depth, nested);
    if (dotted) {
      report_dotted(where, key,
                    trimmed(text_.substr(value_at, at_ - value_at)));
      return;
    }
    if (!good)
      return;
    auto [first, fresh] = seen.try_emplace(key, where);
    if (!fresh) {
      report(where, in_quotes(key) + " is given twice, first at "
                      + at(first->second) + "; remove one");
      return;
    }
    group.entries.push_back({std::move(key), where, std::move(value)});
  }

  static std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (is_blank(text.back()) || text.back() == '\n'))
      text.remove_suffix(1);
    return text;
  }

  void report_dotted(text_place where, const std::string& key,
                     std::string_view value) {
    std::string form;
    std::size_t open = 0;
    for (std::size_t first = 0;;) {
      auto dot = key.find('.', first);
      auto part = key.substr(first, dot - first);
      form += part.empty() ? "name" : part;
      if (dot == std::string::npos)
        break;
      form += " { ";
      ++open;
      first = dot + 1;
    }
    bool group = value.starts_with('{');
    form += (group ? " " : " = ") + shown(group ? "{ }" : value, 60);
    for (; open > 0; --open)
      form += " }";
    report(where, "a key holds no dots; write " + shown(form, 300));
  }

  // -- values -------------------------------------------------------------

  bool read_value(config_value& value, std::size_t depth) {
    value.place = place();
    switch (peek()) {
      case '"':
        return read_text(value);
      case '\'':
        return read_atom(value);
      case '[':
        return read_list(value, depth + 1);
      case '{': {
        auto opened = place();
        step();
        read_entries(value.held.emplace<config_group>(), depth + 1, opened);
        return true;
      }
      default:
        break;
    }
    if (done() || !is_word_char(peek())) {
      report(place(), done() || peek() == '\n'
                        ? std::string{"the value is missing; write it on this "
                                      "line"}
                        : here() + " begins no value; put a text in quotes");
      return false;
    }
    return read_word(value, take_while(is_word_char));
  }

  bool read_word(config_value& value, std::string_view word) {
    if (word == "true" || word == "false") {
      value.held = word == "true";
      return true;
    }
    char first = word.front();
    bool numeric = (first >= '0' && first <= '9') || first == '-'
                   || first == '+' || first == '.';
    if (!numeric) {
      report(value.place, in_quotes(word) + " is no value; write \""
                            + shown(word)
                            + "\" in quotes if it is a text, or true or false");
      return false;
    }
    return read_number(value, word);
  }

  bool read_number(config_value& value, std::string_view word) {
    auto body = word;
    bool negative = body.front() == '-';
    if (negative || body.front() == '+')
      body.remove_prefix(1);
    auto all_digits = [](std::string_view s) {
      return !s.empty()
             && s.find_first_not_of("0123456789") == std::string_view::npos;
    };
    if (body.starts_with("0x") || body.starts_with("0b") || all_digits(body)) {
      bool prefixed = body.starts_with("0x") || body.starts_with("0b");
      int base = body.starts_with("0x") ? 16 : body.starts_with("0b") ? 2 : 10;
      if (!prefixed && body.size() > 1 && body.front() == '0') {
        report(value.place, in_quotes(word)
                              + " has a leading zero, which could mean octal; "
                                "write it without");
        return false;
      }
      std::string digits{negative ? "-" : ""};
      digits += prefixed ? body.substr(2) : body;
      std::int64_t number = 0;
      auto [end, error] = std::from_chars(
        digits.data(), digits.data() + digits.size(), number, base);
      if (error == std::errc::result_out_of_range) {
        report(value.place,
               in_quotes(word)
                 + " does not fit 64 bits; write a smaller number");
        return false;
      }
      if (error == std::errc{} && end == digits.data() + digits.size()
          && !(prefixed && body.size() > 2 && body[2] == '-')) {
        value.held = number;
        return true;
      }
      report(value.place,
             in_quotes(word) + " is no number; put a text in quotes");
      return false;
    }
    std::chrono::nanoseconds duration{};
    if (parse_duration(word, duration)) {
      value.held = duration;
      return true;
    }
    double real = 0;
    auto [end, error] =
      std::from_chars(body.data(), body.data() + body.size(), real);
    if (error == std::errc{} && end == body.data() + body.size()
        && body.find_first_of("0123456789") == 0) {
      value.held = negative ? -real : real;
      return true;
    }
    return report_no_number(value.place, word);
  }

  bool report_no_number(text_place where, std::string_view word) {
    auto unit = word.find_last_of("0123456789.");
    auto number = word.substr(0, unit + 1);
    auto tail = word.substr(unit + 1);
    bool known = std::any_of(duration_units.begin(), duration_units.end(),
                             [&](const auto& u) { return u.name == tail; });
    if (known && number.find('.') != std::string_view::npos)
      report(where, in_quotes(word)
                      + " is a part of a unit; write a whole number "
                        "of a smaller unit, such as 1500ms");
    else if (known)
      report(where,
             in_quotes(word) + " is too long a time; write a shorter one");
    else if (tail.ends_with("iB") || tail == "B" || tail == "K" || tail == "M"
             || tail == "KB" || tail == "MB" || tail == "GB")
      report(where, in_quotes(word)
                      + " is no number; write a size in quotes, such "
                        "as \"64MiB\"");
    else if (!tail.empty() && !number.empty()
             && tail.find_first_not_of("abcdefghijklmnopqrstuvwxyz")
                  == std::string_view::npos)
      report(where, in_quotes(tail)
                      + " is no unit of time; use ns, us, ms, s, min or h");
    else
      report(where, in_quotes(word) + " is no number; put a text in quotes");
    return false;
  }

  bool read_text(config_value& value) {
    step();
    std::string text;
    for (;;) {
      if (done() || peek() == '\n') {
        report(value.place, "this text is never closed; add a \" on the same "
                            "line");
        return false;
      }
      auto where = place();
      char c = peek();
      step();
      if (c == '"')
        break;
      if (c == '\\') {
        constexpr std::string_view escapes = "\"\\nrt";
        constexpr std::string_view meanings = "\"\\\n\r\t";
        auto which = done() ? std::string_view::npos : escapes.find(peek());
        if (which == std::string_view::npos) {
          report(where,
                 "\\ here is no escape; write \\\\ for a backslash (known "
                 "are \\\" \\\\ \\n \\r \\t)");
          continue;
        }
        text += meanings[which];
        step();
        continue;
      }
      if (c == '\r' && peek() == '\n')
        continue; // the end of a line with CR LF, reported next
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
        if (c != '\t') {
          report(where, "the byte " + in_quotes(std::string_view{&c, 1})
                          + " cannot stand in a text; remove it");
          continue;
        }
      }
      text += c;
    }
    value.held = std::move(text);
    return true; // read to its end: nothing of the line is to be skipped
  }

  bool read_atom(config_value& value) {
    step();
    auto name = take_while(
      [](char c) { return (is_key_char(c) && c != '-') || c == ' '; });
    if (peek() != '\'' || name.size() > 10) {
      report(value.place, "an atom holds at most 10 of the characters A-Z a-z "
                          "0-9 _ and blank between ' and '; for a text use \"");
      return false;
    }
    step();
    value.held = config_atom{std::string{name}};
    return true;
  }

  bool read_list(config_value& value, std::size_t depth) {
    auto opened = place();
    if (depth > config_depth_max) {
      report(opened, "nested deeper than " + std::to_string(config_depth_max)
                       + " levels; take some away");
      skip_balanced();
      return true;
    }
    step();
    auto& list = value.held.emplace<config_list>();
    bool separated = true;
    for (;;) {
      skip_blanks_and_newlines();
      if (peek() == ']') {
        step();
        return true;
      }
      if (done() || peek() == '}' || entry_ahead()) {
        report(opened, "this [ is never closed; add a ]");
        // What follows belongs to the group around, on a line of its own.
        return true;
      }
      if (peek() == ',') {
        if (separated)
          report(place(), "nothing stands before this comma; remove it");
        separated = true;
        step();
        continue;
      }
      if (!separated)
        report(place(), "no comma before this value; put one there");
      config_value element{.held = false, .place = place()};
      auto before = at_;
      if (read_value(element, depth))
        list.push_back(std::move(element));
      else
        while (!done() && peek() != ',' && peek() != ']' && peek() != '\n')
          step();
      if (at_ == before)
        step();
      separated = false;
    }
  }

  /// `name =` or `name {` follows: no value of a list begins so.
  bool entry_ahead() const {
    auto i = at_;
    if (i == text_.size() || !is_key_start(text_[i]))
      return false;
    while (i < text_.size() && is_key_char(text_[i]))
      ++i;
    while (i < text_.size() && is_blank(text_[i]))
      ++i;
    return i < text_.size() && (text_[i] == '=' || text_[i] == '{');
  }

  std::string_view text_;
  const std::string& file_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t line_start_ = 0;
  std::size_t left_out_ = 0;
  std::set<std::string> implied_; // groups that only a longer section made
  config_group dropped_;
  config_tree tree_;
};

void render_caf(const config_group& group, const std::string& path,
                std::string& out) {
  bool header = path.empty();
  for (const auto& [key, place, value] : group.entries) {
    if (std::holds_alternative<config_group>(value.held))
      continue;
    if (!header)
      out += '[' + path + "]\n";
    header = true;
    out += key + " = " + to_text(value) + '\n';
  }
  for (const auto& [key, place, value] : group.entries)
    if (const auto* inner = std::get_if<config_group>(&value.held))
      render_caf(*inner, path.empty() ? key : path + '.' + key, out);
}

std::string text_literal(std::string_view text) {
  std::string result = "\"";
  for (char c : text) {
    switch (c) {
      case '"':
        result += "\\\"";
        break;
      case '\\':
        result += "\\\\";
        break;
      case '\n':
        result += "\\n";
        break;
      case '\r':
        result += "\\r";
        break;
      case '\t':
        result += "\\t";
        break;
      default:
        result += c;
    }
  }
  return result + '"';
}

template <class... Fs>
struct overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
overloaded(Fs...) -> overloaded<Fs...>;

} // namespace

const config_entry* config_group::find(std::string_view key) const {
  for (const auto& entry : entries)
    if (entry.key == key)
      return &entry;
  return nullptr;
}

std::string shown(std::string_view bytes, std::size_t bytes_max) {
  constexpr std::string_view hex = "0123456789abcdef";
  std::string result;
  for (auto byte : bytes) {
    if (result.size() >= bytes_max)
      return result + "...";
    auto b = static_cast<unsigned char>(byte);
    if (b >= 0x20 && b < 0x7f)
      result += byte;
    else
      result.append("\\x").append({hex[b >> 4], hex[b & 15]});
  }
  return result;
}

std::string render(const config_message& message) {
  auto result = shown(message.file, 1000);
  if (message.place.line > 0)
    result += ':' + at(message.place);
  result += ": ";
  if (message.level == message_level::warning)
    result += "warning: ";
  if (message.level == message_level::notice)
    result += "notice: ";
  if (!message.trace.empty())
    result += "trace \"" + shown(message.trace) + "\": ";
  return result + message.text;
}

std::string render(std::vector<config_message> messages) {
  std::map<std::string, std::size_t> order;
  for (const auto& message : messages)
    order.try_emplace(message.file, order.size());
  std::stable_sort(messages.begin(), messages.end(),
                   [&](const auto& a, const auto& b) {
                     return std::pair{order[a.file], a.place}
                            < std::pair{order[b.file], b.place};
                   });
  std::string result;
  for (const auto& message : messages)
    result += render(message) + '\n';
  return result;
}

bool parse_duration(std::string_view text, std::chrono::nanoseconds& result) {
  std::int64_t count = 0;
  if (text.starts_with('+') && !text.starts_with("+-"))
    text.remove_prefix(1);
  auto [end, error] =
    std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{})
    return false;
  auto tail = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const auto& unit : duration_units) {
    std::int64_t ns = 0;
    if (unit.name == tail && !__builtin_mul_overflow(count, unit.ns, &ns)) {
      result = std::chrono::nanoseconds{ns};
      return true;
    }
  }
  return false;
}

std::string to_text(std::chrono::nanoseconds duration) {
  if (duration.count() == 0)
    return "0s";
  for (std::size_t i = duration_units.size(); i-- > 0;)
    if (duration.count() % duration_units[i].ns == 0)
      return std::to_string(duration.count() / duration_units[i].ns)
             + std::string{duration_units[i].name};
  return {}; // not reached: every count is a multiple of 1 ns
}

std::string to_text(const config_value& value) {
  return std::visit(
    overloaded{
      [](bool b) -> std::string { return b ? "true" : "false"; },
      [](std::int64_t n) { return std::to_string(n); },
      [](double d) {
        std::array<char, 32> buffer{};
        auto [end, error] =
          std::to_chars(buffer.data(), buffer.data() + buffer.size(), d);
        std::string text{buffer.data(), end};
        // CAF takes 5 for an integer, so a real must look like one.
        if (text.find_first_of(".e") == std::string::npos)
          text += ".0";
        return text;
      },
      [](std::chrono::nanoseconds d) { return to_text(d); },
      [](const std::string& s) { return text_literal(s); },
      [](const config_atom& a) { return '\'' + a.name + '\''; },
      [](const config_list& list) {
        std::string text = "[";
        for (const auto& element : list)
          text += (text.size() > 1 ? ", " : "") + to_text(element);
        return text + ']';
      },
      [](const config_group& group) {
        std::string text = "{ ";
        for (const auto& [key, place, held] : group.entries)
          text += (text.size() > 2 ? ", " : "") + key + " = " + to_text(held);
        return text + " }";
      },
    },
    value.held);
}

std::string_view kind_name(const config_value& value) {
  constexpr std::array<std::string_view, 8> names{
    "true or false", "a whole number", "a number", "a duration",
    "a text",        "an atom",        "a list",   "a group"};
  return names[value.held.index()];
}

std::string to_caf_text(const config_group& group) {
  std::string out;
  render_caf(group, {}, out);
  return out;
}

config_tree read_config_text(std::string_view text, const std::string& file) {
  if (text.size() > config_bytes_max)
    return {{},
            {{message_level::error,
              file,
              {},
              {},
              "the file has " + std::to_string(text.size()) + " bytes; at most "
                + std::to_string(config_bytes_max)
                + " are read: split it with trace-files"}}};
  return reader{text, file}.run();
}

} // namespace bpf2graphite
