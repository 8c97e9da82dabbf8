#include <weir/http/rate_limit_fields.hpp>

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace {

using namespace std::chrono_literals;
using namespace weir::http;

std::string render(quota_report const& report, rate_limit_style style) {
    std::string out;
    append_rate_limit_fields(out, report, style);
    return out;
}

TEST(http_rate_limit_fields, renders_draft_11_for_several_rules) {
    std::array const rules{quota{"per-user", 100, 60s, 50, 30s, true}, quota{"burst", 5, 500ms, 0, 1ms, true}};
    EXPECT_EQ(render({rules, 1, true, {}}, rate_limit_style::draft11),
              "RateLimit-Policy: \"per-user\";q=100;w=60, \"burst\";q=5;w=1\r\n"
              "RateLimit: \"per-user\";r=50;t=30, \"burst\";r=0;t=1\r\n");
}

TEST(http_rate_limit_fields, renders_legacy_fields_of_the_binding_rule) {
    std::array const rules{quota{"a", 100, 60s, 50, 30s, true}, quota{"b", 5, 10s, 1, 1500ms, true}};
    EXPECT_EQ(render({rules, 1, true, {}}, rate_limit_style::legacy),
              "X-RateLimit-Limit: 5\r\nX-RateLimit-Remaining: 1\r\nX-RateLimit-Reset: 2\r\n");
    auto const both = render({rules, 0, true, {}}, rate_limit_style::both);
    EXPECT_NE(both.find("RateLimit-Policy: \"a\";q=100;w=60, \"b\";q=5;w=10\r\n"), std::string::npos);
    EXPECT_NE(both.find("X-RateLimit-Limit: 100\r\n"), std::string::npos);
}

TEST(http_rate_limit_fields, says_when_a_refused_request_passes_whatever_the_style) {
    std::array const rules{quota{"a", 100, 60s, 0, 59001ms, false}};
    EXPECT_EQ(render({rules, 0, false, 2001ms}, rate_limit_style::none), "Retry-After: 3\r\n");
    EXPECT_EQ(render({rules, 0, false, 2000ms}, rate_limit_style::none), "Retry-After: 2\r\n");
    EXPECT_EQ(render({rules, 0, false, 0ms}, rate_limit_style::none), "Retry-After: 1\r\n");
    EXPECT_EQ(render({rules, 0, true, {}}, rate_limit_style::none), "");
}

TEST(http_rate_limit_fields, never_names_a_retry_before_the_reset_of_the_rule_that_refused) {
    std::array const rules{quota{"a", 100, 60s, 0, 59001ms, false}, quota{"b", 9, 1h, 3, 1h, true}};
    EXPECT_EQ(render({rules, 0, false, 2001ms}, rate_limit_style::both),
              "RateLimit-Policy: \"a\";q=100;w=60, \"b\";q=9;w=3600\r\n"
              "RateLimit: \"a\";r=0;t=3, \"b\";r=3;t=3600\r\n"
              "X-RateLimit-Limit: 100\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 3\r\n"
              "Retry-After: 3\r\n");
}

TEST(http_rate_limit_fields, gives_no_time_when_waiting_does_not_help) {
    std::array const rules{quota{"none", 0, 60s, 0, 60s, false}};
    EXPECT_EQ(render({rules, 0, false, {}}, rate_limit_style::draft11),
              "RateLimit-Policy: \"none\";q=0;w=60\r\nRateLimit: \"none\";r=0\r\n");
}

TEST(http_rate_limit_fields, quotes_names_and_keeps_integers_in_range) {
    std::array const rules{quota{"a\"b\\c\n\xff", ~0ULL, 60s, 1, 0ms, true}};
    EXPECT_EQ(render({rules, 0, true, {}}, rate_limit_style::draft11),
              "RateLimit-Policy: \"a\\\"b\\\\c??\";q=999999999999999;w=60\r\nRateLimit: \"a\\\"b\\\\c??\";r=1;t=0\r\n");
}

TEST(http_rate_limit_fields, says_nothing_without_rules) {
    EXPECT_EQ(render({{}, 0, true, {}}, rate_limit_style::both), "");
}

} // namespace
