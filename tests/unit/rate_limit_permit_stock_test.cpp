#include <weir/rate_limit/permit_stock.hpp>

#include <gtest/gtest.h>

#include <string>

namespace weir {
namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;

rule const leased{.name = "leased", .limit = 100'000, .window = 1s, .lease = 100ms};

check_request request_of(std::string_view user, std::uint64_t cost = 1) {
    charge const charges[] = {{&leased, user, "e", cost}};
    check_request request;
    EXPECT_FALSE(request.assign(charges, "", key_layout::standalone));
    return request;
}

class permit_stock_test : public testing::Test {
protected:
    /// Asks `n` times at `now`, without a block.
    permit_stock::shelf& ask(int n, microseconds now) {
        auto& found = *stock_.shelf_of(request_, now);
        for (int i = 0; i < n; ++i)
            stock_.note_demand(found, 1);
        return found;
    }

    check_request const request_ = request_of("alice");
    permit_stock stock_;
};

TEST_F(permit_stock_test, only_plain_requests_whose_rules_all_lease_are_leasable) {
    EXPECT_TRUE(request_.leasable());
    EXPECT_FALSE(request_of("alice", 0).leasable()) << "a peek charges nothing";
    auto shadow = leased, punishing = leased, plain = leased;
    shadow.shadow = true;
    punishing.penalty = {3, 1s};
    plain.lease = 0ms;
    plain.name = "plain";
    for (auto const* const other : {&shadow, &punishing, &plain}) {
        charge const charges[] = {{other, "alice", "e"}};
        check_request request;
        ASSERT_FALSE(request.assign(charges, "", key_layout::standalone));
        EXPECT_FALSE(request.leasable());
    }
    charge const mixed[] = {{&leased, "alice", "e"}, {&plain, "alice", "e"}};
    charge const uneven[] = {{&leased, "alice", "e"}, {&leased, "alice", "f", 2}};
    check_request request;
    ASSERT_FALSE(request.assign(mixed, "", key_layout::standalone));
    EXPECT_FALSE(request.leasable());
    ASSERT_FALSE(request.assign(uneven, "", key_layout::standalone));
    EXPECT_FALSE(request.leasable());
}

TEST_F(permit_stock_test, takes_what_a_lease_asks_for_but_a_part_of_what_is_left) {
    auto& shelf = ask(40, 0us);
    EXPECT_EQ(stock_.wanted(shelf, 0us, 1), 0u) << "nobody knows yet what is left";
    stock_.told(request_, 1000);
    EXPECT_EQ(stock_.wanted(shelf, 0us, 1), 40u);
    stock_.not_filled(shelf, 0us);
    EXPECT_EQ(stock_.wanted(shelf, 24'999us, 1), 0u) << "not at once again";
    stock_.told(request_, 80);
    EXPECT_EQ(stock_.wanted(shelf, 25'000us, 1), 20u) << "a quarter of what is left";
    stock_.not_filled(shelf, 25'000us);
    EXPECT_EQ(stock_.wanted(shelf, 50'000us, 2), 10u) << "of an instance's part";
    stock_.not_filled(shelf, 50'000us);
    EXPECT_EQ(stock_.wanted(shelf, 75'000us, 3), 0u) << "too few for a trip";
}

TEST_F(permit_stock_test, one_block_is_asked_for_at_a_time_and_the_next_one_when_half_is_used) {
    auto& shelf = ask(40, 0us);
    stock_.told(request_, 1000);
    EXPECT_EQ(stock_.wanted(shelf, 0us, 1), 40u);
    EXPECT_EQ(stock_.wanted(shelf, 0us, 1), 0u);
    stock_.filled(shelf, 40, 0us, 7, 960);
    EXPECT_EQ(stock_.wanted(shelf, 0us, 1), 0u);
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(stock_.wanted(shelf, 0us, 1), 0u);
        EXPECT_TRUE(stock_.use(shelf, 1, 0us));
    }
    EXPECT_TRUE(stock_.use(shelf, 1, 0us));
    EXPECT_EQ(stock_.wanted(shelf, 0us, 1), 40u);
}

TEST_F(permit_stock_test, a_block_is_used_up_exactly_and_not_past_its_end) {
    auto& shelf = ask(40, 0us);
    stock_.filled(shelf, 10, 1000us, 7, 100);
    EXPECT_FALSE(stock_.use(shelf, 11, 1000us));
    EXPECT_TRUE(stock_.use(shelf, 6, 1000us));
    EXPECT_TRUE(stock_.use(shelf, 3, 100'999us));
    EXPECT_FALSE(stock_.use(shelf, 1, 101'000us)) << "counted from when it was asked for";
    auto const ended = stock_.take_ended(101'000us);
    ASSERT_EQ(ended.size(), 1u);
    EXPECT_EQ(ended[0].what.left, 1u);
    EXPECT_EQ(ended[0].what.receipt, 7);
    EXPECT_TRUE(stock_.take_ended(102'000us).empty()) << "given back once";
    EXPECT_EQ(stock_.so_far().taken, 10u);
    EXPECT_EQ(stock_.so_far().used, 9u);
    EXPECT_EQ(stock_.so_far().returned, 1u);
}

TEST_F(permit_stock_test, what_is_used_up_is_not_given_back) {
    auto& shelf = ask(40, 0us);
    stock_.filled(shelf, 10, 0us, 7, 100);
    EXPECT_EQ(stock_.next_end(), 100ms);
    EXPECT_TRUE(stock_.use(shelf, 10, 0us));
    EXPECT_TRUE(stock_.take_ended(100ms).empty());
    EXPECT_EQ(stock_.next_end(), microseconds::max());
}

TEST_F(permit_stock_test, demand_is_forgotten_after_a_rest) {
    ask(100, 0us);
    auto& soon = ask(1, 150ms);
    stock_.told(request_, 100'000);
    EXPECT_EQ(stock_.wanted(soon, 150ms, 1), 100u);
    stock_.not_filled(soon, 150ms);
    auto& late = ask(1, 500ms);
    EXPECT_EQ(stock_.wanted(late, 500ms, 1), 0u);
}

TEST_F(permit_stock_test, a_reset_forgets_what_was_taken_and_what_is_being_taken) {
    auto& shelf = ask(40, 0us);
    stock_.filled(shelf, 10, 0us, 7, 100);
    EXPECT_EQ(stock_.wanted(shelf, 0us, 1), 25u);
    stock_.forget(request_.key(0));
    EXPECT_FALSE(stock_.use(shelf, 1, 0us));
    stock_.filled(shelf, 25, 0us, 8, 100);
    EXPECT_FALSE(stock_.use(shelf, 1, 0us)) << "it was charged before the reset";
    EXPECT_EQ(stock_.wanted(shelf, 0us, 1), 25u);
    stock_.filled(shelf, 25, 0us, 9, 100);
    EXPECT_TRUE(stock_.use(shelf, 25, 0us));
}

TEST_F(permit_stock_test, shelves_are_bounded) {
    permit_stock small(2);
    auto* const first = small.shelf_of(request_of("a"), 0us);
    ASSERT_TRUE(first);
    small.filled(*first, 10, 0us, 7, 100);
    ASSERT_TRUE(small.shelf_of(request_of("b"), 0us));
    ASSERT_TRUE(small.shelf_of(request_of("c"), 0us)) << "in the place of b, which has nothing to lose";
    small.filled(*small.shelf_of(request_of("c"), 0us), 10, 0us, 7, 100);
    EXPECT_FALSE(small.shelf_of(request_of("d"), 0us));
}

} // namespace
} // namespace weir
