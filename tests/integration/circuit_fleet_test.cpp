#include "support/forked_process.hpp"
#include "support/redis_fixture.hpp"
#include "support/relay.hpp"

#include <weir/circuit/registry.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <gtest/gtest.h>

#include <deque>

// Fleets on a real Redis: instances in one process, and instances that are processes.

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using namespace weir::circuit;
namespace redis = weir::redis;

settings fleet_settings() {
    settings how;
    how.minimum_calls = 10;
    how.open_for = 60s;
    how.open_max = 60s;
    how.jitter = 0;
    how.probe_timeout = 60s;
    how.half_open_for = 60s;
    return how;
}

redis::client_options options_for(std::string const& url) {
    auto options = patient_options(url);
    options.scripts = scripts();
    options.reconnect_max = 50ms;
    return options;
}

registry_options quick(std::chrono::milliseconds poll) {
    registry_options options;
    options.timing = {20ms, poll};
    return options;
}

/// An instance: a client, a subscriber, and a circuit.
struct instance {
    /// `poll`: an hour, so that what is learnt comes by push, unless the test says otherwise.
    instance(asio::io_context& io, std::string const& url, settings how = fleet_settings(),
             std::chrono::milliseconds poll = 1h)
        : client(io, options_for(url))
        , news(io, options_for(url))
        , all(client, news, quick(poll))
        , api(all.get("api", std::move(how))) {}

    void calls(int count, outcome what) {
        for (int i = 0; i < count; ++i)
            api.try_acquire().record(what, "upstream says no");
    }
    void close() {
        all.close();
        news.close();
        client.close();
    }

    redis::client client;
    redis::subscriber news;
    registry all;
    breaker api;
};

class circuit_fleet : public redis_test {
protected:
    /// Both have heard from Redis.
    void attach(instance& one, instance& other) {
        until([&] { return one.api.attached() && other.api.attached(); }, "attached");
        // A call each, so that both are known; after the time in which reports are gathered.
        one.calls(1, outcome::success);
        other.calls(1, outcome::success);
        until([&] { return server.run({"HGET", "circuit:api", "voters"}) == "2"; }, "both are known");
        auto const gathered = boot_clock::now() + 70ms;
        until([&] { return boot_clock::now() > gathered; }, "gathered");
    }
    template <class... Instances>
    void close(Instances&... each) {
        (each.close(), ...);
        pass(patience);
    }
};

TEST_F(circuit_fleet, what_one_part_of_the_fleet_sees_opens_the_whole_by_push) {
    instance one(io, server.url()), other(io, server.url()), third(io, server.url());
    attach(one, other);
    until([&] { return third.api.attached(); }, "attached");
    std::vector<std::string> heard;
    auto const listener = third.all.on_change([&](breaker const&, change const& what) {
        heard.push_back(std::string(to_string(what.from)) + " " + std::string(to_string(what.to)) +
                        (what.fleet ? " fleet" : ""));
    });
    one.calls(9, outcome::failure);
    other.calls(9, outcome::failure);
    until([&] { return third.api.now() == state::open; }, "the third opens");
    EXPECT_TRUE(third.api.fleet());
    EXPECT_FALSE(third.api.try_acquire());
    EXPECT_GT(third.api.retry_after(), 50s);
    EXPECT_EQ(heard, (std::vector<std::string>{"closed open fleet"}));
    auto const why = server.run({"HGET", "circuit:api", "tripped"});
    EXPECT_NE(why.find("upstream says no"), std::string::npos) << why;
    EXPECT_EQ(server.run({"XLEN", "stream:circuit:api"}), "1");
    close(one, other, third);
}

TEST_F(circuit_fleet, one_instance_with_a_bad_network_opens_its_own_circuit_only) {
    instance bad(io, server.url()), good(io, server.url());
    attach(bad, good);
    for (int i = 0; i < 20; ++i) {
        bad.calls(2, outcome::failure);
        good.calls(2, outcome::success);
        auto const pause = boot_clock::now() + 10ms;
        until([&] { return boot_clock::now() > pause; }, "time");
    }
    EXPECT_EQ(bad.api.now(), state::open);
    EXPECT_FALSE(bad.api.fleet());
    EXPECT_EQ(good.api.now(), state::closed);
    EXPECT_EQ(server.run({"HGET", "circuit:api", "state"}), "closed");
    close(bad, good);
}

TEST_F(circuit_fleet, an_instance_without_a_subscriber_learns_by_polls) {
    instance one(io, server.url());
    redis::client client(io, options_for(server.url()));
    registry polling(client, quick(50ms));
    auto api = polling.get("api", fleet_settings());
    until([&] { return api.attached() && one.api.attached(); }, "attached");
    bool done = false;
    one.api.async_set({state::forced_open, 1min, "test", "drill"}, [&](error_code ec, override_result) {
        EXPECT_FALSE(ec);
        done = true;
    });
    until([&] { return done && api.now() == state::forced_open; }, "the poll tells it");
    polling.close();
    client.close();
    close(one);
}

TEST_F(circuit_fleet, a_message_that_was_missed_is_made_good_when_the_connection_is_back) {
    instance one(io, server.url()), other(io, server.url());
    attach(one, other);
    until([&] { return one.news.connected() && other.news.connected(); }, "listening");
    auto const connects = other.news.stats().connects;
    server.run({"CLIENT", "KILL", "TYPE", "pubsub"});
    server.run({"HSET", "circuit:api", "state", "forced_open", "epoch", "9000000000000000"});
    until([&] { return other.news.stats().connects > connects && other.api.now() == state::forced_open; },
          "read anew after the gap");
    close(one, other);
}

TEST_F(circuit_fleet, an_override_holds_over_the_fleet_and_is_given_back) {
    instance one(io, server.url()), other(io, server.url());
    attach(one, other);
    run(io, [&]() -> asio::awaitable<void> {
        auto [ec, result] = co_await one.api.async_set({state::metrics_only, {}, "ada", "watching"}, use_result);
        EXPECT_FALSE(ec);
        EXPECT_EQ(result, override_result::done);
        EXPECT_EQ(one.api.now(), state::metrics_only);
        std::tie(ec, result) = co_await one.api.async_set({state::metrics_only, {}, "ada", "still"}, use_result);
        EXPECT_EQ(result, override_result::done) << "another reason is another entry";
    });
    until([&] { return other.api.now() == state::metrics_only; }, "the other hears of it");
    other.calls(100, outcome::failure);
    EXPECT_TRUE(other.api.try_acquire());
    run(io, [&]() -> asio::awaitable<void> {
        co_await other.api.async_set({std::nullopt, {}, "bob", ""}, use_result);
    });
    until([&] { return one.api.now() == state::closed; }, "back to itself");
    close(one, other);
}

TEST_F(circuit_fleet, b15_b17_who_waits_for_a_probe_gets_one_and_no_more_than_allowed_do) {
    auto how = fleet_settings();
    how.open_for = 30ms;
    instance one(io, server.url(), how), other(io, server.url(), how);
    attach(one, other);
    one.calls(9, outcome::failure);
    other.calls(9, outcome::failure);
    until([&] { return one.api.fleet() && other.api.fleet(); }, "open");
    until([&] { return one.api.now() == state::half_open && other.api.now() == state::half_open; },
          "half open without traffic");
    int answered = 0;
    std::deque<permit> leaves;
    auto const ask = [&](instance& who) {
        for (int i = 0; i < 10; ++i)
            who.api.async_acquire([&](error_code ec, permit leave) {
                ++answered;
                EXPECT_EQ(static_cast<bool>(leave), !ec);
                if (leave)
                    leaves.push_back(std::move(leave));
                else
                    EXPECT_EQ(ec, errc::circuit_open);
            });
    };
    ask(one);
    ask(other);
    until([&] { return answered == 20; }, "all are answered");
    EXPECT_EQ(leaves.size(), 3u);
    for (auto& each : leaves)
        each.success();
    until([&] { return one.api.now() == state::closed && other.api.now() == state::closed; }, "closed");
    EXPECT_EQ(one.api.counts(), tally{});
    close(one, other);
}

TEST_F(circuit_fleet, a_probe_that_is_not_waited_for_is_fetched_for_the_next_call) {
    auto how = fleet_settings();
    how.open_for = 30ms;
    instance one(io, server.url(), how);
    until([&] { return one.api.attached(); }, "attached");
    one.calls(10, outcome::failure);
    until([&] { return one.api.fleet() && one.api.now() == state::half_open; }, "half open");
    permit leave;
    until([&] { return static_cast<bool>(leave = one.api.try_acquire()); }, "a lease in hand");
    EXPECT_EQ(server.run({"HGET", "circuit:api", "granted"}), "1");
    leave.failure();
    for (int i = 1; i < 3; ++i) {
        until([&] { return static_cast<bool>(leave = one.api.try_acquire()); }, "the next");
        leave.failure();
    }
    until([&] { return one.api.now() == state::open; }, "judged");
    close(one);
}

TEST_F(circuit_fleet, b28_cancelling_who_waits_for_a_probe_leaves_no_lease_behind) {
    auto how = fleet_settings();
    how.open_for = 30ms;
    how.half_open_calls = 1;
    instance one(io, server.url(), how);
    until([&] { return one.api.attached(); }, "attached");
    one.calls(10, outcome::failure);
    until([&] { return one.api.fleet() && one.api.now() == state::half_open; }, "half open");
    asio::cancellation_signal stop;
    error_code ended;
    one.api.async_acquire(asio::bind_cancellation_slot(stop.slot(), [&](error_code ec, permit) { ended = ec; }));
    stop.emit(asio::cancellation_type::terminal);
    until([&] { return ended == errc::cancelled; }, "cancelled");
    permit leave;
    until([&] { return static_cast<bool>(leave = one.api.try_acquire()); }, "the lease is for the next call");
    close(one);
}

TEST_F(circuit_fleet, calls_cost_no_commands_beyond_the_reports) {
    instance one(io, server.url());
    until([&] { return one.api.attached() && one.news.connected(); }, "attached");
    server.run({"CONFIG", "RESETSTAT"});
    auto const began = boot_clock::now();
    std::uint64_t calls = 0;
    until(
        [&] {
            one.calls(1000, outcome::success);
            return (calls += 1000) >= 100'000;
        },
        "a hundred thousand calls");
    auto const intervals = (boot_clock::now() - began) / 20ms + 2;
    EXPECT_LE(server.calls("evalsha"), intervals) << calls << " calls";
    close(one);
}

TEST_F(circuit_fleet, b39_with_redis_lost_it_goes_on_by_what_it_sees_and_adopts_the_shared_open_on_return) {
    relay link(server.socket_path());
    instance cut(io, link.unix_url(), fleet_settings(), 30ms);
    instance one(io, server.url()), other(io, server.url());
    attach(one, other);
    until([&] { return cut.api.attached(); }, "attached");
    link.refuse(true);
    link.cut();
    until([&] { return !cut.api.attached(); }, "it knows that Redis is away");
    EXPECT_TRUE(cut.all.redis_away());
    EXPECT_TRUE(cut.api.try_acquire());
    one.calls(9, outcome::failure);
    other.calls(9, outcome::failure);
    until([&] { return one.api.fleet() && other.api.fleet(); }, "the others open");
    EXPECT_EQ(cut.api.now(), state::closed);
    cut.calls(5, outcome::success);
    link.refuse(false);
    until([&] { return cut.api.now() == state::open; }, "the shared state is adopted");
    EXPECT_TRUE(cut.api.fleet());
    close(cut, one, other);
}

TEST_F(circuit_fleet, b39_while_redis_is_lost_a_circuit_trips_and_heals_alone) {
    auto how = fleet_settings();
    how.open_for = 30ms;
    instance one(io, server.url(), how, 30ms);
    until([&] { return one.api.attached(); }, "attached");
    server.kill();
    until([&] { return !one.api.attached(); }, "it knows");
    one.calls(10, outcome::failure);
    EXPECT_EQ(one.api.now(), state::open);
    EXPECT_FALSE(one.api.fleet());
    until([&] { return one.api.now() == state::half_open; }, "half open");
    one.calls(3, outcome::success);
    EXPECT_EQ(one.api.now(), state::closed);
    server.restart();
    until([&] { return one.api.attached(); }, "back");
    EXPECT_EQ(one.api.now(), state::closed);
    close(one);
}

// ---- processes

TEST(circuit_processes, b38_eight_trip_once_and_share_exactly_the_probes) {
    redis_server server;
    auto how = fleet_settings();
    how.open_for = 300ms;
    std::vector<forked_process> children;
    for (int i = 0; i < 8; ++i)
        children.emplace_back([&](process_link& parent) {
            asio::io_context io(1);
            instance mine(io, server.url(), how);
            auto const wait = [&](auto const& holds) {
                auto const deadline = boot_clock::now() + patience;
                while (!holds() && boot_clock::now() < deadline)
                    io.run_one_for(5ms);
                return holds();
            };
            wait([&] { return mine.api.attached() && mine.news.connected(); });
            parent.put(1);
            parent.get<int>(); // all are there
            wait([&] {
                mine.calls(1, outcome::failure);
                return mine.api.fleet() && mine.api.now() == state::open;
            });
            wait([&] { return mine.api.now() == state::half_open; });
            int answered = 0, granted = 0;
            std::deque<permit> held;
            for (int j = 0; j < 20; ++j)
                mine.api.async_acquire([&](error_code, permit leave) {
                    ++answered;
                    granted += leave ? 1 : 0;
                    held.push_back(std::move(leave));
                });
            wait([&] { return answered == 20; });
            parent.put(granted);
            parent.get<int>(); // all have counted
            for (auto& each : held)
                each.success();
            parent.put(wait([&] { return mine.api.now() == state::closed; }) ? 1 : 0);
        });
    auto const all = [&](auto const& each) {
        int sum = 0;
        for (auto& one : children)
            sum += each(one.link());
        return sum;
    };
    auto const answer = [](process_link& one) { return one.get<int>(); };
    auto const go = [](process_link& one) {
        one.put(1);
        return 0;
    };
    EXPECT_EQ(all(answer), 8);
    all(go);
    EXPECT_EQ(all(answer), 3) << "leases over all processes";
    all(go);
    EXPECT_EQ(all(answer), 8) << "all closed again";
    for (auto& one : children)
        EXPECT_TRUE(one.wait());
    EXPECT_EQ(server.run({"XLEN", "stream:circuit:api"}), "3") << "open, half open, closed: one event each";
}

} // namespace
} // namespace weir::test
