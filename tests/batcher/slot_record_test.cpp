#include "actors/batcher/slot_record.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

namespace bpf2graphite {
namespace {

constexpr std::int64_t now = 1'800'000'000;

struct memory_store : slot_store {
  std::optional<std::string> text;
  bool broken = false;
  std::vector<std::string> writes;

  std::optional<std::string> read() override {
    return text;
  }
  bool write(std::string_view what) override {
    if (broken)
      return false;
    writes.emplace_back(what);
    text = std::string{what};
    return true;
  }
};

TEST(SlotRecord, ReadsWhatTheDaemonBeforeWrote) {
  memory_store store;
  EXPECT_FALSE(slot_record(store, now).before_us());
  EXPECT_TRUE(slot_record(store, now).keep(1'700'000'010));
  EXPECT_EQ(slot_record(store, now).before_us(), 1'700'000'010);
}

TEST(SlotRecord, WritesOnlyNewerSlots) {
  memory_store store;
  store.text = "100\n";
  slot_record record{store, now};
  for (auto slot : {15, 100, 115, 115, 100, 130})
    EXPECT_TRUE(record.keep(slot));
  EXPECT_EQ(store.writes, (std::vector<std::string>{"115\n", "130\n"}));
  EXPECT_EQ(record.before_us(), 100);
}

TEST(SlotRecord, DoesNotBelieveASlotInTheFuture) {
  memory_store store;
  store.text = "1800000001\n";
  slot_record record{store, now};
  EXPECT_FALSE(record.before_us());
  EXPECT_TRUE(record.keep(15));
  EXPECT_EQ(store.text, "15\n");
}

TEST(SlotRecord, TriesAgainAfterAFailedWrite) {
  memory_store store;
  slot_record record{store, now};
  store.broken = true;
  EXPECT_FALSE(record.keep(15));
  store.broken = false;
  EXPECT_TRUE(record.keep(15));
  EXPECT_EQ(store.text, "15\n");
}

TEST(SlotRecord, TakesADamagedRecordForNone) {
  for (auto text :
       {"", "\n", "1700000010", "-15\n", "+15\n", " 15\n", "15 \n", "15\n15\n",
        "0x1f\n", "4294967296\n", "99999999999\n", "15\r\n", "a\n", "1.5\n"}) {
    memory_store store;
    store.text = text;
    EXPECT_FALSE(slot_record(store, now).before_us()) << text;
  }
  EXPECT_EQ(parse_slot("4294967295\n"), 4294967295);
  EXPECT_EQ(parse_slot("0\n"), 0);
}

class SlotFile : public ::testing::Test {
protected:
  std::filesystem::path folder;

  SlotFile() {
    auto pattern =
      (std::filesystem::temp_directory_path() / "slot_file_XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
  }
  ~SlotFile() override {
    std::filesystem::remove_all(folder);
  }
};

TEST_F(SlotFile, ReplacesTheFileAndLeavesNothingBeside) {
  slot_file file{(folder / "last-slot").string()};
  EXPECT_FALSE(file.read());
  EXPECT_TRUE(file.write("15\n"));
  EXPECT_TRUE(file.write("30\n"));
  EXPECT_EQ(file.read(), "30\n");
  auto files = std::distance(std::filesystem::directory_iterator{folder}, {});
  EXPECT_EQ(files, 1);
}

TEST_F(SlotFile, SaysThatItCouldNotWrite) {
  slot_file file{(folder / "absent" / "last-slot").string()};
  EXPECT_FALSE(file.write("15\n"));
  EXPECT_FALSE(file.read());
}

TEST_F(SlotFile, ReadsOnlyTheBeginningOfAHugeFile) {
  std::ofstream{folder / "last-slot"} << std::string(1 << 20, '1');
  slot_file file{(folder / "last-slot").string()};
  ASSERT_TRUE(file.read());
  EXPECT_LE(file.read()->size(), 12);
  EXPECT_FALSE(slot_record(file, now).before_us());
}

TEST_F(SlotFile, TakesAFolderForNone) {
  slot_file file{folder.string()};
  EXPECT_FALSE(slot_record(file, now).before_us());
}

} // namespace
} // namespace bpf2graphite
