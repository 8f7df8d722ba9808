#pragma once
// What systemd is told (sd_notify(3)) and wants to hear (WatchdogSec). With a
// socket that is opened once: sd_notify opens one each time, which fails when
// descriptors have run out, and waits when systemd does.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace bpf2graphite {

class service_notifier {
public:
  /// Opens the socket of $NOTIFY_SOCKET; without one nothing is told.
  service_notifier();
  ~service_notifier();
  service_notifier(const service_notifier&) = delete;
  service_notifier& operator=(const service_notifier&) = delete;

  bool connected() const {
    return fd_ >= 0;
  }

  /// Nothing that is told may be longer; STATUS is cut to fit.
  static constexpr std::size_t message_bytes_max = 2'000;

  /// "READY=1", "STOPPING=1" ...; `status` may be empty. Waits up to 100 ms
  /// for room; false: not told.
  bool tell(std::string_view what, std::string_view status = {});

  /// RELOADING=1 with the time that systemd 253 wants.
  void tell_reloading();

  /// STATUS=, when it differs from what was told before. Never waits; false:
  /// no room, ask again.
  bool tell_status(std::string_view status);

  /// WATCHDOG=1. Never waits.
  void ping();

private:
  bool send(const std::string& message, int wait_ms);

  int fd_ = -1;
  std::string status_; // told last
};

/// How long systemd waits for a ping (WATCHDOG_USEC, of the process that
/// WATCHDOG_PID names if it is set; sd_watchdog_enabled(3)); none: it does not.
std::optional<std::chrono::microseconds> watchdog_limit();

} // namespace bpf2graphite
