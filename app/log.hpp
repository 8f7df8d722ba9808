#pragma once
// Messages for people: to the journal with a priority, or to stderr as text.

#include "messages/log.hpp"

#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace bpf2graphite {

enum class log_format { automatic, journal, text };

/// "error", "warning", "notice", "info", "debug"; none for other words.
std::optional<log_level> parse_log_level(std::string_view text);

/// The bytes as a person may see them: what is not printable ASCII or valid
/// UTF-8 becomes \xHH, so that data in a message cannot move a terminal's
/// cursor or forge a line of the log.
std::string escaped(std::string_view bytes);

/// The same, but line ends stay: for text of several lines.
std::string escaped_lines(std::string_view bytes);

/// The one log of the process. Any thread.
class logger {
public:
  /// `automatic` is the journal when stderr is connected to it
  /// ($JOURNAL_STREAM), else text.
  logger(log_level most_detailed, log_format format);

  void write(log_level level, std::string_view text);
  void set_level(log_level most_detailed);

  /// A sink that puts `prefix` (for example `trace "cpu-lat": `) before each
  /// message.
  log_sink sink(std::string prefix = {});

private:
  std::mutex mutex_;
  log_level most_detailed_;
  bool to_journal_;
};

} // namespace bpf2graphite
