#include "actors/histogram_parser/output_decoder.hpp"

#include <utility>

namespace bpf2graphite {

namespace {

/// Adds what grew since the last time to a ledger's counter.
void book(counter& into, std::uint64_t now, std::uint64_t& booked) {
  into.fetch_add(now - booked, std::memory_order_relaxed);
  booked = now;
}

} // namespace

output_decoder::output_decoder(parser_options options, trace_ledger& ledger)
  : options_{std::move(options)},
    version_given_{options_.speaks.version.has_value()}, ledger_{&ledger} {
  make_parser();
}

void output_decoder::make_parser() {
  parser_ = make_map_parser(options_);
  booked_ = {};
}

void output_decoder::start_fresh() {
  make_parser();
  busy_ = false;
}

bool output_decoder::valid() const {
  return !busy_;
}

void output_decoder::reconfigure(parser_options options) {
  version_given_ = options.speaks.version.has_value();
  options_ = std::move(options);
}

void output_decoder::keep_printed(bool on) {
  keep_printed_ = on;
}

bool output_decoder::waiting() const {
  return parser_->waiting();
}

std::chrono::milliseconds output_decoder::pause_after() const {
  return options_.pause;
}

void output_decoder::collect(parsed& out, std::size_t credit, result& into) {
  const auto& counts = parser_->counts();
  // In the normalizer's unit, not in the parser's records: the books balance.
  for (const auto& print : out.snapshots)
    ledger_->values.fetch_add(values_in(print), std::memory_order_relaxed);
  book(ledger_->snapshots, counts.snapshots, booked_.snapshots);
  book(ledger_->lost_events, counts.lost_events, booked_.lost_events);
  book(ledger_->helper_errors, counts.helper_errors, booked_.helper_errors);
  book(ledger_->map_full, counts.map_full, booked_.map_full);
  book(ledger_->rejected, counts.rejected, booked_.rejected);
  book(ledger_->invalid, counts.invalid, booked_.invalid);
  book(ledger_->printed, counts.printed, booked_.printed);
  book(ledger_->printf_rejected, counts.printf_rejected,
       booked_.printf_rejected);
  book(ledger_->truncated, counts.truncated, booked_.truncated);
  if (out.attached && !attached_) {
    attached_ = true;
    into.attached = true;
    into.events.emplace_back(probes_attached{last_arrival_});
  }
  into.printed = std::move(out.printed);
  into.assumptions = std::move(out.assumptions);
  if (out.snapshots.empty()) {
    // Nothing to wait for downstream; what the parser holds of an unfinished
    // record counts as done, or a record longer than the credit would wait
    // for ever.
    into.credit_back += credit;
    return;
  }
  into.events.emplace_back(snapshots{std::move(out.snapshots), credit});
}

/// Each line with the time at which its end came. `joined` ends where the lines
/// of the buffer begin.
void output_decoder::feed(const output_lines& lines, parsed& out) {
  const auto* earlier = lines.earlier.get();
  last_arrival_ = lines.arrival;
  if (!lines.joined.empty())
    parser_->feed(lines.joined,
                  arrival_of(earlier, lines.offset, lines.arrival), out);
  if (lines.size == 0)
    return;
  auto text =
    std::string_view{*lines.buffer}.substr(0, lines.offset + lines.size);
  auto from = lines.offset;
  if (earlier != nullptr)
    for (const auto& mark : *earlier) {
      // A line that was cut by the mark came later.
      auto whole = text.substr(0, mark.end).rfind('\n') + 1; // npos: 0
      if (whole <= from)
        continue;
      parser_->feed(text.substr(from, whole - from), mark.at, out);
      from = whole;
    }
  if (from < text.size())
    parser_->feed(text.substr(from), lines.arrival, out);
}

output_decoder::result output_decoder::take(const lines_event& event) {
  result into;
  busy_ = true;
  if (const auto* opened = std::get_if<output_opened>(&event)) {
    if (!version_given_)
      options_.speaks.version = parse_bpftrace_version(opened->version);
    make_parser();
    attached_ = false;
    last_arrival_ = opened->at;
    into.events.emplace_back(*opened);
  } else if (const auto* lines = std::get_if<output_lines>(&event)) {
    parsed out;
    out.keep_printed = keep_printed_;
    feed(*lines, out);
    collect(out, lines->credit, into);
  } else if (const auto* rest = std::get_if<output_rest>(&event)) {
    parsed out;
    out.keep_printed = keep_printed_;
    parser_->finish(rest->rest, out);
    collect(out, 0, into);
    into.events.emplace_back(output_closed{rest->at});
  }
  busy_ = false;
  return into;
}

output_decoder::result output_decoder::pause(wall_time now) {
  result into;
  busy_ = true;
  parsed out;
  out.keep_printed = keep_printed_;
  parser_->pause(now, out);
  collect(out, 0, into);
  busy_ = false;
  return into;
}

} // namespace bpf2graphite
