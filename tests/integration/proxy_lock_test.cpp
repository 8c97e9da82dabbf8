#include "support/gate.hpp"
#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/until.hpp"
#include "support/upstream.hpp"

#include <weir/metrics/collector.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <deque>
#include <mutex>

// Locks through the proxy, with a real Redis and upstreams that answer when the test says so.

namespace weir::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

class proxy_lock : public testing::Test {
protected:
    ~proxy_lock() override { gate_.open(); }

    /// One request a session. The ttl is long: what frees a lock is not its end.
    config::config settings(std::chrono::milliseconds wait = 0s, std::chrono::milliseconds ttl = 1h) const {
        auto c = proxy_config(up_.port());
        config::lock made;
        made.name = "session";
        made.key = {config::lock_key::type::header, "x-session-id"};
        made.wait = wait;
        made.ttl = ttl;
        c.locks.push_back(made);
        c.routes.front().lock = 0;
        c.redis.timeout = 5s;
        return c;
    }

    proxy::server_options options() const { return options_for(redis_); }

    static std::string request(std::string_view path, std::string_view session = "a", std::string_view fields = {}) {
        return "GET " + std::string(path) + " HTTP/1.1\r\nHost: weir.test\r\nX-Session-Id: " + std::string(session) +
               "\r\n" + std::string(fields) + "\r\n";
    }

    /// By the path: /hold is answered when the gate opens, /stream begins at once and ends then, /leave never is, /fail
    /// is cut off; any other at once with the fence that came.
    void serve(upstream::connection& c) {
        for (;;) {
            auto const request = c.read();
            auto const path = request.target();
            {
                std::lock_guard const lock(mutex_);
                served_.push_back(path);
            }
            if (path == "/hold") {
                gate_.pass();
            } else if (path == "/stream") {
                c.stream_until(gate_);
                continue;
            } else if (path == "/until-close") {
                c.write("HTTP/1.1 200 OK\r\n\r\nbegin\n");
                return c.wait_for_close();
            } else if (path == "/leave") {
                left_.open();
                return c.wait_for_close();
            } else if (path == "/fail") {
                return c.reset();
            }
            c.respond(request.count("X-Weir-Fence") == 0 ? "none" : request.field("X-Weir-Fence"));
        }
    }

    std::vector<std::string> served() {
        std::lock_guard const lock(mutex_);
        return served_;
    }

    /// Waits for it.
    void until_waiting(int n, std::string const& session = "a") {
        until([&] { return redis_.integer({"ZCARD", "lock:session/" + session + "#queue"}) == n; });
    }
    void until_free(std::string const& session = "a") {
        until([&] { return redis_.integer({"EXISTS", "lock:session/" + session}) == 0; });
    }

    static std::string scrape(running_proxy const& proxy) {
        return prometheus::TextSerializer{}.Serialize(metrics::collector(proxy.server.counters()).Collect());
    }

    gate gate_;
    gate left_;
    std::mutex mutex_;
    std::vector<std::string> served_;
    redis_server redis_;
    upstream up_{[this](upstream::connection& c) { serve(c); }};
};

TEST_F(proxy_lock, one_request_of_a_session_is_served_at_a_time_over_all_instances) {
    running_proxy const one(settings(), options());
    running_proxy const other(settings(), options());
    auto inside = one.connect();
    inside.send(request("/hold"));
    ASSERT_TRUE(gate_.wait_for_arrivals(1));
    for (auto const* proxy : {&one, &other}) {
        auto client = proxy->connect();
        auto const refused = client.exchange(request("/"));
        EXPECT_EQ(refused.status, 409);
        EXPECT_EQ(refused.field("Content-Type"), "application/problem+json");
        EXPECT_THAT(refused.body, HasSubstr(R"(the lock \"session\" is held by another request)"));
        EXPECT_EQ(client.exchange(request("/", "b")).status, 200) << "another session, on the same connection";
    }
    gate_.open();
    EXPECT_EQ(inside.read().status, 200);
    EXPECT_EQ(other.connect().exchange(request("/")).status, 200);
    EXPECT_THAT(served(), ElementsAre("/hold", "/", "/", "/"));
}

TEST_F(proxy_lock, whoever_has_his_answer_finds_the_lock_free_on_any_instance) {
    running_proxy const one(settings(), options());
    running_proxy const other(settings(), options());
    auto first = one.connect();
    auto second = other.connect();
    for (int i = 0; i < 100; ++i)
        ASSERT_EQ((i % 2 == 0 ? first : second).exchange(request("/")).status, 200) << i;
    for (int i = 0; i < 100; ++i)
        ASSERT_EQ((i % 2 == 0 ? first : second).exchange(request("/fail")).status, 502) << i;
}

TEST_F(proxy_lock, the_upstream_is_told_the_fence_which_grows_and_never_what_a_client_claims_it_to_be) {
    auto c = settings();
    c.routes.push_back(c.routes.front());
    c.routes.front().path = "/locked/";
    c.routes.front().name = "locked";
    c.routes.back().lock.reset();
    running_proxy const proxy(c, options());
    auto client = proxy.connect();
    std::uint64_t last = 0;
    for (int i = 0; i < 3; ++i) {
        auto const fence = std::stoull(client.exchange(request("/locked/x", "a", "x-weir-FENCE: 7\r\n")).body);
        EXPECT_GT(fence, last);
        last = fence;
    }
    EXPECT_EQ(client.exchange(request("/x", "a", "X-Weir-Fence: 7\r\n")).body, "none");
    EXPECT_EQ(client.exchange(request("/x", "a", "X_Weir_Fence: 7\r\n")).body, "none");
}

TEST_F(proxy_lock, who_waits_is_served_in_the_order_of_arrival) {
    running_proxy const one(settings(20s), options());
    running_proxy const other(settings(20s), options());
    auto inside = one.connect();
    inside.send(request("/hold"));
    ASSERT_TRUE(gate_.wait_for_arrivals(1));
    std::deque<http_client> waiting;
    for (int i = 1; i <= 4; ++i) {
        waiting.emplace_back((i % 2 == 0 ? one : other).endpoint());
        waiting.back().send(request("/" + std::to_string(i)));
        until_waiting(i);
    }
    gate_.open();
    EXPECT_EQ(inside.read().status, 200);
    for (auto& client : waiting)
        EXPECT_EQ(client.read().status, 200);
    EXPECT_THAT(served(), ElementsAre("/hold", "/1", "/2", "/3", "/4"));
    auto const text = scrape(one);
    EXPECT_THAT(text, HasSubstr(R"(weir_lock_wait_seconds_count{lock="session"} 3)"));
    EXPECT_THAT(text, HasSubstr(R"(weir_lock_handoff_seconds_count{lock="session"} 2)"));
}

TEST_F(proxy_lock, waiting_has_its_bound) {
    running_proxy const proxy(settings(150ms), options());
    auto inside = proxy.connect();
    inside.send(request("/hold"));
    ASSERT_TRUE(gate_.wait_for_arrivals(1));
    auto const begun = std::chrono::steady_clock::now();
    auto const refused = proxy.connect().exchange(request("/"));
    EXPECT_GE(std::chrono::steady_clock::now() - begun, 150ms);
    EXPECT_EQ(refused.status, 409);
    EXPECT_THAT(refused.body, HasSubstr("is still held by another request after 150 ms"));
    until_waiting(0);
    EXPECT_THAT(scrape(proxy), HasSubstr(R"(weir_lock_refused_total{lock="session"} 1)"));
}

TEST_F(proxy_lock, a_client_that_leaves_while_it_waits_gives_up_its_place_whatever_it_sent_ahead) {
    running_proxy const proxy(settings(1h), options());
    auto inside = proxy.connect();
    inside.send(request("/hold"));
    ASSERT_TRUE(gate_.wait_for_arrivals(1));
    {
        auto plain = proxy.connect();
        plain.send(request("/plain"));
        until_waiting(1);
        // Its body is not read before it has the lock.
        auto posting = proxy.connect();
        posting.send("POST /post HTTP/1.1\r\nHost: weir.test\r\nX-Session-Id: a\r\nContent-Length: 1000000\r\n\r\n");
        until_waiting(2);
        posting.send(std::string(100'000, 'x'));
    }
    until_waiting(0);
    gate_.open();
    EXPECT_EQ(inside.read().status, 200);
    until_free();
    EXPECT_THAT(served(), ElementsAre("/hold"));
}

TEST_F(proxy_lock, a_client_that_leaves_while_the_upstream_works_frees_the_lock) {
    running_proxy const proxy(settings(), options());
    {
        auto leaving = proxy.connect();
        leaving.send(request("/leave"));
        left_.pass();
        EXPECT_EQ(proxy.connect().exchange(request("/")).status, 409);
    }
    ASSERT_TRUE(up_.wait_until_open(0)) << "the proxy has noticed, and left the upstream";
    until_free();
    EXPECT_EQ(proxy.connect().exchange(request("/")).status, 200);
}

TEST_F(proxy_lock, an_upstream_that_fails_frees_the_lock) {
    running_proxy const proxy(settings(), options());
    auto client = proxy.connect();
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(client.exchange(request("/fail")).status, 502);
    EXPECT_EQ(client.exchange(request("/")).status, 200);
    up_.stop();
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(client.exchange(request("/")).status, 502);
}

TEST_F(proxy_lock, a_stream_keeps_the_lock_for_longer_than_its_ttl) {
    running_proxy const proxy(settings(0s, 1s), options());
    auto streaming = proxy.connect();
    streaming.send(request("/stream"));
    streaming.read_until("begin\n");
    auto client = proxy.connect();
    auto const until = std::chrono::steady_clock::now() + 2500ms;
    while (std::chrono::steady_clock::now() < until)
        ASSERT_EQ(client.exchange(request("/")).status, 409);
    gate_.open();
    streaming.read_until("0\r\n\r\n");
    EXPECT_EQ(client.exchange(request("/")).status, 200);
}

TEST_F(proxy_lock, where_it_is_lost_the_upstream_is_left_and_the_answer_has_no_clean_end) {
    running_proxy const proxy(settings(0s, 1s), options());
    auto streaming = proxy.connect();
    streaming.send(request("/stream"));
    streaming.read_until("begin\n");
    redis_.run({"DEL", "lock:session/a"});
    auto const rest = streaming.read_to_end();
    EXPECT_THAT(rest, HasSubstr(R"(event: error)"));
    EXPECT_THAT(rest, HasSubstr(R"({"error":"the lock was lost"})"));
    EXPECT_THAT(rest, Not(HasSubstr("0\r\n\r\n")));

    auto closing = proxy.connect();
    closing.send("GET /until-close HTTP/1.0\r\nHost: weir.test\r\nX-Session-Id: b\r\n\r\n");
    closing.read_until("begin\n");
    redis_.run({"DEL", "lock:session/b"});
    bool reset = false;
    closing.read_to_end(&reset);
    EXPECT_TRUE(reset) << "the end of the connection is the end of this body";
    EXPECT_THAT(scrape(proxy), HasSubstr(R"(weir_lock_lost_total{lock="session"} 2)"));
}

TEST_F(proxy_lock, where_it_is_lost_before_the_answer_the_client_is_told) {
    running_proxy const proxy(settings(0s, 1s), options());
    auto client = proxy.connect();
    client.send(request("/leave"));
    left_.pass();
    redis_.run({"DEL", "lock:session/a"});
    auto const answer = client.read();
    EXPECT_EQ(answer.status, 503);
    EXPECT_THAT(answer.body, HasSubstr("the lock was lost while the request was served"));
    ASSERT_TRUE(up_.wait_until_open(0)) << "the upstream is not asked any longer";
}

TEST_F(proxy_lock, a_request_without_a_value_for_the_key_is_refused_or_passes_as_configured) {
    auto c = settings();
    running_proxy const strict(c, options());
    auto client = strict.connect();
    auto const refused = client.get("/");
    EXPECT_EQ(refused.status, 400);
    EXPECT_THAT(refused.body, HasSubstr(R"(the lock \"session\" wants a value of header:x-session-id)"));
    EXPECT_EQ(client.exchange(request("/", "")).status, 400);
    EXPECT_EQ(client.exchange(request("/", "a", "x-session-id: b\r\n")).status, 400) << "which of them?";
    c.locks.front().on_missing_key = config::lock::missing_key::pass;
    running_proxy const lenient(c, options());
    EXPECT_EQ(lenient.connect().get("/").body, "none");
    EXPECT_EQ(lenient.connect().exchange(request("/", "a", "x-session-id: b\r\n")).status, 400);
}

TEST_F(proxy_lock, users_addresses_paths_and_all_together_make_keys) {
    auto const name_with = [&](config::lock_key key) {
        auto c = settings();
        c.locks.front().key = std::move(key);
        c.identity = {{config::identity_source::type::header, "x-user-id"}, {}};
        running_proxy const proxy(c, options());
        auto client = proxy.connect();
        client.send(request("/leave", "a", "X-User-Id: alice\r\n"));
        until([&] { return redis_.run({"KEYS", "lock:session*"}) != ""; });
        auto const name = redis_.run({"KEYS", "lock:session*"});
        client.reset();
        until([&] { return redis_.run({"KEYS", "lock:session*"}) == ""; });
        return name.substr(0, name.find('\n'));
    };
    using type = config::lock_key::type;
    EXPECT_EQ(name_with({type::user, {}}), "lock:session/alice");
    EXPECT_EQ(name_with({type::ip, {}}), "lock:session/127.0.0.1");
    EXPECT_EQ(name_with({type::path, {}}), "lock:session/leave");
    EXPECT_EQ(name_with({type::everyone, {}}), "lock:session");
}

TEST_F(proxy_lock, while_redis_is_away_requests_are_refused_or_pass_as_configured) {
    auto c = settings(20s);
    c.redis.timeout = 200ms;
    running_proxy const strict(c, options());
    c.locks.front().pass_without_redis = true;
    running_proxy const lenient(c, options());
    redis_.kill();
    auto const refused = strict.connect().exchange(request("/"));
    EXPECT_EQ(refused.status, 503);
    EXPECT_THAT(refused.body, HasSubstr(R"(the lock \"session\" cannot be taken at the moment)"));
    EXPECT_EQ(lenient.connect().exchange(request("/")).body, "none");
}

TEST_F(proxy_lock, a_proxy_that_is_stopped_gives_back_what_it_held_and_the_places_of_those_who_waited) {
    {
        running_proxy const stopped(settings(1h), options());
        auto inside = stopped.connect();
        auto waiting = stopped.connect();
        inside.send(request("/hold"));
        ASSERT_TRUE(gate_.wait_for_arrivals(1));
        waiting.send(request("/"));
        until_waiting(1);
    }
    EXPECT_EQ(redis_.run({"KEYS", "lock:session*"}), "");
    running_proxy const next(settings(), options());
    EXPECT_EQ(next.connect().exchange(request("/")).status, 200);
}

TEST_F(proxy_lock, another_configuration_takes_effect_for_requests_that_begin_then) {
    auto c = settings();
    running_proxy proxy(c, options());
    auto inside = proxy.connect();
    inside.send(request("/hold"));
    ASSERT_TRUE(gate_.wait_for_arrivals(1));
    auto const unlocked = [&] {
        auto next = c;
        next.routes.front().lock.reset();
        return std::make_shared<config::config const>(next);
    }();
    ASSERT_TRUE(proxy.server.reload(unlocked).empty());
    until([&] { return proxy.connect().exchange(request("/")).status == 200; });
    ASSERT_TRUE(proxy.server.reload(std::make_shared<config::config const>(c)).empty());
    until([&] { return proxy.connect().exchange(request("/")).status == 409; });
    gate_.open();
    EXPECT_EQ(inside.read().status, 200);
    until_free();
    EXPECT_EQ(proxy.connect().exchange(request("/")).status, 200);
}

} // namespace
} // namespace weir::test
