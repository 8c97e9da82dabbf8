#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <weir/metrics/collector.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <atomic>
#include <thread>

// Circuits through the proxy, with a real Redis and an upstream that fails as the test says.

namespace weir::test {
namespace {

using testing::HasSubstr;

class proxy_circuit : public testing::Test {
protected:
    /// Three calls are enough to judge by; open for long, so that only a test that wants to sees it end.
    config::config settings() const {
        auto c = proxy_config(up_.port());
        config::circuit_breaker made;
        made.name = "api";
        made.how.minimum_calls = 3;
        made.how.failure_rate = 0.5;
        made.how.open_for = std::chrono::seconds{30};
        c.circuits.push_back(made);
        c.upstreams.front().circuit = 0;
        c.redis.timeout = std::chrono::seconds{5};
        return c;
    }

    proxy::server_options options() const { return options_for(redis_); }

    /// By the path: what status, or what mischief.
    void serve(upstream::connection& c) {
        for (;;) {
            auto const request = c.read();
            ++served_;
            auto const path = request.target();
            if (path == "/reset")
                return c.reset();
            if (path == "/cut") {
                c.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin");
                return c.reset();
            }
            if (path == "/silent")
                return c.wait_for_close();
            if (path == "/slow")
                wait_a_while();
            c.respond("body", failing_ || path == "/fail" ? "503 Service Unavailable" : "200 OK");
        }
    }

    /// Longer than a call may take that is not slow.
    static void wait_a_while() { std::this_thread::sleep_for(std::chrono::milliseconds{30}); }

    static std::string scrape(running_proxy const& proxy) {
        return prometheus::TextSerializer{}.Serialize(metrics::collector(proxy.server.counters()).Collect());
    }

    /// Fails until the circuit refuses; the refusal.
    static http_response until_refused(http_client& client, std::string_view path = "/fail") {
        for (int i = 0; i < 3; ++i)
            client.get(path);
        return client.get("/");
    }

    redis_server redis_;
    std::atomic<bool> failing_{false};
    std::atomic<int> served_{0};
    upstream up_{[this](upstream::connection& c) { serve(c); }};
};

TEST_F(proxy_circuit, opens_on_failures_and_refuses_without_asking_the_upstream) {
    running_proxy const proxy(settings(), options());
    auto client = proxy.connect();
    auto const refused = until_refused(client);
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.field("Content-Type"), "application/problem+json");
    EXPECT_THAT(refused.body, HasSubstr(R"(the circuit \"api\" is open)"));
    auto const wait = std::stoi(refused.field("Retry-After"));
    EXPECT_GE(wait, 1);
    EXPECT_LE(wait, 33) << "30 s and up to a tenth of jitter";
    EXPECT_EQ(served_, 3);
    EXPECT_EQ(client.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").status, 503)
        << "its body is skipped, and the connection goes on";
    EXPECT_EQ(client.get("/").status, 503);
    EXPECT_EQ(served_, 3);
    auto const text = scrape(proxy);
    EXPECT_THAT(text, HasSubstr(R"(weir_circuit_state{circuit="api",state="open"} 1)"));
    EXPECT_THAT(text, HasSubstr(R"(weir_circuit_state{circuit="api",state="closed"} 0)"));
    EXPECT_THAT(text, HasSubstr(R"(weir_circuit_transitions_total{circuit="api",from="closed",to="open"} 1)"));
    EXPECT_THAT(text, HasSubstr(R"(weir_circuit_refused_total{circuit="api"} 3)"));
}

TEST_F(proxy_circuit, answers_that_are_no_failures_keep_it_closed) {
    running_proxy const proxy(settings(), options());
    auto client = proxy.connect();
    for (int i = 0; i < 10; ++i)
        EXPECT_EQ(client.get("/").status, 200);
    EXPECT_THAT(scrape(proxy), HasSubstr(R"(weir_circuit_state{circuit="api",state="closed"} 1)"));
}

TEST_F(proxy_circuit, resets_before_the_head_and_in_the_body_count) {
    running_proxy const proxy(settings(), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/reset").status, 502);
    EXPECT_EQ(client.get("/reset").status, 502);
    EXPECT_FALSE(client.get("/cut").complete);
    EXPECT_EQ(proxy.connect().get("/").status, 503);
}

TEST_F(proxy_circuit, an_upstream_that_does_not_answer_in_time_counts) {
    auto c = settings();
    c.upstreams.front().first_byte_timeout = std::chrono::milliseconds{1};
    running_proxy const proxy(c, options());
    auto client = proxy.connect();
    EXPECT_EQ(until_refused(client, "/silent").status, 503);
}

TEST_F(proxy_circuit, slow_is_counted_by_the_first_byte) {
    auto c = settings();
    c.circuits.front().how.slow_call = std::chrono::milliseconds{20};
    running_proxy const proxy(c, options());
    auto client = proxy.connect();
    auto const refused = until_refused(client, "/slow");
    EXPECT_EQ(refused.status, 503);
}

TEST_F(proxy_circuit, refusals_of_our_own_do_not_count) {
    auto c = settings();
    c.limits.push_back(hourly("few", 0));
    c.routes.front().limits = {0};
    config::route free;
    free.name = "free";
    free.path = "/free";
    free.prefix = false;
    c.routes.insert(c.routes.begin(), free);
    running_proxy const proxy(c, options());
    auto client = proxy.connect();
    for (int i = 0; i < 10; ++i)
        EXPECT_EQ(client.get("/").status, 429);
    EXPECT_EQ(client.get("/free").status, 200);
}

TEST_F(proxy_circuit, a_client_that_leaves_does_not_count) {
    running_proxy const proxy(settings(), options());
    for (int i = 0; i < 4; ++i) {
        auto client = proxy.connect();
        client.send("GET /silent HTTP/1.1\r\nHost: weir.test\r\n\r\n");
        ASSERT_TRUE(up_.wait_until_open(1));
        client.close();
        ASSERT_TRUE(up_.wait_until_open(0));
    }
    EXPECT_EQ(proxy.connect().get("/").status, 200);
}

TEST_F(proxy_circuit, probes_close_it_again) {
    auto c = settings();
    c.circuits.front().how.open_for = std::chrono::milliseconds{50};
    c.circuits.front().how.half_open_calls = 1;
    running_proxy const proxy(c, options());
    auto client = proxy.connect();
    failing_ = true;
    until_refused(client);
    failing_ = false;
    // The requests are the clock: the first after the wait is a probe, and closes it.
    unsigned status = 0;
    for (int i = 0; i < 100'000 && status != 200; ++i)
        status = client.get("/").status;
    EXPECT_EQ(status, 200);
    EXPECT_EQ(client.get("/").status, 200);
}

TEST_F(proxy_circuit, what_one_instance_sees_the_others_follow) {
    auto c = settings();
    c.circuits.front().how.trip_quorum = 1; // a majority of two would be both
    running_proxy const one(c, options());
    running_proxy const other(c, options());
    auto failing = one.connect();
    until_refused(failing);
    auto const& state = other.server.counters()->worker(0).circuits.at(0).state;
    auto const deadline = boot_clock::now() + http_client::patience;
    while (state.value() == 0 && boot_clock::now() < deadline)
        std::this_thread::yield();
    EXPECT_EQ(other.connect().get("/").status, 503);
    EXPECT_THAT(scrape(other), HasSubstr(R"(weir_circuit_push_delay_seconds_count)"));
}

TEST_F(proxy_circuit, goes_on_alone_without_redis) {
    auto c = settings();
    redis_.stop();
    running_proxy const proxy(c, options());
    auto client = proxy.connect();
    EXPECT_EQ(until_refused(client).status, 503);
    EXPECT_EQ(served_, 3);
}

} // namespace
} // namespace weir::test
