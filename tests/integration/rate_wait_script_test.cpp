#include "support/redis_server.hpp"
#include "support/script_runner.hpp"
#include "support/seed.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

// Places in time: lua/rate_wait.lua among lua/rate_check.lua and rate_refund.lua, against the definitions.

namespace weir::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// All that was admitted, at the time from which it counts.
struct admitted {
    std::int64_t at;
    std::uint64_t units;
    friend bool operator==(admitted const&, admitted const&) = default;
};

std::uint64_t used_between(std::vector<admitted> const& all, std::int64_t after, std::int64_t until) {
    std::uint64_t sum = 0;
    for (auto const& one : all)
        sum += one.at > after && one.at <= until ? one.units : 0;
    return sum;
}

void expect_within(rule const& r, std::vector<admitted> all) {
    std::sort(all.begin(), all.end(), [](auto const& a, auto const& b) { return a.at < b.at; });
    auto const window = microseconds{r.window}.count();
    double owed = 0;
    std::int64_t last = 0;
    for (auto const& one : all) {
        if (r.algorithm == algorithm::sliding_window) {
            ASSERT_LE(used_between(all, one.at - window, one.at), r.limit) << r.name;
        } else if (r.algorithm == algorithm::fixed_window) {
            auto const begin = one.at - one.at % window;
            ASSERT_LE(used_between(all, begin - 1, begin + window - 1), r.limit) << r.name;
        } else {
            owed = std::max(0.0, owed - static_cast<double>(one.at - last) * static_cast<double>(r.limit)) +
                   static_cast<double>(one.units) * static_cast<double>(window);
            last = one.at;
            ASSERT_LE(owed, static_cast<double>(r.limit) * static_cast<double>(window)) << r.name;
        }
    }
}

class rate_wait : public testing::Test {
protected:
    std::uint64_t up_to(std::uint64_t most) { return std::uniform_int_distribution<std::uint64_t>{0, most}(random_); }

    rule random_rule(int i) {
        static constexpr algorithm kinds[] = {algorithm::sliding_window, algorithm::sliding_window,
                                              algorithm::fixed_window, algorithm::token_bucket};
        auto const kind = up_to(3);
        return {.name = "rule" + std::to_string(i),
                .algorithm = kinds[kind],
                .limit = kind == 0 ? 130 + up_to(170) : 1 + up_to(11),
                .window = milliseconds{1 + up_to(400)}};
    }

    std::vector<charge> charges(std::uint64_t cost) const {
        std::vector<charge> all;
        for (auto const& r : rules_)
            all.push_back({&r, "alice", "e", cost});
        return all;
    }

    void note(std::int64_t at, std::uint64_t cost) {
        for (auto& each : admitted_)
            each.push_back({at, cost});
    }

    void check(std::uint64_t cost);
    void check_exactly_then(std::uint64_t cost, std::int64_t retry);
    void take(std::uint64_t cost, microseconds longest);
    void give_up();
    void play(int steps);

    bool asked(std::uint64_t cost, std::int64_t* retry = nullptr) {
        auto const request = request_of(charges(cost));
        auto const reply = script_.run(now_, request);
        bool const brief = reply.size() == rules_.size();
        if (!brief && retry)
            for (std::size_t i = 0; i < rules_.size(); ++i)
                *retry = std::max(*retry, reply.at(2 + 3 * i));
        return brief || reply.at(0) == 1;
    }

    redis_server server_;
    script_runner script_{server_.socket_path()};
    std::mt19937_64 random_;
    std::vector<rule> rules_;
    std::vector<std::vector<admitted>> admitted_;
    /// Who waits still.
    std::vector<admitted> places_;
    microseconds now_ = start;
};

void rate_wait::check(std::uint64_t cost) {
    std::int64_t retry = 0;
    if (asked(cost, &retry)) {
        note(now_.count(), cost);
        EXPECT_TRUE(places_.empty() ||
                    std::all_of(rules_.begin(), rules_.end(),
                                [](auto const& r) { return r.algorithm == algorithm::token_bucket; }))
            << "admitted before who waits";
    } else if (retry > 0 && up_to(1) == 0) {
        check_exactly_then(cost, retry);
    }
}

void rate_wait::check_exactly_then(std::uint64_t cost, std::int64_t retry) {
    auto const then = now_ + microseconds{retry};
    now_ = then - microseconds{1};
    EXPECT_FALSE(asked(cost)) << "early";
    now_ = then;
    EXPECT_TRUE(asked(cost)) << "late";
    note(now_.count(), cost);
}

void rate_wait::take(std::uint64_t cost, microseconds longest) {
    script_.ask_place(now_, request_of(charges(cost)), {.longest = longest});
    auto const reply = script_.read();
    ASSERT_EQ(reply.size(), 3 + 3 * rules_.size());
    if (reply[1] == 0)
        return;
    EXPECT_EQ(reply[2], now_.count() + reply[0]);
    EXPECT_LE(reply[0], longest.count());
    note(reply[2], cost);
    if (reply[0] > 0)
        places_.push_back({reply[2], cost});
}

void rate_wait::give_up() {
    auto const at = up_to(places_.size() - 1);
    auto const place = places_[at];
    script_.ask_back(now_, request_of(charges(place.units)), place.at);
    for (auto const taken : script_.read())
        EXPECT_EQ(taken, static_cast<std::int64_t>(place.units));
    places_.erase(places_.begin() + static_cast<std::ptrdiff_t>(at));
    for (auto& each : admitted_)
        each.erase(std::find(each.begin(), each.end(), place));
}

void rate_wait::play(int steps) {
    std::uint64_t longest = 0, most = 60;
    for (auto const& r : rules_) {
        longest = std::max(longest, static_cast<std::uint64_t>(microseconds{r.window}.count()));
        most = std::min(most, r.limit);
    }
    for (int i = 0; i < steps && !HasFailure(); ++i) {
        now_ += microseconds{up_to(50) == 0 ? up_to(3 * longest) : up_to(2) == 0 ? up_to(longest / 3) : up_to(2000)};
        std::erase_if(places_, [&](admitted const& one) { return one.at <= now_.count(); });
        auto const cost = up_to(2) == 0 ? 1 + up_to(most - 1) : 1;
        if (auto const what = up_to(9); what < 5)
            check(cost);
        else if (what < 9)
            take(cost, microseconds{up_to(longest)});
        else if (!places_.empty())
            give_up();
    }
}

TEST_F(rate_wait, random_waits_never_pass_a_limit_and_come_in_order) {
    auto const seed = random_seed();
    SCOPED_TRACE("WEIR_TEST_SEED=" + std::to_string(seed));
    random_.seed(seed);
    for (int round = 0; round < 60 && !HasFailure(); ++round) {
        script_.command({"FLUSHALL"});
        rules_.clear();
        for (std::uint64_t i = 0, n = 1 + (up_to(1) ? up_to(2) : 0); i < n; ++i)
            rules_.push_back(random_rule(static_cast<int>(i)));
        admitted_.assign(rules_.size(), {});
        places_.clear();
        play(250);
        for (std::size_t i = 0; i < rules_.size(); ++i)
            expect_within(rules_[i], admitted_[i]);
    }
}

TEST_F(rate_wait, places_are_a_time_apart_and_who_asks_without_one_comes_behind_them) {
    rules_ = {{.name = "log", .limit = 2, .window = milliseconds{100}}};
    admitted_.assign(1, {});
    EXPECT_TRUE(asked(1));
    EXPECT_TRUE(asked(1));
    take(1, milliseconds{100});
    take(1, milliseconds{100});
    ASSERT_EQ(places_.size(), 2u);
    EXPECT_EQ(places_[0].at, start.count() + 100'000);
    EXPECT_EQ(places_[1].at, start.count() + 100'000);
    take(1, milliseconds{200});
    EXPECT_EQ(places_.size(), 2u) << "a window is the longest wait";
    std::int64_t retry = 0;
    EXPECT_FALSE(asked(1, &retry));
    EXPECT_EQ(retry, 200'000);
    give_up();
    retry = 0;
    EXPECT_FALSE(asked(1, &retry));
    EXPECT_EQ(retry, 100'000) << "what is given up, another gets";
}

TEST_F(rate_wait, who_does_not_want_to_wait_long_enough_charges_nothing) {
    rules_ = {{.name = "log", .limit = 1, .window = milliseconds{100}}};
    admitted_.assign(1, {});
    EXPECT_TRUE(asked(1));
    take(1, milliseconds{99});
    EXPECT_TRUE(places_.empty());
    std::int64_t retry = 0;
    EXPECT_FALSE(asked(1, &retry));
    EXPECT_EQ(retry, 100'000);
}

TEST_F(rate_wait, a_clock_that_steps_back_locks_nobody_out_longer_than_a_window) {
    rules_ = {{.name = "log", .limit = 1, .window = milliseconds{100}},
              {.name = "more", .limit = 200, .window = milliseconds{100}}};
    admitted_.assign(2, {});
    EXPECT_TRUE(asked(1));
    take(1, milliseconds{100});
    ASSERT_EQ(places_.size(), 1u);
    now_ -= std::chrono::hours{1};
    std::int64_t retry = 0;
    EXPECT_FALSE(asked(1, &retry));
    EXPECT_GT(retry, 0);
    EXPECT_LE(retry, 100'000);
}

TEST_F(rate_wait, a_refund_that_empties_a_log_leaves_the_other_rules_of_its_key) {
    rules_ = {{.name = "log", .limit = 3, .window = milliseconds{100}},
              {.name = "counters", .limit = 200, .window = milliseconds{100}}};
    auto const both = request_of(charges(1));
    EXPECT_TRUE(asked(1));
    EXPECT_TRUE(asked(1));
    std::vector<charge> const log_alone{{&rules_[0], "alice", "e", 2}};
    script_.ask_back(now_, request_of(log_alone), std::nullopt);
    EXPECT_EQ(script_.read(), std::vector<std::int64_t>{2});
    EXPECT_EQ(script_.run(now_, both), (std::vector<std::int64_t>{2, 197}));
}

} // namespace
} // namespace weir::test
