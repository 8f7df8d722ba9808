#include "actors/graphite_connection/graphite_socket.hpp"

#include "actors/graphite_connection/name_lookup.hpp"
#include "tests/support/graphite_oracle.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/steady_timer.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using kind = wire_event_kind;
using testing::graphite_oracle;
using testing::oracle_manner;
using after = oracle_manner::after;

class GraphiteSocket : public ::testing::Test {
protected:
  boost::asio::io_context io{1};
  std::deque<wire_event> events;
  graphite_socket socket{io};
  wire_limits limits;

  GraphiteSocket() {
    socket.listen([this](wire_event e) { events.push_back(std::move(e)); });
  }

  /// The next event that tells more than progress; a `failed` with the reason
  /// "test: ..." when none comes.
  wire_event next(std::chrono::milliseconds limit = 10s) {
    auto until = std::chrono::steady_clock::now() + limit;
    for (;;) {
      while (!events.empty()) {
        auto e = std::move(events.front());
        events.pop_front();
        if (e.kind != kind::acknowledged)
          return e;
        acknowledged = e.bytes;
      }
      auto left = until - std::chrono::steady_clock::now();
      if (left <= 0s)
        break;
      io.restart();
      io.run_one_for(left);
    }
    wire_event none;
    none.reason = "test: no event";
    return none;
  }

  bool wait_acknowledged(std::size_t bytes,
                         std::chrono::milliseconds limit = 10s) {
    auto until = std::chrono::steady_clock::now() + limit;
    while (acknowledged < bytes && std::chrono::steady_clock::now() < until) {
      for (; !events.empty(); events.pop_front()) {
        if (events.front().kind != kind::acknowledged)
          return false;
        acknowledged = events.front().bytes;
      }
      if (acknowledged < bytes) {
        io.restart();
        io.run_one_for(until - std::chrono::steady_clock::now());
      }
    }
    return acknowledged == bytes;
  }

  /// Connects and sends; false if it did not get that far.
  bool send(const graphite_oracle& oracle,
            std::shared_ptr<const std::string> text) {
    acknowledged = 0;
    socket.connect(++attempt, {"127.0.0.1", oracle.port()}, limits);
    if (next().kind != kind::connected)
      return false;
    socket.send(attempt, std::move(text));
    return true;
  }

  static std::shared_ptr<const std::string> lines(std::size_t n) {
    auto text = std::make_shared<std::string>();
    for (std::size_t i = 0; i < n; ++i)
      *text += "series." + std::to_string(i) + " 1 15\n";
    return text;
  }

  std::uint64_t attempt = 0;
  std::size_t acknowledged = 0;
};

TEST_F(GraphiteSocket, DeliversABatchAndSeesTheEndThatAnswersOurs) {
  graphite_oracle oracle;
  auto text = lines(5000);
  ASSERT_TRUE(send(oracle, text));
  ASSERT_TRUE(wait_acknowledged(text->size()));
  socket.half_close(attempt);
  auto e = next();
  EXPECT_EQ(e.kind, kind::peer_closed) << e.reason;
  EXPECT_TRUE(e.after_half_close);
  EXPECT_EQ(e.attempt, attempt);
  EXPECT_EQ(oracle.lines().size(), 5000);
  EXPECT_EQ(oracle.lines().back(), "series.4999 1 15");
}

TEST_F(GraphiteSocket, DeliversMoreThanTheKernelHolds) {
  graphite_oracle oracle;
  auto text = lines(1'000'000);
  ASSERT_TRUE(send(oracle, text));
  ASSERT_TRUE(wait_acknowledged(text->size(), 30s));
  socket.half_close(attempt);
  EXPECT_TRUE(next().after_half_close);
  EXPECT_EQ(oracle.lines().size(), 1'000'000);
}

TEST_F(GraphiteSocket, SaysThatTheEndCameBeforeOurs) {
  graphite_oracle oracle;
  auto text = lines(10);
  oracle.next({text->size(), after::close, true, "", ""});
  ASSERT_TRUE(send(oracle, text));
  auto e = next();
  EXPECT_EQ(e.kind, kind::peer_closed);
  EXPECT_FALSE(e.after_half_close);
}

TEST_F(GraphiteSocket, SeesAnEndThatIsThereWhenWeHalfClose) {
  graphite_oracle oracle;
  auto text = lines(10);
  oracle.next({text->size(), after::close, true, "", ""});
  ASSERT_TRUE(send(oracle, text));
  ASSERT_TRUE(wait_acknowledged(text->size()));
  // The peer's FIN is in our kernel, and our handler has not run yet.
  ASSERT_TRUE(oracle.wait_until(
    [](auto& o) { return o.connections() == 1 && o.open_connections() == 0; }));
  socket.half_close(attempt);
  auto e = next();
  EXPECT_EQ(e.kind, kind::peer_closed);
  EXPECT_FALSE(e.after_half_close);
}

// The kernel tells of a reset once, and whoever is told first must not hide it
// from the one who judges: a reset that looks like an end would be a batch that
// counts as accepted and is lost.
TEST_F(GraphiteSocket, NeverTakesAResetForTheAnswerToOurEnd) {
  graphite_oracle oracle;
  auto text = lines(10);
  for (int i = 0; i < 100; ++i) {
    oracle.next({text->size(), after::reset, true, "", ""});
    ASSERT_TRUE(send(oracle, text));
    while (acknowledged < text->size()) { // and let no handler run after it
      io.restart();
      io.run_one_for(10s);
      if (events.empty())
        continue;
      if (events.front().kind != kind::acknowledged)
        break;
      acknowledged = events.front().bytes;
      events.pop_front();
    }
    if (i % 2 == 0) {
      ASSERT_TRUE(
        oracle.wait_until([](auto& o) { return o.open_connections() == 0; }));
    }
    socket.half_close(attempt);
    auto e = next();
    ASSERT_EQ(e.kind, kind::reset) << i;
  }
}

TEST_F(GraphiteSocket, ReportsAResetAfterAnyNumberOfBytes) {
  graphite_oracle oracle;
  auto text = lines(100'000);
  for (std::size_t k = 0; k < text->size(); k = k * 3 + 1) {
    oracle.next({k, after::reset, true, "", ""});
    socket.connect(++attempt, {"127.0.0.1", oracle.port()}, limits);
    auto e = next();
    if (e.kind != kind::connected) { // it can be that quick
      EXPECT_EQ(e.kind, kind::failed);
      EXPECT_NE(e.reason.find("reset"), e.reason.npos) << e.reason;
      continue;
    }
    socket.send(attempt, text);
    e = next();
    EXPECT_EQ(e.kind, kind::reset) << k;
    EXPECT_EQ(e.reason, "127.0.0.1:" + std::to_string(oracle.port())
                          + " reset the connection");
  }
}

TEST_F(GraphiteSocket, GivesUpWhenNoByteIsTaken) {
  graphite_oracle oracle;
  oracle.next({1000, after::stall, true, "", ""});
  limits.progress_timeout = 300ms;
  auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(send(oracle, lines(2'000'000)));
  auto e = next();
  EXPECT_EQ(e.kind, kind::failed);
  auto took = std::chrono::steady_clock::now() - began;
  EXPECT_GE(took, 300ms);
  EXPECT_TRUE(e.reason.find("took no byte within 300 ms") != e.reason.npos
              || e.reason.find("timed out") != e.reason.npos)
    << e.reason;
}

TEST_F(GraphiteSocket, WaitsForAPeerThatDoesNotAnswerTheEnd) {
  graphite_oracle oracle;
  oracle.next({0, after::go_on, false, "", ""});
  auto text = lines(10);
  ASSERT_TRUE(send(oracle, text));
  ASSERT_TRUE(wait_acknowledged(text->size()));
  socket.half_close(attempt);
  EXPECT_EQ(next(300ms).reason, "test: no event");
  oracle.close_connections();
  EXPECT_TRUE(next().after_half_close);
}

TEST_F(GraphiteSocket, SeesTheEndOfAnIdleConnection) {
  graphite_oracle oracle;
  socket.connect(++attempt, {"127.0.0.1", oracle.port()}, limits);
  ASSERT_EQ(next().kind, kind::connected);
  ASSERT_TRUE(
    oracle.wait_until([](auto& o) { return o.open_connections() == 1; }));
  oracle.close_connections();
  auto e = next();
  EXPECT_EQ(e.kind, kind::peer_closed);
  EXPECT_FALSE(e.after_half_close);
}

TEST_F(GraphiteSocket, SaysWhyItCannotConnect) {
  std::uint16_t free_port;
  {
    graphite_oracle oracle;
    free_port = oracle.port();
  }
  auto port = std::to_string(free_port);
  struct {
    graphite_address address;
    std::string reason;
  } cases[] = {
    {{"127.0.0.1", free_port},
     "connect to 127.0.0.1:" + port + ": Connection refused"},
    {{"::1", free_port}, "connect to [::1]:" + port + ": "},
    {{"[::1]", free_port}, "connect to [::1]:" + port + ": "},
    {{"localhost", free_port},
     "connect to 127.0.0.1:" + port
       + ": Connection refused; connect to [::1]:" + port + ": "},
    {{"127.0.0.1", 0}, "connect to 127.0.0.1:0: "},
    {{"", 2003}, "resolve : "},
    {{"no such host", 2003}, "resolve no such host: "},
    {{std::string(300, 'a'), 2003}, "resolve " + std::string(300, 'a') + ": "},
  };
  for (auto& c : cases) {
    socket.connect(++attempt, c.address, limits);
    auto e = next();
    EXPECT_EQ(e.kind, kind::failed);
    EXPECT_EQ(e.attempt, attempt);
    EXPECT_EQ(e.reason.substr(0, c.reason.size()), c.reason) << e.reason;
    EXPECT_GT(e.reason.size(), c.reason.size() - 1);
  }
}

TEST_F(GraphiteSocket, TriesTheOtherAddressesOfAName) {
  graphite_oracle oracle; // on IPv4 only
  socket.connect(++attempt, {"localhost", oracle.port()}, limits);
  EXPECT_EQ(next().kind, kind::connected);
}

TEST_F(GraphiteSocket, GivesUpConnectingInTime) {
  // A full accept queue drops the SYN: connecting hangs.
  auto fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof a;
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&a), size), 0);
  ASSERT_EQ(::listen(fd, 0), 0);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size);
  std::vector<int> fill;
  for (int i = 0; i < 4; ++i) {
    fill.push_back(
      ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)::connect(fill.back(), reinterpret_cast<sockaddr*>(&a), size);
  }
  limits.connect_timeout = 400ms;
  auto began = std::chrono::steady_clock::now();
  auto port = ntohs(a.sin_port);
  socket.connect(++attempt, {"127.0.0.1", port}, limits);
  auto e = next();
  auto took = std::chrono::steady_clock::now() - began;
  EXPECT_EQ(e.kind, kind::failed);
  EXPECT_EQ(e.reason, "connect to 127.0.0.1:" + std::to_string(port)
                        + ": no answer within 400 ms");
  EXPECT_GE(took, 400ms);
  for (auto f : fill)
    ::close(f);
  ::close(fd);
}

TEST_F(GraphiteSocket, LeavesAPeerThatTalks) {
  graphite_oracle oracle;
  oracle.next({0, after::go_on, true, "220 mail.example\r\n", ""});
  socket.connect(++attempt, {"127.0.0.1", oracle.port()}, limits);
  EXPECT_EQ(next().kind, kind::connected);
  EXPECT_EQ(next(100ms).reason, "test: no event"); // a greeting is ignored
  oracle.next({0, after::go_on, true, std::string(200'000, 'x'), ""});
  socket.connect(++attempt, {"127.0.0.1", oracle.port()}, limits);
  EXPECT_EQ(next().kind, kind::connected);
  auto e = next();
  EXPECT_EQ(e.kind, kind::failed);
  EXPECT_NE(e.reason.find("is no Graphite: \"xxxx"), e.reason.npos) << e.reason;
}

TEST_F(GraphiteSocket, EndsTheOldConnectionBeforeANewOne) {
  graphite_oracle oracle;
  ASSERT_TRUE(send(oracle, lines(10)));
  auto old = attempt;
  socket.connect(++attempt, {"127.0.0.1", oracle.port()}, limits);
  EXPECT_EQ(next().attempt, attempt);
  EXPECT_TRUE(oracle.wait_until(
    [](auto& o) { return o.connections() == 2 && o.open_connections() == 1; }));
  socket.half_close(old); // ignored
  socket.close(old);      // ignored
  EXPECT_EQ(next(100ms).reason, "test: no event");
}

TEST_F(GraphiteSocket, ThrowsAwayWhatWasNotConfirmed) {
  graphite_oracle oracle;
  oracle.next({1000, after::stall, true, "", ""});
  auto text = lines(1000);
  ASSERT_TRUE(send(oracle, text));
  ASSERT_TRUE(wait_acknowledged(text->size()));
  socket.half_close(attempt);
  socket.close(attempt);
  EXPECT_EQ(next(50ms).reason, "test: no event");
  // A stalled connection of the oracle ends only by a reset.
  EXPECT_TRUE(
    oracle.wait_until([](auto& o) { return o.open_connections() == 0; }));
}

TEST_F(GraphiteSocket, SendsOneTextAfterTheOtherOnOneConnection) {
  graphite_oracle oracle;
  auto text = lines(2000);
  ASSERT_TRUE(send(oracle, text));
  socket.send(attempt, text); // while the first is still under way
  ASSERT_TRUE(wait_acknowledged(2 * text->size()));
  socket.send(attempt, text);
  ASSERT_TRUE(wait_acknowledged(3 * text->size()));
  EXPECT_TRUE(
    oracle.wait_until([](auto& o) { return o.lines().size() == 6000; }));
  // What the peer's kernel has may be read after our end, as nothing is
  // thrown away.
  socket.close(attempt);
  EXPECT_EQ(next(50ms).reason, "test: no event");
  EXPECT_TRUE(
    oracle.wait_until([](auto& o) { return o.open_connections() == 0; }));
  EXPECT_EQ(oracle.connections(), 1);
}

TEST_F(GraphiteSocket, DoesNotTalkToItself) {
  // A port that the kernel gives out, and nobody listens there: connecting
  // long enough to one's own port succeeds.
  std::uint16_t port;
  {
    graphite_oracle oracle;
    port = oracle.port();
  }
  for (int i = 0; i < 300; ++i) {
    socket.connect(++attempt, {"127.0.0.1", port}, limits);
    auto e = next();
    ASSERT_EQ(e.kind, kind::failed);
    ASSERT_NE(e.reason.find("refused"), e.reason.npos);
  }
}

TEST_F(GraphiteSocket, SleepsWhileNothingIsUnderWay) {
  graphite_oracle oracle;
  auto text = lines(10);
  ASSERT_TRUE(send(oracle, text));
  ASSERT_TRUE(wait_acknowledged(text->size()));
  io.restart();
  io.poll(); // what was cancelled
  io.restart();
  EXPECT_EQ(io.run_for(600ms), 0); // no handler at all
}

/// Seconds after which the first of our timer descriptors would wake us; none
/// when none is set.
std::optional<long> first_timer_seconds() {
  std::optional<long> first;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/self/fdinfo")) {
    std::ifstream in{entry.path()};
    for (std::string line; std::getline(in, line);) {
      long seconds = 0;
      long rest = 0;
      if (std::sscanf(line.c_str(), "it_value: (%ld, %ld)", &seconds, &rest)
            == 2
          && (seconds != 0 || rest != 0))
        first = std::min(first.value_or(seconds), seconds);
    }
  }
  return first;
}

TEST_F(GraphiteSocket, LeavesNoTimerSetForAConnectThatIsDone) {
  graphite_oracle oracle;
  limits.connect_timeout = 20s;
  boost::asio::steady_timer later{io, 100s}; // the next batch
  later.async_wait([](auto) {});
  ASSERT_TRUE(first_timer_seconds());
  EXPECT_GE(*first_timer_seconds(), 90);
  socket.connect(++attempt, {"127.0.0.1", oracle.port()}, limits);
  ASSERT_EQ(next().kind, kind::connected);
  io.restart();
  io.poll();
  EXPECT_GE(*first_timer_seconds(), 60);
}

TEST_F(GraphiteSocket, LeavesNoDescriptorOpen) {
  graphite_oracle oracle;
  auto first = ::dup(0);
  ::close(first);
  for (int i = 0; i < 20; ++i) {
    oracle.next({0, after::reset, true, "", ""});
    ASSERT_TRUE(send(oracle, lines(10)) || true);
    socket.close(attempt);
    next(10ms);
  }
  ASSERT_TRUE(
    oracle.wait_until([](auto& o) { return o.open_connections() == 0; }));
  auto last = ::dup(0);
  ::close(last);
  EXPECT_EQ(first, last);
}

TEST(NameLookup, KnowsNumbersAndLocalhost) {
  struct {
    const char* host;
    std::vector<std::string> addresses;
  } cases[] = {
    {"127.0.0.1", {"127.0.0.1"}},
    {"::1", {"::1"}},
    {"[::1]", {"::1"}},
    {"fe80::1%lo", {"fe80::1%lo"}},
    {"localhost", {"127.0.0.1", "::1"}},
    {"localhost.", {"127.0.0.1", "::1"}},
    {"graphite.example", {}},
    {"", {}},
    {"[]", {}},
    {"127.0.0.1 ", {}},
    {"1.2.3", {}},
  };
  for (auto& c : cases) {
    std::vector<std::string> got;
    for (auto& e : addresses_without_lookup(c.host, 2003)) {
      EXPECT_EQ(e.port(), 2003);
      got.push_back(e.address().to_string());
    }
    EXPECT_EQ(got, c.addresses) << c.host;
  }
}

TEST(NameLookup, AnswersOnTheIoThread) {
  boost::asio::io_context io{1};
  auto work = boost::asio::make_work_guard(io);
  std::string host;
  std::string error = "none";
  name_lookup lookup{io, [&](auto& h, auto, auto e) {
                       host = h;
                       error = e;
                     }};
  ASSERT_TRUE(lookup.start("no such host", 2003));
  EXPECT_FALSE(lookup.start("another", 2003)); // one at a time
  io.run_one_for(10s);
  EXPECT_EQ(host, "no such host");
  EXPECT_NE(error, "none");
  EXPECT_NE(error, "");
  EXPECT_TRUE(lookup.start("another host", 2003));
  io.run_one_for(10s);
  EXPECT_EQ(host, "another host");
}

} // namespace
} // namespace bpf2graphite
