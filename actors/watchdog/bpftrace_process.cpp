#include "actors/watchdog/bpftrace_process.hpp"

#include "actors/watchdog/last_words.hpp"
#include "actors/watchdog/output_budget.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

namespace bpf2graphite {
namespace {

using clock = std::chrono::steady_clock;

} // namespace

class bpftrace_process::impl : public std::enable_shared_from_this<impl> {
public:
  impl(process_host host, process_output output)
    : host_{std::move(host)}, output_{std::move(output)}, held_open_{host_.io},
      budget_timer_{host_.io}, last_output_{
                                 clock::now().time_since_epoch().count()} {}

  boost::asio::io_context& io() {
    return host_.io;
  }

  // All below, but last_output(): io thread.

  void attach(line_reader_actor reader, watchdog_actor watchdog) {
    reader_ = std::move(reader);
    watchdog_ = std::move(watchdog);
    if (auto newest = output_.out.newest())
      caf::anon_send(reader_, *newest);
    if (stage_ == stage::running)
      caf::anon_send(watchdog_, started_);
    else if (stage_ == stage::idle && last_exit_)
      caf::anon_send(watchdog_, *last_exit_);
  }

  void start(std::uint64_t life, process_command command, std::size_t budget) {
    if (stage_ != stage::idle) {
      output_.log(log_level::error, "asked to start a second process");
      return;
    }
    life_ = life;
    stage_ = stage::waiting;
    budget_.emplace(budget, clock::now());
    std::string error;
    command.program = find_program(command.program, error);
    if (command.program.empty())
      return not_started(std::move(error));
    // A process of this binary may have answered before; else this takes as
    // long as its start.
    host_.versions.ask(command.program, [weak = weak_from_this(), life,
                                         command](const std::string& version) {
      if (auto self = weak.lock(); self && self->is_waiting(life))
        self->take_turn(command, version);
    });
  }

  void signal(int number) {
    if (stage_ == stage::waiting)
      not_started("stopped before it was started");
    else if (child_.process)
      child_.process->signal(number);
  }

  /// Of a process before this one, it may come late: a place in the queue is
  /// not given up for that.
  void attached() {
    if (stage_ == stage::running)
      leave_gate();
  }

  void leave_gate() {
    if (auto ticket = std::exchange(ticket_, std::nullopt))
      host_.turns.leave(*ticket);
  }

  void resume() {
    if (child_.out)
      host_.pipes.resume(child_.out.get());
  }

  void close() {
    leave_gate();
    close_out();
    close_err();
    held_open_.cancel();
    budget_timer_.cancel();
    child_.process.reset(); // kills
    stage_ = stage::idle;
    ++run_;
  }

  bool busy() const {
    return stage_ != stage::idle;
  }

  clock::time_point last_output() const {
    return clock::time_point{clock::duration{last_output_.load()}};
  }

private:
  enum class stage { idle, waiting, running };

  /// Standard output: as much as the trace's stages and its budget allow.
  class out_sink final : public pipe_sink {
  public:
    explicit out_sink(impl& owner) : owner_{owner} {}
    std::size_t room() override {
      return owner_.out_room();
    }
    bool left_alone() override {
      return owner_.out_left_alone();
    }
    void take(std::string_view bytes) override {
      owner_.out_bytes(bytes);
    }
    void ended() override {
      owner_.close_out();
      owner_.finish_if_over();
    }

  private:
    impl& owner_;
  };

  class err_sink final : public pipe_sink {
  public:
    explicit err_sink(impl& owner) : owner_{owner} {}
    std::size_t room() override {
      return SIZE_MAX;
    }
    bool left_alone() override {
      return false;
    }
    void take(std::string_view bytes) override {
      owner_.err_bytes(bytes);
    }
    void ended() override {
      owner_.close_err();
      owner_.finish_if_over();
    }

  private:
    impl& owner_;
  };

  bool is_waiting(std::uint64_t life) const {
    return stage_ == stage::waiting && life_ == life;
  }

  void take_turn(const process_command& command, const std::string& version) {
    ticket_ = host_.turns.ask(
      [weak = weak_from_this(), life = life_, command, version] {
        if (auto self = weak.lock(); self && self->is_waiting(life))
          self->run(command, version);
      });
  }

  void run(const process_command& command, const std::string& version) {
    auto run = ++run_;
    words_.start_over();
    written_ = 0;
    status_.reset();
    flooding_said_ = false;
    child_ = host_.children.launch(
      command, [weak = weak_from_this(), run](int status) {
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
    touch();
    output_.ledger.starts.fetch_add(1, std::memory_order_relaxed);
    send(output_opened{life_, version, host_.now()});
    started_ = {life_, child_.process->pid(), version};
    last_exit_.reset();
    caf::anon_send(watchdog_, started_);
  }

  void not_started(std::string error) {
    leave_gate();
    child_ = {};
    stage_ = stage::idle;
    process_exited end;
    end.life = life_;
    end.start_error = std::move(error);
    report(std::move(end));
  }

  std::size_t out_room() {
    auto now = clock::now();
    auto allowed = budget_->room(now);
    if (!flooding_said_ && budget_->flooding(now)) {
      flooding_said_ = true;
      caf::anon_send(watchdog_, process_flooding{life_});
    }
    return std::min(allowed, output_.credit.room());
  }

  bool out_left_alone() {
    auto now = clock::now();
    if (budget_->room(now) == 0) {
      budget_timer_.expires_at(budget_->next());
      budget_timer_.async_wait(
        [weak = weak_from_this(), run = run_](boost::system::error_code ec) {
          if (auto self = weak.lock(); !ec && self && self->run_ == run)
            self->resume();
        });
      return false;
    }
    return output_.credit.stop_reading();
  }

  void out_bytes(std::string_view bytes) {
    touch();
    written_ += bytes.size();
    budget_->take(bytes.size());
    output_.credit.take(bytes.size());
    output_.ledger.bytes.fetch_add(bytes.size(), std::memory_order_relaxed);
    send(output_bytes{std::make_shared<const std::string>(bytes), host_.now()});
  }

  void err_bytes(std::string_view bytes) {
    touch();
    for (const auto& line : words_.add(bytes, clock::now()))
      output_.log(is_noise(line)  ? log_level::debug
                  : is_loss(line) ? log_level::warning
                                  : log_level::info,
                  "bpftrace: " + line.substr(0, data_shown_max),
                  log_event::trace_output);
  }

  void exited(int status) {
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
  void wait_for_pipes() {
    held_open_.expires_after(held_open_max);
    held_open_.async_wait(
      [weak = weak_from_this(), run = run_](boost::system::error_code ec) {
        auto self = weak.lock();
        // After a pause of ours both this and the end of the pipes may be due
        // at once: what has ended needs no kill, its group may be another's.
        if (ec || !self || self->run_ != run || self->stage_ != stage::running)
          return;
        if (self->child_.out && self->out_room() == 0)
          return self->wait_for_pipes();
        self->let_go();
      });
  }

  void let_go() {
    output_.log(log_level::notice,
                "bpftrace has ended, but something it started holds its "
                "output: killed");
    // Members of the group are there, so its number is nobody else's.
    ::kill(-started_.pid, SIGKILL);
    if (child_.out)
      host_.pipes.drain(child_.out.get());
    close_out();
    close_err();
    finish_if_over();
  }

  /// The end is there when the exit and the end of both pipes are.
  bool finish_if_over() {
    if (!status_ || child_.out || child_.err || stage_ != stage::running)
      return false;
    held_open_.cancel();
    budget_timer_.cancel();
    stage_ = stage::idle;
    send(output_closed{host_.now()});
    process_exited end;
    end.life = life_;
    end.status = *status_;
    end.last_words = words_.text();
    end.written = written_;
    report(std::move(end));
    return true;
  }

  void report(process_exited end) {
    last_exit_ = end;
    caf::anon_send(watchdog_, std::move(end));
  }

  void send(output_event event) {
    caf::anon_send(reader_, output_.out.put(std::move(event)));
  }

  void close_out() {
    if (child_.out)
      host_.pipes.remove(child_.out.get());
    child_.out.reset();
  }

  void close_err() {
    if (child_.err)
      host_.pipes.remove(child_.err.get());
    child_.err.reset();
  }

  void touch() {
    last_output_.store(clock::now().time_since_epoch().count());
  }

  process_host host_;
  process_output output_;
  line_reader_actor reader_;
  watchdog_actor watchdog_;
  stage stage_ = stage::idle;
  std::uint64_t life_ = 0;
  std::uint64_t run_ = 0; // tells handlers of an older process
  std::optional<start_gate::ticket> ticket_;
  launched child_;
  out_sink out_{*this};
  err_sink err_{*this};
  last_words words_;
  std::uint64_t written_ = 0;
  std::optional<int> status_; // of the exit, once it was seen
  process_started started_;
  std::optional<process_exited> last_exit_;
  std::optional<output_budget> budget_;
  bool flooding_said_ = false;
  boost::asio::steady_timer held_open_;
  boost::asio::steady_timer budget_timer_;
  std::atomic<clock::rep> last_output_;
};

template <class Work>
void bpftrace_process::on_io_thread(Work work) {
  boost::asio::post(impl_->io(),
                    [weak = std::weak_ptr{impl_}, work = std::move(work)] {
                      if (auto self = weak.lock())
                        work(*self);
                    });
}

bpftrace_process::bpftrace_process(process_host host, process_output output)
  : impl_{std::make_shared<impl>(std::move(host), std::move(output))} {}

bpftrace_process::~bpftrace_process() {
  impl_->close();
}

void bpftrace_process::attach(line_reader_actor reader,
                              watchdog_actor watchdog) {
  on_io_thread([reader = std::move(reader), watchdog = std::move(watchdog)](
                 impl& self) { self.attach(reader, watchdog); });
}

void bpftrace_process::start(std::uint64_t life, process_command command,
                             std::size_t output_budget) {
  on_io_thread([life, command = std::move(command), output_budget](impl& self) {
    self.start(life, command, output_budget);
  });
}

void bpftrace_process::signal(int signal) {
  on_io_thread([signal](impl& self) { self.signal(signal); });
}

std::chrono::steady_clock::time_point bpftrace_process::last_output() const {
  return impl_->last_output();
}

void bpftrace_process::probes_attached() {
  on_io_thread([](impl& self) { self.attached(); });
}

void bpftrace_process::resume_reading() {
  on_io_thread([](impl& self) { self.resume(); });
}

bool bpftrace_process::busy() const {
  return impl_->busy();
}

} // namespace bpf2graphite
