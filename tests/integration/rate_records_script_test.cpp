#include "support/redis_server.hpp"
#include "support/script_runner.hpp"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

// What a request id does: once, extended, settled; and what is given back.

namespace weir::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr microseconds second{1'000'000};
constexpr check_request::form once{check_order::once, {}, milliseconds{60'000}};
constexpr check_request::form extend{check_order::extend, {}, milliseconds{60'000}};
constexpr check_request::form settle{check_order::settle, {}, milliseconds{60'000}};

using numbers = std::vector<std::int64_t>;

rule hourly(std::uint64_t limit, algorithm how = algorithm::sliding_window) {
    return {.name = "r", .algorithm = how, .limit = limit, .window = std::chrono::hours{1}};
}

class rate_records : public testing::Test {
protected:
    numbers run(check_request::form how, rule const& r, std::uint64_t cost, microseconds now = start,
                std::string_view id = "one") {
        return script_.run(now, request_of({{&r, "u", "e", cost}}, id), how);
    }
    std::int64_t remaining(rule const& r, microseconds now = start) {
        return script_.run(now, request_of({{&r, "u", "e", 0}}))[1];
    }
    std::int64_t take_back(rule const& r, std::uint64_t units, microseconds now,
                           std::optional<std::int64_t> receipt = {}) {
        script_.ask_back(now, request_of({{&r, "u", "e", units}}), receipt);
        return script_.read().at(0);
    }

    redis_server server_;
    script_runner script_{server_.socket_path()};
};

TEST_F(rate_records, the_same_id_gets_the_same_answer_and_charges_once) {
    for (auto const how : {algorithm::sliding_window, algorithm::token_bucket, algorithm::fixed_window}) {
        script_.command({"FLUSHALL"});
        auto const r = hourly(10, how);
        auto const first = run(once, r, 4);
        EXPECT_EQ(first.at(0), 1);
        EXPECT_EQ(first.at(1), start.count());
        EXPECT_EQ(first.at(2), 6);
        EXPECT_EQ(run(once, r, 4, start + second), first);
        EXPECT_EQ(remaining(r, start), 6);
        EXPECT_EQ(run(once, r, 4, start + second, "two").at(2), 2);
        EXPECT_EQ(run(once, r, 4, start + second, "three").at(0), 0);
        EXPECT_EQ(run(once, r, 4, start + second), first);
    }
}

TEST_F(rate_records, a_refusal_is_decided_anew) {
    auto const r = hourly(4);
    EXPECT_EQ(run(once, r, 4).at(0), 1);
    EXPECT_EQ(run(once, r, 4, start + second, "two").at(0), 0);
    EXPECT_EQ(script_.command({"EXISTS", "rate:u:e#two"}), "0");
    EXPECT_EQ(run(once, r, 4, start + 3601 * second, "two").at(0), 1);
}

TEST_F(rate_records, an_id_that_stands_for_another_request_is_an_error) {
    auto const r = hourly(10);
    auto other = r;
    other.name = "other";
    run(once, r, 4);
    for (auto const& wrong : std::vector<std::vector<charge>>{
             {{&r, "u", "e", 5}}, {{&other, "u", "e", 4}}, {{&r, "u", "e", 4}, {&other, "u", "e", 4}}}) {
        script_.ask(start, request_of(wrong, "one"), once);
        EXPECT_NONFATAL_FAILURE(script_.read(), "IDREUSED");
    }
    EXPECT_EQ(remaining(r), 6);
}

TEST_F(rate_records, a_record_lives_as_long_as_it_was_told_and_no_longer) {
    auto const r = hourly(10);
    run(once, r, 1);
    auto const ttl = std::stol(script_.command({"PTTL", "rate:u:e#one"}));
    EXPECT_GT(ttl, 50'000);
    EXPECT_LE(ttl, 60'000);
    script_.command({"PEXPIRE", "rate:u:e#one", "20000"});
    run(extend, r, 1);
    EXPECT_GT(std::stol(script_.command({"PTTL", "rate:u:e#one"})), 50'000);
    script_.command({"DEL", "rate:u:e#one"});
    EXPECT_EQ(run(extend, r, 1), numbers{-1});
    EXPECT_EQ(run(settle, r, 0), numbers{-1});
    EXPECT_EQ(remaining(r), 8) << "what a dead holder reserved stays charged";
}

TEST_F(rate_records, settling_gives_back_what_was_not_used_once) {
    for (auto const how : {algorithm::sliding_window, algorithm::token_bucket, algorithm::fixed_window}) {
        for (std::uint64_t const limit : {100, 10'000}) {
            script_.command({"FLUSHALL"});
            auto const r = hourly(limit, how);
            auto const all = static_cast<std::int64_t>(limit);
            run(once, r, 50);
            auto const settled = run(settle, r, 20, start + microseconds{1});
            EXPECT_EQ(settled, (numbers{1, start.count(), 50, 30}));
            EXPECT_EQ(remaining(r, start + microseconds{1}), all - 20);
            EXPECT_EQ(run(settle, r, 20, start + second), settled) << "again, it answers the same";
            EXPECT_EQ(remaining(r, start + microseconds{1}), all - 20) << "and changes nothing";
            EXPECT_EQ(run(once, r, 50, start + second).at(2), all - 50) << "the decision is still known";
            EXPECT_EQ(run(extend, r, 1, start + second), numbers{-2});
        }
    }
}

TEST_F(rate_records, settling_charges_what_was_used_beyond_the_reservation_even_where_there_is_no_room) {
    for (auto const how : {algorithm::sliding_window, algorithm::token_bucket, algorithm::fixed_window}) {
        for (std::uint64_t const limit : {100, 10'000, 100'000}) {
            script_.command({"FLUSHALL"});
            auto const r = hourly(limit, how);
            run(once, r, limit / 2);
            EXPECT_EQ(run(settle, r, limit / 2 + 10).at(3), 0);
            EXPECT_EQ(remaining(r), static_cast<std::int64_t>(limit / 2 - 10));
            run(once, r, limit / 2 - 10, start, "two");
            EXPECT_EQ(run(settle, r, 50 * limit, start, "two").at(2), static_cast<std::int64_t>(limit / 2 - 10));
            EXPECT_EQ(remaining(r), 0);
            auto const refused = script_.run(start, request_of({{&r, "u", "e", 1}}));
            EXPECT_EQ(refused.at(0), 0);
            EXPECT_EQ(script_.run(start + microseconds{refused.at(2) - 1}, request_of({{&r, "u", "e", 1}})).at(0), 0);
            EXPECT_EQ(script_.run(start + microseconds{refused.at(2)}, request_of({{&r, "u", "e", 0}})).at(0), 1);
        }
    }
}

TEST_F(rate_records, a_debt_above_the_limit_is_not_paid_by_what_others_give_back) {
    auto const r = hourly(100'000);
    run(once, r, 40'000, start, "a");
    run(once, r, 60'000, start, "b");
    run(settle, r, 90'000, start, "a");
    EXPECT_EQ(run(settle, r, 20'000, start, "b").at(3), 40'000);
    EXPECT_EQ(remaining(r), 0) << "110 000 were used of 100 000";
    EXPECT_EQ(take_back(r, 20'000, start), 20'000);
    EXPECT_EQ(remaining(r), 10'000);
}

TEST_F(rate_records, a_reservation_grows_in_steps_all_or_nothing_and_is_settled_as_a_whole) {
    auto const r = hourly(100);
    run(once, r, 40);
    EXPECT_EQ(run(extend, r, 30, start + second).at(0), 1);
    EXPECT_EQ(run(extend, r, 31, start + 2 * second).at(0), 0) << "there is room for 30";
    EXPECT_EQ(run(extend, r, 0, start + 3 * second), (numbers{1, (start + 3 * second).count()})) << "for longer alone";
    EXPECT_EQ(remaining(r, start + 3 * second), 30);
    auto const settled = run(settle, r, 50, start + 4 * second);
    EXPECT_EQ((numbers{settled.begin() + 2, settled.end()}), (numbers{70, 20}));
    EXPECT_EQ(remaining(r, start + 4 * second), 50);
    EXPECT_EQ(remaining(r, start + 3601 * second), 90) << "the newest were taken back first";
}

TEST_F(rate_records, what_no_longer_counts_is_not_given_back) {
    for (auto const how : {algorithm::sliding_window, algorithm::token_bucket, algorithm::fixed_window}) {
        for (std::uint64_t const limit : {100, 10'000}) {
            script_.command({"FLUSHALL"});
            auto const r = hourly(limit, how);
            run(once, r, limit);
            auto const later = start + 2 * 3600 * second;
            script_.run(later, request_of({{&r, "u", "e", limit}}));
            EXPECT_EQ(run(settle, r, 0, later).at(3), 0);
            EXPECT_EQ(remaining(r, later), 0);
        }
    }
}

TEST_F(rate_records, of_a_bucket_what_has_flowed_off_is_not_given_back) {
    rule const r{.name = "r", .algorithm = algorithm::token_bucket, .limit = 10, .window = milliseconds{10'000}};
    run(once, r, 10);
    auto const later = start + 9 * second;
    EXPECT_EQ(script_.run(later, request_of({{&r, "u", "e", 9}})), numbers{0});
    EXPECT_EQ(run(settle, r, 0, later).at(3), 1);
    EXPECT_EQ(remaining(r, later), 1);
}

TEST_F(rate_records, a_lease_ends_with_its_request_or_with_its_time) {
    rule const r{.name = "r", .algorithm = algorithm::concurrency, .limit = 2, .window = milliseconds{10'000}};
    EXPECT_EQ(run(once, r, 1, start, "a").at(2), 1);
    EXPECT_EQ(run(once, r, 1, start + second, "b").at(2), 0);
    EXPECT_EQ(run(once, r, 1, start + second, "a").at(2), 1) << "the answer of before";
    auto const refused = run(once, r, 1, start + 2 * second, "c");
    EXPECT_EQ((numbers{refused.begin() + 2, refused.end()}), (numbers{0, 8'000'000, 9'000'000}));
    EXPECT_EQ(run(settle, r, as_reserved, start + 2 * second, "b"), (numbers{1, (start + second).count(), 1, 1}));
    EXPECT_EQ(run(settle, r, as_reserved, start + 2 * second, "b").at(3), 1) << "told again, done once";
    EXPECT_EQ(remaining(r, start + 2 * second), 1);
    EXPECT_EQ(run(extend, r, 1, start + 9 * second, "a").at(0), 1);
    EXPECT_EQ(remaining(r, start + 18 * second), 1) << "a new lease from then on";
    EXPECT_EQ(remaining(r, start + 19 * second), 2);
    EXPECT_EQ(run(settle, r, as_reserved, start + 19 * second, "a").at(3), 0);
}

TEST_F(rate_records, a_lease_that_was_renewed_for_long_ends_with_its_request) {
    rule const r{.name = "r", .algorithm = algorithm::concurrency, .limit = 3, .window = milliseconds{10'000}};
    run(once, r, 2, start, "a");
    auto now = start;
    for (int i = 0; i < 20; ++i) {
        now += 3 * second;
        EXPECT_EQ(run(extend, r, 2, now, "a").at(0), 1);
    }
    EXPECT_EQ(remaining(r, now), 1);
    auto const size = std::stol(script_.command({"STRLEN", "rate:u:e#a"}));
    EXPECT_EQ(run(extend, r, 2, now + second, "a").at(0), 1);
    EXPECT_LE(std::stol(script_.command({"STRLEN", "rate:u:e#a"})), size + 14) << "the record does not grow for ever";
    EXPECT_EQ(run(settle, r, as_reserved, now + second, "a"), (numbers{1, start.count(), 2, 2}));
    EXPECT_EQ(remaining(r, now + second), 3);
}

TEST_F(rate_records, what_was_reserved_long_ago_is_not_charged_again_by_the_settlement) {
    rule const r{.name = "r", .limit = 100, .window = milliseconds{10'000}};
    run(once, r, 60);
    for (auto const later : {25 * second, 50 * second, 75 * second})
        EXPECT_EQ(run(extend, r, 10, start + later).at(0), 1);
    auto const settled = run(settle, r, 95, start + 75 * second);
    EXPECT_EQ((numbers{settled.begin() + 2, settled.end()}), (numbers{90, 0}));
    EXPECT_EQ(remaining(r, start + 75 * second), 85) << "the 10 of just now, and 5 more than was reserved";
}

TEST_F(rate_records, a_late_extension_takes_a_place_only_where_there_is_one) {
    rule const r{.name = "r", .algorithm = algorithm::concurrency, .limit = 1, .window = milliseconds{1000}};
    run(once, r, 1, start, "a");
    EXPECT_EQ(run(once, r, 1, start + 2 * second, "b").at(0), 1);
    EXPECT_EQ(run(extend, r, 1, start + 2 * second, "a").at(0), 0);
    run(settle, r, as_reserved, start + 2 * second, "b");
    EXPECT_EQ(run(extend, r, 1, start + 2 * second, "a").at(0), 1);
}

TEST_F(rate_records, a_refund_takes_the_newest_that_count_and_no_more_than_there_is) {
    for (auto const how : {algorithm::sliding_window, algorithm::token_bucket, algorithm::fixed_window}) {
        for (std::uint64_t const limit : {100, 10'000}) {
            script_.command({"FLUSHALL"});
            auto const r = hourly(limit, how);
            EXPECT_EQ(take_back(r, 5, start), 0);
            EXPECT_EQ(script_.command({"EXISTS", "rate:u:e"}), "0") << "nothing comes of nothing";
            script_.run(start, request_of({{&r, "u", "e", 10}}));
            script_.command({"PEXPIRE", "rate:u:e", "30000"});
            EXPECT_EQ(take_back(r, 4, start), 4);
            EXPECT_EQ(remaining(r), static_cast<std::int64_t>(limit) - 6);
            EXPECT_EQ(take_back(r, 40, start), 6);
            EXPECT_EQ(remaining(r), static_cast<std::int64_t>(limit));
            EXPECT_LE(std::stol(script_.command({"PTTL", "rate:u:e"})), 30'000) << "it lives no longer for it";
            script_.run(start, request_of({{&r, "u", "e", 10}}));
            EXPECT_EQ(take_back(r, 4, start + 2 * 3600 * second), 0) << "no bonus after expiry";
        }
    }
}

TEST_F(rate_records, a_penalty_blocks_after_so_many_refusals_and_is_not_prolonged) {
    auto r = hourly(1);
    r.penalty = {3, milliseconds{7'200'000}};
    auto const ask = request_of({{&r, "u", "e"}});
    EXPECT_EQ(script_.run(start, ask), (numbers{3, 0})) << "the penalty comes first";
    auto const blocked = [&](microseconds now) { return script_.run(now, ask).at(2); };
    EXPECT_EQ(blocked(start + second), 0);
    EXPECT_EQ(script_.run(start + second, request_of({{&r, "u", "e", 0}})).at(0), 0) << "a question counts nothing";
    EXPECT_EQ(script_.run(start + second, request_of({{&r, "u", "e", 2}})).at(5), -1) << "nor does a never";
    EXPECT_EQ(blocked(start + 2 * second), 0);
    auto const until = blocked(start + 3 * second) + 3 * second.count();
    EXPECT_NEAR(static_cast<double>(until), 7203e6, 100);
    EXPECT_EQ(blocked(start + 4 * second) + 4 * second.count(), until);
    EXPECT_EQ(blocked(start + 3700 * second) + 3700 * second.count(), until) << "though the rule has room again";
    EXPECT_EQ(script_.run(start + microseconds{until - 1}, ask).at(0), 0);
    EXPECT_EQ(script_.run(start + microseconds{until}, ask), (numbers{3, 0}));
}

TEST_F(rate_records, a_rule_on_trial_refuses_nobody_and_is_charged_while_it_has_room) {
    auto trial = hourly(1), real = hourly(5);
    trial.name = "trial";
    trial.shadow = true;
    auto const ask = request_of({{&trial, "u", "e"}, {&real, "u", "e"}});
    EXPECT_EQ(script_.run(start, ask), (numbers{0, 4}));
    auto const passed = script_.run(start, ask);
    EXPECT_EQ((numbers{passed.begin(), passed.begin() + 2}), (numbers{1, 0}));
    EXPECT_GE(passed.at(2), 3600'000'000);
    EXPECT_EQ(passed.at(4), 3);
}

TEST_F(rate_records, of_two_rules_in_one_key_one_asked_seldom_forgets_what_is_long_over) {
    rule const blink{.name = "blink", .limit = 100, .window = milliseconds{1000}};
    rule const day{.name = "day", .limit = 1000, .window = std::chrono::hours{24}};
    auto const both = request_of({{&blink, "u", "e", 100}, {&day, "u", "e"}});
    EXPECT_EQ(script_.run(start, both), (numbers{0, 999}));
    // Times are kept modulo 4295 seconds, and half of that is the future.
    std::int64_t left = 999;
    for (auto const pause : {2400 * second, 4294 * second, 4295 * second, 30'000 * second})
        EXPECT_EQ(script_.run(start + pause, both), (numbers{0, --left})) << pause.count();
}

} // namespace
} // namespace weir::test
