#pragma once
// The label of a histogram row in bpftrace's text, as exact bounds.
//
//   label := "(..., " bound ")"        everything below `bound`
//          | "[" bound "]"             exactly `bound`
//          | "[" bound ", " bound ")"  low inclusive, high exclusive
//          | "[" bound ", ...)"        `bound` and above
//   bound := digits [ "K" | "M" | "G" | "T" | "P" | "E" ]
//
// hist() writes the first three, with 0 in the first; lhist() the first, third
// and fourth, and from 0.24 the second where its step is 1. Which bounds have a
// suffix differs by version and row ([1024, 1536) stands beside [1536, 2K), and
// 1562500K beside 1500000000), but none is rounded.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace bpf2graphite {

/// Both ends inclusive; an absent end is open.
struct bucket_bounds {
  std::optional<std::int64_t> min;
  std::optional<std::int64_t> max;

  friend bool operator==(const bucket_bounds&, const bucket_bounds&) = default;
};

/// Reads the label that `text` begins with; more may follow it (a count can
/// touch the label). Returns its length, or 0 when there is none, and then
/// leaves `bounds` alone. Accepted: see above, in all versions. A suffix is a
/// power of 1024 whatever the version or the row. Refused: a low end above
/// 2^63-1, a high end above 2^63, a high end not above the low one.
std::size_t parse_bucket_label(std::string_view text, bucket_bounds& bounds);

} // namespace bpf2graphite
