#include "app/config_text.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>

namespace bpf2graphite {
namespace {

config_tree read(std::string_view text) {
  return read_config_text(text, "f");
}

std::string mistakes(std::string_view text) {
  return render(read(text).messages);
}

struct good_case {
  std::string name;
  std::string text;
  std::string tree; // the root, as to_text(config_value) writes it
};

std::ostream& operator<<(std::ostream& out, const good_case& value) {
  return out << value.name;
}

class ConfigTextAccepts : public testing::TestWithParam<good_case> {};

TEST_P(ConfigTextAccepts, AndGivesTheTree) {
  auto tree = read(GetParam().text);
  EXPECT_EQ(render(tree.messages), "");
  EXPECT_EQ(to_text(config_value{tree.root, {}}), GetParam().tree);
}

INSTANTIATE_TEST_SUITE_P(
  Table, ConfigTextAccepts,
  testing::Values(
    good_case{"Nothing", "", "{  }"},
    good_case{"OnlyComments", "# a = 1\n; b = 2\n   # x", "{  }"},
    good_case{"ByteOrderMark",
              "\xef\xbb\xbf"
              "a = 1",
              "{ a = 1 }"},
    good_case{"CarriageReturns", "a = \"x\"\r\nb { c = 1\r\n}\r\n",
              "{ a = \"x\", b = { c = 1 } }"},
    good_case{"CommasAndNewLines", "a = 1, b = 2\nc = 3,\n",
              "{ a = 1, b = 2, c = 3 }"},
    good_case{"CommaOnTheNextLine", "g { a = 1\n, b = 2 }",
              "{ g = { a = 1, b = 2 } }"},
    good_case{"NestedGroups", "a { b { c = true } }",
              "{ a = { b = { c = true } } }"},
    good_case{"GroupAsValue", "a = { b = 1 }", "{ a = { b = 1 } }"},
    good_case{"Sections", "[a]\nx = 1\n[a.b]\ny = 2\n[c]\n",
              "{ a = { x = 1, b = { y = 2 } }, c = {  } }"},
    good_case{"SectionAfterAGroup", "t { a { x = 1 } }\n[t.b]\nx = 2",
              "{ t = { a = { x = 1 }, b = { x = 2 } } }"},
    good_case{"SectionWhoseChildCameFirst", "[t.a]\nx = 1\n[t]\ny = 2",
              "{ t = { a = { x = 1 }, y = 2 } }"},
    good_case{"Numbers", "a = -5, b = +7, c = 0x1F, d = 0b101, e = 0",
              "{ a = -5, b = 7, c = 31, d = 5, e = 0 }"},
    good_case{"LargestNumbers",
              "a = 9223372036854775807\nb = -9223372036854775808",
              "{ a = 9223372036854775807, b = -9223372036854775808 }"},
    good_case{"Reals", "a = 1.5, b = -0.25, c = 1e3",
              "{ a = 1.5, b = -0.25, c = 1000.0 }"},
    good_case{"Durations", "a=1ns,b=2us,c=3ms,d=4s,e=5min,f=6h,g=-7s,h=0s",
              "{ a = 1ns, b = 2us, c = 3ms, d = 4s, e = 5min, f = 6h, "
              "g = -7s, h = 0s }"},
    good_case{"LargestUnitThatIsWhole", "a = 90s, b = 60s, c = 120min",
              "{ a = 90s, b = 1min, c = 2h }"},
    good_case{"Escapes", R"(a = "\"\\\n\t\r#;{")",
              R"({ a = "\"\\\n\t\r#;{" })"},
    good_case{"Atoms", "a = 'sharing'", "{ a = 'sharing' }"},
    good_case{"Lists", "a = [1, \"b\", [true], { c = 1 },]",
              "{ a = [1, \"b\", [true], { c = 1 }] }"},
    good_case{"ListOverLinesWithComments",
              "a = [ # first\n  \"x\", ; second\n  \"y\"\n]\nb = 1",
              "{ a = [\"x\", \"y\"], b = 1 }"},
    good_case{"CommentAfterAValue", "a = 1 # one\nb = 2;two",
              "{ a = 1, b = 2 }"},
    good_case{"DepthOfSixteen",
              "a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{x=1}}}}}}}}}}}}}}}",
              "{ a = { a = { a = { a = { a = { a = { a = { a = { a = { a = { "
              "a = { a = { a = { a = { a = { x = 1 } } } } } } } } } } } } } } "
              "} }"}),
  [](const auto& suite) { return suite.param.name; });

struct bad_case {
  std::string name;
  std::string text;
  std::string messages;
};

std::ostream& operator<<(std::ostream& out, const bad_case& value) {
  return out << value.name;
}

class ConfigTextRefuses : public testing::TestWithParam<bad_case> {};

TEST_P(ConfigTextRefuses, WithPlaceAndRemedy) {
  EXPECT_EQ(mistakes(GetParam().text), GetParam().messages);
}

INSTANTIATE_TEST_SUITE_P(
  Table, ConfigTextRefuses,
  testing::Values(
    bad_case{"DottedKey", "graphite.server = \"x\"\n",
             "f:1:1: a key holds no dots; write graphite { server = \"x\" }\n"},
    bad_case{"DottedGroup", "\n traces.a { script = \"x\" }\n",
             "f:2:2: a key holds no dots; write traces { a { } }\n"},
    bad_case{"Duplicate", "a = 1\nb = 2\na = 3\n",
             "f:3:1: \"a\" is given twice, first at 1:1; remove one\n"},
    bad_case{"DuplicateGroup", "g { a = 1 }\ng { b = 1 }\n",
             "f:2:1: \"g\" is given twice, first at 1:1; remove one\n"},
    bad_case{"DuplicateSection", "[g]\na = 1\n[g]\nb = 2\n",
             "f:3:1: \"g\" is given twice, first at 1:1; remove one\n"},
    bad_case{"SectionAfterItsGroup", "g { a = 1 }\n[g]\nb = 2\n",
             "f:2:1: \"g\" is given twice, first at 1:1; remove one\n"},
    bad_case{"DuplicateInASection", "[t.a]\nx = 1\n[t]\na { x = 2 }\n",
             "f:4:1: \"a\" is given twice, first at 1:1; remove one\n"},
    bad_case{"MissingComma", "t { script = \"x\" interval = 15s }\n",
             "f:1:18: no comma or new line before \"interval\"; put a comma "
             "between the two\n"},
    bad_case{"NoValue", "a =\nb = 1\n",
             "f:1:4: the value is missing; write it on this line\n"},
    bad_case{"NoSign", "a 5\nb: 5\nc\n",
             "f:1:3: no \"=\" or \"{\" follows \"a\" but \"5\"; write a = "
             "value\n"
             "f:2:2: a key takes \"=\", not \":\"; write b = value\n"
             "f:3:2: no \"=\" or \"{\" follows \"c\" but the end of the line; "
             "write c = value\n"},
    bad_case{"BareWord", "a = localhost\nb = 127.0.0.1\n",
             "f:1:5: \"localhost\" is no value; write \"localhost\" in quotes "
             "if it is a text, or true or false\n"
             "f:2:5: \"127.0.0.1\" is no number; put a text in quotes\n"},
    bad_case{"Units", "a = 1.5s\nb = 5sec\nc = 64MiB\nd = 9999999h\n",
             "f:1:5: \"1.5s\" is a part of a unit; write a whole number of a "
             "smaller unit, such as 1500ms\n"
             "f:2:5: \"sec\" is no unit of time; use ns, us, ms, s, min or h\n"
             "f:3:5: \"64MiB\" is no number; write a size in quotes, such as "
             "\"64MiB\"\n"
             "f:4:5: \"9999999h\" is too long a time; write a shorter one\n"},
    bad_case{"Numbers",
             "a = 9223372036854775808\nb = 010\nc = 0x\nd = 1e999\ne = 0x-5\n",
             "f:1:5: \"9223372036854775808\" does not fit 64 bits; write a "
             "smaller number\n"
             "f:2:5: \"010\" has a leading zero, which could mean octal; write "
             "it without\n"
             "f:3:5: \"0x\" is no number; put a text in quotes\n"
             "f:4:5: \"1e999\" is no number; put a text in quotes\n"
             "f:5:5: \"0x-5\" is no number; put a text in quotes\n"},
    bad_case{"OpenText", "a = \"x\nb = 1\n",
             "f:1:5: this text is never closed; add a \" on the same line\n"},
    bad_case{"BadEscape", "a = \"x\\y\"\n",
             "f:1:7: \\ here is no escape; write \\\\ for a backslash (known "
             "are \\\" \\\\ \\n \\r \\t)\n"},
    bad_case{"ControlByte", "a = \"\x1b[2J\"\n",
             "f:1:6: the byte \"\\x1b\" cannot stand in a text; remove it\n"},
    bad_case{"LongAtom", "a = 'abcdefghijk'\n",
             "f:1:5: an atom holds at most 10 of the characters A-Z a-z 0-9 _ "
             "and blank between ' and '; for a text use \"\n"},
    bad_case{"OpenGroup", "a {\n  b {\n  c = 1\n}\n",
             "f:1:3: this { is never closed; add a }\n"},
    bad_case{"SpareBracket", "a = 1 }\nb = 2\n",
             "f:1:7: this } closes nothing; remove it\n"},
    bad_case{"OpenList", "g {\n  a = [1, 2\n  b = 3\n}\n",
             "f:2:7: this [ is never closed; add a ]\n"},
    bad_case{"ListWithoutComma", "a = [1 2]\n",
             "f:1:8: no comma before this value; put one there\n"},
    bad_case{"SpareCommas", ", a = 1,, b = [,1,,2]\n",
             "f:1:1: nothing stands before this comma; remove it\n"
             "f:1:9: nothing stands before this comma; remove it\n"
             "f:1:16: nothing stands before this comma; remove it\n"
             "f:1:19: nothing stands before this comma; remove it\n"},
    bad_case{"SectionInAGroup", "g {\n[a]\n}\nb = 1\n",
             "f:2:1: a section cannot begin inside { }; close the group "
             "first\n"},
    bad_case{"BrokenSection", "[a\nb = 1\n[]\n[c] d = 1\n",
             "f:1:1: a section is not finished; write [name] or [traces.name] "
             "on one line\n"
             "f:3:1: a section is not finished; write [name] or [traces.name] "
             "on one line\n"
             "f:4:5: \"d\" follows a section; begin a new line\n"},
    bad_case{"QuotedKey", "\"a\" = 1\n// x\n*\n",
             "f:1:1: a key stands without quotes; write name = value\n"
             "f:2:1: a comment begins with # or ;; put one in front\n"
             "f:3:1: \"*\" cannot begin a key; write name = value or name { "
             "}\n"},
    bad_case{"GoesOnInTheGroupAfterABadEntry",
             "g { a = ? , x { y = 1 } }\nh { b = ! }\nc = $\n",
             "f:1:9: \"?\" begins no value; put a text in quotes\n"
             "f:2:9: \"!\" begins no value; put a text in quotes\n"
             "f:3:5: \"$\" begins no value; put a text in quotes\n"},
    bad_case{"TooDeep",
             "a = " + std::string(17, '[') + std::string(17, ']') + "\nb = ?",
             "f:1:20: nested deeper than 16 levels; take some away\n"
             "f:2:5: \"?\" begins no value; put a text in quotes\n"},
    bad_case{"TooDeepGroups",
             "a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{x=1}}}}}}}}}}}}}}}}\nb = ?",
             "f:1:32: nested deeper than 16 levels; take some away\n"
             "f:2:5: \"?\" begins no value; put a text in quotes\n"},
    bad_case{"BytesThatAreNoText", std::string{"\x80\0a", 3},
             "f:1:1: \"\\x80\" cannot begin a key; write name = value or name "
             "{ }\n"}),
  [](const auto& suite) { return suite.param.name; });

TEST(ConfigText, KnowsThePlaceOfEachKeyAndValue) {
  auto tree = read("a = 1\n\ngroup {\n\tkey = [ 5,\n  \"x\" ]\n}");
  const auto& group = tree.root.entries.at(1);
  EXPECT_EQ(group.place, (text_place{3, 1}));
  const auto& key = std::get<config_group>(group.value.held).entries.at(0);
  EXPECT_EQ(key.place, (text_place{4, 2}));
  EXPECT_EQ(key.value.place, (text_place{4, 8}));
  const auto& list = std::get<config_list>(key.value.held);
  EXPECT_EQ(list.at(0).place, (text_place{4, 10}));
  EXPECT_EQ(list.at(1).place, (text_place{5, 3}));
}

TEST(ConfigText, KeepsTheFirstOfTwoEqualKeys) {
  auto tree = read("a = 1\na = 2");
  ASSERT_EQ(tree.root.entries.size(), 1U);
  EXPECT_EQ(to_text(tree.root.entries[0].value), "1");
}

TEST(ConfigText, RefusesMoreThanAMebibyte) {
  std::string text(config_bytes_max, '\n');
  EXPECT_EQ(mistakes(text), "");
  text += '\n';
  EXPECT_EQ(mistakes(text),
            "f: the file has 1048577 bytes; at most 1048576 are read: split it "
            "with trace-files\n");
}

TEST(ConfigText, SurvivesDeepNestingOfEveryKind) {
  for (const char* piece : {"a{", "a=[", "[", "{", "a={x=[", "\"a{"}) {
    std::string text;
    while (text.size() < config_bytes_max - 8)
      text += piece;
    EXPECT_NE(mistakes(text), "") << piece;
  }
}

TEST(ConfigText, CountsTheMistakesItDoesNotShow) {
  std::string text;
  for (std::size_t i = 0; i < config_mistakes_max + 7; ++i)
    text += "?\n";
  auto tree = read(text);
  ASSERT_EQ(tree.messages.size(), config_mistakes_max + 1);
  EXPECT_EQ(tree.messages.back().text,
            "7 more mistakes are not shown; mend those above first");
}

TEST(ConfigText, RendersForCafInSections) {
  auto tree = read("scheduler { max-threads = 2\n x { y = 'z' } }\n"
                   "logger { verbosity = 'debug' }");
  EXPECT_EQ(to_caf_text(tree.root), "[scheduler]\nmax-threads = 2\n"
                                    "[scheduler.x]\ny = 'z'\n"
                                    "[logger]\nverbosity = 'debug'\n");
}

TEST(ConfigText, ReadsBackWhatItWrites) {
  const char* text = "a = [1.0, 2.5, \"q\\\"\\\\\"], b { c = 15s, d = 'e f' }";
  auto once = to_text(config_value{read(text).root, {}});
  auto again =
    to_text(config_value{read(once.substr(2, once.size() - 4)).root, {}});
  EXPECT_EQ(once, again);
}

TEST(ConfigMessages, AreSortedByPlaceInTheOrderOfFiles) {
  std::vector<config_message> messages{
    {message_level::error, "z", {9, 1}, {}, "third"},
    {message_level::warning, "a", {1, 1}, "t", "fourth"},
    {message_level::error, "z", {2, 7}, {}, "second"},
    {message_level::notice, "z", {}, {}, "first"}};
  EXPECT_EQ(render(messages), "z: notice: first\nz:2:7: second\nz:9:1: third\n"
                              "a:1:1: warning: trace \"t\": fourth\n");
}

TEST(ConfigMessages, ShowBytesThatAreNotPrintable) {
  EXPECT_EQ(shown("a\x1b\n\xff"), "a\\x1b\\x0a\\xff");
  EXPECT_EQ(shown(std::string(100, 'x'), 5), "xxxxx...");
}

std::string example() {
  std::ifstream file{std::string{BPF2GRAPHITE_SOURCE_DIR}
                     + "/config/caf-application.conf"};
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// What a fuzzer would do, with a fixed seed: that it ends, and that sanitizers
// have nothing to say. Each text that is accepted must survive being written
// and read again.
TEST(ConfigText, NeverCrashesOnMutatedInput) {
  auto seed = example();
  ASSERT_GT(seed.size(), 1000U);
  std::mt19937 random{42};
  constexpr std::string_view spice = "{}[]\"'\\,=\n\r#;.0x-9smhaZ_\t \x80\x01";
  for (int round = 0; round < 3000; ++round) {
    auto first = random() % seed.size();
    auto text = seed.substr(first, 200 + random() % 2000);
    for (auto edits = 1 + random() % 20; edits > 0; --edits) {
      auto at = random() % text.size();
      char c = spice[random() % spice.size()];
      switch (random() % 4) {
        case 0:
          text[at] = c;
          break;
        case 1:
          text.insert(at, 1, c);
          break;
        case 2:
          text.erase(at, 1 + random() % 5);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), 40));
      }
      if (text.empty())
        text = "x";
    }
    auto tree = read(text);
    for (const auto& message : tree.messages)
      ASSERT_GT(message.place.line, 0U);
    if (!tree.messages.empty())
      continue;
    auto written = to_text(config_value{tree.root, {}});
    auto again = read(written.substr(2, written.size() - 4));
    ASSERT_EQ(written, to_text(config_value{again.root, {}}));
  }
}

TEST(ConfigText, NeverCrashesOnRandomBytes) {
  std::mt19937 random{7};
  constexpr std::string_view spice = "{}[]\"'\\,=\n\r#;.05sa- \x80";
  for (int round = 0; round < 5000; ++round) {
    std::string text(random() % 120, ' ');
    for (auto& c : text)
      c = round % 2 == 0 ? static_cast<char>(random() % 256)
                         : spice[random() % spice.size()];
    auto tree = read(text);
    EXPECT_LE(tree.messages.size(), text.size() * 2 + 1);
  }
}

} // namespace
} // namespace bpf2graphite
