#include "actors/batcher/batch_queue.hpp"

#include "actors/graphite_connection/plaintext.hpp"

#include <algorithm>
#include <utility>

namespace bpf2graphite {
namespace {

void add_to(counter& c, std::uint64_t n) {
  c.fetch_add(n, std::memory_order_relaxed);
}

void take_from(counter& c, std::uint64_t n) {
  c.fetch_sub(n, std::memory_order_relaxed);
}

std::uint64_t value(const counter& c) {
  return c.load(std::memory_order_relaxed);
}

template <class Entries>
std::size_t bytes_of(const Entries& entries) {
  std::size_t n = 0;
  for (auto& e : entries)
    n += e.batch.lines->size();
  return n;
}

template <class Entries>
std::uint64_t points_of(const Entries& entries) {
  std::uint64_t n = 0;
  for (auto& e : entries)
    n += e.batch.points;
  return n;
}

template <class Entries>
auto find_given(Entries& entries, std::uint64_t id) {
  return std::find_if(entries.begin(), entries.end(),
                      [id](auto& e) { return e.given && e.batch.id == id; });
}

template <class Entries>
auto find_free(Entries& entries) {
  return std::find_if(entries.begin(), entries.end(),
                      [](auto& e) { return !e.given; });
}

} // namespace

batch_queue::batch_queue(const batcher_config& config,
                         std::chrono::milliseconds resend,
                         batcher_ledger& books,
                         const std::vector<destination_ledger*>& ledgers)
  : bytes_max_{config.buffer_bytes_max}, batch_bytes_max_{std::min(
                                           config.batch_bytes_max,
                                           config.buffer_bytes_max / 4)},
    batch_points_max_{config.batch_points_max}, resend_{resend}, books_{books} {
  for (auto ledger : ledgers) {
    lines_.emplace_back();
    lines_.back().books = ledger;
  }
}

void batch_queue::add(std::span<const metric> points) {
  std::uint64_t taken = 0;
  std::uint64_t refused = 0;
  auto book = [&] {
    for (auto& l : lines_) {
      add_to(l.books->points, taken);
      add_to(l.books->waiting, taken);
    }
    add_to(books_.points, taken);
    taken = 0;
  };
  for (auto& point : points) {
    auto before = open_.size();
    if (append_line(open_, point) != line_fault::none) {
      ++refused;
      continue;
    }
    if (open_points_ > 0
        && (open_.size() > batch_bytes_max_
            || open_points_ >= batch_points_max_)) {
      book(); // before a seal can push them out again
      seal(before);
    }
    ++taken;
    ++open_points_;
    open_newest_ = std::max(open_newest_, point.timestamp);
  }
  book();
  add_to(books_.refused, refused);
  trim();
}

void batch_queue::close() {
  if (open_points_ > 0)
    seal(open_.size());
  closed_id_ = last_id_;
  trim();
}

/// Makes a batch of the first `bytes` of the open text.
void batch_queue::seal(std::size_t bytes) {
  // A copy of the exact size: a batch may stay for hours.
  auto text = std::make_shared<const std::string>(open_, 0, bytes);
  open_.erase(0, bytes);
  metric_batch batch{++last_id_, std::move(text),
                     std::exchange(open_points_, 0),
                     std::exchange(open_newest_, 0)};
  for (auto& l : lines_) {
    l.waiting.push_back({batch, false, {}});
    l.bytes += bytes;
    add_to(l.books->batches, 1);
  }
  trim();
}

void batch_queue::give_back(std::size_t destination) {
  auto& l = lines_.at(destination);
  for (auto entries : {&l.waiting, &l.again})
    for (auto& e : *entries)
      e.given = false;
}

std::optional<metric_batch> batch_queue::next(std::size_t destination,
                                              bool afresh) {
  auto& l = lines_.at(destination);
  if (afresh)
    give_back(destination);
  if (auto e = find_free(l.waiting);
      e != l.waiting.end() && e->batch.id <= closed_id_) {
    e->given = true;
    return e->batch;
  }
  if (auto e = find_free(l.again); e != l.again.end()) {
    e->given = true;
    return e->batch;
  }
  return std::nullopt;
}

void batch_queue::report(const delivery_report& what) {
  auto& l = lines_.at(what.destination);
  switch (what.kind) {
    case delivery_report::what::accepted:
      accept(l, what);
      break;
    case delivery_report::what::lost:
      mark(l, what.at);
      break;
    case delivery_report::what::gave_up:
      give_up(l);
      break;
  }
}

void batch_queue::accept(line& l, const delivery_report& what) {
  auto first_time = true;
  auto entries = &l.waiting;
  auto it = find_given(*entries, what.id);
  if (it == entries->end()) {
    first_time = false;
    entries = &l.again;
    it = find_given(*entries, what.id);
    if (it == entries->end())
      return;
  }
  auto done = std::move(*it);
  entries->erase(it);
  l.bytes -= done.batch.lines->size();
  auto parked = std::min(what.parked, done.batch.points);
  if (first_time) {
    take_from(l.books->waiting, done.batch.points);
    add_to(l.books->parked, parked);
    add_to(l.books->accepted, done.batch.points - parked);
  } else {
    add_to(l.books->resent, done.batch.points - parked);
  }
  // Attempts begin after the acceptance before them, so what is older than
  // `resend` now will be too old for every loss to come.
  while (!l.kept.empty() && l.kept.front().accepted_at + resend_ < what.at) {
    l.bytes -= l.kept.front().batch.lines->size();
    l.kept.pop_front();
  }
  done.batch.points -= parked;
  if (parked > 0 && what.lines != nullptr)
    done.batch.lines = what.lines;
  if (resend_.count() > 0 && done.batch.points > 0) {
    done.given = false;
    done.accepted_at = what.at;
    l.bytes += done.batch.lines->size();
    l.kept.push_back(std::move(done));
  }
}

void batch_queue::mark(line& l, steady_time began) {
  for (auto it = l.kept.begin(); it != l.kept.end();) {
    if (began - it->accepted_at > resend_) {
      ++it;
      continue;
    }
    l.again.push_back(std::move(*it));
    it = l.kept.erase(it);
  }
}

void batch_queue::give_up(line& l) {
  auto points = points_of(l.waiting);
  take_from(l.books->waiting, points);
  add_to(l.books->dropped_stop, points);
  add_to(l.books->resend_dropped, points_of(l.again));
  l.waiting.clear();
  l.again.clear();
  l.kept.clear();
  l.bytes = 0;
}

std::uint64_t batch_queue::unsent_points(std::size_t destination) const {
  auto& l = lines_.at(destination);
  return points_of(l.waiting) + points_of(l.again) + open_points_;
}

std::vector<metric_batch> batch_queue::unsent(std::size_t destination) const {
  std::vector<metric_batch> result;
  for (auto& e : lines_.at(destination).waiting)
    result.push_back(e.batch);
  return result;
}

void batch_queue::trim() {
  for (auto& l : lines_)
    while (l.bytes + open_.size() > bytes_max_ && drop_one(l)) {
    }
}

bool batch_queue::drop_one(line& l) {
  auto drop = [&l](std::deque<entry>& entries, counter& dropped,
                   bool was_waiting) {
    auto e = find_free(entries);
    if (e == entries.end())
      return false;
    l.bytes -= e->batch.lines->size();
    add_to(dropped, e->batch.points);
    if (was_waiting)
      take_from(l.books->waiting, e->batch.points);
    entries.erase(e);
    return true;
  };
  return drop(l.kept, l.books->resend_dropped, false)
         || drop(l.again, l.books->resend_dropped, false)
         || drop(l.waiting, l.books->dropped_buffer, true);
}

bool batch_queue::valid() const {
  if (closed_id_ > last_id_ || (open_points_ == 0) != open_.empty())
    return false;
  for (auto& l : lines_) {
    auto bytes = bytes_of(l.waiting) + bytes_of(l.again) + bytes_of(l.kept);
    if (bytes != l.bytes)
      return false;
    auto& b = *l.books;
    if (value(b.waiting) != points_of(l.waiting) + open_points_)
      return false;
    if (value(b.points)
        != value(b.accepted) + value(b.waiting) + value(b.dropped_buffer)
             + value(b.dropped_stop) + value(b.parked))
      return false;
  }
  return true;
}

} // namespace bpf2graphite
