#pragma once
// The key of a map's element. Maps print the same keys again and again, so the
// prints of a map share them; one that is shared costs no memory of its own.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// A key that prints share. It never changes.
struct shared_key {
  std::vector<std::string> parts;
  std::uint32_t number = 0; // its place in its shared_keys
};

/// The keys that prints of one map share. Keys are only added, and their
/// addresses stay: whoever holds the list may read those that it was told of
/// while its owner adds others.
class shared_keys {
public:
  const shared_key& add(std::vector<std::string> parts) {
    const auto number = static_cast<std::uint32_t>(keys_.size());
    return keys_.emplace_back(shared_key{std::move(parts), number});
  }

  std::size_t size() const {
    return keys_.size();
  }

private:
  std::deque<shared_key> keys_;
};

/// Key parts as printed, raw bytes; no parts for a map without keys. Either its
/// own, or a shared_key of its snapshot's `keys`, which must outlive it. A copy
/// has parts of its own and may leave the snapshot; what is moved stays what it
/// was and may not. To be read like a vector of its parts.
class map_key {
public:
  using value_type = std::string;
  using const_iterator = std::vector<std::string>::const_iterator;
  using iterator = const_iterator;

  map_key() = default;

  map_key(std::vector<std::string> parts) {
    assign(std::move(parts));
  }

  map_key(std::initializer_list<std::string> parts)
    : map_key{std::vector<std::string>(parts)} {}

  /// A shared key; null: no key.
  explicit map_key(const shared_key* key) : key_{key} {}

  map_key(const map_key& other) {
    assign(other.parts());
  }

  map_key(map_key&& other) noexcept
    : key_{std::exchange(other.key_, nullptr)}, own_{std::exchange(other.own_,
                                                                   false)} {}

  map_key& operator=(const map_key& other) {
    if (this != &other)
      assign(other.parts());
    return *this;
  }

  map_key& operator=(map_key&& other) noexcept {
    std::swap(key_, other.key_);
    std::swap(own_, other.own_);
    return *this;
  }

  ~map_key() {
    if (own_)
      destroy(key_);
  }

  /// The shared key that it is; null when the parts are its own.
  const shared_key* shared() const {
    return own_ ? nullptr : key_;
  }

  const std::vector<std::string>& parts() const {
    static const std::vector<std::string> none;
    return key_ == nullptr ? none : key_->parts;
  }

  operator const std::vector<std::string>&() const {
    return parts();
  }

  std::size_t size() const {
    return parts().size();
  }

  bool empty() const {
    return key_ == nullptr || key_->parts.empty();
  }

  const std::string& operator[](std::size_t i) const {
    return key_->parts[i];
  }

  const std::string& front() const {
    return key_->parts.front();
  }

  const std::string& back() const {
    return key_->parts.back();
  }

  const_iterator begin() const {
    return parts().begin();
  }

  const_iterator end() const {
    return parts().end();
  }

  /// One part more.
  void push_back(std::string part) {
    auto now = parts();
    now.push_back(std::move(part));
    assign(std::move(now));
  }

  void emplace_back(std::string_view part) {
    push_back(std::string{part});
  }

  friend bool operator==(const map_key& a, const map_key& b) {
    return a.key_ == b.key_ || a.parts() == b.parts();
  }

  friend bool operator==(const map_key& a, const std::vector<std::string>& b) {
    return a.parts() == b;
  }

private:
  void clear() {
    if (own_)
      destroy(key_);
    key_ = nullptr;
    own_ = false;
  }

  // Seldom: not a part of what destroys a print.
  [[gnu::noinline]] static void destroy(const shared_key* own) {
    delete own;
  }

  void assign(std::vector<std::string> parts) {
    clear();
    if (parts.empty())
      return;
    key_ = new shared_key{std::move(parts), 0};
    own_ = true;
  }

  const shared_key* key_ = nullptr;
  bool own_ = false;
};

} // namespace bpf2graphite
