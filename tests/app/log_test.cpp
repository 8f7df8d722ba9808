#include "app/log.hpp"

#include <gtest/gtest.h>

namespace bpf2graphite {
namespace {

TEST(Escaped, ShowsTextAsItIs) {
  EXPECT_EQ(escaped("tmux: server"), "tmux: server");
  EXPECT_EQ(escaped("caf\xc3\xa9"), "caf\xc3\xa9");
}

TEST(Escaped, ShowsWhatMovesATerminalAsNumbers) {
  EXPECT_EQ(escaped("a\nb\x1b[2J\x7f"), "a\\x0ab\\x1b[2J\\x7f");
  EXPECT_EQ(escaped("\xc2\x9b"), "\\xc2\\x9b") << "a C1 control";
}

TEST(Escaped, ShowsWhatIsNoUtf8AsNumbers) {
  EXPECT_EQ(escaped("\xff\xfe bad"), "\\xff\\xfe bad");
  EXPECT_EQ(escaped("\xc3"), "\\xc3") << "cut in the middle";
  EXPECT_EQ(escaped("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
  EXPECT_EQ(escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
}

TEST(Escaped, KeepsLineEndsWhereLinesAreWanted) {
  EXPECT_EQ(escaped_lines("a\x1b\nb\n"), "a\\x1b\nb\n");
}

TEST(LogLevel, IsReadByItsWord) {
  EXPECT_EQ(parse_log_level("warning"), log_level::warning);
  EXPECT_FALSE(parse_log_level("loud"));
}

} // namespace
} // namespace bpf2graphite
