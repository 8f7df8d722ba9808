#pragma once
// How many series may be alive, and who writes which.

#include "messages/series_name.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string_view>
#include <unordered_set>

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
  bool claim(series_name path, std::uint64_t owner);
  /// Gives up a path that is this owner's.
  void release(std::string_view path, std::uint64_t owner);
  std::size_t claimed() const;

private:
  struct claimed_path {
    series_name path;
    std::uint64_t owner = 0;
  };

  /// By the path alone.
  struct path_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view path) const noexcept {
      return std::hash<std::string_view>{}(path);
    }
    std::size_t operator()(const claimed_path& one) const noexcept {
      return (*this)(*one.path);
    }
  };

  struct same_path {
    using is_transparent = void;
    bool operator()(const claimed_path& a, const claimed_path& b) const {
      return *a.path == *b.path;
    }
    bool operator()(std::string_view a, const claimed_path& b) const {
      return a == *b.path;
    }
    bool operator()(const claimed_path& a, std::string_view b) const {
      return *a.path == b;
    }
  };

  mutable std::mutex lock_;
  std::size_t max_;
  std::size_t used_ = 0;
  std::uint64_t owners_ = 0;
  // Each name is hashed anew when it is looked at: kept hashes would take as
  // much as the rest of an entry, and names come and go seldom.
  std::unordered_set<claimed_path, path_hash, same_path> paths_;
};

} // namespace bpf2graphite
