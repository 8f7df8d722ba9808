#include "app/fault_injection.hpp"

#ifdef BPF2GRAPHITE_TEST_HOOKS
#include <boost/asio/signal_set.hpp>

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#endif

namespace bpf2graphite {

#ifndef BPF2GRAPHITE_TEST_HOOKS

fault_hook fault_from_environment(log_sink) {
  return {};
}

fault_hook block_from_environment(boost::asio::io_context&, fault_hook hook) {
  return hook;
}

#else

namespace {

[[noreturn]] void stand_still() {
  for (;;)
    ::pause();
}

} // namespace

fault_hook block_from_environment(boost::asio::io_context& io,
                                  fault_hook hook) {
  const char* text = std::getenv("BPF2GRAPHITE_TEST_BLOCK");
  if (text == nullptr)
    return hook;
  auto armed = std::make_shared<std::atomic<bool>>(false);
  auto signals = std::make_shared<boost::asio::signal_set>(io, SIGUSR1);
  std::string whom{text};
  signals->async_wait([=](boost::system::error_code ec, int) {
    if (!ec && signals && whom == "io")
      stand_still();
    *armed = !ec;
  });
  return [=](const char* who, const std::string& whose) {
    if (*armed && std::string{who} + ':' + whose == whom)
      stand_still();
    if (hook)
      hook(who, whose);
  };
}

fault_hook fault_from_environment(log_sink log) {
  const char* text = std::getenv("BPF2GRAPHITE_TEST_THROW");
  if (text == nullptr)
    return {};
  std::string order{text};
  auto first = order.find(':');
  auto last = order.rfind(':');
  if (first == std::string::npos || first == last)
    throw std::invalid_argument("BPF2GRAPHITE_TEST_THROW: actor:trace:n");
  auto actor = order.substr(0, first);
  auto trace = order.substr(first + 1, last - first - 1);
  auto left =
    std::make_shared<std::atomic<int>>(std::stoi(order.substr(last + 1)));
  return [=](const char* who, const std::string& whose) {
    if (who != actor || whose != trace || --*left != 0)
      return;
    log(log_level::notice, order + ": thrown for a test");
    throw std::runtime_error("thrown for a test");
  };
}

#endif

} // namespace bpf2graphite
