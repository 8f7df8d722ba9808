#include "app/line_tap.hpp"

#include "actors/graphite_connection/plaintext.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace bpf2graphite {

int line_tap::join(listener one) {
  listeners_.emplace(++last_, std::move(one));
  listening_ = static_cast<int>(listeners_.size());
  return last_;
}

void line_tap::leave(int number) {
  listeners_.erase(number);
  listening_ = static_cast<int>(listeners_.size());
}

void line_tap::show(const std::string& trace, std::span<const metric> points) {
  if (listening_.load(std::memory_order_relaxed) == 0)
    return;
  auto lines = std::make_shared<std::string>();
  for (const auto& point : points)
    append_line(*lines, point);
  boost::asio::post(io_, [this, trace, lines] {
    auto now = listeners_; // one that leaves while it is told
    for (const auto& [number, tell] : now)
      tell(trace, lines);
  });
}

} // namespace bpf2graphite
