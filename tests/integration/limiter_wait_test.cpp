#include "support/limiter_fixture.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <deque>
#include <optional>

// Requests that wait for room rather than be refused.

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class limiter_wait : public limiter_test {
protected:
    asio::awaitable<decision> check(limiter& subject, rule const& r, std::chrono::milliseconds wait = {}) {
        request_options how;
        how.max_wait = wait;
        charge const one[] = {{&r, "alice", "e"}};
        decision said;
        auto const [ec] = co_await subject.async_check(one, how, said, use_result);
        EXPECT_FALSE(ec || said.error) << ec.message() << said.error.message();
        co_return said;
    }
};

TEST_F(limiter_wait, waits_for_room_and_no_longer_than_asked) {
    with_limiter([&](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .limit = 2, .window = 300ms};
        auto const begun = boot_clock::now();
        EXPECT_TRUE((co_await check(subject, r, 10s)).allowed);
        auto const second = co_await check(subject, r, 10s);
        EXPECT_TRUE(second.allowed);
        EXPECT_EQ(second.waited, 0ms);
        auto const refused = co_await check(subject, r, 1ms);
        EXPECT_FALSE(refused.allowed);
        EXPECT_GT(refused.retry_after, 1ms);
        auto const waited = co_await check(subject, r, 10s);
        EXPECT_TRUE(waited.allowed);
        EXPECT_GT(waited.waited, 0ms);
        EXPECT_GE(boot_clock::now() - begun, 300ms);
    });
}

TEST_F(limiter_wait, a_rule_can_say_for_how_long) {
    with_limiter([&](limiter& subject) -> asio::awaitable<void> {
        rule const patient{.name = "patient", .limit = 1, .window = 200ms, .max_wait = 10s};
        rule const strict{.name = "strict", .limit = 1, .window = 200ms};
        EXPECT_TRUE((co_await check(subject, patient)).allowed);
        EXPECT_TRUE((co_await check(subject, patient)).allowed);
        charge const both[] = {{&patient, "bob", "e"}, {&strict, "bob", "e"}};
        decision said;
        auto const [first] = co_await subject.async_check(both, said, use_result);
        EXPECT_FALSE(first);
        EXPECT_TRUE(said.allowed);
        auto const [second] = co_await subject.async_check(both, said, use_result);
        EXPECT_FALSE(second);
        EXPECT_FALSE(said.allowed) << "one of those that refuse does not want to wait";
    });
}

TEST_F(limiter_wait, those_who_wait_pass_in_the_order_of_asking) {
    std::vector<int> order;
    with_limiter([&](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .limit = 3, .window = 1s};
        int left = 4;
        asio::steady_timer done(io, asio::steady_timer::time_point::max());
        // Their places come free so far apart that it shows whose turn was first, however late the answers come.
        for (int i = 0; i < 3; ++i) {
            EXPECT_TRUE((co_await check(subject, r)).allowed);
            if (i < 2)
                co_await asio::steady_timer(io, 200ms).async_wait(asio::use_awaitable);
        }
        std::deque<decision> decisions(4);
        request_options how;
        how.max_wait = 1s;
        for (int i = 0; i < 4; ++i) {
            charge const one[] = {{&r, "alice", "e"}};
            subject.async_check(one, how, decisions[static_cast<std::size_t>(i)], [&, i](error_code ec) {
                EXPECT_FALSE(ec);
                if (decisions[static_cast<std::size_t>(i)].allowed)
                    order.push_back(i);
                if (--left == 0)
                    done.cancel();
            });
        }
        error_code ended;
        co_await done.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    });
    // The last would wait longer than a window; not where a busy machine has asked so late that it would not.
    EXPECT_GE(order.size(), 3u);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end())) << testing::PrintToString(order);
}

TEST_F(limiter_wait, cancelled_it_gives_its_place_up) {
    with_limiter([&](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .limit = 1, .window = 1h};
        EXPECT_TRUE((co_await check(subject, r)).allowed);
        asio::cancellation_signal cancel;
        asio::steady_timer done(io, asio::steady_timer::time_point::max());
        std::optional<error_code> ended;
        decision said;
        request_options how;
        how.max_wait = 1h;
        charge const one[] = {{&r, "alice", "e"}};
        subject.async_check(one, how, said, asio::bind_cancellation_slot(cancel.slot(), [&](error_code ec) {
                                ended = ec;
                                done.cancel();
                            }));
        // Until the place is taken, and others come behind it.
        asio::steady_timer pause(io);
        while ((co_await check(subject, r)).retry_after <= 1h)
            co_await asio::post(io, asio::use_awaitable);
        cancel.emit(asio::cancellation_type::terminal);
        error_code ignored;
        if (!ended)
            co_await done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        EXPECT_EQ(ended, error_code{errc::cancelled});
        EXPECT_FALSE(said.allowed);
        auto const after = co_await check(subject, r);
        EXPECT_LE(after.retry_after, 1h) << "commands of one connection keep their order: the place is free again";
    });
}

/// One check under way, to be cancelled.
struct waiting {
    decision said;
    std::optional<error_code> ended;
    asio::cancellation_signal cancel;
};

class limiter_wait_by_id : public limiter_wait {
protected:
    static constexpr auto longest = 1h;

    void begin(limiter& subject, rule const& r, std::string_view id, waiting& one) {
        charge const charges[] = {{&r, "alice", "e"}};
        subject.async_check(charges, {.request_id = id, .max_wait = longest}, one.said,
                            asio::bind_cancellation_slot(one.cancel.slot(), [&](error_code ec) { one.ended = ec; }));
    }
    /// Until another would have to wait behind so many places of an hour each.
    asio::awaitable<void> until_places(limiter& subject, rule const& r, int count) {
        charge const peek[] = {{&r, "alice", "e", 0}};
        decision said;
        do {
            auto const [ec] = co_await subject.async_check(peek, said, use_result);
            EXPECT_FALSE(ec || said.error);
            co_await asio::post(io, asio::use_awaitable);
        } while (said.retry_after <= count * 1h || said.retry_after > (count + 1) * 1h);
    }
    /// Until so many wait by the record of the request.
    asio::awaitable<void> until_held(std::string const& id, int askers) {
        while (server.integer({"BITFIELD", "rate:alice:e#" + id, "GET", "u8", "0"}) != askers)
            co_await asio::post(io, asio::use_awaitable);
    }
};

TEST_F(limiter_wait_by_id, a_retry_waits_for_the_same_place_and_is_not_charged_again) {
    with_limiter([&](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .limit = 1, .window = 500ms};
        EXPECT_TRUE((co_await check(subject, r)).allowed);
        waiting first, again;
        begin(subject, r, "id", first);
        while (server.integer({"EXISTS", "rate:alice:e#id"}) == 0)
            co_await asio::post(io, asio::use_awaitable);
        begin(subject, r, "id", again);
        co_await ended(first);
        co_await ended(again);
        EXPECT_TRUE(first.said.allowed && again.said.allowed) << *first.ended << *again.ended;
        EXPECT_LE(again.said.waited, first.said.waited);
        EXPECT_EQ(first.said.request_id, "id");
        waiting late;
        begin(subject, r, "id", late);
        co_await ended(late);
        EXPECT_TRUE(late.said.allowed);
        EXPECT_EQ(late.said.waited, 0ms) << "after it, it passes at once";
        charge const charges[] = {{&r, "alice", "e", as_reserved}};
        settlement became;
        auto const [ec] = co_await subject.async_settle(charges, {.request_id = "id"}, became, use_result);
        EXPECT_FALSE(ec) << ec.message();
        EXPECT_EQ(became.rules.at(0).reserved, 1u) << "charged once";
    });
}

TEST_F(limiter_wait_by_id, cancelled_by_the_only_one_who_waits_the_place_is_free_and_the_id_may_ask_again) {
    with_limiter([&](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .limit = 1, .window = 1h};
        EXPECT_TRUE((co_await check(subject, r)).allowed);
        for (int i = 0; i < 3; ++i) {
            waiting one;
            begin(subject, r, "id", one);
            co_await until_places(subject, r, 1);
            one.cancel.emit(asio::cancellation_type::terminal);
            co_await ended(one);
            EXPECT_EQ(one.ended, error_code{errc::cancelled});
            co_await until_places(subject, r, 0);
            EXPECT_EQ(server.integer({"EXISTS", "rate:alice:e#id"}), 0);
        }
    });
}

TEST_F(limiter_wait_by_id, of_two_who_wait_one_may_cancel_and_the_place_is_the_others) {
    with_limiter([&](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .limit = 1, .window = 1h};
        EXPECT_TRUE((co_await check(subject, r)).allowed);
        for (int which : {0, 1}) {
            std::deque<waiting> both(2);
            begin(subject, r, "id", both[0]);
            co_await until_places(subject, r, 1);
            begin(subject, r, "id", both[1]);
            co_await until_held("id", 2);
            auto& goes = both[static_cast<std::size_t>(which)];
            auto& stays = both[static_cast<std::size_t>(1 - which)];
            goes.cancel.emit(asio::cancellation_type::terminal);
            co_await ended(goes);
            co_await until_held("id", 0);
            co_await until_places(subject, r, 1);
            EXPECT_FALSE(stays.ended);
            stays.cancel.emit(asio::cancellation_type::terminal);
            co_await ended(stays);
            co_await until_places(subject, r, 0);
        }
    });
}

TEST_F(limiter_wait_by_id, another_request_under_the_id_is_told_so_and_one_that_does_not_wait_is_refused_until_then) {
    with_limiter([&](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .limit = 2, .window = 1h};
        charge const two[] = {{&r, "alice", "e", 2}}, one[] = {{&r, "alice", "e", 1}};
        decision said;
        co_await subject.async_check(two, said, use_result);
        waiting first;
        begin(subject, r, "id", first);
        while (server.integer({"EXISTS", "rate:alice:e#id"}) == 0)
            co_await asio::post(io, asio::use_awaitable);
        request_options how{.request_id = "id", .max_wait = longest};
        auto [ec] = co_await subject.async_check(two, how, said, use_result);
        EXPECT_EQ(ec, errc::request_id_reused);
        how.max_wait = 0ms;
        std::tie(ec) = co_await subject.async_check(one, how, said, use_result);
        EXPECT_FALSE(ec);
        EXPECT_FALSE(said.allowed);
        EXPECT_GT(said.retry_after, 0ms);
        EXPECT_LE(said.retry_after, 1h);
        EXPECT_FALSE(first.ended);
        first.cancel.emit(asio::cancellation_type::terminal);
        co_await ended(first);
    });
}

TEST_F(limiter_wait, what_cannot_wait_is_refused_at_once) {
    with_limiter([&](limiter& subject) -> asio::awaitable<void> {
        rule const r{.name = "r", .limit = 1, .window = 100ms};
        charge const one[] = {{&r, "alice", "e"}}, much[] = {{&r, "alice", "e", 2}};
        request_options how;
        how.max_wait = -1ms;
        decision said;
        auto [ec] = co_await subject.async_check(one, how, said, use_result);
        EXPECT_EQ(ec, errc::invalid_argument);
        how.max_wait = 10s;
        std::tie(ec) = co_await subject.async_check(much, how, said, use_result);
        EXPECT_FALSE(ec);
        EXPECT_EQ(said.retry_after, never);
    });
}

TEST_F(limiter_wait, the_proxy_holds_a_request_until_its_limit_has_room) {
    upstream up{upstream::always("served")};
    auto c = proxy_config(up.port());
    auto limit = hourly("patient", 1);
    limit.rule.window = 300ms;
    limit.rule.max_wait = 10s;
    c.limits.push_back(limit);
    c.routes.front().limits = {0};
    running_proxy const proxy(std::move(c), options_for(server));
    auto client = proxy.connect();
    auto const begun = std::chrono::steady_clock::now();
    EXPECT_EQ(client.get("/").status, 200);
    EXPECT_EQ(client.get("/").status, 200);
    EXPECT_GE(std::chrono::steady_clock::now() - begun, 290ms);
    EXPECT_EQ(proxy.decided(outcome::allow), 2u);
}

} // namespace
} // namespace weir::test
