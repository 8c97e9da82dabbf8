#include "support/seed.hpp"

#include <weir/rate_limit/token_bucket.hpp>

#include <gtest/gtest.h>

#include <random>

namespace weir {
namespace {

using std::chrono::microseconds;

constexpr microseconds second{1'000'000};

TEST(token_bucket, lets_a_burst_pass_and_then_a_steady_rate) {
    token_bucket bucket;
    auto const pass = [&](microseconds now) {
        auto const answer = bucket.ask(now, 10, second, 3, 1);
        if (answer.admitted)
            bucket.charge(now, 1);
        return answer.admitted;
    };
    for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(pass(second));
    EXPECT_FALSE(pass(second));
    EXPECT_FALSE(pass(second + microseconds{99'999}));
    EXPECT_TRUE(pass(second + microseconds{100'000}));
    EXPECT_FALSE(pass(second + microseconds{100'000}));
    auto const later = bucket.ask(2 * second, 10, second, 3, 3);
    EXPECT_TRUE(later.admitted);
    EXPECT_EQ(later.remaining, 3u) << "no more than the burst waits";
}

TEST(token_bucket, tells_when_the_same_request_passes_to_the_microsecond) {
    token_bucket bucket;
    EXPECT_TRUE(bucket.ask(second, 7, second, 7, 7).admitted);
    bucket.charge(second, 7);
    auto const refused = bucket.ask(second, 7, second, 7, 2);
    EXPECT_EQ(refused.retry_after.count(), 285'715) << "2/7 s, rounded up";
    EXPECT_EQ(refused.reset_after, second);
    EXPECT_FALSE(bucket.ask(second + refused.retry_after - microseconds{1}, 7, second, 7, 2).admitted);
    EXPECT_TRUE(bucket.ask(second + refused.retry_after, 7, second, 7, 2).admitted);
    EXPECT_LT(bucket.ask(2 * second, 7, second, 7, 8).retry_after.count(), 0) << "more than the burst: never";
    EXPECT_LT(bucket.ask(2 * second, 0, second, 0, 1).retry_after.count(), 0);
}

TEST(token_bucket, a_rate_is_exact_or_the_next_slower_one_that_can_be_counted) {
    EXPECT_EQ(rate_of(100, std::chrono::minutes{1}, 100), (bucket_rate{600'000, 1}));
    EXPECT_EQ(rate_of(7, second, 7), (bucket_rate{1'000'000, 7}));
    auto const seed = test::random_seed();
    SCOPED_TRACE("WEIR_TEST_SEED=" + std::to_string(seed));
    std::mt19937_64 random{seed};
    __extension__ using wide = unsigned __int128;
    for (int i = 0; i < 200'000; ++i) {
        auto const bits = [&](int most) { return random() >> (64 - 1 - random() % static_cast<unsigned>(most)); };
        auto const limit = 1 + bits(47);
        auto const window = microseconds{1000 * (1 + static_cast<std::int64_t>(bits(34)))};
        auto const burst = 1 + bits(40);
        if (static_cast<long double>(burst) * static_cast<long double>(window.count()) /
                static_cast<long double>(limit) >
            3.2e13L)
            continue; // takes too long to flow in to be a rule
        auto const rate = rate_of(limit, window, burst);
        ASSERT_GT(rate.tokens, 0u);
        ASSERT_LT(rate.interval, std::uint64_t{1} << 47 | 1);
        ASSERT_LE(rate.tokens, std::uint64_t{1} << 47);
        ASSERT_LE(wide{burst} * rate.interval, wide{1} << 51);
        auto const slow = wide{rate.interval} * limit;
        auto const exact = wide{rate.tokens} * static_cast<std::uint64_t>(window.count());
        ASSERT_GE(slow, exact) << "never faster: " << limit << " per " << window.count() << " us, burst " << burst;
        ASSERT_LE(static_cast<long double>(slow - exact) / static_cast<long double>(exact), 1.0L / 2048)
            << limit << " per " << window.count() << " us, burst " << burst;
    }
}

} // namespace
} // namespace weir
