#pragma once
// bpftrace joins the parts of a key without quoting. This splits them again.

#include "actors/histogram_parser/map_parser.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

/// Splits the keys of one print of one map. `raw` are the key texts as printed
/// (text: without the brackets; JSON: unescaped), `separator` is ", " in text
/// and "," in JSON. All elements of a map have the same number of parts: known
/// from `hint`, else the smallest number that any key of `raw` or of an earlier
/// print (`learnt`, updated) splits into. Surplus separators belong to the
/// part that is no integer. Returns one vector of parts per raw key.
std::vector<std::vector<std::string>>
split_keys(const std::vector<std::string_view>& raw, std::string_view separator,
           const key_shape* hint, key_shape& learnt);

/// True for a stack as bpftrace prints it in a key: a line end, then at least
/// one frame, each on a line with its end. A frame is indented or (JSON of
/// 0.24+, which drops spaces) a symbol with its offset or an address.
bool is_stack(std::string_view text);

} // namespace bpf2graphite
