#include "support/redis_fixture.hpp"

#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>

#include <thread>

namespace {

using namespace weir;
using namespace weir::test;
using redis::client;
using redis::command;

TEST(redis_client, executes_over_a_unix_socket_and_over_tcp) {
    redis_server server({.tcp = true, .password = {}, .arguments = {}});
    for (auto const& url : {server.url(), server.tcp_url()}) {
        asio::io_context io;
        client redis(io, patient_options(url));
        run(io, [&]() -> asio::awaitable<void> {
            auto const [set, ok] = co_await ask(redis, command("SET", "key", url));
            EXPECT_FALSE(set) << set.message();
            EXPECT_EQ(ok, "OK");
            auto const [get, value] = co_await ask(redis, command("GET", "key"));
            EXPECT_EQ(value, url);
            EXPECT_TRUE(redis.connected());
            EXPECT_EQ(redis.stats().connects, 1u);
        });
        EXPECT_EQ(server.run({"GET", "key"}), url);
    }
}

TEST(redis_client, begins_its_first_attempt_when_its_context_runs) {
    redis_server server;
    asio::io_context io;
    auto options = patient_options(server.url());
    options.connect_timeout = std::chrono::milliseconds{200};
    client redis(io, options);
    auto const constructed = boot_clock::now();
    while (boot_clock::now() - constructed < 2 * options.connect_timeout)
        server.run({"PING"}); // a program that has other things to do first
    run(io, [&]() -> asio::awaitable<void> {
        auto const [ec] = co_await redis.async_connect(use_result);
        EXPECT_FALSE(ec) << redis.last_error_text();
    });
}

TEST(redis_client, resolves_a_name) {
    redis_server server({.tcp = true, .password = {}, .arguments = {}});
    asio::io_context io;
    client redis(io, patient_options("redis://localhost:" + std::to_string(server.port())));
    run(io, [&]() -> asio::awaitable<void> {
        auto const [ec, pong] = co_await ask(redis, command("PING"));
        EXPECT_EQ(pong, "PONG") << redis.last_error_text();
    });
}

TEST(redis_client, names_itself_and_selects_its_database) {
    redis_server server;
    asio::io_context io;
    auto options = patient_options(server.url() + "?db=3");
    options.client_name = "weir-test";
    client redis(io, options);
    run(io, [&]() -> asio::awaitable<void> {
        co_await ask(redis, command("SET", "where", "here"));
        auto const [ec, name] = co_await ask(redis, command("CLIENT", "GETNAME"));
        EXPECT_EQ(name, "weir-test");
    });
    EXPECT_EQ(server.run({"GET", "where"}), "(nil)");
    EXPECT_EQ(server.run({"INFO", "keyspace"}).find("db3:keys=1") == std::string::npos, false);
}

TEST(redis_client, sends_what_is_submitted_in_one_turn_in_one_write_and_in_order) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> { co_await redis.async_connect(use_result); });
    auto const batches_before = redis.stats().batches;
    command const push("RPUSH", "list", "x");
    constexpr std::size_t n = 200;
    std::array<redis::int_sink<1>, n> sinks;
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < n; ++i)
        redis.async_exec(push, sinks[i], {}, [&, i](error_code ec) {
            EXPECT_FALSE(ec) << ec.message();
            order.push_back(i);
            if (order.size() == n)
                io.stop();
        });
    EXPECT_TRUE(order.empty()) << "a handler ran inside the initiating function";
    io.restart();
    io.run_for(patience);
    ASSERT_EQ(order.size(), n);
    for (std::size_t i = 0; i < n; ++i) {
        EXPECT_EQ(order[i], i);
        EXPECT_EQ(sinks[i][0], static_cast<std::int64_t>(i + 1));
    }
    EXPECT_EQ(redis.stats().batches - batches_before, 1u);
}

TEST(redis_client, sends_what_is_flushed_in_the_middle_of_a_turn) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    redis.flush(); // before there is a connection
    run(io, [&]() -> asio::awaitable<void> { co_await redis.async_connect(use_result); });
    expect_flush_needs_no_turn(redis, io, [&] { return server.integer({"EXISTS", "flushed"}); });
    redis.close();
    redis.flush();
}

TEST(redis_client, tells_a_reply_of_the_wrong_shape_or_arity) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        auto const [shape, number] = co_await count(redis, command("PING"));
        EXPECT_EQ(shape, errc::unexpected_reply);
        redis::int_sink<4> two(2);
        command const three("EVAL", "return {1,2,3}", 0);
        auto const [arity] = co_await redis.async_exec(three, two, {}, use_result);
        EXPECT_EQ(arity, errc::unexpected_reply);
        auto const [text, value] = co_await ask(redis, command("EVAL", "return {1,2,3}", 0));
        EXPECT_EQ(text, errc::unexpected_reply);
        auto const [ec, pong] = co_await ask(redis, command("PING"));
        EXPECT_EQ(pong, "PONG") << "the connection goes on";
        EXPECT_EQ(redis.stats().connects, 1u);
    });
}

TEST(redis_client, passes_the_words_of_an_error_on) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        co_await ask(redis, command("SET", "text", "x"));
        auto const [ec, words] = co_await ask(redis, command("LPUSH", "text", "y"));
        EXPECT_EQ(ec, errc::wrong_type);
        EXPECT_EQ(ec, kind::refused);
        EXPECT_EQ(words, "WRONGTYPE Operation against a key holding the wrong kind of value");
    });
}

TEST(redis_client, takes_nested_replies_and_large_ones) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        redis::flat_reply reply;
        command const nested("EVAL", "return {1,{'two',{3,false}},redis.error_reply('MY error')}", 0);
        auto const [ec] = co_await redis.async_exec(nested, reply, {}, use_result);
        EXPECT_FALSE(ec);
        std::string shape;
        for (auto const& node : reply.nodes())
            shape += std::to_string(node.depth) + "asin!"[static_cast<int>(node.type)] + std::string(reply.text(node)) +
                     (node.type == redis::flat_reply::type::integer ? std::to_string(node.value) : "") + ' ';
        std::string const large(3u << 20, 'x');
        co_await ask(redis, command("SET", "large", large));
        auto const [get, value] = co_await ask(redis, command("GET", "large"));
        EXPECT_EQ(value, large);
        EXPECT_EQ(shape, "0n 1s1 1n 2itwo 2n 3s3 3a 1!MY error ");
    });
}

TEST(redis_client, refuses_an_incomplete_command) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        command half;
        half.start(3).arg("SET").arg("key");
        auto const [ec, words] = co_await ask(redis, half);
        EXPECT_EQ(ec, errc::invalid_argument);
        auto const [empty, nothing] = co_await ask(redis, command());
        EXPECT_EQ(empty, errc::invalid_argument);
    });
}

struct outcome_counts {
    int ok = 0;
    int full = 0;
    bool operator==(outcome_counts const&) const = default;
};

// What becomes of `n` copies of a command submitted in one turn, before there is a connection.
outcome_counts submit_at_once(redis::client_options const& options, command const& what, int n) {
    asio::io_context io;
    client redis(io, options);
    redis::ignore_sink sink;
    outcome_counts counts;
    for (int i = 0; i < n; ++i)
        redis.async_exec(what, sink, {}, [&](error_code ec) {
            EXPECT_TRUE(!ec || ec == errc::queue_full) << ec.message();
            ++(ec ? counts.full : counts.ok);
            if (counts.ok + counts.full == n)
                io.stop();
        });
    io.run_for(patience);
    return counts;
}

TEST(redis_client, refuses_more_operations_or_bytes_than_its_queue_holds) {
    redis_server server;
    auto options = patient_options(server.url());
    options.max_queued_operations = 10;
    EXPECT_EQ(submit_at_once(options, command("PING"), 14), (outcome_counts{10, 4}));
    options.max_queued_bytes = 3 * command("PING").payload().size();
    EXPECT_EQ(submit_at_once(options, command("PING"), 14), (outcome_counts{3, 11}));
}

TEST(redis_client, fails_at_once_while_the_server_is_away) {
    temporary_directory directory;
    asio::io_context io;
    auto options = patient_options("unix://" + directory.path() + "/nobody.sock");
    client redis(io, options);
    run(io, [&]() -> asio::awaitable<void> {
        auto const [connect] = co_await redis.async_connect(use_result);
        EXPECT_EQ(connect, errc::not_connected);
        EXPECT_EQ(redis.last_error_text(),
                  "connect to " + directory.path() + "/nobody.sock: No such file or directory");
        auto const before = redis.stats().timeouts;
        auto const [ec, pong] = co_await ask(redis, command("PING"));
        EXPECT_EQ(ec, errc::not_connected);
        EXPECT_EQ(ec, kind::not_sent);
        EXPECT_EQ(redis.stats().timeouts, before);
    });
}

TEST(redis_client, completes_everything_when_it_is_closed) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> { co_await redis.async_connect(use_result); });
    server.pause();
    command const ping("PING");
    redis::ignore_sink sink;
    std::vector<error_code> results;
    redis.async_exec(ping, sink, {}, [&](error_code ec) { results.push_back(ec); });
    io.restart();
    io.poll();
    redis.async_exec(ping, sink, {}, [&](error_code ec) {
        results.push_back(ec);
        redis.async_exec(ping, sink, {}, [&](error_code late) { results.push_back(late); });
    });
    redis.close();
    io.restart();
    io.run(); // returns: a closed client leaves no work behind
    EXPECT_EQ(results, (std::vector<error_code>{errc::connection_lost, errc::client_closed, errc::client_closed}));
}

TEST(redis_client, may_be_destroyed_by_a_completion_handler) {
    redis_server server;
    asio::io_context io;
    auto redis = std::make_unique<client>(io, patient_options(server.url()));
    command const ping("PING");
    redis::ignore_sink sink;
    int completed = 0;
    for (int i = 0; i < 3; ++i)
        redis->async_exec(ping, sink, {}, [&](error_code) {
            ++completed;
            redis.reset();
        });
    io.run();
    EXPECT_EQ(completed, 3);
}

TEST(redis_client, goes_on_after_a_handler_that_throws) {
    redis_server server;
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    command const ping("PING");
    redis::ignore_sink sink;
    int completed = 0;
    redis.async_exec(ping, sink, {}, [](error_code) { throw std::runtime_error("mine"); });
    redis.async_exec(ping, sink, {}, [&](error_code ec) {
        EXPECT_FALSE(ec) << ec.message();
        ++completed;
        io.stop();
    });
    EXPECT_THROW(io.run_for(patience), std::runtime_error);
    io.run_for(patience);
    EXPECT_EQ(completed, 1);
}

TEST(redis_client, leaves_its_operations_to_a_context_that_is_destroyed) {
    redis_server server;
    auto const alive = std::make_shared<int>(1);
    command const ping("PING");
    redis::ignore_sink sink;
    {
        asio::io_context io;
        client redis(io, patient_options(server.url()));
        redis.async_exec(ping, sink, {}, [alive](error_code) { FAIL() << "nobody runs the context"; });
    }
    EXPECT_EQ(alive.use_count(), 1) << "the handler was destroyed with the context";
}

} // namespace
