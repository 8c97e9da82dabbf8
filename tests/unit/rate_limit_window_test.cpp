#include "support/exact_log.hpp"
#include "support/seed.hpp"

#include <weir/rate_limit/rule.hpp>
#include <weir/rate_limit/window.hpp>

#include <gtest/gtest.h>

#include <random>

namespace {

using std::chrono::microseconds;
using weir::sliding_window;

constexpr microseconds second{1'000'000};

bool pass(sliding_window& window, microseconds now, std::uint64_t limit, std::uint64_t cost = 1) {
    auto const answer = window.ask(now, limit, second, cost);
    if (answer.admitted)
        window.charge(now, cost);
    return answer.admitted;
}

TEST(window, admits_exactly_the_limit_and_the_next_when_the_first_is_a_window_old) {
    sliding_window window;
    EXPECT_TRUE(pass(window, microseconds{0}, 2));
    EXPECT_TRUE(pass(window, microseconds{10}, 2));
    EXPECT_FALSE(pass(window, microseconds{20}, 2));
    EXPECT_FALSE(pass(window, second - microseconds{1}, 2));
    EXPECT_TRUE(pass(window, second, 2));
    EXPECT_FALSE(pass(window, second, 2));
    EXPECT_TRUE(pass(window, second + microseconds{10}, 2));
}

TEST(window, a_refusal_tells_when_the_same_request_will_pass) {
    sliding_window window;
    pass(window, microseconds{0}, 10, 4);
    pass(window, microseconds{100}, 10, 4);
    auto const answer = window.ask(microseconds{200}, 10, second, 5);
    EXPECT_FALSE(answer.admitted);
    EXPECT_EQ(answer.retry_after, second - microseconds{200});
    EXPECT_EQ(answer.remaining, 2u);
    EXPECT_EQ(answer.reset_after, second - microseconds{100});
    EXPECT_EQ(window.ask(microseconds{200}, 10, second, 9).retry_after, second - microseconds{100});
}

TEST(window, a_cost_above_the_limit_never_passes_and_a_limit_of_zero_refuses_all) {
    sliding_window window;
    EXPECT_LT(window.ask(microseconds{0}, 10, second, 11).retry_after.count(), 0);
    EXPECT_LT(window.ask(microseconds{0}, 0, second, 1).retry_after.count(), 0);
    EXPECT_FALSE(window.ask(microseconds{0}, 0, second, 0).admitted);
}

TEST(window, asking_with_cost_zero_asks_for_room_for_one) {
    sliding_window window;
    EXPECT_TRUE(window.ask(microseconds{0}, 1, second, 0).admitted);
    pass(window, microseconds{0}, 1);
    auto const answer = window.ask(microseconds{1}, 1, second, 0);
    EXPECT_FALSE(answer.admitted);
    EXPECT_EQ(answer.retry_after, second - microseconds{1});
}

TEST(window, a_limit_that_was_lowered_leaves_nothing_and_recovers) {
    sliding_window window;
    for (int i = 0; i < 10; ++i)
        pass(window, microseconds{i}, 10);
    auto const answer = window.ask(microseconds{20}, 3, second, 1);
    EXPECT_FALSE(answer.admitted);
    EXPECT_EQ(answer.remaining, 0u);
    EXPECT_EQ(answer.retry_after, microseconds{7} + second - microseconds{20});
}

TEST(window, what_is_kept_stays_bounded_however_much_is_charged) {
    sliding_window window;
    std::size_t most = 0;
    for (int i = 0; i < 200'000; ++i) {
        pass(window, microseconds{i * 20}, 1'000'000);
        most = std::max(most, window.size());
    }
    EXPECT_EQ(most, weir::window_slots + 1u);
}

TEST(window, a_rule_that_changes_its_shape_keeps_what_was_charged_as_charged_last) {
    sliding_window window;
    EXPECT_TRUE(pass(window, microseconds{100}, 100, 60));
    EXPECT_TRUE(pass(window, microseconds{500}, 100, 20));
    EXPECT_EQ(window.ask(microseconds{600}, 1000, second, 1).remaining, 920u);
    EXPECT_EQ(window.ask(microseconds{600}, 70'000, second, 1).remaining, 69'920u);
    auto const answer = window.ask(microseconds{600}, 50, second, 1); // 80 are more than it ever admits
    EXPECT_EQ(answer.remaining, 0u);
    EXPECT_GE(answer.retry_after, second - microseconds{100});
    EXPECT_LE(answer.retry_after, second);
    EXPECT_TRUE(pass(window, microseconds{600} + answer.retry_after, 50));
}

/// What one random history must show of every decision.
struct history {
    std::uint64_t limit;
    microseconds window;
    microseconds width;
    sliding_window subject;
    weir::test::exact_log model;

    void step(microseconds now, std::uint64_t cost) {
        auto const answer = subject.ask(now, limit, window, cost);
        auto const exact = model.used(now, window) + cost <= limit;
        // Never early: what it admits, the exact log admits.
        if (answer.admitted) {
            ASSERT_TRUE(exact) << "over-admission";
        }
        // Late by at most the width: what had room even with charges kept that much longer, it admits.
        if (!answer.admitted) {
            ASSERT_GT(model.used(now, window + width) + cost, limit) << "refused too much";
        }
        if (width.count() == 0) {
            ASSERT_EQ(answer.retry_after, model.retry_after(now, window, limit, cost));
        }
        if (answer.admitted) {
            subject.charge(now, cost);
            model.charge(now, cost);
        } else if (cost <= limit) {
            auto later = subject;
            ASSERT_FALSE(later.ask(now + answer.retry_after - microseconds{1}, limit, window, cost).admitted);
            ASSERT_TRUE(later.ask(now + answer.retry_after, limit, window, cost).admitted);
        }
        model.forget(now, window + width);
    }
};

void run(std::mt19937_64& random, std::uint64_t max_limit, int steps) {
    auto const up_to = [&](std::uint64_t n) { return std::uniform_int_distribution<std::uint64_t>{0, n}(random); };
    weir::rule rule{
        .name = "r", .limit = 1 + up_to(max_limit - 1), .window = std::chrono::milliseconds{1 + up_to(2000)}};
    auto const shape = weir::shape_of(rule.limit, rule.window);
    history h{rule.limit, rule.window, shape.log() ? microseconds{0} : shape.unit, {}, {}};
    auto const per_charge = static_cast<std::uint64_t>(h.window.count()) / h.limit + 1;
    microseconds now{up_to(1'000'000)};
    for (int i = 0; i < steps; ++i) {
        now +=
            microseconds{up_to(50) == 0 ? up_to(static_cast<std::uint64_t>(2 * h.window.count())) : up_to(per_charge)};
        auto const cost = up_to(3) == 0 ? 1 + up_to(h.limit) : 1;
        h.step(now, cost);
        if (testing::Test::HasFatalFailure())
            return;
    }
}

TEST(window, never_admits_more_than_an_exact_log_and_is_late_by_at_most_its_width) {
    auto const seed = weir::test::random_seed();
    SCOPED_TRACE("WEIR_TEST_SEED=" + std::to_string(seed));
    std::mt19937_64 random{seed};
    for (int round = 0; round < 1000; ++round) {
        run(random, round % 2 ? 20 : 1000, 500);
        if (HasFatalFailure())
            return;
    }
}

} // namespace
