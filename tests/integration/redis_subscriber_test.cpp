#include "support/certificates.hpp"
#include "support/redis_fixture.hpp"
#include "support/relay.hpp"

#include <gmock/gmock.h>
#include <weir/redis/subscriber.hpp>

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using redis::subscriber;
using testing::HasSubstr;

struct hearer final : redis::listener {
    void on_message(redis::message const& what) noexcept override {
        payloads.emplace_back(what.payload);
        channels.emplace_back(what.channel);
        if (then)
            then();
    }
    void on_gap() noexcept override { ++gaps; }
    void on_refused(error_code ec, std::string_view text) noexcept override {
        ++refusals;
        why = ec;
        words = text;
    }
    std::vector<std::string> payloads, channels;
    int gaps = 0, refusals = 0;
    error_code why;
    std::string words;
    std::function<void()> then;
};

redis::client_options lively(std::string const& url) {
    auto options = patient_options(url);
    options.reconnect_min = 1ms;
    options.reconnect_max = 20ms;
    return options;
}

/// Runs the loop until `holds`, and no longer than a test's patience.
void run_until(asio::io_context& io, std::function<bool()> const& holds) {
    auto const end = boot_clock::now() + patience;
    io.restart();
    while (!holds() && boot_clock::now() < end)
        io.run_one_for(100ms);
    EXPECT_TRUE(holds());
}

void publish_and_hear(asio::io_context& io, redis_server& server, hearer& to, std::string const& payload) {
    auto const before = to.payloads.size();
    server.run({"PUBLISH", "news", payload});
    run_until(io, [&] { return to.payloads.size() > before; });
    EXPECT_EQ(to.payloads.back(), payload);
}

TEST(redis_subscriber, hears_what_is_published_after_its_gap_whatever_the_bytes) {
    redis_server server;
    asio::io_context io;
    subscriber listening(io, lively(server.url()));
    hearer one, two;
    std::string const odd("\0\r\n*3\xff", 7);
    auto const channel = listening.subscribe(odd, one);
    auto const pattern = listening.psubscribe("n[aeo]ws.*", two);
    run_until(io, [&] { return one.gaps == 1 && two.gaps == 1; });
    server.run({"PUBLISH", odd, odd});
    server.run({"PUBLISH", "news.of.today", ""});
    server.run({"PUBLISH", "nows", "not for us"});
    server.run({"PUBLISH", "naws.", std::string(200'000, 'x')});
    run_until(io, [&] { return one.payloads.size() == 1 && two.payloads.size() == 2; });
    EXPECT_EQ(one.payloads, std::vector{odd});
    EXPECT_EQ(one.channels, std::vector{odd});
    EXPECT_EQ(two.channels, (std::vector<std::string>{"news.of.today", "naws."}));
    EXPECT_EQ(two.payloads, (std::vector<std::string>{"", std::string(200'000, 'x')}));
    EXPECT_EQ(listening.stats().messages, 3u);
    EXPECT_EQ(server.run({"CLIENT", "LIST", "TYPE", "pubsub"}).find("name=weir") == std::string::npos, false);
}

TEST(redis_subscriber, ends_with_its_subscription_and_the_server_is_told) {
    redis_server server;
    asio::io_context io;
    subscriber listening(io, lively(server.url()));
    hearer one, two;
    auto first = listening.subscribe("news", one);
    auto second = listening.subscribe("news", two);
    run_until(io, [&] { return one.gaps == 1 && two.gaps == 1; });
    first.reset();
    publish_and_hear(io, server, two, "a");
    EXPECT_TRUE(one.payloads.empty());
    two.then = [&] { second.reset(); };
    publish_and_hear(io, server, two, "b");
    run_until(io, [&] { return listening.stats().names == 0; });
    EXPECT_EQ(server.integer({"PUBLISH", "news", "c"}), 0);
    two.then = nullptr;
    second = listening.subscribe("news", two);
    run_until(io, [&] { return two.gaps == 2; });
    publish_and_hear(io, server, two, "d");
    EXPECT_EQ(two.payloads, (std::vector<std::string>{"a", "b", "d"}));
}

TEST(redis_subscriber, may_be_destroyed_from_within_a_listener_and_its_subscriptions_later) {
    redis_server server;
    asio::io_context io;
    auto listening = std::make_unique<subscriber>(io, lively(server.url()));
    hearer one, two;
    auto const first = listening->subscribe("news", one);
    auto const second = listening->subscribe("news", two);
    run_until(io, [&] { return one.gaps == 1 && two.gaps == 1; });
    one.then = [&] { listening.reset(); };
    server.run({"PUBLISH", "news", "last"});
    server.run({"PUBLISH", "news", "too late"});
    io.restart();
    io.run_for(patience);
    EXPECT_TRUE(io.stopped()) << "nothing is left to run";
    EXPECT_EQ(one.payloads, std::vector<std::string>{"last"});
    EXPECT_TRUE(two.payloads.empty());
}

TEST(redis_subscriber, tells_a_gap_after_each_lost_connection_and_goes_on) {
    redis_server server;
    asio::io_context io;
    subscriber listening(io, lively(server.url()));
    hearer one;
    auto const held = listening.subscribe("news", one);
    run_until(io, [&] { return one.gaps == 1; });
    publish_and_hear(io, server, one, "a");
    server.run({"CLIENT", "KILL", "TYPE", "pubsub"});
    run_until(io, [&] { return one.gaps == 2; });
    publish_and_hear(io, server, one, "b");
    server.run({"FLUSHALL"});
    publish_and_hear(io, server, one, "c");
    EXPECT_EQ(one.gaps, 2) << "what is flushed are keys";
    server.kill();
    run_until(io, [&] { return listening.stats().connect_failures > 0; });
    EXPECT_FALSE(listening.connected());
    EXPECT_EQ(listening.last_error(), errc::not_connected);
    server.restart();
    run_until(io, [&] { return one.gaps == 3; });
    publish_and_hear(io, server, one, "d");
    EXPECT_EQ(one.payloads, (std::vector<std::string>{"a", "b", "c", "d"}));
}

TEST(redis_subscriber, a_server_whose_output_buffer_is_full_makes_a_gap) {
    redis_server server;
    server.run({"CONFIG", "SET", "client-output-buffer-limit", "pubsub 200kb 0 0"});
    asio::io_context io;
    subscriber listening(io, lively(server.url()));
    hearer one;
    auto const held = listening.subscribe("news", one);
    run_until(io, [&] { return one.gaps == 1; });
    // The loop does not run: nothing is read, until the server has enough of it.
    std::string const large(100'000, 'x');
    while (server.integer({"PUBLISH", "news", large}) == 1) {
    }
    run_until(io, [&] { return one.gaps == 2; });
    publish_and_hear(io, server, one, "after");
}

TEST(redis_subscriber, a_message_above_the_limit_drops_the_connection) {
    redis_server server;
    asio::io_context io;
    auto options = lively(server.url());
    options.max_reply_bytes = 10'000;
    subscriber listening(io, options);
    hearer one;
    auto const held = listening.subscribe("news", one);
    run_until(io, [&] { return one.gaps == 1; });
    server.run({"PUBLISH", "news", std::string(100'000, 'x')});
    run_until(io, [&] { return !listening.connected(); });
    EXPECT_EQ(listening.last_error(), errc::protocol_error);
    EXPECT_THAT(listening.last_error_text(), HasSubstr("longer than the 10000 bytes allowed"));
    run_until(io, [&] { return one.gaps == 2; });
    EXPECT_TRUE(one.payloads.empty());
    publish_and_hear(io, server, one, "small");
}

TEST(redis_subscriber, silence_for_two_health_intervals_ends_the_connection) {
    redis_server server;
    relay between(server.socket_path());
    asio::io_context io;
    auto options = lively(between.tcp_url());
    options.health_interval = 50ms;
    subscriber listening(io, options);
    hearer one;
    auto const held = listening.subscribe("news", one);
    run_until(io, [&] { return one.gaps == 1; });
    between.swallow_replies(true);
    run_until(io, [&] { return !listening.connected(); });
    EXPECT_THAT(listening.last_error_text(), HasSubstr("no reply for two health intervals"));
    between.swallow_replies(false);
    // One that had begun meanwhile ends by its own deadline.
    between.cut();
    run_until(io, [&] { return one.gaps == 2; });
    publish_and_hear(io, server, one, "back");
}

TEST(redis_subscriber, a_path_that_splits_at_every_byte_and_cuts_in_the_middle_loses_nothing_unsaid) {
    redis_server server;
    relay between(server.socket_path());
    between.split_replies(1);
    asio::io_context io;
    subscriber listening(io, lively(between.tcp_url()));
    hearer one;
    auto const held = listening.subscribe("news", one);
    for (int round = 1; round <= 5; ++round) {
        run_until(io, [&] { return one.gaps == round; });
        for (int i = 0; i < 20; ++i)
            publish_and_hear(io, server, one, std::to_string(round) + '.' + std::to_string(i));
        between.cut();
    }
    EXPECT_EQ(one.payloads.size(), 100u);
}

TEST(redis_subscriber, many_channels_at_once_are_all_subscribed_and_again_after_a_cut) {
    redis_server server;
    relay between(server.socket_path());
    asio::io_context io;
    subscriber listening(io, lively(between.unix_url()));
    constexpr std::size_t many = 5000;
    std::vector<hearer> hearers(many);
    std::vector<redis::subscription> held;
    for (std::size_t i = 0; i < many; ++i)
        held.push_back(listening.subscribe("channel " + std::to_string(i), hearers[i]));
    auto const all = [&](int gaps) {
        return std::all_of(hearers.begin(), hearers.end(), [&](auto const& each) { return each.gaps == gaps; });
    };
    run_until(io, [&] { return all(1); });
    EXPECT_EQ(server.integer({"PUBLISH", "channel 4999", "x"}), 1);
    run_until(io, [&] { return hearers.back().payloads.size() == 1; });
    between.cut();
    run_until(io, [&] { return all(2); });
    held.clear();
    run_until(io, [&] { return listening.stats().names == 0; });
}

TEST(redis_subscriber, a_channel_that_the_user_may_not_hear_is_told_and_heard_once_that_is_mended) {
    redis_server server;
    server.run({"ACL", "SETUSER", "ear", "on", ">river", "resetchannels", "&allowed", "+@all"});
    asio::io_context io;
    auto options = lively("unix://ear:river@" + server.socket_path());
    options.health_interval = 20ms;
    subscriber listening(io, options);
    hearer allowed, denied;
    auto const first = listening.subscribe("denied", denied);
    auto const second = listening.subscribe("allowed", allowed);
    run_until(io, [&] { return allowed.gaps == 1 && denied.refusals == 1; });
    EXPECT_EQ(denied.why, errc::no_permission);
    EXPECT_THAT(denied.words, HasSubstr("NOPERM"));
    EXPECT_TRUE(listening.connected()) << "the others go on";
    server.run({"ACL", "SETUSER", "ear", "&denied"});
    run_until(io, [&] { return denied.gaps == 1; });
    EXPECT_EQ(denied.refusals, 1);
    EXPECT_EQ(allowed.gaps, 1);
}

TEST(redis_subscriber, a_wrong_password_is_final_clear_and_not_repeated) {
    redis_server server({.tcp = false, .password = "open sesame", .arguments = {}});
    asio::io_context io;
    auto options = patient_options(server.url());
    options.server.password = "hunter2";
    subscriber listening(io, options);
    run_until(io, [&] { return listening.stats().connect_failures == 1; });
    EXPECT_EQ(listening.last_error(), errc::wrong_password);
    EXPECT_THAT(listening.last_error_text(), HasSubstr("WRONGPASS"));
    EXPECT_EQ(listening.last_error_text().find("hunter2"), std::string::npos);
}

TEST(redis_subscriber, works_over_tls) {
    certificates const pem;
    auto const port = free_port();
    redis_server server({.tcp = false, .password = {}, .arguments = pem.arguments(port)});
    auto const url = "rediss://localhost:" + std::to_string(port);
    asio::io_context io;
    subscriber listening(io, lively(url + "?cacert=" + pem.ca()));
    subscriber distrusting(io, lively(url));
    hearer one;
    auto const held = listening.subscribe("news", one);
    run_until(io, [&] { return one.gaps == 1 && distrusting.stats().connect_failures > 0; });
    EXPECT_EQ(distrusting.last_error(), errc::tls_failed);
    publish_and_hear(io, server, one, std::string(100'000, 'x'));
    server.run({"CLIENT", "KILL", "TYPE", "pubsub"});
    run_until(io, [&] { return one.gaps == 2; });
    publish_and_hear(io, server, one, "again");
}

TEST(redis_subscriber, asks_before_each_attempt_where_to_connect) {
    redis_server here, there;
    asio::io_context io;
    int asked = 0;
    subscriber listening(io, lively(here.url()), [&]() -> std::optional<redis::address> {
        ++asked;
        return asked == 1 ? std::nullopt : std::optional{address_of(asked == 2 ? here.url() : there.url())};
    });
    hearer one;
    auto const held = listening.subscribe("news", one);
    run_until(io, [&] { return listening.stats().connect_failures == 1; });
    EXPECT_THAT(listening.last_error_text(), HasSubstr("no server is known at present"));
    run_until(io, [&] { return one.gaps == 1; });
    publish_and_hear(io, here, one, "here");
    here.stop();
    run_until(io, [&] { return one.gaps == 2; });
    publish_and_hear(io, there, one, "there");
}

TEST(redis_subscriber, a_name_that_cannot_be_one_and_sentinels_alone_are_refused) {
    asio::io_context io;
    redis_server server;
    subscriber listening(io, lively(server.url()));
    hearer one;
    EXPECT_THROW(std::ignore = listening.subscribe("", one), std::invalid_argument);
    EXPECT_THROW(std::ignore = listening.psubscribe(std::string(subscriber::max_name + 1, 'x'), one),
                 std::invalid_argument);
    redis::client_options sentinels;
    sentinels.server.topology = redis::topology::sentinel;
    EXPECT_THROW(subscriber(io, sentinels), std::invalid_argument);
}

} // namespace
} // namespace weir::test
