// The text parser: whole and in pieces it says the same, its histograms are
// histograms, and it holds no more than its limits.

#include "actors/histogram_parser/map_text.hpp"
#include "tests/fuzz/parser_fuzz.hpp"

namespace {

using namespace bpf2graphite;

/// A print of one map; what waits for the end of the output as long; a key
/// with the row before it; the rows of the histogram that is being read.
constexpr std::size_t held_bytes_max =
  2 * fuzz_record_bytes_max + 4 * text_key_bytes_max + (1 << 20);

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* begin,
                                      std::size_t size) {
  fuzz_input in{begin, size};
  auto said = fuzz_parser(in, output_format::text, held_bytes_max);
  // Every value takes at least two bytes of the text (`@:` and a digit come
  // to five; a bar or a point takes more).
  FUZZ_REQUIRE(said.counts.values <= size);
  FUZZ_REQUIRE(said.counts.invalid == 0);
  return 0;
}
