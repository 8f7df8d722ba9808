#pragma once
// bpftrace joins the parts of a key without quoting. This splits them again.
//
// What a key is taken for; SEP is ", " in text and "," in JSON:
//
//   key     := part { SEP part }
//   part    := integer | stack | group | text
//   integer := ["-"] digits
//   stack   := NL { frame NL }       followed by SEP or the end of the key
//   frame   := 4 spaces or a TAB, and more | any "+" digits | [0-9a-fx] ...
//   group   := "(" ... ")" | "[" ... "]"   a tuple or an array, its brackets
//              balanced and followed by SEP or the end of the key
//   text    := any bytes, SEP too; may be empty
//
// All keys of a map have the same number of parts. Where that is not told by
// the script it is the smallest that any of them has, a stack or group being
// one. A key that has more separators than that has texts with separators in
// them. Which ones? Integers stand where all keys have integers; the one part
// that is no integer takes the surplus; of several, the split that is likeliest
// is searched for: parts that other keys have, too, and parts made of the kinds
// of bytes that other keys have there, and (in JSON, which joins without a
// space) no part that begins with a space. Between two texts, "a, b" and "c" or
// "a" and "b, c", nothing may decide: then the first takes the surplus. (The
// values are right either way.)

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

/// True when the parts of `key` are the same whatever other keys the map has,
/// as long as it has so many `parts`. `told`: the script says so; else they are
/// `learnt.parts`. Of a map of such keys only new ones need be split.
bool splits_alone(std::string_view key, std::string_view separator,
                  std::size_t parts, bool told);

/// True for a stack as bpftrace prints it in a key: a line end, then at least
/// one frame, each on a line with its end. A frame is indented or (JSON of
/// 0.24+, which drops spaces) a symbol with its offset or an address.
bool is_stack(std::string_view text);

} // namespace bpf2graphite
