// The queue and the delivery against a model of a server and its network that
// does everything bad in random order, on virtual time; the daemon may end,
// too, and go on with its spool. What must hold:
//
// - at the end every point is stored by a server that lived on: sent at least
//   once, and again where a server died with it;
// - a connection carries whole lines only, and there is one at a time;
// - our half-close comes confirm_delay after the last acknowledgement;
// - attempts in any minute are bounded;
// - once the faults end, everything is delivered soon.

#include "actors/batcher/batch_queue.hpp"
#include "actors/batcher/spool_format.hpp"
#include "actors/graphite_connection/delivery.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <sstream>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using kind = wire_event_kind;

/// What goes wrong, in percent of the chances it has.
struct weather {
  const char* name;
  unsigned refuse = 0;    // connect fails
  unsigned hang = 0;      // takes no byte, or does not confirm
  unsigned reset = 0;     // after some bytes
  unsigned early_fin = 0; // after all bytes
  unsigned die = 0;       // after an acceptance, with what it had not stored
  unsigned idle_end = 0;  // closes the connection ahead, and lives on
  bool poison = false;    // resets when it reads a line with "bad"
  bool mute = false;      // reads all, never answers our end
  unsigned unread = 0;    // dies with bytes that only its kernel has
  bool stream = false;
  unsigned restart = 0; // of the daemon, through its spool
  std::chrono::seconds resend{60};
  std::size_t attempts_max = 0; // in a minute
};

class world {
public:
  world(const weather& w, unsigned seed) : w_{w}, random_{seed} {
    begin({});
  }

  /// `faults_for` of bad weather with a batch every 15 s, then the sun.
  void live(std::chrono::seconds faults_for) {
    bad_ = true;
    auto end = now_ + faults_for;
    at(end, [this] { bad_ = false; });
    for (auto t = now_; t < end; t += 15s)
      at(t, [this] { make_batch(); });
    pass_until(end);
    // Nothing waits, and nothing more is lost, for longer than a server needs
    // to store.
    pass_until(end + 5min);
    // A peer that never confirms costs a time-out now and then, and two seconds
    // for each part of a batch in which bad lines are looked for.
    for (auto i = 0; w_.mute && books_->waiting > 0 && i < 20; ++i)
      pass_until(now_ + 1min);
    pass_until(now_ + 1min);
    EXPECT_EQ(books_->waiting, 0)
      << "not delivered after the faults had ended; streams: "
      << delivery_->streams() << ", busy: " << delivery_->busy()
      << ", deadline: " << delivery_->deadline().has_value()
      << ", wants: " << wants_ << ", trouble: " << delivery_->trouble();
    EXPECT_TRUE(queue_->valid());
    for (auto& line : issued_)
      if (stored_.count(line) == 0 && line.find("bad") == line.npos)
        ADD_FAILURE() << line << " is lost";
    EXPECT_EQ(parked_ + books_->parked, bad_lines_);
    EXPECT_EQ(books_->dropped_buffer, 0);
    if (w_.attempts_max > 0) {
      EXPECT_LE(attempts_in_a_minute_, w_.attempts_max);
    }
  }

  std::size_t attempts_in_a_minute() const {
    return attempts_in_a_minute_;
  }

private:
  /// A daemon, with what the one before it left.
  void begin(std::vector<metric_batch> left) {
    batcher_config config;
    config.batch_points_max = 7;
    config.join_bytes_first = 40; // so that it grows and shrinks
    books_.emplace();
    queue_.emplace(config, w_.resend, batcher_books_,
                   std::vector<destination_ledger*>{&*books_});
    queue_->restore(0, std::move(left));
    graphite_config graphite;
    graphite.resend = w_.resend;
    if (w_.stream)
      graphite.delivery = delivery_mode::streaming;
    delivery_.emplace(graphite, 0, 1, "probe", *books_);
    ++daemon_;
    wants_ = false;
    run(delivery_->adopt(now_));
  }

  /// The daemon ends in the middle of whatever is under way, and the next one
  /// begins with its spool.
  void restart() {
    auto text = encode_spool("x", queue_->unsent(0));
    queue_->spooled(0);
    EXPECT_TRUE(queue_->valid());
    EXPECT_EQ(books_->waiting, 0);
    run(delivery_->abandon());
    end();
    parked_ += books_->parked;
    auto content = decode_spool(text, "x");
    ASSERT_EQ(content.error, "");
    begin(std::move(content.batches));
  }

  bool chance(unsigned percent) {
    return bad_ && random_() % 100 < percent;
  }

  double fraction() {
    return static_cast<double>(random_() % 1000) / 1000;
  }

  void at(steady_time when, std::function<void()> what) {
    events_.emplace(when, std::move(what));
  }

  void after(std::chrono::milliseconds time, std::uint64_t attempt,
             std::function<void()> what) {
    at(now_ + time, [this, attempt, daemon = daemon_, what = std::move(what)] {
      if (attempt == open_ && daemon == daemon_)
        what();
    });
  }

  void pass_until(steady_time end) {
    for (;;) {
      auto deadline = delivery_->deadline();
      auto next = events_.empty() ? end : events_.begin()->first;
      if (deadline && *deadline <= next && *deadline <= end) {
        now_ = std::max(now_, *deadline);
        run(delivery_->time_passed(now_, fraction()));
        continue;
      }
      if (events_.empty() || next > end)
        break;
      now_ = next;
      auto what = std::move(events_.begin()->second);
      events_.erase(events_.begin());
      what();
    }
    now_ = end;
  }

  void make_batch() {
    std::vector<metric> points;
    for (auto n = random_() % 20; n > 0; --n) {
      auto bad = w_.poison && random_() % 60 == 0;
      bad_lines_ += bad;
      auto path = (bad ? "bad" : "s") + std::to_string(issued_.size());
      points.push_back({series_name{path}, exact{1}, 15});
      issued_.insert(path + " 1 15");
    }
    queue_->add(points);
    queue_->close();
    serve();
    if (chance(w_.restart))
      restart();
  }

  void serve() {
    if (!wants_)
      return;
    if (auto batch = queue_->next(0, false)) {
      wants_ = false;
      run(delivery_->offer(*batch, now_));
    }
  }

  void run(delivery_actions actions) {
    ASSERT_TRUE(delivery_->valid());
    for (auto& a : actions)
      std::visit([this](auto& x) { run(x); }, a);
    serve();
  }

  void run(const wire_connect& c) {
    ASSERT_EQ(open_, 0) << "a second connection";
    open_ = c.attempt;
    attempts_.insert(now_);
    while (*attempts_.begin() <= now_ - 1min)
      attempts_.erase(attempts_.begin());
    if (bad_) // afterwards a backlog is delivered as fast as it can be
      attempts_in_a_minute_ = std::max(attempts_in_a_minute_, attempts_.size());
    if (chance(w_.hang))
      after(5s, open_, [this] { tell(kind::failed); });
    else if (now_ < down_until_ || chance(w_.refuse))
      after(1ms, open_, [this] { tell(kind::failed); });
    else
      after(2ms, open_, [this] {
        if (now_ < down_until_)
          return tell(kind::failed);
        if (chance(w_.idle_end))
          after(std::chrono::milliseconds{random_() % 12'000}, open_, [this] {
            if (text_.empty())
              tell(kind::peer_closed);
          });
        connected_ = true;
        tell(kind::connected);
      });
  }

  void run(const wire_send& s) {
    ASSERT_EQ(s.attempt, open_);
    ASSERT_TRUE(connected_);
    ASSERT_EQ(s.lines->back(), '\n');
    text_ += *s.lines;
    auto bad = text_.find("bad", read_);
    if (bad != text_.npos)
      after(3ms, open_, [this, bad] {
        read(bad);
        tell(kind::reset);
      });
    else if (chance(w_.reset))
      after(3ms, open_, [this] {
        read(read_ + random_() % (text_.size() - read_));
        tell(kind::reset);
      });
    else if (chance(w_.hang))
      after(10s, open_, [this] { tell(kind::failed); });
    else if (chance(w_.unread))
      after(5ms, open_, [this, size = text_.size()] {
        after(std::chrono::milliseconds{random_() % 8'000}, open_,
              [this] { tell(kind::reset); });
        acknowledged_at_ = now_;
        tell(kind::acknowledged, size);
      });
    else
      after(5ms, open_, [this, size = text_.size()] {
        acknowledged_at_ = now_;
        read(size);
        tell(kind::acknowledged, size);
        if (open_ != 0 && chance(w_.early_fin))
          after(std::chrono::milliseconds{random_() % 240}, open_, [this] {
            read(text_.size());
            tell(kind::peer_closed);
          });
      });
  }

  void run(const wire_half_close& h) {
    ASSERT_EQ(h.attempt, open_);
    ASSERT_TRUE(acknowledged_at_);
    ASSERT_GE(now_ - *acknowledged_at_, 250ms);
    if (w_.mute)
      return read(text_.size());
    if (chance(w_.hang))
      return; // it never confirms
    after(20ms, open_, [this] {
      read(text_.size());
      if (chance(w_.reset))
        return tell(kind::reset);
      tell(kind::peer_closed, 0, true);
      if (chance(w_.die))
        at(now_ + std::chrono::milliseconds{random_() % 20'000},
           [this] { die(); });
    });
  }

  void run(const wire_close& c) {
    if (c.attempt == open_)
      end();
  }

  void run(const ask_batch& a) {
    wants_ = true;
    if (a.afresh)
      queue_->give_back(0);
  }

  void run(const delivery_report& r) {
    queue_->report(r);
    ASSERT_TRUE(queue_->valid());
  }

  void run(const delivery_note&) {}

  void end() {
    open_ = 0;
    connected_ = false;
    text_.clear();
    read_ = 0;
    acknowledged_at_.reset();
  }

  void tell(kind k, std::size_t bytes = 0, bool answer = false) {
    auto attempt = open_;
    if (k != kind::connected && k != kind::acknowledged)
      end();
    run(delivery_->wire({attempt, k, bytes, answer, "why"}, now_, fraction()));
  }

  /// The server's process has the lines within the first `bytes`, and stores
  /// them 20 s later if it lives that long.
  void read(std::size_t bytes) {
    std::istringstream stream{text_.substr(read_, bytes - read_)};
    for (std::string line; std::getline(stream, line) && !stream.eof();) {
      read_ += line.size() + 1;
      if (line == "probe 1 15")
        continue;
      ASSERT_EQ(issued_.count(line), 1) << "not one of our lines: " << line;
      at(now_ + 20s, [this, line, life = life_] {
        if (life == life_)
          stored_.insert(line);
      });
    }
  }

  void die() {
    ++life_;
    down_until_ = now_ + std::chrono::milliseconds{500 + random_() % 30'000};
    if (open_ != 0 && connected_)
      tell(kind::reset);
  }

  weather w_;
  std::mt19937 random_;
  batcher_ledger batcher_books_;
  std::optional<destination_ledger> books_;
  std::size_t parked_ = 0; // by daemons of before
  int daemon_ = 0;
  std::optional<batch_queue> queue_;
  std::optional<delivery> delivery_;
  steady_time now_{1h};
  std::multimap<steady_time, std::function<void()>> events_;
  bool bad_ = false;
  bool wants_ = false;

  std::uint64_t open_ = 0; // the attempt
  bool connected_ = false;
  std::string text_;
  std::size_t read_ = 0; // of it, whole lines
  std::optional<steady_time> acknowledged_at_;
  steady_time down_until_{};
  int life_ = 0;

  std::set<std::string> issued_;
  std::set<std::string> stored_;
  std::size_t bad_lines_ = 0;
  std::multiset<steady_time> attempts_;
  std::size_t attempts_in_a_minute_ = 0;
};

const weather weathers[] = {
  {.name = "none", .attempts_max = 20},
  {.name = "refuses", .refuse = 100, .attempts_max = 45},
  {.name = "refuses_often", .refuse = 80},
  {.name = "hangs", .hang = 30},
  {.name = "resets_sometimes", .reset = 20},
  {.name = "resets_always", .reset = 100, .attempts_max = 60},
  {.name = "early_fin_always", .early_fin = 100, .attempts_max = 60},
  {.name = "early_fin", .early_fin = 20},
  {.name = "dies_after_acceptance", .die = 100},
  {.name = "dies_sometimes", .refuse = 5, .die = 20},
  {.name = "closes_idle_connections", .idle_end = 100, .attempts_max = 100},
  {.name = "poison", .poison = true},
  {.name = "poison_and_deaths", .die = 10, .poison = true},
  {.name = "everything",
   .refuse = 10,
   .hang = 5,
   .reset = 10,
   .early_fin = 5,
   .die = 5,
   .idle_end = 20,
   .poison = true},
  {.name = "restarts", .restart = 10},
  {.name = "restarts_and_outages",
   .refuse = 60,
   .hang = 10,
   .reset = 20,
   .early_fin = 10,
   .restart = 10},
  {.name = "restarts_and_poison", .poison = true, .restart = 5},
  {.name = "never_confirms", .mute = true},
  {.name = "never_confirms_and_poison", .poison = true, .mute = true},
  {.name = "never_confirms_and_resets", .reset = 10, .mute = true},
  {.name = "streams", .stream = true, .attempts_max = 5},
  {.name = "streams_to_resets", .reset = 20, .stream = true},
  {.name = "streams_to_refusals", .refuse = 90, .stream = true},
  {.name = "streams_to_hangs", .hang = 30, .stream = true},
  {.name = "streams_to_unread_deaths", .unread = 40, .stream = true},
  {.name = "streams_to_deaths", .die = 100, .unread = 10, .stream = true},
  {.name = "streams_poison", .poison = true, .stream = true},
  {.name = "streams_everything",
   .refuse = 10,
   .hang = 5,
   .reset = 10,
   .early_fin = 5,
   .die = 5,
   .idle_end = 20,
   .poison = true,
   .unread = 5,
   .stream = true},
  {.name = "streams_restarts",
   .refuse = 20,
   .reset = 10,
   .unread = 10,
   .stream = true,
   .restart = 10},
};

class DeliveryModel : public ::testing::TestWithParam<weather> {};

TEST_P(DeliveryModel, LosesNothing) {
  std::size_t most = 0;
  for (unsigned seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(seed);
    world w{GetParam(), seed};
    w.live(20min);
    most = std::max(most, w.attempts_in_a_minute());
    if (HasFailure())
      return;
  }
  // No tight loop, whatever happens.
  EXPECT_LE(most, 400);
  RecordProperty("attempts_in_a_minute", static_cast<int>(most));
  std::cout << "attempts in the worst minute: " << most << "\n";
}

INSTANTIATE_TEST_SUITE_P(Weather, DeliveryModel, ::testing::ValuesIn(weathers),
                         [](auto& p) { return p.param.name; });

} // namespace
} // namespace bpf2graphite
