#pragma once
// Where an actor's words for people go. Injected, so tests read them and no
// actor knows a journal.

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace bpf2graphite {

enum class log_level { error, warning, notice, info, debug };

/// What a message is about, in a word that does not change when its text does:
/// the journal's field BPF2GRAPHITE_EVENT, "event" in JSON.
namespace log_event {
inline constexpr std::string_view trace_ended = "trace-ended";
inline constexpr std::string_view trace_failing = "trace-failing";
inline constexpr std::string_view trace_well = "trace-well";
inline constexpr std::string_view trace_shared = "trace-shared";
inline constexpr std::string_view trace_output = "trace-output"; // its stderr
inline constexpr std::string_view values_lost = "values-lost";
inline constexpr std::string_view actor_restarted = "actor-restarted";
inline constexpr std::string_view graphite_trouble = "graphite-trouble";
inline constexpr std::string_view graphite_well = "graphite-well";
inline constexpr std::string_view line_refused = "line-refused";
inline constexpr std::string_view reloaded = "reloaded";
inline constexpr std::string_view reload_refused = "reload-refused";
inline constexpr std::string_view restart_needed = "restart-needed";
inline constexpr std::string_view started = "started";
inline constexpr std::string_view stopping = "stopping";
inline constexpr std::string_view ledger = "ledger";
inline constexpr std::string_view log_dropped = "log-dropped";
} // namespace log_event

/// Where in the sources a message comes from; what comes too often from one
/// place is left out and counted.
struct log_place {
  const char* file = "";
  int line = 0;
};

/// Takes one line of text without a line end; any thread, never blocks. Made
/// from any function of (level, text) or (level, text, event, place).
class log_sink {
public:
  log_sink() = default;

  template <class F>
  requires std::invocable<F&, log_level, std::string_view, std::string_view,
                          log_place>
  log_sink(F write) : write_{std::make_shared<function>(std::move(write))} {}

  template <class F>
  requires std::invocable<F&, log_level, std::string_view> &&(
    !std::same_as<std::remove_cvref_t<F>, log_sink>)log_sink(F write)
    : write_{std::make_shared<function>(
      [write = std::move(write)](log_level level, std::string_view text,
                                 std::string_view,
                                 log_place) mutable { write(level, text); })} {}

  void operator()(log_level level, std::string_view text,
                  std::string_view event = {},
                  const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) const {
    if (write_ && *write_)
      (*write_)(level, text, event, {file, line});
  }

private:
  using function = std::function<void(log_level, std::string_view,
                                      std::string_view, log_place)>;

  std::shared_ptr<function> write_; // each part of a trace has a copy
};

/// Somebody's bytes in a message are cut here.
inline constexpr std::size_t data_shown_max = 200;

/// Called by an actor at the start of each message handler with its name and
/// its trace or destination. Tests let it throw; empty otherwise.
using fault_hook =
  std::function<void(const char* actor, const std::string& trace)>;

} // namespace bpf2graphite
