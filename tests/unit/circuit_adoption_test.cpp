#include "support/timed_circuit.hpp"

// The fleet's state over the own one: the behaviours of the specification, by number; more of a fleet is in
// circuit_member_test.cpp and in integration/circuit_*_test.cpp.

namespace weir::circuit {
namespace {

using namespace std::chrono_literals;
using test::timed_circuit;

fleet_view told(std::uint64_t epoch, state now, std::chrono::microseconds remaining = -1us) {
    return {epoch, now, reason::failure_rate, remaining, 0};
}

TEST(circuit_adoption, b26_a_lower_epoch_is_never_adopted) {
    timed_circuit b;
    EXPECT_TRUE(b.subject.adopt(told(7, state::open, 1s), b.now));
    EXPECT_FALSE(b.subject.adopt(told(6, state::closed), b.now));
    EXPECT_FALSE(b.subject.adopt(told(7, state::closed), b.now));
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_TRUE(b.subject.fleet());
}

TEST(circuit_adoption, the_fleets_open_state_ends_by_redis_alone) {
    timed_circuit b;
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

TEST(circuit_adoption, b28_a_fleets_probe_that_is_ignored_or_failed_on_our_side_gives_its_lease_back) {
    timed_circuit b;
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

TEST(circuit_adoption, a_lease_in_hand_is_worthless_after_its_end_or_in_another_epoch) {
    timed_circuit b;
    b.subject.adopt(told(8, state::half_open, 30s), b.now);
    b.subject.lend(8, 41, b.now + 10s);
    b.now += 10s;
    EXPECT_TRUE(b.refused());
    b.subject.lend(7, 42, b.now + 10s);
    EXPECT_TRUE(b.refused());
    EXPECT_EQ(b.subject.next_probe_result()->lease, 42u) << "it is given back";
}

TEST(circuit_adoption, one_instance_opens_its_own_circuit_while_the_fleets_is_closed) {
    timed_circuit b;
    b.subject.adopt(told(5, state::closed), b.now);
    b.trip();
    EXPECT_FALSE(b.subject.fleet());
    EXPECT_EQ(b.subject.fleet_state(), state::closed);
    b.wait();
    b.calls(3, outcome::success);
    EXPECT_EQ(b.subject.now(), state::closed);
}

TEST(circuit_adoption, the_fleets_opening_takes_over_from_the_own_one_without_another_event) {
    timed_circuit b;
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

TEST(circuit_adoption, b39_without_redis_it_goes_on_alone_and_adopts_the_shared_open_on_return) {
    timed_circuit b;
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

TEST(circuit_adoption, b39_what_it_opened_alone_stays_open_when_redis_returns_with_nothing_new) {
    timed_circuit b;
    b.subject.adopt(told(6, state::closed), b.now);
    b.subject.detach(b.now);
    b.trip();
    b.subject.adopt(told(6, state::closed), b.now);
    EXPECT_EQ(b.subject.now(), state::open);
    EXPECT_TRUE(b.subject.attached());
}

TEST(circuit_adoption, a_first_word_from_redis_does_not_forget_what_was_counted_before_it) {
    timed_circuit b;
    auto const leave = b.subject.acquire(b.now);
    b.calls(2, outcome::failure);
    b.subject.adopt(told(99, state::closed), b.now);
    b.subject.record(leave, outcome::failure, 1ms, b.now);
    EXPECT_EQ(b.subject.counts(b.now), (tally{3, 3, 0}));
}

} // namespace
} // namespace weir::circuit
