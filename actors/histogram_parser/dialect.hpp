#pragma once
// Which generation of bpftrace wrote the output.

#include <compare>
#include <optional>
#include <string_view>

namespace bpf2graphite {

/// bpftrace's version, as `bpftrace --version` prints it.
struct bpftrace_version {
  int major = 0;
  int minor = 0;
  int patch = 0;

  friend auto operator<=>(const bpftrace_version&,
                          const bpftrace_version&) = default;
};

/// Reads "bpftrace v0.17.0", "v0.23.2-dirty", "0.9" and the like; none when
/// there is no version in it.
std::optional<bpftrace_version> parse_bpftrace_version(std::string_view text);

/// What a bpftrace writes on its standard output.
enum class output_format { json, text };

/// What a parser has to know of the bpftrace behind its bytes. Without a
/// version the parser finds out from the stream where that is possible.
struct dialect {
  output_format format = output_format::json;
  std::optional<bpftrace_version> version;

  /// True when the version is known and at least major.minor.
  bool at_least(int major, int minor) const {
    return version
           && (version->major > major
               || (version->major == major && version->minor >= minor));
  }
};

} // namespace bpf2graphite
