#include "support/redis_fixture.hpp"
#include "support/redis_sentinels.hpp"

#include <gmock/gmock.h>

namespace weir::test {
namespace {

using redis::client;
using redis::command;
using namespace std::chrono_literals;

TEST(redis_sentinel, the_master_is_found_followed_through_a_failover_and_nothing_is_doubled) {
    redis_sentinels group;
    asio::io_context io;
    auto options = patient_options(group.url());
    options.timeout = 300ms;
    client redis(io, options);
    std::int64_t succeeded = 0, unknown = 0;
    std::set<std::string> other_errors;
    bool over = false;
    auto const load = [&]() -> asio::awaitable<void> {
        command const increment("INCR", "counter");
        while (!over) {
            auto const [ec, value] = co_await count(redis, increment);
            if (!ec)
                ++succeeded;
            else if (ec == kind::outcome_unknown)
                ++unknown;
            else if (ec != kind::not_sent && ec != errc::read_only && ec != errc::loading && ec != errc::master_down)
                other_errors.insert(ec.message());
            co_await asio::post(io, use_result);
        }
    };
    run(io, [&]() -> asio::awaitable<void> {
        auto const [ec] = co_await redis.async_connect(use_result);
        EXPECT_FALSE(ec) << redis.last_error_text();
        asio::co_spawn(io, load, asio::detached);
        while (succeeded < 100)
            co_await asio::post(io, use_result);
        EXPECT_EQ(group.server(0).run({"INFO", "replication"}).find("role:slave"), std::string::npos);
        group.kill(0); // the sentinel that was asked, too
        group.server(0).kill();
        auto const before = succeeded;
        while (succeeded < before + 100)
            co_await asio::post(io, use_result);
        over = true;
        while (redis.stats().in_flight + redis.stats().queued != 0)
            co_await asio::post(io, use_result);
    });
    EXPECT_THAT(other_errors, testing::IsEmpty());
    EXPECT_NE(group.server(1).run({"INFO", "replication"}).find("role:master"), std::string::npos);
    EXPECT_LE(group.server(1).integer({"GET", "counter"}), succeeded + unknown);
}

TEST(redis_sentinel, a_server_that_is_no_master_is_refused_and_writes_wait_for_one) {
    redis_sentinels group;
    asio::io_context io;
    client redis(io, patient_options(group.url()));
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        // Demoted behind the sentinels' backs, and the master again before they act.
        group.server(0).run({"REPLICAOF", "127.0.0.1", std::to_string(group.server(1).port())});
        command const increment("INCR", "x");
        redis::int_sink<1> value;
        std::optional<error_code> answered;
        redis.async_exec(increment, value, {}, [&](error_code ec) { answered = ec; });
        while (redis.connected()) // until READONLY has told
            co_await asio::post(io, use_result);
        EXPECT_FALSE(answered) << answered->message();
        group.server(0).run({"REPLICAOF", "NO", "ONE"});
        while (!answered)
            co_await asio::post(io, use_result);
        EXPECT_FALSE(*answered) << answered->message();
        EXPECT_EQ(value[0], 1);
    });
}

TEST(redis_sentinel, an_unknown_name_and_sentinels_that_are_away_are_told) {
    redis_sentinels group;
    for (auto const& [url, words] :
         {std::pair{"redis://127.0.0.1:" + std::to_string(group.port(0)) + "?mode=sentinel&master=nobody",
                    "knows no master of the name nobody"},
          std::pair{"redis://127.0.0.1:" + std::to_string(free_port()) + "?mode=sentinel&master=group",
                    "Connection refused"}}) {
        asio::io_context io;
        client redis(io, patient_options(url));
        run(io, [&]() -> asio::awaitable<void> {
            auto const [ec] = co_await redis.async_connect(use_result);
            EXPECT_EQ(ec, errc::not_connected);
            EXPECT_THAT(redis.last_error_text(), testing::HasSubstr(words));
            auto const [refused, value] = co_await count(redis, command("INCR", "x"));
            EXPECT_EQ(refused, errc::not_connected);
        });
    }
}

} // namespace
} // namespace weir::test
