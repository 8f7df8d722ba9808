#pragma once
// Asking whether every actor comes to run, without an answer from each.

#include <memory>
#include <utility>

namespace bpf2graphite {

/// A message to every actor below a supervisor. All of one call hold the same;
/// when the last has been handled, or was lost with an actor that died, nobody
/// holds it any more, and the call is over. An actor that hangs has it in its
/// mailbox. To be handled is to be dropped, but for a supervisor, which calls
/// those below first.
struct roll_call {
  std::shared_ptr<void> held;
};

/// `over` is called once, from the thread that handles the last.
template <class Over>
roll_call make_roll_call(Over over) {
  return {
    std::shared_ptr<void>{nullptr, [over = std::move(over)](std::nullptr_t) {
                            over();
                          }}};
}

} // namespace bpf2graphite
