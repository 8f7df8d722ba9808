#pragma once
// Does what Graphite has stored already fit the configuration? Step and
// aggregation of the series that are really there, asked of graphite-web. Text
// in, text out; deep_check does the asking.

#include "app/series_families.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bpf2graphite {

/// What is asked about one family of series, and what should come out.
struct fit_question {
  std::string target;    // of the render API, at most `fit_series_max` series
  std::int64_t step = 0; // seconds: the resolution of its slots
  roll_up method = roll_up::sum;
};

inline constexpr std::size_t fit_series_max = 10;
/// Of a configuration with more only the first ones are asked about.
inline constexpr std::size_t fit_questions_max = 200;

/// All families of all traces and of our own metrics, of this host (`host`:
/// what gethostname(2) says).
std::vector<fit_question> fit_questions(const config& all,
                                        const std::vector<trace_plan>& plans,
                                        const std::string& host);

/// `?target=...&from=-...&until=...&format=raw`: seconds before now.
std::string render_query(const std::string& target, std::int64_t from_ago,
                         std::int64_t until_ago);

/// A series of an answer in Graphite's raw format.
struct stored_series {
  std::string name;
  std::int64_t start = 0; // of the first value
  std::int64_t step = 0;  // > 0
  std::vector<std::optional<double>> values;
};

/// The lines `name,start,end,step|v,v,...`; none when a line is not of that
/// form. An empty answer is an empty list. Source: graphite-web 1.1,
/// docs/render_api.rst, "raw".
std::optional<std::vector<stored_series>> read_raw(std::string_view body);

/// Which methods explain how the coarse values of a series came from its fine
/// ones: those that give each coarse value of which all fine slots are known,
/// the newest coarse ones apart, which may be under way. Graphite-web does not
/// tell the method itself (1.1.8 fails when it is asked for). Empty: nothing
/// can be said, because no coarse slot has two fine values of which one is not
/// 0, or because no method explains them all.
std::vector<roll_up> roll_ups_that_fit(const stored_series& fine,
                                       const stored_series& coarse);

/// Whether points of `wanted` are spoiled when they are rolled up by one of
/// `found`. Only what must be added and is not, or is added and must not be:
/// another choice between average, last, max and min is a matter of taste.
bool spoils(roll_up wanted, const std::vector<roll_up>& found);

} // namespace bpf2graphite
