#include "app/io_thread.hpp"

namespace bpf2graphite {

io_thread::io_thread(std::chrono::milliseconds read_delay,
                     std::size_t starts_at_once)
  : children_{io_}, pipes_{io_, read_delay}, turns_{io_, starts_at_once},
    versions_{io_, children_, pipes_} {}

process_host io_thread::host() {
  return {.io = io_,
          .children = children_,
          .pipes = pipes_,
          .turns = turns_,
          .versions = versions_,
          .now = wall_clock_now,
          .shares = nullptr};
}

void io_thread::run() {
  io_.run();
}

void io_thread::stop() {
  io_.stop();
}

wall_time wall_clock_now() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(
    std::chrono::system_clock::now());
}

} // namespace bpf2graphite
