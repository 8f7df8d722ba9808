#pragma once
// Bytes cut anywhere in, whole lines out.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

/// Whole lines, each with its '\n', in stream order: first `joined`, then
/// `regions`. All of them arrived with the chunk that they came out of: a line
/// has arrived when its end has.
struct split_lines {
  /// The one line that earlier chunks began; empty when there was none. In the
  /// splitter's own memory, valid until its next call; may be moved from
  /// through `line_splitter::take_joined()`.
  std::string_view joined;
  /// Within the chunk, nothing is copied. More than one only when a line over
  /// the limit was cut out between them.
  std::vector<std::string_view> regions;
};

/// One per output stream. Holds at most `line_bytes_max` bytes, whatever
/// comes. A line longer than that (its '\n' not counted) is discarded up to
/// and with its end, and counted. So is a line that came in several chunks and
/// whose first `plain_bytes_max` bytes hold no '{': where lines are JSON, such
/// a one is no record, and only a record may be long.
class line_splitter {
public:
  explicit line_splitter(std::size_t line_bytes_max,
                         std::size_t plain_bytes_max = SIZE_MAX);

  /// Takes the next bytes. `chunk` must live as long as the result is used.
  split_lines take(std::string_view chunk);

  /// Moves the joined line of the last take() out; its view dies.
  std::string take_joined();

  /// The stream has ended: what stands after its last line end, without the
  /// beginning of a line that was being discarded. The splitter is then new.
  std::string finish();

  /// Bytes of an unfinished line that are held, for the credit ledger.
  std::size_t held_bytes() const {
    return partial_.size();
  }

  /// Lines over the limit, and their bytes with the line ends; sums.
  std::uint64_t discarded_lines() const {
    return discarded_lines_;
  }
  std::uint64_t discarded_bytes() const {
    return discarded_bytes_;
  }

private:
  void discard(std::size_t bytes, bool whole);

  /// The line that `partial_` and then `more` begin is over a limit.
  bool too_long(std::string_view more);

  std::size_t line_bytes_max_;
  std::size_t plain_bytes_max_;
  std::string partial_; // the unfinished line
  bool opened_ = false; // ... and there is a '{' in it, early enough
  std::string joined_;  // the line that the last chunk finished
  bool discarding_ = false;
  std::uint64_t discarded_lines_ = 0;
  std::uint64_t discarded_bytes_ = 0;
};

} // namespace bpf2graphite
