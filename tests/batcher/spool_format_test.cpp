#include "actors/batcher/spool_format.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

std::vector<metric_batch> some_batches() {
  auto batch = [](std::string lines, std::int64_t newest) {
    auto points =
      static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n'));
    return metric_batch{
      0, std::make_shared<const std::string>(std::move(lines)), points, newest};
  };
  return {batch("a.b 1 15\na.c -2.5 30\n", 30),
          batch("t;le=8 18446744073709551615 45\n", 45)};
}

const std::string name = "graphite.example.com:2003";

TEST(SpoolFormat, ReadsWhatItWrote) {
  for (const auto& batches : {some_batches(), std::vector<metric_batch>{}}) {
    auto read = decode_spool(encode_spool(name, batches), name);
    EXPECT_EQ(read.error, "");
    ASSERT_EQ(read.batches.size(), batches.size());
    for (std::size_t i = 0; i < batches.size(); ++i) {
      EXPECT_EQ(*read.batches[i].lines, *batches[i].lines);
      EXPECT_EQ(read.batches[i].points, batches[i].points);
      EXPECT_EQ(read.batches[i].newest_slot, batches[i].newest_slot);
    }
  }
}

TEST(SpoolFormat, LooksAsDocumented) {
  EXPECT_EQ(encode_spool("a:1", {some_batches()[0]}),
            "bpf2graphite-spool 1\ndestination a:1\nbatch 2 30 21\n"
            "a.b 1 15\na.c -2.5 30\nend 263e74d7\n");
}

TEST(SpoolFormat, RefusesEveryBitFlip) {
  auto whole = encode_spool(name, some_batches());
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      auto bad = whole;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      auto read = decode_spool(bad, name);
      EXPECT_NE(read.error, "") << "byte " << at << ", bit " << bit;
      EXPECT_TRUE(read.batches.empty());
    }
}

TEST(SpoolFormat, RefusesEveryTruncationAndWhatFollows) {
  auto whole = encode_spool(name, some_batches());
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(decode_spool(whole.substr(0, size), name).error, "") << size;
  for (auto more : {"\n", "x", "end 00000000\n"})
    EXPECT_NE(decode_spool(whole + more, name).error, "");
}

TEST(SpoolFormat, RefusesOtherFilesWithTheirReason) {
  auto whole = encode_spool(name, some_batches());
  auto other = whole;
  other[std::string{"bpf2graphite-spool "}.size()] = '0';
  EXPECT_EQ(decode_spool(other, name).error,
            "has format version 0, this bpf2graphite reads version 1");
  EXPECT_EQ(decode_spool(whole, "other:2003").error,
            "is for another destination");
  EXPECT_EQ(decode_spool("PNG", name).error,
            "is no spool file of bpf2graphite");
  EXPECT_EQ(decode_spool("", name).error, "is no spool file of bpf2graphite");
}

TEST(SpoolFormat, RefusesLinesThatMustNotBeSentHoweverWellSummed) {
  for (std::string lines :
       {"a..b 1 15\n", "a 1 15", "a nan 15\n", "a 1 0\n", "a 1 4294967296\n",
        "a 1 15 \n", "\n", "a  1 15\n", "a 1 15\r\n", "\xff 1 15\n"}) {
    metric_batch batch{0, std::make_shared<const std::string>(lines), 1, 15};
    EXPECT_NE(decode_spool(encode_spool(name, {batch}), name).error, "")
      << lines;
  }
  auto wrong = some_batches();
  wrong[0].points = 3;
  EXPECT_NE(decode_spool(encode_spool(name, wrong), name).error, "");
}

TEST(SpoolFormat, GivesEachDestinationAFileOfItsOwn) {
  EXPECT_EQ(spool_file_name("graphite.example.com:2003"),
            "graphite.example.com_2003-fac8031c.spool");
  EXPECT_NE(spool_file_name("a:1"), spool_file_name("a_1"));
  EXPECT_EQ(spool_file_name("../../etc/x:1").find('/'), std::string::npos);
  EXPECT_EQ(spool_file_name("..").front(), '_');
  EXPECT_LE(spool_file_name(std::string(5000, 'a')).size(), 130);
}

} // namespace
} // namespace bpf2graphite
