#pragma once
// Running the tree of actors: signals, systemd, the lock, the end.

#include "app/config.hpp"
#include "app/file_access.hpp"
#include "app/log.hpp"
#include "app/startup.hpp"

#include <functional>
#include <optional>

namespace bpf2graphite {

struct daemon_mode {
  /// Lines go to stdout; no lock and no record of the newest slot, so it may
  /// run beside the daemon.
  bool to_stdout = false;
  /// Takes the lock of the runtime directory and keeps `last-slot` there.
  bool own_runtime = true;
  /// Stop by itself when this many slots are over, counted from the first one
  /// that points are sent for.
  std::optional<int> slots;
  /// Reads the configuration again, for SIGHUP; any thread. Empty: a SIGHUP
  /// ends it like a SIGTERM.
  std::function<reread_config()> read_again;
};

/// Runs until a signal (or the slots) end it; returns the exit status. The
/// first SIGTERM or SIGINT stops in order, the second at once.
int run_daemon(const config& settings, file_access& files, logger& log,
               const daemon_mode& mode);

} // namespace bpf2graphite
