#pragma once
// The status page: HTTP on a loopback port or a unix socket, when
// `status.listen` asks for it.
//
//   /                    the page: HTML, style and script in one answer
//   /status.json         the status report, without bpftrace's own words
//   /heatmap.json        the last slots of one trace
//   /metrics             for Prometheus
//   /healthz, /readyz    for whoever watches over us
//
// No line of data and nothing that bpftrace wrote to stderr goes over it.
//
// It costs the daemon at most `connections_max` descriptors with
// `head_bytes_max` bytes and one answer each. Nobody is waited for: who does
// not send a whole request, or does not read the answer, within `patience` is
// dropped. All of it runs between other work of the io thread; texts that are
// dear are made a few times a second at most (status_documents.hpp).

#include "app/status_page/page_request.hpp"
#include "app/status_report.hpp"
#include "messages/log.hpp"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace bpf2graphite {

class status_page {
public:
  static constexpr std::size_t connections_max = 32;
  static constexpr std::size_t head_bytes_max = 8192;
  static constexpr std::size_t requests_of_a_connection_max = 1000;
  static constexpr std::chrono::seconds patience{5};
  static constexpr std::chrono::seconds idle_max{10}; // between two requests
  static constexpr std::chrono::seconds listen_again_after{10};

  using shared_text = std::shared_ptr<const std::string>;

  struct environment {
    boost::asio::io_context& io;
    /// Of `status`, `metrics` and `ready`; that of `ready` begins with "ready"
    /// or "not ready".
    std::function<shared_text(page_document)> text;
    /// JSON; none: there is no such trace.
    std::function<std::optional<std::string>(const std::string& trace,
                                             std::int64_t since)>
      heatmap;
    log_sink log;
  };

  explicit status_page(environment env);
  ~status_page();
  status_page(const status_page&) = delete;
  status_page& operator=(const status_page&) = delete;

  /// Serves at `where`, a checked `status.listen`; empty: nowhere. What was
  /// open elsewhere is closed. Where it cannot listen it says so once, the
  /// daemon goes on without the page, and it is tried again each
  /// `listen_again_after`. io thread, like the rest.
  void listen(const std::string& where);

  /// Closes everything.
  void stop();

  page_report report() const;

private:
  class session;
  struct shared;
  using protocol = boost::asio::generic::stream_protocol;

  std::string open(page_place& place);
  void try_to_listen();
  void accept();

  std::shared_ptr<shared> shared_;
  std::string where_;
  std::string trouble_; // why nobody can be served at present
  std::string made_;    // the socket on disk that we made
  boost::asio::basic_socket_acceptor<protocol> acceptor_;
  boost::asio::steady_timer pause_;
};

} // namespace bpf2graphite
