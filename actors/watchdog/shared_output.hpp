#pragma once
// The output of a merged program (script_merge.hpp), cut anywhere, in; what
// each of its scripts would have printed alone out.
//
// JSON: who a record belongs to stands at its beginning, where no data can
// come: `{"type": "map", "data": {"@p1_`. The prefix is taken out, and the rest
// of the line goes on as it comes, however long it is: its reader has its own
// limits. Records about the process are for all: attached_probes, lost_events,
// helper_error, runtime_error, and empty lines. What printf and the like wrote
// is dropped and counted (`printf-metrics` runs alone).
//
// Text: a line that begins with `@p1_` belongs to that script, and so do all
// behind it until the next: bars, stacks, the rest of a key with line ends in
// it. `Attaching N probes...`, `Lost N events` and warnings with their excerpt
// are for all. The first empty line after a map belongs to that map, a second
// one makes two for everybody: with two the dump at the end begins. A name in
// the middle of a line, where bpftrace forgot the line end, is found, too. The
// prefixes hold a tag that data cannot know, so that no key can pretend to be
// another script's: what it forges stays within its own, as it would alone.
// Scripts that print anything else than maps are not merged in text.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

class shared_output {
public:
  /// Bytes of the beginning of a line that are kept to find out whose it is.
  static constexpr std::size_t head_bytes_max = 4096;
  /// In text a whole line is kept; a longer one goes on in pieces.
  static constexpr std::size_t line_bytes_max = 64 << 10;

  /// `prefixes` as in merged_part, all made with `tag`.
  shared_output(bool text, std::vector<std::string> prefixes);

  void take(std::string_view chunk);

  /// The end: what stands after the last line end is given out, if it can be
  /// told whose it is.
  void finish();

  /// What came for that one since the last call.
  std::string take_out(std::size_t part);

  /// A map was printed. (Then the program was well.)
  bool maps_seen() const {
    return maps_seen_;
  }

  /// Records that belong to nobody: printf and the like, and what is no record
  /// or has a name without a prefix.
  std::uint64_t unclaimed() const {
    return unclaimed_;
  }

private:
  enum class state { head, pass, skip };
  static constexpr std::size_t nobody = static_cast<std::size_t>(-1);

  std::size_t owner_at(std::string_view behind_at) const;
  void to_all(std::string_view text);
  bool decide_json(bool complete);
  void take_text_line(std::string_view line);

  bool text_;
  std::vector<std::string> prefixes_;
  std::vector<std::string> out_;
  std::string head_;
  state state_ = state::head;
  std::size_t current_ = nobody;
  std::size_t blanks_ = 0;  // empty lines in a row
  std::size_t excerpt_ = 0; // lines of a warning that may follow
  bool maps_seen_ = false;
  std::uint64_t unclaimed_ = 0;
};

} // namespace bpf2graphite
