#include "actors/histogram_parser/bucket_label.hpp"

namespace bpf2graphite {
namespace {

constexpr std::uint64_t two_63 = std::uint64_t{1} << 63;

int suffix_shift(char c) {
  switch (c) {
    case 'K':
      return 10;
    case 'M':
      return 20;
    case 'G':
      return 30;
    case 'T':
      return 40;
    case 'P':
      return 50;
    case 'E':
      return 60;
    default:
      return 0;
  }
}

/// Reads a bound of at most 2^63 at `at` and moves `at` past it.
bool read_bound(std::string_view text, std::size_t& at, std::uint64_t& bound) {
  std::size_t first = at;
  std::uint64_t value = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    if (value > two_63 / 10)
      return false;
    value = value * 10 + static_cast<std::uint64_t>(text[at] - '0');
  }
  if (at == first || value > two_63)
    return false;
  int shift = at < text.size() ? suffix_shift(text[at]) : 0;
  if (shift != 0) {
    ++at;
    if (value > (two_63 >> shift))
      return false;
    value <<= shift;
  }
  bound = value;
  return true;
}

} // namespace

std::size_t parse_bucket_label(std::string_view text, bucket_bounds& bounds) {
  constexpr std::string_view below = "(..., ";
  constexpr std::string_view above = "...)";
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  std::size_t at = 1;
  if (text.starts_with(below)) {
    at = below.size();
    if (!read_bound(text, at, high) || at == text.size() || text[at] != ')')
      return 0;
    bounds.min.reset();
    // 0 - 1 is -1; 2^63 - 1 is the largest.
    bounds.max = static_cast<std::int64_t>(high - 1);
    return at + 1;
  }
  if (text.empty() || text[0] != '[' || !read_bound(text, at, low)
      || low == two_63 || at == text.size())
    return 0;
  if (text[at] == ']') {
    bounds.min = bounds.max = static_cast<std::int64_t>(low);
    return at + 1;
  }
  if (!text.substr(at).starts_with(", "))
    return 0;
  at += 2;
  if (text.substr(at).starts_with(above)) {
    bounds.min = static_cast<std::int64_t>(low);
    bounds.max.reset();
    return at + above.size();
  }
  if (!read_bound(text, at, high) || high <= low || at == text.size()
      || text[at] != ')')
    return 0;
  bounds.min = static_cast<std::int64_t>(low);
  bounds.max = static_cast<std::int64_t>(high - 1);
  return at + 1;
}

} // namespace bpf2graphite
