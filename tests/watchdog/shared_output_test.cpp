#include "actors/watchdog/shared_output.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using strings = std::vector<std::string>;

const strings two{"p1kqz_", "p2kqz_"};

struct outcome {
  strings out;
  std::uint64_t unclaimed = 0;
  bool maps = false;
};

outcome split(bool text, const std::string& stream, std::size_t step,
              const strings& prefixes = two) {
  shared_output output{text, prefixes};
  outcome result;
  result.out.resize(prefixes.size());
  auto collect = [&] {
    for (std::size_t i = 0; i < prefixes.size(); ++i)
      result.out[i] += output.take_out(i);
  };
  for (std::size_t at = 0; at < stream.size(); at += step) {
    output.take(std::string_view{stream}.substr(at, step));
    collect();
  }
  output.finish();
  collect();
  result.unclaimed = output.unclaimed();
  result.maps = output.maps_seen();
  return result;
}

/// However it is cut.
void expect(bool text, const std::string& stream, const strings& out,
            std::uint64_t unclaimed = 0) {
  for (std::size_t step : {1UL, 2UL, 7UL, 64UL, 95UL, 96UL, 97UL, 1UL << 20}) {
    auto result = split(text, stream, step);
    EXPECT_EQ(result.out, out) << "cut each " << step;
    EXPECT_EQ(result.unclaimed, unclaimed) << "cut each " << step;
  }
}

TEST(SharedOutput, GivesEachRecordToItsScriptWithoutThePrefix) {
  expect(false,
         "{\"type\": \"map\", \"data\": {\"@p1kqz_x\": 5}}\n"
         "{\"type\": \"hist\", \"data\": {\"@p2kqz_us\": [{\"min\": 4, "
         "\"max\": 7, \"count\": 12}]}}\n"
         "{\"type\": \"stats\", \"data\": {\"@p2kqz_\": {\"a\": -7}}}\n"
         "{\"type\": \"tseries\", \"data\": {\"@p1kqz_t\": []}}\n",
         {"{\"type\": \"map\", \"data\": {\"@x\": 5}}\n"
          "{\"type\": \"tseries\", \"data\": {\"@t\": []}}\n",
          "{\"type\": \"hist\", \"data\": {\"@us\": [{\"min\": 4, "
          "\"max\": 7, \"count\": 12}]}}\n"
          "{\"type\": \"stats\", \"data\": {\"@\": {\"a\": -7}}}\n"});
}

TEST(SharedOutput, RecordsAboutTheProcessAreForAll) {
  const std::string all =
    "{\"type\": \"attached_probes\", \"data\": {\"probes\": 3}}\n"
    "{\"type\": \"lost_events\", \"data\": {\"events\": 81}}\n"
    "{\"type\": \"helper_error\", \"msg\": \""
    + std::string(300, 'm')
    + "\", \"helper\": \"map_update_elem\", \"retcode\": -7, \"line\": 1, "
      "\"col\": 27}\n\n\n";
  expect(false, all, {all, all});
}

TEST(SharedOutput, CountsWhatBelongsToNobody) {
  expect(false,
         "{\"type\": \"printf\", \"data\": \"@p1kqz_x: 5\\n\"}\n"
         "{\"type\": \"time\", \"data\": \""
           + std::string(5000, 't')
           + "\"}\n"
             "{\"type\": \"value\", \"data\": 5}\n"
             "{\"type\": \"map\", \"data\": {\"@x\": 5}}\n"
             "{\"type\": \"map\", \"data\": {\"@p3kqz_x\": 5}}\n"
             "{\"type\": \"map\", \"data\": {\"@p1other_x\": 5}}\n"
             "{\"type\": \"map\", \"data\": {\"@p0kqz_x\": 5}}\n"
             "{\"type\": \"map\", \"data\": {\"@p99999999999kqz_x\": 5}}\n"
             "rubbish\n"
             "{\"type\": \"map\", \"data\": {\"@p2kqz_x\": 7}}\n"
             "{\"type\": \"lost_",
         {"", "{\"type\": \"map\", \"data\": {\"@x\": 7}}\n"}, 10);
}

TEST(SharedOutput, KeysCannotPretendToBeAnotherScript) {
  expect(false,
         "{\"type\": \"map\", \"data\": {\"@p1kqz_x\": {\"\\n{\\\"type\\\": "
         "\\\"map\\\", \\\"data\\\": {\\\"@p2kqz_x\": 5}}}\n",
         {"{\"type\": \"map\", \"data\": {\"@x\": {\"\\n{\\\"type\\\": "
          "\\\"map\\\", \\\"data\\\": {\\\"@p2kqz_x\": 5}}}\n",
          ""});
  // In text the tag is what they do not know.
  expect(true, "@p1kqz_x[a\n@p2_x: 9\n@p2guess_x[b]: 1\n@x: 3]: 5\n",
         {"@x[a\n@p2_x: 9\n@p2guess_x[b]: 1\n@x: 3]: 5\n", ""});
}

TEST(SharedOutput, ALongRecordGoesOnAsItComes) {
  auto keys = std::string(200'000, 'k');
  shared_output output{false, two};
  output.take("{\"type\": \"map\", \"data\": {\"@p2kqz_x\": {\"" + keys);
  auto begin = output.take_out(1);
  EXPECT_GT(begin.size(), keys.size());
  output.take("\": 5}}\n");
  EXPECT_EQ(begin + output.take_out(1),
            "{\"type\": \"map\", \"data\": {\"@x\": {\"" + keys + "\": 5}}\n");
}

TEST(SharedOutput, InTextLinesBelongToTheMapBeforeThem) {
  expect(true,
         "Attaching 4 probes...\n"
         "@p1kqz_us[bash]: \n[4, 8)  3 |@@@ |\n[8, 16)  1 |@ |\n\n"
         "@p2kqz_c: 5\n"
         "@p2kqz_s[\n    schedule+35\n]: 5\n"
         "Lost 12 events\n"
         "@p1kqz_a[new\nline]: 4\n",
         {"Attaching 4 probes...\n"
          "@us[bash]: \n[4, 8)  3 |@@@ |\n[8, 16)  1 |@ |\n\n"
          "Lost 12 events\n@a[new\nline]: 4\n",
          "Attaching 4 probes...\n@c: 5\n@s[\n    schedule+35\n]: 5\n"
          "Lost 12 events\n"});
}

TEST(SharedOutput, InTextTwoEmptyLinesAreForAll) {
  expect(true, "@p1kqz_c: 5\n@p2kqz_c: 5\n\n\n@p1kqz_c: 6\n@p2kqz_c: 7\n",
         {"@c: 5\n\n\n@c: 6\n", "@c: 5\n\n\n@c: 7\n"});
}

TEST(SharedOutput, InTextAMissingLineEndPartsNothing) {
  expect(true, "@p1kqz_i[1]: 127.0.0.1@p1kqz_i[2]: 8.8.8.8@p2kqz_x: 5\n",
         {"@i[1]: 127.0.0.1@i[2]: 8.8.8.8", "@x: 5\n"});
}

TEST(SharedOutput, InTextWarningsAreForAllWithTheirExcerpt) {
  const std::string warning =
    "stdin:1:47-54: WARNING: Map full\nAdditional Info - helper: x\n"
    "@p2kqz_x[1] = 1; }\n        ~~~~~~~\n";
  expect(true, "@p1kqz_x: 1\n" + warning + "@p2kqz_x: 3\n",
         {"@x: 1\n" + warning, warning + "@x: 3\n"});
}

TEST(SharedOutput, KnowsThatAMapWasPrinted) {
  EXPECT_FALSE(
    split(false, "{\"type\": \"printf\", \"data\": \"\"}\n", 9).maps);
  EXPECT_TRUE(
    split(false, "{\"type\": \"map\", \"data\": {\"@p1kqz_x\": 5}}\n", 9).maps);
  EXPECT_TRUE(split(true, "@p1kqz_x: 5\n", 9).maps);
}

// All that bpftrace was ever seen to print, of two scripts at once: what comes
// out is what each printed alone.
TEST(SharedOutput, TheCorpusComesOutAsItWasPrintedAlone) {
  namespace fs = std::filesystem;
  std::size_t files = 0;
  for (const auto& entry :
       fs::directory_iterator{BPF2GRAPHITE_SOURCE_DIR "/tests/golden/corpus"}) {
    auto name = entry.path().filename().string();
    if (entry.path().extension() != ".json")
      continue;
    std::ifstream in{entry.path(), std::ios::binary};
    std::string alone{std::istreambuf_iterator<char>{in}, {}};
    std::string stream;
    strings expected(2);
    for (std::size_t at = 0; at < alone.size();) {
      auto end = std::min(alone.find('\n', at), alone.size() - 1) + 1;
      auto line = alone.substr(at, end - at);
      at = end;
      auto map = line.find("\"data\": {\"@");
      auto common = line == "\n" || line.find("\"attached_probes\"") == 9
                    || line.find("\"lost_events\"") == 9
                    || line.find("\"helper_error\"") == 9
                    || line.find("\"runtime_error\"") == 9;
      if (common && line.ends_with('\n')) {
        stream += line;
        expected[0] += line;
        expected[1] += line;
      } else if (map != std::string::npos && line.starts_with("{\"type\"")
                 && line.find("\"type\": \"benchmark") != 1) {
        for (std::size_t i = 0; i < 2; ++i) {
          auto with = line;
          with.insert(map + 11, two[i]);
          if (!with.ends_with('\n') && i == 0)
            continue; // cut at the end: of the last one
          stream += with;
          expected[i] += line;
        }
      } else {
        stream += line;
      }
    }
    for (std::size_t step : {61UL, 65536UL})
      EXPECT_EQ(split(false, stream, step).out, expected) << name;
    ++files;
  }
  EXPECT_GT(files, 20U);
}

} // namespace
} // namespace bpf2graphite
