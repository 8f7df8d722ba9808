#include "actors/graphite_connection/confirmed_delivery.hpp"

#include <algorithm>
#include <cassert>

namespace bpf2graphite {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

} // namespace

confirmed_delivery::confirmed_delivery(const graphite_config& config,
                                       std::string probe_path,
                                       connection_attempts& attempts)
  : config_{config}, probe_path_{std::move(probe_path)}, attempts_{&attempts} {}

delivery_actions confirmed_delivery::adopt(steady_time now) {
  actions_.clear(); // of a call that did not come to its end
  if (phase_ != phase::resting)
    actions_.emplace_back(wire_close{attempts_->newest()});
  phase_ = phase::resting;
  asked_ = false;
  finishing_ = false;
  go_on(now);
  return take();
}

delivery_actions confirmed_delivery::redirect(steady_time now) {
  if (phase_ != phase::resting)
    actions_.emplace_back(wire_close{attempts_->newest()});
  phase_ = phase::resting;
  refusals_ = 0;
  hunt_.reset();
  if (batch_)
    go_on(now);
  return take();
}

delivery_actions confirmed_delivery::offer(metric_batch batch,
                                           steady_time now) {
  assert(!batch_ && "a batch is offered once, when it was asked for");
  asked_ = false;
  refusals_ = 0;
  hunt_.reset();
  batch_ = std::move(batch);
  go_on(now);
  return take();
}

delivery_actions confirmed_delivery::wire(const wire_event& event,
                                          steady_time now, double random) {
  if (event.attempt != attempts_->newest() || phase_ == phase::resting)
    return {};
  auto sent = phase_ == phase::sending || phase_ == phase::settling
              || phase_ == phase::confirming;
  switch (event.kind) {
    case wire_event_kind::connected:
      if (phase_ == phase::connecting)
        connected(now);
      break;
    case wire_event_kind::acknowledged:
      if (phase_ == phase::sending && event.bytes >= sent_->size()) {
        phase_ = phase::settling;
        until_ = now + (trust_silence_ ? silence : config_.confirm_delay);
      }
      break;
    case wire_event_kind::peer_closed:
      if (phase_ == phase::confirming && event.after_half_close) {
        has_confirmed_ = true;
        accepted(now);
      } else
        lose(sent ? "closed the connection instead of reading"
                  : "closed the idle connection",
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

delivery_actions confirmed_delivery::time_passed(steady_time now,
                                                 double random) {
  switch (phase_) {
    case phase::settling:
      if (now >= until_ && trust_silence_) {
        accepted(now);
      } else if (now >= until_) {
        phase_ = phase::confirming;
        until_ = now + config_.confirm_timeout;
        actions_.emplace_back(wire_half_close{attempts_->newest()});
      }
      break;
    case phase::confirming:
      if (now >= until_) {
        auto timeouts = timeouts_ + 1;
        lose("has all bytes but did not confirm them within "
               + seconds_text(config_.confirm_timeout),
             false, now, random);
        timeouts_ = timeouts;
      }
      break;
    case phase::resting:
      if (batch_)
        go_on(now);
      break;
    case phase::connecting:
    case phase::ready:
    case phase::sending:
      break; // the wire has deadlines of its own
  }
  return take();
}

std::optional<steady_time> confirmed_delivery::deadline() const {
  switch (phase_) {
    case phase::settling:
    case phase::confirming:
      return until_;
    case phase::resting:
      if (batch_)
        return attempts_->not_before();
      return std::nullopt;
    case phase::connecting:
    case phase::ready:
    case phase::sending:
      break;
  }
  return std::nullopt;
}

delivery_actions confirmed_delivery::finish() {
  finishing_ = true;
  if (!batch_ && phase_ != phase::resting) {
    actions_.emplace_back(wire_close{attempts_->newest()});
    phase_ = phase::resting;
  }
  return take();
}

delivery_actions confirmed_delivery::abandon() {
  if (phase_ != phase::resting)
    actions_.emplace_back(wire_close{attempts_->newest()});
  phase_ = phase::resting;
  batch_.reset();
  hunt_.reset();
  sent_.reset();
  asked_ = false;
  refusals_ = 0;
  timeouts_ = 0;
  return take();
}

bool confirmed_delivery::valid() const {
  if (hunt_ && !batch_)
    return false;
  if (batch_ && batch_->lines == nullptr)
    return false;
  auto sent = phase_ == phase::sending || phase_ == phase::settling
              || phase_ == phase::confirming;
  if (sent && (!batch_ || sent_ == nullptr))
    return false;
  if (hunt_)
    for (auto parts : {&hunt_->todo, &hunt_->suspects, &hunt_->parked})
      for (auto& p : *parts)
        if (p.begin >= p.end || p.end > batch_->lines->size() || p.lines == 0)
          return false;
  return true;
}

void confirmed_delivery::start_fresh() {
  auto confirmed = has_confirmed_;
  *this = confirmed_delivery{config_, probe_path_, *attempts_};
  has_confirmed_ = confirmed;
  // The connection of before may stand: `adopt` closes it.
  phase_ = phase::connecting;
}

// -- the way of a batch -------------------------------------------------------

/// Does what can be done now: asks for a batch, sends it, or connects.
void confirmed_delivery::go_on(steady_time now) {
  if (!batch_) {
    if (!asked_)
      actions_.emplace_back(ask_batch{true});
    asked_ = true;
  } else if (phase_ == phase::ready) {
    send(now);
  } else if (phase_ == phase::resting && now >= attempts_->not_before()) {
    connect(now);
  }
}

void confirmed_delivery::connect(steady_time now) {
  actions_.emplace_back(attempts_->next(now));
  phase_ = phase::connecting;
}

void confirmed_delivery::connected(steady_time now) {
  phase_ = phase::ready;
  ready_since_ = now;
  if (std::exchange(ended_idle_, false))
    count_idle_end(now);
  if (batch_)
    send(now);
}

void confirmed_delivery::send(steady_time now) {
  if (now - ready_since_ > idle_end_after_)
    idle_ends_ = 0; // this one has lived longer than those that ended
  sent_ = text_to_send();
  phase_ = phase::sending;
  actions_.emplace_back(wire_send{attempts_->newest(), sent_});
}

void confirmed_delivery::accepted(steady_time now) {
  actions_.emplace_back(wire_close{attempts_->newest()});
  phase_ = phase::resting;
  timeouts_ = 0;
  attempts_->reached(now);
  sent_.reset();
  if (hunt_) {
    if (!hunt_->probing) {
      hunt_->todo.pop_back();
      hunt_->accepted_some = true;
    }
    prove();
    if (!hunt_->todo.empty())
      return go_on(now);
  }
  finish_batch(now);
}

void confirmed_delivery::finish_batch(steady_time now) {
  delivery_report report;
  report.destination = attempts_->destination();
  report.kind = delivery_report::what::accepted;
  report.id = batch_->id;
  report.at = now;
  report.lines = batch_->lines;
  std::optional<steady_time> lost;
  if (hunt_) {
    for (auto& p : hunt_->parked)
      report.parked += p.lines;
    if (report.parked > 0)
      report.lines = text_without_parked();
    lost = hunt_->lost;
  }
  actions_.emplace_back(std::move(report));
  attempts_->may_lose();
  // Its first parts may have died with a server before its last were accepted.
  if (lost)
    attempts_->report_loss(*lost, actions_);
  attempts_->recovered(now, actions_);
  batch_.reset();
  hunt_.reset();
  refusals_ = 0;
  if (may_go_ahead(now))
    connect(now);
  go_on(now);
}

destination_state confirmed_delivery::doing() const {
  switch (phase_) {
    case phase::resting:
      break;
    case phase::connecting:
      return destination_state::connecting;
    case phase::ready:
      return destination_state::connected;
    case phase::sending:
      return destination_state::sending;
    case phase::settling:
    case phase::confirming:
      return destination_state::confirming;
  }
  return destination_state::idle;
}

// -- losses -------------------------------------------------------------------

void confirmed_delivery::lose(std::string reason, bool by_peer, steady_time now,
                              double random) {
  auto connecting = phase_ == phase::connecting;
  auto refused = by_peer && !connecting && phase_ != phase::ready;
  actions_.emplace_back(wire_close{attempts_->newest()});
  attempts_->report_loss(attempts_->began(), actions_);
  timeouts_ = 0;
  if (hunt_ && hunt_->accepted_some)
    hunt_->lost = attempts_->began();
  ended_idle_ = phase_ == phase::ready;
  if (ended_idle_)
    idle_end_after_ = now - ready_since_;
  else if (connecting)
    idle_ends_ = 0; // it was down: its end was no habit
  if (!ended_idle_)
    attempts_->trouble(connecting ? destination_state::unreachable
                       : by_peer  ? destination_state::refused
                                  : destination_state::frozen,
                       std::move(reason), now, actions_);
  attempts_->avoid_address(now);
  auto since = connecting ? attempts_->began() : now;
  phase_ = phase::resting;
  sent_.reset();
  if (refused) {
    attempts_->count_refusal();
    if (take_refusal())
      attempts_->no_rest(now);
    else
      attempts_->rest(since, now, random);
  } else {
    attempts_->rest(since, now, random);
  }
  go_on(now);
}

/// The peer closed an idle connection and took the next one at once.
void confirmed_delivery::count_idle_end(steady_time now) {
  if (++idle_ends_ < idle_ends_max)
    return;
  idle_ends_ = 0;
  no_ahead_until_ = now + ahead_rest;
  delivery_note off;
  off.kind = delivery_note::what::ahead_off;
  off.lasted = duration_cast<milliseconds>(idle_end_after_);
  note(std::move(off));
}

bool confirmed_delivery::may_go_ahead(steady_time now) const {
  return config_.connect_ahead && !finishing_
         && (!no_ahead_until_ || now >= *no_ahead_until_);
}

// -- poison -------------------------------------------------------------------

/// True when the next attempt shall begin without a pause.
bool confirmed_delivery::take_refusal() {
  if (!hunt_) {
    if (++refusals_ < refusals_max)
      return false;
    part whole;
    whole.end = batch_->lines->size();
    whole.lines = batch_->points;
    hunt_ = hunt{};
    if (whole.lines > 1)
      cut(whole);
    else
      hunt_->todo.push_back(whole);
    return true;
  }
  if (hunt_->probing)
    return false; // the server's fault
  hunt_->suspects.push_back(hunt_->todo.back());
  hunt_->todo.pop_back();
  return true;
}

/// Something was accepted, so what was refused before it was refused for what
/// it is.
void confirmed_delivery::prove() {
  for (auto& p : std::exchange(hunt_->suspects, {})) {
    if (p.lines > 1 && hunt_->attempts < split_attempts_max) {
      cut(p);
    } else if (p.lines > 1 || ++p.refused_alone >= line_refusals_max) {
      park(p);
    } else {
      hunt_->todo.push_back(p);
    }
  }
}

void confirmed_delivery::park(const part& p) {
  delivery_note parked;
  parked.points = p.lines;
  parked.kind = p.lines == 1 ? delivery_note::what::parked
                             : delivery_note::what::parked_part;
  auto text = text_of(p);
  parked.reason = text.substr(0, text.find('\n'));
  note(std::move(parked));
  hunt_->parked.push_back(p);
}

/// Puts both halves of a part with several lines on the list.
void confirmed_delivery::cut(const part& p) {
  auto text = text_of(p);
  auto end = text.find('\n', text.size() / 2 - 1) + 1;
  if (end == text.size())
    end = text.rfind('\n', text.size() - 2) + 1;
  part first{p.begin, p.begin + end, 0, 0};
  part second{p.begin + end, p.end, 0, 0};
  for (auto half : {&second, &first}) {
    auto lines = text_of(*half);
    half->lines =
      static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n'));
    hunt_->todo.push_back(*half);
  }
}

std::shared_ptr<const std::string> confirmed_delivery::text_to_send() {
  if (!hunt_)
    return batch_->lines;
  ++hunt_->attempts;
  hunt_->probing = hunt_->todo.empty() || hunt_->suspects.size() >= 2;
  if (hunt_->probing)
    return std::make_shared<const std::string>(
      probe_path_ + " 1 " + std::to_string(batch_->newest_slot) + "\n");
  return std::make_shared<const std::string>(text_of(hunt_->todo.back()));
}

std::shared_ptr<const std::string>
confirmed_delivery::text_without_parked() const {
  auto parked = hunt_->parked;
  std::sort(parked.begin(), parked.end(),
            [](auto& a, auto& b) { return a.begin < b.begin; });
  std::string rest;
  std::size_t done = 0;
  for (auto& p : parked) {
    rest.append(*batch_->lines, done, p.begin - done);
    done = p.end;
  }
  rest.append(*batch_->lines, done);
  return std::make_shared<const std::string>(std::move(rest));
}

} // namespace bpf2graphite
