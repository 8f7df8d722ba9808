#pragma once
// The texts that say where everything stands, made at most a few times a
// second however many ask. io thread.

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace bpf2graphite {

enum class status_document {
  status,    // JSON with bpftrace's last words: for root's eyes
  history,   // the same and the last slots of each histogram
  page,      // JSON without these words
  metrics,   // for Prometheus
  readiness, // for whoever watches over us
};

class status_documents {
public:
  static constexpr std::chrono::milliseconds made_anew_after{250};
  /// Each text takes at most one part in so many of the thread's time: with
  /// very many traces it gets older before it is made anew.
  static constexpr int share_of_time = 20;

  /// `make` may take milliseconds; it must not throw.
  explicit status_documents(std::function<std::string(status_document)> make)
    : make_{std::move(make)} {}

  std::shared_ptr<const std::string> get(status_document which) {
    auto& kept = kept_.at(static_cast<std::size_t>(which));
    auto now = std::chrono::steady_clock::now();
    auto age = now - kept.made;
    if (!kept.text
        || (age >= made_anew_after && age >= share_of_time * kept.took)) {
      kept.text = std::make_shared<const std::string>(make_(which));
      kept.made = std::chrono::steady_clock::now();
      kept.took = kept.made - now;
    }
    return kept.text;
  }

private:
  struct kept_text {
    std::shared_ptr<const std::string> text;
    std::chrono::steady_clock::time_point made{};
    std::chrono::steady_clock::duration took{};
  };

  std::function<std::string(status_document)> make_;
  std::array<kept_text, 5> kept_;
};

} // namespace bpf2graphite
