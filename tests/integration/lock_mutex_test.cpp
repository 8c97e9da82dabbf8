#include "support/lock_fixture.hpp"
#include "support/relay.hpp"

// One lock, one process, a real Redis; the numbers are those of the behaviours that locks promise.

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using lock::lock_options;

class lock_mutex : public lock_test {};

TEST_F(lock_mutex, is_taken_by_one_refused_to_another_and_free_after_its_release) {
    lock_instance one(io, server.url()), other(io, server.url());
    lock_try first, second;
    EXPECT_FALSE(take(first, one.locks, "job", {}));
    EXPECT_TRUE(first.lease.valid());
    EXPECT_GT(first.lease.fence(), 1'700'000'000'000'000u) << "microseconds of the server's clock";
    EXPECT_EQ(take(second, other.locks, "job", {}), errc::lock_busy);
    EXPECT_FALSE(second.lease);
    EXPECT_FALSE(give(first));
    EXPECT_FALSE(first.lease);
    EXPECT_FALSE(take(second, other.locks, "job", {}));
    EXPECT_FALSE(give(second));
    EXPECT_EQ(keys(), "");
}

TEST_F(lock_mutex, behaviour_2_fences_of_a_name_strictly_increase) {
    lock_instance one(io, server.url());
    std::uint64_t last = 0;
    for (int i = 0; i < 200; ++i) {
        lock_try got;
        ASSERT_FALSE(take(got, one.locks, "job", {}));
        ASSERT_GT(got.lease.fence(), last);
        last = got.lease.fence();
        ASSERT_FALSE(give(got));
    }
}

TEST_F(lock_mutex, behaviour_3_reentry_and_extension_keep_the_fence) {
    lock_instance one(io, server.url());
    lock_try outer, inner, stranger;
    int const task = 0, another = 0;
    ASSERT_FALSE(take(outer, one.locks, "job", {.owner = &task}));
    auto const fence = outer.lease.fence();
    ASSERT_FALSE(take(inner, one.locks, "job", {.owner = &task}));
    EXPECT_EQ(inner.lease.fence(), fence);
    EXPECT_EQ(take(stranger, one.locks, "job", {.owner = &another}), errc::lock_busy);
    EXPECT_FALSE(extend(inner));
    EXPECT_EQ(outer.lease.fence(), fence);
    EXPECT_FALSE(give(outer));
    EXPECT_TRUE(inner.lease.valid()) << "the last handle gives it back, not the first";
    EXPECT_EQ(take(stranger, one.locks, "job", {}), errc::lock_busy);
    EXPECT_FALSE(give(inner));
    EXPECT_FALSE(take(stranger, one.locks, "job", {}));
    EXPECT_GT(stranger.lease.fence(), fence);
}

TEST_F(lock_mutex, a_lease_that_is_detached_is_renewed_and_given_back_by_its_text_at_any_instance) {
    lock_instance one(io, server.url()), other(io, server.url());
    lock_try got, stranger;
    ASSERT_FALSE(take(got, one.locks, "job", {.ttl = 1h, .on_behalf_of = "a request"}));
    auto const fence = got.lease.fence();
    auto const text = got.lease.detach();
    EXPECT_FALSE(got.lease);
    settle(one.locks);
    EXPECT_EQ(server.run({"ZRANGE", "lock:job", "0", "-1"}), text + "\n");
    EXPECT_TRUE(text.ends_with(" a request")) << text;
    auto const held = lock::read_holding(text);
    ASSERT_TRUE(held);
    EXPECT_EQ(held->fence, fence);
    auto const ask = [&](bool extends) {
        std::optional<std::pair<error_code, bool>> result;
        auto done = [&](error_code ec, bool was_held) { result.emplace(ec, was_held); };
        if (extends)
            other.locks.async_extend_held("job", *held, done);
        else
            other.locks.async_release_held("job", *held, done);
        until([&] { return result.has_value(); }, "an answer");
        EXPECT_FALSE(result->first);
        return result->second;
    };
    EXPECT_TRUE(ask(true));
    EXPECT_EQ(take(stranger, other.locks, "job", {}), errc::lock_busy);
    EXPECT_TRUE(ask(false));
    EXPECT_FALSE(ask(false));
    EXPECT_FALSE(ask(true));
    EXPECT_FALSE(take(stranger, other.locks, "job", {}));
    for (auto const* wrong :
         {"", "x", "0123456789abcdef0123456789abcdef 2 1 1 who", "0123456789abcdef0123456789abcdef 1 0 1 who",
          "0123456789ABCDEF0123456789abcdef 1 1 1 who"})
        EXPECT_FALSE(lock::read_holding(wrong)) << wrong;
}

TEST_F(lock_mutex, a_lease_renews_itself_for_as_long_as_it_is_held) {
    lock_instance one(io, server.url());
    lock_try held;
    ASSERT_FALSE(take(held, one.locks, "job", {.ttl = 150ms}));
    auto const first_end = held.lease.ends();
    until([&] { return boot_clock::now() > first_end + 100ms; }, "well past the first end");
    EXPECT_TRUE(held.lease.valid());
    EXPECT_FALSE(held.lease.lost());
    EXPECT_GT(held.lease.ends(), first_end);
}

TEST_F(lock_mutex, without_renewal_the_loss_is_told_before_the_server_lets_go) {
    lock_instance one(io, server.url());
    lock_try held;
    ASSERT_FALSE(take(held, one.locks, "job", {.ttl = 300ms, .loss_margin = 100ms, .renew = false}));
    bool told = false, still_there = false;
    held.lease.on_lost([&] {
        told = true;
        still_there = server.integer({"EXISTS", "lock:job"}) == 1;
    });
    until([&] { return told; }, "told");
    EXPECT_TRUE(still_there);
    EXPECT_TRUE(held.lease.lost());
}

TEST_F(lock_mutex, behaviour_7_release_and_extension_by_one_who_lost_it_leave_the_successor_alone) {
    lock_instance one(io, server.url()), other(io, server.url());
    lock_try stale, next;
    ASSERT_FALSE(take(stale, one.locks, "job", {.renew = false}));
    server.run({"DEL", "lock:job"});
    ASSERT_FALSE(take(next, other.locks, "job", {}));
    auto const before = server.run({"ZRANGE", "lock:job", "0", "-1"});
    EXPECT_EQ(extend(stale), errc::lock_lost);
    EXPECT_EQ(give(stale), errc::lock_lost);
    EXPECT_EQ(server.run({"ZRANGE", "lock:job", "0", "-1"}), before);
    EXPECT_FALSE(extend(next));
}

TEST_F(lock_mutex, behaviour_12_after_a_flushall_the_loss_is_told_within_a_renewal_and_fences_go_on) {
    lock_instance one(io, server.url());
    lock_try held, next;
    ASSERT_FALSE(take(held, one.locks, "job", {.ttl = 600ms}));
    auto const fence = held.lease.fence();
    server.run({"FLUSHALL"});
    auto const flushed = boot_clock::now();
    until([&] { return held.lease.lost(); }, "told");
    EXPECT_LT(boot_clock::now() - flushed, 500ms) << "a third of the ttl, not all of it";
    EXPECT_FALSE(held.lease.valid());
    ASSERT_FALSE(take(next, one.locks, "job", {}));
    EXPECT_GT(next.lease.fence(), fence);
}

TEST_F(lock_mutex, behaviour_13_after_a_restart_without_persistence_too) {
    lock_instance one(io, server.url());
    lock_try held, next;
    ASSERT_FALSE(take(held, one.locks, "job", {.ttl = 600ms}));
    auto const fence = held.lease.fence();
    server.restart();
    until([&] { return held.lease.lost(); }, "told");
    ASSERT_FALSE(take(next, one.locks, "job", {.wait = 5s}));
    EXPECT_GT(next.lease.fence(), fence);
}

TEST_F(lock_mutex, behaviour_14_fences_grow_past_a_record_lost_by_a_server_whose_clock_is_behind) {
    lock_instance one(io, server.url());
    lock_try held, next;
    // A record an hour ahead of this clock, as a server leaves it whose clock was; then it is lost.
    auto const ahead = std::chrono::duration_cast<std::chrono::microseconds>(
                           (std::chrono::system_clock::now() + 1h).time_since_epoch())
                           .count();
    server.run({"SET", "lock:#fence", std::to_string(ahead)});
    ASSERT_FALSE(take(held, one.locks, "job", {}));
    EXPECT_EQ(held.lease.fence(), static_cast<std::uint64_t>(ahead) + 1);
    ASSERT_FALSE(give(held));
    server.run({"FLUSHALL"});
    ASSERT_FALSE(take(next, one.locks, "job", {}));
    EXPECT_EQ(next.lease.fence(), static_cast<std::uint64_t>(ahead) + 2) << "the instance remembers";
}

TEST_F(lock_mutex, behaviour_16_and_17_a_key_that_went_is_noticed_and_a_lock_broken_is_told_at_once) {
    lock_instance one(io, server.url()), other(io, server.url());
    until([&] { return one.news.connected(); }, "listening");
    lock_try held;
    ASSERT_FALSE(take(held, one.locks, "evicted", {.ttl = 300ms}));
    server.run({"DEL", "lock:evicted"});
    until([&] { return held.lease.lost(); }, "told");
    ASSERT_FALSE(take(held, one.locks, "broken", {.ttl = 1h}));
    std::int64_t broken = -1;
    other.locks.async_break("broken", [&](error_code, std::int64_t count) { broken = count; });
    until([&] { return held.lease.lost(); }, "told by push");
    EXPECT_EQ(broken, 1);
    lock_try next;
    EXPECT_FALSE(take(next, other.locks, "broken", {}));
}

TEST_F(lock_mutex, behaviour_18_a_lost_reply_comes_to_the_same_grant) {
    relay between(server.socket_path());
    lock_instance one(io, between.unix_url());
    lock_try held;
    ASSERT_FALSE(take(held, one.locks, "warm", {}));
    ASSERT_FALSE(give(held));
    between.swallow_replies(true);
    start(held, one.locks, "job", {.wait = 15s});
    until([&] { return server.integer({"ZCARD", "lock:job"}) == 1; }, "granted in Redis");
    auto const member = server.run({"ZRANGE", "lock:job", "0", "-1"});
    EXPECT_FALSE(held.done());
    between.swallow_replies(false);
    between.cut();
    until([&] { return held.done(); }, "an answer");
    ASSERT_TRUE(held.got());
    EXPECT_EQ(server.run({"ZRANGE", "lock:job", "0", "-1"}), member) << "one grant, one fence";
    EXPECT_NE(member.find(std::to_string(held.lease.fence())), std::string::npos);
}

TEST_F(lock_mutex, behaviour_19_a_request_delayed_past_its_cancellation_makes_no_ghost) {
    relay between(server.socket_path());
    lock_instance one(io, between.unix_url()), other(io, server.url());
    until([&] { return one.client.connected(); }, "connected");
    // What the server granted, the client never hears of, and gives up; then it is as if the request came only now.
    lock_try given_up, next;
    between.swallow_replies(true);
    start(given_up, one.locks, "job", {.wait = 15s});
    until([&] { return server.integer({"ZCARD", "lock:job"}) == 1; }, "granted in Redis");
    auto const member = server.run({"ZRANGE", "lock:job", "0", "-1"});
    given_up.stop.emit(asio::cancellation_type::terminal);
    until([&] { return given_up.done(); }, "cancelled");
    EXPECT_EQ(*given_up.ec, errc::cancelled);
    between.swallow_replies(false);
    between.cut();
    settle(one.locks);
    EXPECT_EQ(server.integer({"EXISTS", "lock:job"}), 0);
    // The delayed request, in the bytes of the client.
    lock::script_calls const calls("", "job", key_layout::standalone);
    lock::demand again;
    again.token = member.substr(0, 32);
    again.who = "a ghost";
    again.lasts = 30s;
    redis::command command;
    calls.acquire(command, again, 0, *lock::production_scripts().acquire);
    redis::int_sink<3> reply;
    std::optional<error_code> answered;
    other.client.async_exec(command, reply, {}, [&](error_code ec) { answered = ec; });
    until([&] { return answered.has_value(); }, "answered");
    ASSERT_FALSE(*answered);
    EXPECT_EQ(reply[0], 2);
    EXPECT_EQ(server.integer({"EXISTS", "lock:job"}), 0);
    EXPECT_FALSE(take(next, other.locks, "job", {}));
}

TEST_F(lock_mutex, behaviour_20_a_retried_release_never_frees_a_successor) {
    relay between(server.socket_path());
    lock_instance one(io, between.unix_url()), other(io, server.url());
    lock_try held, next;
    ASSERT_FALSE(take(held, one.locks, "job", {}));
    between.swallow_replies(true);
    std::optional<error_code> released;
    held.lease.async_release([&](error_code ec) { released = ec; });
    until([&] { return server.integer({"EXISTS", "lock:job"}) == 0; }, "released in Redis");
    ASSERT_FALSE(take(next, other.locks, "job", {}));
    between.swallow_replies(false);
    between.cut();
    until([&] { return released.has_value(); }, "the release said again");
    EXPECT_EQ(*released, errc::lock_lost) << "said again, it found nothing of its own";
    EXPECT_FALSE(extend(next));
}

TEST_F(lock_mutex, behaviour_22_and_23_script_flush_busy_and_loading_are_no_losses) {
    lock_instance one(io, server.url());
    lock_try held, next;
    ASSERT_FALSE(take(held, one.locks, "job", {.ttl = 2s}));
    server.run({"SCRIPT", "FLUSH"});
    EXPECT_FALSE(extend(held));
    server.run({"SCRIPT", "FLUSH"});
    ASSERT_FALSE(take(next, one.locks, "another", {}));
    server.run({"CONFIG", "SET", "busy-reply-threshold", "1"});
    auto const busy = server.send({"EVAL", "local n = 0 while n < 30000000 do n = n + 1 end", "0"});
    EXPECT_FALSE(extend(held));
    EXPECT_TRUE(held.lease.valid());
    EXPECT_FALSE(held.lease.lost());
    EXPECT_FALSE(give(held));
    EXPECT_FALSE(give(next));
}

TEST_F(lock_mutex, behaviour_31_a_timeout_of_zero_costs_one_round_trip) {
    lock_instance one(io, server.url()), other(io, server.url());
    lock_try held, busy;
    ASSERT_FALSE(take(held, one.locks, "job", {}));
    until([&] { return other.client.connected(); }, "connected");
    auto const before = other.client.stats().submitted;
    EXPECT_EQ(take(busy, other.locks, "job", {}), errc::lock_busy);
    settle(other.locks);
    EXPECT_EQ(other.client.stats().submitted - before, 1u);
}

TEST_F(lock_mutex, behaviour_36_a_renewal_does_not_outlive_its_release) {
    lock_instance one(io, server.url());
    for (int i = 0; i < 50; ++i) {
        lock_try held;
        ASSERT_FALSE(take(held, one.locks, "job", {}));
        held.lease.async_extend([](error_code) {});
        held.lease.release();
        settle(one.locks);
        ASSERT_EQ(server.integer({"EXISTS", "lock:job"}), 0);
    }
}

TEST_F(lock_mutex, behaviour_37_leases_and_attempts_may_go_at_any_time_and_outlive_their_manager) {
    lock_try held, waiting;
    {
        lock_instance one(io, server.url());
        ASSERT_FALSE(take(held, one.locks, "job", {}));
        start(waiting, one.locks, "job", {.wait = lock::without_end});
        until([&] { return server.integer({"ZCARD", "lock:job#queue"}) == 1; }, "queued");
        one.locks.close();
        until([&] { return waiting.done(); }, "told");
        EXPECT_EQ(*waiting.ec, errc::client_closed);
        EXPECT_TRUE(held.lease.lost());
        EXPECT_FALSE(held.lease.valid());
        until([&] { return server.integer({"EXISTS", "lock:job", "lock:job#queue"}) == 0; }, "given back");
    }
    EXPECT_EQ(keys(), "");
}

TEST_F(lock_mutex, a_key_of_another_kind_is_an_error_and_left_alone) {
    lock_instance one(io, server.url());
    server.run({"SET", "lock:job", "a string"});
    lock_try held;
    EXPECT_EQ(take(held, one.locks, "job", {.wait = 1s}), errc::wrong_type);
    EXPECT_EQ(server.run({"GET", "lock:job"}), "a string");
}

TEST_F(lock_mutex, options_out_of_range_are_named) {
    lock_instance one(io, server.url());
    lock_try held;
    EXPECT_THROW(start(held, one.locks, "job", {.ttl = 1ms}), std::invalid_argument);
    EXPECT_THROW(start(held, one.locks, "", {}), std::invalid_argument);
    EXPECT_THROW(start(held, one.locks, "job", {}, {.weight = 2, .limit = 1}), std::invalid_argument);
    EXPECT_THROW(start(held, one.locks, "job", {.durable = lock::durability::majority}), std::invalid_argument);
}

} // namespace
} // namespace weir::test
