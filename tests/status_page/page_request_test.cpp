#include "app/status_page/page_request.hpp"

#include <gtest/gtest.h>

#include <string>

namespace bpf2graphite {
namespace {

constexpr page_place tcp{.tcp = true, .port = 9126};
constexpr page_place unix_socket{.tcp = false, .port = 0};

page_request get(std::string_view target) {
  return {.method = "GET", .target = target, .host = "127.0.0.1:9126"};
}

TEST(PageRequest, FindsEachDocument) {
  EXPECT_EQ(page_document::page, choose_document(get("/"), tcp).document);
  EXPECT_EQ(page_document::status,
            choose_document(get("/status.json"), tcp).document);
  EXPECT_EQ(page_document::metrics,
            choose_document(get("/metrics"), tcp).document);
  EXPECT_EQ(page_document::alive,
            choose_document(get("/healthz"), tcp).document);
  EXPECT_EQ(page_document::ready,
            choose_document(get("/readyz"), tcp).document);
  auto head = get("/metrics");
  head.method = "HEAD";
  EXPECT_EQ(page_document::metrics, choose_document(head, tcp).document);
}

struct refused_case {
  const char* name;
  unsigned status;
  page_request request;
};

void PrintTo(const refused_case& one, std::ostream* out) {
  *out << one.name;
}

class RefusedRequest : public testing::TestWithParam<refused_case> {};

TEST_P(RefusedRequest, GetsItsStatusAndAReason) {
  auto choice = choose_document(GetParam().request, tcp);
  EXPECT_EQ(GetParam().status, choice.status);
  EXPECT_EQ(page_document::none, choice.document);
  EXPECT_FALSE(choice.text.empty());
  EXPECT_STRNE("Error", status_words(choice.status));
}

const std::string long_target = "/" + std::string(page_target_bytes_max, 'a');

INSTANTIATE_TEST_SUITE_P(
  Table, RefusedRequest,
  testing::Values(
    refused_case{"another_name", 421, {"GET", "/", "evil.example:9126"}},
    refused_case{"a_name_that_begins_like_us",
                 421,
                 {"GET", "/", "localhost.evil.example:9126"}},
    refused_case{"another_port", 421, {"GET", "/", "localhost:9127"}},
    refused_case{"no_port", 421, {"GET", "/", "localhost"}},
    refused_case{"an_empty_port", 421, {"GET", "/", "localhost:"}},
    refused_case{"a_port_with_a_zero", 421, {"GET", "/", "localhost:09126"}},
    refused_case{"a_port_too_large", 421, {"GET", "/", "localhost:74662"}},
    refused_case{"a_port_with_more", 421, {"GET", "/", "localhost:9126x"}},
    refused_case{"an_empty_host", 421, {"GET", "/", ""}},
    refused_case{"brackets_left_out", 421, {"GET", "/", "::1:9126"}},
    refused_case{"another_loopback", 421, {"GET", "/", "127.0.0.2:9126"}},
    refused_case{"no_host", 400, {"GET", "/", "", 0}},
    refused_case{"two_hosts", 400, {"GET", "/", "localhost:9126", 2}},
    refused_case{"post", 405, {"POST", "/", "localhost:9126"}},
    refused_case{"options", 405, {"OPTIONS", "/", "localhost:9126"}},
    refused_case{"small_letters", 405, {"get", "/", "localhost:9126"}},
    refused_case{"a_body", 413, {"GET", "/", "localhost:9126", 1, true}},
    refused_case{
      "an_upgrade", 400, {"GET", "/", "localhost:9126", 1, false, true}},
    refused_case{"a_long_target", 414, {"GET", long_target, "localhost:9126"}},
    refused_case{"an_unknown_path", 404, {"GET", "/x", "localhost:9126"}},
    refused_case{"a_slash_more", 404, {"GET", "/metrics/", "localhost:9126"}},
    refused_case{"dots", 404, {"GET", "/./metrics", "localhost:9126"}},
    refused_case{"an_absolute_target",
                 404,
                 {"GET", "http://localhost:9126/", "localhost:9126"}},
    refused_case{"an_empty_target", 404, {"GET", "", "localhost:9126"}},
    refused_case{"a_query", 400, {"GET", "/metrics?a", "localhost:9126"}},
    refused_case{"an_empty_query", 400, {"GET", "/?", "localhost:9126"}},
    refused_case{"no_trace", 400, {"GET", "/heatmap.json", "localhost:9126"}},
    refused_case{
      "an_empty_trace", 400, {"GET", "/heatmap.json?trace=", "localhost:9126"}},
    refused_case{"two_traces",
                 400,
                 {"GET", "/heatmap.json?trace=a&trace=b", "localhost:9126"}},
    refused_case{
      "half_a_byte", 400, {"GET", "/heatmap.json?trace=a%4", "localhost:9126"}},
    refused_case{"a_negative_slot",
                 400,
                 {"GET", "/heatmap.json?trace=a&since=-1", "localhost:9126"}},
    refused_case{"another_word",
                 400,
                 {"GET", "/heatmap.json?trace=a&x=1", "localhost:9126"}}),
  [](const auto& one) { return std::string{one.param.name}; });

TEST(PageRequest, KnowsOurNames) {
  for (const char* host :
       {"localhost:9126", "LocalHost:9126", "127.0.0.1:9126", "[::1]:9126"}) {
    auto request = get("/");
    request.host = host;
    EXPECT_EQ(200U, choose_document(request, tcp).status) << host;
  }
  auto request = get("/");
  request.host = "localhost";
  EXPECT_EQ(200U, choose_document(request, {.tcp = true, .port = 80}).status);
  EXPECT_EQ(200U, choose_document(request, unix_socket).status);
  request.host = "[::1]";
  EXPECT_EQ(200U, choose_document(request, unix_socket).status);
  request.host = "localhost:8080"; // of a proxy in front
  EXPECT_EQ(200U, choose_document(request, unix_socket).status);
  request.host = "evil.example";
  EXPECT_EQ(421U, choose_document(request, unix_socket).status);
}

TEST(PageRequest, ReadsTheTraceAndTheSlot) {
  auto choice =
    choose_document(get("/heatmap.json?since=1700000000&trace=a%2Db%20c"), tcp);
  EXPECT_EQ(page_document::heatmap, choice.document);
  EXPECT_EQ("a-b c", choice.trace);
  EXPECT_EQ(1'700'000'000, choice.since);
}

TEST(PageRequest, DecodesOnlyWhatIsEncoded) {
  EXPECT_EQ("a/b", percent_decoded("a%2fb"));
  EXPECT_EQ("<>", percent_decoded("%3C%3e"));
  for (const char* bad : {"%", "%4", "a%", "%g1", "%1g", "%+1", "% 1"})
    EXPECT_FALSE(percent_decoded(bad)) << bad;
}

} // namespace
} // namespace bpf2graphite
