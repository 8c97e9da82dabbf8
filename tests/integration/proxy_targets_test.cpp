#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

// Several targets of one upstream: which is chosen, what becomes of those that fail, and what else is answered.

namespace weir::test {
namespace {

using testing::HasSubstr;

/// One target: answers with its name, or fails as it is told to.
class named_target {
public:
    enum class mode { well, fails, resets };

    explicit named_target(std::string name)
        : name_(std::move(name)) {}

    std::atomic<mode> how{mode::well};
    std::atomic<int> requests{0};
    std::atomic<bool> healthy{true};

    std::uint16_t port() const { return up_.port(); }
    void stop() { up_.stop(); }

private:
    void serve(upstream::connection& c) {
        for (;;) {
            auto const request = c.read();
            if (request.target() == "/healthz") {
                c.respond("", healthy ? "204 No Content" : "500 Oops");
                continue;
            }
            ++requests;
            if (how == mode::resets)
                return c.reset();
            c.respond(name_, how == mode::fails ? "503 Service Unavailable" : "200 OK");
        }
    }

    std::string name_;
    upstream up_{[this](upstream::connection& c) { serve(c); }};
};

class proxy_targets : public testing::Test {
protected:
    config::config settings() const {
        auto c = proxy_config(a_.port());
        auto& targets = c.upstreams.front().targets;
        targets.push_back({"127.0.0.1", b_.port(), "127.0.0.1:" + std::to_string(b_.port())});
        return c;
    }

    config::config retrying() const {
        auto c = settings();
        c.upstreams.front().retries.attempts = 2;
        return c;
    }

    static std::uint64_t errors(running_proxy const& proxy, metrics::upstream_error kind) {
        return proxy.server.counters()->worker(0).upstreams.at(0).errors[kind].value();
    }

    static constexpr std::string_view post = "POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 2\r\n\r\nhi";

    named_target a_{"a"};
    named_target b_{"b"};
};

using mode = named_target::mode;

TEST_F(proxy_targets, take_turns) {
    running_proxy const proxy(settings());
    auto client = proxy.connect();
    for (int i = 0; i < 10; ++i)
        EXPECT_EQ(client.get("/").status, 200);
    EXPECT_EQ(a_.requests, 5);
    EXPECT_EQ(b_.requests, 5);
}

TEST_F(proxy_targets, one_that_cannot_be_reached_is_passed_over_and_taken_out) {
    a_.stop();
    running_proxy const proxy(settings());
    auto client = proxy.connect();
    for (int i = 0; i < 20; ++i)
        EXPECT_EQ((i % 2 == 0 ? client.get("/") : client.exchange(post)).body, "b");
    EXPECT_EQ(errors(proxy, metrics::upstream_error::connect), 5u) << "then it is not asked any more";
    EXPECT_EQ(proxy.server.counters()->worker(0).upstreams.at(0).ejections.value(), 1u);
}

TEST_F(proxy_targets, when_none_can_be_reached_the_client_is_told) {
    a_.stop();
    b_.stop();
    running_proxy const proxy(settings());
    auto client = proxy.connect();
    for (int i = 0; i < 20; ++i)
        EXPECT_EQ(client.get("/").status, 502);
}

TEST_F(proxy_targets, one_that_keeps_failing_is_taken_out) {
    a_.how = mode::fails;
    running_proxy const proxy(settings());
    auto client = proxy.connect();
    for (int i = 0; i < 30; ++i)
        client.get("/");
    EXPECT_EQ(a_.requests, 5);
    EXPECT_EQ(b_.requests, 25);
}

TEST_F(proxy_targets, an_idempotent_request_that_was_reset_is_sent_to_another) {
    a_.how = mode::resets;
    running_proxy const proxy(retrying());
    auto client = proxy.connect();
    for (int i = 0; i < 6; ++i)
        EXPECT_EQ(client.get("/").body, "b");
    EXPECT_EQ(a_.requests, 3);
}

TEST_F(proxy_targets, one_that_may_have_had_an_effect_is_not) {
    a_.how = mode::resets;
    running_proxy const proxy(retrying());
    auto client = proxy.connect();
    EXPECT_EQ(client.exchange(post).status, 502);
    EXPECT_EQ(client.exchange(post).body, "b");
}

TEST_F(proxy_targets, without_retries_nothing_is_sent_twice) {
    a_.how = mode::resets;
    running_proxy const proxy(settings());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").status, 502);
    EXPECT_EQ(client.get("/").body, "b");
}

TEST_F(proxy_targets, an_answer_that_is_not_wanted_is_asked_of_another) {
    a_.how = mode::fails;
    auto c = settings();
    c.upstreams.front().retries = {2, 0.2, {503}};
    running_proxy const proxy(c);
    auto client = proxy.connect();
    for (int i = 0; i < 6; ++i)
        EXPECT_EQ(client.get("/").body, "b");
    b_.how = mode::fails;
    EXPECT_EQ(client.get("/").status, 503) << "the last one is passed on";
}

TEST_F(proxy_targets, retries_end_with_their_budget) {
    a_.how = mode::fails;
    b_.how = mode::fails;
    auto c = settings();
    c.upstreams.front().retries = {2, 0.0, {503}};
    c.upstreams.front().ejection.after = 0;
    running_proxy const proxy(c);
    auto client = proxy.connect();
    for (int i = 0; i < 10; ++i)
        EXPECT_EQ(client.get("/").status, 503);
    EXPECT_EQ(a_.requests + b_.requests, 13) << "three are free in ten seconds";
}

TEST_F(proxy_targets, a_key_sticks_to_its_target) {
    auto c = settings();
    c.upstreams.front().balance = config::balance::consistent_hash;
    c.upstreams.front().hash_key = {config::hash_source::type::header, "x-session-id"};
    running_proxy const proxy(c);
    auto client = proxy.connect();
    std::string seen;
    for (int session = 0; session < 16; ++session) {
        auto const field = "X-Session-Id: " + std::to_string(session) + "\r\n";
        auto const where = client.get("/", field).body;
        for (int i = 0; i < 3; ++i)
            EXPECT_EQ(client.get("/", field).body, where);
        seen += where;
    }
    EXPECT_THAT(seen, HasSubstr("a"));
    EXPECT_THAT(seen, HasSubstr("b"));
}

TEST_F(proxy_targets, one_that_is_ill_gets_no_requests_until_it_is_well) {
    a_.healthy = false;
    auto c = settings();
    c.upstreams.front().health = config::health_settings{"/healthz", std::chrono::milliseconds{10}};
    running_proxy const proxy(c);
    auto const wait_for = [&](std::int64_t ill) {
        auto const deadline = boot_clock::now() + http_client::patience;
        auto const& gauge = proxy.server.counters()->worker(0).upstreams.at(0).ill;
        while (gauge.value() != ill && boot_clock::now() < deadline)
            std::this_thread::yield();
        return gauge.value() == ill;
    };
    ASSERT_TRUE(wait_for(1));
    auto client = proxy.connect();
    for (int i = 0; i < 10; ++i)
        EXPECT_EQ(client.get("/").body, "b");
    ASSERT_EQ(proxy.server.upstream_states().size(), 1u);
    EXPECT_TRUE(proxy.server.upstream_states()[0].ready);
    b_.healthy = false;
    ASSERT_TRUE(wait_for(2));
    EXPECT_FALSE(proxy.server.upstream_states()[0].ready);
    EXPECT_EQ(client.get("/").status, 200) << "to try is better than to refuse";
    a_.healthy = b_.healthy = true;
    ASSERT_TRUE(wait_for(0));
    EXPECT_TRUE(proxy.server.upstream_states()[0].ready);
}

class proxy_target_circuits : public proxy_targets {
protected:
    config::config settings() const {
        auto c = proxy_targets::settings();
        for (auto const* name : {"api", "node"}) {
            config::circuit_breaker made;
            made.name = name;
            made.how.minimum_calls = 4;
            made.how.failure_rate = 0.5;
            made.how.open_for = std::chrono::seconds{30};
            c.circuits.push_back(made);
        }
        c.upstreams.front().circuit = 0;
        c.upstreams.front().target_circuit = 1;
        c.upstreams.front().ejection.after = 0;
        c.redis.timeout = std::chrono::seconds{5};
        return c;
    }

    proxy::server_options options() const { return options_for(redis_); }

    static circuit::state state_of(running_proxy const& proxy, std::string const& name) {
        auto const& counters = *proxy.server.counters();
        auto const& names = counters.labels().circuits;
        auto const at = std::find(names.begin(), names.end(), name) - names.begin();
        return static_cast<circuit::state>(counters.worker(0).circuits.at(static_cast<std::size_t>(at)).state.value());
    }

    redis_server redis_;
};

TEST_F(proxy_target_circuits, the_narrowest_that_fails_opens_and_the_others_serve) {
    a_.how = mode::fails;
    running_proxy const proxy(settings(), options());
    auto client = proxy.connect();
    for (int i = 0; i < 20; ++i)
        client.get("/");
    EXPECT_EQ(a_.requests, 4);
    EXPECT_EQ(client.get("/").body, "b");
    EXPECT_EQ(state_of(proxy, "node@127.0.0.1:" + std::to_string(a_.port())), circuit::state::open);
    EXPECT_EQ(state_of(proxy, "node@127.0.0.1:" + std::to_string(b_.port())), circuit::state::closed);
    EXPECT_EQ(state_of(proxy, "api"), circuit::state::closed);
}

TEST_F(proxy_target_circuits, where_all_fail_the_whole_is_refused) {
    a_.how = mode::fails;
    b_.how = mode::fails;
    running_proxy const proxy(settings(), options());
    auto client = proxy.connect();
    for (int i = 0; i < 8; ++i)
        client.get("/");
    auto const refused = client.get("/");
    EXPECT_EQ(refused.status, 503);
    EXPECT_FALSE(refused.field("Retry-After").empty());
    EXPECT_LE(a_.requests + b_.requests, 8);
}

TEST_F(proxy_target_circuits, circuits_of_all_targets_refuse_without_one_of_the_whole) {
    a_.how = mode::fails;
    b_.how = mode::fails;
    auto c = settings();
    c.upstreams.front().circuit.reset();
    running_proxy const proxy(c, options());
    auto client = proxy.connect();
    for (int i = 0; i < 8; ++i)
        client.get("/");
    auto const refused = client.exchange(post);
    EXPECT_EQ(refused.status, 503);
    EXPECT_THAT(refused.body, HasSubstr("the circuit"));
    EXPECT_FALSE(refused.field("Retry-After").empty());
    EXPECT_EQ(a_.requests + b_.requests, 8);
}

class proxy_fallback : public proxy_target_circuits {
protected:
    /// `a` alone, with a circuit, and `b` beside it.
    config::config settings() const {
        auto c = proxy_target_circuits::settings();
        auto& first = c.upstreams.front();
        first.target_circuit.reset();
        config::upstream second;
        second.name = "backup";
        second.targets.push_back(first.targets.back());
        first.targets.pop_back();
        c.upstreams.push_back(second);
        return c;
    }
};

TEST_F(proxy_fallback, a_fixed_answer_stands_for_an_upstream_that_is_not_asked_or_does_not_answer) {
    a_.how = mode::resets;
    auto c = settings();
    c.upstreams.front().fallback = config::fallback_answer{200, "application/json", R"({"cached":true})"};
    running_proxy const proxy(c, options());
    auto client = proxy.connect();
    for (int i = 0; i < 8; ++i) {
        auto const answer = i % 2 == 0 ? client.get("/") : client.exchange(post);
        EXPECT_EQ(answer.status, 200);
        EXPECT_EQ(answer.body, R"({"cached":true})");
        EXPECT_EQ(answer.field("Content-Type"), "application/json");
        EXPECT_TRUE(answer.field("Retry-After").empty());
    }
    EXPECT_EQ(a_.requests, 4) << "then the circuit is open";
}

TEST_F(proxy_fallback, another_upstream_answers_what_may_be_sent_again) {
    a_.how = mode::resets;
    auto c = settings();
    c.upstreams.front().fallback_upstream = 1;
    running_proxy const proxy(c, options());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").body, "b");
    EXPECT_EQ(client.exchange(post).status, 502) << "it may have had an effect";
    EXPECT_EQ(client.get("/").body, "b");
    EXPECT_EQ(client.get("/").body, "b");
    EXPECT_EQ(client.exchange(post).body, "b") << "the circuit is open: it was not sent";
    EXPECT_EQ(a_.requests, 4);
}

TEST_F(proxy_fallback, an_error_of_the_upstream_is_its_answer) {
    a_.how = mode::fails;
    auto c = settings();
    c.upstreams.front().circuit.reset();
    c.upstreams.front().fallback_upstream = 1;
    running_proxy const proxy(c);
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").status, 503);
    EXPECT_EQ(client.get("/").body, "a");
}

} // namespace
} // namespace weir::test
