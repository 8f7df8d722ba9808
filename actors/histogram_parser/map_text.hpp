#pragma once
// bpftrace's text output, versions 0.9 to 0.27: lines in, snapshots out.
//
// What is accepted, in our words; NL is the line end, SP one space, EOF the end
// of the output. Facts: bpftrace's src/output.cpp up to 0.23 and
// src/output/text.cpp since 0.24, and captures of both.
//
//   output  := { map | empty | notice | other }
//   map     := row | hist | series
//   row     := NAME ":" SP value NL                 a map without keys
//            | NAME "[" key "]:" SP value NL
//   hist    := header NL { bar NL } NL              (the empty line ends it)
//   series  := header NL ( "<no data>" NL
//            | scale NL clock NL { point NL } foot NL scale NL NL )
//   header  := NAME ":" [SP] | NAME "[" key "]:" [SP]
//   NAME    := "@" followed by any of A-Z a-z 0-9 _
//   value   := integer | stats | stack | text
//   integer := "-"? digits without leading zeros, -2^63 ... 2^64-1
//   stats   := "count " integer ", average " integer ", total " integer
//            | "{ .count = " integer ", .average = " integer ", .total = "
//              integer " }"
//   stack   := NL { 8 spaces or a tab, frame, NL }  (then NL or the next map)
//   text    := any other bytes
//   bar     := label { SP } count " |" bar of 52 columns "|"
//              label as in bucket_label.hpp; count 0 ... 2^64-1; the 52 columns
//              are "@"s, then spaces; a long label may touch its count
//   point   := hh:mm:ss[.fraction] SP 53 columns SP ( integer | "-" )
//   empty   := NL
//   notice  := "Attaching " N " probe" ["s"] "..." NL   once, before 0.24
//            | [other] "Lost " N " events" NL           before 0.24
//            | [other] FILE ":" place ": " ("WARNING" | "ERROR") ": " any NL
//              ["Additional Info - helper: " any NL]
//              [any NL {SP} {"~"} NL]                    before 0.24
//              place := line ":" columns, followed by the source excerpt, or
//                       line "-" line, without
//   other   := what printf, time, cat, join, system and print() of no map
//   wrote;
//              with `printf-metrics` each whole line of it may be a value:
//              printf_metrics.hpp has that grammar
//
// What is not marked has to be guessed; the rules, in this order:
//
//  1. A key holds any byte but NUL. Of a line that ends in a number, stats or
//     as a header, the LAST "]: " ends the key; of one that ends in text, the
//     first. A row that ends nowhere on its line goes on with the next ones
//     (names of processes and stacks hold line ends) to the first that can end
//     it. A line that could end a key but begins no map belongs to the row
//     before it, which was the false beginning, if the key then still has the
//     size of a process name, not all keys of that map are integers, no map
//     that was seen before stands in it behind text (rule 4), and the value
//     does not fall (rule 6) where that of the row before fits. Therefore a
//     row is believed one line later than it came.
//  2. A header is believed when a bar, a scale, a stack or an empty line
//     follows it; otherwise it is the beginning of a key. If that comes to no
//     end either, and a space stood behind it, it was an element whose text is
//     empty.
//  3. Bars count only under a header, and only as long as they join: each
//     begins where the one before ends, and they are as wide as hist() (same
//     or double) or lhist() (same; the last, open one may leave a gap) makes
//     them. Others are counted as `rejected`. What a process can write into
//     its name (15 bytes) is never long enough for a bar (79).
//  4. Text without a line end stands before a map on the same line: the first
//     place on a line that begins a row which ends in a number, stats or as a
//     header is a row. (So `printf("@fake: 12\n")` is a map. Use JSON.)
//  5. Up to 0.23 elements whose values are addresses stand on one line.
//  6. A print of a map with keys has no end mark. It ends with any other line,
//     a silence of `parser_options::pause`, a key that it holds already, or a
//     value below the one before: bpftrace prints counts, sums, averages, stats
//     and histogram totals in rising order. Not relied on: negative values and
//     those above 2^63-1 (signs differ by version), integers in 0.26+ until the
//     map has shown five rising ones (those of less than 64 bits print in any
//     order), histograms that were divided (a row of 0 at an end). Where a
//     repeated key shows that two prints touch, they are parted at the last
//     fall before it. Keys with stacks repeat within one print: for these a
//     repeated key ends the print only together with a fall.
//  7. `ending`: two empty lines (one after a line of text, which lacked its
//     end) that are followed by nothing but maps in rising order of their
//     names and EOF. Snapshots after such lines are held until EOF, other
//     output, 500 ms of silence (`pause`, once that was found to be usual), or
//     `record_bytes_max` of them.
//  8. A value that is text goes on with lines that are no map when the next
//     element of the same map follows, or in the final dump.
//
// At the end of the output a row without its line end is dropped, a histogram
// without its empty line is handed out as `partial`.

#include "actors/histogram_parser/map_parser.hpp"

#include <chrono>
#include <cstddef>
#include <memory>

namespace bpf2graphite {

/// Maps told apart in one stream; a row of one more is counted as rejected.
constexpr std::size_t text_maps_max = 4096;

/// A key longer than this is given up: two stacks of 127 frames fit.
constexpr std::size_t text_key_bytes_max = 64 << 10;

/// Lines of one key that are no frames of a stack; with more it is given up.
constexpr std::size_t text_key_lines_max = 16;

/// How long a possible final dump waits for the end of the output (rule 7).
constexpr std::chrono::milliseconds text_ending_hold{500};

std::unique_ptr<map_parser> make_text_parser(parser_options options);

} // namespace bpf2graphite
