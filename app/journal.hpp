#pragma once
// journald's native protocol, https://systemd.io/JOURNAL_NATIVE_PROTOCOL/: an
// entry is one datagram. Written here since libsystemd, for this and sd_notify
// (see service_notifier.hpp), brings seven libraries into each daemon, lzma and
// gcrypt among them: 1.1 MB that stay in memory.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// A field's name (A-Z, 0-9 and _, not checked) and its value, any bytes.
using journal_field = std::pair<std::string_view, std::string>;

/// The datagram: `NAME=value` and a line end; a value that holds a line end
/// goes behind its name's line with its size before it, 64 bits, little-endian.
std::string journal_entry(const std::vector<journal_field>& fields);

/// One thread's way to journald. Opened with the first entry.
class journal_socket {
public:
  explicit journal_socket(
    std::string path = "/run/systemd/journal/socket"); // sockaddr_un's limit
  ~journal_socket();
  journal_socket(const journal_socket&) = delete;
  journal_socket& operator=(const journal_socket&) = delete;

  /// Waits while journald's queue is full. 0 or an errno: ENOENT and
  /// ECONNREFUSED when no journald is there, EMSGSIZE for an entry of more than
  /// the kernel lets through (some 200 kB).
  int send(const std::string& entry);

private:
  std::string path_;
  int fd_ = -1;
};

} // namespace bpf2graphite
