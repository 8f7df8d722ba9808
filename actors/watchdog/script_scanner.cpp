#include "actors/watchdog/script_scanner.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace bpf2graphite {

namespace {

// -- characters ---------------------------------------------------------------

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool starts_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool in_name(char c) {
  return starts_name(c) || is_digit(c);
}

template <std::size_t N>
bool one_of(std::string_view word,
            const std::array<std::string_view, N>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// -- tokens -------------------------------------------------------------------

enum class token_kind : std::uint8_t {
  name,
  number,
  text,
  map,
  variable,  // $x
  parameter, // $1, $#
  symbol,
};

struct token {
  token_kind kind = token_kind::symbol;
  std::uint32_t begin = 0;
  std::uint32_t length = 0;
  std::uint32_t partner = 0; // of a bracket: index of the other one
  std::uint32_t end = 0;     // index of the ";" or closing bracket that ends
                             // the expression this token stands in
};

/// Tokens first ... last - 1.
struct token_range {
  std::size_t first = 0;
  std::size_t last = 0;

  std::size_t size() const {
    return last - first;
  }
};

struct macro_text {
  std::vector<std::string> parameters;
  token_range block;
};

/// Code that belongs to a body: its predicate, then its block.
struct code {
  std::size_t body = 0;
  token_range tokens;
};

bool opens(std::string_view symbol) {
  return symbol == "(" || symbol == "[" || symbol == "{";
}

bool closes(std::string_view symbol) {
  return symbol == ")" || symbol == "]" || symbol == "}";
}

char closing(char open) {
  return open == '(' ? ')' : open == '[' ? ']' : '}';
}

/// First step: the text as probes, preamble and tokens.
class script_reader {
public:
  script_reader(std::string_view text, const script_limits& limits,
                script_facts& facts)
    : text_(text), limits_(limits), facts_(facts) {
    lines_.push_back(0);
    for (std::size_t i = 0; i < text.size(); ++i)
      if (text[i] == '\n')
        lines_.push_back(i + 1);
  }

  bool read() {
    while (skip_layout()) {
      if (at_end())
        break;
      if (!read_part())
        return false;
    }
    if (facts_.error)
      return false;
    facts_.no_probe = facts_.bodies.empty();
    if (facts_.no_probe)
      return fail(text_.size(), "no probe in it");
    find_ends();
    return true;
  }

  source_position position(std::size_t offset) const {
    auto line = std::upper_bound(lines_.begin(), lines_.end(), offset);
    auto number = static_cast<std::size_t>(line - lines_.begin());
    return {number, offset - lines_[number - 1] + 1};
  }

  std::string_view text(const token& t) const {
    return text_.substr(t.begin, t.length);
  }

  const std::vector<token>& tokens() const {
    return tokens_;
  }

  const std::vector<code>& codes() const {
    return codes_;
  }

  const macro_text* find_macro(std::string_view name) const {
    auto found = macros_.find(name);
    return found == macros_.end() ? nullptr : &found->second;
  }

  bool fail(std::size_t offset, std::string reason) {
    if (!facts_.error)
      facts_.error = script_error{position(std::min(offset, text_.size())),
                                  std::move(reason)};
    return false;
  }

private:
  bool at_end() const {
    return pos_ >= text_.size();
  }

  char peek(std::size_t ahead = 0) const {
    return pos_ + ahead < text_.size() ? text_[pos_ + ahead] : '\0';
  }

  /// Steps over white space and comments; false for a comment without end.
  bool skip_layout() {
    while (!at_end()) {
      if (is_space(peek())) {
        ++pos_;
      } else if (peek() == '/' && peek(1) == '/') {
        skip_line();
      } else if (peek() == '/' && peek(1) == '*') {
        if (!skip_comment())
          return false;
      } else {
        break;
      }
    }
    return true;
  }

  void skip_line() {
    pos_ = std::min(text_.find('\n', pos_), text_.size());
  }

  bool skip_comment() {
    auto close = text_.find("*/", pos_ + 2);
    if (close == std::string_view::npos)
      return fail(pos_, "this comment has no end");
    pos_ = close + 2;
    return true;
  }

  /// At a quote: steps behind the closing one.
  bool skip_string() {
    auto begin = pos_++;
    while (!at_end() && peek() != '\n') {
      if (peek() == '"') {
        ++pos_;
        return true;
      }
      pos_ += peek() == '\\' ? 2 : 1;
    }
    return fail(begin, "this string has no end");
  }

  std::string_view peek_word() const {
    auto end = pos_;
    while (end < text_.size() && in_name(text_[end]))
      ++end;
    return text_.substr(pos_, end - pos_);
  }

  char after_word(std::string_view word) {
    auto begin = pos_;
    pos_ += word.size();
    char next = skip_layout() ? peek() : '\0';
    pos_ = begin;
    return next;
  }

  bool read_part() {
    if (peek() == ';') { // after a definition
      ++pos_;
      return true;
    }
    if (peek() == '#')
      return read_directive();
    auto word = peek_word();
    auto next = after_word(word);
    if (facts_.error)
      return false;
    if (next == ':') // a probe, whatever its provider is called
      return read_probe();
    if (word == "struct" || word == "union" || word == "enum")
      return read_definition();
    if (word == "typedef" || word == "import")
      return read_to_semicolon(word == "import" ? preamble_kind::import
                                                : preamble_kind::definition);
    if (word == "config" && next == '=')
      return read_config();
    if (word == "let" && next == '@')
      return read_declaration();
    if (word == "macro" && starts_name(next))
      return read_macro();
    if (word == "fn" && starts_name(next))
      return read_function();
    return read_probe();
  }

  void add_preamble(preamble_kind kind, std::size_t begin) {
    facts_.preamble.push_back({kind, {begin, pos_}});
  }

  bool read_directive() {
    auto begin = pos_;
    auto kind = begin == 0 && peek(1) == '!' ? preamble_kind::hash_bang
                                             : preamble_kind::preprocessor;
    // A backslash before the line end (which may be CR LF) joins the next, and
    // so does a comment that goes on there.
    for (;;) {
      if (!skip_directive_line(kind))
        return false;
      auto last = pos_;
      while (last > begin && text_[last - 1] == '\r')
        --last;
      if (at_end() || kind == preamble_kind::hash_bang || last == begin
          || text_[last - 1] != '\\')
        break;
      ++pos_;
    }
    add_preamble(kind, begin);
    read_define(begin, pos_);
    return true;
  }

  bool skip_directive_line(preamble_kind kind) {
    while (!at_end() && peek() != '\n') {
      if (kind == preamble_kind::preprocessor && peek() == '/'
          && peek(1) == '*') {
        if (!skip_comment())
          return false;
      } else if (kind == preamble_kind::preprocessor && peek() == '/'
                 && peek(1) == '/') {
        skip_line();
      } else {
        ++pos_;
      }
    }
    return true;
  }

  /// `#define NAME text`: bpftrace puts the text where the name stands, in
  /// blocks too, so that maps may hide in it. Those with parameters it does not
  /// replace. What cannot be read as a piece of code is left alone.
  void read_define(std::size_t begin, std::size_t end) {
    auto line = text_.substr(begin + 1, end - begin - 1);
    auto step_over = [&](auto wanted) {
      while (!line.empty() && wanted(line.front()))
        line.remove_prefix(1);
    };
    auto blank = [](char c) {
      return c == ' ' || c == '\t';
    };
    step_over(blank);
    if (!line.starts_with("define"))
      return;
    line.remove_prefix(std::string_view("define").size());
    step_over(blank);
    auto name = line.substr(
      0, static_cast<std::size_t>(
           std::find_if_not(line.begin(), line.end(), in_name) - line.begin()));
    line.remove_prefix(name.size());
    if (name.empty() || line.starts_with('(')
        || line.find('@') == std::string_view::npos)
      return;
    // Read by itself, then kept where the tokens of all code are.
    script_facts aside;
    script_reader reader(line, limits_, aside);
    auto moved = end - line.size();
    for (;;) {
      while (reader.skip_layout() && reader.peek() == '\\')
        ++reader.pos_;
      if (reader.at_end() || aside.error)
        break;
      if (!reader.push_token(name_use::nowhere))
        break;
    }
    if (aside.error || !reader.open_.empty())
      return;
    macro_text macro;
    macro.block.first = tokens_.size();
    for (auto t : reader.tokens_) {
      t.begin += static_cast<std::uint32_t>(moved);
      t.partner += static_cast<std::uint32_t>(macro.block.first);
      tokens_.push_back(t);
      note_name(t, name_use::nowhere);
    }
    macro.block.last = tokens_.size();
    token last; // ends the last expression
    last.begin = static_cast<std::uint32_t>(end);
    tokens_.push_back(last);
    macros_.insert_or_assign(std::string(name), std::move(macro));
  }

  /// Steps behind the bracket that closes the one here, in C text.
  bool skip_brackets(char open) {
    auto begin = pos_;
    std::size_t depth = 0;
    while (skip_layout() && !at_end()) {
      char c = peek();
      if (c == '"') {
        if (!skip_string())
          return false;
        continue;
      }
      ++pos_;
      if (c == open)
        ++depth;
      else if (c == closing(open) && --depth == 0)
        return true;
    }
    return fail(begin, std::string("this ") + open + " is not closed");
  }

  bool read_definition() {
    auto begin = pos_;
    while (skip_layout() && !at_end() && peek() != '{' && peek() != ';')
      ++pos_;
    if (facts_.error)
      return false;
    if (at_end())
      return fail(begin, "this definition has no end");
    if (peek() == '{' && !skip_brackets('{'))
      return false;
    auto end = pos_;
    while (skip_layout() && peek_word() == "__attribute__") {
      pos_ += peek_word().size();
      if (!skip_layout())
        return false;
      if (peek() == '(' && !skip_brackets('('))
        return false;
      end = pos_;
    }
    if (facts_.error)
      return false;
    if (peek() == ';')
      end = ++pos_;
    pos_ = end;
    add_preamble(preamble_kind::definition, begin);
    return true;
  }

  bool read_to_semicolon(preamble_kind kind) {
    auto begin = pos_;
    while (skip_layout() && !at_end()) {
      char c = peek();
      if (c == '{') {
        if (!skip_brackets('{'))
          return false;
      } else if (c == '"') {
        if (!skip_string())
          return false;
      } else {
        ++pos_;
        if (c == ';') {
          add_preamble(kind, begin);
          return true;
        }
      }
    }
    return fail(begin, "no ; ends this");
  }

  bool read_declaration() {
    auto begin = pos_;
    auto first = tokens_.size();
    pos_ += std::string_view("let").size();
    token t;
    while (next_token(t)) {
      tokens_.push_back(t);
      note_name(t, name_use::nowhere);
      if (text(t) == ";") {
        add_preamble(preamble_kind::map_declaration, begin);
        declared_.push_back(std::string(text(tokens_[first])));
        return true;
      }
    }
    return fail(begin, "no ; ends this");
  }

  bool read_config() {
    auto begin = pos_;
    pos_ = text_.find('=', pos_) + 1;
    if (!skip_layout())
      return false;
    if (peek() != '{')
      return fail(pos_, "config wants a { here");
    token_range range;
    if (!read_brackets(range, name_use::nowhere))
      return false;
    for (auto i = range.first; i + 2 < range.last; ++i)
      if (tokens_[i].kind == token_kind::name && text(tokens_[i + 1]) == "=")
        facts_.config.emplace_back(text(tokens_[i]), text(tokens_[i + 2]));
    for (auto& [key, value] : facts_.config)
      if (key == "print_maps_on_exit")
        facts_.prints_maps_on_exit = value != "false" && value != "0";
    add_preamble(preamble_kind::config, begin);
    return true;
  }

  bool read_macro() {
    auto begin = pos_;
    pos_ += std::string_view("macro").size();
    if (!skip_layout())
      return false;
    std::string name(peek_word());
    pos_ += name.size();
    if (!skip_layout())
      return false;
    macro_text macro;
    if (peek() == '(') {
      token_range range;
      if (!read_brackets(range, name_use::nowhere))
        return false;
      for (auto i = range.first; i < range.last; ++i)
        if (tokens_[i].kind != token_kind::symbol)
          macro.parameters.emplace_back(text(tokens_[i]));
      if (!skip_layout())
        return false;
    }
    if (peek() != '{')
      return fail(pos_, "a macro wants a { here");
    if (!read_brackets(macro.block, name_use::nowhere))
      return false;
    macros_.insert_or_assign(std::move(name), std::move(macro));
    add_preamble(preamble_kind::macro, begin);
    return true;
  }

  bool read_function() {
    auto begin = pos_;
    while (skip_layout() && !at_end() && peek() != '{')
      ++pos_;
    if (facts_.error)
      return false;
    if (at_end())
      return fail(begin, "this function has no block");
    script_body body;
    body.at = position(begin);
    if (!read_block(body))
      return false;
    add_preamble(preamble_kind::function, begin);
    return true;
  }

  bool read_probe() {
    script_body body;
    body.at = position(pos_);
    for (;;) {
      attach_point point;
      if (!read_attach_point(point))
        return false;
      body.points.push_back(std::move(point));
      if (!skip_layout())
        return false;
      if (peek() != ',')
        break;
      ++pos_;
      if (!skip_layout())
        return false;
      if (peek() == '{' || peek() == '/') // a last comma is tolerated
        break;
    }
    if (peek() == '/' && !read_predicate(body))
      return false;
    if (!skip_layout())
      return false;
    if (peek() != '{')
      return fail(pos_, at_end() ? "a probe without a block"
                                 : "a probe wants a { here");
    return read_block(body);
  }

  static probe_kind kind_of(std::string_view text) {
    auto provider = text.substr(0, text.find(':'));
    if (provider == "BEGIN" || provider == "begin")
      return probe_kind::begin;
    if (provider == "END" || provider == "end")
      return probe_kind::end;
    if (provider == "interval" || provider == "i")
      return probe_kind::interval;
    if (provider == "profile" || provider == "p")
      return probe_kind::profile;
    if (provider == "self")
      return probe_kind::signal;
    return probe_kind::other;
  }

  /// Whether a slash behind `text` belongs to a path: uprobe:/bin/x:f,
  /// uprobe:./x:f, uprobe:lib/x.so:f, iter:task:/sys/fs/bpf/x.
  static bool in_path(std::string_view text) {
    static constexpr std::array<std::string_view, 6> with_path{
      "uprobe", "u", "uretprobe", "ur", "usdt", "U"};
    auto colon = text.rfind(':');
    if (colon == std::string_view::npos)
      return false;
    auto segment = text.substr(colon + 1);
    if (segment.empty() || segment.front() == '/' || segment.front() == '.')
      return true;
    return text.find(':') == colon && one_of(text.substr(0, colon), with_path);
  }

  bool read_attach_point(attach_point& point) {
    point.range = {pos_, pos_};
    while (!at_end()) {
      char c = peek();
      if (c == '{' || c == ',' || c == '}' || c == ';')
        break;
      if (c == '/' && !in_path(point.text))
        break; // a predicate or a comment
      if (is_space(c)) {
        // Up to 0.23 the parts of a point may stand apart.
        if (!skip_layout())
          return false;
        if (peek() != ':' && !point.text.ends_with(':'))
          break;
        if (peek() == '{' || peek() == ',')
          break;
        continue;
      }
      auto begin = pos_;
      if (c == '"') {
        if (!skip_string())
          return false;
      } else if (c == '$') {
        token t;
        if (!next_token(t))
          return false;
        note_name(t, facts_.bodies.size());
      } else {
        pos_ = std::min(pos_ + (c == '\\' ? 2u : 1u), text_.size());
      }
      point.text += text_.substr(begin, pos_ - begin);
      point.range.end = pos_;
    }
    if (point.text.empty())
      return fail(pos_, at_end() ? "a probe without a block"
                                 : "a probe has to begin here");
    point.kind = kind_of(point.text);
    return true;
  }

  bool read_predicate(script_body& body) {
    auto begin = pos_++;
    auto first = tokens_.size();
    for (;;) {
      if (!skip_layout())
        return false;
      if (at_end() || (open_.empty() && (peek() == '{' || peek() == ';')))
        return fail(begin, "this predicate is not closed by a /");
      if (peek() == '/' && open_.empty()) {
        auto slash = pos_++;
        if (!skip_layout())
          return false;
        if (peek() == '{') {
          body.predicate = source_range{begin + 1, slash};
          break;
        }
        pos_ = slash;
      }
      if (!push_token(facts_.bodies.size()))
        return false;
    }
    // A token of its own ends the last expression.
    token end;
    end.begin = static_cast<std::uint32_t>(body.predicate->end);
    tokens_.push_back(end);
    codes_.push_back({facts_.bodies.size(), {first, tokens_.size()}});
    return true;
  }

  bool read_block(script_body& body) {
    auto begin = pos_;
    token_range range;
    auto index = facts_.bodies.size();
    if (!read_brackets(range, index))
      return false;
    body.block = {begin, pos_};
    facts_.bodies.push_back(std::move(body));
    codes_.push_back({index, range});
    return true;
  }

  /// At an opening bracket: reads tokens up to the one that closes it.
  bool read_brackets(token_range& range, std::size_t body) {
    auto begin = pos_;
    range.first = tokens_.size();
    do {
      if (!skip_layout())
        return false;
      if (at_end())
        return fail(open_.empty() ? begin : tokens_[open_.back()].begin,
                    "this bracket is not closed");
      if (!push_token(body))
        return false;
    } while (!open_.empty());
    range.last = tokens_.size();
    return true;
  }

  /// Reads a token behind the layout and pairs brackets.
  bool push_token(std::size_t body) {
    token t;
    if (!next_token(t))
      return !facts_.error;
    auto symbol = t.kind == token_kind::symbol ? text(t) : "";
    auto index = static_cast<std::uint32_t>(tokens_.size());
    if (opens(symbol)) {
      if (open_.size() >= limits_.nesting_max)
        return fail(t.begin, "brackets are nested too deeply");
      open_.push_back(index);
    } else if (closes(symbol)) {
      if (open_.empty())
        return fail(t.begin, "nothing opens this bracket");
      auto partner = open_.back();
      if (closing(text(tokens_[partner])[0]) != symbol[0]) {
        auto at = position(tokens_[partner].begin);
        return fail(t.begin, "this bracket does not close the one of line "
                               + std::to_string(at.line));
      }
      open_.pop_back();
      tokens_[partner].partner = index;
      t.partner = partner;
    }
    tokens_.push_back(t);
    note_name(t, body);
    return true;
  }

  /// False at the end of the text and after an error.
  bool next_token(token& t) {
    // Preprocessor lines may stand in a block too: #ifdef ... #endif.
    while (skip_layout() && peek() == '#' && first_of_line()) {
      auto begin = pos_;
      skip_line();
      add_preamble(preamble_kind::preprocessor, begin);
    }
    if (at_end() || facts_.error)
      return false;
    auto begin = pos_;
    char c = peek();
    t = {};
    if (c == '"') {
      t.kind = token_kind::text;
      if (!skip_string())
        return false;
    } else if (starts_name(c)) {
      t.kind = token_kind::name;
      pos_ += peek_word().size();
    } else if (is_digit(c)) { // 10, 0x1f, 1e6, 10_000, 5ms
      t.kind = token_kind::number;
      pos_ += peek_word().size();
    } else if (c == '@') {
      t.kind = token_kind::map;
      ++pos_;
      if (starts_name(peek()))
        pos_ += peek_word().size();
    } else if (c == '$' && (in_name(peek(1)) || peek(1) == '#')) {
      t.kind =
        starts_name(peek(1)) ? token_kind::variable : token_kind::parameter;
      ++pos_;
      pos_ += peek() == '#' ? 1 : peek_word().size();
    } else {
      read_symbol();
    }
    t.begin = static_cast<std::uint32_t>(begin);
    t.length = static_cast<std::uint32_t>(pos_ - begin);
    return true;
  }

  bool first_of_line() const {
    auto i = pos_;
    while (i > 0 && (text_[i - 1] == ' ' || text_[i - 1] == '\t'))
      --i;
    return i == 0 || text_[i - 1] == '\n';
  }

  void read_symbol() {
    static constexpr std::array<std::string_view, 22> symbols{
      "<<=", ">>=", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=",
      "^=",  "<<",  ">>", "==", "!=", "<=", ">=", "&&", "||", "->", ".."};
    auto rest = text_.substr(pos_, 3);
    for (auto symbol : symbols)
      if (rest.starts_with(symbol)) {
        pos_ += symbol.size();
        return;
      }
    ++pos_;
  }

  void note_name(const token& t, std::size_t body) {
    source_range range{t.begin, std::size_t{t.begin} + t.length};
    if (t.kind == token_kind::map) {
      facts_.map_names.push_back({range, body});
    } else if (t.kind == token_kind::variable) {
      facts_.variable_names.push_back({range, body});
    } else if (t.kind == token_kind::parameter) {
      auto& known = facts_.parameters;
      auto name = text(t);
      if (std::find(known.begin(), known.end(), name) == known.end()
          && known.size() < parameters_max)
        known.emplace_back(name);
    }
  }

  void find_ends() {
    auto end = static_cast<std::uint32_t>(tokens_.size());
    for (auto i = tokens_.size(); i-- > 0;) {
      auto& t = tokens_[i];
      auto symbol = t.kind == token_kind::symbol ? text(t) : "";
      if (t.length == 0 || symbol == ";" || closes(symbol))
        end = static_cast<std::uint32_t>(i);
      else if (opens(symbol))
        end =
          tokens_[t.partner + 1 < tokens_.size() ? t.partner + 1 : t.partner]
            .end;
      t.end = end;
    }
  }

  static constexpr std::size_t parameters_max = 256;

  std::string_view text_;
  const script_limits& limits_;
  script_facts& facts_;
  std::size_t pos_ = 0;
  std::vector<std::size_t> lines_;
  std::vector<token> tokens_;
  std::vector<std::uint32_t> open_;
  std::vector<code> codes_;
  std::map<std::string, macro_text, std::less<>> macros_;

public:
  std::vector<std::string> declared_;
};

// -- what the code does with its maps -----------------------------------------

struct shape {
  expression_shape what = expression_shape::unknown;
  std::vector<expression_shape> parts; // of a tuple
  bool timestamp = false;
};

/// What is known when one thing is said to have both shapes: bpftrace gives a
/// variable, a map value and a key part one type.
expression_shape join(expression_shape a, expression_shape b) {
  auto plain = [](expression_shape s) {
    return s == expression_shape::integer || s == expression_shape::text;
  };
  if (a == b)
    return a;
  if (a == expression_shape::single && plain(b))
    return b;
  if (b == expression_shape::single && plain(a))
    return a;
  return expression_shape::unknown;
}

using shape_table = std::map<std::string, shape, std::less<>>;

/// Blocks are numbered as they open, so those within one follow it.
struct block_scope {
  std::size_t parent = 0; // itself: the outermost
  std::size_t reach = 0;  // outermost block around it with no loop between
  std::size_t last = 0;   // the last block within it
};

/// A use and where it stands among the others.
struct placed_use {
  map_use use;
  std::size_t block = 0;
  std::size_t order = 0;
};

struct placed_jump {
  std::size_t block = 0;
  std::size_t order = 0;
};

struct seen_map {
  std::string name;
  std::vector<placed_use> uses;
  bool keys_conflict = false;
  std::optional<std::vector<expression_shape>> key; // of what tells
};

/// Second step: walks the code and notes what it does. It runs twice: the
/// first time finds what the maps hold, for keys that are values of maps.
class code_walker {
public:
  code_walker(script_reader& reader, const script_limits& limits,
              script_facts& facts, const shape_table& map_values)
    : reader_(reader), tokens_(reader.tokens()), limits_(limits), facts_(facts),
      map_values_(map_values) {
    // nop
  }

  bool walk() {
    for (auto& part : reader_.codes()) {
      if (part.body != body_) {
        body_ = part.body;
        variables_.clear();
      }
      auto scope = add_block(blocks_.size(), false);
      if (!walk(part.tokens, scope, {}, 0))
        return false;
    }
    return true;
  }

  shape_table map_values() const {
    shape_table result;
    for (auto& map : maps_) {
      std::optional<expression_shape> known;
      for (auto& [use, block, order] : map.uses) {
        auto stored = stored_shape(use);
        if (stored)
          known = known ? join(*known, *stored) : *stored;
      }
      if (known && *known != expression_shape::tuple)
        result[map.name] = {*known, {}, false};
    }
    return result;
  }

  void finish() {
    find_last_blocks();
    for (auto& map : maps_) {
      judge_prints(map);
      script_map result;
      result.name = map.name;
      for (auto& placed : map.uses)
        result.uses.push_back(placed.use);
      if (map.key && !map.keys_conflict) {
        result.key_parts = map.key->size();
        result.key_shapes = *map.key;
      } else if (!map.keys_conflict
                 && std::none_of(map.uses.begin(), map.uses.end(),
                                 [](auto& p) { return p.use.keyed; })) {
        result.key_parts = 0;
      }
      facts_.maps.push_back(std::move(result));
    }
    facts_.outputs = std::move(outputs_);
    facts_.exits = std::move(exits_);
  }

private:
  using substitution = std::map<std::string, std::string, std::less<>>;

  // -- tokens -----------------------------------------------------------------

  std::string_view text(std::size_t i) const {
    return reader_.text(tokens_[i]);
  }

  bool is_symbol(std::size_t i, std::string_view symbol) const {
    return i < tokens_.size() && tokens_[i].kind == token_kind::symbol
           && text(i) == symbol;
  }

  bool is_name(std::size_t i) const {
    return i < tokens_.size() && tokens_[i].kind == token_kind::name;
  }

  bool is_name(std::size_t i, std::string_view name) const {
    return is_name(i) && text(i) == name;
  }

  bool is_field(std::size_t i) const {
    return i > 0 && (is_symbol(i - 1, ".") || is_symbol(i - 1, "->"));
  }

  bool is_open(std::size_t i) const {
    return i < tokens_.size() && tokens_[i].kind == token_kind::symbol
           && opens(text(i));
  }

  /// Index behind the token, or behind what its bracket closes.
  std::size_t step(std::size_t i) const {
    return is_open(i) ? tokens_[i].partner + 1 : i + 1;
  }

  /// The parts between commas of what stands in the brackets opened at `open`.
  std::vector<token_range> list(std::size_t open) const {
    std::vector<token_range> result;
    auto close = std::size_t{tokens_[open].partner};
    auto first = open + 1;
    for (auto i = first; i < close; i = step(i))
      if (is_symbol(i, ",")) {
        result.push_back({first, i});
        first = i + 1;
      }
    if (first < close)
      result.push_back({first, close});
    return result;
  }

  // -- blocks -----------------------------------------------------------------

  std::size_t add_block(std::size_t parent, bool loop) {
    auto block = blocks_.size();
    auto reach = loop || parent == block ? block : blocks_[parent].reach;
    blocks_.push_back({parent, reach, block});
    return block;
  }

  void find_last_blocks() {
    for (auto i = blocks_.size(); i-- > 0;) {
      auto& last = blocks_[blocks_[i].parent].last;
      last = std::max(last, blocks_[i].last);
    }
  }

  /// Whether the block of the brace at `i` is run more than once: the keyword
  /// before it, back to the begin of the statement, says so.
  bool is_loop(std::size_t i, std::size_t statement) const {
    while (i-- > statement) {
      if (!is_name(i) || is_field(i))
        continue;
      auto word = text(i);
      if (word == "while" || word == "for" || word == "unroll")
        return true;
      if (word == "if" || word == "else")
        return false;
    }
    return false;
  }

  bool within(std::size_t block, std::size_t outer) const {
    return outer <= block && block <= blocks_[outer].last;
  }

  /// Whether what stands in `outer` behind `inner` is reached once for each
  /// run of `inner`: no loop between them.
  bool follows_once(std::size_t inner, std::size_t outer) const {
    return within(inner, outer) && blocks_[inner].reach <= outer;
  }

  // -- walking ----------------------------------------------------------------

  bool walk(token_range range, std::size_t scope, const substitution& names,
            std::size_t depth) {
    auto statement = range.first;
    auto outermost = scope;
    for (auto i = range.first; i < range.last; ++i) {
      ++order_;
      if (++steps_ > limits_.steps_max)
        return reader_.fail(tokens_[i].begin, "too much code to look through");
      auto& t = tokens_[i];
      if (t.kind == token_kind::symbol) {
        auto symbol = text(i);
        if (symbol == "{")
          scope = add_block(scope, is_loop(i, statement));
        else if (symbol == "}" && scope != outermost)
          scope = blocks_[scope].parent;
        if (symbol == "{" || symbol == "}" || symbol == ";")
          statement = i + 1;
        continue;
      }
      if (t.kind == token_kind::variable) {
        note_variable(i);
        continue;
      }
      if (auto name = map_name(i, names)) {
        if (!passed_.contains(i) && !note_map(i, *name, scope))
          return false;
        continue;
      }
      if (t.kind != token_kind::name || is_field(i))
        continue;
      auto word = text(i);
      if (word == "return" || word == "break" || word == "continue") {
        if (jumps_.size() >= limits_.jumps_max)
          return reader_.fail(t.begin, "too many jumps");
        jumps_.push_back({scope, order_});
      } else if (is_symbol(i + 1, "(")) {
        note_call(i, names);
      }
      if (auto macro = reader_.find_macro(word))
        if (!replay(i, *macro, scope, names, depth))
          return false;
    }
    return true;
  }

  bool replay(std::size_t i, const macro_text& macro, std::size_t scope,
              const substitution& names, std::size_t depth) {
    if (depth >= limits_.macro_depth_max)
      return reader_.fail(tokens_[i].begin, "macros are nested too deeply");
    substitution inner;
    if (is_symbol(i + 1, "(")) {
      auto arguments = list(i + 1);
      for (std::size_t n = 0;
           n < arguments.size() && n < macro.parameters.size(); ++n)
        if (arguments[n].size() == 1)
          if (auto name = map_name(arguments[n].first, names)) {
            inner[macro.parameters[n]] = *name;
            passed_.insert(arguments[n].first);
          }
    }
    return walk(macro.block, scope, inner, depth + 1);
  }

  std::optional<std::string> map_name(std::size_t i,
                                      const substitution& names) const {
    auto& t = tokens_[i];
    if (t.kind != token_kind::map && t.kind != token_kind::name)
      return std::nullopt;
    if (t.kind == token_kind::name && (names.empty() || is_field(i)))
      return std::nullopt;
    auto found = names.find(text(i));
    if (found != names.end())
      return found->second;
    if (t.kind == token_kind::map)
      return std::string(text(i));
    return std::nullopt;
  }

  void note_call(std::size_t i, const substitution& names) {
    static constexpr std::array<std::string_view, 10> talkers{
      "printf", "time",   "cat",   "join",   "system",
      "print",  "errorf", "warnf", "debugf", "print_debug"};
    auto word = text(i);
    if (word == "exit") {
      exits_.push_back(reader_.position(tokens_[i].begin));
    } else if (one_of(word, talkers)) {
      auto first = i + 2;
      if (word == "print" && map_name(first, names)
          && (is_symbol(first + 1, ",") || is_symbol(first + 1, ")")))
        return; // a whole map
      text_output output{
        std::string(word), reader_.position(tokens_[i].begin), body_, {}};
      if (first < tokens_.size() && tokens_[first].kind == token_kind::text) {
        auto quoted = text(first);
        output.format = quoted.substr(1, quoted.size() - 2);
      }
      outputs_.push_back(std::move(output));
    }
  }

  void note_variable(std::size_t i) {
    if (!is_symbol(i + 1, "="))
      return;
    auto value = shape_of({i + 2, tokens_[i + 1].end});
    auto [known, fresh] = variables_.emplace(text(i), value);
    if (fresh)
      return;
    auto& old = known->second;
    old.what = old.parts == value.parts ? join(old.what, value.what)
                                        : expression_shape::unknown;
    if (old.what != expression_shape::tuple)
      old.parts.clear();
    old.timestamp = old.timestamp || value.timestamp;
  }

  seen_map& map_of(const std::string& name) {
    auto [found, fresh] = index_.emplace(name, maps_.size());
    if (fresh) {
      maps_.emplace_back();
      maps_.back().name = name;
    }
    return maps_[found->second];
  }

  void note_key(seen_map& map, const std::vector<token_range>& ranges) {
    std::vector<expression_shape> key;
    for (auto& range : ranges) {
      auto part = shape_of(range);
      if (ranges.size() == 1 && part.what == expression_shape::tuple)
        key = part.parts; // printed like a key of several parts
      else if (ranges.size() == 1 && part.what == expression_shape::unknown)
        return; // it may be a tuple: tells nothing
      else
        key.push_back(part.what);
    }
    if (key.empty())
      return;
    if (!map.key) {
      map.key = std::move(key);
      return;
    }
    if (map.key->size() != key.size()) {
      map.keys_conflict = true;
      return;
    }
    for (std::size_t n = 0; n < key.size(); ++n) {
      auto& known = (*map.key)[n];
      if (known == expression_shape::unknown
          || known == expression_shape::single)
        known = key[n] == expression_shape::unknown ? known : key[n];
      else if (key[n] != expression_shape::unknown)
        known = join(known, key[n]);
    }
  }

  bool note_map(std::size_t i, const std::string& name, std::size_t scope) {
    auto& map = map_of(name);
    if (++uses_ > limits_.map_uses_max)
      return reader_.fail(tokens_[i].begin, "too many uses of maps");
    placed_use placed;
    placed.block = scope;
    placed.order = order_;
    auto& use = placed.use;
    use.at = reader_.position(tokens_[i].begin);
    use.body = body_;
    auto next = i + 1;
    if (is_symbol(next, "[")) {
      use.keyed = true;
      note_key(map, list(next));
      next = tokens_[next].partner + 1;
    }
    if (!note_argument(i, next, use, map) && !note_assignment(next, use))
      note_step(i, next, use);
    map.uses.push_back(placed);
    return true;
  }

  /// The map is what a function is called for: print(@x), clear(@x) ...
  bool note_argument(std::size_t i, std::size_t next, map_use& use,
                     seen_map& map) {
    if (i >= 3 && is_symbol(i - 1, ":")
        && tokens_[i - 2].kind == token_kind::variable && is_symbol(next, ")")
        && (is_name(i - 3, "for")
            || (i >= 4 && is_symbol(i - 3, "(") && is_name(i - 4, "for")))) {
      use.action = map_action::iterate;
      return true;
    }
    if (i < 2 || !is_symbol(i - 1, "(") || !is_name(i - 2) || is_field(i - 2))
      return false;
    if (!is_symbol(next, ",") && !is_symbol(next, ")"))
      return false;
    auto function = text(i - 2);
    auto arguments = list(i - 1);
    if (function == "print") {
      use.action = use.keyed ? map_action::print_key : map_action::print;
      use.top = arguments.size() > 1 && !is_number(arguments[1], "0");
      use.divided = arguments.size() > 2 && !is_number(arguments[2], "1");
    } else if (function == "clear") {
      use.action = map_action::clear;
    } else if (function == "zero") {
      use.action = map_action::zero;
    } else if (function == "delete") {
      use.action = use.keyed || arguments.size() > 1 ? map_action::remove_key
                                                     : map_action::remove_all;
    } else if (function != "has_key") {
      return false;
    }
    if (!use.keyed && arguments.size() == 2
        && (function == "delete" || function == "has_key")) {
      use.keyed = true;
      note_key(map, {arguments[1]});
    }
    return true;
  }

  bool is_number(token_range range, std::string_view number) const {
    return range.size() == 1 && tokens_[range.first].kind == token_kind::number
           && text(range.first) == number;
  }

  bool note_assignment(std::size_t next, map_use& use) {
    static constexpr std::array<std::pair<std::string_view, map_action>, 9>
      functions{{{"hist", map_action::hist},
                 {"lhist", map_action::lhist},
                 {"count", map_action::count},
                 {"sum", map_action::sum},
                 {"avg", map_action::avg},
                 {"min", map_action::min},
                 {"max", map_action::max},
                 {"stats", map_action::stats},
                 {"tseries", map_action::tseries}}};
    static constexpr std::array<std::string_view, 8> changes{
      "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="};
    if (next >= tokens_.size() || tokens_[next].kind != token_kind::symbol)
      return false;
    auto symbol = text(next);
    token_range value{next + 1, tokens_[next].end};
    if (symbol == "+=" || symbol == "-=") {
      use.action = symbol == "+=" ? map_action::add : map_action::subtract;
      use.may_be_negative = !is_plain_number(value);
      return true;
    }
    if (one_of(symbol, changes)) {
      use.action = map_action::change;
      return true;
    }
    if (symbol != "=")
      return false;
    use.action = map_action::assign;
    if (is_name(value.first) && is_symbol(value.first + 1, "(")
        && tokens_[value.first + 1].partner + 1 == value.last) {
      for (auto& [name, action] : functions)
        if (text(value.first) == name) {
          use.action = action;
          use.may_be_negative =
            (action == map_action::sum || action == map_action::stats)
            && !is_plain_number({value.first + 2, value.last - 1});
          return true;
        }
    }
    auto stored = shape_of(value);
    use.stored = stored.what;
    use.timestamp = stored.timestamp;
    if (is_number(value, "0"))
      use.action = map_action::assign_zero;
    return true;
  }

  bool is_plain_number(token_range range) const {
    return range.size() == 1 && tokens_[range.first].kind == token_kind::number;
  }

  void note_step(std::size_t i, std::size_t next, map_use& use) const {
    if (is_symbol(next, "++") || (i > 0 && is_symbol(i - 1, "++")))
      use.action = map_action::increment;
    else if (is_symbol(next, "--") || (i > 0 && is_symbol(i - 1, "--")))
      use.action = map_action::decrement;
    else
      use.action = map_action::read;
  }

  // -- shapes of expressions --------------------------------------------------

  shape shape_of(token_range range, std::size_t depth = 0) const {
    constexpr std::size_t tokens_max = 64;
    constexpr std::size_t depth_max = 16;
    if (range.first >= range.last || depth > depth_max)
      return {};
    auto i = range.first;
    if (step(i) == range.last)
      return shape_of_one(i, depth);
    std::optional<std::size_t> question, colon, boolean, product, sum;
    std::size_t looked = 0;
    auto before = range.last; // where the token before begins
    for (; i < range.last; before = i, i = step(i)) {
      if (++looked > tokens_max)
        return {};
      if (tokens_[i].kind != token_kind::symbol)
        continue;
      auto symbol = text(i);
      bool binary = before != range.last && ends_operand(before, i);
      if (symbol == "?" && !question)
        question = i;
      else if (symbol == ":" && question)
        colon = i; // the last one: a ? b : c ? d : e needs no more
      else if (symbol == "==" || symbol == "!=" || symbol == "<"
               || symbol == ">" || symbol == "<=" || symbol == ">="
               || symbol == "&&" || symbol == "||")
        boolean = i;
      else if (symbol == "," || symbol == "=")
        return {};
      else if (binary && (symbol == "+" || symbol == "-"))
        sum = i;
      else if (binary
               && (symbol == "*" || symbol == "/" || symbol == "%"
                   || symbol == "&" || symbol == "|" || symbol == "^"
                   || symbol == "<<" || symbol == ">>"))
        product = i;
    }
    if (question) {
      if (!colon)
        return {};
      auto yes = shape_of({*question + 1, *colon}, depth + 1);
      auto no = shape_of({*colon + 1, range.last}, depth + 1);
      auto both = join(yes.what, no.what);
      return {both == expression_shape::tuple ? expression_shape::unknown
                                              : both,
              {},
              false};
    }
    // Printed 0 and 1 up to 0.23, false and true later.
    if (boolean || is_symbol(range.first, "!"))
      return {expression_shape::single, {}, false};
    if (product)
      return {expression_shape::integer, {}, false};
    if (sum) {
      // A pointer plus a number is a pointer, printed as 0x...
      auto left = shape_of({range.first, *sum}, depth + 1).what;
      auto right = shape_of({*sum + 1, range.last}, depth + 1).what;
      bool number =
        left == expression_shape::integer
        && (right == expression_shape::integer || is_symbol(*sum, "-"));
      return {number ? expression_shape::integer : expression_shape::single,
              {},
              false};
    }
    return shape_of_chain(range, depth);
  }

  /// Whether what begins at `i` and stands before `next` is a value, so that
  /// a sign behind it takes two operands.
  bool ends_operand(std::size_t i, std::size_t next) const {
    if (tokens_[i].kind != token_kind::symbol)
      return true;
    if (!is_open(i))
      return false;
    return !is_symbol(i, "(") || !is_cast(i, next);
  }

  static bool is_integer_type(std::string_view name) {
    static constexpr std::array<std::string_view, 17> types{
      "uint8",  "uint16",  "uint32",  "uint64",   "int8",     "int16",
      "int32",  "int64",   "uint8_t", "uint16_t", "uint32_t", "uint64_t",
      "int8_t", "int16_t", "int32_t", "int64_t",  "int"};
    return one_of(name, types);
  }

  /// Whether (...) at `open` is a type before a value.
  bool is_cast(std::size_t open, std::size_t next) const {
    auto close = std::size_t{tokens_[open].partner};
    if (close <= open + 1)
      return false;
    if (open > 0 && (is_name(open - 1) || is_symbol(open - 1, "]")))
      return false; // the arguments of a function
    for (auto i = open + 1; i < close; ++i)
      if (!is_name(i) && !(i > open + 1 && is_symbol(i, "*")))
        return false;
    if (is_integer_type(text(open + 1)) || is_name(open + 1, "struct")
        || is_name(open + 1, "union") || is_name(open + 1, "enum")
        || is_symbol(close - 1, "*"))
      return true;
    // (name) 5: a type. (NAME) - 5: who knows.
    return next < tokens_.size() && tokens_[next].kind != token_kind::symbol;
  }

  /// No operator of two operands: a cast, a sign, a field, an element.
  shape shape_of_chain(token_range range, std::size_t depth) const {
    auto first = range.first;
    if (is_symbol(first, "-") || is_symbol(first, "~") || is_symbol(first, "+"))
      return shape_of({first + 1, range.last}, depth + 1).what
                 == expression_shape::integer
               ? shape{expression_shape::integer, {}, false}
               : shape{};
    if (is_symbol(first, "(")) {
      auto next = step(first);
      if (is_cast(first, next)) {
        auto close = next - 1;
        if (close == first + 2 && is_integer_type(text(first + 1))) {
          auto inner = shape_of({next, range.last}, depth + 1);
          return {expression_shape::integer, {}, inner.timestamp};
        }
        return {expression_shape::single, {}, false}; // a pointer or a record
      }
    }
    if (is_name(first) && is_symbol(first + 1, "(")
        && step(first + 1) == range.last)
      return shape_of_call(text(first));
    if (tokens_[first].kind == token_kind::map && is_symbol(first + 1, "[")
        && step(first + 1) == range.last)
      return shape_of_one(first, depth);
    // a->b, a.b, $a->b[1]: a field. $t.0 may be a tuple in a tuple.
    for (auto i = range.last; i-- > first;)
      if (is_name(i) && is_field(i))
        return {expression_shape::single, {}, false};
    return {};
  }

  shape shape_of_one(std::size_t i, std::size_t depth) const {
    auto& t = tokens_[i];
    switch (t.kind) {
      case token_kind::number:
        return {expression_shape::integer, {}, false};
      case token_kind::text:
        return {expression_shape::text, {}, false};
      case token_kind::name:
        return shape_of_builtin(text(i));
      case token_kind::variable: {
        auto found = variables_.find(text(i));
        return found == variables_.end() ? shape{} : found->second;
      }
      case token_kind::map: {
        auto found = map_values_.find(text(i));
        return found == map_values_.end() ? shape{} : found->second;
      }
      case token_kind::parameter:
        return {text(i) == "$#" ? expression_shape::integer
                                : expression_shape::single,
                {},
                false};
      case token_kind::symbol:
        break;
    }
    if (!is_symbol(i, "("))
      return {};
    auto parts = list(i);
    if (parts.size() == 1)
      return shape_of(parts[0], depth + 1);
    shape result{expression_shape::tuple, {}, false};
    for (auto& part : parts) {
      // A tuple in a tuple keeps its parentheses: one part.
      auto inner = shape_of(part, depth + 1).what;
      result.parts.push_back(
        inner == expression_shape::tuple ? expression_shape::text : inner);
    }
    return parts.empty() ? shape{} : result;
  }

  shape shape_of_builtin(std::string_view name) const {
    static constexpr std::array<std::string_view, 13> integers{
      "pid",  "tid",    "uid",     "gid",    "cpu",     "ncpus", "nsecs",
      "rand", "cgroup", "elapsed", "numaid", "jiffies", "ppid"};
    static constexpr std::array<std::string_view, 9> texts{
      "comm", "pcomm",    "probe",    "kstack", "ustack",
      "func", "username", "__FUNC__", "stack"};
    if (one_of(name, integers))
      return {
        expression_shape::integer, {}, name == "nsecs" || name == "elapsed"};
    if (one_of(name, texts))
      return {expression_shape::text, {}, false};
    if (name == "retval")
      return {returns_integer() ? expression_shape::integer
                                : expression_shape::single,
              {},
              false};
    auto digits = name.starts_with("sarg")  ? name.substr(4)
                  : name.starts_with("arg") ? name.substr(3)
                                            : std::string_view{};
    if (!digits.empty() && std::all_of(digits.begin(), digits.end(), is_digit))
      return {expression_shape::integer, {}, false};
    return {}; // a constant, an enumerator
  }

  /// Other probes know retval's type, and it may be a pointer or a record.
  bool returns_integer() const {
    auto& points = facts_.bodies[body_].points;
    return !points.empty()
           && std::all_of(points.begin(), points.end(), [](auto& point) {
                auto provider =
                  std::string_view(point.text).substr(0, point.text.find(':'));
                return provider == "kretprobe" || provider == "kr"
                       || provider == "uretprobe" || provider == "ur";
              });
  }

  static shape shape_of_call(std::string_view name) {
    static constexpr std::array<std::string_view, 21> integers{
      "nsecs",       "strncmp", "cgroupid", "sizeof", "offsetof", "bswap",
      "strlen",      "len",     "kaddr",    "reg",    "log2",     "pid",
      "tid",         "ppid",    "uid",      "gid",    "cpu",      "rand",
      "strcontains", "ncpus",   "strcap"};
    static constexpr std::array<std::string_view, 17> texts{
      "str",     "kstr",     "buf",      "comm",        "ksym", "usym",
      "kstack",  "ustack",   "ntop",     "probe",       "func", "strftime",
      "macaddr", "strerror", "username", "cgroup_path", "pcomm"};
    if (one_of(name, integers))
      return {expression_shape::integer, {}, name == "nsecs"};
    if (one_of(name, texts))
      return {expression_shape::text, {}, false};
    return {};
  }

  // -- what a map holds, what follows a print ---------------------------------

  static std::optional<expression_shape> stored_shape(const map_use& use) {
    switch (use.action) {
      case map_action::assign:
        return use.stored;
      case map_action::hist:
      case map_action::lhist:
      case map_action::stats:
      case map_action::tseries:
        return expression_shape::single;
      case map_action::count:
      case map_action::sum:
      case map_action::avg:
      case map_action::min:
      case map_action::max:
      case map_action::increment:
      case map_action::decrement:
      case map_action::add:
      case map_action::subtract:
      case map_action::change:
      case map_action::assign_zero:
        return expression_shape::integer;
      default:
        return std::nullopt;
    }
  }

  static bool resets(const map_use& use) {
    return use.action == map_action::clear || use.action == map_action::zero
           || use.action == map_action::remove_all
           || (use.action == map_action::assign_zero && !use.keyed);
  }

  void judge_prints(seen_map& map) {
    auto& uses = map.uses;
    for (std::size_t p = 0; p < uses.size(); ++p) {
      if (uses[p].use.action != map_action::print)
        continue;
      uses[p].use.each_time = each_time(uses[p]);
      for (auto c = p + 1;
           c < uses.size() && uses[c].use.body == uses[p].use.body; ++c) {
        if (!resets(uses[c].use) || !follows_once(uses[p].block, uses[c].block))
          continue;
        uses[p].use.after = between(uses, p, c);
        break;
      }
    }
  }

  bool each_time(const placed_use& one) const {
    // A body's braces open a block within its outermost.
    const auto parent = blocks_[one.block].parent;
    if (blocks_[parent].parent != parent)
      return false;
    return std::none_of(jumps_.begin(), jumps_.end(), [&](auto& jump) {
      return jump.order < one.order && within(jump.block, one.block);
    });
  }

  after_print between(const std::vector<placed_use>& uses, std::size_t p,
                      std::size_t c) const {
    for (auto q = p + 1; q < c; ++q)
      if (uses[q].use.action == map_action::print
          && (within(uses[p].block, uses[q].block)
              || within(uses[q].block, uses[p].block)))
        return after_print::printed_again;
    auto first = std::lower_bound(
      jumps_.begin(), jumps_.end(), uses[p].order,
      [](const placed_jump& jump, std::size_t o) { return jump.order < o; });
    for (auto jump = first; jump != jumps_.end() && jump->order < uses[c].order;
         ++jump)
      if (within(uses[p].block, jump->block)
          || within(jump->block, uses[p].block))
        return after_print::may_leave;
    return after_print::reset;
  }

  script_reader& reader_;
  const std::vector<token>& tokens_;
  const script_limits& limits_;
  script_facts& facts_;
  const shape_table& map_values_;
  std::size_t body_ = static_cast<std::size_t>(-1);
  std::size_t steps_ = 0;
  std::size_t order_ = 0;
  std::size_t uses_ = 0;
  std::vector<block_scope> blocks_;
  std::vector<placed_jump> jumps_;
  std::set<std::size_t> passed_; // tokens: maps handed to a macro
  std::vector<seen_map> maps_;
  std::map<std::string, std::size_t, std::less<>> index_;
  shape_table variables_;
  std::vector<text_output> outputs_;
  std::vector<source_position> exits_;
};

} // namespace

bool script_body::only(probe_kind kind) const {
  return !points.empty()
         && std::all_of(points.begin(), points.end(),
                        [kind](auto& point) { return point.kind == kind; });
}

const script_map* script_facts::find(std::string_view name) const {
  for (auto& map : maps)
    if (map.name == name)
      return &map;
  return nullptr;
}

script_facts scan_script(std::string_view text, const script_limits& limits) {
  script_facts facts;
  if (text.size() > limits.script_bytes_max) {
    facts.error = script_error{
      {}, "more than " + std::to_string(limits.script_bytes_max) + " bytes"};
    return facts;
  }
  script_reader reader(text, limits, facts);
  if (!reader.read())
    return facts;
  shape_table nothing;
  code_walker first(reader, limits, facts, nothing);
  if (!first.walk())
    return facts;
  auto values = first.map_values();
  code_walker second(reader, limits, facts, values);
  if (!second.walk())
    return facts;
  second.finish();
  for (auto& name : reader.declared_) {
    auto map = std::find_if(facts.maps.begin(), facts.maps.end(),
                            [&](auto& known) { return known.name == name; });
    if (map == facts.maps.end()) {
      facts.maps.emplace_back();
      facts.maps.back().name = name;
      map = facts.maps.end() - 1;
    }
    map->declared = true;
  }
  return facts;
}

} // namespace bpf2graphite
