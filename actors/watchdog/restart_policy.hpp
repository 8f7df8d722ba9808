#pragma once
// When a bpftrace that ended is started again: for ever, with growing delays.
// No clock, no chance, no process: time and randomness are arguments.

#include "actors/supervisor/supervision.hpp"
#include "actors/watchdog/bpftrace_config.hpp"
#include "messages/output.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace bpf2graphite {

struct restart_limits {
  supervision::backoff_limits backoff{};
  /// This many ends within `intensity.period` are bad luck, one more is
  /// `failing`.
  supervision::intensity deaths{};
  /// How often an end is reported while nothing changes; while failing 20
  /// times as rare.
  std::chrono::milliseconds report_every{30'000};
};

/// How one life of bpftrace ended.
enum class life_end {
  finished,      // exit status 0, and we did not ask for it
  failed,        // another exit status, after it had printed something
  misconfigured, // another exit status, before it printed anything
  killed,        // by a signal that we did not send
  not_started,   // no process came to be
  put_down,      // by us: silent, or printing too much
};

/// Standard output of a process that did not come further than telling how
/// many probes it attaches: 0.9 to 0.23 do so before they attach them
/// (`{"type": "attached_probes", "count": 1024, "data": {"probes": 1024}}`).
inline constexpr std::uint64_t attach_line_bytes_max = 96;

/// Judges the end of a life that we did not ask to end.
life_end judge(const process_exited& end);

/// The end in words for a person: "exit status 1", "killed by signal 9
/// (Killed)", or why it was not started.
std::string describe_end(const process_exited& end);

/// bpftrace's own reason: the first line of `last_words` that holds "ERROR:",
/// but for the complaint about RLIMIT_MEMLOCK that every start may bring; else
/// its last line that is not blank; at most 200 bytes. Empty: it said nothing.
std::string own_reason(const std::string& last_words);

class restart_policy {
public:
  using clock = supervision::clock;

  explicit restart_policy(restart_mode mode, restart_limits limits = {});

  struct decision {
    /// None: it is not started again (`restart` says so).
    std::optional<std::chrono::milliseconds> delay;
    bool failing = false;
    /// Worth one line in the log: the first end, the one that makes it
    /// failing, then now and then.
    bool report = false;
  };

  /// A life ended at `now`; `random` is within [0, 1].
  decision ended(clock::time_point now, life_end how, double random);

  /// When there will have been health, if it does not end before; only while
  /// failing.
  std::optional<clock::time_point> healthy_at() const;

  /// It runs still. True when that ends `failing`.
  bool check_health(clock::time_point now);

  bool failing() const {
    return failing_;
  }

private:
  restart_mode mode_;
  restart_limits limits_;
  supervision::backoff backoff_;
  supervision::restart_window deaths_;
  std::optional<clock::time_point> reported_;
  bool failing_ = false;
};

/// How a bpftrace is stopped: SIGINT, which makes it print its maps; again
/// after 2 s without a byte of output, since 0.17 can miss one, and not sooner,
/// since a second one during the final dump cuts it; SIGKILL at the time-out.
class stop_sequence {
public:
  using clock = supervision::clock;

  static constexpr std::chrono::milliseconds quiet_max{2'000};

  enum class action { wait, interrupt, kill };
  struct step {
    action what = action::wait;
    std::optional<clock::time_point> look; // when to call look() next
  };

  /// Begins it: the first step is an interrupt.
  step begin(clock::time_point now, std::chrono::milliseconds timeout);

  /// What to do now. `last_output` is when the last byte came.
  step look(clock::time_point now, clock::time_point last_output);

  bool begun() const {
    return deadline_.has_value();
  }

private:
  step wait_until(clock::time_point next, action what) const;

  std::optional<clock::time_point> deadline_;
  clock::time_point interrupted_{};
  bool killed_ = false;
};

} // namespace bpf2graphite
