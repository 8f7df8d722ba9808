#pragma once
// The other end of status.sock.

#include "app/options.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace bpf2graphite {

/// Where the daemon's socket is: the configuration's runtime directory, or the
/// default when there is no configuration that can be read.
std::string status_socket_path(const options& given);

/// Asks one question and gives the whole answer; or says on stderr why there
/// is none.
std::optional<std::string> ask_daemon(const std::string& path,
                                      std::string_view question);

/// Asks, and hands on what comes until it ends or `take` returns false. False:
/// could not connect (said on stderr).
bool follow_daemon(const std::string& path, std::string_view question,
                   const std::function<bool(std::string_view)>& take);

} // namespace bpf2graphite
