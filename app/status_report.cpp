#include "app/status_report.hpp"

#include <boost/json.hpp>

#include <array>

namespace bpf2graphite {
namespace {

namespace json = boost::json;

json::object counts_json(const std::vector<named_count>& counts) {
  json::object out;
  for (const auto& [name, number] : counts)
    out[name] = number;
  return out;
}

/// Bytes of bpftrace as JSON text: what is no UTF-8 becomes U+FFFD, or the
/// document would be none.
json::string text_json(std::string_view bytes) {
  json::string out;
  for (std::size_t i = 0; i < bytes.size();) {
    auto lead = static_cast<unsigned char>(bytes[i]);
    std::size_t length = lead < 0x80                    ? 1
                         : lead >= 0xC2 && lead <= 0xDF ? 2
                         : lead >= 0xE0 && lead <= 0xEF ? 3
                         : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                        : 0;
    auto good = length != 0 && i + length <= bytes.size();
    for (std::size_t n = 1; good && n < length; ++n)
      good = (static_cast<unsigned char>(bytes[i + n]) & 0xC0U) == 0x80;
    if (good && length == 3) {
      auto next = static_cast<unsigned char>(bytes[i + 1]);
      good = !(lead == 0xE0 && next < 0xA0) && !(lead == 0xED && next >= 0xA0);
    }
    if (good && length == 4) {
      auto next = static_cast<unsigned char>(bytes[i + 1]);
      good = !(lead == 0xF0 && next < 0x90) && !(lead == 0xF4 && next >= 0x90);
    }
    if (good) {
      out.append(bytes.substr(i, length));
      i += length;
    } else {
      out.append("\xEF\xBF\xBD");
      ++i;
    }
  }
  return out;
}

json::value bound(std::int64_t at, bool open) {
  return open ? json::value{nullptr} : json::value{at};
}

json::array history_json(const std::vector<map_history>& maps) {
  json::array out;
  for (const auto& map : maps) {
    json::array rows;
    for (const auto& row : map.rows)
      rows.push_back(json::array{bound(row.min, row.open_low),
                                 bound(row.max, row.open_high)});
    json::array slots;
    for (const auto& column : map.columns) {
      json::array counts;
      for (auto [row, count] : column.counts)
        counts.push_back(json::array{row, count});
      slots.push_back(
        json::object{{"slot", column.slot}, {"counts", std::move(counts)}});
    }
    out.push_back(json::object{{"map", text_json(map.map)},
                               {"rows", std::move(rows)},
                               {"slots", std::move(slots)},
                               {"rows_left_out", map.rows_left_out}});
  }
  return out;
}

json::object process_json(const process_costs& costs) {
  return {{"cpu_ms", costs.cpu_ms}, {"rss_kb", costs.rss_kb}};
}

json::object trace_json(const trace_report& trace, bool last_words) {
  json::object out{
    {"name", trace.name},
    {"script", text_json(trace.script)},
    {"state", to_text(trace.state.state)},
    {"pid", trace.state.pid},
    {"life", trace.state.life},
    {"bpftrace", text_json(trace.state.version)},
    {"reason", text_json(trace.state.reason)},
    {"process", process_json(trace.process)},
    {"counts", counts_json(trace.counts)},
  };
  if (last_words)
    out["last_words"] = text_json(trace.state.last_words);
  if (!trace.history.empty())
    out["history"] = history_json(trace.history);
  return out;
}

// ---- Prometheus
// ---------------------------------------------------------------

/// Label values: backslash, quote and newline are escaped (exposition format
/// 0.0.4).
std::string label(std::string_view text) {
  std::string out;
  for (char c : text)
    if (c == '\\' || c == '"')
      out += {'\\', c};
    else if (c == '\n')
      out += "\\n";
    else
      out += c;
  return out;
}

/// All samples of one metric stand together, as the format demands.
struct family {
  std::string name;
  bool is_counter = true;
  std::vector<std::pair<std::string, std::string>> samples; // labels, value
};

class families {
public:
  void add(std::string name, bool is_counter, std::string labels,
           std::string value) {
    name = "bpf2graphite_" + name + (is_counter ? "_total" : "");
    for (auto& known : all_)
      if (known.name == name) {
        known.samples.emplace_back(std::move(labels), std::move(value));
        return;
      }
    all_.push_back(
      {std::move(name), is_counter, {{std::move(labels), std::move(value)}}});
  }

  std::string text() const {
    std::string out;
    for (const auto& one : all_) {
      auto words = one.name;
      for (char& c : words)
        if (c == '_')
          c = ' ';
      out += "# HELP " + one.name + " See the manual page, LEDGER: " + words
             + ".\n# TYPE " + one.name
             + (one.is_counter ? " counter\n" : " gauge\n");
      for (const auto& [labels, value] : one.samples)
        out += one.name + (labels.empty() ? "" : "{" + labels + "}") + " "
               + value + "\n";
    }
    return out;
  }

private:
  std::vector<family> all_;
};

/// These go up and down.
bool is_gauge(std::string_view name) {
  for (std::string_view gauge : {"waiting", "open", "series", "on_the_way"})
    if (name == gauge)
      return true;
  return false;
}

std::string seconds_of(std::uint64_t ms) {
  auto rest = std::to_string(ms % 1000);
  return std::to_string(ms / 1000) + "." + std::string(3 - rest.size(), '0')
         + rest;
}

} // namespace

std::string to_json(const status_report& report, bool last_words) {
  json::array traces;
  for (const auto& trace : report.traces)
    traces.push_back(trace_json(trace, last_words));
  json::array destinations;
  for (const auto& to : report.destinations)
    destinations.push_back(json::object{{"name", text_json(to.name)},
                                        {"state", to.state},
                                        {"oldest_slot", to.oldest_slot},
                                        {"counts", counts_json(to.counts)}});
  json::object out{
    {"version", report.version},
    {"host", text_json(report.host)},
    {"config", text_json(report.config_file)},
    {"server_origin", report.server_origin},
    {"port_origin", report.port_origin},
    {"started", report.started},
    {"now", report.now},
    {"pid", report.pid},
    {"resolution", report.resolution},
    {"process", process_json(report.process)},
    {"traces", std::move(traces)},
    {"destinations", std::move(destinations)},
    {"ledger", counts_json(report.ledger)},
  };
  return json::serialize(out) + "\n";
}

std::string to_prometheus(const status_report& report) {
  families all;
  all.add("info", false, "version=\"" + label(report.version) + "\"", "1");
  all.add("start_time_seconds", false, "", std::to_string(report.started));
  all.add("cpu_seconds", true, "", seconds_of(report.process.cpu_ms));
  all.add("resident_memory_bytes", false, "",
          std::to_string(report.process.rss_kb * 1024));
  for (const auto& [name, number] : report.ledger)
    all.add("ledger_" + std::string{name}, !is_gauge(name), "",
            std::to_string(number));
  for (const auto& trace : report.traces) {
    auto who = "trace=\"" + label(trace.name) + "\"";
    for (auto state : {trace_state::starting, trace_state::running,
                       trace_state::failing, trace_state::stopped})
      all.add("trace_state", false,
              who + ",state=\"" + std::string{to_text(state)} + "\"",
              trace.state.state == state ? "1" : "0");
    all.add("bpftrace_cpu_seconds", false, who,
            seconds_of(trace.process.cpu_ms)); // begins anew with each process
    all.add("bpftrace_resident_memory_bytes", false, who,
            std::to_string(trace.process.rss_kb * 1024));
    for (const auto& [name, number] : trace.counts)
      all.add("trace_" + std::string{name}, !is_gauge(name), who,
              std::to_string(number));
  }
  for (const auto& to : report.destinations) {
    auto who = "destination=\"" + label(to.name) + "\"";
    for (const auto& [name, number] : to.counts)
      all.add("destination_" + std::string{name}, !is_gauge(name), who,
              std::to_string(number));
  }
  return all.text();
}

} // namespace bpf2graphite
