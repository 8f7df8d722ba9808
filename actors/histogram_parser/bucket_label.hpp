#pragma once
// The label of a histogram row in bpftrace's text, as exact bounds.

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
/// leaves `bounds` alone. Accepted, in all versions:
///
///   label := "(..., " bound ")"        everything below `bound`
///          | "[" bound "]"             exactly `bound`
///          | "[" bound ", " bound ")"  low inclusive, high exclusive
///          | "[" bound ", ...)"        `bound` and above
///   bound := digits [ "K" | "M" | "G" | "T" | "P" | "E" ]
///
/// A suffix is a power of 1024 whatever the version or the row: bpftrace
/// writes no rounded bound (1562500K, 1024T, 1536). Refused: a low end above
/// 2^63-1, a high end above 2^63, a high end not above the low one.
std::size_t parse_bucket_label(std::string_view text, bucket_bounds& bounds);

} // namespace bpf2graphite
