#pragma once
// The command line.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bpf2graphite {

/// sysexits(3), as the manual page lists them.
namespace exit_code {
inline constexpr int ok = 0;
inline constexpr int usage = 64;       // the command line
inline constexpr int data = 65;        // the input of `parse`
inline constexpr int unavailable = 69; // Graphite, bpftrace
inline constexpr int bug = 70;
inline constexpr int second_copy = 75;
inline constexpr int permission = 77;
inline constexpr int config = 78;
} // namespace exit_code

enum class verb { run, check, once, parse, record, status, top, tap, generate };

struct options {
  verb what = verb::run;
  std::optional<std::string> config_path;
  std::optional<std::string> server;
  std::optional<std::string> port; // validated with the configuration
  std::optional<std::string> log_level;
  bool to_stdout = false;         // run
  bool deep = false;              // check
  bool show_merged = false;       // check
  bool send = false;              // once
  std::vector<std::string> names; // once: traces or scripts; tap: traces
  bool json = false;              // status
  // parse
  std::string input = "-";
  std::optional<std::string> trace; // record, too
  std::string format = "auto";
  std::optional<std::string> bpftrace_version;
  std::optional<double> time;
  std::optional<std::string> times_path;
  bool records = false;
  // record
  bool force = false;
  std::optional<std::string> duration;
  std::string size_max = "1GiB";
  // record: the file; generate: the folder
  std::optional<std::string> output;
};

/// Reads argv. When there is nothing to run (--help, --version, a mistake) the
/// text has been printed and `exit` is the status to leave with.
struct parsed_options {
  options value;
  std::optional<int> exit;
};
parsed_options parse_options(int argc, const char* const* argv);

} // namespace bpf2graphite
