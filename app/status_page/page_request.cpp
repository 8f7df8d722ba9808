#include "app/status_page/page_request.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

namespace bpf2graphite {
namespace {

constexpr std::string_view heatmap_path = "/heatmap.json";

page_choice refuse(unsigned status, std::string text) {
  page_choice choice;
  choice.status = status;
  choice.text = std::move(text);
  return choice;
}

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x))
           == std::tolower(static_cast<unsigned char>(y));
  });
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number number{};
  auto [end, error] =
    std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return number;
}

bool is_us(std::string_view host, const page_place& place) {
  auto name = host;
  std::optional<std::string_view> port;
  // The colons of an address in brackets are its own.
  auto colon = host.rfind(':');
  if (colon != std::string_view::npos
      && host.find(']', colon) == std::string_view::npos) {
    name = host.substr(0, colon);
    port = host.substr(colon + 1);
  }
  if (!same_word(name, "localhost") && name != "127.0.0.1" && name != "[::1]")
    return false;
  constexpr std::uint16_t default_port = 80;
  if (!port)
    return !place.tcp || place.port == default_port;
  auto number = number_of<std::uint16_t>(*port);
  return number && port->front() != '0'
         && (!place.tcp || *number == place.port);
}

page_choice choose_heatmap(std::string_view query) {
  page_choice choice;
  choice.document = page_document::heatmap;
  auto traces = 0;
  auto sinces = 0;
  while (!query.empty()) {
    auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    auto equals = pair.find('=');
    auto name = pair.substr(0, equals);
    auto value = equals == std::string_view::npos ? std::string_view{}
                                                  : pair.substr(equals + 1);
    if (name == "trace") {
      auto decoded = percent_decoded(value);
      if (!decoded || decoded->empty())
        return refuse(400, "trace: no name of a trace");
      choice.trace = std::move(*decoded);
      ++traces;
    } else if (name == "since") {
      auto slot = number_of<std::int64_t>(value);
      if (!slot || *slot < 0)
        return refuse(400, "since: write seconds since the epoch");
      choice.since = *slot;
      ++sinces;
    } else {
      return refuse(400, "write /heatmap.json?trace=NAME&since=SECONDS");
    }
  }
  if (traces != 1 || sinces > 1)
    return refuse(400, "write /heatmap.json?trace=NAME&since=SECONDS");
  return choice;
}

} // namespace

page_choice choose_document(const page_request& request,
                            const page_place& place) {
  if (request.target.size() > page_target_bytes_max)
    return refuse(414, "the target is longer than "
                         + std::to_string(page_target_bytes_max) + " bytes");
  if (request.hosts != 1)
    return refuse(400, "one Host header is needed");
  if (!is_us(request.host, place))
    return refuse(421, "this is localhost, 127.0.0.1 or [::1]"
                         + (place.tcp ? ", port " + std::to_string(place.port)
                                      : std::string{})
                         + ": use one of these names");
  if (request.method != "GET" && request.method != "HEAD")
    return refuse(405, "GET and HEAD only");
  if (request.has_body)
    return refuse(413, "a request has no body here");
  if (request.upgrades)
    return refuse(400, "no other protocol is spoken here");
  auto path = request.target.substr(0, request.target.find('?'));
  static constexpr std::array<std::pair<std::string_view, page_document>, 6>
    paths{{{"/", page_document::page},
           {"/status.json", page_document::status},
           {heatmap_path, page_document::heatmap},
           {"/metrics", page_document::metrics},
           {"/healthz", page_document::alive},
           {"/readyz", page_document::ready}}};
  const auto* known =
    std::find_if(paths.begin(), paths.end(),
                 [path](const auto& one) { return one.first == path; });
  if (known == paths.end())
    return refuse(404, "here are: / /status.json /heatmap.json /metrics "
                       "/healthz /readyz");
  if (known->second == page_document::heatmap)
    return choose_heatmap(request.target.size() > path.size()
                            ? request.target.substr(path.size() + 1)
                            : std::string_view{});
  if (request.target.size() > path.size())
    return refuse(400, std::string{path} + " takes no query");
  page_choice choice;
  choice.document = known->second;
  return choice;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned byte = 0;
    if (i + 2 >= text.size())
      return std::nullopt;
    const auto* digits = text.data() + i + 1;
    auto [end, error] = std::from_chars(digits, digits + 2, byte, 16);
    if (error != std::errc{} || end != digits + 2)
      return std::nullopt;
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

const char* status_words(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 421:
      return "Misdirected Request";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "Error";
  }
}

} // namespace bpf2graphite
