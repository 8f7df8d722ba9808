#include "app/topology.hpp"

#include "actors/normalizer/metric_path.hpp"
#include "actors/watchdog/command_line.hpp"

#include <algorithm>
#include <csignal>
#include <mutex>
#include <utility>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using namespace supervision;

/// A newest slot from before us that lies further ahead than this is not
/// believed: the clock was wrong when it was written.
constexpr auto slot_ahead_max = 60s;

std::uint64_t value(const counter& c) {
  return c.load(std::memory_order_relaxed);
}

/// Spawns a shell on what is lent to it. A lambda, because CAF would take a
/// std::ref apart and copy what it refers to.
template <class Pointer, class Behavior, class Environment, class... Handles>
caf::actor spawn_as(caf::event_based_actor* parent, Behavior behavior,
                    Environment& env, Handles... handles) {
  return caf::actor_cast<caf::actor>(
    parent->spawn([behavior, &env, handles...](Pointer self) {
      return behavior(self, env, handles...);
    }));
}

template <class Actor, class State, class Environment, class... Handles>
caf::actor spawn_shell(caf::event_based_actor* parent,
                       typename Actor::behavior_type (*behavior)(
                         typename Actor::template stateful_pointer<State>,
                         Environment&, Handles...),
                       Environment& env, Handles... handles) {
  return spawn_as<typename Actor::template stateful_pointer<State>>(
    parent, behavior, env, handles...);
}

/// What a trace is read and named by, from its newest plan; several actors ask.
class plan_in_force {
public:
  void set(std::shared_ptr<const trace_plan> plan) {
    std::lock_guard guard{mutex_};
    plan_ = std::move(plan);
  }

  std::shared_ptr<const trace_plan> get() const {
    std::lock_guard guard{mutex_};
    return plan_;
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const trace_plan> plan_;
};

} // namespace

/// Everything of one trace that outlives its actors.
struct topology::trace_unit {
  trace_unit(topology& all, const trace_config& trace)
    : config{trace}, log{all.env_.log("trace \"" + trace.id + "\": ")},
      memory{line_bytes_max(all.env_.settings, trace)},
      decoder{(plan.set(first_plan(all)), plan.get()->parser), ledger},
      watch{trace.bpftrace.restart}, process{all.processes_,
                                             {.out = to_reader,
                                              .credit = credit,
                                              .ledger = ledger,
                                              .log = log}},
      normalizer_env{.trace = trace.id,
                     .in = to_normalizer,
                     .out = all.to_batcher_,
                     .series = series,
                     .fresh = [this, &all] { return fresh_series(all); },
                     .rules = [this] { return plan.get()->series; },
                     .ledger = ledger,
                     .give_back = [this](std::size_t n) { give_back(n); },
                     .now = wall_clock_now,
                     .log = log,
                     .fault = all.env_.fault},
      parser_env{.trace = trace.id,
                 .in = to_parser,
                 .out = to_normalizer,
                 .decoder = decoder,
                 .ledger = ledger,
                 .options = [this] { return plan.get()->parser; },
                 .give_back = [this](std::size_t n) { give_back(n); },
                 .attached = [this] { process.probes_attached(); },
                 .printed = {},
                 .now = wall_clock_now,
                 .log = log,
                 .fault = all.env_.fault},
      reader_env{.trace = trace.id,
                 .in = to_reader,
                 .out = to_parser,
                 .memory = memory,
                 .credit = credit,
                 .give_back = [this](std::size_t n) { give_back(n); },
                 .ledger = ledger,
                 .log = log,
                 .fault = all.env_.fault},
      watchdog_env{.trace = trace.id,
                   .process = process,
                   .memory = watch,
                   .status = status,
                   .ledger = ledger,
                   .config = config.bpftrace,
                   .prepare = [this, &all] { return prepare(all); },
                   .random = all.env_.random,
                   .log = log,
                   .fault = all.env_.fault} {
    series = fresh_series(all); // asks whether there was one before
  }

  static std::size_t line_bytes_max(const bpf2graphite::config& all,
                                    const trace_config& trace) {
    return trace.bpftrace.format == format_mode::text
             ? all.limits.line_bytes_max
             : all.limits.record_bytes_max;
  }

  /// Before the first start: without the script's rules.
  std::shared_ptr<const trace_plan> first_plan(topology& all) const {
    return std::make_shared<const trace_plan>(
      plan_unknown(config, all.env_.settings, all.env_.host));
  }

  std::unique_ptr<trace_series> fresh_series(topology& all) const {
    auto floor = series == nullptr ? all.first_slot_ : series->next_floor();
    return std::make_unique<trace_series>(plan.get()->series, all.series_,
                                          floor);
  }

  void give_back(std::size_t bytes) {
    credit.give_back(bytes, [this] { process.resume_reading(); });
  }

  /// The script is read anew before each start: whoever mends it waits for the
  /// next try, not for a reload.
  prepared_command prepare(topology& all) {
    auto [made, error] = all.env_.plan(config);
    if (!made)
      return {.command = {}, .error = std::move(error)};
    auto next = std::make_shared<const trace_plan>(std::move(*made));
    plan.set(next);
    script_source script{.path = config.script, .text = {}};
    if (!next->script.appended_probe.empty())
      script.text = next->script.program;
    return {.command = command_line(config.bpftrace, script, config.args,
                                    config.options),
            .error = {}};
  }

  trace_config config;
  log_sink log;
  trace_ledger ledger;
  trace_status status;
  plan_in_force plan;
  inbox<output_event> to_reader;
  inbox<lines_event> to_parser;
  inbox<snapshot_event> to_normalizer;
  byte_credit credit;
  line_reader_memory memory;
  output_decoder decoder;
  std::unique_ptr<trace_series> series;
  watchdog_memory watch;
  bpftrace_process process;
  normalizer_environment normalizer_env;
  histogram_parser_environment parser_env;
  line_reader_environment reader_env;
  watchdog_environment watchdog_env;
};

supervisor_spec topology::trace_tree(trace_unit& unit, batcher_actor batcher) {
  auto stop_grace =
    std::chrono::milliseconds{unit.config.bpftrace.stop_timeout} + 5s;
  auto& ledger = unit.ledger;
  auto& log = unit.log;
  return {
    .id = unit.config.id,
    .strategy = strategy::rest_for_one,
    .intensity = {.max_restarts = 5, .period = 60s}, // the sixth is a bug
    .exhaustion = exhaustion::retry_at_cap,
    .stop = stop_order::last_first,
    .backoff = {.initial = 250ms, .max = 30s},
    .random = env_.random,
    .observer = {
      .restarting =
        [&ledger, &log](const std::string& who, const std::string& why,
                        std::chrono::milliseconds delay) {
          ledger.actor_restarts.fetch_add(1, std::memory_order_relaxed);
          log(log_level::error,
              "our " + who + " failed (" + why + ") and starts again in "
                + std::to_string(delay.count()) + " ms; bpftrace goes on");
        },
      .failing =
        [&unit](bool failing, const std::string& why) {
          unit.log(failing ? log_level::error : log_level::notice,
                   failing ? "its actors keep failing (" + why
                               + "); tried again every 30 s"
                           : "its actors are well again");
        }},
    .children = {
      // Sink first: each may see only those above it.
      {.id = "normalizer",
       .start =
         [&unit, batcher](caf::event_based_actor* self, const siblings&) {
           return spawn_shell<normalizer_actor, normalizer_state>(
             self, normalizer, unit.normalizer_env, batcher);
         }},
      {.id = "histogram_parser",
       .start =
         [&unit](caf::event_based_actor* self, const siblings& started) {
           return spawn_shell<histogram_parser_actor, histogram_parser_state>(
             self, histogram_parser, unit.parser_env,
             started.get<normalizer_actor>("normalizer"));
         }},
      {.id = "line_reader",
       .start =
         [&unit](caf::event_based_actor* self, const siblings& started) {
           return spawn_shell<line_reader_actor, line_reader_state>(
             self, line_reader, unit.reader_env,
             started.get<histogram_parser_actor>("histogram_parser"));
         }},
      {.id = "watchdog",
       .start =
         [&unit](caf::event_based_actor* self, const siblings& started) {
           return spawn_shell<watchdog_actor, watchdog_state>(
             self, watchdog, unit.watchdog_env,
             started.get<line_reader_actor>("line_reader"));
         },
       .grace = stop_grace},
    }};
}

/// Everything of one destination that outlives its actor.
struct topology::destination_unit {
  destination_unit(topology& all, std::size_t index,
                   std::vector<graphite_address> addresses)
    : name{names_of(addresses)}, state{all.env_.settings.graphite, index,
                                       addresses.size(), all.probe_path(),
                                       books},
      env{.name = name,
          .destination = index,
          .addresses = std::move(addresses),
          .limits = {.connect_timeout =
                       all.env_.settings.graphite.connect_timeout,
                     .progress_timeout =
                       all.env_.settings.graphite.progress_timeout},
          .flush_timeout = all.env_.settings.stop.flush_timeout,
          .state = state,
          .wire = *all.env_.wires.at(index),
          .reports = all.reports_,
          .ledger = books,
          .random = all.env_.random,
          .log = all.env_.log(""),
          .fault = all.env_.fault} {}

  static std::string names_of(const std::vector<graphite_address>& all) {
    std::string names;
    for (const auto& one : all)
      names += (names.empty() ? "" : " or ") + one.host + ":"
               + std::to_string(one.port);
    return names;
  }

  std::string name;
  destination_ledger books;
  delivery state;
  connection_environment env;
};

topology::topology(topology_environment env)
  : env_{std::move(env)},
    processes_{env_.io.host()}, series_{env_.settings.limits.max_series_total} {
  auto now = wall_clock_now();
  auto believed = now + slot_ahead_max + env_.settings.batcher.interval;
  slots_ = std::make_unique<slot_record>(
    env_.last_slot,
    std::chrono::floor<std::chrono::seconds>(believed.time_since_epoch())
      .count());
  first_slot_ =
    bpf2graphite::first_slot(now, 1s, slots_->before_us().value_or(-1));
  const auto& settings = env_.settings;
  std::vector<destination_ledger*> books;
  auto add = [&](std::vector<graphite_address> addresses) {
    destinations_.push_back(std::make_unique<destination_unit>(
      *this, destinations_.size(), std::move(addresses)));
    books.push_back(&destinations_.back()->books);
  };
  // With failover all addresses are one destination: one queue, one of them at
  // a time.
  if (settings.routing == routing_mode::failover)
    add(settings.destinations);
  else
    for (const auto& to : settings.destinations)
      add({to});
  auto batches = settings.batcher;
  batches.offset =
    settings.splay ? splay_offset(env_.host, batches.interval) : 0ms;
  queue_ = std::make_unique<batch_queue>(batches, settings.graphite.resend,
                                         batcher_books_, books);
  batcher_.reset(new batcher_environment{.config = batches,
                                         .queue = *queue_,
                                         .points = to_batcher_,
                                         .reports = reports_,
                                         .slots = *slots_,
                                         .ledger = batcher_books_,
                                         .now = wall_clock_now,
                                         .log = env_.log("batcher: "),
                                         .fault = env_.fault});
  for (const auto& trace : settings.traces)
    if (trace.enabled)
      traces_.push_back(std::make_unique<trace_unit>(*this, trace));
}

topology::~topology() = default;

std::string topology::probe_path() const {
  auto naming = env_.settings.defaults.naming;
  if (naming.host.empty())
    naming.host = env_.host;
  naming.path_template = "{prefix}.{host}.{trace}.{bucket}";
  naming.style = path_style::path;
  return metric_path{naming, "bpf2graphite", {}, "@"}.render("", "probe");
}

supervisor_spec topology::traces_tree(const batcher_actor& batcher) {
  supervisor_spec spec{
    .id = "traces",
    .strategy = strategy::one_for_one,
    .exhaustion = exhaustion::retry_at_cap,
    .stop = stop_order::together, // they know nothing of each other
    .random = env_.random,
    .observer = {},
    .children = {},
  };
  for (auto& unit : traces_)
    spec.children.push_back(
      {.id = unit->config.id,
       .start =
         [this, &unit = *unit, batcher](caf::event_based_actor* self,
                                        const siblings&) {
           return caf::actor{
             self->spawn(supervisor, trace_tree(unit, batcher))};
         },
       .grace = {}});
  return spec;
}

supervisor_spec topology::pipeline_tree() {
  auto log = env_.log("");
  supervisor_spec spec{
    .id = "pipeline",
    .strategy = strategy::one_for_one,
    .stop = stop_order::last_first,
    .random = env_.random,
    .observer = {.restarting =
                   [log](const std::string& who, const std::string& why,
                         std::chrono::milliseconds delay) {
                     log(log_level::error, "our " + who + " failed (" + why
                                             + ") and starts again in "
                                             + std::to_string(delay.count())
                                             + " ms");
                   },
                 .failing = {}},
    .children = {},
  };
  spec.children.push_back(
    {.id = "batcher",
     .start =
       [this](caf::event_based_actor* self, const siblings&) {
         return spawn_shell<batcher_actor, batcher_state>(self, batcher,
                                                          *batcher_);
       },
     .significant = true}); // everybody holds its handle
  for (auto& unit : destinations_)
    spec.children.push_back({.id = "graphite_connection " + unit->name,
                             .start =
                               [&unit = *unit](caf::event_based_actor* self,
                                               const siblings& started) {
                                 return spawn_shell<graphite_connection_actor,
                                                    graphite_connection_state>(
                                   self, graphite_connection, unit.env,
                                   started.get<batcher_actor>("batcher"));
                               },
                             .grace = env_.settings.stop.flush_timeout + 5s});
  spec.children.push_back(
    {.id = "traces",
     .start =
       [this](caf::event_based_actor* self, const siblings& started) {
         return caf::actor{self->spawn(
           supervisor, traces_tree(started.get<batcher_actor>("batcher")))};
       },
     .grace = {}});
  return spec;
}

void topology::start(std::function<void(const std::string& reason)> ended) {
  auto log = env_.log("");
  supervisor_spec spec{
    .id = "root",
    .random = env_.random,
    .observer = {.restarting =
                   [log](const std::string& who, const std::string& why,
                         std::chrono::milliseconds delay) {
                     log(log_level::error, "our " + who + " ended (" + why
                                             + ") and starts again in "
                                             + std::to_string(delay.count())
                                             + " ms; each bpftrace goes on");
                   },
                 .failing = {}},
    .children = {},
  };
  spec.children.push_back(
    {.id = "pipeline",
     .start =
       [this](caf::event_based_actor* self, const siblings&) {
         return caf::actor{self->spawn(supervisor, pipeline_tree())};
       },
     .grace = {}});
  root_ = env_.actors.spawn(supervisor, std::move(spec));
  root_->attach_functor([ended = std::move(ended)](const caf::error& reason) {
    ended(caf::to_string(reason));
  });
}

void topology::stop() {
  caf::anon_send_exit(root_, caf::exit_reason::user_shutdown);
}

void topology::kill_all() {
  for (auto& unit : traces_)
    unit->process.signal(SIGKILL);
}

std::string topology::books() const {
  std::string out;
  auto add = [&out](const char* name, std::uint64_t n) {
    if (!out.empty())
      out += ' ';
    out += name;
    out += '=';
    out += std::to_string(n);
  };
  auto of_traces = [this](counter trace_ledger::*which) {
    std::uint64_t sum = 0;
    for (const auto& unit : traces_)
      sum += value(unit->ledger.*which);
    return sum;
  };
  auto of_destinations = [this](counter destination_ledger::*which) {
    std::uint64_t sum = 0;
    for (const auto& unit : destinations_)
      sum += value(unit->books.*which);
    return sum;
  };
  series_counts series;
  std::uint64_t open = 0;
  for (const auto& unit : traces_) {
    const auto& c = unit->series->counts();
    series.combined += c.combined;
    series.merged += c.merged;
    series.folded += c.folded;
    series.unchanged += c.unchanged;
    series.measured += c.measured;
    series.late += c.late;
    series.zero_filled += c.zero_filled;
    series.dropped_unwanted += c.dropped();
    open += unit->series->open_values();
  }
  add("read", of_traces(&trace_ledger::values));
  add("measured", series.measured);
  add("combined", series.combined);
  add("unchanged", series.unchanged);
  add("merged", series.merged);
  add("folded", series.folded);
  add("open", open);
  add("dropped_values", series.dropped_unwanted);
  add("late", series.late);
  add("zero_filled", series.zero_filled);
  add("crash", of_traces(&trace_ledger::crash_values)
                 + value(batcher_books_.crash_points));
  add("crash_messages", of_traces(&trace_ledger::crash_messages)
                          + value(batcher_books_.crash_messages));
  add("lost_events", of_traces(&trace_ledger::lost_events));
  add("rejected", of_traces(&trace_ledger::rejected));
  add("invalid", of_traces(&trace_ledger::invalid));
  add("discarded_lines", of_traces(&trace_ledger::lines_discarded));
  add("starts", of_traces(&trace_ledger::starts));
  add("restarts", of_traces(&trace_ledger::restarts));
  add("actor_restarts", of_traces(&trace_ledger::actor_restarts));
  add("refused_lines", value(batcher_books_.refused));
  add("points", of_destinations(&destination_ledger::points));
  add("accepted", of_destinations(&destination_ledger::accepted));
  add("waiting", of_destinations(&destination_ledger::waiting));
  add("dropped_buffer", of_destinations(&destination_ledger::dropped_buffer));
  add("dropped_stop", of_destinations(&destination_ledger::dropped_stop));
  add("parked", of_destinations(&destination_ledger::parked));
  add("resent", of_destinations(&destination_ledger::resent));
  add("connects", of_destinations(&destination_ledger::connects));
  add("refusals", of_destinations(&destination_ledger::refusals));
  return out;
}

bool topology::none_runs() const {
  return std::all_of(traces_.begin(), traces_.end(), [](const auto& unit) {
    auto state = unit->status.read().state;
    return state == trace_state::failing || state == trace_state::stopped;
  });
}

std::string topology::summary() const {
  auto out = std::to_string(traces_.size())
             + (traces_.size() == 1 ? " trace" : " traces");
  for (const auto& unit : destinations_)
    out += ", to " + unit->name;
  return out;
}

} // namespace bpf2graphite
