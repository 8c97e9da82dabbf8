#include "support/lock_fixture.hpp"

#include <weir/lock/mutex.hpp>
#include <weir/lock/read_write.hpp>
#include <weir/lock/semaphore.hpp>
#include <weir/lock/with_lock.hpp>

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <memory>

// Locks for readers and writers, semaphores, work under a lock, and locks that replicas know of.

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using lock::lock_options;

class lock_kinds : public lock_test {
protected:
    void queued(std::string const& name, std::int64_t count) {
        until([&] { return server.integer({"ZCARD", "lock:" + name + "#queue"}) == count; }, "queued");
    }
};

constexpr auto reader = lock::read_write::reader, writer = lock::read_write::writer;

TEST_F(lock_kinds, readers_share_and_a_writer_is_alone) {
    lock_instance one(io, server.url()), other(io, server.url());
    lock_try a, b, w;
    ASSERT_FALSE(take(a, one.locks, "doc", {}, reader));
    ASSERT_FALSE(take(b, other.locks, "doc", {}, reader));
    EXPECT_EQ(take(w, other.locks, "doc", {}, writer), errc::lock_busy);
    ASSERT_FALSE(give(a));
    EXPECT_EQ(take(w, other.locks, "doc", {}, writer), errc::lock_busy);
    ASSERT_FALSE(give(b));
    ASSERT_FALSE(take(w, other.locks, "doc", {}, writer));
    EXPECT_EQ(take(a, one.locks, "doc", {}, reader), errc::lock_busy);
    ASSERT_FALSE(give(w));
    EXPECT_EQ(keys(), "");
}

TEST_F(lock_kinds, behaviour_34_writers_are_not_starved) {
    lock_instance one(io, server.url()), other(io, server.url());
    lock_options const how{.wait = 15s, .heartbeat = 400ms};
    lock_try first, w, late_one, late_two;
    ASSERT_FALSE(take(first, one.locks, "doc", how, reader));
    start(w, other.locks, "doc", how, writer);
    queued("doc", 1);
    // Readers who come after the writer wait behind him, though readers have it.
    start(late_one, one.locks, "doc", how, reader);
    start(late_two, one.locks, "doc", how, reader);
    queued("doc", 3);
    lock_try impatient;
    EXPECT_EQ(take(impatient, one.locks, "doc", {}, reader), errc::lock_busy);
    ASSERT_FALSE(give(first));
    until([&] { return w.done(); }, "the writer's turn");
    ASSERT_TRUE(w.got());
    EXPECT_FALSE(late_one.done() || late_two.done());
    ASSERT_FALSE(give(w));
    until([&] { return late_one.done() && late_two.done(); }, "the readers' turn, together");
    EXPECT_TRUE(late_one.lease.valid() && late_two.lease.valid());
}

TEST_F(lock_kinds, behaviour_32_live_permits_never_exceed_the_limit_and_weights_count) {
    lock_instance one(io, server.url()), other(io, server.url());
    lock_try heavy, light, third;
    ASSERT_FALSE(take(heavy, one.locks, "gpu", {}, {3, 4}));
    ASSERT_FALSE(take(light, other.locks, "gpu", {}, {1, 4}));
    EXPECT_EQ(take(third, other.locks, "gpu", {}, {1, 4}), errc::lock_busy);
    ASSERT_FALSE(give(heavy));
    EXPECT_EQ(take(third, other.locks, "gpu", {}, {4, 4}), errc::lock_busy);
    ASSERT_FALSE(take(third, other.locks, "gpu", {}, {3, 4}));
    EXPECT_EQ(server.integer({"ZCARD", "lock:gpu"}), 2);
}

TEST_F(lock_kinds, one_who_wants_many_permits_is_not_overtaken_by_those_who_want_few) {
    lock_instance one(io, server.url());
    lock_options const how{.wait = 15s, .heartbeat = 400ms};
    lock_try a, b, heavy, light;
    ASSERT_FALSE(take(a, one.locks, "gpu", how, {1, 3}));
    ASSERT_FALSE(take(b, one.locks, "gpu", how, {1, 3}));
    start(heavy, one.locks, "gpu", how, {3, 3});
    queued("gpu", 1);
    start(light, one.locks, "gpu", how, {1, 3});
    queued("gpu", 2);
    ASSERT_FALSE(give(a));
    pass(30ms);
    EXPECT_FALSE(heavy.done() || light.done());
    ASSERT_FALSE(give(b));
    until([&] { return heavy.done(); }, "its turn");
    EXPECT_FALSE(light.done());
    ASSERT_FALSE(give(heavy));
    until([&] { return light.done(); }, "its turn");
}

TEST_F(lock_kinds, a_permit_that_expires_or_is_given_back_twice_adds_nothing) {
    lock_instance one(io, server.url());
    lock_try dead, held, more;
    ASSERT_FALSE(take(held, one.locks, "gpu", {.ttl = 1h}, {1, 2}));
    ASSERT_FALSE(take(dead, one.locks, "gpu", {.ttl = 150ms, .renew = false}, {1, 2}));
    EXPECT_EQ(take(more, one.locks, "gpu", {}, {1, 2}), errc::lock_busy);
    until([&] { return !dead.lease.valid(); }, "over");
    pass(20ms);
    EXPECT_EQ(give(dead), errc::lock_lost) << "its key lives on with the other's permit, it does not";
    ASSERT_FALSE(take(more, one.locks, "gpu", {}, {1, 2}));
    lock_try third;
    EXPECT_EQ(take(third, one.locks, "gpu", {}, {1, 2}), errc::lock_busy);
}

TEST_F(lock_kinds, behaviour_33_resizing_under_load_leaks_none) {
    lock_instance one(io, server.url()), other(io, server.url());
    lock::semaphore sem(one.locks, "gpu", 4, {.wait = 15s, .heartbeat = 200ms});
    struct user {
        lock::lease lease;
        bool ended = false;
    };
    std::vector<std::unique_ptr<user>> users;
    std::int64_t most_since_resize = 0;
    auto limit = 4;
    for (int i = 0; i < 60; ++i) {
        users.push_back(std::make_unique<user>());
        sem.async_acquire(1, [&, who = users.back().get()](error_code ec, lock::lease got) {
            ASSERT_FALSE(ec);
            who->lease = std::move(got);
            who->ended = true;
        });
    }
    auto const live = [&] {
        return std::count_if(users.begin(), users.end(), [](auto const& u) { return static_cast<bool>(u->lease); });
    };
    // Up, and down below what is out: it drains, and is never exceeded again.
    for (auto const next : {4, 7, 2, 5, 1, 3}) {
        sem.resize(static_cast<std::uint32_t>(next));
        bool const shrunk = next < limit;
        limit = next;
        if (!shrunk)
            most_since_resize = 0;
        for (int i = 0; i < 8; ++i) {
            for (auto const& each : users)
                if (each->lease) {
                    each->lease.release();
                    break;
                }
            pass(5ms);
            most_since_resize = std::max(most_since_resize, live());
        }
    }
    until(
        [&] {
            for (auto const& each : users)
                if (each->lease) {
                    each->lease.release();
                    break;
                }
            return std::all_of(users.begin(), users.end(), [](auto const& u) { return u->ended && !u->lease; });
        },
        "all had their turn");
    EXPECT_LE(most_since_resize, 7);
    settle(one.locks);
    lock_try all;
    EXPECT_FALSE(take(all, other.locks, "gpu", {}, {3, 3})) << "nothing leaked";
}

TEST_F(lock_kinds, work_runs_under_the_lock_and_gives_it_back) {
    lock_instance one(io, server.url());
    run(io, [&]() -> asio::awaitable<void> {
        auto const fence = co_await lock::async_with_lock(
            one.locks, "job", {},
            [&](lock::lease& under) -> asio::awaitable<std::uint64_t> {
                EXPECT_TRUE(under.valid());
                EXPECT_EQ(server.integer({"ZCARD", "lock:job"}), 1);
                co_return under.fence();
            },
            asio::use_awaitable);
        EXPECT_GT(fence, 0u);
        try {
            co_await lock::async_with_lock(
                one.locks, "job", {}, [](lock::lease&) -> asio::awaitable<void> { throw std::runtime_error("no"); },
                asio::use_awaitable);
            ADD_FAILURE() << "it throws";
        } catch (std::runtime_error const& e) {
            EXPECT_STREQ(e.what(), "no");
        }
    });
    settle(one.locks);
    EXPECT_EQ(keys(), "");
}

TEST_F(lock_kinds, work_is_cancelled_when_its_lock_is_lost) {
    lock_instance one(io, server.url());
    error_code ended, said;
    run(io, [&]() -> asio::awaitable<void> {
        try {
            co_await lock::async_with_lock(
                one.locks, "job", {.ttl = 300ms},
                [&](lock::lease&) -> asio::awaitable<void> {
                    server.run({"DEL", "lock:job"});
                    asio::steady_timer forever(io, asio::steady_timer::time_point::max());
                    auto const [ec] = co_await forever.async_wait(use_result);
                    ended = ec;
                },
                asio::use_awaitable);
        } catch (boost::system::system_error const& e) {
            said = e.code();
        }
    });
    EXPECT_EQ(ended, asio::error::operation_aborted);
    EXPECT_EQ(said, errc::lock_lost);
}

TEST_F(lock_kinds, behaviour_15_without_enough_replicas_there_is_no_lease_and_nothing_left) {
    lock_instance one(io, server.url());
    lock_try held;
    EXPECT_EQ(take(held, one.locks, "job", {.ttl = 600ms, .durable = lock::durability::majority, .replicas = 2}),
              errc::lock_not_durable);
    EXPECT_FALSE(held.lease);
    settle(one.locks);
    EXPECT_EQ(keys(), "");
    // With a replica there is.
    redis_server replica;
    redis_server::options with_port;
    with_port.tcp = true;
    redis_server master(with_port);
    replica.run({"REPLICAOF", "127.0.0.1", std::to_string(master.port())});
    until([&] { return master.run({"INFO", "replication"}).find("state=online") != std::string::npos; }, "replicated");
    lock_instance two(io, master.url());
    ASSERT_FALSE(take(held, two.locks, "job", {.ttl = 5s, .durable = lock::durability::majority, .replicas = 2}));
    EXPECT_EQ(replica.integer({"ZCARD", "lock:job"}), 1) << "before the answer";
    EXPECT_FALSE(extend(held));
    // A renewal that the replica does not hear of does not count.
    replica.pause();
    auto const ends = held.lease.ends();
    EXPECT_EQ(extend(held), errc::lock_not_durable);
    EXPECT_EQ(held.lease.ends(), ends);
    replica.resume();
    EXPECT_FALSE(give(held));
}

} // namespace
} // namespace weir::test
