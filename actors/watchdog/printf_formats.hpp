#pragma once
// What a script's printf formats say of its metrics (`printf-metrics`), before
// anything was printed: for `check`, and for how strictly calls are read.

#include "actors/histogram_parser/map_parser.hpp"
#include "actors/watchdog/script_scanner.hpp"

#include <string>
#include <vector>

namespace bpf2graphite {

/// One line of one printf.
struct printf_line {
  std::size_t line = 1; // of the script
  /// As snapshot::map; empty when the format alone does not tell, or when it is
  /// no metric.
  std::string metric;
  /// It may become a metric, but which only its arguments or other calls tell.
  bool open = false;
  std::string why; // a sentence when it is no plain metric
};

struct printf_formats {
  std::vector<printf_line> lines; // in the text's order, at most 100
  /// For parser_options::metrics.
  metric_calls calls = metric_calls::lines;
  /// Lines of the script with a printf that writes several lines in a call of
  /// which none counts, since text from outside is printed (JSON only).
  std::vector<std::size_t> refused_calls;
};

/// Source of the conversions: bpftrace's docs/language.md, "printf".
printf_formats judge_formats(const script_facts& facts);

} // namespace bpf2graphite
