#include "cli/demo_traffic.hpp"

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using weir::cli::demo_clock;
using weir::cli::demo_tally;

/// Admissions sent at those milliseconds, each answered 2 ms later.
demo_tally admitted_at(std::vector<int> times) {
    demo_tally tally;
    for (int ms : times)
        tally.admitted.push_back({demo_clock::time_point(std::chrono::milliseconds{ms}),
                                  demo_clock::time_point(std::chrono::milliseconds{ms + 2})});
    return tally;
}

TEST(cli_demo_traffic, as_many_as_the_limit_in_a_window_are_not_over) {
    EXPECT_FALSE(admitted_at({}).over(3, 1000ms));
    EXPECT_FALSE(admitted_at({0, 1, 2}).over(3, 1000ms));
    EXPECT_FALSE(admitted_at({0, 1, 2, 1000, 1001, 1002}).over(3, 1000ms));
}

TEST(cli_demo_traffic, one_more_within_a_window_is_over_wherever_the_window_begins) {
    EXPECT_TRUE(admitted_at({0, 1, 2, 3}).over(3, 1000ms));
    EXPECT_TRUE(admitted_at({0, 900, 950, 1850, 1890}).over(3, 1000ms)) << "900 to 1890: four in less than a second";
    EXPECT_TRUE(admitted_at({1890, 950, 0, 900, 1850}).over(3, 1000ms)) << "in whatever order they were answered";
}

TEST(cli_demo_traffic, what_the_time_on_the_way_can_explain_is_not_over) {
    EXPECT_FALSE(admitted_at({0, 1, 2, 999}).over(3, 1000ms)) << "decided at 0 and at 1001, perhaps";
    EXPECT_TRUE(admitted_at({0, 1, 2, 997}).over(3, 1000ms));
}

} // namespace
