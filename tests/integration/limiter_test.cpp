#include "support/limiter_fixture.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <gmock/gmock.h>

// The limiter as a library, on a real server.

namespace weir::test {
namespace {

using namespace std::chrono_literals;

rule hourly(std::string name, std::uint64_t limit, on_redis_failure away = on_redis_failure::local) {
    return {.name = std::move(name), .limit = limit, .window = 1h, .on_redis_failure = away};
}

asio::awaitable<decision> check(limiter& subject, key_part user, std::uint64_t cost = 1) {
    auto [ec, result] = co_await subject.async_check(user, "e", cost, use_result);
    EXPECT_FALSE(ec) << ec.message();
    co_return result;
}

class limiter_on_redis : public redis_test {
protected:
    /// Runs the coroutine with a client that is closed at its end.
    template <class Body>
    void with_client(Body body) {
        redis::client client(io, limiter_client_options(server.url()));
        run(io, [&]() -> asio::awaitable<void> { return body(client); });
    }
};

TEST_F(limiter_on_redis, decides_all_rules_together_and_says_which_binds) {
    with_client([](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client, {hourly("narrow", 3), hourly("wide", 10)});
        auto first = co_await check(subject, "alice");
        EXPECT_TRUE(first.allowed);
        EXPECT_FALSE(first.error);
        EXPECT_EQ(first.rules.at(0).remaining, 2u);
        EXPECT_EQ(first.rules.at(1).remaining, 9u);
        EXPECT_EQ(first.rules.at(first.binding).rule->name, "narrow");
        EXPECT_EQ(first.rules.at(0).reset_after, 1h);

        auto heavy = co_await check(subject, "alice", 3);
        EXPECT_FALSE(heavy.allowed);
        EXPECT_EQ(heavy.rules.at(heavy.binding).rule->name, "narrow");
        EXPECT_FALSE(heavy.rules.at(0).allowed);
        EXPECT_TRUE(heavy.rules.at(1).allowed);
        EXPECT_GT(heavy.retry_after, 59min);
        EXPECT_LE(heavy.retry_after, 1h);
        EXPECT_FALSE(heavy.failed_closed());

        auto never_admitted = co_await check(subject, "alice", 4);
        EXPECT_EQ(never_admitted.retry_after, never);
        EXPECT_TRUE((co_await check(subject, "alice", 2)).allowed) << "a refusal charges nothing";
        EXPECT_TRUE((co_await check(subject, "bob", 3)).allowed) << "another user has a quota of its own";
    });
}

TEST_F(limiter_on_redis, peeks_without_charging_and_resets_its_own_rules) {
    with_client([](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client, hourly("r", 2));
        limiter other(client, hourly("other", 5));
        co_await check(other, "alice");
        auto [no_peek_error, peek] = co_await subject.async_peek("alice", "e", use_result);
        EXPECT_TRUE(peek.allowed);
        EXPECT_EQ(peek.rules.at(0).remaining, 2u);
        co_await check(subject, "alice", 2);
        auto [ec, used_up] = co_await subject.async_peek("alice", "e", use_result);
        EXPECT_FALSE(used_up.allowed);
        auto [reset_error, forgotten] = co_await subject.async_reset("alice", "e", use_result);
        EXPECT_FALSE(reset_error);
        EXPECT_EQ(forgotten, 1u);
        EXPECT_EQ((co_await check(subject, "alice")).rules.at(0).remaining, 1u);
        EXPECT_EQ((co_await check(other, "alice")).rules.at(0).remaining, 3u) << "rules of others keep their counts";
    });
}

TEST_F(limiter_on_redis, takes_charges_of_different_users_and_endpoints_in_one_check) {
    with_client([this](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        auto const user = hourly("user", 5), everybody = hourly("everybody", 1);
        charge const charges[] = {{&user, "alice", "e", 2}, {&everybody, key_part::any(), "e", 1}};
        decision result;
        auto [ec] = co_await subject.async_check(charges, result, use_result);
        EXPECT_FALSE(ec);
        EXPECT_TRUE(result.allowed);
        charge const again[] = {{&user, "bob", "e", 2}, {&everybody, key_part::any(), "e", 1}};
        co_await subject.async_check(again, result, use_result);
        EXPECT_FALSE(result.allowed);
        EXPECT_EQ(server.run({"EXISTS", "rate:alice:e", "rate:*:e"}), "2");
        EXPECT_EQ(server.run({"EXISTS", "rate:bob:e"}), "0") << "a refusal writes nothing";
    });
}

TEST_F(limiter_on_redis, a_refund_takes_back_what_its_receipt_names_and_nothing_else) {
    with_client([this](redis::client& client) -> asio::awaitable<void> {
        for (std::uint64_t const limit : {100, 1000}) { // a log, and counters
            auto const r = hourly("r" + std::to_string(limit), limit), other = hourly("other", 9);
            limiter subject(client, {r, other});
            co_await check(subject, "alice");
            check_request request;
            std::vector<charge> const mine{{&r, "alice", "e", 5}};
            EXPECT_FALSE(request.assign(mine, "", key_layout::standalone));
            auto const slot = request.slots().at(0);
            redis::command command;
            check_reply reply;
            decision result;
            result.rules.resize(1);
            std::int64_t receipt = 0;
            request.encode(command, {.slot = slot});
            auto const [charged] = co_await client.async_exec(command, reply, {}, use_result);
            EXPECT_FALSE(charged);
            EXPECT_FALSE(request.decode(reply, {.slot = slot}, result, receipt));
            EXPECT_EQ(result.rules[0].remaining, limit - 6);
            auto const ttl = server.integer({"PTTL", "rate:alice:e"});
            redis::int_sink<1> taken;
            request.encode_refund(command, slot, receipt - 7'200'000'000);
            co_await client.async_exec(command, taken, {}, use_result);
            EXPECT_EQ(taken[0], 0) << "at another time";
            request.encode_refund(command, slot, receipt);
            co_await client.async_exec(command, taken, {}, use_result);
            EXPECT_EQ(taken[0], 5);
            EXPECT_LE(server.integer({"PTTL", "rate:alice:e"}), ttl) << "lives no longer for it";
            auto const [ec, left] = co_await subject.async_peek("alice", "e", use_result);
            EXPECT_EQ(left.rules.at(0).remaining, limit - 1);
            EXPECT_EQ(left.rules.at(1).remaining, 8u) << "others keep theirs";
            server.run({"FLUSHALL"});
            co_await client.async_exec(command, taken, {}, use_result);
            EXPECT_EQ(taken[0], 0);
            EXPECT_EQ(server.run({"EXISTS", "rate:alice:e"}), "0") << "nothing comes of nothing";
        }
    });
}

TEST_F(limiter_on_redis, refuses_charges_that_are_out_of_range) {
    with_client([](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        auto const fine = hourly("fine", 5);
        auto broad = fine, endless = fine, hasty = fine;
        broad.limit = max_limit + 1;
        endless.window = max_window + 1ms;
        hasty.window = 0ms;
        std::vector<charge> const too_many(max_rules_per_check + 1, charge{&fine, "u", "e", 1});
        std::vector<std::vector<charge>> const wrong{{},
                                                     too_many,
                                                     {{nullptr, "u", "e", 1}},
                                                     {{&broad, "u", "e", 1}},
                                                     {{&endless, "u", "e", 1}},
                                                     {{&hasty, "u", "e", 1}},
                                                     {{&fine, "u", "e", max_cost + 1}},
                                                     {{&fine, "u", "e", 1}, {&fine, "u", "e", 1}}};
        for (auto const& charges : wrong) {
            decision result;
            result.allowed = true;
            auto [ec] = co_await subject.async_check(charges, result, use_result);
            EXPECT_EQ(ec, errc::invalid_argument);
            EXPECT_FALSE(result.allowed);
        }
    });
}

TEST_F(limiter_on_redis, names_the_rule_that_its_constructor_refuses) {
    redis::client client(io, patient_options(server.url()));
    auto const why = [&](std::vector<rule> rules) -> std::string {
        try {
            limiter const made(client, std::move(rules));
            return "none";
        } catch (std::invalid_argument const& e) {
            return e.what();
        }
    };
    auto long_lived = hourly("long", 1);
    long_lived.window = max_window + 1ms;
    EXPECT_EQ(why({hourly("a", 1), hourly("b", 1)}), "none");
    EXPECT_THAT(why({hourly("a", 1), hourly("a", 2)}), testing::HasSubstr("rule a: another rule has this name"));
    EXPECT_THAT(why({hourly("big", max_limit + 1)}), testing::HasSubstr("rule big: limit"));
    EXPECT_THAT(why({long_lived}), testing::HasSubstr("rule long: window"));
    EXPECT_THAT(why(std::vector<rule>(max_rules_per_check + 1, hourly("r", 1))), testing::HasSubstr("at most 16"));
}

TEST_F(limiter_on_redis, decides_by_each_rule_while_redis_is_away_and_by_redis_again_when_it_is_back) {
    with_client([this](redis::client& client) -> asio::awaitable<void> {
        limiter local(client, hourly("local", 2));
        limiter open(client, hourly("open", 0, on_redis_failure::open));
        limiter closed(client, hourly("closed", 9, on_redis_failure::closed));
        EXPECT_TRUE((co_await check(local, "alice", 2)).allowed);
        server.kill();

        // What Redis counted is not known here: the local engine begins with nothing, and counts on by itself.
        auto first = co_await check(local, "alice");
        EXPECT_TRUE(first.allowed);
        EXPECT_TRUE(first.error);
        EXPECT_EQ(first.rules.at(0).outcome, outcome::error_local);
        EXPECT_TRUE((co_await check(local, "alice")).allowed);
        EXPECT_FALSE((co_await check(local, "alice")).allowed);
        EXPECT_TRUE(local.redis_away());
        auto opened = co_await check(open, "alice");
        EXPECT_TRUE(opened.allowed);
        EXPECT_EQ(opened.rules.at(0).outcome, outcome::error_open);
        auto refused = co_await check(closed, "alice");
        EXPECT_FALSE(refused.allowed);
        EXPECT_TRUE(refused.failed_closed());
        EXPECT_EQ(refused.retry_after, 1s);

        server.restart();
        decision now;
        do
            now = co_await check(local, "bob", 0);
        while (now.error);
        EXPECT_FALSE(local.redis_away());
        EXPECT_EQ((co_await check(local, "bob")).rules.at(0).outcome, outcome::allow);
    });
}

TEST_F(limiter_on_redis, a_cancelled_check_allows_nothing) {
    with_client([this](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client, hourly("r", 5));
        co_await check(subject, "warm");
        // Unsent: cancelled in the turn in which it was submitted. Sent: the server has it and says nothing.
        for (bool const sent : {false, true}) {
            if (sent)
                server.pause();
            asio::cancellation_signal cancel;
            std::optional<error_code> outcome;
            auto const rule = hourly("r", 5);
            charge const charges[] = {{&rule, "u", "e", 1}};
            decision result;
            result.allowed = true;
            subject.async_check(charges, result,
                                asio::bind_cancellation_slot(cancel.slot(), [&](error_code ec) { outcome = ec; }));
            while (sent && client.stats().in_flight == 0)
                co_await asio::post(io, use_result);
            cancel.emit(asio::cancellation_type::total);
            while (!outcome)
                co_await asio::post(io, use_result);
            EXPECT_EQ(*outcome, sent ? errc::cancelled : errc::cancelled_unsent);
            EXPECT_FALSE(result.allowed);
            if (sent)
                server.resume();
        }
    });
}

TEST_F(limiter_on_redis, a_closed_client_leaves_the_decision_to_the_rules) {
    with_client([](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client, hourly("r", 1));
        client.close();
        auto result = co_await check(subject, "alice");
        EXPECT_EQ(result.error, errc::client_closed);
        EXPECT_EQ(result.rules.at(0).outcome, outcome::error_local);
    });
}

} // namespace
} // namespace weir::test
