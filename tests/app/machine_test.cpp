#include "app/machine.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

namespace bpf2graphite {
namespace {

TEST(Machine, ReadsWhatAProcessCosts) {
  const auto tick_ms =
    1000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  const auto page_kb =
    static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024;
  auto costs =
    costs_in("4711 (bpf) 7 (x) S 1 2 3 0 -1 4194560 5 6 7 8 30 12 13 14 20 0 "
             "-1 0 99 123456 9000 18446744073709551615 1 2\n");
  EXPECT_EQ(42 * tick_ms, costs.cpu_ms);
  EXPECT_EQ(9000 * page_kb, costs.rss_kb);
}

TEST(Machine, SaysZeroOfWhatIsNoSuchLine) {
  for (const char* line :
       {"", "4711", "4711 (bpftrace)", "4711 (bpftrace) S 1 2",
        "1 (a) S 1 2 3 0 -1 0 5 6 7 8 x 12 13 14 20 0 -1 0 99 1 9000 1\n"}) {
    EXPECT_EQ(0U, costs_in(line).cpu_ms) << line;
    EXPECT_EQ(0U, costs_in(line).rss_kb) << line;
  }
}

TEST(Machine, KnowsItsOwnProcessAndNoneWithoutANumber) {
  EXPECT_GT(costs_of(::getpid()).rss_kb, 0U);
  EXPECT_EQ(0U, costs_of(0).rss_kb);
}

} // namespace
} // namespace bpf2graphite
