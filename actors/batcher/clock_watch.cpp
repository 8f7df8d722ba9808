#include "actors/batcher/clock_watch.hpp"

namespace bpf2graphite {

std::optional<std::chrono::milliseconds>
clock_watch::observe(wall_time now, std::chrono::milliseconds since_boot) {
  const auto offset = std::chrono::duration_cast<std::chrono::milliseconds>(
                        now.time_since_epoch())
                      - since_boot;
  const auto before = offset_.value_or(offset);
  offset_ = offset;
  const auto step = offset - before;
  if (std::chrono::abs(step) <= step_min)
    return std::nullopt;
  return step;
}

std::string clock_step_text(std::chrono::milliseconds step) {
  const auto seconds = std::to_string(
    std::chrono::round<std::chrono::seconds>(std::chrono::abs(step)).count());
  if (step.count() > 0)
    return "the wall clock was set forward by " + seconds
           + " s: points carry the new time, the slots between stay empty; if "
             "it was wrong before, so are the times of the points sent so far";
  return "the wall clock was set back by " + seconds
         + " s: points follow it, and slots that were sent already are sent "
           "again with new values, counted as slots_rewritten; Graphite keeps "
           "the newer ones. See to the host's time synchronisation";
}

} // namespace bpf2graphite
