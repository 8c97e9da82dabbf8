#include "support/limiter_fixture.hpp"

#include <gmock/gmock.h>

#include <random>

// Requests that are more than one question and answer, through the library: once, in flight, reserved and settled.

namespace weir::test {
namespace {

using namespace std::chrono_literals;

using limiter_requests = limiter_test;
using charges = std::vector<charge>;

TEST_F(limiter_requests, a_request_repeated_under_its_id_is_charged_once) {
    with_limiter([](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .limit = 10, .window = 1h};
        charges const three{{&r, "alice", "e", 3}};
        decision first, again;
        request_options const options{.request_id = "id: 1"};
        auto [ec] = co_await subject.async_check(three, options, first, use_result);
        EXPECT_FALSE(ec) << ec.message();
        EXPECT_TRUE(first.allowed);
        EXPECT_EQ(first.request_id, "id: 1");
        EXPECT_EQ(first.rules.at(0).remaining, 7u);
        co_await subject.async_check(three, options, again, use_result);
        EXPECT_TRUE(again.allowed);
        EXPECT_EQ(again.rules.at(0).remaining, 7u);
        charges const four{{&r, "alice", "e", 4}};
        auto [reused] = co_await subject.async_check(four, options, again, use_result);
        EXPECT_EQ(reused, errc::request_id_reused);
        EXPECT_FALSE(again.allowed);
    });
}

TEST_F(limiter_requests, a_concurrency_rule_makes_an_id_by_which_its_lease_is_extended_and_ended) {
    with_limiter([](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .algorithm = algorithm::concurrency, .limit = 1, .window = 1h};
        charges const one{{&r, "alice", "e"}};
        decision held, other;
        co_await subject.async_check(one, held, use_result);
        EXPECT_TRUE(held.allowed);
        EXPECT_EQ(held.request_id.size(), 32u);
        co_await subject.async_check(one, other, use_result);
        EXPECT_FALSE(other.allowed);
        EXPECT_NE(other.request_id, held.request_id);
        request_options const options{.request_id = held.request_id};
        auto [extended] = co_await subject.async_extend(one, options, other, use_result);
        EXPECT_FALSE(extended) << extended.message();
        EXPECT_TRUE(other.allowed);
        charges const done{{&r, "alice", "e", as_reserved}};
        settlement ended;
        auto [settled] = co_await subject.async_settle(done, options, ended, use_result);
        EXPECT_FALSE(settled) << settled.message();
        EXPECT_EQ(ended.rules.at(0).refunded, 1u);
        co_await subject.async_check(one, other, use_result);
        EXPECT_TRUE(other.allowed);
    });
}

TEST_F(limiter_requests, what_was_reserved_is_settled_with_what_was_used) {
    with_limiter([](limiter& subject) -> asio::awaitable<void> {
        rule const requests{.name = "requests", .limit = 5, .window = 1h};
        rule const tokens{.name = "tokens", .limit = 1000, .window = 1h};
        charges const reserve{{&requests, "alice", "e", 1}, {&tokens, "alice", "e", 600}};
        request_options const options{.request_id = "r1"};
        decision d;
        co_await subject.async_check(reserve, options, d, use_result);
        EXPECT_TRUE(d.allowed);
        charges const more{{&requests, "alice", "e", 0}, {&tokens, "alice", "e", 400}};
        auto [extended] = co_await subject.async_extend(more, options, d, use_result);
        EXPECT_FALSE(extended) << extended.message();
        EXPECT_TRUE(d.allowed);
        EXPECT_EQ(d.rules.at(1).remaining, 0u);
        co_await subject.async_extend(more, options, d, use_result);
        EXPECT_FALSE(d.allowed);
        charges const used{{&requests, "alice", "e", as_reserved}, {&tokens, "alice", "e", 750}};
        settlement s;
        co_await subject.async_settle(used, options, s, use_result);
        EXPECT_EQ(s.rules.at(0).reserved, 1u);
        EXPECT_EQ(s.rules.at(1).reserved, 1000u);
        EXPECT_EQ(s.rules.at(1).refunded, 250u);
        auto [too_late] = co_await subject.async_extend(more, options, d, use_result);
        EXPECT_EQ(too_late, errc::already_settled);
        auto [unknown] = co_await subject.async_settle(used, request_options{.request_id = "other"}, s, use_result);
        EXPECT_EQ(unknown, errc::unknown_request);
        auto [no_id] = co_await subject.async_settle(used, request_options{}, s, use_result);
        EXPECT_EQ(no_id, errc::invalid_argument);
    });
}

TEST_F(limiter_requests, a_refund_takes_back_the_newest_and_tells_how_many) {
    with_limiter([](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .limit = 10, .window = 1h};
        rule const held{.name = "held", .algorithm = algorithm::concurrency, .limit = 10, .window = 1h};
        decision d;
        charges const six{{&r, "alice", "e", 6}}, eight{{&r, "alice", "e", 8}}, lease{{&held, "alice", "e", 1}};
        co_await subject.async_check(six, d, use_result);
        auto [ec, taken] = co_await subject.async_refund(eight, use_result);
        EXPECT_FALSE(ec) << ec.message();
        EXPECT_EQ(taken, 6u);
        auto [refused, nothing] = co_await subject.async_refund(lease, use_result);
        EXPECT_EQ(refused, errc::invalid_argument) << "a lease is ended by its request";
        EXPECT_EQ(nothing, 0u);
    });
}

TEST_F(limiter_requests, lists_and_overrides_of_users_are_kept) {
    with_limiter([this](limiter& subject) -> asio::awaitable<void> {
        rule r{.name = "r", .limit = 1, .window = 1h};
        r.allow = {"friend"};
        r.deny = {"foe"};
        r.overrides["big"].limit = 3;
        decision d;
        auto const ask = [&](const char* who, int times) -> asio::awaitable<int> {
            int passed = 0;
            charges const one{{&r, who, "e"}};
            for (int i = 0; i < times; ++i) {
                auto [ec] = co_await subject.async_check(one, d, use_result);
                EXPECT_FALSE(ec);
                passed += d.allowed;
            }
            co_return passed;
        };
        EXPECT_EQ(co_await ask("friend", 5), 5);
        EXPECT_EQ(co_await ask("foe", 5), 0);
        EXPECT_TRUE(d.refused_by_list());
        EXPECT_EQ(server.run({"DBSIZE"}), "0") << "nobody was asked";
        EXPECT_EQ(co_await ask("big", 5), 3);
        EXPECT_EQ(d.rules.at(0).limit, 3u);
        EXPECT_EQ(co_await ask("other", 5), 1);
    });
}

TEST_F(limiter_requests, of_64_streams_none_overspends_by_more_than_those_in_flight_had_reserved) {
    with_limiter([](limiter& subject) -> asio::awaitable<void> {
        constexpr std::uint64_t limit = 100'000, estimate = 1000;
        rule const tokens{.name = "tokens", .limit = limit, .window = 1h};
        std::mt19937_64 random{7};
        std::uint64_t used = 0;
        int left = 64;
        auto const executor = co_await asio::this_coro::executor;
        asio::steady_timer done(executor, asio::steady_timer::time_point::max());
        auto const stream = [&](int number) -> asio::awaitable<void> {
            for (int i = 0;; ++i) {
                auto const id = std::to_string(number) + "/" + std::to_string(i);
                request_options const options{.request_id = id};
                charges const reserve{{&tokens, "alice", "e", estimate}};
                decision d;
                auto [ec] = co_await subject.async_check(reserve, options, d, use_result);
                EXPECT_FALSE(ec);
                if (!d.allowed)
                    break;
                auto const spent = random() % (2 * estimate); // as often more than was reserved as less
                used += spent;
                charges const spend{{&tokens, "alice", "e", spent}};
                settlement s;
                auto [settled] = co_await subject.async_settle(spend, options, s, use_result);
                EXPECT_FALSE(settled);
            }
            if (--left == 0)
                done.cancel();
        };
        for (int i = 0; i < 64; ++i)
            asio::co_spawn(executor, stream(i), asio::detached);
        error_code ended;
        co_await done.async_wait(asio::redirect_error(asio::use_awaitable, ended));
        EXPECT_GT(used, limit - estimate);
        EXPECT_LE(used, limit + 64 * estimate);
    });
}

} // namespace
} // namespace weir::test
