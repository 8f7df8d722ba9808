#include "app/options.hpp"

#include <CLI/CLI.hpp>

#include <iostream>

namespace bpf2graphite {
namespace {

constexpr auto footer =
  "\nExit status: 0 done, 64 command line, 65 input, 69 Graphite or bpftrace "
  "not\navailable, 70 a bug, 75 a copy runs already, 77 permission, 78 "
  "configuration.\nEnvironment: BPF2GRAPHITE_SERVER, BPF2GRAPHITE_PORT (an "
  "option goes before them,\nthey go before the file).";

} // namespace

parsed_options parse_options(int argc, const char* const* argv) {
  parsed_options result;
  auto& o = result.value;
  bool test = false;
  CLI::App app{"Ships bpftrace's histograms and maps to Graphite.",
               "bpf2graphite"};
  app.footer(footer);
  app.set_version_flag("-V,--version", "bpf2graphite " BPF2GRAPHITE_VERSION);
  app.fallthrough();
  app
    .add_option("-c,--config", o.config_path,
                "Configuration file (without it: "
                "/etc/bpf2graphite/caf-application.conf, else "
                "./caf-application.conf)")
    ->type_name("FILE");
  app.add_option("--server", o.server, "Graphite's host name or address")
    ->type_name("HOST");
  app.add_option("--port", o.port, "Graphite's plaintext port")->type_name("N");
  app
    .add_option("--log-level", o.log_level,
                "error, warning, notice, info or debug")
    ->type_name("L");
  app.add_flag("--stdout", o.to_stdout,
               "Write Graphite's lines to stdout instead of a socket");
  app.add_flag("-t", test, "The same as the verb check");
  app.require_subcommand(0, 1);

  auto* run = app.add_subcommand("run", "The daemon (the default)");
  auto* check = app.add_subcommand(
    "check", "Check configuration and scripts, print what would be done");
  check->add_flag("--deep", o.deep,
                  "Also compile each script with bpftrace and try Graphite");
  check->add_flag("--show-merged", o.show_merged,
                  "Print the programs of traces that share a bpftrace, and "
                  "nothing else");
  auto* once = app.add_subcommand(
    "once", "Run traces or script files for one slot, lines to stdout");
  once
    ->add_option("what", o.names,
                 "Traces of the configuration, or script files (with a / or "
                 "ending in .bt; they need no configuration); all traces "
                 "without it")
    ->type_name("TRACE|FILE.bt");
  once->add_flag("--send", o.send, "Really send the lines to Graphite");
  auto* parse =
    app.add_subcommand("parse", "Turn bpftrace's output into Graphite's lines");
  parse->add_option("input", o.input, "File with the output, - for stdin")
    ->type_name("FILE");
  parse
    ->add_option("--trace", o.trace,
                 "Use the options of this trace of the configuration")
    ->type_name("NAME");
  parse->add_option("--format", o.format, "auto, text or json")
    ->check(CLI::IsMember({"auto", "text", "json"}))
    ->type_name("F");
  parse
    ->add_option("--bpftrace-version", o.bpftrace_version,
                 "Which bpftrace wrote it, for example 0.17.0")
    ->type_name("V");
  parse
    ->add_option("--time", o.time,
                 "When the first byte came, seconds since 1970 (default: "
                 "now)")
    ->type_name("EPOCH");
  parse
    ->add_option("--times", o.times_path,
                 "Arrival times: lines `milliseconds cumulative-bytes`")
    ->type_name("FILE");
  parse->add_flag("--records", o.records,
                  "Print what was decoded, one JSON object per value");
  auto* record = app.add_subcommand(
    "record", "Run a trace's script and keep what it prints, for parse");
  record->add_option("trace", o.trace, "A trace of the configuration")
    ->type_name("TRACE")
    ->required();
  record
    ->add_option("--output", o.output,
                 "File for bpftrace's output; FILE.times gets the times at "
                 "which it came")
    ->type_name("FILE")
    ->required();
  record
    ->add_option("--duration", o.duration,
                 "End after that long, for example 60s or 10min (default: "
                 "with Ctrl-C)")
    ->type_name("TIME");
  record
    ->add_option("--size-max", o.size_max,
                 "End before both files are larger, for example 64MiB")
    ->type_name("SIZE")
    ->capture_default_str();
  record->add_flag("--force", o.force, "Replace the files if they exist");
  auto* status = app.add_subcommand(
    "status", "Where the running daemon stands: traces, destinations, ledger");
  status->add_flag("--json", o.json, "The whole document as JSON");
  auto* top = app.add_subcommand(
    "top", "Live, in a terminal: heatmaps, percentiles, rates, delivery");
  auto* tap = app.add_subcommand(
    "tap", "Graphite's lines as they leave the running daemon");
  tap->add_option("traces", o.names, "Only of these traces")
    ->type_name("TRACE");
  auto* generate = app.add_subcommand(
    "generate",
    "Write storage-schemas.conf, storage-aggregation.conf and Grafana "
    "dashboards that fit the configuration");
  generate
    ->add_option("--output", o.output,
                 "Folder for the files (made when missing); without it the "
                 "two .conf files go to stdout")
    ->type_name("DIR");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) { // --help, --version
      app.exit(e);
      result.exit = exit_code::ok;
      return result;
    }
    std::cerr << "bpf2graphite: " << e.what()
              << "\nTry `bpf2graphite --help`.\n";
    result.exit = exit_code::usage;
    return result;
  }
  if (check->parsed() || test)
    o.what = verb::check;
  else if (once->parsed())
    o.what = verb::once;
  else if (parse->parsed())
    o.what = verb::parse;
  else if (record->parsed())
    o.what = verb::record;
  else if (status->parsed())
    o.what = verb::status;
  else if (top->parsed())
    o.what = verb::top;
  else if (tap->parsed())
    o.what = verb::tap;
  else if (generate->parsed())
    o.what = verb::generate;
  else if (run->parsed())
    o.what = verb::run;
  auto refuse = [&](const char* message) {
    std::cerr << "bpf2graphite: " << message
              << "\nTry `bpf2graphite --help`.\n";
    result.exit = exit_code::usage;
  };
  if (test && !app.get_subcommands().empty() && !check->parsed())
    refuse("-t stands for the verb check and goes with no other verb");
  else if (o.to_stdout && o.what != verb::run)
    refuse("--stdout belongs to the verb run");
  return result;
}

} // namespace bpf2graphite
