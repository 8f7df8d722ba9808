#include "actors/normalizer/key_filter.hpp"
#include "actors/normalizer/key_table.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

TEST(Glob, FitsFromEndToEnd) {
  struct {
    const char* pattern;
    const char* text;
    bool fits;
  } cases[] = {
    {"bash", "bash", true},
    {"bash", "bash2", false},
    {"bash", "xbash", false},
    {"*", "", true},
    {"", "", true},
    {"", "a", false},
    {"kworker/*", "kworker/u8:1-ev", true},
    {"kworker/*", "kworker", false},
    {"*sh", "bash", true},
    {"*sh", "shs", false},
    {"b?sh", "bash", true},
    {"b?sh", "bsh", false},
    {"a*b*c", "aXbYbZc", true},
    {"a*b*c", "aXbYbZ", false},
    {"**", "x", true},
    {"?", "", false},
    {"[a-z]", "[a-z]", true},
    {"[a-z]", "q", false},
    {"\xff*", "\xff\xfe", true},
  };
  for (const auto& one : cases)
    EXPECT_EQ(glob_matches(one.pattern, one.text), one.fits)
      << one.pattern << " on " << one.text;
}

TEST(Glob, IsNotSlowOnPatternsMadeForThat) {
  const std::string text(20'000, 'a');
  EXPECT_FALSE(glob_matches("*a*a*a*a*a*a*a*a*b", text));
}

using parts = std::vector<std::string>;

TEST(KeyFilter, KeepsWhatAnyPatternFitsAndThenDrops) {
  const key_filter filter{{"comm", "pid"}, {"b*", "comm=z*"}, {"pid=1?"}};
  EXPECT_TRUE(filter.wants({"bash", "20"}));
  EXPECT_TRUE(filter.wants({"x", "b"}));
  EXPECT_TRUE(filter.wants({"zsh", "20"}));
  EXPECT_FALSE(filter.wants({"x", "z"}));
  EXPECT_FALSE(filter.wants({"bash", "12"}));
  EXPECT_TRUE(filter.wants({"bash", "123"}));
}

TEST(KeyFilter, LeavesMapsWithoutKeysAlone) {
  const key_filter filter{{}, {"bash"}, {"*"}};
  EXPECT_TRUE(filter.wants({}));
  EXPECT_FALSE(filter.wants({"bash"}));
}

TEST(KeyFilter, AnUnknownNameIsPartOfThePattern) {
  const key_filter filter{{"comm"}, {"A=b"}, {}};
  EXPECT_TRUE(filter.wants({"A=b"}));
  EXPECT_FALSE(filter.wants({"b"}));
}

TEST(KeyTable, TellsKeysApartThatLookAlike) {
  key_table keys;
  const std::vector<parts> all = {{},
                                  {""},
                                  {"", ""},
                                  {"a", "b"},
                                  {std::string{"a\0b", 3}},
                                  {"ab"},
                                  {"ab", ""},
                                  {"", "ab"},
                                  {std::string(1, '\0')}};
  std::vector<key_table::id> ids;
  for (const auto& one : all) {
    ids.push_back(keys.find_or_add(one));
    keys.hold(ids.back());
  }
  std::vector<std::string_view> back;
  for (auto i = std::size_t{0}; i < all.size(); ++i) {
    EXPECT_EQ(keys.find_or_add(all[i]), ids[i]);
    keys.parts(ids[i], back);
    EXPECT_TRUE(
      std::equal(back.begin(), back.end(), all[i].begin(), all[i].end()));
  }
  EXPECT_FALSE(keys.keyed(ids[0]));
  EXPECT_TRUE(keys.keyed(ids[1]));
  EXPECT_TRUE(keys.valid());
}

TEST(KeyTable, SweepsOnlyWhatIsNotHeldAndKeepsItsLimits) {
  key_table keys;
  const auto kept = keys.find_or_add({"kept"});
  keys.hold(kept);
  for (auto i = 0; i < 400'000; ++i)
    keys.find_or_add({std::to_string(i)});
  EXPECT_EQ(keys.size(), key_table::keys_max);
  EXPECT_EQ(keys.find_or_add({"one more"}), key_table::none);
  keys.sweep();
  EXPECT_EQ(keys.size(), 1u);
  EXPECT_EQ(keys.find_or_add({"kept"}), kept);
  const std::string long_part(1 << 20, 'x');
  auto added = 0;
  while (keys.find_or_add({long_part, std::to_string(added)})
         != key_table::none)
    ASSERT_LT(++added, 100);
  EXPECT_TRUE(keys.valid());
}

} // namespace
} // namespace bpf2graphite
