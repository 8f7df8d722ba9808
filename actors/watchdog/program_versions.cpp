#include "actors/watchdog/program_versions.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <csignal>
#include <vector>

#include <sys/stat.h>

namespace bpf2graphite {

/// One run of `PROGRAM --version`, and who waits for it.
class program_versions::question final : public pipe_sink {
public:
  question(program_versions& owner, identity who)
    : owner_{owner}, who_{std::move(who)}, timer_{owner.io_} {}

  ~question() override {
    close_pipes();
  }

  void run() {
    child_ = owner_.children_.launch(version_command(who_.path),
                                     [this](int) { exited(); });
    if (!child_.process || owner_.pipes_.add(child_.out.get(), *this) != 0) {
      finish_later();
      return;
    }
    timer_.expires_after(answer_max);
    timer_.async_wait([this](boost::system::error_code ec) {
      if (!ec && child_.process)
        child_.process->signal(SIGKILL);
    });
  }

  std::vector<callback> waiting;

  std::size_t room() override {
    return SIZE_MAX;
  }
  bool left_alone() override {
    return false;
  }
  void take(std::string_view bytes, arrivals) override {
    text_.append(bytes.substr(0, answer_bytes_max - text_.size()));
  }
  void ended() override {}

private:
  void exited() {
    if (child_.out)
      owner_.pipes_.drain(child_.out.get());
    finish_later();
  }

  /// Not at once: it would be the end of this object in its own call.
  void finish_later() {
    close_pipes();
    boost::asio::post(owner_.io_, [&owner = owner_, who = who_,
                                   text = text_.substr(0, text_.find('\n'))] {
      owner.answered(who, text);
    });
  }

  void close_pipes() {
    if (child_.out)
      owner_.pipes_.remove(child_.out.get());
    child_.out.reset();
    child_.err.reset();
  }

  program_versions& owner_;
  identity who_;
  boost::asio::steady_timer timer_;
  launched child_;
  std::string text_;
};

program_versions::program_versions(boost::asio::io_context& io,
                                   launcher& children, pipe_poller& pipes)
  : io_{io}, children_{children}, pipes_{pipes} {}

program_versions::~program_versions() = default;

program_versions::identity
program_versions::identify(const std::string& program) {
  struct stat status {};
  if (::stat(program.c_str(), &status) != 0)
    return {.path = program};
  return {.path = program,
          .device = status.st_dev,
          .inode = status.st_ino,
          .changed_ns =
            status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
}

void program_versions::ask(const std::string& program, callback then) {
  auto who = identify(program);
  if (auto found = known_.find(who); found != known_.end())
    return then(found->second);
  auto& question_of_it = open_[who];
  if (question_of_it) {
    question_of_it->waiting.push_back(std::move(then));
    return;
  }
  question_of_it = std::make_shared<question>(*this, who);
  question_of_it->waiting.push_back(std::move(then));
  question_of_it->run();
}

void program_versions::answered(const identity& who,
                                const std::string& version) {
  auto found = open_.find(who);
  if (found == open_.end())
    return;
  auto waiting = std::move(found->second->waiting);
  open_.erase(found);
  if (!version.empty())
    known_[who] = version;
  for (auto& then : waiting)
    then(version);
}

} // namespace bpf2graphite
