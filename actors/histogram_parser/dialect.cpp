#include "actors/histogram_parser/dialect.hpp"

#include <charconv>

namespace bpf2graphite {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Reads a number of at most four digits at `at`: no version has more, and a
/// git hash or a date must not pass for one.
bool read_part(std::string_view text, std::size_t& at, int& part) {
  std::size_t end = at;
  while (end < text.size() && is_digit(text[end]))
    ++end;
  if (end == at || end - at > 4)
    return false;
  std::from_chars(text.data() + at, text.data() + end, part);
  at = end;
  return true;
}

} // namespace

std::optional<bpftrace_version> parse_bpftrace_version(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    bool begins = is_digit(text[i])
                  && (i == 0 || (!is_digit(text[i - 1]) && text[i - 1] != '.'));
    if (!begins)
      continue;
    bpftrace_version version;
    std::size_t at = i;
    if (!read_part(text, at, version.major) || at == text.size()
        || text[at] != '.')
      continue;
    ++at;
    if (!read_part(text, at, version.minor))
      continue;
    if (at < text.size() && text[at] == '.') {
      ++at;
      if (!read_part(text, at, version.patch))
        version.patch = 0;
    }
    return version;
  }
  return std::nullopt;
}

} // namespace bpf2graphite
