#include <weir/rate_limit/check_batch.hpp>

#include <gmock/gmock.h>

#include <deque>
#include <limits>
#include <random>
#include <vector>

namespace weir {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using numbers = std::vector<std::int64_t>;

class check_batch_test : public testing::Test {
protected:
    void add(std::vector<charge> const& charges) {
        auto& request = requests_.emplace_back();
        ASSERT_FALSE(request.assign(charges, "", key_layout::standalone));
        ASSERT_TRUE(batch.add(request));
    }
    void add_alike(std::size_t count, std::uint64_t cost) {
        for (std::size_t i = 0; i < count; ++i)
            add({{&a, "u", "e", cost}});
    }
    /// What each is told of a reply, all of which is taken.
    std::vector<numbers> told(numbers const& reply) {
        std::span<std::int64_t const> left = reply;
        std::vector<numbers> each;
        for (std::size_t i = 0; i < batch.size(); ++i) {
            auto const mine = batch.take_reply(i, left);
            each.emplace_back(mine.begin(), mine.end());
        }
        EXPECT_TRUE(left.empty());
        return each;
    }

    rule const a{.name = "a", .limit = 100, .window = 1s}, b{.name = "b", .limit = 100, .window = 1s};
    check_batch batch;

private:
    std::deque<check_request> requests_;
};

TEST_F(check_batch_test, each_takes_its_part_of_the_reply) {
    add({{&a, "u", "e"}, {&b, "u", "e"}});
    add({{&a, "u", "e"}});
    add({{&b, "u", "e"}});
    EXPECT_THAT(told({7, 8, -2, 0, 5, 6, 9}), ElementsAre(numbers{7, 8}, numbers{-2, 0, 5, 6}, numbers{9}));
}

TEST_F(check_batch_test, those_that_share_an_answer_have_what_the_ones_after_them_were_charged_more_remaining) {
    add_alike(3, 4);
    add({{&b, "u", "e"}});
    EXPECT_THAT(told({-4, 10, 50}), ElementsAre(numbers{18}, numbers{14}, numbers{10}, numbers{50}));
}

TEST_F(check_batch_test, a_lone_number_is_what_remains_after_the_last_of_all) {
    add_alike(3, 4);
    EXPECT_THAT(told({10}), ElementsAre(numbers{18}, numbers{14}, numbers{10}));
}

TEST_F(check_batch_test, of_those_alike_some_may_be_admitted_and_the_others_refused) {
    add_alike(5, 2);
    EXPECT_THAT(told({-4, 1, -3, -2, 1, 70, 80}),
                ElementsAre(numbers{5}, numbers{3}, numbers{1}, numbers{-2, 1, 70, 80}, numbers{-2, 1, 70, 80}));
}

TEST_F(check_batch_test, the_end_of_a_fixed_window_is_told_to_each) {
    add_alike(2, 1);
    EXPECT_THAT(told({-3, -1, 0, 0, 9}), ElementsAre(numbers{-1, 1, 0, 9}, numbers{-1, 0, 0, 9}));
}

TEST_F(check_batch_test, a_reply_that_cannot_be_one_has_nothing_for_those_it_is_wrong_for_and_all_behind) {
    constexpr auto least = std::numeric_limits<std::int64_t>::min(), most = std::numeric_limits<std::int64_t>::max();
    add_alike(2, 1);
    for (auto const& reply : {numbers{}, numbers{-1}, numbers{-3}, numbers{least}, numbers{-4, 5}, numbers{least, 5},
                              numbers{-3, -2, 1}, numbers{-3, -3, 5}})
        EXPECT_THAT(told(reply), ElementsAre(IsEmpty(), IsEmpty())) << testing::PrintToString(reply);
    EXPECT_EQ(told({-3, most}).at(1), numbers{most});
    add({{&a, "u", "e"}, {&b, "u", "e"}});
    EXPECT_THAT(told({1, 2, -3, 5, 6}), ElementsAre(numbers{1}, numbers{2}, IsEmpty())) << "of two rules";
}

TEST_F(check_batch_test, whatever_a_reply_says_each_is_told_what_one_answer_can_be) {
    constexpr auto least = std::numeric_limits<std::int64_t>::min(), most = std::numeric_limits<std::int64_t>::max();
    constexpr std::int64_t values[] = {least, -34, -33, -6, -5, -4, -3, -2, -1, 0, 1, 2, 40, most};
    add_alike(3, 1);
    add({{&a, "u", "e"}, {&b, "u", "e"}});
    add_alike(2, max_cost);
    std::mt19937 random(1);
    for (int round = 0; round < 20'000; ++round) {
        numbers reply(random() % 20);
        for (auto& each : reply)
            each = values[random() % std::size(values)];
        std::span<std::int64_t const> left = reply;
        for (std::size_t i = 0; i < batch.size(); ++i) {
            auto const size = batch.take_reply(i, left).size();
            EXPECT_TRUE(size == 0 || (i == 3 ? size == 2 || size == 7 : size == 1 || size == 4))
                << testing::PrintToString(reply);
        }
    }
}

TEST_F(check_batch_test, what_was_not_taken_of_a_reply_is_forgotten) {
    add_alike(3, 1);
    numbers const reply{-4, 10};
    std::span<std::int64_t const> left = reply;
    EXPECT_EQ(batch.take_reply(0, left).front(), 12);
    batch.clear();
    add_alike(1, 1);
    EXPECT_THAT(told({50}), ElementsAre(numbers{50}));
}

} // namespace
} // namespace weir
