#include "actors/watchdog/start_turns.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace bpf2graphite {

start_turns::start_turns(boost::asio::io_context& io, std::size_t at_once)
  : io_{io}, timer_{io}, gate_{at_once} {}

start_gate::ticket start_turns::ask(std::function<void()> go) {
  auto who = gate_.ask();
  waiting_.emplace(who, std::move(go));
  admit_later();
  return who;
}

void start_turns::leave(start_gate::ticket who) {
  gate_.leave(who);
  waiting_.erase(who);
  if (gate_.waiting() > 0)
    admit_later();
}

/// From the io_context: starts spread over its turns let reading go on.
void start_turns::admit_later() {
  if (std::exchange(posted_, true))
    return;
  boost::asio::post(io_, [this, alive = std::weak_ptr{alive_}] {
    if (alive.expired())
      return;
    posted_ = false;
    admit();
  });
}

void start_turns::admit() {
  for (auto who : gate_.admit(start_gate::clock::now()))
    if (auto found = waiting_.find(who); found != waiting_.end()) {
      auto go = std::move(found->second);
      waiting_.erase(found);
      go();
    }
  auto next = gate_.next();
  if (!next)
    return;
  timer_.expires_at(*next);
  timer_.async_wait(
    [this, alive = std::weak_ptr{alive_}](boost::system::error_code ec) {
      if (!alive.expired() && !ec)
        admit();
    });
}

} // namespace bpf2graphite
