#include <weir/rate_limit/check_script.hpp>
#include <weir/rate_limit/fixed_window.hpp>
#include <weir/rate_limit/lease_table.hpp>
#include <weir/rate_limit/rule.hpp>

#include <gtest/gtest.h>

namespace weir {
namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;

TEST(rule, an_override_changes_for_its_user_what_it_names) {
    rule r{.name = "r", .algorithm = algorithm::token_bucket, .limit = 10, .window = 1s, .burst = 20};
    r.overrides["big"].limit = 1000;
    r.overrides["slow"].window = 1h;
    r.overrides["spiky"].burst = 50;
    r.overrides["nobody"].limit = 0;
    EXPECT_EQ(terms_of(r, "anyone").burst, 20u);
    EXPECT_EQ(terms_of(r, "big").limit, 1000u);
    EXPECT_EQ(terms_of(r, "big").burst, 1000u) << "a burst of its own only where it is said";
    EXPECT_EQ(terms_of(r, "slow").window, 1h);
    EXPECT_EQ(terms_of(r, "spiky").burst, 50u);
    EXPECT_EQ(terms_of(r, "nobody").burst, 0u);
    EXPECT_EQ(problem_of(r), "");
}

TEST(rule, says_what_is_out_of_range_and_for_whom) {
    auto const problem = [](auto change) {
        rule r{.name = "r", .limit = 5, .window = 1s};
        change(r);
        return problem_of(r);
    };
    EXPECT_EQ(problem([](rule& r) { r.limit = max_limit + 1; }), "limit is above 140737488355327");
    EXPECT_EQ(problem([](rule& r) { r.window = 0ms; }), "window is not between 1 ms and 366 days");
    EXPECT_EQ(problem([](rule& r) { r.burst = 5; }), "burst belongs to a token_bucket");
    EXPECT_NE(problem([](rule& r) {
                  r.algorithm = algorithm::token_bucket;
                  r.window = max_window;
                  r.burst = 6;
              }),
              "");
    EXPECT_NE(problem([](rule& r) {
                  r.algorithm = algorithm::concurrency;
                  r.limit = max_concurrency + 1;
              }),
              "");
    EXPECT_NE(problem([](rule& r) { r.penalty.after = 3; }), "");
    EXPECT_EQ(problem([](rule& r) { r.overrides["eve"].limit = max_limit + 1; }),
              "overrides: eve: limit is above 140737488355327");
}

TEST(rule, its_lists_decide_without_asking_and_denial_wins) {
    rule r{.name = "r", .limit = 5, .window = 1s};
    r.allow = {"friend", "both"};
    r.deny = {"foe", "both"};
    auto const decide = [&](key_part user, bool expected) {
        check_request request;
        std::vector<charge> const charges{{&r, user, "e"}};
        EXPECT_FALSE(request.assign(charges, "", key_layout::standalone));
        EXPECT_EQ(request.decided_by_lists(), expected);
        decision d;
        request.decide_by_lists(d);
        return d;
    };
    auto const friendly = decide("friend", true);
    EXPECT_TRUE(friendly.allowed);
    EXPECT_TRUE(friendly.rules[0].listed);
    EXPECT_FALSE(friendly.refused_by_list());
    for (auto const* who : {"foe", "both"}) {
        auto const refused = decide(who, true);
        EXPECT_FALSE(refused.allowed);
        EXPECT_EQ(refused.retry_after, never);
        EXPECT_TRUE(refused.refused_by_list());
    }
    decide("other", false);
    decide(key_part::any(), false);
    r.shadow = true;
    auto const tried = decide("foe", true);
    EXPECT_TRUE(tried.allowed) << "on trial";
    EXPECT_FALSE(tried.refused_by_list());
}

TEST(decision, a_rule_on_trial_or_decided_by_a_list_binds_nobody) {
    rule const trial{.name = "trial", .limit = 10, .shadow = true}, real{.name = "real", .limit = 10};
    decision d;
    auto const say = [&](rule const& r, std::uint64_t remaining, bool listed) {
        rule_decision one;
        one.rule = &r;
        one.allowed = true;
        one.outcome = outcome::allow;
        one.listed = listed;
        one.limit = 10;
        one.remaining = remaining;
        d.rules.push_back(one);
    };
    say(trial, 1, false);
    say(real, 10, true);
    say(real, 9, false);
    conclude(d);
    EXPECT_TRUE(d.allowed);
    EXPECT_EQ(d.binding, 2u);
}

TEST(fixed_window, begins_anew_at_each_multiple_of_its_length) {
    fixed_window window;
    auto const day = std::chrono::duration_cast<microseconds>(24h);
    EXPECT_TRUE(window.ask(day - 1us, 2, day, 2).admitted);
    window.charge(day - 1us, 2);
    auto const refused = window.ask(day - 1us, 2, day, 1);
    EXPECT_FALSE(refused.admitted);
    EXPECT_EQ(refused.retry_after, 1us);
    EXPECT_TRUE(window.ask(day, 2, day, 2).admitted);
}

TEST(lease_table, a_holder_has_one_lease_and_its_time_ends_it) {
    lease_table leases;
    auto const take = [&](microseconds now, std::uint64_t who, std::uint64_t units = 1) {
        auto const answer = leases.ask(now, 3, 1s, who, units);
        if (answer.admitted)
            leases.charge(now, who, units);
        return answer;
    };
    EXPECT_TRUE(take(0us, 1, 2).admitted);
    EXPECT_TRUE(take(100ms, 2).admitted);
    EXPECT_EQ(take(200ms, 3).retry_after, 800ms);
    EXPECT_TRUE(take(500ms, 1, 2).admitted) << "a new lease for what it has";
    EXPECT_EQ(take(600ms, 3).retry_after, 500ms) << "now the other ends first";
    EXPECT_EQ(leases.release(1), 2u);
    EXPECT_EQ(leases.release(1), 0u);
    EXPECT_TRUE(take(600ms, 3, 2).admitted);
    EXPECT_TRUE(take(1100ms, 4).admitted);
    EXPECT_LT(take(1100ms, 5, 4).retry_after.count(), 0);
}

} // namespace
} // namespace weir
