#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <sstream>

// proxy.md, "HTTP strictness", for requests that are not refused: what of them the upstream sees.

namespace weir::test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// The head that the upstream gets for a GET with those lines.
std::string seen_by_upstream(running_proxy const& proxy, std::string_view lines, std::string_view target = "/") {
    auto client = proxy.connect();
    auto const answer = client.get(target, lines);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.body;
}

TEST(proxy_passage, connection_cannot_take_away_what_others_rely_on_nor_what_we_add) {
    upstream up(upstream::echo());
    running_proxy const proxy(proxy_config(up.port()));
    auto const seen = seen_by_upstream(
        proxy, "Connection: host, authorization, cookie, x-forwarded-for, x-forwarded-proto, forwarded, via, "
               "x-request-id, traceparent, content-length\r\nAuthorization: Bearer t\r\nCookie: a=b\r\n"
               "X-Request-Id: mine\r\n");
    for (auto const* kept :
         {"Host: weir.test\r\n", "Authorization: Bearer t\r\n", "Cookie: a=b\r\n", "X-Forwarded-For: 127.0.0.1\r\n",
          "X-Forwarded-Proto: http\r\n", "Forwarded: for=127.0.0.1", "Via: 1.1 weir\r\n", "X-Request-Id: mine\r\n",
          "traceparent: 00-"})
        EXPECT_THAT(seen, HasSubstr(kept));
}

TEST(proxy_passage, fields_of_underscores_are_dropped) {
    upstream up(upstream::echo());
    running_proxy const proxy(proxy_config(up.port()));
    auto const seen = seen_by_upstream(proxy, "X_User_Id: root\r\nX_Forwarded_For: 6.6.6.6\r\n");
    EXPECT_THAT(seen, Not(HasSubstr("root")));
    EXPECT_THAT(seen, Not(HasSubstr("6.6.6.6")));
}

TEST(proxy_passage, an_absolute_target_wins_over_host_and_is_passed_on_as_a_path) {
    upstream up(upstream::echo());
    running_proxy const proxy(proxy_config(up.port()));
    auto const seen = seen_by_upstream(proxy, "", "http://other.test:81/a?b");
    EXPECT_THAT(seen, StartsWith("GET /a?b HTTP/1.1\r\nHost: other.test:81\r\n"));
    EXPECT_THAT(seen, Not(HasSubstr("Host: weir.test")));
}

TEST(proxy_passage, http_1_0_is_passed_on_as_1_1_and_said_so) {
    upstream up(upstream::echo());
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    auto const answer = client.exchange("GET / HTTP/1.0\r\nHost: weir.test\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_THAT(answer.body, StartsWith("GET / HTTP/1.1\r\n"));
    EXPECT_THAT(answer.body, HasSubstr("Via: 1.0 weir\r\n"));
    EXPECT_EQ(client.get("/").status, 200);
}

TEST(proxy_passage, every_spelling_of_a_path_is_one_for_the_route_the_limit_and_the_upstream) {
    redis_server const redis;
    upstream up(upstream::echo());
    auto settings = proxy_config(up.port());
    auto limit = hourly("per-path", 100);
    limit.endpoint = config::endpoint_scope::path;
    settings.limits.push_back(limit);
    settings.routes.front().path = "/v1/chat";
    settings.routes.front().prefix = false;
    settings.routes.front().limits = {0};
    running_proxy const proxy(settings, options_for(redis));
    struct {
        char const *spelled, *passed_on;
    } const cases[]{
        {"/v1/chat", "/v1/chat"},
        {"//v1//chat", "/v1/chat"},
        {"/./v1/./chat", "/v1/chat"},
        {"/a/../v1/chat", "/v1/chat"},
        {"/v1/%63hat", "/v1/chat"},
        {"/%2e/v1/chat", "/v1/chat"},
        {"/x/%2E%2e/v1/chat", "/v1/chat"},
        {"/v1/chat;x=1", "/v1/chat;x=1"},
        {"/V1/Chat", "/V1/Chat"},
        {"/v1/chat/", "/v1/chat/"},
        {"/v1/chat?a=/../b", "/v1/chat?a=/../b"},
        {"/v1;y/chat", "/v1;y/chat"},
        {"http://weir.test/v1/chat", "/v1/chat"},
    };
    auto client = proxy.connect();
    int left = 100;
    for (auto const& one : cases) {
        auto const answer = client.get(one.spelled);
        EXPECT_EQ(answer.status, 200) << one.spelled;
        EXPECT_THAT(answer.body, StartsWith("GET " + std::string(one.passed_on) + " HTTP/1.1\r\n"));
        EXPECT_THAT(answer.field("RateLimit"), HasSubstr(";r=" + std::to_string(--left))) << one.spelled;
    }
}

TEST(proxy_passage, pipelined_requests_are_each_limited_and_answered_in_order) {
    redis_server const redis;
    upstream up(upstream::echo());
    auto settings = proxy_config(up.port());
    settings.limits.push_back(hourly("few", 3));
    settings.routes.front().limits = {0};
    running_proxy const proxy(settings, options_for(redis));
    auto client = proxy.connect();
    std::string all;
    for (int i = 0; i < 6; ++i)
        all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: weir.test\r\n\r\n";
    client.send(all);
    for (int i = 0; i < 6; ++i) {
        auto const answer = client.read();
        EXPECT_EQ(answer.status, i < 3 ? 200u : 429u);
        EXPECT_TRUE(i >= 3 || answer.body.starts_with("GET /" + std::to_string(i) + " "));
    }
}

TEST(proxy_passage, pipelined_bodies_of_either_framing_are_kept_apart) {
    upstream up(upstream::echo());
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    std::string all;
    for (int i = 0; i < 30; ++i) {
        std::string const body(static_cast<std::size_t>(i * i * 97 % 20'000 + 1), static_cast<char>('a' + i % 26));
        std::ostringstream chunk;
        chunk << std::hex << body.size();
        all += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: weir.test\r\n" +
               (i % 2 == 0 ? "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body
                           : "Transfer-Encoding: chunked\r\n\r\n" + chunk.str() + "\r\n" + body + "\r\n0\r\n\r\n");
    }
    client.send(all); // less than the sockets hold
    for (int i = 0; i < 30; ++i) {
        auto const answer = client.read();
        EXPECT_THAT(answer.body, StartsWith("POST /" + std::to_string(i) + " "));
        EXPECT_THAT(answer.body, EndsWith(std::string(1, static_cast<char>('a' + i % 26))));
    }
}

TEST(proxy_passage, an_error_ends_a_pipeline) {
    std::atomic<int> reached{0};
    upstream up([&](upstream::connection& c) {
        for (;;) {
            c.read();
            ++reached;
            c.respond("reached");
        }
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    std::string const good = "GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n";
    client.send(good + "GET / HTTP/1.1\r\nHost: weir.test\r\nX : y\r\n\r\n" + good);
    EXPECT_EQ(client.read().body, "reached");
    auto const refused = client.read();
    EXPECT_EQ(refused.status, 400);
    EXPECT_TRUE(refused.close);
    client.shutdown_send();
    EXPECT_EQ(client.read_to_end(), "");
    EXPECT_EQ(reached, 1);
}

TEST(proxy_passage, a_large_body_that_stops_coming_is_408) {
    upstream up([](upstream::connection& c) {
        c.read_head();
        c.wait_for_close();
    });
    auto settings = proxy_config(up.port());
    settings.http.body_timeout = std::chrono::milliseconds{200};
    running_proxy const proxy(settings);
    for (auto const* framing : {"Content-Length: 1000000", "Transfer-Encoding: chunked"}) {
        auto client = proxy.connect();
        auto const answer =
            client.exchange("POST / HTTP/1.1\r\nHost: w\r\n" + std::string(framing) + "\r\n\r\n5\r\nhello\r\n");
        EXPECT_EQ(answer.status, 408) << framing;
        EXPECT_TRUE(answer.close);
    }
    EXPECT_TRUE(up.wait_until_open(0)) << "the upstream must not take what it has for all";
}

TEST(proxy_passage, a_body_that_breaks_off_never_reaches_the_upstream_as_a_whole_one) {
    std::promise<bool> whole;
    upstream up([&](upstream::connection& c) { whole.set_value(c.read_whole()); });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    client.shutdown_send();
    EXPECT_FALSE(whole.get_future().get());
}

TEST(proxy_passage, a_chunked_body_that_grows_over_the_limit_is_413_and_not_passed_on_as_a_whole) {
    std::promise<bool> whole;
    upstream up([&](upstream::connection& c) { whole.set_value(c.read_whole()); });
    auto settings = proxy_config(up.port());
    settings.http.max_body = 100'000;
    running_proxy const proxy(settings);
    auto client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n");
    std::string const chunk = "2710\r\n" + std::string(10'000, 'x') + "\r\n";
    for (int i = 0; i < 12; ++i)
        client.send_some(chunk);
    EXPECT_EQ(client.read().status, 413);
    EXPECT_FALSE(whole.get_future().get());
}

TEST(proxy_passage, a_trusted_proxys_chain_is_walked_from_the_right_and_added_to) {
    redis_server const redis;
    upstream up(upstream::echo());
    auto settings = proxy_config(up.port());
    settings.trusted_proxies.emplace_back(boost::asio::ip::make_network_v4("127.0.0.0/8"));
    settings.trusted_proxies.emplace_back(boost::asio::ip::make_network_v4("10.0.0.0/8"));
    settings.limits.push_back(hourly("few", 10));
    settings.limits.front().per = {{config::per_part::type::ip, {}}};
    settings.routes.front().limits = {0};
    running_proxy const proxy(settings, options_for(redis));
    auto client = proxy.connect();
    auto const left = [&](std::string const& chain) {
        auto const answer = client.get("/", "X-Forwarded-For: " + chain + "\r\n");
        EXPECT_THAT(answer.body, HasSubstr("X-Forwarded-For: " + chain + ", 127.0.0.1\r\n"));
        auto const quota = answer.field("RateLimit");
        return std::stoi(quota.substr(quota.find("r=") + 2));
    };
    EXPECT_EQ(left("192.0.2.1"), 9);
    EXPECT_EQ(left("6.6.6.6, 192.0.2.1, 10.1.2.3"), 8) << "what an untrusted one says of others is not believed";
    EXPECT_EQ(left("192.0.2.1, 6.6.6.6"), 9);
    EXPECT_EQ(left("2001:db8:0:1::1"), 9);
    EXPECT_EQ(left("2001:db8:0:1:ffff::2"), 8) << "one /64 is one client";
    EXPECT_EQ(left("2001:db8:0:2::1"), 9);
}

} // namespace
} // namespace weir::test
