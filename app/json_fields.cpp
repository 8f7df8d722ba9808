#include "app/json_fields.hpp"

#include "app/log.hpp"

#include <boost/json.hpp>

#include <array>

namespace bpf2graphite {

const boost::json::value& member(const boost::json::value& in,
                                 const char* name) {
  static const boost::json::value nothing;
  const auto* object = in.if_object();
  const auto* found = object != nullptr ? object->if_contains(name) : nullptr;
  return found == nullptr ? nothing : *found;
}

std::uint64_t number_in(const boost::json::value& in, const char* name) {
  const auto& found = member(in, name);
  if (const auto* whole = found.if_int64())
    return *whole < 0 ? 0 : static_cast<std::uint64_t>(*whole);
  if (const auto* whole = found.if_uint64())
    return *whole;
  return 0;
}

std::string text_in(const boost::json::value& in, const char* name) {
  const auto& found = member(in, name);
  if (found.is_null())
    return "-";
  if (const auto* text = found.if_string())
    return escaped({text->data(), text->size()});
  return boost::json::serialize(found);
}

std::string short_number(std::uint64_t n) {
  constexpr std::array units{"", "k", "M", "G", "T", "P", "E"};
  constexpr std::uint64_t whole_below = 10'000;
  std::size_t unit = 0;
  std::uint64_t tenth = 0;
  while (n >= whole_below) {
    tenth = n % 1000 / 100;
    n /= 1000;
    ++unit;
  }
  auto out = std::to_string(n);
  if (unit > 0 && n < 100)
    out += "." + std::to_string(tenth);
  return out + units.at(unit);
}

std::string short_duration(std::uint64_t s) {
  constexpr std::uint64_t minute = 60;
  constexpr std::uint64_t hour = 60 * minute;
  constexpr std::uint64_t day = 24 * hour;
  auto two = [](std::uint64_t a, const char* x, std::uint64_t b,
                const char* y) {
    return std::to_string(a) + x + std::to_string(b) + y;
  };
  if (s >= day)
    return two(s / day, "d", s % day / hour, "h");
  if (s >= hour)
    return two(s / hour, "h", s % hour / minute, "m");
  if (s >= minute)
    return two(s / minute, "m", s % minute, "s");
  return std::to_string(s) + "s";
}

} // namespace bpf2graphite
