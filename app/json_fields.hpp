#pragma once
// Reading a JSON document that another version of us may have written: what is
// missing or of another kind is nothing, never an error.

#include <boost/json/value.hpp>

#include <cstdint>
#include <string>

namespace bpf2graphite {

/// The member of that name; null when there is none.
const boost::json::value& member(const boost::json::value& in,
                                 const char* name);

/// A whole number, 0 for everything else; negative ones are 0.
std::uint64_t number_in(const boost::json::value& in, const char* name);

/// A text with everything escaped that could move a terminal's cursor; other
/// kinds as JSON, `-` when missing.
std::string text_in(const boost::json::value& in, const char* name);

/// 12345678 as 12.3M, so that columns stay narrow.
std::string short_number(std::uint64_t n);

/// 3700 as 1h1m.
std::string short_duration(std::uint64_t seconds);

} // namespace bpf2graphite
