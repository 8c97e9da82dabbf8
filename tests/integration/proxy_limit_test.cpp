#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <weir/metrics/collector.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace weir::test {
namespace {

using testing::HasSubstr;

class proxy_limit : public testing::Test {
protected:
    config::config settings(std::uint64_t limit) {
        auto c = proxy_config(up_.port());
        c.limits.push_back(hourly("per-user", limit));
        c.routes.front().limits = {0};
        return c;
    }

    proxy::server_options options() const { return options_for(redis_); }

    redis_server redis_;
    upstream up_{upstream::always("served")};
};

/// Sends until an answer comes that `wanted` accepts, for at most 20 s.
template <class Wanted>
http_response get_until(http_client& client, Wanted const& wanted) {
    auto const end = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    for (;;) {
        auto answer = client.get("/");
        if (wanted(answer) || std::chrono::steady_clock::now() > end)
            return answer;
    }
}

TEST_F(proxy_limit, admits_exactly_the_limit_from_many_clients_at_once) {
    auto c = settings(100);
    c.workers = 2;
    running_proxy const proxy(std::move(c), options());
    std::atomic<int> admitted{0}, refused{0}, other{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 16; ++t)
        threads.emplace_back([&] {
            auto client = proxy.connect();
            for (int i = 0; i < 25; ++i) {
                auto const status = client.get("/").status;
                ++(status == 200 ? admitted : status == 429 ? refused : other);
            }
        });
    for (auto& each : threads)
        each.join();
    EXPECT_EQ(admitted, 100);
    EXPECT_EQ(refused, 300);
    EXPECT_EQ(other, 0);
    EXPECT_EQ(proxy.decided(outcome::allow), 100u);
    EXPECT_EQ(proxy.decided(outcome::deny) + proxy.decided(outcome::deny_local), 300u);
}

TEST_F(proxy_limit, busy_users_of_a_leased_limit_ask_redis_rarely_and_are_never_admitted_more) {
    auto c = settings(1000);
    c.limits[0].rule.lease = std::chrono::minutes{1};
    running_proxy const one(c, options()), other(c, options());
    auto first = one.connect(), second = other.connect();
    int admitted = 0;
    for (int i = 0; i < 700; ++i)
        for (auto* const client : {&first, &second}) {
            auto const answer = client->get("/");
            EXPECT_THAT(answer.field("RateLimit"), HasSubstr("\"per-user\";r="));
            EXPECT_TRUE(answer.status == 200 || answer.status == 429) << answer.status;
            admitted += answer.status == 200 ? 1 : 0;
        }
    EXPECT_LE(admitted, 1000);
    EXPECT_GE(admitted, 500) << "what is leased is used";
    EXPECT_EQ(one.decided(outcome::allow) + other.decided(outcome::allow), static_cast<std::uint64_t>(admitted));
    EXPECT_LT(redis_.calls("evalsha"), 350);
}

TEST_F(proxy_limit, an_answer_tells_what_is_left_and_a_refusal_when_and_why) {
    running_proxy const proxy(settings(2), options());
    auto client = proxy.connect();
    auto const first = client.get("/");
    EXPECT_EQ(first.status, 200);
    EXPECT_EQ(first.field("RateLimit-Policy"), R"("per-user";q=2;w=3600)");
    EXPECT_EQ(first.field("RateLimit"), R"("per-user";r=1;t=3600)");
    client.get("/");
    auto const refused = client.get("/");
    EXPECT_EQ(refused.status, 429);
    EXPECT_EQ(refused.field("Content-Type"), "application/problem+json");
    EXPECT_EQ(refused.field("Retry-After"), "3600");
    EXPECT_EQ(refused.field("RateLimit"), R"("per-user";r=0;t=3600)");
    EXPECT_THAT(refused.body, HasSubstr(R"("violated-policies":["per-user"])"));
    EXPECT_THAT(refused.body, HasSubstr(refused.field("X-Request-Id")));
    EXPECT_FALSE(refused.close);
    EXPECT_EQ(client.get("/").status, 429); // the connection goes on
}

TEST_F(proxy_limit, no_spelling_of_a_path_escapes_its_limit) {
    auto c = settings(1);
    c.limits[0].endpoint = config::endpoint_scope::path;
    running_proxy const proxy(std::move(c), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/v1/chat").status, 200);
    for (auto const* spelling : {"/v1/chat", "/v1//chat", "/v1/./chat", "/v1/x/../chat", "/v1/%63hat", "/v1/chat/",
                                 "/V1/Chat", "/v1/chat;x=1", "/v1/chat?a=1", "http://weir.test/v1/chat"})
        EXPECT_EQ(client.get(spelling).status, 429) << spelling;
    EXPECT_EQ(client.get("/v1/other").status, 200);
}

TEST_F(proxy_limit, an_untrusted_client_cannot_choose_its_address) {
    auto c = settings(1);
    running_proxy const proxy(std::move(c), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/", "X-Forwarded-For: 192.0.2.1\r\n").status, 200);
    EXPECT_EQ(client.get("/", "X-Forwarded-For: 192.0.2.2\r\n").status, 429);
    EXPECT_EQ(client.get("/", "Forwarded: for=192.0.2.3\r\n").status, 429);
    EXPECT_EQ(client.get("/", "X-Real-IP: 192.0.2.4\r\n").status, 429);
}

TEST_F(proxy_limit, a_trusted_proxy_names_the_client) {
    auto c = settings(1);
    c.trusted_proxies.push_back(asio::ip::make_network_v4("127.0.0.0/8"));
    running_proxy const proxy(std::move(c), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/", "X-Forwarded-For: 192.0.2.1\r\n").status, 200);
    EXPECT_EQ(client.get("/", "X-Forwarded-For: 192.0.2.2\r\n").status, 200);
    EXPECT_EQ(client.get("/", "X-Forwarded-For: 192.0.2.9, 192.0.2.1\r\n").status, 429); // right to left
}

TEST_F(proxy_limit, the_user_is_who_the_configured_field_says_and_else_the_address) {
    auto c = settings(1);
    c.identity = {{config::identity_source::type::header, "x-user-id"}, {}};
    running_proxy const proxy(std::move(c), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/", "X-User-Id: alice\r\n").status, 200);
    EXPECT_EQ(client.get("/", "X-User-Id: bob\r\n").status, 200);
    EXPECT_EQ(client.get("/", "X-User-Id: alice\r\n").status, 429);
    EXPECT_EQ(client.get("/").status, 200);
    EXPECT_EQ(client.get("/", "X-User-Id: \r\n").status, 429);
    EXPECT_EQ(redis_.integer({"EXISTS", "rate:alice:all"}), 1);
    EXPECT_EQ(redis_.integer({"EXISTS", "rate:127.0.0.1:all"}), 1);
}

TEST_F(proxy_limit, a_request_refused_by_one_limit_is_charged_to_none) {
    auto c = settings(10);
    c.limits.push_back(hourly("narrow", 1));
    c.limits[1].per = {{config::per_part::type::everyone, {}}};
    c.limits[1].endpoint = config::endpoint_scope::any;
    c.routes.front().limits = {0, 1};
    running_proxy const proxy(std::move(c), options());
    auto client = proxy.connect();
    EXPECT_THAT(client.get("/").field("RateLimit"), HasSubstr(R"("per-user";r=9)"));
    auto const refused = client.get("/");
    EXPECT_EQ(refused.status, 429);
    EXPECT_THAT(refused.body, HasSubstr(R"("violated-policies":["narrow"])"));
    EXPECT_THAT(refused.field("RateLimit"), HasSubstr(R"("per-user";r=9)"));
    EXPECT_EQ(redis_.integer({"EXISTS", "rate:*:*"}), 1);
}

TEST_F(proxy_limit, a_cost_field_is_charged_and_nonsense_in_it_rides_for_no_less) {
    auto c = settings(10);
    c.limits[0].cost = 2;
    c.limits[0].cost_header = "x-tokens";
    running_proxy const proxy(std::move(c), options());
    auto client = proxy.connect();
    EXPECT_THAT(client.get("/", "X-Tokens: 3\r\n").field("RateLimit"), HasSubstr("r=7"));
    EXPECT_THAT(client.get("/").field("RateLimit"), HasSubstr("r=5"));
    for (auto const* nonsense : {"0", "-1", "1e3"})
        EXPECT_EQ(client.get("/", std::string("X-Tokens: ") + nonsense + "\r\n").status,
                  std::string_view{nonsense} == "1e3" ? 429u : 200u)
            << nonsense;
    EXPECT_EQ(client.get("/", "X-Tokens: 99999999999999999999\r\n").status, 429);
    auto const never = client.get("/", "X-Tokens: 11\r\n");
    EXPECT_EQ(never.status, 429);
    EXPECT_EQ(never.field("Retry-After"), "");
}

TEST_F(proxy_limit, while_redis_is_dead_a_local_rule_still_limits_and_recovers_with_redis) {
    running_proxy const proxy(settings(3), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").status, 200);
    redis_.kill();
    int admitted = 0;
    for (int i = 0; i < 10; ++i) {
        auto const status = client.get("/").status;
        admitted += status == 200;
        EXPECT_TRUE(status == 200 || status == 429) << status;
    }
    EXPECT_EQ(admitted, 3);
    EXPECT_EQ(proxy.decided(outcome::error_local), 10u);
    redis_.restart();
    // What was admitted meanwhile is charged first, and may be all there is.
    auto const decided = [&] { return proxy.decided(outcome::allow) + proxy.decided(outcome::deny); };
    get_until(client, [&](auto const&) { return decided() > 1; });
    EXPECT_GT(decided(), 1u);
    EXPECT_TRUE(metrics::redis_up(*proxy.server.counters()));
}

TEST_F(proxy_limit, while_redis_is_dead_an_open_rule_admits_and_a_closed_one_answers_503) {
    auto open = settings(1);
    open.limits[0].rule.on_redis_failure = on_redis_failure::open;
    auto closed = settings(1);
    closed.limits[0].rule.on_redis_failure = on_redis_failure::closed;
    running_proxy const lets(std::move(open), options());
    running_proxy const refuses(std::move(closed), options());
    redis_.kill();
    auto client = lets.connect();
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(client.get("/").status, 200);
    EXPECT_EQ(lets.decided(outcome::error_open), 5u);
    auto other = refuses.connect();
    for (int i = 0; i < 5; ++i) {
        auto const answer = other.get("/");
        EXPECT_EQ(answer.status, 503);
        EXPECT_NE(answer.field("Retry-After"), "");
        EXPECT_THAT(answer.body, HasSubstr("per-user"));
    }
    EXPECT_EQ(refuses.decided(outcome::error_closed), 5u);
}

TEST_F(proxy_limit, a_redis_that_hangs_costs_two_deadlines_and_then_none) {
    auto c = settings(1000);
    c.redis.timeout = std::chrono::milliseconds{200};
    running_proxy const proxy(std::move(c), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").status, 200);
    redis_.pause();
    for (int i = 0; i < 50; ++i)
        ASSERT_EQ(client.get("/").status, 200);
    EXPECT_EQ(proxy.decided(outcome::error_local), 50u);
    auto const& errors = proxy.server.counters()->worker(0).redis.errors;
    // Two requests waited for it; the rest are probes.
    EXPECT_GE(errors[errc::timed_out].value(), 2u);
    EXPECT_LT(errors[errc::timed_out].value() + errors[errc::connection_lost].value(), 50u);
    redis_.resume();
    // What was admitted meanwhile is charged first, and may be all there is.
    auto const decided = [&] { return proxy.decided(outcome::allow) + proxy.decided(outcome::deny); };
    get_until(client, [&](auto const&) { return decided() > 1; });
    EXPECT_GT(decided(), 1u);
}

TEST_F(proxy_limit, flushed_scripts_are_healed_unseen) {
    running_proxy const proxy(settings(1000), options());
    auto client = proxy.connect();
    for (int i = 0; i < 20; ++i) {
        redis_.run({"SCRIPT", "FLUSH"});
        ASSERT_EQ(client.get("/").status, 200);
    }
    EXPECT_EQ(proxy.decided(outcome::allow), 20u);
}

} // namespace
} // namespace weir::test
