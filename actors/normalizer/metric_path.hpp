#pragma once
// Legal, stable Graphite paths from names, keys and rows. No values.
//
// Clean by construction: a level holds only [A-Za-z0-9_-], is never empty and
// at most 200 bytes long; a path, tags included, is at most 1000. All else in
// names and keys becomes `_`. What is too long is cut and ends in `_` and 16
// hexadecimal digits, the FNV-1a hash of the whole, so that long keys (stacks)
// stay apart. Two keys that clean to one name have one path: their values are
// added by the caller.

#include "actors/normalizer/histogram_rows.hpp"
#include "actors/normalizer/normalizer_config.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

inline constexpr std::size_t name_level_bytes_max = 200;
inline constexpr std::size_t name_path_bytes_max = 1000;

/// One level from any bytes; an empty text gives `_`.
std::string clean_level(std::string_view raw);

/// Levels from a text with dots (a prefix, a trace); empty ones vanish.
std::string clean_levels(std::string_view dotted);

/// The host as `host-dots` wants it: `tuxgrid.com` becomes `tuxgrid_com`,
/// `tuxgrid.com` (two levels), `com.tuxgrid` or `tuxgrid`.
std::string host_levels(std::string_view host, host_dots dots);

/// The leaf of a row: `lower` is the inclusive lower bound, `-inf` when open;
/// `upper` the exclusive upper bound, `inf` when open; `range` is LOWER_UPPER.
///
/// In plain decimal. With `bucket_units::decimal` a bound of the form
/// n * 1024^k with 0 < n < 1024 and the largest possible k is written as
/// n * 1000^k, as the daemon of 2019 did with bpftrace's `nK`, `nM`: 1K as
/// 1000, 512K as 512000, 1M as 1000000. Only for rows as hist() has them: the
/// width a power of two, the lower bound a multiple of it and less than 64
/// widths. All other bounds stay exact, and no two rows of one histogram get
/// one name: a bound n * 1000^k beside such a row would have to be a multiple
/// of its width, which is more than 16 n * 1024^(k-1) there, but 1024^k -
/// 1000^k has only the factor 8^k.
std::string row_leaf(const row_bounds& row, bucket_leaf leaf,
                     bucket_units units);

/// `p50`, `p99_9`.
std::string percentile_leaf(double p);

/// What a printf metric is called: `requests` of snapshot::map
/// `requests{comm,pid}`; and what its labels are.
std::string_view metric_name(std::string_view map);
std::vector<std::string> metric_labels(std::string_view map);

/// What the configuration calls that metric, whose keys hold only letters,
/// digits and `_`: all else is `_`.
std::string metric_rule_name(std::string_view name);

/// The paths of one map of one trace.
class metric_path {
public:
  /// `map` with its @. `key_names` name the tags of the key's parts; those
  /// without a name are `key1`, `key2` ... A printf metric's name takes the
  /// place of the map (whatever `map-level` says; a dot begins a level), and
  /// its labels that of `key_names`.
  ///
  /// The path style follows the template; parts that are empty vanish with
  /// their dot. A template without `{bucket}` gets it as its last level, or
  /// rows would meet; without `{key}` all keys of a map are one. A template of
  /// more than 200 bytes is taken for the default one.
  ///
  /// The tag style has no template: `{prefix}.{trace}.{map};tags`, the tags
  /// (host, key parts, `le`) sorted by name. `le` is the exclusive upper bound
  /// whatever `buckets` says, with `range` LOWER_UPPER.
  /// Source: carbon 1.1, carbon/util.py, TaggedSeries.
  metric_path(const naming_config& naming, std::string_view trace,
              const std::vector<std::string>& key_names, std::string_view map);

  /// The name of a key: its cleaned parts joined by dots. Same name, same
  /// series.
  std::string key(const std::vector<std::string_view>& parts) const;

  /// The name of the key that others are folded into: `_other` for each part.
  std::string other_key(std::size_t parts) const;

  /// A whole path. `leaf` may hold dots (`derived.p50`) or be empty. No path
  /// ends in `.count`, which carbon's example rules turn into a maximum: it is
  /// written `count_` there.
  std::string render(std::string_view key, std::string_view leaf) const;
  std::string render(std::string_view key, const row_bounds& row) const;

  /// True when both rows would have one name.
  bool same_name(const row_bounds& a, const row_bounds& b) const;

private:
  struct template_piece {
    enum class what { text, key, bucket } is = what::text;
    std::string text;
  };

  void read_template(std::string_view text);
  std::string tagged(std::string_view key, std::string_view leaf,
                     std::string_view le) const;
  bucket_leaf leaf_kind() const;

  path_style style_;
  bucket_leaf leaf_;
  bucket_units units_;
  std::string prefix_;
  std::string host_;
  std::string trace_;
  std::string map_;
  std::vector<std::string> key_names_;
  std::vector<template_piece> pieces_; // path style
  bool has_key_ = true;
  std::size_t key_bytes_max_ = 0;
};

} // namespace bpf2graphite
