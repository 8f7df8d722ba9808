#pragma once
// `--stdout`: a Graphite that is the standard output and accepts everything.

#include "actors/graphite_connection/graphite_wire.hpp"

#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <limits>
#include <mutex>
#include <string>
#include <string_view>

namespace bpf2graphite {

class stdout_wire final : public graphite_wire {
public:
  /// `broken` is called once, on the io thread, when stdout takes nothing more
  /// (a closed pipe, a full disk), with the reason.
  stdout_wire(boost::asio::io_context& io,
              std::function<void(std::string)> broken);

  /// Lines of later slots than this one (seconds since the epoch) are left out
  /// from now on: `once` shows whole slots only. io thread.
  void show_up_to(std::int64_t slot) {
    last_slot_ = slot;
  }

  void listen(std::function<void(wire_event)> listener) override;
  void connect(std::uint64_t attempt, const graphite_address& address,
               wire_limits limits) override;
  void send(std::uint64_t attempt,
            std::shared_ptr<const std::string> lines) override;
  void half_close(std::uint64_t attempt) override;
  void close(std::uint64_t attempt) override;

private:
  void tell(wire_event event);

  boost::asio::io_context& io_;
  std::function<void(std::string)> broken_;
  std::int64_t last_slot_ = std::numeric_limits<std::int64_t>::max();
  std::mutex mutex_;
  std::function<void(wire_event)> listener_;
};

} // namespace bpf2graphite
