#pragma once
// The page itself, made at build time of page.html, page.css and page.js by
// embed.cmake.

#include <string_view>

namespace bpf2graphite {

/// One document, style and script in it.
extern const std::string_view page_html;

/// Its Content-Security-Policy: that style and that script, by their hashes,
/// and requests to where it came from; nothing else.
extern const char* const page_policy;

} // namespace bpf2graphite
