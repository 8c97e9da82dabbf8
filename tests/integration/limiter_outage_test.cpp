#include "support/limiter_fixture.hpp"

#include <deque>

// A Redis that lives and says nothing: the first few who ask wait for it, nobody else does.

namespace weir::test {
namespace {

using namespace std::chrono_literals;

struct asked_once {
    decision said;
    std::optional<error_code> ended;
};

class limiter_outage : public limiter_test {
protected:
    static void begin(limiter& subject, rule const& r, asked_once& one) {
        charge const charges[] = {{&r, "alice", "e"}};
        subject.async_check(charges, one.said, [&one](error_code ec) { one.ended = ec; });
    }

    rule const rule_{.name = "r", .limit = 1'000'000, .window = 1h};
};

TEST_F(limiter_outage, after_two_silences_nobody_asks_a_stopped_server_until_it_answers_again) {
    auto options = limiter_client_options(server.url());
    options.timeout = 50ms; // as in production: how long the first who ask wait
    redis::client client(io, std::move(options));
    limiter_options how;
    how.batching = false;
    limiter subject(client, std::move(how));
    run(io, [&]() -> asio::awaitable<void> {
        co_await client.async_connect(use_result);
        server.pause();
        std::deque<asked_once> first(2);
        for (auto& each : first) {
            begin(subject, rule_, each);
            co_await ended(each);
            EXPECT_FALSE(*each.ended);
            EXPECT_EQ(each.said.rules.at(0).outcome, outcome::error_local);
            EXPECT_TRUE(each.said.allowed);
        }
        EXPECT_TRUE(subject.redis_away());
        for (int i = 0; i < 100; ++i) {
            asked_once one;
            auto const submitted = client.stats().submitted;
            begin(subject, rule_, one);
            EXPECT_EQ(client.stats().submitted, submitted) << "asked Redis";
            co_await ended(one);
            EXPECT_TRUE(one.said.allowed && one.said.error);
        }
        server.resume();
        decision now;
        charge const peek[] = {{&rule_, "alice", "e", 0}};
        do
            co_await subject.async_check(peek, now, use_result);
        while (now.error || now.rules.at(0).remaining > 1'000'000 - 102); // what was admitted meanwhile is charged
        EXPECT_FALSE(subject.redis_away());
    });
}

} // namespace
} // namespace weir::test
