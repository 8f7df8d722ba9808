#pragma once
// Our own metrics on their way: once an interval, shortly before a batch
// closes, the books become points of the slot that is just over.

#include "actors/batcher/batcher.hpp"
#include "app/own_metrics.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <vector>

namespace bpf2graphite {

class self_report {
public:
  struct environment {
    boost::asio::io_context& io;
    std::function<status_report()> look;
    std::function<void(std::vector<metric>)> send;
    std::function<batch_times()> times; // of the batches, as they are now
    /// No slot before it: the daemon before us may have sent that.
    std::int64_t first_slot = 0;
  };

  self_report(environment env, own_metrics names);

  /// io thread, like the rest.
  void start();

private:
  void report();

  environment env_;
  own_metrics names_;
  boost::asio::steady_timer timer_;
  bool running_ = false;
  std::int64_t newest_; // slot that was told
};

} // namespace bpf2graphite
