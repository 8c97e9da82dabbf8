#include <weir/metrics/heavy_hitters.hpp>

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <random>

namespace weir::metrics {
namespace {

using sketch = heavy_hitters<std::uint64_t>;

std::uint64_t hash_of(std::uint64_t key) { return (key + 1) * 0x9e3779b97f4a7c15ULL; }

void add(sketch& to, std::uint64_t key, bool marked = false) {
    to.add(hash_of(key), marked, [&](std::uint64_t& out) { out = key; });
}

TEST(metrics_heavy_hitters, counts_exactly_as_long_as_there_is_room) {
    sketch s(10);
    for (std::uint64_t key = 0; key < 10; ++key)
        for (std::uint64_t i = 0; i <= key; ++i)
            add(s, key, i < 2);
    EXPECT_EQ(s.size(), 10u);
    s.for_each([](auto const& e) {
        EXPECT_EQ(e.count, e.key + 1);
        EXPECT_EQ(e.error, 0u);
        EXPECT_EQ(e.marked, std::min<std::uint64_t>(e.key + 1, 2));
    });
    s.clear();
    EXPECT_EQ(s.size(), 0u);
    add(s, 3);
    s.for_each([](auto const& e) { EXPECT_EQ(e.count, 1u); });
}

// The guarantees of the paper, against exact counts of a skewed stream with very many keys that occur once.
TEST(metrics_heavy_hitters, holds_every_frequent_key_and_says_how_far_it_may_be_off) {
    constexpr std::size_t capacity = 64;
    std::mt19937_64 random(7);
    sketch s(capacity);
    std::map<std::uint64_t, std::uint64_t> exact;
    std::uint64_t total = 0;
    for (int i = 0; i < 200'000; ++i) {
        auto const key = random() % 2 == 0
                             ? static_cast<std::uint64_t>(std::exp(std::generate_canonical<double, 32>(random) * 8))
                             : 1'000'000 + random();
        ++exact[key];
        ++total;
        add(s, key);
        if (i % 5000 != 0)
            continue;
        std::map<std::uint64_t, std::uint64_t> counted;
        std::uint64_t sum = 0;
        s.for_each([&](auto const& e) {
            ASSERT_GE(e.count, exact[e.key]);
            ASSERT_LE(e.count - e.error, exact[e.key]);
            ASSERT_LE(e.error, total / capacity);
            counted[e.key] = e.count;
            sum += e.count;
        });
        ASSERT_EQ(sum, total) << "what is counted is moved, never lost";
        ASSERT_LE(s.size(), capacity);
        for (auto const& [which, n] : exact)
            if (n > total / capacity) {
                ASSERT_TRUE(counted.contains(which)) << which;
            }
    }
}

TEST(metrics_heavy_hitters, keys_whose_hashes_share_a_place_are_told_apart) {
    sketch s(8);
    auto const put = [&](std::uint64_t key) {
        s.add(key << 32 | 5, false, [&](std::uint64_t& out) { out = key; }); // all at home in one place of the table
    };
    for (int round = 0; round < 50; ++round)
        for (std::uint64_t key = 1; key <= 20; ++key)
            for (std::uint64_t i = 0; i < (key > 4 ? 1 : 10); ++i)
                put(key);
    std::map<std::uint64_t, std::uint64_t> counted;
    s.for_each([&](auto const& e) { EXPECT_TRUE(counted.emplace(e.key, e.count).second) << "twice: " << e.key; });
    for (std::uint64_t key = 1; key <= 4; ++key)
        EXPECT_GE(counted[key], 500u);
}

} // namespace
} // namespace weir::metrics
