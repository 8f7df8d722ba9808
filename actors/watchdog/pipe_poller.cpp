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

} // namespace

pipe_poller::pipe_poller(boost::asio::io_context& io,
                         std::chrono::milliseconds read_delay)
  : io_{io}, timer_{io}, watch_{io}, pace_{read_delay},
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
  entry pipe{.sink = &sink};
  if (auto size = ::fcntl(fd, F_GETPIPE_SZ); size > 0)
    pipe.capacity = static_cast<std::size_t>(size);
  if (!put_in_set(fd, pipe))
    return errno;
  const auto place = static_cast<std::size_t>(fd);
  if (place >= pipes_.size())
    pipes_.resize(place + 1);
  watched_ += pipes_[place].sink == nullptr;
  pipes_[place] = pipe;
  arm();
  return 0;
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
  sink->take({scratch_->data(), size});
  return size == wanted ? turn::more : turn::some;
}

void pipe_poller::note_read(int fd, entry& pipe, std::size_t size) {
  if (std::exchange(pipe.read_in, pause_) != pause_)
    pipe.read = 0;
  pipe.read += size;
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
  pipe.capacity = static_cast<std::size_t>(size);
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
  return pipe.in_set;
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
  for (int i = 0; i < count; ++i) {
    auto fd = events[static_cast<std::size_t>(i)].data.fd;
    const auto* found = find(fd);
    int bytes = 0;
    if (found != nullptr && ::ioctl(fd, FIONREAD, &bytes) == 0
        && read_pace::urgent(static_cast<std::size_t>(bytes), found->capacity))
      return true;
  }
  return false;
}

/// A turn for each pipe that is ready and was not drained in this pause; again,
/// after others on the io thread had theirs, until there is none. The set gives
/// those that wait longest first.
void pipe_poller::read_round() {
  std::array<epoll_event, events_max> events;
  auto count = ::epoll_wait(epoll_, events.data(), events_max, 0);
  auto any = false;
  for (int i = 0; i < count; ++i) {
    auto fd = events[static_cast<std::size_t>(i)].data.fd;
    const auto* found = find(fd);
    if (found == nullptr || found->drained == pause_)
      continue;
    any = true;
    auto got = read_once(fd);
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
  auto nothing = fullest_ == 0;
  pace_.drained(std::exchange(fullest_, 0), fullest_capacity_);
  ++pause_;
  crowded_ = crowded_ && !nothing;
  if (crowded_)
    return wait_a_little();
  busy_ = false;
  arm();
}

} // namespace bpf2graphite
