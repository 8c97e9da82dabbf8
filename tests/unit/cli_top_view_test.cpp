#include "cli/top_view.hpp"

#include <gmock/gmock.h>

namespace weir::cli {
namespace {

using json = json_document;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

json status(double uptime, int ok, int refused, int denied) {
    return {{"version", "1.2.3"},
            {"uptime_s", uptime},
            {"workers", 2},
            {"in_flight", 7},
            {"draining", false},
            {"ready", true},
            {"config_hash", "h"},
            {"bounds_s", {0.001, 0.01, 0.1}},
            {"admission", {ok, 0, 0, 0}},
            {"routes",
             {{{"name", "chat"},
               {"requests", {{"1xx", 0}, {"2xx", ok}, {"3xx", 0}, {"4xx", refused}, {"5xx", 0}}},
               {"duration", {0, ok, refused, 0}}},
              {{"name", "other"},
               {"requests", {{"1xx", 0}, {"2xx", 0}, {"3xx", 0}, {"4xx", 0}, {"5xx", 0}}},
               {"duration", {0, 0, 0, 0}}}}},
            {"limits",
             {{{"name", "per-user"},
               {"decisions",
                {{"allow", ok},
                 {"deny", denied},
                 {"deny_local", 0},
                 {"shadow_deny", 0},
                 {"error_open", 0},
                 {"error_closed", 0},
                 {"error_local", 0}}}}}},
            {"redis", {{"up", true}, {"address", "127.0.0.1:6379"}}}};
}

json top(std::string const& user) {
    return {{"seconds", 61.5},
            {"keys",
             {{{"rule", "per-user"},
               {"user", user},
               {"endpoint", "chat"},
               {"count", 1234567},
               {"error", 0},
               {"refused", 12},
               {"per_second", 20000.0}}}}};
}

TEST(cli_top_view, shows_rates_between_two_looks) {
    auto const lines = top_lines(status(10, 100, 10, 10), status(12, 300, 30, 25), top("alice"), 120, 100);
    EXPECT_THAT(lines.front(),
                HasSubstr("weir 1.2.3   up 12 s   workers 2   in flight 7   ready   Redis up at 127.0.0.1"));
    EXPECT_THAT(lines, Contains(testing::MatchesRegex("chat +110 +10 +0 +.*ms +.*ms")));
    EXPECT_THAT(lines, Contains(testing::MatchesRegex("per-user +100 +7.5 +0 +0")));
    EXPECT_THAT(lines, Contains(testing::MatchesRegex("alice chat +per-user +1.2M +12 +20.0k")));
    EXPECT_THAT(lines, Not(Contains(HasSubstr("other")))) << "nothing went there";
}

TEST(cli_top_view, keeps_to_the_terminal_and_obeys_no_user) {
    auto const nasty = top("\x1b[2J\x07" + std::string(300, 'x'));
    auto const lines = top_lines(status(1, 1, 0, 0), status(2, 2, 0, 0), nasty, 60, 8);
    EXPECT_LE(lines.size(), 8u);
    for (auto const& line : top_lines(status(1, 1, 0, 0), status(2, 2, 0, 0), nasty, 60, 100)) {
        EXPECT_LE(line.size(), 60u);
        EXPECT_EQ(line.find('\x1b'), line.npos);
        EXPECT_EQ(line.find('\x07'), line.npos);
    }
}

TEST(cli_top_view, interpolates_quantiles_within_their_bucket) {
    json const bounds{0.001, 0.01, 0.1};
    EXPECT_FALSE(quantile({1, 1, 1, 1}, {1, 1, 1, 1}, bounds, 0.5));
    EXPECT_DOUBLE_EQ(*quantile({0, 0, 0, 0}, {10, 0, 0, 0}, bounds, 0.5), 0.0005);
    EXPECT_DOUBLE_EQ(*quantile({5, 5, 5, 5}, {5, 15, 5, 5}, bounds, 0.5), 0.001 + 0.009 * 0.5);
    EXPECT_DOUBLE_EQ(*quantile({0, 0, 0, 0}, {99, 0, 0, 1}, bounds, 1), 0.1) << "above all bounds is the last of them";
}

} // namespace
} // namespace weir::cli
