#include "app/reload.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

namespace bpf2graphite {

/// What the thread touches may outlive the reloader.
struct reloader::shared {
  reloader* owner = nullptr; // io thread only; null: gone
  std::atomic<bool> reading{false};
};

reloader::reloader(reload_environment env,
                   std::shared_ptr<const config> running)
  : env_{std::move(env)}, running_{std::move(running)},
    shared_{std::make_shared<shared>()} {
  shared_->owner = this;
}

reloader::~reloader() {
  shared_->owner = nullptr;
}

void reloader::ask() {
  if (stopped_)
    return;
  if (std::exchange(busy_, true)) {
    asked_ = true;
    return;
  }
  begin();
}

void reloader::stop() {
  stopped_ = true;
}

bool reloader::reading() const {
  return shared_->reading;
}

void reloader::begin() {
  env_.begins();
  auto work = [shared = shared_, read = env_.read, &io = env_.io] {
    reread_config result;
    try {
      result = read();
    } catch (const std::exception& e) {
      result.messages.push_back(
        {message_level::error, "reload", {}, {}, e.what()});
    }
    boost::asio::post(io, [shared, result = std::move(result)]() mutable {
      shared->reading = false;
      if (shared->owner != nullptr)
        shared->owner->loaded(std::move(result));
    });
  };
  shared_->reading = true;
  try {
    std::thread{std::move(work)}.detach();
  } catch (const std::system_error& e) {
    shared_->reading = false;
    env_.log(log_level::error,
             std::string{"reload refused, the configuration in use stays: no "
                         "thread to read it with: "}
               + e.what());
    over();
  }
}

void reloader::loaded(reread_config loaded) {
  if (stopped_)
    return;
  if (!loaded.ok()) {
    refuse(loaded);
    return over();
  }
  for (const auto& message : loaded.messages)
    env_.log(message.level == message_level::warning ? log_level::warning
                                                     : log_level::notice,
             render(message));
  auto& programs = loaded.programs;
  auto plan =
    plan_reload(*running_, std::move(loaded.value), [&](const std::string& id) {
      return programs[id] != env_.program_of(id);
    });
  running_ = plan.in_force;
  env_.log(log_level::notice, "configuration reloaded: " + describe(plan),
           log_event::reloaded);
  if (!plan.needs_restart.empty()) {
    std::string keys;
    for (const auto& key : plan.needs_restart)
      keys += (keys.empty() ? "" : ", ") + key;
    env_.log(log_level::warning, "changed, but needs a restart: " + keys,
             log_event::restart_needed);
  }
  env_.apply(plan, [this, shared = shared_] {
    if (shared->owner != nullptr)
      over();
  });
}

/// One line: the first mistake, and how many more there are.
void reloader::refuse(const reread_config& loaded) {
  std::size_t errors = 0;
  const config_message* first = nullptr;
  for (const auto& message : loaded.messages)
    if (message.level == message_level::error && errors++ == 0)
      first = &message;
  auto text = "reload refused, the configuration in use stays: "
              + (first == nullptr ? std::string{} : render(*first));
  if (errors > 1)
    text += " (and " + std::to_string(errors - 1)
            + " more; bpf2graphite check shows all)";
  env_.log(log_level::error, text, log_event::reload_refused);
}

void reloader::over() {
  busy_ = false;
  env_.ends();
  if (std::exchange(asked_, false))
    ask();
}

} // namespace bpf2graphite
