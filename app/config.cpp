#include "app/config.hpp"

#include "app/config_schema.hpp"

#include <algorithm>
#include <charconv>
#include <deque>
#include <filesystem>
#include <set>
#include <string_view>
#include <utility>

namespace bpf2graphite {

namespace {

constexpr const char* installed_file = "/etc/bpf2graphite/caf-application.conf";
constexpr const char* local_file = "./caf-application.conf";

/// What systemd's unit leaves us between stop and kill (TimeoutStopSec), less
/// a little for our own end.
constexpr std::chrono::milliseconds unit_stop_timeout{28'000};

std::string in_quotes(std::string_view text) {
  return '"' + shown(text) + '"';
}

std::string braces(std::string_view group) {
  return group.empty() ? std::string{"the top level"}
                       : std::string{group} + " { }";
}

/// `path` as seen from the folder `file` is in; absolute if `folder` is given.
std::string path_from(const std::string& folder, const std::string& file,
                      const std::string& path) {
  namespace fs = std::filesystem;
  return ((fs::path{folder} / file).parent_path() / path)
    .lexically_normal()
    .string();
}

/// A trace that was read, and what is still to be checked.
struct trace_source {
  const config_entry* entry;
  std::string file;
};

class loader {
public:
  loader(const config_request& request, file_access& files)
    : request_(request), files_(files) {}

  config_result run() {
    auto& all = result_.value;
    all.file = request_.file;
    const auto* tree = read(request_.file, {}, {});
    if (tree != nullptr) {
      for (const auto& entry : tree->root.entries)
        take_top(entry);
      find_trace_files();
    }
    take_overrides();
    check_globals();
    all.traces.reserve(sources_.size()); // they stay: no room for more
    for (const auto& source : sources_)
      take_trace(source);
    check_traces();
    if (sources_.empty() && result_.ok())
      say(message_level::warning, request_.file, {}, {},
          "there is no trace, so there is nothing to measure; add traces "
          "{ NAME { script = \"FILE.bt\" } }");
    return std::move(result_);
  }

private:
  // -- messages -----------------------------------------------------------

  void say(message_level level, const std::string& file, text_place place,
           const std::string& trace, std::string text) {
    result_.messages.push_back({level, file, place, trace, std::move(text)});
  }

  void error(text_place place, std::string text) {
    say(message_level::error, request_.file, place, {}, std::move(text));
  }

  void warning(text_place place, std::string text) {
    say(message_level::warning, request_.file, place, {}, std::move(text));
  }

  // -- files --------------------------------------------------------------

  /// The tree of a file; null if it could not be read. `named_in` and
  /// `named_at` tell who names the file, if another file does.
  const config_tree* read(const std::string& file, const std::string& named_in,
                          text_place named_at) {
    auto text = files_.read(file, config_bytes_max);
    if (text.fault != file_fault::none) {
      result_.unsafe |= text.fault == file_fault::unsafe;
      say(message_level::error, named_in.empty() ? file : named_in, named_at,
          {}, text.reason);
      return nullptr;
    }
    auto& tree = trees_.emplace_back(read_config_text(text.text, file));
    auto& to = result_.messages;
    to.insert(to.end(), tree.messages.begin(), tree.messages.end());
    return &tree;
  }

  void find_trace_files() {
    const auto& pattern = result_.value.trace_files;
    if (pattern.empty())
      return;
    auto place = places_[".trace-files"];
    auto found =
      files_.match(path_from(request_.working_folder, request_.file, pattern));
    if (!found.trouble.empty())
      error(place,
            "trace-files = " + in_quotes(pattern) + ": " + found.trouble);
    else if (found.paths.empty())
      warning(place, "trace-files = " + in_quotes(pattern)
                       + " matches no file; add one, or remove the line");
    for (const auto& file : found.paths) {
      const auto* tree = read(file, request_.file, place);
      if (tree == nullptr)
        continue;
      for (const auto& entry : tree->root.entries) {
        if (entry.key == "traces")
          take_trace_group(entry, file);
        else
          say(message_level::error, file, entry.place, {},
              "only traces { } may stand in a file of trace-files; move "
                + in_quotes(entry.key) + " to " + shown(request_.file));
      }
    }
  }

  // -- the top level ------------------------------------------------------

  void take_top(const config_entry& entry) {
    for (const auto& row : config_schema())
      if (row.group.empty() && row.name == entry.key)
        return take_key(row, entry, global_target());
    if (entry.key == "caf")
      return take_caf(entry);
    if (entry.key == "traces")
      return take_trace_group(entry, request_.file);
    if (!is_group(entry.key))
      return unknown(entry, "", request_.file, {});
    const auto* group = group_of(entry, request_.file, {});
    if (group == nullptr)
      return;
    for (const auto& inner : group->entries)
      take_in_group(entry.key, inner);
  }

  const config_group* group_of(const config_entry& entry,
                               const std::string& file,
                               const std::string& trace) {
    const auto* group = std::get_if<config_group>(&entry.value.held);
    if (group == nullptr)
      say(message_level::error, file, entry.value.place, trace,
          in_quotes(entry.key) + " is a group, not "
            + std::string{kind_name(entry.value)} + "; write "
            + shown(entry.key) + " { key = value }");
    return group;
  }

  void take_in_group(const std::string& group, const config_entry& entry) {
    for (const auto& row : config_schema())
      if (row.group == group && row.name == entry.key)
        return take_key(row, entry, global_target());
    unknown(entry, group, request_.file, {});
  }

  config_target global_target() {
    return {&result_.value, &result_.value.defaults, nullptr};
  }

  void take_key(const schema_key& row, const config_entry& entry,
                const config_target& target) {
    auto name = std::string{row.group} + '.' + entry.key;
    places_[name] = entry.place;
    auto faults = store(row, entry.value, field_of(row, target));
    if (!faults.empty())
      bad_.insert(name);
    for (auto& fault : faults)
      error(entry.value.place, std::move(fault));
    if (faults.empty() && name == "graphite.server")
      result_.value.server_origin = value_origin::file;
    if (faults.empty() && name == "graphite.port")
      result_.value.port_origin = value_origin::file;
  }

  void take_caf(const config_entry& entry) {
    const auto* caf = group_of(entry, request_.file, {});
    if (caf == nullptr)
      return;
    const auto* scheduler = caf->find("scheduler");
    const auto* group = scheduler == nullptr
                          ? nullptr
                          : std::get_if<config_group>(&scheduler->value.held);
    const auto* policy = group == nullptr ? nullptr : group->find("policy");
    if (policy != nullptr)
      error(policy->place,
            "scheduler.policy is fixed: another one than 'sharing' wakes up a "
            "hundred times a second for nothing; remove it");
    for (const auto& inner : caf->entries)
      group_of(inner, request_.file, {});
    result_.value.caf_text = to_caf_text(*caf);
  }

  static bool is_group(std::string_view name) {
    auto groups = config_groups();
    return name == "caf"
           || std::find(groups.begin(), groups.end(), name) != groups.end();
  }

  /// A key that is not in the table, or not there: with what was meant.
  void unknown(const config_entry& entry, const std::string& group,
               const std::string& file, const std::string& trace) {
    bool in_trace = !trace.empty();
    auto text = "unknown key " + in_quotes(entry.key) + " in "
                + (in_trace ? std::string{"a trace"} : braces(group));
    std::vector<std::string_view> names;
    const schema_key* elsewhere = nullptr;
    for (const auto& row : config_schema()) {
      bool here =
        in_trace ? row.group == "traces" || row.per_trace : row.group == group;
      if (here)
        names.push_back(row.name);
      else if (row.name == entry.key && elsewhere == nullptr)
        elsewhere = &row;
    }
    if (!in_trace && group.empty()) {
      auto groups = config_groups();
      names.insert(names.end(), groups.begin(), groups.end());
      names.push_back("caf");
    }
    auto near = nearest(entry.key, names);
    if (elsewhere != nullptr && elsewhere->group == "traces")
      text += "; it belongs in a trace: move it there";
    else if (elsewhere != nullptr && in_trace)
      text +=
        "; it stands for all traces: move it to " + braces(elsewhere->group);
    else if (elsewhere != nullptr)
      text += "; move it to " + braces(elsewhere->group);
    else if (is_group(entry.key))
      text += "; move it to the top level, where groups stand";
    else if (!near.empty())
      text += "; did you mean " + in_quotes(near) + "?";
    else
      text += "; remove it, or look it up in caf-application.conf";
    say(message_level::error, file, entry.place, trace, std::move(text));
  }

  // -- option > environment > file > default ------------------------------

  void take_overrides() {
    const auto& from = request_.overrides;
    auto& all = result_.value;
    bool server_set =
      take_server(from.server_option, "--server", value_origin::option);
    if (!from.server_option)
      server_set = take_server(from.server_variable, "BPF2GRAPHITE_SERVER",
                               value_origin::environment);
    bool port_set = take_port(from.port_option, "--port", value_origin::option);
    if (!from.port_option)
      port_set = take_port(from.port_variable, "BPF2GRAPHITE_PORT",
                           value_origin::environment);
    if (from.log_level_option) {
      if (auto level = parse_log_level(*from.log_level_option))
        all.log.level = *level;
      else
        say(message_level::error, "--log-level", {}, {},
            in_quotes(*from.log_level_option)
              + " is no level; give error, warning, notice, info or debug");
    }
    if (from.runtime_directory
        && !places_.contains("status.runtime-directory")) {
      // systemd separates several with colons; ours is the first.
      auto first =
        from.runtime_directory->substr(0, from.runtime_directory->find(':'));
      if (auto trouble = check_text(text_rule::folder, first); trouble.empty())
        all.status.runtime_directory = first;
      else
        say(message_level::error, "RUNTIME_DIRECTORY", {}, {},
            in_quotes(first) + ' ' + trouble);
    }
    take_destinations(server_set || port_set);
  }

  bool take_server(const std::optional<std::string>& text, const char* name,
                   value_origin origin) {
    if (!text)
      return false;
    const auto trouble = check_text(text_rule::server, *text);
    if (!trouble.empty()) {
      say(message_level::error, name, {}, {}, outside(*text, trouble, origin));
      return true;
    }
    auto& all = result_.value;
    all.server =
      text->starts_with('[') ? text->substr(1, text->size() - 2) : *text;
    all.server_origin = origin;
    return true;
  }

  bool take_port(const std::optional<std::string>& text, const char* name,
                 value_origin origin) {
    if (!text)
      return false;
    unsigned port = 0;
    const auto* last = text->data() + text->size();
    auto [end, fault] = std::from_chars(text->data(), last, port);
    if (fault != std::errc{} || end != last || port < 1 || port > 65535) {
      say(message_level::error, name, {}, {},
          outside(*text,
                  text->empty()
                    ? "is empty; give a whole number from 1 to 65535"
                    : "is no port; give a whole number from 1 to 65535",
                  origin));
      return true;
    }
    result_.value.port = static_cast<std::uint16_t>(port);
    result_.value.port_origin = origin;
    return true;
  }

  static std::string outside(const std::string& text, std::string trouble,
                             value_origin origin) {
    if (text.empty() && origin == value_origin::environment)
      trouble += ", or unset the variable";
    return in_quotes(text) + ' ' + trouble;
  }

  void take_destinations(bool overridden) {
    auto& all = result_.value;
    bool listed = !all.destinations.empty();
    if (listed)
      for (const char* key : {"server", "port"}) {
        auto place = places_.find(std::string{"graphite."} + key);
        if (place != places_.end())
          error(place->second, std::string{key}
                                 + " cannot stand beside destinations; remove "
                                   "one of the two");
      }
    if (listed && overridden)
      say(message_level::notice, request_.file,
          places_["graphite.destinations"], {},
          "destinations is replaced by the server and port that were given "
          "outside the file");
    if (!listed || overridden)
      all.destinations = {{all.server, all.port}};
  }

  // -- what must fit together ---------------------------------------------

  bool good(const std::string& name) const {
    return !bad_.contains(name);
  }

  text_place place_of(const std::string& name) const {
    auto found = places_.find(name);
    return found == places_.end() ? text_place{} : found->second;
  }

  /// Empty if data of this resolution can be sent at this interval.
  std::string check_resolution(std::chrono::seconds resolution) const {
    auto interval = result_.value.batcher.interval;
    std::chrono::milliseconds slot = resolution;
    if (interval % slot == slot.zero() || slot % interval == slot.zero())
      return {};
    return "resolution = " + to_text(std::chrono::nanoseconds{slot})
           + " and interval = " + to_text(std::chrono::nanoseconds{interval})
           + " are not multiples of one another; write a resolution such as "
           + to_text(std::chrono::nanoseconds{interval});
  }

  void check_globals() {
    const auto& all = result_.value;
    if (all.defaults.resolution && good("graphite.interval"))
      if (auto trouble = check_resolution(*all.defaults.resolution);
          !trouble.empty())
        error(place_of("slots.resolution"), trouble);
    if (good("graphite.confirm-delay") && good("graphite.confirm-timeout")
        && all.graphite.confirm_delay >= all.graphite.confirm_timeout)
      error(std::max(place_of("graphite.confirm-delay"),
                     place_of("graphite.confirm-timeout")),
            "confirm-delay is not below confirm-timeout, so that no batch "
            "could ever be accepted; write a longer confirm-timeout");
    if (all.limits.partial_bytes_max
        < std::max(all.limits.record_bytes_max, all.limits.line_bytes_max))
      error(std::max({place_of("limits.partial-bytes-max"),
                      place_of("limits.record-bytes-max"),
                      place_of("limits.line-bytes-max")}),
            "partial-bytes-max, for all traces, is below what one record or "
            "line may have; write a larger one");
    if (all.defaults.naming.style == path_style::tags
        && places_.contains("naming.template"))
      warning(place_of("naming.template"),
              "template has no effect with style = \"tags\"; remove one");
    auto stop = all.defaults.bpftrace.stop_timeout + all.stop.flush_timeout;
    if (stop > unit_stop_timeout)
      warning(std::max(place_of("bpftrace.stop-timeout"),
                       place_of("stop.flush-timeout")),
              "stop-timeout and flush-timeout are "
                + to_text(std::chrono::nanoseconds{stop})
                + " together, but the unit's TimeoutStopSec is 30s; raise it, "
                  "or lower them");
    for (const auto& destination : all.destinations)
      check_port(destination.port);
    if (!all.render_url.empty() && all.destinations.size() > 1
        && all.routing == routing_mode::replicate)
      error(place_of("graphite.render-url"),
            "render-url speaks for one Graphite, but everything goes to "
              + std::to_string(all.destinations.size())
              + "; remove render-url, or send to one of them and let a relay "
                "copy");
  }

  void check_port(std::uint16_t port) {
    const auto& all = result_.value;
    auto number = std::to_string(port);
    auto place = all.port_origin == value_origin::file
                   ? place_of("graphite.port")
                   : place_of("graphite.destinations");
    // The ports of carbon's example configuration.
    if (port == 2004 || port == 2014)
      warning(place, "port " + number
                       + " is where carbon takes pickles, not lines; lines go "
                         "to port "
                       + std::to_string(port - 1));
    if ((port == 2023 || port == 2024) && all.graphite.resend.count() > 0)
      warning(place, "port " + number
                       + " is where carbon-aggregator listens, which would "
                         "count a point twice that is sent twice; write resend "
                         "= 0s");
  }

  // -- traces -------------------------------------------------------------

  void take_trace_group(const config_entry& entry, const std::string& file) {
    const auto* group = group_of(entry, file, {});
    if (group == nullptr)
      return;
    for (const auto& trace : group->entries) {
      auto [first, fresh] =
        trace_places_.try_emplace(trace.key, file, trace.place);
      if (!fresh)
        say(message_level::error, file, trace.place, trace.key,
            "defined twice, first at " + where(first->second)
              + "; rename or remove one");
      else if (sources_.size() == traces_max)
        say(message_level::error, file, trace.place, trace.key,
            "more than " + std::to_string(traces_max) + " traces; remove some");
      else if (sources_.size() < traces_max)
        sources_.push_back({&trace, file});
    }
  }

  static std::string where(const std::pair<std::string, text_place>& at) {
    return shown(at.first, 1000) + ':' + std::to_string(at.second.line) + ':'
           + std::to_string(at.second.column);
  }

  void take_trace(const trace_source& source) {
    const auto& [entry, file] = source;
    const auto* group = group_of(*entry, file, entry->key);
    if (group == nullptr)
      return;
    auto& trace = result_.value.traces.emplace_back();
    trace.id = entry->key;
    trace.file = file;
    trace.place = entry->place;
    auto settings = result_.value.defaults;
    std::set<std::string_view> given;
    text_place resolution_place;
    text_place template_place;
    text_place period_place = entry->place;
    for (const auto& inner : group->entries) {
      const auto* row = trace_row(inner.key);
      if (row == nullptr) {
        unknown(inner, "traces", file, trace.id);
        continue;
      }
      auto faults = store(*row, inner.value,
                          field_of(*row, {&result_.value, &settings, &trace}));
      for (auto& fault : faults)
        say(message_level::error, file, inner.value.place, trace.id,
            std::move(fault));
      given.insert(inner.key);
      if (inner.key == "resolution" && faults.empty())
        resolution_place = inner.place;
      else if (inner.key == "template")
        template_place = inner.place;
      else if (inner.key == "print-every")
        period_place = inner.place;
      else if (inner.key == "script")
        trace.script_place = inner.value.place;
      else if (inner.key == "name")
        name_places_[trace.id] = inner.value.place;
    }
    if (!given.contains("script"))
      say(message_level::error, file, entry->place, trace.id,
          "there is no script; add script = \"FILE.bt\"");
    else if (!trace.script.empty())
      trace.script = path_from(request_.working_folder, file, trace.script);
    finish(trace, settings);
    if (resolution_place.line > 0 && good("graphite.interval"))
      if (auto trouble = check_resolution(*settings.resolution);
          !trouble.empty())
        say(message_level::error, file, resolution_place, trace.id, trouble);
    if (template_place.line > 0 && settings.naming.style == path_style::tags)
      say(message_level::warning, file, template_place, trace.id,
          "template has no effect with style = \"tags\"; remove one");
    if (settings.print_every.what == print_every_choice::kind::period
        && settings.print_every.period > trace.series.slots.resolution)
      say(message_level::warning, file, period_place, trace.id,
          "print-every is longer than the resolution, so that most slots stay "
          "empty; write a shorter one");
    if (settings.max_series > result_.value.limits.max_series_total)
      say(message_level::warning, file, entry->place, trace.id,
          "max-series is above max-series-total, which goes before it; lower "
          "one or raise the other");
  }

  static const schema_key* trace_row(std::string_view name) {
    for (const auto& row : config_schema())
      if (row.name == name && (row.group == "traces" || row.per_trace))
        return &row;
    return nullptr;
  }

  /// All that a trace did not set is as for all traces.
  void finish(trace_config& trace, trace_settings& settings) const {
    const auto& all = result_.value;
    trace.bpftrace = settings.bpftrace;
    trace.print_every = settings.print_every;
    trace.share = settings.share;
    auto& series = trace.series;
    if (series.trace.empty())
      series.trace = trace.id;
    series.naming = settings.naming;
    series.slots.resolution = settings.resolution.value_or(
      std::chrono::duration_cast<std::chrono::seconds>(all.batcher.interval));
    series.slots.grace = all.grace;
    series.slots.zero_fill = settings.zero_fill;
    series.slots.zero_fill_for = settings.zero_fill_for;
    series.max_series = settings.max_series;
  }

  /// Traces that would write the same series.
  void check_traces() {
    std::map<std::string, const trace_config*> writers;
    const auto& all = result_.value;
    for (const auto& trace : all.traces) {
      const auto& naming = trace.series.naming;
      auto place = trace.place;
      if (auto named = name_places_.find(trace.id); named != name_places_.end())
        place = named->second;
      if (trace.enabled && all.own_metrics.enabled
          && trace.series.trace == all.own_metrics.name)
        say(message_level::error, trace.file, place, trace.id,
            "would write among the daemon's own metrics; give it another name");
      if (!trace.enabled)
        continue;
      bool tags = naming.style == path_style::tags;
      bool prefixed =
        tags || naming.path_template.find("{prefix}") != std::string::npos;
      auto key = (tags ? "tags|" : naming.path_template + '|')
                 + (prefixed ? naming.prefix : std::string{}) + '|'
                 + trace.series.trace;
      auto [first, fresh] = writers.try_emplace(key, &trace);
      if (!fresh)
        say(message_level::error, trace.file, place, trace.id,
            "would write the series of trace " + in_quotes(first->second->id)
              + " at " + where({first->second->file, first->second->place})
              + ", both are named " + in_quotes(trace.series.trace)
              + "; give one another name");
    }
  }

  const config_request& request_;
  file_access& files_;
  config_result result_;
  std::deque<config_tree> trees_; // entries of them are pointed to
  std::map<std::string, text_place> places_;
  std::set<std::string> bad_; // keys whose value was refused
  std::vector<trace_source> sources_;
  std::map<std::string, std::pair<std::string, text_place>> trace_places_;
  std::map<std::string, text_place> name_places_;
};

} // namespace

std::string_view to_text(value_origin origin) {
  switch (origin) {
    case value_origin::built_in:
      return "default";
    case value_origin::file:
      return "file";
    case value_origin::environment:
      return "environment";
    case value_origin::option:
      return "option";
  }
  return {};
}

bool config_result::ok() const {
  return std::none_of(messages.begin(), messages.end(), [](const auto& m) {
    return m.level == message_level::error;
  });
}

config_result load_config(const config_request& request, file_access& files) {
  return loader{request, files}.run();
}

std::vector<config_message> check_scripts(const config& value,
                                          file_access& files, bool& unsafe) {
  std::vector<config_message> messages;
  for (const auto& trace : value.traces) {
    if (!trace.enabled || trace.script.empty())
      continue;
    auto script = files.read(trace.script, script_bytes_max);
    if (script.fault == file_fault::none)
      continue;
    unsafe |= script.fault == file_fault::unsafe;
    messages.push_back({message_level::error, trace.file, trace.script_place,
                        trace.id,
                        script.fault == file_fault::missing
                          ? script.reason + "; correct the path of script"
                          : script.reason});
  }
  return messages;
}

found_config find_config(file_access& files) {
  for (const char* file : {installed_file, local_file})
    if (files.exists(file))
      return {file, {}};
  return {{},
          std::string{"there is no configuration: neither "} + installed_file
            + " nor " + local_file
            + " exists; create one, or name it with --config FILE"};
}

} // namespace bpf2graphite
