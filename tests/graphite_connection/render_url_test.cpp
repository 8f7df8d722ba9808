#include "actors/graphite_connection/render_url.hpp"

#include <gtest/gtest.h>

namespace bpf2graphite {
namespace {

TEST(RenderUrl, TakesHostPortAndPath) {
  struct {
    const char* text;
    const char* host;
    int port;
    const char* path;
    const char* field;
  } const table[] = {
    {"http://graphite", "graphite", 80, "/render", "graphite"},
    {"http://graphite/", "graphite", 80, "/render", "graphite"},
    {"http://g.example.com:8080/render", "g.example.com", 8080, "/render",
     "g.example.com:8080"},
    {"http://g/graphite/render", "g", 80, "/graphite/render", "g"},
    {"http://[::1]:81", "::1", 81, "/render", "[::1]:81"},
    {"http://[::1]", "::1", 80, "/render", "[::1]"},
  };
  for (auto& row : table) {
    auto url = parse_render_url(row.text);
    EXPECT_EQ(url.error, "") << row.text;
    EXPECT_EQ(url.host, row.host);
    EXPECT_EQ(url.port, row.port);
    EXPECT_EQ(url.path, row.path);
    EXPECT_EQ(url.host_field, row.field);
  }
}

TEST(RenderUrl, RefusesTheRestWithARemedy) {
  for (auto text :
       {"https://g/render", "g:80", "", "http://", "http://:80/", "http://g:0",
        "http://g:65536", "http://g:x", "http://g:", "http://::1/",
        "http://g/render?x=1", "http://u@g/", "http://g /", "http://[::1"})
    EXPECT_NE(parse_render_url(text).error, "") << text;
  EXPECT_NE(parse_render_url("https://g").error.find("TLS"), std::string::npos);
}

TEST(RenderTarget, IsOneSeriesWithItsTags) {
  EXPECT_EQ("a.b", render_target("a.b"));
  EXPECT_EQ("seriesByTag('name=a','host=h','le=8')",
            render_target("a;host=h;le=8"));
}

TEST(PercentEncoded, LeavesOnlyWhatMeansNothingInAQuery) {
  EXPECT_EQ("a-Z_0.b%27%2C%3D%26%20%FF", percent_encoded("a-Z_0.b',=& \xFF"));
}

} // namespace
} // namespace bpf2graphite
