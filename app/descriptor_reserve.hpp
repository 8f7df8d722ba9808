#pragma once
// One descriptor kept back for what has to work when there is none left: who
// asks a daemon in need for its status must get an answer.

#include <fcntl.h>
#include <unistd.h>

namespace bpf2graphite {

/// One thread at a time. Make it early, while descriptors are plenty.
class descriptor_reserve {
public:
  descriptor_reserve() {
    keep();
  }
  ~descriptor_reserve() {
    give();
  }
  descriptor_reserve(const descriptor_reserve&) = delete;
  descriptor_reserve& operator=(const descriptor_reserve&) = delete;

  /// Frees it for whoever opens something next: do so at once. False: it was
  /// given away already and has not come back.
  bool give() {
    if (fd_ < 0)
      return false;
    ::close(fd_);
    fd_ = -1;
    return true;
  }

  /// Takes it back, when there is one; else it has to be asked again.
  void keep() {
    if (fd_ < 0)
      fd_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }

private:
  int fd_ = -1;
};

} // namespace bpf2graphite
