#include "app/status_text.hpp"

#include "app/json_fields.hpp"
#include "app/log.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string_view>
#include <vector>

namespace bpf2graphite {
namespace {

namespace json = boost::json;

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

/// The end of what bpftrace said, which tells most: whole lines, each marked
/// and cut to `columns` (0: not cut).
std::string last_lines(std::string_view said, std::size_t columns) {
  constexpr std::size_t shown_max = 400;
  if (said.size() > shown_max) {
    said.remove_prefix(said.size() - shown_max);
    // A line that was cut in the middle tells little.
    if (auto end = said.find('\n'); end + 1 < said.size())
      said.remove_prefix(end + 1);
  }
  std::string out;
  while (!said.empty()) {
    auto line = said.substr(0, said.find('\n'));
    said.remove_prefix(std::min(said.size(), line.size() + 1));
    if (!line.empty())
      out += cut("  | " + escaped(line), columns) + "\n";
  }
  return out;
}

std::uint64_t age(std::uint64_t now, std::uint64_t since) {
  return now > since ? now - since : 0;
}

/// `1000 traces: 2 failing, 998 running`: who lists a thousand looks at the end
/// of them.
std::string how_many(const json::value& document) {
  std::map<std::string, std::size_t> states;
  std::size_t all = 0;
  if (const auto* traces = member(document, "traces").if_array())
    for (const auto& trace : *traces) {
      ++states[text_in(trace, "state")];
      ++all;
    }
  auto out = std::to_string(all) + (all == 1 ? " trace" : " traces");
  for (const auto& [state, count] : states)
    out += (&state == &states.begin()->first ? ": " : ", ")
           + std::to_string(count) + " " + state;
  return out + "\n";
}

} // namespace

std::string status_text(const json::value& document, std::size_t columns) {
  auto now = number_in(document, "now");
  auto started = number_in(document, "started");
  std::string out =
    "bpf2graphite " + text_in(document, "version") + ", pid "
    + text_in(document, "pid") + ", up "
    + short_duration(now > started ? now - started : 0) + ", "
    + std::to_string(number_in(member(document, "process"), "rss_kb") / 1024)
    + " MB, host " + text_in(document, "host") + "\nconfiguration "
    + text_in(document, "config") + " (server from "
    + text_in(document, "server_origin") + ", port from "
    + text_in(document, "port_origin") + ")\n\n";
  std::vector<row> rows{{"TRACE", "STATE", "PID", "RESTARTS", "SERIES",
                         "VALUES", "POINTS", "LOST", "MB"}};
  std::string words;
  if (const auto* traces = member(document, "traces").if_array())
    for (const auto& trace : *traces) {
      const auto& counts = member(trace, "counts");
      auto lost =
        number_in(counts, "lost_events") + number_in(counts, "rejected")
        + number_in(counts, "dropped_budget") + number_in(counts, "crash");
      auto pid = number_in(trace, "pid");
      rows.push_back(
        {text_in(trace, "name"), text_in(trace, "state"),
         pid == 0 ? "-" : std::to_string(pid),
         short_number(number_in(counts, "restarts")),
         short_number(number_in(counts, "series")),
         short_number(number_in(counts, "read")),
         short_number(number_in(counts, "points_made")), short_number(lost),
         std::to_string(number_in(member(trace, "process"), "rss_kb") / 1024)});
      auto reason = text_in(trace, "reason");
      auto state = text_in(trace, "state");
      if (!reason.empty() && reason != "-")
        words +=
          cut(text_in(trace, "name")
                + (state == "running" ? ", the last time: " : ": ") + reason,
              columns)
          + "\n";
      const auto* last = member(trace, "last_words").if_string();
      if (state != "running" && last != nullptr)
        words += last_lines({last->data(), last->size()}, columns);
    }
  out += table(rows) + how_many(document);
  if (!words.empty())
    out += "\n" + words;
  rows = {{"DESTINATION", "STATE", "ACCEPTED", "WAITING", "DROPPED", "RESENT",
           "PARKED", "CONNECTS", "OLDEST", "LAST", "TOOK"}};
  std::string troubles;
  if (const auto* destinations = member(document, "destinations").if_array())
    for (const auto& to : *destinations) {
      const auto& counts = member(to, "counts");
      auto oldest = number_in(to, "oldest_slot");
      auto accepted = number_in(to, "accepted_at");
      if (auto reason = text_in(to, "reason"); !reason.empty() && reason != "-")
        troubles += cut(text_in(to, "name") + ", for "
                          + short_duration(age(now, number_in(to, "since")))
                          + ": " + reason,
                        columns)
                    + "\n";
      rows.push_back(
        {text_in(to, "name"), text_in(to, "state"),
         short_number(number_in(counts, "accepted")),
         short_number(number_in(counts, "waiting")),
         short_number(number_in(counts, "dropped_buffer")
                      + number_in(counts, "dropped_stop")),
         short_number(number_in(counts, "resent")),
         short_number(number_in(counts, "parked")),
         short_number(number_in(counts, "connects")),
         oldest == 0 ? "-" : short_duration(age(now, oldest)),
         accepted == 0 ? "never" : short_duration(age(now, accepted)) + " ago",
         text_in(to, "acceptance_ms") + " ms"});
    }
  out += "\n" + table(rows);
  if (!troubles.empty())
    out += "\n" + troubles;
  out += "\nLEDGER\n";
  std::string line;
  if (const auto* ledger = member(document, "ledger").if_object())
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
