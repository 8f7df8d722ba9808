#pragma once
// How much two texts have in common at their ends, eight bytes at a time: most
// of a line of Graphite's is the line before.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace bpf2graphite {
namespace common_ends {

using word = std::uint64_t;

inline word word_at(const char* bytes) {
  word result = 0;
  std::memcpy(&result, bytes, sizeof result);
  return result;
}

constexpr auto little = std::endian::native == std::endian::little;

/// Bytes before the first, or behind the last, that is not zero.
inline std::size_t zeros_in_front(word bits) {
  const auto n = little ? std::countr_zero(bits) : std::countl_zero(bits);
  return static_cast<std::size_t>(n) / 8;
}

inline std::size_t zeros_behind(word bits) {
  const auto n = little ? std::countl_zero(bits) : std::countr_zero(bits);
  return static_cast<std::size_t>(n) / 8;
}

} // namespace common_ends

/// The length of the longest text that both begin with.
inline std::size_t common_head(std::string_view a, std::string_view b) {
  using namespace common_ends;
  const auto most = std::min(a.size(), b.size());
  std::size_t n = 0;
  for (; most - n >= sizeof(word); n += sizeof(word))
    if (const auto bits = word_at(a.data() + n) ^ word_at(b.data() + n))
      return n + zeros_in_front(bits);
  while (n < most && a[n] == b[n])
    ++n;
  return n;
}

/// The length of the longest text that both end with.
inline std::size_t common_tail(std::string_view a, std::string_view b) {
  using namespace common_ends;
  const auto most = std::min(a.size(), b.size());
  const auto* end_a = a.data() + a.size();
  const auto* end_b = b.data() + b.size();
  std::size_t n = 0;
  for (; most - n >= sizeof(word); n += sizeof(word))
    if (const auto bits =
          word_at(end_a - n - sizeof(word)) ^ word_at(end_b - n - sizeof(word)))
      return n + zeros_behind(bits);
  while (n < most && *(end_a - n - 1) == *(end_b - n - 1))
    ++n;
  return n;
}

} // namespace bpf2graphite
