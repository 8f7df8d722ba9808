#include "app/machine.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace bpf2graphite {

process_costs costs_of(int pid) {
  if (pid <= 0)
    return {};
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return {};
  char text[1024];
  auto n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (n <= 0)
    return {};
  text[n] = '\0';
  // The name stands in brackets and may hold any byte: after the last one.
  const char* rest = std::strrchr(text, ')');
  if (rest == nullptr)
    return {};
  unsigned long user = 0;
  unsigned long system = 0;
  long pages = 0;
  // Fields 3 to 13, then 14 utime and 15 stime; 24 is rss.
  if (std::sscanf(rest + 1,
                  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d "
                  "%*d %*d %*d %*d %*d %*u %*u %ld",
                  &user, &system, &pages)
      != 3)
    return {};
  static const auto ticks = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  static const auto page_kb =
    static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024;
  return {.cpu_ms = (user + system) * 1000 / ticks,
          .rss_kb = static_cast<std::uint64_t>(pages) * page_kb};
}

} // namespace bpf2graphite
