#include "actors/graphite_connection/graphite_connection.hpp"

#include "actors/batcher/batcher.hpp"
#include "messages/exit.hpp"
#include "tests/support/actor_fixture.hpp"

#include <algorithm>
#include <stdexcept>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using kind = wire_event_kind;

struct memory_store : slot_store {
  std::optional<std::string> read() override {
    return std::nullopt;
  }
  bool write(std::string_view) override {
    return true;
  }
};

struct fake_wire : graphite_wire {
  std::vector<std::string> orders;
  std::function<void(wire_event)> listener;
  std::uint64_t attempt = 0;
  std::size_t sent_bytes = 0;

  void listen(std::function<void(wire_event)> l) override {
    listener = std::move(l);
  }
  void connect(std::uint64_t a, const graphite_address& address,
               wire_limits) override {
    attempt = a;
    orders.push_back("connect " + address.host);
  }
  void send(std::uint64_t, std::shared_ptr<const std::string> lines) override {
    sent_bytes = lines->size();
    orders.push_back("send " + *lines);
  }
  void half_close(std::uint64_t) override {
    orders.push_back("half_close");
  }
  void close(std::uint64_t) override {
    orders.push_back("close");
  }
};

using script = std::vector<std::string>;

class GraphiteConnection : public testing::actor_test {
protected:
  batcher_ledger batcher_books;
  destination_ledger books;
  memory_store store;
  slot_record slots{store, INT64_MAX};
  inbox<std::vector<metric>> points;
  inbox<delivery_report> reports;
  batch_queue queue{batcher_config{}, 60s, batcher_books, {&books}};
  std::vector<std::string> log;
  std::function<void()> fault; // of the connection
  log_sink sink = [this](log_level, std::string_view text) {
    log.emplace_back(text);
  };
  batcher_environment batcher_env{batcher_config{},
                                  queue,
                                  points,
                                  reports,
                                  slots,
                                  batcher_books,
                                  [] { return wall_time_from_ms(0); },
                                  sink,
                                  {}};
  fake_wire wire;
  delivery state{graphite_config{}, 0, 1, "probe", books};
  destination_status status;
  connection_environment env{"carbon:2003",
                             0,
                             {{"carbon", 2003}},
                             {},
                             15s,
                             state,
                             wire,
                             reports,
                             books,
                             status,
                             [] { return 0.5; },
                             sink,
                             [this](const char*, const std::string&) {
                               if (fault)
                                 fault();
                             }};
  batcher_actor source;
  graphite_connection_actor subject;
  std::vector<caf::actor> actors;

  GraphiteConnection() {
    source =
      sys.spawn([this](batcher_actor::stateful_pointer<batcher_state> actor) {
        return batcher(actor, batcher_env);
      });
    actors.push_back(caf::actor_cast<caf::actor>(source));
    spawn();
  }

  ~GraphiteConnection() override {
    end_now(actors);
  }

  void spawn() {
    subject = sys.spawn(
      [this](
        graphite_connection_actor::stateful_pointer<graphite_connection_state>
          actor) { return graphite_connection(actor, env, source); });
    actors.push_back(caf::actor_cast<caf::actor>(subject));
    drain();
  }

  void add(const std::string& path) {
    caf::anon_send(source, points.put({{series_name{path}, exact{1}, 15}}));
    drain();
  }

  void batch(const std::string& path) {
    add(path);
    ask<std::uint64_t>(source, caf::flush_atom_v, std::size_t{0});
  }

  void event(kind k, bool after = false, std::string reason = "why") {
    ASSERT_TRUE(wire.listener);
    wire.listener({wire.attempt, k, wire.sent_bytes, after, reason});
    drain();
  }

  /// From connecting to accepted.
  void accept() {
    event(kind::connected);
    confirm();
  }

  void confirm() {
    event(kind::acknowledged);
    advance(250ms);
    event(kind::peer_closed, true);
  }

  script orders() {
    return std::exchange(wire.orders, {});
  }

  void order_to_end(caf::exit_reason reason = caf::exit_reason::user_shutdown) {
    caf::anon_send_exit(subject, reason);
    drain();
  }
};

TEST_F(GraphiteConnection, DeliversABatchAndConnectsAhead) {
  EXPECT_EQ(orders(), script{});
  batch("a");
  EXPECT_EQ(orders(), script{"connect carbon"});
  event(kind::connected);
  EXPECT_EQ(orders(), script{"send a 1 15\n"});
  event(kind::acknowledged);
  advance(249ms);
  EXPECT_EQ(orders(), script{});
  advance(1ms);
  EXPECT_EQ(orders(), script{"half_close"});
  EXPECT_EQ(books.accepted, 0);
  event(kind::peer_closed, true);
  EXPECT_EQ(orders(), (script{"close", "connect carbon"}));
  EXPECT_EQ(books.accepted, 1);
  EXPECT_EQ(books.waiting, 0);
  event(kind::connected);
  batch("b");
  EXPECT_EQ(orders(), script{"send b 1 15\n"});
  EXPECT_TRUE(log.empty());
}

TEST_F(GraphiteConnection, SendsAgainAfterARefusal) {
  batch("a");
  event(kind::connected);
  event(kind::reset);
  orders();
  advance(124ms);
  EXPECT_EQ(orders(), script{});
  advance(1ms);
  EXPECT_EQ(orders(), script{"connect carbon"});
  event(kind::connected);
  EXPECT_EQ(orders(), script{"send a 1 15\n"});
}

TEST_F(GraphiteConnection, SendsOnceMoreWhatAServerThatDiedHadAccepted) {
  batch("a");
  accept();
  event(kind::connected);
  orders();
  advance(5s);
  event(kind::peer_closed); // the idle connection
  advance(125ms);
  EXPECT_EQ(orders(), (script{"close", "connect carbon"}));
  accept();
  EXPECT_EQ(books.accepted, 1);
  EXPECT_EQ(books.resent, 1);
}

TEST_F(GraphiteConnection, SpeaksOnceOfAnOutageAndOnceOfItsEnd) {
  batch("a");
  for (int i = 0; i < 20; ++i) {
    event(kind::failed, false, "connect to 10.0.0.1:2003: Connection refused");
    advance_in_steps(5s, 100ms);
  }
  EXPECT_EQ(log, script{"Graphite carbon:2003: connect to 10.0.0.1:2003: "
                        "Connection refused; 1 point waits"});
  accept();
  ASSERT_EQ(log.size(), 2);
  EXPECT_EQ(log[1], "Graphite carbon:2003 accepts again after 100 s");
}

TEST_F(GraphiteConnection, DoesNotFloodTheLogWhenTroubleComesAndGoes) {
  for (int i = 0; i < 50; ++i) {
    batch("a");
    event(kind::connected);
    event(kind::reset, false, "reset");
    advance(250ms);
    accept();
  }
  // 50 troubles within 25 s: one, and its end.
  EXPECT_EQ(log.size(), 2);
  advance(60s);
  batch("a");
  event(kind::connected);
  event(kind::reset, false, "reset");
  ASSERT_EQ(log.size(), 3);
  EXPECT_EQ(log[2].substr(0, 28), "Graphite carbon:2003: reset;");
  EXPECT_NE(log[2].find("(49 more before were not logged)"), std::string::npos);
}

TEST_F(GraphiteConnection, LogsALineThatIsParked) {
  batch("x");
  for (int i = 0; i < 3; ++i) {
    event(kind::connected);
    event(kind::reset);
    advance(5s);
  }
  for (int i = 0; i < confirmed_delivery::line_refusals_max; ++i) {
    event(kind::connected);
    event(kind::reset);
    accept(); // the probe
  }
  EXPECT_EQ(books.parked, 1);
  EXPECT_EQ(log.at(1), "Graphite carbon:2003 refuses this line, which is left "
                       "out: x 1 15");
}

TEST_F(GraphiteConnection, DeliversWhatIsLeftBeforeItEnds) {
  batch("a");
  add("b"); // in the open batch
  order_to_end();
  EXPECT_FALSE(is_dead(subject));
  accept();
  EXPECT_FALSE(is_dead(subject));
  accept(); // no connect-ahead, but the next batch
  EXPECT_TRUE(is_dead(subject));
  EXPECT_EQ(books.accepted, 2);
  EXPECT_EQ(books.dropped_stop, 0);
  EXPECT_FALSE(wire.listener);
  EXPECT_EQ(orders().back(), "close");
  EXPECT_TRUE(log.empty());
}

TEST_F(GraphiteConnection, EndsAtOnceWhenNothingIsLeft) {
  batch("a");
  accept();
  event(kind::connected);
  order_to_end();
  EXPECT_TRUE(is_dead(subject));
  EXPECT_EQ(orders().back(), "close"); // the idle connection
}

TEST_F(GraphiteConnection, CountsWhatItCouldNotDeliverBeforeTheEnd) {
  batch("a");
  add("b");
  order_to_end();
  for (int i = 0; i < 149; ++i) {
    event(kind::failed, false, "Connection refused");
    advance(100ms);
    ASSERT_FALSE(is_dead(subject));
  }
  advance(100ms);
  EXPECT_TRUE(is_dead(subject));
  EXPECT_EQ(books.dropped_stop, 2);
  EXPECT_EQ(books.waiting, 0);
  EXPECT_EQ(log.back(), "Graphite carbon:2003 did not accept 2 points before "
                        "the end: Connection refused");
}

TEST_F(GraphiteConnection, EndsAtOnceWhenItIsToldTwice) {
  batch("a");
  order_to_end();
  EXPECT_FALSE(is_dead(subject));
  order_to_end();
  EXPECT_TRUE(is_dead(subject));
}

TEST_F(GraphiteConnection, MakesWayAtOnceAndItsSuccessorGoesOn) {
  batch("a");
  event(kind::connected);
  orders();
  order_to_end(restart_reason);
  EXPECT_TRUE(is_dead(subject));
  spawn();
  EXPECT_EQ(orders(), (script{"close", "connect carbon"}));
  accept();
  EXPECT_EQ(books.accepted, 1);
}

TEST_F(GraphiteConnection, LosesNothingByACrashAtAnyMessage) {
  for (int at = 0; at < 12; ++at) {
    int n = 0;
    fault = [&] {
      if (n++ == at) {
        fault = nullptr;
        throw std::runtime_error{"test"};
      }
    };
    auto before = books.accepted.load();
    batch("a" + std::to_string(at));
    for (int step = 0; step < 60 && books.accepted == before; ++step) {
      if (is_dead(subject))
        spawn();
      auto now = orders();
      auto last = now.empty() ? "" : now.back();
      if (last == "connect carbon")
        event(kind::connected);
      else if (last.substr(0, 4) == "send")
        event(kind::acknowledged);
      else if (last == "half_close")
        event(kind::peer_closed, true);
      else
        advance(250ms);
    }
    ASSERT_EQ(books.accepted, before + 1) << at;
    fault = nullptr;
    // Back to the beginning: no connection.
    if (is_dead(subject))
      spawn();
    event(kind::failed);
    advance(5s);
  }
  EXPECT_TRUE(queue.valid());
}

TEST_F(GraphiteConnection, EndsWithTheBatcher) {
  caf::anon_send_exit(source, caf::exit_reason::kill);
  drain();
  EXPECT_TRUE(is_dead(subject));
}

TEST_F(GraphiteConnection, ListensNoMoreAfterItsEnd) {
  order_to_end(restart_reason);
  ASSERT_TRUE(wire.listener); // it is asked still, and finds nobody
  wire.listener({1, kind::connected, 0, false, ""});
  EXPECT_EQ(drain(), 0);
}

TEST_F(GraphiteConnection, LeavesFewTimersBehind) {
  for (int i = 0; i < 100; ++i) {
    batch("a");
    accept();
    event(kind::connected);
    ASSERT_LE(sched.clock().schedule().size(), 3);
    advance(14'750ms);
  }
  advance(60s);
  EXPECT_EQ(sched.clock().schedule().size(), 0);
}

struct fake_render : render_wire {
  std::function<void(render_answer)> listener;
  std::uint64_t number = 0;
  std::string query;

  void listen(std::function<void(render_answer)> l) override {
    listener = std::move(l);
  }
  void get(std::uint64_t n, std::string q) override {
    number = n;
    query = std::move(q);
  }
};

class ReadingBack : public GraphiteConnection {
protected:
  arrival_check arrivals;
  fake_render render;

  void begin() {
    end_now(std::vector<caf::actor>{actors.back()});
    env.arrivals = &arrivals;
    env.render = &render;
    spawn();
  }

  void answer(std::optional<std::string> body) {
    ASSERT_TRUE(render.listener);
    render.listener({render.number, std::move(body), "no route"});
    drain();
  }
};

TEST_F(ReadingBack, SendsAgainWhatIsNotThere) {
  begin();
  batch("a");
  accept();
  advance(5s);
  EXPECT_EQ(render.query, "?format=json&noCache=1&from=0&until=135&target=a");
  EXPECT_EQ(queue.bytes(0), 7); // kept
  answer("[]");
  render.query.clear();
  advance(10s);
  EXPECT_NE(render.query, "");
  orders();
  answer("[]");
  EXPECT_EQ(books.unseen, 1);
  EXPECT_NE(log.back().find("accepted points of 1 slot that are not there"),
            std::string::npos)
    << log.back();
  auto sent = orders();
  EXPECT_EQ(std::count_if(sent.begin(), sent.end(),
                          [](auto& order) { return order == "send a 1 15\n"; }),
            0); // the connection ahead is not there yet
  accept();
  EXPECT_EQ(books.resent, 1);
  EXPECT_EQ(books.accepted, 1);
}

TEST_F(ReadingBack, GoesOnWithoutAnAnswer) {
  begin();
  batch("a");
  accept();
  advance(5s);
  answer(std::nullopt);
  EXPECT_NE(log.back().find("no route; nothing can be read back"),
            std::string::npos)
    << log.back();
  batch("b");
  accept();
  EXPECT_EQ(books.accepted, 2);
  advance(10s);
  answer("[{\"target\": \"a\", \"datapoints\": [[1, 15]]}]");
  EXPECT_EQ(log.back(), "render-url answers again");
}

} // namespace
} // namespace bpf2graphite
