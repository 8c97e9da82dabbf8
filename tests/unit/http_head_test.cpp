#include <weir/http/head.hpp>

#include <boost/beast/http/verb.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace {

using namespace std::string_literals;
using namespace weir::http;
using boost::beast::http::verb;
using id = boost::beast::http::field;

/// Feeds a text a byte at a time, each time in a buffer of its own, and returns the first result that is final.
template <class Parse>
parse_result parse_bytewise(std::string const& text, std::unique_ptr<char[]>& buffer, Parse parse) {
    parse_result result;
    for (std::size_t size = 0; size <= text.size(); ++size) {
        auto next = std::make_unique<char[]>(size + 1);
        std::copy_n(text.begin(), size, next.get());
        result = parse(std::string_view{next.get(), size});
        buffer = std::move(next);
        if (result.state != parse_state::need_more)
            break;
    }
    return result;
}

std::string describe(request_head const& head) {
    std::string text = std::string(head.method) + '|' + std::string(head.target) + '|' + std::string(head.host) + '|' +
                       std::to_string(head.version) + '|' + std::to_string(static_cast<int>(head.framing)) + '|' +
                       std::to_string(head.content_length) + '|' + std::to_string(head.keep_alive) +
                       std::to_string(head.expect_continue) + '\n';
    for (auto const& each : head.fields())
        text += std::string(each.name) + '=' + std::string(each.value) + (each.hop_by_hop ? "*" : "") + '#' +
                std::to_string(static_cast<int>(each.id)) + '\n';
    return text;
}

/// Parses whole, byte by byte, and with what has parsed another head before, and expects the same of all.
struct parsed {
    explicit parsed(std::string bytes, limits limit = {})
        : text(std::move(bytes)) {
        result = parse_request_head(text, limit, head);
        request_head again;
        std::unique_ptr<char[]> buffer;
        expect_same(again, parse_bytewise(text, buffer, [&](std::string_view part) {
                        return parse_request_head(part, limit, again);
                    }));
        request_head used;
        for (auto const* const before : {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
                                         "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\nConnection: a\r\n\r\n"}) {
            EXPECT_EQ(parse_request_head(before, {}, used).state, parse_state::complete);
            expect_same(used, parse_request_head(text, limit, used));
            used.reset();
        }
    }

    void expect_same(request_head const& again, parse_result const& other) const {
        EXPECT_EQ(result.state, other.state) << text;
        EXPECT_EQ(result.consumed, other.consumed) << text;
        EXPECT_EQ(result.why.status, other.why.status) << text;
        if (result.state == parse_state::complete) {
            EXPECT_EQ(describe(head), describe(again));
        }
    }

    std::string text;
    request_head head;
    parse_result result;
};

/// The status of a refusal; 200 for a complete head, 0 when more is needed.
unsigned status_of(std::string const& bytes, limits limit = {}) {
    parsed const request{bytes, limit};
    switch (request.result.state) {
    case parse_state::complete:
        return 200;
    case parse_state::need_more:
        return 0;
    case parse_state::refused:
        return request.result.why.status;
    }
    return 0;
}

std::string with(std::string const& fields) { return "POST /a HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n"; }

TEST(http_request_head, gives_every_part) {
    parsed const request{"POST /a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\nContent-Length: 12\r\n"
                         "X-Team:\t blue  \r\nempty:\r\n\r\nhello"};
    ASSERT_EQ(request.result.state, parse_state::complete);
    EXPECT_EQ(request.result.consumed, request.text.size() - 5);
    EXPECT_EQ(request.head.verb, verb::post);
    EXPECT_EQ(request.head.method, "POST");
    EXPECT_EQ(request.head.target, "/a/b?c=d");
    EXPECT_EQ(request.head.host, "example.com:8080");
    EXPECT_EQ(request.head.version, 11U);
    EXPECT_EQ(request.head.framing, body_framing::length);
    EXPECT_EQ(request.head.content_length, 12U);
    EXPECT_TRUE(request.head.keep_alive);
    EXPECT_FALSE(request.head.expect_continue);
    ASSERT_EQ(request.head.fields().size(), 4U);
    EXPECT_EQ(request.head.fields()[0].id, id::host);
    EXPECT_EQ(request.head.fields()[2].value, "blue");
    EXPECT_EQ(request.head.fields()[2].id, id::unknown);
    EXPECT_EQ(request.head.fields()[3].value, "");
    EXPECT_EQ(request.head.find(id::content_length), "12");
    ASSERT_NE(request.head.find("x-TEAM"), nullptr);
    EXPECT_EQ(request.head.find("x-team")->name, "X-Team");
    EXPECT_EQ(request.head.find("x-tea"), nullptr);
}

TEST(http_request_head, finds_a_field_that_must_stand_alone) {
    parsed const request{"GET / HTTP/1.1\r\nHost: w\r\nX-Key: a\r\nX-Pair: b\r\nx-pair: b\r\n\r\n"};
    bool twice = true;
    ASSERT_NE(request.head.find_only("x-key", twice), nullptr);
    EXPECT_EQ(request.head.find_only("x-key", twice)->value, "a");
    EXPECT_FALSE(twice);
    EXPECT_EQ(request.head.find_only("x-ke", twice), nullptr);
    EXPECT_FALSE(twice);
    EXPECT_EQ(request.head.find_only("x-pair", twice), nullptr);
    EXPECT_TRUE(twice);
}

TEST(http_request_head, begins_anew_after_a_complete_head) {
    request_head head;
    std::string const first = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    std::string const second = "GET /b HTTP/1.1\r\nHost: b\r\n\r\n";
    auto const both = first + second;
    ASSERT_EQ(parse_request_head(both, {}, head).consumed, first.size());
    EXPECT_TRUE(head.expect_continue);
    ASSERT_EQ(parse_request_head(std::string_view{both}.substr(first.size()), {}, head).consumed, second.size());
    EXPECT_EQ(head.framing, body_framing::none);
    EXPECT_FALSE(head.expect_continue);
    EXPECT_EQ(head.host, "b");
    EXPECT_EQ(head.fields().size(), 1U);
}

TEST(http_request_head, goes_by_the_name_that_stands_where_another_stood_before) {
    std::string bytes; // what the head is seen in
    request_head head;
    auto const status = [&](std::string const& line) {
        bytes = "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n";
        EXPECT_EQ(parse_request_head(bytes, {}, head).state, parse_state::complete);
        bytes = "GET / HTTP/1.1\r\n" + line + "\r\nHost: b\r\n\r\n";
        return parse_request_head(bytes, {}, head).why.status;
    };
    for (auto const* const refused : {"Host", "Host : c", "Host\t: c", "Host: c", "hOST: c", ": c", "Hos\1: c"})
        EXPECT_EQ(status(refused), 400U) << refused;
    for (auto const* const taken : {"Hos: c", "Hostx: c", "Accept: c", "H: Host: c"}) {
        EXPECT_EQ(status(taken), 0U) << taken;
        EXPECT_EQ(head.host, "b");
        EXPECT_EQ(head.fields().size(), 2U);
    }
    EXPECT_EQ(head.fields().front().name, "H");
    EXPECT_EQ(head.fields().front().value, "Host: c");
}

TEST(http_request_head, finds_a_control_character_wherever_it_stands) {
    for (std::size_t size = 1; size < 70; ++size) {
        auto const value = std::string(size, '\t') + std::string(size, '\xff');
        EXPECT_EQ(status_of(with("A: " + value + "\r\n")), 200U) << size;
        for (auto const bad : {'\0', '\x1f', '\x7f', '\v'})
            for (std::size_t at = 0; at < value.size(); ++at) {
                auto broken = value;
                broken[at] = bad;
                request_head head;
                EXPECT_EQ(parse_request_head(with("A: " + broken + "\r\n"), {}, head).why.status, 400U) << size << at;
            }
    }
}

TEST(http_request_head, reset_forgets_a_head_left_half_parsed) {
    request_head head;
    EXPECT_EQ(parse_request_head("GET /long/path HTTP/1.1\r\nHo", {}, head).state, parse_state::need_more);
    head.reset();
    ASSERT_EQ(parse_request_head("GET / HTTP/1.1\r\nHost: a\r\n\r\n", {}, head).state, parse_state::complete);
    EXPECT_EQ(head.target, "/");
}

TEST(http_request_head, refuses_both_kinds_of_framing_together) {
    EXPECT_EQ(status_of(with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")), 400U);
    EXPECT_EQ(status_of(with("transfer-encoding: chunked\r\ncontent-LENGTH: 0\r\n")), 400U);
}

TEST(http_request_head, takes_one_decimal_content_length_and_nothing_else) {
    EXPECT_EQ(status_of(with("Content-Length: 0\r\n")), 200U);
    EXPECT_EQ(status_of(with("Content-Length:  42\t \r\n")), 200U);
    EXPECT_EQ(status_of(with("Content-Length: 003\r\n")), 200U);
    EXPECT_EQ(status_of(with("Content-Length: 9223372036854775799\r\n")), 200U);
    for (std::string const bad : {"+5", "-1", "0x10", "1_0", "", "5, 5", "5,6", "4 2", "5.0", "1e3", "\"5\"", "five",
                                  "5;", "18446744073709551616", "9223372036854775808", "1000000000000000000000000"})
        EXPECT_EQ(status_of(with("Content-Length: " + bad + "\r\n")), 400U) << bad;
    EXPECT_EQ(status_of(with("Content-Length: 5\r\nContent-Length: 6\r\n")), 400U);
    EXPECT_EQ(status_of(with("Content-Length: 5\r\nContent-Length: 5\r\n")), 400U);
}

TEST(http_request_head, takes_chunked_alone) {
    parsed const request{with("Transfer-Encoding: Chunked\r\n")};
    ASSERT_EQ(request.result.state, parse_state::complete);
    EXPECT_EQ(request.head.framing, body_framing::chunked);
    for (std::string const bad : {"gzip", "identity", "chunked, chunked", "chunked, gzip", "chunked, identity",
                                  "chunked;q=1", "", ",", ", chunked", "chunked,", "\"chunked\"", "chunked chunked",
                                  "chunked\xa0", "[chunked]", "deflate, chunked, gzip"})
        EXPECT_EQ(status_of(with("Transfer-Encoding: " + bad + "\r\n")), 400U) << bad;
    EXPECT_EQ(status_of(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")), 400U);
    EXPECT_EQ(status_of(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")), 400U);
    EXPECT_EQ(status_of(with("Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n")), 400U);
}

TEST(http_request_head, refuses_an_obfuscated_transfer_encoding) {
    for (std::string const bad :
         {"Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked",
          "Transfer-Encoding: \x0b"
          "chunked",
          "Transfer-Encoding: chunked\x0c", "Transfer-Encoding\x0b: chunked", "Transfer-Encoding:\r\n chunked",
          "Transfer-Encoding:\n chunked", "Transfer\rEncoding: chunked", "Transfer_Encoding: chunked",
          "transfer_encoding: x", "CONTENT_LENGTH: 5", "X: y\rTransfer-Encoding: chunked",
          "X: y\nTransfer-Encoding: chunked", "Transfer-Encoding", "\x0bTransfer-Encoding: chunked"})
        EXPECT_EQ(status_of(with(bad + "\r\n")), 400U) << bad;
}

TEST(http_request_head, answers_an_unknown_transfer_coding_with_501) {
    for (std::string const coding :
         {"pigeons", "xchunked", "chunkedchunked", "gzip, chunked", "pigeons, chunked", "br"})
        EXPECT_EQ(status_of(with("Transfer-Encoding: " + coding + "\r\n")), 501U) << coding;
    EXPECT_EQ(status_of(with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n")), 501U);
}

TEST(http_request_head, refuses_transfer_encoding_on_http_1_0) {
    EXPECT_EQ(status_of("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"), 400U);
    EXPECT_EQ(status_of("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: pigeons\r\n\r\n"), 400U);
}

TEST(http_request_head, refuses_what_is_no_field_line) {
    for (std::string const& bad : {"X: a\r\n b"s, "X: a\r\n\tb"s, "X: a\rb"s, "X: a\nY: b"s, "X: \0"s, "X: \x7f"s,
                                   "X: \x01"s, "X : a"s, "X\t: a"s, ": a"s, "no colon"s, "nocolon"s, "X@: a"s,
                                   "X[]: a"s, "\xc3\xa9: a"s, "\"X\": a"s, "X: a\r\r"s, "X\0: a"s, "X(: a"s})
        EXPECT_EQ(status_of(with(bad + "\r\n")), 400U) << bad;
    EXPECT_EQ(status_of(with("X: D\xfcsseldorf \t tab\r\n")), 200U);
    EXPECT_EQ(status_of("GET / HTTP/1.1\n"s), 400U);
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\n\n"s), 400U);
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\n Host: a"s), 400U);
}

TEST(http_request_head, refuses_anything_before_the_request_line) {
    for (std::string const bad : {"\r\nGET / HTTP/1.1\r\n", "\nGET / HTTP/1.1\r\n", " GET / HTTP/1.1\r\n",
                                  "Extra lineGET / HTTP/1.1\r\n", "X: y\r\nGET / HTTP/1.1\r\n", "\x16\x03\x01\x02"})
        EXPECT_EQ(status_of(bad), 400U) << bad;
}

TEST(http_request_head, wants_one_valid_host) {
    auto const host = [](std::string const& fields) { return status_of("GET / HTTP/1.1\r\n" + fields + "\r\n"); };
    for (std::string const good :
         {"a", "a.example", "a:80", "a:", "1.2.3.4:65535", "[::1]", "[2001:db8::1]:443", "a_b-c~d"})
        EXPECT_EQ(host("Host: " + good + "\r\n"), 200U) << good;
    EXPECT_EQ(host(""), 400U);
    EXPECT_EQ(host("Host: a\r\nHost: a\r\n"), 400U);
    for (std::string const bad :
         {"",    "a b", "a,b",    "a/b",  "a@b",  "a:b", "a:65536", "a:80:80", ":80",      "[::1",
          "[a]", "[]",  "[::1]x", "a%2e", "a\\b", "a?b", "a#b",     "<a>",     "\xc3\xa9", "http://a"})
        EXPECT_EQ(host("Host: " + bad + "\r\n"), 400U) << bad;
    EXPECT_EQ(status_of("GET / HTTP/1.0\r\n\r\n"), 200U);
    EXPECT_EQ(status_of("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), 400U);
}

TEST(http_request_head, speaks_http_1_0_and_1_1_alone) {
    EXPECT_EQ(parsed("GET / HTTP/1.0\r\n\r\n").head.version, 10U);
    for (std::string const unknown : {"HTTP/9.9", "HTTP/2.0", "HTTP/1.2", "HTTP/3.0"})
        EXPECT_EQ(status_of("GET / " + unknown + "\r\nHost: a\r\n\r\n"), 505U) << unknown;
    for (std::string const bad : {"HTTP/0.9", "HTTP/01.1", "HTTP/1.01", "HTTP/11", "http/1.1", "HTTP/1.", "HTTP/a.b",
                                  "ICE/1.0", "HTTP /1.1", "HTTP/1.1 ", " HTTP/1.1", "HTTP/1.1x", "\tHTTP/1.1"})
        EXPECT_EQ(status_of("GET / " + bad + "\r\nHost: a\r\n\r\n"), 400U) << bad;
    EXPECT_EQ(status_of("GET /\r\n\r\n"), 400U);
    EXPECT_EQ(status_of("GET / \r\n\r\n"), 400U);
    EXPECT_EQ(status_of("GET\r\n\r\n"), 400U);
}

TEST(http_request_head, refuses_what_would_be_a_tunnel) {
    EXPECT_EQ(status_of("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), 405U);
    EXPECT_EQ(status_of("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), 405U);
    EXPECT_EQ(status_of("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 200U);
    EXPECT_EQ(status_of("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), 400U);
    EXPECT_EQ(status_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505U);
}

TEST(http_request_head, keeps_the_case_of_methods_it_does_not_know) {
    parsed const request{"get /a HTTP/1.1\r\nHost: a\r\n\r\n"};
    ASSERT_EQ(request.result.state, parse_state::complete);
    EXPECT_EQ(request.head.verb, verb::unknown);
    EXPECT_EQ(request.head.method, "get");
    EXPECT_EQ(status_of("G(T /a HTTP/1.1\r\nHost: a\r\n\r\n"), 400U);
}

TEST(http_request_head, takes_the_authority_of_an_absolute_target_before_host) {
    parsed const request{"GET HTTP://b.example:81/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n"};
    ASSERT_EQ(request.result.state, parse_state::complete);
    EXPECT_EQ(request.head.host, "b.example:81");
    for (std::string const bad : {"http:///x", "http://a b/", "http://u:p@a/", "ftp://a/", "a:80", "foo", "http:/a",
                                  "//\x80", "/a\tb", "http://a%2e/", "https://"})
        EXPECT_EQ(status_of("GET " + bad + " HTTP/1.1\r\nHost: a\r\n\r\n"), 400U) << bad;
}

TEST(http_request_head, bounds_lines_heads_and_fields) {
    limits const limit{32, 128, 3};
    EXPECT_EQ(status_of("GET /" + std::string(18, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", limit), 200U);
    EXPECT_EQ(status_of("GET /" + std::string(19, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", limit), 414U);
    EXPECT_EQ(status_of(std::string(33, 'a'), limit), 414U);
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n", limit), 200U);
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", limit), 431U);
    std::string const start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    EXPECT_EQ(status_of(start + std::string(128 - start.size() - 4, 'x') + "\r\n\r\n", limit), 200U);
    EXPECT_EQ(status_of(start + std::string(128 - start.size() - 3, 'x') + "\r\n\r\n", limit), 431U);
    EXPECT_EQ(status_of(start + std::string(200, 'x'), limit), 431U);
}

TEST(http_request_head, knows_whether_the_connection_goes_on) {
    auto const keeps = [](std::string const& version, std::string const& fields) {
        parsed const request{"GET / HTTP/" + version + "\r\nHost: a\r\n" + fields + "\r\n"};
        EXPECT_EQ(request.result.state, parse_state::complete);
        return request.head.keep_alive;
    };
    EXPECT_TRUE(keeps("1.1", ""));
    EXPECT_TRUE(keeps("1.1", "Connection: keep-alive\r\n"));
    EXPECT_FALSE(keeps("1.1", "Connection: Close\r\n"));
    EXPECT_FALSE(keeps("1.1", "Connection: keep-alive\r\nConnection: x, close\r\n"));
    EXPECT_FALSE(keeps("1.0", ""));
    EXPECT_TRUE(keeps("1.0", "Connection: Keep-Alive\r\n"));
    EXPECT_FALSE(keeps("1.0", "Connection: keep-alive, close\r\n"));
}

TEST(http_request_head, knows_who_waits_for_100_continue) {
    EXPECT_TRUE(parsed(with("Expect: 100-Continue\r\nContent-Length: 1\r\n")).head.expect_continue);
    EXPECT_FALSE(parsed("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").head.expect_continue);
    EXPECT_EQ(status_of(with("Expect: 200-ok\r\n")), 417U);
}

std::string stripped(std::string const& fields) {
    parsed const request{with(fields)};
    EXPECT_EQ(request.result.state, parse_state::complete) << fields;
    std::string names;
    for (auto const& each : request.head.fields())
        if (is_hop_by_hop(request.head, each))
            names += std::string(each.name) + ' ';
    return names;
}

TEST(http_request_head, marks_the_fields_of_this_connection) {
    EXPECT_EQ(
        stripped("Keep-Alive: 5\r\nAccept: a\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n"
                 "Proxy-Connection: close\r\nProxy-Authorization: x\r\nProxy-Authenticate: y\r\nCookie: c\r\n"
                 "Transfer-Encoding: chunked\r\nConnection: close\r\n"),
        "Keep-Alive TE Trailer Upgrade HTTP2-Settings Proxy-Connection Proxy-Authorization Proxy-Authenticate "
        "Transfer-Encoding Connection ");
}

TEST(http_request_head, marks_the_fields_that_connection_names) {
    EXPECT_EQ(stripped("X-Drop: 1\r\nX-Keep: 2\r\nConnection: x-drop, close\r\nConnection: Other\r\nOther: 3\r\n"),
              "X-Drop Connection Connection Other ");
}

TEST(http_request_head, lets_connection_take_away_nothing_that_others_rely_on) {
    EXPECT_EQ(stripped("Connection: host, content-length, X-Forwarded-For, authorization, x-real-ip, cookie, Via\r\n"
                       "Content-Length: 1\r\nX-Forwarded-For: 192.0.2.1\r\nAuthorization: b\r\nX-Real-IP: 192.0.2.1\r\n"
                       "Cookie: c\r\nVia: 1.1 a\r\n"),
              "Connection ");
}

TEST(http_request_head, bounds_the_names_in_connection) {
    std::string names = "Connection: a";
    for (int i = 1; i < 32; ++i)
        names += ",a";
    EXPECT_EQ(status_of(with(names + "\r\n")), 200U);
    EXPECT_EQ(status_of(with(names + ",a\r\n")), 400U);
}

TEST(http_request_head, does_not_pass_on_names_with_underscores) {
    EXPECT_EQ(stripped("X_User_Id: root\r\nX-User-Id: me\r\nX_Forwarded_For: 192.0.2.1\r\n"),
              "X_User_Id X_Forwarded_For ");
}

struct parsed_response {
    explicit parsed_response(std::string bytes, verb method = verb::get)
        : text(std::move(bytes)) {
        result = parse_response_head(text, {}, method, head);
        response_head again;
        std::unique_ptr<char[]> buffer;
        auto const other = parse_bytewise(
            text, buffer, [&](std::string_view part) { return parse_response_head(part, {}, method, again); });
        EXPECT_EQ(result.state, other.state) << text;
        EXPECT_EQ(result.consumed, other.consumed) << text;
        if (result.state == parse_state::complete) {
            EXPECT_EQ(head.reason, again.reason);
            EXPECT_EQ(head.fields().size(), again.fields().size());
        }
    }

    std::string text;
    response_head head;
    parse_result result;
};

TEST(http_response_head, gives_every_part) {
    parsed_response const response{"HTTP/1.1 404 Not  Found\r\nContent-Length: 3\r\nX_y: z\r\n\r\nabc"};
    ASSERT_EQ(response.result.state, parse_state::complete);
    EXPECT_EQ(response.head.status, 404U);
    EXPECT_EQ(response.head.reason, "Not  Found");
    EXPECT_EQ(response.head.version, 11U);
    EXPECT_EQ(response.head.framing, body_framing::length);
    EXPECT_EQ(response.head.content_length, 3U);
    EXPECT_TRUE(response.head.has_content_length);
    EXPECT_TRUE(response.head.keep_alive);
    ASSERT_EQ(response.head.fields().size(), 2U);
    EXPECT_FALSE(is_hop_by_hop(response.head, response.head.fields()[1])) << "no field of an upstream is lost";
}

TEST(http_response_head, may_leave_out_the_reason) {
    EXPECT_EQ(parsed_response("HTTP/1.1 301\r\n\r\n").head.status, 301U);
    EXPECT_EQ(parsed_response("HTTP/1.1 200 \r\n\r\n").head.reason, "");
    EXPECT_EQ(parsed_response("HTTP/1.1 500 Ori\xebntatie\r\n\r\n").head.status, 500U);
}

TEST(http_response_head, knows_how_the_body_ends) {
    auto const framing = [](std::string const& text, verb method = verb::get) {
        parsed_response const response{text, method};
        EXPECT_EQ(response.result.state, parse_state::complete) << text;
        return response.head.framing;
    };
    EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), body_framing::chunked);
    EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), body_framing::length);
    EXPECT_EQ(framing("HTTP/1.1 200 OK\r\n\r\n"), body_framing::until_close);
    EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", verb::head), body_framing::none);
    EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", verb::head), body_framing::none);
    EXPECT_EQ(framing("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), body_framing::none);
    EXPECT_EQ(framing("HTTP/1.1 204 No Content\r\n\r\n"), body_framing::none);
    EXPECT_EQ(framing("HTTP/1.1 100 Continue\r\n\r\n"), body_framing::none);
    EXPECT_EQ(framing("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"), body_framing::none);
}

TEST(http_response_head, does_not_trust_a_connection_whose_next_byte_is_unsure) {
    auto const keeps = [](std::string const& text, verb method = verb::get) {
        return parsed_response(text, method).head.keep_alive;
    };
    EXPECT_TRUE(keeps("HTTP/1.1 204 No Content\r\n\r\n"));
    EXPECT_TRUE(keeps("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"));
    EXPECT_TRUE(keeps("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", verb::head));
    EXPECT_FALSE(keeps("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n"));
    EXPECT_FALSE(keeps("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"));
    EXPECT_FALSE(keeps("HTTP/1.1 200 OK\r\n\r\n"));
    EXPECT_FALSE(keeps("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    EXPECT_TRUE(keeps("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"));
}

TEST(http_response_head, refuses_with_502_what_a_request_could_not_hold_either) {
    for (std::string const bad : {"HTP/1.1 200 OK\r\n",
                                  "HTTP/01.1 200 OK\r\n",
                                  "HTTP/1.1\t200 OK\r\n",
                                  "HTTP/2.0 200 OK\r\n",
                                  "HTTP/0.9 200 OK\r\n",
                                  "HTTP/1.1  200 OK\r\n",
                                  "HTTP/1.1 2 OK\r\n",
                                  "HTTP/1.1 20a OK\r\n",
                                  "HTTP/1.1 2000 OK\r\n",
                                  "HTTP/1.1 099 x\r\n",
                                  "HTTP/1.1 600 x\r\n",
                                  "HTTP/1.1 200 OK\n",
                                  "HTTP/1.1 200 OK\rX",
                                  "\r\nHTTP/1.1 200 OK\r\n",
                                  "ICY 200 OK\r\n",
                                  "HTTP/1.1 200 OK\r\n folded",
                                  "HTTP/1.1 200 OK\r\nX : y\r\n",
                                  "HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n",
                                  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
                                  "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n",
                                  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
                                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: pigeons\r\n\r\n",
                                  "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
        parsed_response const response{bad};
        EXPECT_EQ(response.result.state, parse_state::refused) << bad;
        EXPECT_EQ(response.result.why.status, 502U) << bad;
        EXPECT_FALSE(response.result.why.reason.empty()) << bad;
    }
}

} // namespace
