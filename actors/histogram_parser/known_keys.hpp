#pragma once
// The keys of one map as its prints spelled them: what is printed again is
// compared with that, not read, split and copied again.

#include "messages/map_key.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

/// Keys remembered of one map, and the bytes that those of all maps of a parser
/// may take: with more, all are forgotten.
constexpr std::size_t known_keys_max = 16384;
constexpr std::size_t known_keys_bytes_max = 4 << 20;

/// A longer key, as those with stacks are, is not remembered.
constexpr std::size_t known_key_size_max = 256;

class known_keys {
public:
  /// The key that `text` begins with, if it is the one that came behind the
  /// key found last when that was found before: one comparison. What was given
  /// to `add` as `behind` must stand behind it; `size` is that of both.
  const shared_key* next(std::string_view text, std::size_t& size) {
    if (newest_ >= spelled_.size())
      return nullptr;
    const auto guess = spelled_[newest_].follower;
    const auto& key = spelled_[guess];
    size = key.size;
    if (text.size() < size || !begins(text.data(), key.text, size))
      return nullptr;
    newest_ = guess;
    return key.key;
  }

  /// The key that is spelled `raw`; null when it is not known.
  const shared_key* find(std::string_view raw);

  /// Remembers a key that is not known yet: its text as printed, what is
  /// printed behind it, and its parts. Nothing behind it: it will be found, but
  /// is never `next`. Null when there is no room for it.
  const shared_key* add(std::string_view raw, std::string_view behind,
                        const std::vector<std::string>& parts);

  /// The text of a key of this map as it was printed; valid until `clear`.
  std::string_view raw(const shared_key& key) const {
    return raw_of(key.number);
  }

  /// Forgets all keys. The snapshots that were made of them keep them.
  void clear();

  std::size_t size() const {
    return spelled_.size();
  }

  /// The memory that they take, about; with what snapshots share.
  std::size_t bytes() const {
    return bytes_;
  }

  /// What a snapshot with such keys must hold. Null: there are none.
  std::shared_ptr<const shared_keys> shared() const {
    return keys_;
  }

private:
  using index = std::uint32_t;
  static constexpr index none = 0xffffffff;

  static constexpr std::uint32_t never = 0xffffffff;

  struct spelling {
    const char* text = nullptr; // as printed, and what stands behind it
    const shared_key* key = nullptr;
    std::uint32_t raw_size = 0;
    std::uint32_t size = never; // with what stands behind it
    index follower = 0;         // found after this one, the last time
  };

  /// The same `Whole` at both places?
  template <class Whole>
  static bool same(const char* a, const char* b) {
    Whole one{};
    Whole other{};
    std::memcpy(&one, a, sizeof one);
    std::memcpy(&other, b, sizeof other);
    return one == other;
  }

  /// Mostly of a few bytes: without a call.
  static bool begins(const char* at, const char* wanted, std::size_t size) {
    const auto* const end = at + size;
    for (; end - at >= 8; at += 8, wanted += 8)
      if (!same<std::uint64_t>(at, wanted))
        return false;
    if ((size & 4) != 0) {
      if (!same<std::uint32_t>(at, wanted))
        return false;
      at += 4;
      wanted += 4;
    }
    if ((size & 2) != 0) {
      if (!same<std::uint16_t>(at, wanted))
        return false;
      at += 2;
      wanted += 2;
    }
    return (size & 1) == 0 || *at == *wanted;
  }

  std::string_view raw_of(index key) const {
    return {spelled_[key].text, spelled_[key].raw_size};
  }

  std::size_t place_of(std::string_view raw) const;
  void follow(index key);

  std::shared_ptr<shared_keys> keys_;
  std::vector<spelling> spelled_;              // by number
  std::vector<std::unique_ptr<char[]>> texts_; // many in each; they stay
  char* text_end_ = nullptr;                   // of what is used of the last
  std::size_t text_left_ = 0;                  // in the last of them
  std::vector<index> places_; // number + 1 of each, by hash; 0: free
  index newest_ = none;       // found last
  std::size_t bytes_ = 0;
};

} // namespace bpf2graphite
