#include "actors/histogram_parser/dialect.hpp"

#include <gtest/gtest.h>

namespace bpf2graphite {
namespace {

TEST(Dialect, ReadsWhatBpftraceSaysOfItsVersion) {
  EXPECT_EQ(parse_bpftrace_version("bpftrace v0.17.0\n"),
            (bpftrace_version{0, 17, 0}));
  EXPECT_EQ(parse_bpftrace_version("bpftrace v0.23.2-dirty"),
            (bpftrace_version{0, 23, 2}));
  EXPECT_EQ(parse_bpftrace_version("bpftrace v0.27.1"),
            (bpftrace_version{0, 27, 1}));
  EXPECT_EQ(parse_bpftrace_version("0.9"), (bpftrace_version{0, 9, 0}));
  EXPECT_EQ(parse_bpftrace_version("bpftrace v0.9.3-117-g1234567"),
            (bpftrace_version{0, 9, 3}));
  EXPECT_EQ(parse_bpftrace_version("v1.2.30"), (bpftrace_version{1, 2, 30}));
}

TEST(Dialect, FindsTheVersionBehindOtherNumbers) {
  EXPECT_EQ(parse_bpftrace_version("bpftrace2 build 7 v0.21.3"),
            (bpftrace_version{0, 21, 3}));
}

TEST(Dialect, SeesNoVersionWhereThereIsNone) {
  for (const char* text : {"", "bpftrace", "v", "v0", "v0.", "bpftrace v.17",
                           "1234567.8", "0.12345", "unknown option"})
    EXPECT_EQ(parse_bpftrace_version(text), std::nullopt) << text;
}

TEST(Dialect, ComparesMinorVersionsAsNumbers) {
  dialect old{output_format::text, bpftrace_version{0, 9, 4}};
  EXPECT_TRUE(old.at_least(0, 9));
  EXPECT_FALSE(old.at_least(0, 10));
  dialect later{output_format::text, bpftrace_version{1, 0, 0}};
  EXPECT_TRUE(later.at_least(0, 27));
  dialect unknown;
  EXPECT_FALSE(unknown.at_least(0, 0));
}

} // namespace
} // namespace bpf2graphite
