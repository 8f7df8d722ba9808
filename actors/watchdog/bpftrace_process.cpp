#include "actors/watchdog/bpftrace_process.hpp"

#include "actors/watchdog/last_words.hpp"
#include "actors/watchdog/output_budget.hpp"
#include "actors/watchdog/restart_policy.hpp"
#include "actors/watchdog/share_pool.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <utility>

namespace bpf2graphite {
namespace {

using clock = std::chrono::steady_clock;

} // namespace

class bpftrace_process::impl : public std::enable_shared_from_this<impl>,
                               public process_listener,
                               public share_member {
public:
  impl(process_host host, process_output output, std::string trace)
    : host_{std::move(host)}, output_{std::move(output)},
      trace_{std::move(trace)}, run_{std::make_shared<process_run>(
                                  host_, *this, output_.log)},
      last_output_{clock::now().time_since_epoch().count()} {}

  boost::asio::io_context& io() {
    return host_.io;
  }

  // All below, but last_output() and take_jitter(): io thread.

  void attach(line_reader_actor reader, watchdog_actor watchdog) {
    reader_ = std::move(reader);
    watchdog_ = std::move(watchdog);
    if (auto newest = output_.out.newest())
      caf::anon_send(reader_, *newest);
    if (running_)
      caf::anon_send(watchdog_, started_);
    else if (!busy() && last_exit_)
      caf::anon_send(watchdog_, *last_exit_);
  }

  void start(std::uint64_t life, process_command command, std::size_t budget) {
    if (busy()) {
      output_.log(log_level::error, "asked to start a second process");
      return;
    }
    life_ = life;
    may_hold_ = command.hold_output;
    budget_bytes_ = budget;
    budget_.emplace(budget, clock::now());
    if (host_.shares == nullptr || !command.share)
      return run_->start(std::move(command));
    command_ = std::move(command);
    sharing_ = true;
    host_.shares->ask(*this, trace_, command_, budget);
  }

  void signal(int number) {
    if (sharing_)
      host_.shares->signal(*this, number);
    else
      run_->signal(number);
    // Its last words are waited for; what is read now may not hold it again.
    may_hold_ = false;
    hold_output(false);
  }

  void attached() {
    if (sharing_)
      return host_.shares->attached(*this);
    run_->attached();
    if (running_)
      hold_from_ = clock::now() + host_.hold_after;
  }

  void resume() {
    if (sharing_)
      host_.shares->resume(*this);
    else
      run_->resume();
  }

  void close() {
    if (host_.shares != nullptr)
      host_.shares->forget(*this);
    sharing_ = false;
    running_ = false;
    run_->close();
  }

  bool busy() const {
    return sharing_ || run_->busy();
  }

  clock::time_point last_output() const {
    return clock::time_point{clock::duration{last_output_.load()}};
  }

  std::optional<double> take_jitter() {
    auto jitter = jitter_.exchange(no_jitter);
    return jitter == no_jitter ? std::nullopt : std::optional{jitter};
  }

private:
  static constexpr double no_jitter = -1;

  // -- a process of its own

  void run_started(int pid, const std::string& version) override {
    opened(pid, version);
  }

  /// Standard output: as much as the trace's stages and its budget allow.
  std::size_t output_room() override {
    auto now = clock::now();
    auto allowed = budget_->room(now);
    if (!flooding_said_ && budget_->flooding(now))
      shared_flooding();
    return std::min(allowed, output_.credit.room());
  }

  bool output_left_alone() override {
    auto now = clock::now();
    if (budget_->room(now) == 0) {
      run_->resume_at(budget_->next());
      return false;
    }
    return output_.credit.stop_reading();
  }

  void output_came(std::string_view bytes, arrivals earlier) override {
    const auto now = touch();
    budget_->take(bytes.size());
    take(bytes, std::move(earlier));
    if (may_hold_ && !holding_ && now >= hold_from_)
      hold_output(true);
  }

  void error_line(const std::string& line) override {
    output_.log(is_noise(line)  ? log_level::debug
                : is_loss(line) ? log_level::warning
                                : log_level::info,
                "bpftrace: " + line.substr(0, data_shown_max),
                log_event::trace_output);
  }

  void error_came() override {
    touch();
  }

  void run_ended(process_exited end) override {
    if (host_.shares != nullptr && end.start_error.empty()
        && end.written > attach_line_bytes_max
        && judge(end) != life_end::failed)
      host_.shares->well_alone(trace_);
    over(std::move(end));
  }

  // -- a shared one

  void shared_started(int pid, const std::string& version) override {
    opened(pid, version);
  }

  void shared_bytes(std::string_view bytes) override {
    take(bytes);
  }

  void shared_alive() override {
    touch();
  }

  std::size_t shared_room() override {
    return output_.credit.room();
  }

  bool shared_left_alone() override {
    return output_.credit.stop_reading();
  }

  void shared_printed(std::uint64_t texts) override {
    output_.ledger.printed.fetch_add(texts, std::memory_order_relaxed);
  }

  void shared_dropped() override {
    output_.ledger.lines_discarded.fetch_add(1, std::memory_order_relaxed);
  }

  void shared_flooding() override {
    flooding_said_ = true;
    caf::anon_send(watchdog_, process_flooding{life_});
  }

  void shared_ended(process_exited end, double jitter) override {
    sharing_ = false;
    jitter_ = jitter;
    over(std::move(end));
  }

  void start_alone() override {
    sharing_ = false;
    budget_.emplace(budget_bytes_, clock::now());
    run_->start(std::exchange(command_, {}));
  }

  void hold_output(bool allowed) {
    holding_ = allowed;
    run_->hold_output(allowed);
  }

  // -- both

  void opened(int pid, const std::string& version) {
    running_ = true;
    holding_ = false;
    hold_from_ = clock::time_point::max();
    flooding_said_ = false;
    touch();
    output_.ledger.starts.fetch_add(1, std::memory_order_relaxed);
    send(output_opened{life_, version, host_.now()});
    started_ = {life_, pid, version};
    last_exit_.reset();
    caf::anon_send(watchdog_, started_);
  }

  void take(std::string_view bytes, arrivals earlier = {}) {
    output_.credit.take(bytes.size());
    output_.ledger.bytes.fetch_add(bytes.size(), std::memory_order_relaxed);
    send(output_bytes{
      std::make_shared<const std::string>(bytes), host_.now(),
      earlier.empty() ? nullptr
                      : std::make_shared<const arrivals>(std::move(earlier))});
  }

  void over(process_exited end) {
    if (std::exchange(running_, false))
      send(output_closed{host_.now()});
    end.life = life_;
    last_exit_ = end;
    caf::anon_send(watchdog_, std::move(end));
  }

  void send(output_event event) {
    caf::anon_send(reader_, output_.out.put(std::move(event)));
  }

  clock::time_point touch() {
    const auto now = clock::now();
    last_output_.store(now.time_since_epoch().count());
    return now;
  }

  process_host host_;
  process_output output_;
  std::string trace_;
  line_reader_actor reader_;
  watchdog_actor watchdog_;
  std::shared_ptr<process_run> run_;
  bool sharing_ = false; // it asked share_pool, which has not let go of it
  bool running_ = false; // opened, not over
  std::uint64_t life_ = 0;
  process_command command_; // while it shares, or was told to start alone
  std::size_t budget_bytes_ = 0;
  process_started started_;
  std::optional<process_exited> last_exit_;
  std::optional<output_budget> budget_;
  bool flooding_said_ = false;
  bool may_hold_ = false;
  bool holding_ = false;
  clock::time_point hold_from_ = clock::time_point::max();
  std::atomic<clock::rep> last_output_;
  std::atomic<double> jitter_{no_jitter};
};

template <class Work>
void bpftrace_process::on_io_thread(Work work) {
  boost::asio::post(impl_->io(),
                    [weak = std::weak_ptr{impl_}, work = std::move(work)] {
                      if (auto self = weak.lock())
                        work(*self);
                    });
}

bpftrace_process::bpftrace_process(process_host host, process_output output,
                                   std::string trace)
  : impl_{std::make_shared<impl>(std::move(host), std::move(output),
                                 std::move(trace))} {}

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

std::optional<double> bpftrace_process::take_shared_jitter() {
  return impl_->take_jitter();
}

} // namespace bpf2graphite
