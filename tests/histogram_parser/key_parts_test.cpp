#include "actors/histogram_parser/key_parts.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <ostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {
namespace {

using parts = std::vector<std::string>;

struct split_case {
  std::string name;
  std::string separator;
  std::vector<std::string> keys;
  std::vector<parts> expected;
  key_shape hint{}; // parts 0: none

  friend std::ostream& operator<<(std::ostream& out, const split_case& x) {
    return out << x.name;
  }
};

std::vector<parts> split(const std::vector<std::string>& keys,
                         std::string_view separator, const key_shape* hint,
                         key_shape& learnt) {
  std::vector<std::string_view> raw(keys.begin(), keys.end());
  return split_keys(raw, separator, hint, learnt);
}

class SplitKeys : public testing::TestWithParam<split_case> {};

TEST_P(SplitKeys, GivesThePartsOfEachKey) {
  const auto& x = GetParam();
  key_shape learnt;
  auto hint = x.hint.parts > 0 ? &x.hint : nullptr;
  EXPECT_EQ(split(x.keys, x.separator, hint, learnt), x.expected);
}

const key_shape comm_pid{2, {false, true}};
const key_shape pid_comm{2, {true, false}};
const key_shape two_texts{2, {false, false}};

const split_case split_cases[] = {
  {"OnePartWithCommas",
   ", ",
   {"x, y", "nginx", "a, b, c"},
   {{"x, y"}, {"nginx"}, {"a, b, c"}}},
  {"OnePartInJson",
   ",",
   {"x, y", "x,y", "bash"},
   {{"x, y"}, {"x,y"}, {"bash"}}},
  {"ASurplusGoesWhereItsBytesAreUsual",
   ", ",
   {"127.0.0.1, bash", "127.0.0.2, b, c"},
   {{"127.0.0.1", "bash"}, {"127.0.0.2", "b, c"}}},
  {"OnePartGivenByTheHint", ", ", {"x, y"}, {{"x, y"}}, {1, {}}},
  {"TheEmptyKeyIsOneEmptyPart", ", ", {""}, {{""}}},
  {"CommAndPid",
   ", ",
   {"x, y, 9606", "my app, 9604", "a, b, c, 7"},
   {{"x, y", "9606"}, {"my app", "9604"}, {"a, b, c", "7"}}},
  {"PidAndComm",
   ", ",
   {"9606, x, y", "9604, my app", "-1, 5, 6"},
   {{"9606", "x, y"}, {"9604", "my app"}, {"-1", "5, 6"}}},
  {"CommAndPidInJson",
   ",",
   {"x, y,9606", "a,b,9605", "bash,1"},
   {{"x, y", "9606"}, {"a,b", "9605"}, {"bash", "1"}}},
  {"PidAndCommInJson",
   ",",
   {"9606,x, y", "1,bash"},
   {{"9606", "x, y"}, {"1", "bash"}}},
  {"ACommOfDigitsAndCommasBeforeAPid",
   ", ",
   {"1, 2, 9606", "bash, 9604"},
   {{"1, 2", "9606"}, {"bash", "9604"}}},
  {"OnlySurplusKeysWithTheNumberOfParts",
   ", ",
   {"x, y, 9606"},
   {{"x, y", "9606"}},
   {2, {}}},
  {"OnlySurplusKeysOfPidAndComm",
   ", ",
   {"9606, x, y"},
   {{"9606", "x, y"}},
   {2, {}}},
  {"TypesFromTheHint",
   ", ",
   {"1, 2, 3", "4, 5, 6, 7"},
   {{"1, 2", "3"}, {"4, 5, 6", "7"}},
   comm_pid},
  {"TypesFromTheHintTheOtherWay",
   ", ",
   {"1, 2, 3", "4, 5, 6, 7"},
   {{"1", "2, 3"}, {"4", "5, 6, 7"}},
   pid_comm},
  {"AnIntegerBetweenTexts",
   ", ",
   {"a, 1, b", "x, y, 2, c", "d, 3, v, w"},
   {{"a", "1", "b"}, {"x, y", "2", "c"}, {"d", "3", "v, w"}}},
  {"ThreeIntegers",
   ",",
   {"1,-2,18446744073709551615", "4,5,6"},
   {{"1", "-2", "18446744073709551615"}, {"4", "5", "6"}}},
  {"EmptyTextParts",
   ", ",
   {", 2", "a, 1", "b, 3"},
   {{"", "2"}, {"a", "1"}, {"b", "3"}}},
  {"AnEmptyTextPartAtTheEnd", ", ", {"2, ", "1, a"}, {{"2", ""}, {"1", "a"}}},
  {"BothTextsEmpty", ", ", {", ", "a, b"}, {{"", ""}, {"a", "b"}}},
  {"TwoTextsByWhatOtherKeysHave",
   ", ",
   {"x, y, my app", "bash, my app", "x, y, bash", "my app, x, y", "bash, bash",
    "my app, bash"},
   {{"x, y", "my app"},
    {"bash", "my app"},
    {"x, y", "bash"},
    {"my app", "x, y"},
    {"bash", "bash"},
    {"my app", "bash"}}},
  {"InJsonACommaBeforeASpaceIsTheNamesOwn",
   ",",
   {"x, y,/etc/passwd", "q,/etc/a, b", "bash,/bin/ls"},
   {{"x, y", "/etc/passwd"}, {"q", "/etc/a, b"}, {"bash", "/bin/ls"}},
   two_texts},
  {"AStackIsOnePart",
   ", ",
   {"\n    __schedule+1560\n    schedule+35\n", "\n    f(int, char)+1\n"},
   {{"\n    __schedule+1560\n    schedule+35\n"}, {"\n    f(int, char)+1\n"}}},
  {"CommAndStack",
   ", ",
   {"kworker/u8:9, \n    a+1\n    f(int, char)+2\n", "x, y, \n    b+1\n",
    "bash, \n    c+1\n"},
   {{"kworker/u8:9", "\n    a+1\n    f(int, char)+2\n"},
    {"x, y", "\n    b+1\n"},
    {"bash", "\n    c+1\n"}}},
  {"StackAndComm",
   ", ",
   {"\n        a+1\n        f(int, char)+2\n, bash", "\n        b+1\n, x, y"},
   {{"\n        a+1\n        f(int, char)+2\n", "bash"},
    {"\n        b+1\n", "x, y"}},
   {2, {}}},
  {"AStackWithoutItsSpacesInJson",
   ",",
   {"nginx,\n__schedule+1560\nf(int,char)+53\n", "sshd,\n0x1234\n"},
   {{"nginx", "\n__schedule+1560\nf(int,char)+53\n"}, {"sshd", "\n0x1234\n"}}},
  {"AnEmptyStack",
   ",",
   {"nginx,", "sshd,\n    a+1\n"},
   {{"nginx", ""}, {"sshd", "\n    a+1\n"}}},
  {"ATupleWithinAKey",
   ", ",
   {"(1, in), 2", "(7, out), 3"},
   {{"(1, in)", "2"}, {"(7, out)", "3"}}},
  {"ATupleIsPrintedLikeTwoParts",
   ",",
   {"3,w", "4,r"},
   {{"3", "w"}, {"4", "r"}}},
  {"AnArrayWithinAKey", ",", {"[1,2],5"}, {{"[1,2]", "5"}}},
  {"AnOpenParenthesisIsJustAByte",
   ", ",
   {"(sd-pam, 5", "(a, b, 6", "c), 7"},
   {{"(sd-pam", "5"}, {"(a, b", "6"}, {"c)", "7"}}},
  {"ACommThatLooksLikeATupleDoesNotMergeToldParts",
   ", ",
   {"(a, b)", "c, d"},
   {{"(a", "b)"}, {"c", "d"}},
   two_texts},
  {"FewerPiecesThanToldStayAsTheyAre", ", ", {"bash"}, {{"bash"}}, comm_pid},
  {"ALineEndInAComm",
   ",",
   {"new\nline,9613", "\na,1", "b\n,2"},
   {{"new\nline", "9613"}, {"\na", "1"}, {"b\n", "2"}}},
  {"AllIntegersButOneTooMany",
   ",",
   {"1,2,3", "4,5"},
   {{"1,2", "3"}, {"4", "5"}}},
};

INSTANTIATE_TEST_SUITE_P(Table, SplitKeys, testing::ValuesIn(split_cases),
                         [](const auto& x) { return x.param.name; });

TEST(SplitKeysOverPrints, LearnsAFewerNumberOfPartsForGood) {
  key_shape learnt;
  EXPECT_EQ(split({"x, y"}, ", ", nullptr, learnt),
            (std::vector<parts>{{"x", "y"}}));
  EXPECT_EQ(split({"bash", "x, y"}, ", ", nullptr, learnt),
            (std::vector<parts>{{"bash"}, {"x, y"}}));
  EXPECT_EQ(split({"x, y"}, ", ", nullptr, learnt),
            (std::vector<parts>{{"x, y"}}));
}

TEST(SplitKeysOverPrints, RemembersTheTypesOfEarlierKeys) {
  key_shape learnt;
  EXPECT_EQ(split({"bash, 5"}, ", ", nullptr, learnt),
            (std::vector<parts>{{"bash", "5"}}));
  EXPECT_EQ(split({"1, 2, 3"}, ", ", nullptr, learnt),
            (std::vector<parts>{{"1, 2", "3"}}));
  EXPECT_EQ(learnt.parts, 2u);
  EXPECT_EQ(learnt.integer, (std::vector<bool>{false, true}));
}

TEST(SplitKeysOverPrints, AFalseTupleMergesNothingOnceThePartsAreKnown) {
  key_shape learnt;
  split({"a, b"}, ", ", nullptr, learnt);
  EXPECT_EQ(split({"(a, b)"}, ", ", nullptr, learnt),
            (std::vector<parts>{{"(a", "b)"}}));
}

TEST(SplitKeysOverPrints, NoKeysGiveNothing) {
  key_shape learnt;
  EXPECT_TRUE(split({}, ", ", nullptr, learnt).empty());
  EXPECT_EQ(learnt.parts, 0u);
}

TEST(SplitKeysOverPrints, ThousandsOfSeparatorsInOneKeyEndSoon) {
  key_shape learnt;
  std::string many;
  for (int i = 0; i < 200000; ++i)
    many += ",[(";
  auto result = split({many, "a,b"}, ",", nullptr, learnt);
  ASSERT_EQ(result.size(), 2u);
  ASSERT_EQ(result[0].size(), 2u);
  EXPECT_EQ(result[0][0] + "," + result[0][1], many);
}

// Whatever is split, joining the parts again gives the key.
TEST(SplitKeysOverPrints, LosesNoByteOfRandomKeys) {
  std::mt19937 random{7};
  const std::string alphabet = ", ,,12-(a)[\n    +x]";
  for (int round = 0; round < 3000; ++round) {
    std::string separator = random() % 2 ? "," : ", ";
    std::vector<std::string> keys(1 + random() % 5);
    for (auto& key : keys)
      for (auto length = random() % 24; length > 0; --length)
        key += alphabet[random() % alphabet.size()];
    key_shape hint;
    hint.parts = random() % 4;
    for (std::size_t i = 0; i < hint.parts && random() % 2; ++i)
      hint.integer.push_back(random() % 2 == 0);
    key_shape learnt;
    auto result =
      split(keys, separator, hint.parts > 0 ? &hint : nullptr, learnt);
    ASSERT_EQ(result.size(), keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      std::string joined;
      for (std::size_t part = 0; part < result[i].size(); ++part)
        joined += (part > 0 ? separator : "") + result[i][part];
      EXPECT_EQ(joined, keys[i]);
      EXPECT_LE(result[i].size(), learnt.parts);
    }
  }
}

TEST(IsStack, TellsStacksFromNames) {
  for (auto text : {"\n    a+1\n", "\n        a+1\n        0x12\n",
                    "\n\tffffffff81 do_it+1\n", "\na+1\nb(int,char)+22\n",
                    "\n0\n", "\nffffffff81415c9c\n"})
    EXPECT_TRUE(is_stack(text)) << text;
  for (auto text : {"", "\n", "\n\n", "a+1\n", "\na+1", "\nnew line\n",
                    "\n[1, 2) 99 |\n", "\n    \n", "\n+1\n"})
    EXPECT_FALSE(is_stack(text)) << text;
}

} // namespace
} // namespace bpf2graphite
