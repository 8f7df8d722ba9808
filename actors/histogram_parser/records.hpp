#pragma once
// What was decoded, as text: one JSON object per value, for `parse --records`
// and for comparing both parsers with the truth beside the captures.

#include "messages/snapshot.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace bpf2graphite {

/// Appends the values of `print` to `out`, a line each, in print order. The
/// fields of a line, always in this order:
///   map       the name with its @; null for print() of what is no map
///   keys      the key parts; bytes that are no UTF-8 show as U+FFFD, as
///             Python's decode(errors="replace") puts them
///   keys_hex  the parts' exact bytes; only when one of them is no UTF-8
///   kind      hist, value, stats, tseries, text, print or metric: what this is
///             (one print of a text map may hold numbers and text)
///   bucket    hist only: inclusive min and max, null at an open end
///   value     an exact integer, a string, or the JSON text as it came
///   snapshot  the how-manieth print of that map; null for print
///   field     stats only: count, average and total are three lines
///   time      tseries only
/// A histogram without rows gives no line. The text of `text_value` with
/// `json` set is copied as it is and must be one line of JSON.
void write_records(const snapshot& print, std::string& out);

/// Appends `bytes` as a JSON string with its quotes. Always valid JSON and
/// valid UTF-8: see `keys` above for bytes that are not.
void append_json_string(std::string_view bytes, std::string& out);

/// The length of the UTF-8 sequence that `bytes` begins with (1 to 4); 0 when
/// it begins with none (`bytes` must not be empty). `broken` is then the
/// number of bytes that one U+FFFD stands for: the longest beginning of a
/// valid sequence, at least 1 (Unicode 15, section 3.9, "maximal subpart").
std::size_t utf8_sequence(std::string_view bytes, std::size_t& broken);

} // namespace bpf2graphite
