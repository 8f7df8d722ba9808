// The verb `record`: bpftrace runs as it would in the daemon, but started by
// this process, and its output goes to a file as it came. It takes no lock and
// no series, so it works beside a running daemon.

#include "actors/watchdog/command_line.hpp"
#include "actors/watchdog/last_words.hpp"
#include "actors/watchdog/restart_policy.hpp"
#include "app/config_schema.hpp"
#include "app/config_text.hpp"
#include "app/io_thread.hpp"
#include "app/log.hpp"
#include "app/recording.hpp"
#include "app/startup.hpp"
#include "app/verbs.hpp"

#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

/// After the process has ended, what it started may hold its pipes that long.
constexpr auto held_open_max = 1s;

void say(const std::string& text) {
  std::fprintf(stderr, "bpf2graphite: %s\n", escaped(text).c_str());
}

/// A file that is written at once, so that a recording that is killed is whole
/// up to there.
class output_file {
public:
  /// None where there is something already, unless `replace`; then what stands
  /// there is removed first, if it is a plain file. Nobody else may read it: it
  /// holds names of processes. Says what is wrong and returns the status to
  /// leave with, or none.
  std::optional<int> create(const std::string& path, bool replace) {
    path_ = path;
    if (replace) {
      struct stat there {};
      if (::lstat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) {
        say(path + ": is no plain file, so --force does not replace it");
        return exit_code::usage;
      }
      (void)::unlink(path.c_str());
    }
    fd_ = unique_fd{::open(path.c_str(),
                           O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                           S_IRUSR | S_IWUSR)};
    if (fd_)
      return std::nullopt;
    if (errno == EEXIST) {
      say(path + ": exists already; name another file, or --force replaces it");
      return exit_code::usage;
    }
    say(path + ": " + std::strerror(errno));
    return exit_code::permission;
  }

  /// An errno value, or 0 when all was written.
  int write(std::string_view bytes) const {
    while (!bytes.empty()) {
      auto n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return n < 0 ? errno : ENOSPC;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return 0;
  }

  int sync() const {
    // Not every file system can.
    return ::fdatasync(fd_.get()) == 0 || errno == EINVAL ? 0 : errno;
  }

  void remove() const {
    (void)::unlink(path_.c_str());
  }

  const std::string& path() const {
    return path_;
  }

private:
  std::string path_;
  unique_fd fd_;
};

class recorder;

/// One pipe of the child.
class pipe_end final : public pipe_sink {
public:
  pipe_end(recorder& to, bool is_output) : to_{to}, is_output_{is_output} {}

  std::size_t room() override {
    return pipe_poller::turn_bytes_max;
  }
  bool left_alone() override {
    return true;
  }
  void take(std::string_view bytes, arrivals) override;
  void ended() override;

private:
  recorder& to_;
  bool is_output_;
};

class recorder {
public:
  recorder(io_thread& loop, output_file& output, output_file& times,
           std::uint64_t bytes_max, std::chrono::milliseconds stop_timeout)
    : loop_{loop}, output_{output}, times_{times}, bytes_max_{bytes_max},
      end_{stop_timeout}, end_timer_{loop.io()}, over_timer_{loop.io()},
      duration_timer_{loop.io()}, signals_{loop.io(), SIGINT, SIGTERM, SIGHUP} {
  }

  /// Runs it to its end. False: it did not start, and it was said why.
  bool run(const process_command& command, const std::string& version,
           std::optional<std::chrono::nanoseconds> duration) {
    // Milliseconds are counted from here, by a clock that is never set.
    began_ = last_output_ = clock::now();
    auto host = loop_.host();
    write(times_, to_text(recording_head{version, host.now()}));
    auto started =
      host.children.launch(command, [this](int status) { exited(status); });
    if (!started.process) {
      say(started.error);
      return false;
    }
    child_ = std::move(started.process);
    out_fd_ = std::move(started.out);
    err_fd_ = std::move(started.err);
    say("bpftrace runs" + (version.empty() ? "" : " (" + version + ")")
        + ", process " + std::to_string(child_->pid()) + "; it is recorded to "
        + output_.path() + (duration ? "" : " until Ctrl-C"));
    for (auto [fd, sink] : {std::pair{&out_fd_, &out_}, {&err_fd_, &err_}})
      if (auto error = host.pipes.add(fd->get(), *sink); error != 0) {
        say(std::string{"its output cannot be watched: "}
            + std::strerror(error));
        return false;
      }
    wait_for_signal();
    if (duration) {
      duration_timer_.expires_after(
        std::chrono::duration_cast<clock::duration>(*duration));
      duration_timer_.async_wait([this](boost::system::error_code ec) {
        if (!ec && !end_.asked())
          obey(end_.ask(clock::now()));
      });
    }
    loop_.run();
    loop_.host().pipes.remove(out_fd_.get());
    loop_.host().pipes.remove(err_fd_.get());
    if (!trouble_)
      trouble_ = output_.sync() != 0 || times_.sync() != 0;
    return true;
  }

  void take_output(std::string_view bytes) {
    last_output_ = clock::now();
    written_ += bytes.size();
    auto line =
      times_line(std::chrono::duration_cast<std::chrono::milliseconds>(
                   last_output_ - began_),
                 kept_ + bytes.size());
    if (trouble_ || full_)
      return;
    if (kept_ + times_bytes_ + bytes.size() + line.size() > bytes_max_) {
      full_ = true;
      say("the recording has reached " + std::to_string(bytes_max_)
          + " bytes and ends; --size-max allows more");
      if (!end_.asked())
        obey(end_.ask(last_output_));
      return;
    }
    // The bytes first: the times never speak of more than there is.
    if (!write(output_, bytes) || !write(times_, line))
      return;
    kept_ += bytes.size();
    times_bytes_ += line.size();
  }

  void take_words(std::string_view bytes) {
    for (const auto& line : words_.add(bytes, clock::now()))
      std::fprintf(stderr, "bpftrace: %s\n", escaped(line).c_str());
  }

  void pipe_ended() {
    ++ended_pipes_;
    finish_if_over();
  }

  /// How it ended; complete after run().
  process_exited end() const {
    process_exited result;
    result.status = status_.value_or(0);
    result.last_words = words_.text();
    result.written = written_;
    return result;
  }
  bool asked_to_end() const {
    return end_.asked();
  }
  bool trouble() const {
    return trouble_;
  }
  std::uint64_t kept() const {
    return kept_;
  }
  clock::duration lasted() const {
    return last_output_ - began_;
  }

private:
  bool write(const output_file& file, std::string_view bytes) {
    auto error = file.write(bytes);
    if (error == 0)
      return true;
    trouble_ = true;
    say(file.path() + ": " + std::strerror(error)
        + "; the recording ends, what is there is kept");
    if (child_ && !end_.asked())
      obey(end_.ask(clock::now()));
    return false;
  }

  void wait_for_signal() {
    signals_.async_wait([this](boost::system::error_code ec, int) {
      if (ec)
        return;
      if (!end_.asked())
        say("bpftrace is ended; its last maps are recorded, too");
      obey(end_.ask(clock::now()));
      wait_for_signal();
    });
  }

  void obey(recording_end::order order) {
    if (order == recording_end::order::interrupt)
      child_->signal(SIGINT);
    else if (order == recording_end::order::kill)
      child_->signal(SIGKILL);
    auto when = end_.deadline(last_output_);
    if (!when)
      return;
    end_timer_.expires_at(*when);
    end_timer_.async_wait([this](boost::system::error_code ec) {
      if (!ec && !status_)
        obey(end_.due(clock::now(), last_output_));
    });
  }

  void exited(int status) {
    status_ = status;
    end_timer_.cancel();
    for (auto* fd : {&out_fd_, &err_fd_})
      loop_.host().pipes.drain(fd->get());
    over_timer_.expires_after(held_open_max);
    over_timer_.async_wait([this](boost::system::error_code ec) {
      if (!ec)
        loop_.stop();
    });
    finish_if_over();
  }

  void finish_if_over() {
    if (status_ && ended_pipes_ == 2)
      loop_.stop();
  }

  io_thread& loop_;
  output_file& output_;
  output_file& times_;
  std::uint64_t bytes_max_;
  recording_end end_;
  boost::asio::steady_timer end_timer_;
  boost::asio::steady_timer over_timer_;
  boost::asio::steady_timer duration_timer_;
  boost::asio::signal_set signals_;
  unique_fd out_fd_;
  unique_fd err_fd_;
  std::unique_ptr<child_process> child_;
  pipe_end out_{*this, true};
  pipe_end err_{*this, false};
  last_words words_;
  clock::time_point began_;
  clock::time_point last_output_;
  std::optional<int> status_;
  int ended_pipes_ = 0;
  std::uint64_t kept_ = 0;
  std::uint64_t times_bytes_ = 0;
  std::uint64_t written_ = 0;
  bool full_ = false;
  bool trouble_ = false;
};

void pipe_end::take(std::string_view bytes, arrivals) {
  if (is_output_)
    to_.take_output(bytes);
  else
    to_.take_words(bytes);
}

void pipe_end::ended() {
  to_.pipe_ended();
}

/// A word for a shell.
std::string quoted(const std::string& word) {
  constexpr std::string_view plain =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:=@%+,";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos)
    return word;
  std::string out = "'";
  for (char c : word)
    out += c == '\'' ? std::string{"'\\''"} : std::string(1, c);
  return out + "'";
}

/// The version that the program tells; empty: it does not.
std::string ask_version(io_thread& loop, const std::string& program) {
  std::string result;
  loop.host().versions.ask(program, [&](const std::string& version) {
    result = version;
    loop.stop();
  });
  loop.run();
  loop.io().restart();
  return result;
}

} // namespace

int record(const options& given) {
  std::optional<std::chrono::nanoseconds> duration;
  if (given.duration) {
    duration.emplace();
    if (!parse_duration(*given.duration, *duration) || *duration <= 0s
        || *duration > 24h * 365) {
      say("--duration: \"" + *given.duration
          + "\" is no duration; write a number with a unit, such as 60s, "
            "10min or 1h");
      return exit_code::usage;
    }
  }
  auto bytes_max = parse_size(given.size_max);
  if (!bytes_max || *bytes_max < 1) {
    say("--size-max: \"" + given.size_max
        + "\" is no size; write bytes with a unit of KiB, MiB or GiB, such as "
          "64MiB");
    return exit_code::usage;
  }
  auto files = open_files();
  auto configured = read_config(given, files, true);
  if (configured.exit)
    return *configured.exit;
  const auto& all = configured.value;
  auto trace = std::find_if(
    all.traces.begin(), all.traces.end(),
    [&](const trace_config& one) { return one.id == *given.trace; });
  if (trace == all.traces.end()) {
    say("the configuration has no trace \"" + *given.trace + "\"");
    return exit_code::usage;
  }
  auto planned = plan_from_disk(*trace, all, files);
  if (!planned.plan) {
    say(planned.error);
    return exit_code::config;
  }
  const auto& plan = *planned.plan;
  std::string error;
  auto program = find_program(trace->bpftrace.program, error);
  if (program.empty()) {
    say(error);
    return exit_code::unavailable;
  }
  script_source script{.path = trace->script, .text = {}};
  if (!plan.script.appended_probe.empty())
    script.text = plan.script.program;
  auto command =
    command_line(trace->bpftrace, script, trace->args, trace->options);
  command.program = program;

  output_file output;
  output_file times;
  if (auto status = output.create(*given.output, given.force))
    return *status;
  if (auto status = times.create(*given.output + ".times", given.force)) {
    output.remove();
    return *status;
  }
  io_thread loop{0ms, 1};
  auto version = ask_version(loop, program);
  recorder work{loop, output, times, static_cast<std::uint64_t>(*bytes_max),
                trace->bpftrace.stop_timeout};
  auto ran = work.run(command, version, duration);
  auto end = work.end();
  auto failed = !ran || (!work.asked_to_end() && end.status != 0);
  if (ran && failed) {
    auto reason = own_reason(end.last_words);
    say("bpftrace: " + describe_end(end)
        + (reason.empty() ? std::string{} : ": " + reason));
  }
  if (failed && work.kept() == 0) {
    output.remove();
    times.remove();
    return exit_code::unavailable;
  }
  auto tenths =
    std::chrono::duration_cast<std::chrono::milliseconds>(work.lasted()).count()
    / 100;
  say(std::to_string(work.kept()) + " bytes in " + std::to_string(tenths / 10)
      + "." + std::to_string(tenths % 10)
      + " s; to see what Graphite would get:");
  auto again = std::string{"  bpf2graphite"};
  if (given.config_path)
    again += " --config " + quoted(*given.config_path);
  again += " parse --trace " + quoted(*given.trace) + " --format "
           + (trace->bpftrace.format == format_mode::text ? "text" : "json")
           + " --times " + quoted(times.path()) + " " + quoted(output.path());
  std::fprintf(stderr, "%s\n", escaped(again).c_str());
  return failed || work.trouble() ? exit_code::unavailable : exit_code::ok;
}

} // namespace bpf2graphite
