#include "actors/normalizer/metric_path.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

namespace bpf2graphite {
namespace {

using views = std::vector<std::string_view>;

naming_config names() {
  naming_config config;
  config.host = "tuxgrid.com";
  return config;
}

row_bounds row(std::optional<std::int64_t> min,
               std::optional<std::int64_t> max) {
  return bounds_of({min, max, 0});
}

std::string path(const naming_config& config, const views& key,
                 const row_bounds& of, std::string_view map = "@usecs") {
  const metric_path paths{config, "cpu-lat", {}, map};
  return paths.render(paths.key(key), of);
}

TEST(MetricPath, FollowsTheTemplate) {
  auto config = names();
  EXPECT_EQ(path(config, {}, row(4, 7)), "bpf.tuxgrid_com.cpu-lat.usecs.4");
  EXPECT_EQ(path(config, {"bash", "12"}, row(4, 7)),
            "bpf.tuxgrid_com.cpu-lat.usecs.bash.12.4");
  config.path_template = "{trace}.{prefix}-x.{bucket}.{key}";
  EXPECT_EQ(path(config, {"bash"}, row(4, 7)), "cpu-lat.bpf-x.4.bash");
  EXPECT_EQ(path(config, {}, row(4, 7)), "cpu-lat.bpf-x.4");
  config.path_template = "a b..{trace}.{nonsense}.{map";
  EXPECT_EQ(path(config, {"bash"}, row(4, 7)), "a_b.cpu-lat._nonsense_._map.4");
}

TEST(MetricPath, EmptyPartsVanish) {
  auto config = names();
  config.prefix = "";
  config.map_level = false;
  EXPECT_EQ(path(config, {}, row(4, 7)), "tuxgrid_com.cpu-lat.4");
  config.map_level = true;
  EXPECT_EQ(path(config, {}, row(4, 7), "@"), "tuxgrid_com.cpu-lat.4");
  const metric_path paths{config, "t", {}, "@n"};
  EXPECT_EQ(paths.render("", ""), "tuxgrid_com.t.n");
  EXPECT_EQ(paths.render("k", "derived.p99_9"),
            "tuxgrid_com.t.n.k.derived.p99_9");
}

TEST(MetricPath, WritesTheHostAsItIsAsked) {
  EXPECT_EQ(host_levels("a.b.c", host_dots::underscore), "a_b_c");
  EXPECT_EQ(host_levels("a.b.c", host_dots::keep), "a.b.c");
  EXPECT_EQ(host_levels("a.b.c", host_dots::reverse), "c.b.a");
  EXPECT_EQ(host_levels("a.b.c", host_dots::shorten), "a");
  EXPECT_EQ(host_levels("..a..b c.", host_dots::keep), "a.b_c");
  EXPECT_EQ(host_levels("", host_dots::underscore), "");
}

TEST(RowLeaf, IsALowerOrUpperBoundOrBoth) {
  struct {
    row_bounds bounds;
    const char* lower;
    const char* upper;
    const char* range;
  } cases[] = {
    {row(4, 7), "4", "8", "4_8"},
    {row(0, 0), "0", "1", "0_1"},
    {row(1024, 2047), "1024", "2048", "1024_2048"},
    {row(std::nullopt, -1), "-inf", "0", "-inf_0"},
    {row(95, std::nullopt), "95", "inf", "95_inf"},
    {row(-5, -3), "-5", "-2", "-5_-2"},
    {row(std::int64_t{1} << 62, std::numeric_limits<std::int64_t>::max()),
     "4611686018427387904", "9223372036854775808",
     "4611686018427387904_9223372036854775808"},
    // All that 0.9 to 0.19 counts from 2G on.
    {row(std::int64_t{1} << 31, (std::int64_t{1} << 32) - 1), "2147483648",
     "4294967296", "2147483648_4294967296"},
  };
  for (const auto& one : cases) {
    const auto leaf = [&](bucket_leaf kind) {
      return row_leaf(one.bounds, kind, bucket_units::exact);
    };
    EXPECT_EQ(leaf(bucket_leaf::lower), one.lower);
    EXPECT_EQ(leaf(bucket_leaf::upper), one.upper);
    EXPECT_EQ(leaf(bucket_leaf::range), one.range);
  }
}

TEST(RowLeaf, InDecimalUnitsIsThatOf2019) {
  struct {
    row_bounds bounds;
    const char* lower;
  } cases[] = {
    {row(512, 1023), "512"},
    {row(1024, 2047), "1000"},
    {row(2048, 4095), "2000"},
    {row(4096, 8191), "4000"},
    {row(512 << 10, (1024 << 10) - 1), "512000"},
    {row(1 << 20, (2 << 20) - 1), "1000000"},
    {row(std::int64_t{1} << 31, (std::int64_t{1} << 32) - 1), "2000000000"},
    {row(1536, 2047), "1536"},                    // no n * 1024^k
    {row(768 << 10, (1024 << 10) - 1), "768000"}, // hist(x, 1)
    {row(1000, 1007), "1000"},                    // lhist
    {row(1024, 1031), "1024"},                    // ... by 8: would meet 1000
    {row(1024, std::nullopt), "1024"},
    {row(std::nullopt, -1), "-inf"},
  };
  for (const auto& one : cases)
    EXPECT_EQ(row_leaf(one.bounds, bucket_leaf::lower, bucket_units::decimal),
              one.lower);
  EXPECT_EQ(row_leaf(row(512, 1023), bucket_leaf::range, bucket_units::decimal),
            "512_1000");
}

/// Every histogram that hist() and many that lhist() can print.
std::vector<std::vector<row_bounds>> histograms() {
  std::vector<std::vector<row_bounds>> all;
  for (auto bits = 0; bits <= 5; ++bits) {
    std::vector<row_bounds> rows{row(std::nullopt, -1)};
    for (auto at = std::uint64_t{0}; at < std::uint64_t{1} << 63;) {
      auto width = std::uint64_t{1};
      while ((width << (bits + 1)) <= at)
        width <<= 1;
      rows.push_back(row(static_cast<std::int64_t>(at),
                         static_cast<std::int64_t>(at + width - 1)));
      at += width;
    }
    all.push_back(rows);
  }
  std::mt19937 random{3};
  for (auto i = 0; i < 400; ++i) {
    const auto step = i < 200 ? std::int64_t{1} << random() % 16
                              : std::int64_t{1} + random() % 30'000;
    const auto min =
      i % 2 == 0 ? 0 : static_cast<std::int64_t>(random() % 5000);
    const auto count = 1 + random() % 1000;
    std::vector<row_bounds> rows{row(std::nullopt, min - 1)};
    auto at = min;
    for (auto n = 0u; n < count; ++n, at += step)
      rows.push_back(row(at, at + step - 1));
    rows.push_back(row(at, std::nullopt));
    all.push_back(rows);
  }
  return all;
}

TEST(RowLeaf, IsNeverThatOfAnotherRowOfTheHistogram) {
  for (const auto& rows : histograms())
    for (const auto units : {bucket_units::exact, bucket_units::decimal})
      for (const auto kind :
           {bucket_leaf::lower, bucket_leaf::upper, bucket_leaf::range}) {
        std::set<std::string> leaves;
        for (const auto& one : rows)
          ASSERT_TRUE(leaves.insert(row_leaf(one, kind, units)).second)
            << row_leaf(one, kind, units);
      }
}

TEST(PercentileLeaf, HasNoDot) {
  EXPECT_EQ(percentile_leaf(50), "p50");
  EXPECT_EQ(percentile_leaf(99.9), "p99_9");
  EXPECT_EQ(percentile_leaf(0.001), "p0_001");
}

TEST(MetricPath, NeverEndsInCount) {
  const metric_path paths{names(), "t", {}, "@count"};
  EXPECT_EQ(paths.render("", ""), "bpf.tuxgrid_com.t.count_");
  EXPECT_EQ(paths.render("count", ""), "bpf.tuxgrid_com.t.count.count_");
  EXPECT_EQ(paths.render("discount", ""), "bpf.tuxgrid_com.t.count.discount");
  EXPECT_EQ(paths.render("", "samples"), "bpf.tuxgrid_com.t.count.samples");
  auto tagged = names();
  tagged.style = path_style::tags;
  tagged.host = "x.count";
  tagged.dots = host_dots::keep;
  EXPECT_EQ(metric_path(tagged, "t", {}, "@n").render("", ""),
            "bpf.t.n;host=x.count_");
}

TEST(MetricPath, TagsAreSortedAndNamed) {
  auto config = names();
  config.style = path_style::tags;
  const metric_path named{config, "lat", {"comm", "host"}, "@usecs"};
  EXPECT_EQ(named.render(named.key({"bash", "x y"}), row(4, 7)),
            "bpf.lat.usecs;comm=bash;host=tuxgrid_com;host_=x_y;le=8");
  EXPECT_EQ(named.render("", "derived.p50"),
            "bpf.lat.usecs.derived.p50;host=tuxgrid_com");
  const metric_path unnamed{config, "lat", {}, "@usecs"};
  EXPECT_EQ(unnamed.render(unnamed.key({"a", "b"}), ""),
            "bpf.lat.usecs;host=tuxgrid_com;key1=a;key2=b");
  const metric_path twice{config, "lat", {"a", "a"}, "@usecs"};
  EXPECT_EQ(twice.render(twice.key({"1", "2"}), ""),
            "bpf.lat.usecs;a=1;a_=2;host=tuxgrid_com");
  config.buckets = bucket_leaf::range;
  config.host = "";
  const metric_path ranges{config, "lat", {}, "@usecs"};
  EXPECT_EQ(ranges.render("", row(4, 7)), "bpf.lat.usecs;le=4_8");
}

bool legal_level(std::string_view level) {
  return !level.empty() && level.size() <= name_level_bytes_max
         && level.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "abcdefghijklmnopqrstuvwxyz0123456789_-")
              == std::string_view::npos;
}

std::string judge(std::string_view whole) {
  if (whole.size() > name_path_bytes_max)
    return "too long";
  auto rest = whole.substr(0, whole.find(';'));
  auto tags = whole.substr(rest.size());
  while (true) {
    const auto dot = rest.find('.');
    if (!legal_level(rest.substr(0, dot)))
      return "bad level in " + std::string{whole};
    if (dot == std::string_view::npos)
      break;
    rest.remove_prefix(dot + 1);
  }
  auto before = std::string_view{};
  while (!tags.empty()) {
    tags.remove_prefix(1);
    const auto tag = tags.substr(0, tags.find(';'));
    const auto sign = tag.find('=');
    if (sign == std::string_view::npos || !legal_level(tag.substr(0, sign))
        || tag.substr(0, sign) <= before)
      return "bad tag in " + std::string{whole};
    auto value = std::string{tag.substr(sign + 1)};
    std::erase(value, '.'); // a host's
    if (!legal_level(value))
      return "bad tag value in " + std::string{whole};
    before = tag.substr(0, sign);
    tags.remove_prefix(tag.size());
  }
  return {};
}

std::string random_bytes(std::mt19937& random, std::size_t most) {
  std::string text(random() % (most + 1), '\0');
  const auto printable = random() % 2 == 0;
  for (auto& c : text)
    c = static_cast<char>(printable ? 32 + random() % 95 : random() % 256);
  return text;
}

TEST(MetricPath, IsCleanWhateverTheBytes) {
  std::mt19937 random{1};
  for (auto i = 0; i < 20'000; ++i) {
    naming_config config;
    const auto most = i % 10 == 0 ? std::size_t{1500} : std::size_t{20};
    config.prefix = random_bytes(random, most);
    config.host = random_bytes(random, most);
    config.dots = static_cast<host_dots>(random() % 4);
    config.style = static_cast<path_style>(random() % 2);
    config.buckets = static_cast<bucket_leaf>(random() % 3);
    config.map_level = random() % 2 == 0;
    if (random() % 4 == 0)
      config.path_template = random_bytes(random, 60) + "{key}{host}{bucket}"
                             + random_bytes(random, 60);
    if (random() % 50 == 0) {
      config.path_template = "{host}";
      for (auto n = 0; n < 30; ++n)
        config.path_template += ".{host}";
    }
    std::vector<std::string> key_names(random() % 3);
    for (auto& name : key_names)
      name = random_bytes(random, most);
    const metric_path paths{config, random_bytes(random, most), key_names,
                            '@' + random_bytes(random, most)};
    std::vector<std::string> parts(random() % (i % 10 == 0 ? 80 : 4));
    for (auto& part : parts)
      part = random_bytes(random, most);
    const auto key = paths.key({parts.begin(), parts.end()});
    ASSERT_EQ(judge(paths.render(key, row(4, 7))), "");
    ASSERT_EQ(
      judge(paths.render(key, row(std::numeric_limits<std::int64_t>::min(),
                                  std::numeric_limits<std::int64_t>::max()))),
      "");
    ASSERT_EQ(judge(paths.render(key, "derived.p99_9")), "");
    ASSERT_EQ(judge(paths.render(key, "")), "");
  }
}

TEST(MetricPath, LongKeysStayApart) {
  const metric_path paths{names(), "t", {}, "@x"};
  const std::string stack(3000, 'f');
  std::set<std::string> seen;
  for (const auto* end : {"a", "b", " ", "/"})
    for (auto n = 1; n <= 40; n *= 2) {
      const auto part = stack + end;
      EXPECT_TRUE(seen
                    .insert(paths.render(
                      paths.key(views(static_cast<std::size_t>(n), part)), ""))
                    .second);
    }
}

TEST(CleanLevel, ReplacesAndIsNeverEmpty) {
  EXPECT_EQ(clean_level("kworker/u8:1-ev"), "kworker_u8_1-ev");
  EXPECT_EQ(clean_level("(sd-pam)"), "_sd-pam_");
  EXPECT_EQ(clean_level("a;dc=evil"), "a_dc_evil");
  EXPECT_EQ(clean_level("../../etc"), "______etc");
  EXPECT_EQ(clean_level("\xc3\xa9\n"), "___");
  EXPECT_EQ(clean_level(""), "_");
  EXPECT_EQ(clean_level(std::string(200, 'x')), std::string(200, 'x'));
  EXPECT_EQ(clean_level(std::string(201, 'x')).size(), 200u);
}

} // namespace
} // namespace bpf2graphite
