#include "support/use_result.hpp"

#include <weir/circuit/registry.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>

#include <stdexcept>

// The asynchronous shell without Redis.

namespace weir::circuit {
namespace {

using namespace std::chrono_literals;
using test::use_result;

settings counting_ten() {
    settings how;
    how.window = window_kind::count;
    how.window_calls = 10;
    how.minimum_calls = 4;
    how.open_for = 20ms;
    how.jitter = 0;
    return how;
}

class circuit_registry : public ::testing::Test {
protected:
    void run(std::function<asio::awaitable<void>()> const& body) {
        std::exception_ptr thrown;
        asio::co_spawn(io, body, [&](std::exception_ptr e) {
            thrown = e;
            io.stop();
        });
        io.restart();
        io.run_for(20s);
        if (thrown)
            std::rethrow_exception(thrown);
    }
    void trip() {
        for (int i = 0; i < 4; ++i)
            api.try_acquire().failure("boom");
    }

    asio::io_context io;
    registry all{io};
    breaker api = all.get("api", counting_ten());
};

TEST_F(circuit_registry, a_permit_that_goes_without_a_result_gives_itself_back) {
    { auto const leave = api.try_acquire(); }
    EXPECT_EQ(api.counts(), tally{});
    auto leave = api.try_acquire();
    auto moved = std::move(leave);
    EXPECT_FALSE(leave); // NOLINT(bugprone-use-after-move)
    leave.failure();
    moved.failure();
    moved.failure();
    EXPECT_EQ(api.counts(), (tally{1, 1, 0})) << "one leave, one result";
}

TEST_F(circuit_registry, b35_a_throwing_call_counts_and_rethrows) {
    EXPECT_THROW(api.call([]() -> int { throw std::logic_error("mine"); }), std::logic_error);
    EXPECT_EQ(api.counts(), (tally{1, 1, 0}));
    EXPECT_EQ(api.call([] { return 7; }), 7);
    int there = 1;
    EXPECT_EQ(&api.call([&]() -> int& { return there; }), &there);
    EXPECT_EQ(api.counts(), (tally{3, 1, 0}));
}

TEST_F(circuit_registry, b35_a_throwing_coroutine_counts_and_rethrows) {
    run([&]() -> asio::awaitable<void> {
        auto const fails = []() -> asio::awaitable<int> {
            throw std::logic_error("mine");
            co_return 1;
        };
        bool caught = false;
        try {
            co_await api.async_call(fails, asio::use_awaitable);
        } catch (std::logic_error const& e) {
            caught = std::string_view(e.what()) == "mine";
        }
        EXPECT_TRUE(caught);
        EXPECT_EQ(api.counts(), (tally{1, 1, 0}));
    });
}

TEST_F(circuit_registry, a_result_may_be_judged_and_void_is_a_success) {
    run([&]() -> asio::awaitable<void> {
        auto const status = co_await api.async_call(
            []() -> asio::awaitable<int> { co_return 503; },
            [](int code) { return code >= 500 ? outcome::failure : outcome::success; }, asio::use_awaitable);
        EXPECT_EQ(status, 503);
        co_await api.async_call([]() -> asio::awaitable<void> { co_return; }, asio::use_awaitable);
        EXPECT_EQ(api.counts(), (tally{2, 1, 0}));
    });
}

TEST_F(circuit_registry, b13_open_refuses_without_running_the_call) {
    trip();
    int ran = 0;
    EXPECT_THROW(api.call([&] { ++ran; }), boost::system::system_error);
    run([&]() -> asio::awaitable<void> {
        auto const count = [&]() -> asio::awaitable<void> {
            ++ran;
            co_return;
        };
        auto const [thrown] = co_await api.async_call(count, use_result);
        EXPECT_TRUE(thrown);
        try {
            std::rethrow_exception(thrown);
        } catch (boost::system::system_error const& e) {
            EXPECT_EQ(e.code(), errc::circuit_open);
            EXPECT_TRUE(e.code() == kind::rejected);
        }
        auto const [ec, size] = co_await api.async_call<std::size_t>(
            [&](auto handler) {
                ++ran;
                std::move(handler)(error_code{}, 1u);
            },
            use_result);
        EXPECT_EQ(ec, errc::circuit_open);
        EXPECT_EQ(size, 0u);
    });
    EXPECT_EQ(ran, 0);
    EXPECT_EQ(api.refused(), 3u);
    EXPECT_GT(api.retry_after(), 0ns);
}

TEST_F(circuit_registry, an_operation_with_a_handler_is_judged_by_its_error) {
    run([&]() -> asio::awaitable<void> {
        auto const fails = [&](auto handler) {
            asio::post(io, [handler = std::move(handler)]() mutable {
                std::move(handler)(error_code(asio::error::connection_refused), std::size_t{0});
            });
        };
        auto const [ec, size] = co_await api.async_call<std::size_t>(fails, use_result);
        EXPECT_EQ(ec, asio::error::connection_refused);
        EXPECT_EQ(api.counts(), (tally{1, 1, 0}));
    });
}

TEST_F(circuit_registry, b28_a_cancelled_call_is_ignored) {
    run([&]() -> asio::awaitable<void> {
        asio::steady_timer never(io, asio::steady_timer::time_point::max());
        asio::cancellation_signal stop;
        error_code ended;
        bool done = false;
        api.async_call<>([&](auto handler) { never.async_wait(std::move(handler)); },
                         asio::bind_cancellation_slot(stop.slot(), [&](error_code ec) {
                             ended = ec;
                             done = true;
                         }));
        while (never.cancel() == 0 && !done) { // until the operation waits
            co_await asio::post(io, asio::use_awaitable);
        }
        while (!done)
            co_await asio::post(io, asio::use_awaitable);
        EXPECT_EQ(ended, asio::error::operation_aborted);
        EXPECT_EQ(api.counts(), tally{});
    });
}

TEST_F(circuit_registry, classification_tells_our_own_side_from_the_upstream) {
    EXPECT_EQ(classify(error_code{}), outcome::success);
    EXPECT_EQ(classify(error_code(asio::error::connection_refused)), outcome::failure);
    EXPECT_EQ(classify(error_code(asio::error::connection_reset)), outcome::failure);
    EXPECT_EQ(classify(error_code(asio::error::timed_out)), outcome::failure);
    EXPECT_EQ(classify(error_code(asio::error::eof)), outcome::failure);
    EXPECT_EQ(classify(error_code(asio::error::operation_aborted)), outcome::ignored);
    EXPECT_EQ(classify(error_code(errc::bulkhead_full)), outcome::ignored);
    EXPECT_EQ(classify(error_code(errc::circuit_open)), outcome::ignored);
    EXPECT_EQ(classify(error_code(asio::error::host_not_found)), outcome::local_failure);
    EXPECT_EQ(classify(error_code(boost::system::errc::make_error_code(boost::system::errc::address_not_available))),
              outcome::local_failure);
    EXPECT_EQ(classify(std::make_exception_ptr(std::system_error(std::make_error_code(std::errc::address_in_use)))),
              outcome::local_failure);
    EXPECT_EQ(classify(std::make_exception_ptr(std::runtime_error("x"))), outcome::failure);
}

TEST_F(circuit_registry, b36_a_listener_that_throws_harms_nobody) {
    int heard = 0;
    auto const bad = all.on_change([](breaker const&, change const&) { throw std::runtime_error("bad"); });
    auto const good = all.on_change([&](breaker const&, change const&) { ++heard; });
    trip();
    EXPECT_EQ(api.now(), state::open);
    EXPECT_EQ(heard, 1);
}

TEST_F(circuit_registry, b36_listeners_may_call_back_in) {
    std::vector<std::string> heard;
    listening second;
    auto first = all.on_change([&](breaker const& which, change const& what) {
        heard.push_back(which.name() + " " + std::string(to_string(what.to)));
        auto again = which;
        EXPECT_FALSE(again.try_acquire());
        all.get("made within", counting_ten());
        second = all.on_change([&](breaker const&, change const&) { heard.push_back("second"); });
        if (what.to == state::open)
            again.async_set({state::forced_open, {}, "listener", "test"}, asio::detached);
    });
    trip();
    EXPECT_EQ(api.now(), state::forced_open);
    EXPECT_EQ(heard, (std::vector<std::string>{"api open", "api forced_open"}))
        << "who joins while it is told is told of what follows";
    first.reset();
    second.reset();
    api.async_set({std::nullopt, {}, "test", ""}, asio::detached);
    EXPECT_EQ(heard.size(), 2u);
}

TEST_F(circuit_registry, b16_an_open_circuit_goes_half_open_by_its_timer_without_traffic) {
    trip();
    bool half_open = false;
    auto const listener = all.on_change([&](breaker const&, change const& what) {
        half_open = what.to == state::half_open;
        io.stop();
    });
    io.run_for(20s);
    EXPECT_TRUE(half_open);
}

TEST_F(circuit_registry, transitions_are_counted) {
    trip();
    using s = state;
    EXPECT_EQ(api.transitions()[static_cast<int>(s::closed)][static_cast<int>(s::open)], 1u);
    api.async_set({state::disabled, {}, "test", ""}, asio::detached);
    EXPECT_EQ(api.transitions()[static_cast<int>(s::open)][static_cast<int>(s::disabled)], 1u);
}

TEST_F(circuit_registry, b34_setting_half_open_what_is_closed_is_illegal) {
    run([&]() -> asio::awaitable<void> {
        auto const [ec, result] = co_await api.async_set({state::half_open, {}, "test", ""}, use_result);
        EXPECT_FALSE(ec);
        EXPECT_EQ(result, override_result::illegal);
    });
}

TEST_F(circuit_registry, a_name_has_one_circuit_and_other_settings_are_refused) {
    EXPECT_EQ(all.get("api", counting_ten()).name(), "api");
    EXPECT_EQ(all.all().size(), 1u);
    EXPECT_THROW(all.get("api"), std::invalid_argument);
    EXPECT_TRUE(all.find("api"));
    EXPECT_FALSE(all.find("other"));
}

TEST_F(circuit_registry, handles_and_permits_outlive_their_registry) {
    auto own = std::make_unique<registry>(io);
    auto handle = own->get("x", counting_ten());
    auto leave = handle.try_acquire();
    own.reset();
    leave.failure();
    EXPECT_EQ(handle.counts(), (tally{1, 1, 0}));
    for (int i = 0; i < 3; ++i)
        handle.try_acquire().failure();
    EXPECT_EQ(handle.now(), state::open);
}

TEST_F(circuit_registry, a_registry_may_be_closed_by_a_listener) {
    auto own = std::make_unique<registry>(io);
    auto handle = own->get("x", counting_ten());
    auto const listener = own->on_change([&](breaker const&, change const&) { own->close(); });
    for (int i = 0; i < 4; ++i)
        handle.try_acquire().failure();
    EXPECT_EQ(handle.now(), state::open);
    EXPECT_TRUE(own->all().empty());
}

} // namespace
} // namespace weir::circuit
