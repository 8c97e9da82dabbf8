#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <gtest/gtest.h>

#include <atomic>

namespace weir::test {
namespace {

struct bad_request {
    char const* name;
    std::string bytes;
    unsigned status;
};

std::ostream& operator<<(std::ostream& out, bad_request const& one) { return out << one.name; }

std::string request_head_of(std::string const& lines, std::string const& start = "POST / HTTP/1.1") {
    return start + "\r\nHost: weir.test\r\n" + lines + "\r\n";
}

/// proxy.md, "HTTP strictness": what must be refused with which status, the connection closed, nothing passed on.
std::vector<bad_request> refused_rows() {
    std::string const chunked = "Transfer-Encoding: chunked\r\n";
    return {
        {"length_and_encoding", request_head_of("Content-Length: 3\r\n" + chunked) + "0\r\n\r\n", 400},
        {"differing_lengths", request_head_of("Content-Length: 3\r\nContent-Length: 4\r\n") + "abcd", 400},
        {"length_with_plus", request_head_of("Content-Length: +5\r\n") + "hello", 400},
        {"negative_length", request_head_of("Content-Length: -1\r\n"), 400},
        {"hexadecimal_length", request_head_of("Content-Length: 0x10\r\n"), 400},
        {"length_with_underscore", request_head_of("Content-Length: 1_0\r\n"), 400},
        {"empty_length", request_head_of("Content-Length: \r\n"), 400},
        {"equal_lengths", request_head_of("Content-Length: 3\r\nContent-Length: 3\r\n") + "abc", 400},
        {"list_of_lengths", request_head_of("Content-Length: 3, 3\r\n") + "abc", 400},
        {"length_with_space_inside", request_head_of("Content-Length: 1 0\r\n") + "0123456789", 400},
        {"length_spelled_with_underscore", request_head_of("Content_Length: 3\r\n") + "abc", 400},
        {"length_overflow", request_head_of("Content-Length: 18446744073709551616\r\n"), 400},
        {"encoding_not_ending_in_chunked", request_head_of("Transfer-Encoding: chunked, gzip\r\n"), 400},
        {"gzip_alone", request_head_of("Transfer-Encoding: gzip\r\n"), 400},
        {"identity_alone", request_head_of("Transfer-Encoding: identity\r\n"), 400},
        {"empty_encoding", request_head_of("Transfer-Encoding: \r\n"), 400},
        {"chunked_with_parameter", request_head_of("Transfer-Encoding: chunked;a=b\r\n") + "0\r\n\r\n", 400},
        {"chunked_in_quotes", request_head_of("Transfer-Encoding: \"chunked\"\r\n") + "0\r\n\r\n", 400},
        {"chunked_behind_vertical_tab", request_head_of("Transfer-Encoding: \vchunked\r\n") + "0\r\n\r\n", 400},
        {"chunked_then_identity_in_another_line",
         request_head_of(chunked + "Transfer-Encoding: identity\r\n") + "0\r\n\r\n", 400},
        {"encoding_spelled_with_underscore", request_head_of("Transfer_Encoding: chunked\r\n") + "0\r\n\r\n", 400},
        {"encoding_in_a_folded_line", request_head_of("X-A: b\r\n Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400},
        {"xchunked", request_head_of("Transfer-Encoding: xchunked\r\n") + "0\r\n\r\n", 501},
        {"gzip_before_chunked", request_head_of("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n", 501},
        {"chunked_twice", request_head_of("Transfer-Encoding: chunked, chunked\r\n") + "0\r\n\r\n", 400},
        {"encoding_on_http_1_0", request_head_of(chunked, "POST / HTTP/1.0") + "0\r\n\r\n", 400},
        {"space_before_the_colon", request_head_of("Transfer-Encoding : chunked\r\n") + "0\r\n\r\n", 400},
        {"unknown_coding", request_head_of("Transfer-Encoding: zebra, chunked\r\n"), 501},
        {"folded_line", request_head_of("X-A: b\r\n c\r\n"), 400},
        {"folded_first_line", "POST / HTTP/1.1\r\n Host: weir.test\r\n\r\n", 400},
        {"empty_line_before_the_request_line", "\r\n" + request_head_of("", "GET / HTTP/1.1"), 400},
        {"space_before_the_request_line", " " + request_head_of("", "GET / HTTP/1.1"), 400},
        {"two_spaces_in_the_request_line", request_head_of("", "GET  / HTTP/1.1"), 400},
        {"space_behind_the_version", request_head_of("", "GET / HTTP/1.1 "), 400},
        {"tab_in_the_request_line", request_head_of("", "GET\t/ HTTP/1.1"), 400},
        {"request_line_ended_by_bare_lf", "GET / HTTP/1.1\nHost: weir.test\r\n\r\n", 400},
        {"head_ended_by_bare_lf", "GET / HTTP/1.1\r\nHost: weir.test\r\n\n", 400},
        {"field_without_a_name", request_head_of(": b\r\n"), 400},
        {"field_without_a_colon", request_head_of("X-A\r\n"), 400},
        {"tab_before_the_colon", request_head_of("X-A\t: b\r\n"), 400},
        {"space_in_a_field_name", request_head_of("X A: b\r\n"), 400},
        {"del_in_a_value", request_head_of("X-A: b\x7f\r\n"), 400},
        {"nul_in_the_target", request_head_of("", std::string("GET /a\0b HTTP/1.1", 18)), 400},
        {"bare_cr", request_head_of("X-A: b\rX-B: c\r\n"), 400},
        {"bare_lf", request_head_of("X-A: b\nX-B: c\r\n"), 400},
        {"nul", request_head_of(std::string("X-A: b\0c\r\n", 10)), 400},
        {"invalid_field_name", request_head_of("X(A): b\r\n"), 400},
        {"line_before_the_request_line", "X-A: b\r\n" + request_head_of("", "GET / HTTP/1.1"), 400},
        {"missing_host", "GET / HTTP/1.1\r\n\r\n", 400},
        {"doubled_host", request_head_of("Host: other.test\r\n", "GET / HTTP/1.1"), 400},
        {"invalid_host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"empty_host", "GET / HTTP/1.1\r\nHost: \r\n\r\n", 400},
        {"host_with_user", "GET / HTTP/1.1\r\nHost: a@weir.test\r\n\r\n", 400},
        {"host_with_path", "GET / HTTP/1.1\r\nHost: weir.test/a\r\n\r\n", 400},
        {"host_with_bad_port", "GET / HTTP/1.1\r\nHost: weir.test:99999\r\n\r\n", 400},
        {"host_list", "GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n", 400},
        {"http_2_preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"http_1_2", request_head_of("", "GET / HTTP/1.2"), 505},
        {"http_in_small_letters", request_head_of("", "GET / http/1.1"), 400},
        {"http_9_9", request_head_of("", "GET / HTTP/9.9"), 505},
        {"http_0_9", "GET /\r\n\r\n", 400},
        {"connect", "CONNECT weir.test:443 HTTP/1.1\r\nHost: weir.test:443\r\n\r\n", 405},
        {"trace", request_head_of("", "TRACE / HTTP/1.1"), 405},
        {"connect_by_path", request_head_of("", "CONNECT / HTTP/1.1"), 405},
        {"relative_target", request_head_of("", "GET a HTTP/1.1"), 400},
        {"target_of_another_scheme", request_head_of("", "GET ftp://weir.test/ HTTP/1.1"), 400},
        {"user_in_the_target", request_head_of("", "GET http://a@weir.test/ HTTP/1.1"), 400},
        {"fragment", request_head_of("", "GET /a#b HTTP/1.1"), 400},
        {"byte_above_ascii_in_the_target", request_head_of("", "GET /\xc3\xa9 HTTP/1.1"), 400},
        {"broken_percent_encoding", request_head_of("", "GET /a%2 HTTP/1.1"), 400},
        {"overlong_utf8_slash", request_head_of("", "GET /a%c0%afb HTTP/1.1"), 400},
        {"dots_behind_parameters", request_head_of("", "GET /a/..;x/b HTTP/1.1"), 400},
        {"encoded_dots_above_the_root", request_head_of("", "GET /%2e%2e/etc HTTP/1.1"), 400},
        {"star_without_options", request_head_of("", "GET * HTTP/1.1"), 400},
        {"long_request_line", request_head_of("", "GET /" + std::string(9000, 'a') + " HTTP/1.1"), 414},
        {"large_head", request_head_of("X-A: " + std::string(40000, 'a') + "\r\n", "GET / HTTP/1.1"), 431},
        {"many_fields",
         request_head_of(
             [] {
                 std::string lines;
                 for (int i = 0; i < 200; ++i)
                     lines += "X-" + std::to_string(i) + ": a\r\n";
                 return lines;
             }(),
             "GET / HTTP/1.1"),
         431},
        {"encoded_slash", request_head_of("", "GET /a%2Fb HTTP/1.1"), 400},
        {"encoded_backslash", request_head_of("", "GET /a%5Cb HTTP/1.1"), 400},
        {"encoded_nul", request_head_of("", "GET /a%00b HTTP/1.1"), 400},
        {"double_encoding", request_head_of("", "GET /a%252Fb HTTP/1.1"), 400},
        {"backslash", request_head_of("", "GET /a\\b HTTP/1.1"), 400},
        {"above_the_root", request_head_of("", "GET /../etc/passwd HTTP/1.1"), 400},
        {"body_over_the_limit", request_head_of("Content-Length: 2000000\r\n"), 413},
        {"chunk_size_with_prefix", request_head_of(chunked) + "0x3\r\nabc\r\n0\r\n\r\n", 400},
        {"chunked_body_over_the_limit",
         request_head_of(chunked) + "f4241\r\n" + std::string(1'000'001, 'x') + "\r\n0\r\n\r\n", 413},
        {"chunk_without_a_size", request_head_of(chunked) + "\r\nabc\r\n0\r\n\r\n", 400},
        {"negative_chunk_size", request_head_of(chunked) + "-3\r\nabc\r\n0\r\n\r\n", 400},
        {"space_before_the_chunk_size", request_head_of(chunked) + " 3\r\nabc\r\n0\r\n\r\n", 400},
        {"chunk_size_ended_by_bare_lf", request_head_of(chunked) + "3\nabc\r\n0\r\n\r\n", 400},
        {"chunk_data_ended_by_bare_lf", request_head_of(chunked) + "3\r\nabc\n0\r\n\r\n", 400},
        {"chunk_longer_than_its_size", request_head_of(chunked) + "3\r\nabcd\r\n0\r\n\r\n", 400},
        {"bare_lf_in_a_quoted_extension", request_head_of(chunked) + "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n", 400},
        {"control_in_an_extension", request_head_of(chunked) + "3;a=\x01\r\nabc\r\n0\r\n\r\n", 400},
        {"bad_trailer", request_head_of(chunked) + "3\r\nabc\r\n0\r\nGET / HTTP/1.1\r\n\r\n", 400},
        {"trailer_ended_by_bare_lf", request_head_of(chunked) + "3\r\nabc\r\n0\r\nX: y\n\r\n", 400},
        {"chunk_size_with_sign", request_head_of(chunked) + "+3\r\nabc\r\n0\r\n\r\n", 400},
        {"chunk_size_with_underscore", request_head_of(chunked) + "1_0\r\n", 400},
        {"chunk_size_with_space", request_head_of(chunked) + "3 \r\nabc\r\n0\r\n\r\n", 400},
        {"chunk_size_overflow", request_head_of(chunked) + "10000000000000000\r\n", 400},
        {"chunk_not_ended_by_crlf", request_head_of(chunked) + "3\r\nabcX0\r\n\r\n", 400},
        {"overlong_chunk_extension", request_head_of(chunked) + "3;" + std::string(9000, 'x') + "\r\nabc\r\n0\r\n\r\n",
         400},
    };
}

class proxy_strictness : public testing::TestWithParam<bad_request> {};

TEST_P(proxy_strictness, refuses_closes_and_passes_nothing_on) {
    std::atomic<int> reached{0};
    upstream up([&](upstream::connection& c) {
        for (;;) {
            c.read();
            ++reached;
            c.respond("reached");
        }
    });
    auto settings = proxy_config(up.port());
    settings.http.max_body = 1'000'000;
    running_proxy const proxy(std::move(settings));
    auto client = proxy.connect();
    // What follows must never be taken for a second request.
    client.send(GetParam().bytes + "GET /smuggled HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    auto const answer = client.read();
    EXPECT_EQ(answer.status, GetParam().status) << answer.body;
    EXPECT_EQ(answer.field("Content-Type"), "application/problem+json");
    EXPECT_NE(answer.field("X-Request-Id"), "");
    if (answer.status != 405 || answer.close) {
        client.shutdown_send();
        EXPECT_EQ(client.read_to_end(), "");
        EXPECT_EQ(reached, 0);
    }
    // The next client is served.
    EXPECT_EQ(proxy.connect().get("/").body, "reached");
}

INSTANTIATE_TEST_SUITE_P(table, proxy_strictness, testing::ValuesIn(refused_rows()),
                         [](auto const& one) { return std::string(one.param.name); });

TEST(proxy_strict_passage, fields_of_the_connection_are_stripped_and_ours_cannot_be_forged) {
    upstream up(upstream::echo());
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    auto const seen =
        client
            .get("/", "Connection: x-secret, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
                      "Upgrade: h2c\r\nProxy-Authorization: x\r\nX-Forwarded-For: 6.6.6.6\r\n"
                      "X-Forwarded-Host: evil.test\r\nX-Kept: yes\r\n")
            .body;
    for (auto const* gone : {"X-Secret", "Keep-Alive", "TE:", "Upgrade", "Proxy-Authorization", "6.6.6.6", "evil.test"})
        EXPECT_THAT(seen, testing::Not(testing::HasSubstr(gone)));
    EXPECT_THAT(seen, testing::HasSubstr("X-Kept: yes"));
    EXPECT_THAT(seen, testing::HasSubstr("X-Forwarded-For: 127.0.0.1"));
    EXPECT_THAT(seen, testing::HasSubstr("Via: 1.1 weir"));
}

TEST(proxy_strict_passage, pipelined_requests_are_answered_in_order) {
    upstream up(upstream::echo());
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    std::string all;
    for (int i = 0; i < 20; ++i)
        all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: weir.test\r\n\r\n";
    client.send(all);
    for (int i = 0; i < 20; ++i)
        EXPECT_THAT(client.read().body, testing::StartsWith("GET /" + std::to_string(i) + " HTTP/1.1"));
}

TEST(proxy_strict_passage, trailers_are_dropped_and_a_chunked_body_is_framed_anew) {
    upstream up(upstream::echo());
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    auto const answer = client.exchange("POST / HTTP/1.1\r\nHost: weir.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                                        "3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: evil\r\n\r\n");
    EXPECT_EQ(answer.status, 200);
    EXPECT_THAT(answer.body, testing::EndsWith("\r\n\r\nabcde"));
    EXPECT_THAT(answer.body, testing::Not(testing::HasSubstr("X-Trailer")));
}

TEST(proxy_strict_passage, a_method_or_path_that_no_route_takes_is_405_or_404) {
    upstream up(upstream::always("x"));
    auto settings = proxy_config(up.port());
    settings.routes.front().path = "/v1/";
    settings.routes.front().methods = {"POST"};
    running_proxy const proxy(std::move(settings));
    auto client = proxy.connect();
    auto const wrong_method = client.get("/v1/a");
    EXPECT_EQ(wrong_method.status, 405);
    EXPECT_EQ(wrong_method.field("Allow"), "POST");
    EXPECT_EQ(client.get("/v2").status, 404);
    EXPECT_EQ(client.exchange("POST /v1/a HTTP/1.1\r\nHost: w\r\nContent-Length: 0\r\n\r\n").status, 200);
}

TEST(proxy_strict_passage, a_head_that_comes_too_slowly_is_408) {
    upstream up(upstream::always("x"));
    auto settings = proxy_config(up.port());
    settings.http.head_timeout = std::chrono::milliseconds{200};
    running_proxy const proxy(std::move(settings));
    auto client = proxy.connect();
    auto const answer = client.exchange("GET / HTTP/1.1\r\nHost: weir");
    EXPECT_EQ(answer.status, 408);
    EXPECT_TRUE(answer.close);
}

TEST(proxy_strict_passage, a_body_that_comes_too_slowly_is_408) {
    upstream up(upstream::always("x"));
    auto settings = proxy_config(up.port());
    settings.http.body_timeout = std::chrono::milliseconds{200};
    running_proxy const proxy(std::move(settings));
    auto client = proxy.connect();
    EXPECT_EQ(client.exchange("POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 10\r\n\r\nabc").status, 408);
}

} // namespace
} // namespace weir::test
