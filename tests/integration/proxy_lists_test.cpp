#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

// Limits that tell users apart, block them, or are on trial, through the proxy.

namespace weir::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class proxy_lists : public testing::Test {
protected:
    /// Those limits on the one route; users are known by X-User.
    config::config settings(std::vector<config::limit> limits) const {
        auto c = proxy_config(up_.port());
        c.identity = {{config::identity_source::type::header, "x-user"}, {}};
        for (std::size_t i = 0; i < limits.size(); ++i)
            c.routes.front().limits.push_back(i);
        c.limits = std::move(limits);
        c.redis.timeout = std::chrono::seconds{5};
        return c;
    }

    proxy::server_options options() const { return options_for(redis_); }

    static http_response get_as(http_client& client, std::string const& user) {
        return client.get("/", "X-User: " + user + "\r\n");
    }

    redis_server redis_;
    upstream up_{upstream::always("served")};
};

TEST_F(proxy_lists, a_user_on_a_deny_list_gets_403_before_anybody_is_asked) {
    auto strict = hourly("strict", 5);
    strict.rule.deny = {"mallory"};
    strict.rule.allow = {"mallory"};
    running_proxy const proxy(settings({hourly("other", 5), strict}), options());
    auto client = proxy.connect();
    auto const denied = get_as(client, "mallory");
    EXPECT_EQ(denied.status, 403);
    EXPECT_EQ(denied.field("Content-Type"), "application/problem+json");
    EXPECT_EQ(denied.field("Retry-After"), "");
    EXPECT_EQ(denied.field("RateLimit"), "");
    EXPECT_THAT(denied.body, HasSubstr(R"("detail":"the limit \"strict\" denies this user")"));
    EXPECT_THAT(denied.body, HasSubstr(denied.field("X-Request-Id")));
    EXPECT_THAT(denied.body, Not(HasSubstr("violated-policies")));
    EXPECT_FALSE(denied.close);
    EXPECT_EQ(redis_.run({"KEYS", "rate:*:*"}), "");
    EXPECT_EQ(proxy.decided(outcome::deny, 1), 1u);
    EXPECT_EQ(proxy.decided(outcome::allow, 0), 0u) << "the other was not asked";
    redis_.kill();
    EXPECT_EQ(get_as(client, "mallory").status, 403);
    EXPECT_EQ(get_as(client, "alice").status, 200);
}

TEST_F(proxy_lists, a_limit_does_not_concern_those_on_its_allow_list) {
    auto nobody = hourly("nobody", 0);
    nobody.rule.allow = {"friend"};
    running_proxy const proxy(settings({nobody, hourly("all", 2)}), options());
    auto client = proxy.connect();
    EXPECT_EQ(get_as(client, "alice").status, 429);
    auto const passed = get_as(client, "friend");
    EXPECT_EQ(passed.status, 200);
    EXPECT_EQ(passed.field("RateLimit-Policy"), R"("all";q=2;w=3600)") << "the other does not bind";
    EXPECT_EQ(get_as(client, "friend").status, 200);
    auto const refused = get_as(client, "friend");
    EXPECT_EQ(refused.status, 429);
    EXPECT_THAT(refused.body, HasSubstr(R"("violated-policies":["all"])"));
}

TEST_F(proxy_lists, a_user_with_terms_of_his_own_is_counted_and_told_by_them) {
    auto limit = hourly("per-user", 1);
    limit.rule.overrides["alice"].limit = 3;
    limit.rule.overrides["eve"].limit = 0;
    running_proxy const proxy(settings({limit}), options());
    auto client = proxy.connect();
    EXPECT_EQ(get_as(client, "alice").field("RateLimit-Policy"), R"("per-user";q=3;w=3600)");
    EXPECT_EQ(get_as(client, "alice").status, 200);
    EXPECT_EQ(get_as(client, "alice").status, 200);
    EXPECT_EQ(get_as(client, "alice").status, 429);
    EXPECT_EQ(get_as(client, "bob").status, 200);
    EXPECT_EQ(get_as(client, "bob").status, 429);
    EXPECT_EQ(get_as(client, "eve").status, 429);
}

TEST_F(proxy_lists, a_limit_on_trial_counts_refuses_nobody_and_is_not_told) {
    auto trial = hourly("trial", 1);
    trial.rule.shadow = true;
    trial.rule.deny = {"mallory"};
    trial.rule.on_redis_failure = on_redis_failure::closed;
    running_proxy const proxy(settings({trial, hourly("real", 3)}), options());
    auto client = proxy.connect();
    for (int i = 0; i < 3; ++i) {
        auto const passed = get_as(client, "alice");
        EXPECT_EQ(passed.status, 200);
        EXPECT_EQ(passed.field("RateLimit-Policy"), R"("real";q=3;w=3600)");
        EXPECT_THAT(passed.field("RateLimit"), HasSubstr("r=" + std::to_string(2 - i)));
    }
    EXPECT_EQ(proxy.decided(outcome::allow, 0), 1u);
    EXPECT_EQ(proxy.decided(outcome::shadow_deny, 0), 2u);
    EXPECT_EQ(proxy.decided(outcome::allow, 1), 3u);
    auto const refused = get_as(client, "alice");
    EXPECT_EQ(refused.status, 429);
    EXPECT_THAT(refused.body, HasSubstr(R"("violated-policies":["real"])"));

    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(get_as(client, "mallory").status, 200);
    EXPECT_EQ(get_as(client, "mallory").status, 429) << "by the real one, and not 403";
    redis_.kill();
    EXPECT_EQ(get_as(client, "bob").status, 200) << "nobody is refused by it without Redis either";
}

TEST_F(proxy_lists, limits_on_trial_alone_say_nothing) {
    auto trial = hourly("trial", 1);
    trial.rule.shadow = true;
    running_proxy const proxy(settings({trial}), options());
    auto client = proxy.connect();
    for (int i = 0; i < 3; ++i) {
        auto const passed = get_as(client, "alice");
        EXPECT_EQ(passed.status, 200);
        EXPECT_EQ(passed.field("RateLimit"), "");
        EXPECT_EQ(passed.field("RateLimit-Policy"), "");
    }
}

TEST_F(proxy_lists, who_is_refused_too_often_is_blocked_and_told_for_how_long) {
    auto limit = hourly("per-user", 1);
    limit.rule.window = std::chrono::minutes{1};
    limit.rule.penalty = {2, std::chrono::minutes{10}};
    running_proxy const proxy(settings({limit}), options());
    auto client = proxy.connect();
    EXPECT_EQ(get_as(client, "alice").status, 200);
    auto const first = get_as(client, "alice");
    EXPECT_EQ(first.status, 429);
    EXPECT_LE(std::stoi(first.field("Retry-After")), 60);
    for (int i = 0; i < 2; ++i) {
        auto const blocked = get_as(client, "alice");
        EXPECT_EQ(blocked.status, 429);
        EXPECT_GT(std::stoi(blocked.field("Retry-After")), 500);
        EXPECT_LE(std::stoi(blocked.field("Retry-After")), 601);
    }
    EXPECT_EQ(get_as(client, "bob").status, 200);
}

TEST_F(proxy_lists, a_token_bucket_admits_its_burst_and_says_so) {
    auto limit = hourly("bucket", 1);
    limit.rule.algorithm = algorithm::token_bucket;
    limit.rule.burst = 3;
    running_proxy const proxy(settings({limit}), options());
    auto client = proxy.connect();
    EXPECT_EQ(get_as(client, "alice").field("RateLimit-Policy"), R"("bucket";q=3;w=10800)");
    EXPECT_EQ(get_as(client, "alice").status, 200);
    EXPECT_EQ(get_as(client, "alice").status, 200);
    auto const refused = get_as(client, "alice");
    EXPECT_EQ(refused.status, 429);
    EXPECT_NEAR(std::stoi(refused.field("Retry-After")), 3600, 30);
}

} // namespace
} // namespace weir::test
