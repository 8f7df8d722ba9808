#include "actors/graphite_connection/delivery.hpp"

#include <utility>
#include <variant>

namespace bpf2graphite {

delivery::delivery(const graphite_config& config, std::size_t destination,
                   std::size_t addresses, std::string probe_path,
                   destination_ledger& books)
  : config_{config}, attempts_{config, destination, addresses, books},
    confirmed_{config, std::move(probe_path), attempts_}, streaming_{config,
                                                                     attempts_},
    mode_{config.delivery == delivery_mode::confirmed ? mode::confirmed
                                                      : mode::streaming} {}

delivery_actions delivery::adopt(steady_time now) {
  actions_.clear(); // of a call that did not come to its end
  asked_ = false;
  finishing_ = false;
  backlog_.clear(); // the queue gives it again
  take(mode_ == mode::confirmed ? confirmed_.adopt(now) : streaming_.adopt(now),
       now);
  return result(now);
}

delivery_actions delivery::redirect(steady_time now) {
  attempts_.forget_failures(now);
  take(mode_ == mode::confirmed ? confirmed_.redirect(now)
                                : streaming_.redirect(now),
       now);
  // What the old peer never did the new one may do.
  confirmed_.forget_peer();
  streaming_.trust_silence(false);
  silent_ = trying_confirmed_ = false;
  hunt_left_ = 0;
  return result(now);
}

delivery_actions delivery::offer(metric_batch batch, steady_time now) {
  asked_ = false;
  // Whoever asked may have got one from the backlog meanwhile.
  if (mode_ == mode::confirmed && confirmed_.busy())
    backlog_.push_back(std::move(batch));
  else
    take(mode_ == mode::confirmed ? confirmed_.offer(std::move(batch), now)
                                  : streaming_.offer(std::move(batch), now),
         now);
  return result(now);
}

delivery_actions delivery::wire(const wire_event& event, steady_time now,
                                double random) {
  take(mode_ == mode::confirmed ? confirmed_.wire(event, now, random)
                                : streaming_.wire(event, now, random),
       now);
  return result(now);
}

delivery_actions delivery::time_passed(steady_time now, double random) {
  take(mode_ == mode::confirmed ? confirmed_.time_passed(now, random)
                                : streaming_.time_passed(now, random),
       now);
  return result(now);
}

std::optional<steady_time> delivery::deadline() const {
  return mode_ == mode::confirmed ? confirmed_.deadline()
                                  : streaming_.deadline();
}

delivery_actions delivery::finish(steady_time now) {
  finishing_ = true;
  take(mode_ == mode::confirmed ? confirmed_.finish() : streaming_.finish(now),
       now);
  return result(now);
}

delivery_actions delivery::abandon() {
  backlog_.clear();
  return mode_ == mode::confirmed ? confirmed_.abandon() : streaming_.abandon();
}

destination_state delivery::standing() const {
  return attempts_.trouble_kind().value_or(
    mode_ == mode::confirmed ? confirmed_.doing() : streaming_.doing());
}

bool delivery::valid() const {
  for (auto& batch : backlog_)
    if (batch.lines == nullptr)
      return false;
  return attempts_.valid() && confirmed_.valid() && streaming_.valid()
         && (mode_ == mode::confirmed ? !streaming_.busy()
                                      : !confirmed_.busy());
}

void delivery::start_fresh() {
  attempts_.start_fresh();
  confirmed_.start_fresh();
  streaming_.start_fresh();
  backlog_.clear();
  trying_confirmed_ = false;
  hunt_left_ = 0;
  mode_ = silent_ || config_.delivery == delivery_mode::streaming
            ? mode::streaming
            : mode::confirmed;
}

/// Passes on what the one at work wants. What it asks for comes from the
/// backlog, if there is something.
void delivery::take(delivery_actions actions, steady_time now) {
  for (auto& action : actions) {
    auto ask = std::get_if<ask_batch>(&action);
    if (ask == nullptr) {
      if (auto report = std::get_if<delivery_report>(&action);
          report != nullptr && hunt_left_ > 0
          && report->kind == delivery_report::what::accepted)
        --hunt_left_;
      actions_.push_back(std::move(action));
    } else if (!backlog_.empty()) {
      auto batch = std::move(backlog_.front());
      backlog_.pop_front();
      take(mode_ == mode::confirmed ? confirmed_.offer(std::move(batch), now)
                                    : streaming_.offer(std::move(batch), now),
           now);
    } else if (!std::exchange(asked_, true)) {
      actions_.emplace_back(ask_batch{!busy()});
    }
  }
}

/// Changes from one to the other where it is due.
void delivery::review(steady_time now) {
  if (mode_ == mode::streaming) {
    if (streaming_.refusals() >= refusals_max) {
      hunt_left_ = streaming_.window().size();
      to_confirmed(now);
    } else if (silent_ && config_.delivery == delivery_mode::confirmed
               && now >= confirmed_again_at_ && streaming_.busy()
               && streaming_.all_acknowledged() && !finishing_) {
      trying_confirmed_ = true;
      confirmed_.trust_silence(false);
      to_confirmed(now);
    }
    return;
  }
  if (trying_confirmed_ && confirmed_.timeouts() == 0
      && confirmed_.has_confirmed()) {
    trying_confirmed_ = silent_ = false;
    streaming_.trust_silence(false);
    delivery_note note;
    note.kind = delivery_note::what::confirms;
    actions_.emplace_back(std::move(note));
    return;
  }
  if (trying_confirmed_ && confirmed_.timeouts() > 0) {
    trying_confirmed_ = false;
    confirmed_.trust_silence(true);
    confirmed_again_at_ = now + confirmed_again_after;
    to_streaming(now);
    return;
  }
  if (!silent_ && !confirmed_.has_confirmed()
      && confirmed_.timeouts() >= timeouts_max) {
    silent_ = true;
    streaming_.trust_silence(true);
    confirmed_.trust_silence(true);
    confirmed_again_at_ = now + confirmed_again_after;
    delivery_note note;
    note.kind = delivery_note::what::fell_back;
    note.reason = attempts_.trouble();
    actions_.emplace_back(std::move(note));
    if (hunt_left_ == 0)
      to_streaming(now);
    return;
  }
  auto streams = silent_ || config_.delivery == delivery_mode::streaming;
  if (streams && !trying_confirmed_ && hunt_left_ == 0)
    to_streaming(now);
}

void delivery::to_confirmed(steady_time now) {
  auto window = streaming_.window();
  backlog_.insert(backlog_.begin(), window.begin(), window.end());
  take(streaming_.abandon(), now);
  mode_ = mode::confirmed;
  take(confirmed_.adopt(now), now);
  if (finishing_)
    take(confirmed_.finish(), now);
}

void delivery::to_streaming(steady_time now) {
  if (auto& batch = confirmed_.batch())
    backlog_.push_front(*batch);
  take(confirmed_.abandon(), now);
  mode_ = mode::streaming;
  take(streaming_.adopt(now), now);
  if (finishing_)
    take(streaming_.finish(now), now);
}

delivery_actions delivery::result(steady_time now) {
  review(now);
  return std::exchange(actions_, {});
}

} // namespace bpf2graphite
