#pragma once
// The raw keys of one map, numbered: what is printed again and again is looked
// up, not copied.

#include "messages/map_key.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bpf2graphite {

class key_table {
public:
  using id = std::uint32_t;
  static constexpr id none = 0xffffffff;
  static constexpr std::uint64_t no_tag = ~std::uint64_t{0};

  /// What a map may hold at a time (bpftrace's own default is 4096 keys) ...
  static constexpr std::size_t keys_max = 1 << 18;
  /// ... and the bytes of all of them: stacks are long.
  static constexpr std::size_t key_bytes_max = 32 << 20;

  /// The number of these key parts; none when the table is full.
  id find_or_add(const std::vector<std::string>& parts);

  /// The same; a key of the list that `share` was given is looked up once and
  /// then known by its number there.
  id number_of(const map_key& key) {
    const auto* shared = key.shared();
    if (shared == nullptr || shared->number >= id_of_shared_.size())
      return find_shared(key);
    const auto known = id_of_shared_[shared->number];
    return known != none ? known : find_shared(key);
  }

  /// The list of the keys that come next. It is held until another comes.
  void share(const std::shared_ptr<const shared_keys>& keys) {
    if (keys == shared_)
      return;
    shared_ = keys;
    id_of_shared_.clear();
  }

  /// The parts of a key, valid until the next `find_or_add` or `sweep`.
  void parts(id key, std::vector<std::string_view>& out) const;

  bool keyed(id key) const {
    return !entries_[key].text->empty();
  }

  /// A number that differs, as a rule, for different keys.
  std::size_t hash(id key) const {
    return text_hash{}(*entries_[key].text);
  }

  /// A key that is held is not swept. Each `hold` wants a `release`.
  void hold(id key) {
    if (entries_[key].holds++ == 0)
      ++held_;
  }

  void release(id key) {
    if (--entries_[key].holds == 0)
      --held_;
  }

  /// Forgets all keys that are not held, once they are the greater part.
  void sweep();

  /// A mark of the caller's on a key; `no_tag` at first. Forgotten with it.
  std::uint64_t tag(id key) const {
    return entries_[key].tag;
  }

  void set_tag(id key, std::uint64_t tag) {
    entries_[key].tag = tag;
  }

  /// Takes all marks off.
  void clear_tags();

  /// Numbers are below this.
  std::size_t limit() const {
    return entries_.size();
  }

  std::size_t size() const {
    return by_text_.size();
  }

  std::size_t held() const {
    return held_;
  }

  /// True when the numbers, texts and holds agree with each other.
  bool valid() const;

private:
  id look_up();
  id find_shared(const map_key& key);

  struct entry {
    const std::string* text = nullptr; // the map's own; null: free
    std::uint32_t holds = 0;
    id follower = 0; // looked up after this one, the last time
    std::uint64_t tag = no_tag;
  };

  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };

  // Each part is preceded by its length in 4 bytes: parts may hold any byte.
  std::unordered_map<std::string, id, text_hash, std::equal_to<>> by_text_;
  std::vector<entry> entries_;
  std::vector<id> free_;
  std::string scratch_;
  std::shared_ptr<const shared_keys> shared_;
  std::vector<id> id_of_shared_; // by the number in there; none: not known
  id newest_ = 0;                // looked up last
  std::size_t bytes_ = 0;
  std::size_t held_ = 0;
};

} // namespace bpf2graphite
