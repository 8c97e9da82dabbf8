#include "support/allocations.hpp"
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

// `lanes` coroutines, each executing one operation after another with a command and a sink that it uses again.
// Returns the allocations of all after the first tenth.
std::size_t allocations_of(client& redis, asio::io_context& io, int lanes, int operations) {
    int running = lanes;
    std::size_t done = 0;
    auto const warm = static_cast<std::size_t>(lanes * operations / 10);
    auto const lane = [&]() -> asio::awaitable<void> {
        command what;
        redis::int_sink<1> sink(1);
        for (int i = 0; i < operations; ++i) {
            what.clear().evalsha(increment(), 1, 1).arg("counter").arg(i);
            co_await redis.async_exec(what, sink, {}, asio::use_awaitable);
            if (++done == warm) {
                allocations = 0;
                counting = true;
            }
        }
        // The end of the first lane is no steady state any more.
        counting = false;
    };
    for (int i = 0; i < lanes; ++i)
        asio::co_spawn(io, lane, [&](std::exception_ptr e) {
            EXPECT_FALSE(e);
            if (--running == 0)
                io.stop();
        });
    io.restart();
    io.run_for(patience);
    EXPECT_EQ(running, 0);
    return allocations;
}

TEST(redis_allocation, the_steady_state_allocates_nothing_at_any_depth_with_coroutines) {
    redis_server server;
    asio::io_context io;
    auto options = patient_options(server.url());
    options.scripts = {&increment()};
    client redis(io, options);
    for (int lanes : {1, 16, 128})
        EXPECT_EQ(allocations_of(redis, io, lanes, 1000), 0u) << lanes << " at a time";
}

TEST(redis_allocation, the_steady_state_allocates_nothing_with_callbacks) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    struct chain {
        client& redis;
        asio::io_context& io;
        command what{"INCR", "counter"};
        redis::int_sink<1> sink{1};
        int left = 1000;
        void operator()() {
            redis.async_exec(what, sink, {}, [this](error_code ec) {
                EXPECT_FALSE(ec);
                if (left == 900) {
                    allocations = 0;
                    counting = true;
                }
                if (--left > 0)
                    return (*this)();
                counting = false;
                io.stop();
            });
        }
    } next{redis, io};
    next();
    io.run_for(patience);
    EXPECT_EQ(next.left, 0);
    EXPECT_EQ(allocations, 0u);
}

} // namespace
