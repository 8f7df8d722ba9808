#pragma once
// What a request to the page may be, and what it asks for. Strict: a browser
// that was lured (another site's script, a name that suddenly means 127.0.0.1)
// must get nothing, and what nobody needs is refused.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bpf2graphite {

/// The head of a request, as it came.
struct page_request {
  std::string_view method;
  std::string_view target;
  std::string_view host; // of the one Host header
  std::size_t hosts = 1; // how many there are
  bool has_body = false; // a length above 0, or chunks
  bool upgrades = false; // wants another protocol on this connection
};

/// Where the page is served.
struct page_place {
  bool tcp = true;        // else a unix socket
  std::uint16_t port = 0; // of TCP
};

enum class page_document {
  none,
  page,    // /
  status,  // /status.json
  heatmap, // /heatmap.json?trace=NAME[&since=SLOT]
  metrics, // /metrics
  alive,   // /healthz
  ready,   // /readyz
};

struct page_choice {
  unsigned status = 200; // else `text` says what is wrong
  page_document document = page_document::none;
  std::string text;
  std::string trace;      // of the heatmap
  std::int64_t since = 0; // only later slots; seconds since the epoch
};

constexpr std::size_t page_target_bytes_max = 1024;

/// Checks in this order, with these answers: target too long 414, not exactly
/// one Host header 400, a Host that is not us 421, a method other than GET and
/// HEAD 405, a body 413, another protocol 400, an unknown path 404, a query
/// where there is none or another one than above 400.
///
/// Us: localhost, 127.0.0.1 or [::1] with our port (which may be missing when
/// it is 80); over a unix socket the same names with any port or none.
page_choice choose_document(const page_request& request,
                            const page_place& place);

/// %41 as A; none when it is no text that was encoded so.
std::optional<std::string> percent_decoded(std::string_view text);

/// The name of a status: "Not Found".
const char* status_words(unsigned status);

} // namespace bpf2graphite
