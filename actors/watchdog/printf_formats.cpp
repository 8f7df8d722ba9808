#include "actors/watchdog/printf_formats.hpp"

#include "actors/histogram_parser/printf_metrics.hpp"

#include <optional>
#include <string_view>

namespace bpf2graphite {
namespace {

constexpr std::size_t lines_max = 100;

/// A format with its conversions filled in by an example.
struct example {
  std::string text;
  bool has_text = false; // takes text from outside
};

/// The character that an escape of a bpftrace string stands for.
char escaped_char(char c) {
  return c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
}

bool is_flag(char c) {
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == ' ' || c == '#'
         || c == '.' || c == '\'' || c == 'l' || c == 'h' || c == 'j'
         || c == 'z' || c == 't';
}

example example_of(std::string_view format) {
  example result;
  for (std::size_t i = 0; i < format.size(); ++i) {
    char c = format[i];
    if (c == '\\' && i + 1 < format.size()) {
      result.text += escaped_char(format[++i]);
      continue;
    }
    if (c != '%') {
      result.text += c;
      continue;
    }
    auto end = i + 1;
    while (end < format.size() && is_flag(format[end]))
      ++end;
    if (end == format.size())
      break;
    switch (format[end]) {
      case '%':
        result.text += '%';
        break;
      case 'd':
      case 'u':
      case 'i':
        result.text += '7';
        break;
      case 'x':
      case 'X':
      case 'p':
      case 'o':
        result.text += "0x7"; // no metric's value, but may be a label's
        break;
      default: // s, r, rx, rh, c, or what is new
        result.has_text = true;
        result.text += 'T';
        if (format.substr(end, 2) == "rx" || format.substr(end, 2) == "rh")
          ++end;
    }
    i = end;
  }
  return result;
}

/// Whether the name of the metric is the format's own.
bool name_is_fixed(std::string_view format) {
  return format.find('%') >= format.find_first_of("{ \t");
}

} // namespace

printf_formats judge_formats(const script_facts& facts) {
  printf_formats result;
  std::vector<std::size_t> several;
  bool has_text = false;
  for (const auto& output : facts.outputs) {
    if (output.function != "printf")
      continue;
    auto add = [&](printf_line line) {
      line.line = output.at.line;
      if (result.lines.size() < lines_max)
        result.lines.push_back(std::move(line));
    };
    if (!output.format) {
      has_text = true;
      add({.metric = {}, .open = true, .why = "its format is not to be seen"});
      continue;
    }
    auto shown = example_of(*output.format);
    has_text = has_text || shown.has_text;
    std::string_view rest{shown.text};
    if (rest.find('\n') < rest.size() - 1 && !rest.empty())
      several.push_back(output.at.line);
    auto fixed = name_is_fixed(*output.format);
    for (bool first = true; !rest.empty(); first = false) {
      auto end = rest.find('\n');
      auto text = rest.substr(0, end);
      rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
      if (text.find_first_not_of(" \t\r") == text.npos)
        continue;
      if (end == std::string_view::npos) {
        add({.metric = {},
             .open = true,
             .why = "a part of a line, which other calls complete"});
        continue;
      }
      auto metric = read_printf_metric(text);
      if (metric && (!first || fixed))
        add({.metric = metric->map(), .open = false, .why = {}});
      else if (metric)
        add({.metric = {},
             .open = true,
             .why = "a metric whose name is an argument"});
      else if (text.find('T') != text.npos && shown.has_text)
        add({.metric = {},
             .open = true,
             .why = "a metric only if its text makes it one"});
      else
        add({.metric = {},
             .open = false,
             .why = "no metric (NAME VALUE or NAME{KEY=TEXT} VALUE): counted, "
                    "not sent"});
    }
  }
  if (has_text) {
    result.calls = metric_calls::one_line;
    result.refused_calls = std::move(several);
  }
  return result;
}

} // namespace bpf2graphite
