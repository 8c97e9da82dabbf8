#include "support/circuit_runner.hpp"
#include "support/redis_server.hpp"

#include <weir/circuit/script.hpp>

#include <gtest/gtest.h>

#include <map>

// The circuit's scripts on a real server, with a clock that the test sets.

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using circuit::caller;
using circuit::override_request;
using circuit::probe;
using circuit::reason;
using circuit::report;
using circuit::settings;
using circuit::state;
using circuit::tally;
using std::chrono::microseconds;

/// A fleet that speaks with one server by hand.
class circuit_script : public ::testing::Test {
protected:
    static void SetUpTestSuite() { server_ = new redis_server; }
    static void TearDownTestSuite() {
        delete server_;
        server_ = nullptr;
    }

    void SetUp() override {
        server_->run({"FLUSHALL"});
        how.minimum_calls = 10;
        how.open_for = 5s;
        how.jitter = 0;
        redis.set_time(1'800'000'000s);
    }

    circuit::script_calls calls(std::string instance) const {
        return {"", "api", key_layout::standalone, how, gather, std::move(instance)};
    }
    /// An instance says what its window holds.
    circuit::script_answer tell(std::string const& instance, tally counts, bool run = false,
                                std::string_view error = {}) {
        return believe(redis.run(calls(instance), who, report{counts, run, error}));
    }
    circuit::script_answer ask() { return believe(redis.run(calls("asks"), who, report{})); }
    circuit::script_answer lease(std::string const& instance = "a") {
        return believe(redis.run(calls(instance), who, probe{}));
    }
    circuit::script_answer result(std::uint64_t lease, bool failed, bool slow = false) {
        return believe(redis.run(calls("a"), who, probe{probe::ask::result, lease, failed, slow}));
    }
    circuit::script_answer give_back(std::uint64_t lease) {
        return believe(redis.run(calls("a"), who, probe{probe::ask::give_back, lease}));
    }
    circuit::script_answer set(std::optional<state> to, std::chrono::milliseconds lasts = 0ms) {
        return believe(redis.run(calls("cli"), override_request{to, lasts, "ada", "the upstream burns"}));
    }
    circuit::script_answer believe(circuit::script_answer const& answer) {
        who.epoch = answer.view.epoch;
        who.believed = answer.view.now;
        return answer;
    }
    void trip() {
        tell("a", {10, 10, 0});
        ASSERT_EQ(ask().view.now, state::open);
    }
    void to_half_open() {
        trip();
        redis.set_time(redis.time() + 5s);
        ASSERT_EQ(ask().view.now, state::half_open);
    }
    std::string field(std::string const& name) { return redis.command({"HGET", "circuit:api", name}); }
    std::size_t events() { return redis.heard().size(); }
    std::chrono::milliseconds ttl() {
        return std::chrono::milliseconds{std::stoll(redis.command({"PTTL", "circuit:api"}))};
    }

    static inline redis_server* server_ = nullptr;
    circuit_runner redis{server_->socket_path()};
    settings how;
    std::chrono::milliseconds gather{0};
    caller who;
};

TEST_F(circuit_script, b40_a_missing_hash_is_closed_and_asking_makes_none) {
    auto const answer = ask();
    EXPECT_EQ(answer.view.now, state::closed);
    EXPECT_EQ(answer.view.epoch, 0u);
    EXPECT_LT(answer.view.remaining.count(), 0);
    EXPECT_EQ(redis.command({"EXISTS", "circuit:api"}), "0");
    tell("a", {});
    EXPECT_EQ(redis.command({"EXISTS", "circuit:api"}), "0") << "nor does an instance without calls";
}

TEST_F(circuit_script, b40_a_key_of_another_type_is_closed_and_left_alone) {
    redis.command({"SET", "circuit:api", "a stranger's"});
    who = {77, state::closed, 0};
    auto answer = tell("a", {10, 10, 0});
    EXPECT_EQ(answer.view.now, state::closed);
    EXPECT_EQ(answer.view.epoch, 77u);
    who = {77, state::open, 0};
    answer = lease();
    EXPECT_EQ(answer.view.now, state::closed);
    EXPECT_EQ(answer.view.epoch, 78u) << "who believes it open adopts that";
    EXPECT_EQ(answer.extra, 0u);
    EXPECT_EQ(redis.command({"GET", "circuit:api"}), "a stranger's");
}

TEST_F(circuit_script, b40_a_hash_without_sense_is_closed_and_written_anew) {
    redis.command({"HSET", "circuit:api", "state", "ajar", "epoch", "soon", "calls", "many"});
    EXPECT_EQ(ask().view.now, state::closed);
    tell("a", {5, 5, 0});
    EXPECT_EQ(field("state"), "closed");
    EXPECT_EQ(field("calls"), "5");
}

TEST_F(circuit_script, b40_a_lost_hash_closes_what_was_open_with_a_higher_epoch_and_one_event) {
    trip();
    auto const before = who;
    redis.command({"DEL", "circuit:api"});
    events();
    auto const answer = ask();
    EXPECT_EQ(answer.view.now, state::closed);
    EXPECT_GT(answer.view.epoch, before.epoch);
    EXPECT_EQ(answer.view.why, reason::state_lost);
    EXPECT_EQ(events(), 1u);
    who = before;
    ask();
    EXPECT_EQ(events(), 0u) << "the next who learns of it says nothing";
}

TEST_F(circuit_script, an_epoch_grows_though_the_state_is_lost_and_the_clock_steps_back) {
    trip();
    auto last = who.epoch;
    for (int i = 0; i < 5; ++i) {
        redis.command({"DEL", "circuit:api"});
        redis.set_time(redis.time() - 1h);
        ask();
        EXPECT_GT(who.epoch, last);
        last = who.epoch;
        trip();
        EXPECT_GT(who.epoch, last);
        last = who.epoch;
    }
}

TEST_F(circuit_script, a_replica_that_lags_learns_the_epoch_from_who_knows_it) {
    tell("a", {5, 0, 0});
    auto const old = who.epoch;
    who = {old + 1000, state::open, 0};
    events();
    auto const answer = ask();
    EXPECT_EQ(answer.view.now, state::closed);
    EXPECT_GT(answer.view.epoch, old + 1000);
    EXPECT_EQ(events(), 1u);
}

TEST_F(circuit_script, b01_b02_the_fleet_trips_on_exactly_its_minimum) {
    tell("a", {4, 4, 0});
    tell("b", {5, 5, 0});
    EXPECT_EQ(ask().view.now, state::closed);
    EXPECT_EQ(events(), 0u);
    auto const answer = tell("b", {6, 6, 0});
    EXPECT_EQ(answer.view.now, state::open);
    EXPECT_EQ(answer.view.why, reason::failure_rate);
    EXPECT_EQ(answer.view.remaining, 5s);
    EXPECT_EQ(events(), 1u);
}

TEST_F(circuit_script, b03_a_success_that_completes_the_minimum_can_trip) {
    tell("a", {9, 5, 0});
    EXPECT_EQ(ask().view.now, state::closed);
    EXPECT_EQ(tell("a", {10, 5, 0}).view.now, state::open);
}

TEST_F(circuit_script, b10_slow_calls_of_the_fleet_trip) {
    how.slow_rate = 0.5;
    auto const answer = tell("a", {10, 0, 5});
    EXPECT_EQ(answer.view.now, state::open);
    EXPECT_EQ(answer.view.why, reason::slow_rate);
}

TEST_F(circuit_script, b12_failures_in_a_row_trip_by_the_quorum_of_those_who_see_them) {
    tell("b", {10, 1, 0}, false);
    tell("a", {10, 1, 0}, true);
    EXPECT_EQ(ask().view.now, state::closed);
    auto const answer = tell("b", {10, 1, 0}, true);
    EXPECT_EQ(answer.view.now, state::open);
    EXPECT_EQ(answer.view.why, reason::consecutive_failures);
}

TEST_F(circuit_script, a_report_that_comes_twice_counts_once) {
    for (int i = 0; i < 10; ++i)
        tell("a", {5, 5, 0});
    EXPECT_EQ(ask().view.now, state::closed);
    EXPECT_EQ(field("calls"), "5");
}

TEST_F(circuit_script, one_of_eight_with_a_bad_network_does_not_open_the_fleets_circuit) {
    how.failure_rate = 0.1;
    for (char const* each : {"a", "b", "c", "d", "e", "f", "g"})
        tell(each, {100, 0, 0});
    for (int i = 1; i <= 50; ++i)
        EXPECT_EQ(tell("h", {20u * i, 20u * i, 0}).view.now, state::closed);
    EXPECT_EQ(events(), 0u);
}

TEST_F(circuit_script, the_first_who_speaks_after_a_change_is_no_majority_before_the_others_could_be_heard) {
    gather = 300ms;
    tell("h", {50, 50, 0});
    redis.set_time(redis.time() + 300ms - 1us);
    EXPECT_EQ(tell("h", {60, 60, 0}).view.now, state::closed);
    tell("a", {10, 0, 0});
    redis.set_time(redis.time() + 1us);
    EXPECT_EQ(tell("h", {60, 60, 0}).view.now, state::closed) << "one of two";
    EXPECT_EQ(tell("a", {20, 10, 0}).view.now, state::open);
}

TEST_F(circuit_script, half_of_the_instances_are_no_majority_one_more_is) {
    for (char const* each : {"a", "b"})
        tell(each, {100, 0, 0});
    for (char const* each : {"c", "d"})
        tell(each, {200, 200, 0});
    EXPECT_EQ(ask().view.now, state::closed);
    EXPECT_EQ(tell("e", {100, 100, 0}).view.now, state::open);
    EXPECT_NE(field("tripped").find("\"votes\":3"), std::string::npos) << field("tripped");
}

TEST_F(circuit_script, a_quorum_that_is_smaller_than_a_majority_holds_and_a_larger_one_does_not) {
    how.trip_quorum = 2;
    for (char const* each : {"a", "b", "c", "d"})
        tell(each, {10, 0, 0});
    tell("e", {500, 500, 0});
    EXPECT_EQ(ask().view.now, state::closed);
    EXPECT_EQ(tell("f", {500, 500, 0}).view.now, state::open);
    server_->run({"FLUSHALL"});
    who = {};
    how.trip_quorum = 100;
    EXPECT_EQ(tell("a", {10, 10, 0}).view.now, state::open) << "alone, one is a majority";
}

TEST_F(circuit_script, who_was_silent_for_a_window_is_neither_counted_nor_asked_for_a_vote) {
    for (char const* each : {"a", "b", "c", "d", "e"})
        tell(each, {100, 0, 0});
    redis.set_time(redis.time() + how.window_time);
    EXPECT_EQ(tell("f", {10, 10, 0}).view.now, state::open);
    EXPECT_EQ(field("i:a"), "(nil)");
}

TEST_F(circuit_script, counts_of_another_epoch_do_not_count) {
    to_half_open();
    auto const stale = who;
    for (int i = 0; i < 3; ++i)
        result(lease().extra, false);
    ASSERT_EQ(ask().view.now, state::closed);
    auto const fresh = who;
    who = stale;
    EXPECT_EQ(tell("a", {100, 100, 0}).view.now, state::closed);
    EXPECT_EQ(who.epoch, fresh.epoch);
    EXPECT_EQ(tell("a", {100, 100, 0}).view.now, state::open) << "now it knows the epoch";
}

TEST_F(circuit_script, why_it_tripped_is_kept_with_counts_voters_and_errors) {
    tell("a", {6, 6, 1}, false, "connection refused");
    tell("b", {6, 6, 2}, false, "timed out");
    auto const text = field("tripped");
    for (char const* part :
         {"\"reason\":\"failure_rate\"", "\"calls\":12", "\"failures\":12", "\"slow\":3", "\"voters\":2", "\"votes\":2",
          "connection refused", "timed out", "\"at\":\"1800000000000000\""})
        EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
    to_half_open();
    EXPECT_EQ(field("tripped"), text) << "it outlives the changes that follow";
}

TEST_F(circuit_script, b16_open_ends_by_time_with_one_event_whoever_asks) {
    trip();
    events();
    redis.set_time(redis.time() + 5s - 1us);
    EXPECT_EQ(ask().view.remaining, 1us);
    EXPECT_EQ(ask().view.now, state::open);
    redis.set_time(redis.time() + 1us);
    EXPECT_EQ(ask().view.now, state::half_open);
    EXPECT_EQ(ask().view.now, state::half_open);
    EXPECT_EQ(events(), 1u);
}

TEST_F(circuit_script, b15_the_first_who_asks_for_a_lease_after_the_wait_gets_it_at_once) {
    trip();
    redis.set_time(redis.time() + 5s);
    auto const answer = lease();
    EXPECT_EQ(answer.view.now, state::half_open);
    EXPECT_EQ(answer.extra, 1u);
    EXPECT_EQ(answer.lease_lasts, 10s);
}

TEST_F(circuit_script, b17_half_open_lends_exactly_so_many_over_the_fleet) {
    to_half_open();
    int lent = 0;
    for (int i = 0; i < 50; ++i)
        lent += lease("instance" + std::to_string(i % 8)).extra != 0 ? 1 : 0;
    EXPECT_EQ(lent, 3);
}

TEST_F(circuit_script, b18_entering_it_again_restores_exactly_so_many) {
    to_half_open();
    for (int round = 0; round < 3; ++round) {
        std::vector<std::uint64_t> leases;
        for (int i = 0; i < 10; ++i)
            if (auto const one = lease().extra)
                leases.push_back(one);
        ASSERT_EQ(leases.size(), 3u);
        for (auto const each : leases)
            result(each, true);
        auto const answer = ask();
        ASSERT_EQ(answer.view.now, state::open);
        EXPECT_EQ(answer.view.why, reason::probes_failed);
        redis.set_time(redis.time() + answer.view.remaining);
        ASSERT_EQ(ask().view.now, state::half_open);
    }
}

TEST_F(circuit_script, b19_b21_a_lease_given_back_is_free_and_counts_nothing) {
    to_half_open();
    std::vector<std::uint64_t> const leases{lease().extra, lease().extra, lease().extra};
    EXPECT_EQ(lease().extra, 0u);
    give_back(leases[1]);
    EXPECT_EQ(field("done"), "0");
    EXPECT_NE(lease().extra, 0u);
    EXPECT_EQ(lease().extra, 0u);
}

TEST_F(circuit_script, b20_leases_given_back_never_wedge_it) {
    to_half_open();
    for (int i = 0; i < 100; ++i) {
        auto const one = lease().extra;
        ASSERT_NE(one, 0u);
        give_back(one);
    }
    EXPECT_EQ(ask().view.now, state::half_open);
}

TEST_F(circuit_script, b22_a_lease_given_back_twice_or_late_frees_no_other) {
    to_half_open();
    auto const first = lease().extra;
    give_back(first);
    lease();
    lease();
    lease();
    for (int i = 0; i < 5; ++i)
        give_back(first);
    EXPECT_EQ(lease().extra, 0u);
}

TEST_F(circuit_script, b23_probes_reopen_or_close_it) {
    how.slow_rate = 0.5;
    to_half_open();
    result(lease().extra, false, true);
    result(lease().extra, false, true);
    auto answer = result(lease().extra, false);
    EXPECT_EQ(answer.view.now, state::open);
    EXPECT_EQ(answer.view.why, reason::probes_slow);
    EXPECT_EQ(answer.view.remaining, 10s) << "the second opening lasts twice as long";
    redis.set_time(redis.time() + 10s);
    for (int i = 0; i < 3; ++i)
        answer = result(lease().extra, false);
    EXPECT_EQ(answer.view.now, state::closed);
    EXPECT_EQ(answer.view.why, reason::probes_passed);
    EXPECT_EQ(tell("a", {9, 9, 0}).view.now, state::closed) << "with a fresh window";
}

TEST_F(circuit_script, b24_a_half_open_without_results_ends_by_its_deadline) {
    to_half_open();
    lease();
    redis.set_time(redis.time() + how.half_open_for);
    auto const answer = ask();
    EXPECT_EQ(answer.view.now, state::open);
    EXPECT_EQ(answer.view.why, reason::no_results);
    EXPECT_EQ(answer.view.remaining, 5s) << "silence is no reason to wait longer";
}

TEST_F(circuit_script, b25_a_dead_probers_lease_returns) {
    to_half_open();
    for (int i = 0; i < 3; ++i)
        lease("dies");
    redis.set_time(redis.time() + how.probe_timeout - 1us);
    EXPECT_EQ(lease("lives").extra, 0u);
    redis.set_time(redis.time() + 1us);
    int lent = 0;
    for (int i = 0; i < 10; ++i)
        lent += lease("lives").extra != 0 ? 1 : 0;
    EXPECT_EQ(lent, 3);
    auto const late = result(1, false);
    EXPECT_EQ(field("done"), "0") << "and its late result does not count";
    EXPECT_EQ(late.view.now, state::half_open);
}

TEST_F(circuit_script, b26_a_probe_of_another_epoch_changes_nothing) {
    to_half_open();
    auto const early = who;
    auto const lease_then = lease().extra;
    set(state::open);
    redis.set_time(redis.time() + how.open_for);
    lease();
    who = early;
    result(lease_then, true);
    EXPECT_EQ(field("done"), "0");
}

TEST_F(circuit_script, b27_late_reports_in_open_neither_fire_again_nor_extend_the_wait) {
    trip();
    events();
    redis.set_time(redis.time() + 1s);
    for (char const* each : {"a", "b", "c"})
        EXPECT_EQ(tell(each, {1000, 1000, 0}).view.remaining, 4s);
    EXPECT_EQ(events(), 0u);
}

TEST_F(circuit_script, b29_backoff_grows_per_reopen_and_resets_after_health) {
    how.open_max = 15s;
    to_half_open();
    std::vector<microseconds> waits;
    for (int i = 0; i < 3; ++i) {
        circuit::script_answer answer;
        for (int j = 0; j < 3; ++j)
            answer = result(lease().extra, true);
        waits.push_back(answer.view.remaining);
        redis.set_time(redis.time() + answer.view.remaining);
        ask();
    }
    EXPECT_EQ(waits, (std::vector<microseconds>{10s, 15s, 15s}));
    for (int j = 0; j < 3; ++j)
        result(lease().extra, false);
    redis.set_time(redis.time() + how.healthy_for - 1us);
    EXPECT_EQ(tell("a", {10, 10, 0}).view.remaining, 15s) << "too soon to be another matter";
    set(state::closed);
    EXPECT_EQ(tell("a", {10, 10, 0}).view.remaining, 5s) << "by hand it starts over";
}

TEST_F(circuit_script, b29_b30_waits_are_those_of_the_core_huge_ones_too) {
    struct one {
        std::chrono::milliseconds first, most;
        double growth, jitter;
    };
    for (auto const& [first, most, growth, jitter] :
         {one{1ms, 60s, 1.001, 0.0}, one{7ms, 500ms, 1.7, 1.0}, one{circuit::longest, circuit::longest, 100.0, 1.0},
          one{1ms, circuit::longest, 100.0, 0.3}}) {
        server_->run({"FLUSHALL"});
        how.open_for = first;
        how.open_max = most;
        how.open_backoff = growth;
        how.jitter = jitter;
        how.healthy_for = 0ms;
        how.half_open_calls = 1;
        who = {};
        redis.set_time(1'800'000'000s);
        for (std::uint32_t openings = 1; openings < 6; ++openings) {
            who.random = openings * 1999;
            auto const answer = openings == 1 ? tell("a", {10, 10, 0}) : result(lease().extra, true);
            EXPECT_EQ(answer.view.remaining, microseconds{wait_of(how, openings, openings * 1999)}) << openings;
            redis.set_time(redis.time() + answer.view.remaining);
        }
    }
}

TEST_F(circuit_script, b31_forced_open_ignores_time_and_results_until_its_end) {
    set(state::forced_open, 10min);
    redis.set_time(redis.time() + 10min - 1us);
    EXPECT_EQ(tell("a", {1000, 0, 0}).view.now, state::forced_open);
    EXPECT_EQ(lease().extra, 0u);
    redis.set_time(redis.time() + 1us);
    auto const answer = ask();
    EXPECT_EQ(answer.view.now, state::half_open);
    EXPECT_EQ(answer.view.why, reason::override_over);
}

TEST_F(circuit_script, b32_b33_disabled_and_metrics_only_never_trip) {
    for (auto const each : {state::disabled, state::metrics_only}) {
        set(each);
        events();
        EXPECT_EQ(tell("a", {1000, 1000, 0}).view.now, each);
        EXPECT_EQ(events(), 0u);
        set(std::nullopt);
        EXPECT_EQ(ask().view.now, state::closed);
    }
}

TEST_F(circuit_script, b34_closed_to_half_open_is_illegal_and_to_itself_says_nothing) {
    EXPECT_EQ(set(state::half_open).extra, 0u);
    EXPECT_EQ(set(state::closed).extra, 2u);
    EXPECT_EQ(set(std::nullopt).extra, 2u);
    EXPECT_EQ(redis.command({"EXISTS", "circuit:api"}), "0");
    trip();
    events();
    EXPECT_EQ(set(state::open).extra, 2u);
    EXPECT_EQ(events(), 0u);
    EXPECT_EQ(set(state::half_open).extra, 1u);
}

TEST_F(circuit_script, an_override_says_who_and_why_in_the_hash_and_in_the_history) {
    EXPECT_EQ(set(state::forced_open, 1min).extra, 1u);
    EXPECT_EQ(field("who"), "ada");
    EXPECT_EQ(field("note"), "the upstream burns");
    EXPECT_EQ(redis.command({"XLEN", "stream:circuit:api"}), "1");
    set(std::nullopt);
    EXPECT_EQ(field("state"), "half_open") << "who was kept shut is tried first";
    EXPECT_EQ(redis.command({"XLEN", "stream:circuit:api"}), "2");
    EXPECT_EQ(redis.command({"TTL", "stream:circuit:api"}), "604800");
}

TEST_F(circuit_script, b37_many_who_trip_it_publish_one_event) {
    for (int i = 0; i < 20; ++i) {
        who = {};
        tell("instance" + std::to_string(i), {50, 50, 0});
    }
    auto const said = redis.heard();
    ASSERT_EQ(said.size(), 1u);
    EXPECT_EQ(redis.command({"XLEN", "stream:circuit:api"}), "1");
    auto const message = circuit::read_message(said[0]);
    ASSERT_TRUE(message) << said[0];
    EXPECT_EQ(message->view.now, state::open);
    EXPECT_EQ(message->view.remaining, 5s);
    EXPECT_EQ(message->view.epoch, who.epoch);
    EXPECT_EQ(message->at, redis.time());
    EXPECT_LT(message->before, message->view.epoch);
}

TEST_F(circuit_script, the_key_lives_five_minutes_and_longer_than_the_window_and_the_wait) {
    tell("a", {1, 0, 0});
    EXPECT_GE(ttl(), 5min - 1s);
    how.window_time = 1h;
    server_->run({"FLUSHALL"});
    tell("a", {1, 0, 0});
    EXPECT_GT(ttl(), 1h);
    how.open_for = how.open_max = 48h;
    trip();
    EXPECT_GT(ttl(), 48h + 1h);
    set(state::forced_open, 1000h);
    EXPECT_GT(ttl(), 1000h);
    set(state::disabled);
    EXPECT_EQ(redis.command({"PTTL", "circuit:api"}), "-1") << "by hand and without end";
    tell("a", {1, 0, 0});
    EXPECT_EQ(redis.command({"PTTL", "circuit:api"}), "-1");
}

TEST_F(circuit_script, a_clock_that_steps_back_makes_no_wait_longer) {
    trip();
    redis.set_time(redis.time() - 1h);
    EXPECT_EQ(ask().view.remaining, 5s);
    redis.set_time(redis.time() + 5s);
    EXPECT_EQ(ask().view.now, state::half_open);
}

TEST_F(circuit_script, a_ramp_lets_growing_shares_through_before_it_closes) {
    how.ramp = {1, 50};
    to_half_open();
    circuit::script_answer answer;
    for (int i = 0; i < 3; ++i)
        answer = result(lease().extra, false);
    EXPECT_EQ(answer.view.now, state::half_open);
    EXPECT_EQ(answer.view.share, 1);
    EXPECT_EQ(tell("a", {3, 0, 0}).view.share, 1) << "the step is not over";
    redis.set_time(redis.time() + 1s);
    EXPECT_EQ(tell("a", {4, 0, 0}).view.share, 50);
    redis.set_time(redis.time() + 1s);
    EXPECT_EQ(tell("a", {2, 0, 0}).view.share, 50) << "too few results";
    EXPECT_EQ(tell("a", {3, 1, 0}).view.now, state::closed);
    EXPECT_EQ(redis.command({"XLEN", "stream:circuit:api"}), "3") << "open, half open, closed";
}

TEST_F(circuit_script, a_ramp_that_fails_opens_again) {
    how.ramp = {10};
    to_half_open();
    for (int i = 0; i < 3; ++i)
        result(lease().extra, false);
    auto const answer = tell("a", {3, 3, 0});
    EXPECT_EQ(answer.view.now, state::open);
    EXPECT_EQ(answer.view.remaining, 10s);
}

} // namespace
} // namespace weir::test
