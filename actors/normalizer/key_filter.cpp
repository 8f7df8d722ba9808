#include "actors/normalizer/key_filter.hpp"

#include <algorithm>

namespace bpf2graphite {

bool glob_matches(std::string_view pattern, std::string_view text) {
  auto p = std::size_t{0};
  auto t = std::size_t{0};
  auto star = std::string_view::npos; // the last `*` ...
  auto from = std::size_t{0};         // ... and where its match ends so far
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = t;
    } else if (p < pattern.size()
               && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*')
    ++p;
  return p == pattern.size();
}

key_filter::key_filter(const std::vector<std::string>& names,
                       const std::vector<std::string>& keep,
                       const std::vector<std::string>& drop)
  : keep_{read(names, keep)}, drop_{read(names, drop)} {}

std::vector<key_filter::pattern>
key_filter::read(const std::vector<std::string>& names,
                 const std::vector<std::string>& patterns) {
  std::vector<pattern> result;
  for (const auto& text : patterns) {
    pattern next{std::nullopt, text};
    if (const auto sign = text.find('='); sign != std::string::npos) {
      const auto name =
        std::find(names.begin(), names.end(), text.substr(0, sign));
      if (name != names.end())
        next = {static_cast<std::size_t>(name - names.begin()),
                text.substr(sign + 1)};
    }
    result.push_back(std::move(next));
  }
  return result;
}

bool key_filter::any(const std::vector<pattern>& patterns,
                     const std::vector<std::string>& parts) {
  for (const auto& [part, glob] : patterns)
    for (auto i = std::size_t{0}; i < parts.size(); ++i)
      if ((!part || *part == i) && glob_matches(glob, parts[i]))
        return true;
  return false;
}

bool key_filter::wants(const std::vector<std::string>& parts) const {
  if (parts.empty())
    return true;
  return (keep_.empty() || any(keep_, parts)) && !any(drop_, parts);
}

} // namespace bpf2graphite
