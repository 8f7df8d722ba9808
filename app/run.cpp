#include "app/verbs.hpp"

#include "app/config_files.hpp"
#include "app/daemon.hpp"
#include "app/startup.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/file.h>

namespace bpf2graphite {
namespace {

/// True while a daemon holds the lock of that folder.
bool daemon_runs(const std::string& folder) {
  auto path = folder + "/lock";
  int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    return false;
  auto held = ::flock(fd, LOCK_EX | LOCK_NB) != 0;
  ::close(fd);
  return held;
}

/// For lines on stdout there is nothing to confirm.
void accept_at_once(config& settings) {
  settings.destinations = {{"stdout", 1}};
  settings.graphite.confirm_delay = std::chrono::milliseconds{0};
  settings.graphite.resend = std::chrono::milliseconds{0};
}

bool is_script_file(const std::string& what) {
  return what.find('/') != std::string::npos
         || (what.size() > 3 && what.compare(what.size() - 3, 3, ".bt") == 0);
}

std::string absolute(const std::string& path) {
  char resolved[PATH_MAX];
  return ::realpath(path.c_str(), resolved) != nullptr ? resolved : path;
}

} // namespace

int run(const options& given) {
  auto files = open_files();
  auto started = read_config(given, files, true);
  if (started.exit)
    return *started.exit;
  auto& settings = started.value;
  logger log{settings.log.level, settings.log.format};
  auto enabled = std::any_of(settings.traces.begin(), settings.traces.end(),
                             [](const trace_config& t) { return t.enabled; });
  if (!enabled) {
    log.write(log_level::error,
              settings.file + ": no trace is enabled; add one to traces { }");
    return exit_code::config;
  }
  if (given.to_stdout)
    accept_at_once(settings);
  return run_daemon(settings, files, log,
                    {.to_stdout = given.to_stdout,
                     .own_runtime = !given.to_stdout,
                     .slots = {},
                     .read_again = [&] {
                       auto again = read_again(started.request, files);
                       if (given.to_stdout)
                         accept_at_once(again.value);
                       return again;
                     }});
}

int once(const options& given) {
  auto files = open_files();
  auto only_files =
    !given.names.empty()
    && std::all_of(given.names.begin(), given.names.end(), is_script_file);
  auto started = read_config(given, files, !only_files);
  if (started.exit)
    return *started.exit;
  auto& settings = started.value;
  std::vector<trace_config> chosen;
  for (const auto& name : given.names) {
    if (is_script_file(name)) {
      chosen.push_back(trace_for_script(absolute(name), settings));
      continue;
    }
    auto found =
      std::find_if(settings.traces.begin(), settings.traces.end(),
                   [&](const trace_config& t) { return t.id == name; });
    if (found == settings.traces.end()) {
      std::fprintf(stderr,
                   "bpf2graphite: the configuration has no trace \"%s\" (a "
                   "script file has a / in its name or ends in .bt)\n",
                   escaped(name).c_str());
      return exit_code::usage;
    }
    chosen.push_back(*found);
    chosen.back().enabled = true;
  }
  if (!given.names.empty())
    settings.traces = chosen;
  logger log{given.log_level ? settings.log.level : log_level::warning,
             log_format::text};
  // A script that cannot work is said at once instead of being tried again.
  for (const auto& trace : settings.traces) {
    auto planned = plan_from_disk(trace, settings, files);
    if (trace.enabled && !planned.plan) {
      log.write(log_level::error, planned.error);
      return exit_code::config;
    }
  }
  for (auto& trace : settings.traces)
    trace.bpftrace.restart = restart_mode::never;
  if (given.send) {
    if (daemon_runs(settings.status.runtime_directory)) {
      log.write(log_level::error,
                "a daemon runs already: two would write the same series");
      return exit_code::second_copy;
    }
  } else {
    accept_at_once(settings);
  }
  settings.splay = false;
  auto status = run_daemon(settings, files, log,
                           {.to_stdout = !given.send,
                            .own_runtime = given.send,
                            .slots = 1,
                            .read_again = {}});
  for (const auto& name : given.names)
    if (is_script_file(name) && status == exit_code::ok) {
      auto trace = trace_for_script(absolute(name), settings);
      std::fprintf(stderr,
                   "To keep it, put this into the configuration:\n"
                   "traces {\n  %s {\n    script = \"%s\"\n  }\n}\n",
                   trace.id.c_str(), escaped(trace.script).c_str());
    }
  return status;
}

} // namespace bpf2graphite
