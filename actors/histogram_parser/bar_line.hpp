#pragma once
// One row of a histogram in bpftrace's text: its label, count and bar (see
// map_text.hpp for the grammar).

#include "messages/snapshot.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bpf2graphite {

/// All of `line`, without its line end, as a row of any histogram. False leaves
/// `row` alone.
bool read_bar(std::string_view line, bucket& row);

/// The rows of hist(), by number: 0 is [0], 1 is [1], n is [2^(n-1), 2^n).
inline constexpr std::size_t no_power = ~std::size_t{0};

/// The same where the row is that one of hist(), spelled with suffixes as
/// bpftrace does: its label is compared and not read. False says nothing: ask
/// read_bar. Every number may be given.
bool read_hist_bar(std::string_view line, std::size_t power, bucket& row);

/// The bytes of a row whose label and count are no wider than their columns,
/// with its line end.
inline constexpr std::size_t usual_bar_bytes = 80;

/// The same where `lines` begins with that row of hist(), in such bytes: of it
/// only the count is read. False says nothing.
bool read_usual_bar(std::string_view lines, std::size_t power,
                    std::uint64_t& count);

/// The number of a row of hist(); no_power: it is none.
std::size_t power_of(const bucket& row);

} // namespace bpf2graphite
