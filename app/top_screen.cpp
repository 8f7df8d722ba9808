#include "app/top_screen.hpp"

#include "actors/normalizer/histogram_metrics.hpp"
#include "app/json_fields.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

namespace bpf2graphite {
namespace {

namespace json = boost::json;

constexpr std::size_t label_columns = 9;
constexpr std::size_t name_columns_max = 24;
constexpr auto letters = std::string_view{" .:-=+*#%@"};
/// From dark to bright; 0 is the terminal's own background.
constexpr std::array<int, 7> few{0, 44, 46, 42, 43, 41, 47};
constexpr std::array<int, 11> many{0,  17,  18,  19,  26, 37,
                                   41, 190, 220, 208, 196};

const json::array& list_in(const json::value& in, const char* name) {
  static const json::array nothing;
  const auto* found = member(in, name).if_array();
  return found == nullptr ? nothing : *found;
}

/// Text on the screen with its width in cells: escapes have none.
class line {
public:
  explicit line(std::size_t columns) : left_{columns} {}

  void text(std::string_view words) { // ASCII: escaped() saw to that
    words = words.substr(0, left_);
    out_ += words;
    left_ -= words.size();
  }

  void padded(std::string_view words, std::size_t width, bool right = false) {
    words = words.substr(0, width);
    std::string pad(width - words.size(), ' ');
    text(right ? pad : "");
    text(words);
    text(right ? "" : pad);
  }

  void code(std::string_view escape) {
    out_ += escape;
  }

  std::size_t left() const {
    return left_;
  }

  std::string take() {
    return std::move(out_);
  }

private:
  std::string out_;
  std::size_t left_;
};

std::optional<std::int64_t> bound_in(const json::value& row, std::size_t end) {
  const auto* pair = row.if_array();
  if (pair == nullptr || pair->size() <= end)
    return std::nullopt;
  const auto* whole = (*pair)[end].if_int64();
  return whole == nullptr ? std::nullopt : std::optional{*whole};
}

/// 1048576 as 1M: the bounds of hist() are powers of two.
std::string bound_text(std::optional<std::int64_t> bound) {
  if (!bound)
    return "-inf";
  constexpr std::array units{"", "K", "M", "G", "T", "P", "E"};
  auto n = *bound;
  std::size_t unit = 0;
  while (n != 0 && n % 1024 == 0) {
    n /= 1024;
    ++unit;
  }
  auto text = std::to_string(n) + units.at(unit);
  return text.size() <= label_columns - 1
           ? text
           : std::to_string(*bound).substr(0, label_columns - 2) + "~";
}

struct drawn_map {
  std::string name;
  std::vector<json::value> rows;
  const json::array* slots = nullptr;
};

std::vector<std::uint64_t> counts_of(const json::value& slot,
                                     std::size_t rows) {
  std::vector<std::uint64_t> counts(rows, 0);
  for (const auto& pair : list_in(slot, "counts")) {
    const auto* both = pair.if_array();
    if (both == nullptr || both->size() != 2)
      continue;
    json::object wrapped{{"row", (*both)[0]}, {"count", (*both)[1]}};
    auto row = number_in(wrapped, "row");
    if (row < rows)
      counts[row] = number_in(wrapped, "count");
  }
  return counts;
}

/// A percentile of the newest slot that has values, for people: rounded.
std::string percentile_text(const json::value& map, double p) {
  const auto& rows = list_in(map, "rows");
  const auto& slots = list_in(map, "slots");
  for (auto slot = slots.rbegin(); slot != slots.rend(); ++slot) {
    auto counts = counts_of(*slot, rows.size());
    histogram_rows values;
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (counts[i] != 0) {
        constexpr auto least = std::numeric_limits<std::int64_t>::min();
        constexpr auto most = std::numeric_limits<std::int64_t>::max();
        auto low = bound_in(rows[i], 0);
        auto high = bound_in(rows[i], 1);
        values.push_back({{.min = low.value_or(least),
                           .max = high.value_or(most),
                           .open_low = !low,
                           .open_high = !high},
                          exact{counts[i]}});
      }
    auto found = percentile(values, p);
    if (!found)
      continue;
    auto number = std::holds_alternative<exact>(*found)
                    ? static_cast<double>(std::get<exact>(*found))
                    : std::get<double>(*found);
    return number < 0 ? "-" + short_number(static_cast<std::uint64_t>(-number))
                      : short_number(static_cast<std::uint64_t>(number));
  }
  return "-";
}

/// What a counter of that trace gained a second.
std::string rate_text(const json::value& now, const json::value& before,
                      const json::value& trace, const char* counter) {
  auto seconds = number_in(now, "now") - number_in(before, "now");
  if (before.is_null() || seconds == 0
      || number_in(now, "now") < number_in(before, "now"))
    return "-";
  for (const auto& old : list_in(before, "traces"))
    if (text_in(old, "name") == text_in(trace, "name")) {
      auto was = number_in(member(old, "counts"), counter);
      auto is = number_in(member(trace, "counts"), counter);
      return is < was ? "-" : short_number((is - was) / seconds);
    }
  return "-";
}

std::string lost_text(const json::value& counts) {
  std::uint64_t lost = 0;
  for (const char* name :
       {"lost_events", "rejected", "invalid", "dropped_budget", "crash"})
    lost += number_in(counts, name);
  return short_number(lost);
}

void head(const json::value& now, std::size_t columns,
          std::vector<std::string>& out) {
  line first{columns};
  auto up = number_in(now, "now") - number_in(now, "started");
  first.text(
    "bpf2graphite " + text_in(now, "version") + " on " + text_in(now, "host")
    + ", up " + short_duration(up) + ", "
    + std::to_string(number_in(member(now, "process"), "rss_kb") / 1024)
    + " MB");
  out.push_back(first.take());
  for (const auto& to : list_in(now, "destinations")) {
    constexpr std::size_t destinations_shown = 3;
    if (out.size() > destinations_shown)
      break;
    const auto& counts = member(to, "counts");
    line next{columns};
    next.text("to " + text_in(to, "name") + ": "
              + short_number(number_in(counts, "accepted")) + " accepted, "
              + short_number(number_in(counts, "waiting")) + " waiting, "
              + short_number(number_in(counts, "dropped_buffer")
                             + number_in(counts, "dropped_stop"))
              + " dropped, " + short_number(number_in(counts, "resent"))
              + " sent again");
    auto state = text_in(to, "state");
    if (!state.empty() && state != "-")
      next.text(", " + state);
    auto reason = text_in(to, "reason");
    if (!reason.empty() && reason != "-")
      next.text(": " + reason);
    out.push_back(next.take());
  }
}

constexpr std::size_t cell = 8; // columns of a number

std::string trace_line(const json::value& now, const json::value& before,
                       const json::value& trace, const top_view& view,
                       std::size_t name_columns, bool selected) {
  line out{view.columns};
  auto state = text_in(trace, "state");
  if (selected && view.colours != top_colours::none)
    out.code("\x1b[7m");
  out.text(selected ? ">" : " ");
  out.padded(text_in(trace, "name"), name_columns);
  out.text(" ");
  if (view.colours != top_colours::none && !selected)
    out.code(state == "running"   ? "\x1b[32m"
             : state == "failing" ? "\x1b[31m"
                                  : "\x1b[33m");
  out.padded(state, cell);
  if (view.colours != top_colours::none && !selected)
    out.code("\x1b[39m");
  const auto& counts = member(trace, "counts");
  const auto& maps = list_in(trace, "history");
  out.padded(rate_text(now, before, trace, "read"), cell, true);
  for (double p : {50.0, 99.0})
    out.padded(maps.empty() ? "-" : percentile_text(maps.front(), p), cell,
               true);
  out.padded(short_number(number_in(counts, "series")), cell, true);
  out.padded(short_number(number_in(counts, "restarts")), cell + 1, true);
  out.padded(lost_text(counts), cell - 2, true);
  if (selected)
    out.text(std::string(out.left(), ' '));
  if (view.colours != top_colours::none)
    out.code("\x1b[0m");
  auto text = out.take();
  if (view.colours == top_colours::none)
    text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

/// Which of `levels` a count is drawn with: its root, or one large count would
/// leave all others dark. 0 only for nothing.
std::size_t level_of(std::uint64_t count, std::uint64_t most,
                     std::size_t levels) {
  if (count == 0 || most == 0)
    return 0;
  auto share =
    std::sqrt(static_cast<double>(count) / static_cast<double>(most));
  return std::clamp<std::size_t>(static_cast<std::size_t>(std::lround(
                                   share * static_cast<double>(levels - 1))),
                                 1, levels - 1);
}

void heat_cell(line& out, std::uint64_t count, std::uint64_t most,
               top_colours colours) {
  switch (colours) {
    case top_colours::none:
      out.text(letters.substr(level_of(count, most, letters.size()), 1));
      return;
    case top_colours::few:
      if (auto level = level_of(count, most, few.size()))
        out.code("\x1b[" + std::to_string(few.at(level)) + "m");
      else
        out.code("\x1b[49m");
      break;
    case top_colours::many:
      if (auto level = level_of(count, most, many.size()))
        out.code("\x1b[48;5;" + std::to_string(many.at(level)) + "m");
      else
        out.code("\x1b[49m");
      break;
  }
  out.text(" ");
}

void heatmap(const json::value& trace, const top_view& view, std::size_t height,
             std::int64_t resolution, std::vector<std::string>& out) {
  const auto& maps = list_in(trace, "history");
  auto say = [&](const std::string& words) {
    line one{view.columns};
    one.text(words);
    out.push_back(one.take());
  };
  auto reason = text_in(trace, "reason");
  if (text_in(trace, "state") != "running" && !reason.empty() && reason != "-")
    say("  " + reason);
  if (maps.empty()) {
    say("  no histogram yet: a slot has to be over first");
    return;
  }
  const auto& map = maps[std::min(view.map, maps.size() - 1)];
  const auto& rows = list_in(map, "rows");
  const auto& slots = list_in(map, "slots");
  if (height < 3 || view.columns <= label_columns + 2 || rows.empty()
      || slots.empty())
    return;
  auto width = std::min(slots.size(), view.columns - label_columns - 1);
  std::vector<std::vector<std::uint64_t>> columns;
  std::uint64_t most = 0;
  for (auto i = slots.size() - width; i < slots.size(); ++i) {
    columns.push_back(counts_of(slots[i], rows.size()));
    for (auto count : columns.back())
      most = std::max(most, count);
  }
  // Rows that do not fit are joined in equal groups, from below.
  auto places = height - 2;
  auto joined = (rows.size() + places - 1) / places;
  say(text_in(trace, "name") + " " + text_in(map, "map") + ": "
      + std::to_string(width) + " slots of " + std::to_string(resolution)
      + " s, brightest " + short_number(most)
      + (joined > 1 ? ", " + std::to_string(joined) + " buckets a line" : "")
      + (maps.size() > 1 ? ", m: next map" : ""));
  for (auto group = (rows.size() + joined - 1) / joined; group-- > 0;) {
    line one{view.columns};
    one.padded(bound_text(bound_in(rows[group * joined], 0)), label_columns - 1,
               true);
    one.text(" ");
    for (const auto& column : columns) {
      std::uint64_t count = 0;
      for (auto row = group * joined;
           row < std::min((group + 1) * joined, rows.size()); ++row)
        count += column[row];
      heat_cell(one, count, most, view.colours);
    }
    if (view.colours != top_colours::none)
      one.code("\x1b[0m");
    out.push_back(one.take());
  }
  auto seconds = resolution * static_cast<std::int64_t>(width);
  line axis{view.columns};
  axis.padded("", label_columns);
  auto past = "-" + short_duration(static_cast<std::uint64_t>(seconds));
  axis.padded(past, width > past.size() + 3 ? width - 3 : past.size() + 1);
  axis.text("now");
  out.push_back(axis.take());
}

} // namespace

std::size_t traces_in(const json::value& document) {
  return list_in(document, "traces").size();
}

std::vector<std::string> top_screen(const json::value& now,
                                    const json::value& before,
                                    const top_view& view) {
  std::vector<std::string> out;
  head(now, view.columns, out);
  const auto& traces = list_in(now, "traces");
  std::size_t name_columns = 5;
  for (const auto& trace : traces)
    name_columns =
      std::clamp(text_in(trace, "name").size(), name_columns, name_columns_max);
  line titles{view.columns};
  titles.text(" ");
  titles.padded("TRACE", name_columns);
  titles.text(" ");
  titles.padded("STATE", cell);
  for (const char* title : {"VALUES/s", "p50", "p99", "SERIES"})
    titles.padded(title, cell, true);
  titles.padded("RESTARTS", cell + 1, true);
  titles.padded("LOST", cell - 2, true);
  out.push_back(titles.take());
  if (traces.empty()) {
    out.resize(std::min(out.size(), view.rows));
    return out;
  }
  auto selected = std::min(view.selected, traces.size() - 1);
  // The list takes what it needs, but leaves half of the screen to the picture.
  auto left = view.rows > out.size() + 1 ? view.rows - out.size() - 1 : 1;
  auto shown = std::min(traces.size(), std::max<std::size_t>(1, left / 2));
  auto first = std::min(selected < shown / 2 ? 0 : selected - shown / 2,
                        traces.size() - shown);
  for (auto i = first; i < first + shown; ++i)
    out.push_back(
      trace_line(now, before, traces[i], view, name_columns, i == selected));
  line space{view.columns};
  if (shown < traces.size())
    space.text(" " + std::to_string(traces.size() - shown) + " more; ");
  space.text(" up/down, page up/down: trace   m: map   q: quit");
  out.push_back(space.take());
  if (view.rows > out.size())
    heatmap(traces[selected], view, view.rows - out.size(),
            static_cast<std::int64_t>(number_in(now, "resolution")), out);
  if (out.size() > view.rows)
    out.resize(view.rows);
  return out;
}

std::string top_table(const json::value& now) {
  std::string out;
  constexpr std::size_t wide = 200;
  auto lines = top_screen(now, nullptr,
                          {.rows = 2 * traces_in(now) + 40,
                           .columns = wide,
                           .colours = top_colours::none,
                           .selected = ~std::size_t{0},
                           .map = 0});
  for (auto& text : lines) {
    if (text.find("q: quit") != std::string::npos)
      break;
    if (text.starts_with('>'))
      text[0] = ' ';
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  }
  return out;
}

} // namespace bpf2graphite
