#include "actors/normalizer/name_set.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <map>
#include <random>
#include <string>

namespace bpf2graphite {
namespace {

TEST(NameSet, HoldsEachTextOnce) {
  name_set names;
  const series_name one{"a"};
  const series_name equal{"a"};
  EXPECT_TRUE(names.insert(one));
  EXPECT_FALSE(names.insert(one));
  EXPECT_FALSE(names.insert(equal));
  EXPECT_TRUE(names.insert(series_name{"b"}));
  EXPECT_EQ(names.size(), 2u);
}

TEST(NameSet, RemovesTheNameItselfAndNotItsEqual) {
  name_set names;
  const series_name one{"a"};
  const series_name copy = one;
  names.erase(one); // nothing is there yet
  ASSERT_TRUE(names.insert(one));
  names.erase(series_name{"a"});
  names.erase(series_name{"b"});
  EXPECT_EQ(names.size(), 1u);
  names.erase(copy);
  EXPECT_EQ(names.size(), 0u);
  EXPECT_TRUE(names.insert(series_name{"a"}));
}

/// What is removed must not hide those that lie behind it.
TEST(NameSet, DoesWhatAMapDoes) {
  name_set names;
  std::map<std::string, series_name> model;
  std::mt19937 random{1};
  for (auto step = 0; step < 20'000; ++step) {
    const auto text = std::to_string(random() % 200);
    const auto known = model.find(text);
    if (random() % 2 == 0) {
      const series_name fresh{text};
      ASSERT_EQ(names.insert(fresh), known == model.end());
      model.emplace(text, fresh);
    } else if (known != model.end()) {
      names.erase(known->second);
      model.erase(known);
    }
    ASSERT_EQ(names.size(), model.size());
  }
  for (const auto& [text, name] : model)
    EXPECT_FALSE(names.insert(series_name{text}));
}

} // namespace
} // namespace bpf2graphite
