#include "actors/graphite_connection/render_url.hpp"

#include <algorithm>
#include <charconv>

namespace bpf2graphite {
namespace {

render_url refuse(std::string error) {
  render_url result;
  result.error = std::move(error);
  return result;
}

} // namespace

render_url parse_render_url(std::string_view text) {
  if (text.starts_with("https://"))
    return refuse("wants TLS, which is not spoken here; name an address within "
                  "reach that begins with http://");
  constexpr std::string_view scheme = "http://";
  if (!text.starts_with(scheme))
    return refuse("is no address; write one that begins with http://, such as "
                  "\"http://graphite.example.com:80/render\"");
  if (!std::all_of(text.begin(), text.end(),
                   [](char c) { return c > ' ' && c <= '~'; }))
    return refuse("holds a byte that no address has; remove it");
  if (text.find_first_of("?#@") != text.npos)
    return refuse("holds a question mark, # or @; write host, port and path "
                  "only");
  text.remove_prefix(scheme.size());
  auto slash = std::min(text.find('/'), text.size());
  auto host = text.substr(0, slash);
  render_url result;
  result.host_field = host;
  result.path = text.substr(slash);
  if (result.path.empty() || result.path == "/")
    result.path = "/render";
  auto colon = host.rfind(':');
  auto bracket = host.rfind(']');
  if (colon != host.npos && (bracket == host.npos || colon > bracket)) {
    auto digits = host.substr(colon + 1);
    auto [at, error] = std::from_chars(
      digits.data(), digits.data() + digits.size(), result.port);
    if (error != std::errc{} || at != digits.data() + digits.size()
        || result.port == 0)
      return refuse("has a port that is none; write a number from 1 to 65535");
    host = host.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  else if (host.find_first_of("[]:") != host.npos)
    return refuse("has no host; write an IPv6 address in brackets");
  if (host.empty())
    return refuse("has no host; write http://HOST:PORT/render");
  result.host = host;
  return result;
}

std::string render_target(std::string_view series) {
  auto tags = series.find(';');
  if (tags == series.npos)
    return std::string{series};
  std::string out = "seriesByTag('name=";
  out += series.substr(0, tags);
  for (auto rest = series.substr(tags + 1); !rest.empty();) {
    auto end = std::min(rest.find(';'), rest.size());
    out += "','";
    out += rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out + "')";
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (char c : text) {
    auto plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')
                 || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
    if (plain) {
      out += c;
      continue;
    }
    auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += "0123456789ABCDEF"[byte >> 4U];
    out += "0123456789ABCDEF"[byte & 15U];
  }
  return out;
}

} // namespace bpf2graphite
