#include "app/config_schema.hpp"

#include "actors/graphite_connection/render_url.hpp"
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <set>
#include <type_traits>

namespace bpf2graphite {

namespace {

constexpr std::int64_t ms = 1'000'000; // durations are in ns
constexpr std::int64_t s = 1'000 * ms;
constexpr std::int64_t min = 60 * s;
constexpr std::int64_t h = 60 * min;
constexpr std::int64_t kib = 1 << 10;
constexpr std::int64_t mib = 1 << 20;
constexpr std::int64_t gib = 1 << 30;

constexpr std::size_t list_max = 1'000; // elements of one list
constexpr std::size_t text_bytes_max = 4'096;
constexpr std::size_t level_bytes_max = 200;
constexpr std::size_t tag_bytes_max = 40;
constexpr std::size_t percentiles_max = 20;

struct schema_row {
  schema_key key;
  config_field (*field)(const config_target&);
};

using target = const config_target&;
using kind = key_kind;
using rule = text_rule;

// A table reads better with what a key is, and then where it goes.
// clang-format off
const schema_row rows[] = {
  // -- graphite
  {{"graphite", "server", kind::text, "\"localhost\"", 0, 0, {}, rule::server},
   [](target t) { return config_field{&t.all->server}; }},
  {{"graphite", "port", kind::whole, "2003", 1, 65535},
   [](target t) { return config_field{&t.all->port}; }},
  {{"graphite", "interval", kind::duration, "15s", s, h},
   [](target t) { return config_field{&t.all->batcher.interval}; }},
  {{"graphite", "delivery", kind::choice, "\"confirmed\"", 0, 0,
    "confirmed|streaming"},
   [](target t) { return config_field{&t.all->graphite.delivery}; }},
  {{"graphite", "buffer", kind::size, "\"64MiB\"", 16 * kib, 64 * gib},
   [](target t) { return config_field{&t.all->batcher.buffer_bytes_max}; }},
  {{"graphite", "resend", kind::duration, "60s", 0, h},
   [](target t) { return config_field{&t.all->graphite.resend}; }},
  {{"graphite", "spool", kind::text, "\"\"", 0, 0, {}, rule::folder_or_none},
   [](target t) { return config_field{&t.all->spool}; }},
  {{"graphite", "splay", kind::boolean, "true"},
   [](target t) { return config_field{&t.all->splay}; }},
  {{"graphite", "connect-timeout", kind::duration, "5s", 50 * ms, 5 * min},
   [](target t) { return config_field{&t.all->graphite.connect_timeout}; }},
  {{"graphite", "progress-timeout", kind::duration, "10s", 100 * ms, 10 * min},
   [](target t) { return config_field{&t.all->graphite.progress_timeout}; }},
  {{"graphite", "confirm-delay", kind::duration, "250ms", 0, 10 * s},
   [](target t) { return config_field{&t.all->graphite.confirm_delay}; }},
  {{"graphite", "confirm-timeout", kind::duration, "60s", 100 * ms, h},
   [](target t) { return config_field{&t.all->graphite.confirm_timeout}; }},
  {{"graphite", "connect-ahead", kind::boolean, "true"},
   [](target t) { return config_field{&t.all->graphite.connect_ahead}; }},
  {{"graphite", "render-url", kind::text, "\"\"", 0, 0, {}, rule::url},
   [](target t) { return config_field{&t.all->render_url}; }},
  {{"graphite", "destinations", kind::texts, "[]", 0, 0, {}, rule::servers,
    false},
   [](target t) { return config_field{&t.all->destinations}; }},
  {{"graphite", "routing", kind::choice, "\"replicate\"", 0, 0,
    "replicate|failover", rule::any, false},
   [](target t) { return config_field{&t.all->routing}; }},

  // -- naming
  {{"naming", "prefix", kind::text, "\"bpf\"", 0, 0, {}, rule::levels, true},
   [](target t) { return config_field{&t.settings->naming.prefix}; }},
  {{"naming", "host", kind::text, "\"\"", 0, 0, {}, rule::host},
   [](target t) { return config_field{&t.settings->naming.host}; }},
  {{"naming", "host-dots", kind::choice, "\"underscore\"", 0, 0,
    "underscore|keep|reverse|short"},
   [](target t) { return config_field{&t.settings->naming.dots}; }},
  {{"naming", "template", kind::text,
    "\"{prefix}.{host}.{trace}.{map}.{key}.{bucket}\"", 0, 0, {},
    rule::path_template, true},
   [](target t) { return config_field{&t.settings->naming.path_template}; }},
  {{"naming", "style", kind::choice, "\"path\"", 0, 0, "path|tags", rule::any,
    true},
   [](target t) { return config_field{&t.settings->naming.style}; }},
  {{"naming", "map-level", kind::boolean, "true", 0, 0, {}, rule::any, true},
   [](target t) { return config_field{&t.settings->naming.map_level}; }},
  {{"naming", "buckets", kind::choice, "\"lower\"", 0, 0, "lower|upper|range",
    rule::any, true},
   [](target t) { return config_field{&t.settings->naming.buckets}; }},
  {{"naming", "bucket-units", kind::choice, "\"exact\"", 0, 0, "exact|decimal",
    rule::any, true},
   [](target t) { return config_field{&t.settings->naming.units}; }},

  // -- slots
  {{"slots", "resolution", kind::duration, "", s, 24 * h, {}, rule::any, true},
   [](target t) { return config_field{&t.settings->resolution}; }},
  {{"slots", "grace", kind::duration, "1s", 0, min},
   [](target t) { return config_field{&t.all->grace}; }},
  {{"slots", "zero-fill", kind::boolean, "true", 0, 0, {}, rule::any, true},
   [](target t) { return config_field{&t.settings->zero_fill}; }},
  {{"slots", "zero-fill-for", kind::duration, "1h", 0, 720 * h, {}, rule::any,
    true},
   [](target t) { return config_field{&t.settings->zero_fill_for}; }},

  // -- bpftrace
  {{"bpftrace", "program", kind::text, "\"bpftrace\"", 0, 0, {}, rule::program,
    true},
   [](target t) { return config_field{&t.settings->bpftrace.program}; }},
  {{"bpftrace", "format", kind::choice, "\"json\"", 0, 0, "json|text|auto",
    rule::any, true},
   [](target t) { return config_field{&t.settings->bpftrace.format}; }},
  {{"bpftrace", "environment", kind::environment, "{}", 0, 0, {}, rule::any,
    true},
   [](target t) { return config_field{&t.settings->bpftrace.environment}; }},
  {{"bpftrace", "starts-at-once", kind::whole, "4", 1, 64},
   [](target t) { return config_field{&t.all->starts_at_once}; }},
  // For all traces in one, so that stopping has one known length.
  {{"bpftrace", "stop-timeout", kind::duration, "5s", 100 * ms, 5 * min},
   [](target t) { return config_field{&t.settings->bpftrace.stop_timeout}; }},
  {{"bpftrace", "output-budget", kind::size, "\"8MiB\"", 0, gib, {}, rule::any,
    true},
   [](target t) { return config_field{&t.settings->bpftrace.output_budget}; }},
  {{"bpftrace", "expect-output-within", kind::duration, "0s", 0, 24 * h, {},
    rule::any, true},
   [](target t) {
     return config_field{&t.settings->bpftrace.expect_output_within};
   }},
  {{"bpftrace", "restart", kind::choice, "\"always\"", 0, 0,
    "always|on-failure|never", rule::any, true},
   [](target t) { return config_field{&t.settings->bpftrace.restart}; }},
  {{"bpftrace", "print-every", kind::print_period, "\"auto\"", 10 * ms, h, {},
    rule::any, true},
   [](target t) { return config_field{&t.settings->print_every}; }},
  {{"bpftrace", "share", kind::boolean, "false", 0, 0, {}, rule::any, true},
   [](target t) { return config_field{&t.settings->share}; }},
  {{"bpftrace", "unsafe", kind::boolean, "false", 0, 0, {}, rule::any, true},
   [](target t) { return config_field{&t.settings->bpftrace.unsafe}; }},
  {{"bpftrace", "read-delay", kind::duration, "250ms", ms, 5 * s},
   [](target t) { return config_field{&t.all->read_delay}; }},

  // -- limits
  {{"limits", "max-series", kind::whole, "1000", 1, 1'000'000, {}, rule::any,
    true},
   [](target t) { return config_field{&t.settings->max_series}; }},
  {{"limits", "max-series-total", kind::whole, "50000", 1, 10'000'000},
   [](target t) { return config_field{&t.all->limits.max_series_total}; }},
  {{"limits", "line-bytes-max", kind::size, "\"64KiB\"", kib, 16 * mib},
   [](target t) { return config_field{&t.all->limits.line_bytes_max}; }},
  {{"limits", "record-bytes-max", kind::size, "\"16MiB\"", 64 * kib, gib},
   [](target t) { return config_field{&t.all->limits.record_bytes_max}; }},
  {{"limits", "partial-bytes-max", kind::size, "\"64MiB\"", 64 * kib, 16 * gib},
   [](target t) { return config_field{&t.all->limits.partial_bytes_max}; }},

  // -- own-metrics
  {{"own-metrics", "enabled", kind::boolean, "true"},
   [](target t) { return config_field{&t.all->own_metrics.enabled}; }},
  {{"own-metrics", "name", kind::text, "\"bpf2graphite\"", 0, 0, {},
    rule::levels},
   [](target t) { return config_field{&t.all->own_metrics.name}; }},

  // -- status
  {{"status", "runtime-directory", kind::text, "\"/run/bpf2graphite\"", 0, 0,
    {}, rule::folder},
   [](target t) { return config_field{&t.all->status.runtime_directory}; }},
  {{"status", "listen", kind::text, "\"\"", 0, 0, {}, rule::listen, false},
   [](target t) { return config_field{&t.all->status.listen}; }},

  // -- log
  {{"log", "level", kind::choice, "\"info\"", 0, 0,
    "error|warning|notice|info|debug"},
   [](target t) { return config_field{&t.all->log.level}; }},
  {{"log", "format", kind::choice, "\"auto\"", 0, 0, "auto|journal|text|json",
    rule::any, false},
   [](target t) { return config_field{&t.all->log.format}; }},

  // -- stop
  {{"stop", "flush-timeout", kind::duration, "15s", 0, 10 * min},
   [](target t) { return config_field{&t.all->stop.flush_timeout}; }},

  // -- top level
  {{"", "trace-files", kind::text, "\"\"", 0, 0, {}, rule::file_pattern},
   [](target t) { return config_field{&t.all->trace_files}; }},

  // -- traces.NAME
  {{"traces", "script", kind::text, "", 0, 0, {}, rule::file},
   [](target t) { return config_field{&t.trace->script}; }},
  {{"traces", "name", kind::text, "\"\"", 0, 0, {}, rule::levels},
   [](target t) { return config_field{&t.trace->series.trace}; }},
  {{"traces", "args", kind::texts, "[]"},
   [](target t) { return config_field{&t.trace->args}; }},
  {{"traces", "options", kind::texts, "[]", 0, 0, {}, rule::options},
   [](target t) { return config_field{&t.trace->options}; }},
  {{"traces", "enabled", kind::boolean, "true"},
   [](target t) { return config_field{&t.trace->enabled}; }},
  {{"traces", "maps", kind::texts, "[]", 0, 0, {}, rule::map_names},
   [](target t) { return config_field{&t.trace->maps}; }},
  {{"traces", "keys", kind::texts, "[]", 0, 0, {}, rule::tag_names},
   [](target t) { return config_field{&t.trace->series.keys}; }},
  {{"traces", "keep-keys", kind::texts, "[]", 0, 0, {}, rule::patterns},
   [](target t) { return config_field{&t.trace->series.keep_keys}; }},
  {{"traces", "drop-keys", kind::texts, "[]", 0, 0, {}, rule::patterns},
   [](target t) { return config_field{&t.trace->series.drop_keys}; }},
  {{"traces", "accumulate", kind::meaning, "\"\"", 0, 0,
    "cleared|cumulative|last|max|min|mean"},
   [](target t) { return config_field{&t.trace->accumulate}; }},
  {{"traces", "percentiles", kind::numbers, "[]", 0, 100},
   [](target t) { return config_field{&t.trace->series.percentiles}; }},
  {{"traces", "derived", kind::texts, "[]", 0, 0, {}, rule::derived},
   [](target t) { return config_field{&t.trace->series}; }},
  {{"traces", "printf-metrics", kind::boolean, "false"},
   [](target t) { return config_field{&t.trace->printf_metrics}; }},
};
// clang-format on

const std::vector<schema_key>& keys() {
  static const std::vector<schema_key> all = [] {
    std::vector<schema_key> result;
    for (const auto& row : rows)
      result.push_back(row.key);
    return result;
  }();
  return all;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t first = 0;;) {
    auto end = text.find(separator, first);
    parts.push_back(text.substr(first, end - first));
    if (end == std::string_view::npos)
      return parts;
    first = end + 1;
  }
}

bool consists_of(std::string_view text, std::string_view extra) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0
           || extra.find(c) != std::string_view::npos;
  });
}

std::string in_quotes(std::string_view text) {
  return '"' + shown(text) + '"';
}

/// `"a", "b" or "c"`
std::string choices_text(std::string_view choices) {
  auto names = split(choices, '|');
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text += (i == 0                  ? ""
             : i + 1 == names.size() ? " or "
                                     : ", ")
            + in_quotes(names[i]);
  return text;
}

std::optional<std::size_t> index_of(std::string_view choices,
                                    std::string_view word) {
  auto names = split(choices, '|');
  auto found = std::find(names.begin(), names.end(), word);
  if (found == names.end())
    return std::nullopt;
  return static_cast<std::size_t>(found - names.begin());
}

struct size_unit {
  std::string_view name;
  std::int64_t bytes;
};
constexpr std::array<size_unit, 4> size_units{
  {{"GiB", gib}, {"MiB", mib}, {"KiB", kib}, {"B", 1}}};

std::string size_text(std::int64_t bytes) {
  for (const auto& unit : size_units)
    if (bytes != 0 && bytes % unit.bytes == 0 && unit.bytes > 1)
      return '"' + std::to_string(bytes / unit.bytes) + std::string{unit.name}
             + '"';
  return '"' + std::to_string(bytes) + '"';
}

std::string duration_text(std::int64_t ns) {
  return to_text(std::chrono::nanoseconds{ns});
}

std::string number_text(double number) {
  std::array<char, 32> buffer{};
  auto [end, error] =
    std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
  return {buffer.data(), end};
}

/// What a value of this key looks like, after "write ".
std::string wanted(const schema_key& row) {
  switch (row.kind) {
    case kind::boolean:
      return "true or false";
    case kind::whole:
      return "a whole number from " + std::to_string(row.min) + " to "
             + std::to_string(row.max);
    case kind::duration:
      return "a duration from " + duration_text(row.min) + " to "
             + duration_text(row.max);
    case kind::size:
      return "a size from " + size_text(row.min) + " to " + size_text(row.max);
    case kind::text:
      return row.default_text.empty() || row.default_text == "\"\""
               ? "a text in quotes"
               : "a text such as " + std::string{row.default_text};
    case kind::choice:
      return choices_text(row.choices);
    case kind::texts:
      return "a list of texts such as [\"a\", \"b\"]";
    case kind::numbers:
      return "a list of numbers such as [50, 99.9]";
    case kind::environment:
      return "a group such as { BPFTRACE_STRLEN = \"128\" }";
    case kind::print_period:
      return "\"auto\", \"off\" or a period such as \"1s\"";
    case kind::meaning:
      return choices_text(row.choices)
             + ", or a group such as { usecs = \"cleared\" }";
  }
  return {};
}

std::string_view article_kind(const config_value& value) {
  return kind_name(value);
}

/// Writes one value; each `bad` is a message.
class storer {
public:
  storer(const schema_key& row, const config_value& value)
    : row_(row), value_(value) {}

  std::vector<std::string> run(const config_field& field) {
    std::visit([&](auto* place) { take(place); }, field);
    return std::move(messages_);
  }

private:
  std::string assignment() const {
    return std::string{row_.name} + " = " + shown(to_text(value_));
  }

  void bad(std::string reason) {
    messages_.push_back(assignment() + ' ' + std::move(reason));
  }

  void bad_kind() {
    std::string is =
      std::holds_alternative<bool>(value_.held)
        ? " is no such value; write "
        : " is " + std::string{article_kind(value_)} + "; write ";
    messages_.push_back(assignment() + is + wanted(row_));
  }

  bool in_range(std::int64_t number) {
    if (number >= row_.min && number <= row_.max)
      return true;
    bad("is out of range; write " + wanted(row_));
    return false;
  }

  void take(bool* place) {
    const auto* b = std::get_if<bool>(&value_.held);
    if (b == nullptr)
      return bad_kind();
    *place = *b;
  }

  template <class Integer>
  void take_whole(Integer* place) {
    const auto* number = std::get_if<std::int64_t>(&value_.held);
    if (number == nullptr)
      return bad_kind();
    if (in_range(*number))
      *place = static_cast<Integer>(*number);
  }

  void take(std::uint16_t* place) {
    take_whole(place);
  }

  void take(std::size_t* place) {
    if (row_.kind == kind::whole)
      return take_whole(place);
    const auto* text = std::get_if<std::string>(&value_.held);
    if (text == nullptr)
      return bad_kind();
    auto bytes = parse_size(*text);
    if (!bytes)
      return bad("is no size; write bytes with a unit of B, KiB, MiB or GiB, "
                 "such as "
                 + std::string{row_.default_text});
    if (in_range(*bytes))
      *place = static_cast<std::size_t>(*bytes);
  }

  /// The duration in `unit` ns, if it is one and right.
  std::optional<std::int64_t> duration_in(std::int64_t unit) {
    const auto* duration = std::get_if<std::chrono::nanoseconds>(&value_.held);
    if (duration == nullptr) {
      bad_kind();
      return std::nullopt;
    }
    if (!in_range(duration->count()))
      return std::nullopt;
    if (duration->count() % unit != 0) {
      bad("is too fine; write whole "
          + std::string{unit == s ? "seconds" : "milliseconds"});
      return std::nullopt;
    }
    return duration->count() / unit;
  }

  void take(std::chrono::milliseconds* place) {
    // A batch holds whole slots, and a slot's time stamp is in seconds.
    if (auto count = duration_in(row_.name == "interval" ? s : ms))
      *place = row_.name == "interval" ? std::chrono::seconds{*count}
                                       : std::chrono::milliseconds{*count};
  }

  void take(std::chrono::seconds* place) {
    if (auto count = duration_in(s))
      *place = std::chrono::seconds{*count};
  }

  void take(std::optional<std::chrono::seconds>* place) {
    if (auto count = duration_in(s))
      *place = std::chrono::seconds{*count};
  }

  void take(std::string* place) {
    const auto* text = std::get_if<std::string>(&value_.held);
    if (text == nullptr)
      return bad_kind();
    if (auto trouble = check_text(row_.rule, *text); !trouble.empty())
      return bad(trouble);
    *place = *text;
    if (row_.rule == rule::server && text->starts_with('['))
      *place = text->substr(1, text->size() - 2);
  }

  template <class Enum>
  requires std::is_enum_v<Enum>
  void take(Enum* place) {
    const auto* text = std::get_if<std::string>(&value_.held);
    if (text == nullptr)
      return bad_kind();
    auto index = index_of(row_.choices, *text);
    if (!index)
      return bad("is not known; write " + wanted(row_));
    *place = static_cast<Enum>(*index);
  }

  /// The elements, if all are texts and their number is bearable.
  std::optional<std::vector<std::string>> texts() {
    const auto* list = std::get_if<config_list>(&value_.held);
    if (list == nullptr) {
      bad_kind();
      return std::nullopt;
    }
    if (list->size() > list_max) {
      bad("has more than " + std::to_string(list_max)
          + " elements; take some away");
      return std::nullopt;
    }
    std::vector<std::string> result;
    std::set<std::string> seen;
    bool twice_is_bad = row_.name != "args" && row_.name != "options";
    for (const auto& element : *list) {
      const auto* text = std::get_if<std::string>(&element.held);
      if (text == nullptr)
        element_bad(element, "is " + std::string{article_kind(element)}
                               + "; write a text in quotes");
      else if (auto trouble = check_text(row_.rule, *text); !trouble.empty())
        element_bad(element, trouble);
      else if (!seen.insert(*text).second && twice_is_bad)
        element_bad(element, "is given twice; remove one");
      else
        result.push_back(*text);
    }
    if (!messages_.empty())
      return std::nullopt;
    return result;
  }

  void element_bad(const config_value& element, const std::string& reason) {
    messages_.push_back(std::string{row_.name} + ": " + shown(to_text(element))
                        + ' ' + reason);
  }

  void take(std::vector<std::string>* place) {
    if (auto list = texts())
      *place = std::move(*list);
  }

  void take(std::vector<graphite_address>* place) {
    auto list = texts();
    if (!list)
      return;
    place->clear();
    for (const auto& text : *list)
      parse_address(text, place->emplace_back());
  }

  void take(series_config* place) {
    auto list = texts();
    if (!list)
      return;
    auto has = [&](std::string_view word) {
      return std::find(list->begin(), list->end(), word) != list->end();
    };
    place->derived_samples = has("samples");
    place->derived_mean = has("mean");
    place->derived_highest = has("highest");
  }

  void take(std::vector<double>* place) {
    const auto* list = std::get_if<config_list>(&value_.held);
    if (list == nullptr)
      return bad_kind();
    if (list->size() > percentiles_max)
      return bad("has more than " + std::to_string(percentiles_max)
                 + " elements; take some away");
    std::vector<double> result;
    for (const auto& element : *list) {
      double number = 0;
      if (const auto* whole = std::get_if<std::int64_t>(&element.held)) {
        number = static_cast<double>(*whole);
      } else if (const auto* real = std::get_if<double>(&element.held)) {
        number = *real;
      } else {
        element_bad(element, "is " + std::string{article_kind(element)}
                               + "; write a number such as 99.9");
        continue;
      }
      // Three decimals tell more than a histogram of powers of two can.
      double thousandths = number * 1000;
      if (!(number > 0 && number < 100))
        element_bad(element,
                    "is out of range; write a number above 0 and below 100");
      else if (std::abs(thousandths - std::round(thousandths)) > 1e-6)
        element_bad(element, "is too fine; write at most three decimals");
      else if (std::find(result.begin(), result.end(), number) != result.end())
        element_bad(element, "is given twice; remove one");
      else
        result.push_back(number);
    }
    if (messages_.empty())
      *place = std::move(result);
  }

  void take(std::map<std::string, std::string>* place) {
    const auto* group = std::get_if<config_group>(&value_.held);
    if (group == nullptr)
      return bad_kind();
    std::map<std::string, std::string> result;
    for (const auto& [key, where, value] : group->entries) {
      auto say = [&, &name = key](const std::string& reason) {
        messages_.push_back(std::string{row_.name} + ": " + shown(name) + ' '
                            + reason);
      };
      if (!key.starts_with("BPFTRACE_"))
        say("is not bpftrace's; only names that begin with BPFTRACE_ are "
            "passed on");
      else if (const auto* text = std::get_if<std::string>(&value.held))
        result[key] = *text;
      else if (const auto* whole = std::get_if<std::int64_t>(&value.held))
        result[key] = std::to_string(*whole);
      else
        say("= " + shown(to_text(value)) + " is "
            + std::string{article_kind(value)} + "; write a text in quotes");
    }
    // A trace adds to what stands for all, and may replace single names.
    if (messages_.empty())
      for (auto& [key, text] : result)
        (*place)[key] = std::move(text);
  }

  void take(print_every_choice* place) {
    std::chrono::nanoseconds period{};
    if (const auto* text = std::get_if<std::string>(&value_.held)) {
      if (*text == "auto" || *text == "off") {
        place->what = *text == "off" ? print_every_choice::kind::off
                                     : print_every_choice::kind::automatic;
        return;
      }
      if (!parse_duration(*text, period))
        return bad("is not known; write " + wanted(row_));
    } else if (const auto* duration =
                 std::get_if<std::chrono::nanoseconds>(&value_.held)) {
      period = *duration;
    } else {
      return bad_kind();
    }
    if (period.count() < row_.min || period.count() > row_.max)
      return bad("is out of range; write a period from \""
                 + duration_text(row_.min) + "\" to \""
                 + duration_text(row_.max) + '"');
    if (period.count() % ms != 0)
      return bad("is too fine; write whole milliseconds");
    place->what = print_every_choice::kind::period;
    place->period = std::chrono::milliseconds{period.count() / ms};
  }

  void take(accumulate_config* place) {
    if (const auto* text = std::get_if<std::string>(&value_.held)) {
      auto index = index_of(row_.choices, *text);
      if (text->empty())
        *place = {};
      else if (!index)
        bad("is not known; write " + wanted(row_));
      else
        *place = {static_cast<accumulation>(*index), {}};
      return;
    }
    const auto* group = std::get_if<config_group>(&value_.held);
    if (group == nullptr)
      return bad_kind();
    accumulate_config result;
    for (const auto& [key, where, value] : group->entries) {
      const auto* text = std::get_if<std::string>(&value.held);
      auto index =
        text == nullptr ? std::nullopt : index_of(row_.choices, *text);
      if (!index)
        messages_.push_back(std::string{row_.name} + ": " + shown(key) + " = "
                            + shown(to_text(value)) + " is not known; write "
                            + choices_text(row_.choices));
      else if (!consists_of(key, "_"))
        messages_.push_back(std::string{row_.name} + ": " + in_quotes(key)
                            + " cannot be a map; write its name without @, "
                              "such as usecs");
      else
        result.by_map['@' + key] = static_cast<accumulation>(*index);
    }
    if (messages_.empty())
      *place = std::move(result);
  }

  const schema_key& row_;
  const config_value& value_;
  std::vector<std::string> messages_;
};

// -- texts ----------------------------------------------------------------

bool is_v6(std::string_view text) {
  auto address = text.substr(0, text.find('%'));
  return std::count(address.begin(), address.end(), ':') >= 2
         && address.find_first_not_of("0123456789abcdefABCDEF:.")
              == std::string_view::npos;
}

std::string check_server(std::string_view text) {
  auto host = text;
  if (host.starts_with('[') && host.ends_with(']') && host.size() > 2)
    host = host.substr(1, host.size() - 2);
  if (text.empty())
    return "is empty; write the name or address of the Graphite server";
  if (is_v6(host))
    return {};
  if (auto colon = text.find(':'); colon != std::string_view::npos)
    return "holds a port; write server = " + in_quotes(text.substr(0, colon))
           + " and port = " + shown(text.substr(colon + 1), 20);
  if (host != text || !consists_of(host, "-._"))
    return "is no host name or address; use letters, digits, - and dots only";
  if (host.size() > 253)
    return "is longer than 253 bytes, the most that a host name has; write "
           "the right one";
  for (auto label :
       split(host.ends_with('.') ? host.substr(0, host.size() - 1) : host, '.'))
    if (label.empty() || label.size() > 63)
      return "has an empty part or one above 63 bytes; write a host name such "
             "as \"graphite.example.com\"";
  return {};
}

std::string check_levels(std::string_view text) {
  if (text.size() > level_bytes_max)
    return "is longer than 200 bytes; write a shorter one";
  for (auto level : split(text, '.')) {
    if (level.empty())
      return "has an empty level; write one name between two dots";
    if (!consists_of(level, "_-"))
      return "holds a character that no level of a name may have; use A-Z a-z "
             "0-9 _ - and dots between levels";
  }
  return {};
}

std::string check_template(std::string_view text) {
  constexpr std::array<std::string_view, 6> known{
    "{prefix}", "{host}", "{trace}", "{map}", "{key}", "{bucket}"};
  if (text.size() > level_bytes_max)
    return "is longer than 200 bytes; write a shorter one";
  std::set<std::string_view> seen;
  for (auto level : split(text, '.')) {
    if (level.find_first_of("{}") == std::string_view::npos) {
      if (auto trouble = check_levels(level); !trouble.empty())
        return trouble;
      continue;
    }
    if (std::find(known.begin(), known.end(), level) == known.end()) {
      if (level.starts_with('{') && level.ends_with('}')
          && level.find_first_of("{}", 1) == level.size() - 1)
        return "holds " + in_quotes(level)
               + ", which is not known; use {prefix} {host} {trace} {map} "
                 "{key} {bucket}";
      return "holds " + in_quotes(level)
             + "; a placeholder is a level of its own, such as "
               "{trace}.{map}";
    }
    if (!seen.insert(level).second)
      return "holds " + in_quotes(level) + " twice; remove one";
  }
  for (auto needed : {"{trace}", "{key}", "{bucket}"})
    if (!seen.contains(needed))
      return "lacks " + std::string{needed}
             + ", so that values would share one series; add it";
  if (!text.ends_with("{bucket}"))
    return "does not end in {bucket}; put it last";
  return {};
}

std::string check_folder(std::string_view text) {
  if (!text.starts_with('/'))
    return "is no absolute path; write one that begins with /";
  return {};
}

std::string check_listen(std::string_view text) {
  if (text.empty() || text.starts_with('/'))
    return {};
  graphite_address address;
  if (auto trouble = parse_address(text, address); !trouble.empty())
    return trouble;
  if (address.host != "127.0.0.1" && address.host != "::1"
      && address.host != "localhost")
    return "is not loopback; write an address such as \"127.0.0.1:9126\", or "
           "the absolute path of a socket";
  return {};
}

/// Patterns of keys know * and ? only, see actors/normalizer/key_filter.hpp.
std::string check_pattern(std::string_view text) {
  if (text.empty() || text.ends_with('='))
    return "is empty; write a pattern such as \"java*\"";
  if (text.find_first_of("[\\") != std::string_view::npos)
    return "holds a [ or \\, which mean nothing special in keys; write ? for "
           "one byte, * for any";
  return {};
}

/// Patterns of files are glob(7)'s: * ? [a-z] [!a-z], \ before one of them.
std::string check_file_pattern(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && ++i == text.size())
      return "ends in a \\ that quotes nothing; write \\\\ for a backslash";
    if (text[i] == '[') {
      auto first = i + 1;
      if (first < text.size() && (text[first] == '!' || text[first] == '^'))
        ++first;
      auto close = text.find(']', first + 1);
      if (first >= text.size() || close == std::string_view::npos)
        return "has a [ that is never closed; add a ] or write \\[";
      i = close;
    }
  }
  return {};
}

std::string check_option(std::string_view text) {
  struct refused {
    std::string_view short_form;
    std::string_view long_form;
    std::string_view remedy;
  };
  // What would change the output that we read, or ask for something else.
  static constexpr std::array<refused, 12> not_ours{{
    {"-f", "", "set format instead"},
    {"-o", "", "its output is read from a pipe"},
    {"-B", "", "the pipe needs its own buffering"},
    {"-e", "", "write a script"},
    {"-l", "", "it lists probes and ends"},
    {"-d", "", "it debugs and ends"},
    {"-v", "", "it mixes talk with the values"},
    {"-c", "", "the output of the command would mix with the values"},
    {"-h", "--help", "it prints help and ends"},
    {"-V", "--version", "it prints a version and ends"},
    {"", "--info", "it prints facts and ends"},
    {"", "--unsafe", "set unsafe = true instead"},
  }};
  for (const auto& [short_form, long_form, remedy] : not_ours)
    if ((!short_form.empty() && text.starts_with(short_form))
        || (!long_form.empty() && text == long_form))
      return "cannot be passed on; remove it: " + std::string{remedy};
  return {};
}

std::string check_tag(std::string_view text) {
  if (text.empty() || !consists_of(text, "_-"))
    return "is no name of a key; use A-Z a-z 0-9 _ -";
  if (text.size() > tag_bytes_max)
    return "is longer than 40 bytes; write a shorter one";
  if (text == "host" || text == "le" || text == "name")
    return "is a tag that every series has; choose another name";
  return {};
}

} // namespace

std::optional<std::int64_t> parse_size(std::string_view text) {
  std::int64_t count = 0;
  auto [end, error] =
    std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || count < 0)
    return std::nullopt;
  auto tail = text.substr(static_cast<std::size_t>(end - text.data()));
  if (tail.empty())
    return count;
  for (const auto& unit : size_units) {
    std::int64_t bytes = 0;
    if (unit.name == tail && !__builtin_mul_overflow(count, unit.bytes, &bytes))
      return bytes;
  }
  return std::nullopt;
}

std::string parse_address(std::string_view text, graphite_address& result) {
  auto colon = text.rfind(':');
  auto host = text.substr(0, colon);
  unsigned port = 0;
  if (colon == std::string_view::npos || (is_v6(host) && host.front() != '['))
    return "has no port; write \"host:port\" or \"[address]:port\"";
  auto digits = text.substr(colon + 1);
  auto [end, error] =
    std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size() || port < 1
      || port > 65535)
    return "has no valid port; write a number from 1 to 65535 after the colon";
  if (auto trouble = check_server(host); !trouble.empty())
    return trouble;
  if (host.starts_with('['))
    host = host.substr(1, host.size() - 2);
  result = {std::string{host}, static_cast<std::uint16_t>(port)};
  return {};
}

std::string check_text(text_rule what, std::string_view text) {
  if (text.size() > text_bytes_max)
    return "is longer than " + std::to_string(text_bytes_max)
           + " bytes; write a shorter one";
  switch (what) {
    case rule::any:
      return {};
    case rule::server:
      return check_server(text);
    case rule::servers: {
      graphite_address ignored;
      return parse_address(text, ignored);
    }
    case rule::levels:
    case rule::host:
      return text.empty() ? std::string{} : check_levels(text);
    case rule::path_template:
      return check_template(text);
    case rule::program:
      if (text.empty() || text.ends_with('/'))
        return "names no program; write \"bpftrace\" or an absolute path";
      if (!text.starts_with('/') && text.find('/') != std::string_view::npos)
        return "is a relative path; write \"bpftrace\" or an absolute path";
      return {};
    case rule::folder:
      return check_folder(text);
    case rule::folder_or_none:
      return text.empty() ? std::string{} : check_folder(text);
    case rule::file:
      return text.empty() ? "is empty; write the path of a bpftrace script"
                          : std::string{};
    case rule::file_pattern:
      return text.empty() ? std::string{} : check_file_pattern(text);
    case rule::url:
      return text.empty() ? std::string{} : parse_render_url(text).error;
    case rule::listen:
      return check_listen(text);
    case rule::map_names:
      if (!text.starts_with('@'))
        return "is no map; write " + in_quotes('@' + std::string{text});
      return consists_of(text.substr(1), "_")
               ? std::string{}
               : "is no map; use letters, digits and _ after the @";
    case rule::tag_names:
      return check_tag(text);
    case rule::patterns:
      return check_pattern(text);
    case rule::options:
      return check_option(text);
    case rule::derived:
      return index_of("samples|mean|highest", text)
               ? std::string{}
               : "is not known; write \"samples\", \"mean\" or \"highest\"";
  }
  return {};
}

std::span<const schema_key> config_schema() {
  return keys();
}

std::span<const std::string_view> config_groups() {
  static constexpr std::array<std::string_view, 10> groups{
    "graphite",    "naming", "slots", "bpftrace", "limits",
    "own-metrics", "status", "log",   "stop",     "traces"};
  return groups;
}

config_field field_of(const schema_key& row, const config_target& target) {
  auto index = static_cast<std::size_t>(&row - keys().data());
  return rows[index].field(target);
}

std::vector<std::string> store(const schema_key& row, const config_value& value,
                               const config_field& field) {
  return storer{row, value}.run(field);
}

std::string to_text(const schema_key& row, const config_field& field) {
  auto list_text = [](const auto& list, auto&& element) {
    std::string text = "[";
    for (const auto& each : list)
      text += (text.size() > 1 ? ", " : "") + element(each);
    return text + ']';
  };
  auto literal = [](const std::string& text) {
    return to_text(config_value{text, {}});
  };
  auto choice = [&](auto value) {
    return '"'
           + std::string{split(row.choices, '|')
                           .at(static_cast<std::size_t>(value))}
           + '"';
  };
  return std::visit(
    [&](const auto* place) -> std::string {
      using type = std::remove_cvref_t<decltype(*place)>;
      if constexpr (std::is_enum_v<type>) {
        return choice(*place);
      } else if constexpr (std::is_same_v<type, bool>) {
        return *place ? "true" : "false";
      } else if constexpr (std::is_same_v<type, std::string>) {
        return row.name == "script" && place->empty() ? "" : literal(*place);
      } else if constexpr (std::is_same_v<type, std::vector<std::string>>) {
        return list_text(*place, literal);
      } else if constexpr (std::is_same_v<type, std::vector<double>>) {
        return list_text(*place, number_text);
      } else if constexpr (std::is_same_v<type,
                                          std::vector<graphite_address>>) {
        return list_text(*place, [&](const graphite_address& address) {
          bool v6 = address.host.find(':') != std::string::npos;
          return literal((v6 ? '[' + address.host + ']' : address.host) + ':'
                         + std::to_string(address.port));
        });
      } else if constexpr (std::is_same_v<type, std::uint16_t>) {
        return std::to_string(*place);
      } else if constexpr (std::is_same_v<type, std::size_t>) {
        return row.kind == kind::size
                 ? size_text(static_cast<std::int64_t>(*place))
                 : std::to_string(*place);
      } else if constexpr (
        std::is_same_v<
          type, std::chrono::
                  milliseconds> || std::is_same_v<type, std::chrono::seconds>) {
        return to_text(std::chrono::nanoseconds{*place});
      } else if constexpr (std::is_same_v<
                             type, std::optional<std::chrono::seconds>>) {
        return *place ? to_text(std::chrono::nanoseconds{**place}) : "";
      } else if constexpr (std::is_same_v<type,
                                          std::map<std::string, std::string>>) {
        std::string text;
        for (const auto& [key, value] : *place)
          text += (text.empty() ? " " : ", ") + key + " = " + literal(value);
        return text.empty() ? "{}" : '{' + text + " }";
      } else if constexpr (std::is_same_v<type, print_every_choice>) {
        if (place->what == print_every_choice::kind::period)
          return '"' + to_text(std::chrono::nanoseconds{place->period}) + '"';
        return place->what == print_every_choice::kind::off ? "\"off\""
                                                            : "\"auto\"";
      } else if constexpr (std::is_same_v<type, accumulate_config>) {
        if (place->by_map.empty())
          return place->all ? choice(*place->all) : "\"\"";
        std::string text;
        for (const auto& [map, how] : place->by_map)
          text +=
            (text.empty() ? " " : ", ") + map.substr(1) + " = " + choice(how);
        return '{' + text + " }";
      } else {
        static_assert(std::is_same_v<type, series_config>);
        std::vector<std::string> on;
        if (place->derived_samples)
          on.emplace_back("samples");
        if (place->derived_mean)
          on.emplace_back("mean");
        if (place->derived_highest)
          on.emplace_back("highest");
        return list_text(on, literal);
      }
    },
    field);
}

std::string_view nearest(std::string_view word,
                         std::span<const std::string_view> names) {
  // Damerau-Levenshtein with neighbours only: a swapped pair is one mistake.
  auto distance = [](std::string_view a, std::string_view b) {
    std::vector<std::vector<std::size_t>> d(
      a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i)
      for (std::size_t j = 0; j <= b.size(); ++j) {
        if (i == 0 || j == 0) {
          d[i][j] = i + j;
          continue;
        }
        d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1,
                            d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
          d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    return d[a.size()][b.size()];
  };
  if (word.size() > 64)
    return {};
  // People write _ for - and change case: those cost nothing.
  std::string plain;
  for (char c : word)
    plain += c == '_'
               ? '-'
               : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (auto name : names)
    if (auto d = distance(plain, name);
        d < best_distance && d < std::max(plain.size(), name.size())) {
      best = name;
      best_distance = d;
    }
  return best;
}

} // namespace bpf2graphite
