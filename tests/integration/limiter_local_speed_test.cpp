#include "support/limiter_fixture.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <gmock/gmock.h>

// What the limiter spares Redis: shared calls, remembered refusals; and what it brings up after an outage.

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class limiter_local_speed : public limiter_test {
protected:
    std::int64_t calls() { return server.calls("evalsha"); }
};

limiter_options with(auto change) {
    limiter_options options;
    change(options);
    return options;
}
limiter_options remembering() {
    return with([](limiter_options& o) { o.remembered_refusals = 100; });
}

rule hourly(std::uint64_t limit) { return {.name = "r", .limit = limit, .window = 1h}; }

/// Begins `n` checks in one turn of the loop, and waits for all.
asio::awaitable<int> burst(limiter& subject, rule const& r, std::vector<std::string> const& users) {
    auto const executor = co_await asio::this_coro::executor;
    std::deque<decision> decisions(users.size());
    std::size_t left = users.size();
    int passed = 0;
    asio::steady_timer done(executor, asio::steady_timer::time_point::max());
    for (std::size_t i = 0; i < users.size(); ++i) {
        charge const one[] = {{&r, users[i], "e"}};
        subject.async_check(one, decisions[i], [&, i](error_code ec) {
            EXPECT_FALSE(ec) << ec.message();
            EXPECT_FALSE(decisions[i].error);
            passed += decisions[i].allowed;
            if (--left == 0)
                done.cancel();
        });
    }
    error_code ended;
    if (left > 0)
        co_await done.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    co_return passed;
}

TEST_F(limiter_local_speed, checks_begun_together_share_calls_and_admit_exactly_the_limit) {
    with_limiter({}, [this](limiter& subject) -> asio::awaitable<void> {
        auto const r = hourly(70);
        std::vector<std::string> one_user(100, "alice"), many;
        for (int i = 0; i < 100; ++i)
            many.push_back("user" + std::to_string(i % 50));
        EXPECT_EQ(co_await burst(subject, r, one_user), 70);
        EXPECT_EQ(calls(), 4) << "32 a call";
        EXPECT_EQ(co_await burst(subject, r, many), 100);
        EXPECT_EQ(calls(), 8);
        std::vector<std::string> const alone(1, "bob");
        EXPECT_EQ(co_await burst(subject, r, alone), 1);
        EXPECT_EQ(calls(), 9);
    });
}

TEST_F(limiter_local_speed, without_batching_each_check_is_a_call) {
    with_limiter(with([](limiter_options& o) { o.batching = false; }),
                 [this](limiter& subject) -> asio::awaitable<void> {
                     auto const r = hourly(7);
                     std::vector<std::string> const users(10, "alice");
                     EXPECT_EQ(co_await burst(subject, r, users), 7);
                     EXPECT_EQ(calls(), 10);
                 });
}

TEST_F(limiter_local_speed, large_requests_are_split_over_calls) {
    with_limiter({}, [this](limiter& subject) -> asio::awaitable<void> {
        std::vector<rule> rules;
        for (int i = 0; i < 16; ++i)
            rules.push_back({.name = "r" + std::to_string(i), .limit = 20, .window = 1h, .penalty = {3, 1h}});
        std::deque<decision> decisions(40);
        int left = 40, passed = 0;
        auto const executor = co_await asio::this_coro::executor;
        asio::steady_timer done(executor, asio::steady_timer::time_point::max());
        for (auto& d : decisions) {
            std::vector<charge> charges;
            for (auto const& r : rules)
                charges.push_back({&r, "alice", r.name});
            subject.async_check(charges, d, [&](error_code ec) {
                EXPECT_FALSE(ec) << ec.message();
                passed += d.allowed;
                if (--left == 0)
                    done.cancel();
            });
        }
        error_code ended;
        co_await done.async_wait(asio::redirect_error(asio::use_awaitable, ended));
        EXPECT_EQ(passed, 20);
        EXPECT_EQ(calls(), 8) << "five a call";
    });
}

TEST_F(limiter_local_speed, one_of_a_shared_call_that_is_cancelled_harms_no_other) {
    with_limiter({}, [](limiter& subject) -> asio::awaitable<void> {
        auto const r = hourly(100);
        auto const executor = co_await asio::this_coro::executor;
        std::deque<decision> decisions(4);
        std::vector<error_code> results(4);
        asio::cancellation_signal unsent, sent;
        int left = 4;
        asio::steady_timer done(executor, asio::steady_timer::time_point::max());
        for (std::size_t i = 0; i < 4; ++i) {
            charge const one[] = {{&r, "alice", "e"}};
            auto const slot = i == 1 ? unsent.slot() : i == 2 ? sent.slot() : asio::cancellation_slot{};
            subject.async_check(one, decisions[i], asio::bind_cancellation_slot(slot, [&, i](error_code ec) {
                                    results[i] = ec;
                                    if (--left == 0)
                                        done.cancel();
                                }));
        }
        unsent.emit(asio::cancellation_type::terminal);
        co_await asio::post(executor, asio::use_awaitable); // behind the turn that sends them
        sent.emit(asio::cancellation_type::terminal);
        error_code ended;
        co_await done.async_wait(asio::redirect_error(asio::use_awaitable, ended));
        EXPECT_EQ(results[1], errc::cancelled_unsent);
        EXPECT_EQ(results[2], errc::cancelled);
        EXPECT_FALSE(results[0]);
        EXPECT_FALSE(results[3]);
        EXPECT_TRUE(decisions[0].allowed && decisions[3].allowed);
        EXPECT_FALSE(decisions[1].allowed || decisions[2].allowed);
        charge const peek[] = {{&r, "alice", "e", 0}};
        decision d;
        co_await subject.async_check(peek, d, use_result);
        EXPECT_EQ(d.rules.at(0).remaining, 97u) << "the one that was sent is charged, the other not";
    });
}

TEST_F(limiter_local_speed, a_flood_of_refused_requests_asks_redis_once_a_second_at_most) {
    with_limiter(remembering(), [this](limiter& subject) -> asio::awaitable<void> {
        auto const r = hourly(3);
        decision d;
        charge const one[] = {{&r, "alice", "e"}};
        int passed = 0, local = 0;
        auto const began = std::chrono::steady_clock::now();
        for (int i = 0; i < 1000; ++i) {
            co_await subject.async_check(one, d, use_result);
            passed += d.allowed;
            local += d.rules.at(0).outcome == outcome::deny_local;
            if (!d.allowed) {
                EXPECT_GT(d.retry_after, 59min);
                EXPECT_LE(d.retry_after, 1h);
            }
        }
        auto const seconds = (std::chrono::steady_clock::now() - began) / 1s;
        EXPECT_EQ(passed, 3);
        EXPECT_GE(local, 996 - seconds);
        EXPECT_EQ(calls(), 1000 - local);
    });
}

TEST_F(limiter_local_speed, a_refusal_that_is_remembered_ends_when_somebody_else_gives_back) {
    with_limiter(remembering(), [this](limiter& subject) -> asio::awaitable<void> {
        auto const r = hourly(1);
        auto const executor = co_await asio::this_coro::executor;
        redis::client other_client(io, limiter_client_options(server.url()));
        limiter other(other_client, r);
        decision d;
        charge const one[] = {{&r, "alice", "e"}};
        // Until the channel is listened to, a refusal is trusted for a second; then the news ends it.
        for (int round = 0; round < 5; ++round) {
            co_await subject.async_check(one, d, use_result);
            co_await subject.async_check(one, d, use_result);
            EXPECT_FALSE(d.allowed);
            co_await other.async_reset("alice", "e", use_result);
            auto const began = std::chrono::steady_clock::now();
            do {
                co_await subject.async_check(one, d, use_result);
                co_await asio::post(executor, asio::use_awaitable);
            } while (!d.allowed);
            EXPECT_LT(std::chrono::steady_clock::now() - began, 1500ms);
            co_await subject.async_reset("alice", "e", use_result);
        }
    });
}

TEST_F(limiter_local_speed, its_own_reset_and_refund_end_a_refusal_at_once) {
    with_limiter(remembering(), [](limiter& subject) -> asio::awaitable<void> {
        auto const r = hourly(1);
        decision d;
        charge const one[] = {{&r, "alice", "e"}};
        for (int i = 0; i < 3; ++i) {
            co_await subject.async_check(one, d, use_result);
            EXPECT_TRUE(d.allowed);
            co_await subject.async_check(one, d, use_result);
            EXPECT_FALSE(d.allowed);
            if (i % 2)
                co_await subject.async_reset("alice", "e", use_result);
            else
                co_await subject.async_refund(one, use_result);
        }
    });
}

TEST_F(limiter_local_speed, what_was_admitted_while_redis_was_away_is_charged_when_it_is_back) {
    with_limiter(with([](limiter_options& o) { o.probe_interval = 20ms; }),
                 [this](limiter& subject) -> asio::awaitable<void> {
                     auto const r = hourly(10);
                     auto const executor = co_await asio::this_coro::executor;
                     decision d;
                     charge const one[] = {{&r, "alice", "e"}};
                     co_await subject.async_check(one, d, use_result);
                     EXPECT_EQ(d.rules.at(0).remaining, 9u);
                     server.stop();
                     int local = 0;
                     while (local < 4) {
                         co_await subject.async_check(one, d, use_result);
                         EXPECT_TRUE(d.allowed);
                         local += d.rules.at(0).outcome == outcome::error_local;
                     }
                     server.restart();
                     asio::steady_timer pause(executor);
                     for (;;) { // a restart without persistence has lost the first; the four are brought up
                         charge const peek[] = {{&r, "alice", "e", 0}};
                         co_await subject.async_check(peek, d, use_result);
                         if (!d.error && d.rules.at(0).remaining <= 6)
                             break;
                         pause.expires_after(10ms);
                         co_await pause.async_wait(asio::use_awaitable);
                     }
                     EXPECT_EQ(d.rules.at(0).remaining, 6u);
                 });
}

TEST_F(limiter_local_speed, the_instances_alive_share_the_limits_while_redis_is_away) {
    auto const engine = [] { return std::make_shared<local_engine>(); };
    auto const first = engine(), second = engine();
    auto const beating = [](auto const& local) {
        return with([&](limiter_options& o) {
            o.local = local;
            o.heartbeat = 20ms;
        });
    };
    with_limiter(beating(first), [&](limiter&) -> asio::awaitable<void> {
        auto const executor = co_await asio::this_coro::executor;
        redis::client client(io, limiter_client_options(server.url()));
        asio::steady_timer pause(executor);
        auto const until = [&](unsigned count) -> asio::awaitable<void> {
            while (first->instances() != count) {
                pause.expires_after(5ms);
                co_await pause.async_wait(asio::use_awaitable);
            }
        };
        {
            limiter other(client, beating(second));
            co_await until(2);
        }
        co_await until(1);
    });
}

} // namespace
} // namespace weir::test
