#pragma once
// Names of series, each text once.

#include "messages/series_name.hpp"

#include <cstddef>
#include <vector>

namespace bpf2graphite {

/// A hash table without chains (linear probing): a name costs 8 bytes divided
/// by how full the table is, where an entry of std::unordered_set takes 40, and
/// there are tens of thousands. Hashes are not kept: names come and go seldom.
class name_set {
public:
  /// False when one with the same text is there. `name` has to be one.
  bool insert(const series_name& name);

  /// Removes that very name; one that only says the same stays.
  void erase(const series_name& name);

  std::size_t size() const {
    return used_;
  }

private:
  std::size_t home_of(const series_name& name) const;
  std::size_t place_of(const series_name& name) const;
  void grow();

  // A power of two of them or none; never full.
  std::vector<series_name> places_;
  std::size_t used_ = 0;
};

} // namespace bpf2graphite
