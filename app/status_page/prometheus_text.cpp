#include "app/status_page/prometheus_text.hpp"

#include "app/own_metrics.hpp"
#include "app/utf8_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <utility>

namespace bpf2graphite {
namespace {

using label = std::pair<std::string_view, std::string_view>;

std::string escaped_label(std::string_view text) {
  std::string out;
  for (char c : utf8_text(text))
    switch (c) {
      case '\\':
        out += "\\\\";
        break;
      case '"':
        out += "\\\"";
        break;
      case '\n':
        out += "\\n";
        break;
      default:
        out += c;
    }
  return out;
}

std::uint64_t count_of(const std::vector<named_count>& counts,
                       std::string_view name) {
  for (const auto& [known, number] : counts)
    if (name == known)
      return number;
  return 0;
}

/// Milliseconds as seconds.
std::string seconds_of(std::uint64_t ms) {
  std::array<char, 64> text{};
  auto [end, error] = std::to_chars(text.data(), text.data() + text.size(),
                                    static_cast<double>(ms) / 1000.0,
                                    std::chars_format::fixed, 3);
  return {text.data(), end};
}

class exposition {
public:
  explicit exposition(std::string_view prefix) : prefix_{prefix} {}

  /// What follows belongs to it.
  void family(std::string_view name, std::string_view type,
              std::string_view help) {
    name_ = std::string{prefix_} + std::string{name};
    out_ += "# HELP " + name_ + " " + std::string{help} + "\n# TYPE " + name_
            + " " + std::string{type} + "\n";
  }

  void sample(std::initializer_list<label> labels, const std::string& value) {
    out_ += name_;
    auto first = true;
    for (const auto& [name, text] : labels) {
      out_ += first ? "{" : ",";
      out_.append(name).append("=\"").append(escaped_label(text)).append("\"");
      first = false;
    }
    out_ += (first ? " " : "} ") + value + "\n";
  }

  void sample(std::initializer_list<label> labels, std::uint64_t value) {
    sample(labels, std::to_string(value));
  }

  std::string take() {
    return std::move(out_);
  }

  void set_prefix(std::string_view prefix) {
    prefix_ = prefix;
  }

private:
  std::string_view prefix_;
  std::string name_;
  std::string out_;
};

// What becomes of a value that was read; they add up to what was read.
constexpr std::array outcomes{"measured", "combined", "unchanged",
                              "merged",   "folded",   "dropped_values",
                              "crash"};
constexpr std::array pending{"open", "on_the_way"};
// What a trace has lost, or we refused of it.
constexpr std::array losses{
  "lost_events",     "rejected", "invalid",   "printf_rejected",
  "discarded_lines", "map_full", "truncated", "helper_errors",
  "dropped_budget",  "crash"};
constexpr std::array drops{"dropped_buffer", "dropped_stop", "parked",
                           "resend_dropped"};

void write_process(exposition& out, const status_report& report) {
  out.set_prefix("process_");
  out.family("cpu_seconds_total", "counter",
             "CPU time of the daemon, user and system.");
  out.sample({}, seconds_of(report.process.cpu_ms));
  out.family("resident_memory_bytes", "gauge",
             "Resident memory of the daemon.");
  out.sample({}, report.process.rss_kb * 1024);
  out.family("start_time_seconds", "gauge",
             "When the daemon was started, since the epoch.");
  out.sample({}, std::to_string(report.started));
  out.set_prefix("bpf2graphite_");
  out.family("build_info", "gauge", "Always 1; the version is in the label.");
  out.sample({{"version", report.version}}, 1);
}

void write_traces(exposition& out, const std::vector<trace_report>& traces) {
  constexpr std::array states{trace_state::starting, trace_state::running,
                              trace_state::failing, trace_state::stopped};
  out.family("traces", "gauge", "Traces by their state.");
  for (auto state : states)
    out.sample({{"state", to_text(state)}},
               static_cast<std::uint64_t>(std::count_if(
                 traces.begin(), traces.end(), [state](const auto& trace) {
                   return trace.state.state == state;
                 })));
  out.family("trace_state", "gauge", "1 for the state that a trace is in.");
  for (const auto& trace : traces)
    for (auto state : states)
      out.sample({{"trace", trace.name}, {"state", to_text(state)}},
                 trace.state.state == state ? 1U : 0U);
  struct one {
    const char* name;
    const char* counter;
    const char* type;
    const char* help;
  };
  for (const auto& [name, counter, type, help] : std::initializer_list<one>{
         {"trace_starts_total", "starts", "counter",
          "bpftrace processes that were started."},
         {"trace_restarts_total", "restarts", "counter",
          "bpftrace processes started again after an end nobody asked for."},
         {"trace_read_bytes_total", "bytes", "counter",
          "Bytes of bpftrace's standard output."},
         {"trace_values_total", "read", "counter",
          "Values (rows and scalars) that bpftrace printed."},
         {"trace_points_total", "points_made", "counter",
          "Points for Graphite that were made of them."},
         {"trace_series", "series", "gauge", "Series that are alive."}}) {
    out.family(name, type, help);
    for (const auto& trace : traces)
      out.sample({{"trace", trace.name}}, count_of(trace.counts, counter));
  }
  out.family("trace_lost_total", "counter",
             "What a trace lost or what was refused of it, by reason.");
  for (const auto& trace : traces)
    for (const auto* reason : losses)
      out.sample({{"trace", trace.name}, {"reason", reason}},
                 count_of(trace.counts, reason));
  out.family(
    "trace_process_cpu_seconds_total", "counter",
    "CPU time of its bpftrace, or its part of a shared one; begins anew "
    "with each.");
  for (const auto& trace : traces)
    out.sample({{"trace", trace.name}}, seconds_of(trace.process.cpu_ms));
  out.family("trace_process_resident_memory_bytes", "gauge",
             "Resident memory of its bpftrace, or its part of a shared one.");
  for (const auto& trace : traces)
    out.sample({{"trace", trace.name}}, trace.process.rss_kb * 1024);
}

void write_destinations(exposition& out, const status_report& report) {
  const auto& all = report.destinations;
  out.family("destination_state", "gauge",
             "1 for the state that a destination is in.");
  for (const auto& to : all)
    for (auto state :
         {destination_state::idle, destination_state::connecting,
          destination_state::connected, destination_state::sending,
          destination_state::confirming, destination_state::unreachable,
          destination_state::refused, destination_state::frozen})
      out.sample({{"destination", to.name}, {"state", to_text(state)}},
                 to.state.state == state ? 1U : 0U);
  struct one {
    const char* name;
    const char* counter;
    const char* type;
    const char* help;
  };
  for (const auto& [name, counter, type, help] : std::initializer_list<one>{
         {"destination_points_total", "points", "counter",
          "Points handed to the queue."},
         {"destination_accepted_points_total", "accepted", "counter",
          "Points that the destination has read."},
         {"destination_resent_points_total", "resent", "counter",
          "Points sent once more after a loss."},
         {"destination_batches_total", "batches", "counter",
          "Batches handed to the queue."},
         {"destination_connects_total", "connects", "counter",
          "Connections that were tried."},
         {"destination_refusals_total", "refusals", "counter",
          "Connections that the destination ended with points under way."},
         {"destination_waiting_points", "waiting", "gauge",
          "Points in the queue or under way."}}) {
    out.family(name, type, help);
    for (const auto& to : all)
      out.sample({{"destination", to.name}}, count_of(to.counts, counter));
  }
  out.family("destination_dropped_points_total", "counter",
             "Points that were given up, by reason.");
  for (const auto& to : all)
    for (const auto* reason : drops)
      out.sample({{"destination", to.name}, {"reason", reason}},
                 count_of(to.counts, reason));
  out.family("destination_oldest_waiting_age_seconds", "gauge",
             "Age of the oldest slot that waits; 0 when nothing waits.");
  for (const auto& to : all)
    out.sample({{"destination", to.name}},
               to.oldest_slot == 0 ? std::string{"0"}
                                   : std::to_string(std::max<std::int64_t>(
                                     0, report.now - to.oldest_slot)));
  out.family("destination_last_acceptance_timestamp_seconds", "gauge",
             "When a batch was accepted last, since the epoch; 0: never.");
  for (const auto& to : all)
    out.sample({{"destination", to.name}},
               std::to_string(to.state.accepted_at));
  out.family("destination_acceptance_duration_seconds", "gauge",
             "How long the batch that was accepted last took from the queue.");
  for (const auto& to : all)
    out.sample({{"destination", to.name}}, seconds_of(to.state.acceptance_ms));
}

void write_ledger(exposition& out, const status_report& report) {
  const auto& ledger = report.ledger;
  out.family("ledger_read_values_total", "counter",
             "Values read, of all traces there were. Always the sum of the "
             "outcomes and of what is pending.");
  out.sample({}, count_of(ledger, "read"));
  out.family("ledger_values_total", "counter",
             "What became of the values that were read.");
  for (const auto* outcome : outcomes)
    out.sample({{"outcome", outcome}}, count_of(ledger, outcome));
  out.family("ledger_pending_values", "gauge",
             "Values read that are in open slots or between two parts.");
  for (const auto* where : pending)
    out.sample({{"where", where}}, count_of(ledger, where));
  out.family("ledger_events_total", "counter",
             "Every other counter of the ledger, by its name there.");
  for (const auto& [name, number] : ledger) {
    std::string_view known = name;
    auto is = [known](const char* other) {
      return known == other;
    };
    if (!is_gauge(known) && known != "read"
        && std::none_of(outcomes.begin(), outcomes.end(), is))
      out.sample({{"event", known}}, number);
  }
}

} // namespace

std::string prometheus_text(const status_report& report) {
  exposition out{"bpf2graphite_"};
  write_process(out, report);
  write_traces(out, report.traces);
  write_destinations(out, report);
  write_ledger(out, report);
  out.family("page_events_total", "counter",
             "The status page itself: connections, those turned away because "
             "there were too many, those timed out, requests answered and "
             "refused.");
  for (const auto& [name, number] : report.page.counts)
    out.sample({{"event", name}}, number);
  return out.take();
}

} // namespace bpf2graphite
