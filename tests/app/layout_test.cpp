// The seam between plain C++ and the actors, read from the tree itself.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

namespace {

namespace fs = std::filesystem;

const fs::path root{BPF2GRAPHITE_SOURCE_DIR};

/// The edges and the files of app/ that may use CAF, Asio or processes.
bool may_use_actors(const fs::path& file) {
  static const std::set<std::string> edges{
    "bpftrace_process", "child",       "pipe_poller",   "process_port",
    "program_versions", "start_turns", "name_lookup",   "graphite_socket",
    "supervisor",       "shell",       "io_thread",     "topology",
    "daemon",           "stdout_wire", "deep_check",    "reload",
    "actor_scheduler",  "heartbeat",   "line_tap",      "status_server",
    "fault_injection",  "self_report", "render_reader", "record",
    "process_run",      "share_pool"};
  auto stem = file.stem().string();
  return edges.count(stem) != 0 || stem == file.parent_path().filename();
}

TEST(Layout, LogicIncludesNeitherActorsNorSocketsNorProcesses) {
  std::size_t seen = 0;
  for (const char* folder : {"actors", "app"})
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const auto& file = entry.path();
      if ((file.extension() != ".cpp" && file.extension() != ".hpp")
          || may_use_actors(file))
        continue;
      ++seen;
      std::ifstream in{file};
      for (std::string line; std::getline(in, line);) {
        if (line.rfind("#include", 0) != 0)
          continue;
        for (const char* edge : {"caf/", "boost/asio", "boost/beast",
                                 "boost/process", "messages/protocols.hpp",
                                 "messages/type_ids.hpp", "messages/exit.hpp"})
          EXPECT_EQ(line.find(edge), std::string::npos) << file << ": " << line;
      }
    }
  EXPECT_GT(seen, 30U);
}

TEST(Layout, TheTopLevelHoldsOnlyWhatItMay) {
  const std::set<std::string> allowed{
    "CMakeLists.txt", "actors", "messages",  "app",
    "tests",          "config", "README.md", "build"};
  for (const auto& entry : fs::directory_iterator(root)) {
    auto name = entry.path().filename().string();
    EXPECT_TRUE(name[0] == '.' || allowed.count(name) != 0) << name;
  }
}

TEST(Layout, ActorsIncludeNoOtherActor) {
  const std::set<std::string> shells{"watchdog",         "line_reader",
                                     "histogram_parser", "normalizer",
                                     "batcher",          "graphite_connection"};
  for (const auto& name : shells)
    for (const char* extension : {".hpp", ".cpp"}) {
      std::ifstream in{root / "actors" / name / (name + extension)};
      ASSERT_TRUE(in) << name;
      for (std::string line; std::getline(in, line);)
        for (const auto& other : shells) {
          if (other == name)
            continue;
          EXPECT_EQ(line.find("\"actors/" + other + "/" + other + ".hpp"),
                    std::string::npos)
            << name << ": " << line;
        }
    }
}

} // namespace
