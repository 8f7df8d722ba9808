#pragma once
// Starting one child process by Boost.Process v2, so that it can neither
// outlive us nor inherit anything: see child.cpp for each step and its reason.
// io thread only, which has to be a thread that lives as long as the daemon:
// PR_SET_PDEATHSIG follows the thread that forked.

#include "actors/watchdog/command_line.hpp"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace bpf2graphite {

/// A descriptor that is closed once.
class unique_fd {
public:
  unique_fd() = default;
  explicit unique_fd(int fd) : fd_{fd} {}
  unique_fd(unique_fd&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~unique_fd() {
    reset();
  }

  void reset();

  int get() const {
    return fd_;
  }
  explicit operator bool() const {
    return fd_ >= 0;
  }

private:
  int fd_ = -1;
};

/// A child that runs, or ran.
class child_process {
public:
  virtual ~child_process() = default;

  virtual int pid() const = 0;

  /// Sends `signal` to its process group. Nothing once its exit was reported.
  virtual void signal(int signal) = 0;
};

struct launched {
  /// Kills the process (SIGKILL) and waits for it when it is destroyed before
  /// the exit was reported. Null: it did not start, `error` says why.
  std::unique_ptr<child_process> process;
  unique_fd out; // our end of its standard output, non-blocking
  unique_fd err;
  std::string error;
};

/// Finds `program` in `program_path` unless it is absolute. Empty: not found,
/// and `error` says what to do.
std::string find_program(const std::string& program, std::string& error);

/// Starts children. What it needs of descriptors it has from the beginning, so
/// that it has nothing to lose when they run out.
class launcher {
public:
  explicit launcher(boost::asio::io_context& io);
  launcher(const launcher&) = delete;
  launcher& operator=(const launcher&) = delete;

  /// Runs `command`, whose program is absolute. `exited` is called once with
  /// what waitpid(2) gave, later and from `io`, unless the child is destroyed
  /// before. Errors (no such program, no descriptors, no processes) are
  /// sentences in `launched::error`; nothing is thrown.
  launched launch(const process_command& command,
                  std::function<void(int status)> exited);

private:
  boost::asio::io_context& io_;
  /// For the fork alone: Boost's launcher tells its context of it, and in the
  /// child that context registers all its descriptors anew. This one has none.
  /// (A resolver in it would even be waited for.)
  boost::asio::io_context forks_{1};
};

} // namespace bpf2graphite
