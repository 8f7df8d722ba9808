#pragma once
// How many series may be alive, and who writes which.

#include "actors/normalizer/name_set.hpp"
#include "messages/series_name.hpp"

#include <cstddef>
#include <mutex>

namespace bpf2graphite {

/// One for each trace (`max-series`), and one that all share
/// (`max-series-total`), which also knows whose a path is: one path has one
/// writer. Locked, since traces may work on two threads; touched only when a
/// series begins or ends.
class series_budget {
public:
  explicit series_budget(std::size_t series_max);

  /// Takes room for that many series: all or nothing.
  bool take(std::size_t series);
  /// Takes what there is, at most that many; returns how many.
  std::size_t take_up_to(std::size_t series);
  void give_back(std::size_t series);
  void set_max(std::size_t series_max);

  std::size_t used() const;
  bool full() const;

  /// The path is the caller's from now on; false when it is already
  /// somebody's, the caller's own included.
  bool claim(const series_name& path);
  /// Gives up a path that was claimed: that name itself, not an equal one.
  void release(const series_name& path);
  std::size_t claimed() const;

private:
  mutable std::mutex lock_;
  std::size_t max_;
  std::size_t used_ = 0;
  name_set paths_;
};

} // namespace bpf2graphite
