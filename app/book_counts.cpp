#include "app/book_counts.hpp"

namespace bpf2graphite {
namespace {

template <class Books, std::size_t Size>
auto read_all(const std::array<count_entry<Books>, Size>& list,
              const Books& books) {
  std::array<std::uint64_t, Size> numbers{};
  for (std::size_t i = 0; i < Size; ++i)
    numbers[i] = list[i].read(books);
  return numbers;
}

template <class Books, std::size_t Size>
void append_named(std::vector<named_count>& out,
                  const std::array<count_entry<Books>, Size>& list,
                  const std::array<std::uint64_t, Size>& numbers) {
  for (std::size_t i = 0; i < Size; ++i)
    out.emplace_back(list[i].name, numbers[i]);
}

} // namespace

std::uint64_t book_counts::on_the_way(const trace_books& books) {
  const auto& c = books.series.counts;
  const auto read = value(books.ledger.values);
  const auto known = c.measured + c.combined + c.unchanged + c.merged + c.folded
                     + c.dropped() + books.series.open_values
                     + value(books.ledger.crash_values);
  return read - std::min(read, known);
}

trace_numbers numbers_of(const trace_books& books) {
  return read_all(trace_counts, books);
}

destination_numbers numbers_of(const destination_ledger& books) {
  return read_all(destination_counts, books);
}

std::vector<named_count> named(const trace_numbers& numbers) {
  std::vector<named_count> out;
  out.reserve(numbers.size());
  append_named(out, trace_counts, numbers);
  return out;
}

std::vector<named_count> named(const destination_numbers& numbers) {
  std::vector<named_count> out;
  out.reserve(numbers.size());
  append_named(out, destination_counts, numbers);
  return out;
}

std::vector<named_count> ledger_of(const trace_numbers& traces,
                                   const batcher_ledger& batcher,
                                   const destination_numbers& destinations) {
  constexpr auto crash = place_of(trace_counts, "crash");
  constexpr auto crash_messages = place_of(trace_counts, "crash_messages");
  std::vector<named_count> out;
  out.reserve(traces.size() + 1 + destinations.size());
  append_named(out, trace_counts, traces);
  out[crash].second += book_counts::value(batcher.crash_points);
  out[crash_messages].second += book_counts::value(batcher.crash_messages);
  out.emplace_back("refused_lines", book_counts::value(batcher.refused));
  append_named(out, destination_counts, destinations);
  return out;
}

} // namespace bpf2graphite
