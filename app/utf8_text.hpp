#pragma once
// Bytes of somebody else where only text may be.

#include <string>
#include <string_view>

namespace bpf2graphite {

/// `bytes` as UTF-8: each byte that belongs to no character becomes U+FFFD.
/// Source: the Unicode Standard, table 3-7 (well-formed byte sequences).
std::string utf8_text(std::string_view bytes);

} // namespace bpf2graphite
