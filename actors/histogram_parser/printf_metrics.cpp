#include "actors/histogram_parser/printf_metrics.hpp"

#include <algorithm>

namespace bpf2graphite {
namespace {

/// Metrics whose prints are numbered; of more the numbers begin anew.
constexpr std::size_t numbered_max = 4096;
constexpr std::size_t decimals_max = 9; // of metric_unit

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

class line_scanner {
public:
  explicit line_scanner(std::string_view text) : rest_{text} {}

  bool read(printf_metric& into) {
    blanks();
    if (!name(into.name))
      return false;
    auto apart = blanks();
    if (next() == '{') {
      if (!labels(into))
        return false;
      apart = blanks();
    }
    if (!apart || !value(into.value))
      return false;
    blanks();
    return rest_.empty();
  }

private:
  char next() const {
    return rest_.empty() ? '\0' : rest_.front();
  }

  bool blanks() {
    auto before = rest_.size();
    while (!rest_.empty() && is_blank(rest_.front()))
      rest_.remove_prefix(1);
    return rest_.size() != before;
  }

  template <class Predicate>
  std::string_view take(Predicate wanted) {
    auto end = std::find_if_not(rest_.begin(), rest_.end(), wanted);
    auto taken = rest_.substr(0, static_cast<std::size_t>(end - rest_.begin()));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  bool name(std::string& into) {
    if (!is_letter(next()) && next() != ':')
      return false;
    into = take([](char c) {
      return is_letter(c) || is_digit(c) || c == ':' || c == '.' || c == '-';
    });
    return into.size() <= metric_name_bytes_max && into.back() != '.'
           && into.back() != ':' && into.find("..") == into.npos;
  }

  bool labels(printf_metric& into) {
    rest_.remove_prefix(1);
    for (;;) {
      blanks();
      if (next() == '}') {
        rest_.remove_prefix(1);
        return true;
      }
      if (into.labels.size() == metric_labels_max || !label(into))
        return false;
      blanks();
      if (next() == ',')
        rest_.remove_prefix(1);
      else if (next() != '}')
        return false;
    }
  }

  bool label(printf_metric& into) {
    if (!is_letter(next()))
      return false;
    std::string key{take([](char c) { return is_letter(c) || is_digit(c); })};
    if (key.size() > metric_label_name_bytes_max)
      return false;
    for (const auto& other : into.labels)
      if (other.first == key)
        return false;
    blanks();
    if (next() != '=')
      return false;
    rest_.remove_prefix(1);
    blanks();
    std::string text;
    if (next() == '"') {
      if (!quoted(text))
        return false;
    } else {
      text = take([](char c) {
        return !is_blank(c) && c != '\n' && c != '"' && c != ',' && c != '='
               && c != '{' && c != '}';
      });
    }
    into.labels.emplace_back(std::move(key), std::move(text));
    return true;
  }

  bool quoted(std::string& into) {
    rest_.remove_prefix(1);
    while (!rest_.empty()) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"')
        return true;
      if (c != '\\') {
        into += c;
        continue;
      }
      c = next();
      if (c != '"' && c != '\\' && c != 'n')
        return false;
      into += c == 'n' ? '\n' : c;
      rest_.remove_prefix(1);
    }
    return false;
  }

  bool value(exact& into) {
    auto negative = next() == '-';
    if (negative || next() == '+')
      rest_.remove_prefix(1);
    auto digits = take(is_digit);
    if (digits.empty() || digits.size() > metric_digits_max)
      return false;
    exact number = 0;
    for (char c : digits)
      number = number * 10 + (c - '0');
    number *= metric_unit;
    if (next() == '.') {
      rest_.remove_prefix(1);
      auto decimals = take(is_digit);
      if (decimals.empty() || decimals.size() > decimals_max)
        return false;
      auto unit = metric_unit;
      for (char c : decimals)
        number += (unit /= 10) * (c - '0');
    }
    into = negative ? -number : number;
    return true;
  }

  std::string_view rest_;
};

bool only_blanks(std::string_view text) {
  return std::all_of(text.begin(), text.end(), is_blank);
}

} // namespace

std::string printf_metric::map() const {
  auto result = name;
  for (const auto& label : labels) {
    result += result.size() == name.size() ? '{' : ',';
    result += label.first;
  }
  if (!labels.empty())
    result += '}';
  return result;
}

std::optional<printf_metric> read_printf_metric(std::string_view line) {
  printf_metric result;
  if (line.size() > metric_line_bytes_max || !line_scanner{line}.read(result))
    return std::nullopt;
  return result;
}

void printf_metrics::line(std::string_view line, parser_counts& counts) {
  if (only_blanks(line))
    return;
  auto metric = read_printf_metric(line);
  if (!metric) {
    ++counts.printf_rejected;
    return;
  }
  ++counts.values;
  auto map = metric->map();
  map_entry entry;
  entry.value = metric->value;
  for (auto& label : metric->labels)
    entry.keys.push_back(std::move(label.second));
  auto [at, fresh] = open_.try_emplace(map, prints_.size());
  if (!fresh) {
    // Compared with all: few lines of one metric arrive together, and more
    // than these are cut into several prints.
    constexpr std::size_t entries_max = 64;
    auto& entries = prints_[at->second].entries;
    auto again = std::any_of(entries.begin(), entries.end(), [&](auto& known) {
      return known.keys == entry.keys;
    });
    if (again || entries.size() == entries_max) {
      at->second = prints_.size();
      fresh = true;
    }
  }
  if (fresh) {
    auto& print = prints_.emplace_back();
    print.map = std::move(map);
    print.kind = map_kind::metric;
    ++counts.snapshots;
  }
  prints_[at->second].entries.push_back(std::move(entry));
}

void printf_metrics::broken_line(std::string_view text, parser_counts& counts) {
  if (!only_blanks(text))
    ++counts.printf_rejected;
}

void printf_metrics::spoil(parser_counts& counts) {
  if (!spoilt_)
    ++counts.printf_rejected;
  spoilt_ = true;
  begun_.clear();
}

void printf_metrics::call(std::string_view text, parser_counts& counts) {
  auto ends = text.ends_with('\n');
  auto inner = text.find('\n') < text.size() - (ends ? 1 : 0);
  if (inner && mode_ == metric_calls::one_line) {
    spoil(counts);
    spoilt_ = !ends;
    return;
  }
  while (!text.empty()) {
    auto end = text.find('\n');
    auto piece = text.substr(0, end);
    if (!spoilt_ && begun_.size() + piece.size() > metric_line_bytes_max)
      spoil(counts);
    if (!spoilt_)
      begun_ += piece;
    if (end == std::string_view::npos)
      return;
    if (!spoilt_)
      line(begun_, counts);
    begun_.clear();
    spoilt_ = false;
    text.remove_prefix(end + 1);
  }
}

void printf_metrics::foreign(std::string_view text, bool whole_line,
                             parser_counts& counts) {
  if (text.empty())
    return;
  if (!begun_.empty())
    spoil(counts);
  spoilt_ = !whole_line && !text.ends_with('\n');
}

void printf_metrics::finish(parser_counts& counts) {
  if (!begun_.empty())
    broken_line(begun_, counts);
  begun_.clear();
}

void printf_metrics::hand_out(wall_time arrival, parsed& out) {
  if (prints_.empty())
    return;
  for (auto& print : prints_) {
    if (numbers_.size() == numbered_max && !numbers_.contains(print.map))
      numbers_.clear();
    print.number = ++numbers_[print.map];
    print.arrival = arrival;
    out.snapshots.push_back(std::move(print));
  }
  prints_.clear();
  open_.clear();
}

} // namespace bpf2graphite
