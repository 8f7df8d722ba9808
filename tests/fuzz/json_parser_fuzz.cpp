// The JSON parser: whole and in pieces it says the same, and where a line is
// JSON to simdjson and a histogram to us, both count the same.

#include "actors/histogram_parser/json_scanner.hpp"
#include "actors/histogram_parser/map_json.hpp"
#include "tests/fuzz/parser_fuzz.hpp"

#include <simdjson.h>

namespace {

using namespace bpf2graphite;

/// Only what printf began and did not end is held.
constexpr std::size_t held_bytes_max =
  fuzz_record_bytes_max + fuzz_line_bytes_max;

bool is_json(std::string_view text) {
  // The scanner may look at the byte behind its text.
  std::string padded{text};
  padded += '\n';
  json_scanner in{{padded.data(), text.size()}, false, false};
  std::string_view value;
  if (!in.value(value))
    return false;
  in.skip_space();
  return in.at_end();
}

/// Rows and scalars of a record's data, and their sum modulo 2^64; false when
/// it has something that is no integer of 64 bits.
bool add_up(simdjson::dom::element from, bool rows, std::uint64_t& values,
            std::uint64_t& sum) {
  if (from.is_object()) {
    if (rows) {
      std::uint64_t count = 0;
      simdjson::dom::element field;
      if (from["count"].get(field) == simdjson::SUCCESS) {
        if (field.get(count) != simdjson::SUCCESS)
          return false;
        ++values;
        sum += count;
        return true;
      }
    }
    for (auto field : from.get_object())
      if (!add_up(field.value, rows, values, sum))
        return false;
    return true;
  }
  if (from.is_array()) {
    for (auto one : from.get_array())
      if (!add_up(one, rows, values, sum))
        return false;
    return true;
  }
  if (from.is_uint64()) {
    sum += from.get_uint64().value();
  } else if (from.is_int64()) {
    sum += static_cast<std::uint64_t>(from.get_int64().value());
  } else {
    return false;
  }
  ++values;
  return true;
}

/// One line with both readers.
void judge(std::string_view line, simdjson::dom::parser& parser) {
  if (line.empty() || line.size() > fuzz_record_bytes_max
      || line.find('\0') != line.npos
      || !simdjson::validate_utf8(line.data(), line.size()))
    return;
  simdjson::padded_string padded{line};
  simdjson::dom::element record;
  auto error = parser.parse(padded).get(record);
  // It has a narrower range of numbers, and allows deeper nesting.
  if (error != simdjson::NUMBER_ERROR && error != simdjson::DEPTH_ERROR) {
    bool ours = is_json(line);
    FUZZ_REQUIRE(!ours || error == simdjson::SUCCESS);
    std::size_t depth = 0;
    for (char c : line)
      depth += c == '{' || c == '[' ? 1 : 0;
    FUZZ_REQUIRE(ours || error != simdjson::SUCCESS
                 || depth > json_scanner::depth_max);
  }
  if (error != simdjson::SUCCESS || !record.is_object())
    return;
  std::string_view type;
  simdjson::dom::element data;
  if (record["type"].get(type) != simdjson::SUCCESS
      || record["data"].get(data) != simdjson::SUCCESS || !data.is_object()
      || (type != "hist" && type != "map"))
    return;
  parser_options options; // no hexadecimal, no quotes, keys escaped once
  options.speaks.version = bpftrace_version{0, 17, 0};
  options.record_bytes_max = fuzz_record_bytes_max;
  auto mine = make_map_parser(options);
  parsed out;
  mine->feed(std::string{line} + "\n", {}, out);
  if (mine->counts().invalid > 0)
    return;
  std::uint64_t values = 0;
  std::uint64_t sum = 0;
  for (const auto& print : out.snapshots)
    for (const auto& entry : print.entries) {
      if (auto rows = std::get_if<buckets>(&entry.value)) {
        for (const auto& row : *rows)
          ++values, sum += row.count;
      } else if (auto number = std::get_if<exact>(&entry.value)) {
        ++values, sum += static_cast<std::uint64_t>(*number);
      } else {
        return; // text, a tuple, true
      }
    }
  std::uint64_t their_values = 0;
  std::uint64_t their_sum = 0;
  if (!add_up(data, type == "hist", their_values, their_sum))
    return;
  FUZZ_REQUIRE(values == their_values);
  FUZZ_REQUIRE(sum == their_sum);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* begin,
                                      std::size_t size) {
  fuzz_input in{begin, size};
  (void)fuzz_parser(in, output_format::json, held_bytes_max);
  static simdjson::dom::parser parser;
  auto lines = in.text;
  while (!lines.empty()) {
    auto end = std::min(lines.find('\n'), lines.size());
    judge(lines.substr(0, end), parser);
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  return 0;
}
