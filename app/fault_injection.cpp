#include "app/fault_injection.hpp"

#ifdef BPF2GRAPHITE_TEST_HOOKS
#include <boost/asio/signal_set.hpp>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
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

namespace {

/// `actor:trace:number` of an environment variable.
struct test_order {
  std::string text;
  std::string actor;
  std::string trace;
  int number = 0;

  bool concerns(const char* who, const std::string& whose) const {
    return who == actor && whose == trace;
  }
};

std::optional<test_order> order_in(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr)
    return std::nullopt;
  std::string text{value};
  auto first = text.find(':');
  auto last = text.rfind(':');
  if (first == std::string::npos || first == last)
    throw std::invalid_argument(std::string{variable} + ": actor:trace:number");
  return test_order{text, text.substr(0, first),
                    text.substr(first + 1, last - first - 1),
                    std::stoi(text.substr(last + 1))};
}

} // namespace

fault_hook fault_from_environment(log_sink log) {
  auto thrown = order_in("BPF2GRAPHITE_TEST_THROW");
  auto slow = order_in("BPF2GRAPHITE_TEST_SLOW");
  if (!thrown && !slow)
    return {};
  auto left = std::make_shared<std::atomic<int>>(thrown ? thrown->number : 0);
  return [=](const char* who, const std::string& whose) {
    if (slow && slow->concerns(who, whose))
      std::this_thread::sleep_for(std::chrono::milliseconds{slow->number});
    if (!thrown || !thrown->concerns(who, whose) || --*left != 0)
      return;
    log(log_level::notice, thrown->text + ": thrown for a test");
    throw std::runtime_error("thrown for a test");
  };
}

#endif

} // namespace bpf2graphite
