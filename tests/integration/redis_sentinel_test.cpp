#include "support/redis_fixture.hpp"
#include "support/redis_sentinels.hpp"

#include <gmock/gmock.h>
#include <weir/redis/subscriber.hpp>

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

TEST(redis_sentinel, what_is_flushed_in_the_middle_of_a_turn_goes_to_the_master) {
    redis_sentinels group;
    asio::io_context io;
    client redis(io, patient_options(group.url()));
    redis.flush(); // before a master is known
    run(io, [&]() -> asio::awaitable<void> { co_await redis.async_connect(use_result); });
    expect_flush_needs_no_turn(redis, io, [&] { return group.server(0).integer({"EXISTS", "flushed"}); });
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

std::string only_the_first(redis_sentinels const& group) {
    return "redis://127.0.0.1:" + std::to_string(group.port(0)) + "?mode=sentinel&master=group";
}

/// Whether a client of ours listens for failovers at a sentinel.
bool listens(redis_sentinels const& group, std::size_t sentinel) {
    return group.say(sentinel, "CLIENT LIST TYPE pubsub").find("name=weir ") != std::string::npos;
}

TEST(redis_sentinel, further_sentinels_are_learned_from_the_one_that_is_named) {
    redis_sentinels group;
    asio::io_context io;
    client redis(io, patient_options(only_the_first(group)));
    run(io, [&]() -> asio::awaitable<void> {
        auto const [ec] = co_await redis.async_connect(use_result);
        EXPECT_FALSE(ec) << redis.last_error_text();
        while (!listens(group, 0))
            co_await asio::post(io, use_result);
        group.kill(0);
        while (!listens(group, 1) && !listens(group, 2))
            co_await asio::post(io, use_result);
        group.server(0).kill();
        for (error_code failed = errc::not_connected; failed;) {
            std::tie(failed, std::ignore) = co_await count(redis, command("INCR", "x"));
            co_await asio::post(io, use_result);
        }
        EXPECT_EQ(group.server(1).integer({"GET", "x"}), 1);
    });
}

TEST(redis_sentinel, a_failover_is_heard_of_when_it_happens) {
    redis_sentinels group;
    asio::io_context io;
    client redis(io, patient_options(only_the_first(group)));
    auto const where = redis.address_source();
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        EXPECT_EQ(where()->port, group.server(0).port());
        while (!listens(group, 0))
            co_await asio::post(io, use_result);
        // Nothing fails meanwhile that would make the client ask of its own accord, and it asks each ten seconds.
        EXPECT_EQ(group.say(0, "SENTINEL FAILOVER group"), "OK");
        auto const next = std::to_string(group.server(1).port());
        while (group.say(0, "SENTINEL GET-MASTER-ADDR-BY-NAME group").find(next) == std::string::npos)
            co_await asio::post(io, use_result);
        auto const told = boot_clock::now();
        while (!where() || where()->port != group.server(1).port())
            co_await asio::post(io, use_result);
        EXPECT_LT(boot_clock::now() - told, 5s);
        auto const [ec, value] = co_await count(redis, command("INCR", "x"));
        EXPECT_EQ(value, 1) << ec.message();
    });
}

TEST(redis_sentinel, a_subscriber_goes_where_the_client_goes) {
    struct : redis::listener {
        void on_message(redis::message const& what) noexcept override { payloads.emplace_back(what.payload); }
        void on_gap() noexcept override { ++gaps; }
        std::vector<std::string> payloads;
        int gaps = 0;
    } hearer;
    redis_sentinels group;
    asio::io_context io;
    auto options = patient_options(group.url());
    client redis(io, options);
    options.health_interval = 100ms;
    redis::subscriber listening(io, options, redis.address_source());
    auto const held = listening.subscribe("news", hearer);
    run(io, [&]() -> asio::awaitable<void> {
        while (hearer.gaps == 0)
            co_await asio::post(io, use_result);
        group.say(0, "SENTINEL FAILOVER group");
        // The old master lives on as a replica; its listeners are to be with the new one.
        auto const heard = [&] {
            try {
                return group.server(1).integer({"PUBLISH", "news", "here"}) != 0;
            } catch (std::runtime_error const&) {
                return false; // a sentinel ends the connections of a server that it gives another role
            }
        };
        while (!heard())
            co_await asio::post(io, use_result);
        while (hearer.payloads.empty())
            co_await asio::post(io, use_result);
        EXPECT_GE(hearer.gaps, 2);
    });
}

TEST(redis_sentinel, servers_and_sentinels_have_passwords_of_their_own_and_a_wrong_one_is_told) {
    redis_sentinels group("hush");
    auto const url = "redis://:hush@" + group.url().substr(8);
    {
        asio::io_context io;
        client redis(io, patient_options(url + "&sentinel_password=watch-hush"));
        run(io, [&]() -> asio::awaitable<void> {
            auto const [ec, value] = co_await count(redis, command("INCR", "x"));
            EXPECT_EQ(value, 1) << ec.message() << ", " << redis.last_error_text();
            while (!listens(group, 0) && !listens(group, 1) && !listens(group, 2))
                co_await asio::post(io, use_result);
        });
    }
    for (auto const& [wrong, expected, words] :
         {std::tuple{url, errc::no_auth, "NOAUTH"},
          std::tuple{url + "&sentinel_password=guess", errc::wrong_password, "WRONGPASS"},
          std::tuple{"redis://:guess@" + group.url().substr(8) + "&sentinel_password=watch-hush", errc::wrong_password,
                     "WRONGPASS"}}) {
        asio::io_context io;
        client redis(io, patient_options(wrong));
        run(io, [&, expected = expected, words = words]() -> asio::awaitable<void> {
            auto const [ec] = co_await redis.async_connect(use_result);
            EXPECT_EQ(ec, expected) << ec.message();
            EXPECT_THAT(redis.last_error_text(), testing::HasSubstr(words));
            EXPECT_THAT(redis.last_error_text(), testing::Not(testing::HasSubstr("guess")));
        });
    }
}

TEST(redis_sentinel, an_unknown_name_and_sentinels_that_are_away_are_told) {
    redis_sentinels group;
    for (auto const& [url, words] :
         {std::pair{"redis://127.0.0.1:" + std::to_string(group.port(0)) + "?mode=sentinel&master=nobody",
                    "knows no master of the name nobody"},
          std::pair{"redis://127.0.0.1:" + std::to_string(dead_port()) + "?mode=sentinel&master=group",
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
