// Runs the real bpftrace and keeps what it prints: the truth of a test.
//
// Takes bpftrace's command line. A script (a path, `-` or `-e TEXT`) with a
// comment `//tee FILE` makes it keep a copy of standard output in FILE.000,
// FILE.001 and so on, one file a process; without one it becomes bpftrace.
// Bytes are kept before they are passed on, so what a reader got is always in
// the file.
//
// The child has a process group of its own and gets each SIGINT and SIGTERM
// from here exactly once, whether a signal was sent to us or to our group. It
// dies with us; and we end as it ended, with its status or by its signal, after
// its last byte was passed on.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace {

volatile sig_atomic_t child = 0;

extern "C" void pass_on(int signal) {
  ::kill(child, signal);
}

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  ::_exit(2);
}

/// All of standard input, which can be read once more then.
std::string take_input() {
  std::string text;
  std::array<char, 4096> bytes{};
  for (;;) {
    const auto n = ::read(0, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      break;
    text.append(bytes.data(), static_cast<std::size_t>(n));
  }
  const int copy = ::memfd_create("script", 0);
  if (copy < 0
      || ::write(copy, text.data(), text.size())
           != static_cast<ssize_t>(text.size())
      || ::lseek(copy, 0, SEEK_SET) != 0 || ::dup2(copy, 0) != 0)
    give_up("script");
  ::close(copy);
  return text;
}

/// The file named by `//tee FILE` in the script; empty when there is none.
std::string file_to_keep(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::string script = argv[i];
    if (script == "-") {
      script = take_input();
    } else if (script.find("//tee ") == script.npos) {
      std::ifstream in{script, std::ios::binary};
      script.assign(std::istreambuf_iterator<char>{in}, {});
    }
    if (const auto at = script.find("//tee "); at != script.npos) {
      const auto from = at + std::string_view{"//tee "}.size();
      return script.substr(from, script.find_first_of(" \n", from) - from);
    }
  }
  return {};
}

int open_next(const std::string& file) {
  for (int n = 0; n < 1000; ++n) {
    auto number = std::to_string(n);
    number.insert(0, 3 - number.size(), '0');
    const int opened =
      ::open((file + "." + number).c_str(),
             O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (opened >= 0)
      return opened;
    if (errno != EEXIST)
      give_up(file.c_str());
  }
  ::_exit(2);
}

void write_all(int descriptor, const char* bytes, std::size_t size) {
  while (size > 0) {
    const auto n = ::write(descriptor, bytes, size);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      give_up("write");
    bytes += n;
    size -= static_cast<std::size_t>(n);
  }
}

void block(int how) {
  sigset_t both;
  ::sigemptyset(&both);
  ::sigaddset(&both, SIGINT);
  ::sigaddset(&both, SIGTERM);
  ::sigprocmask(how, &both, nullptr);
}

} // namespace

int main(int argc, char** argv) {
  const auto file = file_to_keep(argc, argv);
  std::string program = "bpftrace"; // found in PATH
  argv[0] = program.data();
  if (file.empty()) {
    ::execvp(argv[0], argv);
    give_up("bpftrace");
  }
  const int kept = open_next(file);
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0)
    give_up("pipe");
  block(SIG_BLOCK);
  const auto parent = ::getpid();
  const auto pid = ::fork();
  if (pid < 0)
    give_up("fork");
  if (pid == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent)
      ::_exit(127);
    block(SIG_UNBLOCK);
    ::dup2(pipe[1], 1);
    ::execvp(argv[0], argv);
    give_up("bpftrace");
  }
  child = pid;
  struct sigaction action {};
  action.sa_handler = pass_on;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  block(SIG_UNBLOCK);
  ::close(pipe[1]);
  std::vector<char> buffer(64 << 10);
  for (;;) {
    const auto n = ::read(pipe[0], buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      break;
    write_all(kept, buffer.data(), static_cast<std::size_t>(n));
    write_all(1, buffer.data(), static_cast<std::size_t>(n));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    ::signal(WTERMSIG(status), SIG_DFL);
    ::raise(WTERMSIG(status));
  }
  return WEXITSTATUS(status);
}
