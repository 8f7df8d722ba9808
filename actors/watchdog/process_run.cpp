#include "actors/watchdog/process_run.hpp"

#include <csignal>
#include <cstring>
#include <utility>

namespace bpf2graphite {

using clock = std::chrono::steady_clock;

process_run::process_run(process_host host, process_listener& listener,
                         log_sink log)
  : host_{std::move(host)}, listener_{listener}, log_{std::move(log)},
    held_open_{host_.io}, resume_timer_{host_.io} {}

void process_run::start(process_command command) {
  auto run = ++run_;
  stage_ = stage::waiting;
  std::string error;
  command.program = find_program(command.program, error);
  if (command.program.empty())
    return not_started(std::move(error));
  // A process of this binary may have answered before; else this takes as
  // long as its start.
  host_.versions.ask(command.program, [weak = weak_from_this(), run,
                                       command](const std::string& version) {
    if (auto self = weak.lock(); self && self->is_waiting(run))
      self->take_turn(command, version);
  });
}

void process_run::signal(int number) {
  if (stage_ == stage::waiting)
    not_started("stopped before it was started");
  else if (child_.process)
    child_.process->signal(number);
}

/// Of a process before this one, it may come late: a place in the queue is
/// not given up for that.
void process_run::attached() {
  if (stage_ == stage::running)
    leave_gate();
}

void process_run::leave_gate() {
  if (auto ticket = std::exchange(ticket_, std::nullopt))
    host_.turns.leave(*ticket);
}

void process_run::hold_output(bool allowed) {
  if (child_.out)
    host_.pipes.hold(child_.out.get(), allowed);
}

void process_run::resume() {
  if (child_.out)
    host_.pipes.resume(child_.out.get());
}

void process_run::resume_at(clock::time_point when) {
  resume_timer_.expires_at(when);
  resume_timer_.async_wait(
    [weak = weak_from_this(), run = run_](boost::system::error_code ec) {
      if (auto self = weak.lock(); !ec && self && self->run_ == run)
        self->resume();
    });
}

void process_run::close() {
  leave_gate();
  close_out();
  close_err();
  held_open_.cancel();
  resume_timer_.cancel();
  child_.process.reset(); // kills
  stage_ = stage::idle;
  ++run_;
}

void process_run::take_turn(const process_command& command,
                            const std::string& version) {
  ticket_ =
    host_.turns.ask([weak = weak_from_this(), run = run_, command, version] {
      if (auto self = weak.lock(); self && self->is_waiting(run))
        self->run(command, version);
    });
}

void process_run::run(const process_command& command,
                      const std::string& version) {
  auto run = ++run_;
  words_.start_over();
  written_ = 0;
  status_.reset();
  child_ =
    host_.children.launch(command, [weak = weak_from_this(), run](int status) {
      if (auto self = weak.lock(); self && self->run_ == run)
        self->exited(status);
    });
  if (!child_.process)
    return not_started(std::move(child_.error));
  auto trouble = host_.pipes.add(child_.out.get(), out_);
  if (trouble == 0)
    trouble = host_.pipes.add(child_.err.get(), err_);
  if (trouble != 0) {
    close_out();
    close_err();
    child_.process.reset();
    return not_started("its pipes cannot be watched: "
                       + std::string{std::strerror(trouble)});
  }
  stage_ = stage::running;
  pid_ = child_.process->pid();
  listener_.run_started(pid_, version);
}

void process_run::not_started(std::string error) {
  leave_gate();
  child_ = {};
  stage_ = stage::idle;
  process_exited end;
  end.start_error = std::move(error);
  listener_.run_ended(std::move(end));
}

void process_run::err_bytes(std::string_view bytes) {
  listener_.error_came();
  for (const auto& line : words_.add(bytes, clock::now()))
    listener_.error_line(line);
}

void process_run::exited(int status) {
  status_ = status;
  child_.process.reset(); // reaped: nothing is killed any more
  leave_gate();
  // What it left in its pipes, without the read delay.
  if (child_.out)
    host_.pipes.drain(child_.out.get());
  if (child_.err)
    host_.pipes.drain(child_.err.get());
  if (!finish_if_over())
    wait_for_pipes();
}

/// Something that it started holds a pipe, or our stages are not ready for
/// what is in it. The second may take as long as it takes.
void process_run::wait_for_pipes() {
  held_open_.expires_after(held_open_max);
  held_open_.async_wait(
    [weak = weak_from_this(), run = run_](boost::system::error_code ec) {
      auto self = weak.lock();
      // After a pause of ours both this and the end of the pipes may be due
      // at once: what has ended needs no kill, its group may be another's.
      if (ec || !self || self->run_ != run || self->stage_ != stage::running)
        return;
      if (self->child_.out && self->listener_.output_room() == 0)
        return self->wait_for_pipes();
      self->let_go();
    });
}

void process_run::let_go() {
  log_(log_level::notice, "bpftrace has ended, but something it started holds "
                          "its output: killed");
  // Members of the group are there, so its number is nobody else's.
  ::kill(-pid_, SIGKILL);
  if (child_.out)
    host_.pipes.drain(child_.out.get());
  close_out();
  close_err();
  finish_if_over();
}

/// The end is there when the exit and the end of both pipes are.
bool process_run::finish_if_over() {
  if (!status_ || child_.out || child_.err || stage_ != stage::running)
    return false;
  held_open_.cancel();
  resume_timer_.cancel();
  stage_ = stage::idle;
  process_exited end;
  end.status = *status_;
  end.last_words = words_.text();
  end.written = written_;
  listener_.run_ended(std::move(end));
  return true;
}

void process_run::close_out() {
  if (child_.out)
    host_.pipes.remove(child_.out.get());
  child_.out.reset();
}

void process_run::close_err() {
  if (child_.err)
    host_.pipes.remove(child_.err.get());
  child_.err.reset();
}

} // namespace bpf2graphite
