#include "actors/line_reader/line_splitter.hpp"

#include <utility>

namespace bpf2graphite {

line_splitter::line_splitter(std::size_t line_bytes_max,
                             std::size_t plain_bytes_max)
  : line_bytes_max_{line_bytes_max}, plain_bytes_max_{plain_bytes_max} {}

bool line_splitter::too_long(std::string_view more) {
  if (more.size() > line_bytes_max_ - partial_.size())
    return true;
  if (plain_bytes_max_ == SIZE_MAX || opened_)
    return false;
  // What is there already is not over the limit, or it would be discarded.
  auto early = plain_bytes_max_ - partial_.size();
  opened_ = more.substr(0, early).find('{') != std::string_view::npos;
  return !opened_ && more.size() > early;
}

void line_splitter::discard(std::size_t bytes, bool whole) {
  if (!discarding_)
    ++discarded_lines_;
  discarded_bytes_ += bytes;
  discarding_ = !whole;
}

split_lines line_splitter::take(std::string_view chunk) {
  split_lines out;
  joined_.clear();
  // The rest of the line that an earlier chunk began.
  if (discarding_ || !partial_.empty()) {
    std::size_t end = chunk.find('\n');
    bool whole = end != std::string_view::npos;
    std::string_view piece = chunk.substr(0, whole ? end + 1 : chunk.size());
    chunk.remove_prefix(piece.size());
    std::size_t text_bytes = piece.size() - (whole ? 1 : 0);
    if (discarding_) {
      discard(piece.size(), whole);
    } else if (too_long(piece.substr(0, text_bytes))) {
      discard(partial_.size() + piece.size(), whole);
      std::string{}.swap(partial_); // gives the memory back
    } else {
      partial_ += piece;
      if (whole) {
        std::swap(joined_, partial_);
        out.joined = joined_;
      }
    }
    if (!whole)
      return out;
  }
  // Only a chunk longer than the limit can hold a line over the limit.
  std::size_t tail = chunk.rfind('\n');
  tail = tail == std::string_view::npos ? 0 : tail + 1;
  std::string_view lines = chunk.substr(0, tail);
  if (lines.size() <= line_bytes_max_) {
    if (!lines.empty())
      out.regions.push_back(lines);
  } else {
    std::size_t from = 0;
    for (std::size_t at = 0; at < lines.size();) {
      std::size_t next = lines.find('\n', at) + 1;
      if (next - 1 - at > line_bytes_max_) {
        if (at > from)
          out.regions.push_back(lines.substr(from, at - from));
        discard(next - at, true);
        from = next;
      }
      at = next;
    }
    if (from < lines.size())
      out.regions.push_back(lines.substr(from));
  }
  chunk.remove_prefix(tail);
  opened_ = false;
  if (too_long(chunk))
    discard(chunk.size(), false);
  else
    partial_.assign(chunk);
  return out;
}

std::string line_splitter::take_joined() {
  return std::exchange(joined_, {});
}

std::string line_splitter::finish() {
  discarding_ = false;
  joined_.clear();
  return std::exchange(partial_, {});
}

} // namespace bpf2graphite
