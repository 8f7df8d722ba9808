#include "app/deep_check.hpp"

#include "actors/watchdog/child.hpp"
#include "actors/watchdog/command_line.hpp"
#include "app/log.hpp"
#include "app/options.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <iostream>
#include <optional>

namespace bpf2graphite {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

/// A script that does not compile in this time is reported as such.
constexpr auto compile_max = 30s;

/// What one run gave.
struct outcome {
  std::optional<int> status; // as waitpid gives it
  std::string error;         // it did not start, or took too long
  std::string words;         // the last of what it wrote to stderr
};

/// Takes what is there; false at its end.
bool read_some(int fd, std::string* keep) {
  std::array<char, 4096> bytes{};
  for (;;) {
    auto n = ::read(fd, bytes.data(), bytes.size());
    if (n == 0)
      return false;
    if (n < 0)
      return errno == EAGAIN || errno == EINTR;
    if (keep != nullptr) {
      keep->append(bytes.data(), static_cast<std::size_t>(n));
      if (keep->size() > (4 << 10))
        keep->erase(0, keep->size() - (4 << 10));
    }
  }
}

outcome run(const process_command& command) {
  outcome result;
  asio::io_context io{1};
  launcher starts{io};
  auto child =
    starts.launch(command, [&](int status) { result.status = status; });
  if (!child.process) {
    result.error = child.error;
    return result;
  }
  auto give_up = std::chrono::steady_clock::now() + compile_max;
  std::array<pollfd, 2> pipes{
    {{child.out.get(), POLLIN, 0}, {child.err.get(), POLLIN, 0}}};
  while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
    if (std::chrono::steady_clock::now() > give_up) {
      result.error = "it did not end in 30 s";
      child.process->signal(SIGKILL);
      break;
    }
    ::poll(pipes.data(), pipes.size(), 1000);
    if (pipes[0].fd >= 0 && !read_some(pipes[0].fd, nullptr))
      pipes[0].fd = -1;
    if (pipes[1].fd >= 0 && !read_some(pipes[1].fd, &result.words))
      pipes[1].fd = -1;
  }
  while (!result.status && io.run_one_for(5s) > 0) {
  }
  return result;
}

/// Why bpftrace does not take a script; empty: it does.
std::string compile(const trace_plan& plan) {
  const auto& trace = plan.trace;
  std::string error;
  auto program = find_program(trace.bpftrace.program, error);
  if (program.empty())
    return error;
  script_source script{.path = trace.script, .text = {}};
  if (!plan.script.appended_probe.empty())
    script.text = plan.script.program;
  auto options = trace.options;
  options.emplace_back("-d"); // compile and print, attach nothing
  auto command = command_line(trace.bpftrace, script, trace.args, options);
  command.program = program;
  auto result = run(command);
  if (!result.error.empty())
    return result.error;
  if (result.status && *result.status == 0)
    return {};
  // The words come with the source; what matters is where ERROR stands.
  auto at = result.words.find("ERROR");
  auto text = result.words.substr(at == std::string::npos ? 0 : at);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
    text.pop_back();
  return text.empty() ? "bpftrace ended without a word" : text;
}

/// Why Graphite does not answer; empty: it does.
std::string try_connect(const graphite_address& to,
                        std::chrono::milliseconds limit) {
  asio::io_context io{1};
  boost::system::error_code resolved;
  asio::ip::tcp::resolver resolver{io};
  auto all = resolver.resolve(to.host, std::to_string(to.port), resolved);
  if (resolved)
    return resolved.message();
  asio::ip::tcp::socket socket{io};
  std::optional<boost::system::error_code> connected;
  asio::async_connect(socket, all,
                      [&](boost::system::error_code ec,
                          const asio::ip::tcp::endpoint&) { connected = ec; });
  io.run_for(limit);
  if (!connected)
    return "no answer within " + std::to_string(limit.count()) + " ms";
  return *connected ? connected->message() : std::string{};
}

} // namespace

int deep_check(const config& all, const std::vector<trace_plan>& plans) {
  auto status = exit_code::ok;
  auto report = [&](const std::string& what, const std::string& trouble) {
    std::cout << what << ": "
              << (trouble.empty() ? "good" : escaped_lines(trouble)) << '\n'
              << std::flush;
    if (!trouble.empty())
      status = exit_code::unavailable;
  };
  for (const auto& plan : plans)
    report("bpftrace, trace \"" + plan.trace.id + "\"", compile(plan));
  for (const auto& to : all.destinations)
    report("graphite " + to.host + ":" + std::to_string(to.port),
           try_connect(to, all.graphite.connect_timeout));
  return status;
}

} // namespace bpf2graphite
