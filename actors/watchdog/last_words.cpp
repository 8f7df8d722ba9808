#include "actors/watchdog/last_words.hpp"

#include <utility>

namespace bpf2graphite {

std::vector<std::string> last_words::add(std::string_view bytes,
                                         clock::time_point now) {
  kept_.append(bytes);
  // Twice the size before it is cut: not a move of 4 KiB for each byte.
  if (kept_.size() > 2 * kept_bytes_max)
    kept_.erase(0, kept_.size() - kept_bytes_max);
  std::vector<std::string> lines;
  while (!bytes.empty()) {
    auto end = bytes.find('\n');
    auto part = bytes.substr(0, end);
    auto room = line_bytes_max - line_.size();
    cut_ = cut_ || part.size() > room;
    line_.append(part.substr(0, room));
    if (end == std::string_view::npos)
      break;
    end_line(now, lines);
    bytes.remove_prefix(end + 1);
  }
  return lines;
}

void last_words::end_line(clock::time_point now,
                          std::vector<std::string>& lines) {
  auto line = std::exchange(line_, {});
  auto cut = std::exchange(cut_, false);
  if (line.find_first_not_of(" \t\r") == std::string::npos)
    return;
  if (logged_ + losses_ == 0 || now - period_began_ >= period) {
    period_began_ = now;
    logged_ = losses_ = 0;
  }
  auto loss = is_loss(line);
  auto& logged = loss ? losses_ : logged_;
  if (logged >= (loss ? losses_max : lines_max) || known(line, now)) {
    ++left_out_;
    return;
  }
  ++logged;
  known_.push_back({line, now});
  if (known_.size() > known_lines_max)
    known_.erase(known_.begin());
  if (cut)
    line += " ...";
  if (auto count = std::exchange(left_out_, 0); count > 0)
    line += " (" + std::to_string(count) + " lines before this left out)";
  lines.push_back(std::move(line));
}

bool last_words::known(const std::string& line, clock::time_point now) {
  while (!known_.empty() && now - known_.front().at >= repeat_after)
    known_.erase(known_.begin());
  return std::any_of(known_.begin(), known_.end(),
                     [&](const auto& entry) { return entry.text == line; });
}

void last_words::start_over() {
  kept_.clear();
  line_.clear();
  cut_ = false;
}

bool is_loss(std::string_view line) {
  // Up to 0.20, since then: src/attached_probe.cpp and src/bpftrace.cpp.
  for (std::string_view words :
       {"WARNING: could not attach probe", "WARNING: Unable to attach probe",
        "WARNING: Could not read symbols from"})
    if (line.find(words) != std::string_view::npos)
      return true;
  return false;
}

bool is_noise(std::string_view line) {
  return line.find("RLIMIT_MEMLOCK") != std::string_view::npos;
}

} // namespace bpf2graphite
