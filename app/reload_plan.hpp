#pragma once
// What a reload has to do: the configuration in force and a new one in, the
// steps out.

#include "app/config.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bpf2graphite {

/// Names of traces in the order of the new file (those that go: of the old).
struct reload_plan {
  /// What is in force when all is done: the new file, but with the old values
  /// of the keys in `needs_restart`.
  std::shared_ptr<const config> in_force;
  /// Keys ("graphite.buffer") that differ and that a running daemon cannot
  /// take over.
  std::vector<std::string> needs_restart;

  /// Their bpftrace is stopped, its last output is taken, all their slots are
  /// sent.
  std::vector<std::string> removed;
  /// Their bpftrace starts again with the new words; open slots stay, since
  /// every series is called as before and has the same slots.
  std::vector<std::string> restarted;
  /// Their series are called otherwise, or have other slots: they end like
  /// those that are removed, and begin as if they were new.
  std::vector<std::string> replaced;
  std::vector<std::string> added;
  std::size_t unchanged = 0;

  /// Where batches go has changed, and can be taken over.
  bool other_addresses = false;
};

/// `script_changed(id)`: whether the script of a trace that runs reads
/// otherwise than when its bpftrace was started. Asked for traces that are
/// enabled in both.
reload_plan
plan_reload(const config& running, config next,
            const std::function<bool(const std::string& id)>& script_changed);

/// One line for people: "2 traces unchanged, 1 restarted (cpu-lat), ...".
std::string describe(const reload_plan& plan);

} // namespace bpf2graphite
