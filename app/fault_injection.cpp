#include "app/fault_injection.hpp"

#ifdef BPF2GRAPHITE_TEST_HOOKS
#include <atomic>
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

#else

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
