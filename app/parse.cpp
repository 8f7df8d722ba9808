#include "actors/graphite_connection/plaintext.hpp"
#include "actors/histogram_parser/output_decoder.hpp"
#include "actors/histogram_parser/records.hpp"
#include "actors/line_reader/line_splitter.hpp"
#include "actors/normalizer/trace_series.hpp"
#include "app/config_files.hpp"
#include "app/recording.hpp"
#include "app/startup.hpp"
#include "app/verbs.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>

namespace bpf2graphite {
namespace {

/// Seconds: before every slot. The smallest number there is would overflow in
/// milliseconds.
constexpr std::int64_t long_ago = -1'000'000'000'000;

void say(const std::string& text) {
  std::fprintf(stderr, "bpf2graphite: %s\n", escaped(text).c_str());
}

void write_out(std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  text.clear();
}

/// The whole file; none when it cannot be read (errno says why).
std::optional<std::string> slurp(const std::string& path) {
  errno = 0;
  std::ifstream in{path, std::ios::binary};
  if (!in)
    return std::nullopt;
  return std::string{std::istreambuf_iterator<char>{in}, {}};
}

/// Every record of bpftrace's JSON begins with a brace; text never does before
/// its first map. Blank lines come before both.
output_format format_of(std::string_view bytes) {
  auto first = bytes.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && bytes[first] == '{'
           ? output_format::json
           : output_format::text;
}

/// What takes decoded snapshots: it prints records, or makes points.
class consumer {
public:
  consumer(const options& given, const trace_plan& plan)
    : records_{given.records}, budget_{std::numeric_limits<std::size_t>::max()},
      series_{plan.series, budget_, long_ago} {}

  void take(const output_decoder::result& result) {
    for (const auto& sentence : result.assumptions)
      say(sentence);
    for (const auto& event : result.events)
      std::visit([this](const auto& e) { on(e); }, event);
    if (out_.size() > (1 << 16))
      write_out(out_);
  }

  void finish() {
    if (!records_) {
      points_.clear();
      series_.drain(last_, points_);
      print_points();
    }
    write_out(out_);
    std::fflush(stdout);
  }

private:
  void on(const output_opened& e) {
    series_.opened(e.at);
  }

  void on(const probes_attached& e) {
    series_.attached(e.at);
  }

  void on(const output_closed& e) {
    series_.closed(e.at);
  }

  void on(const snapshots& e) {
    for (const auto& item : e.items) {
      last_ = item.arrival;
      if (records_) {
        write_records(item, out_);
        continue;
      }
      series_.add(item);
      points_.clear();
      series_.collect(item.arrival, points_);
      print_points();
    }
  }

  void print_points() {
    for (const auto& point : points_)
      (void)append_line(out_, point);
  }

  bool records_;
  series_budget budget_;
  trace_series series_;
  std::vector<metric> points_;
  std::string out_;
  wall_time last_{};
};

void summarize(const trace_ledger& books, std::uint64_t discarded) {
  auto text = std::to_string(books.values) + " values in "
              + std::to_string(books.snapshots) + " prints";
  auto also = [&](const char* what, std::uint64_t n) {
    if (n > 0)
      text += ", " + std::to_string(n) + " " + what;
  };
  also("lines of printf and the like", books.printed);
  also("rows that fit no map", books.rejected);
  also("printed lines that are no metric", books.printf_rejected);
  also("invalid records", books.invalid);
  also("lines over the limit", discarded);
  also("events lost by bpftrace", books.lost_events);
  also("failed helpers", books.helper_errors);
  also("pieces cut off at the end", books.truncated);
  say(text);
}

} // namespace

int parse(const options& given) {
  auto files = open_files();
  config all;
  trace_plan plan;
  if (given.trace) {
    auto started = read_config(given, files, true);
    if (started.exit)
      return *started.exit;
    all = started.value;
    auto found =
      std::find_if(all.traces.begin(), all.traces.end(),
                   [&](const trace_config& t) { return t.id == *given.trace; });
    if (found == all.traces.end()) {
      say("the configuration has no trace \"" + *given.trace + "\"");
      return exit_code::usage;
    }
    auto planned = plan_from_disk(*found, all, files);
    if (!planned.plan) {
      say(planned.error);
      return exit_code::config;
    }
    plan = std::move(*planned.plan);
  } else {
    auto trace =
      trace_for_script(given.input == "-" ? "stdin" : given.input, all);
    plan = plan_unknown(trace, all, host_name());
    if (!given.records)
      say("without a script, prints of histograms are taken as cleared after "
          "each print, other values as gauges; --trace NAME uses a script");
  }

  auto version = given.bpftrace_version.value_or("");
  if (given.bpftrace_version) {
    plan.parser.speaks.version = parse_bpftrace_version(version);
    if (!plan.parser.speaks.version) {
      say("--bpftrace-version: \"" + *given.bpftrace_version
          + "\" is no version such as 0.17.0");
      return exit_code::usage;
    }
  }
  auto start = now();
  if (given.time) {
    if (!std::isfinite(*given.time) || *given.time < 0 || *given.time > 4.2e9) {
      say("--time: seconds since 1970 are wanted");
      return exit_code::usage;
    }
    start = wall_time_from_ms(std::llround(*given.time * 1000));
  }
  arrival_times times{start};
  if (given.times_path) {
    auto text = slurp(*given.times_path);
    if (!text) {
      say(*given.times_path + ": " + std::strerror(errno));
      return exit_code::data;
    }
    if (!times.read(*text)) {
      say(*given.times_path
          + ": lines `milliseconds cumulative-bytes` are wanted, both rising");
      return exit_code::data;
    }
    // What `record` wrote there; an option goes before it.
    if (times.head().began && !given.time)
      times.begin_at(*times.head().began);
    if (auto told = parse_bpftrace_version(times.head().version);
        told && !given.bpftrace_version) {
      plan.parser.speaks.version = told;
      version = times.head().version;
    }
  }

  int input = STDIN_FILENO;
  if (given.input != "-"
      && (input = ::open(given.input.c_str(), O_RDONLY | O_CLOEXEC)) < 0) {
    say(given.input + ": " + std::strerror(errno));
    return exit_code::data;
  }

  trace_ledger books;
  std::unique_ptr<output_decoder> decoder;
  std::unique_ptr<line_splitter> splitter;
  consumer into{given, plan};
  auto begin = [&](output_format format) {
    plan.parser.speaks.format = format;
    decoder = std::make_unique<output_decoder>(plan.parser, books);
    splitter = format == output_format::json
                 ? std::make_unique<line_splitter>(all.limits.record_bytes_max,
                                                   all.limits.line_bytes_max)
                 : std::make_unique<line_splitter>(all.limits.line_bytes_max);
    into.take(decoder->take(output_opened{1, version, times.at(0).second}));
  };
  if (given.format != "auto")
    begin(given.format == "json" ? output_format::json : output_format::text);

  std::uint64_t offset = 0;
  std::string block(1 << 16, '\0');
  auto last = times.at(0).second;
  for (;;) {
    auto got = ::read(input, block.data(), block.size());
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0) {
      say(given.input + ": " + std::strerror(errno));
      return exit_code::data;
    }
    if (got == 0)
      break;
    std::string_view rest{block.data(), static_cast<std::size_t>(got)};
    if (!decoder) {
      if (rest.find_first_not_of(" \t\r\n") == std::string_view::npos) {
        offset += rest.size(); // blank so far: nothing to tell the format by
        continue;
      }
      begin(format_of(rest));
    }
    while (!rest.empty()) {
      auto [room, arrival] = times.at(offset);
      auto chunk = rest.substr(0, std::min<std::uint64_t>(room, rest.size()));
      rest.remove_prefix(chunk.size());
      offset += chunk.size();
      last = arrival;
      auto lines = splitter->take(chunk);
      auto feed = [&](std::string_view whole) {
        if (!whole.empty())
          into.take(decoder->take(
            output_lines{std::string{whole}, nullptr, 0, 0, arrival, 0}));
      };
      feed(lines.joined);
      for (auto region : lines.regions)
        feed(region);
    }
  }
  if (input != STDIN_FILENO)
    ::close(input);
  if (!decoder)
    begin(output_format::text);
  into.take(decoder->take(output_rest{splitter->finish(), last}));
  into.finish();
  summarize(books, splitter->discarded_lines());
  auto nothing = books.snapshots == 0 && books.printed == 0;
  return nothing && (books.invalid > 0 || books.rejected > 0) ? exit_code::data
                                                              : exit_code::ok;
}

} // namespace bpf2graphite
