#pragma once
// All pipes of all children in one epoll descriptor of our own, and Asio waits
// on that one only: one by one in Asio each small write wakes us (399 context
// switches in 4 s for one child that writes every 10 ms). After the first
// readiness Asio forgets even that one, until the read delay is over and all
// ready pipes are drained. When the next one is ready sooner than a read delay
// after that, as with many children, waiting for readiness would only be a
// second wake-up: then the timer alone goes on, until it finds nothing. While
// nothing is readable no timer runs.
//
// A pipe is drained when a read gives less than was asked for: what is written
// meanwhile waits for the next delay, or a busy child would be read in crumbs.
//
// Holding: values are wanted once a batch only, and with a thousand traces most
// of what one print costs is memory that the 999 others drove out of the caches
// (tests/bench: 25 us, of which 5 us are work). So where `hold_with` and `hold`
// allow it, a small print stays in its pipe after the delay, and only its
// arrival and where it ends are noted. All prints of a pipe then are read at
// once, each with its own arrival, in time for the batch.
//
// io thread only, all of it.

#include "actors/watchdog/read_pace.hpp"
#include "messages/output.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

namespace bpf2graphite {

/// Who takes what a pipe holds. It may remove its pipe, or another, in any of
/// these calls.
class pipe_sink {
public:
  virtual ~pipe_sink() = default;

  /// Bytes it takes now. 0: the pipe is left alone until `resume`.
  virtual std::size_t room() = 0;

  /// There was no room and the pipe is left alone from now on. True when room
  /// came back in between.
  virtual bool left_alone() = 0;

  /// Bytes of the pipe; valid during the call. `earlier`: those that were held.
  virtual void take(std::string_view bytes, arrivals earlier) = 0;

  /// End of file, or an error, which is one. The pipe was removed.
  virtual void ended() = 0;
};

class pipe_poller {
public:
  /// What one pipe gives in one turn; then the next one has its turn. Little
  /// enough that what is made of it stays in the caches from the read to the
  /// slot: with 64 KiB a row of a keyed histogram costs half as much again.
  static constexpr std::size_t turn_bytes_max = 16 << 10;

  /// A pipe that fills too fast for more than the shortest pause becomes so
  /// large, where the kernel lets us (pipe(7): pipe-user-pages-soft): bpftrace
  /// waits less, and we sleep a fourth as often. Its pages are taken only while
  /// they hold something. Not more than so many: 4 MiB in all.
  static constexpr std::size_t roomy_bytes = 256 << 10;
  static constexpr std::size_t roomy_pipes_max = 16;

  /// So many arrivals are noted of a pipe that is held; then it is read.
  static constexpr std::size_t held_marks_max = 64;

  pipe_poller(boost::asio::io_context& io,
              std::chrono::milliseconds read_delay);
  ~pipe_poller();
  pipe_poller(const pipe_poller&) = delete;
  pipe_poller& operator=(const pipe_poller&) = delete;

  /// Watches the non-blocking `fd`, which stays the caller's; so does `sink`.
  /// An errno value, or 0.
  int add(int fd, pipe_sink& sink);

  /// Forgets it: no more calls. Before it is closed.
  void remove(int fd);

  /// `until`: up to when pipes may be held, asked each time; `now`: the clock
  /// of arrivals. Without it none is.
  void hold_with(std::function<std::chrono::steady_clock::time_point()> until,
                 std::function<wall_time()> now);

  /// Whether what comes may be held. False, as at first: it is read after the
  /// read delay; what is held, at once.
  void hold(int fd, bool allowed);

  /// Reads all that is held, a few pipes at a time.
  void read_held();

  /// Its sink has room again: reads at once.
  void resume(int fd);

  /// Reads at once what is there, up to `turns_max` turns, and the end behind
  /// it: its writer is gone.
  void drain(int fd);

  std::size_t watched() const {
    return watched_;
  }

private:
  static constexpr int turns_max = 2 * roomy_bytes / turn_bytes_max;

  static constexpr int held_at_once = 4; // pipes; then others have their turn

  struct entry {
    pipe_sink* sink = nullptr; // none: no pipe has this number
    arrivals held;             // what is in the pipe and was not read
    std::uint64_t read_in = 0; // the number of the pause ...
    std::uint64_t drained = 0; // the pause in which a read came back short
    std::uint32_t read = 0;    // ... in which so much was read
    std::uint32_t capacity = turn_bytes_max;
    bool in_set = false;    // false: left alone
    bool on_change = false; // ... told only of what is new
    bool may_hold = false;
    bool roomy = false;   // made larger
    bool refused = false; // ... not by this kernel, for this user
  };
  enum class turn {
    more,  // all that was asked for
    some,  // less, which may be all there is
    empty, // nothing
    over,  // the end, or no room
  };

  entry* find(int fd);
  turn read_once(int fd);
  void note_read(int fd, entry& pipe, std::size_t size);
  void make_room(int fd, entry& pipe);
  bool put_in_set(int fd, entry& pipe);
  bool tell_of(int fd, entry& pipe, bool changes_only);
  void tell_of_rest(int fd);
  void look_at_clocks();
  void end_hold_in_time();
  bool held(int fd, entry& pipe, std::uint32_t events);
  void read_some_held();
  void take_out(int fd, entry& pipe);
  void arm();
  void disarm();
  void on_ready();
  void wait_a_little();
  void read_round();
  bool some_urgent();
  void end_pause();

  boost::asio::io_context& io_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer held_timer_;
  std::function<std::chrono::steady_clock::time_point()> hold_until_;
  std::function<wall_time()> now_;
  int epoll_ = -1;
  boost::asio::posix::stream_descriptor watch_;
  read_pace pace_;
  // By descriptor: they are small numbers, and what is asked for with each
  // print of a thousand traces is one place in memory.
  std::vector<entry> pipes_;
  std::size_t watched_ = 0;
  std::size_t roomy_ = 0; // pipes
  std::unique_ptr<std::array<char, turn_bytes_max>> scratch_;
  /// Between the first readiness and the last byte: Asio does not watch.
  bool busy_ = false;
  /// Pipes are ready one after the other, less than a delay apart.
  bool crowded_ = false;
  /// In the pause under way something was read, or held.
  bool found_ = false;
  /// As the clocks were when the set was asked last.
  bool holding_ = false;
  std::chrono::steady_clock::time_point hold_ends_at_{};
  wall_time now_held_{};
  /// The timer is set at whose end all that is held is read.
  bool hold_ends_ = false;
  /// The descriptor at which reading what is held goes on.
  std::size_t held_next_ = 0;
  bool reading_held_ = false;
  std::chrono::steady_clock::time_point armed_at_{};
  // Of the pause under way: its number, and the pipe that was fullest.
  std::uint64_t pause_ = 1;
  std::size_t fullest_ = 0;
  std::size_t fullest_capacity_ = turn_bytes_max;
  /// Handlers that were posted look at it before they touch us.
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

} // namespace bpf2graphite
