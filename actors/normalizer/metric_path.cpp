#include "actors/normalizer/metric_path.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstdint>

namespace bpf2graphite {
namespace {

constexpr std::size_t hash_bytes = 17;      // `_` and 16 digits
constexpr std::size_t leaf_bytes_max = 64;  // two bounds, or a derived name
constexpr std::size_t short_bytes = 120;    // a name that has to make room
constexpr std::size_t short_key_bytes = 40; // a key part that has to
constexpr std::size_t template_bytes_max = 200;
constexpr std::size_t fixed_bytes_max = 650;
constexpr std::size_t tag_name_bytes_max = 40;
constexpr std::string_view default_template =
  "{prefix}.{host}.{trace}.{map}.{key}.{bucket}";

bool legal(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
         || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

// FNV-1a, 64 bit: http://www.isthe.com/chongo/tech/comp/fnv/
std::string hash_text(std::string_view text) {
  auto hash = std::uint64_t{0xcbf29ce484222325};
  for (const auto c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  std::string result = "_0000000000000000";
  for (auto i = hash_bytes - 1; i > 0; --i, hash >>= 4)
    result[i] = "0123456789abcdef"[hash & 15];
  return result;
}

/// `clean`, cut to `most` bytes; what it was made from tells it from others.
std::string shortened(std::string clean, std::string_view raw,
                      std::size_t most) {
  if (clean.size() <= most)
    return clean;
  clean.resize(most - hash_bytes);
  return clean + hash_text(raw);
}

std::string clean(std::string_view raw, std::size_t most) {
  std::string level;
  level.reserve(raw.size());
  for (const auto c : raw.substr(0, most + 1))
    level += legal(c) ? c : '_';
  if (level.empty())
    return "_";
  return shortened(std::move(level), raw, most);
}

template <class Visit>
void each_level(std::string_view dotted, Visit visit) {
  while (!dotted.empty()) {
    const auto dot = std::min(dotted.find('.'), dotted.size());
    if (dot != 0)
      visit(dotted.substr(0, dot));
    dotted.remove_prefix(std::min(dot + 1, dotted.size()));
  }
}

void append_level(std::string& to, std::string_view level) {
  if (level.empty())
    return;
  if (!to.empty())
    to += '.';
  to += level;
}

std::string number_text(exact value) {
  // Bounds reach from -2^63 to 2^63.
  std::array<char, 24> buffer{};
  const auto negative = value < 0;
  const auto size = static_cast<std::uint64_t>(negative ? -value : value);
  const auto end =
    std::to_chars(buffer.data(), buffer.data() + buffer.size(), size).ptr;
  return (negative ? "-" : "") + std::string{buffer.data(), end};
}

bool is_hist_row(const row_bounds& row) {
  const auto width = row.width();
  return width > 0 && row.min >= 0
         && std::has_single_bit(static_cast<std::uint64_t>(width))
         && row.min % width == 0 && row.min / width < 64;
}

exact decimal(exact bound) {
  auto n = bound;
  auto thousands = exact{1};
  while (n > 0 && n % 1024 == 0) {
    n /= 1024;
    thousands *= 1000;
  }
  return n > 0 && n < 1024 ? n * thousands : bound;
}

void mend_count(std::string& path) {
  constexpr std::string_view count = "count";
  if (path == count
      || (path.size() > count.size() && path.ends_with(count)
          && path[path.size() - count.size() - 1] == '.'))
    path += '_';
}

} // namespace

std::string clean_level(std::string_view raw) {
  return clean(raw, name_level_bytes_max);
}

std::string clean_levels(std::string_view dotted) {
  std::string result;
  each_level(dotted, [&](std::string_view level) {
    append_level(result, clean_level(level));
  });
  return result;
}

std::string host_levels(std::string_view host, host_dots dots) {
  auto levels = clean_levels(host);
  switch (dots) {
    case host_dots::keep:
      return levels;
    case host_dots::shorten:
      return levels.substr(0, levels.find('.'));
    case host_dots::reverse: {
      std::string result;
      each_level(levels, [&](std::string_view level) {
        result = result.empty() ? std::string{level}
                                : std::string{level} + '.' + result;
      });
      return result;
    }
    case host_dots::underscore:
      break;
  }
  return levels.empty() ? levels : clean_level(levels);
}

std::string row_leaf(const row_bounds& row, bucket_leaf leaf,
                     bucket_units units) {
  const auto convert = units == bucket_units::decimal && is_hist_row(row);
  const auto text = [&](exact bound) {
    return number_text(convert ? decimal(bound) : bound);
  };
  const auto lower = [&] {
    return row.open_low ? "-inf" : text(row.min);
  };
  const auto upper = [&] {
    return row.open_high ? "inf" : text(exact{row.max} + 1);
  };
  switch (leaf) {
    case bucket_leaf::upper:
      return upper();
    case bucket_leaf::range:
      return lower() + '_' + upper();
    case bucket_leaf::lower:
      break;
  }
  return lower();
}

std::string percentile_leaf(double p) {
  std::array<char, 32> buffer{};
  const auto end =
    std::to_chars(buffer.data(), buffer.data() + buffer.size(), p).ptr;
  return 'p' + clean_level({buffer.data(), end});
}

std::string_view metric_name(std::string_view map) {
  return map.substr(0, map.find('{'));
}

std::string metric_rule_name(std::string_view name) {
  std::string result{name};
  for (auto& c : result)
    if (!legal(c) || c == '-')
      c = '_';
  return result;
}

std::vector<std::string> metric_labels(std::string_view map) {
  std::vector<std::string> labels;
  map.remove_prefix(metric_name(map).size());
  while (map.size() > 1) {
    map.remove_prefix(1);
    const auto end = std::min(map.find_first_of(",}"), map.size());
    labels.emplace_back(map.substr(0, end));
    map.remove_prefix(end);
  }
  return labels;
}

metric_path::metric_path(const naming_config& naming, std::string_view trace,
                         const std::vector<std::string>& key_names,
                         std::string_view map)
  : style_{naming.style}, leaf_{naming.buckets}, units_{naming.units},
    prefix_{clean_levels(naming.prefix)},
    host_{host_levels(naming.host, naming.dots)}, trace_{clean_levels(trace)} {
  const auto metric = !map.empty() && !map.starts_with('@');
  if (metric)
    map_ = clean_levels(metric_name(map));
  else if (naming.map_level && map.size() > 1)
    map_ = clean_level(map.substr(1));
  auto fixed = naming.path_template.size();
  for (const auto* name : {&prefix_, &host_, &trace_, &map_})
    fixed += name->size();
  if (fixed > fixed_bytes_max)
    for (auto* name : {&prefix_, &host_, &trace_, &map_})
      *name = shortened(*name, *name, short_bytes);
  for (const auto& name : metric ? metric_labels(map) : key_names) {
    auto tag = clean(name, tag_name_bytes_max);
    if (tag == "host" || tag == "le" || tag == "name")
      tag += '_';
    key_names_.push_back(std::move(tag));
  }
  if (style_ == path_style::tags) // one value, dots or not
    host_ = shortened(host_, host_, name_level_bytes_max);
  fixed = prefix_.size() + host_.size() + trace_.size() + map_.size();
  if (style_ == path_style::path) {
    read_template(naming.path_template.size() <= template_bytes_max
                    ? std::string_view{naming.path_template}
                    : default_template);
    fixed = 0;
    for (const auto& piece : pieces_)
      fixed += piece.text.size();
  }
  fixed += 2 * leaf_bytes_max;
  key_bytes_max_ = std::max(fixed, name_path_bytes_max) - fixed;
  key_bytes_max_ = std::max(key_bytes_max_, hash_bytes);
}

void metric_path::read_template(std::string_view text) {
  const auto literal = [this](std::string_view words) {
    if (pieces_.empty() || pieces_.back().is != template_piece::what::text)
      pieces_.emplace_back();
    pieces_.back().text += words;
  };
  has_key_ = false;
  auto has_bucket = false;
  while (!text.empty()) {
    const auto end =
      text.starts_with('{') ? text.find('}') : std::string_view::npos;
    const auto name =
      end == std::string_view::npos ? "" : text.substr(1, end - 1);
    const auto is = [&](std::string_view word) {
      return name == word;
    };
    if (is("prefix") || is("host") || is("trace") || is("map")) {
      literal(is("prefix")  ? prefix_
              : is("host")  ? host_
              : is("trace") ? trace_
                            : map_);
    } else if (is("key")) {
      has_key_ = true;
      pieces_.push_back({template_piece::what::key, {}});
    } else if (is("bucket")) {
      has_bucket = true;
      pieces_.push_back({template_piece::what::bucket, {}});
    } else {
      const char c = text.front();
      literal(legal(c) || c == '.' ? std::string(1, c) : "_");
      text.remove_prefix(1);
      continue;
    }
    text.remove_prefix(end + 1);
  }
  if (has_bucket)
    return;
  literal(".");
  pieces_.push_back({template_piece::what::bucket, {}});
}

std::string metric_path::key(const std::vector<std::string_view>& parts) const {
  if (!has_key_)
    return {};
  // A tag costs its name, too.
  const auto extra =
    style_ == path_style::tags ? parts.size() * (tag_name_bytes_max + 2) : 0;
  for (const auto most : {name_level_bytes_max, short_key_bytes}) {
    std::string result;
    for (const auto part : parts)
      append_level(result, clean(part, most));
    if (result.size() + extra <= key_bytes_max_)
      return result;
  }
  std::string all;
  for (const auto part : parts)
    all.append(part).push_back('\0');
  return hash_text(all);
}

std::string metric_path::other_key(std::size_t parts) const {
  const std::vector<std::string_view> others(parts, "_other");
  return key(others);
}

std::string metric_path::tagged(std::string_view key, std::string_view leaf,
                                std::string_view le) const {
  auto path = prefix_;
  append_level(path, trace_);
  append_level(path, map_);
  append_level(path, leaf);
  if (path.empty())
    path = "_";
  mend_count(path);
  std::vector<std::pair<std::string, std::string>> tags;
  if (!host_.empty())
    tags.emplace_back("host", host_);
  if (!le.empty())
    tags.emplace_back("le", le);
  auto part = std::size_t{0};
  each_level(key, [&](std::string_view level) {
    tags.emplace_back(part < key_names_.size()
                        ? key_names_[part]
                        : "key" + std::to_string(part + 1),
                      level);
    ++part;
  });
  std::stable_sort(tags.begin(), tags.end(),
                   [](auto& a, auto& b) { return a.first < b.first; });
  for (auto i = std::size_t{1}; i < tags.size(); ++i)
    if (tags[i].first <= tags[i - 1].first) // two parts with one name
      tags[i].first = tags[i - 1].first + '_';
  for (const auto& [name, value] : tags)
    path.append(1, ';').append(name).append(1, '=').append(value);
  mend_count(path); // a host may be called so
  return path;
}

bucket_leaf metric_path::leaf_kind() const {
  return style_ == path_style::tags && leaf_ != bucket_leaf::range
           ? bucket_leaf::upper
           : leaf_;
}

std::string metric_path::render(std::string_view key,
                                const row_bounds& row) const {
  const auto leaf = row_leaf(row, leaf_kind(), units_);
  return style_ == path_style::tags ? tagged(key, {}, leaf) : render(key, leaf);
}

std::string metric_path::render(std::string_view key,
                                std::string_view leaf) const {
  if (style_ == path_style::tags)
    return tagged(key, leaf, {});
  std::string raw;
  for (const auto& piece : pieces_)
    raw += piece.is == template_piece::what::key ? key
           : piece.is == template_piece::what::bucket
             ? leaf
             : std::string_view{piece.text};
  std::string path;
  each_level(raw, [&](std::string_view level) {
    append_level(path,
                 shortened(std::string{level}, level, name_level_bytes_max));
  });
  if (path.empty())
    path = "_";
  if (path.size() >= name_path_bytes_max) { // a template of repeated parts
    const auto room = name_path_bytes_max - hash_bytes - 2;
    const auto hash = hash_text(path);
    path.resize(path.rfind('.', room));
    append_level(path, hash);
  }
  mend_count(path);
  return path;
}

bool metric_path::same_name(const row_bounds& a, const row_bounds& b) const {
  const auto lower = a.min == b.min && a.open_low == b.open_low;
  const auto upper = a.max == b.max && a.open_high == b.open_high;
  switch (leaf_kind()) {
    case bucket_leaf::upper:
      return upper;
    case bucket_leaf::range:
      return lower && upper;
    case bucket_leaf::lower:
      break;
  }
  return lower;
}

} // namespace bpf2graphite
