#pragma once
// The rows of hist() as they are spelled, for comparing: of a print only the
// counts are new, so the bounds are recognized by their bytes and not read.
// A row of hist() holds [2^n, 2^(n+1)), and the one behind it the next power.
// (lhist() and hist() with bits have other rows; those are read.)

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace bpf2graphite {

/// What one row begins with, up to its count.
struct hist_row_text {
  std::array<char, 72> text{};
  std::uint32_t size = 0;
  std::int64_t min = 0;
  std::int64_t max = 0;

  std::string_view view() const {
    return {text.data(), size};
  }

  /// True when `left` bytes at `at` begin with it. Eight bytes at a time; the
  /// last eight overlap what is known already.
  bool begins(const char* at, std::size_t left) const {
    if (left < size)
      return false;
    std::uint64_t there;
    std::uint64_t wanted;
    std::size_t from = 0;
    for (; from + 8 <= size; from += 8) {
      std::memcpy(&there, at + from, 8);
      std::memcpy(&wanted, text.data() + from, 8);
      if (there != wanted)
        return false;
    }
    std::memcpy(&there, at + size - 8, 8);
    std::memcpy(&wanted, text.data() + size - 8, 8);
    return there == wanted;
  }
};

/// [0], [1], [2, 4) ... [2^62, 2^63): at index n those below 2^n. (In
/// hist_bounds one place further on: there the negative values are first.)
using hist_row_texts = std::array<hist_row_text, 64>;

/// `{"min": 4, "max": 7, "count": `: the JSON of all versions.
inline const hist_row_texts& json_hist_rows() {
  static const auto all = [] {
    hist_row_texts made;
    for (std::size_t i = 0; i < made.size(); ++i) {
      auto& row = made[i];
      row.min = i == 0 ? 0 : std::int64_t{1} << (i - 1);
      row.max = i < 2 ? row.min : row.min - 1 + row.min;
      auto* to = row.text.data();
      auto add = [&](std::string_view part) {
        to = std::copy(part.begin(), part.end(), to);
      };
      auto number = [&](std::int64_t value) {
        to = std::to_chars(to, row.text.data() + row.text.size(), value).ptr;
      };
      add("{\"min\": ");
      number(row.min);
      add(", \"max\": ");
      number(row.max);
      add(", \"count\": ");
      row.size = static_cast<std::uint32_t>(to - row.text.data());
    }
    return made;
  }();
  return all;
}

} // namespace bpf2graphite
