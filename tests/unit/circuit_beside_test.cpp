#include "support/use_result.hpp"

#include <weir/circuit/adaptive_throttle.hpp>
#include <weir/circuit/bulkhead.hpp>
#include <weir/circuit/hedge.hpp>
#include <weir/circuit/registry.hpp>
#include <weir/circuit/retry_budget.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>

#include <stdexcept>

// What stands beside a breaker, alone and together.

namespace weir::circuit {
namespace {

using namespace std::chrono_literals;
using test::use_result;

time_point at(std::chrono::nanoseconds t) { return time_point{1000h} + t; }

// ---- retry budget

TEST(retry_budget, retries_are_a_share_of_recent_requests) {
    retry_budget budget({.share = 0.2, .window = 10s, .minimum = 0});
    EXPECT_FALSE(budget.try_retry(at(0s)));
    for (int i = 0; i < 100; ++i)
        budget.request(at(0s));
    EXPECT_EQ(budget.available(at(0s)), 20u);
    int retries = 0;
    for (int i = 0; i < 100; ++i)
        retries += budget.try_retry(at(5s)) ? 1 : 0;
    EXPECT_EQ(retries, 20);
}

TEST(retry_budget, requests_and_retries_are_forgotten_after_the_window) {
    retry_budget budget({.share = 0.5, .window = 10s, .minimum = 0});
    for (int i = 0; i < 10; ++i)
        budget.request(at(0s));
    for (int i = 0; i < 5; ++i)
        EXPECT_TRUE(budget.try_retry(at(5s)));
    for (int i = 0; i < 10; ++i)
        budget.request(at(9s));
    EXPECT_EQ(budget.available(at(9s)), 5u);
    EXPECT_EQ(budget.available(at(10s)), 0u) << "the first ten requests are gone, their retries are not";
    EXPECT_EQ(budget.available(at(15s)), 5u);
    EXPECT_EQ(budget.available(at(100h)), 0u);
}

TEST(retry_budget, a_few_are_free) {
    retry_budget budget;
    for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(budget.try_retry(at(0s)));
    EXPECT_FALSE(budget.try_retry(at(0s)));
    EXPECT_TRUE(budget.try_retry(at(10s)));
}

TEST(retry_budget, an_outage_is_not_multiplied) {
    retry_budget budget({.share = 0.2, .window = 10s, .minimum = 3});
    std::uint64_t sent = 0;
    for (int i = 0; i < 10'000; ++i) {
        auto const now = at(i * 1ms);
        budget.request(now);
        ++sent;
        for (int again = 0; again < 3 && budget.try_retry(now); ++again)
            ++sent; // each fails
    }
    EXPECT_LE(sent, 12'100u) << "not four times as many";
}

TEST(retry_budget, options_out_of_range_are_refused) {
    EXPECT_THROW(retry_budget({.share = -0.1}), std::invalid_argument);
    EXPECT_THROW(retry_budget({.share = 0.2, .window = 0ms}), std::invalid_argument);
}

// ---- adaptive throttle

TEST(adaptive_throttle, a_healthy_upstream_is_never_throttled) {
    adaptive_throttle throttle({}, 1);
    for (int i = 0; i < 10'000; ++i) {
        ASSERT_TRUE(throttle.try_acquire(at(i * 1ms)));
        if (i % 2 == 0)
            throttle.accepted(at(i * 1ms)); // half of them: just what K = 2 bears
    }
}

TEST(adaptive_throttle, its_refusals_follow_the_formula) {
    adaptive_throttle throttle({.k = 2, .window = 2min}, 1);
    for (int i = 0; i < 100; ++i)
        throttle.try_acquire(at(0s));
    for (int i = 0; i < 10; ++i)
        throttle.accepted(at(0s));
    EXPECT_EQ(throttle.refusal_rate(at(0s)), (100u - 2 * 10) * 1'000'000 / 101);
    EXPECT_EQ(throttle.refusal_rate(at(2min)), 0u) << "all is forgotten";
}

TEST(adaptive_throttle, in_overload_the_upstream_gets_about_k_times_what_it_accepts) {
    adaptive_throttle throttle({.k = 2, .window = 10s}, 7);
    std::uint64_t passed = 0, accepted = 0;
    for (int i = 0; i < 100'000; ++i) {
        auto const now = at(i * 1ms);
        bool const room = i % 10 == 0; // it bears a tenth
        if (throttle.try_acquire(now)) {
            ++passed;
            if (room || accepted < static_cast<std::uint64_t>(i) / 10) {
                ++accepted;
                throttle.accepted(now);
            }
        }
    }
    EXPECT_NEAR(static_cast<double>(passed) / static_cast<double>(accepted), 2.0, 0.2);
}

TEST(adaptive_throttle, options_out_of_range_are_refused) {
    EXPECT_THROW(adaptive_throttle({.k = 0.9}, 1), std::invalid_argument);
    EXPECT_THROW(adaptive_throttle({.k = 2, .window = 0ms}, 1), std::invalid_argument);
}

// ---- bulkhead

TEST(bulkhead, lets_so_many_in_and_no_more) {
    bulkhead room(2);
    auto first = room.try_enter();
    auto second = room.try_enter();
    EXPECT_TRUE(first && second);
    EXPECT_FALSE(room.try_enter());
    first.leave();
    first.leave();
    EXPECT_EQ(room.in_flight(), 1u);
    second = room.try_enter();
    EXPECT_EQ(room.in_flight(), 1u) << "a place given up for another";
    { auto const third = room.try_enter(); }
    EXPECT_EQ(room.in_flight(), 1u);
}

TEST(bulkhead, a_place_may_outlive_it_and_a_lower_limit_takes_hold_as_calls_end) {
    bulkhead::place left;
    {
        bulkhead room(2);
        left = room.try_enter();
        auto const other = room.try_enter();
        room.set_limit(1);
        EXPECT_FALSE(room.try_enter());
    }
    left.leave();
    EXPECT_FALSE(bulkhead(0).try_enter());
}

// ---- hedging

class hedging : public ::testing::Test {
protected:
    void run(std::function<asio::awaitable<void>()> const& body) {
        std::exception_ptr thrown;
        bool ended = false;
        asio::co_spawn(io, body, [&](std::exception_ptr e) {
            thrown = e;
            ended = true;
        });
        io.run_for(20s);
        if (thrown)
            std::rethrow_exception(thrown);
        EXPECT_TRUE(ended);
    }
    /// An attempt that lasts until it is cancelled, or for so long.
    asio::awaitable<int> last(std::chrono::nanoseconds time, int result) {
        asio::basic_waitable_timer<boot_clock> timer(io, time);
        auto const [ec] = co_await timer.async_wait(use_result);
        if (ec) {
            ++cancelled;
            throw boost::system::system_error(ec);
        }
        co_return result;
    }

    asio::io_context io{1};
    int calls = 0;
    int cancelled = 0;
};

TEST_F(hedging, what_is_quick_is_called_once) {
    run([&]() -> asio::awaitable<void> {
        auto const result = co_await async_hedge(
            io.get_executor(), {.delay = 10s}, [&] { return last(0ms, ++calls); }, asio::use_awaitable);
        EXPECT_EQ(result, 1);
    });
    EXPECT_EQ(calls, 1);
}

TEST_F(hedging, what_is_slow_gets_company_and_the_first_success_wins_and_cancels_the_other) {
    run([&]() -> asio::awaitable<void> {
        auto const attempt = [&] {
            ++calls;
            return last(calls == 1 ? std::chrono::nanoseconds{1h} : 1ms, calls);
        };
        auto const result = co_await async_hedge(io.get_executor(), {.delay = 1ms}, attempt, asio::use_awaitable);
        EXPECT_EQ(result, 2);
    });
    EXPECT_EQ(calls, 2);
    EXPECT_EQ(cancelled, 1);
}

TEST_F(hedging, a_failure_waits_for_the_others_and_the_last_is_told) {
    run([&]() -> asio::awaitable<void> {
        auto const fails_once = [&]() -> asio::awaitable<int> {
            if (++calls == 2)
                throw std::runtime_error("second");
            co_return co_await last(30ms, 1);
        };
        EXPECT_EQ(co_await async_hedge(io.get_executor(), {.delay = 1ms}, fails_once, asio::use_awaitable), 1);
        auto const fails = []() -> asio::awaitable<void> {
            throw std::runtime_error("always");
            co_return;
        };
        auto const [thrown] = co_await async_hedge(io.get_executor(), {.delay = 10s}, fails, use_result);
        EXPECT_THROW(std::rethrow_exception(thrown), std::runtime_error);
    });
}

TEST_F(hedging, the_budget_is_asked_before_a_second_attempt) {
    run([&]() -> asio::awaitable<void> {
        retry_budget budget({.share = 0.2, .window = 10s, .minimum = 0});
        hedge_options how{
            .delay = 1ms, .attempts = 3, .may_hedge = [&] { return budget.try_retry(boot_clock::now()); }};
        co_await async_hedge(
            io.get_executor(), how, [&] { return last(20ms, ++calls); }, asio::use_awaitable);
    });
    EXPECT_EQ(calls, 1);
}

TEST_F(hedging, cancelling_it_cancels_the_attempts) {
    asio::cancellation_signal stop;
    bool failed = false;
    async_hedge(
        io.get_executor(), {.delay = 1ms}, [&] { return last(1h, ++calls); },
        asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr thrown, int) { failed = thrown != nullptr; }));
    while (calls < 2)
        io.run_one_for(1s);
    stop.emit(asio::cancellation_type::terminal);
    io.run_for(20s);
    EXPECT_TRUE(failed);
    EXPECT_EQ(cancelled, 2);
}

// ---- together

TEST_F(hedging, own_refusals_of_what_stands_inside_never_count_against_the_upstream) {
    registry all(io);
    auto api = all.get("api", {.minimum_calls = 1});
    bulkhead room(0);
    run([&]() -> asio::awaitable<void> {
        auto const call = [&]() -> asio::awaitable<void> {
            auto const place = room.try_enter();
            if (!place)
                throw boost::system::system_error(errc::bulkhead_full);
            co_return;
        };
        for (int i = 0; i < 10; ++i) {
            auto const [thrown] = co_await api.async_call(call, use_result);
            EXPECT_TRUE(thrown);
        }
        EXPECT_EQ(api.counts(), tally{});
        EXPECT_EQ(api.now(), state::closed);
        all.close();
    });
}

} // namespace
} // namespace weir::circuit
