#include "support/limiter_fixture.hpp"
#include "support/redis_cluster.hpp"

#include <weir/redis/hash_slot.hpp>

#include <gmock/gmock.h>

#include <deque>

// Limits whose keys lie on different nodes of a real cluster.

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class limiter_on_cluster : public testing::Test {
protected:
    static redis_cluster& shared() {
        static redis_cluster all({.node_timeout = 10s});
        return all;
    }

    template <class Body>
    void with_client(Body body) {
        auto options = limiter_client_options(shared().url());
        options.server.topology = redis::topology::cluster;
        redis::client client(io_, std::move(options));
        run(io_, [&]() -> asio::awaitable<void> {
            co_await client.async_connect(use_result);
            co_await body(client);
            while (client.stats().in_flight != 0) // refunds are under way
                co_await asio::post(io_, use_result);
        });
    }

    static asio::awaitable<decision> check(limiter& subject, std::vector<charge> const& charges) {
        decision result;
        auto const [ec] = co_await subject.async_check(charges, result, use_result);
        EXPECT_FALSE(ec) << ec.message();
        EXPECT_FALSE(result.error) << result.error.message();
        co_return result;
    }

    asio::io_context io_;
};

TEST_F(limiter_on_cluster, keys_of_one_user_lie_together_and_users_spread) {
    with_client([](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        rule const a{.name = "a", .limit = 5, .window = 1h}, b{.name = "b", .limit = 5, .window = 1h};
        for (std::string const user : {"u1", "u2", "u3", "u4", "u5", "u6"}) {
            std::vector<charge> const both{{&a, user, "one"}, {&b, user, "two"}};
            EXPECT_TRUE((co_await check(subject, both)).allowed);
        }
        for (std::size_t i = 0; i < shared().masters(); ++i)
            EXPECT_GT(shared().node(i).integer({"DBSIZE"}), 0);
        EXPECT_EQ(shared().integer("{u1}", {"EXISTS", "rate:{u1}:one", "rate:{u1}:two"}), 2);
    });
}

TEST_F(limiter_on_cluster, what_one_node_admitted_is_taken_back_when_another_refused) {
    with_client([this](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        for (std::uint64_t const limit : {100, 1000}) { // a log, and counters
            rule const user{.name = "user" + std::to_string(limit), .limit = limit, .window = 1h};
            rule const all{.name = "all" + std::to_string(limit), .limit = 3, .window = 1h};
            std::vector<charge> const both{{&user, "zoe", "e", 2}, {&all, key_part::any(), "e", 1}};
            for (int i = 0; i < 3; ++i)
                EXPECT_TRUE((co_await check(subject, both)).allowed);
            auto const refused = co_await check(subject, both);
            EXPECT_FALSE(refused.allowed);
            EXPECT_EQ(refused.binding, 1u);
            EXPECT_EQ(refused.rules[0].remaining, limit - 6) << "as if it had not been charged";
            EXPECT_EQ(refused.rules[1].remaining, 0u);
            while (client.stats().in_flight != 0)
                co_await asio::post(io_, use_result);
            std::vector<charge> const peek{{&user, "zoe", "e", 0}};
            EXPECT_EQ((co_await check(subject, peek)).rules[0].remaining, limit - 6);
        }
    });
}

TEST_F(limiter_on_cluster, many_checks_at_once_admit_exactly_the_narrowest_limit_and_leave_no_trace_of_the_others) {
    with_client([this](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        rule const user{.name = "busy", .limit = 1000, .window = 1h}, all{.name = "total", .limit = 150, .window = 1h};
        std::vector<charge> const both{{&user, "busy", "e", 1}, {&all, key_part::any(), "busy", 1}};
        int admitted = 0, left = 300;
        std::deque<decision> results;
        for (int i = 0; i < 300; ++i) {
            auto& result = results.emplace_back();
            subject.async_check(both, result, [&](error_code ec) {
                EXPECT_FALSE(ec || result.error);
                admitted += result.allowed ? 1 : 0;
                --left;
            });
        }
        while (left != 0 || client.stats().in_flight != 0)
            co_await asio::post(io_, use_result);
        EXPECT_EQ(admitted, 150);
        std::vector<charge> const peek{{&user, "busy", "e", 0}};
        EXPECT_EQ((co_await check(subject, peek)).rules[0].remaining, 850u);
    });
}

TEST_F(limiter_on_cluster, a_cancelled_check_gives_back_what_it_had) {
    with_client([this](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        rule const user{.name = "c", .limit = 10, .window = 1h}, all{.name = "call", .limit = 10, .window = 1h};
        std::vector<charge> const both{{&user, "carl", "e", 1}, {&all, key_part::any(), "carl", 1}};
        asio::cancellation_signal cancel;
        std::optional<error_code> outcome;
        decision result;
        subject.async_check(both, result,
                            asio::bind_cancellation_slot(cancel.slot(), [&](error_code ec) { outcome = ec; }));
        cancel.emit(asio::cancellation_type::total);
        while (!outcome)
            co_await asio::post(io_, use_result);
        EXPECT_EQ(*outcome, errc::cancelled_unsent);
        EXPECT_FALSE(result.allowed);
        std::vector<charge> const peek{{&user, "carl", "e", 0}};
        EXPECT_EQ((co_await check(subject, peek)).rules[0].remaining, 10u);
    });
}

/// Two rules whose keys lie on different nodes, one of them full for a while.
struct two_nodes {
    explicit two_nodes(std::string const& name, std::chrono::milliseconds window, std::uint64_t limit = 1)
        : mine{.name = name + "-mine", .limit = 100, .window = 1h}
        , all{.name = name + "-all", .limit = limit, .window = window}
        , user(name)
        , both{{&mine, user, "e", 1}, {&all, key_part::any(), user, 1}} {}
    std::uint64_t left(decision const& d) const { return d.rules.at(0).remaining; }

    rule mine, all;
    std::string user;
    std::vector<charge> both;
    std::vector<charge> peek{{&mine, user, "e", 0}};
};

TEST_F(limiter_on_cluster, who_waits_has_a_place_on_each_node_and_passes_when_the_last_has_come) {
    with_client([](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        two_nodes const rules("wait", 400ms);
        decision said;
        auto const begun = boot_clock::now();
        auto asked = begun;
        for (auto const least : {0ms, 400ms, 800ms}) {
            asked = boot_clock::now();
            auto const [ec] =
                co_await subject.async_check(rules.both, {.request_id = {}, .max_wait = 400ms}, said, use_result);
            EXPECT_FALSE(ec || said.error) << ec.message() << said.error.message();
            EXPECT_TRUE(said.allowed);
            EXPECT_GE(boot_clock::now() - begun, least);
            EXPECT_EQ(said.waited > 0ms, least > 0ms);
        }
        EXPECT_EQ(rules.left(said), 97u);
        // What is charged beside the full rule is charged for when the request passes, not for when it asked.
        auto const place = asked + said.waited - 1ms;
        auto const counts = (co_await check(subject, rules.peek)).rules.at(0).reset_after;
        EXPECT_GE(counts, 1h - (boot_clock::now() - place));
    });
}

TEST_F(limiter_on_cluster, where_the_place_on_one_node_comes_too_late_the_others_are_given_back) {
    with_client([this](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        two_nodes const rules("late", 30min);
        EXPECT_TRUE((co_await check(subject, rules.both)).allowed);
        asio::cancellation_signal cancel;
        std::optional<error_code> first;
        decision waits, said;
        subject.async_check(rules.both, {.request_id = {}, .max_wait = 30min}, waits,
                            asio::bind_cancellation_slot(cancel.slot(), [&](error_code ec) { first = ec; }));
        do
            said = co_await check(subject, rules.both);
        while (said.retry_after <= 30min);
        // Longer than it wants to wait, and, asked for all the same, longer than a window.
        for (std::chrono::milliseconds const patience : {31min, 43200min}) {
            auto const [ec] =
                co_await subject.async_check(rules.both, {.request_id = {}, .max_wait = patience}, said, use_result);
            EXPECT_FALSE(ec || said.error);
            EXPECT_FALSE(said.allowed);
            EXPECT_EQ(said.binding, 1u);
            EXPECT_GT(said.retry_after, 30min);
            EXPECT_EQ(said.waited, 0ms);
        }
        cancel.emit(asio::cancellation_type::terminal);
        while (!first || client.stats().in_flight != 0)
            co_await asio::post(io_, use_result);
        EXPECT_EQ(*first, errc::cancelled);
        EXPECT_EQ(rules.left(co_await check(subject, rules.peek)), 99u);
        EXPECT_LE((co_await check(subject, rules.both)).retry_after, 30min);
    });
}

TEST_F(limiter_on_cluster, an_id_has_its_places_once_while_one_waits_and_when_he_cancels_none) {
    with_client([this](redis::client& client) -> asio::awaitable<void> {
        limiter subject(client);
        two_nodes const rules("once", 30min);
        EXPECT_TRUE((co_await check(subject, rules.both)).allowed);
        std::deque<decision> said(2);
        std::deque<asio::cancellation_signal> cancel(2);
        std::deque<std::optional<error_code>> ended(2);
        // That of the full rule: on the other node a retry has joined for a moment before it is refused here.
        std::string record;
        append_rate_key(record, "", key_part::any(), "once", key_layout::cluster);
        record += "#id";
        for (std::size_t i : {0u, 1u}) {
            subject.async_check(
                rules.both, {.request_id = "id", .max_wait = 30min}, said[i],
                asio::bind_cancellation_slot(cancel[i].slot(), [&ended, i](error_code ec) { ended[i] = ec; }));
            auto const holders = static_cast<std::int64_t>(2 * i);
            while (shared().integer(record, {"EXISTS", record}) == 0 ||
                   shared().integer(record, {"BITFIELD", record, "GET", "u8", "0"}) != holders)
                co_await asio::post(io_, use_result);
        }
        auto const first = co_await check(subject, rules.both);
        EXPECT_LE(first.retry_after, 1h) << "behind one place, not two";
        EXPECT_GT(first.retry_after, 30min);
        for (std::size_t i : {0u, 1u}) {
            EXPECT_FALSE(ended[i]);
            cancel[i].emit(asio::cancellation_type::terminal);
            while (!ended[i] || client.stats().in_flight != 0)
                co_await asio::post(io_, use_result);
            EXPECT_EQ(shared().integer(record, {"EXISTS", record}), i == 0 ? 1 : 0);
        }
        EXPECT_EQ(rules.left(co_await check(subject, rules.peek)), 99u);
    });
}

TEST(limiter_cluster_outage, a_node_that_is_away_leaves_the_others_in_redis_and_is_told_later_what_was_admitted) {
    redis_cluster all;
    asio::io_context io;
    auto options = limiter_client_options(all.url());
    options.server.topology = redis::topology::cluster;
    options.timeout = 5s;
    redis::client client(io, std::move(options));
    run(io, [&]() -> asio::awaitable<void> {
        co_await client.async_connect(use_result);
        limiter subject(client, rule{.name = "r", .limit = 1'000'000, .window = 1h});
        auto const node_of = [&](std::string const& user) { return all.owner(redis::hash_slot("{" + user + "}")); };
        std::string const victim = "victim";
        std::string other = "other";
        while (node_of(other) == node_of(victim))
            other += 'x';
        all.node(node_of(victim)).kill();
        std::uint64_t admitted_here = 0;
        for (int i = 0; i < 200 || admitted_here == 0; ++i) {
            auto const [failed, lost] = co_await subject.async_check(victim, "e", 1, use_result);
            admitted_here += lost.error && lost.allowed ? 1 : 0;
            auto const [ec, result] = co_await subject.async_check(other, "e", 1, use_result);
            EXPECT_FALSE(result.error) << result.error.message();
            if (result.error)
                break;
        }
        EXPECT_FALSE(subject.redis_away());
        decision back;
        do // its replica takes over
            back = std::get<1>(co_await subject.async_peek(victim, "e", use_result));
        while (back.error || back.rules.at(0).remaining > 1'000'000 - admitted_here);
    });
}

} // namespace
} // namespace weir::test
