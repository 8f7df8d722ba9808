// Holding: prints that stay in their pipes until a batch wants them. Real pipes
// and a real loop; the read delay is 5 ms.

#include "actors/watchdog/pipe_poller.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

class pipe_ends final : public pipe_sink {
public:
  pipe_ends() {
    EXPECT_EQ(::pipe2(fd_.data(), O_CLOEXEC | O_NONBLOCK), 0);
  }
  ~pipe_ends() override {
    ::close(fd_[0]);
    close_writer();
  }
  pipe_ends(const pipe_ends&) = delete;
  pipe_ends& operator=(const pipe_ends&) = delete;

  int reader() const {
    return fd_[0];
  }

  void write(const std::string& bytes) const {
    EXPECT_EQ(::write(fd_[1], bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
  }

  void close_writer() {
    if (fd_[1] >= 0)
      ::close(fd_[1]);
    fd_[1] = -1;
  }

  std::size_t room() override {
    return room_bytes;
  }
  bool left_alone() override {
    return false;
  }
  void take(std::string_view bytes, arrivals earlier) override {
    text += bytes;
    chunks.emplace_back(bytes);
    marks.push_back(std::move(earlier));
  }
  void ended() override {
    over = true;
  }

  std::string text;
  std::vector<std::string> chunks;
  std::vector<arrivals> marks; // of each chunk
  std::size_t room_bytes = SIZE_MAX;
  bool over = false;

private:
  std::array<int, 2> fd_{-1, -1};
};

class PipePollerHolds : public ::testing::Test {
protected:
  boost::asio::io_context io{1};
  pipe_poller pipes{io, 5ms};
  clock::time_point until = clock::now() + 1h;
  std::int64_t now_ms = 0; // of arrivals

  void SetUp() override {
    pipes.hold_with([this] { return until; },
                    [this] { return wall_time_from_ms(now_ms); });
  }

  void add(pipe_ends& pipe, bool hold = true) {
    ASSERT_EQ(pipes.add(pipe.reader(), pipe), 0);
    pipes.hold(pipe.reader(), hold);
  }

  /// Longer than a read delay.
  void turn() {
    io.restart();
    io.run_for(25ms);
  }
};

TEST_F(PipePollerHolds, KeepsTheArrivalOfEachPrint) {
  pipe_ends pipe;
  add(pipe);
  for (auto at : {1000, 2000, 3000}) {
    now_ms = at;
    pipe.write("print " + std::to_string(at) + "\n");
    turn();
    EXPECT_EQ(pipe.text, "");
  }
  pipes.read_held();
  turn();
  ASSERT_EQ(pipe.chunks.size(), 1u) << "in one go";
  EXPECT_EQ(pipe.text, "print 1000\nprint 2000\nprint 3000\n");
  const auto& marks = pipe.marks[0];
  ASSERT_EQ(marks.size(), 3u);
  EXPECT_EQ(marks[0].end, 11u);
  EXPECT_EQ(marks[1].end, 22u);
  EXPECT_EQ(marks[2].end, 33u);
  EXPECT_EQ(marks[0].at, wall_time_from_ms(1000));
  EXPECT_EQ(marks[2].at, wall_time_from_ms(3000));
  // And again.
  now_ms = 4000;
  pipe.write("print 4000\n");
  turn();
  EXPECT_EQ(pipe.chunks.size(), 1u);
  pipes.read_held();
  turn();
  ASSERT_EQ(pipe.chunks.size(), 2u);
  EXPECT_EQ(pipe.marks[1].size(), 1u);
}

TEST_F(PipePollerHolds, ReadsAllInTime) {
  until = clock::now() + 700ms;
  std::vector<std::unique_ptr<pipe_ends>> many;
  for (int i = 0; i < 50; ++i) {
    add(*many.emplace_back(std::make_unique<pipe_ends>()));
    many.back()->write("x");
  }
  turn();
  for (const auto& pipe : many)
    EXPECT_EQ(pipe->text, "");
  while (clock::now() < until)
    turn();
  turn();
  for (const auto& pipe : many)
    EXPECT_EQ(pipe->text, "x");
  // From then to the next batch, all is read as it comes.
  many[7]->write("y");
  turn();
  EXPECT_EQ(many[7]->text, "xy");
}

TEST_F(PipePollerHolds, HoldsOnlyWhereItMay) {
  pipe_ends not_it;
  add(not_it, false);
  not_it.write("x");
  turn();
  EXPECT_EQ(not_it.text, "x");
  pipe_ends pipe;
  add(pipe);
  until = clock::time_point::min(); // no batch will come
  pipe.write("x");
  turn();
  EXPECT_EQ(pipe.text, "x");
}

TEST_F(PipePollerHolds, ReadsAtOnceWhenItMayNoLonger) {
  pipe_ends pipe;
  add(pipe);
  pipe.write("x");
  turn();
  ASSERT_EQ(pipe.text, "");
  pipes.hold(pipe.reader(), false);
  EXPECT_EQ(pipe.text, "x");
  pipe.write("y");
  turn();
  EXPECT_EQ(pipe.text, "xy");
}

TEST_F(PipePollerHolds, ReadsAPipeThatFills) {
  pipe_ends pipe;
  add(pipe);
  const std::string print(4000, 'x');
  for (int i = 0; i < 3; ++i) {
    pipe.write(print);
    turn();
  }
  EXPECT_EQ(pipe.text, "") << "under a quarter of 64 KiB";
  pipe.write(print + print);
  turn();
  ASSERT_EQ(pipe.marks.size(), 1u);
  EXPECT_EQ(pipe.text.size(), pipe_poller::turn_bytes_max);
  EXPECT_EQ(pipe.marks[0].size(), 3u);
  // It holds again.
  pipe.write(print);
  turn();
  ASSERT_EQ(pipe.marks.size(), 1u);
  pipes.read_held();
  EXPECT_EQ(pipe.text.size(), 24'000u);
  EXPECT_EQ(pipe.marks[1].size(), 2u);
}

TEST_F(PipePollerHolds, NotesNotMoreThanSoManyArrivals) {
  pipe_ends pipe;
  add(pipe);
  for (std::size_t i = 0; i < pipe_poller::held_marks_max; ++i) {
    pipe.write("x");
    turn();
  }
  EXPECT_EQ(pipe.text, "");
  pipe.write("x");
  turn();
  EXPECT_EQ(pipe.text.size(), pipe_poller::held_marks_max + 1);
}

TEST_F(PipePollerHolds, NotesWhatComesTogetherWithAFlood) {
  pipe_ends flood;
  add(flood, false);
  std::vector<std::unique_ptr<pipe_ends>> many;
  for (int i = 0; i < 20; ++i) {
    add(*many.emplace_back(std::make_unique<pipe_ends>()));
    many.back()->write("x");
  }
  turn(); // from here the set tells once of what they write
  flood.write(std::string(40'000, 'f'));
  for (const auto& pipe : many)
    pipe->write("y");
  turn();
  EXPECT_EQ(flood.text.size(), 40'000u);
  pipes.read_held();
  turn();
  for (const auto& pipe : many) {
    EXPECT_EQ(pipe->text, "xy");
    EXPECT_EQ(pipe->marks[0].size(), 2u);
  }
}

TEST_F(PipePollerHolds, ReadsAtTheEnd) {
  pipe_ends pipe;
  add(pipe);
  pipe.write("held\n");
  turn();
  ASSERT_EQ(pipe.text, "");
  pipe.write("last\n");
  pipe.close_writer();
  turn();
  EXPECT_EQ(pipe.text, "held\nlast\n");
  EXPECT_TRUE(pipe.over);
  ASSERT_EQ(pipe.marks[0].size(), 1u);
  EXPECT_EQ(pipe.marks[0][0].end, 5u);
}

TEST_F(PipePollerHolds, DrainsWhatItHolds) {
  pipe_ends pipe;
  add(pipe);
  pipe.write("held\n");
  turn();
  pipes.drain(pipe.reader());
  EXPECT_EQ(pipe.text, "held\n");
  pipe.write("more\n");
  turn();
  EXPECT_EQ(pipe.text, "held\n");
  pipes.read_held();
  turn();
  EXPECT_EQ(pipe.text, "held\nmore\n");
}

TEST_F(PipePollerHolds, KeepsTheMarksOfWhatThereWasNoRoomFor) {
  pipe_ends pipe;
  add(pipe);
  for (auto at : {1000, 2000}) {
    now_ms = at;
    pipe.write("0123456789");
    turn();
  }
  pipe.room_bytes = 15;
  pipes.read_held();
  turn();
  EXPECT_EQ(pipe.text.size(), 20u) << "the rest follows";
  ASSERT_EQ(pipe.marks.size(), 2u);
  ASSERT_EQ(pipe.marks[0].size(), 2u);
  EXPECT_EQ(pipe.marks[0][0].end, 10u);
  EXPECT_EQ(pipe.marks[0][1].end, 15u);
  ASSERT_EQ(pipe.marks[1].size(), 1u);
  EXPECT_EQ(pipe.marks[1][0].end, 5u);
  EXPECT_EQ(pipe.marks[1][0].at, wall_time_from_ms(2000));
}

TEST_F(PipePollerHolds, LosesNothingHoweverWritesAndReadsFall) {
  std::vector<std::unique_ptr<pipe_ends>> many;
  std::vector<std::string> written(9);
  for (std::size_t i = 0; i < written.size(); ++i)
    add(*many.emplace_back(std::make_unique<pipe_ends>()), i % 3 != 0);
  std::uint32_t seed = 1;
  const auto random = [&seed](std::uint32_t below) {
    seed = seed * 1'664'525 + 1'013'904'223;
    return (seed >> 8) % below;
  };
  for (int round = 0; round < 400; ++round) {
    const auto i = random(static_cast<std::uint32_t>(many.size()));
    const std::string text(1 + random(1500),
                           static_cast<char>('a' + round % 26));
    many[i]->write(text);
    written[i] += text;
    if (random(3) == 0) {
      io.restart();
      io.run_for(std::chrono::milliseconds{random(8)});
    }
    if (random(10) == 0)
      pipes.read_held();
    if (random(20) == 0)
      pipes.hold(many[i]->reader(), random(2) == 0);
    if (random(20) == 0)
      until = clock::now() + std::chrono::milliseconds{random(2) * 600};
  }
  until = clock::time_point::min();
  pipes.read_held();
  turn();
  turn();
  for (std::size_t i = 0; i < many.size(); ++i)
    EXPECT_EQ(many[i]->text, written[i]) << i;
}

} // namespace
} // namespace bpf2graphite
