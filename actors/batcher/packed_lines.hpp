#pragma once
// The text of a batch that is kept for a resend that hardly ever comes: a line
// says only where it differs from the one before. Lines of one batch have most
// of their path and their whole time stamp in common: about a quarter is left.
//
//   packed = SIZE line*          SIZE: bytes of the text
//   line   = HEAD TAIL REST rest bytes as many as REST says; before them come
//                                the first HEAD bytes of the line before,
//                                behind them its last TAIL bytes
//
// Numbers are packed as packed_number.hpp says.

#include <cstddef>
#include <string>
#include <string_view>

namespace bpf2graphite {

/// Packs any text, whether or not it ends with a line end; no larger than it
/// has to be.
std::string pack_lines(std::string_view text);

/// The text again, to the byte. `packed` must come from pack_lines.
std::string unpack_lines(std::string_view packed);

/// How long that text is.
std::size_t unpacked_bytes(std::string_view packed);

} // namespace bpf2graphite
