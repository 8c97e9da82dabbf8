#include "support/lock_fixture.hpp"
#include "support/redis_cluster.hpp"

#include <weir/circuit/registry.hpp>
#include <weir/redis/hash_slot.hpp>

#include <array>
#include <set>

// Locks and circuits whose keys lie on different nodes of a real cluster.

namespace weir::test {
namespace {

using namespace std::chrono_literals;

redis::client_options cluster_options(std::string const& url) {
    auto options = patient_options(url);
    options.server.topology = redis::topology::cluster;
    options.reconnect_max = 50ms;
    for (auto const& some : {lock::scripts(), circuit::scripts()})
        options.scripts.insert(options.scripts.end(), some.begin(), some.end());
    return options;
}

circuit::settings settings() {
    circuit::settings how;
    how.minimum_calls = 10;
    how.open_for = how.open_max = 60s;
    return how;
}

/// An instance with circuits, too.
struct instance : lock_instance {
    instance(asio::io_context& io, std::string const& url)
        : lock_instance(io, cluster_options(url), cluster_options(url))
        , circuits(client, news, {.timing = {20ms, 1h}}) {}
    void close() {
        circuits.close();
        lock_instance::close();
    }

    circuit::registry circuits;
};

class cluster_locks_circuits : public lock_test {
protected:
    explicit cluster_locks_circuits(redis_cluster::options how = {.node_timeout = 10s})
        : all(how) {}

    /// One name for each master, whose key lies there.
    std::vector<std::string> names(std::string const& before, std::string const& after) {
        std::vector<std::string> found(all.masters());
        for (int i = 0; std::any_of(found.begin(), found.end(), [](auto const& n) { return n.empty(); }); ++i) {
            auto const name = "job" + std::to_string(i);
            found[all.owner(redis::hash_slot(before + name + after))] = name;
        }
        return found;
    }

    redis_cluster all;
};

TEST_F(cluster_locks_circuits, locks_on_all_nodes_are_handed_over_and_leave_a_fence_alone) {
    instance one(io, all.url(0)), other(io, all.url(2));
    for (auto const& name : names("lock:{", "}")) {
        lock_try first, second;
        ASSERT_FALSE(take(first, one.locks, name, {.ttl = 10s}));
        start(second, other.locks, name, {.ttl = 10s, .wait = 20s});
        until([&] { return all.integer("lock:{" + name + "}", {"ZCARD", "lock:{" + name + "}#queue"}) == 1; }, "waits");
        auto const fence = first.lease.fence();
        ASSERT_FALSE(give(first));
        until([&] { return second.done(); }, "handed over");
        ASSERT_TRUE(second.got());
        EXPECT_GT(second.lease.fence(), fence);
        ASSERT_FALSE(give(second));
    }
    settle(one.locks);
    settle(other.locks);
    for (std::size_t i = 0; i < all.masters(); ++i) {
        EXPECT_NE(all.node(i).run({"KEYS", "lock:#fence{*"}), "") << "each slot has a record of its own";
        EXPECT_EQ(all.node(i).run({"KEYS", "lock:{*"}), "");
    }
    one.close();
    other.close();
}

TEST_F(cluster_locks_circuits, a_durable_lock_counts_the_replicas_of_its_own_master_alone) {
    instance one(io, all.url(0));
    auto const on = names("lock:{", "}");
    lock::lock_options const how{.ttl = 900ms, .renew = false, .durable = lock::durability::one};
    auto& replica = all.node(all.masters()); // of the first master
    replica.pause();
    lock_try held;
    for (std::size_t i = 0; i < all.masters(); ++i)
        EXPECT_EQ(take(held, one.locks, on[0], how), errc::lock_not_durable) << "the other masters have replicas";
    EXPECT_FALSE(take(held, one.locks, on[1], how));
    EXPECT_FALSE(give(held));
    replica.resume();
    EXPECT_FALSE(take(held, one.locks, on[0], how));
    EXPECT_FALSE(extend(held));
    EXPECT_FALSE(give(held));
    one.close();
}

TEST_F(cluster_locks_circuits, circuits_on_all_nodes_open_for_the_fleet_by_push) {
    instance one(io, all.url(0)), other(io, all.url(2));
    auto const services = names("circuit:{", "}");
    for (auto const& name : services) {
        auto here = one.circuits.get(name, settings()), there = other.circuits.get(name, settings());
        until([&] { return here.attached() && there.attached(); }, "attached");
        until(
            [&] {
                here.try_acquire().failure("no");
                there.try_acquire().failure("no");
                return here.fleet() && there.fleet();
            },
            "open for the fleet");
        EXPECT_EQ(there.now(), circuit::state::open);
    }
    one.close();
    other.close();
}

class cluster_lock_failover : public cluster_locks_circuits {
protected:
    cluster_lock_failover()
        : cluster_locks_circuits({.node_timeout = 1s}) {}
};

TEST_F(cluster_lock_failover, a_master_that_dies_costs_its_own_locks_alone_and_fences_go_on_growing) {
    instance mine(io, all.url(1));
    auto const on = names("lock:{", "}");
    lock_try first, kept;
    ASSERT_FALSE(take(first, mine.locks, on[0], {.ttl = 3s}));
    ASSERT_FALSE(take(kept, mine.locks, on[1], {.ttl = 3s}));
    auto const fence = first.lease.fence();
    all.node(0).kill();
    // The replica that takes over may know of the lock, which then lasts as long as its holder, or not.
    first.lease.release();
    lock_try next;
    ASSERT_FALSE(take(next, mine.locks, on[0], {.ttl = 3s, .wait = 20s}));
    EXPECT_GT(next.lease.fence(), fence);
    EXPECT_TRUE(kept.lease.valid()) << "renewed meanwhile";
    ASSERT_FALSE(give(next));
    ASSERT_FALSE(give(kept));
    mine.close();
}

} // namespace
} // namespace weir::test
