#include "support/limiter_fixture.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

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
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2})) << "the last would wait longer than a window";
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
