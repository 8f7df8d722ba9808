#include "actors/watchdog/command_line.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace bpf2graphite {
namespace {

using words = std::vector<std::string>;

const script_source script{"/etc/bpf2graphite/traces/cpu.bt", std::nullopt};

TEST(CommandLine, RunsTheScriptAsJson) {
  auto command = command_line({}, script, {}, {});
  EXPECT_EQ(command.program, "bpftrace");
  EXPECT_EQ(command.arguments, (words{"-f", "json", "--", script.path}));
  EXPECT_EQ(command.directory, "/etc/bpf2graphite/traces");
  EXPECT_FALSE(command.input) << "/dev/null";
}

TEST(CommandLine, PutsEverythingInItsPlace) {
  bpftrace_config config;
  config.program = "/opt/bpftrace";
  config.format = format_mode::text;
  config.unsafe = true;
  auto command =
    command_line(config, script, {"-5", "a b", "; rm"}, {"-p", "17"});
  EXPECT_EQ(command.program, "/opt/bpftrace");
  EXPECT_EQ(command.arguments, (words{"-f", "text", "--unsafe", "-p", "17",
                                      "--", script.path, "-5", "a b", "; rm"}));
}

TEST(CommandLine, TakesAutomaticForJson) {
  bpftrace_config config;
  config.format = format_mode::automatic;
  EXPECT_EQ(command_line(config, script, {}, {}).arguments[1], "json");
}

TEST(CommandLine, HandsAnExtendedTextOverOnStandardInput) {
  auto command = command_line({}, {script.path, "BEGIN { }"}, {"7"}, {});
  EXPECT_EQ(command.arguments, (words{"-f", "json", "--", "-", "7"}));
  EXPECT_EQ(command.input, "BEGIN { }");
  EXPECT_EQ(command.directory, "/etc/bpf2graphite/traces")
    << "where its #include \"x.h\" is found";
}

TEST(CommandLine, GivesACleanEnvironment) {
  bpftrace_config config;
  config.environment = {{"BPFTRACE_STRLEN", "128"},
                        {"LD_PRELOAD", "/tmp/evil.so"},
                        {"NOTIFY_SOCKET", "/run/systemd/notify"}};
  auto environment = command_line(config, script, {}, {}).environment;
  std::sort(environment.begin(), environment.end());
  EXPECT_EQ(environment,
            (words{"BPFTRACE_STRLEN=128", "LC_ALL=C",
                   "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
                   "/sbin:/bin"}));
}

TEST(CommandLine, RunsAScriptAtTheRootThere) {
  EXPECT_EQ(command_line({}, {"/a.bt", std::nullopt}, {}, {}).directory, "/");
}

TEST(VersionCommand, AsksInTheSameCleanWay) {
  auto command = version_command("/usr/bin/bpftrace");
  EXPECT_EQ(command.program, "/usr/bin/bpftrace");
  EXPECT_EQ(command.arguments, (words{"--version"}));
  EXPECT_EQ(command.environment, command_line({}, script, {}, {}).environment);
}

} // namespace
} // namespace bpf2graphite
