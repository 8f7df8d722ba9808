#include "actors/histogram_parser/bucket_label.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace bpf2graphite {
namespace {

constexpr auto none = std::nullopt;
constexpr std::int64_t highest = std::numeric_limits<std::int64_t>::max();

struct good_label {
  const char* name;
  const char* text;
  std::optional<std::int64_t> min;
  std::optional<std::int64_t> max;
};

class GoodBucketLabel : public testing::TestWithParam<good_label> {};

TEST_P(GoodBucketLabel, GivesInclusiveBounds) {
  const auto& label = GetParam();
  std::string text = label.text;
  for (const char* behind : {"", "12345678 |", " ", ")", "]"}) {
    bucket_bounds bounds;
    ASSERT_EQ(parse_bucket_label(text + behind, bounds), text.size()) << behind;
    EXPECT_EQ(bounds, (bucket_bounds{label.min, label.max}));
  }
}

TEST_P(GoodBucketLabel, IsNoneWhenCutShort) {
  std::string text = GetParam().text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bucket_bounds bounds{7, 9};
    EXPECT_EQ(parse_bucket_label(text.substr(0, i), bounds), 0u) << i;
    EXPECT_EQ(bounds, (bucket_bounds{7, 9}));
  }
}

INSTANTIATE_TEST_SUITE_P(
  All, GoodBucketLabel,
  testing::Values(
    good_label{"negative", "(..., 0)", none, -1},
    good_label{"below_an_lhist", "(..., 1500000000)", none, 1499999999},
    good_label{"below_with_a_suffix", "(..., 4K)", none, 4095},
    good_label{"zero", "[0]", 0, 0}, good_label{"one", "[1]", 1, 1},
    good_label{"single_row_of_an_lhist", "[1000]", 1000, 1000},
    good_label{"two_to_four", "[2, 4)", 2, 3},
    good_label{"to_one_k", "[512, 1K)", 512, 1023},
    good_label{"k", "[1K, 2K)", 1024, 2047},
    good_label{"plain_1024", "[1024, 1536)", 1024, 1535},
    good_label{"plain_and_suffix", "[1536, 2K)", 1536, 2047},
    good_label{"many_k", "[768K, 1024K)", 786432, 1048575},
    good_label{"k_to_m", "[1536K, 2M)", 1572864, 2097151},
    good_label{"mixed", "[1500000000, 1562500K)", 1500000000, 1599999999},
    good_label{"mixed_back", "[1562500K, 1700000000)", 1600000000, 1699999999},
    good_label{"old_top", "[2G, 4G)", 2147483648, 4294967295},
    good_label{"many_t", "[1024T, 2048T)", std::int64_t{1} << 50,
               (std::int64_t{1} << 51) - 1},
    good_label{"p", "[1P, 2P)", std::int64_t{1} << 50,
               (std::int64_t{1} << 51) - 1},
    good_label{"highest", "[4E, 8E)", std::int64_t{1} << 62, highest},
    good_label{"highest_with_bits", "[7E, 8E)", std::int64_t{7} << 60, highest},
    good_label{"plain_highest", "[1, 9223372036854775808)", 1, highest},
    good_label{"above", "[95, ...)", 95, none},
    good_label{"above_with_a_suffix", "[10K, ...)", 10240, none}),
  [](const auto& label) { return std::string{label.param.name}; });

TEST(BucketLabel, RejectsAnUpperBoundBelowTheLower) {
  bucket_bounds bounds;
  EXPECT_EQ(parse_bucket_label("[4, 2)", bounds), 0u);
  EXPECT_EQ(parse_bucket_label("[4, 4)", bounds), 0u);
  EXPECT_EQ(parse_bucket_label("[1K, 1024)", bounds), 0u);
}

TEST(BucketLabel, RejectsWhatBpftraceDoesNotPrint) {
  for (const char* text :
       {"",        "[",         "[]",       "[,)",        "[-1]",
        "[-4, 0)", "[1,2)",     "[1,  2)",  "[1, 2]",     "(1, 2)",
        "[a, b)",  "[1Q, 2Q)",  "[1k, 2k)", "[1.5K, 2K)", " [1]",
        "[ 1]",    "[1, ...]",  "[..., 2)", "(..., )",    "(..., ...)",
        "(...,0)", "[1KK, 2M)", "[+1, 2)",  "[0x1]"}) {
    bucket_bounds bounds;
    EXPECT_EQ(parse_bucket_label(text, bounds), 0u) << text;
  }
}

TEST(BucketLabel, RejectsNumbersThatNoBoundCanBe) {
  for (const char* text :
       {"[9223372036854775808]", "[8E, 16E)", "[8E, ...)", "[9E, 10E)",
        "[1, 9223372036854775809)", "[1, 99999999999999999999999)",
        "[18446744073709551617]", "[0, 9007199254740993K)", "(..., 9E)"}) {
    bucket_bounds bounds;
    EXPECT_EQ(parse_bucket_label(text, bounds), 0u) << text;
  }
}

} // namespace
} // namespace bpf2graphite
