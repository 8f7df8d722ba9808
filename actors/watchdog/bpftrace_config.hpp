#pragma once
// How a trace's bpftrace is started, watched and stopped.

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace bpf2graphite {

enum class restart_mode { always, on_failure, never };
enum class format_mode { json, text, automatic };

struct bpftrace_config {
  std::string program = "bpftrace"; // absolute once it was found
  format_mode format = format_mode::json;
  std::map<std::string, std::string> environment; // BPFTRACE_* only
  std::chrono::milliseconds stop_timeout{5'000};
  std::size_t output_budget = 8 << 20;               // bytes a second; 0: off
  std::chrono::milliseconds expect_output_within{0}; // 0: off
  restart_mode restart = restart_mode::always;
  bool unsafe = false;

  friend bool operator==(const bpftrace_config&,
                         const bpftrace_config&) = default;
};

} // namespace bpf2graphite
