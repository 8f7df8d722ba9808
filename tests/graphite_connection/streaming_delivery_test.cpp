#include "actors/graphite_connection/delivery.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using kind = wire_event_kind;
using script = std::vector<std::string>;

/// What a delivery wants, in words; reports by their batch.
std::string words(const delivery_action& action) {
  if (std::holds_alternative<wire_connect>(action))
    return "connect";
  if (auto s = std::get_if<wire_send>(&action))
    return "send " + std::to_string(s->lines->size());
  if (std::holds_alternative<wire_half_close>(action))
    return "half_close";
  if (std::holds_alternative<wire_close>(action))
    return "close";
  if (auto a = std::get_if<ask_batch>(&action))
    return a->afresh ? "ask afresh" : "ask";
  if (auto r = std::get_if<delivery_report>(&action))
    return r->kind == delivery_report::what::lost
             ? "lost"
             : "accepted " + std::to_string(r->id);
  switch (std::get<delivery_note>(action).kind) {
    case delivery_note::what::trouble:
      return "trouble";
    case delivery_note::what::recovered:
      return "recovered";
    case delivery_note::what::fell_back:
      return "fell back";
    case delivery_note::what::confirms:
      return "confirms";
    default:
      return "note";
  }
}

class Streaming : public ::testing::Test {
protected:
  graphite_config config;
  destination_ledger books;
  std::optional<delivery> d;
  steady_time now{1h};
  std::uint64_t attempt = 0;
  std::uint64_t sent = 0; // bytes on this connection
  std::uint64_t id = 0;

  void SetUp() override {
    config.delivery = delivery_mode::streaming;
    config.tail_bytes = 100;
    config.unacknowledged_bytes_max = 200;
  }

  script told(delivery_actions actions) {
    script result;
    for (auto& a : actions) {
      result.push_back(words(a));
      if (auto c = std::get_if<wire_connect>(&a)) {
        attempt = c->attempt;
        sent = 0;
      }
      if (auto s = std::get_if<wire_send>(&a))
        sent += s->lines->size();
    }
    EXPECT_TRUE(d->valid());
    return result;
  }

  script begin() {
    d.emplace(config, 0, 1, "probe", books);
    return told(d->adopt(now));
  }

  /// A batch of that many bytes.
  script offer(std::size_t bytes) {
    auto text = std::string(bytes - 1, 'a') + "\n";
    return told(d->offer(
      {++id, std::make_shared<const std::string>(std::move(text)), 1, 15},
      now));
  }

  script event(kind k, bool after = false) {
    return told(d->wire({attempt, k, sent, after, "why"}, now, 0.5));
  }

  script acknowledge(std::uint64_t bytes) {
    return told(
      d->wire({attempt, kind::acknowledged, bytes, false, ""}, now, 0.5));
  }

  script wait(std::chrono::milliseconds time) {
    now += time;
    return told(d->time_passed(now, 0.5));
  }
};

TEST_F(Streaming, SendsBatchAfterBatchOnOneConnection) {
  EXPECT_EQ(begin(), script{"ask afresh"});
  EXPECT_EQ(offer(40), (script{"connect", "ask"}));
  EXPECT_EQ(event(kind::connected), script{"send 40"});
  EXPECT_EQ(offer(50), (script{"send 50", "ask"}));
  // Nothing is released while too little is acknowledged behind it.
  EXPECT_EQ(acknowledge(90), script{});
  EXPECT_EQ(offer(60), (script{"send 60", "ask"}));
  EXPECT_EQ(acknowledge(150), script{"accepted 1"});
  EXPECT_EQ(books.connects, 1);
}

TEST_F(Streaming, ReleasesAfterAMinuteWithoutALoss) {
  begin();
  offer(40);
  event(kind::connected);
  acknowledge(40);
  EXPECT_EQ(d->deadline(), now + 60s);
  EXPECT_EQ(wait(59s), script{});
  EXPECT_EQ(wait(1s), script{"accepted 1"});
  EXPECT_EQ(d->deadline(), std::nullopt);
}

TEST_F(Streaming, SendsTheTailAgainAfterALoss) {
  for (auto how : {kind::reset, kind::failed, kind::peer_closed}) {
    begin();
    offer(40);
    event(kind::connected);
    offer(50);
    acknowledge(40);
    EXPECT_EQ(event(how), (script{"close", "trouble"}));
    EXPECT_EQ(wait(125ms), script{"connect"});
    EXPECT_EQ(event(kind::connected), (script{"send 40", "send 50"}));
  }
}

TEST_F(Streaming, TellsOfALossSoThatAcceptedBatchesAreSentAgain) {
  begin();
  offer(40);
  event(kind::connected);
  acknowledge(40);
  wait(60s);
  EXPECT_EQ(event(kind::peer_closed), (script{"close", "lost"}));
  // Nothing to send: no connection.
  EXPECT_EQ(d->deadline(), std::nullopt);
}

TEST_F(Streaming, StopsAskingWhileTooMuchIsUnderWay) {
  begin();
  offer(150);
  EXPECT_EQ(offer(150), script{});
  EXPECT_EQ(event(kind::connected), (script{"send 150", "send 150"}));
  EXPECT_EQ(acknowledge(150), script{"ask"});
}

TEST_F(Streaming, ConfirmsWhatIsLeftAtTheEnd) {
  begin();
  offer(40);
  event(kind::connected);
  EXPECT_EQ(told(d->finish(now)), script{});
  EXPECT_EQ(acknowledge(40), script{});
  EXPECT_EQ(wait(250ms), script{"half_close"});
  EXPECT_EQ(event(kind::peer_closed, true), (script{"close", "accepted 1"}));
  EXPECT_FALSE(d->busy());
}

TEST_F(Streaming, DoesNotTakeAnEarlyEndForTheConfirmation) {
  begin();
  offer(40);
  event(kind::connected);
  acknowledge(40);
  told(d->finish(now));
  wait(250ms);
  EXPECT_EQ(event(kind::peer_closed, false), (script{"close", "trouble"}));
  EXPECT_TRUE(d->busy());
}

TEST_F(Streaming, TakesABatchThatComesDuringTheEnd) {
  begin();
  offer(40);
  event(kind::connected);
  acknowledge(40);
  told(d->finish(now));
  EXPECT_EQ(offer(50), (script{"send 50", "ask"}));
  acknowledge(90);
  EXPECT_EQ(wait(250ms), script{"half_close"});
  EXPECT_EQ(offer(60), script{"ask"});
  EXPECT_EQ(event(kind::peer_closed, true),
            (script{"close", "accepted 1", "accepted 2", "connect"}));
}

TEST_F(Streaming, DeliversOneByOneWhatIsRefusedThreeTimes) {
  begin();
  offer(40);
  offer(50);
  for (int i = 0; i < 2; ++i) {
    event(kind::connected);
    event(kind::reset);
    wait(5s);
  }
  event(kind::connected);
  EXPECT_EQ(event(kind::reset), (script{"close"}));
  EXPECT_FALSE(d->streams());
  EXPECT_EQ(wait(5s), script{"connect"});
  EXPECT_EQ(event(kind::connected), script{"send 40"});
  auto confirm = [this] {
    acknowledge(sent);
    wait(250ms);
    return event(kind::peer_closed, true);
  };
  confirm();
  EXPECT_EQ(event(kind::connected), script{"send 50"});
  confirm();
  EXPECT_TRUE(d->streams()); // all that was in doubt is delivered
}

TEST_F(Streaming, TakesThePlaceOfConfirmationThatNeverCame) {
  config.delivery = delivery_mode::confirmed;
  begin();
  offer(40);
  script done;
  for (int i = 0; i < 3; ++i) {
    event(kind::connected);
    acknowledge(40);
    wait(250ms);
    EXPECT_FALSE(d->streams());
    // No second connection while it may still confirm.
    EXPECT_EQ(wait(59s), script{});
    done = wait(1s);
    if (i < 2)
      wait(5s);
  }
  EXPECT_EQ(done, (script{"close", "fell back", "ask"}));
  EXPECT_TRUE(d->streams());
  EXPECT_EQ(wait(5s), script{"connect"});
  EXPECT_EQ(event(kind::connected), script{"send 40"});
  acknowledge(40);
  EXPECT_EQ(wait(60s), (script{"accepted 1", "recovered"}));
  // At the end silence is the best that can be had.
  // Ten minutes later it is asked for confirmation again ...
  now += 9min;
  offer(50);
  EXPECT_TRUE(d->streams());
  acknowledge(90);
  EXPECT_FALSE(d->streams());
  EXPECT_EQ(wait(0ms), script{});
  event(kind::connected);
  acknowledge(50);
  EXPECT_EQ(wait(250ms), script{"half_close"});
  // ... and once is enough to see that it still does not.
  wait(60s);
  EXPECT_TRUE(d->streams());
  wait(5s);
  event(kind::connected);
  acknowledge(50);
  now += 11min;
  wait(0ms);
  offer(60);
  acknowledge(110);
  EXPECT_FALSE(d->streams());
  event(kind::connected);
  acknowledge(60);
  wait(250ms);
  auto end = event(kind::peer_closed, true);
  EXPECT_EQ(std::count(end.begin(), end.end(), "confirms"), 1);
  EXPECT_FALSE(d->streams());
}

TEST_F(Streaming, NeverReplacesConfirmationThatCameOnce) {
  config.delivery = delivery_mode::confirmed;
  config.connect_ahead = false;
  begin();
  offer(40);
  event(kind::connected);
  acknowledge(40);
  wait(250ms);
  event(kind::peer_closed, true);
  offer(40);
  for (int i = 0; i < 10; ++i) {
    event(kind::connected);
    acknowledge(40);
    wait(250ms);
    wait(60s);
    EXPECT_FALSE(d->streams());
    wait(5s);
  }
}

TEST_F(Streaming, BeginsAnewForANewActor) {
  begin();
  offer(40);
  event(kind::connected);
  acknowledge(40);
  EXPECT_EQ(told(d->adopt(now)), (script{"close", "ask afresh"}));
}

TEST_F(Streaming, TrustsSilenceAtTheEndOfAPeerThatNeverConfirms) {
  config.delivery = delivery_mode::confirmed;
  begin();
  offer(40);
  for (int i = 0; i < 3; ++i) {
    event(kind::connected);
    acknowledge(40);
    wait(250ms);
    wait(60s);
    wait(5s);
  }
  event(kind::connected);
  acknowledge(40);
  told(d->finish(now));
  EXPECT_EQ(wait(250ms), (script{"close", "accepted 1", "recovered"}));
}

} // namespace
} // namespace bpf2graphite
