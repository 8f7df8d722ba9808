// The half of map_slots that knows what a print's values mean.
#include "actors/normalizer/slots.hpp"

#include <algorithm>
#include <utility>

namespace bpf2graphite {
namespace {

constexpr std::int64_t first_gap_ms = 3'600'000;

std::uint64_t values_in(const map_entry& entry) {
  if (const auto* rows = std::get_if<buckets>(&entry.value))
    return rows->size();
  return 1;
}

value_shape shape_of(const map_entry& entry) {
  if (std::holds_alternative<buckets>(entry.value))
    return value_shape::rows;
  if (std::holds_alternative<exact>(entry.value))
    return value_shape::scalar;
  if (std::holds_alternative<stats_value>(entry.value))
    return value_shape::stats;
  return value_shape::none;
}

bool is_sum(accumulation how) {
  return how == accumulation::cleared || how == accumulation::cumulative;
}

} // namespace

thread_local amount map_slots::difference_;

map_slots::borrowed_print::borrowed_print(map_slots& borrower)
  : borrower_{borrower.rules_.printed_in_end ? nullptr : &borrower} {
  if (borrower_ != nullptr)
    borrower_->swap_print();
}

map_slots::borrowed_print::~borrowed_print() {
  if (borrower_ != nullptr)
    borrower_->swap_print();
}

/// What is lent is forgotten at the next read, by whatever map that is: also
/// when an exception left it as it was.
void map_slots::swap_print() {
  static thread_local whole_print lent;
  static thread_local std::vector<std::uint32_t> lent_of_key;
  std::swap(now_, lent);
  now_of_key_.swap(lent_of_key);
}

void map_slots::add(const snapshot& print, const key_filter& filter,
                    std::int64_t floor, series_counts& counts) {
  keys_.sweep();
  const borrowed_print memory{*this};
  if (!read(print, filter, counts))
    return;
  auto values = std::uint64_t{now_.used};
  if (shape_ == value_shape::rows) {
    values = 0;
    for (auto i = std::size_t{0}; i < now_.used; ++i)
      values += now_.entries[i].values;
  }
  auto& slot = slot_for(print, floor, values, counts);
  now_.arrival_ms = print.arrival.time_since_epoch().count();
  now_.gap_ms = last_.used == 0 ? first_gap_ms : rhythm_.gap_ms();
  now_.slot = slot.start;
  dump_seen_ = dump_seen_ || print.ending;
  switch (rules_.how) {
    case accumulation::cleared:
      return add_cleared(slot, print.ending, counts);
    case accumulation::cumulative:
      return add_cumulative(slot, counts);
    default:
      for (auto i = std::size_t{0}; i < now_.used; ++i)
        add_gauge(slot, now_.entries[i], counts);
  }
}

/// Fills `now_`. False when the print says nothing about the map.
bool map_slots::read(const snapshot& from, const key_filter& filter,
                     series_counts& counts) {
  for (auto i = std::size_t{0}; i < now_.used; ++i)
    if (const auto key = now_.entries[i].key; key < now_of_key_.size())
      now_of_key_[key] = 0;
  now_.used = 0;
  partial_ = false;
  keys_.share(from.keys);
  auto said = from.entries.empty(); // empty: all keys are gone
  const auto all = filter.wants_all();
  for (const auto& entry : from.entries) {
    if (const auto* scalar = std::get_if<exact>(&entry.value);
        scalar != nullptr && all && shape_ == value_shape::scalar) {
      said = true;
      partial_ = partial_ || entry.partial;
      read_scalar(entry, *scalar, counts);
      continue;
    }
    const auto shape = shape_of(entry);
    if (shape == value_shape::none) {
      const auto tseries =
        std::holds_alternative<std::vector<tseries_value>>(entry.value);
      ++(tseries ? counts.dropped_tseries : counts.dropped_text);
      continue;
    }
    // A map changes its kind only with its script, between two slots.
    if (shape != shape_ && open_.empty() && baselines_used_ == 0
        && now_.used == 0)
      shape_ = shape;
    if (shape != shape_) {
      counts.dropped_kind += values_in(entry);
      continue;
    }
    said = true;
    partial_ = partial_ || entry.partial;
    if (!all && !filter.wants(entry.keys))
      counts.dropped_filtered += values_in(entry);
    else
      read_entry(entry, counts);
  }
  return said;
}

void map_slots::read_entry(const map_entry& entry, series_counts& counts) {
  const auto key = keys_.number_of(entry.keys);
  if (key == key_table::none
      && (rules_.how == accumulation::cumulative
          || rules_.how == accumulation::last
          || rules_.how == accumulation::mean)) {
    counts.dropped_keys += values_in(entry);
    return;
  }
  if (now_.used == now_.entries.size())
    now_.entries.emplace_back();
  auto& next = now_.entries[now_.used];
  next.now.clear();
  next.key = key;
  next.partial = entry.partial;
  next.values = 1;
  if (const auto* rows = std::get_if<buckets>(&entry.value)) {
    const auto refused = read_rows(*rows, next.now.rows);
    next.values = next.now.rows.size();
    counts.dropped_kind += refused;
    counts.combined += rows->size() - refused - next.values;
  } else if (const auto* scalar = std::get_if<exact>(&entry.value)) {
    next.now.value = *scalar;
  } else if (const auto* stats = std::get_if<stats_value>(&entry.value)) {
    next.now.value = stats->total;
    next.now.samples = stats->count;
    next.now.average = stats->average;
  }
  if (key == key_table::none) {
    ++now_.used;
    return;
  }
  if (key >= now_of_key_.size())
    now_of_key_.resize(keys_.limit(), 0);
  if (now_of_key_[key] == 0) {
    now_of_key_[key] = static_cast<std::uint32_t>(++now_.used);
    return;
  }
  // The same key twice in one print: bpftrace has joined what differs.
  auto& first = now_.entries[now_of_key_[key] - 1];
  if (!is_sum(rules_.how)) {
    counts.dropped_gauge += next.values;
    return;
  }
  const auto gained = add_rows(first.now.rows, next.now.rows);
  first.now.value += next.now.value;
  first.now.samples += next.now.samples;
  first.partial = first.partial || next.partial;
  counts.combined += next.values - gained;
  if (shape_ == value_shape::rows)
    first.values += gained;
}

/// The same, short for what is mostly printed: a number, its key known and not
/// yet seen in this print.
void map_slots::read_scalar(const map_entry& entry, exact value,
                            series_counts& counts) {
  const auto key = keys_.number_of(entry.keys);
  if (key >= now_of_key_.size() || now_of_key_[key] != 0
      || now_.used == now_.entries.size())
    return read_entry(entry, counts);
  auto& next = now_.entries[now_.used];
  next.key = key;
  next.partial = entry.partial;
  next.now.value = value;
  next.now.samples = 0;
  next.now.average = 0;
  next.now.rows.clear();
  next.values = 1;
  now_of_key_[key] = static_cast<std::uint32_t>(++now_.used);
}

/// Adds `what`, all or a part of what `from` was printed with.
void map_slots::add_counts(map_slot& slot, const printed_key& from,
                           const amount& what, series_counts& counts) {
  auto fresh = false;
  if (shape_ == value_shape::rows) {
    counts.unchanged += from.values - what.rows.size();
    if (what.rows.empty())
      return;
    const auto gained =
      add_rows(make_cell(slot, from.key, fresh).rows, what.rows);
    counts.combined += what.rows.size() - gained;
    return;
  }
  const auto nothing = what.value == 0 && what.samples == 0;
  const auto keyed = from.key == key_table::none || keys_.keyed(from.key);
  if (nothing && keyed && find_cell(slot, from.key) == nullptr) {
    ++counts.unchanged;
    return;
  }
  auto& cell = make_cell(slot, from.key, fresh);
  cell.value += what.value;
  cell.samples += what.samples;
  counts.combined += !fresh;
}

/// The same for a scalar.
void map_slots::add_scalar(map_slot& slot, const printed_key& from, exact what,
                           series_counts& counts) {
  const auto place =
    from.key < slot.cell_of_key.size() ? slot.cell_of_key[from.key] : 0;
  if (place != 0) {
    slot.cells[place - 1].sum.value += what;
    ++counts.combined;
    return;
  }
  difference_.clear();
  difference_.value = what;
  add_counts(slot, from, difference_, counts);
}

/// A print of scalars of which none fell and no key vanished.
void map_slots::add_risen_scalars(map_slot& slot, series_counts& counts) {
  for (auto i = std::size_t{0}; i < now_.used; ++i) {
    const auto& entry = now_.entries[i];
    auto& old = baselines_[entry.key];
    if (old.print == 0) {
      keys_.hold(entry.key);
      ++baselines_used_;
      old.last.clear();
    }
    add_scalar(slot, entry, entry.now.value - old.last.value, counts);
    old.last.value = entry.now.value;
    old.print = print_number_;
  }
}

void map_slots::add_cleared(map_slot& slot, bool ending,
                            series_counts& counts) {
  const auto again = rules_.printed_in_end && ending && now_.used != 0
                     && last_.used != 0 && repeats(now_, last_);
  if (again) {
    // Of END's print and the dump the last counts: add what it has more. That
    // is right even when the slot of the first was sent already.
    for (auto i = std::size_t{0}; i < now_.used; ++i)
      now_.entries[i].repeated = nullptr;
    for (auto i = std::size_t{0}; i < last_.used; ++i) {
      const auto& old = last_.entries[i];
      now_.entries[now_of_key_[old.key] - 1].repeated = &old.now;
    }
  }
  static const amount zero;
  for (auto i = std::size_t{0}; i < now_.used; ++i) {
    auto& entry = now_.entries[i];
    if (again) {
      take_difference(entry.now, entry.repeated ? *entry.repeated : zero);
      entry.repeated = nullptr;
      add_counts(slot, entry, difference_, counts);
    } else if (shape_ == value_shape::scalar) {
      add_scalar(slot, entry, entry.now.value, counts);
    } else {
      add_counts(slot, entry, entry.now, counts);
    }
  }
  if (rules_.printed_in_end && now_.used != 0)
    keep_print();
}

void map_slots::add_cumulative(map_slot& slot, series_counts& counts) {
  ++print_number_;
  note_negative();
  auto matched = std::size_t{0};
  auto any_fell = false;
  if (baselines_.size() < keys_.limit())
    baselines_.resize(keys_.limit());
  const auto scalars = shape_ == value_shape::scalar;
  for (auto i = std::size_t{0}; i < now_.used; ++i) {
    const auto& entry = now_.entries[i];
    const auto& old = baselines_[entry.key];
    if (old.print == 0)
      continue;
    ++matched;
    if (scalars && entry.now.value >= old.last.value)
      continue;
    any_fell = any_fell || fell(entry, old.last);
  }
  if (any_fell && rules_.divided_in_end) {
    for (auto i = std::size_t{0}; i < now_.used; ++i)
      counts.dropped_inconsistent += now_.entries[i].values;
    return;
  }
  const auto vanished = !rules_.top && !partial_ && matched < baselines_used_;
  const auto deleted = !rules_.resets && rules_.deletes_keys;
  if (scalars && !any_fell && !vanished && !partial_)
    return add_risen_scalars(slot, counts);
  if (any_fell || vanished) {
    if (rules_.resets) {
      forget_baselines();
      ++counts.resets;
    } else if (!rules_.deletes_keys) {
      ++counts.inconsistent;
    }
  }
  for (auto i = std::size_t{0}; i < now_.used; ++i) {
    auto& entry = now_.entries[i];
    auto* old = &baseline_of(entry.key);
    if (old->print != 0 && fell(entry, old->last)) {
      if (!deleted) {
        counts.dropped_inconsistent += entry.values;
        old->print = print_number_;
        continue;
      }
      forget_baseline(entry.key);
    }
    if (old->print == 0)
      old->last.clear();
    take_difference(entry.now, old->last);
    add_counts(slot, entry, difference_, counts);
    set_baseline(entry);
  }
  if (vanished && deleted)
    for (auto key = key_table::id{0}; key < baselines_.size(); ++key)
      if (baselines_[key].print != 0 && baselines_[key].print != print_number_)
        forget_baseline(key);
}

void map_slots::add_gauge(map_slot& slot, const printed_key& from,
                          series_counts& counts) {
  auto how = rules_.how;
  if (shape_ != value_shape::scalar)
    how = accumulation::last;
  const auto extreme = how == accumulation::max || how == accumulation::min;
  const auto placed =
    from.key != key_table::none
    && ((from.key < slot.cell_of_key.size() && slot.cell_of_key[from.key] != 0)
        || slot.used < keys_max_);
  if (!extreme && !placed) {
    counts.dropped_keys += from.values;
    return;
  }
  auto fresh = false;
  auto& cell = make_cell(slot, from.key, fresh);
  if (!fresh)
    counts.combined += shape_ == value_shape::rows ? cell.rows.size() : 1;
  switch (how) {
    case accumulation::max:
      cell.value =
        fresh ? from.now.value : std::max(cell.value, from.now.value);
      break;
    case accumulation::min:
      cell.value =
        fresh ? from.now.value : std::min(cell.value, from.now.value);
      break;
    case accumulation::mean:
      cell.value += from.now.value;
      cell.samples += 1;
      break;
    default:
      cell = from.now;
  }
}

void map_slots::take_difference(const amount& now, const amount& before) {
  difference_.value = now.value - before.value;
  difference_.samples = now.samples - before.samples;
  subtract_rows(now.rows, before.rows, difference_.rows);
}

bool map_slots::fell(const printed_key& now, const amount& before) const {
  // A sum may fall by itself: for certain when nothing else makes it fall.
  const auto may_fall =
    negative_seen_ || (!rules_.resets && !rules_.deletes_keys);
  switch (shape_) {
    case value_shape::scalar:
      return now.now.value < before.value && !(rules_.may_fall && may_fall);
    case value_shape::stats:
      return now.now.samples < before.samples
             || (now.now.value < before.value && !may_fall);
    default:
      break;
  }
  if (!now.partial)
    return !covers(now.now.rows, before.rows);
  // Rows may be missing: only those that are there can have fallen.
  auto old = before.rows.begin();
  for (const auto& row : now.now.rows) {
    while (old != before.rows.end() && (*old).bounds.before(row.bounds))
      ++old;
    if (old != before.rows.end() && (*old).bounds == row.bounds
        && row.count < (*old).count)
      return true;
  }
  return false;
}

void map_slots::note_negative() {
  if (shape_ == value_shape::rows
      || (shape_ == value_shape::scalar && !rules_.may_fall))
    return;
  for (auto i = std::size_t{0}; i < now_.used; ++i)
    negative_seen_ = negative_seen_ || now_.entries[i].now.value < 0;
}

map_slots::baseline& map_slots::baseline_of(key_table::id key) {
  if (key >= baselines_.size())
    baselines_.resize(keys_.limit());
  return baselines_[key];
}

void map_slots::set_baseline(const printed_key& from) {
  auto& kept = baseline_of(from.key);
  if (kept.print == 0) {
    keys_.hold(from.key);
    ++baselines_used_;
    kept.last.clear();
  }
  kept.print = print_number_;
  if (from.partial)
    add_rows(kept.last.rows, difference_.rows);
  else // copied: memory that many maps use must not stay with one
    kept.last = from.now;
}

void map_slots::forget_baseline(key_table::id key) {
  baselines_[key].print = 0;
  --baselines_used_;
  keys_.release(key);
}

void map_slots::forget_baselines() {
  for (auto key = key_table::id{0}; baselines_used_ != 0; ++key)
    if (baselines_[key].print != 0)
      forget_baseline(key);
}

/// True when `later` holds all that `earlier` held: the map was not cleared.
bool map_slots::repeats(const whole_print& later,
                        const whole_print& earlier) const {
  std::vector<std::uint32_t> index(keys_.limit(), 0);
  for (auto i = std::size_t{0}; i < later.used; ++i)
    if (later.entries[i].key != key_table::none)
      index[later.entries[i].key] = static_cast<std::uint32_t>(i + 1);
  for (auto i = std::size_t{0}; i < earlier.used; ++i) {
    const auto& old = earlier.entries[i];
    if (old.key == key_table::none || index[old.key] == 0)
      return false;
    const auto& now = later.entries[index[old.key] - 1].now;
    if (now.samples < old.now.samples || !covers(now.rows, old.now.rows))
      return false;
    // A sum of negative values has no order that would say anything.
    if (now.value < old.now.value && old.now.value > 0)
      return false;
  }
  return true;
}

void map_slots::keep_print() {
  let_go(before_last_);
  std::swap(before_last_, last_);
  std::swap(last_, now_);
  for (auto i = std::size_t{0}; i < last_.used; ++i) {
    if (const auto key = last_.entries[i].key; key != key_table::none) {
      now_of_key_[key] = 0;
      keys_.hold(key);
    }
  }
  now_.used = 0;
}

void map_slots::let_go(whole_print& kept) {
  for (auto i = std::size_t{0}; i < kept.used; ++i)
    if (const auto key = kept.entries[i].key; key != key_table::none)
      keys_.release(key);
  kept.used = 0;
}

} // namespace bpf2graphite
