#include "actors/batcher/batch_queue.hpp"

#include "actors/batcher/packed_lines.hpp"
#include "actors/graphite_connection/plaintext.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>
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

/// Room in a batch's text, as a share of it, that is not worth a copy.
constexpr std::size_t spare_share = 16;

template <class Entries>
std::size_t bytes_of(const Entries& entries) {
  std::size_t n = 0;
  for (auto& e : entries)
    n += e.bytes();
  return n;
}

template <class Entries>
std::uint64_t points_of(const Entries& entries) {
  std::uint64_t n = 0;
  for (auto& e : entries)
    n += e.batch.points;
  return n;
}

/// The smallest time stamp of these lines; 0 without any.
std::int64_t oldest_slot_of(std::string_view lines) {
  std::int64_t oldest = 0;
  while (!lines.empty()) {
    auto line = lines.substr(0, lines.find('\n') + 1);
    lines.remove_prefix(line.size());
    std::int64_t slot = 0;
    std::from_chars(line.data() + line.rfind(' ') + 1,
                    line.data() + line.size(), slot);
    oldest = oldest == 0 ? slot : std::min(oldest, slot);
  }
  return oldest;
}

/// Appends the lines with one of those time stamps; how many there are.
std::size_t append_lines_of(std::string& out, std::string_view lines,
                            const std::vector<std::int64_t>& slots) {
  std::size_t found = 0;
  while (!lines.empty()) {
    auto line = lines.substr(0, lines.find('\n') + 1);
    lines.remove_prefix(line.size());
    std::int64_t slot = 0;
    std::from_chars(line.data() + line.rfind(' ') + 1,
                    line.data() + line.size(), slot);
    if (std::binary_search(slots.begin(), slots.end(), slot)) {
      out += line;
      ++found;
    }
  }
  return found;
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

std::size_t batch_queue::entry::bytes() const {
  return batch.lines ? batch.lines->size() : unpacked_bytes(packed);
}

void batch_queue::entry::pack() {
  if (!batch.lines)
    return;
  packed = pack_lines(*batch.lines);
  batch.lines.reset();
}

void batch_queue::entry::unpack() {
  if (batch.lines)
    return;
  batch.lines = std::make_shared<const std::string>(unpack_lines(packed));
  std::string{}.swap(packed);
}

batch_queue::batch_queue(const batcher_config& config,
                         std::chrono::milliseconds resend,
                         batcher_ledger& books,
                         const std::vector<destination_ledger*>& ledgers)
  : bytes_max_{config.buffer_bytes_max}, batch_bytes_max_{std::min(
                                           config.batch_bytes_max,
                                           config.buffer_bytes_max / 4)},
    batch_points_max_{config.batch_points_max},
    join_bytes_first_{std::min(
      {config.join_bytes_first, config.join_bytes_max, batch_bytes_max_})},
    join_bytes_max_{std::min(config.join_bytes_max, batch_bytes_max_)},
    resend_share_{config.resend_share},
    resend_bytes_per_close_{config.resend_bytes_per_close}, resend_{resend},
    verify_{config.verify}, books_{books} {
  for (auto ledger : ledgers) {
    lines_.emplace_back();
    lines_.back().books = ledger;
    lines_.back().join_bytes = join_bytes_first_;
    allow_resend(lines_.back(), bytes_max_);
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
  // Text grown by doubling is copied as often, and half of it is room.
  if (open_.empty() && !points.empty())
    open_.reserve(open_bytes_ + open_bytes_ / (2 * spare_share));
  line_writer lines;
  for (auto& point : points) {
    auto before = open_.size();
    if (lines.append(open_, point) != line_fault::none) {
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
    open_oldest_ = open_points_ == 1 ? point.timestamp
                                     : std::min(open_oldest_, point.timestamp);
  }
  book();
  add_to(books_.refused, refused);
  trim();
  note_oldest();
}

void batch_queue::close() {
  if (open_points_ > 0)
    seal(open_.size());
  open_bytes_ = std::exchange(round_bytes_, 0);
  closed_id_ = last_id_;
  for (auto& l : lines_)
    allow_resend(l, resend_bytes_per_close_);
  trim();
  note_oldest();
}

/// Never more than a quarter of the buffer in all.
void batch_queue::allow_resend(line& l, std::size_t bytes) {
  l.resend_left = std::min(l.resend_left + static_cast<std::int64_t>(bytes),
                           static_cast<std::int64_t>(bytes_max_ / 4));
}

/// Makes a batch of the first `bytes` of the open text.
void batch_queue::seal(std::size_t bytes) {
  std::string rest{open_, bytes};
  open_.resize(bytes);
  round_bytes_ = std::max(round_bytes_, bytes);
  // A batch may stay for hours: not with much more room than it needs.
  if (open_.capacity() - bytes > bytes / spare_share)
    open_.shrink_to_fit();
  auto text = std::make_shared<const std::string>(std::move(open_));
  open_ = std::move(rest);
  metric_batch batch{
    ++last_id_, std::move(text), std::exchange(open_points_, 0),
    std::exchange(open_newest_, 0), std::exchange(open_oldest_, 0)};
  for (auto& l : lines_) {
    entry fresh;
    fresh.batch = batch;
    l.waiting.push_back(std::move(fresh));
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
    auto at = static_cast<std::size_t>(e - l.waiting.begin());
    join(l, l.waiting, at);
    l.waiting[at].given = true;
    return l.waiting[at].batch;
  }
  if (l.resend_left <= 0 && !finishing_)
    return std::nullopt;
  if (auto e = find_free(l.again); e != l.again.end()) {
    auto at = static_cast<std::size_t>(e - l.again.begin());
    join(l, l.again, at);
    l.again[at].unpack();
    l.again[at].given = true;
    l.resend_left -= static_cast<std::int64_t>(l.again[at].bytes());
    return l.again[at].batch;
  }
  return std::nullopt;
}

/// Makes one batch of that one and of as many behind it as are free and fit.
void batch_queue::join(line& l, std::deque<entry>& entries, std::size_t first) {
  auto& head = entries[first];
  auto bytes = head.bytes();
  auto points = head.batch.points;
  auto end = first + 1;
  for (; end < entries.size(); ++end) {
    auto& e = entries[end];
    if (e.given || e.batch.id > closed_id_ || bytes + e.bytes() > l.join_bytes
        || points + e.batch.points > batch_points_max_)
      break;
    bytes += e.bytes();
    points += e.batch.points;
  }
  if (end == first + 1)
    return;
  auto text = std::make_shared<std::string>();
  text->reserve(bytes);
  for (auto i = first; i < end; ++i) {
    auto& e = entries[i];
    if (e.batch.lines)
      *text += *e.batch.lines;
    else
      *text += unpack_lines(e.packed);
    head.batch.id = std::max(head.batch.id, e.batch.id);
    head.batch.newest_slot =
      std::max(head.batch.newest_slot, e.batch.newest_slot);
    head.batch.oldest_slot =
      std::min(head.batch.oldest_slot, e.batch.oldest_slot);
    head.restored = head.restored || e.restored;
  }
  head.batch.lines = std::move(text);
  std::string{}.swap(head.packed);
  head.batch.points = points;
  using offset = std::deque<entry>::difference_type;
  entries.erase(entries.begin() + static_cast<offset>(first + 1),
                entries.begin() + static_cast<offset>(end));
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
      give_up(l, l.books->dropped_stop);
      break;
    case delivery_report::what::seen:
      for (auto& e : l.kept)
        if (e.batch.id == what.id)
          e.unverified = false;
      break;
    case delivery_report::what::unseen:
      resend_unseen(l, what);
      break;
  }
  note_oldest();
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
  if (done.batch.lines->size() * 2 > l.join_bytes)
    l.join_bytes = std::min(l.join_bytes * 2, join_bytes_max_);
  auto parked = std::min(what.parked, done.batch.points);
  if (first_time) {
    take_from(l.books->waiting, done.batch.points);
    add_to(l.books->parked, parked);
    add_to(l.books->accepted, done.batch.points - parked);
    allow_resend(l, resend_share_ * done.batch.lines->size());
  } else {
    add_to(l.books->resent, done.batch.points - parked);
  }
  // Attempts begin after the acceptance before them, so what is older than
  // `resend` now will be too old for every loss to come.
  std::erase_if(l.kept, [&](auto& e) {
    if (e.unverified || e.accepted_at + resend_ >= what.at)
      return false;
    l.bytes -= e.bytes();
    return true;
  });
  done.batch.points -= parked;
  if (parked > 0 && what.lines != nullptr)
    done.batch.lines = what.lines;
  if ((resend_.count() > 0 || verify_) && done.batch.points > 0) {
    done.given = done.restored = false;
    done.unverified = verify_;
    done.accepted_at = what.at;
    l.bytes += done.bytes();
    done.pack();
    l.kept.push_back(std::move(done));
  }
}

void batch_queue::mark(line& l, steady_time began) {
  l.join_bytes = join_bytes_first_;
  if (resend_.count() == 0)
    return;
  for (auto it = l.kept.begin(); it != l.kept.end();) {
    if (began - it->accepted_at > resend_) {
      ++it;
      continue;
    }
    l.again.push_back(std::move(*it));
    it = l.kept.erase(it);
  }
}

/// Sends again the lines of the slots that are not there.
void batch_queue::resend_unseen(line& l, const delivery_report& what) {
  auto it = std::find_if(l.kept.begin(), l.kept.end(),
                         [&](auto& e) { return e.batch.id == what.id; });
  if (it == l.kept.end())
    return; // dropped, or sent again for another reason
  auto missing = std::move(*it);
  l.kept.erase(it);
  l.bytes -= missing.bytes();
  missing.unpack();
  auto text = std::make_shared<std::string>();
  missing.batch.points =
    append_lines_of(*text, *missing.batch.lines, what.slots);
  add_to(l.books->unseen, missing.batch.points);
  if (missing.batch.points == 0)
    return;
  missing.batch.lines = std::move(text);
  missing.unverified = false;
  l.bytes += missing.batch.lines->size();
  l.again.push_back(std::move(missing));
}

void batch_queue::give_up(line& l, counter& where) {
  auto points = points_of(l.waiting);
  take_from(l.books->waiting, points);
  add_to(where, points);
  if (&where == &l.books->dropped_stop)
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
  auto& l = lines_.at(destination);
  for (auto entries : {&l.waiting, &l.again})
    for (auto e : *entries) {
      e.unpack();
      result.push_back(std::move(e.batch));
    }
  return result;
}

void batch_queue::spooled(std::size_t destination) {
  auto& l = lines_.at(destination);
  give_up(l, l.books->spooled);
  note_oldest();
}

void batch_queue::restore(std::size_t destination,
                          std::vector<metric_batch> batches) {
  auto& l = lines_.at(destination);
  for (auto& batch : batches) {
    batch.id = ++last_id_;
    batch.oldest_slot = oldest_slot_of(*batch.lines);
    l.bytes += batch.lines->size();
    for (auto c : {&l.books->points, &l.books->waiting, &l.books->from_spool})
      add_to(*c, batch.points);
    add_to(l.books->batches, 1);
    entry e;
    e.batch = std::move(batch);
    e.restored = true;
    l.waiting.push_back(std::move(e));
  }
  closed_id_ = last_id_;
  trim();
  note_oldest();
}

bool batch_queue::restored_wait(std::size_t destination) const {
  auto& l = lines_.at(destination);
  return std::any_of(l.waiting.begin(), l.waiting.end(),
                     [](auto& e) { return e.restored; });
}

void batch_queue::trim() {
  for (auto& l : lines_)
    while (l.bytes + open_.size() > bytes_max_ && drop_one(l)) {
    }
}

/// For who looks at the books.
void batch_queue::note_oldest() {
  for (auto& l : lines_)
    l.books->oldest_slot.store(
      l.waiting.empty() ? open_oldest_ : l.waiting.front().batch.oldest_slot,
      std::memory_order_relaxed);
}

bool batch_queue::drop_one(line& l) {
  auto drop = [&l](std::deque<entry>& entries, counter& dropped,
                   bool was_waiting) {
    auto e = find_free(entries);
    if (e == entries.end())
      return false;
    l.bytes -= e->bytes();
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
             + value(b.dropped_stop) + value(b.spooled) + value(b.parked))
      return false;
  }
  return true;
}

} // namespace bpf2graphite
