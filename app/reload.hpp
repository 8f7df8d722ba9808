#pragma once
// A reload by SIGHUP: the file is read and checked first, on a thread of its
// own, which lives only that long. (The files are small, but a script may lie
// on a file system that does not answer, and who may write to it may have to be
// asked over the network: neither may delay data.) Then the io thread carries
// out what has changed.

#include "app/reload_plan.hpp"
#include "app/startup.hpp"
#include "messages/log.hpp"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>

namespace bpf2graphite {

/// What a reload needs of the daemon; called on the io thread unless said
/// otherwise.
struct reload_environment {
  boost::asio::io_context& io;
  /// Reads and checks everything. On the reload's thread.
  std::function<reread_config()> read;
  /// What the bpftrace of a trace was told to run.
  std::function<std::string(const std::string& trace)> program_of;
  /// Carries it out; calls its argument when that is done.
  std::function<void(const reload_plan&, std::function<void()>)> apply;
  /// For systemd: it begins, and it is over (whatever came of it).
  std::function<void()> begins;
  std::function<void()> ends;
  log_sink log;
};

/// One reload at a time. What is asked for while one is under way is done
/// once, after it.
class reloader {
public:
  reloader(reload_environment env, std::shared_ptr<const config> running);
  reloader(const reloader&) = delete;
  reloader& operator=(const reloader&) = delete;
  ~reloader();

  /// Somebody wants a reload.
  void ask();

  /// Nothing more is begun; what is being read is not looked at.
  void stop();

  /// The thread is still reading: it cannot be waited for.
  bool reading() const;

private:
  struct shared;

  void begin();
  void loaded(reread_config loaded);
  void refuse(const reread_config& loaded);
  void over();

  reload_environment env_;
  std::shared_ptr<const config> running_;
  bool busy_ = false;
  bool asked_ = false;
  bool stopped_ = false;
  std::shared_ptr<shared> shared_;
};

} // namespace bpf2graphite
