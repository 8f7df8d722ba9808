// Names: whatever a host, a trace, a map, a key or a template holds, each line
// that would go to Graphite is clean and short, and sums are conserved.

#include "actors/graphite_connection/plaintext.hpp"
#include "actors/normalizer/metric_path.hpp"
#include "actors/normalizer/trace_series.hpp"
#include "tests/fuzz/fuzz_input.hpp"

#include <algorithm>
#include <limits>

namespace {

using namespace bpf2graphite;

bool is_level_byte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z')
         || (c >= 'a' && c <= 'z') || c == '_' || c == '-';
}

/// Levels of clean bytes between single dots.
void check_levels(std::string_view name) {
  for (;;) {
    auto dot = name.find('.');
    auto level = name.substr(0, dot);
    FUZZ_REQUIRE(!level.empty());
    FUZZ_REQUIRE(level.size() <= name_level_bytes_max);
    FUZZ_REQUIRE(std::all_of(level.begin(), level.end(), is_level_byte));
    if (dot == name.npos)
      return;
    name.remove_prefix(dot + 1);
  }
}

void check_path(std::string_view path, path_style style) {
  FUZZ_REQUIRE(path.size() <= name_path_bytes_max);
  FUZZ_REQUIRE(!path.ends_with(".count"));
  auto tags = path.find(';');
  check_levels(path.substr(0, tags));
  FUZZ_REQUIRE(tags == path.npos || style == path_style::tags);
  std::string_view before;
  while (tags != path.npos) {
    path.remove_prefix(tags + 1);
    tags = path.find(';');
    auto tag = path.substr(0, tags);
    auto equals = tag.find('=');
    FUZZ_REQUIRE(equals != tag.npos && equals > 0 && equals + 1 < tag.size());
    auto word = [](char c) {
      return is_level_byte(c) || c == '.';
    };
    auto name = tag.substr(0, equals);
    FUZZ_REQUIRE(std::all_of(name.begin(), name.end(), word));
    auto value = tag.substr(equals + 1);
    FUZZ_REQUIRE(std::all_of(value.begin(), value.end(), word));
    FUZZ_REQUIRE(before < name); // sorted, each once
    before = name;
  }
}

/// One line as carbon reads it: three words, the first of them a path.
void check_line(std::string_view line, path_style style) {
  FUZZ_REQUIRE(line.size() < 1100 && line.ends_with('\n'));
  line.remove_suffix(1);
  auto first = line.find(' ');
  FUZZ_REQUIRE(first != line.npos);
  check_path(line.substr(0, first), style);
  line.remove_prefix(first + 1);
  auto second = line.find(' ');
  FUZZ_REQUIRE(second != line.npos && second > 0);
  auto number = [](char c) {
    return (c >= '0' && c <= '9') || c == '-' || c == '.' || c == 'e'
           || c == '+';
  };
  auto value = line.substr(0, second);
  auto time = line.substr(second + 1);
  FUZZ_REQUIRE(std::all_of(value.begin(), value.end(), number));
  FUZZ_REQUIRE(!time.empty()
               && std::all_of(time.begin(), time.end(),
                              [](char c) { return c >= '0' && c <= '9'; }));
}

/// The next word of the input; words end at a NUL or at the end.
std::string_view word(std::string_view& text) {
  auto end = std::min(text.find('\0'), text.size());
  auto result = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return result;
}

std::int64_t number(std::string_view word) {
  std::uint64_t result = 0;
  for (auto c : word.substr(0, 8))
    result = result << 8 | static_cast<std::uint8_t>(c);
  // Bounds that bpftrace has: powers of two, and others.
  if (word.size() < 3)
    return std::int64_t{1} << (result % 63);
  return static_cast<std::int64_t>(result);
}

/// Through the series of a trace to the wire.
void check_series(const series_config& config, const snapshot& print,
                  exact sum) {
  constexpr std::int64_t start = 1'600'000'005'000;
  series_budget total{8};
  trace_series series{config, total, 0};
  std::vector<metric> points;
  auto copy = print;
  series.opened(wall_time_from_ms(start));
  copy.arrival = wall_time_from_ms(start + 1000);
  series.add(copy);
  copy.arrival = wall_time_from_ms(start + 2000);
  series.add(copy);
  series.closed(wall_time_from_ms(start + 2000));
  series.collect(wall_time_from_ms(start + 2500), points);
  series.drain(wall_time_from_ms(start + 3000), points);
  FUZZ_REQUIRE(series.valid());
  FUZZ_REQUIRE(series.open_values() == 0);
  exact sent = 0;
  std::string lines;
  for (const auto& point : points) {
    auto from = lines.size();
    FUZZ_REQUIRE(append_line(lines, point) == line_fault::none);
    check_line(std::string_view{lines}.substr(from), config.naming.style);
    if (!config.derived_samples)
      sent += std::get<exact>(point.value);
  }
  const auto& books = series.counts();
  FUZZ_REQUIRE(books.values
               == books.combined + books.measured + books.merged + books.folded
                    + books.unchanged + books.dropped());
  if (!config.derived_samples && books.dropped() == 0)
    FUZZ_REQUIRE(sent == 2 * sum);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* begin,
                                      std::size_t size) {
  fuzz_input in{begin, size};
  auto left = in.text;
  series_config config;
  auto& naming = config.naming;
  naming.style = in.control(0) % 2 == 0 ? path_style::path : path_style::tags;
  naming.dots = static_cast<host_dots>(in.control(0) / 2 % 4);
  naming.map_level = in.control(0) / 8 % 2 == 0;
  naming.buckets = static_cast<bucket_leaf>(in.control(1) % 3);
  naming.units = static_cast<bucket_units>(in.control(1) / 3 % 2);
  if (in.control(1) / 6 % 2 != 0)
    naming.path_template = word(left);
  naming.prefix = word(left);
  naming.host = word(left);
  config.trace = word(left);
  auto map = "@" + std::string{word(left)};
  for (int i = in.control(2) % 4; i > 0; --i)
    config.keys.emplace_back(word(left));
  if (in.control(2) / 4 % 2 != 0) {
    config.percentiles = {50, 99.9};
    config.derived_samples = config.derived_mean = config.derived_highest =
      true;
  }
  config.max_series = 1 + in.control(3) % 16;
  config.slots.zero_fill = in.control(2) / 8 % 2 == 0;

  metric_path paths{naming, config.trace, config.keys, map};
  std::size_t parts = in.control(4) % 4;
  bool hist = in.control(4) / 4 % 2 == 0;
  snapshot print;
  print.map = map;
  print.kind = hist ? map_kind::hist : map_kind::value;
  exact sum = 0;
  while (!left.empty() && print.entries.size() < 50) {
    auto& entry = print.entries.emplace_back();
    std::vector<std::string_view> key;
    for (std::size_t i = 0; i < parts; ++i) {
      key.push_back(word(left));
      entry.keys.emplace_back(key.back());
    }
    auto name = paths.key(key);
    auto leaf = word(left);
    check_path(paths.render(name, ""), naming.style);
    check_path(paths.render(name, "derived.p99_9"), naming.style);
    check_path(paths.render(paths.other_key(parts), "samples"), naming.style);
    auto value = number(leaf);
    if (hist) {
      bucket row;
      row.min = value;
      auto width = std::int64_t{1} << (leaf.size() % 63);
      if (value <= std::numeric_limits<std::int64_t>::max() - width)
        row.max = value + width - 1;
      row.count = leaf.size();
      check_path(paths.render(name, bounds_of(row)), naming.style);
      entry.value = std::vector<bucket>{row};
      sum += row.count;
    } else {
      entry.value = static_cast<exact>(value);
      sum += value;
    }
    if (parts == 0)
      break;
  }
  check_path(paths.render(clean_level(left), "average"), naming.style);
  auto levels = clean_levels(in.text);
  if (!levels.empty())
    check_levels(levels);
  auto host = host_levels(in.text, naming.dots);
  if (!host.empty())
    check_levels(host);
  config.other_maps.how = config.other_scalars.how = accumulation::cleared;
  check_series(config, print, sum);
  return 0;
}
