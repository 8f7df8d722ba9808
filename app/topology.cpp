#include "app/topology.hpp"

#include "actors/batcher/spool_format.hpp"
#include "actors/normalizer/metric_path.hpp"
#include "actors/watchdog/command_line.hpp"
#include "app/share_plan.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <ctime>
#include <mutex>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;
using namespace supervision;

/// A newest slot from before us that lies further ahead than this is not
/// believed: the clock was wrong when it was written.
constexpr auto slot_ahead_max = 60s;

using steady_time = std::chrono::steady_clock::time_point;

/// What was left in pipes is read so long before the tick of a batch: that is
/// the grace which a slot gives its last print.
constexpr auto held_before_tick = 1s;

/// Where batches are rare, it is read more often than they come.
constexpr auto held_at_most = 15s;

/// Whoever has looked may look again: `top` and the page do each few seconds.
constexpr auto looks_again_within = 30s;

std::chrono::milliseconds since_boot() {
  timespec at{};
  ::clock_gettime(CLOCK_BOOTTIME, &at);
  return std::chrono::seconds{at.tv_sec}
         + std::chrono::milliseconds{at.tv_nsec / 1'000'000};
}

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

/// What is left of a trace's newest plan while its bpftrace runs.
struct running_plan {
  std::string script;  // its file
  std::string program; // what bpftrace was told to run; empty: never started
  std::shared_ptr<const series_config> series;
  parser_options parser;

  explicit running_plan(trace_plan plan)
    : script{std::move(plan.trace.script)}, program{std::move(
                                              plan.script.program)},
      series{std::make_shared<const series_config>(std::move(plan.series))},
      parser{std::move(plan.parser)} {}
};

/// What a trace is read and named by; several actors ask.
class plan_in_force {
public:
  void set(std::shared_ptr<const running_plan> plan) {
    std::lock_guard guard{mutex_};
    plan_ = std::move(plan);
  }

  std::shared_ptr<const running_plan> get() const {
    std::lock_guard guard{mutex_};
    return plan_;
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const running_plan> plan_;
};

/// A trace's configuration: one of the traces of `all`.
struct trace_words {
  std::shared_ptr<const bpf2graphite::config> all;
  const trace_config* trace = nullptr;
  std::uint64_t number = 0; // other words, another number

  std::size_t line_bytes_max() const {
    return trace->bpftrace.format == format_mode::text
             ? all->limits.line_bytes_max
             : all->limits.record_bytes_max;
  }

  /// In JSON only records may be longer than a line of text.
  std::size_t plain_bytes_max() const {
    return trace->bpftrace.format == format_mode::text
             ? SIZE_MAX
             : all->limits.line_bytes_max;
  }
};

} // namespace

/// Everything of one trace that outlives its actors.
struct topology::trace_unit {
  trace_unit(topology& all, trace_words words, std::int64_t first)
    : id{words.trace->id}, first_slot{first}, wanted{std::move(words)},
      bpftrace{wanted.trace->bpftrace}, log{all.env_.log(
                                          "trace \"" + id + "\": ", id)},
      memory{wanted.line_bytes_max(), wanted.plain_bytes_max()},
      decoder{(plan.set(first_plan(all)), plan.get()->parser), ledger},
      watch{bpftrace.restart}, process{all.processes_,
                                       {.out = to_reader,
                                        .credit = credit,
                                        .ledger = ledger,
                                        .log = log},
                                       id},
      normalizer_env{.trace = id,
                     .in = to_normalizer,
                     .out = all.to_batcher_,
                     .series = series,
                     .fresh = [this, &all] { return fresh_series(all); },
                     .rules = [this] { return plan.get()->series; },
                     .ledger = ledger,
                     .view = view,
                     .tap =
                       [this, &all](std::span<const metric> points) {
                         if (all.env_.tap)
                           all.env_.tap(id, points);
                       },
                     .give_back = [this](std::size_t n) { give_back(n); },
                     .now = wall_clock_now,
                     .log = log,
                     .fault = all.env_.fault},
      parser_env{.trace = id,
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
                 .fault = all.env_.fault,
                 .losses = &losses},
      reader_env{.trace = id,
                 .in = to_reader,
                 .out = to_parser,
                 .memory = memory,
                 .credit = credit,
                 .give_back = [this](std::size_t n) { give_back(n); },
                 .ledger = ledger,
                 .log = log,
                 .fault = all.env_.fault,
                 .line_bytes_max = [this] { return line_limit.load(); },
                 .plain_bytes_max =
                   [this] {
                     return plain_limit.load();
                   }},
      watchdog_env{.trace = id,
                   .process = process,
                   .memory = watch,
                   .status = status,
                   .ledger = ledger,
                   .config = bpftrace,
                   .prepare = [this, &all] { return prepare(all); },
                   .random =
                     [this, &all] {
                       auto shared = process.take_shared_jitter();
                       return shared ? *shared : all.env_.random();
                     },
                   .log = log,
                   .fault = all.env_.fault,
                   .outdated = [this] { return newest().number != in_use; },
                   .changed = all.env_.changed} {
    series = fresh_series(all); // asks whether there was one before
  }

  /// Before the first start: without the script's rules.
  std::shared_ptr<const running_plan> first_plan(topology& all) const {
    return std::make_shared<const running_plan>(
      plan_unknown(*wanted.trace, *wanted.all, all.env_.host));
  }

  std::unique_ptr<trace_series> fresh_series(topology& all) {
    auto floor = series == nullptr ? first_slot : series->next_floor();
    auto made =
      std::make_unique<trace_series>(plan.get()->series, all.series_, floor);
    made->show_to(&history);
    return made;
  }

  void give_back(std::size_t bytes) {
    credit.give_back(bytes, [this] { process.resume_reading(); });
  }

  trace_words newest() const {
    std::lock_guard guard{mutex};
    return wanted;
  }

  /// From the next start on; the watchdog has to be told. io thread.
  void change(trace_words words) {
    std::lock_guard guard{mutex};
    words.number = wanted.number + 1;
    wanted = std::move(words);
  }

  /// The same words, as they stand in a newer configuration: the old one can
  /// go. io thread.
  void move_to(trace_words words) {
    std::lock_guard guard{mutex};
    words.number = wanted.number;
    wanted = std::move(words);
  }

  /// The script is read anew before each start: whoever mends it waits for the
  /// next try, not for a reload. The watchdog's actor only.
  prepared_command prepare(topology& all) {
    const auto words = newest();
    in_use = words.number;
    const auto& trace = *words.trace;
    bpftrace = trace.bpftrace;
    line_limit.store(words.line_bytes_max());
    plain_limit.store(words.plain_bytes_max());
    auto [made, error] = all.env_.plan(trace, *words.all);
    if (!made)
      return {.command = {}, .error = std::move(error)};
    const auto appended = !made->script.appended_probe.empty();
    auto next = std::make_shared<const running_plan>(std::move(*made));
    plan.set(next);
    script_source script{.path = trace.script, .text = {}};
    if (appended)
      script.text = next->program;
    auto command = command_line(bpftrace, script, trace.args, trace.options);
    if (trace.share && share_refusal(trace).empty())
      command.share = share_wish{.key = share_key(trace),
                                 .program = next->program,
                                 .text = bpftrace.format == format_mode::text};
    return {.command = std::move(command), .error = {}};
  }

  void tell_watchdog() {
    std::lock_guard guard{mutex};
    if (watchdog)
      caf::anon_send(watchdog, reload_atom_v);
  }

  const std::string id;
  const std::int64_t first_slot;
  mutable std::mutex mutex; // of the next two
  trace_words wanted;
  watchdog_actor watchdog; // the one that was started last
  /// What the bpftrace that runs was started with; the watchdog's.
  std::uint64_t in_use = 0; // the number of its words
  bpftrace_config bpftrace; // a copy of its part
  std::atomic<std::size_t> line_limit{wanted.line_bytes_max()};
  std::atomic<std::size_t> plain_limit{wanted.plain_bytes_max()};
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
  loss_report losses;
  std::unique_ptr<trace_series> series;
  series_view view;
  slot_history history; // outlives every trace_series that is shown to it
  watchdog_memory watch;
  bpftrace_process process;
  normalizer_environment normalizer_env;
  histogram_parser_environment parser_env;
  line_reader_environment reader_env;
  watchdog_environment watchdog_env;
};

supervisor_spec topology::trace_tree(trace_unit& unit, batcher_actor batcher) {
  // A reload that changes stop-timeout makes another unit.
  auto stop_grace = unit.newest().trace->bpftrace.stop_timeout + 5s;
  auto& ledger = unit.ledger;
  auto& log = unit.log;
  return {
    .id = unit.id,
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
                + std::to_string(delay.count()) + " ms; bpftrace goes on",
              log_event::actor_restarted);
        },
      .failing =
        [&unit](bool failing, const std::string& why) {
          unit.log(failing ? log_level::error : log_level::notice,
                   failing ? "its actors keep failing (" + why
                               + "); tried again every 30 s"
                           : "its actors are well again",
                   failing ? log_event::trace_failing : log_event::trace_well);
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
           auto handle = spawn_shell<watchdog_actor, watchdog_state>(
             self, watchdog, unit.watchdog_env,
             started.get<line_reader_actor>("line_reader"));
           std::lock_guard guard{unit.mutex};
           unit.watchdog = caf::actor_cast<watchdog_actor>(handle);
           return handle;
         },
       .grace = stop_grace},
    }};
}

/// Everything of one destination that outlives its actor.
struct topology::destination_unit {
  destination_unit(topology& all, std::size_t index,
                   std::vector<graphite_address> addresses)
    : name{names_of(addresses)}, state{limited(*all.env_.settings), index,
                                       addresses.size(), all.probe_path(),
                                       books},
      env{.name = name,
          .destination = index,
          .addresses = std::move(addresses),
          .limits = {.connect_timeout =
                       all.env_.settings->graphite.connect_timeout,
                     .progress_timeout =
                       all.env_.settings->graphite.progress_timeout},
          .flush_timeout = all.env_.settings->stop.flush_timeout,
          .state = state,
          .wire = *all.env_.wires.at(index),
          .reports = all.reports_,
          .ledger = books,
          .status = status,
          .random = all.env_.random,
          .log = all.env_.log("", ""),
          .fault = all.env_.fault,
          .wall = wall_clock_now,
          .newest = [this] { return newest(); },
          .reported =
            [&all](bool accepted) {
              if (accepted)
                all.accepted_at_ = std::chrono::floor<std::chrono::seconds>(
                                     wall_clock_now().time_since_epoch())
                                     .count();
              if (all.env_.changed)
                all.env_.changed();
            },
          .ends = [&all] { all.add_last_points(); },
          .arrivals = all.env_.render && index == 0 ? &arrivals : nullptr,
          .render = index == 0 ? all.env_.render.get() : nullptr},
      wanted{name, env.addresses} {}

  connection_addresses newest() const {
    std::lock_guard guard{mutex};
    return wanted;
  }

  /// Any actor that comes later begins with them.
  void move_to(std::vector<graphite_address> addresses) {
    std::lock_guard guard{mutex};
    wanted = {names_of(addresses), std::move(addresses)};
    if (connection)
      caf::anon_send(connection, reload_atom_v);
  }

  /// The buffer bounds what streaming holds, too.
  static graphite_config limited(const bpf2graphite::config& all) {
    auto result = all.graphite;
    auto share = all.batcher.buffer_bytes_max / 8;
    result.tail_bytes = std::min(result.tail_bytes, share);
    result.unacknowledged_bytes_max =
      std::min(result.unacknowledged_bytes_max, share);
    return result;
  }

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
  destination_status status;
  arrival_check arrivals;
  connection_environment env;
  mutable std::mutex mutex; // of the rest
  connection_addresses wanted;
  graphite_connection_actor connection;
};

topology::topology(topology_environment env)
  : env_{std::move(env)}, shares_{env_.io.host(), env_.random,
                                  env_.log("", "")},
    processes_{env_.io.host()}, series_{
                                  env_.settings->limits.max_series_total} {
  processes_.shares = &shares_;
  auto now = wall_clock_now();
  auto believed = now + slot_ahead_max + env_.settings->batcher.interval;
  slots_ = std::make_unique<slot_record>(
    env_.last_slot,
    std::chrono::floor<std::chrono::seconds>(believed.time_since_epoch())
      .count());
  first_slot_ =
    bpf2graphite::first_slot(now, 1s, slots_->before_us().value_or(-1));
  const auto& settings = *env_.settings;
  std::vector<destination_ledger*> books;
  auto add = [&](std::vector<graphite_address> addresses) {
    destinations_.push_back(std::make_unique<destination_unit>(
      *this, destinations_.size(), std::move(addresses)));
    books.push_back(&destinations_.back()->books);
  };
  for (auto& addresses : queues_of(settings))
    add(std::move(addresses));
  in_force_ = env_.settings;
  times_ = times_of(settings);
  auto batches = settings.batcher;
  batches.offset = times_.offset;
  batches.verify = env_.render != nullptr;
  queue_ = std::make_unique<batch_queue>(batches, settings.graphite.resend,
                                         batcher_books_, books);
  batcher_.reset(new batcher_environment{.config = batches,
                                         .queue = *queue_,
                                         .points = to_batcher_,
                                         .reports = reports_,
                                         .slots = *slots_,
                                         .ledger = batcher_books_,
                                         .now = wall_clock_now,
                                         .log = env_.log("batcher: ", ""),
                                         .fault = env_.fault,
                                         .times =
                                           [this] {
                                             std::lock_guard guard{mutex_};
                                             return times_;
                                           },
                                         .since_boot = since_boot,
                                         .spool = env_.spool,
                                         .next_tick =
                                           [this](steady_time next) {
                                             next_tick_ =
                                               next.time_since_epoch().count();
                                           }});
  // All that came before has its way through the stages before the tick.
  processes_.pipes.hold_with(
    [this] {
      const steady_time tick{steady_time::duration{next_tick_.load()}};
      const auto present = std::chrono::steady_clock::now();
      return tick == steady_time::min() || present < looked_at_until_
               ? steady_time::min()
               : std::min(tick - held_before_tick, present + held_at_most);
    },
    wall_clock_now);
  if (env_.spool != nullptr)
    read_spool();
  for (const auto& trace : settings.traces)
    if (trace.enabled)
      traces_.push_back(std::make_unique<trace_unit>(
        *this, trace_words{in_force_, &trace}, first_slot_));
}

batch_times topology::times_of(const config& settings) const {
  auto interval = settings.batcher.interval;
  return {interval, settings.splay ? splay_offset(env_.host, interval) : 0ms};
}

/// With failover all addresses are one destination: one queue, one of them at
/// a time.
std::vector<std::vector<graphite_address>>
topology::queues_of(const config& settings) const {
  if (settings.routing == routing_mode::failover)
    return {settings.destinations};
  std::vector<std::vector<graphite_address>> all;
  for (const auto& to : settings.destinations)
    all.push_back({to});
  return all;
}

topology::~topology() {
  processes_.pipes.hold_with({}, {});
  alive_.reset();
}

void topology::looked_at() {
  looked_at_until_ = std::chrono::steady_clock::now() + looks_again_within;
  processes_.pipes.read_held();
}

/// What the daemon before us could not deliver comes first.
void topology::read_spool() {
  auto log = env_.log("spool: ", "");
  auto& folder = *env_.spool;
  auto others = folder.files();
  batcher_->destination_name = [this](std::size_t i) {
    return destinations_[i]->newest().name;
  };
  for (std::size_t i = 0; i < destinations_.size(); ++i) {
    const auto& name = destinations_[i]->name;
    auto file = spool_file_name(name);
    std::erase(others, file);
    batcher_->spool_files.push_back(file);
    // With the heads of its batches a full buffer is a little larger.
    auto [text, error] =
      folder.read(file, env_.settings->batcher.buffer_bytes_max * 2);
    spool_content content;
    if (text)
      content = decode_spool(*text, name);
    if (error.empty())
      error = content.error;
    if (!error.empty()) {
      auto aside = folder.set_aside(file);
      log(log_level::error,
          folder.place(file) + ' ' + error
            + (aside.empty()
                 ? "; it is left where it is"
                 : "; nothing of it is sent, it is kept as " + aside));
      continue;
    }
    std::uint64_t points = 0;
    for (const auto& batch : content.batches)
      points += batch.points;
    if (points > 0)
      log(log_level::notice, std::to_string(points)
                               + " points of the daemon before go to " + name
                               + " first");
    queue_->restore(i, std::move(content.batches));
  }
  if (others.empty())
    return;
  std::string names;
  for (std::size_t i = 0; i < others.size() && i < spool_names_shown_max; ++i)
    names += (i > 0 ? ", " : "") + folder.place(others[i]);
  if (others.size() > spool_names_shown_max)
    names += " and others";
  log(log_level::warning, names
                            + " is for a destination that is not configured; "
                              "it is kept: configure that again, or remove it");
}

std::string topology::probe_path() const {
  auto naming = env_.settings->defaults.naming;
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
    spec.children.push_back(trace_child(*unit, batcher));
  return spec;
}

child_spec topology::trace_child(trace_unit& unit,
                                 const batcher_actor& batcher) {
  return {
    .id = unit.id,
    .start =
      [this, &unit, batcher](caf::event_based_actor* self, const siblings&) {
        return caf::actor{self->spawn(supervisor, trace_tree(unit, batcher))};
      },
    .grace = {}};
}

supervisor_spec topology::pipeline_tree() {
  auto log = env_.log("", "");
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
    spec.children.push_back(
      {.id = "graphite_connection " + unit->name,
       .start =
         [&unit = *unit](caf::event_based_actor* self,
                         const siblings& started) {
           auto handle =
             spawn_shell<graphite_connection_actor, graphite_connection_state>(
               self, graphite_connection, unit.env,
               started.get<batcher_actor>("batcher"));
           std::lock_guard guard{unit.mutex};
           unit.connection = caf::actor_cast<graphite_connection_actor>(handle);
           return handle;
         },
       .grace = env_.settings->stop.flush_timeout + 5s,
       // Those that are away cost one flush-timeout.
       .with_previous = unit != destinations_.front()});
  spec.children.push_back(
    {.id = "traces",
     .start =
       [this](caf::event_based_actor* self, const siblings& started) {
         auto to = started.get<batcher_actor>("batcher");
         // A reload sees either this one, or not yet and is in its tree.
         std::lock_guard guard{mutex_};
         caf::actor handle{self->spawn(supervisor, traces_tree(to))};
         traces_supervisor_ = {handle, to};
         return handle;
       },
     .grace = {}});
  return spec;
}

void topology::start(std::function<void(const std::string& reason)> ended) {
  auto log = env_.log("", "");
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
  stopping_ = true;
  boost::asio::post(env_.io.io(), [this] { shares_.begin_stop(); });
  caf::anon_send_exit(root_, caf::exit_reason::user_shutdown);
}

// -- reload -------------------------------------------------------------------

struct topology::reload_order {
  std::vector<std::string> leaving; // not gone yet
  std::vector<std::string> coming;
  std::function<void()> done;
  /// Handlers that come after our end know it by this.
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

topology::trace_unit* topology::find(const std::string& trace) const {
  for (const auto& unit : traces_)
    if (unit->id == trace)
      return unit.get();
  return nullptr;
}

std::string topology::program_of(const std::string& trace) const {
  std::lock_guard guard{mutex_};
  const auto* unit = find(trace);
  return unit == nullptr ? std::string{} : unit->plan.get()->program;
}

void topology::reload(const reload_plan& plan, std::function<void()> done) {
  auto next = plan.in_force;
  {
    std::lock_guard guard{mutex_};
    in_force_ = next;
    times_ = times_of(*next);
  }
  series_.set_max(next->limits.max_series_total);
  if (plan.other_addresses) {
    auto queues = queues_of(*next);
    for (std::size_t i = 0; i < queues.size(); ++i)
      destinations_.at(i)->move_to(std::move(queues[i]));
  }
  // Those that are to end keep what they have.
  std::unordered_map<std::string_view, bool> stay; // whether with other words
  for (const auto& trace : next->traces)
    if (trace.enabled)
      stay.emplace(trace.id, false);
  for (const auto& id : plan.replaced)
    stay.erase(id);
  for (const auto& id : plan.restarted)
    stay[id] = true;
  for (const auto& trace : next->traces) {
    const auto found = stay.find(trace.id);
    auto* unit = found == stay.end() ? nullptr : find(trace.id);
    if (unit == nullptr || !trace.enabled)
      continue;
    if (!found->second) {
      unit->move_to({next, &trace});
      continue;
    }
    unit->change({next, &trace});
    unit->tell_watchdog();
  }
  reloading_ = std::make_unique<reload_order>();
  reloading_->leaving = plan.removed;
  reloading_->leaving.insert(reloading_->leaving.end(), plan.replaced.begin(),
                             plan.replaced.end());
  reloading_->coming = plan.added;
  reloading_->coming.insert(reloading_->coming.end(), plan.replaced.begin(),
                            plan.replaced.end());
  reloading_->done = std::move(done);
  auto leaving = reloading_->leaving;
  for (const auto& id : leaving)
    remove(id);
  if (leaving.empty())
    add_traces();
}

/// Asks the supervisor of the traces; `removed` gets its answer.
void topology::remove(const std::string& trace) {
  caf::actor supervisor;
  {
    std::lock_guard guard{mutex_};
    supervisor = traces_supervisor_.first;
  }
  auto answer = [this, trace, supervisor,
                 alive = std::weak_ptr{reloading_->alive}](bool gone) {
    boost::asio::post(env_.io.io(), [=, this] {
      if (alive.expired() || stopping_)
        return;
      if (gone)
        return removed(trace, supervisor);
      // It died meanwhile, and its successor is about to start.
      auto again =
        std::make_shared<boost::asio::steady_timer>(env_.io.io(), 250ms);
      again->async_wait([=, this](boost::system::error_code) {
        if (again && !alive.expired() && !stopping_)
          remove(trace);
      });
    });
  };
  if (!supervisor)
    return answer(false);
  env_.actors.spawn([=](caf::event_based_actor* self) {
    self->request(supervisor, caf::infinite, remove_atom_v, trace)
      .then([answer](caf::ok_atom) { answer(true); },
            [answer](const caf::error&) { answer(false); });
  });
}

void topology::removed(const std::string& trace, const caf::actor& by) {
  std::unique_ptr<trace_unit> gone;
  {
    std::lock_guard guard{mutex_};
    // One that came after `by` may have started it once more.
    if (traces_supervisor_.first == by)
      for (auto& unit : traces_)
        if (unit->id == trace) {
          gone = std::move(unit);
          traces_.erase(traces_.begin() + (&unit - traces_.data()));
          break;
        }
  }
  if (!gone)
    return remove(trace);
  retire(*gone);
  std::erase(reloading_->leaving, trace);
  if (reloading_->leaving.empty())
    add_traces();
}

/// Its actors are gone: what stands in its books does not.
void topology::retire(trace_unit& unit) {
  // It counts for later reloads, too: a trace that is taken out and put back
  // within its slot must not send that slot again.
  retired_newest_slot_ =
    std::max(retired_newest_slot_, unit.series->next_floor() - 1);
  add_ledger(retired_, unit.ledger);
  add_counts(retired_series_, unit.series->counts());
}

/// A new trace may write what one that is gone has written: not to its slots.
void topology::add_traces() {
  auto order = std::move(reloading_);
  auto now = wall_clock_now();
  // One far ahead was sent before the clock was set back: it is followed.
  auto believed = std::chrono::floor<std::chrono::seconds>(
    (now + slot_ahead_max + times_.interval).time_since_epoch());
  auto newest = std::max(first_slot_ - 1, retired_newest_slot_);
  if (newest > believed.count())
    newest = -1;
  auto first = bpf2graphite::first_slot(now, 1s, newest);
  for (const auto& id : order->coming) {
    for (const auto& trace : in_force_->traces) {
      if (trace.id != id)
        continue;
      auto unit = std::make_unique<trace_unit>(
        *this, trace_words{in_force_, &trace}, first);
      std::lock_guard guard{mutex_};
      traces_.push_back(std::move(unit));
      const auto& [supervisor, batcher] = traces_supervisor_;
      if (supervisor) // else it will be in its tree
        caf::anon_send(supervisor, add_atom_v,
                       trace_child(*traces_.back(), batcher));
    }
  }
  order->done();
}

void topology::kill_all() {
  for (auto& unit : traces_)
    unit->process.signal(SIGKILL);
}

/// Of the traces that a reload took away.
trace_numbers topology::retired_numbers() const {
  const series_state series{
    .counts = retired_series_, .open_values = 0, .alive = 0};
  return numbers_of(trace_books{retired_, series});
}

std::vector<destination_report>
topology::destination_reports(destination_numbers& sum) const {
  std::vector<destination_report> out;
  for (const auto& unit : destinations_) {
    const auto numbers = numbers_of(unit->books);
    add_numbers(sum, numbers);
    out.push_back(
      {.name = unit->newest().name,
       .state = unit->status.read(),
       .counts = named(numbers),
       .oldest_slot = unit->books.oldest_slot.load(std::memory_order_relaxed)});
  }
  return out;
}

status_report topology::report(bool history) const {
  status_report out;
  out.host = env_.host;
  out.config_file = in_force_->file;
  out.server_origin = to_text(in_force_->server_origin);
  out.port_origin = to_text(in_force_->port_origin);
  auto sum = retired_numbers();
  for (const auto& unit : traces_) {
    auto plan = unit->plan.get();
    const auto numbers =
      numbers_of(trace_books{unit->ledger, unit->view.read()});
    add_numbers(sum, numbers);
    trace_report trace{.name = unit->id,
                       .script = plan->script,
                       .state = unit->status.read(),
                       .resolution = plan->series->slots.resolution.count(),
                       .process = {},
                       .counts = named(numbers),
                       .history = {}};
    if (history)
      trace.history = unit->history.read();
    if (out.resolution == 0)
      out.resolution = trace.resolution;
    out.traces.push_back(std::move(trace));
  }
  destination_numbers to_all{};
  out.destinations = destination_reports(to_all);
  out.ledger = ledger_of(sum, batcher_books_, to_all);
  return out;
}

own_figures topology::figures() const {
  own_figures out;
  auto sum = retired_numbers();
  out.traces.reserve(traces_.size());
  for (const auto& unit : traces_) {
    const auto numbers =
      numbers_of(trace_books{unit->ledger, unit->view.read()});
    add_numbers(sum, numbers);
    auto& trace = out.traces.emplace_back();
    trace.name = unit->id;
    std::tie(trace.state, trace.pid) =
      unit->status.read([](const trace_view& view) {
        return std::pair{view.state, view.pid};
      });
    trace.take(numbers);
  }
  destination_numbers to_all{};
  out.destinations = destination_reports(to_all);
  out.ledger = ledger_of(sum, batcher_books_, to_all);
  return out;
}

std::optional<std::vector<map_history>>
topology::history_of(const std::string& trace) const {
  const auto* unit = find(trace);
  return unit == nullptr ? std::nullopt : std::optional{unit->history.read()};
}

void topology::add_points(std::vector<metric> points) {
  std::lock_guard guard{mutex_};
  const auto& [supervisor, batcher] = traces_supervisor_;
  if (supervisor)
    caf::anon_send(batcher, to_batcher_.put(std::move(points)));
}

/// Each destination asks for it when its end begins: the first one does it,
/// the others wait until it is done.
void topology::add_last_points() {
  std::call_once(last_points_, [this] {
    if (env_.last_points)
      add_points(env_.last_points());
  });
}

batch_times topology::times() const {
  std::lock_guard guard{mutex_};
  return times_;
}

std::string topology::books() const {
  std::string out;
  for (const auto& [name, number] : figures().ledger)
    out += (out.empty() ? "" : " ") + std::string{name} + "="
           + std::to_string(number);
  return out;
}

bool topology::none_runs() const {
  return std::all_of(traces_.begin(), traces_.end(), [](const auto& unit) {
    auto state = unit->status.read(&trace_view::state);
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

namespace {

std::string count_of(std::size_t n, const char* what) {
  return std::to_string(n) + ' ' + what;
}

std::string clock_text(std::int64_t seconds) {
  auto whole = static_cast<std::time_t>(seconds);
  std::tm utc{};
  ::gmtime_r(&whole, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%H:%M:%S", &utc);
  return std::string{text.data()} + " UTC";
}

} // namespace

std::string topology::status_line() const {
  std::array<std::size_t, 4> states{};
  std::string failing;
  constexpr std::size_t named_max = 5;
  for (const auto& unit : traces_) {
    auto state = unit->status.read(&trace_view::state);
    auto n = ++states.at(static_cast<std::size_t>(state));
    if (state == trace_state::failing && n <= named_max + 1)
      failing += (n == 1 ? "" : ", ") + (n <= named_max ? unit->id : "...");
  }
  auto out =
    count_of(traces_.size(), traces_.size() == 1 ? "trace: " : "traces: ");
  out +=
    count_of(states[static_cast<std::size_t>(trace_state::running)], "running");
  for (auto state :
       {trace_state::starting, trace_state::failing, trace_state::stopped})
    if (auto n = states[static_cast<std::size_t>(state)]; n > 0)
      out += ", " + std::to_string(n) + ' ' + std::string{to_text(state)};
  if (!failing.empty())
    out += " (" + failing + ")";
  for (const auto& unit : destinations_)
    out += "; " + unit->newest().name + ": "
           + count_of(value(unit->books.waiting), "points wait");
  auto at = accepted_at_.load();
  return out
         + (at == 0 ? "; nothing accepted yet"
                    : "; last accepted at " + clock_text(at));
}

void topology::ping(std::function<void()> answered) {
  answered_ = std::move(answered);
  caf::anon_send(root_, make_roll_call([this, alive = std::weak_ptr{alive_},
                                        &io = env_.io.io()] {
                   if (alive.expired())
                     return;
                   boost::asio::post(io, [this, alive] {
                     if (!alive.expired())
                       answered_();
                   });
                 }));
}

} // namespace bpf2graphite
