#include "app/status_report.hpp"

#include "app/history_json.hpp"
#include "app/utf8_text.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <utility>

namespace bpf2graphite {
namespace {

namespace json = boost::json;

/// Over the network without those that are zero: most are.
json::object counts_json(const std::vector<named_count>& counts,
                         report_readers readers) {
  json::object out;
  for (const auto& [name, number] : counts)
    if (number != 0 || readers == report_readers::local)
      out[name] = number;
  return out;
}

json::object process_json(const process_costs& costs) {
  return {{"cpu_ms", costs.cpu_ms}, {"rss_kb", costs.rss_kb}};
}

json::object trace_json(const trace_report& trace, report_readers readers) {
  json::object out{
    {"name", trace.name},
    {"script", utf8_text(trace.script)},
    {"state", to_text(trace.state.state)},
    {"pid", trace.state.pid},
    {"life", trace.state.life},
    {"resolution", trace.resolution},
    {"bpftrace", utf8_text(trace.state.version)},
    {"reason", utf8_text(readers == report_readers::local ? trace.state.reason
                                                          : trace.state.cause)},
    {"process", process_json(trace.process)},
    {"counts", counts_json(trace.counts, readers)},
  };
  if (readers == report_readers::local)
    out["last_words"] = utf8_text(trace.state.last_words);
  if (!trace.history.empty())
    out["history"] = history_json(trace.history);
  return out;
}

json::object destination_json(const destination_report& to,
                              report_readers readers) {
  return {
    {"name", utf8_text(to.name)},
    {"state", to_text(to.state.state)},
    {"reason", utf8_text(to.state.reason)},
    {"since", to.state.since},
    {"delivery", to.state.streams ? "streaming" : "confirmed"},
    {"oldest_slot", to.oldest_slot},
    {"accepted_at", to.state.accepted_at},
    {"acceptance_ms", to.state.acceptance_ms},
    {"counts", counts_json(to.counts, readers)},
  };
}

} // namespace

void set_costs(std::vector<cost_share> traces,
               const std::function<process_costs(int pid)>& costs_of) {
  std::sort(traces.begin(), traces.end());
  for (auto first = traces.begin(); first != traces.end();) {
    const auto pid = first->first;
    const auto end = std::find_if(
      first, traces.end(), [pid](const auto& one) { return one.first != pid; });
    if (pid > 0) {
      const auto sharers = static_cast<std::uint64_t>(end - first);
      const auto whole = costs_of(pid);
      for (auto one = first; one != end; ++one)
        *one->second = {.cpu_ms = whole.cpu_ms / sharers,
                        .rss_kb = whole.rss_kb / sharers};
    }
    first = end;
  }
}

void set_costs(std::vector<trace_report>& traces,
               const std::function<process_costs(int pid)>& costs_of) {
  std::vector<cost_share> all;
  all.reserve(traces.size());
  for (auto& trace : traces)
    all.emplace_back(trace.state.pid, &trace.process);
  set_costs(std::move(all), costs_of);
}

std::string to_json(const status_report& report, report_readers readers) {
  json::array traces;
  for (const auto& trace : report.traces)
    traces.push_back(trace_json(trace, readers));
  json::array destinations;
  for (const auto& to : report.destinations)
    destinations.push_back(destination_json(to, readers));
  json::object out{
    {"version", report.version},
    {"host", utf8_text(report.host)},
    {"config", utf8_text(report.config_file)},
    {"server_origin", report.server_origin},
    {"port_origin", report.port_origin},
    {"started", report.started},
    {"now", report.now},
    {"pid", report.pid},
    {"resolution", report.resolution},
    {"process", process_json(report.process)},
    {"traces", std::move(traces)},
    {"destinations", std::move(destinations)},
    {"page",
     {{"listen", utf8_text(report.page.listen)},
      {"trouble", report.page.trouble},
      {"counts", counts_json(report.page.counts, readers)}}},
    {"ledger", counts_json(report.ledger, readers)},
  };
  return json::serialize(out) + "\n";
}

} // namespace bpf2graphite
