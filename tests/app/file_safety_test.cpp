#include "app/file_safety.hpp"

#include "app/config_files.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sys/stat.h>
#include <unistd.h>

namespace bpf2graphite {
namespace {

constexpr std::uint32_t ann = 1000;     // called sudo
constexpr std::uint32_t mallory = 1001; // did not
constexpr std::uint32_t staff = 50;
constexpr std::size_t bytes_max = 1000;

/// A file system in a table.
class fake_system : public file_system_view {
public:
  fake_system() {
    folder("/");
    folder("/etc");
    file("/etc/x.conf");
  }

  void folder(const std::string& path, std::uint32_t owner = 0,
              std::uint32_t mode = 0755, std::uint32_t group = 0) {
    paths[path] = {file_kind::folder, owner, group, mode, 0, {}};
  }

  void file(const std::string& path, std::uint32_t owner = 0,
            std::uint32_t mode = 0644, std::uint32_t group = 0,
            std::uint64_t bytes = 10) {
    paths[path] = {file_kind::regular, owner, group, mode, bytes, {}};
  }

  void link(const std::string& path, const std::string& to,
            std::uint32_t owner = 0) {
    paths[path] = {file_kind::link, owner, 0, 0777, 0, to};
  }

  file_facts facts(const std::string& path) override {
    auto found = paths.find(path);
    return found == paths.end() ? file_facts{} : found->second;
  }

  std::string user_name(std::uint32_t uid) override {
    return uid == 0         ? "root"
           : uid == ann     ? "ann"
           : uid == mallory ? "mallory"
                            : "";
  }

  group_facts group(std::uint32_t gid) override {
    if (gid == ann)
      return {"ann", ann_members};
    if (gid == staff)
      return {"staff", {"ann"}};
    return {};
  }

  std::string reasons(const std::string& path) {
    return to_text(judge_file(path, {0, ann}, *this, bytes_max));
  }

  std::map<std::string, file_facts> paths;
  std::vector<std::string> ann_members{"ann"};
};

TEST(FileSafety, PassesAFileOfRoot) {
  fake_system system;
  auto verdict = judge_file("/etc/x.conf", {0}, system, bytes_max);
  EXPECT_EQ(verdict.fault, file_fault::none);
  EXPECT_EQ(verdict.real_path, "/etc/x.conf");
  EXPECT_EQ(to_text(verdict), "");
}

struct mode_case {
  std::string name;
  std::uint32_t owner;
  std::uint32_t mode;
  std::uint32_t group;
  std::string reasons;
};

std::ostream& operator<<(std::ostream& out, const mode_case& value) {
  return out << value.name;
}

class FileSafetyOfOneFile : public testing::TestWithParam<mode_case> {};

TEST_P(FileSafetyOfOneFile, FollowsOwnerAndWriteBits) {
  fake_system system;
  const auto& c = GetParam();
  system.file("/etc/x.conf", c.owner, c.mode, c.group);
  EXPECT_EQ(system.reasons("/etc/x.conf"), c.reasons);
  auto verdict = judge_file("/etc/x.conf", {0, ann}, system, bytes_max);
  EXPECT_EQ(verdict.fault,
            c.reasons.empty() ? file_fault::none : file_fault::unsafe);
}

INSTANTIATE_TEST_SUITE_P(
  Table, FileSafetyOfOneFile,
  testing::Values(
    mode_case{"Root", 0, 0644, 0, ""},
    mode_case{"RootsGroupWrites", 0, 0664, 0, ""},
    mode_case{"TheOneWhoCalledSudo", ann, 0644, ann, ""},
    mode_case{"HisPrivateGroupWrites", ann, 0664, ann, ""},
    mode_case{"HisFileInRootsGroup", ann, 0664, 0, ""},
    mode_case{"ReadableByAllIsNoMatter", 0, 0444, staff, ""},
    mode_case{"SomebodyElse", mallory, 0600, mallory,
              "/etc/x.conf belongs to mallory (uid 1001), who is not trusted; "
              "run: chown root /etc/x.conf"},
    mode_case{"AUserWithoutAName", 4711, 0600, 0,
              "/etc/x.conf belongs to uid 4711, who is not trusted; run: chown "
              "root /etc/x.conf"},
    mode_case{"EverybodyWrites", 0, 0646, 0,
              "/etc/x.conf can be written by everybody; run: chmod o-w "
              "/etc/x.conf"},
    mode_case{"AnotherGroupWrites", 0, 0664, staff,
              "/etc/x.conf can be written by the group staff; run: chmod g-w "
              "/etc/x.conf"},
    mode_case{"AGroupThatIsNotTheOwners", 0, 0664, ann,
              "/etc/x.conf can be written by the group ann; run: chmod g-w "
              "/etc/x.conf"},
    mode_case{"AGroupWithoutAName", 0, 0664, 4711,
              "/etc/x.conf can be written by the group gid 4711; run: chmod "
              "g-w /etc/x.conf"},
    mode_case{"StickyFilesAreNoExcuse", 0, 01646, 0,
              "/etc/x.conf can be written by everybody; run: chmod o-w "
              "/etc/x.conf"},
    mode_case{"AllAtOnce", mallory, 0666, staff,
              "/etc/x.conf belongs to mallory (uid 1001), who is not trusted; "
              "run: chown root /etc/x.conf, and /etc/x.conf can be written by "
              "everybody; run: chmod o-w /etc/x.conf, and /etc/x.conf can be "
              "written by the group staff; run: chmod g-w /etc/x.conf"}),
  [](const auto& suite) { return suite.param.name; });

TEST(FileSafety, DoesNotTrustAPrivateGroupWithASecondMember) {
  fake_system system;
  system.ann_members = {"ann", "mallory"};
  system.file("/etc/x.conf", ann, 0664, ann);
  EXPECT_EQ(system.reasons("/etc/x.conf"),
            "/etc/x.conf can be written by the group ann; run: chmod g-w "
            "/etc/x.conf");
}

TEST(FileSafety, WorksBySudoFromACloneWithUmask002) {
  fake_system system;
  system.folder("/home");
  system.folder("/home/ann", ann, 0750, ann);
  system.folder("/home/ann/clone", ann, 0775, ann);
  system.folder("/home/ann/clone/config", ann, 0775, ann);
  system.file("/home/ann/clone/config/a.conf", ann, 0664, ann);
  EXPECT_EQ(system.reasons("/home/ann/clone/config/a.conf"), "");
  // Without sudo, or by another user, it must not.
  auto verdict =
    judge_file("/home/ann/clone/config/a.conf", {0}, system, bytes_max);
  EXPECT_EQ(verdict.fault, file_fault::unsafe);
  EXPECT_EQ(verdict.reasons.size(), 4U) << to_text(verdict);
}

TEST(FileSafety, JudgesEachFolderOnTheWay) {
  fake_system system;
  system.folder("/srv", 0, 0777);
  system.folder("/srv/a b", mallory, 0755);
  system.file("/srv/a b/x");
  EXPECT_EQ(system.reasons("/srv/a b/x"),
            "the folder /srv can be written by everybody; run: chmod o-w /srv, "
            "and the folder /srv/a b belongs to mallory (uid 1001), who is not "
            "trusted; run: chown root '/srv/a b'");
}

TEST(FileSafety, JudgesTheRootFolder) {
  fake_system system;
  system.folder("/", 0, 0777);
  EXPECT_EQ(system.reasons("/etc/x.conf"),
            "the folder / can be written by everybody; run: chmod o-w /");
}

TEST(FileSafety, AllowsStickyFolders) {
  fake_system system;
  system.folder("/tmp", 0, 01777);
  system.file("/tmp/x");
  system.file("/tmp/y", mallory, 0600);
  EXPECT_EQ(system.reasons("/tmp/x"), "");
  EXPECT_NE(system.reasons("/tmp/y"), "");
  // Its owner may rename what lies in it all the same.
  system.folder("/tmp", mallory, 01777);
  EXPECT_NE(system.reasons("/tmp/x"), "");
}

TEST(FileSafety, JudgesALinkByItsTargetAndTheWayToThat) {
  fake_system system;
  system.folder("/srv", mallory);
  system.file("/srv/x");
  system.link("/etc/l", "../srv/x");
  EXPECT_EQ(system.reasons("/etc/l"),
            "the folder /srv belongs to mallory (uid 1001), who is not "
            "trusted; run: chown root /srv");
  // The owner of the link itself says nothing.
  system.link("/etc/l", "x.conf", mallory);
  auto verdict = judge_file("/etc/l", {0}, system, bytes_max);
  EXPECT_EQ(verdict.fault, file_fault::none);
  EXPECT_EQ(verdict.real_path, "/etc/x.conf");
  // The folder that holds the link does.
  system.folder("/pub", 0, 0777);
  system.link("/pub/l", "/etc/x.conf");
  EXPECT_EQ(system.reasons("/pub/l"),
            "the folder /pub can be written by everybody; run: chmod o-w /pub");
}

TEST(FileSafety, FollowsLinksToFoldersOnTheWay) {
  fake_system system;
  system.link("/conf", "etc/./../etc");
  auto verdict = judge_file("/conf//x.conf", {0}, system, bytes_max);
  EXPECT_EQ(verdict.fault, file_fault::none);
  EXPECT_EQ(verdict.real_path, "/etc/x.conf");
}

struct fault_case {
  std::string name;
  std::string path;
  file_fault fault;
  std::string reason;
};

std::ostream& operator<<(std::ostream& out, const fault_case& value) {
  return out << value.name;
}

class FileSafetyFaults : public testing::TestWithParam<fault_case> {};

TEST_P(FileSafetyFaults, AreToldApart) {
  fake_system system;
  system.folder("/d");
  system.paths["/fifo"].kind = file_kind::other;
  system.paths["/closed"].kind = file_kind::denied;
  system.link("/loop", "/loop");
  system.link("/dangling", "/etc/none");
  system.link("/to-root", "/");
  system.file("/large", 0, 0644, 0, bytes_max + 1);
  system.file("/full", 0, 0644, 0, bytes_max);
  auto verdict = judge_file(GetParam().path, {0}, system, bytes_max);
  EXPECT_EQ(verdict.fault, GetParam().fault);
  EXPECT_EQ(to_text(verdict), GetParam().reason);
}

INSTANTIATE_TEST_SUITE_P(
  Table, FileSafetyFaults,
  testing::Values(
    fault_case{"Missing", "/etc/y", file_fault::missing, "no such file /etc/y"},
    fault_case{"MissingFolder", "/usr/y", file_fault::missing,
               "no such file /usr/y (/usr does not exist)"},
    fault_case{"Dangling", "/dangling", file_fault::missing,
               "no such file /dangling (/etc/none does not exist)"},
    fault_case{"ThroughAFile", "/etc/x.conf/y", file_fault::missing,
               "no such file /etc/x.conf/y (/etc/x.conf is not a folder)"},
    fault_case{"Folder", "/d", file_fault::not_regular,
               "/d is a folder; name a file"},
    fault_case{"Root", "/", file_fault::not_regular,
               "/ is a folder; name a file"},
    fault_case{"DotDot", "/etc/..", file_fault::not_regular,
               "/etc/.. is a folder; name a file"},
    fault_case{"LinkToRoot", "/to-root", file_fault::not_regular,
               "/to-root leads to a folder; name a file"},
    fault_case{"Fifo", "/fifo", file_fault::not_regular,
               "/fifo is not a regular file; name one"},
    fault_case{"Denied", "/closed/x", file_fault::denied,
               "/closed cannot be looked at; let this user in, or run as root"},
    fault_case{"Loop", "/loop", file_fault::failed,
               "/loop leads through more than 40 links; name the file itself"},
    fault_case{"Relative", "x.conf", file_fault::failed,
               "x.conf is not an absolute path; write one"},
    fault_case{"Large", "/large", file_fault::too_large,
               "/large has 1001 bytes; at most 1000 are read: split it"},
    fault_case{"JustRight", "/full", file_fault::none, ""}),
  [](const auto& suite) { return suite.param.name; });

TEST(TrustedUsers, HoldSudosUserOnlyAtATerminalAndAsRoot) {
  EXPECT_EQ(users_to_trust(0, "1000", true), (trusted_users{0, 1000}));
  EXPECT_EQ(users_to_trust(0, "1000", false), (trusted_users{0}));
  EXPECT_EQ(users_to_trust(1001, "1000", true), (trusted_users{0, 1001}));
  for (const char* bad : {"", "x", "10x", "-1", "99999999999", " 1"})
    EXPECT_EQ(users_to_trust(0, bad, true), (trusted_users{0})) << bad;
}

// -- real files -------------------------------------------------------------

class RealFiles : public testing::Test {
protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "needs root: it changes the owners of files";
    }
    std::array<char, 64> path{"/tmp/bpf2graphite-test-XXXXXX"};
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    folder = path.data();
    auto verdict = judge_file(write("probe", "x"), {0}, view, bytes_max);
    if (verdict.fault != file_fault::none) {
      GTEST_SKIP() << "/tmp itself is not safe here: " << to_text(verdict);
    }
  }

  void TearDown() override {
    if (folder.empty())
      return;
    for (const char* name : {"probe", "a", "b", "fifo", "link", "sub/a", "big"})
      ::unlink((folder + '/' + name).c_str());
    ::rmdir((folder + "/sub").c_str());
    EXPECT_EQ(::rmdir(folder.c_str()), 0);
  }

  std::string write(const std::string& name, const std::string& text,
                    mode_t mode = 0644) {
    auto path = folder + '/' + name;
    std::ofstream{path} << text;
    ::chmod(path.c_str(), mode);
    return path;
  }

  std::string folder;
  disk_view view;
};

TEST_F(RealFiles, OfRootAreRead) {
  disk_files files{{0}};
  auto text = files.read(write("a", "hello\n"), bytes_max);
  EXPECT_EQ(text.fault, file_fault::none) << text.reason;
  EXPECT_EQ(text.text, "hello\n");
}

TEST_F(RealFiles, OfAnotherUserAreNotRead) {
  auto path = write("a", "hello\n");
  ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0);
  auto text = disk_files{{0}}.read(path, bytes_max);
  EXPECT_EQ(text.fault, file_fault::unsafe);
  EXPECT_EQ(text.text, "");
  EXPECT_NE(text.reason.find("run: chown root " + path), std::string::npos)
    << text.reason;
  EXPECT_EQ((disk_files{{0, 65534}}.read(path, bytes_max).text), "hello\n");
}

TEST_F(RealFiles, ThatEverybodyMayWriteAreNotRead) {
  auto path = write("a", "hello\n", 0666);
  auto text = disk_files{{0}}.read(path, bytes_max);
  EXPECT_EQ(text.fault, file_fault::unsafe);
  EXPECT_EQ(text.reason,
            path + " can be written by everybody; run: chmod o-w " + path);
}

TEST_F(RealFiles, InAFolderOfAnotherUserAreNotRead) {
  auto sub = folder + "/sub";
  ASSERT_EQ(::mkdir(sub.c_str(), 0755), 0);
  auto path = write("sub/a", "x");
  EXPECT_EQ(disk_files{{0}}.read(path, bytes_max).fault, file_fault::none);
  ASSERT_EQ(::chown(sub.c_str(), 65534, 0), 0);
  EXPECT_EQ(disk_files{{0}}.read(path, bytes_max).fault, file_fault::unsafe);
  ASSERT_EQ(::chown(sub.c_str(), 0, 0), 0);
  ASSERT_EQ(::chmod(sub.c_str(), 01777), 0);
  EXPECT_EQ(disk_files{{0}}.read(path, bytes_max).fault, file_fault::none);
  ASSERT_EQ(::chmod(sub.c_str(), 0777), 0);
  EXPECT_EQ(disk_files{{0}}.read(path, bytes_max).fault, file_fault::unsafe);
}

TEST_F(RealFiles, BehindALinkAreReadByTheirRealName) {
  auto path = write("a", "hello\n");
  auto link = folder + "/link";
  ASSERT_EQ(::symlink("a", link.c_str()), 0);
  EXPECT_EQ(judge_file(link, {0}, view, bytes_max).real_path, path);
  EXPECT_EQ(disk_files{{0}}.read(link, bytes_max).text, "hello\n");
  ASSERT_EQ(::chown(path.c_str(), 65534, 0), 0);
  EXPECT_EQ(disk_files{{0}}.read(link, bytes_max).fault, file_fault::unsafe);
}

TEST_F(RealFiles, ThatAreNoFilesAreRefusedWithoutWaiting) {
  auto fifo = folder + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  disk_files files{{0}};
  EXPECT_EQ(files.read(fifo, bytes_max).fault, file_fault::not_regular);
  EXPECT_EQ(files.read(folder, bytes_max).fault, file_fault::not_regular);
  EXPECT_EQ(files.read("/dev/zero", bytes_max).fault, file_fault::not_regular);
}

TEST_F(RealFiles, ThatAreTooLargeAreRefused) {
  auto path = write("big", std::string(bytes_max + 1, 'x'));
  EXPECT_EQ(disk_files{{0}}.read(path, bytes_max).fault, file_fault::too_large);
  // Files of /proc say that they are empty; their text is bounded, too.
  EXPECT_EQ(disk_files{{0}}.read("/proc/meminfo", 10).fault,
            file_fault::too_large);
}

TEST_F(RealFiles, AreMatchedInOrder) {
  write("b", "");
  write("a", "");
  disk_files files{{0}};
  EXPECT_EQ(files.match(folder + "/[ab]").paths,
            (std::vector<std::string>{folder + "/a", folder + "/b"}));
  auto none = files.match(folder + "/*.conf");
  EXPECT_TRUE(none.paths.empty());
  EXPECT_EQ(none.trouble, "");
  EXPECT_TRUE(files.exists(folder + "/a"));
  EXPECT_FALSE(files.exists(folder + "/c"));
}

} // namespace
} // namespace bpf2graphite
