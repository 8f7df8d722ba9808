#include "app/graphite_fit.hpp"

#include "actors/graphite_connection/render_url.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <numeric>

namespace bpf2graphite {
std::vector<fit_question> fit_questions(const config& all,
                                        const std::vector<trace_plan>& plans,
                                        const std::string& host) {
  std::vector<fit_question> out;
  auto add = [&](const series_family& family, std::chrono::seconds step) {
    out.push_back(
      {"limit(" + family.target + "," + std::to_string(fit_series_max) + ")",
       step.count(), family.method});
  };
  for (const auto& plan : plans)
    for (const auto& family : series_families(plan))
      add(family, plan.series.slots.resolution);
  if (!all.own_metrics.enabled)
    return out;
  auto naming = all.defaults.naming;
  if (naming.host.empty())
    naming.host = host;
  for (const auto& family : own_families(naming, all.own_metrics.name))
    add(family,
        std::chrono::duration_cast<std::chrono::seconds>(all.batcher.interval));
  return out;
}

std::string render_query(const std::string& target, std::int64_t from_ago,
                         std::int64_t until_ago) {
  // noCache: an answer of before must not stand for the one of now.
  return "?format=raw&noCache=1&from=-" + std::to_string(from_ago) + "s"
         + (until_ago == 0 ? std::string{}
                           : "&until=-" + std::to_string(until_ago) + "s")
         + "&target=" + percent_encoded(target);
}

std::optional<std::vector<stored_series>> read_raw(std::string_view body) {
  std::vector<stored_series> out;
  while (!body.empty()) {
    auto line = body.substr(0, body.find('\n'));
    body.remove_prefix(std::min(body.size(), line.size() + 1));
    if (line.ends_with('\r'))
      line.remove_suffix(1);
    if (line.empty())
      continue;
    // Functions have commas in their names: the numbers are the last three.
    auto bar = line.rfind('|');
    if (bar == std::string_view::npos)
      return std::nullopt;
    auto head = line.substr(0, bar);
    std::array<std::int64_t, 3> numbers{};
    for (auto at = numbers.rbegin(); at != numbers.rend(); ++at) {
      auto comma = head.rfind(',');
      if (comma == std::string_view::npos)
        return std::nullopt;
      auto digits = head.substr(comma + 1);
      auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), *at);
      if (error != std::errc{} || end != digits.data() + digits.size())
        return std::nullopt;
      head = head.substr(0, comma);
    }
    if (head.empty() || numbers[2] <= 0)
      return std::nullopt;
    stored_series series{std::string{head}, numbers[0], numbers[2], {}};
    for (auto rest = line.substr(bar + 1); !rest.empty();) {
      auto text = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), text.size() + 1));
      double value = 0;
      auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value);
      if (error == std::errc{} && end == text.data() + text.size())
        series.values.emplace_back(value);
      else if (text == "None")
        series.values.emplace_back();
      else
        return std::nullopt;
    }
    out.push_back(std::move(series));
  }
  return out;
}

std::vector<roll_up> roll_ups_that_fit(const stored_series& fine,
                                       const stored_series& coarse) {
  constexpr std::size_t under_way = 2;
  constexpr double tolerance = 1e-9;
  std::vector<roll_up> fitting{roll_up::sum, roll_up::average, roll_up::max,
                               roll_up::min, roll_up::last};
  auto told = false;
  auto end =
    fine.start + fine.step * static_cast<std::int64_t>(fine.values.size());
  for (std::size_t i = 0; i + under_way < coarse.values.size(); ++i) {
    auto from = coarse.start + coarse.step * static_cast<std::int64_t>(i);
    if (!coarse.values[i] || from < fine.start || from + coarse.step > end)
      continue;
    std::vector<double> parts;
    for (auto t = from; t < from + coarse.step; t += fine.step) {
      // Both grids begin at multiples of their steps.
      auto at = static_cast<std::size_t>((t - fine.start) / fine.step);
      if (fine.values[at])
        parts.push_back(*fine.values[at]);
    }
    if (parts.size() < 2)
      continue;
    auto least = *std::min_element(parts.begin(), parts.end());
    auto most = *std::max_element(parts.begin(), parts.end());
    if (least == 0 && most == 0)
      continue;
    told = true;
    auto sum = std::accumulate(parts.begin(), parts.end(), 0.0);
    auto gives = [&](roll_up method) {
      switch (method) {
        case roll_up::sum:
          return sum;
        case roll_up::average:
          return sum / static_cast<double>(parts.size());
        case roll_up::max:
          return most;
        case roll_up::min:
          return least;
        case roll_up::last:
          break;
      }
      return parts.back();
    };
    std::erase_if(fitting, [&](roll_up method) {
      auto wanted = gives(method);
      return std::abs(*coarse.values[i] - wanted)
             > tolerance * std::max(1.0, std::abs(wanted));
    });
  }
  if (!told)
    fitting.clear();
  return fitting;
}

bool spoils(roll_up wanted, const std::vector<roll_up>& found) {
  if (found.empty())
    return false;
  auto added =
    std::find(found.begin(), found.end(), roll_up::sum) != found.end();
  return wanted == roll_up::sum ? !added : added && found.size() == 1;
}

} // namespace bpf2graphite
