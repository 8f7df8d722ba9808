#pragma once
// The lines as they leave the normalizers, for whoever asked (`tap`). Costs one
// relaxed load while nobody listens.

#include "messages/metric.hpp"

#include <boost/asio/io_context.hpp>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

namespace bpf2graphite {

class line_tap {
public:
  /// Some lines of one trace. Called on the io thread.
  using listener = std::function<void(
    const std::string& trace, const std::shared_ptr<const std::string>& lines)>;

  explicit line_tap(boost::asio::io_context& io) : io_{io} {}

  /// io thread. The number is for `leave`.
  int join(listener one);
  void leave(int number);

  /// Any thread. What the encoder refuses is left out: it does not leave.
  void show(const std::string& trace, std::span<const metric> points);

private:
  boost::asio::io_context& io_;
  std::atomic<int> listening_{0};
  std::map<int, listener> listeners_; // io thread
  int last_ = 0;
};

} // namespace bpf2graphite
