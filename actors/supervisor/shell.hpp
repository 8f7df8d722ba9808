#pragma once
// What every shell does the same way: keep the text of an exception, and
// finish its inbox before it goes.

#include <caf/all.hpp>

#include <exception>
#include <string>
#include <utility>

namespace bpf2graphite {

/// Without this CAF 0.17 reports an exception without its text.
template <class Self>
void keep_exception_text(Self* self) {
  self->set_exception_handler([](std::exception_ptr& thrown) -> caf::error {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& e) {
      return caf::make_error(caf::sec::runtime_error, std::string{e.what()});
    } catch (...) {
      return caf::make_error(caf::sec::runtime_error,
                             std::string{"an exception of no known type"});
    }
  });
}

/// A roll call is no message of theirs: to drop it is all there is to do. CAF
/// would print it.
template <class Self>
void answer_roll_calls(Self* self) {
  self->set_default_handler(caf::drop);
}

/// On an order to end: calls `last(reason)`, then ends for that reason.
template <class Self, class Last>
void on_exit(Self* self, Last last) {
  self->set_exit_handler([self, last](const caf::exit_msg& order) {
    last(order.reason);
    self->quit(order.reason);
  });
}

} // namespace bpf2graphite
