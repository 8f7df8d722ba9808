#include "actors/watchdog/restart_policy.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include <sys/wait.h>

namespace bpf2graphite {
namespace {

constexpr std::size_t reason_bytes_max = 200;

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

} // namespace

life_end judge(const process_exited& end) {
  if (!end.start_error.empty())
    return life_end::not_started;
  if (WIFSIGNALED(end.status))
    return life_end::killed;
  if (WEXITSTATUS(end.status) == 0)
    return life_end::finished;
  return end.written <= attach_line_bytes_max ? life_end::misconfigured
                                              : life_end::failed;
}

std::string describe_end(const process_exited& end) {
  if (!end.start_error.empty())
    return end.start_error;
  if (!WIFSIGNALED(end.status))
    return "exit status " + std::to_string(WEXITSTATUS(end.status));
  auto number = WTERMSIG(end.status);
  std::string text = "killed by signal " + std::to_string(number);
  if (const char* name = ::sigdescr_np(number))
    text += " (" + std::string{name} + ')';
  return text;
}

std::string own_reason(const std::string& last_words) {
  std::string_view rest = last_words;
  std::string_view last;
  while (!rest.empty()) {
    auto end = rest.find('\n');
    auto line = rest.substr(0, end);
    rest =
      end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (is_blank(line) || line.find("RLIMIT_MEMLOCK") != line.npos)
      continue;
    last = line;
    if (line.find("ERROR:") != line.npos)
      break;
  }
  return std::string{last.substr(0, reason_bytes_max)};
}

restart_policy::restart_policy(restart_mode mode, restart_limits limits)
  : mode_{mode}, limits_{limits}, backoff_{limits.backoff}, deaths_{
                                                              limits.deaths} {}

restart_policy::decision restart_policy::ended(clock::time_point now,
                                               life_end how, double random) {
  check_health(now);
  decision result;
  auto was_failing = failing_;
  auto hopeless = how == life_end::misconfigured;
  auto bearable = deaths_.admit(now);
  failing_ = failing_ || hopeless || !bearable;
  auto again =
    mode_ == restart_mode::always
    || (mode_ == restart_mode::on_failure && how != life_end::finished);
  if (!again)
    failing_ = how != life_end::finished;
  else if (hopeless || how == life_end::put_down)
    result.delay = backoff_.next_at_cap(now, random);
  else
    result.delay = backoff_.next(now, random);
  result.failing = failing_;
  auto pause = failing_ ? limits_.report_every * 20 : limits_.report_every;
  result.report =
    failing_ != was_failing || !reported_ || now - *reported_ >= pause;
  if (result.report)
    reported_ = now;
  return result;
}

std::optional<restart_policy::clock::time_point>
restart_policy::healthy_at() const {
  return failing_ ? backoff_.healthy_at() : std::nullopt;
}

bool restart_policy::check_health(clock::time_point now) {
  auto at = healthy_at();
  if (!at || now < *at)
    return false;
  failing_ = false;
  deaths_ = supervision::restart_window{limits_.deaths};
  return true;
}

stop_sequence::step stop_sequence::begin(clock::time_point now,
                                         std::chrono::milliseconds timeout) {
  deadline_ = now + timeout;
  interrupted_ = now;
  killed_ = false;
  return wait_until(now + quiet_max, action::interrupt);
}

stop_sequence::step stop_sequence::look(clock::time_point now,
                                        clock::time_point last_output) {
  if (!deadline_ || killed_)
    return {};
  if (now >= *deadline_) {
    killed_ = true;
    return {action::kill, std::nullopt};
  }
  auto quiet_since = std::max(interrupted_, last_output);
  if (now - quiet_since < quiet_max)
    return wait_until(quiet_since + quiet_max, action::wait);
  interrupted_ = now;
  return wait_until(now + quiet_max, action::interrupt);
}

stop_sequence::step stop_sequence::wait_until(clock::time_point next,
                                              action what) const {
  return {what, std::min(next, *deadline_)};
}

} // namespace bpf2graphite
