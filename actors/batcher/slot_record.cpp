#include "actors/batcher/slot_record.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

namespace bpf2graphite {
namespace {

// 2^32-1 and a line end.
constexpr std::size_t record_bytes_max = 11;

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    auto n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

} // namespace

std::optional<std::string> slot_file::read() {
  // Not blocking, or a FIFO in its place would stop the start for ever.
  auto fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return std::nullopt;
  // One byte more than the longest record: what is longer is none.
  std::array<char, record_bytes_max + 1> buffer;
  auto n = ::read(fd, buffer.data(), buffer.size());
  ::close(fd);
  if (n < 0)
    return std::nullopt;
  return std::string(buffer.data(), static_cast<std::size_t>(n));
}

bool slot_file::write(std::string_view text) {
  auto beside = path_ + ".new";
  auto fd = ::open(beside.c_str(),
                   O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0)
    return false;
  auto written = write_all(fd, text);
  if (::close(fd) != 0 || !written
      || std::rename(beside.c_str(), path_.c_str()) != 0) {
    ::unlink(beside.c_str());
    return false;
  }
  return true;
}

std::string print_slot(std::int64_t slot) {
  return std::to_string(slot) + "\n";
}

std::optional<std::int64_t> parse_slot(std::string_view text) {
  if (text.empty() || text.size() > record_bytes_max || text.back() != '\n'
      || text.front() < '0' || text.front() > '9')
    return std::nullopt;
  std::int64_t slot = 0;
  auto last = text.data() + text.size() - 1;
  auto result = std::from_chars(text.data(), last, slot);
  if (result.ec != std::errc{} || result.ptr != last || slot > UINT32_MAX)
    return std::nullopt;
  return slot;
}

slot_record::slot_record(slot_store& store, std::int64_t believed_until)
  : store_{store} {
  if (auto text = store_.read())
    before_us_ = parse_slot(*text);
  if (before_us_ && *before_us_ > believed_until)
    before_us_.reset();
}

bool slot_record::keep(std::int64_t newest_slot) {
  auto newest = written_ ? written_ : before_us_;
  if (newest && *newest >= newest_slot)
    return true;
  if (!store_.write(print_slot(newest_slot)))
    return false;
  written_ = newest_slot;
  return true;
}

} // namespace bpf2graphite
