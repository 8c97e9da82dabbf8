#include <weir/circuit/core.hpp>
#include <weir/circuit/registry.hpp>

#include <gtest/gtest.h>

#include <optional>
#include <vector>

// Permits that leave the instance that gave them, and what another makes of their results.

namespace weir::circuit {
namespace {

using namespace std::chrono_literals;

settings small() {
    settings how;
    how.window = window_kind::count;
    how.window_calls = 10;
    how.minimum_calls = 4;
    how.open_for = 1s;
    how.jitter = 0;
    how.slow_call = 10ms;
    how.ramp = {50};
    return how;
}

/// Two instances of a fleet, without Redis: what it would tell them is said by the test.
class circuit_detached : public testing::Test {
protected:
    void tell(core& whom, std::uint64_t epoch, state now_is, std::uint8_t share = 0) {
        whom.adopt({epoch, now_is, reason::none, now_is == state::closed ? -1us : 60s, share}, now_);
    }
    void tell_both(std::uint64_t epoch, state now_is, std::uint8_t share = 0) {
        tell(here_, epoch, now_is, share);
        tell(there_, epoch, now_is, share);
    }
    detached_permit from(core& whom) { return whom.detach(whom.acquire(now_)); }
    bool bring(core& whom, detached_permit const& of, outcome what = outcome::failure,
               std::chrono::nanoseconds took = 1ms) {
        return whom.record(of, false, what, took, now_);
    }
    static std::vector<probe_result> probes_of(core& whom) {
        std::vector<probe_result> all;
        while (auto const each = whom.next_probe_result())
            all.push_back(*each);
        return all;
    }
    /// A permit that is the probe number `lease`.
    detached_permit probe(core& whom, std::uint64_t epoch, std::uint64_t lease) {
        auto const of = whom.claim(epoch, lease);
        EXPECT_TRUE(of);
        return whom.detach(of);
    }

    time_point now_{1000h};
    core here_{small(), 1}, there_{small(), 2};
};

TEST_F(circuit_detached, a_result_counts_where_it_is_brought) {
    tell_both(7, state::closed);
    auto const of = from(here_);
    ASSERT_TRUE(of);
    EXPECT_EQ(of.epoch, 7u);
    EXPECT_TRUE(bring(there_, of, outcome::failure, 20ms));
    EXPECT_EQ(there_.counts(now_), (tally{1, 1, 1}));
    EXPECT_EQ(here_.counts(now_), (tally{}));
    EXPECT_TRUE(bring(there_, from(here_), outcome::ignored));
    EXPECT_TRUE(bring(there_, from(here_), outcome::local_failure));
    EXPECT_EQ(there_.counts(now_), (tally{2, 2, 1}));
    EXPECT_EQ(there_.shared_counts(now_), (tally{1, 1, 1})) << "one of our own side is not the fleet's";
}

TEST_F(circuit_detached, results_brought_from_elsewhere_trip) {
    tell_both(7, state::closed);
    for (int i = 0; i < 4; ++i)
        EXPECT_TRUE(bring(there_, from(here_)));
    EXPECT_EQ(there_.now(), state::open);
    EXPECT_FALSE(bring(there_, from(here_))) << "closed where it was given, open alone here";
}

TEST_F(circuit_detached, b26_one_of_another_epoch_changes_nothing) {
    tell_both(7, state::closed);
    auto const old = from(here_);
    tell_both(8, state::open);
    EXPECT_FALSE(bring(there_, old));
    EXPECT_FALSE(there_.record(old, true, outcome::failure, 1ms, now_)) << "nor where it was given";
    tell_both(9, state::half_open);
    EXPECT_FALSE(bring(there_, old));
    tell_both(10, state::closed);
    EXPECT_FALSE(bring(there_, old));
    EXPECT_EQ(there_.counts(now_), (tally{}));
    EXPECT_TRUE(probes_of(there_).empty());
}

TEST_F(circuit_detached, a_circuit_without_an_epoch_yet_is_the_same_everywhere) {
    auto const before = from(here_);
    tell(here_, 7, state::closed);
    auto const after = from(here_);
    EXPECT_TRUE(bring(there_, before));
    EXPECT_TRUE(bring(there_, after)) << "which the other will hear of";
    tell(there_, 7, state::closed);
    EXPECT_TRUE(bring(there_, before));
    EXPECT_EQ(there_.counts(now_).calls, 3u);
    tell(there_, 8, state::open);
    tell(there_, 9, state::closed);
    EXPECT_FALSE(bring(there_, before)) << "much has happened since";
}

TEST_F(circuit_detached, the_instance_that_gave_it_knows_its_own_lives) {
    tell(here_, 7, state::closed);
    auto const old = from(here_);
    for (int i = 0; i < 4; ++i)
        EXPECT_TRUE(here_.record(from(here_), true, outcome::failure, 1ms, now_));
    ASSERT_EQ(here_.now(), state::open);
    now_ = here_.until();
    auto const first = from(here_);
    ASSERT_EQ(here_.now(), state::half_open);
    EXPECT_FALSE(first.fleet);
    EXPECT_FALSE(here_.record(old, true, outcome::success, 1ms, now_));
    EXPECT_FALSE(bring(here_, first, outcome::success)) << "another's probe of its own";
    for (auto const& each : {first, from(here_), from(here_)})
        EXPECT_TRUE(here_.record(each, true, outcome::success, 1ms, now_));
    EXPECT_EQ(here_.share(), 50) << "on the ramp";
}

TEST_F(circuit_detached, the_result_of_a_probe_is_said_to_redis_by_whoever_is_brought_it) {
    tell_both(7, state::half_open);
    EXPECT_TRUE(bring(there_, probe(here_, 7, 1), outcome::failure, 20ms));
    EXPECT_TRUE(bring(there_, probe(here_, 7, 2), outcome::success));
    EXPECT_TRUE(bring(there_, probe(here_, 7, 3), outcome::ignored));
    auto const said = probes_of(there_);
    ASSERT_EQ(said.size(), 3u);
    EXPECT_EQ(said[0].epoch, 7u);
    EXPECT_EQ(said[0].lease, 1u);
    EXPECT_TRUE(said[0].judged && said[0].failed && said[0].slow);
    EXPECT_TRUE(said[1].judged && !said[1].failed && !said[1].slow);
    EXPECT_FALSE(said[2].judged) << "given back";
    EXPECT_TRUE(probes_of(here_).empty());
}

TEST_F(circuit_detached, that_of_a_probe_of_an_epoch_not_heard_of_yet_waits_for_it) {
    tell(there_, 6, state::open);
    tell(here_, 7, state::half_open);
    EXPECT_TRUE(bring(there_, probe(here_, 7, 1)));
    EXPECT_TRUE(there_.awaits_news());
    EXPECT_TRUE(probes_of(there_).empty());
    tell(there_, 7, state::half_open);
    EXPECT_FALSE(there_.awaits_news());
    auto const said = probes_of(there_);
    ASSERT_EQ(said.size(), 1u);
    EXPECT_EQ(said[0].lease, 1u);
    EXPECT_TRUE(said[0].judged && said[0].failed);
}

TEST_F(circuit_detached, what_waits_for_an_epoch_that_never_comes_is_forgotten_and_little) {
    tell(there_, 6, state::open);
    tell(here_, 7, state::half_open);
    for (std::uint64_t lease = 1; lease <= 5; ++lease)
        EXPECT_EQ(bring(there_, probe(here_, 7, lease)), lease <= 3) << "as many as there are probes";
    tell(there_, 9, state::half_open);
    EXPECT_FALSE(there_.awaits_news());
    EXPECT_TRUE(probes_of(there_).empty());
}

TEST_F(circuit_detached, a_probe_outlives_that_its_instance_lost_redis_for_a_moment) {
    tell(here_, 7, state::half_open);
    auto const of = probe(here_, 7, 1);
    here_.detach(now_);
    tell(here_, 7, state::half_open);
    EXPECT_TRUE(here_.record(of, true, outcome::success, 1ms, now_));
    EXPECT_EQ(probes_of(here_).size(), 1u);
}

TEST_F(circuit_detached, without_redis_no_probe_of_the_fleet_is_settled) {
    tell_both(7, state::half_open);
    auto const of = probe(here_, 7, 1);
    there_.detach(now_);
    EXPECT_FALSE(bring(there_, of));
    EXPECT_TRUE(probes_of(there_).empty());
}

TEST_F(circuit_detached, on_a_ramp_results_count_everywhere) {
    tell_both(7, state::half_open, 99);
    std::optional<detached_permit> of;
    while (!of || !*of) // one of a hundred is refused
        of = from(here_);
    EXPECT_TRUE(bring(there_, *of));
    EXPECT_EQ(there_.counts(now_).failures, 1u);
}

TEST_F(circuit_detached, states_set_by_hand_hold) {
    tell_both(7, state::metrics_only);
    EXPECT_TRUE(bring(there_, from(here_)));
    EXPECT_EQ(there_.counts(now_).failures, 1u);
    tell_both(8, state::disabled);
    EXPECT_TRUE(bring(there_, from(here_)));
    EXPECT_EQ(there_.counts(now_).failures, 1u) << "nothing is counted";
    tell_both(9, state::forced_open);
    EXPECT_FALSE(from(here_));
}

TEST_F(circuit_detached, one_that_was_given_before_a_change_cannot_leave_any_more) {
    auto const leave = here_.acquire(now_);
    tell(here_, 7, state::open);
    EXPECT_FALSE(here_.detach(leave));
}

TEST(circuit_detached_registry, a_permit_goes_from_one_breaker_to_another) {
    asio::io_context io;
    registry one(io), other(io);
    auto const how = small();
    auto a = one.get("api", how), b = other.get("api", how);
    auto leave = a.try_acquire();
    auto const of = leave.detach();
    ASSERT_TRUE(of);
    EXPECT_FALSE(leave);
    EXPECT_NE(of.origin, b.try_acquire().detach().origin);
    EXPECT_TRUE(b.record(of, outcome::failure, 20ms, "no"));
    EXPECT_EQ(b.counts(), (tally{1, 1, 1}));
    EXPECT_EQ(a.counts(), (tally{}));
    EXPECT_FALSE(a.record({}, outcome::failure, 1ms));
    EXPECT_FALSE(permit().detach());
}

TEST(circuit_detached_registry, what_it_brings_is_told_at_once) {
    asio::io_context io;
    registry one(io), other(io);
    auto a = one.get("api", small()), b = other.get("api", small());
    int told = 0;
    auto const listening = other.on_change([&](breaker const&, change const& what) {
        EXPECT_EQ(what.to, state::open);
        ++told;
    });
    for (int i = 0; i < 4; ++i)
        EXPECT_TRUE(b.record(a.try_acquire().detach(), outcome::failure, 1ms, "no"));
    EXPECT_EQ(told, 1);
}

} // namespace
} // namespace weir::circuit
