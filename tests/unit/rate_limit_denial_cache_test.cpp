#include <weir/rate_limit/denial_cache.hpp>

#include <gtest/gtest.h>

namespace weir {
namespace {

using namespace std::chrono_literals;

denial_cache::denial denial(std::uint32_t rule, std::uint64_t cost, std::chrono::microseconds asked,
                            std::chrono::microseconds retry_at) {
    return {rule, cost, 0, asked, retry_at, retry_at};
}

TEST(denial_cache, a_refusal_holds_until_it_is_over_for_its_rule_and_for_as_much) {
    denial_cache cache(10);
    cache.remember("k", denial(1, 2, 0us, 300ms));
    EXPECT_TRUE(cache.find("k", 1, 2, 299ms));
    EXPECT_TRUE(cache.find("k", 1, 5, 299ms));
    EXPECT_FALSE(cache.find("k", 1, 1, 299ms)) << "less may have room";
    EXPECT_FALSE(cache.find("k", 2, 2, 299ms));
    EXPECT_FALSE(cache.find("l", 1, 2, 299ms));
    EXPECT_FALSE(cache.find("k", 1, 2, 300ms));
    EXPECT_EQ(cache.size(), 0u) << "what is over is forgotten";
}

TEST(denial_cache, nothing_is_trusted_for_longer_than_a_second) {
    denial_cache cache(10);
    cache.remember("k", denial(1, 1, 5s, 1h));
    EXPECT_TRUE(cache.find("k", 1, 1, 5999ms));
    EXPECT_FALSE(cache.find("k", 1, 1, 6s));
}

TEST(denial_cache, forgets_a_key_or_all) {
    denial_cache cache(10);
    cache.remember("k", denial(1, 1, 0us, 1s));
    cache.remember("k", denial(2, 1, 0us, 1s));
    cache.remember("l", denial(1, 1, 0us, 1s));
    cache.forget("k");
    EXPECT_FALSE(cache.find("k", 1, 1, 0us));
    EXPECT_FALSE(cache.find("k", 2, 1, 0us));
    EXPECT_TRUE(cache.find("l", 1, 1, 0us));
    cache.clear();
    EXPECT_FALSE(cache.find("l", 1, 1, 0us));
}

TEST(denial_cache, is_bounded_whatever_keys_come) {
    denial_cache cache(100), none(0);
    for (int i = 0; i < 10'000; ++i) {
        cache.remember(std::to_string(i), denial(1, 1, 0us, 1s));
        none.remember(std::to_string(i), denial(1, 1, 0us, 1s));
        ASSERT_TRUE(cache.find(std::to_string(i), 1, 1, 0us)) << "the newest is there";
    }
    EXPECT_EQ(cache.size(), 100u);
    EXPECT_EQ(none.size(), 0u);
}

} // namespace
} // namespace weir
