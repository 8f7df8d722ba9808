#pragma once
// So many lines in so much time; what is over is counted.

#include "messages/wire.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace bpf2graphite {

class log_budget {
public:
  /// At most `lines_max` in any `period` that begins with a line.
  log_budget(int lines_max, std::chrono::seconds period)
    : lines_max_{lines_max}, period_{period} {}

  /// False: leave this line out; it is counted.
  bool admit(steady_time now) {
    if (lines_ == 0 || now - began_ >= period_) {
      began_ = now;
      lines_ = 0;
    }
    if (lines_ == lines_max_) {
      ++left_out_;
      return false;
    }
    ++lines_;
    return true;
  }

  /// How many lines were left out since this was asked last, as the end of a
  /// sentence; empty if none.
  std::string left_out() {
    auto n = std::exchange(left_out_, 0);
    return n == 0 ? ""
                  : " (" + std::to_string(n)
                      + " more before were not "
                        "logged)";
  }

private:
  int lines_max_;
  std::chrono::seconds period_;
  steady_time began_{};
  int lines_ = 0;
  std::uint64_t left_out_ = 0;
};

} // namespace bpf2graphite
