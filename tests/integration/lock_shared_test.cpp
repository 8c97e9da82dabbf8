#include "support/lock_fixture.hpp"

#include <weir/lock/idempotency.hpp>
#include <weir/lock/single_flight.hpp>

#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <array>
#include <memory>

// Work done once for many: single flights, and records of requests that must be executed once.

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using lock::idempotency_record;
using state = idempotency_record::state;

class lock_shared : public lock_test {
protected:
    /// A caller, and what he had.
    struct caller {
        std::optional<lock::published> result;
        std::exception_ptr thrown;
        bool done() const { return result || thrown; }
    };
    template <class Operation>
    void fly(caller& into, lock::manager& locks, lock::flight_options how, Operation operation) {
        lock::async_single_flight(locks, "report", how, std::move(operation),
                                  [&into](std::exception_ptr thrown, lock::published got) {
                                      into.thrown = thrown;
                                      if (!thrown)
                                          into.result = std::move(got);
                                  });
    }
    static error_code code_of(caller const& of) {
        try {
            if (of.thrown)
                std::rethrow_exception(of.thrown);
        } catch (boost::system::system_error const& e) {
            return e.code();
        } catch (...) {
        }
        return {};
    }
};

TEST_F(lock_shared, one_runs_and_all_have_its_result_with_its_fence) {
    lock_instance one(io, server.url()), other(io, server.url());
    int runs = 0;
    asio::steady_timer gate(io, asio::steady_timer::time_point::max());
    std::array<caller, 12> callers;
    for (std::size_t i = 0; i < callers.size(); ++i)
        fly(callers[i], i % 2 ? one.locks : other.locks, {}, [&](lock::lease& under) -> asio::awaitable<std::string> {
            ++runs;
            EXPECT_TRUE(under.valid());
            co_await gate.async_wait(use_result);
            co_return "the answer";
        });
    until([&] { return runs > 0 && server.integer({"ZCARD", "lock:report#queue"}) == 11; }, "one runs, eleven wait");
    EXPECT_EQ(runs, 1);
    gate.cancel();
    until([&] { return std::all_of(callers.begin(), callers.end(), [](auto const& c) { return c.done(); }); }, "done");
    EXPECT_EQ(runs, 1);
    for (auto const& each : callers) {
        ASSERT_TRUE(each.result);
        EXPECT_EQ(each.result->value, "the answer");
        EXPECT_EQ(each.result->fence, callers[0].result->fence);
    }
}

TEST_F(lock_shared, a_leader_who_dies_is_succeeded_by_one_of_those_who_wait_and_cannot_publish) {
    lock_instance stale(io, server.url()), one(io, server.url()), other(io, server.url());
    lock::flight_options const how{.ttl = 300ms, .heartbeat = 400ms};
    asio::steady_timer gate(io, asio::steady_timer::time_point::max());
    caller dead;
    int runs = 0;
    fly(dead, stale.locks, how, [&](lock::lease&) -> asio::awaitable<std::string> {
        server.run({"DEL", "lock:report"}); // as if its time were over while it was stopped
        co_await gate.async_wait(use_result);
        co_return "stale";
    });
    until(
        [&] {
            return stale.locks.stats().acquired == 1 && server.integer({"EXISTS", "lock:report"}) == 0;
        },
        "it leads");
    std::array<caller, 4> rest;
    for (auto& each : rest)
        fly(each, &each == rest.data() ? one.locks : other.locks, how,
            [&](lock::lease&) -> asio::awaitable<std::string> {
                ++runs;
                co_return "fresh";
            });
    until([&] { return std::all_of(rest.begin(), rest.end(), [](auto const& c) { return c.done(); }); }, "succeeded");
    EXPECT_EQ(runs, 1);
    gate.cancel();
    until([&] { return dead.done(); }, "told");
    EXPECT_EQ(code_of(dead), errc::lock_lost);
    for (auto const& each : rest)
        EXPECT_EQ(each.result.value_or(lock::published{}).value, "fresh");
    EXPECT_NE(server.run({"GET", "lock:report#result"}).find("fresh"), std::string::npos);
}

TEST_F(lock_shared, where_the_work_throws_another_tries) {
    lock_instance one(io, server.url());
    int runs = 0;
    caller first, second;
    auto const work = [&](lock::lease&) -> asio::awaitable<std::string> {
        if (++runs == 1)
            throw std::runtime_error("no");
        co_return "yes";
    };
    fly(first, one.locks, {}, work);
    fly(second, one.locks, {}, work);
    until([&] { return first.done() && second.done(); }, "done");
    EXPECT_EQ(static_cast<bool>(first.thrown) + static_cast<bool>(second.thrown), 1);
    EXPECT_EQ((first.result ? first : second).result->value, "yes");
    EXPECT_EQ(runs, 2);
}

TEST_F(lock_shared, a_request_is_executed_once_and_its_answer_given_to_all) {
    redis::client client(io, lock_client_options(server.url()));
    lock::idempotency records(client);
    run(io, [&]() -> asio::awaitable<void> {
        auto const first = co_await records.async_begin("k1", "print", 10s, asio::use_awaitable);
        EXPECT_EQ(first.now, state::begun);
        auto const meanwhile = co_await records.async_begin("k1", "print", 10s, asio::use_awaitable);
        EXPECT_EQ(meanwhile.now, state::in_flight);
        EXPECT_GT(meanwhile.at_most, 9s);
        auto const again = co_await records.async_renew(first, "k1", "print", 60s, asio::use_awaitable);
        EXPECT_EQ(again.now, state::begun);
        auto const other = co_await records.async_begin("k1", "another print", 10s, asio::use_awaitable);
        EXPECT_EQ(other.now, state::another_request);
        std::string const answer("200 bytes\0 of any kind", 22);
        co_await records.async_finish(first, "k1", answer, 1h, asio::use_awaitable);
        auto const later = co_await records.async_begin("k1", "print", 10s, asio::use_awaitable);
        EXPECT_EQ(later.now, state::answered);
        EXPECT_EQ(later.answer, answer);
        EXPECT_EQ((co_await records.async_begin("k1", "another print", 10s, asio::use_awaitable)).now,
                  state::another_request);
    });
    EXPECT_GT(server.integer({"PTTL", "idempotency:k1"}), 3'500'000);
}

TEST_F(lock_shared, one_silent_for_too_long_cannot_answer_for_his_successor_and_one_given_up_is_free) {
    redis::client client(io, lock_client_options(server.url()));
    lock::idempotency records(client);
    run(io, [&]() -> asio::awaitable<void> {
        auto const slow = co_await records.async_begin("k", "print", 1ms, asio::use_awaitable);
        idempotency_record next;
        while (next.now != state::begun)
            next = co_await records.async_begin("k", "print", 1h, asio::use_awaitable);
        auto const [late] = co_await records.async_finish(slow, "k", "late", 1h, use_result);
        EXPECT_EQ(late, errc::lock_lost);
        co_await records.async_abandon(next, "k", asio::use_awaitable);
        EXPECT_EQ((co_await records.async_begin("k", "another print", 1h, asio::use_awaitable)).now, state::begun);
    });
}

} // namespace
} // namespace weir::test
