#pragma once
// Numbers in as few bytes as they need, for what is kept long and read seldom.
// Seven bits a byte, lowest first; the top bit says that more follow.

#include <cstdint>
#include <string>
#include <string_view>

namespace bpf2graphite {

/// Appends 1 to 10 bytes.
inline void put_number(std::string& out, std::uint64_t number) {
  constexpr unsigned more = 0x80;
  for (; number >= more; number >>= 7)
    out += static_cast<char>(number | more);
  out += static_cast<char>(number);
}

/// Takes a number from the front of `in`, which begins with what put_number
/// wrote; 0 when there is nothing.
inline std::uint64_t get_number(std::string_view& in) {
  std::uint64_t number = 0;
  for (unsigned shift = 0; !in.empty() && shift < 64; shift += 7) {
    auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    number |= std::uint64_t{byte & 0x7FU} << shift;
    if ((byte & 0x80U) == 0)
      break;
  }
  return number;
}

} // namespace bpf2graphite
