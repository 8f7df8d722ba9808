#pragma once
// Every number of the books and the name under which everybody meets it: this
// is the one place that knows both. Whoever adds up or picks out goes by the
// place in the list, which is the same for each trace and each destination.

#include "actors/batcher/batch_queue.hpp"
#include "actors/normalizer/series_view.hpp"
#include "messages/ledger.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace bpf2graphite {

/// A number of the books, by its name.
using named_count = std::pair<const char*, std::uint64_t>;

/// A name, and how to read its number.
template <class Books>
struct count_entry {
  const char* name;
  std::uint64_t (*read)(const Books&);
};

/// The books of one trace.
struct trace_books {
  const trace_ledger& ledger;
  const series_state& series;
};

namespace book_counts {

inline std::uint64_t value(const counter& c) {
  return c.load(std::memory_order_relaxed);
}

template <counter trace_ledger::*Which>
std::uint64_t in_ledger(const trace_books& books) {
  return value(books.ledger.*Which);
}

template <std::uint64_t series_counts::*Which>
std::uint64_t in_series(const trace_books& books) {
  return books.series.counts.*Which;
}

template <counter destination_ledger::*Which>
std::uint64_t in_destination(const destination_ledger& books) {
  return value(books.*Which);
}

/// Between two actors, or of prints since the last flush.
std::uint64_t on_the_way(const trace_books& books);

} // namespace book_counts

inline constexpr auto trace_counts = [] {
  using namespace book_counts;
  using ledger = trace_ledger;
  using series = series_counts;
  return std::to_array<count_entry<trace_books>>({
    {"read", in_ledger<&ledger::values>},
    {"measured", in_series<&series::measured>},
    {"combined", in_series<&series::combined>},
    {"unchanged", in_series<&series::unchanged>},
    {"merged", in_series<&series::merged>},
    {"folded", in_series<&series::folded>},
    {"open",
     [](const trace_books& books) {
       return books.series.open_values;
     }},
    {"dropped_values",
     [](const trace_books& books) {
       return books.series.counts.dropped();
     }},
    {"dropped_unwanted", in_series<&series::dropped_unwanted>},
    {"dropped_filtered", in_series<&series::dropped_filtered>},
    {"dropped_text", in_series<&series::dropped_text>},
    {"dropped_tseries", in_series<&series::dropped_tseries>},
    {"dropped_kind", in_series<&series::dropped_kind>},
    {"dropped_inconsistent", in_series<&series::dropped_inconsistent>},
    {"dropped_keys", in_series<&series::dropped_keys>},
    {"dropped_gauge", in_series<&series::dropped_gauge>},
    {"dropped_budget", in_series<&series::dropped_budget>},
    {"dropped_collision", in_series<&series::dropped_collision>},
    {"late", in_series<&series::late>},
    {"zero_filled", in_series<&series::zero_filled>},
    {"slots_rewritten", in_series<&series::slots_rewritten>},
    {"resets", in_series<&series::resets>},
    {"inconsistent", in_series<&series::inconsistent>},
    {"crash", in_ledger<&ledger::crash_values>},
    {"on_the_way", on_the_way},
    {"crash_messages", in_ledger<&ledger::crash_messages>},
    {"lost_events", in_ledger<&ledger::lost_events>},
    {"helper_errors", in_ledger<&ledger::helper_errors>},
    {"map_full", in_ledger<&ledger::map_full>},
    {"rejected", in_ledger<&ledger::rejected>},
    {"printf_rejected", in_ledger<&ledger::printf_rejected>},
    {"invalid", in_ledger<&ledger::invalid>},
    {"truncated", in_ledger<&ledger::truncated>},
    {"printed", in_ledger<&ledger::printed>},
    {"discarded_lines", in_ledger<&ledger::lines_discarded>},
    {"bytes", in_ledger<&ledger::bytes>},
    {"snapshots", in_ledger<&ledger::snapshots>},
    {"points_made", in_ledger<&ledger::points>},
    {"series",
     [](const trace_books& books) -> std::uint64_t {
       return books.series.alive;
     }},
    {"starts", in_ledger<&ledger::starts>},
    {"restarts", in_ledger<&ledger::restarts>},
    {"actor_restarts", in_ledger<&ledger::actor_restarts>},
  });
}();

inline constexpr auto destination_counts = [] {
  using namespace book_counts;
  using ledger = destination_ledger;
  return std::to_array<count_entry<destination_ledger>>({
    {"points", in_destination<&ledger::points>},
    {"accepted", in_destination<&ledger::accepted>},
    {"waiting", in_destination<&ledger::waiting>},
    {"dropped_buffer", in_destination<&ledger::dropped_buffer>},
    {"dropped_stop", in_destination<&ledger::dropped_stop>},
    {"spooled", in_destination<&ledger::spooled>},
    {"parked", in_destination<&ledger::parked>},
    {"batches", in_destination<&ledger::batches>},
    {"from_spool", in_destination<&ledger::from_spool>},
    {"unseen", in_destination<&ledger::unseen>},
    {"resent", in_destination<&ledger::resent>},
    {"resend_dropped", in_destination<&ledger::resend_dropped>},
    {"connects", in_destination<&ledger::connects>},
    {"refusals", in_destination<&ledger::refusals>},
  });
}();

/// The numbers of a list, in its order.
using trace_numbers = std::array<std::uint64_t, trace_counts.size()>;
using destination_numbers =
  std::array<std::uint64_t, destination_counts.size()>;

trace_numbers numbers_of(const trace_books& books);
destination_numbers numbers_of(const destination_ledger& books);

/// Where a name stands in a list; only of one that is there.
template <class Books, std::size_t Size>
consteval std::size_t place_of(const std::array<count_entry<Books>, Size>& list,
                               std::string_view name) {
  std::size_t at = 0;
  while (list.at(at).name != name)
    ++at;
  return at;
}

/// Adds all of `more`.
template <std::size_t Size>
void add_numbers(std::array<std::uint64_t, Size>& to,
                 const std::array<std::uint64_t, Size>& more) {
  for (std::size_t i = 0; i < Size; ++i)
    to[i] += more[i];
}

/// With their names.
std::vector<named_count> named(const trace_numbers& numbers);
std::vector<named_count> named(const destination_numbers& numbers);

/// The books of all: sums over the traces and over the destinations, and what
/// belongs to none of them.
std::vector<named_count> ledger_of(const trace_numbers& traces,
                                   const batcher_ledger& batcher,
                                   const destination_numbers& destinations);

} // namespace bpf2graphite
