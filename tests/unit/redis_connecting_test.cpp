#include <weir/redis/connecting.hpp>

#include <boost/asio/error.hpp>
#include <gmock/gmock.h>

#include <algorithm>

namespace weir::redis::detail {
namespace {

using namespace std::chrono_literals;

// The longest of many pauses: as good as the bound that they are drawn from.
std::chrono::milliseconds longest(reconnect_pause& of, client_options const& options) {
    std::chrono::milliseconds most{0};
    for (int i = 0; i < 5000; ++i) {
        auto const each = of.next(options);
        EXPECT_GE(each, 0ms);
        most = std::max(most, each);
    }
    return most;
}

TEST(redis_reconnect_pause, has_full_jitter_under_a_bound_that_doubles_to_its_end) {
    client_options const options;
    reconnect_pause pause;
    for (auto const bound : {50ms, 100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 5000ms, 5000ms}) {
        pause.failed();
        auto const most = longest(pause, options);
        EXPECT_LE(most, bound);
        EXPECT_GE(most, bound * 9 / 10);
    }
}

TEST(redis_reconnect_pause, begins_anew_after_a_success_alone) {
    client_options const options;
    reconnect_pause pause;
    for (int i = 0; i < 100; ++i)
        pause.failed();
    EXPECT_GT(longest(pause, options), 4500ms);
    pause.succeeded();
    EXPECT_LE(longest(pause, options), 50ms);
    pause.failed();
    EXPECT_LE(longest(pause, options), 50ms);
}

TEST(redis_reconnect_pause, never_turns_into_a_busy_loop) {
    client_options options;
    options.reconnect_min = 0ms;
    options.reconnect_max = 4ms;
    reconnect_pause pause;
    for (int i = 0; i < 100; ++i)
        pause.failed();
    EXPECT_EQ(longest(pause, options), 4ms);
}

TEST(redis_reconnect_pause, is_at_most_half_a_second_once_somebody_wants_the_connection) {
    client_options options;
    reconnect_pause pause;
    EXPECT_EQ(pause.shortened(500ms, options), 500ms);
    auto most = 0ms;
    for (int i = 0; i < 5000; ++i)
        most = std::max(most, pause.shortened(5s, options));
    EXPECT_LE(most, 500ms);
    EXPECT_GE(most, 450ms);
    options.reconnect_min = 2s;
    EXPECT_EQ(pause.shortened(2s, options), 2s) << "what its owner asks for is kept to";
    EXPECT_LE(pause.shortened(5s, options), 2s);
}

TEST(redis_connecting, asks_for_a_user_only_where_one_is_named) {
    address to;
    EXPECT_FALSE(auth_command(to));
    to.password = "pw";
    EXPECT_EQ(auth_command(to)->payload(), command("AUTH", "pw").payload());
    to.user = "weir";
    EXPECT_EQ(auth_command(to)->payload(), command("AUTH", "weir", "pw").payload());
}

TEST(redis_connecting, does_not_pass_on_words_that_hold_the_password) {
    address to;
    EXPECT_EQ(discreet("NOAUTH Authentication required.", to, "otherwise"), "NOAUTH Authentication required.");
    EXPECT_EQ(discreet("", to, "otherwise"), "otherwise");
    to.password = "hunter2";
    EXPECT_EQ(discreet("ERR unknown command 'AUTH', with args beginning with: 'hunter2'", to, "otherwise"),
              "otherwise");
}

TEST(redis_connecting, says_what_the_end_of_a_stream_may_mean) {
    address to;
    EXPECT_THAT(explain_end(asio::error::eof, to, true).text, testing::HasSubstr("if it wants TLS, use rediss://"));
    EXPECT_EQ(explain_end(asio::error::eof, to, false).text, "the server closed the connection");
    EXPECT_EQ(explain_end(asio::error::eof, to, true).why, errc::connection_lost);
    EXPECT_THAT(no_answer_text(to, 7ms), testing::EndsWith("redis://127.0.0.1:6379/0: no answer within 7 ms"));
    to.via = address::transport::tls;
    EXPECT_THAT(no_answer_text(to, 7ms), testing::EndsWith("a server without TLS there says nothing"));
}

} // namespace
} // namespace weir::redis::detail
