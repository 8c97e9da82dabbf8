#include "support/timed_circuit.hpp"

// From open by half open to closed: the behaviours of the specification, by number.

namespace weir::circuit {
namespace {

using namespace std::chrono_literals;
using test::timed_circuit;

TEST(circuit_recovery, b15_open_holds_until_just_before_the_end_and_the_first_call_after_is_the_probe) {
    timed_circuit b;
    b.trip();
    auto const end = b.now + 1s;
    EXPECT_EQ(b.subject.until(), end);
    b.now = end - 1ns;
    EXPECT_TRUE(b.refused());
    b.now = end;
    auto const probe = b.subject.acquire(b.now);
    EXPECT_TRUE(probe);
    EXPECT_EQ(b.subject.now(), state::half_open);
    auto const changes = b.drain();
    ASSERT_EQ(changes.size(), 1u);
    EXPECT_EQ(changes[0].why, reason::wait_over);
}

TEST(circuit_recovery, b16_the_automatic_transition_needs_no_traffic) {
    timed_circuit b;
    b.trip();
    EXPECT_EQ(b.subject.next_deadline(), b.now + 1s);
    b.subject.on_time(b.now + 1s - 1ns);
    EXPECT_EQ(b.subject.now(), state::open);
    b.subject.on_time(b.now + 1s);
    EXPECT_EQ(b.subject.now(), state::half_open);
}

TEST(circuit_recovery, b16_a_manual_transition_cancels_the_automatic_one) {
    timed_circuit b;
    b.trip();
    EXPECT_TRUE(b.subject.set(state::forced_open, -1ns, b.now));
    EXPECT_EQ(b.subject.next_deadline(), time_point::max());
    b.subject.on_time(b.now + 100h);
    EXPECT_EQ(b.subject.now(), state::forced_open);
    timed_circuit c;
    c.trip();
    EXPECT_TRUE(c.subject.set(state::closed, -1ns, c.now));
    c.subject.on_time(c.now + 2s);
    EXPECT_EQ(c.subject.now(), state::closed);
}

TEST(circuit_recovery, b17_half_open_grants_exactly_so_many) {
    timed_circuit b;
    b.trip();
    b.now += 1s;
    int granted = 0;
    for (int i = 0; i < 100; ++i)
        granted += b.subject.acquire(b.now) ? 1 : 0;
    EXPECT_EQ(granted, 3);
}

TEST(circuit_recovery, b18_entering_it_again_restores_exactly_so_many) {
    timed_circuit b;
    b.trip();
    for (int round = 0; round < 3; ++round) {
        b.wait();
        std::vector<ticket> probes;
        for (int i = 0; i < 100; ++i)
            if (auto const probe = b.subject.acquire(b.now))
                probes.push_back(probe);
        ASSERT_EQ(probes.size(), 3u);
        for (auto const& each : probes)
            b.subject.record(each, outcome::failure, 1ms, b.now);
        ASSERT_EQ(b.subject.now(), state::open);
    }
}

TEST(circuit_recovery, b19_an_ignored_outcome_returns_one_permit_and_counts_nothing) {
    timed_circuit b;
    b.trip();
    b.wait();
    auto const first = b.subject.acquire(b.now);
    b.subject.acquire(b.now);
    b.subject.acquire(b.now);
    EXPECT_TRUE(b.refused());
    b.subject.record(first, outcome::ignored, 1ms, b.now);
    auto const next = b.subject.acquire(b.now);
    EXPECT_TRUE(next);
    EXPECT_TRUE(b.refused());
    timed_circuit c;
    c.calls(3, outcome::failure);
    c.calls(100, outcome::ignored);
    EXPECT_EQ(c.subject.counts(c.now), (tally{3, 3, 0}));
}

TEST(circuit_recovery, b20_ignored_probes_never_wedge_it) {
    timed_circuit b;
    b.trip();
    b.wait();
    for (int i = 0; i < 100; ++i)
        b.call(outcome::ignored);
    EXPECT_EQ(b.subject.now(), state::half_open);
    b.calls(3, outcome::success);
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_recovery, b21_a_permit_can_be_released_without_a_result) {
    timed_circuit b;
    b.trip();
    b.wait();
    std::vector<ticket> probes{b.subject.acquire(b.now), b.subject.acquire(b.now), b.subject.acquire(b.now)};
    EXPECT_TRUE(b.refused());
    b.subject.release(probes[0]);
    EXPECT_TRUE(b.subject.acquire(b.now));
}

TEST(circuit_recovery, b22_a_stale_release_never_raises_permits_above_the_limit) {
    timed_circuit b;
    b.trip();
    b.wait();
    auto const stale = b.subject.acquire(b.now);
    b.subject.set(state::open, -1ns, b.now);
    b.wait();
    for (int i = 0; i < 10; ++i)
        b.subject.release(stale);
    int granted = 0;
    for (int i = 0; i < 100; ++i) {
        granted += b.subject.acquire(b.now) ? 1 : 0;
        b.subject.release(stale);
    }
    EXPECT_EQ(granted, 3);
}

TEST(circuit_recovery, b23_a_half_open_failure_rate_reopens) {
    timed_circuit b;
    b.trip();
    b.wait();
    b.calls(2, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::half_open);
    b.call(outcome::success);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.drain().at(0).why, reason::probes_failed);
}

TEST(circuit_recovery, b23_a_half_open_slow_rate_reopens) {
    timed_circuit b(timed_circuit::with_slow_calls());
    b.trip();
    b.wait();
    for (int i = 0; i < 3; ++i)
        b.call(outcome::success, 101ms);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.drain().at(0).why, reason::probes_slow);
}

TEST(circuit_recovery, b23_below_both_it_closes_with_a_fresh_window) {
    timed_circuit b;
    b.trip();
    b.wait();
    b.call(outcome::failure);
    b.calls(2, outcome::success);
    EXPECT_EQ(b.subject.now(), state::closed);
    EXPECT_EQ(b.subject.counts(b.now), tally{});
    b.calls(3, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::closed) << "nothing of before counts";
    b.call(outcome::failure);
    EXPECT_EQ(b.subject.now(), state::open);
}

TEST(circuit_recovery, b23_fewer_results_judge_where_the_minimum_is_smaller) {
    auto how = timed_circuit::small();
    how.minimum_calls = 1;
    how.half_open_calls = 10;
    timed_circuit b(how);
    b.call(outcome::failure);
    b.wait();
    b.call(outcome::success);
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_recovery, b24_a_half_open_without_results_ends_by_its_deadline) {
    timed_circuit b;
    b.trip();
    b.wait();
    b.subject.acquire(b.now); // a probe that hangs
    EXPECT_EQ(b.subject.next_deadline(), b.now + 30s);
    b.now += 30s;
    b.subject.on_time(b.now);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.drain().at(0).why, reason::no_results);
    EXPECT_EQ(b.subject.until() - b.now, 1s) << "silence is no reason to wait longer";
}

TEST(circuit_recovery, b24_at_its_deadline_the_results_that_are_there_judge) {
    timed_circuit b;
    b.trip();
    b.wait();
    b.call(outcome::success);
    b.now += 30s;
    b.subject.on_time(b.now);
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_recovery, b26_a_result_of_another_epoch_changes_nothing) {
    timed_circuit b;
    auto const of_closed = b.subject.acquire(b.now);
    b.trip();
    auto const counts = b.subject.counts(b.now);
    b.subject.record(of_closed, outcome::success, 1ms, b.now);
    EXPECT_EQ(b.subject.counts(b.now), counts);
    b.wait();
    auto const of_half_open = b.subject.acquire(b.now);
    for (int i = 0; i < 5; ++i)
        b.subject.record(of_closed, outcome::failure, 1ms, b.now);
    EXPECT_EQ(b.subject.now(), state::half_open);
    b.subject.record(of_half_open, outcome::success, 1ms, b.now);
    b.calls(2, outcome::success);
    EXPECT_EQ(b.subject.now(), state::closed);
    for (int i = 0; i < 10; ++i) {
        b.subject.record(of_closed, outcome::failure, 1ms, b.now);
        b.subject.record(of_half_open, outcome::failure, 1ms, b.now);
    }
    EXPECT_EQ(b.subject.counts(b.now), tally{});
}

TEST(circuit_recovery, b27_late_failures_in_open_neither_fire_again_nor_extend_the_wait) {
    timed_circuit b;
    std::vector<ticket> running;
    for (int i = 0; i < 10; ++i)
        running.push_back(b.subject.acquire(b.now));
    b.trip();
    auto const end = b.subject.until();
    b.now += 500ms;
    for (auto const& each : running)
        b.subject.record(each, outcome::failure, 500ms, b.now);
    EXPECT_EQ(b.subject.until(), end);
    EXPECT_FALSE(b.subject.has_changes());
}

TEST(circuit_recovery, b28_a_cancelled_probe_does_not_close_the_circuit) {
    auto how = timed_circuit::small();
    how.half_open_calls = 1;
    timed_circuit b(how);
    b.trip();
    b.wait();
    b.call(outcome::ignored);
    EXPECT_EQ(b.subject.now(), state::half_open);
}

void reopen(timed_circuit& b) {
    b.wait();
    b.calls(3, outcome::failure);
    ASSERT_EQ(b.subject.now(), state::open);
}

TEST(circuit_recovery, b29_backoff_grows_per_reopen_to_its_cap_and_resets_on_close) {
    auto how = timed_circuit::small();
    how.open_max = 5s;
    timed_circuit b(how);
    b.trip();
    std::vector<std::chrono::nanoseconds> waits{b.subject.until() - b.now};
    for (int i = 0; i < 4; ++i) {
        reopen(b);
        waits.push_back(b.subject.until() - b.now);
    }
    EXPECT_EQ(waits, (std::vector<std::chrono::nanoseconds>{1s, 2s, 4s, 5s, 5s}));
    b.wait();
    b.calls(3, outcome::success);
    ASSERT_EQ(b.subject.now(), state::closed);
    b.trip();
    EXPECT_EQ(b.subject.until() - b.now, 1s);
}

TEST(circuit_recovery, b29_what_opens_again_before_it_was_healthy_for_long_enough_goes_on_growing) {
    auto how = timed_circuit::small();
    how.healthy_for = 10s;
    timed_circuit b(how);
    b.trip();
    b.wait();
    b.calls(3, outcome::success);
    b.now += 10s - 1ns;
    b.trip();
    EXPECT_EQ(b.subject.until() - b.now, 2s);
    b.wait();
    b.calls(3, outcome::success);
    b.now += 10s;
    b.trip();
    EXPECT_EQ(b.subject.until() - b.now, 1s);
}

TEST(circuit_recovery, b29_jitter_adds_up_to_its_share_and_no_more) {
    settings how;
    how.open_for = 1000ms;
    how.jitter = 0.5;
    EXPECT_EQ(wait_of(how, 1, 0), 1000ms);
    EXPECT_EQ(wait_of(how, 1, 9999), 1499ms);
    EXPECT_EQ(wait_of(how, 2, 5000), 2500ms);
}

TEST(circuit_recovery, b30_huge_waits_do_not_overflow) {
    settings how = timed_circuit::small();
    how.open_for = longest;
    how.open_max = longest;
    how.open_backoff = 100;
    how.jitter = 1;
    for (std::uint32_t openings : {1u, 2u, 1000u, 4'000'000'000u})
        EXPECT_GE(wait_of(how, openings, 9999), longest) << openings;
    timed_circuit b(how);
    b.now = time_point::max() - 24h;
    b.trip();
    EXPECT_EQ(b.subject.until(), time_point::max());
    EXPECT_TRUE(b.refused());
    how.open_for = 1ms;
    how.open_max = longest;
    EXPECT_EQ(wait_of(how, 4'000'000'000u, 0), longest);
}

TEST(circuit_recovery, a_ramp_lets_growing_shares_of_the_traffic_through) {
    auto how = timed_circuit::small();
    how.window = window_kind::time;
    how.ramp = {1, 10, 50};
    how.ramp_step = 1s;
    timed_circuit b(how);
    b.trip();
    b.wait();
    b.calls(3, outcome::success);
    for (int const share : {1, 10, 50}) {
        ASSERT_EQ(b.subject.now(), state::half_open);
        ASSERT_EQ(b.subject.share(), share);
        int passed = 0;
        for (int i = 0; i < 10'000; ++i)
            if (auto const leave = b.subject.acquire(b.now)) {
                ++passed;
                b.subject.record(leave, outcome::success, 1ms, b.now);
            }
        EXPECT_NEAR(passed, 100 * share, 10 * share + 50);
        EXPECT_EQ(b.subject.next_deadline(), b.now + 1s);
        b.now += 1s;
        b.subject.on_time(b.now);
    }
    EXPECT_EQ(b.subject.now(), state::closed);
    EXPECT_EQ(b.drain().size(), 1u) << "steps of the ramp are not transitions";
}

TEST(circuit_recovery, a_ramp_that_fails_opens_again_for_longer) {
    auto how = timed_circuit::small();
    how.ramp = {50};
    timed_circuit b(how);
    b.trip();
    b.wait();
    b.calls(3, outcome::success);
    while (b.subject.now() == state::half_open)
        if (auto const leave = b.subject.acquire(b.now))
            b.subject.record(leave, outcome::failure, 1ms, b.now);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.subject.until() - b.now, 2s);
}

} // namespace
} // namespace weir::circuit
