#pragma once
// One picture of `top`: text for a terminal, from the daemon's document.

#include <boost/json/value.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace bpf2graphite {

enum class top_colours {
  none, // letters of rising weight instead
  few,  // the 16 of every terminal
  many, // the 256 of xterm
};

struct top_view {
  std::size_t rows = 24;
  std::size_t columns = 80;
  top_colours colours = top_colours::none;
  std::size_t selected = 0; // which trace is drawn
  std::size_t map = 0;      // which of its histograms
};

/// At most `rows` lines of at most `columns` cells: how the daemon is, a line a
/// trace, and the heatmap of the selected one (time across, newest to the
/// right, buckets up, colour by count). `before` is an older document, for
/// rates; null: none. Data is escaped; the lines end without a newline.
std::vector<std::string> top_screen(const boost::json::value& now,
                                    const boost::json::value& before,
                                    const top_view& view);

/// A plain table, for a pipe or a file.
std::string top_table(const boost::json::value& now);

/// How many traces the document has.
std::size_t traces_in(const boost::json::value& document);

} // namespace bpf2graphite
