#include "actors/batcher/packed_lines.hpp"

#include "messages/common_ends.hpp"
#include "messages/packed_number.hpp"

namespace bpf2graphite {

std::string pack_lines(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 3);
  put_number(out, text.size());
  std::string_view before;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end == text.npos ? end : end + 1);
    text.remove_prefix(line.size());
    const auto head = common_head(line, before);
    const auto tail = common_tail(line.substr(head), before.substr(head));
    const auto rest = line.substr(head, line.size() - head - tail);
    put_number(out, head);
    put_number(out, tail);
    put_number(out, rest.size());
    out += rest;
    before = line;
  }
  out.shrink_to_fit();
  return out;
}

std::string unpack_lines(std::string_view packed) {
  std::string text;
  text.reserve(get_number(packed));
  std::size_t before = 0; // where the line before begins
  while (!packed.empty()) {
    const auto head = get_number(packed);
    const auto tail = get_number(packed);
    const auto rest = get_number(packed);
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
  return get_number(packed);
}

} // namespace bpf2graphite
