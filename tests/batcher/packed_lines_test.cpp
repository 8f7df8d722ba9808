#include "actors/batcher/packed_lines.hpp"

#include "messages/packed_number.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {
namespace {

void expect_the_same(const std::string& text) {
  const auto packed = pack_lines(text);
  EXPECT_EQ(unpack_lines(packed), text);
  EXPECT_EQ(unpacked_bytes(packed), text.size());
}

TEST(PackedLines, GiveAnyTextBackToTheByte) {
  for (const auto* text :
       {"", "\n", "\n\n\n", "a", "a\n", "a\na\na", "ab\nb\nab\n",
        "aa\naaa\na\n", "x 1 2\nx 1 2\nx 1 22\nx 11 2\n", "no end\nno end"})
    expect_the_same(text);
  expect_the_same(std::string(100'000, 'x') + "\n" + std::string(100'001, 'x')
                  + "\n");
  expect_the_same(std::string("a\0b\na\0c\n\xff\x80\n", 11));
}

TEST(PackedLines, GiveRandomTextBackToTheByte) {
  std::mt19937 engine{1};
  for (auto round = 0; round < 2'000; ++round) {
    std::string text;
    const auto size = engine() % 300;
    while (text.size() < size)
      text += "ab. 1\n"[engine() % 6];
    expect_the_same(text);
  }
}

TEST(PackedLines, TakeAThirdOfWhatABatchOfHistogramsTakes) {
  std::string text;
  for (auto trace = 0; trace < 50; ++trace)
    for (auto row = 0; row < 20; ++row)
      text += "bpf.tuxgrid_com.trace" + std::to_string(trace) + ".usecs."
              + std::to_string(1 << row) + ' '
              + std::to_string(row * 7919 % 997) + " 1700000015\n";
  expect_the_same(text);
  const auto packed = pack_lines(text);
  EXPECT_LT(packed.size() * 3, text.size());
  EXPECT_EQ(packed.capacity(), packed.size());
}

TEST(PackedNumber, ComesBackWhateverItsSize) {
  std::string text;
  std::vector<std::uint64_t> numbers{0, 1, 127, 128, ~std::uint64_t{0}};
  for (unsigned bit = 0; bit < 64; ++bit)
    numbers.push_back(std::uint64_t{1} << bit);
  for (const auto number : numbers)
    put_number(text, number);
  std::string_view rest{text};
  for (const auto number : numbers)
    EXPECT_EQ(get_number(rest), number);
  EXPECT_TRUE(rest.empty());
  EXPECT_EQ(get_number(rest), 0U);
}

} // namespace
} // namespace bpf2graphite
