#include "app/status_text.hpp"

#include "app/log.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <vector>

namespace bpf2graphite {
namespace {

namespace json = boost::json;

std::string text_at(const json::value& in, const char* name) {
  const auto* object = in.if_object();
  const auto* found = object != nullptr ? object->if_contains(name) : nullptr;
  if (found == nullptr)
    return "-";
  if (const auto* text = found->if_string())
    return escaped({text->data(), text->size()});
  return json::serialize(*found);
}

std::uint64_t number_at(const json::value& in, const char* name) {
  const auto* object = in.if_object();
  const auto* found = object != nullptr ? object->if_contains(name) : nullptr;
  if (found == nullptr)
    return 0;
  if (const auto* whole = found->if_int64())
    return *whole < 0 ? 0 : static_cast<std::uint64_t>(*whole);
  if (const auto* whole = found->if_uint64())
    return *whole;
  return 0;
}

const json::value& at(const json::value& in, const char* name) {
  static const json::value nothing;
  const auto* object = in.if_object();
  const auto* found = object != nullptr ? object->if_contains(name) : nullptr;
  return found == nullptr ? nothing : *found;
}

/// 12 345 678 as 12.3M, so that columns stay narrow.
std::string short_number(std::uint64_t n) {
  constexpr const char* units[]{"", "k", "M", "G", "T", "P", "E"};
  std::size_t unit = 0;
  auto rest = n;
  std::uint64_t tenth = 0;
  while (rest >= 10'000) {
    tenth = rest % 1000 / 100;
    rest /= 1000;
    ++unit;
  }
  auto out = std::to_string(rest);
  if (unit > 0 && rest < 100)
    out += "." + std::to_string(tenth);
  return out + units[unit];
}

std::string duration(std::uint64_t s) {
  constexpr std::uint64_t minute = 60;
  constexpr std::uint64_t hour = 60 * minute;
  constexpr std::uint64_t day = 24 * hour;
  if (s >= day)
    return std::to_string(s / day) + "d" + std::to_string(s % day / hour) + "h";
  if (s >= hour)
    return std::to_string(s / hour) + "h" + std::to_string(s % hour / minute)
           + "m";
  if (s >= minute)
    return std::to_string(s / minute) + "m" + std::to_string(s % minute) + "s";
  return std::to_string(s) + "s";
}

using row = std::vector<std::string>;

/// Columns as wide as their widest cell; the first one to the left, the others
/// to the right.
std::string table(const std::vector<row>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& cells : rows)
    for (std::size_t i = 0; i < cells.size(); ++i) {
      widths.resize(std::max(widths.size(), i + 1));
      widths[i] = std::max(widths[i], cells[i].size());
    }
  std::string out;
  for (const auto& cells : rows) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      std::string pad(widths[i] - cells[i].size(), ' ');
      out += i < 2 ? cells[i] + pad : pad + cells[i];
      out += "  ";
    }
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  }
  return out;
}

std::string cut(std::string text, std::size_t columns) {
  if (columns > 3 && text.size() > columns) {
    text.resize(columns - 3);
    text += "...";
  }
  return text;
}

} // namespace

std::string status_text(const json::value& document, std::size_t columns) {
  auto now = number_at(document, "now");
  auto started = number_at(document, "started");
  std::string out =
    "bpf2graphite " + text_at(document, "version") + ", pid "
    + text_at(document, "pid") + ", up "
    + duration(now > started ? now - started : 0) + ", "
    + std::to_string(number_at(at(document, "process"), "rss_kb") / 1024)
    + " MB, host " + text_at(document, "host") + "\nconfiguration "
    + text_at(document, "config") + " (server from "
    + text_at(document, "server_origin") + ", port from "
    + text_at(document, "port_origin") + ")\n\n";
  std::vector<row> rows{{"TRACE", "STATE", "PID", "RESTARTS", "SERIES",
                         "VALUES", "POINTS", "LOST", "MB"}};
  std::string words;
  if (const auto* traces = at(document, "traces").if_array())
    for (const auto& trace : *traces) {
      const auto& counts = at(trace, "counts");
      auto lost =
        number_at(counts, "lost_events") + number_at(counts, "rejected")
        + number_at(counts, "dropped_budget") + number_at(counts, "crash");
      auto pid = number_at(trace, "pid");
      rows.push_back(
        {text_at(trace, "name"), text_at(trace, "state"),
         pid == 0 ? "-" : std::to_string(pid),
         short_number(number_at(counts, "restarts")),
         short_number(number_at(counts, "series")),
         short_number(number_at(counts, "read")),
         short_number(number_at(counts, "points_made")), short_number(lost),
         std::to_string(number_at(at(trace, "process"), "rss_kb") / 1024)});
      auto reason = text_at(trace, "reason");
      auto state = text_at(trace, "state");
      if (!reason.empty() && reason != "-")
        words +=
          cut(text_at(trace, "name")
                + (state == "running" ? ", the last time: " : ": ") + reason,
              columns)
          + "\n";
      auto last = text_at(trace, "last_words");
      if (state != "running" && !last.empty() && last != "-") {
        // The end of what bpftrace said tells most.
        constexpr std::size_t shown_max = 400;
        if (last.size() > shown_max)
          last = "..." + last.substr(last.size() - shown_max);
        words +=
          "  bpftrace: " + cut(last, columns == 0 ? 0 : 4 * columns) + "\n";
      }
    }
  out += table(rows);
  if (!words.empty())
    out += "\n" + words;
  rows = {{"DESTINATION", "STATE", "ACCEPTED", "WAITING", "DROPPED", "RESENT",
           "PARKED", "CONNECTS"}};
  if (const auto* destinations = at(document, "destinations").if_array())
    for (const auto& to : *destinations) {
      const auto& counts = at(to, "counts");
      auto state = text_at(to, "state");
      rows.push_back({text_at(to, "name"), state.empty() ? "-" : state,
                      short_number(number_at(counts, "accepted")),
                      short_number(number_at(counts, "waiting")),
                      short_number(number_at(counts, "dropped_buffer")
                                   + number_at(counts, "dropped_stop")),
                      short_number(number_at(counts, "resent")),
                      short_number(number_at(counts, "parked")),
                      short_number(number_at(counts, "connects"))});
    }
  out += "\n" + table(rows) + "\nLEDGER\n";
  std::string line;
  if (const auto* ledger = at(document, "ledger").if_object())
    for (const auto& [name, value] : *ledger) {
      auto number = json::serialize(value);
      if (number == "0")
        continue;
      auto word = std::string{name} + "=" + number;
      if (!line.empty()
          && line.size() + 1 + word.size()
               > (columns == 0 ? 79 : columns - 1)) {
        out += line + "\n";
        line.clear();
      }
      line += (line.empty() ? "" : " ") + word;
    }
  return out + line + (line.empty() ? "nothing yet\n" : "\n");
}

} // namespace bpf2graphite
