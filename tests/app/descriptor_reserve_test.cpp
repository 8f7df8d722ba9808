#include "app/descriptor_reserve.hpp"

#include <gtest/gtest.h>

#include <vector>

#include <sys/resource.h>

namespace bpf2graphite {
namespace {

TEST(DescriptorReserve, HasOneWhenThereIsNoneLeft) {
  descriptor_reserve spare;
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  auto limited = old;
  limited.rlim_cur = 64;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limited), 0);
  std::vector<int> all;
  for (int fd = 0; (fd = ::dup(STDERR_FILENO)) >= 0;)
    all.push_back(fd);
  for (int again = 0; again < 3; ++again) {
    EXPECT_LT(::dup(STDERR_FILENO), 0);
    EXPECT_TRUE(spare.give());
    EXPECT_FALSE(spare.give()) << "there is but one";
    int got = ::dup(STDERR_FILENO);
    EXPECT_GE(got, 0);
    spare.keep(); // none to be had
    EXPECT_FALSE(spare.give());
    ::close(got);
    spare.keep();
  }
  for (int fd : all)
    ::close(fd);
  ::setrlimit(RLIMIT_NOFILE, &old);
}

} // namespace
} // namespace bpf2graphite
