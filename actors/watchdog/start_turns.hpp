#pragma once
// The start gate with a clock: who asks is called when it is its turn. io
// thread only.

#include "actors/watchdog/start_gate.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <map>
#include <memory>

namespace bpf2graphite {

class start_turns {
public:
  start_turns(boost::asio::io_context& io, std::size_t at_once);
  start_turns(const start_turns&) = delete;
  start_turns& operator=(const start_turns&) = delete;

  /// Calls `go` once, from the io_context, when it is this one's turn.
  start_gate::ticket ask(std::function<void()> go);

  /// Attached, ended, or not wanted any more: makes room for another.
  void leave(start_gate::ticket who);

private:
  void admit_later();
  void admit();

  boost::asio::io_context& io_;
  boost::asio::steady_timer timer_;
  start_gate gate_;
  std::map<start_gate::ticket, std::function<void()>> waiting_;
  bool posted_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

} // namespace bpf2graphite
