#include "actors/watchdog/share_pool.hpp"

#include "actors/watchdog/restart_policy.hpp"

#include <boost/asio/post.hpp>

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <utility>

namespace bpf2graphite {
namespace {

constexpr std::size_t names_shown_max = 5;
constexpr std::size_t tag_letters = 6;

std::string names_of(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), names_shown_max); ++i)
    out += (i == 0 ? "" : ", ") + names[i];
  return out + (names.size() > names_shown_max ? ", ..." : "");
}

} // namespace

/// One shared process.
class share_pool::shared_run final : public process_listener {
public:
  shared_run(share_pool& pool, std::vector<request> requests,
             merged_program program)
    : pool_{pool}, program_{std::move(program)},
      run_{std::make_shared<process_run>(pool.host_, *this, pool.log_)},
      leave_timer_{pool.host_.io} {
    std::vector<std::string> prefixes;
    for (const auto& one : program_.parts) {
      prefixes.push_back(one.prefix);
      members_.push_back({std::move(requests[one.script])});
    }
    key_ = members_[0].asked.command.share->key;
    output_.emplace(members_[0].asked.command.share->text, std::move(prefixes));
  }

  ~shared_run() override {
    run_->close();
  }

  void start() {
    auto now = clock::now();
    for (auto& one : members_)
      one.budget.emplace(one.asked.budget, now);
    auto command = members_[0].asked.command;
    command.input = program_.text;
    command.arguments.back() = "-"; // the script
    command.directory.clear();
    command.share.reset();
    run_->start(std::move(command));
  }

  bool has(const share_member& member) const {
    return std::any_of(members_.begin(), members_.end(), [&](const auto& one) {
      return one.asked.member == &member;
    });
  }

  const std::string& key() const {
    return key_;
  }

  const merged_program& program() const {
    return program_;
  }

  bool maps_seen() const {
    return output_->maps_seen();
  }

  /// Those that are still there, by their place in the program.
  std::vector<std::pair<std::size_t, request>> take_requests() {
    std::vector<std::pair<std::size_t, request>> all;
    for (std::size_t i = 0; i < members_.size(); ++i)
      if (members_[i].asked.member != nullptr)
        all.emplace_back(i, std::move(members_[i].asked));
    members_.clear();
    return all;
  }

  void end_all(const process_exited& end) {
    auto jitter = pool_.random_();
    auto going = take_requests();
    for (auto& [place, one] : going)
      one.member->shared_ended(end, jitter);
  }

  void attached() {
    run_->attached();
  }

  void resume() {
    run_->resume();
  }

  /// A member's time to stop is over, or the daemon goes down in despair.
  void kill(share_member& member) {
    mark_leaving(member);
    if (interrupted_ || pool_.stopping_ || all_leave())
      run_->signal(SIGKILL);
    else
      let_leave();
  }

  /// It was told to end.
  bool interrupted() const {
    return interrupted_.has_value();
  }

  /// Kills the process; nobody is told.
  void close() {
    leave_timer_.cancel();
    run_->close();
  }

  /// A member wants to stop.
  void interrupt(share_member& member) {
    mark_leaving(member);
    if (interrupted_ || pool_.stopping_ || all_leave())
      return interrupt_process();
    if (std::exchange(leave_pending_, true))
      return;
    leave_timer_.expires_after(pool_.limits_.leave_within);
    leave_timer_.async_wait(
      [this, alive = std::weak_ptr{alive_}](boost::system::error_code ec) {
        if (ec || alive.expired())
          return;
        leave_pending_ = false;
        if (!interrupted_)
          let_leave();
      });
  }

  /// No more calls to it. False: nobody is left.
  bool forget(share_member& member) {
    for (auto& one : members_)
      if (one.asked.member == &member)
        one.asked.member = nullptr;
    return anybody();
  }

  bool anybody() const {
    return std::any_of(members_.begin(), members_.end(), [](const auto& one) {
      return one.asked.member != nullptr;
    });
  }

private:
  struct seat {
    request asked; // its member is null when it has left
    std::optional<output_budget> budget{};
    std::optional<clock::time_point> stalled_since{};
    bool dropping = false;
    bool in_line = false; // what came last, given or dropped, ended no line
    bool leaving = false;
  };

  /// Its stages have stood still for too long.
  bool stalled(const seat& one, clock::time_point now) const {
    return one.stalled_since
           && now - *one.stalled_since >= pool_.limits_.stall_max;
  }

  void mark_leaving(share_member& member) {
    for (auto& one : members_)
      if (one.asked.member == &member)
        one.leaving = true;
  }

  bool all_leave() const {
    return std::all_of(members_.begin(), members_.end(), [](const auto& one) {
      return one.leaving || one.asked.member == nullptr;
    });
  }

  void interrupt_process() {
    auto now = clock::now();
    if (interrupted_ && now - *interrupted_ < pool_.limits_.interrupts_apart)
      return;
    interrupted_ = now;
    run_->signal(SIGINT);
  }

  void let_leave() {
    process_exited end; // status 0
    std::vector<std::string> names;
    for (auto& one : members_)
      if (one.leaving && one.asked.member != nullptr) {
        names.push_back(one.asked.trace);
        std::exchange(one.asked.member, nullptr)
          ->shared_ended(end, pool_.random_());
      }
    pool_.log_(log_level::info,
               names_of(names) + (names.size() == 1 ? " has" : " have")
                 + " left a shared bpftrace, which goes on",
               log_event::trace_ended);
    if (!anybody())
      pool_.remove(this); // destroys us
  }

  // -- process_listener

  void run_started(int pid, const std::string& version) override {
    pid_ = pid;
    std::vector<std::string> names;
    for (auto& one : members_)
      if (one.asked.member != nullptr) {
        names.push_back(one.asked.trace);
        one.asked.member->shared_started(pid, version);
      }
    pool_.log_(log_level::info,
               std::to_string(names.size()) + " traces share bpftrace "
                 + std::to_string(pid) + ": " + names_of(names),
               log_event::trace_shared);
  }

  std::size_t output_room() override {
    auto now = clock::now();
    auto room = SIZE_MAX;
    share_member* flooding = nullptr;
    for (auto& one : members_) {
      if (one.asked.member == nullptr)
        continue;
      room = std::min(room, one.budget->room(now));
      if (!flooding_said_ && one.budget->flooding(now)) {
        flooding_said_ = true;
        flooding = one.asked.member;
        pool_.barred_[one.asked.trace] = {one.asked.command.share->program,
                                          true};
        pool_.log_(log_level::warning,
                   one.asked.trace
                     + " prints more than output-budget allows: its process is "
                       "stopped, and it runs alone from then on");
      }
      auto own = one.asked.member->shared_room();
      if (own > 0) {
        one.stalled_since.reset();
      } else {
        if (!one.stalled_since)
          one.stalled_since = now;
        if (stalled(one, now))
          continue; // the others go on
      }
      room = std::min(room, own);
    }
    if (flooding != nullptr)
      for (auto& one : members_)
        if (one.asked.member != nullptr)
          one.asked.member->shared_flooding();
    return room;
  }

  bool output_left_alone() override {
    auto now = clock::now();
    for (auto& one : members_) {
      if (one.asked.member == nullptr)
        continue;
      if (one.budget->room(now) == 0) {
        run_->resume_at(one.budget->next());
        return false;
      }
    }
    for (auto& one : members_) {
      if (one.asked.member == nullptr || !one.stalled_since
          || stalled(one, now))
        continue;
      run_->resume_at(*one.stalled_since + pool_.limits_.stall_max);
      return one.asked.member->shared_left_alone();
    }
    return true;
  }

  void output_came(std::string_view bytes, arrivals) override {
    auto unclaimed = output_->unclaimed();
    output_->take(bytes);
    hand_out();
    unclaimed = output_->unclaimed() - unclaimed;
    if (unclaimed == 0)
      return;
    // Whose it is cannot be told: the first that writes at all has it.
    for (std::size_t i = 0; i < members_.size(); ++i)
      if (members_[i].asked.member != nullptr && program_.parts[i].writes_text)
        return members_[i].asked.member->shared_printed(unclaimed);
  }

  void hand_out() {
    for (std::size_t i = 0; i < members_.size(); ++i) {
      auto& one = members_[i];
      auto text = output_->take_out(i);
      if (one.asked.member == nullptr)
        continue;
      one.asked.member->shared_alive();
      if (text.empty())
        continue;
      one.budget->take(text.size());
      drop_if_stalled(one, text);
      if (!text.empty())
        one.asked.member->shared_bytes(text);
    }
  }

  /// Nothing of a line is ever put to a piece of another: where dropping
  /// begins in a line, that is ended there, and where it stops, the rest of
  /// the line is dropped, too.
  void drop_if_stalled(seat& one, std::string& text) const {
    auto full =
      one.asked.member->shared_room() == 0 && stalled(one, clock::now());
    auto in_line = one.in_line;
    one.in_line = !text.ends_with('\n');
    if (full) {
      auto begins = !std::exchange(one.dropping, true);
      if (begins)
        one.asked.member->shared_dropped();
      text = begins && in_line ? "\n" : "";
      return;
    }
    if (!one.dropping)
      return;
    if (in_line) {
      auto end = text.find('\n');
      if (end == std::string::npos)
        return text.clear();
      text.erase(0, end + 1);
    }
    one.dropping = false;
  }

  void error_came() override {
    for (auto& one : members_)
      if (one.asked.member != nullptr)
        one.asked.member->shared_alive();
  }

  void error_line(const std::string& line) override {
    pool_.log_(is_noise(line)  ? log_level::debug
               : is_loss(line) ? log_level::warning
                               : log_level::info,
               "bpftrace " + std::to_string(pid_) + ": "
                 + line.substr(0, data_shown_max),
               log_event::trace_output);
  }

  void run_ended(process_exited end) override {
    output_->finish();
    hand_out();
    // It may be destroyed by what follows, and the process_run is calling us.
    pool_.failed(*this, end);
  }

  share_pool& pool_;
  merged_program program_;
  std::string key_;
  std::vector<seat> members_; // as in program_.parts
  std::optional<shared_output> output_;
  std::shared_ptr<process_run> run_;
  int pid_ = 0;
  bool flooding_said_ = false;
  bool leave_pending_ = false;
  std::optional<clock::time_point> interrupted_;
  boost::asio::steady_timer leave_timer_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

share_pool::share_pool(process_host host, std::function<double()> random,
                       log_sink log, share_limits limits)
  : host_{std::move(host)}, random_{std::move(random)}, log_{std::move(log)},
    limits_{limits} {}

share_pool::~share_pool() = default;

bool share_pool::barred(const request& one) {
  auto found = barred_.find(one.trace);
  if (found == barred_.end())
    return false;
  if (found->second.program == one.command.share->program)
    return true;
  barred_.erase(found); // it has been mended
  return false;
}

void share_pool::ask(share_member& member, const std::string& trace,
                     const process_command& command, std::size_t budget) {
  request one{&member, trace, command, budget};
  if (barred(one))
    return member.start_alone();
  auto now = clock::now();
  const auto& key = command.share->key;
  auto& group = waiting_[key];
  if (group.requests.empty()) {
    group.first = now;
    group.timer = std::make_unique<boost::asio::steady_timer>(host_.io);
  }
  group.requests.push_back(std::move(one));
  group.timer->expires_at(
    std::min(now + limits_.quiet, group.first + limits_.gather_max));
  group.timer->async_wait(
    [this, key, alive = std::weak_ptr{alive_}](boost::system::error_code ec) {
      if (!ec && !alive.expired())
        gathered(key);
    });
}

void share_pool::gathered(const std::string& key) {
  auto found = waiting_.find(key);
  if (found == waiting_.end())
    return;
  auto group = std::move(found->second);
  waiting_.erase(found);
  // In the order of their names: then it does not matter who came first.
  std::sort(
    group.requests.begin(), group.requests.end(),
    [](const request& a, const request& b) { return a.trace < b.trace; });
  place(std::move(group.requests));
}

void share_pool::place(std::vector<request> requests) {
  if (requests.empty())
    return;
  std::vector<std::string> scripts;
  for (const auto& one : requests)
    scripts.push_back(one.command.share->program);
  std::string tag;
  for (std::size_t i = 0; i < tag_letters; ++i)
    tag += static_cast<char>('a' + static_cast<int>(random_() * 26) % 26);
  auto text = requests[0].command.share->text;
  auto merged = merge_scripts(scripts, tag, text);
  for (const auto& [script, why] : merged.alone) {
    log_(log_level::debug, requests[script].trace + " runs alone: " + why,
         log_event::trace_shared);
    requests[script].member->start_alone();
  }
  for (auto& program : merged.programs)
    start_together(requests, std::move(program));
}

void share_pool::start_together(std::vector<request> requests,
                                merged_program program) {
  auto run = std::make_shared<shared_run>(*this, std::move(requests),
                                          std::move(program));
  runs_.push_back(run);
  run->start();
}

/// A shared process has ended, for whatever reason.
void share_pool::failed(shared_run& run, const process_exited& end) {
  auto own = std::find_if(runs_.begin(), runs_.end(),
                          [&](const auto& one) { return one.get() == &run; });
  if (own == runs_.end())
    return;
  // Kept until this call is over: its process_run is in the middle of it.
  boost::asio::post(host_.io, [kept = *own] {});
  runs_.erase(own);
  auto refused = end.start_error.empty() && WIFEXITED(end.status)
                 && WEXITSTATUS(end.status) != 0 && !run.maps_seen()
                 && !run.interrupted();
  if (!refused || stopping_) {
    if (run.maps_seen())
      unexplained_.erase(run.key());
    return run.end_all(end);
  }
  auto who = suspects_of(end.last_words, run.program());
  auto& unexplained = unexplained_[run.key()];
  if (!who.says_something && who.parts.empty() && unexplained++ == 0)
    return run.end_all(end);
  auto requests = run.take_requests();
  if (requests.empty())
    return;
  auto said = own_reason(end.last_words);
  std::vector<request> apart;
  std::vector<request> others;
  for (auto& [place, one] : requests)
    (std::binary_search(who.parts.begin(), who.parts.end(), place) ? apart
                                                                   : others)
      .push_back(std::move(one));
  log_(log_level::warning,
       "bpftrace does not start " + std::to_string(requests.size())
         + " traces together"
         + (said.empty() ? "" : ": " + said.substr(0, data_shown_max)),
       log_event::trace_ended);
  auto alone = [&](request& one) {
    log_(log_level::warning,
         one.trace + " runs alone until its script changes or it is well",
         log_event::trace_shared);
    barred_[one.trace] = {one.command.share->program, false};
    one.member->start_alone();
  };
  // One that is named alone is taken out; else halves, until one is left.
  if (!apart.empty() && apart.size() * 2 <= requests.size()) {
    for (auto& one : apart)
      alone(one);
  } else {
    std::move(apart.begin(), apart.end(), std::back_inserter(others));
    if (others.size() == 1) {
      alone(others[0]);
      return;
    }
    auto half = others.begin() + static_cast<std::ptrdiff_t>(others.size() / 2);
    std::vector<request> second{std::make_move_iterator(half),
                                std::make_move_iterator(others.end())};
    others.erase(half, others.end());
    if (second.size() == 1)
      alone(second[0]);
    else
      place(std::move(second));
  }
  if (others.size() == 1)
    alone(others[0]);
  else
    place(std::move(others));
}

void share_pool::remove(const shared_run* run) {
  auto own = std::find_if(runs_.begin(), runs_.end(),
                          [&](const auto& one) { return one.get() == run; });
  if (own == runs_.end())
    return;
  // It may be the one that calls us.
  boost::asio::post(host_.io, [kept = *own] {});
  (*own)->close();
  runs_.erase(own);
}

share_pool::shared_run* share_pool::find(const share_member& member) {
  for (const auto& run : runs_)
    if (run->has(member))
      return run.get();
  return nullptr;
}

void share_pool::signal(share_member& member, int number) {
  if (auto* run = find(member)) {
    if (number == SIGINT)
      run->interrupt(member);
    else
      run->kill(member);
    return;
  }
  for (auto& [key, group] : waiting_) {
    auto found =
      std::find_if(group.requests.begin(), group.requests.end(),
                   [&](const request& one) { return one.member == &member; });
    if (found == group.requests.end())
      continue;
    group.requests.erase(found);
    process_exited end;
    end.start_error = "stopped before it was started";
    return member.shared_ended(std::move(end), random_());
  }
}

void share_pool::forget(share_member& member) {
  if (auto* run = find(member); run != nullptr && !run->forget(member))
    remove(run);
  for (auto& [key, group] : waiting_)
    std::erase_if(group.requests,
                  [&](const request& one) { return one.member == &member; });
}

void share_pool::attached(share_member& member) {
  if (auto* run = find(member))
    run->attached();
}

void share_pool::resume(share_member& member) {
  if (auto* run = find(member))
    run->resume();
}

void share_pool::well_alone(const std::string& trace) {
  if (auto found = barred_.find(trace);
      found != barred_.end() && !found->second.flooded)
    barred_.erase(found);
}

void share_pool::begin_stop() {
  stopping_ = true;
}

} // namespace bpf2graphite
