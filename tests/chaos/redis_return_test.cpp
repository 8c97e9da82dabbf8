#include "support/redis_cluster.hpp"
#include "support/redis_fixture.hpp"
#include "support/redis_sentinels.hpp"

#include <boost/asio/steady_timer.hpp>
#include <weir/redis/subscriber.hpp>

#include <functional>
#include <string>
#include <utility>

namespace weir::test {
namespace {

using redis::client;
using redis::command;
using namespace std::chrono_literals;

// So many attempts that failed, and the next is planned for hours later.
constexpr std::uint64_t many_failures = 24;

// Pauses that begin short and grow beyond any test.
redis::client_options growing_pauses(std::string const& url) {
    auto options = patient_options(url);
    options.timeout = 100ms;
    options.reconnect_min = 1ms;
    options.reconnect_max = 24h;
    return options;
}

asio::awaitable<void> ask_until(client& redis, std::function<bool(error_code)> enough) {
    auto const executor = co_await asio::this_coro::executor;
    for (error_code ec; !enough(ec);) {
        std::tie(ec, std::ignore) = co_await count(redis, command("INCR", "counter"));
        co_await asio::post(executor, asio::use_awaitable);
    }
}

// Asks until a connection is made, and takes the server away until attempts are hours apart.
asio::awaitable<void> lose(client& redis, std::function<void()> const& stop) {
    co_await ask_until(redis, [&](error_code ec) { return !ec && redis.connected(); });
    stop();
    auto const before = redis.stats().connect_failures;
    co_await ask_until(redis, [&](error_code) { return redis.stats().connect_failures >= before + many_failures; });
}

void expect_back_within_a_second(std::string const& url, std::function<void()> const& stop,
                                 std::function<void()> const& restart) {
    asio::io_context io;
    client redis(io, growing_pauses(url));
    run(io, [&]() -> asio::awaitable<void> {
        co_await lose(redis, stop);
        restart();
        auto const back_at = boot_clock::now();
        bool asked = false;
        co_await ask_until(redis, [&](error_code ec) { return std::exchange(asked, true) && !ec; });
        EXPECT_LT(boot_clock::now() - back_at, 1s);
    });
}

void expect_quiet_until_asked(std::string const& url, std::function<void()> const& stop,
                              std::function<void()> const& restart) {
    asio::io_context io;
    client redis(io, growing_pauses(url));
    run(io, [&]() -> asio::awaitable<void> {
        co_await lose(redis, stop);
        asio::steady_timer pause(io, 700ms); // the attempt that was asked for last is over
        co_await pause.async_wait(asio::use_awaitable);
        restart();
        auto const before = redis.stats();
        pause.expires_after(700ms); // longer than it would take were it asked for is what it is about
        co_await pause.async_wait(asio::use_awaitable);
        EXPECT_EQ(redis.stats().connects, before.connects);
        EXPECT_EQ(redis.stats().connect_failures, before.connect_failures);
        bool asked = false;
        co_await ask_until(redis, [&](error_code ec) { return std::exchange(asked, true) && !ec; });
        EXPECT_EQ(redis.stats().connects, before.connects + 1);
    });
}

// There is nobody to take over.
void kill_all(redis_sentinels& group) {
    group.server(1).kill();
    group.server(0).kill();
}

TEST(redis_return, a_client_in_use_is_back_within_a_second_of_its_server) {
    redis_server server;
    expect_back_within_a_second(
        server.url(), [&] { server.stop(); }, [&] { server.restart(); });
}

TEST(redis_return, a_client_of_a_cluster_in_use_is_back_within_a_second_of_its_nodes) {
    redis_cluster all({.masters = 1}); // without other masters its replica cannot take over
    expect_back_within_a_second(
        all.url() + "?mode=cluster", [&] { all.node(0).stop(); },
        [&] {
            all.node(0).restart();
            all.wait_until_agreed();
        });
}

TEST(redis_return, a_client_of_sentinels_in_use_is_back_within_a_second_of_the_master) {
    redis_sentinels group;
    expect_back_within_a_second(
        group.url(), [&] { kill_all(group); }, [&] { group.server(0).restart(); });
}

TEST(redis_return, a_client_that_nobody_uses_does_not_knock_until_somebody_does) {
    redis_server server;
    expect_quiet_until_asked(
        server.url(), [&] { server.stop(); }, [&] { server.restart(); });
}

TEST(redis_return, a_client_of_sentinels_that_nobody_uses_does_not_knock_until_somebody_does) {
    redis_sentinels group;
    expect_quiet_until_asked(
        group.url(), [&] { kill_all(group); }, [&] { group.server(0).restart(); });
}

TEST(redis_return, a_password_that_is_refused_is_not_sent_the_sooner_because_somebody_asks) {
    redis_server server({.tcp = false, .password = "right", .arguments = {}});
    asio::io_context io;
    client redis(io, growing_pauses(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        co_await ask_until(redis, [](error_code ec) { return ec == kind::authentication; });
        auto const before = redis.stats().connect_failures;
        auto const until = boot_clock::now() + 700ms;
        co_await ask_until(redis, [&](error_code) { return boot_clock::now() >= until; });
        EXPECT_EQ(redis.stats().connect_failures, before);
    });
}

using redis_return_of_a_subscriber = redis_test;

TEST_F(redis_return_of_a_subscriber, is_within_a_second_of_its_server) {
    redis::subscriber news(io, growing_pauses(server.url()));
    struct : redis::listener {
        void on_message(redis::message const&) noexcept override {}
        void on_gap() noexcept override {}
    } anybody;
    auto const subscribed = news.subscribe("news", anybody);
    until([&] { return news.connected(); }, "connected");
    server.stop();
    until([&] { return news.stats().connect_failures >= many_failures; }, "attempts that failed");
    server.restart();
    auto const back_at = boot_clock::now();
    until([&] { return news.connected(); }, "connected again");
    EXPECT_LT(boot_clock::now() - back_at, 1s);
}

} // namespace
} // namespace weir::test
