#pragma once
// What every verb does first: find the configuration, read it, say what is
// wrong with it, plan its traces.

#include "app/config.hpp"
#include "app/config_files.hpp"
#include "app/options.hpp"
#include "app/trace_plan.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bpf2graphite {

/// The files of this machine, as far as root, the effective user and, on a
/// terminal, the user who called sudo are trusted.
disk_files open_files();

/// A configuration that may be used, or the status to leave with. All messages
/// have been written to stderr.
struct startup {
  config value;
  std::optional<int> exit;
  config_request request; // to read it again
};

/// Reads the file that `--config` names, or the one that is found. With
/// `needed` false, a missing file (only when none was named) gives the
/// defaults.
startup read_config(const options& given, file_access& files, bool needed);

/// Everything that stands around a configuration on this machine.
std::string host_name();
wall_time now();

/// The plan of one trace, or why it has none (its script cannot be read, or
/// holds what can never work).
struct planned_trace {
  std::optional<trace_plan> plan;
  std::string error;
};
planned_trace plan_from_disk(const trace_config& trace, const config& all,
                             file_access& files);

/// A configuration as a reload sees it: checked like `check` does, with its
/// scripts.
struct reread_config {
  config value;
  std::vector<config_message> messages;
  /// What each enabled trace would run; only when `ok()`.
  std::map<std::string, std::string> programs;

  bool ok() const; // no message is an error
};
reread_config read_again(const config_request& request, file_access& files);

} // namespace bpf2graphite
