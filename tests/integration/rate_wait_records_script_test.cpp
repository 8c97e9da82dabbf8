#include "support/redis_server.hpp"
#include "support/script_runner.hpp"

#include <gtest/gtest.h>

// Places of requests with an id: lua/rate_wait.lua, and what lua/rate_check.lua and rate_refund.lua make of its
// records.

namespace weir::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using numbers = std::vector<std::int64_t>;

constexpr milliseconds window{100};
/// By the clock of the server, which the test does not set: longer than the test takes.
constexpr std::chrono::hours kept{1};

class rate_wait_records : public testing::Test {
protected:
    check_request request(std::string_view id, std::uint64_t cost = 1) const {
        return request_of({{&rule_, "alice", "e", cost}}, id);
    }
    /// Wait, placed, moment, remaining, retry, reset.
    numbers place(std::string_view id, check_request::wait_form how = {.record_ttl = kept, .longest = window}) {
        script_.ask_place(now_, request(id), how);
        return script_.read();
    }
    numbers once(std::string_view id) {
        return script_.run(now_, request(id), {.order = check_order::once, .record_ttl = kept});
    }
    std::int64_t give_back(std::string_view id, std::int64_t moment) {
        script_.ask_back(now_, request(id), moment);
        return script_.read().at(0);
    }
    bool is_recorded(std::string_view id) {
        return script_.command({"EXISTS", "rate:alice:e#" + std::string{id}}) == "1";
    }
    /// When another would have room.
    std::int64_t room_in() {
        auto const said = script_.run(now_, request_of({{&rule_, "alice", "e", 0}}));
        return said.at(2);
    }

    redis_server server_;
    script_runner script_{server_.socket_path()};
    rule rule_{.name = "log", .limit = 1, .window = window};
    microseconds now_ = start;
};

TEST_F(rate_wait_records, the_same_id_has_the_same_place_for_what_is_left_of_it_and_is_charged_once) {
    once("first");
    auto const mine = place("id");
    EXPECT_EQ(numbers(mine.begin(), mine.begin() + 3), (numbers{100'000, 1, start.count() + 100'000}));
    now_ += milliseconds{30};
    auto const again = place("id");
    EXPECT_EQ(numbers(again.begin(), again.begin() + 3), (numbers{70'000, 2, start.count() + 100'000}));
    EXPECT_EQ(room_in(), 170'000) << "behind one place";
    now_ += milliseconds{70};
    EXPECT_EQ(place("id").at(0), 0);
    EXPECT_EQ(once("id").at(0), 1);
    EXPECT_EQ(room_in(), 100'000);
}

TEST_F(rate_wait_records, who_has_a_place_is_refused_until_it_comes_where_he_does_not_want_to_wait) {
    once("first");
    place("id");
    now_ += milliseconds{30};
    auto const refused = once("id");
    EXPECT_EQ(refused.at(0), 0);
    EXPECT_EQ(refused.at(3), 70'000);
    auto const impatient = place("id", {.record_ttl = kept, .longest = milliseconds{69}});
    EXPECT_EQ(impatient.at(1), 0);
    EXPECT_EQ(impatient.at(4), 70'000);
    now_ += microseconds{69'999};
    EXPECT_EQ(once("id").at(0), 0);
    now_ += microseconds{1};
    EXPECT_EQ(once("id").at(0), 1);
}

TEST_F(rate_wait_records, given_up_by_the_only_one_who_waits_the_place_is_free_and_the_id_forgotten) {
    once("first");
    auto const moment = place("id").at(2);
    now_ += milliseconds{10};
    EXPECT_EQ(give_back("id", moment), 1);
    EXPECT_FALSE(is_recorded("id"));
    EXPECT_EQ(room_in(), 90'000);
    EXPECT_EQ(place("id").at(1), 1) << "anew";
    EXPECT_EQ(give_back("id", moment + 1), 0) << "the receipt of another";
    EXPECT_TRUE(is_recorded("id"));
}

TEST_F(rate_wait_records, of_several_who_wait_the_last_gives_the_place_back) {
    once("first");
    auto const moment = place("id").at(2);
    place("id");
    place("id");
    EXPECT_EQ(give_back("id", moment), 0);
    EXPECT_EQ(give_back("id", moment), 0);
    EXPECT_TRUE(is_recorded("id"));
    EXPECT_EQ(room_in(), 200'000);
    EXPECT_EQ(give_back("id", moment), 1);
    EXPECT_FALSE(is_recorded("id"));
}

TEST_F(rate_wait_records, what_somebody_has_passed_by_is_not_given_back_any_more) {
    once("first");
    auto const moment = place("id").at(2);
    now_ += window;
    EXPECT_EQ(once("id").at(0), 1);
    EXPECT_EQ(give_back("id", moment), 0);
    EXPECT_EQ(room_in(), 100'000);
}

TEST_F(rate_wait_records, a_record_lasts_as_long_as_was_asked_for_from_the_moment_of_the_place_on) {
    once("first");
    place("id", {.record_ttl = milliseconds{50'000}, .longest = window});
    auto const left = std::stol(script_.command({"PTTL", "rate:alice:e#id"}));
    EXPECT_GT(left, 40'000);
    EXPECT_LE(left, 50'100);
}

TEST_F(rate_wait_records, a_place_is_settled_and_extended_like_what_was_charged_at_once) {
    rule_.limit = 10;
    script_.run(now_, request("first", 10), {.order = check_order::once, .record_ttl = kept});
    script_.ask_place(now_, request("id", 6), {.record_ttl = kept, .longest = window});
    auto const moment = script_.read().at(2);
    now_ += window;
    EXPECT_EQ(script_.run(now_, request("id", 1), {.order = check_order::extend, .record_ttl = kept}).at(0), 1);
    EXPECT_EQ(script_.run(now_, request("id", 2), {.order = check_order::settle, .record_ttl = kept}),
              (numbers{1, moment, 7, 5}));
    EXPECT_EQ(give_back("id", moment), 0) << "settled";
    auto const left = script_.run(now_, request_of({{&rule_, "alice", "e", 8}}));
    EXPECT_EQ(left.at(0), 0) << left.size();
    auto const more = script_.run(now_, request_of({{&rule_, "alice", "e", 9}}));
    EXPECT_EQ(more.at(0), 0);
}

TEST_F(rate_wait_records, a_place_is_not_before_what_other_nodes_need) {
    auto const mine = place("id", {.record_ttl = kept, .longest = window, .earliest = milliseconds{40}});
    EXPECT_EQ(mine.at(0), 40'000);
    EXPECT_EQ(room_in(), 140'000);
    auto const late = place("other", {.record_ttl = kept, .longest = milliseconds{20}, .earliest = milliseconds{150}});
    EXPECT_EQ(late.at(1), 0);
    EXPECT_EQ(late.at(4), 150'000) << "not before, whatever room there is here";
}

TEST_F(rate_wait_records, a_clock_that_steps_back_keeps_nobody_longer_than_a_window) {
    once("first");
    place("id");
    now_ -= std::chrono::hours{1};
    EXPECT_EQ(once("id").at(0), 1);
}

} // namespace
} // namespace weir::test
