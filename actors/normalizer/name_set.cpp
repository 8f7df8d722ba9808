#include "actors/normalizer/name_set.hpp"

#include <functional>
#include <string_view>
#include <utility>

namespace bpf2graphite {
namespace {

constexpr std::size_t places_min = 16;

} // namespace

std::size_t name_set::home_of(const series_name& name) const {
  return std::hash<std::string_view>{}(*name) & (places_.size() - 1);
}

/// Where the text is, or would be put.
std::size_t name_set::place_of(const series_name& name) const {
  auto at = home_of(name);
  while (places_[at] && *places_[at] != *name)
    at = (at + 1) & (places_.size() - 1);
  return at;
}

void name_set::grow() {
  auto before = std::exchange(
    places_, std::vector<series_name>(places_.empty() ? places_min
                                                      : 2 * places_.size()));
  for (auto& name : before)
    if (name) {
      auto& place = places_[place_of(name)]; // while it still is a name
      place = std::move(name);
    }
}

bool name_set::insert(const series_name& name) {
  if (4 * (used_ + 1) > 3 * places_.size())
    grow();
  auto& place = places_[place_of(name)];
  if (place)
    return false;
  place = name;
  ++used_;
  return true;
}

void name_set::erase(const series_name& name) {
  if (used_ == 0)
    return;
  auto gap = place_of(name);
  if (!places_[gap].shares(name))
    return;
  --used_;
  // Those behind that would not be found across the gap move into it.
  const auto mask = places_.size() - 1;
  for (auto at = (gap + 1) & mask; places_[at]; at = (at + 1) & mask) {
    const auto from_home = (at - home_of(places_[at])) & mask;
    if (from_home >= ((at - gap) & mask)) {
      places_[gap] = std::move(places_[at]);
      gap = at;
    }
  }
  places_[gap] = {};
}

} // namespace bpf2graphite
