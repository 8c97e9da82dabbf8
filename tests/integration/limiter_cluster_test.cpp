#include "support/limiter_fixture.hpp"
#include "support/redis_cluster.hpp"

#include <weir/redis/hash_slot.hpp>

#include <gmock/gmock.h>

// Limits whose keys lie on different nodes of a real cluster.

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class limiter_on_cluster : public testing::Test {
protected:
    static redis_cluster& shared() {
        static redis_cluster all({.node_timeout = 10s});
        return all;
    }

    template <class Body>
    void with_client(Body body) {
        auto options = limiter_client_options(shared().url());
        options.server.topology = redis::topology::cluster;
        redis::client client(io_, std::move(options));
        run(io_, [&]() -> asio::awaitable<void> {
            co_await client.async_connect(use_result);
            co_await body(client);
            while (client.stats().in_flight != 0) // refunds are under way
                co_await asio::post(io_, use_result);
        });
    }

    static asio::awaitable<decision> check(limiter& subject, std::vector<charge> const& charges) {
        decision result;
        auto const [ec] = co_await subject.async_check(charges, result, use_result);
        EXPECT_FALSE(ec) << ec.message();
        EXPECT_FALSE(result.error) << result.error.message();
        co_return result;
    }

    asio::io_context io_;
};

TEST_F(limiter_on_cluster, keys_of_one_user_lie_together_and_users_spread) {
    with_client([](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        rule const a{.name = "a", .limit = 5, .window = 1h}, b{.name = "b", .limit = 5, .window = 1h};
        for (std::string const user : {"u1", "u2", "u3", "u4", "u5", "u6"}) {
            std::vector<charge> const both{{&a, user, "one"}, {&b, user, "two"}};
            EXPECT_TRUE((co_await check(subject, both)).allowed);
        }
        for (std::size_t i = 0; i < shared().masters(); ++i)
            EXPECT_GT(shared().node(i).integer({"DBSIZE"}), 0);
        EXPECT_EQ(shared().integer("{u1}", {"EXISTS", "rate:{u1}:one", "rate:{u1}:two"}), 2);
    });
}

TEST_F(limiter_on_cluster, what_one_node_admitted_is_taken_back_when_another_refused) {
    with_client([this](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        for (std::uint64_t const limit : {100, 1000}) { // a log, and counters
            rule const user{.name = "user" + std::to_string(limit), .limit = limit, .window = 1h};
            rule const all{.name = "all" + std::to_string(limit), .limit = 3, .window = 1h};
            std::vector<charge> const both{{&user, "zoe", "e", 2}, {&all, key_part::any(), "e", 1}};
            for (int i = 0; i < 3; ++i)
                EXPECT_TRUE((co_await check(subject, both)).allowed);
            auto const refused = co_await check(subject, both);
            EXPECT_FALSE(refused.allowed);
            EXPECT_EQ(refused.binding, 1u);
            EXPECT_EQ(refused.rules[0].remaining, limit - 6) << "as if it had not been charged";
            EXPECT_EQ(refused.rules[1].remaining, 0u);
            while (client.stats().in_flight != 0)
                co_await asio::post(io_, use_result);
            std::vector<charge> const peek{{&user, "zoe", "e", 0}};
            EXPECT_EQ((co_await check(subject, peek)).rules[0].remaining, limit - 6);
        }
    });
}

TEST_F(limiter_on_cluster, many_checks_at_once_admit_exactly_the_narrowest_limit_and_leave_no_trace_of_the_others) {
    with_client([this](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        rule const user{.name = "busy", .limit = 1000, .window = 1h}, all{.name = "total", .limit = 150, .window = 1h};
        std::vector<charge> const both{{&user, "busy", "e", 1}, {&all, key_part::any(), "busy", 1}};
        int admitted = 0, left = 300;
        std::deque<decision> results;
        for (int i = 0; i < 300; ++i) {
            auto& result = results.emplace_back();
            subject.async_check(both, result, [&](error_code ec) {
                EXPECT_FALSE(ec || result.error);
                admitted += result.allowed ? 1 : 0;
                --left;
            });
        }
        while (left != 0 || client.stats().in_flight != 0)
            co_await asio::post(io_, use_result);
        EXPECT_EQ(admitted, 150);
        std::vector<charge> const peek{{&user, "busy", "e", 0}};
        EXPECT_EQ((co_await check(subject, peek)).rules[0].remaining, 850u);
    });
}

TEST_F(limiter_on_cluster, a_cancelled_check_gives_back_what_it_had) {
    with_client([this](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        rule const user{.name = "c", .limit = 10, .window = 1h}, all{.name = "call", .limit = 10, .window = 1h};
        std::vector<charge> const both{{&user, "carl", "e", 1}, {&all, key_part::any(), "carl", 1}};
        asio::cancellation_signal cancel;
        std::optional<error_code> outcome;
        decision result;
        subject.async_check(both, result,
                            asio::bind_cancellation_slot(cancel.slot(), [&](error_code ec) { outcome = ec; }));
        cancel.emit(asio::cancellation_type::total);
        while (!outcome)
            co_await asio::post(io_, use_result);
        EXPECT_EQ(*outcome, errc::cancelled_unsent);
        EXPECT_FALSE(result.allowed);
        std::vector<charge> const peek{{&user, "carl", "e", 0}};
        EXPECT_EQ((co_await check(subject, peek)).rules[0].remaining, 10u);
    });
}

TEST(limiter_cluster_outage, a_node_that_is_away_leaves_the_others_in_redis_and_is_told_later_what_was_admitted) {
    redis_cluster all;
    asio::io_context io;
    auto options = limiter_client_options(all.url());
    options.server.topology = redis::topology::cluster;
    options.timeout = 5s;
    redis::client client(io, std::move(options));
    run(io, [&]() -> asio::awaitable<void> {
        co_await client.async_connect(use_result);
        limiter subject(client, rule{.name = "r", .limit = 1'000'000, .window = 1h});
        auto const node_of = [&](std::string const& user) { return all.owner(redis::hash_slot("{" + user + "}")); };
        std::string const victim = "victim";
        std::string other = "other";
        while (node_of(other) == node_of(victim))
            other += 'x';
        all.node(node_of(victim)).kill();
        std::uint64_t admitted_here = 0;
        for (int i = 0; i < 200 || admitted_here == 0; ++i) {
            auto const [failed, lost] = co_await subject.async_check(victim, "e", 1, use_result);
            admitted_here += lost.error && lost.allowed ? 1 : 0;
            auto const [ec, result] = co_await subject.async_check(other, "e", 1, use_result);
            EXPECT_FALSE(result.error) << result.error.message();
            if (result.error)
                break;
        }
        EXPECT_FALSE(subject.redis_away());
        decision back;
        do // its replica takes over
            back = std::get<1>(co_await subject.async_peek(victim, "e", use_result));
        while (back.error || back.rules.at(0).remaining > 1'000'000 - admitted_here);
    });
}

} // namespace
} // namespace weir::test
