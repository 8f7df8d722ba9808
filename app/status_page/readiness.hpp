#pragma once
// Whether the daemon does its work, for `/readyz`.
//
// Ready: every trace runs, except those that are stopped because `restart`
// says so; and one destination at least is not in trouble: it has accepted what
// it got last, or nothing was to be delivered yet.

#include "app/status_report.hpp"

#include <string>

namespace bpf2graphite {

struct readiness {
  bool ready = false;
  /// "ready", or a line for each reason, at most `readiness_reasons_max` and
  /// one that counts the rest. Without bpftrace's own words.
  std::string text;
};

constexpr std::size_t readiness_reasons_max = 20;

readiness readiness_of(const status_report& report);

} // namespace bpf2graphite
