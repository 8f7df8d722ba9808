#include "app/recording.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace bpf2graphite {
namespace {

constexpr std::string_view version_word = "# version ";
constexpr std::string_view began_word = "# began ";

/// A number at the beginning of `text`, which it is taken from.
template <class Number>
bool take(std::string_view& text, Number& number) {
  auto [end, error] =
    std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{})
    return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

} // namespace

std::string to_text(const recording_head& head) {
  std::string out;
  auto clean = std::all_of(head.version.begin(), head.version.end(),
                           [](char c) { return c >= ' ' && c <= '~'; });
  if (clean && !head.version.empty())
    out.append(version_word).append(head.version) += '\n';
  if (head.began) {
    auto ms = head.began->time_since_epoch().count();
    auto thousandths = std::to_string(1000 + ms % 1000);
    out.append(began_word).append(std::to_string(ms / 1000)) += '.';
    out.append(thousandths, 1, 3) += '\n';
  }
  return out;
}

std::string times_line(std::chrono::milliseconds since_began,
                       std::uint64_t bytes) {
  return std::to_string(since_began.count()) + " " + std::to_string(bytes)
         + "\n";
}

bool arrival_times::read_head(std::string_view line) {
  if (line.starts_with(version_word)) {
    head_.version = line.substr(version_word.size());
    return true;
  }
  if (!line.starts_with(began_word))
    return true;
  line.remove_prefix(began_word.size());
  constexpr std::uint64_t seconds_max = 1ULL << 33U;
  std::uint64_t seconds = 0;
  std::uint32_t ms = 0;
  if (!take(line, seconds) || seconds > seconds_max || line.size() != 4
      || line[0] != '.')
    return false;
  line.remove_prefix(1);
  if (!take(line, ms) || !line.empty())
    return false;
  head_.began = wall_time_from_ms(static_cast<std::int64_t>(seconds) * 1000
                                  + static_cast<std::int64_t>(ms));
  return true;
}

bool arrival_times::read(std::string_view text) {
  while (!text.empty()) {
    auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty())
      continue;
    if (line[0] == '#') {
      if (!read_head(line))
        return false;
      continue;
    }
    std::int64_t ms = 0;
    std::uint64_t bytes = 0;
    if (!take(line, ms) || !line.starts_with(' '))
      return false;
    line.remove_prefix(1);
    if (!take(line, bytes) || !line.empty()
        || (!times_.empty()
            && (ms < times_.back().first || bytes < times_.back().second)))
      return false;
    times_.emplace_back(ms, bytes);
  }
  return true;
}

std::pair<std::uint64_t, wall_time> arrival_times::at(std::uint64_t offset) {
  while (next_ < times_.size() && times_[next_].second <= offset)
    ++next_;
  auto all = std::numeric_limits<std::uint64_t>::max();
  if (times_.empty())
    return {all, start_};
  if (next_ == times_.size())
    return {all, start_ + std::chrono::milliseconds{times_.back().first}};
  return {times_[next_].second - offset,
          start_ + std::chrono::milliseconds{times_[next_].first}};
}

recording_end::order recording_end::ask(time now) {
  if (asked_at_) {
    killed_ = true;
    return order::kill;
  }
  asked_at_ = interrupted_at_ = now;
  return order::interrupt;
}

recording_end::order recording_end::due(time now, time last_output) {
  auto when = deadline(last_output);
  if (!when || now < *when)
    return order::none;
  if (now >= *asked_at_ + stop_timeout_) {
    killed_ = true;
    return order::kill;
  }
  interrupted_at_ = now;
  return order::interrupt;
}

std::optional<recording_end::time>
recording_end::deadline(time last_output) const {
  if (!asked_at_ || killed_)
    return std::nullopt;
  return std::min(std::max(last_output, interrupted_at_) + quiet_max,
                  *asked_at_ + stop_timeout_);
}

} // namespace bpf2graphite
