#pragma once
// Rows of a histogram as exact bounds with exact counts, and the arithmetic on
// them: adding, subtracting, comparing, the rows that bpftrace left out.

#include "messages/buckets.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <vector>

namespace bpf2graphite {

struct histogram_row {
  row_bounds bounds;
  exact count = 0;
};

/// Rising, each bounds once. Rows of hist() stand as their counts behind each
/// other, with a mark for those that are there; all others are a list. (Rows of
/// lhist() have bounds of their own, and counts beyond 2^64-1 or below zero
/// have no place.)
class histogram_rows {
public:
  histogram_rows() = default;
  histogram_rows(std::initializer_list<histogram_row> rows);

  std::size_t size() const {
    return list_.empty() ? static_cast<std::size_t>(std::popcount(present_))
                         : list_.size();
  }

  bool empty() const {
    return present_ == 0 && list_.empty();
  }

  /// Forgets the rows, but for their memory.
  void clear();

  /// Forgets their memory, too.
  void release() {
    *this = histogram_rows{};
  }

  /// `row` lies above all others.
  void push_back(const histogram_row& row);

  /// Removes the rows of which `gone` is true.
  template <class Predicate>
  void erase_if(Predicate gone) {
    if (list_.empty()) {
      for (std::size_t at = 0; at < counts_.size(); ++at)
        if (has(at) && gone(at_place(at))) {
          present_ &= ~(std::uint64_t{1} << at);
          counts_[at] = 0;
        }
    } else {
      std::erase_if(list_, gone);
    }
  }

  /// Gives one row after the other, by value.
  class iterator {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = histogram_row;
    using difference_type = std::ptrdiff_t;
    using pointer = const histogram_row*;
    using reference = histogram_row;

    iterator() = default;
    iterator(const histogram_rows* of, std::size_t at) : of_{of}, at_{at} {}

    histogram_row operator*() const {
      return of_->list_.empty() ? of_->at_place(at_) : of_->list_[at_];
    }

    iterator& operator++() {
      at_ = of_->behind(at_ + 1);
      return *this;
    }

    iterator operator++(int) {
      auto before = *this;
      ++*this;
      return before;
    }

    friend bool operator==(const iterator&, const iterator&) = default;

  private:
    const histogram_rows* of_ = nullptr;
    std::size_t at_ = 0;
  };

  iterator begin() const {
    return {this, behind(0)};
  }

  iterator end() const {
    return {this, list_.empty() ? counts_.size() : list_.size()};
  }

private:
  friend std::size_t read_rows(const buckets&, histogram_rows&);
  friend std::size_t add_rows(histogram_rows&, const histogram_rows&, int);
  friend void subtract_rows(const histogram_rows&, const histogram_rows&,
                            histogram_rows&);
  friend bool covers(const histogram_rows&, const histogram_rows&);
  friend exact total_of(const histogram_rows&);

  /// A mark for each: all rows of hist() but one fit.
  static constexpr std::size_t window_max = 64;

  bool has(std::size_t at) const {
    return (present_ >> at & 1) != 0;
  }

  histogram_row at_place(std::size_t at) const {
    return {hist_bounds[first_ + at], exact{counts_[at]}};
  }

  /// The first position from `at` on that holds a row; or the end.
  std::size_t behind(std::size_t at) const;

  /// What the row of hist() at `place` counts; 0 where none is.
  std::uint64_t count_at(std::size_t place) const {
    const auto at = place - first_; // below first_: far beyond the end
    return at < counts_.size() ? counts_[at] : 0;
  }

  bool widen(std::size_t first, std::size_t end);
  bool add_window(const histogram_rows& from, std::size_t& gained);
  std::size_t add_list(const histogram_rows& from, int sign);
  void to_list();

  // While list_ is empty: rows from first_ on in hist_bounds; present_ has a
  // bit for each that is there, from the lowest on, and one that is not counts
  // zero.
  std::vector<std::uint64_t> counts_;
  std::uint64_t present_ = 0;
  std::size_t first_ = 0;
  std::vector<histogram_row> list_;
};

/// bpftrace's own limit: hist() has at most 2^5 rows for each of 64 powers of
/// two, lhist() 1002.
inline constexpr std::size_t rows_per_histogram_max = 4096;

/// Fills `out` (its capacity is kept) from one printed histogram: sorted, equal
/// bounds added. Returns how many rows had to be left out: over the limit, or
/// a lower bound above the upper one.
std::size_t read_rows(const buckets& printed, histogram_rows& out);

/// Adds `from` to `into`, or takes it away (`sign` -1). Returns how many rows
/// `into` gained. Allocates only for those.
std::size_t add_rows(histogram_rows& into, const histogram_rows& from,
                     int sign = 1);

/// `now` minus `before`, into `out`: only rows that differ from zero and stand
/// in `now`.
void subtract_rows(const histogram_rows& now, const histogram_rows& before,
                   histogram_rows& out);

/// True when each row of `small` is in `large` with at least its count. Rows of
/// zero need not be there.
bool covers(const histogram_rows& large, const histogram_rows& small);

/// The sum of all counts.
exact total_of(const histogram_rows& rows);

/// The rows that lie between two rows of one histogram and were never printed,
/// lowest first: of lhist() those of equal width, of hist(x, bits) those that
/// split each power of two evenly. Appended to `out`. Nothing when the rows
/// touch, when no such row fits exactly, when both kinds would fit in different
/// ways, or when they were more than `rows_per_histogram_max`.
/// Source: the labels that bpftrace prints, as its reference defines hist() and
/// lhist().
void rows_between(const row_bounds& low, const row_bounds& high,
                  std::vector<row_bounds>& out);

} // namespace bpf2graphite
