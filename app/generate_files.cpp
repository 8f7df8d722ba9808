#include "app/generate.hpp"
#include "app/log.hpp"
#include "app/startup.hpp"
#include "app/verbs.hpp"

#include "actors/normalizer/metric_path.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <vector>

namespace bpf2graphite {
namespace {

/// Says what went wrong; true when it is written.
bool write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream out{path, std::ios::binary | std::ios::trunc};
  out << text;
  out.close();
  if (out)
    return true;
  std::cerr << "bpf2graphite: " << path.string() << ": " << std::strerror(errno)
            << '\n';
  return false;
}

} // namespace

int generate(const options& given) {
  auto files = open_files();
  auto started = read_config(given, files, true);
  if (started.exit)
    return *started.exit;
  std::vector<trace_plan> plans;
  for (const auto& trace : started.value.traces) {
    if (!trace.enabled)
      continue;
    auto planned = plan_from_disk(trace, started.value, files);
    if (!planned.plan) {
      std::cerr << trace.file << ':' << trace.place.line << ": trace \""
                << trace.id << "\": " << escaped(planned.error) << '\n';
      return exit_code::config;
    }
    plans.push_back(std::move(*planned.plan));
  }
  auto schemas = storage_schemas_conf(started.value, plans);
  auto aggregation = storage_aggregation_conf(started.value, plans);
  if (!given.output) {
    std::cout << schemas << '\n' << aggregation << std::flush;
    std::cerr << "with --output DIR each goes to a file of its own, and the "
                 "Grafana dashboards are written, too\n";
    return exit_code::ok;
  }
  std::filesystem::path folder{*given.output};
  std::error_code error;
  std::filesystem::create_directories(folder / "dashboards", error);
  if (error) {
    std::cerr << "bpf2graphite: " << folder.string() << ": " << error.message()
              << '\n';
    return exit_code::permission;
  }
  auto written =
    write_file(folder / "storage-schemas.conf", schemas)
    && write_file(folder / "storage-aggregation.conf", aggregation);
  for (const auto& plan : plans)
    written = written
              && write_file(folder / "dashboards"
                              / (clean_level(plan.trace.id) + ".json"),
                            grafana_dashboard(plan));
  auto boards = plans.size();
  if (const auto& own = started.value.own_metrics; own.enabled) {
    ++boards;
    written =
      written
      && write_file(folder / "dashboards" / "bpf2graphite.own-metrics.json",
                    own_dashboard(started.value, host_name()));
  }
  if (!written)
    return exit_code::permission;
  std::cerr << folder.string()
            << ": storage-schemas.conf, storage-aggregation.conf, dashboards/ ("
            << boards << ")\n";
  return exit_code::ok;
}

} // namespace bpf2graphite
