#include "config/values.hpp"

#include <gmock/gmock.h>

#include <cstdlib>

namespace {

using namespace weir::config;
using testing::HasSubstr;
using testing::Not;

template <class Call>
std::string refusal(Call call) {
    try {
        call();
    } catch (value_error const& e) {
        return e.what();
    }
    return "accepted";
}

TEST(config_values, durations_are_a_whole_number_and_a_unit) {
    EXPECT_EQ(parse_duration("250ms"), milliseconds{250});
    EXPECT_EQ(parse_duration("5s"), milliseconds{5000});
    EXPECT_EQ(parse_duration("1m"), milliseconds{60'000});
    EXPECT_EQ(parse_duration("24h"), milliseconds{86'400'000});
    EXPECT_EQ(parse_duration("7d"), milliseconds{604'800'000});
    EXPECT_EQ(parse_duration("0"), milliseconds{0});
    for (auto wrong : {"", "5", "s", "-1s", "+1s", "1.5s", "1 s", "1S", "1s ", "1h30m", "1us"})
        EXPECT_THAT(refusal([&] { parse_duration(wrong); }), HasSubstr("is not a duration")) << wrong;
    EXPECT_THAT(refusal([] { parse_duration("9999999999999999999d"); }), HasSubstr("is too large"));
    EXPECT_THAT(refusal([] { parse_duration("99999999999999999999s"); }), HasSubstr("is too large"));
    EXPECT_THAT(refusal([] { parse_duration("4000d"); }), HasSubstr("longer than ten years"));
}

TEST(config_values, formatting_gives_what_parsing_reads) {
    for (auto text : {"0", "1ms", "250ms", "90s", "1m", "36h", "7d"})
        EXPECT_EQ(format_duration(parse_duration(text)), text);
    for (auto text : {"0", "1B", "1500B", "64KiB", "10MB", "1GiB"})
        EXPECT_EQ(format_size(parse_size(text)), text);
    for (auto text : {"127.0.0.1:0", "0.0.0.0:80", "[::1]:8080"})
        EXPECT_EQ(format_endpoint(parse_endpoint(text)), text);
    for (auto text : {"10.0.0.0/8", "fd00::/8", "::1/128"})
        EXPECT_EQ(format_network(parse_network(text)), text);
    for (auto text : {"user", "ip", "*", "header:x-team"})
        EXPECT_EQ(format_per(parse_per(text)), text);
}

TEST(config_values, sizes_have_decimal_and_binary_units) {
    EXPECT_EQ(parse_size("512"), 512U);
    EXPECT_EQ(parse_size("10KB"), 10'000U);
    EXPECT_EQ(parse_size("10KiB"), 10'240U);
    EXPECT_EQ(parse_size("2GiB"), 2'147'483'648U);
    for (auto wrong : {"", "KiB", "1kb", "1K", "-1", "1.5MB"})
        EXPECT_THAT(refusal([&] { parse_size(wrong); }), HasSubstr("is not a size")) << wrong;
    EXPECT_THAT(refusal([] { parse_size("18446744073709551615KB"); }), HasSubstr("is too large"));
}

TEST(config_values, environment_variables_are_put_in) {
    ::setenv("WEIR_TEST_A", "alpha", 1);
    ::setenv("WEIR_TEST_EMPTY", "", 1);
    ::unsetenv("WEIR_TEST_NONE");
    EXPECT_EQ(expand_environment("plain $ {x} $x"), "plain $ {x} $x");
    EXPECT_EQ(expand_environment("${WEIR_TEST_A}${WEIR_TEST_A}!"), "alphaalpha!");
    EXPECT_EQ(expand_environment("<${WEIR_TEST_EMPTY}>"), "<>");
    EXPECT_EQ(expand_environment("${WEIR_TEST_EMPTY:-b}${WEIR_TEST_NONE:-}${WEIR_TEST_NONE:-a:-b}"), "ba:-b");
    EXPECT_EQ(expand_environment("a$${WEIR_TEST_A}"), "a${WEIR_TEST_A}");
    EXPECT_THAT(refusal([] { expand_environment("${WEIR_TEST_NONE}"); }),
                "the environment variable WEIR_TEST_NONE is not set: set it, or write ${WEIR_TEST_NONE:-default}");
    EXPECT_THAT(refusal([] { expand_environment("x${A"); }), HasSubstr("without \"}\""));
    EXPECT_THAT(refusal([] { expand_environment("${}"); }), HasSubstr("is not the name of an environment variable"));
    EXPECT_THAT(refusal([] { expand_environment("${1A}"); }), HasSubstr("is not the name"));
    EXPECT_THAT(refusal([] { expand_environment("${A-B}"); }), HasSubstr("is not the name"));
}

TEST(config_values, a_listening_address_is_an_ip_address_with_a_port) {
    EXPECT_EQ(parse_endpoint(":8080"), (endpoint{"0.0.0.0", 8080}));
    EXPECT_EQ(parse_endpoint("[::1]:1"), (endpoint{"::1", 1}));
    for (auto wrong : {"", "8080", "127.0.0.1", "::1:80", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "1.2.3:80",
                       "[127.0.0.1]:80", "host:80", "127.0.0.1:80x"})
        EXPECT_NE(refusal([&] { parse_endpoint(wrong); }), "accepted") << wrong;
}

TEST(config_values, a_target_is_a_plain_http_host_and_port) {
    EXPECT_EQ(parse_target("http://api.internal").port, 80);
    EXPECT_EQ(parse_target("http://[::1]:9000").host, "::1");
    EXPECT_EQ(parse_target("http://10.0.0.1:9000/").text, "10.0.0.1:9000");
    EXPECT_EQ(parse_target("https://a").port, 443);
    EXPECT_TRUE(parse_target("https://a:8443").tls);
    EXPECT_FALSE(parse_target("http://a").tls);
    for (auto wrong :
         {"", "a", "127.0.0.1:9000", "http://", "http://a/b", "http://a?x", "http://a:0", "http://a:99999"})
        EXPECT_NE(refusal([&] { parse_target(wrong); }), "accepted") << wrong;
    EXPECT_THAT(refusal([] { parse_target("http://u:hunter2@a"); }), Not(HasSubstr("hunter2")));
}

TEST(config_values, networks_are_checked_for_bits_beyond_the_prefix) {
    EXPECT_THAT(refusal([] { parse_network("10.0.0.1/8"); }), HasSubstr("the network is 10.0.0.0/8"));
    EXPECT_THAT(refusal([] { parse_network("10.0.0.0/33"); }), HasSubstr("at most 32"));
    EXPECT_THAT(refusal([] { parse_network("ten"); }), HasSubstr("is not an IP address or network"));
    EXPECT_EQ(format_network(parse_network("10.1.2.3")), "10.1.2.3/32");
}

TEST(config_values, a_limit_in_one_word) {
    auto rule = parse_rule("100/1m");
    EXPECT_EQ(rule.limit, 100U);
    EXPECT_EQ(rule.window, std::chrono::minutes{1});
    EXPECT_EQ(rule.name, "100-per-1m");
    EXPECT_EQ(parse_rule("5/s").window, std::chrono::seconds{1});
    EXPECT_EQ(parse_rule("burst=5/250ms").name, "burst");
    EXPECT_EQ(parse_rule("0/1h").limit, 0U);
    for (auto wrong : {"", "100", "100/", "/1m", "-1/1m", "1.5/s", "1/0s", "1/367d", "140737488355328/s", "a b=1/s"})
        EXPECT_NE(refusal([&] { parse_rule(wrong); }), "accepted") << wrong;
}

TEST(config_values, the_nearest_name_is_suggested_only_when_it_is_near) {
    EXPECT_EQ(nearest_name("lmit", {"limit", "window"}), "limit");
    EXPECT_EQ(nearest_name("Window", {"limit", "window"}), "window");
    EXPECT_EQ(nearest_name("liimt", {"limit"}), "limit");
    EXPECT_EQ(nearest_name("banana", {"limit", "window"}), "");
    EXPECT_EQ(suggest_name("banana", {"limit", "window"}), "; known: limit, window");
    EXPECT_EQ(suggest_name("banana", {}), "");
}

} // namespace
