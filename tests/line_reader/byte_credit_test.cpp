#include "actors/line_reader/byte_credit.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace bpf2graphite {
namespace {

constexpr auto window = byte_credit::window_bytes;

TEST(ByteCredit, HasRoomForAWindow) {
  byte_credit credit;
  EXPECT_EQ(credit.room(), window);
  credit.take(window - 1);
  EXPECT_EQ(credit.room(), 1u);
  credit.take(1);
  EXPECT_EQ(credit.room(), 0u);
  credit.take(1000); // a long line whose bytes were held and are sent on
  EXPECT_EQ(credit.room(), 0u);
  EXPECT_EQ(credit.under_way(), window + 1000);
}

TEST(ByteCredit, CallsResumeOnceWhenHalfIsDone) {
  byte_credit credit;
  int calls = 0;
  auto resume = [&] {
    ++calls;
  };
  credit.take(window);
  EXPECT_FALSE(credit.stop_reading());
  credit.give_back(window / 2 - 1, resume);
  EXPECT_EQ(calls, 0);
  credit.give_back(1, resume);
  EXPECT_EQ(calls, 1);
  credit.give_back(window / 2, resume);
  EXPECT_EQ(calls, 1);
}

TEST(ByteCredit, CallsNobodyWhoHasNotStopped) {
  byte_credit credit;
  int calls = 0;
  credit.take(100);
  credit.give_back(100, [&] { ++calls; });
  credit.give_back(0, [&] { ++calls; });
  EXPECT_EQ(calls, 0);
}

TEST(ByteCredit, TellsTheReaderThatRoomCameInBetween) {
  byte_credit credit;
  credit.take(window);
  credit.give_back(window, [] { FAIL() << "nobody has stopped"; });
  EXPECT_TRUE(credit.stop_reading());
}

TEST(ByteCredit, LosesNoWakeUpBetweenTwoThreads) {
  byte_credit credit;
  std::atomic<bool> reading{true};
  std::atomic<std::uint64_t> to_do{0};
  std::atomic<bool> done{false};
  constexpr std::uint64_t total = 200ull << 20;
  std::thread worker{[&] {
    while (!done || to_do > 0) {
      auto bytes = to_do.exchange(0);
      credit.give_back(bytes, [&] { reading = true; });
    }
  }};
  std::uint64_t sent = 0;
  while (sent < total) {
    if (!reading) {
      std::this_thread::yield();
      continue;
    }
    auto room = credit.room();
    if (room == 0) {
      reading = false;
      if (credit.stop_reading())
        reading = true;
      continue;
    }
    credit.take(room);
    to_do += room;
    sent += room;
  }
  done = true;
  worker.join();
  EXPECT_EQ(credit.under_way(), 0u);
}

} // namespace
} // namespace bpf2graphite
