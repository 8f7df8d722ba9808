#include "app/heartbeat.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

/// systemd's end of the notify socket, as an abstract address.
class notify_end {
public:
  notify_end() {
    const auto name = "bpf2graphite-heartbeat-" + std::to_string(::getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(&address.sun_path[1], name.size());
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const auto size = offsetof(sockaddr_un, sun_path) + 1 + name.size();
    bound_ = ::bind(fd_, reinterpret_cast<const sockaddr*>(&address),
                    static_cast<socklen_t>(size))
             == 0;
    ::setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
  }

  ~notify_end() {
    ::unsetenv("NOTIFY_SOCKET");
    ::close(fd_);
  }

  bool bound() const {
    return bound_;
  }

  /// How many pings came since the last call.
  int pings() {
    int count = 0;
    std::array<char, 2048> text{};
    for (;;) {
      const auto size = ::recv(fd_, text.data(), text.size(), 0);
      if (size <= 0)
        return count;
      count += std::string{text.data(), static_cast<std::size_t>(size)}.find(
                 "WATCHDOG=1")
               != std::string::npos;
    }
  }

private:
  int fd_ = -1;
  bool bound_ = false;
};

/// A heartbeat whose actors answer when the test says so.
struct beating {
  notify_end systemd;
  boost::asio::io_context io;
  service_notifier notifier;
  std::vector<std::function<void()>> asked;
  heartbeat beats;

  explicit beating(std::chrono::microseconds limit)
    : beats{io, notifier, limit,
            [this](auto answered) { asked.push_back(std::move(answered)); },
            [] {
              return std::string{"well"};
            }} {}

  void answer() {
    ASSERT_FALSE(asked.empty());
    auto answered = std::move(asked.back());
    asked.pop_back();
    answered();
  }
};

TEST(Heartbeat, IsSentWhenTheActorsHaveAnswered) {
  beating one{1h};
  ASSERT_TRUE(one.systemd.bound());
  one.beats.start();
  EXPECT_EQ(one.systemd.pings(), 0);
  one.answer();
  EXPECT_EQ(one.systemd.pings(), 1);
}

TEST(Heartbeat, GoesAlongWhenWeAreAwakeAndItIsDueSoon) {
  beating one{1ms};
  one.beats.start();
  one.answer();
  ASSERT_EQ(one.systemd.pings(), 1);
  // A quarter of a millisecond is over when the clock says so.
  const auto until = std::chrono::steady_clock::now() + 1ms;
  while (std::chrono::steady_clock::now() < until)
    continue;
  one.beats.awake();
  one.answer();
  EXPECT_EQ(one.systemd.pings(), 1);
}

TEST(Heartbeat, IsNotSentAgainSoonAfterTheLast) {
  beating one{1h};
  one.beats.start();
  one.answer();
  ASSERT_EQ(one.systemd.pings(), 1);
  one.beats.awake();
  EXPECT_TRUE(one.asked.empty());
}

TEST(Heartbeat, WaitsForActorsThatDoNotAnswer) {
  beating one{1us};
  one.beats.start();
  ASSERT_EQ(one.asked.size(), 1U);
  one.beats.awake();
  EXPECT_EQ(one.asked.size(), 1U) << "they are asked once";
  EXPECT_EQ(one.systemd.pings(), 0);
}

TEST(Heartbeat, AsksNobodyBeforeItHasStarted) {
  beating one{1h};
  one.beats.awake();
  EXPECT_TRUE(one.asked.empty());
}

TEST(WatchdogLimit, IsWhatSystemdSetForThisProcess) {
  auto with = [](const char* us, const char* pid) {
    ::unsetenv("WATCHDOG_USEC");
    ::unsetenv("WATCHDOG_PID");
    if (us != nullptr)
      ::setenv("WATCHDOG_USEC", us, 1);
    if (pid != nullptr)
      ::setenv("WATCHDOG_PID", pid, 1);
    auto limit = watchdog_limit();
    ::unsetenv("WATCHDOG_USEC");
    ::unsetenv("WATCHDOG_PID");
    return limit;
  };
  const auto us = std::chrono::microseconds{30'000'000};
  const auto self = std::to_string(::getpid());
  EXPECT_EQ(with("30000000", nullptr), us);
  EXPECT_EQ(with("30000000", self.c_str()), us);
  EXPECT_FALSE(with("30000000", "1")) << "meant for another one";
  EXPECT_FALSE(with("30000000", "me"));
  EXPECT_FALSE(with(nullptr, self.c_str()));
  for (const char* none : {"0", "", "-1", "30s", "18446744073709551615",
                           "99999999999999999999999"})
    EXPECT_FALSE(with(none, nullptr)) << none;
}

} // namespace
} // namespace bpf2graphite
