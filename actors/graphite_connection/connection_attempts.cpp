#include "actors/graphite_connection/connection_attempts.hpp"

#include <algorithm>

namespace bpf2graphite {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

// 0.25 s doubled so often is beyond any cap.
constexpr int doublings_max = 20;

} // namespace

connection_attempts::connection_attempts(const graphite_config& config,
                                         std::size_t destination,
                                         std::size_t addresses,
                                         destination_ledger& books)
  : config_{config}, destination_{destination}, books_{&books},
    bad_until_(std::max<std::size_t>(addresses, 1)) {}

wire_connect connection_attempts::next(steady_time now) {
  ++attempt_;
  address_ = choose_address(now);
  began_ = now;
  books_->connects.fetch_add(1, std::memory_order_relaxed);
  return {attempt_, address_};
}

void connection_attempts::reached(steady_time now) {
  failures_ = 0;
  not_before_ = now;
  bad_until_[address_] = {};
}

void connection_attempts::recovered(steady_time now, delivery_actions& out) {
  if (trouble_since_) {
    delivery_note note;
    note.kind = delivery_note::what::recovered;
    note.lasted = duration_cast<milliseconds>(now - *trouble_since_);
    out.emplace_back(std::move(note));
  }
  trouble_since_.reset();
  trouble_.clear();
}

void connection_attempts::trouble(destination_state kind, std::string reason,
                                  steady_time now, delivery_actions& out) {
  if (!trouble_since_) {
    trouble_since_ = now;
    delivery_note note;
    note.reason = reason;
    out.emplace_back(std::move(note));
  }
  trouble_ = std::move(reason);
  trouble_kind_ = kind;
}

void connection_attempts::avoid_address(steady_time now) {
  if (bad_until_.size() > 1)
    bad_until_[address_] = now + config_.failover_rest;
}

void connection_attempts::count_refusal() {
  books_->refusals.fetch_add(1, std::memory_order_relaxed);
}

void connection_attempts::rest(steady_time since, steady_time now,
                               double random) {
  auto longest =
    std::min(config_.backoff_max, config_.backoff_first * (1 << failures_));
  failures_ = std::min(failures_ + 1, doublings_max);
  auto pause = std::chrono::duration<double, std::milli>(longest) * random;
  not_before_ = now;
  // Another address that has not failed lately needs no pause.
  if (bad_until_[choose_address(now)] > now || bad_until_.size() == 1)
    not_before_ =
      std::max(now, since + duration_cast<steady_time::duration>(pause));
}

void connection_attempts::report_loss(steady_time began,
                                      delivery_actions& out) {
  if (!std::exchange(may_mark_, false))
    return;
  delivery_report report;
  report.destination = destination_;
  report.kind = delivery_report::what::lost;
  report.at = began;
  out.emplace_back(std::move(report));
}

void connection_attempts::forget_failures(steady_time now) {
  failures_ = 0;
  not_before_ = now;
  std::fill(bad_until_.begin(), bad_until_.end(), steady_time{});
}

void connection_attempts::start_fresh() {
  auto attempt = attempt_;
  *this =
    connection_attempts{config_, destination_, bad_until_.size(), *books_};
  attempt_ = attempt;
}

std::size_t connection_attempts::choose_address(steady_time now) const {
  auto rested = std::find_if(bad_until_.begin(), bad_until_.end(),
                             [now](auto until) { return until <= now; });
  if (rested == bad_until_.end())
    rested = std::min_element(bad_until_.begin(), bad_until_.end());
  return static_cast<std::size_t>(rested - bad_until_.begin());
}

std::string seconds_text(milliseconds time) {
  auto ms = time.count();
  auto text = std::to_string(ms / 1000);
  if (ms % 1000 != 0) {
    auto rest = std::to_string(1000 + ms % 1000).substr(1);
    while (rest.back() == '0')
      rest.pop_back();
    text += "." + rest;
  }
  return text + " s";
}

} // namespace bpf2graphite
