#include "app/self_report.hpp"

#include "actors/batcher/tick_times.hpp"
#include "app/io_thread.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace bpf2graphite {
namespace {

using namespace std::chrono_literals;

/// So long before a batch closes: at the same moment it would be luck whether
/// this batch takes it along or the next one.
constexpr auto ahead = 200ms;

std::chrono::milliseconds offset_of(const batch_times& times) {
  return (times.offset + times.interval - ahead) % times.interval;
}

} // namespace

self_report::self_report(environment env, own_metrics names)
  : env_{std::move(env)}, names_{std::move(names)}, timer_{env_.io},
    newest_{env_.first_slot - 1} {}

void self_report::start() {
  auto times = env_.times();
  auto now = wall_clock_now();
  timer_.expires_after(
    !running_ ? time_to_tick(now, times.interval, offset_of(times))
              : time_after_tick(now, times.interval, offset_of(times)));
  running_ = true;
  timer_.async_wait([this](boost::system::error_code stopped) {
    if (stopped || !running_)
      return;
    report();
    start();
  });
}

void self_report::stop() {
  running_ = false;
  timer_.cancel();
  before_end_ = env_.look().traces;
}

std::vector<metric> self_report::last_points() {
  auto interval =
    std::chrono::duration_cast<std::chrono::seconds>(env_.times().interval)
      .count();
  auto now = std::chrono::floor<std::chrono::seconds>(
               wall_clock_now().time_since_epoch())
               .count();
  auto slot = slot_to_tell(now + interval, interval, newest_);
  if (!slot)
    return {};
  newest_ = *slot;
  auto now_is = env_.look();
  // None runs any more, which is our doing.
  for (auto& trace : now_is.traces)
    for (auto& before : before_end_)
      if (trace.name == before.name) {
        trace.state = before.state;
        trace.process = before.process;
        break;
      }
  return names_.points(now_is, *slot);
}

void self_report::report() {
  auto interval =
    std::chrono::duration_cast<std::chrono::seconds>(env_.times().interval);
  auto now = std::chrono::floor<std::chrono::seconds>(
               wall_clock_now().time_since_epoch())
               .count();
  auto slot = slot_to_tell(now, interval.count(), newest_);
  if (!slot)
    return;
  newest_ = *slot;
  env_.send(names_.points(env_.look(), *slot));
}

} // namespace bpf2graphite
