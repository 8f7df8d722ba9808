#pragma once
// Asks Graphite's render API, one question at a time, on the io thread.

#include "actors/graphite_connection/render_url.hpp"
#include "actors/graphite_connection/render_wire.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace bpf2graphite {

/// An answer that is larger is none.
inline constexpr std::size_t render_answer_bytes_max = 4 << 20;

/// HTTP/1.1, a connection each time. Owned by the topology; construct and
/// destroy it on the thread that runs `io`, or while none does. Names are
/// looked up as for Graphite: a dead resolver delays nothing.
class render_reader final : public render_wire {
public:
  /// `limit`: for one question, from the look-up to the last byte.
  render_reader(boost::asio::io_context& io, render_url url,
                std::chrono::milliseconds limit = std::chrono::seconds{10});
  ~render_reader() override;

  void listen(std::function<void(render_answer)> listener) override;
  void get(std::uint64_t number, std::string query) override;

private:
  class impl;
  boost::asio::io_context& io_;
  std::shared_ptr<impl> impl_;
};

} // namespace bpf2graphite
