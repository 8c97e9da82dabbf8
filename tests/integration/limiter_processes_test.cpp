#include "support/forked_process.hpp"
#include "support/limiter_fixture.hpp"

#include <cstdlib>
#include <functional>
#include <string>

// Many processes, one limit.

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr int processes = 8;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int checks = 2'000;
#else
constexpr int checks = 100'000;
#endif

struct tally {
    std::uint64_t units = 0;
    std::uint64_t failures = 0;
};

using how = std::function<void(limiter_options&)>;

/// One process' share: `checks` of them, 64 at a time; the cost of the nth is `cost(n)`.
tally hammer(std::string const& url, rule const& limit, std::uint64_t (*cost)(int), how const& change) {
    limiter_options settings;
    change(settings);
    tally result;
    int next = 0;
    run_tasks(url, std::move(settings), 64, [&](limiter& subject) -> asio::awaitable<void> {
        decision said;
        while (next < checks) {
            charge const charges[] = {{&limit, "everybody", "e", cost(next++)}};
            auto const [ec] = co_await subject.async_check(charges, said, use_result);
            if (ec || said.error)
                ++result.failures;
            else if (said.allowed)
                result.units += charges[0].cost;
        }
    });
    return result;
}

tally hammer_with_all(
    redis_server const& server, rule const& limit, std::uint64_t (*cost)(int),
    how const& change = [](limiter_options&) {}) {
    std::vector<forked_process> children;
    for (int i = 0; i < processes; ++i)
        children.emplace_back([&](process_link& parent) { parent.put(hammer(server.url(), limit, cost, change)); });
    tally all;
    for (auto& child : children) {
        auto const one = child.link().get<tally>();
        EXPECT_TRUE(child.wait());
        all.units += one.units;
        all.failures += one.failures;
    }
    return all;
}

TEST(limiter_processes, eight_admit_exactly_the_limit_of_an_exact_log) {
    redis_server const server;
    rule const limit{.name = "log", .limit = exact_limit, .window = 1h};
    auto const all = hammer_with_all(server, limit, [](int) -> std::uint64_t { return 1; });
    EXPECT_EQ(all.failures, 0u);
    EXPECT_EQ(all.units, limit.limit);
}

TEST(limiter_processes, eight_admit_exactly_the_limit_of_counters) {
    redis_server const server;
    rule const limit{.name = "counters", .limit = processes * checks / 2 + 1, .window = 1h};
    auto const all = hammer_with_all(server, limit, [](int) -> std::uint64_t { return 1; });
    EXPECT_EQ(all.failures, 0u);
    EXPECT_EQ(all.units, limit.limit);
}

TEST(limiter_processes, eight_with_weighted_costs_fill_the_limit_and_never_pass_it) {
    redis_server const server;
    rule const limit{.name = "weighted", .limit = processes * checks + 7, .window = 1h};
    auto const all = hammer_with_all(server, limit, [](int n) -> std::uint64_t { return 1 + n % 5; });
    EXPECT_EQ(all.failures, 0u);
    EXPECT_EQ(all.units, limit.limit) << "single units fill what is left";
}

TEST(limiter_processes, eight_without_shared_calls_admit_exactly_the_limit) {
    redis_server const server;
    rule const limit{.name = "single", .limit = processes * checks / 2 + 1, .window = 1h};
    auto const all = hammer_with_all(
        server, limit, [](int) -> std::uint64_t { return 1; }, [](limiter_options& o) { o.batching = false; });
    EXPECT_EQ(all.failures, 0u);
    EXPECT_EQ(all.units, limit.limit);
}

TEST(limiter_processes, eight_that_remember_refusals_admit_exactly_the_limit) {
    redis_server const server;
    rule const limit{.name = "remembered", .limit = processes * checks / 2 + 1, .window = 1h};
    auto const all = hammer_with_all(
        server, limit, [](int) -> std::uint64_t { return 1; }, [](limiter_options& o) { o.remembered_refusals = 10; });
    EXPECT_EQ(all.failures, 0u);
    EXPECT_EQ(all.units, limit.limit);
}

TEST(limiter_processes, eight_that_charge_ahead_never_pass_the_limit) {
    redis_server const server;
    rule const limit{.name = "leased", .limit = processes * checks / 2 + 1, .window = 1h, .lease = 50ms};
    auto const all = hammer_with_all(server, limit, [](int n) -> std::uint64_t { return 1 + n % 3; });
    EXPECT_EQ(all.failures, 0u);
    EXPECT_LE(all.units, limit.limit);
    EXPECT_GT(all.units, limit.limit / 2) << "what one process held was lost to the others";
}

} // namespace
} // namespace weir::test
