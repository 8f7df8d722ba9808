#pragma once
// Messages for people: to the journal with priorities and fields, or to stderr
// as text or JSON.

#include "messages/log.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace bpf2graphite {

enum class log_format { automatic, journal, text, json };

/// "error", "warning", "notice", "info", "debug"; none for other words.
std::optional<log_level> parse_log_level(std::string_view text);

/// The bytes as a person may see them: what is not printable ASCII or valid
/// UTF-8 becomes \xHH, so that data in a message cannot move a terminal's
/// cursor or forge a line of the log.
std::string escaped(std::string_view bytes);

/// The same, but line ends stay: for text of several lines.
std::string escaped_lines(std::string_view bytes);

/// The one log of the process. Any thread; no call waits for whoever reads the
/// log. A thread writes (stderr may be a pipe that nobody empties, journald may
/// stand still, and O_NONBLOCK on stderr would be everybody's who shares it);
/// it sleeps while there is nothing to write. What finds no room is counted;
/// what one place says too often is left out and counted (log_queue.hpp).
class logger {
public:
  /// `automatic` is the journal when stderr is connected to it
  /// ($JOURNAL_STREAM), else text.
  logger(log_level most_detailed, log_format format);

  /// Waits up to a second for what is not written yet.
  ~logger();
  logger(const logger&) = delete;
  logger& operator=(const logger&) = delete;

  void write(log_level level, std::string_view text,
             std::string_view event = {}, const char* file = __builtin_FILE(),
             int line = __builtin_LINE());
  void set_level(log_level most_detailed);

  /// A sink that puts `prefix` (for example `trace "cpu-lat": `) before each
  /// message; `trace` is the one they are about, if any.
  log_sink sink(std::string prefix = {}, std::string trace = {});

  /// Waits until all is written, or that long; then it is said how much was
  /// left out. For an end without destructors.
  bool flush(std::chrono::milliseconds limit);

private:
  struct work;

  std::shared_ptr<work> work_; // the thread may outlive us
};

} // namespace bpf2graphite
