#include "actors/watchdog/start_gate.hpp"

#include <gtest/gtest.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using tickets = std::vector<start_gate::ticket>;

const start_gate::clock::time_point start{1h};

TEST(StartGate, AdmitsInOrderAsManyAsItHasPlaces) {
  start_gate gate{2};
  auto a = gate.ask();
  auto b = gate.ask();
  auto c = gate.ask();
  EXPECT_EQ(gate.admit(start), (tickets{a, b}));
  EXPECT_EQ(gate.admit(start), tickets{});
  gate.leave(a);
  EXPECT_EQ(gate.admit(start), (tickets{c}));
  EXPECT_EQ(gate.waiting(), 0u);
  EXPECT_EQ(gate.inside(), 2u);
}

TEST(StartGate, IsNotHeldForEverByASilentOne) {
  start_gate gate{1};
  auto a = gate.ask();
  auto b = gate.ask();
  EXPECT_EQ(gate.admit(start), (tickets{a}));
  EXPECT_EQ(gate.next(), start + 10s);
  EXPECT_EQ(gate.admit(start + 10s - 1ms), tickets{});
  EXPECT_EQ(gate.admit(start + 10s), (tickets{b}));
  EXPECT_FALSE(gate.next()) << "nobody waits";
  gate.leave(a); // late
  EXPECT_EQ(gate.inside(), 1u);
}

TEST(StartGate, ForgetsOneThatLeavesTheQueue) {
  start_gate gate{1};
  auto a = gate.ask();
  auto b = gate.ask();
  auto c = gate.ask();
  gate.admit(start);
  gate.leave(b);
  gate.leave(a);
  gate.leave(999);
  EXPECT_EQ(gate.admit(start), (tickets{c}));
}

TEST(StartGate, HasAtLeastOnePlace) {
  start_gate gate{0};
  auto a = gate.ask();
  EXPECT_EQ(gate.admit(start), (tickets{a}));
}

} // namespace
} // namespace bpf2graphite
