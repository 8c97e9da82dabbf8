#include <weir/lock/attempt.hpp>

#include <gtest/gtest.h>

// Attempts, step by step; the numbers are those of the behaviours that locks promise.

namespace weir::lock {
namespace {

using namespace std::chrono_literals;
using step = attempt::step;
using outcome = acquire_answer::outcome;

constexpr time_point start{1h};

patience waits(std::chrono::milliseconds how_long) {
    return {.once = false, .until = start + how_long, .heartbeat = 2s, .worth = 900ms};
}
constexpr patience once{.once = true, .worth = 900ms};

acquire_answer held(std::uint64_t fence) { return {.what = outcome::held, .fence = fence}; }
acquire_answer behind(std::uint64_t ahead, std::chrono::microseconds soonest = 0us) {
    return {.what = outcome::not_held, .ahead = ahead, .soonest = soonest};
}

TEST(lock_attempt, one_that_does_not_wait_asks_once) {
    attempt busy(once);
    EXPECT_EQ(busy.start(start), step::ask);
    EXPECT_EQ(busy.answered(behind(0), start + 1ms), step::ended);
    EXPECT_EQ(busy.why(), errc::lock_busy);
    EXPECT_FALSE(busy.waits_there() || busy.doubtful() || busy.holds_there()) << "there is nothing to clean up";
    attempt free(once);
    free.start(start);
    EXPECT_EQ(free.answered(held(7), start + 1ms), step::held);
    EXPECT_EQ(free.fence(), 7u);
}

TEST(lock_attempt, behaviour_8_a_grant_counts_from_the_sending_of_its_request) {
    attempt slow(waits(10s));
    slow.start(start);
    slow.answered(behind(0), start + 1ms);
    EXPECT_EQ(slow.woken(start + 5s), step::ask);
    EXPECT_EQ(slow.answered(held(7), start + 5s + 300ms), step::held);
    EXPECT_EQ(slow.sent(), start + 5s);
}

TEST(lock_attempt, behaviour_5_a_grant_told_too_late_is_asked_for_again) {
    attempt stopped(waits(10s));
    stopped.start(start);
    EXPECT_EQ(stopped.answered(held(7), start + 2s), step::ask) << "SIGSTOP while it was under way";
    EXPECT_EQ(stopped.answered(held(7), start + 2s + 1ms), step::held);
    EXPECT_EQ(stopped.sent(), start + 2s);
}

TEST(lock_attempt, who_waits_gives_a_sign_of_life_four_times_a_heartbeat) {
    attempt waiting(waits(1min));
    waiting.start(start);
    EXPECT_EQ(waiting.answered(behind(3, 100ms), start), step::none);
    EXPECT_EQ(waiting.wake_at(), start + 500ms) << "not first: whether the holder is dead is for others to find out";
    EXPECT_EQ(waiting.on_time(start + 499ms), step::none);
    EXPECT_EQ(waiting.on_time(start + 500ms), step::ask);
    EXPECT_EQ(waiting.answered(behind(0, 100ms), start + 500ms), step::none);
    EXPECT_EQ(waiting.wake_at(), start + 601ms) << "first: looks as soon as the holder's time is over";
}

TEST(lock_attempt, behaviour_27_an_offer_that_came_before_the_answer_is_taken) {
    attempt waiting(waits(1min));
    waiting.start(start);
    EXPECT_EQ(waiting.woken(start + 1ms), step::none) << "a request is under way";
    EXPECT_EQ(waiting.answered(behind(0), start + 2ms), step::ask);
}

patience handed_soon() {
    auto how = waits(1min);
    how.handed_worth = 1s;
    return how;
}

TEST(lock_attempt, what_it_is_handed_it_has_without_asking) {
    attempt waiting(handed_soon());
    waiting.start(start);
    waiting.answered(behind(0), start + 1ms);
    EXPECT_EQ(waiting.handed(7, 299ms, start + 300ms), step::held);
    EXPECT_EQ(waiting.fence(), 7u);
    EXPECT_EQ(waiting.sent(), start) << "from where its time counts";
    EXPECT_EQ(waiting.since_offer(), 1ms);
    EXPECT_TRUE(waiting.holds_there());
    EXPECT_FALSE(waiting.waits_there());
}

TEST(lock_attempt, what_it_is_handed_while_it_asks_or_long_after_it_asks_for) {
    attempt asking(handed_soon());
    asking.start(start);
    EXPECT_EQ(asking.handed(7, 0us, start + 1ms), step::none) << "the answer under way may be older";
    EXPECT_EQ(asking.answered(behind(0), start + 2ms), step::ask);
    EXPECT_EQ(asking.answered(held(7), start + 3ms), step::held);
    attempt slow(handed_soon());
    slow.start(start);
    slow.answered(behind(0), start + 1ms);
    EXPECT_EQ(slow.handed(7, 0us, start + 1s), step::ask) << "its heartbeat is nearly over";
    attempt stranger(handed_soon());
    stranger.start(start);
    stranger.failed(errc::connection_lost, start + 1ms);
    EXPECT_EQ(stranger.handed(7, 0us, start + 2ms), step::ask) << "it never heard that it has a place";
    attempt over(handed_soon());
    over.start(start);
    over.answered(behind(0), start + 1ms);
    over.cancel(errc::cancelled);
    EXPECT_EQ(over.handed(7, 0us, start + 2ms), step::none);
    EXPECT_TRUE(over.waits_there()) << "and is cleaned up by what it waits as";
}

TEST(lock_attempt, behaviour_31_it_gives_up_in_time_and_leaves_its_place) {
    attempt late(waits(100ms));
    late.start(start);
    late.answered(behind(0), start + 1ms);
    EXPECT_EQ(late.wake_at(), start + 100ms);
    EXPECT_EQ(late.on_time(start + 100ms), step::ended);
    EXPECT_EQ(late.why(), errc::lock_busy);
    EXPECT_TRUE(late.waits_there());
    EXPECT_EQ(late.on_time(start + 1s), step::none);
}

TEST(lock_attempt, behaviour_21_one_cancelled_while_a_request_is_under_way_hears_what_came_of_it) {
    attempt granted(waits(10s));
    granted.start(start);
    EXPECT_EQ(granted.cancel(errc::cancelled), step::ended);
    EXPECT_TRUE(granted.asking());
    EXPECT_EQ(granted.woken(start), step::none);
    EXPECT_EQ(granted.answered(held(7), start + 1ms), step::clean_up);
    EXPECT_TRUE(granted.holds_there());
    EXPECT_FALSE(granted.doubtful());
    EXPECT_EQ(granted.why(), errc::cancelled);
}

TEST(lock_attempt, behaviour_19_one_whose_request_was_lost_is_doubtful) {
    attempt lost(waits(10s));
    lost.start(start);
    lost.cancel(errc::cancelled);
    EXPECT_EQ(lost.failed(errc::connection_lost, start + 1ms), step::clean_up);
    EXPECT_TRUE(lost.doubtful());
    attempt unsent(waits(10s));
    unsent.start(start);
    unsent.cancel(errc::cancelled);
    EXPECT_EQ(unsent.failed(errc::not_connected, start + 1ms), step::clean_up);
    EXPECT_FALSE(unsent.doubtful()) << "nothing reached Redis";
}

TEST(lock_attempt, behaviour_18_and_23_what_passes_is_tried_again_with_the_same_id_until_the_end) {
    attempt patient(waits(1s));
    patient.start(start);
    EXPECT_EQ(patient.failed(errc::connection_lost, start + 1ms), step::none);
    EXPECT_EQ(patient.wake_at(), start + 11ms);
    EXPECT_EQ(patient.on_time(start + 11ms), step::ask);
    EXPECT_EQ(patient.failed(errc::busy, start + 12ms), step::none);
    EXPECT_EQ(patient.on_time(start + 32ms), step::ask);
    EXPECT_EQ(patient.failed(errc::loading, start + 33ms), step::none);
    EXPECT_EQ(patient.on_time(start + 1s), step::ended);
    EXPECT_EQ(patient.why(), errc::loading) << "why it is not had, not that somebody has it";
    EXPECT_TRUE(patient.doubtful());
}

TEST(lock_attempt, what_does_not_pass_ends_it) {
    attempt refused(waits(10s));
    refused.start(start);
    EXPECT_EQ(refused.failed(errc::no_permission, start + 1ms), step::ended);
    EXPECT_EQ(refused.why(), errc::no_permission);
    attempt impatient(once);
    impatient.start(start);
    EXPECT_EQ(impatient.failed(errc::timed_out, start + 1ms), step::ended);
    EXPECT_TRUE(impatient.doubtful());
}

TEST(lock_lease_clock, behaviour_8_it_counts_from_sending_less_the_drift) {
    lease_clock clock(10s, 1s);
    EXPECT_FALSE(clock.valid(start)) << "never granted";
    clock.granted(start);
    EXPECT_EQ(clock.ends(), start + 10s - 102ms);
    EXPECT_TRUE(clock.valid(start + 10s - 103ms));
    EXPECT_FALSE(clock.valid(start + 10s - 102ms));
    EXPECT_EQ(clock.warn_at(), clock.ends() - 1s);
    EXPECT_EQ(clock.renew_at(), start + 10000ms / 3);
    clock.end(start + 1s);
    EXPECT_TRUE(clock.valid(start));
    EXPECT_FALSE(clock.valid(start + 1s));
    clock.end(start + 5s);
    EXPECT_EQ(clock.ends(), start + 1s);
}

TEST(lock_lease_clock, behaviours_9_and_10_its_clock_counts_suspension_and_no_steps) {
    // The clock of all local deadlines is CLOCK_BOOTTIME, which the kernel lets neither settimeofday(2) nor suspension
    // touch; what can be shown here is that this is the one that is asked.
    timespec before{}, after{};
    ::clock_gettime(CLOCK_BOOTTIME, &before);
    auto const now = boot_clock::now().time_since_epoch();
    ::clock_gettime(CLOCK_BOOTTIME, &after);
    EXPECT_GE(now, std::chrono::seconds{before.tv_sec} + std::chrono::nanoseconds{before.tv_nsec});
    EXPECT_LE(now, std::chrono::seconds{after.tv_sec} + std::chrono::nanoseconds{after.tv_nsec});
}

TEST(lock_script, members_and_messages_are_read_back) {
    auto const holder = read_holder("0123456789abcdef0123456789abcdef 2 1700000000000000 30000 host:1 and more");
    ASSERT_TRUE(holder);
    EXPECT_EQ(holder->weight, 2u);
    EXPECT_EQ(holder->fence, 1'700'000'000'000'000u);
    EXPECT_EQ(holder->who, "host:1 and more");
    EXPECT_FALSE(read_holder("0123456789abcdef0123456789abcdef 1 -1700000000000000 30000 x"));
    EXPECT_FALSE(read_holder("a stranger's member"));
    EXPECT_FALSE(read_holder(""));
    auto const waiter = read_waiter("0123456789abcdef0123456789abcdef 1 2000 30000 x y");
    ASSERT_TRUE(waiter);
    EXPECT_EQ(waiter->who, "x y");
    EXPECT_FALSE(read_waiter("0123456789abcdef0123456789abcdef 1 2000 x"));
    EXPECT_FALSE(read_waiter("0123456789abcdef0123456789abcdef one 2000 30000 x"));
    auto const handed = read_message("+0123456789abcdef0123456789abcdef 1700000000000000 250");
    ASSERT_TRUE(handed);
    EXPECT_TRUE(handed->offered);
    EXPECT_EQ(handed->token, "0123456789abcdef0123456789abcdef");
    EXPECT_EQ(handed->fence, 1'700'000'000'000'000u);
    EXPECT_EQ(handed->after_last_sign, 250us);
    EXPECT_EQ(read_message("+0123456789abcdef0123456789abcdef")->fence, 0u);
    EXPECT_FALSE(read_message("+0123456789abcdef0123456789abcdef 17"));
    EXPECT_FALSE(read_message("+0123456789abcdef0123456789abcdef 17 x"));
    EXPECT_FALSE(read_message("-0123456789abcdef0123456789abcdef 17 25"));
    EXPECT_FALSE(read_message("-0123456789abcdef0123456789abcdef")->offered);
    EXPECT_FALSE(read_message("0123456789abcdef0123456789abcdef"));
    EXPECT_FALSE(read_message(""));
}

TEST(lock_script, all_keys_of_a_lock_lie_in_one_slot_of_a_cluster) {
    script_calls const calls("app:", "session 7", key_layout::cluster);
    EXPECT_EQ(calls.key(), "app:lock:{session%207}");
    redis::command command;
    demand what;
    what.token = "0123456789abcdef0123456789abcdef";
    calls.acquire(command, what, 0, *production_scripts().acquire);
    EXPECT_TRUE(command.slot()) << "the record of fences, too";
    calls.release(command, what, 1, 0ms, *production_scripts().release);
    EXPECT_TRUE(command.slot());
}

} // namespace
} // namespace weir::lock
