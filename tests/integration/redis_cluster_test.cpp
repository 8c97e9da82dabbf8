#include "support/redis_cluster.hpp"
#include "support/redis_fixture.hpp"

#include <weir/redis/hash_slot.hpp>

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

// The client on a real cluster of three masters and three replicas.

namespace weir::test {
namespace {

using redis::client;
using redis::command;
using redis::hash_slot;
using namespace std::chrono_literals;

command increment(std::string const& key) {
    command made;
    made.start(2).arg("INCR").key(key);
    return made;
}

redis::client_options cluster_options(std::string const& url) {
    auto options = patient_options(url);
    options.server.topology = redis::topology::cluster;
    return options;
}

/// A key of a slot: {number} for the least number that fits.
std::string key_in(std::uint16_t slot) {
    for (int i = 0;; ++i)
        if (auto key = "{" + std::to_string(i) + "}"; hash_slot(key) == slot)
            return key;
}

class redis_cluster_client : public testing::Test {
protected:
    /// One cluster for all tests that leave it as it was: starting it takes seconds.
    static redis_cluster& shared() {
        static redis_cluster all({.node_timeout = 2s});
        return all;
    }
    asio::io_context io_;
};

TEST_F(redis_cluster_client, finds_all_nodes_from_one_and_sends_each_key_to_its_owner) {
    client redis(io_, cluster_options(shared().url(4))); // a replica knows as well
    run(io_, [&]() -> asio::awaitable<void> {
        auto const [ec] = co_await redis.async_connect(use_result);
        EXPECT_FALSE(ec) << redis.last_error_text();
        for (int i = 0; i < 100; ++i) {
            auto const [failed, value] = co_await count(redis, increment("spread" + std::to_string(i)));
            EXPECT_FALSE(failed) << failed.message();
            EXPECT_EQ(value, 1);
        }
        for (std::size_t i = 0; i < shared().masters(); ++i)
            EXPECT_GT(shared().node(i).integer({"DBSIZE"}), 10);
        auto const [ping_error, pong] = co_await ask(redis, command("PING"));
        EXPECT_EQ(pong, "PONG") << "a command without a key goes anywhere";
    });
}

TEST_F(redis_cluster_client, sends_what_is_flushed_in_the_middle_of_a_turn) {
    client redis(io_, cluster_options(shared().url()));
    command remove;
    remove.start(2).arg("DEL").key("flushed");
    run(io_, [&]() -> asio::awaitable<void> { co_await ask(redis, remove); });
    expect_flush_needs_no_turn(redis, io_, [&] { return shared().integer("flushed", {"EXISTS", "flushed"}); });
}

TEST_F(redis_cluster_client, each_master_is_named_and_asked_by_its_least_slot) {
    client redis(io_, cluster_options(shared().url()));
    EXPECT_THAT(redis.key_servers(), testing::IsEmpty()) << "not known yet";
    run(io_, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        auto const servers = redis.key_servers();
        EXPECT_EQ(servers.size(), shared().masters());
        std::uint16_t before = 0;
        for (auto const& each : servers) {
            auto const owner = shared().owner(each.slot);
            EXPECT_EQ(each.name, "127.0.0.1:" + std::to_string(shared().port(owner)));
            EXPECT_TRUE(each.slot > before || &each == &servers.front());
            before = each.slot;
            for (int i = 0; i < 3; ++i) {
                command who("CLUSTER", "MYID");
                auto const [ec, id] = co_await ask(redis, who.at_slot(each.slot));
                EXPECT_EQ(id, shared().id(owner)) << ec.message();
            }
        }
    });
}

TEST_F(redis_cluster_client, what_is_asked_before_the_table_is_there_waits_for_it) {
    client redis(io_, cluster_options(shared().url()));
    run(io_, [&]() -> asio::awaitable<void> {
        auto const [ec, value] = co_await count(redis, increment("early"));
        EXPECT_FALSE(ec) << ec.message();
        EXPECT_EQ(value, 1);
    });
}

TEST_F(redis_cluster_client, keys_of_different_slots_are_refused_unsent) {
    client redis(io_, cluster_options(shared().url()));
    run(io_, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        command both;
        both.start(3).arg("MGET").key("a").key("b");
        auto const [ec, text] = co_await ask(redis, both);
        EXPECT_EQ(ec, errc::cross_slot);
    });
}

TEST_F(redis_cluster_client, scripts_are_known_to_every_node_and_healed_where_they_are_lost) {
    redis::script const code("add", "return redis.call('INCR', KEYS[1])");
    auto options = cluster_options(shared().url());
    options.scripts = {&code};
    client redis(io_, options);
    run(io_, [&]() -> asio::awaitable<void> {
        for (int round = 0; round < 2; ++round) {
            for (int i = 0; i < 30; ++i) {
                command call;
                call.evalsha(code, 1, 0).arg("script" + std::to_string(i));
                auto const [ec, value] = co_await count(redis, call);
                EXPECT_FALSE(ec) << ec.message();
                EXPECT_EQ(value, round + 1);
            }
            for (std::size_t i = 0; i < shared().masters(); ++i)
                shared().node(i).run({"SCRIPT", "FLUSH"});
        }
    });
}

TEST_F(redis_cluster_client, a_slot_that_has_moved_is_followed_and_remembered) {
    client redis(io_, cluster_options(shared().url()));
    run(io_, [&]() -> asio::awaitable<void> {
        constexpr std::uint16_t slot = 100;
        auto const key = key_in(slot);
        co_await count(redis, increment(key));
        auto const to = (shared().owner(slot) + 1) % shared().masters();
        auto const back = shared().owner(slot);
        shared().begin_move(slot, to);
        shared().move_keys(slot, to);
        shared().end_move(slot, to);
        auto const [ec, value] = co_await count(redis, increment(key));
        EXPECT_FALSE(ec) << ec.message();
        EXPECT_EQ(value, 2);
        shared().begin_move(slot, back);
        shared().move_keys(slot, back);
        shared().end_move(slot, back);
        auto const [again, third] = co_await count(redis, increment(key));
        EXPECT_EQ(third, 3);
    });
}

TEST_F(redis_cluster_client, a_slot_half_way_is_asked_at_both_sides_key_by_key) {
    client redis(io_, cluster_options(shared().url()));
    run(io_, [&]() -> asio::awaitable<void> {
        constexpr std::uint16_t slot = 200;
        auto const tag = key_in(slot);
        for (int i = 0; i < 10; ++i)
            co_await count(redis, increment(tag + std::to_string(i)));
        auto const from = shared().owner(slot), to = (from + 1) % shared().masters();
        shared().begin_move(slot, to);
        shared().move_keys(slot, to, 5);
        for (int i = 0; i < 12; ++i) { // ten there, two new ones
            auto const [ec, value] = co_await count(redis, increment(tag + std::to_string(i)));
            EXPECT_FALSE(ec) << ec.message();
            EXPECT_EQ(value, i < 10 ? 2 : 1) << i;
        }
        // Keys on both sides cannot be read together: TRYAGAIN, until the move is over.
        command all;
        all.start(11).arg("MGET");
        for (int i = 0; i < 10; ++i)
            all.key(tag + std::to_string(i));
        redis::flat_reply values;
        std::optional<error_code> answered;
        redis.async_exec(all, values, {}, [&](error_code ec) { answered = ec; });
        while (redis.stats().refusals_retried == 0)
            co_await asio::post(io_, use_result);
        EXPECT_FALSE(answered);
        shared().move_keys(slot, to);
        shared().end_move(slot, to);
        while (!answered)
            co_await asio::post(io_, use_result);
        EXPECT_FALSE(*answered) << answered->message();
        EXPECT_EQ(values.nodes().size(), 11u);
        shared().begin_move(slot, from);
        shared().move_keys(slot, from);
        shared().end_move(slot, from);
    });
}

TEST_F(redis_cluster_client, resharding_under_load_fails_nothing_and_doubles_nothing) {
    client redis(io_, cluster_options(shared().url()));
    constexpr int keys = 20;
    std::map<std::string, std::int64_t> done;
    std::atomic<bool> over{false};
    auto const load = [&](int n) -> asio::awaitable<void> {
        auto const key = "reshard" + std::to_string(n);
        auto const what = increment(key);
        while (!over) {
            auto const [ec, value] = co_await count(redis, what);
            EXPECT_FALSE(ec) << key << ": " << ec.message();
            EXPECT_EQ(value, ++done[key]) << "doubled or lost";
            if (testing::Test::HasFailure())
                break;
        }
    };
    auto const reshard = [&] {
        for (int i = 0; i < keys; ++i) {
            auto const slot = hash_slot("reshard" + std::to_string(i));
            auto const to = (shared().owner(slot) + 1) % shared().masters();
            shared().begin_move(slot, to);
            shared().move_keys(slot, to);
            shared().end_move(slot, to);
        }
        over = true;
    };
    run(io_, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        for (int i = 0; i < keys; ++i)
            asio::co_spawn(io_, load(i), asio::detached);
        std::thread mover(reshard);
        while (!over || redis.stats().in_flight + redis.stats().queued != 0)
            co_await asio::post(io_, use_result);
        mover.join();
    });
    for (auto const& [key, value] : done) {
        EXPECT_EQ(shared().integer(key, {"GET", key}), value);
        EXPECT_GT(value, 10);
    }
}

TEST_F(redis_cluster_client, a_cluster_out_of_reach_is_told_at_once) {
    auto options = cluster_options("redis://127.0.0.1:" + std::to_string(dead_port()));
    client redis(io_, options);
    run(io_, [&]() -> asio::awaitable<void> {
        auto const [ec] = co_await redis.async_connect(use_result);
        EXPECT_EQ(ec, errc::not_connected);
        auto const [refused, value] = co_await count(redis, increment("x"));
        EXPECT_EQ(refused, errc::not_connected);
        EXPECT_THAT(redis.last_error_text(), testing::HasSubstr("Connection refused"));
    });
}

TEST_F(redis_cluster_client, a_server_that_is_no_cluster_is_told_by_name) {
    redis_server const lone({.tcp = true, .password = {}, .arguments = {}});
    client redis(io_, cluster_options(lone.tcp_url()));
    run(io_, [&]() -> asio::awaitable<void> {
        auto const [ec] = co_await redis.async_connect(use_result);
        EXPECT_EQ(ec, errc::cluster_down);
        EXPECT_THAT(redis.last_error_text(), testing::HasSubstr("it is no cluster"));
    });
}

TEST_F(redis_cluster_client, further_seeds_are_asked_where_the_first_is_away) {
    auto options = cluster_options("redis://127.0.0.1:" + std::to_string(dead_port()));
    options.server.nodes = {{"127.0.0.1", shared().node(1).port()}, {"127.0.0.1", shared().node(2).port()}};
    client redis(io_, options);
    run(io_, [&]() -> asio::awaitable<void> {
        auto const [ec, value] = co_await count(redis, increment("seeded"));
        EXPECT_FALSE(ec) << ec.message();
    });
}

/// Whether a client of ours is connected there.
bool visited(redis_server& node) { return node.run({"CLIENT", "LIST"}).find("name=weir ") != std::string::npos; }

TEST_F(redis_cluster_client, nodes_are_found_by_name_and_where_they_tell_no_place) {
    constexpr std::uint16_t slot = 700;
    for (auto const& [kind, name] : {std::pair{"hostname", "localhost"}, std::pair{"hostname", ""},
                                     std::pair{"unknown-endpoint", ""}, std::pair{"ip", ""}}) {
        shared().run_everywhere({"CONFIG", "SET", "cluster-announce-hostname", name});
        shared().run_everywhere({"CONFIG", "SET", "cluster-preferred-endpoint-type", kind});
        auto const owner = shared().owner(slot), other = (owner + 1) % shared().masters();
        // What a node says of the others, it has by gossip.
        auto const told = [&](std::size_t node) {
            auto const says = shared().node(node).run({"CLUSTER", "NODES"}).find(",localhost ") != std::string::npos;
            return says == (name == std::string("localhost"));
        };
        while (!told(owner) || !told(other)) {
        }
        asio::io_context io;
        client redis(io, cluster_options(shared().url(other)));
        run(io, [&]() -> asio::awaitable<void> {
            for (int i = 0; i < 30; ++i) {
                auto const [ec, value] = co_await count(redis, increment("named" + std::to_string(i)));
                EXPECT_FALSE(ec) << kind << " '" << name << "': " << ec.message();
            }
            // And by the words of MOVED, after a move that the table does not know of.
            auto const key = key_in(slot);
            co_await count(redis, increment(key));
            shared().begin_move(slot, other);
            shared().move_keys(slot, other);
            shared().end_move(slot, other);
            auto const [ec, value] = co_await count(redis, increment(key));
            EXPECT_FALSE(ec) << kind << " '" << name << "': " << ec.message();
            shared().begin_move(slot, owner);
            shared().move_keys(slot, owner);
            shared().end_move(slot, owner);
        });
    }
}

TEST_F(redis_cluster_client, a_slot_that_nobody_serves_fails_alone_and_heals) {
    constexpr std::uint16_t slot = 900;
    auto const key = key_in(slot);
    auto const owner = shared().owner(slot);
    client redis(io_, cluster_options(shared().url()));
    run(io_, [&]() -> asio::awaitable<void> {
        co_await count(redis, increment(key));
        // Each node has to forget who served it.
        for (std::size_t i = 0; i < shared().size(); ++i)
            shared().node(i).run({"CLUSTER", "DELSLOTS", std::to_string(slot)});
        redis::int_sink<1> waiting;
        std::optional<error_code> answered;
        auto const unserved = increment(key);
        redis.async_exec(unserved, waiting, {.timeout = 2s}, [&](error_code ec) { answered = ec; });
        while (!answered)
            co_await asio::post(io_, use_result);
        EXPECT_EQ(*answered, errc::cluster_down);
        EXPECT_EQ(*answered, kind::refused);
        auto const [others, value] = co_await count(redis, increment("elsewhere"));
        EXPECT_FALSE(others) << "the other slots go on: " << others.message();
        for (std::size_t i = 0; i < shared().masters(); ++i)
            shared().node(i).run({"CLUSTER", "SETSLOT", std::to_string(slot), "NODE", shared().id(owner)});
        shared().wait_until_agreed();
        for (error_code ec = errc::cluster_down; ec;)
            std::tie(ec, std::ignore) = co_await count(redis, increment(key));
        EXPECT_GE(shared().node(owner).integer({"GET", key}), 2);
    });
}

TEST_F(redis_cluster_client, a_slot_that_two_nodes_send_to_each_other_ends_after_five_redirects) {
    constexpr std::uint16_t slot = 1100;
    command what; // reads, since a node that holds keys gives no slot away
    what.start(2).arg("GET").key(key_in(slot));
    auto const owner = shared().owner(slot), other = (owner + 1) % shared().masters();
    client redis(io_, cluster_options(shared().url()));
    run(io_, [&]() -> asio::awaitable<void> {
        co_await ask(redis, what);
        auto const give_to = [&](std::size_t whom) {
            EXPECT_EQ(shared().node(owner).run({"CLUSTER", "SETSLOT", std::to_string(slot), "NODE", shared().id(whom)}),
                      "OK");
        };
        give_to(other); // which has not been told
        auto const [ec, value] = co_await ask(redis, what);
        EXPECT_EQ(ec, errc::redirected) << "long before its deadline: " << ec.message();
        auto const [others, one] = co_await count(redis, increment("elsewhere too"));
        EXPECT_FALSE(others) << others.message();
        give_to(owner);
        shared().wait_until_agreed();
        auto const [healed, nothing] = co_await ask(redis, what);
        EXPECT_FALSE(healed) << healed.message();
    });
}

TEST(redis_cluster_nodes, a_cluster_that_speaks_tls_is_followed_over_tls) {
    certificates const pem;
    redis_cluster all({.masters = 2, .tls = &pem, .node_timeout = 2s});
    asio::io_context io;
    client redis(io, cluster_options("rediss://127.0.0.1:" + std::to_string(all.port(0)) + "?cacert=" + pem.ca()));
    run(io, [&]() -> asio::awaitable<void> {
        auto const [connect] = co_await redis.async_connect(use_result);
        EXPECT_FALSE(connect) << redis.last_error_text();
        for (int i = 0; i < 30; ++i) {
            auto const [ec, value] = co_await count(redis, increment("spread" + std::to_string(i)));
            EXPECT_EQ(value, 1) << ec.message();
        }
        constexpr std::uint16_t slot = 100;
        auto const key = key_in(slot);
        auto const owner = all.owner(slot), other = (owner + 1) % all.masters();
        co_await count(redis, increment(key));
        all.begin_move(slot, other);
        all.move_keys(slot, other);
        auto const [asked, two] = co_await count(redis, increment(key));
        EXPECT_EQ(two, 2) << asked.message();
        all.end_move(slot, other);
        auto const [moved, three] = co_await count(redis, increment(key));
        EXPECT_EQ(three, 3) << moved.message();
    });
}

TEST(redis_cluster_nodes, nodes_that_come_and_go_are_picked_up_and_let_go) {
    redis_cluster all({.node_timeout = 2s});
    asio::io_context io;
    client redis(io, cluster_options(all.url()));
    constexpr std::uint16_t slot = 100;
    auto const key = key_in(slot);
    std::int64_t done = 0;
    bool over = false;
    auto const load = [&]() -> asio::awaitable<void> {
        auto const what = increment(key);
        while (!over && !testing::Test::HasFailure()) {
            auto const [ec, value] = co_await count(redis, what);
            EXPECT_FALSE(ec) << ec.message();
            EXPECT_EQ(value, ++done) << "doubled or lost";
        }
    };
    auto const change = [&](auto const& what) -> asio::awaitable<void> {
        bool changed = false;
        std::thread elsewhere([&] {
            what();
            asio::post(io, [&] { changed = true; });
        });
        while (!changed)
            co_await asio::post(io, use_result);
        elsewhere.join();
    };
    auto const move = [&](std::size_t to) {
        all.begin_move(slot, to);
        all.move_keys(slot, to);
        all.end_move(slot, to);
    };
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        asio::co_spawn(io, load, asio::detached);
        auto const back = all.owner(slot);
        auto const added = all.add_node(); // not elsewhere: the server ends with the thread that starts it
        co_await change([&] { move(added); });
        while (!visited(all.node(added)))
            co_await asio::post(io, use_result);
        EXPECT_EQ(all.owner(slot), added);
        co_await change([&] { move(back); });
        // Owning nothing, it is left as soon as the table tells.
        while (visited(all.node(added)))
            co_await asio::post(io, use_result);
        co_await change([&] { all.remove_node(added); });
        auto const before = done;
        while (done < before + 100 && !testing::Test::HasFailure())
            co_await asio::post(io, use_result);
        over = true;
        while (redis.stats().in_flight + redis.stats().queued != 0)
            co_await asio::post(io, use_result);
    });
    EXPECT_EQ(all.integer(key, {"GET", key}), done);
}

TEST(redis_cluster_failover, a_node_that_hangs_costs_its_own_callers_alone_and_them_only_until_it_is_dropped) {
    redis_cluster all;
    asio::io_context io;
    auto options = cluster_options(all.url());
    options.timeout = 100ms;
    options.health_interval = 200ms;
    options.connect_timeout = 2s;
    client redis(io, options);
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        std::string theirs, ours;
        auto const victim = all.owner(0);
        for (int i = 0; theirs.empty() || ours.empty(); ++i) {
            auto const key = "hang" + std::to_string(i);
            (all.owner(hash_slot(key)) == victim ? theirs : ours) = key;
        }
        co_await count(redis, increment(ours));
        co_await count(redis, increment(theirs));
        all.node(victim).pause();
        int timed_out = 0, at_once = 0;
        // Until the node's replica has taken over, and the client has seen that.
        for (error_code ec = errc::timed_out; ec;) {
            auto const [fine, mine] = co_await count(redis, increment(ours), {.timeout = 10s});
            EXPECT_FALSE(fine) << fine.message();
            std::tie(ec, std::ignore) = co_await count(redis, increment(theirs));
            timed_out += ec == errc::timed_out;
            at_once += ec == errc::not_connected;
        }
        EXPECT_GT(timed_out, 0);
        EXPECT_LT(timed_out, 30) << "two health intervals, not the time that it hangs";
        all.node(victim).resume();
    });
}

TEST(redis_cluster_failover, a_master_killed_under_load_is_replaced_and_nothing_is_doubled) {
    redis_cluster all;
    asio::io_context io;
    auto options = cluster_options(all.url());
    options.timeout = 300ms;
    client redis(io, options);
    constexpr int keys = 12;
    struct tally {
        std::int64_t succeeded = 0, unknown = 0;
    };
    std::map<std::string, tally> tallies;
    std::set<std::string> other_errors;
    bool over = false;
    auto const load = [&](int n) -> asio::awaitable<void> {
        auto const key = "failover" + std::to_string(n);
        auto const what = increment(key);
        while (!over) {
            auto const [ec, value] = co_await count(redis, what);
            auto& mine = tallies[key];
            if (!ec)
                ++mine.succeeded;
            else if (ec == kind::outcome_unknown)
                ++mine.unknown;
            else if (ec != kind::not_sent && ec != errc::cluster_down)
                other_errors.insert(ec.message());
            co_await asio::post(io, use_result);
        }
    };
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        for (int i = 0; i < keys; ++i)
            asio::co_spawn(io, load(i), asio::detached);
        while (tallies["failover0"].succeeded < 50)
            co_await asio::post(io, use_result);
        auto const victim = all.owner(hash_slot("failover0"));
        all.node(victim).kill();
        auto const before = tallies["failover0"].succeeded;
        while (tallies["failover0"].succeeded < before + 50)
            co_await asio::post(io, use_result);
        over = true;
        while (redis.stats().in_flight + redis.stats().queued != 0)
            co_await asio::post(io, use_result);
    });
    EXPECT_THAT(other_errors, testing::IsEmpty());
    all.wait_until_agreed();
    for (auto const& [key, mine] : tallies) {
        // Redis replicates asynchronously: what the dead master had answered last may be lost, but nothing doubled.
        EXPECT_LE(all.integer(key, {"GET", key}), mine.succeeded + mine.unknown) << key;
    }
}

} // namespace
} // namespace weir::test
