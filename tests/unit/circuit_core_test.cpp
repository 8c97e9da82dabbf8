#include "support/timed_circuit.hpp"

// When it trips, what it refuses then, and what is set by hand: the behaviours of the specification, by number. On the
// way back: circuit_recovery_test.cpp; under the fleet's state: circuit_adoption_test.cpp.

namespace weir::circuit {
namespace {

using namespace std::chrono_literals;
using test::timed_circuit;

TEST(circuit_core, b01_below_the_minimum_the_rate_is_undefined_and_never_trips) {
    timed_circuit b;
    b.calls(3, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::closed);
    EXPECT_FALSE(b.subject.has_changes());
}

TEST(circuit_core, b02_it_trips_on_exactly_the_result_that_completes_the_minimum) {
    timed_circuit b;
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
    auto how = timed_circuit::small();
    how.minimum_calls = 10;
    timed_circuit b(how);
    for (int i = 0; i < 1000; ++i)
        b.call(i % 5 < 2 ? outcome::failure : outcome::success); // 40 % of any ten
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_core, b03_a_success_that_completes_the_minimum_can_trip) {
    timed_circuit b;
    b.calls(3, outcome::failure);
    b.call(outcome::success);
    EXPECT_EQ(b.subject.now(), state::open);
}

TEST(circuit_core, b04_a_threshold_of_all_still_trips) {
    auto how = timed_circuit::small();
    how.failure_rate = 1;
    timed_circuit b(how);
    b.calls(4, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::open);
    timed_circuit c(how);
    c.call(outcome::success);
    c.calls(9, outcome::failure);
    EXPECT_EQ(c.subject.now(), state::closed);
    c.call(outcome::failure);
    EXPECT_EQ(c.subject.now(), state::open) << "the success has left the window";
}

TEST(circuit_core, b05_the_minimum_of_a_count_window_is_clamped_to_its_size) {
    auto how = timed_circuit::small();
    how.minimum_calls = 1000;
    timed_circuit b(how);
    b.calls(9, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::closed);
    b.call(outcome::failure);
    EXPECT_EQ(b.subject.now(), state::open);
}

TEST(circuit_core, b05_the_minimum_of_a_time_window_is_not_clamped) {
    auto how = timed_circuit::small();
    how.window = window_kind::time;
    how.window_calls = 1;
    how.minimum_calls = 1000;
    timed_circuit b(how);
    b.calls(999, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::closed);
    b.call(outcome::failure);
    EXPECT_EQ(b.subject.now(), state::open);
}

TEST(circuit_core, b08_a_result_from_an_expired_bucket_does_not_trip) {
    auto how = timed_circuit::small();
    how.window = window_kind::time;
    timed_circuit b(how);
    auto const early = b.now;
    b.now += 20s;
    b.calls(4, outcome::success);
    auto const leave = b.subject.acquire(b.now);
    for (int i = 0; i < 20; ++i)
        b.subject.record(leave, outcome::failure, 1ms, early);
    EXPECT_EQ(b.subject.now(), state::closed);
    EXPECT_EQ(b.subject.counts(b.now), (tally{4, 0, 0}));
}

TEST(circuit_core, b09_slow_is_strictly_longer_than_the_threshold) {
    timed_circuit b(timed_circuit::with_slow_calls());
    for (int i = 0; i < 10; ++i)
        b.call(outcome::success, 100ms);
    EXPECT_EQ(b.subject.now(), state::closed);
    EXPECT_EQ(b.subject.counts(b.now).slow, 0u);
    b.call(outcome::success, 100ms + 1ns);
    EXPECT_EQ(b.subject.counts(b.now).slow, 1u);
}

TEST(circuit_core, b10_slow_successes_alone_trip) {
    timed_circuit b(timed_circuit::with_slow_calls());
    for (int i = 0; i < 4; ++i)
        b.call(outcome::success, 1s);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.drain().at(0).why, reason::slow_rate);
}

TEST(circuit_core, b11_slow_failures_count_in_both) {
    timed_circuit b(timed_circuit::with_slow_calls());
    b.call(outcome::failure, 1s);
    EXPECT_EQ(b.subject.counts(b.now), (tally{1, 1, 1}));
}

TEST(circuit_core, b12_a_success_resets_consecutive_failures) {
    auto how = timed_circuit::small();
    how.failure_rate = 1;
    how.consecutive_failures = 3;
    timed_circuit b(how);
    b.calls(2, outcome::failure);
    b.call(outcome::success);
    b.calls(2, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::closed);
    b.call(outcome::failure);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.drain().at(0).why, reason::consecutive_failures);
}

TEST(circuit_core, b12_consecutive_failures_too_trip_from_the_minimum_on) {
    auto how = timed_circuit::small();
    how.consecutive_failures = 2;
    how.failure_rate = 1;
    timed_circuit b(how);
    b.call(outcome::success);
    b.calls(2, outcome::failure);
    EXPECT_EQ(b.subject.now(), state::closed) << "three results";
    b.call(outcome::failure);
    EXPECT_EQ(b.subject.now(), state::open);
}

TEST(circuit_core, b13_open_refuses_counts_the_refusal_and_keeps_what_tripped_it) {
    timed_circuit b;
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
    timed_circuit b;
    b.trip();
    for (int i = 0; i < 100; ++i) {
        auto const refused = b.subject.acquire(b.now);
        b.subject.record(refused, outcome::failure, 1s, b.now);
    }
    EXPECT_EQ(b.subject.counts(b.now), (tally{4, 4, 0}));
}

TEST(circuit_core, b31_forced_open_ignores_time_and_results) {
    timed_circuit b;
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
    timed_circuit b;
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
    timed_circuit b;
    b.subject.set(state::disabled, -1ns, b.now);
    b.drain();
    b.calls(100, outcome::failure);
    EXPECT_EQ(b.subject.counts(b.now), tally{});
    EXPECT_FALSE(b.subject.has_changes());
    EXPECT_EQ(b.subject.refused(), 0u);
}

TEST(circuit_core, b33_metrics_only_never_refuses_and_each_threshold_event_fires_once) {
    auto how = timed_circuit::with_slow_calls();
    timed_circuit b(how);
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
    timed_circuit b;
    EXPECT_FALSE(b.subject.set(state::half_open, -1ns, b.now));
    EXPECT_EQ(b.subject.now(), state::closed);
    EXPECT_FALSE(b.subject.has_changes());
}

TEST(circuit_core, b34_a_transition_to_itself_says_nothing) {
    timed_circuit b;
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
    settings how = timed_circuit::small();
    how.window = window_kind::time;
    how.window_time = 10s;
    timed_circuit b(how);
    for (int hour = 0; hour < 1000; ++hour) {
        b.calls(3, outcome::failure);
        b.now += 1h;
        b.subject.on_time(b.now);
    }
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_core, failures_of_our_own_side_open_this_instance_and_are_not_told_the_fleet) {
    timed_circuit b;
    b.calls(4, outcome::local_failure);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_EQ(b.subject.shared_counts(b.now), tally{});
    EXPECT_FALSE(b.subject.shared_run());
}

} // namespace
} // namespace weir::circuit
