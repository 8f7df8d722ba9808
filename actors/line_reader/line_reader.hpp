#pragma once
// The shell around line_splitter: bytes in, whole lines to the parser.

#include "actors/line_reader/byte_credit.hpp"
#include "actors/line_reader/line_splitter.hpp"
#include "actors/supervisor/inbox.hpp"
#include "messages/ledger.hpp"
#include "messages/log.hpp"
#include "messages/protocols.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>

namespace bpf2graphite {

/// What a line_reader has begun and its successor goes on with.
struct line_reader_memory {
  /// As line_splitter has them.
  explicit line_reader_memory(std::size_t limit,
                              std::size_t plain_limit = SIZE_MAX)
    : line_bytes_max{limit}, plain_bytes_max{plain_limit}, splitter{
                                                             limit,
                                                             plain_limit} {}

  std::size_t line_bytes_max;
  std::size_t plain_bytes_max;
  line_splitter splitter;
  bool busy = false; // an exception left the splitter in doubt
};

/// What a line_reader works on; lent by the topology, outlives it.
struct line_reader_environment {
  trace_name trace;
  inbox<output_event>& in;
  inbox<lines_event>& out; // the parser's
  line_reader_memory& memory;
  /// Bytes of an unfinished line are given back, or a line longer than the
  /// window would wait for ever; they are taken again when its end has come.
  byte_credit& credit;
  std::function<void(std::size_t)> give_back; // bytes of the pipe
  trace_ledger& ledger;
  log_sink log;
  fault_hook fault; // tests only; may be empty
  /// The limits of a line from the next life on; empty: as they are.
  std::function<std::size_t()> line_bytes_max{};
  std::function<std::size_t()> plain_bytes_max{};
};

struct line_reader_state {
  static inline const char* name = "line_reader";
};

line_reader_actor::behavior_type
line_reader(line_reader_actor::stateful_pointer<line_reader_state> self,
            line_reader_environment& env, histogram_parser_actor next);

} // namespace bpf2graphite
