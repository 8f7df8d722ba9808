#pragma once
// The rows of one printed histogram.

#include "messages/row_bounds.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// One row of a histogram. Both ends are inclusive, as in bpftrace's JSON,
/// because the exclusive end of its highest row, 2^63, fits in no int64.
struct bucket {
  std::optional<std::int64_t> min; // none: open towards minus infinity
  std::optional<std::int64_t> max; // none: open towards plus infinity
  std::uint64_t count = 0;

  friend bool operator==(const bucket&, const bucket&) = default;
};

/// The bounds of a row as it was printed.
inline row_bounds bounds_of(const bucket& row) {
  return {row.min.value_or(std::numeric_limits<std::int64_t>::min()),
          row.max.value_or(std::numeric_limits<std::int64_t>::max()), !row.min,
          !row.max};
}

inline bucket bucket_of(const row_bounds& bounds, std::uint64_t count) {
  bucket row{bounds.min, bounds.max, count};
  if (bounds.open_low)
    row.min.reset();
  if (bounds.open_high)
    row.max.reset();
  return row;
}

/// Rows in the order in which they were printed. Of a hist(), whose rows are
/// known once the first is (see hist_bounds), only the counts are kept: a
/// fifth of the memory, and a thousand histograms a second are bound by
/// memory. Any other rows are a list.
class buckets {
public:
  buckets() = default;

  buckets(const std::vector<bucket>& rows) {
    reserve(rows.size());
    for (const auto& row : rows)
      push_back(row);
  }

  buckets(std::initializer_list<bucket> rows)
    : buckets{std::vector<bucket>{rows}} {}

  std::size_t size() const {
    return list_.empty() ? counts_.size() : list_.size();
  }

  bool empty() const {
    return counts_.empty() && list_.empty();
  }

  bucket operator[](std::size_t at) const {
    return list_.empty() ? bucket_of(hist_bounds[first_ + at], counts_[at])
                         : list_[at];
  }

  bucket front() const {
    return (*this)[0];
  }

  bucket back() const {
    return (*this)[size() - 1];
  }

  /// Forgets the rows, but for their memory.
  void clear() {
    counts_.clear();
    list_.clear();
  }

  /// Forgets their memory, too.
  void release() {
    *this = buckets{};
  }

  void reserve(std::size_t rows) {
    counts_.reserve(rows);
  }

  /// The row of hist() at this place is the next one. Cheap when the row before
  /// it is the one before in hist_bounds.
  void push_hist(std::size_t place, std::uint64_t count) {
    if (!counts_.empty() && first_ + counts_.size() == place)
      counts_.push_back(count);
    else
      push_back(bucket_of(hist_bounds[place], count));
  }

  void push_back(const bucket& row) {
    if (!list_.empty()) {
      list_.push_back(row);
      return;
    }
    const auto place = hist_place_of(bounds_of(row));
    if (counts_.empty())
      first_ = place;
    if (place != no_hist_place && first_ + counts_.size() == place) {
      counts_.push_back(row.count);
      return;
    }
    list_.reserve(counts_.size() + 1);
    for (std::size_t at = 0; at < counts_.size(); ++at)
      list_.push_back(bucket_of(hist_bounds[first_ + at], counts_[at]));
    list_.push_back(row);
    counts_.clear();
  }

  /// Where in hist_bounds its rows begin, when they follow each other there;
  /// else no_hist_place.
  std::size_t first_place() const {
    return counts_.empty() ? no_hist_place : first_;
  }

  /// ... and then what they count.
  const std::vector<std::uint64_t>& counts() const {
    return counts_;
  }

  /// All counts together.
  exact total() const {
    exact sum = 0;
    for (const auto count : counts_)
      sum += count;
    for (const auto& row : list_)
      sum += row.count;
    return sum;
  }

  class iterator {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = bucket;
    using difference_type = std::ptrdiff_t;
    using pointer = const bucket*;
    using reference = bucket;

    iterator() = default;
    iterator(const buckets* of, std::size_t at) : of_{of}, at_{at} {}

    bucket operator*() const {
      return (*of_)[at_];
    }

    iterator& operator++() {
      ++at_;
      return *this;
    }

    iterator operator++(int) {
      auto before = *this;
      ++at_;
      return before;
    }

    friend bool operator==(const iterator&, const iterator&) = default;

  private:
    const buckets* of_ = nullptr;
    std::size_t at_ = 0;
  };

  iterator begin() const {
    return {this, 0};
  }

  iterator end() const {
    return {this, size()};
  }

  friend bool operator==(const buckets& a, const buckets& b) {
    if (a.size() != b.size())
      return false;
    for (std::size_t at = 0; at < a.size(); ++at)
      if (a[at] != b[at])
        return false;
    return true;
  }

private:
  // Either list_ is empty or counts_ is.
  std::vector<std::uint64_t> counts_;
  std::size_t first_ = 0;
  std::vector<bucket> list_;
};

} // namespace bpf2graphite
