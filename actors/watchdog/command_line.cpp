#include "actors/watchdog/command_line.hpp"

#include <string_view>

namespace bpf2graphite {
namespace {

std::vector<std::string> clean_environment() {
  return {std::string{"PATH="} + program_path, "LC_ALL=C"};
}

std::string folder_of(const std::string& path) {
  auto slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

} // namespace

process_command command_line(const bpftrace_config& config,
                             const script_source& script,
                             const std::vector<std::string>& arguments,
                             const std::vector<std::string>& options) {
  process_command command;
  command.program = config.program;
  auto& argv = command.arguments;
  argv = {"-f", config.format == format_mode::text ? "text" : "json"};
  if (config.unsafe)
    argv.push_back("--unsafe");
  argv.insert(argv.end(), options.begin(), options.end());
  // All that follows is the script and its own, even where it begins with a
  // dash.
  argv.push_back("--");
  argv.push_back(script.text ? "-" : script.path);
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  command.environment = clean_environment();
  for (const auto& [name, value] : config.environment)
    if (std::string_view{name}.starts_with("BPFTRACE_"))
      command.environment.push_back(name + '=' + value);
  command.directory = folder_of(script.path);
  command.input = script.text;
  return command;
}

process_command version_command(const std::string& program) {
  return {.program = program,
          .arguments = {"--version"},
          .environment = clean_environment(),
          .directory = "/",
          .input = std::nullopt};
}

} // namespace bpf2graphite
