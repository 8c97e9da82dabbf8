#include <weir/rate_limit/local_engine.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace weir {
namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;

/// What a limiter does when Redis is away and every rule says `local`.
decision ask(local_engine& engine, std::vector<charge> const& charges, microseconds now, bool others_admit = true) {
    check_request request;
    EXPECT_FALSE(request.assign(charges, "", key_layout::standalone));
    decision result;
    result.rules.resize(charges.size());
    for (std::size_t i = 0; i < charges.size(); ++i) {
        result.rules[i].rule = charges[i].rule;
        result.rules[i].outcome = outcome::error_local;
    }
    engine.decide(request, now, others_admit, result);
    conclude(result);
    return result;
}

rule secondly(std::string name, std::uint64_t limit) { return {.name = std::move(name), .limit = limit, .window = 1s}; }

TEST(local_engine, keeps_to_the_limit_and_tells_when_there_is_room_again) {
    local_engine engine;
    auto const r = secondly("r", 2);
    EXPECT_EQ(ask(engine, {{&r, "u", "e"}}, 0s).rules[0].remaining, 1u);
    EXPECT_EQ(ask(engine, {{&r, "u", "e"}}, 100ms).rules[0].remaining, 0u);
    auto const refused = ask(engine, {{&r, "u", "e"}}, 200ms);
    EXPECT_FALSE(refused.allowed);
    EXPECT_EQ(refused.retry_after, 800ms);
    EXPECT_EQ(refused.rules[0].reset_after, 900ms);
    EXPECT_TRUE(ask(engine, {{&r, "other", "e"}}, 200ms).allowed);
    EXPECT_TRUE(ask(engine, {{&r, "u", "e"}}, 1s).allowed);
}

TEST(local_engine, divides_a_limit_by_the_instances_and_leaves_each_one_at_least) {
    local_engine engine({.instances = 4, .max_windows = 10});
    auto const r = secondly("r", 8), one = secondly("one", 1), none = secondly("none", 0);
    EXPECT_TRUE(ask(engine, {{&r, "u", "e", 2}}, 0s).allowed);
    EXPECT_FALSE(ask(engine, {{&r, "u", "e"}}, 0s).allowed);
    EXPECT_TRUE(ask(engine, {{&one, "u", "e"}}, 0s).allowed);
    EXPECT_FALSE(ask(engine, {{&none, "u", "e"}}, 0s).allowed);
}

TEST(local_engine, charges_all_rules_or_none) {
    local_engine engine;
    auto const narrow = secondly("narrow", 1), wide = secondly("wide", 3);
    EXPECT_TRUE(ask(engine, {{&narrow, "u", "e"}, {&wide, "u", "e"}}, 0s).allowed);
    EXPECT_FALSE(ask(engine, {{&narrow, "u", "e"}, {&wide, "u", "e"}}, 0s).allowed);
    EXPECT_FALSE(ask(engine, {{&wide, "u", "e", 2}}, 0s, false).rules.empty());
    EXPECT_EQ(ask(engine, {{&wide, "u", "e", 2}}, 0s).rules[0].remaining, 0u) << "refusals charged nothing";
}

TEST(local_engine, leaves_rules_alone_that_others_decide) {
    local_engine engine;
    auto const mine = secondly("mine", 1), theirs = secondly("theirs", 1);
    std::vector<charge> const charges{{&mine, "u", "e"}, {&theirs, "u", "e"}};
    check_request request;
    ASSERT_FALSE(request.assign(charges, "", key_layout::standalone));
    decision result;
    result.rules.resize(2);
    result.rules[0].outcome = outcome::error_local;
    result.rules[1].outcome = outcome::error_open;
    result.rules[1].remaining = 77;
    engine.decide(request, 0s, true, result);
    EXPECT_TRUE(result.rules[0].allowed);
    EXPECT_EQ(result.rules[1].remaining, 77u);
    EXPECT_EQ(engine.size(), 1u);
}

TEST(local_engine, forgets_the_window_idle_longest_when_it_is_full) {
    local_engine engine({.instances = 1, .max_windows = 3});
    auto const r = secondly("r", 1);
    for (auto const* user : {"a", "b", "c"})
        ask(engine, {{&r, user, "e"}}, 0s);
    EXPECT_FALSE(ask(engine, {{&r, "a", "e"}}, 1ms).allowed); // "b" is now the one idle longest
    EXPECT_TRUE(ask(engine, {{&r, "d", "e"}}, 2ms).allowed);
    EXPECT_EQ(engine.size(), 3u);
    EXPECT_FALSE(ask(engine, {{&r, "a", "e"}}, 3ms).allowed);
    EXPECT_FALSE(ask(engine, {{&r, "c", "e"}}, 3ms).allowed);
    EXPECT_TRUE(ask(engine, {{&r, "b", "e"}}, 3ms).allowed);
}

TEST(local_engine, resets_one_rule_of_one_key) {
    local_engine engine;
    auto const a = secondly("a", 1), b = secondly("b", 1);
    ask(engine, {{&a, "u", "e"}, {&b, "u", "e"}}, 0s);
    engine.reset(a, "rate:u:e");
    engine.reset(a, "rate:nobody:e");
    EXPECT_TRUE(ask(engine, {{&a, "u", "e"}}, 1ms).allowed);
    EXPECT_FALSE(ask(engine, {{&b, "u", "e"}}, 1ms).allowed);
}

TEST(local_engine, takes_a_clock_that_another_thread_read_earlier_as_the_latest) {
    local_engine engine;
    auto const r = secondly("r", 2);
    ask(engine, {{&r, "u", "e"}}, 10s);
    EXPECT_TRUE(ask(engine, {{&r, "u", "e"}}, 9s).allowed);
    EXPECT_FALSE(ask(engine, {{&r, "u", "e"}}, 10s + 999ms).allowed);
    EXPECT_TRUE(ask(engine, {{&r, "u", "e"}}, 11s).allowed);
}

TEST(local_engine, threads_together_admit_exactly_the_limit) {
    local_engine engine;
    auto const r = secondly("r", 500);
    std::atomic<int> admitted{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 500; ++i)
                admitted += ask(engine, {{&r, "u", "e"}}, 0s).allowed ? 1 : 0;
        });
    for (auto& each : threads)
        each.join();
    EXPECT_EQ(admitted, 500);
}

} // namespace
} // namespace weir
