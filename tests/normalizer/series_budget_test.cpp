#include "actors/normalizer/series_budget.hpp"

#include <gtest/gtest.h>

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
  const series_name one{"a.b"};
  const series_name other{"a.b"};
  EXPECT_TRUE(budget.claim(one));
  EXPECT_FALSE(budget.claim(other));
  EXPECT_FALSE(budget.claim(one));
  budget.release(other);
  EXPECT_EQ(budget.claimed(), 1u);
  budget.release(one);
  EXPECT_EQ(budget.claimed(), 0u);
  EXPECT_TRUE(budget.claim(other));
}

} // namespace
} // namespace bpf2graphite
