#pragma once
// Graphite's plaintext: `path value timestamp\n`, one space each, ASCII.
//
// One bad line makes carbon close the connection or throw away the rest of
// what it has read, even behind a clean FIN (a byte that is not UTF-8, a line
// over 16384 bytes). So each line is checked here once more, however clean the
// normalizer's names are by construction.

#include "messages/metric.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bpf2graphite {

/// A path without its tags.
inline constexpr std::size_t path_bytes_max = 1000;
/// A path with its tags: far below carbon's 16384 bytes a line.
inline constexpr std::size_t series_bytes_max = 4000;
/// One level: whisper makes it a file name, at most 255 bytes with `.wsp`.
inline constexpr std::size_t level_bytes_max = 250;

/// Why a line is refused.
enum class line_fault {
  none,
  path,      // empty, an empty level, a byte outside the alphabet, a bad tag
  too_long,  // over one of the limits above
  value,     // not a finite number
  timestamp, // not in 1 ... 2^32-1: whisper packs it into 32 bits, and carbon
             // takes -1 for "now"
};

/// Writes lines after each other. What a line has in common with the one
/// before, most of its path and its time stamp, is not judged and not made
/// once more.
class line_writer {
public:
  /// Appends one line. Integers are written as they are, of any size; doubles
  /// in the shortest form that reads back as the same double, without an
  /// exponent between 1e-5 and 1e21. Independent of the locale. On a fault
  /// nothing is appended; the caller counts it. The point has to live until the
  /// next one has come.
  line_fault append(std::string& out, const metric& point);

private:
  line_fault judge(std::string_view path);

  /// A space, 10 digits, a line end; copied whole.
  static constexpr std::size_t line_end_max = 16;

  std::string_view levels_; // of the last good path, without its tags
  std::int64_t timestamp_ = 0;
  std::array<char, line_end_max> end_{}; // of a line with that time stamp
  std::size_t end_size_ = 0;
};

/// One line on its own.
line_fault append_line(std::string& out, const metric& point);

/// Judges a path: levels of [A-Za-z0-9_:~+%#@-] joined by single dots, then
/// optionally tags `;name=value` of the same alphabet and dots, as carbon 1.1
/// takes them (a value does not begin with `~`).
line_fault judge_path(std::string_view path);

} // namespace bpf2graphite
