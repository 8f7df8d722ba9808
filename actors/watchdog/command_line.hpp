#pragma once
// From a trace's configuration to what the kernel is asked to run. Never a
// shell.
//
// A script that stays as it is goes to bpftrace as a path, so that `ps` and
// bpftrace's messages name it. A script that was extended (print-every, shared
// processes) has no path: nothing is written to disk. It goes in on standard
// input (`bpftrace -`), a sealed file in memory (memfd_create(2)) that ends
// after the text, so that from then on it reads as /dev/null does. Tried with
// 0.17 and left: `-e TEXT` (128 KiB at most, and all of it in `ps`) and
// /proc/self/fd/N (a message names that path, and the number has to be kept
// free in the child). Messages call the text "stdin"; its lines are numbered
// as in the script, since what is added is added at the end.
//
// bpftrace looks for `#include "x.h"` in its working directory, not beside the
// script (0.17), so the child runs in the script's folder.

#include "actors/watchdog/bpftrace_config.hpp"

#include <optional>
#include <string>
#include <vector>

namespace bpf2graphite {

/// Where programs are looked for: the user's PATH is none of bpftrace's
/// business, nor of ours.
inline constexpr const char* program_path =
  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a trace that may share its process has to say; see share_pool.hpp.
struct share_wish {
  std::string key;     // only equal ones share
  std::string program; // the text that would run alone
  bool text = false;   // the format of its output; else JSON
};

/// What is to be run, complete but for the search for `program`.
struct process_command {
  std::string program;                  // absolute, or to be found
  std::vector<std::string> arguments;   // without argv[0]
  std::vector<std::string> environment; // NAME=value, nothing else is passed
  std::string directory;                // working directory; empty: /
  /// What standard input holds; none: /dev/null.
  std::optional<std::string> input;
  std::optional<share_wish> share{};
  /// Nobody waits for each of its prints: they may stay in the pipe for a while
  /// (see pipe_poller).
  bool hold_output = false;
};

struct script_source {
  std::string path; // absolute
  /// The text to run instead of the file's; none: the file as it is.
  std::optional<std::string> text;
};

/// The command for one trace. `arguments` are the script's $1, $2, ...;
/// `options` are bpftrace's own, such as -p 1; both as the user gave them.
/// `format_mode::automatic` is JSON. No -q: the line that tells of attached
/// probes is wanted. No -B: the default writes each line or record at once.
process_command command_line(const bpftrace_config& config,
                             const script_source& script,
                             const std::vector<std::string>& arguments,
                             const std::vector<std::string>& options);

/// `PROGRAM --version`, in the same environment.
process_command version_command(const std::string& program);

} // namespace bpf2graphite
