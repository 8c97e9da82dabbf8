#include <weir/circuit/core.hpp>

#include <gtest/gtest.h>

#include <vector>

// The behaviours of the specification, by number; those of a fleet are in circuit_member_test.cpp and in
// integration/circuit_*_test.cpp.

namespace weir::circuit {
namespace {

using namespace std::chrono_literals;

/// A breaker with a clock that the test moves.
struct bench {
    explicit bench(settings how = small())
        : subject(std::move(how), 1) {}

    static settings small() {
        settings how;
        how.window = window_kind::count;
        how.window_calls = 10;
        how.minimum_calls = 4;
        how.open_for = 1s;
        how.open_max = 60s;
        how.jitter = 0;
        how.healthy_for = 0s;
        return how;
    }

    void call(outcome what, std::chrono::nanoseconds took = 1ms) {
        auto const leave = subject.acquire(now);
        ASSERT_TRUE(leave);
        subject.record(leave, what, took, now);
    }
    void calls(int count, outcome what) {
        for (int i = 0; i < count; ++i)
            call(what);
    }
    bool refused() {
        auto const leave = subject.acquire(now);
        subject.release(leave);
        return !leave;
    }
    void trip() {
        calls(4, outcome::failure);
        ASSERT_EQ(subject.now(), state::open);
        drain();
    }
    /// To half open, by time.
    void wait() {
        now = subject.until();
        subject.on_time(now);
        ASSERT_EQ(subject.now(), state::half_open);
        drain();
    }
    std::vector<change> drain() {
        std::vector<change> all;
        while (auto const each = subject.next_change())
            all.push_back(*each);
        return all;
    }

    core subject;
    time_point now{1000h};
};

TEST(circuit_core, b01_below_the_minimum_the_rate_is_undefined_and_never_trips) {
    bench b;
    b.calls(3, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::closed);
    EXPECT_FALSE(b.subject.has_changes());
}

TEST(circuit_core, b02_it_trips_on_exactly_the_result_that_completes_the_minimum) {
    bench b;
    b.calls(2, outcome::success);
    b.calls(1, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::closed);
    b.call(outcome::failure);
    EXPECT_EQ(b.subject.now(), state::open);
    auto const changes = b.drain();
    ASSERT_EQ(changes.size(), 1u);
    EXPECT_EQ(changes[0].from, state::closed);
    EXPECT_EQ(changes[0].to, state::open);
    EXPECT_EQ(changes[0].why, reason::failure_rate);
    EXPECT_EQ(changes[0].counts, (tally{4, 2, 0}));
    EXPECT_FALSE(changes[0].fleet);
}

TEST(circuit_core, b02_a_rate_below_the_threshold_never_trips) {
    auto how = bench::small();
    how.minimum_calls = 10;
    bench b(how);
    for (int i = 0; i < 1000; ++i)
        b.call(i % 5 < 2 ? outcome::failure : outcome::success); // 40 % of any ten
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_core, b03_a_success_that_completes_the_minimum_can_trip) {
    bench b;
    b.calls(3, outcome::failure);
    b.call(outcome::success);
    EXPECT_EQ(b.subject.now(), state::open);
}

TEST(circuit_core, b04_a_threshold_of_all_still_trips) {
    auto how = bench::small();
    how.failure_rate = 1;
    bench b(how);
    b.calls(4, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::open);
    bench c(how);
    c.call(outcome::success);
    c.calls(9, outcome::failure);
    EXPECT_EQ(c.subject.now(), state::closed);
    c.call(outcome::failure);
    EXPECT_EQ(c.subject.now(), state::open) << "the success has left the window";
}

TEST(circuit_core, b05_the_minimum_of_a_count_window_is_clamped_to_its_size) {
    auto how = bench::small();
    how.minimum_calls = 1000;
    bench b(how);
    b.calls(9, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::closed);
    b.call(outcome::failure);
    EXPECT_EQ(b.subject.now(), state::open);
}

TEST(circuit_core, b05_the_minimum_of_a_time_window_is_not_clamped) {
    auto how = bench::small();
    how.window = window_kind::time;
    how.window_calls = 1;
    how.minimum_calls = 1000;
    bench b(how);
    b.calls(999, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::closed);
    b.call(outcome::failure);
    EXPECT_EQ(b.subject.now(), state::open);
}

TEST(circuit_core, b08_a_result_from_an_expired_bucket_does_not_trip) {
    auto how = bench::small();
    how.window = window_kind::time;
    bench b(how);
    auto const early = b.now;
    b.now += 20s;
    b.calls(4, outcome::success);
    auto const leave = b.subject.acquire(b.now);
    for (int i = 0; i < 20; ++i)
        b.subject.record(leave, outcome::failure, 1ms, early);
    EXPECT_EQ(b.subject.now(), state::closed);
    EXPECT_EQ(b.subject.counts(b.now), (tally{4, 0, 0}));
}

settings with_slow_calls() {
    auto how = bench::small();
    how.slow_call = 100ms;
    how.slow_rate = 0.5;
    return how;
}

TEST(circuit_core, b09_slow_is_strictly_longer_than_the_threshold) {
    bench b(with_slow_calls());
    for (int i = 0; i < 10; ++i)
        b.call(outcome::success, 100ms);
    EXPECT_EQ(b.subject.now(), state::closed);
    EXPECT_EQ(b.subject.counts(b.now).slow, 0u);
    b.call(outcome::success, 100ms + 1ns);
    EXPECT_EQ(b.subject.counts(b.now).slow, 1u);
}

TEST(circuit_core, b10_slow_successes_alone_trip) {
    bench b(with_slow_calls());
    for (int i = 0; i < 4; ++i)
        b.call(outcome::success, 1s);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.drain().at(0).why, reason::slow_rate);
}

TEST(circuit_core, b11_slow_failures_count_in_both) {
    bench b(with_slow_calls());
    b.call(outcome::failure, 1s);
    EXPECT_EQ(b.subject.counts(b.now), (tally{1, 1, 1}));
}

TEST(circuit_core, b12_a_success_resets_consecutive_failures) {
    auto how = bench::small();
    how.failure_rate = 1;
    how.consecutive_failures = 3;
    bench b(how);
    b.calls(2, outcome::failure);
    b.call(outcome::success);
    b.calls(2, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::closed);
    b.call(outcome::failure);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.drain().at(0).why, reason::consecutive_failures);
}

TEST(circuit_core, b12_consecutive_failures_too_trip_from_the_minimum_on) {
    auto how = bench::small();
    how.consecutive_failures = 2;
    how.failure_rate = 1;
    bench b(how);
    b.call(outcome::success);
    b.calls(2, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::closed) << "three results";
    b.call(outcome::failure);
    EXPECT_EQ(b.subject.now(), state::open);
}

TEST(circuit_core, b13_open_refuses_counts_the_refusal_and_keeps_what_tripped_it) {
    bench b;
    b.trip();
    EXPECT_EQ(b.subject.refused(), 0u);
    for (int i = 0; i < 7; ++i)
        EXPECT_TRUE(b.refused());
    EXPECT_EQ(b.subject.refused(), 7u);
    EXPECT_EQ(b.subject.counts(b.now), (tally{4, 4, 0}));
    EXPECT_EQ(b.subject.retry_after(b.now), 1s);
    EXPECT_EQ(b.subject.retry_after(b.now + 400ms), 600ms);
}

TEST(circuit_core, b14_refusals_never_enter_the_window) {
    bench b;
    b.trip();
    for (int i = 0; i < 100; ++i) {
        auto const refused = b.subject.acquire(b.now);
        b.subject.record(refused, outcome::failure, 1s, b.now);
    }
    EXPECT_EQ(b.subject.counts(b.now), (tally{4, 4, 0}));
}

TEST(circuit_core, b15_open_holds_until_just_before_the_end_and_the_first_call_after_is_the_probe) {
    bench b;
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

TEST(circuit_core, b16_the_automatic_transition_needs_no_traffic) {
    bench b;
    b.trip();
    EXPECT_EQ(b.subject.next_deadline(), b.now + 1s);
    b.subject.on_time(b.now + 1s - 1ns);
    EXPECT_EQ(b.subject.now(), state::open);
    b.subject.on_time(b.now + 1s);
    EXPECT_EQ(b.subject.now(), state::half_open);
}

TEST(circuit_core, b16_a_manual_transition_cancels_the_automatic_one) {
    bench b;
    b.trip();
    EXPECT_TRUE(b.subject.set(state::forced_open, -1ns, b.now));
    EXPECT_EQ(b.subject.next_deadline(), time_point::max());
    b.subject.on_time(b.now + 100h);
    EXPECT_EQ(b.subject.now(), state::forced_open);
    bench c;
    c.trip();
    EXPECT_TRUE(c.subject.set(state::closed, -1ns, c.now));
    c.subject.on_time(c.now + 2s);
    EXPECT_EQ(c.subject.now(), state::closed);
}

TEST(circuit_core, b17_half_open_grants_exactly_so_many) {
    bench b;
    b.trip();
    b.now += 1s;
    int granted = 0;
    for (int i = 0; i < 100; ++i)
        granted += b.subject.acquire(b.now) ? 1 : 0;
    EXPECT_EQ(granted, 3);
}

TEST(circuit_core, b18_entering_it_again_restores_exactly_so_many) {
    bench b;
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

TEST(circuit_core, b19_an_ignored_outcome_returns_one_permit_and_counts_nothing) {
    bench b;
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
    bench c;
    c.calls(3, outcome::failure);
    c.calls(100, outcome::ignored);
    EXPECT_EQ(c.subject.counts(c.now), (tally{3, 3, 0}));
}

TEST(circuit_core, b20_ignored_probes_never_wedge_it) {
    bench b;
    b.trip();
    b.wait();
    for (int i = 0; i < 100; ++i)
        b.call(outcome::ignored);
    EXPECT_EQ(b.subject.now(), state::half_open);
    b.calls(3, outcome::success);
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_core, b21_a_permit_can_be_released_without_a_result) {
    bench b;
    b.trip();
    b.wait();
    std::vector<ticket> probes{b.subject.acquire(b.now), b.subject.acquire(b.now), b.subject.acquire(b.now)};
    EXPECT_TRUE(b.refused());
    b.subject.release(probes[0]);
    EXPECT_TRUE(b.subject.acquire(b.now));
}

TEST(circuit_core, b22_a_stale_release_never_raises_permits_above_the_limit) {
    bench b;
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

TEST(circuit_core, b23_a_half_open_failure_rate_reopens) {
    bench b;
    b.trip();
    b.wait();
    b.calls(2, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::half_open);
    b.call(outcome::success);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.drain().at(0).why, reason::probes_failed);
}

TEST(circuit_core, b23_a_half_open_slow_rate_reopens) {
    bench b(with_slow_calls());
    b.trip();
    b.wait();
    for (int i = 0; i < 3; ++i)
        b.call(outcome::success, 101ms);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.drain().at(0).why, reason::probes_slow);
}

TEST(circuit_core, b23_below_both_it_closes_with_a_fresh_window) {
    bench b;
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

TEST(circuit_core, b23_fewer_results_judge_where_the_minimum_is_smaller) {
    auto how = bench::small();
    how.minimum_calls = 1;
    how.half_open_calls = 10;
    bench b(how);
    b.call(outcome::failure);
    b.wait();
    b.call(outcome::success);
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_core, b24_a_half_open_without_results_ends_by_its_deadline) {
    bench b;
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

TEST(circuit_core, b24_at_its_deadline_the_results_that_are_there_judge) {
    bench b;
    b.trip();
    b.wait();
    b.call(outcome::success);
    b.now += 30s;
    b.subject.on_time(b.now);
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_core, b26_a_result_of_another_epoch_changes_nothing) {
    bench b;
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

TEST(circuit_core, b27_late_failures_in_open_neither_fire_again_nor_extend_the_wait) {
    bench b;
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

TEST(circuit_core, b28_a_cancelled_probe_does_not_close_the_circuit) {
    auto how = bench::small();
    how.half_open_calls = 1;
    bench b(how);
    b.trip();
    b.wait();
    b.call(outcome::ignored);
    EXPECT_EQ(b.subject.now(), state::half_open);
}

void reopen(bench& b) {
    b.wait();
    b.calls(3, outcome::failure);
    ASSERT_EQ(b.subject.now(), state::open);
}

TEST(circuit_core, b29_backoff_grows_per_reopen_to_its_cap_and_resets_on_close) {
    auto how = bench::small();
    how.open_max = 5s;
    bench b(how);
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

TEST(circuit_core, b29_what_opens_again_before_it_was_healthy_for_long_enough_goes_on_growing) {
    auto how = bench::small();
    how.healthy_for = 10s;
    bench b(how);
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

TEST(circuit_core, b29_jitter_adds_up_to_its_share_and_no_more) {
    settings how;
    how.open_for = 1000ms;
    how.jitter = 0.5;
    EXPECT_EQ(wait_of(how, 1, 0), 1000ms);
    EXPECT_EQ(wait_of(how, 1, 9999), 1499ms);
    EXPECT_EQ(wait_of(how, 2, 5000), 2500ms);
}

TEST(circuit_core, b30_huge_waits_do_not_overflow) {
    settings how = bench::small();
    how.open_for = longest;
    how.open_max = longest;
    how.open_backoff = 100;
    how.jitter = 1;
    for (std::uint32_t openings : {1u, 2u, 1000u, 4'000'000'000u})
        EXPECT_GE(wait_of(how, openings, 9999), longest) << openings;
    bench b(how);
    b.now = time_point::max() - 24h;
    b.trip();
    EXPECT_EQ(b.subject.until(), time_point::max());
    EXPECT_TRUE(b.refused());
    how.open_for = 1ms;
    how.open_max = longest;
    EXPECT_EQ(wait_of(how, 4'000'000'000u, 0), longest);
}

TEST(circuit_core, b31_forced_open_ignores_time_and_results) {
    bench b;
    auto const leave = b.subject.acquire(b.now);
    b.subject.set(state::forced_open, -1ns, b.now);
    b.now += 10000h;
    b.subject.on_time(b.now);
    b.subject.record(leave, outcome::success, 1ms, b.now);
    EXPECT_TRUE(b.refused());
    EXPECT_EQ(b.subject.now(), state::forced_open);
    b.subject.automatic(b.now);
    EXPECT_EQ(b.subject.now(), state::half_open) << "who was kept shut is tried first";
}

TEST(circuit_core, b31_what_is_forced_for_a_time_ends_with_it) {
    bench b;
    b.subject.set(state::forced_open, 10min, b.now);
    EXPECT_EQ(b.subject.retry_after(b.now), 10min);
    b.now += 10min;
    b.subject.on_time(b.now);
    EXPECT_EQ(b.subject.now(), state::half_open);
    b.subject.set(state::disabled, 10min, b.now);
    b.now += 10min;
    b.subject.on_time(b.now);
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_core, b32_disabled_permits_records_nothing_and_says_nothing) {
    bench b;
    b.subject.set(state::disabled, -1ns, b.now);
    b.drain();
    b.calls(100, outcome::failure);
    EXPECT_EQ(b.subject.counts(b.now), tally{});
    EXPECT_FALSE(b.subject.has_changes());
    EXPECT_EQ(b.subject.refused(), 0u);
}

TEST(circuit_core, b33_metrics_only_never_refuses_and_each_threshold_event_fires_once) {
    auto how = with_slow_calls();
    bench b(how);
    b.subject.set(state::metrics_only, -1ns, b.now);
    b.drain();
    b.calls(100, outcome::failure);
    auto changes = b.drain();
    ASSERT_EQ(changes.size(), 1u);
    EXPECT_EQ(changes[0].why, reason::failure_rate);
    EXPECT_EQ(changes[0].from, state::metrics_only);
    EXPECT_EQ(changes[0].to, state::metrics_only);
    for (int i = 0; i < 100; ++i)
        b.call(outcome::success, 1s);
    changes = b.drain();
    ASSERT_EQ(changes.size(), 1u);
    EXPECT_EQ(changes[0].why, reason::slow_rate);
    b.calls(100, outcome::failure);
    EXPECT_FALSE(b.subject.has_changes());
}

TEST(circuit_core, b34_closed_to_half_open_is_illegal) {
    bench b;
    EXPECT_FALSE(b.subject.set(state::half_open, -1ns, b.now));
    EXPECT_EQ(b.subject.now(), state::closed);
    EXPECT_FALSE(b.subject.has_changes());
}

TEST(circuit_core, b34_a_transition_to_itself_says_nothing) {
    bench b;
    EXPECT_TRUE(b.subject.set(state::closed, -1ns, b.now));
    EXPECT_FALSE(b.subject.has_changes());
    b.trip();
    auto const end = b.subject.until();
    b.now += 1ms;
    EXPECT_TRUE(b.subject.set(state::open, -1ns, b.now));
    EXPECT_EQ(b.subject.until(), end);
    for (auto const each : {state::forced_open, state::disabled, state::metrics_only}) {
        b.subject.set(each, -1ns, b.now);
        EXPECT_EQ(b.drain().size(), 1u);
        b.subject.set(each, 5min, b.now);
        EXPECT_FALSE(b.subject.has_changes());
        EXPECT_EQ(b.subject.until(), b.now + 5min) << "the new end holds";
    }
}

TEST(circuit_core, b41_percentages_on_tiny_samples_never_trip_an_idle_service) {
    settings how = bench::small();
    how.window = window_kind::time;
    how.window_time = 10s;
    bench b(how);
    for (int hour = 0; hour < 1000; ++hour) {
        b.calls(3, outcome::failure);
        b.now += 1h;
        b.subject.on_time(b.now);
    }
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_core, failures_of_our_own_side_open_this_instance_and_are_not_told_the_fleet) {
    bench b;
    b.calls(4, outcome::local_failure);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.subject.shared_counts(b.now), tally{});
    EXPECT_FALSE(b.subject.shared_run());
}

TEST(circuit_core, a_ramp_lets_growing_shares_of_the_traffic_through) {
    auto how = bench::small();
    how.window = window_kind::time;
    how.ramp = {1, 10, 50};
    how.ramp_step = 1s;
    bench b(how);
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

TEST(circuit_core, a_ramp_that_fails_opens_again_for_longer) {
    auto how = bench::small();
    how.ramp = {50};
    bench b(how);
    b.trip();
    b.wait();
    b.calls(3, outcome::success);
    while (b.subject.now() == state::half_open)
        if (auto const leave = b.subject.acquire(b.now))
            b.subject.record(leave, outcome::failure, 1ms, b.now);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.subject.until() - b.now, 2s);
}

// ---- the fleet's state over the own one

fleet_view told(std::uint64_t epoch, state now, std::chrono::microseconds remaining = -1us) {
    return {epoch, now, reason::failure_rate, remaining, 0};
}

TEST(circuit_core, b26_a_lower_epoch_is_never_adopted) {
    bench b;
    EXPECT_TRUE(b.subject.adopt(told(7, state::open, 1s), b.now));
    EXPECT_FALSE(b.subject.adopt(told(6, state::closed), b.now));
    EXPECT_FALSE(b.subject.adopt(told(7, state::closed), b.now));
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_TRUE(b.subject.fleet());
}

TEST(circuit_core, the_fleets_open_state_ends_by_redis_alone) {
    bench b;
    b.subject.adopt(told(7, state::open, 1s), b.now);
    b.drain();
    b.now += 10s;
    b.subject.on_time(b.now);
    EXPECT_TRUE(b.refused());
    EXPECT_TRUE(b.subject.wants_lease());
    EXPECT_EQ(b.subject.now(), state::open);
    b.subject.adopt(told(8, state::half_open, 30s), b.now);
    EXPECT_TRUE(b.refused()) << "no lease in hand";
    b.subject.lend(8, 41, b.now + 10s);
    auto const probe = b.subject.acquire(b.now);
    EXPECT_EQ(probe.lease, 41u);
    EXPECT_TRUE(b.refused()) << "one lease, one probe";
    b.subject.record(probe, outcome::failure, 1ms, b.now);
    auto const result = b.subject.next_probe_result();
    ASSERT_TRUE(result);
    EXPECT_EQ(result->epoch, 8u);
    EXPECT_EQ(result->lease, 41u);
    EXPECT_TRUE(result->judged);
    EXPECT_TRUE(result->failed);
    EXPECT_EQ(b.subject.now(), state::half_open) << "Redis judges";
}

TEST(circuit_core, b28_a_fleets_probe_that_is_ignored_or_failed_on_our_side_gives_its_lease_back) {
    bench b;
    b.subject.adopt(told(8, state::half_open, 30s), b.now);
    for (auto const what : {outcome::ignored, outcome::local_failure}) {
        b.subject.lend(8, 41, b.now + 10s);
        b.call(what);
        auto const result = b.subject.next_probe_result();
        ASSERT_TRUE(result);
        EXPECT_FALSE(result->judged);
        EXPECT_EQ(result->lease, 41u);
    }
}

TEST(circuit_core, a_lease_in_hand_is_worthless_after_its_end_or_in_another_epoch) {
    bench b;
    b.subject.adopt(told(8, state::half_open, 30s), b.now);
    b.subject.lend(8, 41, b.now + 10s);
    b.now += 10s;
    EXPECT_TRUE(b.refused());
    b.subject.lend(7, 42, b.now + 10s);
    EXPECT_TRUE(b.refused());
    EXPECT_EQ(b.subject.next_probe_result()->lease, 42u) << "it is given back";
}

TEST(circuit_core, one_instance_opens_its_own_circuit_while_the_fleets_is_closed) {
    bench b;
    b.subject.adopt(told(5, state::closed), b.now);
    b.trip();
    EXPECT_FALSE(b.subject.fleet());
    EXPECT_EQ(b.subject.fleet_state(), state::closed);
    b.wait();
    b.calls(3, outcome::success);
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_core, the_fleets_opening_takes_over_from_the_own_one_without_another_event) {
    bench b;
    b.subject.adopt(told(5, state::closed), b.now);
    b.trip();
    b.subject.adopt(told(6, state::open, 3s), b.now);
    EXPECT_FALSE(b.subject.has_changes());
    EXPECT_TRUE(b.subject.fleet());
    EXPECT_EQ(b.subject.until(), b.now + 3s);
    EXPECT_EQ(b.subject.counts(b.now), (tally{4, 4, 0})) << "the counts that tripped it are kept";
    b.subject.adopt(told(7, state::half_open, 3s), b.now);
    b.subject.adopt(told(8, state::closed), b.now);
    EXPECT_EQ(b.subject.now(), state::closed);
    EXPECT_EQ(b.subject.counts(b.now), tally{});
}

TEST(circuit_core, b39_without_redis_it_goes_on_alone_and_adopts_the_shared_open_on_return) {
    bench b;
    b.subject.adopt(told(6, state::open, 1s), b.now);
    b.drain();
    b.subject.detach(b.now);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_FALSE(b.subject.has_changes());
    b.wait();
    b.calls(3, outcome::success);
    EXPECT_EQ(b.subject.now(), state::closed);
    b.drain();
    EXPECT_TRUE(b.subject.adopt(told(6, state::open, 2s), b.now));
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_TRUE(b.subject.fleet());
    EXPECT_EQ(b.drain().size(), 1u);
}

TEST(circuit_core, b39_what_it_opened_alone_stays_open_when_redis_returns_with_nothing_new) {
    bench b;
    b.subject.adopt(told(6, state::closed), b.now);
    b.subject.detach(b.now);
    b.trip();
    b.subject.adopt(told(6, state::closed), b.now);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_TRUE(b.subject.attached());
}

TEST(circuit_core, a_first_word_from_redis_does_not_forget_what_was_counted_before_it) {
    bench b;
    auto const leave = b.subject.acquire(b.now);
    b.calls(2, outcome::failure);
    b.subject.adopt(told(99, state::closed), b.now);
    b.subject.record(leave, outcome::failure, 1ms, b.now);
    EXPECT_EQ(b.subject.counts(b.now), (tally{3, 3, 0}));
}

} // namespace
} // namespace weir::circuit
