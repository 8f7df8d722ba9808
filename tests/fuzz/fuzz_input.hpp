#pragma once
// What all fuzz targets share: how an input steers its target, and how a
// target says that something does not hold.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

/// A check that stays in every build: a fuzzer finds what does not hold.
#define FUZZ_REQUIRE(condition)                                                \
  do {                                                                         \
    if (!(condition)) {                                                        \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,   \
                   #condition);                                                \
      std::abort();                                                            \
    }                                                                          \
  } while (false)

namespace bpf2graphite {

/// The last bytes of an input choose options and cut points, all before them
/// is the text. (The last, so that a capture or a script is a seed as it is.)
class fuzz_input {
public:
  static constexpr std::size_t control_bytes = 16;

  fuzz_input(const std::uint8_t* begin, std::size_t size)
    : text{reinterpret_cast<const char*>(begin), size} {
    auto n = size < control_bytes ? size : control_bytes;
    controls_ = text.substr(size - n);
    text.remove_suffix(n);
  }

  std::string_view text;

  /// The control byte number `i`; 0 where the input is too short.
  std::uint8_t control(std::size_t i) const {
    return i < controls_.size() ? static_cast<std::uint8_t>(controls_[i]) : 0;
  }

  /// How long the next piece of a text is: 1 to 64 mostly, now and then up
  /// to 8 KiB. The control bytes from `first` on are used round and round.
  std::size_t piece(std::size_t first, std::size_t& round) const {
    auto byte = control(first + round++ % (control_bytes - first));
    return byte < 224 ? 1 + byte % 64 : std::size_t{1} << (byte % 14);
  }

private:
  std::string_view controls_;
};

} // namespace bpf2graphite
