#pragma once
// The status document as a person reads it.

#include <boost/json/value.hpp>

#include <string>

namespace bpf2graphite {

/// Tables of traces, how many are in which state, destinations and the ledger.
/// `columns`: of the terminal, longer reasons are cut (0: never). Data is
/// escaped. `document` is what status.sock gave; missing members are shown as
/// `-`.
std::string status_text(const boost::json::value& document,
                        std::size_t columns);

} // namespace bpf2graphite
