#include "app/machine.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>

namespace bpf2graphite {
namespace {

/// The numbers of a line of words with one space between any two. sscanf takes
/// longer for them than all else takes that is told of a trace.
class field_reader {
public:
  explicit field_reader(std::string_view line) : rest_{line} {}

  void skip(int fields) {
    for (; fields > 0; --fields)
      take();
  }

  /// The next field; none when it is no number.
  std::optional<std::uint64_t> number() {
    const auto field = take();
    std::uint64_t value = 0;
    const auto [end, error] =
      std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc{} || end != field.data() + field.size())
      return std::nullopt;
    return value;
  }

private:
  std::string_view take() {
    const auto end = rest_.find(' ');
    const auto field = rest_.substr(0, end);
    rest_.remove_prefix(end == rest_.npos ? rest_.size() : end + 1);
    return field;
  }

  std::string_view rest_;
};

} // namespace

process_costs costs_in(std::string_view stat) {
  // The name stands in brackets and may hold any byte: after the last one.
  const auto* bracket =
    static_cast<const char*>(::memrchr(stat.data(), ')', stat.size()));
  if (bracket == nullptr)
    return {};
  field_reader fields{
    stat.substr(static_cast<std::size_t>(bracket - stat.data()))};
  // Fields 3 to 13 as proc(5) counts them, and what is left of the name.
  fields.skip(12);
  const auto user = fields.number();   // 14, utime
  const auto system = fields.number(); // 15, stime
  fields.skip(8);
  const auto pages = fields.number(); // 24, rss
  if (!user || !system || !pages)
    return {};
  static const auto ticks = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  static const auto page_kb =
    static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024;
  return {.cpu_ms = (*user + *system) * 1000 / ticks,
          .rss_kb = *pages * page_kb};
}

process_costs costs_of(int pid) {
  if (pid <= 0)
    return {};
  const auto path = "/proc/" + std::to_string(pid) + "/stat";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return {};
  std::array<char, 1024> text;
  const auto n = ::read(fd, text.data(), text.size());
  ::close(fd);
  if (n <= 0)
    return {};
  return costs_in({text.data(), static_cast<std::size_t>(n)});
}

} // namespace bpf2graphite
