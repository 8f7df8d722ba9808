#pragma once
// How many series may be alive, and who writes which.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

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

  /// An owner of paths, never 0.
  std::uint64_t new_owner();
  /// The path is this owner's from now on; false when it is already somebody's,
  /// this owner's own included.
  bool claim(std::shared_ptr<const std::string> path, std::uint64_t owner);
  /// Gives up a path that is this owner's.
  void release(const std::string& path, std::uint64_t owner);
  std::size_t claimed() const;

private:
  struct claimed_path {
    std::shared_ptr<const std::string> path;
    std::uint64_t owner = 0;
  };

  mutable std::mutex lock_;
  std::size_t max_;
  std::size_t used_ = 0;
  std::uint64_t owners_ = 0;
  std::unordered_map<std::string_view, claimed_path> paths_;
};

} // namespace bpf2graphite
