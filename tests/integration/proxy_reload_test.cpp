#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

// Another configuration under a running proxy.

namespace weir::test {
namespace {

using testing::HasSubstr;

std::shared_ptr<config::config const> share(config::config c) {
    return std::make_shared<config::config const>(std::move(c));
}

/// As the running proxy's, but for what the test changes.
config::config again(running_proxy const& proxy) { return *proxy.server.config(); }

config::config leads_to(config::config c, upstream const& up) {
    c.upstreams.front().targets.front() = {"127.0.0.1", up.port(), "127.0.0.1:" + std::to_string(up.port())};
    return c;
}

TEST(proxy_reload, requests_that_begin_afterwards_are_served_by_the_new_one_on_the_same_connection) {
    upstream one(upstream::always("one")), other(upstream::always("other"));
    running_proxy proxy(proxy_config(one.port()));
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").body, "one");
    ASSERT_TRUE(proxy.server.reload(share(leads_to(again(proxy), other))).empty());
    // The worker takes it up when it comes to it; the requests are what tells.
    std::string body;
    for (int i = 0; i < 100'000 && body != "other"; ++i)
        body = client.get("/").body;
    EXPECT_EQ(body, "other");
}

TEST(proxy_reload, under_load_no_request_is_lost) {
    upstream one(upstream::always("one")), other(upstream::always("other"));
    auto settings = proxy_config(one.port());
    settings.workers = 2;
    running_proxy proxy(settings);
    std::atomic<bool> ending{false};
    std::atomic<int> good{0}, bad{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 8; ++i)
        clients.emplace_back([&] {
            auto client = proxy.connect();
            while (!ending) {
                auto const answer = client.get("/");
                bool const well = answer.status == 200 && answer.complete && !answer.close &&
                                  (answer.body == "one" || answer.body == "other");
                ++(well ? good : bad);
            }
        });
    for (int i = 0; i < 50; ++i) {
        auto const before = good + bad;
        EXPECT_TRUE(proxy.server.reload(share(leads_to(again(proxy), i % 2 == 0 ? other : one))).empty());
        while (good + bad < before + 20)
            std::this_thread::yield();
    }
    ending = true;
    for (auto& each : clients)
        each.join();
    EXPECT_EQ(bad, 0);
    EXPECT_GT(good, 1000);
}

TEST(proxy_reload, what_runs_ends_by_the_configuration_it_began_with) {
    upstream slow([](upstream::connection& c) {
        c.read();
        c.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                "6\r\nbegin\n\r\n");
        c.read(); // nothing more comes, until the proxy closes
    });
    upstream other(upstream::always("other"));
    running_proxy proxy(proxy_config(slow.port()));
    auto stream = proxy.connect();
    stream.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    stream.read_until("begin\n");
    ASSERT_TRUE(proxy.server.reload(share(leads_to(again(proxy), other))).empty());
    auto client = proxy.connect();
    std::string body;
    for (int i = 0; i < 100'000 && body != "other"; ++i)
        body = client.get("/").body;
    EXPECT_EQ(body, "other");
    EXPECT_EQ(slow.open(), 1u);
    slow.stop();
    EXPECT_THAT(stream.read_to_end(), HasSubstr("event: error")) << "cut off by its upstream, not before";
}

TEST(proxy_reload, what_cannot_change_is_named_and_nothing_changes) {
    upstream one(upstream::always("one")), other(upstream::always("other"));
    running_proxy proxy(proxy_config(one.port()));
    auto c = leads_to(again(proxy), other);
    c.workers = 3;
    c.listen.push_back({"127.0.0.1", 0});
    std::vector<std::string> pointers;
    for (auto const& each : proxy.server.reload(share(c)))
        pointers.push_back(each.pointer);
    EXPECT_THAT(pointers, testing::ElementsAre("/listen", "/workers"));
    auto client = proxy.connect();
    for (int i = 0; i < 10; ++i)
        EXPECT_EQ(client.get("/").body, "one");
}

TEST(proxy_reload, limits_and_their_counts_and_counters_go_on) {
    redis_server const redis;
    upstream one(upstream::always("one"));
    auto settings = proxy_config(one.port());
    settings.limits.push_back(hourly("few", 3));
    settings.routes.front().limits = {0};
    settings.redis.timeout = std::chrono::seconds{5};
    running_proxy proxy(settings, options_for(redis));
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").status, 200);
    EXPECT_EQ(client.get("/").status, 200);
    auto c = again(proxy);
    c.limits.insert(c.limits.begin(), hourly("many", 1000));
    c.routes.front().limits = {1, 0};
    config::route more = c.routes.front();
    more.name = "more";
    more.path = "/more";
    more.prefix = false;
    c.routes.insert(c.routes.begin(), more);
    ASSERT_TRUE(proxy.server.reload(share(c)).empty());
    EXPECT_EQ(client.get("/").status, 200);
    EXPECT_EQ(client.get("/").status, 429) << "the two from before count";
    auto const counters = proxy.server.counters()->now();
    ASSERT_EQ(counters->labels().routes.at(1), "all");
    EXPECT_EQ(counters->worker(0).routes[1].requests[metrics::code_class::success].value(), 3u);
    ASSERT_EQ(counters->labels().rules.at(1), "few");
    EXPECT_EQ(counters->worker(0).rules[1].decisions[outcome::allow].value(), 3u);
}

TEST(proxy_reload, circuits_keep_their_state_unless_they_are_changed) {
    redis_server const redis;
    std::atomic<bool> failing{true};
    upstream up([&](upstream::connection& c) {
        for (;;) {
            c.read();
            c.respond("", failing ? "500 Oops" : "200 OK");
        }
    });
    auto settings = proxy_config(up.port());
    config::circuit_breaker made;
    made.name = "api";
    made.how.minimum_calls = 3;
    made.how.open_for = std::chrono::minutes{1};
    settings.circuits.push_back(made);
    settings.upstreams.front().circuit = 0;
    settings.redis.timeout = std::chrono::seconds{5};
    running_proxy proxy(settings, options_for(redis));
    auto client = proxy.connect();
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(client.get("/").status, 500);
    EXPECT_EQ(client.get("/").status, 503);
    auto c = again(proxy);
    c.http.max_body = 1;
    ASSERT_TRUE(proxy.server.reload(share(c)).empty());
    EXPECT_EQ(client.get("/").status, 503);
    failing = false;
    c.upstreams.front().circuit.reset();
    ASSERT_TRUE(proxy.server.reload(share(c)).empty());
    unsigned status = 0;
    for (int i = 0; i < 100'000 && status != 200; ++i)
        status = client.get("/").status;
    EXPECT_EQ(status, 200);
}

} // namespace
} // namespace weir::test
