#include "app/journal.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace bpf2graphite {

std::string journal_entry(const std::vector<journal_field>& fields) {
  std::string entry;
  for (const auto& [name, value] : fields) {
    entry += name;
    if (value.find('\n') == std::string::npos) {
      entry += '=';
    } else {
      entry += '\n';
      for (int shift = 0; shift < 64; shift += 8)
        entry += static_cast<char>(std::uint64_t{value.size()} >> shift & 0xff);
    }
    entry += value;
    entry += '\n';
  }
  return entry;
}

journal_socket::journal_socket(std::string path) : path_{std::move(path)} {}

journal_socket::~journal_socket() {
  if (fd_ >= 0)
    ::close(fd_);
}

int journal_socket::send(const std::string& entry) {
  sockaddr_un address{};
  if (path_.size() >= sizeof address.sun_path)
    return ENAMETOOLONG;
  if (fd_ < 0)
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0)
    return errno;
  // The address each time: journald may have been started again.
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  while (::sendto(fd_, entry.data(), entry.size(), MSG_NOSIGNAL,
                  reinterpret_cast<const sockaddr*>(&address), sizeof address)
         < 0)
    if (errno != EINTR)
      return errno;
  return 0;
}

} // namespace bpf2graphite
