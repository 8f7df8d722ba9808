#pragma once
// For tests: a bpftrace script's map, its prints, and what they amount to by
// the definition of the invariant. Knows nothing of slots and names.

#include "messages/snapshot.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace bpf2graphite {

/// What a map holds for one key: named parts. A hist() row is named by its
/// lower bound ("-inf": what is below 0), an lhist(0, 100, 10) row likewise, a
/// count "", stats "samples" and "total".
using parts_of_key = std::map<std::string, exact>;
using contents = std::map<std::string, parts_of_key>;

enum class simulated_kind { hist, lhist, count, sum, stats };

inline void add_event(contents& map, simulated_kind kind,
                      const std::string& key, std::int64_t value) {
  auto& parts = map[key];
  switch (kind) {
    case simulated_kind::hist: {
      auto low = std::int64_t{1};
      while (low <= value / 2)
        low *= 2;
      parts[value < 0 ? "-inf" : std::to_string(value == 0 ? 0 : low)] += 1;
      break;
    }
    case simulated_kind::lhist:
      parts[value < 0
              ? "-inf"
              : std::to_string(std::min<std::int64_t>(100, value / 10 * 10))] +=
        1;
      break;
    case simulated_kind::count:
      parts[""] += 1;
      break;
    case simulated_kind::sum:
      parts[""] += value;
      break;
    case simulated_kind::stats:
      parts["samples"] += 1;
      parts["total"] += value;
      break;
  }
}

/// The print of such a map. Rows of zero between rows are printed, too.
inline snapshot print_of(const contents& map, simulated_kind kind,
                         const std::string& name) {
  snapshot print;
  print.map = name;
  print.kind = kind == simulated_kind::hist    ? map_kind::hist
               : kind == simulated_kind::stats ? map_kind::stats
                                               : map_kind::value;
  for (const auto& [key, parts] : map) {
    map_entry entry;
    if (!key.empty())
      entry.keys = {key};
    if (kind == simulated_kind::hist) {
      std::map<std::int64_t, std::uint64_t> rows;
      for (const auto& [low, count] : parts)
        rows[std::stoll(low)] = static_cast<std::uint64_t>(count);
      std::vector<bucket> buckets;
      for (auto low = rows.begin()->first; low <= rows.rbegin()->first;
           low = low == 0 ? 1 : low * 2)
        buckets.push_back({low, low == 0 ? 0 : 2 * low - 1,
                           rows.contains(low) ? rows[low] : 0});
      entry.value = buckets;
    } else if (kind == simulated_kind::stats) {
      const auto samples = parts.at("samples");
      const auto total = parts.at("total");
      entry.value = stats_value{samples, total / samples, total};
    } else {
      entry.value = parts.at("");
    }
    print.entries.push_back(entry);
  }
  return print;
}

/// What the printed numbers amount to: design, section 3, "the invariant".
class invariant {
public:
  /// A print of a map that the script clears after each.
  void cleared(const contents& print) {
    add(total_, print);
  }

  /// A print of a map that counts on. `resets`, `top`: as in map_rules.
  void cumulative(const contents& print, bool resets, bool deletes, bool top,
                  bool falls_judged) {
    auto fell = false;
    for (const auto& [key, parts] : last_) {
      const auto now = print.find(key);
      if (now == print.end()) {
        fell = fell || !top;
        if (!top && deletes && !resets)
          add(total_, {{key, parts}});
        continue;
      }
      auto key_fell = false;
      for (const auto& [part, value] : parts) {
        const auto there = now->second.find(part);
        const auto seen = there == now->second.end() ? exact{0} : there->second;
        key_fell =
          key_fell || (seen < value && (falls_judged || part == "samples"));
      }
      if (key_fell && deletes && !resets)
        add(total_, {{key, parts}});
      fell = fell || key_fell;
    }
    if (fell && resets) {
      add(total_, last_);
      last_.clear();
    }
    if (!top)
      last_.clear();
    for (const auto& [key, parts] : print)
      last_[key] = parts;
  }

  void life_ended() {
    add(total_, last_);
    last_.clear();
  }

  const contents& total() const {
    return total_;
  }

private:
  static void add(contents& to, const contents& what) {
    for (const auto& [key, parts] : what)
      for (const auto& [part, value] : parts)
        to[key][part] += value;
  }

  contents total_;
  contents last_;
};

} // namespace bpf2graphite
