#include "actors/supervisor/inbox.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using words = std::vector<std::string>;

struct receiver {
  words done;
  words given_up;
  std::string poison; // throws on this one

  auto work() {
    return [this](const std::string& x) {
      if (x == poison)
        throw std::runtime_error(x);
      done.push_back(x);
    };
  }
  auto drop() {
    return [this](const std::string& x) {
      given_up.push_back(x);
    };
  }
};

TEST(Inbox, DeliversOnceInOrderUpToTheNumber) {
  inbox<std::string> box;
  receiver actor;
  auto a = box.put("a");
  auto b = box.put("b");
  box.put("c");
  box.deliver(b.number, actor.work(), actor.drop());
  EXPECT_EQ(actor.done, (words{"a", "b"}));
  box.deliver(a.number, actor.work(), actor.drop());
  EXPECT_EQ(actor.done, (words{"a", "b"}));
  box.resume(actor.work(), actor.drop());
  EXPECT_EQ(actor.done, (words{"a", "b", "c"}));
  EXPECT_EQ(box.size(), 0u);
}

TEST(Inbox, KeepsWhatWasNotFinishedForTheSuccessor) {
  inbox<std::string> box;
  receiver dying{.done = {}, .given_up = {}, .poison = "b"};
  box.put("a");
  box.put("b");
  box.put("c");
  EXPECT_THROW(box.resume(dying.work(), dying.drop()), std::runtime_error);
  EXPECT_EQ(dying.done, (words{"a"}));
  EXPECT_EQ(box.size(), 2u);
  receiver successor;
  box.resume(successor.work(), successor.drop());
  EXPECT_EQ(successor.done, (words{"b", "c"}));
}

TEST(Inbox, GivesUpWhatKilledTwo) {
  inbox<std::string> box;
  receiver dying{.done = {}, .given_up = {}, .poison = "b"};
  box.put("b");
  box.put("c");
  for (int i = 0; i < inbox_attempts_max; ++i)
    EXPECT_THROW(box.resume(dying.work(), dying.drop()), std::runtime_error);
  box.resume(dying.work(), dying.drop());
  EXPECT_EQ(dying.given_up, (words{"b"}));
  EXPECT_EQ(dying.done, (words{"c"}));
}

TEST(Inbox, RepeatsTheNewestForAReceiverThatCameLater) {
  inbox<std::string> box;
  EXPECT_FALSE(box.newest());
  box.put("a");
  auto b = box.put("b");
  auto newest = box.newest();
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->number, b.number);
  EXPECT_EQ(*newest->value, "b");
  receiver actor;
  box.deliver(newest->number, actor.work(), actor.drop());
  EXPECT_EQ(actor.done, (words{"a", "b"}));
  EXPECT_FALSE(box.newest());
}

} // namespace
} // namespace bpf2graphite
