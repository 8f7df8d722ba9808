#pragma once
// A Graphite server that does what a test tells it, and remembers every line.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace bpf2graphite::testing {

/// How one connection is treated. The default is carbon's way: read to the end,
/// then close.
struct oracle_manner {
  enum class after {
    go_on, // no limit
    reset, // throw the connection away
    close, // FIN, without waiting for the peer
    stall, // keep it open and read no more
  };
  std::size_t bytes = 0; // read so many, then `then`
  after then = after::go_on;
  bool answer_the_end = true; // close when the peer has half-closed
  std::string talk;           // sent when the connection stands
  std::string hates;          // reset when a line holds this text
};

/// Listens on loopback, serves in a thread of its own. All functions may be
/// called from any thread.
class graphite_oracle {
public:
  /// Port 0: any free one.
  explicit graphite_oracle(std::uint16_t port = 0);
  ~graphite_oracle();

  graphite_oracle(const graphite_oracle&) = delete;
  graphite_oracle& operator=(const graphite_oracle&) = delete;

  std::uint16_t port() const {
    return port_;
  }

  /// Treats the next connection so; each call one more, then the default.
  void next(oracle_manner manner);

  /// Treats all connections so for which there is no `next`.
  void always(oracle_manner manner);

  /// Closes the port and all connections, as a server that was killed.
  void die();

  /// Listens on the same port again.
  void live();

  /// Ends all open connections with a FIN.
  void close_connections();

  /// The whole lines that were read, over all connections, without line end.
  std::vector<std::string> lines() const;
  std::size_t connections() const; // accepted so far
  std::size_t open_connections() const;
  std::size_t open_connections_max() const; // at the same time

  /// Waits until `done` holds; false after `limit`.
  bool wait_until(const std::function<bool(graphite_oracle&)>& done,
                  std::chrono::milliseconds limit = std::chrono::seconds{10});

private:
  struct connection;

  void listen();
  void serve();
  void accept_one();
  bool read_some(connection& c);
  void wake();

  std::uint16_t port_ = 0;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<oracle_manner> next_;
  oracle_manner always_;
  std::vector<std::unique_ptr<connection>> open_;
  std::vector<std::string> lines_;
  std::size_t accepted_ = 0;
  std::size_t open_max_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

} // namespace bpf2graphite::testing
