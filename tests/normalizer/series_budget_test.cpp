#include "actors/normalizer/series_budget.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace bpf2graphite {
namespace {

TEST(SeriesBudget, GivesAllOrNothingUpToItsSize) {
  series_budget budget{10};
  EXPECT_TRUE(budget.take(8));
  EXPECT_FALSE(budget.take(3));
  EXPECT_EQ(budget.used(), 8u);
  EXPECT_EQ(budget.take_up_to(5), 2u);
  EXPECT_TRUE(budget.full());
  budget.give_back(4);
  EXPECT_TRUE(budget.take(4));
  EXPECT_FALSE(budget.take(static_cast<std::size_t>(-1)));
}

TEST(SeriesBudget, GivesNothingWhileItIsSmallerThanWhatIsOut) {
  series_budget budget{10};
  EXPECT_TRUE(budget.take(10));
  budget.set_max(5);
  EXPECT_TRUE(budget.full());
  EXPECT_EQ(budget.take_up_to(1), 0u);
  budget.give_back(6);
  EXPECT_TRUE(budget.take(1));
}

TEST(SeriesBudget, APathHasOneWriter) {
  series_budget budget{10};
  const auto one = budget.new_owner();
  const auto other = budget.new_owner();
  EXPECT_NE(one, other);
  const auto path = [] {
    return series_name{"a.b"};
  };
  EXPECT_TRUE(budget.claim(path(), one));
  EXPECT_FALSE(budget.claim(path(), other));
  EXPECT_FALSE(budget.claim(path(), one));
  budget.release("a.b", other);
  EXPECT_EQ(budget.claimed(), 1u);
  budget.release("a.b", one);
  EXPECT_EQ(budget.claimed(), 0u);
  EXPECT_TRUE(budget.claim(path(), other));
}

} // namespace
} // namespace bpf2graphite
