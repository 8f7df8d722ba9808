#include "app/log_queue.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <string_view>

namespace bpf2graphite {
namespace {

constexpr std::array<std::string_view, 5> words{"error", "warning", "notice",
                                                "info", "debug"};

std::string_view word_of(log_level level) {
  return words.at(static_cast<std::size_t>(level));
}

std::size_t size_of(const log_record& record) {
  return sizeof(log_record) + record.prefix.size() + record.text.size()
         + record.trace.size() + record.event.size();
}

std::string time_text(std::chrono::system_clock::time_point at) {
  auto ms = std::chrono::floor<std::chrono::milliseconds>(at);
  auto seconds = std::chrono::floor<std::chrono::seconds>(ms);
  auto whole = std::chrono::system_clock::to_time_t(seconds);
  std::tm utc{};
  ::gmtime_r(&whole, &utc);
  std::array<char, 40> day{};
  std::array<char, 48> text{};
  std::strftime(day.data(), day.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text.data(), text.size(), "%s.%03dZ", day.data(),
                static_cast<int>((ms - seconds).count()));
  return text.data();
}

} // namespace

bool log_queue::push(log_record record) {
  auto size = size_of(record);
  if (records_.size() >= records_max || bytes_ + size > bytes_max) {
    ++dropped_;
    dropped_at_ = record.at;
    return false;
  }
  if (dropped_ > 0)
    say_dropped();
  bytes_ += size;
  records_.push_back(std::move(record));
  return true;
}

std::optional<log_record> log_queue::pop() {
  if (records_.empty() && dropped_ > 0)
    say_dropped();
  if (records_.empty())
    return std::nullopt;
  auto record = std::move(records_.front());
  records_.pop_front();
  bytes_ -= size_of(record);
  return record;
}

void log_queue::say_dropped() {
  log_record word;
  word.level = log_level::warning;
  word.at = dropped_at_;
  word.text = std::to_string(std::exchange(dropped_, 0))
              + " messages dropped: the log took nothing for too long; look at "
                "where it goes";
  word.event = log_event::log_dropped;
  bytes_ += size_of(word);
  records_.push_back(std::move(word));
}

bool log_limiter::admit(const place& where, const std::string& text,
                        clock::time_point now) {
  auto known = places_.find(where);
  if (known == places_.end()) {
    if (places_.size() >= places_max)
      places_.erase(std::min_element(places_.begin(), places_.end(),
                                     [](const auto& a, const auto& b) {
                                       return a.second.began < b.second.began;
                                     }));
    known = places_.emplace(where, budget{}).first;
    known->second.began = now;
  }
  auto& has = known->second;
  if (now - has.began >= period && has.left_out == 0) {
    has.began = now;
    has.lines = 0;
  }
  if (has.lines < lines_max) {
    ++has.lines;
    return true;
  }
  if (has.left_out++ == 0) {
    has.example = text;
    auto over = has.began + period;
    first_over_ = first_over_ ? std::min(*first_over_, over) : over;
  }
  return false;
}

std::vector<log_limiter::left_out> log_limiter::over(clock::time_point now) {
  if (!first_over_ || now < *first_over_)
    return {};
  return take(now - period);
}

std::vector<log_limiter::left_out> log_limiter::rest() {
  return take(clock::time_point::max());
}

std::vector<log_limiter::left_out> log_limiter::take(clock::time_point before) {
  std::vector<left_out> result;
  first_over_.reset();
  for (auto& [where, has] : places_) {
    if (has.left_out == 0)
      continue;
    if (has.began > before) {
      auto over = has.began + period;
      first_over_ = first_over_ ? std::min(*first_over_, over) : over;
      continue;
    }
    result.push_back(
      {where.trace, std::move(has.example), std::exchange(has.left_out, 0)});
    has.example.clear();
  }
  return result;
}

std::string as_text(const log_record& record) {
  return "bpf2graphite: " + std::string{word_of(record.level)} + ": "
         + record.prefix + record.text + '\n';
}

std::string as_json(const log_record& record) {
  auto out = "{\"time\":\"" + time_text(record.at) + "\",\"level\":\""
             + std::string{word_of(record.level)} + '"';
  auto add = [&out](const char* name, std::string_view value) {
    out += std::string{",\""} + name + "\":\"";
    for (char c : value) { // nothing else is left that JSON would mind
      if (c == '"' || c == '\\')
        out += '\\';
      out += c;
    }
    out += '"';
  };
  add("message", record.text);
  if (!record.trace.empty())
    add("trace", record.trace);
  if (!record.event.empty())
    add("event", record.event);
  return out + "}\n";
}

} // namespace bpf2graphite
