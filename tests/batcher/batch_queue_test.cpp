#include "actors/batcher/batch_queue.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using what = delivery_report::what;

const steady_time start{1h};

std::vector<metric> points(std::initializer_list<const char*> paths,
                           std::int64_t at = 15) {
  std::vector<metric> result;
  for (auto path : paths)
    result.push_back({series_name{path}, exact{1}, at});
  return result;
}

class BatchQueue : public ::testing::Test {
protected:
  batcher_ledger books;
  destination_ledger first;
  destination_ledger second;

  batch_queue make(std::size_t buffer = 1 << 20,
                   std::chrono::milliseconds resend = 60s,
                   std::size_t batch = 1 << 20, std::size_t batch_points = 100,
                   std::size_t joins = 0) {
    batcher_config config;
    config.buffer_bytes_max = buffer;
    config.batch_bytes_max = batch;
    config.batch_points_max = batch_points;
    config.join_bytes_max = joins;
    config.join_bytes_first = joins / 4;
    return batch_queue{config, resend, books, {&first, &second}};
  }

  static void accept(batch_queue& queue, std::uint64_t id,
                     steady_time at = start, std::size_t destination = 0) {
    queue.report({destination, what::accepted, id, at, 0, nullptr});
  }

  static void lose(batch_queue& queue, steady_time began,
                   std::size_t destination = 0) {
    queue.report({destination, what::lost, 0, began, 0, nullptr});
  }

  static std::string text(const std::optional<metric_batch>& batch) {
    return batch ? *batch->lines : "none";
  }
};

TEST_F(BatchQueue, HandsOutNothingBeforeTheClose) {
  auto queue = make();
  queue.add(points({"a", "b"}));
  EXPECT_FALSE(queue.next(0, true));
  EXPECT_TRUE(queue.has_open_points());
  EXPECT_EQ(first.waiting, 2);
  queue.close();
  EXPECT_FALSE(queue.has_open_points());
  auto batch = queue.next(0, true);
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->id, 1);
  EXPECT_EQ(batch->points, 2);
  EXPECT_EQ(batch->newest_slot, 15);
  EXPECT_EQ(*batch->lines, "a 1 15\nb 1 15\n");
}

TEST_F(BatchQueue, MakesNoEmptyBatch) {
  auto queue = make();
  queue.close();
  EXPECT_FALSE(queue.next(0, true));
  EXPECT_EQ(first.batches, 0);
}

TEST_F(BatchQueue, SharesTheTextAmongDestinations) {
  auto queue = make();
  queue.add(points({"a"}));
  queue.close();
  EXPECT_EQ(queue.next(0, true)->lines, queue.next(1, true)->lines);
}

TEST_F(BatchQueue, KeepsTheQueuesOfDestinationsApart) {
  auto queue = make();
  queue.add(points({"a"}));
  queue.close();
  accept(queue, queue.next(0, true)->id);
  EXPECT_EQ(first.accepted, 1);
  EXPECT_EQ(second.accepted, 0);
  EXPECT_FALSE(queue.next(0, true));
  EXPECT_TRUE(queue.next(1, true));
}

TEST_F(BatchQueue, CountsALineThatItRefuses) {
  auto queue = make();
  queue.add(points({"a", "b b", "c"}));
  queue.close();
  EXPECT_EQ(text(queue.next(0, true)), "a 1 15\nc 1 15\n");
  EXPECT_EQ(books.refused, 1);
  EXPECT_EQ(books.points, 2);
  EXPECT_EQ(first.points, 2);
}

TEST_F(BatchQueue, KnowsTheNewestSlotOfEachBatch) {
  auto queue = make();
  queue.add(points({"a"}, 30));
  queue.add(points({"a"}, 15));
  queue.close();
  queue.add(points({"b"}, 15));
  queue.close();
  EXPECT_EQ(queue.next(0, false)->newest_slot, 30);
  EXPECT_EQ(queue.next(0, false)->newest_slot, 15);
}

TEST_F(BatchQueue, TellsTheOldestSlotThatWaits) {
  auto queue = make(1 << 20, 0s, 1 << 20, 100, 1 << 20);
  EXPECT_EQ(first.oldest_slot, 0);
  queue.add(points({"a"}, 45));
  queue.add(points({"a"}, 30));
  EXPECT_EQ(first.oldest_slot, 30) << "the open batch waits, too";
  queue.close();
  queue.add(points({"b"}, 60));
  queue.close();
  queue.add(points({"c"}, 75));
  auto batch = queue.next(0, true); // both that are closed, joined
  EXPECT_EQ(batch->oldest_slot, 30);
  EXPECT_EQ(first.oldest_slot, 30);
  accept(queue, batch->id);
  EXPECT_EQ(first.oldest_slot, 75);
  EXPECT_EQ(second.oldest_slot, 30) << "of another destination";
  queue.close();
  accept(queue, queue.next(0, false)->id);
  EXPECT_EQ(first.oldest_slot, 0);
}

TEST_F(BatchQueue, TellsTheOldestSlotOfTheDaemonBefore) {
  auto queue = make();
  metric_batch batch;
  batch.lines = std::make_shared<const std::string>("a 1 40\nb 2 25\n");
  batch.points = 2;
  batch.newest_slot = 40;
  queue.restore(0, {batch});
  EXPECT_EQ(first.oldest_slot, 25);
}

TEST_F(BatchQueue, GivesEachBatchOnceUnlessAskedAfresh) {
  auto queue = make();
  queue.add(points({"a"}));
  queue.close();
  queue.add(points({"b"}));
  queue.close();
  EXPECT_EQ(queue.next(0, false)->id, 1);
  EXPECT_EQ(queue.next(0, false)->id, 2);
  EXPECT_FALSE(queue.next(0, false));
  EXPECT_EQ(queue.next(0, true)->id, 1);
}

TEST_F(BatchQueue, CutsALargeBatch) {
  auto by_points = make(1 << 20, 60s, 1 << 20, 2);
  by_points.add(points({"a", "b", "c", "d", "e"}));
  by_points.close();
  EXPECT_EQ(text(by_points.next(0, false)), "a 1 15\nb 1 15\n");
  EXPECT_EQ(text(by_points.next(0, false)), "c 1 15\nd 1 15\n");
  EXPECT_EQ(text(by_points.next(0, false)), "e 1 15\n");
  first.points = first.waiting = 0;
  auto by_bytes = make(1 << 20, 60s, 14, 100);
  by_bytes.add(points({"a", "b", "c"}));
  EXPECT_FALSE(by_bytes.next(0, false)); // sealed, but not closed
  by_bytes.close();
  EXPECT_EQ(text(by_bytes.next(0, false)), "a 1 15\nb 1 15\n");
  EXPECT_EQ(text(by_bytes.next(0, false)), "c 1 15\n");
}

TEST_F(BatchQueue, DropsTheOldestAndCountsItsPoints) {
  auto queue = make(28); // four lines; a batch holds one (a quarter)
  queue.add(points({"a", "b", "c", "d"}));
  queue.close();
  EXPECT_EQ(first.dropped_buffer, 0);
  queue.add(points({"e"}));
  queue.close();
  EXPECT_EQ(first.dropped_buffer, 1);
  EXPECT_EQ(second.dropped_buffer, 1);
  EXPECT_EQ(text(queue.next(0, true)), "b 1 15\n");
  EXPECT_TRUE(queue.valid());
}

TEST_F(BatchQueue, NeverDropsTheBatchUnderWay) {
  auto queue = make(28);
  queue.add(points({"a", "b", "c", "d"}));
  queue.close();
  auto given = queue.next(0, true);
  queue.add(points({"e", "f"}));
  queue.close();
  EXPECT_EQ(first.dropped_buffer, 2);
  EXPECT_EQ(text(queue.next(0, false)), "d 1 15\n"); // b and c went
  accept(queue, given->id);
  EXPECT_EQ(first.accepted, 1);
  EXPECT_TRUE(queue.valid());
}

TEST_F(BatchQueue, DropsWhatWasAcceptedFirst) {
  auto queue = make(28);
  queue.add(points({"a", "b", "c", "d"}));
  queue.close();
  accept(queue, queue.next(0, true)->id);
  EXPECT_EQ(queue.bytes(0), 28); // still kept
  queue.add(points({"e"}));
  EXPECT_EQ(first.resend_dropped, 1);
  EXPECT_EQ(first.dropped_buffer, 0);
  EXPECT_TRUE(queue.valid());
}

TEST_F(BatchQueue, GivesAgainWhatWasAcceptedShortlyBeforeALoss) {
  auto queue = make();
  for (auto path : {"a", "b", "c"}) {
    queue.add(points({path}));
    queue.close();
  }
  accept(queue, queue.next(0, true)->id, start);
  accept(queue, queue.next(0, true)->id, start + 30s);
  lose(queue, start + 61s);                         // a is 61 s old, b 31 s
  EXPECT_EQ(text(queue.next(0, true)), "c 1 15\n"); // new ones first
  EXPECT_EQ(text(queue.next(0, false)), "b 1 15\n");
  EXPECT_FALSE(queue.next(0, false));
  EXPECT_EQ(first.accepted, 2);
  accept(queue, 2, start + 70s);
  EXPECT_EQ(first.accepted, 2);
  EXPECT_EQ(first.resent, 1);
  EXPECT_TRUE(queue.valid());
}

TEST_F(BatchQueue, KeepsTheMarkThroughALongOutage) {
  auto queue = make();
  queue.add(points({"a"}));
  queue.close();
  accept(queue, queue.next(0, true)->id, start);
  lose(queue, start + 60s);
  for (auto at = start + 65s; at < start + 1h; at += 5s)
    lose(queue, at);
  EXPECT_EQ(text(queue.next(0, true)), "a 1 15\n");
}

/// One that accepts each batch, and ends the connection after each acceptance.
class BatchQueueWithAFlappingPeer : public BatchQueue {
protected:
  /// `per_close`: bytes allowed with each close; a point has 7 bytes.
  static batcher_config config(std::size_t per_close) {
    batcher_config result;
    result.buffer_bytes_max = 28'000; // a quarter is a thousand lines
    result.join_bytes_max = 0;
    result.resend_bytes_per_close = per_close;
    return result;
  }

  /// Gives and accepts all that `queue` has; how many points that were.
  std::uint64_t take_all(batch_queue& queue) {
    std::uint64_t points = 0;
    while (auto batch = queue.next(0, false)) {
      points += batch->points;
      accept(queue, batch->id, now_);
    }
    return points;
  }

  steady_time now_ = start;
};

TEST_F(BatchQueueWithAFlappingPeer, GetsAShareOfWhatIsNew) {
  batch_queue queue{config(0), 60s, books, {&first}};
  std::uint64_t sent = 0;
  for (int round = 0; round < 1000; ++round) {
    queue.add(points({"a"}));
    queue.close();
    sent += take_all(queue);
    lose(queue, now_);
  }
  // A quarter of the buffer at first, then four for each new one.
  EXPECT_EQ(first.accepted, 1000);
  EXPECT_GT(first.resent, 4900);
  EXPECT_LE(first.resent, 5001);
  EXPECT_EQ(sent, first.accepted + first.resent);
  EXPECT_EQ(first.resend_dropped, 0);
  // Nothing is forgotten: the end of the daemon waits for no share.
  const auto waiting = queue.unsent_points(0);
  EXPECT_GT(waiting, 0);
  queue.finish();
  EXPECT_EQ(take_all(queue), waiting);
  EXPECT_TRUE(queue.valid());
}

TEST_F(BatchQueueWithAFlappingPeer, GetsTheRestWhenNothingIsNewAnyMore) {
  batch_queue queue{config(14), 60s, books, {&first}};
  for (int round = 0; round < 300; ++round) {
    queue.add(points({"a"}));
    queue.close();
    take_all(queue);
    lose(queue, now_);
  }
  auto waiting = queue.unsent_points(0);
  ASSERT_GT(waiting, 2);
  for (; waiting > 0 && waiting < 1000; waiting = queue.unsent_points(0)) {
    queue.close(); // the clock goes on
    ASSERT_GT(take_all(queue), 0);
  }
  EXPECT_EQ(waiting, 0);
}

TEST_F(BatchQueue, MarksForALossMuchLaterWhenTheAttemptBeganInTime) {
  auto queue = make();
  queue.add(points({"a"}));
  queue.close();
  accept(queue, queue.next(0, true)->id, start);
  // The idle connection that ended had begun right after the acceptance.
  lose(queue, start + 1ms);
  EXPECT_TRUE(queue.next(0, true));
}

TEST_F(BatchQueue, ForgetsWhatIsOlderThanResend) {
  auto queue = make();
  for (auto path : {"a", "b"}) {
    queue.add(points({path}));
    queue.close();
  }
  accept(queue, queue.next(0, true)->id, start);
  accept(queue, queue.next(0, true)->id, start + 61s);
  EXPECT_EQ(queue.bytes(0), 7);
  EXPECT_EQ(first.resend_dropped, 0);
}

TEST_F(BatchQueue, KeepsNothingWithoutResend) {
  auto queue = make(1 << 20, 0s);
  queue.add(points({"a"}));
  queue.close();
  accept(queue, queue.next(0, true)->id);
  EXPECT_EQ(queue.bytes(0), 0);
  lose(queue, start);
  EXPECT_FALSE(queue.next(0, true));
}

TEST_F(BatchQueue, SendsAgainWithoutWhatWasParked) {
  auto queue = make();
  queue.add(points({"a", "b"}));
  queue.close();
  auto id = queue.next(0, true)->id;
  queue.report({0, what::accepted, id, start, 1,
                std::make_shared<const std::string>("b 1 15\n")});
  EXPECT_EQ(first.accepted, 1);
  EXPECT_EQ(first.parked, 1);
  lose(queue, start);
  EXPECT_EQ(text(queue.next(0, true)), "b 1 15\n");
  EXPECT_TRUE(queue.valid());
}

TEST_F(BatchQueue, IgnoresAReportOfABatchThatIsNotUnderWay) {
  auto queue = make();
  queue.add(points({"a"}));
  queue.close();
  accept(queue, 1); // never given
  accept(queue, 99);
  EXPECT_EQ(first.accepted, 0);
  accept(queue, queue.next(0, true)->id);
  accept(queue, 1); // twice
  EXPECT_EQ(first.accepted, 1);
  EXPECT_TRUE(queue.valid());
}

TEST_F(BatchQueue, CountsWhatIsGivenUpAtTheEnd) {
  auto queue = make();
  queue.add(points({"a", "b"}));
  queue.close();
  queue.add(points({"c"}));
  queue.close();
  EXPECT_EQ(queue.unsent_points(0), 3);
  ASSERT_EQ(queue.unsent(0).size(), 2);
  queue.report({0, what::gave_up, 0, start, 0, nullptr});
  EXPECT_EQ(first.dropped_stop, 3);
  EXPECT_EQ(first.waiting, 0);
  EXPECT_EQ(second.waiting, 3);
  EXPECT_EQ(queue.unsent_points(0), 0);
  EXPECT_TRUE(queue.valid());
}

// Random operations: books and bounds hold after each one, and no point is
// accepted, dropped or given without having been there.
// -- joining ------------------------------------------------------------------

TEST_F(BatchQueue, JoinsSmallBatchesThatWait) {
  auto queue = make(1 << 20, 60s, 1 << 20, 100, 100);
  for (auto name : {"a", "b", "c", "d", "e"}) {
    queue.add(points({name}));
    queue.close();
  }
  // Lines of 7 bytes, 25 at first.
  auto batch = queue.next(0, false);
  EXPECT_EQ(text(batch), "a 1 15\nb 1 15\nc 1 15\n");
  EXPECT_EQ(batch->points, 3);
  EXPECT_EQ(batch->id, 3);
  EXPECT_TRUE(queue.valid());
  accept(queue, 3);
  EXPECT_EQ(first.accepted, 3);
  EXPECT_EQ(first.waiting, 2);
  EXPECT_EQ(text(queue.next(0, false)), "d 1 15\ne 1 15\n");
  // The other destination has its own way.
  EXPECT_EQ(queue.next(1, false)->points, 3);
  EXPECT_TRUE(queue.valid());
}

TEST_F(BatchQueue, JoinsMoreAfterAcceptancesAndLessAfterALoss) {
  auto queue = make(1 << 20, 60s, 1 << 20, 100, 56);
  std::vector<std::size_t> sizes;
  auto take = [&] {
    auto batch = queue.next(0, false);
    sizes.push_back(batch->points);
    accept(queue, batch->id);
  };
  for (int i = 0; i < 40; ++i) {
    queue.add(points({"a"}));
    queue.close();
  }
  for (int i = 0; i < 4; ++i)
    take();
  lose(queue, start + 2min); // too late to mark anything
  take();
  EXPECT_EQ(sizes, (std::vector<std::size_t>{2, 4, 8, 8, 2}));
  EXPECT_TRUE(queue.valid());
}

TEST_F(BatchQueue, NeverJoinsWhatIsUnderWay) {
  auto queue = make(1 << 20, 60s, 1 << 20, 100, 1000);
  queue.add(points({"a"}));
  queue.close();
  EXPECT_EQ(text(queue.next(0, false)), "a 1 15\n");
  queue.add(points({"b"}));
  queue.close();
  queue.add(points({"c"}));
  EXPECT_EQ(text(queue.next(0, false)), "b 1 15\n"); // c is still open
  queue.close();
  EXPECT_EQ(text(queue.next(0, true)), "a 1 15\nb 1 15\nc 1 15\n");
}

TEST_F(BatchQueue, SendsAJoinedBatchAgainAsAWhole) {
  auto queue = make(1 << 20, 60s, 1 << 20, 100, 1000);
  for (auto name : {"a", "b"}) {
    queue.add(points({name}));
    queue.close();
  }
  queue.next(0, false);
  accept(queue, 2);
  lose(queue, start + 1s);
  EXPECT_EQ(text(queue.next(0, true)), "a 1 15\nb 1 15\n");
  accept(queue, 2);
  EXPECT_EQ(first.resent, 2);
  EXPECT_EQ(first.accepted, 2);
  EXPECT_TRUE(queue.valid());
}

// -- the spool ----------------------------------------------------------------

TEST_F(BatchQueue, SendsWhatTheDaemonBeforeLeftFirst) {
  auto queue = make();
  queue.restore(0,
                {{0, std::make_shared<const std::string>("a 1 15\n"), 1, 15},
                 {0, std::make_shared<const std::string>("b 1 30\n"), 1, 30}});
  EXPECT_EQ(first.points, 2);
  EXPECT_EQ(first.waiting, 2);
  EXPECT_EQ(first.from_spool, 2);
  EXPECT_EQ(second.points, 0);
  queue.add(points({"c"}));
  queue.close();
  EXPECT_TRUE(queue.restored_wait(0));
  EXPECT_FALSE(queue.restored_wait(1));
  for (std::uint64_t id = 1; id <= 2; ++id) {
    EXPECT_TRUE(queue.restored_wait(0));
    EXPECT_EQ(queue.next(0, false)->id, id);
    accept(queue, id);
  }
  EXPECT_FALSE(queue.restored_wait(0));
  EXPECT_EQ(text(queue.next(0, false)), "c 1 15\n");
  EXPECT_EQ(text(queue.next(1, false)), "c 1 15\n");
  EXPECT_TRUE(queue.valid());
}

TEST_F(BatchQueue, GivesTheSpoolWhatIsNotAcceptedOrInDoubt) {
  auto queue = make();
  for (auto name : {"a", "b"}) {
    queue.add(points({name}));
    queue.close();
  }
  queue.next(0, false);
  accept(queue, 1);
  lose(queue, start + 1s);
  auto left = queue.unsent(0);
  ASSERT_EQ(left.size(), 2);
  EXPECT_EQ(*left[0].lines, "b 1 15\n");
  EXPECT_EQ(*left[1].lines, "a 1 15\n");
  queue.spooled(0);
  EXPECT_EQ(first.spooled, 1);
  EXPECT_EQ(first.accepted, 1);
  EXPECT_EQ(first.resend_dropped, 0);
  EXPECT_TRUE(queue.valid());
}

TEST_F(BatchQueue, DropsTheOldestOfASpoolThatIsTooLarge) {
  auto queue = make(16);
  std::vector<metric_batch> old;
  for (int i = 0; i < 3; ++i)
    old.push_back({0, std::make_shared<const std::string>("a 1 15\n"), 1, 15});
  queue.restore(0, old);
  EXPECT_EQ(first.dropped_buffer, 1);
  EXPECT_TRUE(queue.valid());
}

// -- reading back -------------------------------------------------------------

TEST_F(BatchQueue, SendsTheSlotsAgainThatNobodySees) {
  batcher_config config;
  config.verify = true;
  batch_queue queue{config, 0ms, books, {&first}};
  const series_name path{"a"};
  queue.add(std::vector<metric>{
    {path, exact{1}, 15}, {path, exact{2}, 30}, {path, exact{3}, 45}});
  queue.close();
  queue.next(0, false);
  accept(queue, 1);
  // Without `resend` a loss alone makes nothing to be sent again.
  lose(queue, start);
  EXPECT_EQ(queue.next(0, false), std::nullopt);
  queue.report({0, what::unseen, 1, start, 0, nullptr, {15, 45}});
  EXPECT_EQ(text(queue.next(0, false)), "a 1 15\na 3 45\n");
  EXPECT_EQ(first.unseen, 2);
  accept(queue, 1, start + 1h);
  EXPECT_EQ(first.resent, 2);
  queue.report({0, what::unseen, 7, start, 0, nullptr, {15}}); // not known
  queue.report({0, what::seen, 1, start, 0, nullptr});
  queue.add(points({"b"}));
  queue.close();
  queue.next(0, false);
  accept(queue, 2, start + 2h); // forgets what is seen and old
  EXPECT_EQ(queue.bytes(0), 7);
  EXPECT_TRUE(queue.valid());
}

TEST_F(BatchQueue, BalancesWhateverHappens) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random{seed};
    auto pick = [&](std::size_t n) {
      return random() % n;
    };
    batcher_ledger own;
    destination_ledger ledgers[2];
    batcher_config config;
    config.buffer_bytes_max = 400 + pick(4000);
    config.batch_bytes_max = 50 + pick(1000);
    config.batch_points_max = 1 + pick(30);
    batch_queue queue{
      config, pick(2) != 0 ? 60s : 0s, own, {&ledgers[0], &ledgers[1]}};
    std::uint64_t issued = 0;
    std::optional<metric_batch> given[2];
    auto now = start;
    for (int step = 0; step < 400; ++step) {
      auto d = pick(2);
      now += std::chrono::milliseconds(pick(5000));
      switch (pick(8)) {
        case 0:
        case 1:
        case 2: {
          std::vector<metric> some;
          for (auto n = pick(8); n > 0; --n)
            some.push_back(
              {series_name{"s" + std::to_string(issued++)}, exact{1}, 15});
          queue.add(some);
          break;
        }
        case 3:
          queue.close();
          break;
        case 4:
          if (!given[d])
            given[d] = queue.next(d, true);
          break;
        case 5:
          if (given[d]) {
            auto parked = pick(4) == 0 ? std::size_t{1} : 0;
            auto rest =
              given[d]->lines->substr(given[d]->lines->find('\n') + 1);
            queue.report({d, what::accepted, given[d]->id, now, parked,
                          parked > 0 ? std::make_shared<const std::string>(rest)
                                     : nullptr});
            given[d].reset();
          }
          break;
        case 6:
          lose(queue, now - std::chrono::milliseconds(pick(90'000)), d);
          break;
        case 7: // a restarted connection
          if (pick(4) == 0)
            given[d].reset();
          break;
      }
      ASSERT_TRUE(queue.valid());
      for (std::size_t i : {0, 1}) {
        ASSERT_LE(queue.bytes(i), config.buffer_bytes_max);
        ASSERT_EQ(ledgers[i].points, issued);
      }
    }
    // At the end everything that was not dropped can still be had.
    queue.close();
    queue.finish();
    for (std::size_t i : {0, 1}) {
      for (auto batch = queue.next(i, true); batch;
           batch = queue.next(i, false))
        accept(queue, batch->id, now, i);
      ASSERT_EQ(ledgers[i].waiting, 0);
      ASSERT_EQ(queue.unsent_points(i), 0);
      ASSERT_TRUE(queue.valid());
    }
  }
}

} // namespace
} // namespace bpf2graphite
