#include "actors/normalizer/key_table.hpp"

#include <cstring>

namespace bpf2graphite {

key_table::id key_table::find_or_add(const std::vector<std::string>& parts) {
  scratch_.clear();
  for (const auto& part : parts) {
    const auto size = static_cast<std::uint32_t>(part.size());
    char length[sizeof size];
    std::memcpy(length, &size, sizeof size);
    scratch_.append(length, sizeof size);
    scratch_ += part;
  }
  // A print names its keys in the order of the print before, as a rule: most
  // are found by one comparison and without their hash.
  if (newest_ < entries_.size()) {
    const auto guess = entries_[newest_].follower;
    if (guess < entries_.size() && entries_[guess].text != nullptr
        && *entries_[guess].text == scratch_) {
      newest_ = guess;
      return guess;
    }
  }
  const auto key = look_up();
  if (key != none) {
    if (newest_ < entries_.size())
      entries_[newest_].follower = key;
    newest_ = key;
  }
  return key;
}

key_table::id key_table::find_shared(const map_key& key) {
  const auto found = find_or_add(key.parts());
  const auto* shared = key.shared();
  if (shared == nullptr || shared_ == nullptr || found == none)
    return found;
  if (shared->number >= id_of_shared_.size())
    id_of_shared_.resize(std::size_t{shared->number} + 1, none);
  id_of_shared_[shared->number] = found;
  return found;
}

/// The number of the text in `scratch_`.
key_table::id key_table::look_up() {
  if (const auto found = by_text_.find(std::string_view{scratch_});
      found != by_text_.end())
    return found->second;
  if (by_text_.size() == keys_max || bytes_ + scratch_.size() > key_bytes_max)
    return none;
  if (free_.empty()) {
    free_.push_back(static_cast<id>(entries_.size()));
    entries_.emplace_back();
  }
  const auto key = free_.back();
  const auto added = by_text_.emplace(scratch_, key).first;
  free_.pop_back();
  entries_[key] = {&added->first, 0, 0, no_tag};
  bytes_ += scratch_.size();
  return key;
}

void key_table::parts(id key, std::vector<std::string_view>& out) const {
  out.clear();
  auto rest = std::string_view{*entries_[key].text};
  while (!rest.empty()) {
    std::uint32_t size = 0;
    std::memcpy(&size, rest.data(), sizeof size);
    out.push_back(rest.substr(sizeof size, size));
    rest.remove_prefix(sizeof size + size);
  }
}

void key_table::sweep() {
  if (by_text_.size() <= 2 * held_ + 256)
    return;
  id_of_shared_.clear();
  for (auto at = by_text_.begin(); at != by_text_.end();) {
    const auto key = at->second;
    if (entries_[key].holds != 0) {
      ++at;
      continue;
    }
    bytes_ -= at->first.size();
    entries_[key] = {};
    free_.push_back(key);
    at = by_text_.erase(at);
  }
}

void key_table::clear_tags() {
  for (auto& key : entries_)
    key.tag = no_tag;
}

bool key_table::valid() const {
  auto texts = std::size_t{0};
  auto held = std::size_t{0};
  for (const auto& key : entries_) {
    texts += key.text != nullptr;
    held += key.holds != 0;
    if (key.text == nullptr && key.holds != 0)
      return false;
  }
  return texts == by_text_.size() && held == held_
         && texts + free_.size() == entries_.size();
}

} // namespace bpf2graphite
