#include "support/lock_fixture.hpp"
#include "support/relay.hpp"

#include <algorithm>
#include <array>
#include <memory>

// Waiting for a lock: order, wake-ups, dead ones, and what is left behind.

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using lock::lock_options;

/// Commands that the server has executed since its figures were reset, but for those by which a test looks.
std::int64_t all_calls(redis_server& server) {
    auto const stats = server.run({"INFO", "commandstats"});
    std::int64_t sum = 0;
    for (auto at = stats.find("cmdstat_"); at != std::string::npos; at = stats.find("cmdstat_", at + 1)) {
        auto const name = stats.substr(at + 8, stats.find(':', at) - at - 8);
        if (name != "info" && name != "ping" && name != "config|resetstat" && name != "zcard" && name != "exists")
            sum += std::stoll(stats.substr(stats.find("calls=", at) + 6));
    }
    return sum;
}

class lock_queue : public lock_test {
protected:
    void queued(std::int64_t count) {
        until([&] { return server.integer({"ZCARD", "lock:job#queue"}) == count; }, "queued");
    }
    void listening(lock_instance& one) {
        until([&] { return one.news.connected(); }, "connected");
        // The subscription is confirmed in the same write as what follows.
        until([&] { return server.run({"PUBSUB", "CHANNELS", "lock:#" + one.locks.id()}) != ""; }, "subscribed");
    }
};

TEST_F(lock_queue, behaviour_29_is_first_come_first_served_and_one_wake_up_a_release) {
    lock_instance holder(io, server.url()), waiters(io, server.url());
    listening(waiters);
    lock_try held;
    ASSERT_FALSE(take(held, holder.locks, "job", {}));
    std::array<lock_try, 8> waiting;
    lock_options const how{.wait = lock::without_end, .heartbeat = 10min};
    for (std::size_t i = 0; i < waiting.size(); ++i) {
        start(waiting[i], waiters.locks, "job", how);
        queued(static_cast<std::int64_t>(i) + 1);
    }
    ASSERT_FALSE(give(held));
    auto last = held.lease.fence();
    for (auto& each : waiting) {
        until([&] { return each.done(); }, "its turn");
        ASSERT_TRUE(each.got());
        EXPECT_EQ(std::count_if(waiting.begin(), waiting.end(), [](auto const& w) { return w.got() && w.lease; }), 1);
        EXPECT_GT(each.lease.fence(), last);
        last = each.lease.fence();
        auto const asked = waiters.locks.stats().asked;
        ASSERT_FALSE(give(each));
        pass(5ms);
        EXPECT_LE(waiters.locks.stats().asked - asked, 1u) << "one attempt a release, however many wait";
    }
    settle(waiters.locks);
    EXPECT_EQ(keys(), "");
}

TEST_F(lock_queue, behaviour_25_a_handoff_costs_as_many_commands_with_64_who_wait_as_with_2) {
    auto const commands_of_one = [&](std::size_t count) {
        lock_instance holder(io, server.url()), waiters(io, server.url());
        listening(waiters);
        lock_try held;
        EXPECT_FALSE(take(held, holder.locks, "job", {.ttl = 1h}));
        std::vector<std::unique_ptr<lock_try>> waiting;
        for (std::size_t i = 0; i < count; ++i) {
            waiting.push_back(std::make_unique<lock_try>());
            start(*waiting.back(), waiters.locks, "job", {.ttl = 1h, .wait = lock::without_end, .heartbeat = 10min});
        }
        queued(static_cast<std::int64_t>(count));
        pass(20ms);
        server.run({"CONFIG", "RESETSTAT"});
        EXPECT_FALSE(give(held));
        until([&] { return waiting.front()->done(); }, "handed over");
        EXPECT_EQ(server.calls("publish"), 1);
        EXPECT_EQ(server.calls("evalsha"), 1) << "the release makes the next one the holder";
        EXPECT_EQ(waiting.front()->lease.name(), "job");
        auto const all = all_calls(server);
        waiters.locks.close();
        until(
            [&] { return std::all_of(waiting.begin(), waiting.end(), [](auto const& each) { return each->done(); }); },
            "told");
        return all;
    };
    auto const with_2 = commands_of_one(2);
    server.run({"FLUSHALL"});
    auto const with_64 = commands_of_one(64);
    EXPECT_EQ(with_2, with_64);
    EXPECT_LE(with_64, 24);
}

TEST_F(lock_queue, behaviour_24_a_dead_holder_is_succeeded_when_its_time_is_over) {
    lock_instance holder(io, server.url()), other(io, server.url());
    lock_try dead, next;
    auto const began = boot_clock::now();
    // Never renewed: as of a process that is no more.
    ASSERT_FALSE(take(dead, holder.locks, "job", {.ttl = 400ms, .renew = false}));
    start(next, other.locks, "job", {.wait = 10s, .heartbeat = 8s});
    until([&] { return next.done(); }, "its turn");
    ASSERT_TRUE(next.got());
    EXPECT_GE(next.ended - began, 390ms);
    EXPECT_LT(next.ended - began, 600ms) << "not a quarter of a heartbeat";
    EXPECT_FALSE(dead.lease.valid());
}

TEST_F(lock_queue, behaviour_26_a_dead_head_delays_the_others_by_at_most_one_heartbeat) {
    lock_instance holder(io, server.url()), other(io, server.url());
    auto dying = std::make_unique<lock_instance>(io, server.url());
    listening(other);
    lock_try held, dead, next;
    ASSERT_FALSE(take(held, holder.locks, "job", {}));
    lock_options const how{.wait = 10s, .heartbeat = 800ms};
    start(dead, dying->locks, "job", how);
    queued(1);
    start(next, other.locks, "job", how);
    queued(2);
    // Dead: it says nothing more, not even that it goes.
    dying->client.close();
    dying->news.close();
    auto const released = boot_clock::now();
    ASSERT_FALSE(give(held));
    until([&] { return next.done(); }, "its turn");
    ASSERT_TRUE(next.got());
    EXPECT_LE(next.ended - released, 800ms + 50ms);
    dying->locks.close();
}

TEST_F(lock_queue, behaviour_27_a_release_before_the_subscription_stands_is_not_missed) {
    lock_instance holder(io, server.url());
    relay between(server.socket_path());
    between.stall(true); // the waiter's news: connected, and silent
    lock_instance waiter(io, server.url(), {}, between.unix_url());
    lock_try held, next;
    ASSERT_FALSE(take(held, holder.locks, "job", {.ttl = 1h}));
    start(next, waiter.locks, "job", {.wait = 15s, .heartbeat = 10min});
    queued(1);
    ASSERT_FALSE(give(held));
    pass(20ms);
    EXPECT_FALSE(next.done()) << "the message was for nobody";
    between.stall(false);
    until([&] { return next.done(); }, "found when the subscription stood");
    EXPECT_TRUE(next.got());
}

TEST_F(lock_queue, behaviour_28_without_pub_sub_waiters_go_on) {
    lock_instance holder(io, server.url()), waiter(io, server.url());
    listening(waiter);
    lock_try held, next;
    ASSERT_FALSE(take(held, holder.locks, "job", {}));
    start(next, waiter.locks, "job", {.wait = 10s, .heartbeat = 400ms});
    queued(1);
    waiter.news.close();
    ASSERT_FALSE(give(held));
    until([&] { return next.done(); }, "its turn");
    EXPECT_TRUE(next.got());
    // And one that never had any.
    redis::client deaf_client(io, lock_client_options(server.url()));
    lock::manager deaf(deaf_client);
    lock_try third;
    start(third, deaf, "job", {.wait = 10s, .heartbeat = 400ms});
    queued(1);
    ASSERT_FALSE(give(next));
    until([&] { return third.done(); }, "its turn");
    EXPECT_TRUE(third.got());
}

TEST_F(lock_queue, behaviour_30_waiting_consumes_no_validity) {
    lock_instance holder(io, server.url()), waiter(io, server.url());
    listening(waiter);
    lock_try held, next;
    ASSERT_FALSE(take(held, holder.locks, "job", {.ttl = 1h}));
    start(next, waiter.locks, "job", {.ttl = 1s, .wait = 10s, .heartbeat = 8s, .renew = false});
    queued(1);
    pass(300ms);
    auto const released = boot_clock::now();
    ASSERT_FALSE(give(held));
    until([&] { return next.done(); }, "its turn");
    ASSERT_TRUE(next.got());
    EXPECT_GE(next.lease.ends(), released + 1s - 12ms) << "all of its ttl, less the drift";
}

TEST_F(lock_queue, behaviour_30_what_was_handed_over_soon_lasts_for_all_of_its_ttl) {
    lock_instance holder(io, server.url()), waiter(io, server.url());
    listening(waiter);
    for (bool const renew : {true, false}) {
        lock_try held, next;
        ASSERT_FALSE(take(held, holder.locks, "job", {.ttl = 1h}));
        start(next, waiter.locks, "job", {.ttl = 30s, .wait = 10s, .heartbeat = 2s, .renew = renew});
        queued(1);
        pass(20ms);
        auto const asked = waiter.locks.stats().asked;
        auto const released = boot_clock::now();
        ASSERT_FALSE(give(held));
        until([&] { return next.done(); }, "its turn");
        ASSERT_TRUE(next.got());
        EXPECT_TRUE(next.lease.valid());
        EXPECT_EQ(waiter.locks.stats().asked, asked) << "it was told that it has it";
        EXPECT_EQ(
            server.run({"ZRANGE", "lock:job", "0", "-1"}).find(" " + std::to_string(next.lease.fence()) + " 30000 "),
            34u);
        until([&] { return next.lease.ends() > released + 29s; }, "renewed");
        EXPECT_GE(next.lease.ends(), released + 30s - 302ms) << "all of its ttl, less the drift";
        EXPECT_GT(server.integer({"PTTL", "lock:job"}), 29'000);
        ASSERT_FALSE(give(next));
    }
}

TEST_F(lock_queue, one_who_is_handed_the_lock_after_it_died_holds_up_the_next_for_a_heartbeat_not_for_its_ttl) {
    lock_instance holder(io, server.url()), other(io, server.url());
    auto dying = std::make_unique<lock_instance>(io, server.url());
    lock_try held, dead, next;
    ASSERT_FALSE(take(held, holder.locks, "job", {}));
    start(dead, dying->locks, "job", {.ttl = 1h, .wait = 10s, .heartbeat = 400ms});
    queued(1);
    dying->client.close();
    dying->news.close();
    ASSERT_FALSE(give(held));
    EXPECT_EQ(take(next, other.locks, "job", {}), errc::lock_busy) << "it has been handed over";
    until([&] { return server.integer({"EXISTS", "lock:job"}) == 0; }, "over");
    EXPECT_FALSE(take(next, other.locks, "job", {}));
    dying->locks.close();
}

TEST_F(lock_queue, behaviour_31_timeouts_hold_within_ten_milliseconds_and_leave_no_place) {
    lock_instance holder(io, server.url()), waiter(io, server.url());
    lock_try held, late;
    ASSERT_FALSE(take(held, holder.locks, "job", {.ttl = 1h}));
    until([&] { return waiter.client.connected(); }, "connected");
    auto best = boot_clock::duration::max();
    // A machine that does something else may be late once, not each time.
    for (int i = 0; i < 5; ++i) {
        auto const began = boot_clock::now();
        EXPECT_EQ(take(late, waiter.locks, "job", {.wait = 150ms}), errc::lock_busy);
        auto const took = late.ended - began;
        EXPECT_GE(took, 150ms);
        best = std::min(best, took);
    }
    EXPECT_LE(best, 160ms);
    settle(waiter.locks);
    EXPECT_EQ(server.integer({"EXISTS", "lock:job#queue", "lock:job#alive", "lock:job#gone"}), 0);
}

TEST_F(lock_queue, behaviour_21_cancellation_at_every_point_leaves_nothing) {
    lock_instance holder(io, server.url()), waiter(io, server.url());
    listening(waiter);
    // Cancelled after n steps of the loop: before it is sent, while it is under way, in the queue, offered, held.
    for (int steps = 0; steps < 40; ++steps) {
        lock_try held, given_up;
        ASSERT_FALSE(take(held, holder.locks, "job", {}));
        start(given_up, waiter.locks, "job", {.wait = 10s});
        io.restart();
        for (int i = 0; i < steps; ++i) {
            if (i == 15)
                held.lease.release();
            io.run_one_for(1ms);
        }
        given_up.stop.emit(asio::cancellation_type::terminal);
        until([&] { return given_up.done(); }, "an end");
        EXPECT_TRUE(given_up.got() || *given_up.ec == errc::cancelled);
        held.lease.release();
        given_up.lease.release();
        settle(holder.locks);
        settle(waiter.locks);
        ASSERT_EQ(keys(), "") << "after " << steps << " steps";
    }
}

TEST_F(lock_queue, behaviour_38_after_all_went_only_the_record_of_fences_is_left) {
    lock_instance one(io, server.url()), other(io, server.url());
    std::vector<std::unique_ptr<lock_try>> all;
    for (int i = 0; i < 60; ++i) {
        all.push_back(std::make_unique<lock_try>());
        start(*all.back(), i % 2 ? one.locks : other.locks, "job" + std::to_string(i % 7), {.wait = 50ms});
    }
    until([&] { return std::all_of(all.begin(), all.end(), [](auto const& each) { return each->done(); }); }, "ended");
    all.clear();
    settle(one.locks);
    settle(other.locks);
    EXPECT_EQ(server.run({"KEYS", "*"}), "lock:#fence\n");
    EXPECT_EQ(server.integer({"TTL", "lock:#fence"}), -1);
}

TEST_F(lock_queue, a_waiter_who_was_silent_for_a_heartbeat_loses_his_place_and_gets_another) {
    lock_instance holder(io, server.url()), other(io, server.url());
    relay between(server.socket_path());
    lock_instance slow(io, between.unix_url());
    listening(other);
    lock_try held, silent, next;
    ASSERT_FALSE(take(held, holder.locks, "job", {}));
    start(silent, slow.locks, "job", {.wait = 15s, .heartbeat = 400ms});
    queued(1);
    between.stall(true);
    start(next, other.locks, "job", {.wait = 10s, .heartbeat = 400ms});
    queued(2);
    pass(450ms);
    ASSERT_FALSE(give(held));
    until([&] { return next.done(); }, "passed over");
    ASSERT_TRUE(next.got());
    between.stall(false);
    ASSERT_FALSE(give(next));
    until([&] { return silent.done(); }, "its turn");
    EXPECT_TRUE(silent.got());
}

} // namespace
} // namespace weir::test
