#include "actors/watchdog/child.hpp"

// Boost 1.81's Process v2 forgets to include these.
#include <boost/optional.hpp>
#include <functional>
#include <memory>
#include <numeric>
#include <type_traits>
#include <vector>

#ifndef BOOST_PROCESS_USE_STD_FS
#define BOOST_PROCESS_USE_STD_FS
#endif
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/process/v2/posix/default_launcher.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/process_handle.hpp>
#include <boost/process/v2/start_dir.hpp>
#include <boost/process/v2/stdio.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bpf2graphite {
namespace {

namespace bp = boost::process::v2;

/// A pidfd: no SIGCHLD handler, no zombies. Not basic_process, whose waiting
/// writes into it after it was destroyed, and hides how the child ended.
using process_handle =
  bp::basic_process_handle<boost::asio::io_context::executor_type>;

/// Runs in the child, between fork and exec: async-signal-safe calls only.
struct child_setup {
  pid_t parent;

  template <class Launcher, class Path>
  boost::system::error_code on_exec_setup(Launcher&, const Path&,
                                          const char* const*) {
    // A group of its own: signals reach what it starts, and Ctrl-C at our
    // terminal does not reach it behind our back.
    ::setpgid(0, 0);
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
      return {errno, boost::system::system_category()};
    if (::getppid() != parent)
      ::_exit(127); // we died before it could know
    // What is ignored or blocked here would be so in bpftrace: without SIGPIPE
    // it never ends, without SIGINT it cannot be stopped.
    for (int number = 1; number <= SIGRTMAX; ++number)
      ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    // Where memory ends, a bpftrace is to go, which is started again, and not
    // we, who hold the values of all. (To be chosen sooner is always allowed.)
    if (auto file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        file >= 0) {
      [[maybe_unused]] auto n = ::write(file, "500", 3);
      ::close(file);
    }
    // All that we open is O_CLOEXEC, but who started us may have left more.
    // (The launcher's own closing leaves some open in Boost 1.81.)
    ::close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
    return {};
  }

  /// The launcher would call exit(), which runs our static destructors in the
  /// child. The parent has been told already.
  template <class Launcher, class Path>
  void on_exec_error(Launcher&, const Path&, const char* const*,
                     const boost::system::error_code&) {
    ::_exit(127);
  }
};

/// Blocks all signals for its life: a handler of ours must not run in the
/// child before the setup put it away.
class signals_blocked {
public:
  signals_blocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~signals_blocked() {
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;

private:
  sigset_t before_;
};

std::string sentence(const std::string& what, int error) {
  std::string text = what + ": " + std::strerror(error);
  switch (error) {
    case EMFILE:
      return text + " (raise LimitNOFILE of the service)";
    case ENFILE:
      return text + " (raise the sysctl fs.file-max)";
    case EAGAIN:
      return text + " (raise TasksMax of the service, or RLIMIT_NPROC)";
    default:
      return text;
  }
}

/// The same file as a descriptor of at least 3: the child's 0, 1 and 2 are
/// written over one after the other.
unique_fd above_stdio(int fd) {
  if (fd < 0 || fd > STDERR_FILENO)
    return unique_fd{fd};
  unique_fd low{fd};
  return unique_fd{::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)};
}

struct pipe_ends {
  unique_fd ours;
  unique_fd childs;
};

pipe_ends make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return {};
  pipe_ends result{above_stdio(ends[0]), above_stdio(ends[1])};
  // Ours alone does not block: the flag belongs to the end, not the pipe.
  if (result.ours)
    ::fcntl(result.ours.get(), F_SETFL, O_NONBLOCK);
  return result;
}

unique_fd open_input(const std::optional<std::string>& text) {
  if (!text)
    return above_stdio(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  auto file =
    above_stdio(::memfd_create("script", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file)
    return file;
  std::string_view rest = *text;
  while (!rest.empty()) {
    auto written = ::write(file.get(), rest.data(), rest.size());
    if (written < 0)
      return {};
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  ::lseek(file.get(), 0, SEEK_SET);
  ::fcntl(file.get(), F_ADD_SEALS,
          F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  return file;
}

class boost_child final : public child_process {
public:
  boost_child(boost::asio::io_context& io, pid_t pid,
              std::function<void(int)> exited)
    : pid_{pid}, alive_{std::make_shared<bool>(true)} {
    try {
      handle_.emplace(io.get_executor(), pid);
      handle_->async_wait(
        [this, alive = std::weak_ptr{alive_},
         exited = std::move(exited)](boost::system::error_code, int status) {
          if (alive.expired())
            return;
          reaped_ = true;
          exited(status);
        });
    } catch (const std::exception&) {
      kill_and_reap();
      throw;
    }
  }

  ~boost_child() override {
    alive_.reset();
    if (!reaped_)
      kill_and_reap();
  }

  boost_child(const boost_child&) = delete;
  boost_child& operator=(const boost_child&) = delete;

  int pid() const override {
    return pid_;
  }

  void signal(int number) override {
    if (reaped_)
      return; // the number may be somebody else's by now
    if (::kill(-pid_, number) != 0)
      ::kill(pid_, number);
  }

private:
  void kill_and_reap() {
    signal(SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
  }

  pid_t pid_;
  bool reaped_ = false;
  boost::optional<process_handle> handle_;
  std::shared_ptr<bool> alive_;
};

bool is_program(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)
         && ::access(path.c_str(), X_OK) == 0;
}

/// Forks and runs. The pid, or -1 and what is wrong.
pid_t spawn(boost::asio::io_context& forks, const process_command& command,
            const unique_fd& in, const unique_fd& out, const unique_fd& err,
            std::string& error) {
  std::vector<const char*> environment;
  for (const auto& entry : command.environment)
    environment.push_back(entry.c_str());
  environment.push_back(nullptr);

  bp::posix::default_launcher run;
  run.env = environment.data();
  auto self = ::getpid();
  bp::process_start_dir directory{
    command.directory.empty() ? "/" : command.directory};
  bp::process_stdio stdio{in.get(), out.get(), err.get()};
  boost::system::error_code ec;
  try {
    signals_blocked guard;
    auto process = run(forks.get_executor(), ec, command.program,
                       command.arguments, directory, stdio, child_setup{self});
    process.detach(); // our own pidfd takes over
  } catch (const std::exception& e) {
    if (::getpid() != self)
      ::_exit(127);
    // The child may run already, and only the pidfd be missing.
    if (run.pid > 0) {
      ::kill(run.pid, SIGKILL);
      ::waitpid(run.pid, nullptr, 0);
    }
    error = command.program + " cannot be started: " + e.what();
    return -1;
  }
  if (!ec) {
    ::setpgid(run.pid, run.pid); // from both sides, against the race
    return run.pid;
  }
  // The launcher does not reap a child whose exec failed.
  if (run.pid > 0)
    ::waitpid(run.pid, nullptr, 0);
  struct stat status;
  if (!command.directory.empty()
      && ::stat(command.directory.c_str(), &status) != 0)
    error = sentence("the script's folder " + command.directory, errno);
  else
    error = sentence(command.program + " cannot be started", ec.value());
  return -1;
}

} // namespace

void unique_fd::reset() {
  if (fd_ >= 0)
    ::close(fd_);
  fd_ = -1;
}

std::string find_program(const std::string& program, std::string& error) {
  if (program.starts_with('/')) {
    if (is_program(program))
      return program;
    error = program + " is no program that can be run; see bpftrace.program";
    return {};
  }
  std::string_view rest = program_path;
  while (!rest.empty()) {
    auto end = std::min(rest.find(':'), rest.size());
    auto path = std::string{rest.substr(0, end)} + '/' + program;
    if (is_program(path))
      return path;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  error = program + " is not in " + program_path
          + "; install bpftrace or set bpftrace.program";
  return {};
}

launcher::launcher(boost::asio::io_context& io) : io_{io} {
  // Its reactor, which leaks what it has opened when it cannot open the rest.
  boost::asio::posix::stream_descriptor reactor{forks_};
}

launched launcher::launch(const process_command& command,
                          std::function<void(int status)> exited) {
  launched result;
  auto out = make_pipe();
  auto err = make_pipe();
  auto in = open_input(command.input);
  if (!in || !out.childs || !out.ours || !err.childs || !err.ours) {
    result.error = sentence("no descriptors for " + command.program, errno);
    return result;
  }
  auto pid = spawn(forks_, command, in, out.childs, err.childs, result.error);
  if (pid < 0)
    return result;
  try {
    result.process = std::make_unique<boost_child>(io_, pid, std::move(exited));
  } catch (const std::exception& e) {
    result.error =
      command.program + " cannot be watched: " + std::string{e.what()};
    return result;
  }
  result.out = std::move(out.ours);
  result.err = std::move(err.ours);
  return result;
}

} // namespace bpf2graphite
