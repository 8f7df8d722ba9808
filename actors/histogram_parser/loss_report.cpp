#include "actors/histogram_parser/loss_report.hpp"

#include <array>

namespace bpf2graphite {
namespace {

struct kind {
  counter trace_ledger::*count;
  const char* one; // after the number
  const char* many;
  const char* advice;
};

constexpr std::array<kind, 6> kinds{{
  {&trace_ledger::lost_events, "event was lost by bpftrace",
   "events were lost by bpftrace",
   "what the script prints is too low by them; print less, or raise "
   "BPFTRACE_PERF_RB_PAGES in bpftrace.environment"},
  {&trace_ledger::map_full, "warning of bpftrace that a map is full",
   "warnings of bpftrace that a map is full",
   "new keys are not counted; raise BPFTRACE_MAP_KEYS_MAX in "
   "bpftrace.environment, or use fewer keys"},
  {&trace_ledger::helper_errors, "error of a BPF helper",
   "errors of BPF helpers",
   "what it worked on is missing; bpftrace -k shows which one"},
  {&trace_ledger::rejected, "row fitted no map and was left out",
   "rows fitted no map and were left out",
   "the name of a process can forge rows of text: leave bpftrace.format at "
   "\"json\""},
  {&trace_ledger::invalid, "record of bpftrace was not valid JSON",
   "records of bpftrace were not valid JSON",
   "their values are missing; does the script print something of its own?"},
  {&trace_ledger::lines_discarded, "line was too long and was left out",
   "lines were too long and were left out",
   "raise limits.record-bytes-max (line-bytes-max for text), or print less at "
   "once"},
}};

} // namespace

std::vector<std::string> loss_report::look(const trace_ledger& books,
                                           clock::time_point now, bool all) {
  std::vector<std::string> sentences;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    auto state = kinds_.empty() ? kind_state{} : kinds_[i];
    auto count =
      (books.*kinds[i].count).load(std::memory_order_relaxed) - state.told;
    if (count == 0 || (state.ever && !all && now - state.at < period))
      continue;
    sentences.push_back(std::to_string(count) + ' '
                        + (count == 1 ? kinds[i].one : kinds[i].many) + ": "
                        + kinds[i].advice);
    kinds_.resize(kinds.size());
    kinds_[i] = {.told = state.told + count, .at = now, .ever = true};
  }
  return sentences;
}

} // namespace bpf2graphite
