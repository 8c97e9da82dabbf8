#include "support/forked_process.hpp"
#include "support/limiter_fixture.hpp"

#include <weir/clock.hpp>

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <optional>

// Units of hot keys that are charged ahead.

namespace weir::test {
namespace {

using namespace std::chrono_literals;

/// From when to when a request was decided; what was admitted took effect in between.
struct admission {
    std::int64_t asked, told;
};

std::int64_t now() { return boot_clock::now().time_since_epoch().count() / 1000; }

/// The most admissions that lie for certain within one window.
std::size_t most_within(std::vector<admission> const& all, std::chrono::microseconds window) {
    std::size_t most = 0;
    for (auto const& first : all) {
        auto const end = first.asked + window.count();
        auto const inside = [&](admission const& one) { return one.asked >= first.asked && one.told < end; };
        most = std::max(most, static_cast<std::size_t>(std::count_if(all.begin(), all.end(), inside)));
    }
    return most;
}

struct run_result {
    std::vector<admission> admitted;
    permit_stock::figures figures;
};

/// Asks all the time, by 16 at once, until `end`.
run_result ask_until(std::string const& url, rule const& limit, std::int64_t end) {
    run_result result;
    result.figures = run_tasks(url, {}, 16, [&](limiter& subject) -> asio::awaitable<void> {
        decision said;
        asio::steady_timer pause(co_await asio::this_coro::executor);
        charge const charges[] = {{&limit, "everybody", "e"}};
        while (now() < end) {
            auto const asked = now();
            auto const [ec] = co_await subject.async_check(charges, said, use_result);
            EXPECT_FALSE(ec || said.error) << ec.message() << said.error.message();
            if (said.allowed) {
                result.admitted.push_back({asked, now()});
                continue;
            }
            // What a client does that is told to come back.
            pause.expires_after(std::clamp(said.retry_after, 1ms, 20ms));
            error_code ended;
            co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ended));
        }
    });
    return result;
}

std::vector<admission> admissions_of(int processes, std::string const& url, rule const& limit, std::int64_t end,
                                     permit_stock::figures& sum) {
    std::vector<forked_process> children;
    for (int i = 0; i < processes; ++i)
        children.emplace_back([&](process_link& parent) {
            auto const mine = ask_until(url, limit, end);
            parent.put(mine.figures);
            parent.put(mine.admitted);
        });
    std::vector<admission> all;
    for (auto& child : children) {
        auto const figures = child.link().get<permit_stock::figures>();
        auto const part = child.link().get_all<admission>();
        EXPECT_TRUE(child.wait());
        all.insert(all.end(), part.begin(), part.end());
        sum.taken += figures.taken;
        sum.used += figures.used;
        sum.returned += figures.returned;
    }
    return all;
}

TEST(limiter_lease, no_window_has_more_than_the_limit_while_eight_processes_charge_ahead) {
    redis_server const server;
    rule const limit{.name = "leased", .limit = 2000, .window = 400ms, .lease = 40ms};
    permit_stock::figures sum;
    auto const all = admissions_of(8, server.url(), limit, now() + 1'500'000, sum);
    EXPECT_GT(sum.used, 0u);
    EXPECT_LE(sum.used + sum.returned, sum.taken);
    EXPECT_LE(most_within(all, limit.window), limit.limit);
    RecordProperty("admitted", std::to_string(all.size()));
    RecordProperty("taken_used_returned",
                   std::to_string(sum.taken) + " " + std::to_string(sum.used) + " " + std::to_string(sum.returned));
}

using limiter_lease_test = limiter_test;

/// Checks `n` times, one after the other; how many passed.
asio::awaitable<int> check(limiter& subject, rule const& r, int n) {
    charge const one[] = {{&r, "alice", "e"}};
    decision said;
    int passed = 0;
    for (int i = 0; i < n; ++i) {
        auto const [ec] = co_await subject.async_check(one, said, use_result);
        EXPECT_FALSE(ec || said.error) << ec.message();
        passed += said.allowed;
    }
    co_return passed;
}

/// What Redis says is left.
asio::awaitable<std::uint64_t> remaining(limiter& subject, rule const& r) {
    charge const peek[] = {{&r, "alice", "e", 0}};
    decision said;
    auto const [ec] = co_await subject.async_check(peek, said, use_result);
    EXPECT_FALSE(ec || said.error) << ec.message();
    co_return said.rules.at(0).remaining;
}

TEST_F(limiter_lease_test, a_hot_key_asks_redis_rarely_and_what_is_left_is_given_back) {
    with_limiter([this](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .limit = 1'000'000, .window = 1h, .lease = 200ms};
        EXPECT_EQ(co_await check(subject, r, 5000), 5000);
        auto const& figures = subject.charged_ahead();
        EXPECT_GT(figures.used, 2500u);
        charge const one[] = {{&r, "alice", "e"}};
        decision said;
        EXPECT_TRUE(subject.try_check(one, said));
        EXPECT_TRUE(said.allowed);
        // All blocks end, and then Redis counts what was used and nothing else.
        asio::steady_timer pause(io);
        while (co_await remaining(subject, r) != r.limit - 5001) {
            pause.expires_after(10ms);
            co_await pause.async_wait(asio::use_awaitable);
        }
        EXPECT_EQ(figures.taken, figures.used + figures.returned);
    });
}

TEST_F(limiter_lease_test, what_was_tried_at_once_before_is_asked_for_once) {
    with_limiter([](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .limit = 1'000'000, .window = 1h, .lease = 1min};
        charge const one[] = {{&r, "alice", "e"}};
        decision said;
        // One less than is worth charging ahead.
        for (int i = 0; i < 7; ++i) {
            EXPECT_FALSE(subject.try_check(one, said));
            EXPECT_EQ(co_await check(subject, r, 1), 1);
        }
        EXPECT_EQ(subject.charged_ahead().taken, 0u);
        // The next is; with it comes as much as eight have asked for.
        EXPECT_EQ(co_await check(subject, r, 1), 1);
        while (subject.charged_ahead().taken == 0)
            co_await asio::post(asio::use_awaitable);
        EXPECT_EQ(subject.charged_ahead().taken, 8u);
    });
}

TEST_F(limiter_lease_test, what_was_charged_ahead_by_a_rule_is_not_used_under_the_one_that_replaces_it) {
    with_limiter([](limiter& subject) -> asio::awaitable<void> {
        std::optional<rule> before(rule{.name = "r", .limit = 1'000'000, .window = 1h, .lease = 1min});
        while (subject.charged_ahead().taken == 0)
            EXPECT_EQ(co_await check(subject, *before, 1), 1);
        auto const charged = before->limit - co_await remaining(subject, *before);
        before.reset();
        rule const after{.name = "r", .limit = charged + 10, .window = 1h, .lease = 1min};
        EXPECT_GT(subject.charged_ahead().taken, subject.charged_ahead().used);
        EXPECT_EQ(co_await check(subject, after, static_cast<int>(charged) + 100), 10);
    });
}

TEST_F(limiter_lease_test, what_is_left_at_the_end_of_a_limiter_is_given_back) {
    rule const r{.name = "r", .limit = 1'000'000, .window = 1h, .lease = 10s};
    redis::client client(io, limiter_client_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        {
            limiter subject(client);
            EXPECT_EQ(co_await check(subject, r, 500), 500);
            EXPECT_GT(subject.charged_ahead().taken, subject.charged_ahead().used);
        }
        limiter other(client);
        asio::steady_timer pause(io);
        while (co_await remaining(other, r) != r.limit - 500) { // a block may be under way
            pause.expires_after(1ms);
            co_await pause.async_wait(asio::use_awaitable);
        }
    });
}

} // namespace
} // namespace weir::test
