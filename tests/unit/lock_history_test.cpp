#include "support/lock_history.hpp"

#include <gmock/gmock.h>

// The checker of histories finds what it is there for.

namespace weir::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using kind = lock_event::kind;

lock_event event(int process, kind what, std::int64_t call, std::int64_t end, std::uint64_t fence,
                 std::int64_t order = 0) {
    return {process, what, true, call, end, fence, order};
}

TEST(lock_history, one_after_the_other_is_well) {
    std::vector<lock_event> const history{
        event(1, kind::acquire, 0, 10, 100),         event(1, kind::hold, 10, 50, 100),
        event(2, kind::acquire, 20, 60, 200),        event(1, kind::release, 50, 55, 100),
        event(2, kind::hold, 60, 90, 200),           event(2, kind::fenced_write, 70, 80, 200, 2),
        event(1, kind::fenced_write, 30, 40, 100, 1)};
    EXPECT_THAT(violations(history, true), IsEmpty());
}

TEST(lock_history, a_fence_given_twice_or_out_of_order_is_found) {
    EXPECT_THAT(violations({event(1, kind::acquire, 0, 10, 100), event(2, kind::acquire, 5, 20, 100)}, true),
                ElementsAre(HasSubstr("given twice")));
    EXPECT_THAT(violations({event(1, kind::acquire, 0, 10, 200), event(2, kind::acquire, 11, 20, 100)}, true),
                ElementsAre(HasSubstr("below one granted before")));
    EXPECT_THAT(violations({event(1, kind::acquire, 0, 12, 200), event(2, kind::acquire, 11, 20, 100)}, true),
                IsEmpty())
        << "at the same time, either may have come first";
}

TEST(lock_history, two_who_believe_to_hold_it_are_found) {
    EXPECT_THAT(violations({event(1, kind::hold, 0, 50, 100), event(2, kind::hold, 49, 60, 200)}, true),
                ElementsAre(HasSubstr("two believed")));
    EXPECT_THAT(violations({event(1, kind::hold, 0, 50, 100), event(2, kind::hold, 49, 60, 200)}, false), IsEmpty());
}

TEST(lock_history, a_release_or_extension_by_one_who_lost_it_is_found) {
    for (auto const what : {kind::release, kind::extend})
        EXPECT_EQ(violations({event(1, kind::acquire, 0, 10, 100), event(2, kind::acquire, 20, 30, 200),
                              event(1, what, 40, 50, 100)},
                             true)
                      .size(),
                  1u);
}

TEST(lock_history, a_stale_write_accepted_is_found) {
    EXPECT_THAT(
        violations({event(2, kind::fenced_write, 0, 1, 200, 1), event(1, kind::fenced_write, 2, 3, 100, 2)}, true),
        ElementsAre(HasSubstr("stale write")));
}

TEST(lock_history, lines_are_read_back) {
    auto const line = to_line(event(7, kind::extend, 1, 2, 3, 4));
    EXPECT_EQ(to_line(from_line(line)), line);
    EXPECT_THROW(from_line("nonsense"), std::runtime_error);
}

} // namespace
} // namespace weir::test
