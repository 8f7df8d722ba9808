#include "app/actor_scheduler.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <caf/detail/simple_actor_clock.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>

#include <cstdio>
#include <deque>
#include <mutex>
#include <utility>

namespace bpf2graphite {
namespace {

/// What the actors may do before descriptors and timers have their turn: so
/// many of them, so many messages each.
constexpr int actors_in_a_turn_max = 256;
constexpr std::size_t messages_in_a_turn_max = 64;

/// An actor that another one wakes runs next: what a trace's stages hand to
/// each other is in the cache then, which a thousand traces in between would
/// empty. So many in a row, then the queue goes on.
constexpr int woken_in_a_row_max = 16;

/// CAF's delayed messages, on one timer that is set to the next of them. io
/// thread only, as all actors are.
class io_clock final : public caf::detail::simple_actor_clock {
public:
  using super = caf::detail::simple_actor_clock;

  explicit io_clock(boost::asio::io_context& io) : timer_{io} {}

  void set_ordinary_timeout(time_point t, caf::abstract_actor* self,
                            caf::atom_value type, std::uint64_t id) override {
    super::set_ordinary_timeout(t, self, type, id);
    arm();
  }

  void set_multi_timeout(time_point t, caf::abstract_actor* self,
                         caf::atom_value type, std::uint64_t id) override {
    super::set_multi_timeout(t, self, type, id);
    arm();
  }

  void set_request_timeout(time_point t, caf::abstract_actor* self,
                           caf::message_id id) override {
    super::set_request_timeout(t, self, id);
    arm();
  }

  void cancel_ordinary_timeout(caf::abstract_actor* self,
                               caf::atom_value type) override {
    super::cancel_ordinary_timeout(self, type);
    arm();
  }

  void cancel_request_timeout(caf::abstract_actor* self,
                              caf::message_id id) override {
    super::cancel_request_timeout(self, id);
    arm();
  }

  void cancel_timeouts(caf::abstract_actor* self) override {
    super::cancel_timeouts(self);
    arm();
  }

  void schedule_message(time_point t, caf::strong_actor_ptr receiver,
                        caf::mailbox_element_ptr content) override {
    super::schedule_message(t, std::move(receiver), std::move(content));
    arm();
  }

  void schedule_message(time_point t, caf::group target,
                        caf::strong_actor_ptr sender,
                        caf::message content) override {
    super::schedule_message(t, std::move(target), std::move(sender),
                            std::move(content));
    arm();
  }

  void cancel_all() override {
    super::cancel_all();
    arm();
  }

private:
  static constexpr auto never = time_point::max();

  void arm() {
    auto next = schedule().empty() ? never : schedule().begin()->first;
    if (next == armed_for_)
      return;
    armed_for_ = next;
    if (next == never) {
      timer_.cancel();
      return;
    }
    timer_.expires_at(next);
    timer_.async_wait([this](boost::system::error_code stopped) {
      if (stopped)
        return;
      trigger_expired_timeouts();
      armed_for_ = never;
      arm();
    });
  }

  boost::asio::steady_timer timer_;
  time_point armed_for_ = never;
};

/// What CAF itself has to say, for example of a message that nobody expects.
/// (CAF's own is a thread.)
class stderr_printer final : public caf::monitorable_actor {
public:
  explicit stderr_printer(caf::actor_config& config)
    : caf::monitorable_actor{config} {}

  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit*) override {
    const auto& content = what->content();
    if (content.match_elements<caf::add_atom, caf::actor_id, std::string>())
      std::fputs(content.get_as<std::string>(2).c_str(), stderr);
  }
};

class io_scheduler final : public caf::scheduler::abstract_coordinator {
public:
  io_scheduler(caf::actor_system& system, boost::asio::io_context& io)
    : abstract_coordinator{system}, io_{io}, clock_{io}, unit_{*this, system} {}

  /// Any thread.
  void enqueue(caf::resumable* job) override {
    {
      std::lock_guard guard{mutex_};
      if (actor_runs_ && woken_in_a_row_ < woken_in_a_row_max)
        woken_.push_back(job);
      else
        jobs_.push_back(job);
      if (std::exchange(turn_is_due_, true))
        return;
    }
    boost::asio::post(io_, [this] { turn(); });
  }

  caf::actor_clock& clock() noexcept override {
    return clock_;
  }

  bool detaches_utility_actors() const override {
    return false;
  }

protected:
  void start() override {
    utility_actors_[printer_id] = caf::make_actor<stderr_printer, caf::actor>(
      system_.next_actor_id(), system_.node(), &system_, quiet_);
  }

  /// The io thread has left its loop: nobody runs any more.
  void stop() override {
    std::deque<caf::resumable*> left;
    {
      std::lock_guard guard{mutex_};
      left.swap(jobs_);
      left.insert(left.end(), woken_.begin(), woken_.end());
      woken_.clear();
      turn_is_due_ = true; // what comes now stays where it is
    }
    for (auto* job : left)
      cleanup_and_release(job);
    clock_.cancel_all();
  }

private:
  /// Where CAF puts what a running actor wakes.
  class unit final : public caf::execution_unit {
  public:
    unit(io_scheduler& owner, caf::actor_system& system)
      : caf::execution_unit{&system}, owner_{owner} {}

    void exec_later(caf::resumable* job) override {
      owner_.enqueue(job);
    }

  private:
    io_scheduler& owner_;
  };

  caf::resumable* next() {
    std::lock_guard guard{mutex_};
    actor_runs_ = true;
    auto& from = woken_.empty() ? jobs_ : woken_;
    woken_in_a_row_ = woken_.empty() ? 0 : woken_in_a_row_ + 1;
    if (from.empty()) {
      actor_runs_ = turn_is_due_ = false;
      return nullptr;
    }
    auto* job = from.front();
    from.pop_front();
    return job;
  }

  void turn() {
    for (int i = 0; i < actors_in_a_turn_max; ++i) {
      auto* job = next();
      if (job == nullptr)
        return;
      switch (job->resume(&unit_, messages_in_a_turn_max)) {
        case caf::resumable::resume_later: { // it keeps its reference
          std::lock_guard guard{mutex_};
          jobs_.push_back(job);
          break;
        }
        default:
          caf::intrusive_ptr_release(job);
      }
    }
    {
      std::lock_guard guard{mutex_};
      actor_runs_ = false;
    }
    boost::asio::post(io_, [this] { turn(); });
  }

  boost::asio::io_context& io_;
  io_clock clock_;
  unit unit_;
  caf::actor_config quiet_;
  std::mutex mutex_;
  std::deque<caf::resumable*> jobs_;
  std::deque<caf::resumable*> woken_; // by an actor: they come first
  int woken_in_a_row_ = 0;
  bool actor_runs_ = false;
  bool turn_is_due_ = false; // posted, or under way
};

} // namespace

void run_actors_on(boost::asio::io_context& io,
                   caf::actor_system_config& config) {
  config.module_factories.emplace_back([&io](caf::actor_system& system) {
    return new io_scheduler{system, io};
  });
}

} // namespace bpf2graphite
