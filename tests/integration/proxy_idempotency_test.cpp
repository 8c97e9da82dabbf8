#include "support/gate.hpp"
#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/until.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

// Idempotency-Key through the proxy, with a real Redis and upstreams that answer when the test says so.

namespace weir::test {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class proxy_idempotency : public testing::Test {
protected:
    ~proxy_idempotency() override { gate_.open(); }

    config::config settings() const {
        auto c = proxy_config(up_.port());
        c.routes.front().idempotency.emplace();
        c.identity = {{config::identity_source::type::header, "x-user-id"}, {}};
        c.redis.timeout = 5s;
        return c;
    }

    proxy::server_options options() const { return options_for(redis_); }

    static std::string post(std::string_view path, std::string_view key, std::string_view body = "{}",
                            std::string_view fields = {}) {
        return "POST " + std::string(path) + " HTTP/1.1\r\nHost: weir.test\r\nIdempotency-Key: " + std::string(key) +
               "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + std::string(fields) + "\r\n" +
               std::string(body);
    }

    /// By the path: /hold is answered when the gate opens, /fail is cut off, /busy refuses, /error fails, /large and
    /// /stream answer more than is kept; any other the number of the execution. All once more each time.
    void serve(upstream::connection& c) {
        for (;;) {
            auto const path = c.read().target();
            auto const number = std::to_string(++executed_);
            if (path == "/hold") {
                gate_.pass();
            } else if (path == "/fail") {
                return c.reset();
            } else if (path == "/busy") {
                c.respond(number, "503 Service Unavailable");
                continue;
            } else if (path == "/error") {
                c.respond(number, "500 Internal Server Error");
                continue;
            } else if (path == "/large") {
                c.respond(std::string(100'000, 'x'));
                continue;
            } else if (path == "/stream") {
                c.stream_until(gate_);
                continue;
            }
            c.respond(number, "201 Created",
                      "Location: /made\r\nContent-Type: text/plain\r\nSet-Cookie: a=b\r\nX-Order-Id: 7\r\n");
        }
    }

    void until_kept(std::string_view key) {
        until([&] { return redis_.integer({"HEXISTS", key, "answer"}) == 1; });
    }
    void until_freed(std::string_view key) {
        until([&] { return redis_.integer({"EXISTS", key}) == 0; });
    }

    gate gate_;
    std::atomic<int> executed_{0};
    redis_server redis_;
    upstream up_{[this](upstream::connection& c) { serve(c); }};
};

TEST_F(proxy_idempotency, a_request_is_executed_once_however_often_and_wherever_it_is_sent) {
    auto c = settings();
    c.routes.front().idempotency->fields = {"x-order-id"};
    running_proxy const one(c, options());
    running_proxy const other(c, options());
    auto client = one.connect();
    auto const first = client.exchange(post("/orders?a=1", "\"k-1\""));
    EXPECT_EQ(first.status, 201);
    EXPECT_EQ(first.body, "1");
    EXPECT_EQ(first.field("Set-Cookie"), "a=b");
    EXPECT_EQ(first.field("Idempotent-Replayed"), "");
    auto second = other.connect();
    for (auto* connection : {&client, &second, &client}) {
        auto const again = connection->exchange(post("/orders?a=1", "k-1"));
        EXPECT_EQ(again.status, 201);
        EXPECT_EQ(again.body, "1");
        EXPECT_EQ(again.field("Location"), "/made");
        EXPECT_EQ(again.field("Content-Type"), "text/plain");
        EXPECT_EQ(again.field("X-Order-Id"), "7");
        EXPECT_EQ(again.field("Set-Cookie"), "") << "it is one client's alone";
        EXPECT_EQ(again.field("Idempotent-Replayed"), "true");
        EXPECT_NE(again.field("X-Request-Id"), first.field("X-Request-Id"));
    }
    EXPECT_EQ(client.exchange(post("/orders?a=1", "\"k-2\"")).body, "2");
    EXPECT_EQ(executed_, 2);
}

TEST_F(proxy_idempotency, while_it_is_executed_the_same_request_is_answered_409) {
    running_proxy const one(settings(), options());
    running_proxy const other(settings(), options());
    auto inside = one.connect();
    inside.send(post("/hold", "k"));
    ASSERT_TRUE(gate_.wait_for_arrivals(1));
    for (auto const* proxy : {&one, &other}) {
        auto const refused = proxy->connect().exchange(post("/hold", "k"));
        EXPECT_EQ(refused.status, 409);
        EXPECT_EQ(refused.field("Retry-After"), "1");
        EXPECT_THAT(refused.body, HasSubstr("is being executed"));
    }
    gate_.open();
    EXPECT_EQ(inside.read().body, "1");
    EXPECT_EQ(other.connect().exchange(post("/hold", "k")).body, "1");
}

TEST_F(proxy_idempotency, another_request_under_the_same_key_is_answered_422) {
    running_proxy const proxy(settings(), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.exchange(post("/orders", "k", "a")).status, 201);
    for (auto const& other : {post("/orders", "k", "b"), post("/orders?x", "k", "a"), post("/others", "k", "a"),
                              post("/orders", "k", "a", "Content-Type: text/plain\r\n")}) {
        auto const refused = client.exchange(other);
        EXPECT_EQ(refused.status, 422) << other;
        EXPECT_THAT(refused.body, HasSubstr("this Idempotency-Key was used for another request"));
    }
    EXPECT_EQ(client.exchange(post("//orders", "k", "a")).body, "1") << "the same path, spelled otherwise";
    EXPECT_EQ(executed_, 1);
}

TEST_F(proxy_idempotency, keys_are_each_users_own) {
    running_proxy const proxy(settings(), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.exchange(post("/", "k", "{}", "X-User-Id: alice\r\n")).body, "1");
    EXPECT_EQ(client.exchange(post("/", "k", "{}", "X-User-Id: bob\r\n")).body, "2");
    EXPECT_EQ(client.exchange(post("/", "k", "{}", "X-User-Id: alice\r\n")).body, "1");
}

TEST_F(proxy_idempotency, a_key_must_be_one_and_there_where_it_is_required) {
    auto c = settings();
    running_proxy const proxy(c, options());
    auto client = proxy.connect();
    for (auto const* key : {"\"\"", "\"a", "\"a\\\"b\"", "a\"b", "\x80"})
        EXPECT_EQ(client.exchange(post("/", key)).status, 400) << key;
    EXPECT_EQ(client.exchange(post("/", std::string(256, 'k'))).status, 400);
    EXPECT_EQ(client.exchange(post("/", "k", "{}", "idempotency-key: l\r\n")).status, 400);
    EXPECT_EQ(executed_, 0);
    auto const without = "POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 0\r\n\r\n";
    EXPECT_EQ(client.exchange(without).status, 201);
    EXPECT_EQ(client.exchange(without).body, "2");
    c.routes.front().idempotency->required = true;
    running_proxy const strict(c, options());
    auto const refused = strict.connect().exchange(without);
    EXPECT_EQ(refused.status, 400);
    EXPECT_THAT(refused.body, HasSubstr("this route wants an Idempotency-Key"));
    EXPECT_EQ(strict.connect().get("/").status, 201) << "a GET is idempotent by itself";
}

TEST_F(proxy_idempotency, what_was_refused_or_failed_may_be_executed_again_and_an_error_is_an_answer) {
    running_proxy const proxy(settings(), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.exchange(post("/fail", "f")).status, 502);
    EXPECT_EQ(client.exchange(post("/fail", "f")).status, 502);
    EXPECT_EQ(client.exchange(post("/busy", "b")).body, "3");
    EXPECT_EQ(client.exchange(post("/busy", "b")).body, "4");
    EXPECT_EQ(client.exchange(post("/error", "e")).body, "5");
    EXPECT_EQ(client.exchange(post("/error", "e")).body, "5");
    EXPECT_EQ(executed_, 5);
}

TEST_F(proxy_idempotency, the_answer_is_kept_though_the_client_has_left) {
    running_proxy const proxy(settings(), options());
    {
        auto leaving = proxy.connect();
        leaving.send(post("/hold", "k", "{}", "X-User-Id: alice\r\n"));
        ASSERT_TRUE(gate_.wait_for_arrivals(1));
        leaving.reset();
    }
    // Long enough for a client that is watched to be found gone.
    auto client = proxy.connect();
    auto const later = std::chrono::steady_clock::now() + 400ms;
    while (std::chrono::steady_clock::now() < later)
        ASSERT_EQ(client.exchange(post("/hold", "k", "{}", "X-User-Id: alice\r\n")).status, 409);
    gate_.open();
    until_kept("idempotency:alice%0Ak");
    EXPECT_EQ(client.exchange(post("/hold", "k", "{}", "X-User-Id: alice\r\n")).body, "1");
    EXPECT_EQ(executed_, 1);
}

TEST_F(proxy_idempotency, an_answer_that_is_too_long_or_streams_is_not_kept_and_not_executed_again) {
    running_proxy const proxy(settings(), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.exchange(post("/large", "k")).body.size(), 100'000u);
    auto const refused = client.exchange(post("/large", "k"));
    EXPECT_EQ(refused.status, 409);
    EXPECT_THAT(refused.body, HasSubstr("its answer was not kept"));
    gate_.open();
    EXPECT_EQ(client.exchange(post("/stream", "s")).body, "begin\nend\n");
    EXPECT_EQ(client.exchange(post("/stream", "s")).status, 409);
    EXPECT_EQ(executed_, 2);
}

TEST_F(proxy_idempotency, a_stream_whose_client_leaves_is_left_and_may_begin_again) {
    running_proxy const proxy(settings(), options());
    {
        auto leaving = proxy.connect();
        leaving.send(post("/stream", "s"));
        leaving.read_until("begin\n");
    }
    until_freed("idempotency:127.0.0.1%0As");
    gate_.open();
    EXPECT_EQ(proxy.connect().exchange(post("/stream", "s")).body, "begin\nend\n");
}

TEST_F(proxy_idempotency, a_body_is_compared_as_a_whole_so_it_has_a_bound_and_any_framing) {
    running_proxy const proxy(settings(), options());
    auto client = proxy.connect();
    auto const chunked =
        "POST / HTTP/1.1\r\nHost: weir.test\r\nIdempotency-Key: c\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (int i = 0; i < 2; ++i) {
        client.send(std::string(chunked) + "2\r\nab\r\n");
        client.send("1\r\nc\r\n0\r\n\r\n");
        EXPECT_EQ(client.read().body, "1");
    }
    EXPECT_EQ(client.exchange(post("/", "c", "abc")).body, "1") << "framed otherwise, it is the same";
    EXPECT_EQ(client.exchange(post("/", "l", std::string(65'536, 'x'))).body, "2");
    auto const refused = client.exchange(post("/", "m", std::string(65'537, 'x')));
    EXPECT_EQ(refused.status, 413);
    EXPECT_THAT(refused.body, HasSubstr("with an Idempotency-Key the body may have 64 KiB at most"));
    auto long_chunks = proxy.connect();
    long_chunks.send(chunked);
    long_chunks.send("20000\r\n" + std::string(0x20000, 'x'));
    EXPECT_EQ(long_chunks.read().status, 413);
    EXPECT_EQ(executed_, 2);
}

TEST_F(proxy_idempotency, while_redis_is_away_requests_are_refused_or_executed_as_configured) {
    auto c = settings();
    c.redis.timeout = 200ms;
    running_proxy const strict(c, options());
    c.routes.front().idempotency->pass_without_redis = true;
    running_proxy const lenient(c, options());
    redis_.kill();
    auto const refused = strict.connect().exchange(post("/", "k"));
    EXPECT_EQ(refused.status, 503);
    EXPECT_THAT(refused.body, HasSubstr("whether this request was executed before cannot be told"));
    EXPECT_EQ(executed_, 0);
    EXPECT_EQ(lenient.connect().exchange(post("/", "k")).body, "1");
    EXPECT_EQ(lenient.connect().exchange(post("/", "k")).body, "2");
}

TEST_F(proxy_idempotency, a_proxy_that_is_stopped_frees_what_it_had_begun) {
    {
        running_proxy const stopped(settings(), options());
        auto inside = stopped.connect();
        inside.send(post("/hold", "k"));
        ASSERT_TRUE(gate_.wait_for_arrivals(1));
    }
    gate_.open();
    running_proxy const next(settings(), options());
    EXPECT_EQ(next.connect().exchange(post("/hold", "k")).body, "2");
}

} // namespace
} // namespace weir::test
