#include "support/redis_fixture.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/use_future.hpp>

#include <array>
#include <future>
#include <thread>

namespace {

using namespace weir;
using namespace weir::test;
using redis::client;
using redis::command;

// A client whose context is run by a thread of its own.
class client_thread {
public:
    explicit client_thread(redis::client_options const& options)
        : redis_(io_, options) {
        thread_ = std::thread([this] { io_.run(); });
    }
    client_thread(client_thread const&) = delete;
    client_thread& operator=(client_thread const&) = delete;
    ~client_thread() {
        asio::post(io_, [this] { redis_.close(); });
        thread_.join();
    }
    client& operator*() { return redis_; }
    client* operator->() { return &redis_; }
    std::thread::id id() const { return thread_.get_id(); }

private:
    asio::io_context io_;
    client redis_;
    std::thread thread_;
};

TEST(redis_foreign_thread, a_future_is_enough_to_call_from_anywhere) {
    redis_server server;
    client_thread redis(patient_options(server.url()));
    command const set("SET", "key", "value");
    redis::string_sink sink;
    redis->async_exec_from_any_thread(set, sink, {}, asio::use_future).get();
    EXPECT_EQ(sink.value(), "OK");
    EXPECT_EQ(server.run({"GET", "key"}), "value");
}

TEST(redis_foreign_thread, many_threads_share_one_connection) {
    redis_server server;
    client_thread redis(patient_options(server.url()));
    constexpr int threads = 4, each = 500;
    std::vector<std::thread> callers;
    for (int t = 0; t < threads; ++t)
        callers.emplace_back([&] {
            command const increment("INCR", "counter");
            std::vector<redis::int_sink<1>> sinks(each);
            std::vector<std::future<void>> replies;
            for (auto& sink : sinks)
                replies.push_back(redis->async_exec_from_any_thread(increment, sink, {}, asio::use_future));
            for (auto& reply : replies)
                reply.get();
            for (int i = 1; i < each; ++i)
                EXPECT_LT(sinks[static_cast<std::size_t>(i - 1)][0], sinks[static_cast<std::size_t>(i)][0])
                    << "the order of one thread is kept";
        });
    for (auto& caller : callers)
        caller.join();
    EXPECT_EQ(server.integer({"GET", "counter"}), threads * each);
}

TEST(redis_foreign_thread, the_handler_runs_on_its_own_executor) {
    redis_server server;
    asio::io_context mine; // outlives the client's thread, which may still be leaving its call when the answer is here
    client_thread redis(patient_options(server.url()));
    run(mine, [&]() -> asio::awaitable<void> {
        command const ping("PING");
        redis::string_sink sink;
        auto const [ec] = co_await redis->async_exec_from_any_thread(ping, sink, {}, use_result);
        EXPECT_FALSE(ec) << ec.message();
        EXPECT_TRUE(mine.get_executor().running_in_this_thread());
    });
}

TEST(redis_foreign_thread, without_an_executor_the_handler_runs_on_the_clients_thread) {
    redis_server server;
    client_thread redis(patient_options(server.url()));
    command const ping("PING");
    redis::string_sink sink;
    std::promise<std::thread::id> where;
    redis->async_exec_from_any_thread(ping, sink, {}, [&](error_code) { where.set_value(std::this_thread::get_id()); });
    EXPECT_EQ(where.get_future().get(), redis.id());
}

TEST(redis_foreign_thread, a_slot_of_the_other_thread_cancels) {
    redis_server server;
    asio::io_context mine; // as above
    client_thread redis(patient_options(server.url()));
    command const ping("PING");
    redis::string_sink sink;
    redis->async_exec_from_any_thread(ping, sink, {}, asio::use_future).get();
    server.pause();
    asio::cancellation_signal signal;
    std::vector<error_code> results;
    for (int i = 0; i < 2; ++i)
        redis->async_exec_from_any_thread(
            ping, sink, {},
            asio::bind_cancellation_slot(i == 0 ? signal.slot() : asio::cancellation_slot(),
                                         asio::bind_executor(mine.get_executor(), [&](error_code ec) {
                                             results.push_back(ec);
                                             if (results.size() == 1)
                                                 server.resume();
                                         })));
    signal.emit(asio::cancellation_type::total);
    mine.run_for(patience); // returns when both are completed: they were its work
    ASSERT_EQ(results.size(), 2u);
    EXPECT_TRUE(results[0] == errc::cancelled || results[0] == errc::cancelled_unsent) << results[0].message();
    EXPECT_FALSE(results[1]) << results[1].message();
    EXPECT_FALSE(signal.slot().has_handler());
}

TEST(redis_foreign_thread, cancellations_may_overtake_or_follow_anything) {
    redis_server server;
    std::array<asio::io_context, 3> contexts; // as above
    client_thread redis(patient_options(server.url()));
    std::vector<std::thread> callers;
    for (auto& mine : contexts)
        callers.emplace_back([&] {
            command const ping("PING");
            constexpr int n = 300;
            std::vector<asio::cancellation_signal> signals(n);
            std::vector<redis::string_sink> sinks(n);
            int completed = 0;
            for (std::size_t i = 0; i < n; ++i) {
                redis->async_exec_from_any_thread(
                    ping, sinks[i], {},
                    asio::bind_cancellation_slot(signals[i].slot(),
                                                 asio::bind_executor(mine.get_executor(), [&, i](error_code ec) {
                                                     ++completed;
                                                     EXPECT_TRUE(ec || sinks[i].value() == "PONG");
                                                 })));
                mine.poll();
                signals[i / 2].emit(asio::cancellation_type::terminal);
                mine.restart();
            }
            mine.run_for(patience);
            EXPECT_EQ(completed, n);
        });
    for (auto& caller : callers)
        caller.join();
}

} // namespace
