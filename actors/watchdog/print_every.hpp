#pragma once
// `print-every`: most of the well known tools print their maps only when they
// end. A probe that prints them regularly is appended to the program, so that
// they work as they are. A probe of interval:s:1 costs nothing measurable, and
// interval blocks may be repeated freely in every version of bpftrace.

#include "actors/watchdog/script_scanner.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

struct print_every_config {
  /// `print-every`: zero is "off", "auto" is one second.
  std::chrono::milliseconds period{1000};
  /// `maps` of the trace, with or without @; empty: all that qualify. One
  /// that is named is printed whatever it holds.
  std::vector<std::string> maps;
};

/// The limits of a period.
constexpr std::chrono::milliseconds print_every_min{10};
constexpr std::chrono::milliseconds print_every_max{3'600'000};

/// Reads "auto", "off" or a period such as "500ms", "1s", "2min" (whole
/// numbers only, print_every_min to print_every_max); none for anything else.
std::optional<std::chrono::milliseconds>
parse_print_every(std::string_view text);

/// A map and one line that says why it was appended, or why not.
struct map_reason {
  std::string map; // with its @
  std::string why;
};

struct print_every_result {
  /// What bpftrace has to run: the script itself, byte for byte, then the
  /// appended probe if there is one.
  std::string program;
  /// The appended probe as it stands there; empty: nothing was appended.
  std::string probe;
  std::vector<map_reason> appended;
  /// Maps that hold counts or statistics and are not appended.
  std::vector<map_reason> left_out;
};

/// "usecs" and "@usecs" are both "@usecs"; "" and "@" the nameless map.
std::string map_name_of(std::string_view configured);

/// Whether the script keeps something of its own in the map rather than a
/// result, and why: "holds time stamps" and the like; else empty. Judged by
/// what the script does with it: values that are stored, read again and
/// deleted; a map that END clears although nothing ever showed it.
std::string scratch_reason(const script_map& map, const script_facts& facts);

/// Whether a print outside END shows the map. Prints in BEGIN alone show only
/// what BEGIN does, unless nothing else fills the map.
bool printed_while_running(const script_map& map, const script_facts& facts);

/// Appends what is missing. `facts` are those of `script`; where they hold an
/// error nothing is appended.
print_every_result append_prints(std::string_view script,
                                 const script_facts& facts,
                                 const print_every_config& config);

} // namespace bpf2graphite
