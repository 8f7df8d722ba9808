#include "actors/normalizer/key_table.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using parts = std::vector<std::string>;

parts key_of(int i) {
  return {"key" + std::to_string(i), "x"};
}

TEST(KeyTable, GivesAKeyItsNumberInWhateverOrderItIsAskedFor) {
  key_table keys;
  std::vector<key_table::id> ids;
  ids.reserve(10);
  for (int i = 0; i < 10; ++i)
    ids.push_back(keys.find_or_add(key_of(i)));
  auto ask = [&](int i) {
    EXPECT_EQ(keys.find_or_add(key_of(i)), ids[static_cast<std::size_t>(i)]);
  };
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 10; ++i)
      ask(i);
  for (int round = 0; round < 2; ++round)
    for (int i = 9; i >= 0; --i)
      ask(i);
  for (int i : {3, 3, 3, 7, 3, 0, 7})
    ask(i);
  EXPECT_EQ(keys.size(), 10U);
  EXPECT_TRUE(keys.valid());
}

TEST(KeyTable, TellsPartsApartThatAreTheSameBytes) {
  key_table keys;
  auto one = keys.find_or_add({"ab", "c"});
  auto other = keys.find_or_add({"a", "bc"});
  EXPECT_NE(one, other);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(keys.find_or_add({"ab", "c"}), one);
    EXPECT_EQ(keys.find_or_add({"a", "bc"}), other);
  }
}

TEST(KeyTable, TakesNoSweptKeyForTheOneThatFollows) {
  key_table keys;
  auto first = keys.find_or_add(key_of(0));
  keys.find_or_add(key_of(1)); // follows it
  keys.hold(first);
  for (int i = 2; i < 1000; ++i)
    keys.find_or_add(key_of(i));
  keys.sweep();
  ASSERT_EQ(keys.size(), 1U);
  EXPECT_EQ(keys.find_or_add(key_of(0)), first);
  // Its number is free, or another's by now.
  auto other = keys.find_or_add(key_of(5000));
  EXPECT_EQ(keys.find_or_add(key_of(0)), first);
  EXPECT_NE(keys.find_or_add(key_of(1)), other);
  EXPECT_EQ(keys.find_or_add(key_of(5000)), other);
  EXPECT_TRUE(keys.valid());
}

} // namespace
} // namespace bpf2graphite
