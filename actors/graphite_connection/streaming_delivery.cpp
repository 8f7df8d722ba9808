#include "actors/graphite_connection/streaming_delivery.hpp"

#include <algorithm>

namespace bpf2graphite {

streaming_delivery::streaming_delivery(const graphite_config& config,
                                       connection_attempts& attempts)
  : config_{config}, attempts_{&attempts} {}

delivery_actions streaming_delivery::adopt(steady_time now) {
  actions_.clear(); // of a call that did not come to its end
  if (phase_ != phase::resting)
    actions_.emplace_back(wire_close{attempts_->newest()});
  window_.clear();
  forget_connection();
  asked_ = false;
  finishing_ = false;
  go_on(now);
  return take();
}

delivery_actions streaming_delivery::redirect(steady_time now) {
  if (phase_ != phase::resting)
    actions_.emplace_back(wire_close{attempts_->newest()});
  forget_connection();
  refusals_ = 0;
  if (!window_.empty())
    go_on(now);
  return take();
}

delivery_actions streaming_delivery::offer(metric_batch batch,
                                           steady_time now) {
  asked_ = false;
  unacknowledged_ += batch.lines->size();
  window_.push_back({std::move(batch), 0, {}});
  if (phase_ == phase::settling)
    phase_ = phase::standing; // not the end yet
  go_on(now);
  return take();
}

delivery_actions streaming_delivery::wire(const wire_event& event,
                                          steady_time now, double random) {
  if (event.attempt != attempts_->newest() || phase_ == phase::resting)
    return {};
  switch (event.kind) {
    case wire_event_kind::connected:
      if (phase_ == phase::connecting) {
        phase_ = phase::standing;
        alive_at_ = now;
        go_on(now);
      }
      break;
    case wire_event_kind::acknowledged:
      if (stands())
        acknowledged(event.bytes, now);
      break;
    case wire_event_kind::peer_closed:
      if (phase_ == phase::ending && event.after_half_close)
        release_all(now);
      else
        lose(window_.empty() ? "closed the idle connection"
                             : "closed the connection",
             true, now, random);
      break;
    case wire_event_kind::reset:
      lose(event.reason, true, now, random);
      break;
    case wire_event_kind::failed:
      lose(event.reason, false, now, random);
      break;
  }
  return take();
}

delivery_actions streaming_delivery::time_passed(steady_time now,
                                                 double random) {
  switch (phase_) {
    case phase::resting:
    case phase::connecting: // the wire has a deadline of its own
      break;
    case phase::standing:
      release(now);
      break;
    case phase::settling:
      release(now);
      if (now < until_)
        break;
      if (trust_silence_) {
        release_all(now);
      } else {
        phase_ = phase::ending;
        until_ = now + config_.confirm_timeout;
        actions_.emplace_back(wire_half_close{attempts_->newest()});
      }
      break;
    case phase::ending:
      release(now);
      if (now >= until_)
        lose("has all bytes but did not confirm them within "
               + seconds_text(config_.confirm_timeout),
             false, now, random);
      break;
  }
  go_on(now);
  return take();
}

std::optional<steady_time> streaming_delivery::deadline() const {
  std::optional<steady_time> next;
  auto at = [&next](steady_time time) {
    next = next ? std::min(*next, time) : time;
  };
  if (window_.empty() && phase_ != phase::settling && phase_ != phase::ending)
    return next;
  if (phase_ == phase::resting)
    at(attempts_->not_before());
  if (phase_ == phase::settling || phase_ == phase::ending)
    at(until_);
  if (stands() && !window_.empty() && window_.front().acknowledged_at)
    at(*window_.front().acknowledged_at + config_.tail_time);
  return next;
}

delivery_actions streaming_delivery::finish(steady_time now) {
  finishing_ = true;
  go_on(now);
  return take();
}

delivery_actions streaming_delivery::abandon() {
  if (phase_ != phase::resting)
    actions_.emplace_back(wire_close{attempts_->newest()});
  forget_connection();
  window_.clear();
  unacknowledged_ = 0;
  refusals_ = 0;
  asked_ = false;
  return take();
}

std::deque<metric_batch> streaming_delivery::window() const {
  std::deque<metric_batch> batches;
  for (auto& one : window_)
    batches.push_back(one.batch);
  return batches;
}

bool streaming_delivery::valid() const {
  std::size_t open = 0;
  std::uint64_t end = 0;
  auto sent = true;
  for (auto& one : window_) {
    if (one.batch.lines == nullptr)
      return false;
    if (!one.acknowledged_at)
      open += one.batch.lines->size();
    // What is sent comes before what is not, in the order of its bytes.
    if (one.end != 0 && (!sent || one.end <= end))
      return false;
    sent = one.end != 0;
    end = std::max(end, one.end);
  }
  return open == unacknowledged_ && end <= sent_bytes_
         && acknowledged_bytes_ <= sent_bytes_;
}

void streaming_delivery::start_fresh() {
  auto trust = trust_silence_;
  *this = streaming_delivery{config_, *attempts_};
  trust_silence_ = trust;
  // The connection of before may stand: `adopt` closes it.
  phase_ = phase::connecting;
}

/// Does what can be done now: sends, connects, asks for a batch, ends.
void streaming_delivery::go_on(steady_time now) {
  if (phase_ == phase::standing)
    for (auto& one : window_)
      if (one.end == 0)
        send(one);
  if (phase_ == phase::resting && !window_.empty()
      && now >= attempts_->not_before()) {
    actions_.emplace_back(attempts_->next(now));
    phase_ = phase::connecting;
  }
  if (!asked_ && unacknowledged_ < config_.unacknowledged_bytes_max) {
    asked_ = true;
    actions_.emplace_back(ask_batch{window_.empty()});
  }
  if (!finishing_ || unacknowledged_ > 0)
    return;
  if (phase_ == phase::standing && !window_.empty()) {
    phase_ = phase::settling;
    until_ = now + config_.confirm_delay;
  } else if (phase_ != phase::resting && window_.empty()) {
    actions_.emplace_back(wire_close{attempts_->newest()});
    forget_connection();
  }
}

void streaming_delivery::send(item& one) {
  sent_bytes_ += one.batch.lines->size();
  one.end = sent_bytes_;
  actions_.emplace_back(wire_send{attempts_->newest(), one.batch.lines});
}

void streaming_delivery::acknowledged(std::uint64_t bytes, steady_time now) {
  bytes = std::min(bytes, sent_bytes_);
  if (bytes > acknowledged_bytes_) {
    acknowledged_bytes_ = bytes;
    alive_at_ = now;
  }
  for (auto& one : window_)
    if (one.end != 0 && one.end <= bytes && !one.acknowledged_at) {
      one.acknowledged_at = now;
      unacknowledged_ -= one.batch.lines->size();
    }
  release(now);
  go_on(now);
}

/// Releases what has enough tail behind it.
void streaming_delivery::release(steady_time now) {
  while (!window_.empty() && window_.front().acknowledged_at) {
    auto& front = window_.front();
    if (acknowledged_bytes_ - front.end < config_.tail_bytes
        && now - *front.acknowledged_at < config_.tail_time)
      break;
    release_front(now);
  }
}

void streaming_delivery::release_front(steady_time now) {
  auto& front = window_.front();
  delivery_report report;
  report.destination = attempts_->destination();
  report.kind = delivery_report::what::accepted;
  report.id = front.batch.id;
  report.at = now;
  report.lines = front.batch.lines;
  actions_.emplace_back(std::move(report));
  window_.pop_front();
  refusals_ = 0;
  attempts_->reached(now);
  attempts_->may_lose();
  attempts_->recovered(now, actions_);
}

/// The end was confirmed: all that was sent was read.
void streaming_delivery::release_all(steady_time now) {
  actions_.emplace_back(wire_close{attempts_->newest()});
  while (!window_.empty() && window_.front().acknowledged_at)
    release_front(now);
  forget_connection();
  go_on(now);
}

/// What is left of the window was not sent on any connection.
void streaming_delivery::forget_connection() {
  phase_ = phase::resting;
  sent_bytes_ = acknowledged_bytes_ = 0;
  unacknowledged_ = 0;
  for (auto& one : window_) {
    one.end = 0;
    one.acknowledged_at.reset();
    unacknowledged_ += one.batch.lines->size();
  }
}

destination_state streaming_delivery::doing() const {
  switch (phase_) {
    case phase::resting:
      break;
    case phase::connecting:
      return destination_state::connecting;
    case phase::standing:
      return unacknowledged_ > 0 ? destination_state::sending
                                 : destination_state::connected;
    case phase::settling:
    case phase::ending:
      return destination_state::confirming;
  }
  return destination_state::idle;
}

void streaming_delivery::lose(std::string reason, bool by_peer, steady_time now,
                              double random) {
  auto stood = stands();
  auto carried = sent_bytes_ > 0;
  auto since = phase_ == phase::connecting ? attempts_->began() : now;
  actions_.emplace_back(wire_close{attempts_->newest()});
  attempts_->report_loss(stood ? alive_at_ : attempts_->began(), actions_);
  if (!window_.empty())
    attempts_->trouble(!stood    ? destination_state::unreachable
                       : by_peer ? destination_state::refused
                                 : destination_state::frozen,
                       std::move(reason), now, actions_);
  attempts_->avoid_address(now);
  if (stood && by_peer && carried && !window_.empty()) {
    attempts_->count_refusal();
    ++refusals_;
  }
  forget_connection();
  attempts_->rest(since, now, random);
  go_on(now);
}

} // namespace bpf2graphite
