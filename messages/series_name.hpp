#pragma once
// The name of a series: a text that is written once and then shared.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace bpf2graphite {

/// A name that its series, those who know whose it is and all points under way
/// share. One allocation and a handle of one pointer, since there are tens of
/// thousands: a shared_ptr to a string takes three times as much. Any thread
/// may copy one and let go of it.
class series_name {
public:
  /// No name.
  series_name() = default;

  explicit series_name(std::string_view text)
    : text_{::new (::operator new(sizeof(head) + text.size()))
              head{1, static_cast<std::uint32_t>(text.size())}} {
    text.copy(bytes(), text.size());
  }

  series_name(const series_name& other) noexcept : text_{other.text_} {
    if (text_ != nullptr)
      text_->owners.fetch_add(1, std::memory_order_relaxed);
  }

  series_name(series_name&& other) noexcept
    : text_{std::exchange(other.text_, nullptr)} {}

  series_name& operator=(series_name other) noexcept {
    std::swap(text_, other.text_);
    return *this;
  }

  ~series_name() {
    if (text_ == nullptr
        || text_->owners.fetch_sub(1, std::memory_order_acq_rel) != 1)
      return;
    text_->~head();
    ::operator delete(text_);
  }

  explicit operator bool() const {
    return text_ != nullptr;
  }

  /// True when this is that name or a copy of it, not only its equal.
  bool shares(const series_name& other) const {
    return text_ == other.text_;
  }

  /// The text, as long as this or a copy lives; there has to be one.
  std::string_view operator*() const {
    return {bytes(), text_->size};
  }

private:
  struct head {
    std::atomic<std::uint32_t> owners;
    std::uint32_t size; // of the text, which follows
  };

  char* bytes() const {
    return reinterpret_cast<char*>(text_ + 1);
  }

  head* text_ = nullptr;
};

} // namespace bpf2graphite
