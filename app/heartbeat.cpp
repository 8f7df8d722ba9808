#include "app/heartbeat.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace bpf2graphite {

/// What other threads and late handlers hold of us.
struct heartbeat::door {
  heartbeat* owner = nullptr; // io thread
  std::atomic<bool> asked{false};
};

heartbeat::heartbeat(boost::asio::io_context& io, service_notifier& notifier,
                     std::optional<std::chrono::microseconds> limit,
                     std::function<void(std::function<void()> answered)> ping,
                     std::function<std::string()> status)
  : io_{io}, notifier_{notifier}, limit_{limit}, ping_{std::move(ping)},
    status_{std::move(status)}, beats_{io}, shows_{io},
    door_{std::make_shared<door>()} {
  door_->owner = this;
}

heartbeat::~heartbeat() {
  door_->owner = nullptr;
}

void heartbeat::start() {
  started_ = true;
  shown_ = std::chrono::steady_clock::now();
  if (limit_ && notifier_.connected())
    beat();
}

void heartbeat::stopping() {
  stopping_ = true;
  shows_.cancel();
}

void heartbeat::awake() {
  if (started_ && limit_ && notifier_.connected() && !asking_
      && std::chrono::steady_clock::now() - beaten_ >= *limit_ / 4)
    beat();
}

void heartbeat::beat() {
  asking_ = true;
  ping_([door = door_] {
    auto* self = door->owner;
    if (self == nullptr)
      return;
    self->asking_ = false;
    self->beaten_ = std::chrono::steady_clock::now();
    self->notifier_.ping();
    if (!self->stopping_)
      self->notifier_.tell_status(self->status_());
    // A little more than half: with the unit's 30 s and batches each 15 s the
    // next batch comes first, and takes the ping along.
    self->beats_.expires_after(*self->limit_ / 2 + *self->limit_ / 16);
    self->beats_.async_wait([door](boost::system::error_code ec) {
      if (!ec && door->owner != nullptr)
        door->owner->beat();
    });
  });
}

std::function<void()> heartbeat::changed() {
  if (!notifier_.connected())
    return {};
  return [door = door_, &io = io_] {
    // One on its way is enough.
    if (door->asked.exchange(true))
      return;
    boost::asio::post(io, [door] {
      if (door->owner != nullptr)
        door->owner->show();
    });
  };
}

void heartbeat::show() {
  if (!started_ || stopping_) {
    door_->asked = false;
    return;
  }
  shows_.expires_at(shown_ + status_pause);
  shows_.async_wait([door = door_](boost::system::error_code ec) {
    door->asked = false;
    auto* self = door->owner;
    if (ec || self == nullptr || self->stopping_)
      return;
    self->shown_ = std::chrono::steady_clock::now();
    self->notifier_.tell_status(self->status_());
  });
}

} // namespace bpf2graphite
