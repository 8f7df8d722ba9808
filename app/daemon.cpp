#include "app/daemon.hpp"

#include "app/actor_scheduler.hpp"
#include "app/fault_injection.hpp"
#include "app/heartbeat.hpp"
#include "app/history_json.hpp"
#include "app/machine.hpp"
#include "app/options.hpp"
#include "app/reload.hpp"
#include "app/self_report.hpp"
#include "app/service_notifier.hpp"
#include "app/startup.hpp"
#include "app/status_page/prometheus_text.hpp"
#include "app/status_page/readiness.hpp"
#include "app/status_page/status_page.hpp"
#include "app/status_server.hpp"
#include "app/stdout_wire.hpp"
#include "app/topology.hpp"

#include "actors/graphite_connection/graphite_socket.hpp"
#include "actors/graphite_connection/render_reader.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>

namespace bpf2graphite {
namespace {

namespace asio = boost::asio;

/// A log that takes nothing does not hold up an end that has to be at once.
constexpr std::chrono::milliseconds log_patience{100};

/// CAF as `caf { }` says. Whoever names a number of threads there gets CAF's
/// pool, with the policy that does not poll.
struct actor_config : caf::actor_system_config {
  actor_config() {
    set("scheduler.policy", caf::atom("sharing"));
  }

  bool wants_threads() const {
    return static_cast<bool>(
      caf::get_if<std::size_t>(this, "scheduler.max-threads"));
  }
};

/// Each trace takes up to four descriptors, and systemd's default of 1024 is
/// soft: the hard limit is what the administrator meant.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// Keeps SIGHUP, which would end us, pending for its life.
class hangup_blocked {
public:
  hangup_blocked() {
    change(SIG_BLOCK);
  }
  ~hangup_blocked() {
    change(SIG_UNBLOCK);
  }
  hangup_blocked(const hangup_blocked&) = delete;
  hangup_blocked& operator=(const hangup_blocked&) = delete;

private:
  static void change(int how) {
    sigset_t hangup;
    ::sigemptyset(&hangup);
    ::sigaddset(&hangup, SIGHUP);
    ::pthread_sigmask(how, &hangup, nullptr);
  }
};

/// The lock of the runtime directory; the descriptor holds it, and the kernel
/// lets go of it with the process, however that ends.
struct runtime_lock {
  int fd = -1;
  std::optional<int> exit;

  runtime_lock() = default;
  runtime_lock(const runtime_lock&) = delete;
  runtime_lock& operator=(const runtime_lock&) = delete;

  ~runtime_lock() {
    if (fd >= 0)
      ::close(fd);
  }
};

void take_lock(const std::string& folder, logger& log, runtime_lock& lock) {
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    log.write(log_level::error, folder + ": " + std::strerror(errno)
                                  + "; set status.runtime-directory to a "
                                    "folder that can be made");
    lock.exit = exit_code::permission;
    return;
  }
  auto path = folder + "/lock";
  lock.fd =
    ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock.fd < 0) {
    log.write(log_level::error, path + ": " + std::strerror(errno));
    lock.exit = exit_code::permission;
    return;
  }
  if (::flock(lock.fd, LOCK_EX | LOCK_NB) != 0) {
    std::array<char, 32> text{};
    auto size = ::read(lock.fd, text.data(), text.size());
    std::string pid{text.data(),
                    static_cast<std::size_t>(std::max<ssize_t>(0, size))};
    pid = pid.substr(0, pid.find_first_not_of("0123456789"));
    log.write(log_level::error,
              folder + " belongs to a bpf2graphite that runs already"
                + (pid.empty() ? "" : " (pid " + pid + ")")
                + "; stop that one, or give this one another "
                  "status.runtime-directory");
    lock.exit = exit_code::second_copy;
    return;
  }
  // For the message above only: what counts is the lock.
  auto pid = std::to_string(::getpid()) + '\n';
  if (::ftruncate(lock.fd, 0) != 0
      || ::pwrite(lock.fd, pid.data(), pid.size(), 0) < 0)
    log.write(log_level::debug, path + ": " + std::strerror(errno));
}

/// `last-slot` of a run that is not to be remembered.
struct no_record final : slot_store {
  std::optional<std::string> read() override {
    return std::nullopt;
  }
  bool write(std::string_view) override {
    return true;
  }
};

/// A random number from any thread.
std::function<double()> random_source() {
  struct source {
    std::mutex mutex;
    std::mt19937_64 engine{std::random_device{}()};
  };
  return [shared = std::make_shared<source>()] {
    std::lock_guard guard{shared->mutex};
    return std::uniform_real_distribution<double>{0, 1}(shared->engine);
  };
}

std::int64_t seconds_of(wall_time at) {
  return std::chrono::floor<std::chrono::seconds>(at.time_since_epoch())
    .count();
}

/// With what the machine knows of us and of each bpftrace.
own_figures measured(own_figures figures) {
  figures.now = seconds_of(wall_clock_now());
  figures.process = costs_of(::getpid());
  set_costs(figures.traces, costs_of);
  return figures;
}

/// Likewise.
status_report measured(status_report report, wall_time began) {
  report.version = BPF2GRAPHITE_VERSION;
  report.pid = ::getpid();
  report.started = seconds_of(began);
  report.now = seconds_of(wall_clock_now());
  report.process = costs_of(report.pid);
  set_costs(report.traces, costs_of);
  return report;
}

std::string made_document(status_document which, topology& tree,
                          const status_page& page, wall_time began) {
  if (which == status_document::readiness)
    return readiness_of(tree.report(false)).text;
  if (which != status_document::metrics)
    tree.looked_at();
  auto report = measured(tree.report(which == status_document::history), began);
  report.page = page.report();
  switch (which) {
    case status_document::metrics:
      return prometheus_text(report);
    case status_document::page:
      return to_json(report, report_readers::network);
    default:
      return to_json(report, report_readers::local);
  }
}

} // namespace

int run_daemon(const config& settings, file_access& files, logger& log,
               const daemon_mode& mode) {
  // Writing to a peer that is gone is an error of that write, no reason to die.
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  // A reload that is asked for before anybody can answer waits.
  std::optional<hangup_blocked> handlers_are_there{std::in_place};
  service_notifier notifier;
  runtime_lock lock;
  const auto began = wall_clock_now();
  const auto& folder = settings.status.runtime_directory;
  std::unique_ptr<slot_store> store = std::make_unique<no_record>();
  if (mode.own_runtime) {
    take_lock(folder, log, lock);
    if (lock.exit)
      return *lock.exit;
    store = std::make_unique<slot_file>(folder + "/last-slot");
  }

  std::unique_ptr<spool_folder> spool;
  if (mode.own_runtime && !settings.spool.empty()) {
    spool = std::make_unique<spool_folder>(settings.spool);
    if (auto error = spool->open(); !error.empty()) {
      log.write(log_level::error, error);
      return exit_code::permission;
    }
  }

  actor_config actor_settings;
  std::istringstream caf_text{settings.caf_text};
  if (auto error = actor_settings.parse(std::vector<std::string>{}, caf_text)) {
    log.write(log_level::error, settings.file + ": caf { }: CAF refuses it: "
                                  + caf::to_string(error));
    return exit_code::config;
  }
  // It outlives all that look at it.
  const std::shared_ptr<const config> in_force{&settings, [](const config*) {
                                               }};
  int status = exit_code::ok;
  {
    io_thread io{settings.read_delay, settings.starts_at_once};
    if (!actor_settings.wants_threads())
      run_actors_on(io.io(), actor_settings);
    caf::actor_system actors{actor_settings};
    // An actor that is stuck must not hold up the end: the books are written
    // before.
    actors.await_actors_before_shutdown(false);
    std::function<void()> stop;
    stdout_wire* to_stdout = nullptr;
    std::vector<std::unique_ptr<graphite_wire>> wires;
    for (std::size_t i = 0; i < settings.destinations.size(); ++i)
      if (mode.to_stdout) {
        auto wire =
          std::make_unique<stdout_wire>(io.io(), [&](const std::string& why) {
            log.write(log_level::error, "stdout takes nothing more: " + why);
            status = exit_code::unavailable;
            stop();
          });
        to_stdout = wire.get();
        wires.push_back(std::move(wire));
      } else
        wires.push_back(std::make_unique<graphite_socket>(io.io()));
    line_tap lines{io.io()};
    topology* actors_of = nullptr;  // set once it is made
    self_report* self_of = nullptr; // likewise
    heartbeat beats{io.io(), notifier, watchdog_limit(),
                    [&](std::function<void()> answered) {
                      actors_of->ping(std::move(answered));
                    },
                    [&] {
                      return actors_of->status_line();
                    }};
    std::unique_ptr<render_wire> render;
    if (!settings.render_url.empty() && !mode.to_stdout)
      render = std::make_unique<render_reader>(
        io.io(), parse_render_url(settings.render_url));
    topology tree{{
      .actors = actors,
      .io = io,
      .settings = in_force,
      .plan =
        [&](const trace_config& trace, const config& all) {
          auto planned = plan_from_disk(trace, all, files);
          return std::pair{std::move(planned.plan), std::move(planned.error)};
        },
      .wires = std::move(wires),
      .last_slot = *store,
      .spool = spool.get(),
      .render = std::move(render),
      .host = host_name(),
      .random = random_source(),
      .log =
        [&](std::string prefix, std::string trace) {
          return log.sink(std::move(prefix), std::move(trace));
        },
      .tap =
        [&lines](const std::string& trace, std::span<const metric> points) {
          lines.show(trace, points);
        },
      .fault =
        block_from_environment(io.io(), fault_from_environment(log.sink())),
      .changed = beats.changed(),
      .last_points =
        [&] {
          auto told = settings.own_metrics.enabled && !mode.slots;
          return told ? self_of->last_points() : std::vector<metric>{};
        },
    }};
    actors_of = &tree;

    status_page* page_of = nullptr;
    status_documents documents{[&](status_document which) {
      return made_document(which, tree, *page_of, began);
    }};
    status_page page{
      {.io = io.io(),
       .text =
         [&](page_document which) {
           return documents.get(
             which == page_document::metrics ? status_document::metrics
             : which == page_document::ready ? status_document::readiness
                                             : status_document::page);
         },
       .heatmap = [&](const std::string& trace,
                      std::int64_t since) -> std::optional<std::string> {
         auto history = tree.history_of(trace);
         if (!history)
           return std::nullopt;
         return heatmap_json(trace, *history, since);
       },
       .log = log.sink()}};
    page_of = &page;

    asio::signal_set signals{io.io(), SIGTERM, SIGINT, SIGHUP};
    int stops = 0;
    reloader reloads{
      {.io = io.io(),
       .read = mode.read_again,
       .program_of = [&](const std::string& id) { return tree.program_of(id); },
       .apply =
         [&](const reload_plan& plan, std::function<void()> done) {
           log.set_level(plan.in_force->log.level);
           tree.reload(plan, std::move(done));
           if (mode.own_runtime)
             page.listen(plan.in_force->status.listen);
         },
       .begins = [&] { notifier.tell_reloading(); },
       .ends =
         [&] {
           if (stops == 0)
             notifier.tell("READY=1", tree.status_line());
         },
       .log = log.sink()},
      in_force};
    stop = [&] {
      if (++stops > 1) {
        log.write(log_level::warning,
                  spool == nullptr
                    ? "stopping at once"
                    : "stopping at once: what waits is not kept in the spool");
        status = status == exit_code::ok ? 128 + SIGTERM : status;
        io.stop();
        return;
      }
      reloads.stop();
      beats.stopping();
      notifier.tell("STOPPING=1",
                    "stopping each bpftrace, sending what is left");
      log.write(log_level::info, "stopping", log_event::stopping);
      self_of->stop();
      page.stop();
      tree.stop();
    };
    std::function<void()> listen = [&] {
      signals.async_wait([&](boost::system::error_code ec, int signal) {
        if (ec)
          return;
        if (signal == SIGHUP && mode.read_again)
          reloads.ask();
        else
          stop();
        listen();
      });
    };
    listen();
    handlers_are_there.reset();
    auto own_naming = settings.defaults.naming;
    if (own_naming.host.empty())
      own_naming.host = host_name();
    self_report self{{.io = io.io(),
                      .look = [&] { return measured(tree.figures()); },
                      .send =
                        [&](std::vector<metric> points) {
                          tree.add_points(std::move(points));
                          beats.awake();
                        },
                      .times = [&] { return tree.times(); },
                      .first_slot = tree.first_slot()},
                     own_metrics{own_naming, settings.own_metrics.name}};
    self_of = &self;
    if (settings.own_metrics.enabled && !mode.slots)
      self.start();
    asio::steady_timer slots_over{io.io()};
    // `once` does not wait for scripts that have failed already.
    asio::steady_timer look_again{io.io()};
    std::function<void()> look;
    if (mode.slots) {
      auto resolution = settings.traces.empty()
                          ? std::chrono::seconds{15}
                          : settings.traces.front().series.slots.resolution;
      auto first = first_slot(now(), resolution, tree.first_slot() - 1);
      auto end = std::chrono::system_clock::time_point{
        std::chrono::seconds{first} + resolution * *mode.slots};
      if (to_stdout != nullptr)
        to_stdout->show_up_to(first + (*mode.slots - 1) * resolution.count());
      slots_over.expires_after(end - std::chrono::system_clock::now());
      slots_over.async_wait([&](boost::system::error_code ec) {
        if (!ec && stops == 0)
          stop();
      });
      look = [&] {
        look_again.expires_after(std::chrono::milliseconds{250});
        look_again.async_wait([&](boost::system::error_code ec) {
          if (ec || stops > 0)
            return;
          if (!tree.none_runs())
            return look();
          status = exit_code::unavailable;
          stop();
        });
      };
      look();
    }
    status_server answers{{.io = io.io(),
                           .path = folder + "/status.sock",
                           .documents = documents,
                           .tap = lines,
                           .log = log.sink()}};
    if (mode.own_runtime)
      if (auto error = answers.start())
        log.write(log_level::warning, *error);
    if (mode.own_runtime)
      page.listen(settings.status.listen);
    tree.start([&](const std::string& reason) {
      asio::post(io.io(), [&, reason] {
        if (stops == 0) {
          log.write(log_level::error, "the actors gave up: " + reason);
          status = exit_code::bug;
        }
        io.stop();
      });
    });
    notifier.tell("READY=1", tree.status_line());
    beats.start();
    log.write(log_level::info, tree.summary(), log_event::started);
    io.run();
    log.write(log_level::info, "ledger: " + tree.books(), log_event::ledger);
    if (stops != 1) {
      tree.kill_all();
      log.flush(log_patience);
      ::_exit(status);
    }
    // It may be waiting for a file system; nothing else is left to do.
    if (reloads.reading()) {
      log.flush(log_patience);
      ::_exit(status);
    }
  }
  return status;
}

} // namespace bpf2graphite
