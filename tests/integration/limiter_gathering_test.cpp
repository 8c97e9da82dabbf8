#include "support/limiter_fixture.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <deque>

// Checks that wait for the reply to a call on its way, to share the next one.

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

struct asked {
    decision said;
    std::optional<error_code> ended;
    clock::time_point began{}, told{};
};

class limiter_gathering : public limiter_test {
protected:
    asked& begin(limiter& subject, asio::cancellation_slot slot = {}) {
        auto& one = all_.emplace_back();
        one.began = clock::now();
        charge const charges[] = {{&rule_, "alice", "e"}};
        subject.async_check(charges, one.said, asio::bind_cancellation_slot(slot, [&one](error_code ec) {
                                one.ended = ec;
                                one.told = clock::now();
                            }));
        return one;
    }
    asio::awaitable<void> all_ended() {
        for (auto const& each : all_)
            co_await ended(each);
    }
    /// What was begun before is sent, if it is to be.
    asio::awaitable<void> next_turn() {
        for (int i = 0; i < 3; ++i)
            co_await asio::post(io, asio::use_awaitable);
    }
    asio::awaitable<void> wait(clock::duration time) {
        asio::steady_timer timer(io, time);
        co_await timer.async_wait(asio::use_awaitable);
    }

    /// With a server that has replied, and whatever it takes from now on, is near.
    void with_server(std::chrono::milliseconds timeout, std::chrono::microseconds gather_within,
                     std::function<asio::awaitable<void>(limiter&, redis::client&)> const& body) {
        auto options = limiter_client_options(server.url());
        options.timeout = timeout;
        redis::client client(io, std::move(options));
        limiter_options how;
        how.gather_within = gather_within;
        limiter subject(client, std::move(how));
        run(io, [&]() -> asio::awaitable<void> {
            co_await client.async_connect(use_result);
            begin(subject);
            co_await all_ended();
            co_await body(subject, client);
        });
    }
    void with_server(std::function<asio::awaitable<void>(limiter&, redis::client&)> const& body) {
        with_server(1h, 1h, body); // however slow the machine, those that wait are of one moment
    }

    rule const rule_{.name = "r", .limit = 1'000'000, .window = 1h};
    std::deque<asked> all_;
};

TEST_F(limiter_gathering, checks_begun_while_a_call_is_on_its_way_share_the_next) {
    with_server([this](limiter& subject, redis::client& client) -> asio::awaitable<void> {
        server.pause();
        auto const before = client.stats().submitted;
        for (int i = 0; i < 10; ++i) {
            begin(subject);
            co_await next_turn();
        }
        EXPECT_EQ(client.stats().submitted, before + 1) << "the others wait for the first";
        server.resume();
        co_await all_ended();
        EXPECT_EQ(client.stats().submitted, before + 2);
        std::uint64_t left = 1'000'000;
        for (auto const& each : all_) {
            EXPECT_FALSE(*each.ended) << each.ended->message();
            EXPECT_TRUE(each.said.allowed && !each.said.error);
            EXPECT_EQ(each.said.rules.at(0).remaining, --left) << "in the order in which they began";
        }
    });
}

TEST_F(limiter_gathering, the_next_call_is_sent_before_the_answers_of_the_last_are_told) {
    with_server([this](limiter& subject, redis::client& client) -> asio::awaitable<void> {
        server.pause();
        charge const charges[] = {{&rule_, "alice", "e"}};
        decision said;
        std::optional<std::uint64_t> writes;
        subject.async_check(charges, said, [&](error_code) { writes = client.stats().batches; });
        co_await next_turn();
        begin(subject);
        co_await next_turn();
        auto const before = client.stats().batches;
        server.resume();
        co_await all_ended();
        EXPECT_EQ(writes, before + 1);
    });
}

TEST_F(limiter_gathering, a_full_call_goes_without_waiting) {
    with_server([this](limiter& subject, redis::client& client) -> asio::awaitable<void> {
        server.pause();
        auto const before = client.stats().submitted;
        begin(subject);
        co_await next_turn();
        for (int i = 1; i <= 70; ++i) {
            begin(subject);
            co_await next_turn();
            EXPECT_EQ(client.stats().submitted, before + 1 + static_cast<std::uint64_t>(i / 32)) << i;
        }
        server.resume();
        co_await all_ended();
        EXPECT_EQ(client.stats().submitted, before + 4);
    });
}

TEST_F(limiter_gathering, none_waits_where_that_is_not_wanted_or_the_server_is_far) {
    for (auto const within : {0us, 1us}) {
        with_server(1h, within, [this](limiter& subject, redis::client& client) -> asio::awaitable<void> {
            server.pause();
            auto const before = client.stats().submitted;
            for (std::uint64_t i = 1; i <= 10; ++i) {
                begin(subject);
                co_await next_turn();
                EXPECT_EQ(client.stats().submitted, before + i);
            }
            server.resume();
            co_await all_ended();
        });
    }
}

TEST_F(limiter_gathering, what_is_asked_alone_goes_after_those_that_wait) {
    with_server([this](limiter& subject, redis::client& client) -> asio::awaitable<void> {
        server.pause();
        auto const before = client.stats().submitted;
        begin(subject);
        co_await next_turn();
        begin(subject);
        co_await next_turn();
        EXPECT_EQ(client.stats().submitted, before + 1);
        charge const charges[] = {{&rule_, "alice", "e"}};
        asked alone;
        subject.async_check(charges, {.request_id = "one"}, alone.said, [&](error_code ec) { alone.ended = ec; });
        EXPECT_EQ(client.stats().submitted, before + 3);
        server.resume();
        co_await ended(alone);
        co_await all_ended();
        EXPECT_FALSE(*alone.ended);
        EXPECT_EQ(all_.back().said.rules.at(0).remaining, 1'000'000u - 3);
        EXPECT_EQ(alone.said.rules.at(0).remaining, 1'000'000u - 4);
    });
}

TEST_F(limiter_gathering, the_wait_is_part_of_the_deadline_of_each) {
    constexpr auto timeout = 2s;
    with_server(timeout, 1h, [this, timeout](limiter& subject, redis::client& client) -> asio::awaitable<void> {
        server.pause();
        auto const before = client.stats().submitted;
        auto& first = begin(subject);
        co_await next_turn();
        auto& second = begin(subject);
        co_await wait(1s);
        auto& later = begin(subject);
        co_await next_turn();
        EXPECT_EQ(client.stats().submitted, before + 1);
        co_await all_ended();
        for (auto const* each : {&first, &second, &later}) {
            EXPECT_TRUE(each->said.allowed && each->said.error) << "decided without Redis";
            EXPECT_GE(each->told - each->began, timeout - 10ms); // deadlines are looked at every few ms
        }
        EXPECT_LT(second.told, later.began + timeout - 10ms) << "not as long again as the first had waited";
        EXPECT_LT(later.told - later.began, timeout + 900ms) << "not as long again as it had waited";
    });
}

TEST_F(limiter_gathering, one_that_waits_can_be_cancelled) {
    with_server([this](limiter& subject, redis::client&) -> asio::awaitable<void> {
        server.pause();
        begin(subject);
        co_await next_turn();
        asio::cancellation_signal signal;
        auto const& cancelled = begin(subject, signal.slot());
        co_await next_turn();
        auto const& other = begin(subject);
        signal.emit(asio::cancellation_type::terminal);
        co_await next_turn();
        EXPECT_EQ(cancelled.ended, error_code{errc::cancelled_unsent});
        server.resume();
        co_await all_ended();
        EXPECT_FALSE(*other.ended);
        EXPECT_EQ(other.said.rules.at(0).remaining, 1'000'000u - 3) << "the one that was cancelled is not charged";
    });
}

TEST_F(limiter_gathering, those_that_wait_are_answered_when_the_server_dies_and_when_it_is_back) {
    with_server([this](limiter& subject, redis::client&) -> asio::awaitable<void> {
        server.pause();
        for (int i = 0; i < 5; ++i) {
            begin(subject);
            co_await next_turn();
        }
        server.kill();
        co_await all_ended();
        for (auto const& each : all_)
            EXPECT_TRUE(each.said.allowed);
        EXPECT_TRUE(all_.back().said.error) << "decided without Redis";
        server.restart();
        do {
            begin(subject);
            co_await all_ended();
        } while (all_.back().said.error);
        EXPECT_TRUE(all_.back().said.allowed);
    });
}

} // namespace
} // namespace weir::test
