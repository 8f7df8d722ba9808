#include "actors/line_reader/line_splitter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

namespace bpf2graphite {
namespace {

/// All whole lines of `bytes`, cut into chunks of `cut` bytes.
std::string split_all(line_splitter& splitter, std::string_view bytes,
                      std::size_t cut) {
  std::string out;
  while (!bytes.empty()) {
    auto split = splitter.take(bytes.substr(0, cut));
    out += split.joined;
    for (std::string_view lines : split.regions) {
      EXPECT_FALSE(lines.empty());
      EXPECT_EQ(lines.back(), '\n');
      out += lines;
    }
    bytes.remove_prefix(std::min(cut, bytes.size()));
  }
  return out;
}

TEST(LineSplitter, HandsOutAllWholeLinesOfAChunkWithoutACopy) {
  line_splitter splitter{100};
  std::string_view chunk = "one\ntwo\n\nthr";
  auto split = splitter.take(chunk);
  EXPECT_EQ(split.joined, "");
  ASSERT_EQ(split.regions.size(), 1u);
  EXPECT_EQ(split.regions[0], "one\ntwo\n\n");
  EXPECT_EQ(split.regions[0].data(), chunk.data());
  EXPECT_EQ(splitter.held_bytes(), 3u);
}

TEST(LineSplitter, JoinsALineThatWasCut) {
  line_splitter splitter{100};
  splitter.take("on");
  splitter.take("e a");
  EXPECT_EQ(splitter.held_bytes(), 5u);
  auto split = splitter.take("nd\ntwo\nrest");
  EXPECT_EQ(split.joined, "one and\n");
  ASSERT_EQ(split.regions.size(), 1u);
  EXPECT_EQ(split.regions[0], "two\n");
  EXPECT_EQ(splitter.take_joined(), "one and\n");
  EXPECT_EQ(splitter.finish(), "rest");
  EXPECT_EQ(splitter.held_bytes(), 0u);
}

TEST(LineSplitter, JoinsALineWhoseEndComesAlone) {
  line_splitter splitter{100};
  splitter.take("one");
  EXPECT_EQ(splitter.take("\n").joined, "one\n");
  auto split = splitter.take("\n");
  EXPECT_EQ(split.joined, "");
  ASSERT_EQ(split.regions.size(), 1u);
  EXPECT_EQ(split.regions[0], "\n");
}

TEST(LineSplitter, GivesTheSameLinesOfEveryCaptureHoweverItIsCut) {
  namespace fs = std::filesystem;
  std::size_t files = 0;
  for (const auto& entry :
       fs::directory_iterator(BPF2GRAPHITE_SOURCE_DIR "/tests/golden/corpus")) {
    std::string name = entry.path().filename();
    if (!name.ends_with(".out") && !name.ends_with(".json"))
      continue;
    std::ifstream in(entry.path(), std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    bytes.resize(std::min(bytes.size(), std::size_t{200} << 10));
    std::size_t whole = bytes.rfind('\n') + 1; // npos + 1 is 0
    for (std::size_t cut : {1, 7, 4096, 1 << 30}) {
      line_splitter splitter{16 << 20};
      EXPECT_EQ(split_all(splitter, bytes, cut), bytes.substr(0, whole));
      EXPECT_EQ(splitter.finish(), bytes.substr(whole));
      EXPECT_EQ(splitter.discarded_lines(), 0u);
    }
    ++files;
  }
  EXPECT_GT(files, 100u);
}

TEST(LineSplitter, KeepsALineOfExactlyTheLimit) {
  for (std::size_t cut : {1, 3, 5, 6, 100}) {
    line_splitter splitter{5};
    EXPECT_EQ(split_all(splitter, "12345\nab\n", cut), "12345\nab\n") << cut;
    EXPECT_EQ(splitter.discarded_lines(), 0u);
  }
}

TEST(LineSplitter, DiscardsALongLineUpToItsEndAndCountsIt) {
  for (std::size_t cut = 1; cut < 40; ++cut) {
    line_splitter splitter{5};
    EXPECT_EQ(split_all(splitter, "ab\n123456\ncd\n1234567890123\n\nef\n", cut),
              "ab\ncd\n\nef\n")
      << cut;
    EXPECT_EQ(splitter.discarded_lines(), 2u) << cut;
    EXPECT_EQ(splitter.discarded_bytes(), 21u) << cut;
    EXPECT_EQ(splitter.finish(), "");
  }
}

TEST(LineSplitter, NeverHoldsMoreThanTheLimit) {
  std::mt19937 random{20240607};
  line_splitter splitter{64};
  std::string bytes;
  for (int i = 0; i < 20000; ++i)
    bytes += random() % 50 == 0 ? '\n' : static_cast<char>('a' + i % 26);
  std::size_t kept = 0;
  std::string_view left = bytes;
  while (!left.empty()) {
    std::size_t cut = std::min<std::size_t>(random() % 100, left.size());
    auto split = splitter.take(left.substr(0, cut));
    kept += split.joined.size();
    for (std::string_view lines : split.regions)
      kept += lines.size();
    EXPECT_LE(splitter.held_bytes(), 64u);
    left.remove_prefix(cut);
  }
  kept += splitter.held_bytes();
  EXPECT_GT(splitter.discarded_lines(), 0u);
  EXPECT_EQ(kept + splitter.discarded_bytes(), bytes.size());
}

TEST(LineSplitter, AGigabyteWithoutALineEndCostsNothingButItself) {
  line_splitter splitter{64 << 10};
  std::string chunk(64 << 10, 'x');
  for (int i = 0; i < 16384; ++i) {
    auto split = splitter.take(chunk);
    ASSERT_TRUE(split.joined.empty() && split.regions.empty());
    ASSERT_LE(splitter.held_bytes(), std::size_t{64} << 10);
  }
  auto split = splitter.take("end\nnext\n");
  EXPECT_EQ(split.joined, "");
  ASSERT_EQ(split.regions.size(), 1u);
  EXPECT_EQ(split.regions[0], "next\n");
  EXPECT_EQ(splitter.discarded_lines(), 1u);
  EXPECT_EQ(splitter.discarded_bytes(), (std::uint64_t{1} << 30) + 4);
}

TEST(LineSplitter, KeepsALongLineOnlyWhereABraceOpensItEarly) {
  const std::string record = '{' + std::string(40, 'r') + "}\n";
  const std::string noise(8, 'n');
  struct {
    const char* name;
    std::string line;
    bool kept;
  } const rows[] = {
    {"a record", record, true},
    {"a short line", noise + "\n", true},
    {"a record behind noise", noise + record, true},
    {"a line without a brace", noise + noise + noise + "\n", false},
    {"a brace that comes late", noise + noise + noise + "{}\n", false},
  };
  for (const auto& row : rows)
    for (std::size_t cut = 1; cut < row.line.size(); ++cut) {
      line_splitter splitter{60, 12};
      splitter.take(row.line.substr(0, cut));
      splitter.take(row.line.substr(cut));
      EXPECT_EQ(splitter.discarded_lines(), row.kept ? 0u : 1u)
        << row.name << " cut at " << cut;
      auto split = splitter.take("next\n");
      EXPECT_EQ(split.regions.size(), 1u) << row.name << " cut at " << cut;
    }
}

TEST(LineSplitter, AGigabyteWithoutABraceIsNoLongRecord) {
  line_splitter splitter{16 << 20, 64 << 10};
  std::string chunk(50'000, 'x');
  for (int i = 0; i < 20'000; ++i) {
    splitter.take(chunk);
    ASSERT_LE(splitter.held_bytes(), std::size_t{64} << 10);
  }
  auto split = splitter.take("{}\n{\"a\": 1}\n");
  EXPECT_EQ(split.joined, "");
  ASSERT_EQ(split.regions.size(), 1u);
  EXPECT_EQ(split.regions[0], "{\"a\": 1}\n");
  EXPECT_EQ(splitter.discarded_lines(), 1u);
  EXPECT_EQ(splitter.discarded_bytes(), 1'000'000'003u);
}

TEST(LineSplitter, IsNewAfterTheEndOfAStream) {
  line_splitter splitter{4};
  splitter.take("123456");
  EXPECT_EQ(splitter.finish(), "");
  auto split = splitter.take("ab\n");
  ASSERT_EQ(split.regions.size(), 1u);
  EXPECT_EQ(split.regions[0], "ab\n");
}

TEST(LineSplitter, PassesAnyByteButTheLineEnd) {
  std::string line;
  for (int i = 0; i < 256; ++i)
    if (i != '\n')
      line += static_cast<char>(i);
  line += "\r\n";
  line_splitter splitter{1000};
  EXPECT_EQ(split_all(splitter, line, 10), line);
}

} // namespace
} // namespace bpf2graphite
