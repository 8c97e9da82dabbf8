#include "proxy/balancer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

// Which target a request goes to.

namespace weir::proxy {
namespace {

using namespace std::chrono_literals;

class proxy_balancer : public testing::Test {
protected:
    static config::upstream upstream_of(std::size_t targets, config::balance how) {
        config::upstream made;
        for (std::size_t i = 0; i < targets; ++i)
            made.targets.push_back({"h", 80, "host-" + std::to_string(i)});
        made.balance = how;
        return made;
    }

    /// How often each of `n` requests went where.
    static std::vector<int> spread(balancer& b, std::size_t targets, int n, boot_clock::time_point now) {
        std::vector<int> counts(targets);
        for (int i = 0; i < n; ++i)
            ++counts[b.choose(hash_of(std::to_string(i)), 0, now)];
        return counts;
    }

    static void fail(balancer& b, std::size_t target, int times, boot_clock::time_point now) {
        for (int i = 0; i < times; ++i) {
            b.begin(target);
            b.failed(target, now);
        }
    }

    std::atomic<target_set> ill_{0};
    boot_clock::time_point const now_{1h};
};

TEST_F(proxy_balancer, targets_take_turns) {
    auto const how = upstream_of(3, config::balance::round_robin);
    balancer b(how, ill_, 1);
    EXPECT_THAT(spread(b, 3, 300, now_), testing::Each(100));
}

TEST_F(proxy_balancer, what_was_tried_is_not_chosen_again) {
    for (auto const way :
         {config::balance::round_robin, config::balance::least_request, config::balance::consistent_hash}) {
        auto const how = upstream_of(3, way);
        balancer b(how, ill_, 1);
        target_set tried = 0;
        for (int i = 0; i < 3; ++i) {
            auto const t = b.choose(7, tried, now_);
            ASSERT_LT(t, 3u);
            ASSERT_EQ(tried & (target_set{1} << t), 0u);
            tried |= target_set{1} << t;
        }
        EXPECT_EQ(b.choose(7, tried, now_), balancer::none);
    }
}

TEST_F(proxy_balancer, least_request_never_takes_the_busiest_of_two) {
    auto const how = upstream_of(2, config::balance::least_request);
    balancer b(how, ill_, 1);
    b.begin(0);
    for (int i = 0; i < 100; ++i)
        EXPECT_EQ(b.choose(0, 0, now_), 1u);
    b.abandoned(0);
    EXPECT_EQ(b.in_flight(0), 0u);
    EXPECT_THAT(spread(b, 2, 1000, now_), testing::Each(testing::Gt(400)));
}

TEST_F(proxy_balancer, a_key_stays_where_it_is_when_another_target_goes) {
    auto const how = upstream_of(4, config::balance::consistent_hash);
    balancer b(how, ill_, 1);
    EXPECT_THAT(spread(b, 4, 4000, now_), testing::Each(testing::AllOf(testing::Gt(850), testing::Lt(1150))));
    std::vector<std::size_t> before;
    for (int i = 0; i < 1000; ++i)
        before.push_back(b.choose(hash_of(std::to_string(i)), 0, now_));
    ill_ = 0b0100;
    for (int i = 0; i < 1000; ++i) {
        auto const t = b.choose(hash_of(std::to_string(i)), 0, now_);
        if (before[static_cast<std::size_t>(i)] != 2)
            EXPECT_EQ(t, before[static_cast<std::size_t>(i)]);
        else
            EXPECT_NE(t, 2u);
    }
}

TEST_F(proxy_balancer, the_same_key_goes_to_the_same_target_of_every_instance) {
    auto const how = upstream_of(4, config::balance::consistent_hash);
    balancer one(how, ill_, 1), other(how, ill_, 2);
    for (int i = 0; i < 100; ++i)
        EXPECT_EQ(one.choose(hash_of(std::to_string(i)), 0, now_), other.choose(hash_of(std::to_string(i)), 0, now_));
}

TEST_F(proxy_balancer, failures_in_a_row_take_a_target_out_for_a_time) {
    auto how = upstream_of(2, config::balance::round_robin);
    how.ejection.after = 3;
    how.ejection.lasts = 10s;
    balancer b(how, ill_, 1);
    fail(b, 0, 2, now_);
    EXPECT_EQ(b.ejected(now_), 0u);
    b.begin(0);
    b.succeeded(0, now_);
    fail(b, 0, 2, now_);
    EXPECT_EQ(b.ejected(now_), 0u) << "a success begins anew";
    b.begin(0);
    EXPECT_TRUE(b.failed(0, now_));
    EXPECT_EQ(b.ejected(now_), 0b01u);
    EXPECT_THAT(spread(b, 2, 10, now_), testing::ElementsAre(0, 10));
    EXPECT_EQ(b.ejected(now_ + 10s - 1ns), 0b01u);
    EXPECT_EQ(b.ejected(now_ + 10s), 0u);
    fail(b, 0, 3, now_ + 10s);
    EXPECT_EQ(b.ejected(now_ + 29s), 0b01u) << "longer the second time";
    EXPECT_EQ(b.ejected(now_ + 30s), 0u);
}

TEST_F(proxy_balancer, no_more_than_a_share_is_taken_out) {
    auto how = upstream_of(4, config::balance::round_robin);
    how.ejection.after = 1;
    how.ejection.max_share = 0.5;
    balancer b(how, ill_, 1);
    for (std::size_t i = 0; i < 4; ++i)
        fail(b, i, 1, now_);
    EXPECT_EQ(b.ejected(now_), 0b0011u);
    auto alone = upstream_of(1, config::balance::round_robin);
    alone.ejection.after = 1;
    balancer one(alone, ill_, 1);
    fail(one, 0, 10, now_);
    EXPECT_EQ(one.ejected(now_), 0u);
}

TEST_F(proxy_balancer, where_none_is_well_all_are_tried) {
    auto const how = upstream_of(3, config::balance::round_robin);
    balancer b(how, ill_, 1);
    ill_ = 0b111;
    EXPECT_THAT(spread(b, 3, 30, now_), testing::Each(10));
    ill_ = 0b110;
    EXPECT_THAT(spread(b, 3, 30, now_), testing::ElementsAre(30, 0, 0));
}

TEST_F(proxy_balancer, trouble_is_a_targets_own_while_another_answers) {
    auto const how = upstream_of(2, config::balance::round_robin);
    balancer b(how, ill_, 1);
    EXPECT_FALSE(b.alone_in_trouble(0)) << "nobody has answered";
    b.begin(1);
    b.succeeded(1, now_);
    EXPECT_TRUE(b.alone_in_trouble(0));
    EXPECT_FALSE(b.alone_in_trouble(1));
}

} // namespace
} // namespace weir::proxy
