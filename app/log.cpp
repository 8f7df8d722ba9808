#include "app/log.hpp"

#include <systemd/sd-journal.h>

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace bpf2graphite {
namespace {

/// syslog(3)'s numbers, which the journal uses, too.
int priority(log_level level) {
  switch (level) {
    case log_level::error:
      return 3;
    case log_level::warning:
      return 4;
    case log_level::notice:
      return 5;
    case log_level::info:
      return 6;
    case log_level::debug:
      return 7;
  }
  return 6;
}

constexpr std::array<std::string_view, 5> words{"error", "warning", "notice",
                                                "info", "debug"};

/// sd-daemon's rule: $JOURNAL_STREAM names the device and inode of stderr.
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat st {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &st) != 0)
    return false;
  return std::to_string(st.st_dev) + ":" + std::to_string(st.st_ino) == stream;
}

/// Length of the valid, printable UTF-8 character at the front; 0 if none.
std::size_t printable_prefix(std::string_view s) {
  auto byte = [&](std::size_t i) {
    return static_cast<unsigned char>(s[i]);
  };
  auto first = byte(0);
  if (first >= 0x20 && first < 0x7f)
    return 1;
  std::size_t size = first >= 0xf0 && first < 0xf5 ? 4
                     : first >= 0xe0               ? 3
                     : first >= 0xc2               ? 2
                                                   : 0;
  if (size == 0 || first >= 0xf5 || s.size() < size)
    return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xc0) != 0x80)
      return 0;
  // Overlong forms, surrogates, and the C1 controls U+0080 to U+009F.
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90)
      || (first == 0xed && byte(1) >= 0xa0)
      || (first == 0xf4 && byte(1) >= 0x90)
      || (first == 0xc2 && byte(1) < 0xa0))
    return 0;
  return size;
}

} // namespace

std::optional<log_level> parse_log_level(std::string_view text) {
  for (std::size_t i = 0; i < words.size(); ++i)
    if (words[i] == text)
      return static_cast<log_level>(i);
  return std::nullopt;
}

std::string escaped(std::string_view bytes) {
  constexpr std::string_view hex = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    auto size = printable_prefix(bytes);
    if (size == 0) {
      auto byte = static_cast<unsigned char>(bytes[0]);
      out += "\\x";
      out += hex[byte >> 4];
      out += hex[byte & 15];
      size = 1;
    } else {
      out += bytes.substr(0, size);
    }
    bytes.remove_prefix(size);
  }
  return out;
}

std::string escaped_lines(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    auto end = bytes.find('\n');
    out += escaped(bytes.substr(0, end));
    if (end == std::string_view::npos)
      break;
    out += '\n';
    bytes.remove_prefix(end + 1);
  }
  return out;
}

logger::logger(log_level most_detailed, log_format format)
  : most_detailed_{most_detailed},
    to_journal_{format == log_format::journal
                || (format == log_format::automatic && stderr_is_journal())} {}

void logger::set_level(log_level most_detailed) {
  std::lock_guard guard{mutex_};
  most_detailed_ = most_detailed;
}

void logger::write(log_level level, std::string_view text) {
  auto shown = escaped(text);
  std::lock_guard guard{mutex_};
  if (level > most_detailed_)
    return;
  if (to_journal_) {
    sd_journal_send("MESSAGE=%s", shown.c_str(), "PRIORITY=%i", priority(level),
                    "SYSLOG_IDENTIFIER=bpf2graphite", nullptr);
    return;
  }
  shown.insert(0, "bpf2graphite: "
                    + std::string{words[static_cast<std::size_t>(level)]}
                    + ": ");
  shown += '\n';
  // One write, so that lines of several processes do not mix.
  [[maybe_unused]] auto written =
    ::write(STDERR_FILENO, shown.data(), shown.size());
}

log_sink logger::sink(std::string prefix) {
  return
    [this, prefix = std::move(prefix)](log_level level, std::string_view text) {
      write(level, prefix + std::string{text});
    };
}

} // namespace bpf2graphite
