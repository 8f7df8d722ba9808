#pragma once
// bpftrace's output with `-f json`, versions 0.9.2 to 0.27, read strictly.
//
// What is accepted, in our words (bpftrace's src/output.cpp, from 0.24
// src/output/json.cpp, writes it). One record a line; space only as shown, but
// any JSON space and any order of fields is accepted too:
//
//   stream  = { record "\n" | "\n" } ;  two empty lines: the final dump begins
//                                       (0.9 - 0.23; later there are none)
//   record  = {"type": "map" | "hist" | "stats" | "tseries", "data": {maps}}
//           | {"type": "value", "data": value}               print(), 0.11+
//           | {"type": SPEECH, "data": string}     printf, time, cat, join,
//                   syscall, errorf, warnf; 0.9.2: "msg" instead of "data"
//           | {"type": "attached_probes", ...}
//           | {"type": "lost_events", ["count": count,]
//                                     "data": {"events": count} | string}
//           | {"type": "helper_error" | "runtime_error", ...}
//           | {"type": "test_result" | "benchmark_result(s)", ...}
//                   with `printf-metrics` the lines of printf, and only of
//                   printf, may be values: printf_metrics.hpp has that grammar
//   maps    = "@name": element | "@name": {[ "key": element, ... ]}
//   element = map: integer | string | tuple | struct | true | false | null
//           | hist: [[ row, ... ]]         hist() and lhist() look the same
//           | stats: integer (avg) | {"count": i, "average": i, "total": i}
//           | tseries: [[ {"interval_start": string, "value": i | null} ]]
//   row     = {"min": i, "max": i, "count": count}    both bounds inclusive;
//             no min: open below, no max: open above
//   key     = the parts joined by "," (0.24+: without its spaces and outer
//             parentheses); may occur twice in one map: both are kept
//   integer = -2^63 ... 2^64-1; in quotes too (0.24+, where a double does not
//             hold it; other digits in quotes are a string)
//   count   = 0 ... 2^64-1; 0.24+: hexadecimal without prefix from the first
//             \u on that was written in any string of the stream
//   string  = as in JSON, but bytes of 0x80 and above need be no UTF-8 and
//             \uffffffHH is the byte HH; in keys of 0.22 and 0.23 all this
//             stands escaped once more
//
// The row {"min": -2147483648, "max": 0} (0.9.2 - 0.19 compute in 32 bits) is
// 2147483648 ... 4294967295.
//
// What bpftrace writes although it is no JSON is decoded too, and not counted
// as invalid: text without quotes as a value (strftime before 0.22, cgroup_path
// before 0.20, macaddr up to 0.23, nothing at all), the unquoted times of
// tseries in 0.24. A line that is anything else is counted as invalid and
// costs nothing but itself; when a record follows on the same line (a child of
// `-c` wrote there without a line end) that is still read.
//
// A struct as the value of a map without keys cannot be told from a map with
// keys, and stats from an avg() with the keys count, average and total: the
// key shapes given in parser_options decide, without them the latter is stats.

#include "actors/histogram_parser/map_parser.hpp"

#include <memory>

namespace bpf2graphite {

/// Maps told apart in one stream; a print of one more is counted as rejected.
constexpr std::size_t json_maps_max = 65536;

/// Elements of one print of a map (bpftrace's own limit is 4096 if not set
/// higher); a record with more is refused as invalid.
constexpr std::size_t json_elements_max = 1 << 22;

/// The parser of that output. Records longer than `record_bytes_max` count as
/// invalid. Without `speaks.version` the generation is found from the stream:
/// records that came before the first sign of it are read as 0.23 or earlier.
std::unique_ptr<map_parser> make_json_parser(parser_options options);

} // namespace bpf2graphite
