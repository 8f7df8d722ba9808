#pragma once
// Starts, stops and restarts children by a list of specs. It knows no child by
// name; what a child holds beyond its life is lent to it by the topology,
// inside its start function.
//
// Messages (a supervisor is dynamically typed, since its children differ):
//   (add_atom, child_spec)    -> ok_atom once it is started, or an error
//   (remove_atom, id)         -> ok_atom once it is gone, or an error
//   (roll_call)               goes on to every child that is up
// An EXIT is an order from above, to end (user_shutdown) or to make way for a
// successor (anything else; see messages/exit.hpp). Children are told which.
// One that is down when the order to end for good comes is started once more:
// only it can stop what it held, a bpftrace, a batch.
//
// When a supervisor itself dies, its children end with `restart_reason`.

#include "actors/supervisor/supervision.hpp"
#include "messages/type_ids.hpp"

#include <caf/all.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bpf2graphite {

class siblings;

/// Spawns a child. It may throw: that is a failure of the child.
using start_function =
  std::function<caf::actor(caf::event_based_actor*, const siblings&)>;

/// How to start one child, and what its end means.
struct child_spec {
  std::string id;
  start_function start;
  supervision::restart restart = supervision::restart::permanent;
  /// Its end ends the supervisor, too: others outside hold its handle.
  bool significant = false;
  /// Time to end in peace, then it is killed; none for a supervisor, which
  /// needs that of its children.
  std::optional<std::chrono::milliseconds> grace{5'000};
  /// With stop_order::last_first: told to end together with the child before
  /// it, of which it knows nothing.
  bool with_previous = false;
};

/// Who wants to know. Called by the supervisor's actor; any may be empty.
struct supervision_observer {
  /// `child` ended because of `reason` and starts again after `delay`. (What
  /// goes down with it is not reported.)
  std::function<void(const std::string& child, const std::string& reason,
                     std::chrono::milliseconds delay)>
    restarting;
  /// Too many restarts (with exhaustion::retry_at_cap); false: healthy again.
  std::function<void(bool failing, const std::string& reason)> failing;
};

struct supervisor_spec {
  std::string id; // for error texts
  supervision::strategy strategy = supervision::strategy::one_for_one;
  supervision::intensity intensity{};
  supervision::exhaustion exhaustion = supervision::exhaustion::escalate;
  supervision::stop_order stop = supervision::stop_order::last_first;
  supervision::backoff_limits backoff{};
  /// Each result is within [0, 1]; empty: 1, no jitter.
  std::function<double()> random;
  supervision_observer observer;
  /// In start order. With one_for_one each has a backoff of its own.
  std::vector<child_spec> children;
};

/// A child and where it stands.
struct child {
  child_spec spec;
  caf::actor handle;
  std::uint64_t incarnation = 0;        // of `handle`; tells a late kill
  supervision::clock::time_point due{}; // when it starts, if it is down
  bool up = false;
  bool wanted = true;    // is to be started again
  bool stopping = false; // has to end ...
  bool asked = false;    // ... and was told
  bool removing = false; // ... and is then forgotten
  /// With one_for_one, from its first failure on.
  std::unique_ptr<supervision::backoff> backoff{};
};

/// What a start function may see: the children started before it.
class siblings {
public:
  siblings(const std::vector<child>& children, std::size_t visible)
    : children_{children}, visible_{visible} {}

  /// The handle of a child that runs. It is a mistake in the specs to name one
  /// that is not started before (std::logic_error).
  template <class Handle>
  Handle get(const std::string& id) const {
    return caf::actor_cast<Handle>(find(id));
  }

private:
  const caf::actor& find(const std::string& id) const;

  const std::vector<child>& children_;
  std::size_t visible_;
};

struct supervisor_state {
  static inline const char* name = "supervisor";

  supervisor_spec spec; // its children are in `children`
  std::vector<child> children;
  /// From the first failure on, which most never have. The backoff is not for
  /// one_for_one.
  std::unique_ptr<supervision::restart_window> window;
  std::unique_ptr<supervision::backoff> backoff;
  /// Who waits for the removal of which child.
  std::vector<std::pair<std::string, caf::response_promise>> removals;
  std::uint64_t incarnations = 0;
  std::optional<supervision::clock::time_point> timer; // the earliest set
  bool failing = false;
  std::uint64_t failures = 0; // generation of `health_atom`
  /// Set once we are on our way out: why.
  std::optional<caf::error> verdict;
  /// On our way out for good, and children that are down come up first.
  bool adopting = false;

  supervisor_state() = default;
  supervisor_state(const supervisor_state&) = delete;
  supervisor_state& operator=(const supervisor_state&) = delete;

  /// Runs at the end of the actor, whatever ended it: children share its fate.
  ~supervisor_state();
};

caf::behavior supervisor(caf::stateful_actor<supervisor_state>* self,
                         supervisor_spec spec);

/// What an error says: the text of an exception, or CAF's rendering.
std::string describe(caf::actor_system& sys, const caf::error& reason);

} // namespace bpf2graphite

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(bpf2graphite::child_spec)
