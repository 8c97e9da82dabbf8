#include "support/redis_fixture.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <gmock/gmock.h>

#include <optional>
#include <thread>

namespace {

using namespace weir;
using namespace weir::test;
using namespace std::chrono_literals;
using redis::client;
using redis::command;

TEST(redis_deadline, passes_while_the_server_is_stopped_and_the_late_reply_goes_to_nobody) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        server.pause();
        auto const start = boot_clock::now();
        auto const [ec, value] = co_await ask(redis, command("ECHO", "late"), {.timeout = 30ms});
        EXPECT_EQ(ec, errc::timed_out);
        EXPECT_EQ(ec, kind::outcome_unknown);
        EXPECT_GE(boot_clock::now() - start, 30ms);
        EXPECT_EQ(redis.stats().tombstones, 1u);
        server.resume();
        auto const [next, right] = co_await ask(redis, command("ECHO", "right"));
        EXPECT_EQ(right, "right");
        EXPECT_EQ(redis.stats().tombstones, 0u);
        EXPECT_EQ(redis.stats().connects, 1u) << "a timeout costs no connection";
    });
}

TEST(redis_deadline, covers_the_wait_for_a_connection) {
    redis_server server;
    server.pause(); // the kernel accepts, nobody answers the handshake
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        auto const [ec, value] = co_await ask(redis, command("INCR", "x"), {.timeout = 30ms});
        EXPECT_EQ(ec, errc::timed_out_unsent);
        server.resume();
        auto const [connect] = co_await redis.async_connect(use_result);
        EXPECT_FALSE(connect);
    });
    EXPECT_EQ(server.run({"GET", "x"}), "(nil)") << "what was not sent is never executed";
}

TEST(redis_deadline, is_not_missed_by_a_reply_that_lies_there_when_the_loop_was_kept_from_looking) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> { co_await redis.async_connect(use_result); });
    server.pause();
    command const ping("PING");
    redis::ignore_sink sink;
    std::optional<error_code> ended;
    redis.async_exec(ping, sink, {.timeout = 10ms}, [&](error_code ec) {
        ended = ec;
        io.stop();
    });
    io.restart();
    for (int i = 0; i < 3; ++i)
        io.poll_one(); // it is sent, and its deadline awaited
    asio::post(io, [&] {
        std::this_thread::sleep_for(20ms);
        // Before this runs, the loop finds the deadline to have passed.
        asio::post(io, [&] {
            server.resume();
            server.run({"PING"}); // which came after the first
        });
    });
    io.restart();
    io.run_for(patience);
    ASSERT_TRUE(ended);
    EXPECT_FALSE(*ended) << ended->message();
}

TEST(redis_deadline, each_of_many_has_its_own) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> { co_await redis.async_connect(use_result); });
    server.pause();
    command const ping("PING");
    redis::ignore_sink sink;
    std::vector<int> order;
    for (int ms : {50, 10, 40, 20, 30})
        redis.async_exec(ping, sink, {.timeout = std::chrono::milliseconds(ms)}, [&, ms](error_code ec) {
            EXPECT_EQ(ec, errc::timed_out);
            order.push_back(ms);
            if (order.size() == 5)
                io.stop();
        });
    io.restart();
    io.run_for(patience);
    EXPECT_EQ(order, (std::vector<int>{10, 20, 30, 40, 50}));
}

TEST(redis_deadline, a_busy_server_is_asked_again_until_it_answers) {
    redis_server server({.tcp = false, .password = {}, .arguments = {"--busy-reply-threshold", "1"}});
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        auto const script = server.send({"EVAL", "while true do end", "0"});
        // The script is under way once somebody is told so.
        while (server.run({"GET", "x"}).rfind("BUSY", 0) != 0) {
        }
        auto const [hasty, text] = co_await ask(redis, command("GET", "x"), {.timeout = 800ms});
        EXPECT_EQ(hasty, errc::busy) << "no attempt is under way at the deadline";
        EXPECT_THAT(text, testing::StartsWith("BUSY"));
        redis::int_sink<1> sink(1);
        command const increment("INCR", "x");
        error_code result = errc::invalid_argument;
        bool answered = false;
        redis.async_exec(increment, sink, {}, [&](error_code ec) {
            result = ec;
            answered = true;
        });
        while (redis.stats().refusals_retried < 8)
            co_await asio::post(io, asio::use_awaitable);
        server.run({"SCRIPT", "KILL"});
        auto const [after, value] = co_await ask(redis, command("GET", "x"));
        EXPECT_FALSE(after) << after.message();
        while (!answered) // it may be between two attempts
            co_await asio::post(io, asio::use_awaitable);
        EXPECT_FALSE(result) << result.message();
        EXPECT_EQ(sink[0], 1) << "a refused write is tried again, and executed once";
    });
}

TEST(redis_cancellation, of_what_is_unsent_keeps_it_from_being_sent) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    asio::cancellation_signal signal;
    command const increment("INCR", "x");
    redis::ignore_sink sink;
    error_code result;
    redis.async_exec(increment, sink, {},
                     asio::bind_cancellation_slot(signal.slot(), [&](error_code ec) { result = ec; }));
    signal.emit(asio::cancellation_type::total);
    EXPECT_FALSE(result) << "completed within the emission";
    run(io, [&]() -> asio::awaitable<void> { co_await ask(redis, command("PING")); });
    EXPECT_EQ(result, errc::cancelled_unsent);
    EXPECT_EQ(server.run({"GET", "x"}), "(nil)");
}

TEST(redis_cancellation, of_what_is_sent_completes_at_once_and_swallows_the_reply) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        server.pause();
        using namespace asio::experimental::awaitable_operators;
        asio::steady_timer timer(io, 10ms);
        redis::string_sink sink;
        command const echo("ECHO", "late");
        auto const won =
            co_await (redis.async_exec(echo, sink, {}, asio::use_awaitable) || timer.async_wait(asio::use_awaitable));
        EXPECT_EQ(won.index(), 1u);
        EXPECT_EQ(redis.stats().cancellations, 1u);
        server.resume();
        auto const [ec, right] = co_await ask(redis, command("ECHO", "right"));
        EXPECT_EQ(right, "right");
        EXPECT_EQ(sink.value(), "");
    });
}

TEST(redis_cancellation, after_completion_does_nothing) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    asio::cancellation_signal signal;
    command const ping("PING");
    redis::ignore_sink sink;
    redis.async_exec(ping, sink, {}, asio::bind_cancellation_slot(signal.slot(), [&](error_code ec) {
                         EXPECT_FALSE(ec);
                         io.stop();
                     }));
    io.run_for(patience);
    EXPECT_FALSE(signal.slot().has_handler());
    signal.emit(asio::cancellation_type::all);
    EXPECT_EQ(redis.stats().cancellations, 0u);
}

TEST(redis_cancellation, of_the_wait_for_a_connection) {
    redis_server server;
    server.pause();
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    asio::cancellation_signal signal;
    error_code result;
    redis.async_connect(asio::bind_cancellation_slot(signal.slot(), [&](error_code ec) {
        result = ec;
        io.stop();
    }));
    signal.emit(asio::cancellation_type::terminal);
    io.run_for(patience);
    EXPECT_EQ(result, errc::cancelled_unsent);
}

} // namespace
