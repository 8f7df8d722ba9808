#include "actors/watchdog/script_merge.hpp"

#include "actors/watchdog/script_scanner.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

namespace bpf2graphite {
namespace {

bool starts_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool in_name(char c) {
  return starts_name(c) || is_digit(c);
}

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

using words = std::vector<std::string_view>;

/// The names in a piece of code, without those in comments and strings; any
/// other token is one character.
words words_of(std::string_view text) {
  words all;
  for (std::size_t at = 0; at < text.size();) {
    auto rest = text.substr(at);
    if (is_blank(rest[0])) {
      ++at;
    } else if (rest.starts_with("//")) {
      at = std::min(text.find('\n', at), text.size());
    } else if (rest.starts_with("/*")) {
      auto end = text.find("*/", at + 2);
      at = end == std::string_view::npos ? text.size() : end + 2;
    } else if (rest[0] == '"') {
      for (++at; at < text.size() && text[at] != '"' && text[at] != '\n'; ++at)
        at += text[at] == '\\' ? 1 : 0;
      ++at;
      all.push_back("\"");
    } else if (in_name(rest[0])) {
      auto end = at;
      while (end < text.size() && in_name(text[end]))
        ++end;
      all.push_back(text.substr(at, end - at));
      at = end;
    } else {
      all.push_back(rest.substr(0, 1));
      ++at;
    }
  }
  return all;
}

bool contains(const words& all, std::string_view word) {
  return std::find(all.begin(), all.end(), word) != all.end();
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front()))
    text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back()))
    text.remove_suffix(1);
  return text;
}

std::string on_line(const source_position& at) {
  return " (line " + std::to_string(at.line) + ")";
}

/// Something that stands before the probes.
struct definition {
  std::string text; // maps in it have no prefix yet
  source_range range;
  std::vector<std::string> names; // that it gives a meaning to
};

/// One script as the merge needs it.
struct part_source {
  std::size_t index = 0; // among those given
  std::string_view text;
  script_facts facts;
  std::vector<definition> definitions;
  std::vector<std::string> includes;
  std::set<std::string, std::less<>> names; // all that occur in it
  std::size_t probes = 0;
};

bool is_include(std::string_view directive) {
  auto all = words_of(directive);
  return all.size() > 1 && all[1] == "include";
}

/// Names that `struct x {...};`, `enum ...` and `typedef ...;` give a meaning
/// to: tags, enumerators, the name of a type.
std::vector<std::string> defined_names(std::string_view text) {
  static constexpr std::array<std::string_view, 3> tagged{"struct", "union",
                                                          "enum"};
  auto all = words_of(text);
  std::vector<std::string> names;
  auto add = [&](std::string_view word) {
    if (!word.empty() && starts_name(word[0]))
      names.emplace_back(word);
  };
  for (std::size_t i = 0; i + 1 < all.size(); ++i)
    if (std::find(tagged.begin(), tagged.end(), all[i]) != tagged.end())
      add(all[i + 1]);
  bool enumerates = contains(all, "enum");
  if (enumerates || (!all.empty() && all[0] == "typedef"))
    for (const auto& word : all)
      if (enumerates || &word == &all[all.size() - 2])
        add(word);
  static constexpr std::array<std::string_view, 8> no_names{
    "struct", "union", "enum", "typedef", "int", "unsigned", "long", "char"};
  std::erase_if(names, [](const std::string& name) {
    return std::find(no_names.begin(), no_names.end(), name) != no_names.end();
  });
  return names;
}

/// A uprobe's file that is looked for from the working directory.
bool has_relative_path(std::string_view point) {
  for (std::size_t at = point.find(':'); at != std::string_view::npos;
       at = point.find(':', at + 1)) {
    auto segment = point.substr(at + 1, point.find(':', at + 1) - at - 1);
    if (!segment.empty() && segment[0] != '/' && segment[0] != '"'
        && segment.find('/') != std::string_view::npos)
      return true;
  }
  return false;
}

/// Fills `part` from its text; why it cannot be merged, or nothing.
std::string read_part(part_source& part) {
  const auto& facts = part.facts = scan_script(part.text);
  if (facts.error)
    return "it could not be read: " + facts.error->reason
           + on_line(facts.error->at);
  if (part.text.find('\0') != std::string_view::npos)
    return "there is a zero byte in it";
  if (!facts.exits.empty())
    return "it calls exit()" + on_line(facts.exits[0]);
  if (!facts.parameters.empty())
    return "it takes arguments (" + facts.parameters[0] + ")";
  auto code_begins = part.text.size();
  for (const auto& body : facts.bodies)
    if (!body.points.empty())
      code_begins = std::min(code_begins, body.points[0].range.begin);
  for (const auto& one : facts.preamble) {
    auto text =
      part.text.substr(one.range.begin, one.range.end - one.range.begin);
    switch (one.kind) {
      case preamble_kind::hash_bang:
        continue;
      case preamble_kind::config:
        return "it has a config block";
      case preamble_kind::import:
        return "it has an import";
      case preamble_kind::map_declaration:
        return "it declares a map with let";
      case preamble_kind::macro:
        return "it has a macro";
      case preamble_kind::function:
        return "it has a function of its own";
      case preamble_kind::preprocessor:
      case preamble_kind::definition:
        break;
    }
    if (one.range.begin > code_begins)
      return "there is a definition behind its first probe";
    definition made{
      .text = std::string{trimmed(text)}, .range = one.range, .names = {}};
    if (one.kind == preamble_kind::definition) {
      made.names = defined_names(text);
      if (made.names.empty())
        return "it defines something without a name";
      if (!made.text.ends_with(';'))
        made.text += ';';
    } else if (is_include(text)) {
      if (text.find('"') != std::string_view::npos)
        return "it includes a file from its own folder";
      part.includes.push_back(made.text);
    } else {
      auto all = words_of(text);
      if (all.size() < 3 || all[1] != "define")
        return "it has a preprocessor line other than #include and #define";
      if (contains(all, "exit") || contains(all, "return"))
        return "a #define in it holds exit or return";
      made.names.emplace_back(all[2]);
    }
    part.definitions.push_back(std::move(made));
  }
  for (const auto& body : facts.bodies) {
    part.probes += body.points.size();
    auto edge = std::any_of(
      body.points.begin(), body.points.end(), [](const attach_point& point) {
        return point.kind == probe_kind::begin || point.kind == probe_kind::end;
      });
    auto block =
      part.text.substr(body.block.begin, body.block.end - body.block.begin);
    if (edge && body.points.size() > 1)
      return "its BEGIN or END is one of several points" + on_line(body.at);
    if (edge && body.predicate)
      return "its BEGIN or END has a predicate" + on_line(body.at);
    if (edge && contains(words_of(block), "return"))
      return "there is a return in its BEGIN or END" + on_line(body.at);
    for (const auto& point : body.points) {
      if (point.kind == probe_kind::signal)
        return "it waits for a signal" + on_line(body.at);
      if (point.text.find_first_of("*?[") != std::string::npos)
        return "the number of its probes is not known: " + point.text;
      if (has_relative_path(point.text))
        return "a path in it is relative: " + point.text;
    }
  }
  if (std::all_of(
        facts.bodies.begin(), facts.bodies.end(), [](const script_body& body) {
          return body.only(probe_kind::begin) || body.only(probe_kind::end);
        }))
    return "it has no probe but BEGIN and END";
  for (auto word : words_of(part.text))
    if (starts_name(word[0]))
      part.names.emplace(word);
  return {};
}

/// Why two scripts would not be what they are in one program; empty: they
/// would.
std::string conflict(const part_source& one, const part_source& other) {
  if (one.includes != other.includes)
    return "its includes are not those of the others";
  for (const auto* pair : {&one, &other}) {
    const auto& definer = *pair;
    const auto& user = pair == &one ? other : one;
    for (const auto& made : definer.definitions)
      for (const auto& name : made.names) {
        if (user.names.count(name) == 0)
          continue;
        auto same =
          std::any_of(user.definitions.begin(), user.definitions.end(),
                      [&](const definition& d) { return d.text == made.text; });
        // A map in it would have two prefixes.
        if (!same || made.text.find('@') != std::string::npos)
          return "the name " + name + " means something else in another script";
      }
  }
  return {};
}

/// Text that is put together line by line, with who wrote which.
class program_writer {
public:
  void add(std::string_view text, merged_part* owner) {
    auto first = line_;
    line_ +=
      static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    text_ += text;
    if (owner == nullptr || text.empty())
      return;
    auto last = text.ends_with('\n') ? line_ - 1 : line_;
    if (!owner->lines.empty() && owner->lines.back().last + 1 >= first)
      owner->lines.back().last = std::max(last, first);
    else
      owner->lines.push_back({first, std::max(last, first)});
  }

  std::string take() {
    return std::move(text_);
  }

private:
  std::string text_;
  std::size_t line_ = 1;
};

/// That range of a script, names rewritten.
std::string rewritten(const part_source& part, source_range range,
                      const std::string& prefix, bool variables) {
  std::vector<source_range> places;
  for (const auto& use : part.facts.map_names)
    places.push_back(use.range);
  if (variables)
    for (const auto& use : part.facts.variable_names)
      places.push_back(use.range);
  std::sort(places.begin(), places.end(),
            [](const auto& a, const auto& b) { return a.begin < b.begin; });
  std::string out;
  auto at = range.begin;
  for (const auto& place : places) {
    if (place.begin < at || place.end > range.end)
      continue;
    // Behind the @ or the $.
    out += part.text.substr(at, place.begin + 1 - at);
    out += prefix;
    at = place.begin + 1;
  }
  out += part.text.substr(at, range.end - at);
  return out;
}

merged_program write_program(const std::vector<const part_source*>& sources,
                             std::string_view tag) {
  merged_program program;
  program_writer out;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const auto& facts = sources[i]->facts;
    merged_part part{.script = sources[i]->index,
                     .prefix =
                       "p" + std::to_string(i + 1) + std::string{tag} + "_",
                     .lines = {},
                     .probes = {},
                     .writes_text = !facts.outputs.empty()};
    for (const auto& body : facts.bodies)
      for (const auto& point : body.points)
        if (point.kind == probe_kind::other)
          part.probes.push_back(point.text);
    program.parts.push_back(std::move(part));
  }
  std::set<std::string> there;
  for (std::size_t i = 0; i < sources.size(); ++i)
    for (const auto& made : sources[i]->definitions)
      if (there.insert(made.text).second) {
        // Behind it there may be a ; that was not in the script.
        auto text =
          rewritten(*sources[i], made.range, program.parts[i].prefix, false);
        auto whole = std::string{trimmed(text)};
        if (made.text.ends_with(';') && !whole.ends_with(';'))
          whole += ';';
        out.add(whole + '\n', &program.parts[i]);
      }
  auto write_edge = [&](probe_kind kind, const char* name) {
    bool begun = false;
    for (std::size_t i = 0; i < sources.size(); ++i)
      for (const auto& body : sources[i]->facts.bodies) {
        if (!body.only(kind))
          continue;
        source_range inside{body.block.begin + 1, body.block.end - 1};
        if (words_of(
              sources[i]->text.substr(inside.begin, inside.end - inside.begin))
              .empty())
          continue;
        if (!std::exchange(begun, true))
          out.add(std::string{name} + " {\n", nullptr);
        out.add(
          "if (1) {"
            + rewritten(*sources[i], inside, program.parts[i].prefix, true)
            + "\n}\n",
          &program.parts[i]);
      }
    if (begun)
      out.add("}\n", nullptr);
  };
  write_edge(probe_kind::begin, "BEGIN");
  for (std::size_t i = 0; i < sources.size(); ++i)
    for (const auto& body : sources[i]->facts.bodies) {
      if (body.only(probe_kind::begin) || body.only(probe_kind::end))
        continue;
      source_range whole{body.points[0].range.begin, body.block.end};
      out.add(rewritten(*sources[i], whole, program.parts[i].prefix, false)
                + '\n',
              &program.parts[i]);
    }
  write_edge(probe_kind::end, "END");
  program.text = out.take();
  return program;
}

} // namespace

merge_result merge_scripts(const std::vector<std::string>& scripts,
                           std::string_view tag, bool text_output,
                           const merge_limits& limits) {
  struct draft {
    std::vector<const part_source*> parts;
    std::size_t probes = 0;
    std::size_t bytes = 0;
  };
  merge_result result;
  std::vector<part_source> sources(scripts.size());
  std::vector<draft> drafts;
  std::vector<std::string> reasons(scripts.size());
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    auto& part = sources[i];
    part.index = i;
    part.text = scripts[i];
    auto why = read_part(part);
    if (why.empty() && text_output && !part.facts.outputs.empty())
      why = "with format = \"text\" what " + part.facts.outputs[0].function
            + "() writes cannot be told from the maps of others"
            + on_line(part.facts.outputs[0].at);
    if (why.empty() && part.probes > limits.probes_max)
      why = "it has more than " + std::to_string(limits.probes_max) + " probes";
    // Each name may get a prefix.
    auto bytes =
      part.text.size()
      + (part.facts.map_names.size() + part.facts.variable_names.size() + 1)
          * (tag.size() + 8);
    if (why.empty() && bytes > limits.program_bytes_max)
      why = "it is too long";
    if (!why.empty()) {
      result.alone.push_back({i, std::move(why)});
      continue;
    }
    auto fits = [&](const draft& d) {
      if (d.parts.size() >= limits.scripts_max
          || d.probes + part.probes > limits.probes_max
          || d.bytes + bytes > limits.program_bytes_max)
        return false;
      return std::all_of(d.parts.begin(), d.parts.end(), [&](const auto* p) {
        auto trouble = conflict(part, *p);
        if (!trouble.empty())
          reasons[i] = trouble;
        return trouble.empty();
      });
    };
    auto found = std::find_if(drafts.begin(), drafts.end(), fits);
    if (found == drafts.end())
      found = drafts.insert(drafts.end(), draft{});
    found->parts.push_back(&part);
    found->probes += part.probes;
    found->bytes += bytes;
  }
  for (const auto& one : drafts) {
    if (one.parts.size() > 1) {
      result.programs.push_back(write_program(one.parts, tag));
      continue;
    }
    auto index = one.parts[0]->index;
    result.alone.push_back({index, reasons[index].empty()
                                     ? "there is no other to share with"
                                     : reasons[index]});
  }
  std::sort(result.alone.begin(), result.alone.end(),
            [](const auto& a, const auto& b) { return a.script < b.script; });
  return result;
}

namespace {

/// "stdin:12:3-9: ..." or "stdin:12-14: ...": the line of the program. Of two
/// the last: up to 0.20 a place begins behind what stands before it.
std::optional<std::size_t> named_line(std::string_view line) {
  constexpr std::string_view file = "stdin:";
  auto at = line.find(file);
  if (at == std::string_view::npos)
    return std::nullopt;
  line.remove_prefix(at + file.size());
  auto take_number = [&]() -> std::optional<std::size_t> {
    std::size_t number = 0;
    std::size_t digits = 0;
    while (digits < line.size() && digits < 7 && is_digit(line[digits]))
      number = number * 10 + static_cast<std::size_t>(line[digits++] - '0');
    line.remove_prefix(digits);
    return digits == 0 ? std::nullopt : std::optional{number};
  };
  auto first = take_number();
  if (!first || !line.starts_with('-'))
    return first;
  line.remove_prefix(1);
  auto last = take_number();
  return last ? last : first;
}

/// `name` stands in `text` as a whole.
bool stands_in(std::string_view text, std::string_view name) {
  auto part_of_name = [](char c) {
    return in_name(c) || c == '.' || c == '/';
  };
  for (auto at = text.find(name); at != std::string_view::npos;
       at = text.find(name, at + 1)) {
    auto end = at + name.size();
    if ((at == 0 || !part_of_name(text[at - 1]))
        && (end == text.size() || !part_of_name(text[end])))
      return true;
  }
  return false;
}

} // namespace

suspects suspects_of(std::string_view words, const merged_program& program) {
  suspects result;
  std::set<std::size_t> found;
  for (std::size_t begin = 0; begin < words.size();) {
    auto end = std::min(words.find('\n', begin), words.size());
    auto line = words.substr(begin, end - begin);
    begin = end + 1;
    if (line.find("ERROR") == std::string_view::npos)
      continue;
    auto number = named_line(line);
    if (!number)
      continue;
    result.says_something = true;
    for (std::size_t i = 0; i < program.parts.size(); ++i)
      for (const auto& range : program.parts[i].lines)
        if (*number >= range.first && *number <= range.last)
          found.insert(i);
  }
  if (found.empty())
    for (std::size_t i = 0; i < program.parts.size(); ++i)
      for (const auto& probe : program.parts[i].probes)
        if (stands_in(words, probe)) {
          result.says_something = true;
          found.insert(i);
        }
  if (stands_in(words, "BEGIN") || stands_in(words, "END"))
    result.says_something = true;
  result.parts.assign(found.begin(), found.end());
  return result;
}

} // namespace bpf2graphite
