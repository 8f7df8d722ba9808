#include "actors/histogram_parser/known_keys.hpp"

#include "actors/histogram_parser/key_parts.hpp"
#include "actors/histogram_parser/map_parser.hpp"
#include "messages/snapshot.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace bpf2graphite;

namespace {

using parts = std::vector<std::string>;

TEST(KnownKeys, FindWhatWasAddedByItsText) {
  known_keys keys;
  EXPECT_EQ(keys.find("a"), nullptr);
  const auto* a = keys.add("a", "\": ", {"a"});
  ASSERT_NE(a, nullptr);
  const auto* empty = keys.add("", "\": ", {""});
  const auto* two = keys.add("1,b", "\": ", {"1", "b"});
  EXPECT_EQ(keys.find("a"), a);
  EXPECT_EQ(keys.find(""), empty);
  EXPECT_EQ(keys.find("1,b"), two);
  EXPECT_EQ(keys.find("1,"), nullptr);
  EXPECT_EQ(two->parts, (parts{"1", "b"}));
  EXPECT_EQ(keys.raw(*two), "1,b");
  EXPECT_EQ(keys.size(), 3u);
}

TEST(KnownKeys, ExpectTheKeyThatCameBehindTheLastOne) {
  known_keys keys;
  std::size_t size = 0;
  EXPECT_EQ(keys.next("a\": ", size), nullptr);
  const auto* a = keys.add("a", "\": ", {"a"});
  const auto* long_one = keys.add("a long name", "\": ", {"a long name"});
  keys.find("a"); // which begins the next print
  EXPECT_EQ(keys.next("a long name\": 12", size), long_one);
  EXPECT_EQ(size, 14u);
  EXPECT_EQ(keys.next("a\": 12", size), a);
  EXPECT_EQ(size, 4u);
  for (const auto* other : {"", "a", "a long name\":", "a long nam\": 1",
                            "a long name \": ", "a long name]: 7", "A long"})
    EXPECT_EQ(keys.next(other, size), nullptr) << other;
  EXPECT_EQ(keys.next("a long name\": ", size), long_one);
}

TEST(KnownKeys, NeverExpectOneWithNothingBehindIt) {
  known_keys keys;
  std::size_t size = 0;
  const auto* one = keys.add("\\u0001", "", {"\x01"});
  EXPECT_EQ(keys.find("\\u0001"), one);
  EXPECT_EQ(keys.next("\\u0001\": ", size), nullptr);
}

TEST(KnownKeys, AreBounded) {
  known_keys keys;
  const std::string long_one(known_key_size_max + 1, 'x');
  EXPECT_EQ(keys.add(long_one, "", {long_one}), nullptr);
  EXPECT_EQ(keys.find(long_one), nullptr);
  for (std::size_t i = 0; i < known_keys_max; ++i)
    keys.add(std::to_string(i), "", {std::to_string(i)});
  EXPECT_EQ(keys.add("one more", "", {"one more"}), nullptr);
  EXPECT_LE(keys.size(), known_keys_max);
  EXPECT_LE(keys.bytes(), known_keys_bytes_max);
  const auto shared = keys.shared();
  keys.clear();
  EXPECT_EQ(keys.bytes(), 0u);
  EXPECT_EQ(keys.find("1"), nullptr);
  EXPECT_EQ(keys.shared(), nullptr);
  EXPECT_GT(shared->size(), 0u);
}

TEST(MapKey, OwnsItsPartsOnceItIsCopied) {
  map_key copy;
  {
    shared_keys list;
    const map_key of_list{&list.add({"a", "7"})};
    EXPECT_NE(of_list.shared(), nullptr);
    copy = of_list;
    EXPECT_EQ(copy, of_list);
    const map_key moved = map_key{&list.add({"b"})};
    EXPECT_NE(moved.shared(), nullptr);
    EXPECT_FALSE(copy == moved);
  }
  EXPECT_EQ(copy.shared(), nullptr);
  EXPECT_EQ(copy, (parts{"a", "7"}));
  copy.push_back("c");
  EXPECT_EQ(copy.size(), 3u);
  const auto moved = std::move(copy);
  EXPECT_EQ(moved.back(), "c");
  EXPECT_TRUE(map_key{parts{}} == map_key{});
}

/// What repeats is remembered, so two parsers must say the same of a stream:
/// the one that read all of it, and for each print one that saw that print
/// only.
std::vector<snapshot> parse(output_format format, std::string_view stream,
                            const key_shape* shape) {
  parser_options options;
  options.speaks.format = format;
  options.speaks.version = bpftrace_version{0, 17, 0};
  if (shape != nullptr)
    options.keys["@x"] = *shape;
  auto parser = make_map_parser(options);
  parsed out;
  parser->feed(stream, wall_time_from_ms(1), out);
  parser->finish({}, out);
  return std::move(out.snapshots);
}

std::string print_of(output_format format, const std::vector<std::string>& keys,
                     int value) {
  std::string out;
  if (format == output_format::json)
    out = R"({"type": "map", "data": {"@x": {)";
  for (const auto& key : keys) {
    const auto number = std::to_string(++value);
    if (format == output_format::text)
      out += "@x[" + key + "]: " + number + "\n";
    else
      out += (&key == &keys.front() ? "\"" : ", \"") + key + "\": " + number;
  }
  return out + (format == output_format::json ? "}}}\n" : "time\n");
}

class RememberedKeys : public testing::TestWithParam<output_format> {};

// Told two parts of which the second is an integer: no key is split by what
// others look like, so each print alone says how.
TEST_P(RememberedKeys, AreSplitAsIfTheyWereNew) {
  const key_shape shape{2, {false, true}};
  const std::string comma = GetParam() == output_format::json ? "," : ", ";
  std::mt19937 random{7};
  for (int turn = 0; turn < 50; ++turn) {
    std::string stream;
    std::vector<snapshot> wanted;
    for (int n = 0; n < 30; ++n) {
      std::vector<std::string> keys;
      for (int k = 0; k < 12; ++k)
        if (random() % 3 != 0) {
          std::string key = random() % 8 == 0 ? "a" + comma + "b" : "key";
          key += std::to_string(k);
          keys.push_back(key + comma + std::to_string(random() % 2));
        }
      if (random() % 2 == 0)
        std::shuffle(keys.begin(), keys.end(), random);
      if (keys.empty())
        continue;
      const auto print = print_of(GetParam(), keys, n * 100);
      stream += print;
      auto alone = parse(GetParam(), print, &shape);
      ASSERT_EQ(alone.size(), 1u) << print;
      wanted.push_back(std::move(alone[0]));
    }
    const auto all = parse(GetParam(), stream, &shape);
    ASSERT_EQ(all.size(), wanted.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      ASSERT_EQ(all[i].entries.size(), wanted[i].entries.size());
      for (std::size_t k = 0; k < all[i].entries.size(); ++k) {
        EXPECT_EQ(all[i].entries[k].keys, wanted[i].entries[k].keys);
        EXPECT_EQ(all[i].entries[k].value, wanted[i].entries[k].value);
      }
    }
  }
}

TEST_P(RememberedKeys, AreSplitAnewWhenAKeyHasFewerParts) {
  const std::string comma = GetParam() == output_format::json ? "," : ", ";
  const auto two = "a" + comma + "1";
  const auto other = "b" + comma + "2";
  const auto all = parse(GetParam(),
                         print_of(GetParam(), {two, other}, 0)
                           + print_of(GetParam(), {two, other}, 10)
                           + print_of(GetParam(), {two, "c", other}, 20)
                           + print_of(GetParam(), {two, other}, 30),
                         nullptr);
  ASSERT_EQ(all.size(), 4u);
  for (const auto i : {0u, 1u}) {
    EXPECT_EQ(all[i].entries[0].keys, (parts{"a", "1"}));
    EXPECT_EQ(all[i].entries[1].keys, (parts{"b", "2"}));
  }
  EXPECT_EQ(all[2].entries[0].keys, (parts{two}));
  EXPECT_EQ(all[2].entries[1].keys, (parts{"c"}));
  EXPECT_EQ(all[2].entries[2].keys, (parts{other}));
  EXPECT_EQ(all[3].entries[1].keys, (parts{other}));
}

TEST_P(RememberedKeys, AreSharedByThePrintsOfAMap) {
  std::string stream;
  for (int n = 0; n < 3; ++n)
    stream += print_of(GetParam(), {"a", "b", "c"}, n * 10);
  const auto all = parse(GetParam(), stream, nullptr);
  ASSERT_EQ(all.size(), 3u);
  for (std::size_t k = 0; k < 3; ++k) {
    ASSERT_NE(all[2].entries[k].keys.shared(), nullptr);
    EXPECT_EQ(all[1].entries[k].keys.shared(), all[2].entries[k].keys.shared());
  }
  EXPECT_EQ(all[1].keys, all[2].keys);
}

TEST_P(RememberedKeys, AreForgottenWhenTheMapHasOthers) {
  std::string stream;
  for (int n = 0; n < 2000; ++n)
    stream += print_of(GetParam(), {std::to_string(n), "b"}, n);
  const auto all = parse(GetParam(), stream, nullptr);
  ASSERT_EQ(all.size(), 2000u);
  EXPECT_LT(all.back().keys->size(), 100u);
  for (std::size_t n = 0; n < all.size(); ++n)
    ASSERT_EQ(all[n].entries[0].keys, (parts{std::to_string(n)}));
}

INSTANTIATE_TEST_SUITE_P(BothForms, RememberedKeys,
                         testing::Values(output_format::json,
                                         output_format::text),
                         [](const auto& of) {
                           return of.param == output_format::json ? "json"
                                                                  : "text";
                         });

TEST(RememberedKeys, MayHaveAnyValueBehindThem) {
  const std::vector<std::string> values{
    "0", "7", "9", "10", "1234567", "9999999", "12345678", "99999999",
    "123456789", "1000000000000000000", "9223372036854775807",
    "9999999999999999999", "18446744073709551615", "-1", "-12345678",
    "-9223372036854775808",
    // Texts, as in a map of strings:
    "18446744073709551616", "-9223372036854775809", "00", "01", "-0", "-",
    "12a45678", "1234567:", "1 2", "]: 5"};
  const std::string first = "@x[a]: 1\ntime\n@x[a]: 2\ntime\n";
  for (const auto& value : values) {
    const auto row = "@x[a]: " + value + "\ntime\n";
    const auto alone = parse(output_format::text, row, nullptr);
    const auto behind = parse(output_format::text, first + row, nullptr);
    ASSERT_EQ(alone.size(), 1u) << value;
    ASSERT_EQ(behind.size(), 3u) << value;
    if (value == "]: 5") // in a map of numbers it is a part of the key
      continue;
    EXPECT_EQ(behind[2].entries[0].value, alone[0].entries[0].value) << value;
    EXPECT_EQ(behind[2].entries[0].keys, alone[0].entries[0].keys) << value;
  }
}

TEST(KeyParts, OfAKeyThatIsSplitAloneNeedNoOthers) {
  EXPECT_FALSE(splits_alone("a", ",", 0, false)); // nothing is learnt yet
  EXPECT_TRUE(splits_alone("a,b", ",", 1, false));
  EXPECT_TRUE(splits_alone("a,b", ",", 2, false));
  EXPECT_FALSE(splits_alone("a,b", ",", 3, false)); // there are fewer parts
  EXPECT_TRUE(splits_alone("a,b", ",", 3, true));
  EXPECT_FALSE(splits_alone("a,b,c", ",", 2, true));
  EXPECT_FALSE(splits_alone("a,b,c", ",", 2, false));
}

} // namespace
