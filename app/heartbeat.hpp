#pragma once
// What systemd hears of us while we run: WATCHDOG=1 as long as every actor and
// the io thread answer, and STATUS when it has changed.

#include "app/service_notifier.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace bpf2graphite {

/// io thread, but for `changed`. Without a watchdog and without changes it
/// never wakes up.
class heartbeat {
public:
  /// STATUS is told at most that often.
  static constexpr std::chrono::seconds status_pause{3};

  /// `ping(answered)` asks all actors. `limit`: see watchdog_limit(); a ping
  /// is sent every half of it or a little later, each after an answer of its
  /// own: one that does not come is waited for, and nothing is sent.
  heartbeat(boost::asio::io_context& io, service_notifier& notifier,
            std::optional<std::chrono::microseconds> limit,
            std::function<void(std::function<void()> answered)> ping,
            std::function<std::string()> status);
  heartbeat(const heartbeat&) = delete;
  heartbeat& operator=(const heartbeat&) = delete;
  ~heartbeat();

  /// Pings from now on.
  void start();

  /// We are awake for another reason: a ping that is due soon goes now, so that
  /// it needs no wake-up of its own. io thread.
  void awake();

  /// STATUS is not told any more: it says that we are stopping.
  void stopping();

  /// The status may be another one. Any thread; may be called at any time.
  std::function<void()> changed();

private:
  struct door;

  void beat();
  void show();

  boost::asio::io_context& io_;
  service_notifier& notifier_;
  std::optional<std::chrono::microseconds> limit_;
  std::function<void(std::function<void()>)> ping_;
  std::function<std::string()> status_;
  boost::asio::steady_timer beats_;
  boost::asio::steady_timer shows_;
  std::chrono::steady_clock::time_point shown_{};
  std::chrono::steady_clock::time_point beaten_{};
  bool asking_ = false; // actors have not answered yet
  bool started_ = false;
  bool stopping_ = false;
  std::shared_ptr<door> door_;
};

} // namespace bpf2graphite
