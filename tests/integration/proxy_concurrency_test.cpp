#include "support/gate.hpp"
#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

// Limits on what is in flight, through the proxy, with upstreams that answer when the test says so.

namespace weir::test {
namespace {

using testing::HasSubstr;

class proxy_concurrency : public testing::Test {
protected:
    ~proxy_concurrency() override { gate_.open(); }

    static constexpr std::string_view hold = "GET /hold HTTP/1.1\r\nHost: weir.test\r\n\r\n";

    /// So many in flight for each address. The lease is long: what frees a place before is not its end.
    config::config settings(std::uint64_t limit, std::chrono::milliseconds lease = std::chrono::hours{1}) const {
        auto c = proxy_config(up_.port());
        config::limit made;
        made.rule.name = "in-flight";
        made.rule.algorithm = algorithm::concurrency;
        made.rule.limit = limit;
        made.rule.window = lease;
        c.limits.push_back(made);
        c.routes.front().limits = {0};
        c.redis.timeout = std::chrono::seconds{5};
        return c;
    }

    proxy::server_options options() const { return options_for(redis_); }

    /// By the path: /hold is answered when the gate opens, /stream begins at once and ends then, /leave never is, /fail
    /// is cut off; any other at once.
    void serve(upstream::connection& c) {
        for (;;) {
            auto const path = c.read().target();
            if (path == "/hold") {
                gate_.pass();
            } else if (path == "/stream") {
                c.stream_until(gate_);
                continue;
            } else if (path == "/leave") {
                left_.open();
                c.wait_for_close();
                return;
            } else if (path == "/fail") {
                return c.reset();
            }
            c.respond("served");
        }
    }

    gate gate_;
    gate left_;
    redis_server redis_;
    upstream up_{[this](upstream::connection& c) { serve(c); }};
};

TEST_F(proxy_concurrency, never_more_than_the_limit_are_in_flight_over_all_instances_and_an_end_frees_a_place) {
    running_proxy const one(settings(3), options());
    running_proxy const other(settings(3), options());
    std::deque<http_client> inside;
    for (auto const* proxy : {&one, &other, &one})
        inside.emplace_back(proxy->endpoint()).send(hold);
    ASSERT_TRUE(gate_.wait_for_arrivals(3));
    for (auto const* proxy : {&one, &other}) {
        auto client = proxy->connect();
        auto const refused = client.get("/");
        EXPECT_EQ(refused.status, 429);
        EXPECT_NE(refused.field("Retry-After"), "");
        EXPECT_EQ(refused.field("RateLimit-Policy"), R"("in-flight";q=3;w=3600)");
        EXPECT_THAT(refused.field("RateLimit"), HasSubstr(R"("in-flight";r=0)"));
        EXPECT_THAT(refused.body, HasSubstr("has no place free"));
        EXPECT_THAT(refused.body, HasSubstr(R"("violated-policies":["in-flight"])"));
    }
    gate_.open();
    for (auto& client : inside) {
        EXPECT_EQ(client.read().status, 200);
        for (int i = 0; i < 5; ++i)
            EXPECT_EQ(client.get("/").status, 200) << "one after the other, all have a place";
    }
}

TEST_F(proxy_concurrency, a_client_that_goes_frees_its_place) {
    running_proxy const proxy(settings(1), options());
    {
        auto leaving = proxy.connect();
        leaving.send("GET /leave HTTP/1.1\r\nHost: weir.test\r\n\r\n");
        left_.pass();
        auto client = proxy.connect();
        EXPECT_EQ(client.get("/").status, 429);
        leaving.reset();
    }
    ASSERT_TRUE(up_.wait_until_open(0)) << "the proxy has noticed, and left the upstream";
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").status, 200);
}

TEST_F(proxy_concurrency, an_upstream_that_fails_frees_the_place) {
    running_proxy const proxy(settings(1), options());
    auto client = proxy.connect();
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(client.get("/fail").status, 502);
    EXPECT_EQ(client.get("/").status, 200);
    up_.stop();
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(client.get("/").status, 502);
}

TEST_F(proxy_concurrency, a_stream_keeps_its_place_for_longer_than_its_lease) {
    running_proxy const proxy(settings(1, std::chrono::seconds{1}), options());
    auto streaming = proxy.connect();
    streaming.send("GET /stream HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    streaming.read_until("begin\n");
    auto client = proxy.connect();
    auto const until = std::chrono::steady_clock::now() + std::chrono::milliseconds{2500};
    while (std::chrono::steady_clock::now() < until)
        ASSERT_EQ(client.get("/").status, 429);
    gate_.open();
    streaming.read_until("0\r\n\r\n");
    EXPECT_EQ(client.get("/").status, 200);
}

TEST_F(proxy_concurrency, a_proxy_that_is_stopped_gives_back_what_it_held) {
    {
        running_proxy const stopped(settings(2), options());
        auto one = stopped.connect();
        auto two = stopped.connect();
        one.send(hold);
        two.send(hold);
        ASSERT_TRUE(gate_.wait_for_arrivals(2));
    }
    running_proxy const next(settings(2), options());
    auto client = next.connect();
    EXPECT_EQ(client.get("/").status, 200);
    EXPECT_THAT(client.get("/").field("RateLimit"), HasSubstr("r=1")) << "both are free but for its own";
}

TEST_F(proxy_concurrency, while_redis_is_dead_this_process_counts_for_itself) {
    running_proxy const proxy(settings(1), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").status, 200);
    redis_.kill();
    auto inside = proxy.connect();
    inside.send(hold);
    ASSERT_TRUE(gate_.wait_for_arrivals(1));
    EXPECT_EQ(client.get("/").status, 429);
    gate_.open();
    EXPECT_EQ(inside.read().status, 200);
    EXPECT_EQ(client.get("/").status, 200);
}

TEST_F(proxy_concurrency, what_is_charged_beside_it_stays_charged) {
    auto c = settings(1);
    c.limits.push_back(hourly("hourly", 2));
    c.routes.front().limits = {0, 1};
    running_proxy const proxy(std::move(c), options());
    auto client = proxy.connect();
    EXPECT_THAT(client.get("/").field("RateLimit"), HasSubstr(R"("hourly";r=1)"));
    EXPECT_THAT(client.get("/").field("RateLimit"), HasSubstr(R"("hourly";r=0)"));
    EXPECT_THAT(client.get("/").body, HasSubstr(R"("violated-policies":["hourly"])"));
}

} // namespace
} // namespace weir::test
