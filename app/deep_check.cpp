#include "app/deep_check.hpp"

#include "actors/graphite_connection/render_reader.hpp"
#include "actors/graphite_connection/render_url.hpp"
#include "actors/watchdog/child.hpp"
#include "actors/watchdog/command_line.hpp"
#include "app/generate.hpp"
#include "app/graphite_fit.hpp"
#include "app/log.hpp"
#include "app/options.hpp"
#include "app/share_plan.hpp"
#include "app/startup.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace bpf2graphite {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

/// A script that does not compile in this time is reported as such.
constexpr auto compile_max = 30s;

/// What one run gave.
struct outcome {
  std::optional<int> status; // as waitpid gives it
  std::string error;         // it did not start, or took too long
  std::string words;         // the last of what it wrote to stderr
};

/// Takes what is there; false at its end.
bool read_some(int fd, std::string* keep) {
  std::array<char, 4096> bytes{};
  for (;;) {
    auto n = ::read(fd, bytes.data(), bytes.size());
    if (n == 0)
      return false;
    if (n < 0)
      return errno == EAGAIN || errno == EINTR;
    if (keep != nullptr) {
      keep->append(bytes.data(), static_cast<std::size_t>(n));
      if (keep->size() > (4 << 10))
        keep->erase(0, keep->size() - (4 << 10));
    }
  }
}

outcome run(const process_command& command) {
  outcome result;
  asio::io_context io{1};
  launcher starts{io};
  auto child =
    starts.launch(command, [&](int status) { result.status = status; });
  if (!child.process) {
    result.error = child.error;
    return result;
  }
  auto give_up = std::chrono::steady_clock::now() + compile_max;
  std::array<pollfd, 2> pipes{
    {{child.out.get(), POLLIN, 0}, {child.err.get(), POLLIN, 0}}};
  while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
    if (std::chrono::steady_clock::now() > give_up) {
      result.error = "it did not end in 30 s";
      child.process->signal(SIGKILL);
      break;
    }
    ::poll(pipes.data(), pipes.size(), 1000);
    if (pipes[0].fd >= 0 && !read_some(pipes[0].fd, nullptr))
      pipes[0].fd = -1;
    if (pipes[1].fd >= 0 && !read_some(pipes[1].fd, &result.words))
      pipes[1].fd = -1;
  }
  while (!result.status && io.run_one_for(5s) > 0) {
  }
  return result;
}

/// Why bpftrace does not take a script, or `merged` in its place; empty: it
/// does.
std::string compile(const trace_plan& plan, const std::string* merged) {
  const auto& trace = plan.trace;
  std::string error;
  auto program = find_program(trace.bpftrace.program, error);
  if (program.empty())
    return error;
  script_source script{.path = trace.script, .text = {}};
  if (!plan.script.appended_probe.empty())
    script.text = plan.script.program;
  if (merged != nullptr)
    script.text = *merged;
  auto options = trace.options;
  options.emplace_back("-d"); // compile and print, attach nothing
  auto command = command_line(trace.bpftrace, script, trace.args, options);
  command.program = program;
  auto result = run(command);
  if (!result.error.empty())
    return result.error;
  if (result.status && *result.status == 0)
    return {};
  // The words come with the source; what matters is where ERROR stands.
  auto at = result.words.find("ERROR");
  auto text = result.words.substr(at == std::string::npos ? 0 : at);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
    text.pop_back();
  return text.empty() ? "bpftrace ended without a word" : text;
}

/// Why Graphite does not answer; empty: it does.
std::string try_connect(const graphite_address& to,
                        std::chrono::milliseconds limit) {
  asio::io_context io{1};
  boost::system::error_code resolved;
  asio::ip::tcp::resolver resolver{io};
  auto all = resolver.resolve(to.host, std::to_string(to.port), resolved);
  if (resolved)
    return resolved.message();
  asio::ip::tcp::socket socket{io};
  std::optional<boost::system::error_code> connected;
  asio::async_connect(socket, all,
                      [&](boost::system::error_code ec,
                          const asio::ip::tcp::endpoint&) { connected = ec; });
  io.run_for(limit);
  if (!connected)
    return "no answer within " + std::to_string(limit.count()) + " ms";
  return *connected ? connected->message() : std::string{};
}

/// A question over HTTP, and its answer.
class web_client {
public:
  /// A person waits, and a graphite-web that was just started takes its time.
  explicit web_client(render_url url)
    : reader_{io_, std::move(url), std::chrono::seconds{30}} {
    reader_.listen([this](render_answer got) {
      answer_ = std::move(got);
      io_.stop();
    });
  }

  render_answer get(const std::string& query) {
    io_.restart();
    reader_.get(++number_, query);
    io_.run(); // the reader has a time limit
    return std::exchange(answer_, {});
  }

private:
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{
    io_.get_executor()};
  render_reader reader_;
  std::uint64_t number_ = 0;
  render_answer answer_;
};

/// What differs, and one series that shows it.
struct misfit {
  std::size_t series = 0;
  std::string example;
};

/// How that series is rolled up: what explains its values (roll_ups_that_fit).
/// None where it is never rolled up, or was not yet. The coarser archive
/// answers for what began before the reach of the finest; since nobody tells
/// that reach, it is looked for with an hour of long ago.
std::vector<roll_up> rolled_up_by(web_client& web, const std::string& series,
                                  std::int64_t step) {
  constexpr std::int64_t hour = 3600;
  constexpr std::int64_t day = 24 * hour;
  auto target = render_target(series);
  auto ask = [&](std::int64_t from_ago,
                 std::int64_t until_ago) -> std::optional<stored_series> {
    auto answer = web.get(render_query(target, from_ago, until_ago));
    auto found = answer.body ? read_raw(*answer.body) : std::nullopt;
    if (!found || found->empty())
      return std::nullopt;
    return found->front();
  };
  for (auto ago :
       {2 * hour, 6 * hour, day, 8 * day, 32 * day, 400 * day, 1500 * day}) {
    auto probe = ask(ago, ago - hour);
    if (!probe || probe->step <= step || probe->step % step != 0)
      continue;
    auto coarse = ask(ago, 0);
    if (!coarse || coarse->step != probe->step)
      return {};
    for (std::int64_t slots : {120, 30, 8, 4}) {
      auto fine = ask(slots * coarse->step, 0);
      if (fine && fine->step == step)
        return roll_ups_that_fit(*fine, *coarse);
    }
    return {};
  }
  return {};
}

/// Compares what Graphite has with what the configuration needs. True when
/// Graphite answered; all else is a warning.
bool compare_stored(const config& all, const std::vector<trace_plan>& plans) {
  auto url = parse_render_url(all.render_url);
  auto where = "render-url " + all.render_url + ": ";
  auto out = [&](const std::string& text) {
    std::cout << escaped_lines(where + text) << '\n' << std::flush;
  };
  web_client web{url};
  auto questions = fit_questions(all, plans, host_name());
  if (questions.size() > fit_questions_max) {
    out("of " + std::to_string(questions.size())
        + " groups of series only the first "
        + std::to_string(fit_questions_max) + " are looked at");
    questions.resize(fit_questions_max);
  }
  std::size_t seen = 0;
  std::size_t methods_seen = 0;
  std::set<std::string> known; // two families may meet in a glob
  std::map<std::pair<std::int64_t, std::int64_t>, misfit> steps; // ours, theirs
  std::map<std::pair<roll_up, roll_up>, misfit> rules;
  for (const auto& question : questions) {
    // Two steps back: the finest archive there is.
    auto answer = web.get(render_query(question.target, 2 * question.step, 0));
    if (!answer.body) {
      out(answer.error);
      return false;
    }
    auto found = read_raw(*answer.body);
    if (!found) {
      out("it answers, but not as Graphite's render API does (format=raw); is "
          "the path right?");
      return false;
    }
    auto method_asked = false;
    for (const auto& series : *found) {
      if (!known.insert(series.name).second)
        continue;
      ++seen;
      if (series.step != question.step) {
        auto& one = steps[{question.step, series.step}];
        ++one.series;
        one.example = series.name;
      }
      if (std::exchange(method_asked, true))
        continue;
      auto methods = rolled_up_by(web, series.name, series.step);
      if (methods.empty())
        continue;
      ++methods_seen;
      if (spoils(question.method, methods)) {
        auto& one = rules[{question.method, methods.front()}];
        ++one.series;
        one.example = series.name;
      }
    }
  }
  if (seen == 0) {
    out("it answers, and has nothing of this host yet; carbon makes the files "
        "with the first points, look again then");
    return true;
  }
  auto warn = [&](const std::string& text) {
    std::cerr << "warning: " << escaped_lines(text) << '\n';
  };
  for (const auto& [step, one] : steps) {
    auto [ours, theirs] = step;
    auto effect = theirs > ours
                    ? "of the points in a step all but the last are lost"
                    : "a graph shows single points between gaps";
    warn(where + std::to_string(one.series) + " series, such as " + one.example
         + ", have a step of " + std::to_string(theirs) + " s, but a point is "
         + "sent every " + std::to_string(ours) + " s: " + effect);
  }
  for (const auto& [rule, one] : rules) {
    warn(where + "series such as " + one.example
         + " are rolled up by aggregationMethod = "
         + std::string{to_text(rule.second)}
         + ", which spoils them: it has to be "
         + std::string{to_text(rule.first)});
  }
  if (!steps.empty())
    std::cerr << storage_schemas_conf(all, plans);
  if (!rules.empty())
    std::cerr << storage_aggregation_conf(all, plans);
  if (!steps.empty() || !rules.empty()) {
    std::cerr << "# Files that are there keep what they have until they are "
                 "removed, or changed by\n# whisper-resize"
              << (rules.empty() ? "" : " and whisper-set-aggregation-method")
              << '\n';
    out(std::to_string(seen)
        + " series looked at, they do not fit: see the warnings");
    return true;
  }
  out("good: " + std::to_string(seen)
      + " series looked at, each has the step that is sent"
      + (methods_seen > 0 ? ", and what was rolled up was so as it has to be"
                          : "; nothing was rolled up so far"));
  return true;
}

} // namespace

int deep_check(const config& all, const std::vector<trace_plan>& plans) {
  auto status = exit_code::ok;
  auto report = [&](const std::string& what, const std::string& trouble) {
    std::cout << what << ": "
              << (trouble.empty() ? "good" : escaped_lines(trouble)) << '\n'
              << std::flush;
    if (!trouble.empty())
      status = exit_code::unavailable;
  };
  for (const auto& plan : plans)
    report("bpftrace, trace \"" + plan.trace.id + "\"", compile(plan, nullptr));
  for (const auto& group : plan_shares(plans, 1).groups) {
    auto first =
      std::find_if(plans.begin(), plans.end(), [&](const trace_plan& plan) {
        return plan.trace.id == group.traces[0];
      });
    std::string names;
    for (const auto& name : group.traces)
      names += (names.empty() ? "" : ", ") + name;
    report("bpftrace, shared by " + names,
           compile(*first, &group.program.text));
  }
  for (const auto& to : all.destinations)
    report("graphite " + to.host + ":" + std::to_string(to.port),
           try_connect(to, all.graphite.connect_timeout));
  if (!all.render_url.empty() && !compare_stored(all, plans))
    status = exit_code::unavailable;
  return status;
}

} // namespace bpf2graphite
