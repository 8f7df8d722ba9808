#include "actors/batcher/packed_lines.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace bpf2graphite {
namespace {

constexpr unsigned digit_bits = 7;
constexpr unsigned more = 1U << digit_bits;

void put(std::string& out, std::size_t number) {
  for (; number >= more; number >>= digit_bits)
    out += static_cast<char>(number | more);
  out += static_cast<char>(number);
}

std::size_t get(std::string_view& in) {
  std::size_t number = 0;
  for (unsigned shift = 0; !in.empty(); shift += digit_bits) {
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    number |= std::size_t{byte & (more - 1)} << shift;
    if ((byte & more) == 0)
      break;
  }
  return number;
}

} // namespace

std::string pack_lines(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 3);
  put(out, text.size());
  std::string_view before;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end == text.npos ? end : end + 1);
    text.remove_prefix(line.size());
    const auto shorter = std::min(line.size(), before.size());
    const auto head = static_cast<std::size_t>(
      std::mismatch(line.begin(), line.begin() + shorter, before.begin()).first
      - line.begin());
    const auto tail = static_cast<std::size_t>(
      std::mismatch(
        line.rbegin(),
        std::next(line.rbegin(), static_cast<std::ptrdiff_t>(shorter - head)),
        before.rbegin())
        .first
      - line.rbegin());
    const auto rest = line.substr(head, line.size() - head - tail);
    put(out, head);
    put(out, tail);
    put(out, rest.size());
    out += rest;
    before = line;
  }
  out.shrink_to_fit();
  return out;
}

std::string unpack_lines(std::string_view packed) {
  std::string text;
  text.reserve(get(packed));
  std::size_t before = 0; // where the line before begins
  while (!packed.empty()) {
    const auto head = get(packed);
    const auto tail = get(packed);
    const auto rest = get(packed);
    const auto begin = text.size();
    text.append(text, before, head);
    text += packed.substr(0, rest);
    packed.remove_prefix(rest);
    text.append(text, begin - tail, tail);
    before = begin;
  }
  return text;
}

std::size_t unpacked_bytes(std::string_view packed) {
  return get(packed);
}

} // namespace bpf2graphite
