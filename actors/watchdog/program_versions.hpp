#pragma once
// What `bpftrace --version` says, asked once per binary: a package upgrade
// makes another file of it. io thread only.

#include "actors/watchdog/child.hpp"
#include "actors/watchdog/pipe_poller.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>

namespace bpf2graphite {

class program_versions {
public:
  /// A program that does not say it by then is killed.
  static constexpr std::chrono::seconds answer_max{10};
  static constexpr std::size_t answer_bytes_max = 256;

  /// Gets the first line of the answer; empty: it gave none.
  using callback = std::function<void(const std::string& version)>;

  program_versions(boost::asio::io_context& io, launcher& children,
                   pipe_poller& pipes);
  ~program_versions();
  program_versions(const program_versions&) = delete;
  program_versions& operator=(const program_versions&) = delete;

  /// Calls `then`, at once when the answer is known. `program` is absolute.
  void ask(const std::string& program, callback then);

private:
  struct identity {
    std::string path;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t changed_ns = 0;

    auto operator<=>(const identity&) const = default;
  };
  class question;

  static identity identify(const std::string& program);
  void answered(const identity& who, const std::string& version);

  boost::asio::io_context& io_;
  launcher& children_;
  pipe_poller& pipes_;
  std::map<identity, std::string> known_;
  std::map<identity, std::shared_ptr<question>> open_;
};

} // namespace bpf2graphite
