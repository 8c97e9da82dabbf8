#include "support/redis_server.hpp"
#include "support/script_runner.hpp"

#include <weir/rate_limit/window.hpp>

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using weir::charge;
using weir::rule;
using weir::test::request_of;
using weir::test::script_runner;
using weir::test::start;

constexpr microseconds second{1'000'000};

class rate_check_script : public testing::Test {
protected:
    weir::test::redis_server server_;
    script_runner script_{server_.socket_path()};
};

using numbers = std::vector<std::int64_t>;

TEST_F(rate_check_script, admits_exactly_the_limit_and_again_a_window_later) {
    rule const r{.name = "r", .limit = 2, .window = milliseconds{1000}};
    auto const ask = request_of({{&r, "u", "e"}});
    EXPECT_EQ(script_.run(start, ask), numbers{1});
    EXPECT_EQ(script_.run(start + microseconds{10}, ask), numbers{0});
    EXPECT_EQ(script_.run(start + microseconds{20}, ask), (numbers{0, 0, 999'980, 999'990}));
    EXPECT_EQ(script_.run(start + second - microseconds{1}, ask), (numbers{0, 0, 1, 11}));
    EXPECT_EQ(script_.run(start + second, ask), numbers{0});
    EXPECT_EQ(script_.run(start + second, ask), (numbers{0, 0, 10, 1'000'000}));
}

TEST_F(rate_check_script, a_cost_above_the_limit_is_refused_with_never_and_charges_nothing) {
    rule const r{.name = "r", .limit = 5, .window = milliseconds{1000}};
    EXPECT_EQ(script_.run(start, request_of({{&r, "u", "e", 6}})), (numbers{0, 5, -1, 0}));
    EXPECT_EQ(script_.run(start, request_of({{&r, "u", "e", weir::max_cost}})), (numbers{0, 5, -1, 0}));
    EXPECT_EQ(script_.run(start, request_of({{&r, "u", "e", 5}})), numbers{0});
}

TEST_F(rate_check_script, a_limit_of_zero_refuses_all) {
    rule const r{.name = "r", .limit = 0, .window = milliseconds{1000}};
    EXPECT_EQ(script_.run(start, request_of({{&r, "u", "e", 1}})), (numbers{0, 0, -1, 0}));
    EXPECT_EQ(script_.run(start, request_of({{&r, "u", "e", 0}})), (numbers{0, 0, -1, 0}));
}

TEST_F(rate_check_script, the_largest_limits_and_costs_are_counted_exactly) {
    rule const r{.name = "r", .limit = weir::max_limit, .window = milliseconds{1000}};
    auto const most = static_cast<std::int64_t>(weir::max_limit);
    EXPECT_EQ(script_.run(start, request_of({{&r, "u", "e", weir::max_limit - 1}})), numbers{1});
    auto const refused = script_.run(start, request_of({{&r, "u", "e", 2}}));
    EXPECT_EQ(refused[1], 1);
    EXPECT_GT(refused[2], 1'000'000); // until a window after the end of its slot
    EXPECT_LE(refused[2], 1'000'000 + 1'000'000 / weir::window_slots);
    EXPECT_EQ(script_.run(start, request_of({{&r, "u", "e", 1}})), numbers{0});
    EXPECT_EQ(script_.run(start + microseconds{refused[2] - 1}, request_of({{&r, "u", "e", 1}}))[0], 0);
    EXPECT_EQ(script_.run(start + microseconds{refused[2]}, request_of({{&r, "u", "e", 1}})), numbers{most - 1});
}

TEST_F(rate_check_script, several_rules_admit_all_or_nothing) {
    rule const narrow{.name = "narrow", .limit = 1, .window = milliseconds{1000}};
    rule const wide{.name = "wide", .limit = 10, .window = milliseconds{60'000}};
    auto const both = request_of({{&narrow, "u", "e"}, {&wide, "u", weir::key_part::any()}});
    EXPECT_EQ(script_.run(start, both), (numbers{0, 9}));
    EXPECT_EQ(script_.run(start, both), (numbers{0, 0, 1'000'000, 1'000'000, 9, 0, 60'000'000}));
    EXPECT_EQ(script_.run(start, request_of({{&wide, "u", weir::key_part::any(), 9}})), numbers{0});
}

TEST_F(rate_check_script, a_key_of_which_all_was_taken_back_is_as_new) {
    rule const one{.name = "one", .limit = 2, .window = milliseconds{1000}};
    rule const other{.name = "other", .limit = 3, .window = milliseconds{1000}};
    auto const ask = request_of({{&one, "u", "e"}, {&other, "u", "e"}});
    for (auto const receipt : {std::optional<std::int64_t>{}, std::optional{start.count()}}) {
        EXPECT_EQ(script_.run(start, ask), (numbers{1, 2}));
        script_.ask_back(start, ask, receipt);
        EXPECT_EQ(script_.read(), (numbers{1, 1}));
    }
    EXPECT_EQ(script_.run(start, ask), (numbers{1, 2}));
    EXPECT_EQ(script_.run(start, request_of({{&other, "u", "e"}})), numbers{1});
}

TEST_F(rate_check_script, a_user_who_may_not_read_several_keys_at_once_is_served) {
    rule const one{.name = "one", .limit = 2, .window = milliseconds{1000}};
    rule const other{.name = "other", .limit = 3, .window = milliseconds{1000}};
    auto const ask = request_of({{&one, "u", "e"}, {&other, "u", "f"}});
    EXPECT_EQ(script_.run(start, ask), (numbers{1, 2}));
    ASSERT_EQ(script_.command({"ACL", "SETUSER", "default", "-mget"}), "OK");
    EXPECT_EQ(script_.run(start, ask), (numbers{0, 1}));
}

TEST_F(rate_check_script, several_rules_of_one_key_are_counted_apart) {
    rule const a{.name = "a", .limit = 3, .window = milliseconds{1000}};
    rule const b{.name = "b", .limit = 5, .window = milliseconds{1000}};
    EXPECT_EQ(script_.run(start, request_of({{&a, "u", "e"}, {&b, "u", "e", 2}})), (numbers{2, 3}));
    EXPECT_EQ(script_.run(start, request_of({{&b, "u", "e"}, {&a, "u", "e"}})), (numbers{2, 1}));
    EXPECT_EQ(script_.run(start, request_of({{&a, "u", "e"}})), numbers{0});
    EXPECT_EQ(script_.run(start, request_of({{&b, "u", "e", 2}})), numbers{0});
    EXPECT_EQ(script_.command({"DBSIZE"}), "2"); // the clock, and one key
}

TEST_F(rate_check_script, cost_zero_charges_nothing_and_tells_whether_one_has_room) {
    rule const a{.name = "a", .limit = 2, .window = milliseconds{1000}};
    rule const b{.name = "b", .limit = 2, .window = milliseconds{1000}};
    EXPECT_EQ(script_.run(start, request_of({{&a, "u", "e", 0}})), (numbers{1, 2, 0, 0}));
    EXPECT_EQ(script_.command({"EXISTS", "rate:u:e"}), "0");
    EXPECT_EQ(script_.run(start, request_of({{&a, "u", "e", 2}, {&b, "u", "e", 0}})), (numbers{1, 0, 0, 0, 2, 0, 0}));
    EXPECT_EQ(script_.run(start, request_of({{&a, "u", "e", 0}})), (numbers{0, 0, 1'000'000, 1'000'000}));
    EXPECT_EQ(script_.run(start, request_of({{&b, "u", "e", 2}})), numbers{0});
}

TEST_F(rate_check_script, every_key_has_a_time_to_live_from_its_first_write_and_a_refusal_does_not_extend_it) {
    rule const r{.name = "r", .limit = 1, .window = milliseconds{60'000}};
    auto const ask = request_of({{&r, "u", "e"}});
    script_.run(start, ask);
    auto const first = std::stol(script_.command({"PTTL", "rate:u:e"}));
    EXPECT_GT(first, 75'000); // a quarter more than the window, and a second
    EXPECT_LE(first, 76'001);
    script_.command({"PEXPIRE", "rate:u:e", "30000"});
    script_.run(start, ask);
    EXPECT_LE(std::stol(script_.command({"PTTL", "rate:u:e"})), 30'000);
}

TEST_F(rate_check_script, a_short_rule_does_not_shorten_the_life_of_a_long_one_in_the_same_key) {
    rule const day{.name = "day", .limit = 9, .window = std::chrono::hours{24}};
    rule const blink{.name = "blink", .limit = 9, .window = milliseconds{10}};
    script_.run(start, request_of({{&day, "u", "e"}}));
    script_.run(start, request_of({{&blink, "u", "e"}}));
    EXPECT_GT(std::stol(script_.command({"PTTL", "rate:u:e"})), 86'000'000);
    script_.run(start, request_of({{&blink, "u", "e"}, {&day, "u", "e"}}));
    EXPECT_GT(std::stol(script_.command({"PTTL", "rate:u:e"})), 86'000'000);
}

TEST_F(rate_check_script, a_clock_that_stepped_back_locks_nobody_out_longer_than_a_window_and_admits_nobody_early) {
    rule const r{.name = "r", .limit = 3, .window = milliseconds{1000}};
    auto const ask = request_of({{&r, "u", "e"}});
    script_.run(start, ask);
    script_.run(start + microseconds{500}, ask);
    auto const back = start - 3600 * second;
    EXPECT_EQ(script_.run(back, ask), numbers{0}); // counted with the two, taken as of now
    EXPECT_EQ(script_.run(back, ask), (numbers{0, 0, 1'000'000, 1'000'000}));
    EXPECT_EQ(script_.run(back + second - microseconds{1}, ask), (numbers{0, 0, 1, 1}));
    EXPECT_EQ(script_.run(back + second, ask), numbers{2});
}

TEST_F(rate_check_script, a_clock_that_stepped_back_while_a_limit_is_used_up_is_waited_for_a_window_at_most) {
    rule const log{.name = "log", .limit = 1, .window = milliseconds{1000}};
    rule const counters{.name = "counters", .limit = 1000, .window = milliseconds{1000}};
    auto const both = request_of({{&log, "u", "e"}, {&counters, "u", "e", 1000}});
    for (auto const step : {second / 2, 2 * second, 1800 * second, 3600 * second, 86'400 * second}) {
        script_.command({"FLUSHALL"});
        EXPECT_EQ(script_.run(start, both), (numbers{0, 0}));
        auto const back = start - step;
        auto const refused = script_.run(back, both);
        EXPECT_EQ((numbers{refused.begin(), refused.begin() + 5}), (numbers{0, 0, 1'000'000, 1'000'000, 0}));
        EXPECT_LE(refused[5], 1'000'000 + 1'000'000 / weir::window_slots) << step.count();
        EXPECT_EQ(script_.run(back + second / 2, both)[0], 0);
        EXPECT_EQ(script_.run(back + second - microseconds{1}, both)[0], 0);
        EXPECT_EQ(script_.run(back + second + second / weir::window_slots, both), (numbers{0, 0})) << step.count();
    }
}

TEST_F(rate_check_script, state_that_was_appended_to_notices_a_small_step_back) {
    rule const r{.name = "r", .limit = 3, .window = milliseconds{10'000}};
    auto const ask = request_of({{&r, "u", "e"}});
    script_.run(start, ask);
    script_.run(start + second, ask); // appended: the state as a whole is older
    EXPECT_EQ(script_.run(start + second / 2, ask), numbers{0});
    EXPECT_EQ(script_.run(start + second / 2, ask), (numbers{0, 0, 10'000'000, 10'000'000}));
    EXPECT_EQ(script_.run(start + 10 * second + second / 2, ask), numbers{2});
}

TEST_F(rate_check_script, a_key_that_is_in_use_lives_on_and_is_trimmed) {
    rule const log{.name = "log", .limit = 100, .window = milliseconds{1000}};
    rule const counters{.name = "counters", .limit = 100'000, .window = milliseconds{1000}};
    for (int i = 0; i < 1000; ++i) {
        auto const now = start + i * microseconds{20'000};
        ASSERT_GE(script_.run(now, request_of({{&log, "u", "log"}}))[0], 49) << i;
        ASSERT_GE(script_.run(now, request_of({{&counters, "u", "counters"}}))[0], 99'940) << i;
    }
    EXPECT_LE(std::stol(script_.command({"STRLEN", "rate:u:log"})), 12 + 14 + 4 * (50 + 34 + 40));
    EXPECT_LE(std::stol(script_.command({"STRLEN", "rate:u:counters"})), 12 + 14 + 10 + 4 * (weir::window_slots + 1));
    // By its own clock, which is not the test's, the server has seen less than a window pass.
    EXPECT_GT(std::stol(script_.command({"PTTL", "rate:u:log"})), 1000);
    EXPECT_GT(std::stol(script_.command({"PTTL", "rate:u:counters"})), 1000);
}

TEST_F(rate_check_script, a_rule_that_changes_keeps_what_it_has_charged) {
    rule const narrow{.name = "r", .limit = 100, .window = milliseconds{1000}};
    rule const wide{.name = "r", .limit = 1000, .window = milliseconds{1000}};
    rule const wider{.name = "r", .limit = 100'000, .window = milliseconds{60'000}};
    rule const other{.name = "other", .limit = 5, .window = milliseconds{1000}};
    EXPECT_EQ(script_.run(start, request_of({{&narrow, "u", "e", 60}, {&other, "u", "e", 2}})), (numbers{40, 3}));
    EXPECT_EQ(script_.run(start, request_of({{&wide, "u", "e", 10}})), numbers{930});
    EXPECT_EQ(script_.run(start, request_of({{&wider, "u", "e", 10}})), numbers{99'920});
    EXPECT_EQ(script_.run(start, request_of({{&narrow, "u", "e", 20}})), numbers{0});
    EXPECT_EQ(script_.run(start, request_of({{&narrow, "u", "e"}}))[0], 0);
    EXPECT_EQ(script_.run(start, request_of({{&other, "u", "e", 3}})), numbers{0});
}

TEST_F(rate_check_script, the_clock_may_cross_a_multiple_of_its_modulus) {
    constexpr microseconds wrap{7 * (std::int64_t{1} << 48)};
    rule const r{.name = "r", .limit = 2, .window = milliseconds{1000}};
    auto const ask = request_of({{&r, "u", "e"}});
    EXPECT_EQ(script_.run(wrap - microseconds{10}, ask), numbers{1});
    EXPECT_EQ(script_.run(wrap + microseconds{5}, ask), numbers{0});
    EXPECT_EQ(script_.run(wrap + microseconds{5}, ask), (numbers{0, 0, 999'985, 1'000'000}));
    EXPECT_EQ(script_.run(wrap + second - microseconds{10}, ask), numbers{0});
}

TEST_F(rate_check_script, a_value_of_another_kind_under_its_key_is_an_error_and_stays_as_it_is) {
    rule const r{.name = "r", .limit = 2, .window = milliseconds{1000}};
    script_.command({"LPUSH", "rate:u:e", "x"});
    script_.ask(start, request_of({{&r, "u", "e"}}));
    EXPECT_NONFATAL_FAILURE(script_.read(), "WRONGTYPE");
    EXPECT_EQ(script_.command({"TYPE", "rate:u:e"}), "list");
}

} // namespace
