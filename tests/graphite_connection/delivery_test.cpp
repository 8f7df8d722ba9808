#include "actors/graphite_connection/delivery.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using kind = wire_event_kind;

std::string words(const delivery_action& action) {
  auto attempt = [](auto& a) {
    return std::to_string(a.attempt);
  };
  if (auto a = std::get_if<wire_connect>(&action))
    return "connect " + attempt(*a)
           + (a->address > 0 ? " to " + std::to_string(a->address) : "");
  if (auto a = std::get_if<wire_send>(&action)) {
    std::string text;
    for (auto c : *a->lines)
      if (c == '\n')
        text += ",";
      else if (text.empty() || text.back() == ',')
        text += c; // the first letter of each line says which one
    return "send " + attempt(*a) + " " + text;
  }
  if (auto a = std::get_if<wire_half_close>(&action))
    return "half_close " + attempt(*a);
  if (auto a = std::get_if<wire_close>(&action))
    return "close " + attempt(*a);
  if (std::holds_alternative<ask_batch>(action))
    return "ask";
  if (auto a = std::get_if<delivery_report>(&action)) {
    if (a->kind == delivery_report::what::lost)
      return "lost";
    return "accepted " + std::to_string(a->id)
           + (a->parked > 0 ? " but " + std::to_string(a->parked) : "");
  }
  auto& n = std::get<delivery_note>(action);
  switch (n.kind) {
    case delivery_note::what::trouble:
      return "trouble: " + n.reason;
    case delivery_note::what::recovered:
      return "recovered after " + std::to_string(n.lasted.count());
    case delivery_note::what::parked:
      return "parked " + n.reason.substr(0, 1);
    case delivery_note::what::parked_part:
      return "parked part";
    case delivery_note::what::ahead_off:
      return "ahead off";
    case delivery_note::what::fell_back:
      return "fell back";
    case delivery_note::what::confirms:
      return "confirms";
  }
  return "?";
}

class Delivery : public ::testing::Test {
protected:
  graphite_config config;
  destination_ledger books;
  std::optional<delivery> d;
  steady_time now{1h};
  double random = 0.5;
  std::uint64_t attempt = 0; // the newest
  std::vector<delivery_report> reports;
  using script = std::vector<std::string>;

  void make(std::size_t addresses = 1) {
    d.emplace(config, 0, addresses, "probe", books);
  }

  script told(delivery_actions actions) {
    script result;
    for (auto& a : actions) {
      result.push_back(words(a));
      if (auto c = std::get_if<wire_connect>(&a))
        attempt = c->attempt;
      if (auto r = std::get_if<delivery_report>(&a))
        reports.push_back(*r);
    }
    EXPECT_TRUE(d->valid());
    return result;
  }

  script begin() {
    make();
    return told(d->adopt(now));
  }

  script offer(std::uint64_t id = 1, std::string lines = "a 1 15\nb 1 15\n") {
    auto points =
      static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n'));
    return told(d->offer(
      {id, std::make_shared<const std::string>(std::move(lines)), points, 15},
      now));
  }

  script event(kind k, std::uint64_t bytes = 0, bool after = false,
               std::string reason = "why") {
    return told(
      d->wire({attempt, k, bytes, after, std::move(reason)}, now, random));
  }

  script wait(std::chrono::milliseconds time) {
    now += time;
    return told(d->time_passed(now, random));
  }

  /// From `connecting` to `confirming`.
  void go_confirming() {
    event(kind::connected);
    event(kind::acknowledged, 1 << 20);
    wait(250ms);
  }

  script accept() {
    go_confirming();
    return event(kind::peer_closed, 0, true);
  }

  /// The peer ends the connection after everything was sent.
  script refuse() {
    event(kind::connected);
    return event(kind::peer_closed);
  }
};

TEST_F(Delivery, AsksForABatchFirst) {
  EXPECT_EQ(begin(), script{"ask"});
  EXPECT_FALSE(d->deadline());
  EXPECT_FALSE(d->busy());
}

TEST_F(Delivery, ConfirmsOneBatchAndConnectsAhead) {
  begin();
  EXPECT_EQ(offer(), script{"connect 1"});
  EXPECT_FALSE(d->deadline());
  EXPECT_EQ(event(kind::connected), script{"send 1 a,b,"});
  EXPECT_EQ(event(kind::acknowledged, 13), script{});
  EXPECT_FALSE(d->deadline());
  EXPECT_EQ(event(kind::acknowledged, 14), script{});
  EXPECT_EQ(d->deadline(), now + 250ms);
  EXPECT_EQ(wait(249ms), script{});
  EXPECT_EQ(wait(1ms), script{"half_close 1"});
  EXPECT_EQ(d->deadline(), now + 60s);
  EXPECT_EQ(event(kind::peer_closed, 0, true),
            (script{"close 1", "accepted 1", "connect 2", "ask"}));
  EXPECT_EQ(reports.back().at, now);
  EXPECT_FALSE(d->deadline());
  EXPECT_EQ(books.connects, 2);
  EXPECT_EQ(books.refusals, 0);
}

TEST_F(Delivery, SendsTheNextBatchOnTheConnectionAhead) {
  begin();
  offer();
  accept();
  EXPECT_EQ(event(kind::connected), script{});
  now += 15s;
  EXPECT_EQ(offer(2), script{"send 2 a,b,"});
}

TEST_F(Delivery, WaitsForTheConnectionAheadWithTheNextBatch) {
  begin();
  offer();
  accept();
  EXPECT_EQ(offer(2), script{});
  EXPECT_EQ(event(kind::connected), script{"send 2 a,b,"});
}

TEST_F(Delivery, DoesNotConnectAheadWhenItMayNot) {
  config.connect_ahead = false;
  begin();
  offer();
  EXPECT_EQ(accept(), (script{"close 1", "accepted 1", "ask"}));
  EXPECT_EQ(offer(2), script{"connect 2"});
}

// What happens to a batch under way, at each stage, and what is done then.
TEST_F(Delivery, KeepsTheBatchWhateverHappensToTheConnection) {
  struct {
    const char* name;
    int stage; // 0 connecting, 1 sending, 2 settling, 3 confirming
    kind what;
    bool after;
    bool refused;
  } cases[] = {
    {"connect failed", 0, kind::failed, false, false},
    {"reset while sending", 1, kind::reset, false, true},
    {"FIN while sending", 1, kind::peer_closed, false, true},
    {"no progress", 1, kind::failed, false, false},
    {"FIN while settling", 2, kind::peer_closed, false, true},
    {"reset while settling", 2, kind::reset, false, true},
    {"reset while confirming", 3, kind::reset, false, true},
    {"FIN that came before our half-close", 3, kind::peer_closed, false, true},
    {"keepalive time-out while confirming", 3, kind::failed, false, false},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.name);
    books.refusals = 0;
    begin();
    offer();
    if (c.stage > 0)
      event(kind::connected);
    if (c.stage > 1)
      event(kind::acknowledged, 14);
    if (c.stage > 2)
      wait(250ms);
    auto done = event(c.what, 0, c.after);
    ASSERT_EQ(done.size(), 2);
    EXPECT_EQ(done[0], "close 1");
    EXPECT_EQ(done[1].substr(0, 9), "trouble: ");
    EXPECT_TRUE(d->busy());
    EXPECT_EQ(books.refusals, c.refused ? 1 : 0);
    EXPECT_EQ(d->deadline(), now + 125ms); // half of 250 ms
    EXPECT_EQ(wait(124ms), script{});
    EXPECT_EQ(wait(1ms), script{"connect 2"});
    EXPECT_EQ(event(kind::connected), script{"send 2 a,b,"});
  }
}

TEST_F(Delivery, GivesUpAConnectionThatDoesNotConfirm) {
  begin();
  offer();
  go_confirming();
  EXPECT_EQ(wait(59'999ms), script{}); // and no second connection meanwhile
  EXPECT_EQ(
    wait(1ms),
    (script{"close 1", "trouble: has all bytes but did not confirm them within "
                       "60 s"}));
  EXPECT_EQ(books.refusals, 0);
  EXPECT_EQ(wait(125ms), script{"connect 2"});
}

TEST_F(Delivery, IgnoresEventsOfAnOlderAttempt) {
  begin();
  offer();
  event(kind::failed);
  wait(125ms);
  for (auto k : {kind::connected, kind::acknowledged, kind::peer_closed,
                 kind::reset, kind::failed})
    EXPECT_EQ(told(d->wire({1, k, 99, true, ""}, now, random)), script{});
  EXPECT_EQ(event(kind::connected), script{"send 2 a,b,"});
}

TEST_F(Delivery, DoublesItsPausesUpToFiveSecondsWithFullJitter) {
  begin();
  random = 0.999999;
  offer();
  std::vector<int> pauses;
  for (int i = 0; i < 8; ++i) {
    event(kind::failed);
    auto pause =
      std::chrono::duration<double, std::milli>(*d->deadline() - now);
    pauses.push_back(static_cast<int>(pause.count() + 0.5));
    wait(6s);
  }
  EXPECT_EQ(pauses,
            (std::vector{250, 500, 1000, 2000, 4000, 5000, 5000, 5000}));
  random = 0;
  event(kind::failed);
  EXPECT_EQ(attempt, 10); // at once
}

TEST_F(Delivery, CountsThePauseFromTheBeginningOfAConnectThatWaited) {
  begin();
  random = 0.999999;
  offer();
  for (int i = 0; i < 8; ++i) { // into a black hole
    event(kind::failed);
    wait(6s);
  }
  auto before = attempt;
  now += 4s; // of the connect, which has begun above
  event(kind::failed);
  EXPECT_EQ(attempt, before);
  auto pause = *d->deadline() - now;
  EXPECT_LT(pause, 1001ms);
  EXPECT_GT(pause, 999ms);
  wait(1001ms);
  now += 5s;
  event(kind::failed);
  EXPECT_EQ(attempt, before + 2); // at once
  go_confirming();
  event(kind::failed); // a pause for what went wrong later begins there
  pause = *d->deadline() - now;
  EXPECT_GT(pause, 4999ms);
}

TEST_F(Delivery, DoesNotOverflowItsPausesInALongOutage) {
  begin();
  random = 0.5;
  offer();
  for (int i = 0; i < 1000; ++i) {
    event(kind::failed);
    ASSERT_LE(*d->deadline(), now + 5s);
    ASSERT_GT(*d->deadline(), now);
    wait(5s);
  }
}

TEST_F(Delivery, BeginsWithShortPausesAgainAfterAnAcceptance) {
  begin();
  offer();
  for (int i = 0; i < 5; ++i) {
    event(kind::failed);
    wait(5s);
  }
  accept();
  event(kind::failed);
  offer(2);
  EXPECT_EQ(d->deadline(), now + 125ms);
}

TEST_F(Delivery, SpeaksOfTroubleOnceAndOfItsEnd) {
  begin();
  offer();
  EXPECT_EQ(event(kind::failed, 0, false, "refused"),
            (script{"close 1", "trouble: refused"}));
  EXPECT_EQ(d->trouble(), "refused");
  wait(5s);
  EXPECT_EQ(event(kind::failed), script{"close 2"});
  wait(5s);
  EXPECT_EQ(accept(), (script{"close 3", "accepted 1", "recovered after 10250",
                              "connect 4", "ask"}));
  EXPECT_EQ(d->trouble(), "");
  EXPECT_FALSE(d->trouble_since());
}

TEST_F(Delivery, TellsWhereItStands) {
  using state = destination_state;
  begin();
  EXPECT_EQ(d->standing(), state::idle);
  offer();
  EXPECT_EQ(d->standing(), state::connecting);
  event(kind::failed, 0, false, "nobody listens");
  EXPECT_EQ(d->standing(), state::unreachable);
  wait(5s);
  EXPECT_EQ(d->standing(), state::unreachable) << "until one is accepted";
  event(kind::connected);
  event(kind::reset, 0, false, "reset");
  EXPECT_EQ(d->standing(), state::refused);
  wait(5s);
  event(kind::connected);
  event(kind::failed, 0, false, "takes no bytes");
  EXPECT_EQ(d->standing(), state::frozen);
  wait(5s);
  accept();
  EXPECT_EQ(d->standing(), state::connecting) << "ahead";
  event(kind::connected);
  EXPECT_EQ(d->standing(), state::connected);
  offer(2);
  EXPECT_EQ(d->standing(), state::sending);
}

// -- losses of what was accepted ----------------------------------------------

TEST_F(Delivery, ReportsALossWhenTheIdleConnectionEnds) {
  begin();
  offer();
  accept();
  auto began = now;
  event(kind::connected);
  now += 10s;
  EXPECT_EQ(event(kind::peer_closed), (script{"close 2", "lost"}));
  EXPECT_EQ(reports.back().at, began);
  EXPECT_FALSE(d->trouble_since());
  // It does not connect before there is something to send.
  EXPECT_FALSE(d->deadline());
  EXPECT_EQ(offer(1), script{});
  EXPECT_EQ(wait(125ms), script{"connect 3"});
}

TEST_F(Delivery, ReportsOneLossForOneAcceptance) {
  begin();
  offer();
  accept();
  EXPECT_EQ(event(kind::failed), (script{"close 2", "lost", "trouble: why"}));
  offer(2);
  for (int i = 0; i < 5; ++i) {
    wait(5s);
    EXPECT_EQ(event(kind::failed), script{"close " + std::to_string(attempt)});
  }
  wait(5s);
  accept();
  EXPECT_EQ(event(kind::reset).at(1), "lost");
}

TEST_F(Delivery, ReportsTheBeginningOfTheAttemptThatFailed) {
  begin();
  offer();
  accept();
  event(kind::connected);
  auto began = now;
  now += 20s;
  offer(2);
  event(kind::acknowledged, 14);
  wait(250ms);
  event(kind::reset);
  EXPECT_EQ(reports.back().at, began);
}

TEST_F(Delivery, StopsConnectingAheadToAPeerThatClosesIdleConnections) {
  begin();
  for (std::uint64_t id = 1; id <= 3; ++id) {
    offer(id);
    wait(250ms); // the pause after the idle end before
    if (id == 1) {
      EXPECT_EQ(accept().at(2), "connect 2");
    } else {
      EXPECT_EQ(event(kind::connected).size(), 1); // no note yet
      event(kind::acknowledged, 14);
      wait(250ms);
      event(kind::peer_closed, 0, true);
    }
    event(kind::connected); // ahead
    now += 10s;
    EXPECT_EQ(event(kind::peer_closed).at(1), "lost");
  }
  offer(4);
  wait(250ms);
  EXPECT_EQ(event(kind::connected), (script{"ahead off", "send 7 a,b,"}));
  event(kind::acknowledged, 14);
  wait(250ms);
  EXPECT_EQ(event(kind::peer_closed, 0, true),
            (script{"close 7", "accepted 4", "ask"})); // and no connect
  now += 10min;
  offer(5);
  EXPECT_EQ(accept().at(2), "connect 9");
}

// -- poison -------------------------------------------------------------------

TEST_F(Delivery, CutsABatchThatWasRefusedThreeTimes) {
  begin();
  offer(1, "a 1 15\nb 1 15\nx 1 15\nd 1 15\n");
  refuse();
  wait(5s);
  refuse();
  wait(5s);
  auto sends = [this](script done) {
    EXPECT_EQ(done.back(), "connect " + std::to_string(attempt));
    return event(kind::connected).at(0).substr(5 + 2);
  };
  EXPECT_EQ(sends(refuse()), "a,b,"); // without a pause
  event(kind::acknowledged, 99);
  wait(250ms);
  EXPECT_EQ(sends(event(kind::peer_closed, 0, true)), "x,d,");
  // Alone refused, nothing left to try: is it the server?
  EXPECT_EQ(sends(event(kind::peer_closed)), "p,");
  event(kind::acknowledged, 99);
  wait(250ms);
  EXPECT_EQ(sends(event(kind::peer_closed, 0, true)), "x,");
  EXPECT_EQ(sends(event(kind::reset)), "d,");
  event(kind::acknowledged, 99);
  wait(250ms);
  auto done = event(kind::peer_closed, 0, true);
  for (int i = 1; i < confirmed_delivery::line_refusals_max; ++i) {
    auto text = event(kind::connected).at(0);
    EXPECT_EQ(text.back(), ',');
    EXPECT_NE(text.find(" x,"), text.npos);
    event(kind::reset);
    EXPECT_NE(event(kind::connected).at(0).find(" p,"), text.npos);
    event(kind::acknowledged, 99);
    wait(250ms);
    done = event(kind::peer_closed, 0, true);
  }
  EXPECT_EQ(done.at(1), "parked x");
  EXPECT_EQ(done.at(2), "accepted 1 but 1");
  EXPECT_EQ(done.at(3), "lost"); // its first half may be gone
  EXPECT_EQ(*reports.at(reports.size() - 2).lines, "a 1 15\nb 1 15\nd 1 15\n");
  EXPECT_EQ(d->busy(), false);
}

TEST_F(Delivery, ParksNothingWhenTheServerIsAtFault) {
  begin();
  offer(1, "a 1 15\nb 1 15\n");
  refuse();
  wait(5s);
  refuse();
  wait(5s);
  refuse(); // a, refused
  refuse(); // b, refused
  auto sent = [this] {
    return event(kind::connected).at(0).substr(5);
  };
  EXPECT_EQ(refuse().back(), "connect 6");
  for (std::uint64_t i = 6; i < 20; ++i) {
    EXPECT_EQ(sent(), std::to_string(i) + " p,");
    EXPECT_EQ(event(kind::peer_closed), script{"close " + std::to_string(i)});
    EXPECT_GT(*d->deadline(), now); // it waits
    wait(5s);
  }
  // The server is well again: all is accepted, nothing parked.
  accept();
  accept();
  auto done = accept();
  EXPECT_EQ(done.at(1), "accepted 1");
  EXPECT_EQ(done.at(2).substr(0, 9), "recovered");
}

TEST_F(Delivery, AsksForProofAfterTwoRefusedPartsEvenIfMoreAreLeft) {
  begin();
  offer(1, "a 1 15\nb 1 15\nc 1 15\nd 1 15\n");
  refuse();
  wait(5s);
  refuse();
  wait(5s);
  refuse(); // whole
  refuse(); // a, b
  refuse(); // c, d
  accept(); // the probe: four lines are left
  refuse();
  refuse();
  EXPECT_EQ(event(kind::connected).at(0).substr(7), "p,");
}

TEST_F(Delivery, GoesOnCuttingAfterTheServerWasAway) {
  begin();
  offer(1, "a 1 15\nx 1 15\n");
  refuse();
  wait(5s);
  refuse();
  wait(5s);
  refuse();
  EXPECT_EQ(event(kind::connected), script{"send 4 a,"});
  event(kind::failed);
  wait(5s);
  event(kind::failed);
  wait(5s);
  EXPECT_EQ(event(kind::connected), script{"send 6 a,"});
}

TEST_F(Delivery, ParksABatchOfOneLine) {
  begin();
  offer(1, "x 1 15\n");
  for (int i = 0; i < 3; ++i) {
    refuse();
    wait(5s);
  }
  script done;
  for (int i = 0; i < confirmed_delivery::line_refusals_max; ++i) {
    refuse();
    done = accept(); // the probe
  }
  EXPECT_EQ(done, (script{"close " + std::to_string(attempt - 1), "parked x",
                          "accepted 1 but 1", "recovered after 17500",
                          "connect " + std::to_string(attempt), "ask"}));
  EXPECT_EQ(*reports.back().lines, "");
}

// The peer refuses every text that holds a bad line and takes all others.
TEST_F(Delivery, FindsTheBadLinesAndDeliversAllOthers) {
  for (std::size_t lines : {2, 3, 10, 1000, 20'000}) {
    for (std::size_t bad_lines : {1, 2, 7}) {
      if (bad_lines >= lines)
        continue;
      SCOPED_TRACE(lines);
      SCOPED_TRACE(bad_lines);
      now += 1h;
      reports.clear();
      begin();
      std::set<std::string> bad;
      std::set<std::string> good;
      std::string text;
      for (std::size_t i = 0; i < lines; ++i) {
        auto is_bad = i * bad_lines / lines != (i + 1) * bad_lines / lines;
        auto line = (is_bad ? "x" : "g") + std::to_string(i) + " 1 15";
        (is_bad ? bad : good).insert(line);
        text += line + "\n";
      }
      std::set<std::string> accepted;
      auto first = attempt = 0;
      auto began = now;
      auto actions = d->offer(
        {1, std::make_shared<const std::string>(text), lines, 15}, now);
      while (d->busy()) {
        for (auto& a : actions)
          if (auto c = std::get_if<wire_connect>(&a))
            attempt = c->attempt;
        if (d->deadline()) {
          now = std::max(now, *d->deadline());
          actions = d->time_passed(now, random);
          continue;
        }
        actions = d->wire({attempt, kind::connected, 0, false, ""}, now, 0.5);
        auto sent = std::get<wire_send>(actions.at(0)).lines;
        if (sent->find('x') != sent->npos) {
          actions = d->wire({attempt, kind::reset, 0, false, ""}, now, 0.5);
        } else {
          d->wire({attempt, kind::acknowledged, sent->size(), false, ""}, now,
                  0.5);
          now += 250ms;
          d->time_passed(now, 0.5);
          now += 10ms;
          std::istringstream stream{*sent};
          for (std::string line; std::getline(stream, line);)
            accepted.insert(line);
          actions =
            d->wire({attempt, kind::peer_closed, 0, true, ""}, now, 0.5);
        }
        ASSERT_LT(attempt - first, 1000);
      }
      accepted.erase("probe 1 15");
      EXPECT_EQ(accepted, good);
      told(std::move(actions));
      EXPECT_EQ(reports.at(0).parked, bad_lines);
      if (bad_lines == 1) {
        EXPECT_LT(now - began, 60s);
      }
    }
  }
}

TEST_F(Delivery, ParksWholePartsWhenThereAreTooManyBadLines) {
  begin();
  std::string text;
  for (int i = 0; i < 4000; ++i)
    text += "x 1 15\n";
  auto actions =
    d->offer({1, std::make_shared<const std::string>(text), 4000, 15}, now);
  std::uint64_t newest = 0;
  while (d->busy()) {
    for (auto& a : actions)
      if (auto c = std::get_if<wire_connect>(&a))
        newest = c->attempt;
    ASSERT_LT(newest, 5000);
    if (d->deadline()) {
      now = std::max(now, *d->deadline());
      actions = d->time_passed(now, 0.5);
      continue;
    }
    actions = d->wire({newest, kind::connected, 0, false, ""}, now, 0.5);
    auto sent = std::get<wire_send>(actions.at(0)).lines;
    if (sent->front() == 'x') {
      actions = d->wire({newest, kind::reset, 0, false, ""}, now, 0.5);
    } else {
      d->wire({newest, kind::acknowledged, sent->size(), false, ""}, now, 0.5);
      now += 250ms;
      d->time_passed(now, 0.5);
      actions = d->wire({newest, kind::peer_closed, 0, true, ""}, now, 0.5);
    }
  }
  told(std::move(actions));
  EXPECT_EQ(reports.back().parked, 4000);
}

// -- the actor's life ---------------------------------------------------------

TEST_F(Delivery, SendsTheBatchUnderWayAgainForANewActor) {
  begin();
  offer();
  event(kind::connected);
  EXPECT_EQ(told(d->adopt(now)), (script{"close 1", "connect 2"}));
  EXPECT_EQ(event(kind::connected), script{"send 2 a,b,"});
}

TEST_F(Delivery, AsksAgainForANewActor) {
  begin();
  offer();
  accept();
  event(kind::connected);
  EXPECT_EQ(told(d->adopt(now)), (script{"close 2", "ask"}));
}

TEST_F(Delivery, KeepsItsPauseForANewActor) {
  begin();
  offer();
  event(kind::failed);
  EXPECT_EQ(told(d->adopt(now)), script{});
  EXPECT_EQ(d->deadline(), now + 125ms);
}

TEST_F(Delivery, ClosesTheIdleConnectionAtTheEnd) {
  begin();
  offer();
  accept();
  event(kind::connected);
  EXPECT_EQ(told(d->finish(now)), script{"close 2"});
  EXPECT_EQ(offer(2), script{"connect 3"});
  EXPECT_EQ(accept(), (script{"close 3", "accepted 2", "ask"}));
}

TEST_F(Delivery, DoesNotCutTheBatchUnderWayAtTheEnd) {
  begin();
  offer();
  event(kind::connected);
  EXPECT_EQ(told(d->finish(now)), script{});
  event(kind::acknowledged, 14);
  wait(250ms);
  EXPECT_EQ(event(kind::peer_closed, 0, true),
            (script{"close 1", "accepted 1", "ask"}));
}

// -- failover -----------------------------------------------------------------

TEST_F(Delivery, TakesTheNextAddressAtOnceAndComesBackLater) {
  make(2);
  told(d->adopt(now));
  EXPECT_EQ(offer(), script{"connect 1"});
  EXPECT_EQ(event(kind::failed),
            (script{"close 1", "trouble: why", "connect 2 to 1"}));
  EXPECT_EQ(accept().at(3), "connect 3 to 1"); // ahead
  now += 60s;
  event(kind::connected);
  offer(2); // on the connection that stands
  event(kind::acknowledged, 99);
  wait(250ms);
  EXPECT_EQ(event(kind::peer_closed, 0, true).at(2), "connect 4");
  // Both down: pauses again.
  event(kind::failed);
  offer(3);
  event(kind::failed);
  EXPECT_GT(*d->deadline(), now);
}

TEST_F(Delivery, TakesTheBatchUnderWayToOtherAddresses) {
  begin();
  offer();
  go_confirming();
  EXPECT_EQ(told(d->redirect(now)), (script{"close 1", "connect 2"}));
  event(kind::connected);
  EXPECT_TRUE(d->busy());
}

TEST_F(Delivery, DoesNotPauseBeforeOtherAddresses) {
  begin();
  offer();
  event(kind::failed);
  ASSERT_GT(d->deadline(), now);
  EXPECT_EQ(told(d->redirect(now)), script{"connect 2"});
}

TEST_F(Delivery, ClosesTheConnectionAheadForOtherAddresses) {
  begin();
  offer();
  accept();
  event(kind::connected);
  EXPECT_EQ(told(d->redirect(now)), script{"close 2"});
  EXPECT_EQ(offer(2), script{"connect 3"}) << "it had asked already";
}

} // namespace
} // namespace bpf2graphite
