#include "app/journal.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace bpf2graphite {
namespace {

using namespace std::string_literals;

TEST(JournalEntry, IsALineAField) {
  EXPECT_EQ(journal_entry({{"MESSAGE", "up = down"}, {"PRIORITY", "6"}}),
            "MESSAGE=up = down\nPRIORITY=6\n");
  EXPECT_EQ(journal_entry({{"MESSAGE", ""}}), "MESSAGE=\n");
  EXPECT_EQ(journal_entry({}), "");
}

// The example of the protocol's description, with our bytes.
TEST(JournalEntry, GivesTheSizeOfWhatHoldsALineEnd) {
  EXPECT_EQ(journal_entry({{"A", "x\ny"}, {"B", "z"}}),
            "A\n\3\0\0\0\0\0\0\0x\ny\nB=z\n"s);
  auto big = std::string(300, '\n');
  EXPECT_EQ(journal_entry({{"A", big}}), "A\n\x2c\1\0\0\0\0\0\0"s + big + "\n");
}

class JournalSocket : public ::testing::Test {
protected:
  std::string path =
    ::testing::TempDir() + "journal-" + std::to_string(::getpid());
  int journald = -1;

  void open_journald() {
    journald = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(path.size(), sizeof address.sun_path);
    std::memcpy(address.sun_path, path.data(), path.size());
    ::unlink(path.c_str());
    ASSERT_EQ(::bind(journald, reinterpret_cast<const sockaddr*>(&address),
                     sizeof address),
              0);
  }

  std::string received() const {
    std::string bytes(65536, '\0');
    auto got = ::recv(journald, bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return bytes;
  }

  void close_journald() {
    ::close(journald);
    ::unlink(path.c_str());
  }
};

TEST_F(JournalSocket, SendsAnEntryAsADatagram) {
  open_journald();
  journal_socket socket{path};
  EXPECT_EQ(socket.send("A=1\n"), 0);
  EXPECT_EQ(socket.send("B=2\n"), 0);
  EXPECT_EQ(received(), "A=1\n");
  EXPECT_EQ(received(), "B=2\n");
  close_journald();
}

TEST_F(JournalSocket, SaysThatNobodyIsThereAndFindsTheNextOne) {
  journal_socket socket{path};
  EXPECT_EQ(socket.send("A=1\n"), ENOENT);
  open_journald();
  EXPECT_EQ(socket.send("A=1\n"), 0);
  ::close(journald);
  EXPECT_EQ(socket.send("A=2\n"), ECONNREFUSED);
  open_journald();
  EXPECT_EQ(socket.send("A=3\n"), 0);
  EXPECT_EQ(received(), "A=3\n");
  close_journald();
}

TEST_F(JournalSocket, SaysThatAnEntryIsTooLong) {
  open_journald();
  journal_socket socket{path};
  EXPECT_EQ(socket.send(std::string(8 << 20, 'x')), EMSGSIZE);
  EXPECT_EQ(socket.send("A=1\n"), 0) << "and goes on";
  close_journald();
}

TEST_F(JournalSocket, RefusesAPathThatNoSocketHas) {
  journal_socket socket{std::string(200, 'x')};
  EXPECT_EQ(socket.send("A=1\n"), ENAMETOOLONG);
}

} // namespace
} // namespace bpf2graphite
