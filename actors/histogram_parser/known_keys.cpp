#include "actors/histogram_parser/known_keys.hpp"

#include <algorithm>
#include <functional>

namespace bpf2graphite {

namespace {

/// Of one key, beside its text in here and its parts in the list.
constexpr std::size_t overhead_bytes = 160;

/// Texts are kept in pieces that grow up to this.
constexpr std::size_t text_block_bytes = 4096;

} // namespace

/// Where `raw` stands in `places_`, or where it would.
std::size_t known_keys::place_of(std::string_view raw) const {
  const auto mask = places_.size() - 1;
  auto at = std::hash<std::string_view>{}(raw)&mask;
  while (places_[at] != 0 && raw_of(places_[at] - 1) != raw)
    at = (at + 1) & mask;
  return at;
}

void known_keys::follow(index key) {
  if (newest_ < spelled_.size())
    spelled_[newest_].follower = key;
  newest_ = key;
}

const shared_key* known_keys::find(std::string_view raw) {
  if (spelled_.empty() || raw.size() > known_key_size_max)
    return nullptr;
  if (newest_ < spelled_.size()) {
    const auto guess = spelled_[newest_].follower;
    if (raw_of(guess) == raw) {
      newest_ = guess;
      return spelled_[guess].key;
    }
  }
  const auto place = places_[place_of(raw)];
  if (place == 0)
    return nullptr;
  follow(place - 1);
  return spelled_[place - 1].key;
}

const shared_key* known_keys::add(std::string_view raw, std::string_view behind,
                                  const std::vector<std::string>& parts) {
  auto bytes =
    overhead_bytes + 2 * raw.size() + sizeof(std::string) * parts.size();
  if (raw.size() > known_key_size_max || spelled_.size() == known_keys_max
      || bytes_ + bytes > known_keys_bytes_max)
    return nullptr;
  if (!keys_)
    keys_ = std::make_shared<shared_keys>();
  if (places_.size() < 2 * (spelled_.size() + 1)) {
    places_.assign(places_.empty() ? 16 : 2 * places_.size(), 0);
    for (index i = 0; i < spelled_.size(); ++i)
      places_[place_of(raw_of(i))] = i + 1;
  }
  const auto size = raw.size() + behind.size();
  if (text_left_ < size) {
    text_left_ = std::max(size, std::min(bytes_ / 4, text_block_bytes));
    texts_.push_back(std::make_unique<char[]>(text_left_));
    text_end_ = texts_.back().get();
  }
  auto& known = spelled_.emplace_back();
  known.text = text_end_;
  text_end_ = std::copy(raw.begin(), raw.end(), text_end_);
  text_end_ = std::copy(behind.begin(), behind.end(), text_end_);
  text_left_ -= size;
  known.raw_size = static_cast<std::uint32_t>(raw.size());
  if (!behind.empty())
    known.size = static_cast<std::uint32_t>(size);
  known.key = &keys_->add(parts);
  const auto number = static_cast<index>(spelled_.size() - 1);
  places_[place_of(raw)] = number + 1;
  bytes_ += bytes;
  follow(number);
  return known.key;
}

void known_keys::clear() {
  *this = {};
}

} // namespace bpf2graphite
