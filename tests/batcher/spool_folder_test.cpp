#include "actors/batcher/spool_folder.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace bpf2graphite {
namespace {

namespace fs = std::filesystem;

class SpoolFolder : public ::testing::Test {
protected:
  fs::path top;

  void SetUp() override {
    std::string name = fs::temp_directory_path() / "spool-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    top = name;
  }

  void TearDown() override {
    fs::remove_all(top);
  }

  std::string path(const char* name = "spool") const {
    return top / name;
  }
};

TEST_F(SpoolFolder, IsMadeForUsAlone) {
  spool_folder folder{path()};
  EXPECT_EQ(folder.open(), "");
  struct stat facts {};
  ASSERT_EQ(::stat(path().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0700);
  EXPECT_EQ(spool_folder{path()}.open(), "");
}

TEST_F(SpoolFolder, RefusesWhatOthersMayEnterAndLinks) {
  fs::create_directory(path());
  ::chmod(path().c_str(), 0755);
  auto error = spool_folder{path()}.open();
  EXPECT_NE(error.find("chmod 0700 " + path()), error.npos) << error;
  ::chmod(path().c_str(), 0700);
  fs::create_symlink(path(), path("link"));
  error = spool_folder{path("link")}.open();
  EXPECT_NE(error.find("link"), error.npos) << error;
  std::ofstream{path("file")} << "x";
  EXPECT_NE(spool_folder{path("file")}.open(), "");
  EXPECT_NE(spool_folder{path("no/folder")}.open(), "");
}

TEST_F(SpoolFolder, ReplacesAndReadsAndRemovesFiles) {
  spool_folder folder{path()};
  ASSERT_EQ(folder.open(), "");
  EXPECT_EQ(folder.read("a.spool", 10).text, std::nullopt);
  EXPECT_EQ(folder.read("a.spool", 10).error, "");
  EXPECT_EQ(folder.write("a.spool", "one"), "");
  std::ofstream{path() + "/a.spool.new"} << "of one that died";
  EXPECT_EQ(folder.write("a.spool", "two"), "");
  EXPECT_EQ(folder.read("a.spool", 10).text, "two");
  EXPECT_NE(folder.read("a.spool", 2).error, "");
  EXPECT_EQ(folder.files(), std::vector<std::string>{"a.spool"});
  EXPECT_EQ(folder.remove("a.spool"), "");
  EXPECT_EQ(folder.remove("a.spool"), "");
  EXPECT_TRUE(fs::is_empty(path()));
}

TEST_F(SpoolFolder, FollowsNoLinkAndReadsNoPipe) {
  spool_folder folder{path()};
  ASSERT_EQ(folder.open(), "");
  std::ofstream{path("secret")} << "x";
  fs::create_symlink(path("secret"), path() + "/a.spool");
  fs::create_hard_link(path("secret"), path() + "/b.spool");
  ASSERT_EQ(::mkfifo((path() + "/c.spool").c_str(), 0600), 0);
  for (auto name : {"a.spool", "b.spool", "c.spool"})
    EXPECT_NE(folder.read(name, 10).error, "") << name;
  // A link in the way is replaced, not followed.
  EXPECT_EQ(folder.write("a.spool", "new"), "");
  std::string secret;
  std::ifstream{path("secret")} >> secret;
  EXPECT_EQ(secret, "x");
}

TEST_F(SpoolFolder, KeepsDamagedFilesAside) {
  spool_folder folder{path()};
  ASSERT_EQ(folder.open(), "");
  for (int i = 1; i <= 12; ++i) {
    ASSERT_EQ(folder.write("a.spool", std::to_string(i)), "");
    auto aside = folder.set_aside("a.spool");
    EXPECT_EQ(aside, folder.place("a.spool.damaged")
                       + (i == 1 ? "" : "-" + std::to_string(std::min(i, 9))));
  }
  EXPECT_EQ(folder.files(), std::vector<std::string>{});
  EXPECT_EQ(folder.set_aside("none.spool"), "");
}

TEST_F(SpoolFolder, SaysWhyItCannotWrite) {
  spool_folder folder{path()};
  ASSERT_EQ(folder.open(), "");
  fs::remove_all(path());
  auto error = folder.write("a.spool", "x");
  EXPECT_NE(error.find("a.spool.new: open: "), error.npos) << error;
}

} // namespace
} // namespace bpf2graphite
