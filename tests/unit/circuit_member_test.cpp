#include <weir/circuit/member.hpp>

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <set>
#include <string>

// What an instance says to Redis, and when, without either.

namespace weir::circuit {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t instances = 200;

/// A fleet whose circuit was opened by one of them for a second, which all have heard of.
struct herd {
    herd() {
        settings how;
        how.half_open_calls = 3;
        for (std::size_t i = 0; i < instances; ++i) {
            all.emplace_back(how, member_options{}, i + 1);
            auto& each = all.back();
            auto const first = each.next(now, true);
            EXPECT_TRUE(first);
            each.answered(*first, {{1, state::closed, reason::none, -1us, 0}, 1us, 0, 0us}, now);
            each.heard({{2, state::open, reason::failure_rate, 1s, 0}, 1, 1us}, now);
        }
    }

    std::deque<member> all;
    time_point now{1000h};
};

TEST(circuit_member, b42_the_timers_of_a_herd_are_spread_behind_the_end_of_the_wait) {
    herd fleet;
    auto const end = fleet.now + 1s;
    std::map<std::chrono::milliseconds, std::size_t> asked; // in tenths of the spread
    std::set<time_point> moments;
    for (auto& each : fleet.all) {
        auto const at = each.next_time();
        EXPECT_GE(at, end);
        EXPECT_LT(at, end + 100ms) << "a report interval, or a tenth of the wait";
        EXPECT_FALSE(each.next(at - 1ms, false)) << "nothing is said before";
        each.breaker().on_time(at);
        EXPECT_TRUE(each.next(at, false));
        ++asked[std::chrono::duration_cast<std::chrono::milliseconds>(at - end) / 10];
        moments.insert(at);
    }
    EXPECT_GT(moments.size(), instances / 2);
    for (auto const& [tenth, n] : asked)
        EXPECT_LT(n, instances / 4) << tenth.count();
}

TEST(circuit_member, b42_who_was_lent_no_probe_asks_again_at_a_time_of_its_own) {
    herd fleet;
    auto const later = fleet.now + 1s + 100ms;
    script_answer const none_left{{3, state::half_open, reason::none, 10s, 0}, 1us, 0, 0us};
    // A call comes; whether a lease is asked for. Reports are answered by the way.
    auto const asks = [&](member& who, time_point at) {
        EXPECT_FALSE(who.breaker().acquire(at)) << "without a lease no call passes";
        bool lease = false;
        while (auto const each = who.next(at, false)) {
            lease = lease || each->what == member::ask::lease;
            who.answered(*each, none_left, at);
        }
        return lease;
    };
    std::set<time_point> moments;
    for (auto& each : fleet.all) {
        each.heard({none_left.view, 2, 1us}, later);
        ASSERT_TRUE(asks(each, later));
        auto at = later + 1ms;
        while (at < later + 1s && !asks(each, at))
            at += 1ms;
        EXPECT_GT(at, later + 40ms);
        EXPECT_LT(at, later + 160ms);
        moments.insert(at);
    }
    EXPECT_GT(moments.size(), 30U);
}

TEST(circuit_member, who_waits_for_a_lease_asks_for_one_and_no_more) {
    time_point const now{1h};
    member one(settings{}, {}, 1);
    one.heard({{7, state::half_open, reason::none, 60s, 0}, 0, 0us}, now);
    while (one.next(now, false)) // what it asks at the beginning
        ;
    EXPECT_FALSE(one.breaker().acquire(now));
    ASSERT_TRUE(one.want_lease(now));
    auto const asked = one.next(now, false);
    ASSERT_TRUE(asked);
    EXPECT_EQ(asked->what, member::ask::lease);
    EXPECT_FALSE(one.next(now, false));
    auto const lent = one.answered(*asked, {{7, state::half_open, reason::none, 60s, 0}, 0us, 3, 10s}, now);
    ASSERT_TRUE(lent);
    EXPECT_TRUE(one.breaker().claim(lent->epoch, lent->id));
    EXPECT_FALSE(one.next(now, false)) << "it would lie about here, and others would be refused";
}

TEST(circuit_member, an_error_is_not_cut_through_a_character) {
    auto const reported = [](std::string const& error) {
        member one(settings{}, {}, 1);
        one.note_error(error);
        one.breaker().record(one.breaker().acquire(time_point{1h}), outcome::failure, 1ms, time_point{1h});
        auto const request = one.next(time_point{1h}, true);
        return request ? std::string(request->counts.last_error) : std::string("nothing");
    };
    EXPECT_EQ(reported("no"), "no");
    EXPECT_EQ(reported(std::string(200, 'x')), std::string(120, 'x'));
    EXPECT_EQ(reported(std::string(119, 'x') + "\xc3\xa9"), std::string(119, 'x'));
    EXPECT_EQ(reported(std::string(118, 'x') + "\xc3\xa9" + "more"), std::string(118, 'x') + "\xc3\xa9");
    EXPECT_EQ(reported(std::string(200, '\x80')), "");
}

} // namespace
} // namespace weir::circuit
