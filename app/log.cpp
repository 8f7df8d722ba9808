#include "app/log.hpp"

#include "app/journal.hpp"
#include "app/log_queue.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

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

constexpr std::array<std::string_view, 5> level_words{
  "error", "warning", "notice", "info", "debug"};

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
  for (std::size_t i = 0; i < level_words.size(); ++i)
    if (level_words[i] == text)
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

namespace {

/// A message of ours is never that long; one with somebody's bytes might be.
constexpr std::size_t text_bytes_max = 4'000;

/// All of it, however long that takes; 0 or what errno said.
int write_all(std::string_view text) {
  while (!text.empty()) {
    auto n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) { // somebody we share it with wants it so
      pollfd room{STDERR_FILENO, POLLOUT, 0};
      ::poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

std::string as_journal_entry(const log_record& record) {
  std::vector<journal_field> fields{
    {"MESSAGE", record.prefix + record.text},
    {"PRIORITY", std::to_string(priority(record.level))},
    {"SYSLOG_IDENTIFIER", "bpf2graphite"}};
  if (!record.trace.empty())
    fields.emplace_back("BPF2GRAPHITE_TRACE", record.trace);
  if (!record.event.empty())
    fields.emplace_back("BPF2GRAPHITE_EVENT", record.event);
  return journal_entry(fields);
}

bool goes_to_journal(log_format format) {
  return format == log_format::journal
         || (format == log_format::automatic && stderr_is_journal());
}

} // namespace

/// What the thread and the callers share.
struct logger::work {
  explicit work(log_level level, log_format where)
    : most_detailed{level}, format{goes_to_journal(where) ? log_format::journal
                                                          : where} {}

  std::atomic<log_level> most_detailed;
  const log_format format;

  std::mutex mutex;
  std::condition_variable something; // to write, or the end
  std::condition_variable nothing;   // left to write
  log_queue queue;
  log_limiter limiter;
  bool writing = false;
  bool ended = false;

  // The thread's.
  journal_socket journal;
  std::uint64_t failed = 0;
  int failed_with = 0;

  bool idle() const {
    return queue.empty() && !writing;
  }

  void run() {
    std::unique_lock lock{mutex};
    for (;;) {
      something.wait(lock, [this] { return ended || !queue.empty(); });
      auto record = queue.pop();
      if (!record)
        return;
      writing = true;
      lock.unlock();
      put(*record);
      lock.lock();
      writing = false;
      if (idle())
        nothing.notify_all();
    }
  }

  void put(const log_record& record) {
    auto error = put_one(record);
    if (error != 0) {
      ++failed;
      failed_with = error;
    } else if (failed > 0) {
      log_record word;
      word.level = log_level::warning;
      word.at = record.at;
      word.event = log_event::log_dropped;
      word.text = std::to_string(std::exchange(failed, 0))
                  + " messages before this could not be written: "
                  + std::generic_category().message(failed_with);
      put_one(word);
    }
  }

  int put_one(const log_record& record) {
    if (format == log_format::journal) {
      auto error = journal.send(as_journal_entry(record));
      if (error == 0)
        return 0;
      return write_all(as_text(record)); // better there than nowhere
    }
    // One write, so that lines of several processes do not mix.
    return write_all(format == log_format::json ? as_json(record)
                                                : as_text(record));
  }

  void add(log_record record) {
    auto was_empty = queue.empty();
    queue.push(std::move(record));
    if (was_empty)
      something.notify_one();
  }

  void say(const std::vector<log_limiter::left_out>& all) {
    for (const auto& one : all) {
      log_record word;
      word.level = log_level::notice;
      word.at = std::chrono::system_clock::now();
      word.trace = one.trace;
      word.event = log_event::log_dropped;
      if (!one.trace.empty())
        word.prefix = "trace \"" + one.trace + "\": ";
      word.text = std::to_string(one.count)
                  + " more messages were not logged, the first: "
                  + one.example.substr(0, data_shown_max);
      add(std::move(word));
    }
  }
};

logger::logger(log_level most_detailed, log_format format)
  : work_{std::make_shared<work>(most_detailed, format)} {
  // Signals are for the io thread.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread{[work = work_] {
    work->run();
  }}.detach();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

logger::~logger() {
  flush(std::chrono::seconds{1});
  std::lock_guard guard{work_->mutex};
  work_->ended = true;
  work_->something.notify_one();
}

bool logger::flush(std::chrono::milliseconds limit) {
  std::unique_lock lock{work_->mutex};
  work_->say(work_->limiter.rest());
  return work_->nothing.wait_for(lock, limit, [this] { return work_->idle(); });
}

void logger::set_level(log_level most_detailed) {
  work_->most_detailed = most_detailed;
}

void logger::write(log_level level, std::string_view text,
                   std::string_view event, const char* file, int line) {
  log_sink{sink()}(level, text, event, file, line);
}

log_sink logger::sink(std::string prefix, std::string trace) {
  return [work = work_, prefix = escaped(prefix),
          trace = escaped(trace)](log_level level, std::string_view text,
                                  std::string_view event, log_place where) {
    if (level > work->most_detailed)
      return;
    log_record record;
    record.level = level;
    record.at = std::chrono::system_clock::now();
    record.prefix = prefix;
    record.text = escaped(text.substr(0, text_bytes_max));
    record.trace = trace;
    record.event = event;
    auto now = log_limiter::clock::now();
    std::lock_guard guard{work->mutex};
    work->say(work->limiter.over(now));
    if (work->limiter.admit({trace, where.file, where.line}, record.text, now))
      work->add(std::move(record));
  };
}

} // namespace bpf2graphite
