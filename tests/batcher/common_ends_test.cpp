#include "messages/common_ends.hpp"

#include <gtest/gtest.h>

#include <string>

namespace bpf2graphite {
namespace {

TEST(CommonEnds, AreFoundAtEveryPlace) {
  constexpr std::size_t size_max = 40;
  for (std::size_t size = 0; size <= size_max; ++size) {
    const std::string text(size, 'x');
    EXPECT_EQ(size, common_head(text, text));
    EXPECT_EQ(size, common_tail(text, text));
    EXPECT_EQ(size, common_head(text, text + "y"));
    EXPECT_EQ(size, common_tail("y" + text, text));
    for (std::size_t at = 0; at < size; ++at) {
      auto other = text;
      other[at] = '\xF8'; // all bits of one end of the byte differ
      EXPECT_EQ(at, common_head(text, other)) << size;
      EXPECT_EQ(size - at - 1, common_tail(text, other)) << size;
      other[at] = 'y';
      EXPECT_EQ(at, common_head(other, text)) << size;
      EXPECT_EQ(size - at - 1, common_tail(other, text)) << size;
    }
  }
}

TEST(CommonEnds, DoNotGoOnBehindADifference) {
  EXPECT_EQ(1U, common_head("abcdefghijklmnopqrstuvwxyz",
                            "a_cdefghijklmnopqrstuvwxyz"));
  EXPECT_EQ(1U, common_tail("abcdefghijklmnopqrstuvwxyz",
                            "abcdefghijklmnopqrstuvwx_z"));
}

} // namespace
} // namespace bpf2graphite
