#pragma once
// `render-url`: where Graphite's render API answers.

#include <cstdint>
#include <string>
#include <string_view>

namespace bpf2graphite {

struct render_url {
  std::string host; // name or number; IPv6 without brackets
  std::uint16_t port = 80;
  std::string path;       // begins with /; up to and with `render`
  std::string host_field; // as HTTP's Host wants it
  std::string error;      // what is wrong and what mends it; empty: well
};

/// Reads "http://host[:port][/path]". Without a path, or with "/" alone, it is
/// /render; otherwise the path is taken as it is. https is refused: no TLS of
/// our own.
render_url parse_render_url(std::string_view text);

/// The target of the render API that is this one series, tags included.
std::string render_target(std::string_view series);

/// For a value in a query: all but letters, digits, `-`, `_` and `.` as %XX.
std::string percent_encoded(std::string_view text);

} // namespace bpf2graphite
