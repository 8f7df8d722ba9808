#pragma once
// The unix socket `status.sock`: what the verbs status, top and tap ask.
//
// A client sends one line and reads to the end of the connection:
//
//   status              one JSON document (status_report.hpp)
//   history             the same with the last slots of each histogram
//   tap [TRACE ...]     Graphite's lines of these traces (all) as they leave,
//                       until the client goes
//
// It costs the daemon at most `sessions_max` descriptors and for each of them
// `unread_bytes_max` bytes. Nobody is waited for: who does not send a line, or
// does not read, within `patience` is dropped; who taps more slowly than the
// lines come is dropped when the bytes are too many.

#include "app/descriptor_reserve.hpp"
#include "app/line_tap.hpp"
#include "app/status_documents.hpp"
#include "messages/log.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace bpf2graphite {

class status_server {
public:
  static constexpr std::size_t sessions_max = 64;
  static constexpr std::size_t request_bytes_max = 4096;
  static constexpr std::size_t unread_bytes_max = 4 << 20;
  static constexpr std::chrono::seconds patience{5};

  struct environment {
    boost::asio::io_context& io;
    std::string path; // at most 107 bytes (unix(7))
    status_documents& documents;
    line_tap& tap;
    log_sink log;
  };

  explicit status_server(environment env);
  ~status_server();
  status_server(const status_server&) = delete;
  status_server& operator=(const status_server&) = delete;

  /// Listens, in the place of a socket that somebody left there. Mode 0660:
  /// root's group may look. On failure what is wrong, and what to do; the
  /// daemon works without it.
  std::optional<std::string> start();

  /// Ends each connection and removes the socket. io thread.
  void stop();

private:
  class session;

  void accept();

  environment env_;
  boost::asio::local::stream_protocol::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  /// One client is answered when there are no descriptors left.
  std::shared_ptr<descriptor_reserve> spare_ =
    std::make_shared<descriptor_reserve>();
  std::shared_ptr<std::size_t> sessions_ = std::make_shared<std::size_t>(0);
  std::shared_ptr<bool> open_ = std::make_shared<bool>(false);
};

} // namespace bpf2graphite
