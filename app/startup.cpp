#include "app/startup.hpp"

#include "app/check.hpp"
#include "app/config_files.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace bpf2graphite {
namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>{value};
}

} // namespace

disk_files open_files() {
  return disk_files{users_to_trust(::geteuid(),
                                   variable("SUDO_UID").value_or(""),
                                   ::isatty(STDIN_FILENO) != 0)};
}

startup read_config(const options& given, file_access& files, bool needed) {
  startup result;
  config_request request;
  if (given.config_path) {
    request.file = *given.config_path;
  } else {
    auto found = find_config(files);
    if (found.file.empty() && needed) {
      std::fprintf(stderr, "bpf2graphite: %s\n", found.error.c_str());
      result.exit = exit_code::config;
      return result;
    }
    request.file = found.file;
  }
  std::array<char, 4096> folder{};
  if (::getcwd(folder.data(), folder.size()) != nullptr)
    request.working_folder = folder.data();
  request.overrides.server_option = given.server;
  request.overrides.port_option = given.port;
  request.overrides.log_level_option = given.log_level;
  request.overrides.server_variable = variable("BPF2GRAPHITE_SERVER");
  request.overrides.port_variable = variable("BPF2GRAPHITE_PORT");
  request.overrides.runtime_directory = variable("RUNTIME_DIRECTORY");
  if (request.file.empty()) // nothing named, nothing found, none needed
    return result;
  result.request = request;
  auto loaded = load_config(request, files);
  if (!loaded.messages.empty())
    std::fprintf(stderr, "%s", render(loaded.messages).c_str());
  if (!loaded.ok())
    result.exit = loaded.unsafe ? exit_code::permission : exit_code::config;
  result.value = std::move(loaded.value);
  return result;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0')
    return "localhost";
  return name.data();
}

wall_time now() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(
    std::chrono::system_clock::now());
}

planned_trace plan_from_disk(const trace_config& trace, const config& all,
                             file_access& files) {
  planned_trace result;
  auto script = files.read(trace.script, script_bytes_max);
  if (script.fault != file_fault::none) {
    // Most reasons name the file already.
    result.error = script.reason.find(trace.script) == std::string::npos
                     ? trace.script + ": " + script.reason
                     : script.reason;
    return result;
  }
  auto plan = plan_trace(trace, script.text, all, host_name());
  for (const auto& error : plan.script.errors) {
    if (!result.error.empty())
      result.error += "; ";
    result.error += trace.script + ": " + error;
  }
  if (result.error.empty())
    result.plan = std::move(plan);
  return result;
}

bool reread_config::ok() const {
  return std::none_of(messages.begin(), messages.end(), [](const auto& m) {
    return m.level == message_level::error;
  });
}

reread_config read_again(const config_request& request, file_access& files) {
  auto loaded = load_config(request, files);
  reread_config result{std::move(loaded.value), std::move(loaded.messages), {}};
  auto& all = result.value;
  auto wrong = [&](const std::string& file, text_place place,
                   const std::string& trace, std::string text) {
    result.messages.push_back(
      {message_level::error, file, place, trace, std::move(text)});
  };
  if (!result.ok())
    return result;
  bool unsafe = false;
  for (auto& message : check_scripts(all, files, unsafe))
    result.messages.push_back(std::move(message));
  if (!result.ok())
    return result;
  std::vector<trace_plan> plans;
  for (const auto& trace : all.traces) {
    if (!trace.enabled)
      continue;
    auto planned = plan_from_disk(trace, all, files);
    if (planned.plan) {
      result.programs[trace.id] = planned.plan->script.program;
      plans.push_back(std::move(*planned.plan));
    } else {
      wrong(trace.file, trace.script_place, trace.id, planned.error);
    }
  }
  for (auto& text : collisions(plans))
    wrong(all.file, {}, {}, std::move(text));
  if (plans.empty() && result.ok())
    wrong(all.file, {}, {}, "no trace is enabled; add one to traces { }");
  return result;
}

} // namespace bpf2graphite
