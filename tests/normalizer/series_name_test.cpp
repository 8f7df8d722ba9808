#include "messages/series_name.hpp"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bpf2graphite {
namespace {

TEST(SeriesName, IsNoneUntilItIsGiven) {
  series_name name;
  EXPECT_FALSE(name);
  name = series_name{""};
  EXPECT_TRUE(name);
  EXPECT_EQ(*name, "");
}

TEST(SeriesName, IsOneTextForAllItsCopies) {
  std::string text = "bpf.host.trace.map.4";
  series_name name{text};
  text.clear();
  auto copy = name;
  EXPECT_EQ((*copy).data(), (*name).data());
  const auto moved = std::move(name);
  EXPECT_FALSE(name); // NOLINT: that is what is asked
  name = moved;
  name = *&name; // itself
  copy = {};
  EXPECT_EQ(*moved, "bpf.host.trace.map.4");
  EXPECT_EQ(*name, *moved);
}

TEST(SeriesName, MayBeCopiedByAnyThread) {
  const series_name name{"a.b"};
  std::vector<std::thread> threads;
  for (auto n = 0; n < 4; ++n)
    threads.emplace_back([name] {
      for (auto i = 0; i < 10'000; ++i) {
        auto copy = name;
        auto other = std::move(copy);
      }
    });
  for (auto& thread : threads)
    thread.join();
  EXPECT_EQ(*name, "a.b");
}

} // namespace
} // namespace bpf2graphite
