#pragma once

#include "support/redis_server.hpp"
#include "support/until.hpp"
#include "support/use_result.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>
#include <weir/clock.hpp>
#include <weir/redis/client.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <optional>

namespace weir::test {

/// Longer than anything takes on a busy machine: a test that needs it has failed.
inline constexpr std::chrono::seconds patience{20};

/// Runs the coroutine on `io` until it ends, and rethrows what it throws.
inline void run(asio::io_context& io, std::function<asio::awaitable<void>()> const& body) {
    bool ended = false;
    std::exception_ptr thrown;
    asio::co_spawn(io, body, [&](std::exception_ptr e) {
        ended = true;
        thrown = e;
        io.stop();
    });
    io.restart();
    io.run_for(patience);
    if (thrown)
        std::rethrow_exception(thrown);
    ASSERT_TRUE(ended) << "the test's coroutine still waits after " << patience.count() << " s";
}

inline redis::address address_of(std::string const& url) {
    error_code ec;
    std::string why;
    auto result = redis::parse_url(url, ec, &why);
    EXPECT_FALSE(ec) << url << ": " << why;
    return result;
}

/// Options for a test on a busy machine: deadlines that pass only where a test wants them to.
inline redis::client_options patient_options(std::string const& url) {
    redis::client_options options;
    options.server = address_of(url);
    options.timeout = std::chrono::seconds{10};
    options.connect_timeout = std::chrono::seconds{10};
    options.health_interval = std::chrono::seconds{10};
    return options;
}

/// One operation with a string for its reply.
inline asio::awaitable<std::tuple<error_code, std::string>> ask(redis::client& client, redis::command const& what,
                                                                redis::exec_options options = {}) {
    redis::string_sink sink;
    auto const [ec] = co_await client.async_exec(what, sink, options, use_result);
    co_return std::tuple{ec, sink.error_text().empty() ? sink.value() : sink.error_text()};
}

/// One operation with an integer for its reply; -1 where it failed.
inline asio::awaitable<std::tuple<error_code, std::int64_t>> count(redis::client& client, redis::command const& what,
                                                                   redis::exec_options options = {}) {
    redis::int_sink<1> sink(1);
    auto const [ec] = co_await client.async_exec(what, sink, options, use_result);
    co_return std::tuple{ec, ec ? -1 : sink[0]};
}

/// What a connected client flushes is executed while its loop stands still. `value` asks the server of the key
/// "flushed" for its value, 0 where there is none.
inline void expect_flush_needs_no_turn(redis::client& client, asio::io_context& io,
                                       std::function<std::int64_t()> const& value) {
    redis::command const increment("INCR", "flushed");
    redis::int_sink<1> sink(1);
    std::optional<error_code> ended;
    client.async_exec(increment, sink, {}, [&](error_code ec) {
        ended = ec;
        io.stop();
    });
    client.flush();
    until([&] { return value() == 1; });
    EXPECT_FALSE(ended) << "a handler ran inside of flush";
    io.restart();
    io.run_for(patience);
    ASSERT_TRUE(ended);
    EXPECT_FALSE(*ended) << ended->message();
    client.flush(); // of nothing
    EXPECT_EQ(value(), 1);
}

/// A redis-server, and a loop that the test itself turns.
class redis_test : public ::testing::Test {
protected:
    /// Lets everything run until it holds; fails the test where it never does.
    template <class Condition>
    void until(Condition const& holds, char const* what) {
        auto const deadline = boot_clock::now() + patience;
        io.restart();
        bool held = holds();
        for (; !held && boot_clock::now() < deadline; held = holds())
            io.run_one_for(std::chrono::milliseconds{10});
        ASSERT_TRUE(held) << "never: " << what;
    }
    /// Lets everything run for as long.
    void pass(std::chrono::milliseconds time) {
        io.restart();
        io.run_for(time);
    }

    redis_server server;
    asio::io_context io{1};
};

} // namespace weir::test
