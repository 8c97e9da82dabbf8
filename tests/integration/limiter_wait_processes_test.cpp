#include "support/forked_process.hpp"
#include "support/limiter_fixture.hpp"
#include "support/redis_cluster.hpp"
#include "support/seed.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <random>

// Many processes whose requests wait, are repeated and given up: what passes never exceeds a limit in any window.

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;

constexpr int processes = 4, tasks = 6, checks = 30;

/// Something that passed: since when it counts at the earliest, and at the latest, by a clock that all processes share.
struct passage {
    std::int64_t earliest, latest;
    std::uint64_t units;
    int user;
    bool waited;
};

std::int64_t now() { return std::chrono::duration_cast<microseconds>(boot_clock::now().time_since_epoch()).count(); }

/// One process: its tasks ask for random places, some twice under one id, some to give them up.
class waiting_process {
public:
    waiting_process(bool on_nodes, std::uint64_t seed)
        : on_nodes_(on_nodes)
        , random_(seed)
        , name_(std::to_string(seed)) {}

    static rule user_rule() { return {.name = "user", .limit = 5, .window = 250ms}; }
    static rule all_rule() { return {.name = "all", .limit = 8, .window = 400ms}; }

    std::vector<passage> run(redis::client_options through) {
        run_tasks(std::move(through), {}, tasks, [this](limiter& subject) -> asio::awaitable<void> {
            for (int i = 0; i < checks; ++i)
                co_await one_of(subject);
        });
        return passed_;
    }

private:
    struct attempt {
        decision said;
        asio::cancellation_signal cancel;
        std::int64_t begun = 0, ended = 0;
        bool cancelled = false;
    };

    std::int64_t up_to(std::int64_t most) { return std::uniform_int_distribution<std::int64_t>{0, most}(random_); }

    asio::awaitable<void> one_of(limiter& subject) {
        auto const user = static_cast<int>(up_to(1));
        auto const who = "user" + std::to_string(user);
        auto const units = static_cast<std::uint64_t>(1 + up_to(1));
        charge const charges[] = {{&user_, who, "e", units}, {&all_, key_part::any(), "e", units}};
        request_options how;
        how.max_wait = std::chrono::milliseconds{up_to(3) == 0 ? 0 : 100 + up_to(300)};
        auto const what = up_to(9);
        auto const id = name_ + "/" + std::to_string(++ids_);
        if (what < 4)
            how.request_id = id;
        std::deque<attempt> attempts(what < 3 ? 2 : 1);
        for (auto& each : attempts)
            begin(subject, charges, how, each);
        asio::steady_timer timer(co_await asio::this_coro::executor);
        if (what > 7) {
            timer.expires_after(microseconds{up_to(200'000)});
            co_await timer.async_wait(use_result);
            attempts[0].cancel.emit(asio::cancellation_type::terminal);
        }
        for (auto const& each : attempts)
            while (each.ended == 0)
                co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
        note(attempts, !how.request_id.empty(), user, units);
    }

    void begin(limiter& subject, std::span<charge const> charges, request_options const& how, attempt& one) {
        one.begun = now();
        subject.async_check(charges, how, one.said,
                            asio::bind_cancellation_slot(one.cancel.slot(), [&one](error_code ec) {
                                one.cancelled = ec == errc::cancelled || ec == errc::cancelled_unsent;
                                EXPECT_TRUE(!ec || one.cancelled) << ec.message();
                                EXPECT_FALSE(one.said.error) << one.said.error.message();
                                EXPECT_FALSE(one.cancelled && one.said.allowed);
                                one.ended = now();
                            }));
    }

    /// A place is where the reply said, counted from when it was asked for. Where two asked under one id, one of them
    /// took it; on several nodes perhaps each on one, and all that is known is since when.
    void note(std::deque<attempt> const& attempts, bool by_id, int user, std::uint64_t units) {
        passage all{std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::max(), units, user,
                    false};
        bool passed = false;
        for (auto const& each : attempts) {
            auto const since = by_id && on_nodes_ ? 0 : microseconds{each.said.waited - 1ms}.count();
            all.earliest = std::min(all.earliest, each.begun + std::max<std::int64_t>(since, 0));
            all.waited = all.waited || each.said.waited > 0ms;
            if (each.said.allowed)
                all.latest = std::min(all.latest, each.ended);
            passed = passed || each.said.allowed;
        }
        if (passed)
            passed_.push_back(all);
    }

    bool on_nodes_;
    std::mt19937_64 random_;
    std::string name_;
    rule user_ = user_rule(), all_ = all_rule();
    int ids_ = 0;
    std::vector<passage> passed_;
};

/// Whether more than the limit passed in a window that holds them all, wherever in their bounds they were.
void expect_within(rule const& r, std::vector<passage> const& all, int user) {
    auto const window = microseconds{r.window}.count();
    for (auto const& last : all) {
        std::uint64_t units = 0;
        for (auto const& one : all)
            if ((user < 0 || one.user == user) && one.latest <= last.latest && one.earliest > last.latest - window)
                units += one.units;
        ASSERT_LE(units, r.limit) << r.name;
    }
}

void wait_with_all(redis::client_options const& through, bool on_nodes) {
    auto const seed = random_seed();
    SCOPED_TRACE("WEIR_TEST_SEED=" + std::to_string(seed));
    std::vector<forked_process> children;
    for (int i = 0; i < processes; ++i)
        children.emplace_back([&](process_link& parent) {
            parent.put(waiting_process{on_nodes, seed + static_cast<std::uint64_t>(i)}.run(through));
        });
    std::vector<passage> all;
    for (auto& child : children) {
        auto const its = child.link().get_all<passage>();
        EXPECT_TRUE(child.wait());
        all.insert(all.end(), its.begin(), its.end());
    }
    EXPECT_GT(std::count_if(all.begin(), all.end(), [](passage const& one) { return one.waited; }), 10);
    expect_within(waiting_process::all_rule(), all, -1);
    for (int user : {0, 1})
        expect_within(waiting_process::user_rule(), all, user);
}

TEST(limiter_wait_processes, four_whose_requests_wait_and_are_repeated_and_given_up_never_pass_a_limit) {
    redis_server const server;
    wait_with_all(limiter_client_options(server.url()), false);
}

TEST(limiter_wait_processes, four_who_wait_for_places_on_several_nodes_never_pass_a_limit) {
    redis_cluster all({.node_timeout = 10s});
    auto through = limiter_client_options(all.url());
    through.server.topology = redis::topology::cluster;
    wait_with_all(through, true);
}

} // namespace
} // namespace weir::test
