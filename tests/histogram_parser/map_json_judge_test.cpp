// simdjson as the judge of our own reader: what is JSON, and what it says.
// (Where bpftrace is no JSON, simdjson cannot judge: see map_json_test.cpp.)

#include "actors/histogram_parser/json_scanner.hpp"
#include "actors/histogram_parser/map_json.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {
namespace {

std::vector<std::string> corpus_lines() {
  std::vector<std::string> result;
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator{
         std::filesystem::path{BPF2GRAPHITE_SOURCE_DIR}
         / "tests/golden/corpus"})
    if (file.path().extension() == ".json")
      files.push_back(file.path());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::ifstream in{file, std::ios::binary};
    int taken = 0;
    for (std::string line; std::getline(in, line) && taken < 40; ++taken)
      if (!line.empty() && line.size() < 20000)
        result.push_back(line);
  }
  return result;
}

bool we_accept(const std::string& text) {
  json_scanner in{text, false, false};
  std::string_view value;
  if (!in.value(value))
    return false;
  in.skip_space();
  return in.at_end();
}

TEST(MapJsonJudge, WeAcceptTheJsonThatSimdjsonAccepts) {
  simdjson::dom::parser parser;
  std::mt19937 random{5};
  const std::string_view marks =
    "{}[]\",:\\ u0123456789abcdefnrt.-+eE\t\n\x01/";
  std::size_t yes = 0;
  std::size_t no = 0;
  auto compare = [&](const std::string& text) {
    // Bytes that are no UTF-8 are ours to accept (bpftrace 0.9 - 0.16).
    if (!simdjson::validate_utf8(text.data(), text.size()))
      return;
    simdjson::padded_string padded{text};
    auto error = parser.parse(padded).error();
    if (error == simdjson::NUMBER_ERROR)
      return; // it also refuses good numbers beyond its range
    auto theirs = error == simdjson::SUCCESS;
    EXPECT_EQ(we_accept(text), theirs) << text << "\n"
                                       << simdjson::error_message(error);
    ++(theirs ? yes : no);
  };
  for (const auto& line : corpus_lines()) {
    compare(line);
    if (line.size() > 2000)
      continue;
    for (int round = 0; round < 40; ++round) {
      auto text = line;
      for (auto n = 1 + random() % 3; n > 0 && !text.empty(); --n) {
        auto at = random() % text.size();
        auto mark = marks[random() % marks.size()];
        switch (random() % 3) {
          case 0:
            text[at] = mark;
            break;
          case 1:
            text.insert(at, 1, mark);
            break;
          default:
            text.erase(at, 1 + random() % 3);
        }
      }
      compare(text);
    }
  }
  for (int round = 0; round < 100000; ++round) {
    std::string text;
    for (auto n = random() % 12; n > 0; --n)
      text += marks[random() % marks.size()];
    compare(text);
  }
  EXPECT_GT(yes, 1000u);
  EXPECT_GT(no, 10000u);
}

/// A record of random content, spaced as bpftrace does or in another way.
struct writer {
  std::mt19937 random{17};
  std::string text;
  bool spaced = false;

  void mark(char c) {
    auto space = [this] {
      for (auto n = spaced ? random() % 3 : 0u; n > 0; --n)
        text += " \t"[random() % 2];
    };
    space();
    text += c;
    if (!spaced && (c == ':' || c == ','))
      text += ' ';
    space();
  }

  void string() {
    static const char* const pieces[] = {"a",
                                         "bash",
                                         " ",
                                         "-",
                                         "\\n",
                                         "\\\"",
                                         "\\\\",
                                         "\\u0001",
                                         "\\u00e9",
                                         "\\u20ac",
                                         "\\ud83d\\ude00",
                                         "\xc3\xa9",
                                         "\\/",
                                         "{",
                                         "]",
                                         "\\t"};
    text += '"';
    for (auto n = random() % 6; n > 0; --n)
      text += pieces[random() % std::size(pieces)];
    text += '"';
  }

  std::int64_t natural() {
    auto bits = random() % 64;
    auto wide = (std::uint64_t{random()} << 32) | random();
    return static_cast<std::int64_t>((wide >> 1) >> bits);
  }

  void number(std::int64_t value) {
    text += std::to_string(value);
  }

  void rows() {
    mark('[');
    for (auto n = random() % 5; n > 0; --n) {
      mark('{');
      auto low = natural();
      auto high = natural();
      if (low > high)
        std::swap(low, high);
      auto ends = random() % 8;
      if (ends != 0) {
        text += "\"min\"";
        mark(':');
        number(low);
        mark(',');
      }
      if (ends != 1) {
        text += "\"max\"";
        mark(':');
        number(high);
        mark(',');
      }
      text += "\"count\"";
      mark(':');
      number(natural());
      mark('}');
      if (n > 1)
        mark(',');
    }
    mark(']');
  }

  template <class Element>
  void record(const char* type, Element element) {
    text.clear();
    spaced = random() % 2 == 0;
    mark('{');
    text += "\"type\"";
    mark(':');
    text += std::string{"\""} + type + "\"";
    mark(',');
    text += "\"data\"";
    mark(':');
    mark('{');
    text += "\"@x\"";
    mark(':');
    if (random() % 3 == 0) {
      element();
    } else {
      mark('{');
      for (auto n = random() % 5; n > 0; --n) {
        string();
        mark(':');
        element();
        if (n > 1)
          mark(',');
      }
      mark('}');
    }
    mark('}');
    mark('}');
  }
};

void describe(std::optional<std::int64_t> value, std::string& out) {
  out += value ? std::to_string(*value) + " " : "none ";
}

std::string ours(const std::string& text) {
  parser_options options;
  options.speaks.version = bpftrace_version{0, 17, 0};
  options.keys["@x"] = {1, {}};
  auto parser = make_json_parser(options);
  parsed out;
  parser->feed(text + "\n", {}, out);
  std::string result;
  if (out.snapshots.size() != 1)
    return "not one snapshot";
  for (const auto& entry : out.snapshots[0].entries) {
    for (const auto& key : entry.keys)
      result += "key " + key + "\n";
    if (auto rows = std::get_if<buckets>(&entry.value)) {
      for (const auto& one : *rows) {
        describe(one.min, result);
        describe(one.max, result);
        result += std::to_string(one.count) + "\n";
      }
    } else {
      auto value = std::get<exact>(entry.value);
      result += std::to_string(static_cast<std::int64_t>(value)) + "\n";
    }
  }
  return result;
}

std::string theirs(simdjson::dom::parser& parser, const std::string& text) {
  std::string result;
  simdjson::padded_string padded{text};
  simdjson::dom::element record = parser.parse(padded);
  auto element = [&](simdjson::dom::element from) {
    if (from.is_int64()) {
      result += std::to_string(from.get_int64().value()) + "\n";
      return;
    }
    for (auto one : from.get_array()) {
      auto field = [&](const char* name) {
        std::int64_t value = 0;
        bool there = one[name].get(value) == simdjson::SUCCESS;
        describe(there ? std::optional{value} : std::nullopt, result);
      };
      field("min");
      field("max");
      result += std::to_string(one["count"].get_int64().value()) + "\n";
    }
  };
  auto map = record["data"]["@x"].value();
  if (!map.is_object()) {
    element(map);
    return result;
  }
  for (auto one : map.get_object()) {
    result += "key " + std::string{one.key} + "\n";
    element(one.value);
  }
  return result;
}

TEST(MapJsonJudge, WeReadWhatSimdjsonReads) {
  simdjson::dom::parser parser;
  writer random;
  for (int round = 0; round < 20000; ++round) {
    if (round % 2 == 0)
      random.record("hist", [&] { random.rows(); });
    else
      random.record("map", [&] {
        random.number(random.random() % 2 ? random.natural()
                                          : -random.natural());
      });
    ASSERT_EQ(ours(random.text), theirs(parser, random.text)) << random.text;
  }
}

} // namespace
} // namespace bpf2graphite
