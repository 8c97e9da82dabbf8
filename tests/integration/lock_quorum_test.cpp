#include "support/lock_fixture.hpp"

#include <weir/lock/quorum.hpp>

#include <algorithm>
#include <array>

// Locks over several independent masters.

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using lock::lock_options;

class lock_quorum : public lock_test {
protected:
    /// An instance with a client of each master.
    struct instance {
        instance(asio::io_context& io, std::array<redis_server, 3>& masters)
            : a(io, lock_client_options(masters[0].url()))
            , b(io, lock_client_options(masters[1].url()))
            , c(io, lock_client_options(masters[2].url()))
            , locks({&a, &b, &c}, {.node_timeout = 300ms}) {}
        redis::client a, b, c;
        lock::quorum locks;
    };

    void start(lock_try& into, lock::quorum& locks, lock_options const& how) {
        into.ec.reset();
        locks.async_lock("job", how,
                         asio::bind_cancellation_slot(into.stop.slot(), [&](error_code ec, lock::lease got) {
                             into.ec = ec;
                             into.lease = std::move(got);
                             into.ended = boot_clock::now();
                         }));
    }
    error_code take(lock_try& into, lock::quorum& locks, lock_options const& how) {
        start(into, locks, how);
        until([&] { return into.done(); }, "an answer");
        return into.ec.value_or(errc::timed_out);
    }
    void connected(instance& all) {
        until([&] { return all.a.connected() && all.b.connected() && all.c.connected(); }, "connected");
    }
    void settle(lock::quorum& locks) {
        until([&] { return locks.live() == 0; }, "nothing under way");
    }
    std::int64_t held_on() {
        std::int64_t sum = 0;
        for (auto& each : masters)
            sum += each.integer({"EXISTS", "lock:job"});
        return sum;
    }

    std::array<redis_server, 3> masters;
};

TEST_F(lock_quorum, is_held_by_one_with_fences_that_grow_and_leaves_nothing) {
    instance one(io, masters), other(io, masters);
    connected(one);
    connected(other);
    lock_try first, second;
    ASSERT_FALSE(take(first, one.locks, {}));
    EXPECT_TRUE(first.lease.valid());
    EXPECT_EQ(take(second, other.locks, {}), errc::lock_busy);
    auto const fence = first.lease.fence();
    EXPECT_FALSE(extend(first));
    EXPECT_EQ(first.lease.fence(), fence);
    EXPECT_FALSE(give(first));
    settle(one.locks);
    settle(other.locks);
    EXPECT_EQ(held_on(), 0);
    ASSERT_FALSE(take(second, other.locks, {.wait = 5s}));
    EXPECT_GT(second.lease.fence(), fence);
}

TEST_F(lock_quorum, behaviour_35_a_minority_that_hangs_or_is_down_costs_nothing_but_itself) {
    instance one(io, masters);
    connected(one);
    lock_try held;
    masters[1].pause();
    auto const began = boot_clock::now();
    ASSERT_FALSE(take(held, one.locks, {.ttl = 10s}));
    EXPECT_LT(held.ended - began, 300ms) << "the answers of the others are enough";
    EXPECT_FALSE(extend(held));
    EXPECT_FALSE(give(held));
    masters[1].resume();
    settle(one.locks);
    EXPECT_EQ(held_on(), 0) << "the one that hung, too";
    masters[2].kill();
    until([&] { return !one.c.connected(); }, "noticed");
    ASSERT_FALSE(take(held, one.locks, {.ttl = 10s}));
    EXPECT_FALSE(give(held));
}

TEST_F(lock_quorum, behaviour_35_who_loses_cleans_all_masters) {
    instance one(io, masters);
    connected(one);
    masters[0].pause();
    masters[1].pause();
    lock_try held;
    auto const began = boot_clock::now();
    EXPECT_EQ(take(held, one.locks, {.ttl = 10s}), errc::lock_not_durable);
    EXPECT_LT(held.ended - began, 600ms) << "the time of one master, not of two";
    masters[0].resume();
    masters[1].resume();
    settle(one.locks);
    EXPECT_EQ(held_on(), 0);
    EXPECT_FALSE(take(held, one.locks, {}));
}

TEST_F(lock_quorum, fences_grow_though_a_minority_forgets_all_and_clocks_differ) {
    instance one(io, masters), other(io, masters);
    connected(one);
    connected(other);
    // One master an hour ahead gives the highest fence; then it forgets, and the others must know.
    auto const ahead = std::chrono::duration_cast<std::chrono::microseconds>(
                           (std::chrono::system_clock::now() + 1h).time_since_epoch())
                           .count();
    masters[0].run({"SET", "lock:#fence", std::to_string(ahead)});
    lock_try first, second;
    ASSERT_FALSE(take(first, one.locks, {}));
    auto fence = first.lease.fence();
    ASSERT_FALSE(give(first));
    settle(one.locks);
    for (int lost = 0; lost < 3; ++lost) {
        masters[static_cast<std::size_t>(lost)].run({"FLUSHALL"});
        ASSERT_FALSE(take(second, other.locks, {.wait = 5s}));
        EXPECT_GT(second.lease.fence(), fence) << "another instance, that was never told";
        fence = second.lease.fence();
        ASSERT_FALSE(give(second));
        settle(other.locks);
    }
}

TEST_F(lock_quorum, a_master_that_answers_late_is_told_the_fence_and_knows_it_when_another_forgets) {
    instance one(io, masters), other(io, masters);
    connected(one);
    connected(other);
    auto const ahead = std::chrono::duration_cast<std::chrono::microseconds>(
                           (std::chrono::system_clock::now() + 1h).time_since_epoch())
                           .count();
    masters[0].run({"SET", "lock:#fence", std::to_string(ahead)});
    masters[2].pause();
    lock_try first, second;
    ASSERT_FALSE(take(first, one.locks, {.ttl = 900ms}));
    auto const fence = first.lease.fence();
    ASSERT_GT(fence, static_cast<std::uint64_t>(ahead));
    masters[2].resume();
    until([&] { return masters[2].run({"GET", "lock:#fence"}) == std::to_string(fence); }, "told");
    ASSERT_FALSE(give(first));
    settle(one.locks);
    masters[0].run({"FLUSHALL"});
    masters[1].pause(); // so that a majority is the one that forgot and the one that was late
    ASSERT_FALSE(take(second, other.locks, {.wait = 5s}));
    EXPECT_GT(second.lease.fence(), fence);
    masters[1].resume();
    ASSERT_FALSE(give(second));
    settle(other.locks);
}

TEST_F(lock_quorum, two_who_want_it_at_once_both_have_it_in_turn) {
    instance one(io, masters), other(io, masters);
    std::array<lock_try, 6> all;
    for (std::size_t i = 0; i < all.size(); ++i)
        start(all[i], i % 2 ? one.locks : other.locks, {.wait = 15s});
    std::size_t had = 0;
    until(
        [&] {
            auto const valid =
                std::count_if(all.begin(), all.end(), [](auto const& each) { return each.lease.valid(); });
            EXPECT_LE(valid, 1);
            for (auto& each : all)
                if (each.lease.valid()) {
                    each.lease.release();
                    ++had;
                }
            return had == all.size();
        },
        "each had it");
    settle(one.locks);
    settle(other.locks);
    EXPECT_EQ(held_on(), 0);
}

TEST_F(lock_quorum, is_lost_with_a_majority_and_told_within_a_renewal) {
    instance one(io, masters);
    connected(one);
    lock_try held;
    ASSERT_FALSE(take(held, one.locks, {.ttl = 900ms}));
    masters[0].run({"FLUSHALL"});
    EXPECT_EQ(extend(held), error_code{}) << "a minority";
    EXPECT_EQ(extend(held), error_code{}) << "and it is asked for there again";
    until([&] { return held_on() == 3; }, "granted there again"); // a renewal waits for a majority alone
    masters[0].run({"FLUSHALL"});
    masters[1].run({"FLUSHALL"});
    auto const flushed = boot_clock::now();
    until([&] { return held.lease.lost(); }, "told");
    EXPECT_LT(boot_clock::now() - flushed, 700ms);
    EXPECT_FALSE(held.lease.valid());
}

TEST_F(lock_quorum, behaviour_21_an_attempt_cancelled_at_any_point_leaves_nothing) {
    instance one(io, masters);
    connected(one);
    for (int steps = 0; steps < 12; ++steps) {
        lock_try given_up;
        start(given_up, one.locks, {.wait = 5s});
        io.restart();
        for (int i = 0; i < steps; ++i)
            io.run_one_for(1ms);
        given_up.stop.emit(asio::cancellation_type::terminal);
        until([&] { return given_up.done(); }, "an end");
        given_up.lease.release();
        settle(one.locks);
        ASSERT_EQ(held_on(), 0) << "after " << steps << " steps";
    }
}

} // namespace
} // namespace weir::test
