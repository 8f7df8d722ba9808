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
    std::function<own_figures()> look;
    std::function<void(std::vector<metric>)> send;
    std::function<batch_times()> times; // of the batches, as they are now
    /// No slot before it: the daemon before us may have sent that.
    std::int64_t first_slot = 0;
  };

  self_report(environment env, own_metrics names);

  /// io thread.
  void start();

  /// The end begins: no more rounds. io thread.
  void stop();

  /// What was gained since the round before, as points of the slot that has
  /// begun: the end does not wait for its end. Nobody else may send that slot,
  /// as it is with the traces' last ones. Traces are in the state and have the
  /// costs that they had at `stop`. None when the daemon before us has:
  /// we did not live for one interval then. After `stop`, any thread.
  std::vector<metric> last_points();

private:
  void report();

  environment env_;
  own_metrics names_;
  boost::asio::steady_timer timer_;
  bool running_ = false;
  std::int64_t newest_; // slot that was told
  std::vector<trace_figures> before_end_;
};

} // namespace bpf2graphite
