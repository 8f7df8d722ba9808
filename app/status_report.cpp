#include "app/status_report.hpp"

#include <boost/json.hpp>

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
  // Round brackets: {at} would be an array of one.
  return open ? json::value(nullptr) : json::value(at);
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
    {"resolution", trace.resolution},
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

json::object destination_json(const destination_report& to) {
  return {
    {"name", text_json(to.name)},
    {"state", to_text(to.state.state)},
    {"reason", text_json(to.state.reason)},
    {"since", to.state.since},
    {"delivery", to.state.streams ? "streaming" : "confirmed"},
    {"oldest_slot", to.oldest_slot},
    {"accepted_at", to.state.accepted_at},
    {"acceptance_ms", to.state.acceptance_ms},
    {"counts", counts_json(to.counts)},
  };
}

} // namespace

std::string to_json(const status_report& report, bool last_words) {
  json::array traces;
  for (const auto& trace : report.traces)
    traces.push_back(trace_json(trace, last_words));
  json::array destinations;
  for (const auto& to : report.destinations)
    destinations.push_back(destination_json(to));
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

} // namespace bpf2graphite
