#include "actors/watchdog/pipe_poller.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace bpf2graphite {
namespace {

constexpr int events_max = 128; // in one round; the rest is in the next

/// What is not there `hold_min` before it would be read is read at once.
constexpr std::chrono::milliseconds hold_min{500};

/// The marks of the first `size` bytes; those of the rest stay.
arrivals take_held(arrivals& held, std::size_t size) {
  if (held.empty())
    return {};
  if (held.back().end <= size)
    return std::exchange(held, {});
  arrivals taken;
  arrivals left;
  for (const auto& mark : held) {
    if (left.empty())
      taken.push_back({std::min(mark.end, size), mark.at});
    if (mark.end > size)
      left.push_back({mark.end - size, mark.at});
  }
  held = std::move(left);
  return taken;
}

} // namespace

pipe_poller::pipe_poller(boost::asio::io_context& io,
                         std::chrono::milliseconds read_delay)
  : io_{io}, timer_{io}, held_timer_{io}, watch_{io}, pace_{read_delay},
    scratch_{std::make_unique<std::array<char, turn_bytes_max>>()} {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0)
    throw std::system_error{errno, std::generic_category(), "epoll_create1"};
}

pipe_poller::~pipe_poller() {
  alive_.reset();
  disarm();
  ::close(epoll_);
}

int pipe_poller::add(int fd, pipe_sink& sink) {
  entry pipe;
  pipe.sink = &sink;
  if (auto size = ::fcntl(fd, F_GETPIPE_SZ); size > 0)
    pipe.capacity = static_cast<std::uint32_t>(size);
  if (!put_in_set(fd, pipe))
    return errno;
  const auto place = static_cast<std::size_t>(fd);
  if (place >= pipes_.size())
    pipes_.resize(place + 1);
  watched_ += pipes_[place].sink == nullptr;
  pipes_[place] = std::move(pipe);
  arm();
  return 0;
}

void pipe_poller::hold_with(
  std::function<std::chrono::steady_clock::time_point()> until,
  std::function<wall_time()> now) {
  hold_until_ = std::move(until);
  now_ = std::move(now);
}

void pipe_poller::hold(int fd, bool allowed) {
  auto* found = find(fd);
  if (found == nullptr || found->may_hold == allowed)
    return;
  found->may_hold = allowed;
  if (allowed)
    return;
  tell_of(fd, *found, false);
  if (!found->held.empty())
    read_once(fd);
}

pipe_poller::entry* pipe_poller::find(int fd) {
  const auto place = static_cast<std::size_t>(fd);
  return place < pipes_.size() && pipes_[place].sink != nullptr ? &pipes_[place]
                                                                : nullptr;
}

void pipe_poller::remove(int fd) {
  auto* found = find(fd);
  if (found == nullptr)
    return;
  take_out(fd, *found);
  roomy_ -= found->roomy;
  *found = {};
  if (--watched_ == 0) {
    disarm();
    timer_.cancel();
    busy_ = false;
    held_timer_.cancel();
    hold_ends_ = false;
  }
}

void pipe_poller::resume(int fd) {
  auto* found = find(fd);
  if (found == nullptr || found->in_set)
    return;
  put_in_set(fd, *found);
  // It was kept waiting long enough. If there is more than a turn, the set
  // says so.
  read_once(fd);
  arm();
}

void pipe_poller::drain(int fd) {
  for (int i = 0; i < turns_max; ++i) {
    auto got = read_once(fd);
    if (got != turn::more && got != turn::some)
      return;
  }
}

pipe_poller::turn pipe_poller::read_once(int fd) {
  auto* found = find(fd);
  if (found == nullptr || !found->in_set)
    return turn::over;
  auto* sink = found->sink;
  auto room = sink->room();
  if (room == 0) {
    take_out(fd, *found);
    if (!sink->left_alone())
      return turn::over;
    found = find(fd);
    if (found == nullptr || !put_in_set(fd, *found))
      return turn::over;
    room = sink->room();
    if (room == 0)
      return turn::empty; // the set brings it back
  }
  found = find(fd); // asking for room may have moved it
  if (found == nullptr)
    return turn::over;
  auto wanted = std::min(room, turn_bytes_max);
  auto got = ::read(fd, scratch_->data(), wanted);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return turn::empty;
  if (got <= 0) {
    remove(fd);
    sink->ended();
    return turn::over;
  }
  auto size = static_cast<std::size_t>(got);
  note_read(fd, *found, size);
  sink->take({scratch_->data(), size}, take_held(found->held, size));
  return size == wanted ? turn::more : turn::some;
}

void pipe_poller::note_read(int fd, entry& pipe, std::size_t size) {
  found_ = true;
  if (std::exchange(pipe.read_in, pause_) != pause_)
    pipe.read = 0;
  pipe.read += static_cast<std::uint32_t>(size);
  if (pace_.hurried() && !read_pace::calm(pipe.read, pipe.capacity))
    make_room(fd, pipe);
  if (pipe.read * fullest_capacity_ < fullest_ * pipe.capacity)
    return;
  fullest_ = pipe.read;
  fullest_capacity_ = pipe.capacity;
}

void pipe_poller::make_room(int fd, entry& pipe) {
  if (pipe.roomy || pipe.refused || roomy_ == roomy_pipes_max)
    return;
  auto size = ::fcntl(fd, F_SETPIPE_SZ, static_cast<int>(roomy_bytes));
  if (size <= 0) {
    pipe.refused = true; // we sleep more often, then
    return;
  }
  pipe.capacity = static_cast<std::uint32_t>(size);
  pipe.roomy = true;
  ++roomy_;
}

bool pipe_poller::put_in_set(int fd, entry& pipe) {
  if (pipe.in_set)
    return true;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  pipe.in_set = ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
  pipe.on_change = false;
  return pipe.in_set;
}

/// Each time it is asked while something is in the pipe, or once after each
/// write.
bool pipe_poller::tell_of(int fd, entry& pipe, bool changes_only) {
  if (pipe.on_change == changes_only || !pipe.in_set)
    return true;
  epoll_event event{};
  event.events = changes_only ? EPOLLIN | EPOLLET : EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) != 0)
    return false;
  pipe.on_change = changes_only;
  return true;
}

/// A read left something: the set has to tell of it.
void pipe_poller::tell_of_rest(int fd) {
  if (auto* found = find(fd))
    tell_of(fd, *found, false);
}

/// Whether prints may be held now, and what time it is: once for all pipes of
/// which the set tells at once.
void pipe_poller::look_at_clocks() {
  hold_ends_at_ =
    hold_until_ ? hold_until_() : std::chrono::steady_clock::time_point::min();
  holding_ = hold_ends_at_ >= std::chrono::steady_clock::now() + hold_min;
  if (holding_)
    now_held_ = now_();
}

/// Something is held: sees to it that it is read in time.
void pipe_poller::end_hold_in_time() {
  if (std::exchange(hold_ends_, true))
    return;
  held_timer_.expires_at(hold_ends_at_);
  held_timer_.async_wait(
    [this, alive = std::weak_ptr{alive_}](boost::system::error_code error) {
      if (alive.expired() || error)
        return;
      hold_ends_ = false;
      read_held();
    });
}

/// True: the pipe, of which the set has told, can wait. False: it is to be
/// read; the set may not tell of it again.
bool pipe_poller::held(int fd, entry& pipe, std::uint32_t events) {
  if (!pipe.may_hold || (events & ~std::uint32_t{EPOLLIN}) != 0 || !holding_)
    return false;
  if (!pipe.on_change && !pipe.held.empty())
    return false; // what a read left is not held again
  int bytes = 0;
  if (::ioctl(fd, FIONREAD, &bytes) != 0)
    return false;
  const auto size = static_cast<std::size_t>(bytes);
  if (!read_pace::calm(size, pipe.capacity)
      || pipe.held.size() >= held_marks_max || !tell_of(fd, pipe, true))
    return false;
  if (size > 0 && (pipe.held.empty() || pipe.held.back().end < size)) {
    pipe.held.push_back({size, now_held_});
    end_hold_in_time();
  }
  found_ = true;
  return true;
}

void pipe_poller::read_held() {
  held_next_ = 0;
  if (!std::exchange(reading_held_, true))
    read_some_held();
}

void pipe_poller::read_some_held() {
  auto left = held_at_once;
  for (; held_next_ < pipes_.size() && left > 0; ++held_next_) {
    auto& pipe = pipes_[held_next_];
    if (pipe.held.empty())
      continue;
    --left;
    const auto fd = static_cast<int>(held_next_);
    if (read_once(fd) == turn::more)
      tell_of_rest(fd);
  }
  if (held_next_ == pipes_.size()) {
    reading_held_ = false;
    return;
  }
  boost::asio::post(io_, [this, alive = std::weak_ptr{alive_}] {
    if (!alive.expired())
      read_some_held();
  });
}

void pipe_poller::take_out(int fd, entry& pipe) {
  if (pipe.in_set)
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  pipe.in_set = false;
}

void pipe_poller::arm() {
  if (busy_ || watch_.is_open() || watched_ == 0)
    return;
  boost::system::error_code ec;
  watch_.assign(epoll_, ec);
  if (ec) {
    // No memory in the kernel for one more watch: look again a little later.
    busy_ = true;
    wait_a_little();
    return;
  }
  armed_at_ = std::chrono::steady_clock::now();
  watch_.async_wait(
    boost::asio::posix::stream_descriptor::wait_read,
    [this, alive = std::weak_ptr{alive_}](boost::system::error_code error) {
      if (!alive.expired() && !error)
        on_ready();
    });
}

void pipe_poller::disarm() {
  if (watch_.is_open())
    watch_.release(); // ours to close
}

void pipe_poller::on_ready() {
  disarm();
  busy_ = true;
  crowded_ = std::chrono::steady_clock::now() - armed_at_ < pace_.delay();
  if (some_urgent())
    read_round();
  else
    wait_a_little();
}

void pipe_poller::wait_a_little() {
  timer_.expires_after(pace_.delay());
  timer_.async_wait(
    [this, alive = std::weak_ptr{alive_}](boost::system::error_code error) {
      if (!alive.expired() && !error && busy_)
        read_round();
    });
}

bool pipe_poller::some_urgent() {
  std::array<epoll_event, events_max> events;
  auto count = ::epoll_wait(epoll_, events.data(), events_max, 0);
  look_at_clocks();
  auto urgent = false;
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    auto fd = event.data.fd;
    auto* found = find(fd);
    int bytes = 0;
    if (found == nullptr)
      continue;
    if (found->on_change) { // it is told of once: now
      if (held(fd, *found, event.events))
        continue;
      tell_of(fd, *found, false);
    }
    // Not over with the first: the others may be told of once only.
    if (::ioctl(fd, FIONREAD, &bytes) == 0
        && read_pace::urgent(static_cast<std::size_t>(bytes), found->capacity))
      urgent = true;
  }
  return urgent;
}

/// A turn for each pipe that is ready and was not drained in this pause; again,
/// after others on the io thread had theirs, until there is none. The set gives
/// those that wait longest first.
void pipe_poller::read_round() {
  std::array<epoll_event, events_max> events;
  auto count = ::epoll_wait(epoll_, events.data(), events_max, 0);
  look_at_clocks();
  auto any = false;
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    auto fd = event.data.fd;
    auto* found = find(fd);
    if (found == nullptr)
      continue;
    if (found->drained == pause_) {
      // Its turn is the next one; one that is told of once would miss it.
      if (found->on_change && !held(fd, *found, event.events))
        tell_of(fd, *found, false);
      continue;
    }
    any = true;
    if (held(fd, *found, event.events))
      continue;
    auto got = read_once(fd);
    if (got == turn::more)
      tell_of_rest(fd);
    if (got == turn::more || got == turn::over)
      continue;
    if (auto* still = find(fd))
      still->drained = pause_;
  }
  if (!busy_)
    return; // the last pipe has gone
  if (!any)
    return end_pause();
  boost::asio::post(io_, [this, alive = std::weak_ptr{alive_}] {
    if (!alive.expired() && busy_)
      read_round();
  });
}

void pipe_poller::end_pause() {
  auto nothing = !std::exchange(found_, false);
  pace_.drained(std::exchange(fullest_, 0), fullest_capacity_);
  ++pause_;
  crowded_ = crowded_ && !nothing;
  if (crowded_)
    return wait_a_little();
  busy_ = false;
  arm();
}

} // namespace bpf2graphite
