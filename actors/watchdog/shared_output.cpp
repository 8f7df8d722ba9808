#include "actors/watchdog/shared_output.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace bpf2graphite {
namespace {

constexpr std::string_view record_begin = "{\"type\": \"";
constexpr std::string_view data_begin = "\", \"data\": {\"@";

/// Enough of a record to see whose map it is.
constexpr std::size_t record_head_bytes = 96;

template <std::size_t N>
bool one_of(std::string_view word,
            const std::array<std::string_view, N>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

constexpr std::array<std::string_view, 4> map_types{"map", "hist", "stats",
                                                    "tseries"};
constexpr std::array<std::string_view, 4> common_types{
  "attached_probes", "lost_events", "helper_error", "runtime_error"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// `Attaching 3 probes...`, and `Lost 3 events` at the end of a line.
bool is_notice(std::string_view line) {
  if (line.starts_with("Attaching ") && line.find(" probe") < line.size())
    return true;
  auto lost = line.rfind("Lost ");
  if (lost == std::string_view::npos)
    return false;
  auto rest = line.substr(lost + 5);
  std::size_t digits = 0;
  while (digits < rest.size() && is_digit(rest[digits]))
    ++digits;
  return digits > 0 && rest.substr(digits) == " events";
}

/// A warning of bpftrace, with a place in the program: the lines that follow
/// it, or -1: it is none.
int excerpt_of(std::string_view line) {
  constexpr std::string_view file = "stdin:";
  if (!line.starts_with(file))
    return -1;
  auto level = line.find(": WARNING: ");
  if (level == std::string_view::npos)
    level = line.find(": ERROR: ");
  if (level == std::string_view::npos)
    return -1;
  auto place = line.substr(file.size(), level - file.size());
  if (place.empty() || !is_digit(place[0])
      || place.find_first_not_of("0123456789:-") != std::string_view::npos)
    return -1;
  // "12:3-9" is followed by that line, "12-14" is not.
  return place.find(':') == std::string_view::npos ? 0 : 3;
}

bool is_underline(std::string_view line) {
  auto first = line.find_first_not_of(' ');
  return first != std::string_view::npos
         && line.find_first_not_of('~', first) == std::string_view::npos;
}

} // namespace

shared_output::shared_output(bool text, std::vector<std::string> prefixes)
  : text_{text}, prefixes_{std::move(prefixes)}, out_(prefixes_.size()) {}

/// Whose map has this name, which stands behind its @.
std::size_t shared_output::owner_at(std::string_view name) const {
  // p, its number, the tag, _.
  if (name.empty() || name[0] != 'p')
    return nobody;
  std::size_t number = 0;
  std::size_t at = 1;
  for (; at < name.size() && at < 6 && is_digit(name[at]); ++at)
    number = number * 10 + static_cast<std::size_t>(name[at] - '0');
  if (number == 0 || number > prefixes_.size()
      || !name.starts_with(prefixes_[number - 1]))
    return nobody;
  return number - 1;
}

void shared_output::to_all(std::string_view text) {
  for (auto& one : out_)
    one += text;
}

std::string shared_output::take_out(std::size_t part) {
  return std::exchange(out_[part], {});
}

/// True when `head_` is dealt with and `state_` says what becomes of the rest
/// of its line.
bool shared_output::decide_json(bool complete) {
  std::string_view head = head_;
  if (complete && head.find_first_not_of(" \r\n") == std::string_view::npos) {
    to_all("\n");
    return true;
  }
  auto claimed = [&] {
    if (!head.starts_with(record_begin))
      return false;
    auto type_end = head.find('"', record_begin.size());
    if (type_end == std::string_view::npos)
      return false;
    auto type =
      head.substr(record_begin.size(), type_end - record_begin.size());
    if (complete && one_of(type, common_types)) {
      to_all(head);
      return true;
    }
    if (!one_of(type, map_types)
        || !head.substr(type_end).starts_with(data_begin))
      return false;
    auto name = type_end + data_begin.size();
    auto owner = owner_at(head.substr(name));
    if (owner == nobody)
      return false;
    maps_seen_ = true;
    current_ = owner;
    out_[owner] += head.substr(0, name);
    out_[owner] += head.substr(name + prefixes_[owner].size());
    state_ = state::pass;
    return true;
  };
  if (claimed())
    return true;
  if (!complete && head_.size() < head_bytes_max) {
    // It may still be one of those for all, or cut within its name.
    auto type = head.substr(std::min(record_begin.size(), head.size()));
    type = type.substr(0, type.find('"'));
    if (head_.size() < record_head_bytes || one_of(type, common_types))
      return false;
  }
  ++unclaimed_;
  state_ = state::skip;
  return true;
}

void shared_output::take(std::string_view chunk) {
  while (!chunk.empty()) {
    auto end = chunk.find('\n');
    auto complete = end != std::string_view::npos;
    auto piece = chunk.substr(0, complete ? end + 1 : chunk.size());
    if (state_ == state::pass) {
      out_[current_] += piece;
    } else if (state_ == state::head && text_) {
      head_ += piece;
      if (complete || head_.size() >= line_bytes_max)
        take_text_line(std::exchange(head_, {}));
    } else if (state_ == state::head) {
      // The beginning only, so that a long line is not copied twice.
      auto wanted = head_.size() < record_head_bytes
                      ? record_head_bytes - head_.size()
                      : head_bytes_max - head_.size();
      if (piece.size() > wanted) {
        piece = piece.substr(0, wanted);
        complete = false;
      }
      head_ += piece;
      if (decide_json(complete))
        head_.clear();
    }
    chunk.remove_prefix(piece.size());
    if (complete)
      state_ = state::head;
  }
}

void shared_output::take_text_line(std::string_view line) {
  auto bare = line;
  if (bare.ends_with('\n'))
    bare.remove_suffix(1);
  if (excerpt_ > 0) {
    --excerpt_;
    if (is_underline(bare))
      excerpt_ = 0;
    return to_all(line);
  }
  if (bare.empty() && line.size() == 1) {
    ++blanks_;
    for (std::size_t i = 0; i < out_.size(); ++i)
      if (i == current_ || blanks_ > 2)
        out_[i] += '\n';
      else if (blanks_ == 2)
        out_[i] += "\n\n";
    return;
  }
  if (is_notice(bare)) {
    blanks_ = 0;
    return to_all(line);
  }
  if (auto follow = excerpt_of(bare); follow >= 0) {
    blanks_ = 0;
    excerpt_ = static_cast<std::size_t>(follow);
    return to_all(line);
  }
  blanks_ = 0;
  // Whatever stands before a name belongs to the map before it.
  std::size_t from = 0;
  for (std::size_t at = line.find('@'); at != std::string_view::npos;
       at = line.find('@', at + 1)) {
    auto owner = owner_at(line.substr(at + 1));
    if (owner == nobody)
      continue;
    if (current_ != nobody)
      out_[current_] += line.substr(from, at - from);
    maps_seen_ = true;
    current_ = owner;
    out_[owner] += '@';
    from = at + 1 + prefixes_[owner].size();
  }
  if (current_ != nobody)
    out_[current_] += line.substr(from);
  else
    ++unclaimed_;
}

void shared_output::finish() {
  if (!head_.empty() && text_)
    take_text_line(std::exchange(head_, {}));
  else if (!head_.empty() && !decide_json(false))
    ++unclaimed_;
  head_.clear();
  state_ = state::head;
}

} // namespace bpf2graphite
