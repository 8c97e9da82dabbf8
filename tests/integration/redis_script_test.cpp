#include "support/redis_fixture.hpp"

namespace {

using namespace weir;
using namespace weir::test;
using redis::client;
using redis::command;

redis::script const& increment() {
    static redis::script const code("increment", "return redis.call('INCRBY', KEYS[1], ARGV[1])");
    return code;
}

command increment_by(int n) {
    command result;
    result.evalsha(increment(), 1, 1).arg("counter").arg(n);
    return result;
}

TEST(redis_script, registered_scripts_are_loaded_before_the_connection_opens) {
    redis_server server;
    asio::io_context io;
    auto options = patient_options(server.url());
    options.scripts = {&increment()};
    client redis(io, options);
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        EXPECT_EQ(server.run({"SCRIPT", "EXISTS", increment().sha1()}), "1\n");
        auto const [ec, value] = co_await count(redis, increment_by(7));
        EXPECT_EQ(value, 7);
        EXPECT_EQ(redis.stats().scripts_reloaded, 0u);
    });
}

TEST(redis_script, an_unregistered_script_is_loaded_when_it_is_first_used) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        auto const [ec, value] = co_await count(redis, increment_by(7));
        EXPECT_EQ(value, 7) << ec.message();
        EXPECT_EQ(redis.stats().scripts_reloaded, 1u);
    });
}

TEST(redis_script, a_script_flush_is_healed_once_however_many_callers_meet_it) {
    redis_server server;
    asio::io_context io;
    auto options = patient_options(server.url());
    options.scripts = {&increment()};
    client redis(io, options);
    auto const one = increment_by(1);
    constexpr int callers = 500;
    for (int flush = 1; flush <= 3; ++flush) {
        run(io, [&]() -> asio::awaitable<void> { co_await redis.async_connect(use_result); });
        server.run({"SCRIPT", "FLUSH"});
        redis::ignore_sink sink;
        int completed = 0;
        for (int i = 0; i < callers; ++i)
            redis.async_exec(one, sink, {}, [&](error_code ec) {
                EXPECT_FALSE(ec) << ec.message();
                if (++completed == callers)
                    io.stop();
            });
        io.restart();
        io.run_for(patience);
        EXPECT_EQ(completed, callers);
        EXPECT_EQ(server.integer({"GET", "counter"}), flush * callers) << "each exactly once";
        EXPECT_EQ(redis.stats().scripts_reloaded, static_cast<std::uint64_t>(flush));
    }
}

TEST(redis_script, no_caller_sees_noscript_while_another_flushes_all_the_time) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    auto const one = increment_by(1);
    command const flush("SCRIPT", "FLUSH");
    redis::ignore_sink sink;
    int completed = 0;
    constexpr int rounds = 300;
    run(io, [&]() -> asio::awaitable<void> {
        for (int i = 0; i < rounds; ++i) {
            redis.async_exec(flush, sink, {}, [](error_code ec) { EXPECT_FALSE(ec); });
            for (int k = 0; k < 3; ++k)
                redis.async_exec(one, sink, {}, [&](error_code ec) {
                    EXPECT_FALSE(ec) << ec.message();
                    ++completed;
                });
            auto const [ec] = co_await redis.async_exec(one, sink, {}, use_result);
            EXPECT_FALSE(ec) << ec.message();
            ++completed;
        }
        co_await ask(redis, command("PING"));
    });
    EXPECT_EQ(server.integer({"GET", "counter"}), 4 * rounds);
    EXPECT_EQ(completed, 4 * rounds);
}

} // namespace
