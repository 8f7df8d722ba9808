#include "actors/graphite_connection/arrival_check.hpp"

#include "actors/graphite_connection/render_url.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <charconv>
#include <set>

namespace bpf2graphite {
namespace {

namespace json = boost::json;

// Nobody knows the retention here: a step more at both ends.
constexpr std::int64_t margin_seconds = 120;

/// The steps of a series that hold a value: [from, to).
using spans = std::vector<std::pair<std::int64_t, std::int64_t>>;

std::optional<std::map<std::string, spans>> parse(std::string_view body) {
  boost::system::error_code failure;
  auto whole = json::parse(body, failure);
  auto list = failure ? nullptr : whole.if_array();
  if (list == nullptr)
    return std::nullopt;
  std::map<std::string, spans> result;
  for (auto& one : *list) {
    auto object = one.if_object();
    auto name = object ? object->if_contains("target") : nullptr;
    auto points = object ? object->if_contains("datapoints") : nullptr;
    if (!name || !name->is_string() || !points || !points->is_array())
      return std::nullopt;
    auto& known = result[std::string{name->get_string()}];
    std::vector<std::pair<std::int64_t, bool>> steps; // begin, has a value
    for (auto& point : points->get_array()) {
      auto pair = point.if_array();
      if (!pair || pair->size() != 2 || !(*pair)[1].is_int64())
        return std::nullopt;
      steps.emplace_back((*pair)[1].get_int64(), !(*pair)[0].is_null());
    }
    // A single one covers its own second; the last one is as long as the one
    // before it.
    std::int64_t length = 1;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      auto begin = steps[i].first;
      if (i + 1 < steps.size())
        length = std::max<std::int64_t>(steps[i + 1].first - begin, 1);
      if (steps[i].second)
        known.emplace_back(begin, begin + length);
    }
  }
  return result;
}

bool covers(const std::map<std::string, spans>& answer,
            const std::string& series, std::int64_t slot) {
  auto known = answer.find(series);
  return known != answer.end()
         && std::any_of(known->second.begin(), known->second.end(),
                        [slot](auto& span) {
                          return span.first <= slot && slot < span.second;
                        });
}

} // namespace

std::vector<arrival_verdict> arrival_check::accepted(std::uint64_t id,
                                                     std::string_view lines,
                                                     steady_time now) {
  batch fresh;
  fresh.id = id;
  fresh.accepted_at = now;
  fresh.due = now + first_after;
  std::map<std::string_view, std::size_t> series;
  std::set<std::int64_t> slots;
  while (!lines.empty() && slots.size() < slots_max) {
    auto line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
    std::int64_t slot = 0;
    std::from_chars(line.data() + line.rfind(' ') + 1,
                    line.data() + line.size(), slot);
    if (slots.contains(slot))
      continue;
    auto path = line.substr(0, line.find(' '));
    auto known = series.find(path);
    if (known == series.end()) {
      if (series.size() >= series_max)
        continue;
      known = series.emplace(path, series.size()).first;
      fresh.series.emplace_back(path);
    }
    slots.insert(slot);
    fresh.slots.emplace_back(slot, known->second);
  }
  std::vector<arrival_verdict> out;
  std::erase_if(batches_, [id](auto& b) { return b.id == id; });
  batches_.push_back(std::move(fresh));
  if (batches_.size() > batches_max) {
    let_go(batches_.front(), out);
    batches_.pop_front();
  }
  return out;
}

std::optional<steady_time> arrival_check::deadline() const {
  if (batches_.empty() || !asked_.empty())
    return std::nullopt;
  auto next = std::min_element(batches_.begin(), batches_.end(),
                               [](auto& a, auto& b) { return a.due < b.due; });
  return next->due;
}

std::optional<render_question> arrival_check::ask(steady_time now) {
  if (!asked_.empty())
    return std::nullopt;
  std::set<std::string> targets;
  std::int64_t from = INT64_MAX;
  std::int64_t until = 0;
  for (auto& b : batches_) {
    if (b.due > now)
      continue;
    auto more = targets;
    more.insert(b.series.begin(), b.series.end());
    if (more.size() > targets_max || asked_.size() >= batches_asked_max)
      break;
    targets = std::move(more);
    asked_.push_back(b.id);
    for (auto& [slot, series] : b.slots) {
      from = std::min(from, slot);
      until = std::max(until, slot);
    }
  }
  if (asked_.empty())
    return std::nullopt;
  render_question question;
  question.number = ++number_;
  // noCache: an answer of before must not stand for the one of now.
  question.query =
    "?format=json&noCache=1&from="
    + std::to_string(std::max<std::int64_t>(from - margin_seconds, 0))
    + "&until=" + std::to_string(until + margin_seconds);
  for (auto& series : targets)
    question.query += "&target=" + percent_encoded(render_target(series));
  return question;
}

std::vector<arrival_verdict>
arrival_check::answered(std::uint64_t number,
                        const std::optional<std::string>& body,
                        steady_time now) {
  std::vector<arrival_verdict> out;
  if (number != number_ || asked_.empty())
    return out;
  auto answer = body ? parse(*body) : std::nullopt;
  auto pause_after = [](int times) {
    return std::min<std::chrono::seconds>(
      pause_max, first_after * (1 << std::min(times, 5)));
  };
  failures_ = answer ? 0 : failures_ + 1;
  for (auto id : std::exchange(asked_, {})) {
    auto b = std::find_if(batches_.begin(), batches_.end(),
                          [id](auto& one) { return one.id == id; });
    if (b == batches_.end())
      continue;
    if (!answer) {
      b->due = now + pause_after(failures_);
      continue;
    }
    b->missing_slots.clear();
    for (auto& [slot, series] : b->slots)
      if (!covers(*answer, b->series[series], slot))
        b->missing_slots.push_back(slot);
    if (b->missing_slots.empty()) {
      newest_seen_ =
        std::max(newest_seen_.value_or(b->accepted_at), b->accepted_at);
      try_pause_ = first_after;
      let_go(*b, out);
      batches_.erase(b);
      continue;
    }
    std::sort(b->missing_slots.begin(), b->missing_slots.end());
    b->due = now + pause_after(++b->missing);
  }
  judge(out, now);
  return out;
}

/// Decides what is sent again, and lets go what got no answer for long.
void arrival_check::judge(std::vector<arrival_verdict>& out, steady_time now) {
  auto oldest = true;
  for (auto b = batches_.begin(); b != batches_.end();) {
    auto stores_again = newest_seen_ && b->accepted_at < *newest_seen_;
    auto no_answer = b->missing == 0 && now - b->accepted_at > answer_within;
    if (no_answer
        || (b->missing >= 2 && stores_again && ++rounds_[b->id] > rounds_max)) {
      let_go(*b, out);
    } else if (b->missing >= 2
               && (stores_again || (oldest && now >= try_at_))) {
      if (!stores_again) {
        try_at_ = now + try_pause_;
        try_pause_ = std::min<std::chrono::seconds>(pause_max, try_pause_ * 2);
      }
      out.push_back({b->id, std::move(b->missing_slots)});
    } else {
      oldest = oldest && b->missing == 0;
      ++b;
      continue;
    }
    oldest = false;
    b = batches_.erase(b);
  }
  while (rounds_.size() > batches_max)
    rounds_.erase(rounds_.begin());
}

void arrival_check::let_go(const batch& b, std::vector<arrival_verdict>& out) {
  rounds_.erase(b.id);
  out.push_back({b.id, {}});
}

} // namespace bpf2graphite
