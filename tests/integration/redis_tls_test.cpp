#include "support/certificates.hpp"
#include "support/redis_fixture.hpp"
#include "support/relay.hpp"

#include <gmock/gmock.h>

namespace weir::test {
namespace {

using redis::client;
using redis::command;
using testing::HasSubstr;

class redis_tls : public testing::Test {
protected:
    /// One set for all tests: making keys takes its time.
    static certificates const& pem() {
        static certificates const made;
        return made;
    }

    /// A server that speaks TLS on `port_`, and plain text on the unix socket by which the test controls it.
    redis_server serve(std::string const& name = "server", bool client = false) {
        port_ = free_port();
        return redis_server({.tcp = false, .password = {}, .arguments = pem().arguments(port_, name, client)});
    }

    std::string url(std::string const& query, std::string const& host = "127.0.0.1") const {
        return "rediss://" + host + ":" + std::to_string(port_) + "/0" + query;
    }
    std::string trusting() const { return "?cacert=" + pem().ca(); }

    struct outcome {
        error_code connect;
        error_code operation;
        std::string text;
        std::string reply;
    };
    /// Connects and asks for a PING.
    static outcome attempt(std::string const& url, std::chrono::milliseconds connect_timeout = patience) {
        asio::io_context io;
        auto options = patient_options(url);
        options.connect_timeout = connect_timeout;
        client redis(io, options);
        outcome result;
        run(io, [&]() -> asio::awaitable<void> {
            std::tie(result.connect) = co_await redis.async_connect(use_result);
            result.text = redis.last_error_text();
            std::tie(result.operation, result.reply) = co_await ask(redis, command("PING"));
        });
        return result;
    }
    /// Refused for good, in words that hold `words`.
    static void expect_refused(std::string const& url, std::string const& words) {
        auto const result = attempt(url);
        EXPECT_EQ(result.connect, errc::tls_failed) << result.text;
        EXPECT_EQ(result.operation, errc::tls_failed);
        EXPECT_EQ(result.operation, kind::not_sent);
        EXPECT_EQ(result.operation, kind::authentication);
        EXPECT_THAT(result.text, HasSubstr(words));
    }

    std::uint16_t port_ = 0;
};

TEST_F(redis_tls, an_address_and_a_name_that_the_certificate_bears_are_accepted) {
    auto const server = serve();
    for (auto const* host : {"127.0.0.1", "localhost"}) {
        auto const result = attempt(url(trusting(), host));
        EXPECT_FALSE(result.connect) << result.text;
        EXPECT_EQ(result.reply, "PONG");
    }
    EXPECT_EQ(attempt(url(trusting() + "&sni=localhost")).reply, "PONG");
}

TEST_F(redis_tls, a_server_that_nobody_known_vouches_for_is_refused) {
    auto const server = serve();
    expect_refused(url(""), "name its authority by cacert=FILE");
    expect_refused(url("?cacert=" + pem().other_ca()), "the server's certificate is refused: ");
    EXPECT_EQ(attempt(url("?verify=none")).reply, "PONG") << "unless that is asked for";
}

TEST_F(redis_tls, a_certificate_for_another_name_is_refused) {
    auto const server = serve("elsewhere");
    expect_refused(url(trusting()), "address mismatch; use the name that it bears, or give that by sni=NAME");
    expect_refused(url(trusting(), "localhost"), "hostname mismatch");
    EXPECT_EQ(attempt(url(trusting() + "&sni=elsewhere.example")).reply, "PONG");
}

TEST_F(redis_tls, an_expired_certificate_is_refused) {
    auto const server = serve("expired");
    expect_refused(url(trusting()), "certificate has expired");
}

TEST_F(redis_tls, a_client_shows_its_certificate_to_a_server_that_wants_one) {
    auto const server = serve("server", true);
    auto const shown =
        attempt(url(trusting() + "&cert=" + pem().certificate("client") + "&key=" + pem().key("client")));
    EXPECT_FALSE(shown.connect) << shown.text;
    EXPECT_EQ(shown.reply, "PONG");
    expect_refused(url(trusting()), "certificate required");
}

TEST_F(redis_tls, files_that_cannot_be_used_are_named) {
    auto const server = serve();
    expect_refused(url("?cacert=/nowhere/ca.pem"), "cannot read the authorities in /nowhere/ca.pem");
    expect_refused(url(trusting() + "&cert=/nowhere/c.pem&key=" + pem().key("client")),
                   "cannot use the certificate in /nowhere/c.pem");
    expect_refused(url(trusting() + "&cert=" + pem().certificate("client") + "&key=" + pem().key("server")),
                   "cannot use the private key in " + pem().key("server"));
}

TEST_F(redis_tls, tls_to_a_plain_port_and_plain_to_a_tls_port_say_what_to_do) {
    redis_server const plain({.tcp = true, .password = {}, .arguments = {}});
    port_ = plain.port();
    auto const silent = attempt(url(trusting()), std::chrono::milliseconds{200});
    EXPECT_EQ(silent.connect, errc::not_connected);
    EXPECT_THAT(silent.text, HasSubstr("a server without TLS there says nothing"));

    auto const server = serve();
    auto const result = attempt("redis://127.0.0.1:" + std::to_string(port_));
    EXPECT_EQ(result.connect, errc::not_connected);
    EXPECT_THAT(result.text, HasSubstr("if it wants TLS, use rediss://"));
}

TEST_F(redis_tls, a_deep_pipeline_of_large_values_comes_back_whole_and_in_order) {
    auto const server = serve();
    asio::io_context io;
    client redis(io, patient_options(url(trusting())));
    run(io, [&]() -> asio::awaitable<void> {
        constexpr std::size_t many = 200;
        std::vector<command> commands;
        std::vector<redis::string_sink> sinks(many);
        for (std::size_t i = 0; i < many; ++i)
            commands.emplace_back("ECHO", std::string(1000 * (i % 97) + 1, static_cast<char>('a' + i % 26)));
        std::size_t left = many;
        for (std::size_t i = 0; i < many; ++i)
            redis.async_exec(commands[i], sinks[i], {}, [&, i](error_code ec) {
                EXPECT_FALSE(ec) << ec.message();
                EXPECT_EQ(sinks[i].value(), std::string(1000 * (i % 97) + 1, static_cast<char>('a' + i % 26)));
                --left;
            });
        while (left != 0)
            co_await asio::post(io, use_result);
    });
}

TEST_F(redis_tls, a_connection_that_is_cut_is_made_again) {
    auto server = serve();
    asio::io_context io;
    client redis(io, patient_options(url(trusting())));
    run(io, [&]() -> asio::awaitable<void> {
        for (int i = 0; i < 3; ++i) {
            auto const [ec, value] = co_await count(redis, command("INCR", "x"), {.idempotent = true});
            EXPECT_FALSE(ec) << ec.message();
            server.run({"CLIENT", "KILL", "TYPE", "normal"});
        }
        while (redis.stats().connects < 3)
            co_await ask(redis, command("PING"), {.idempotent = true});
        EXPECT_EQ(server.run({"GET", "x"}), "3");
    });
}

TEST_F(redis_tls, a_path_that_splits_at_every_byte_and_then_cuts_is_survived) {
    auto const server = serve();
    relay between(port_);
    between.split_replies(1);
    asio::io_context io;
    client redis(io, patient_options("rediss://127.0.0.1:" + std::to_string(between.port()) + "/0" + trusting()));
    run(io, [&]() -> asio::awaitable<void> {
        for (int i = 0; i < 20; ++i) {
            auto const [ec, said] = co_await ask(redis, command("ECHO", std::to_string(i)));
            EXPECT_FALSE(ec) << ec.message();
            EXPECT_EQ(said, std::to_string(i));
        }
        between.cut();
        auto const [ec, said] = co_await ask(redis, command("ECHO", "again"), {.idempotent = true});
        EXPECT_FALSE(ec) << ec.message();
        EXPECT_EQ(said, "again");
    });
}

} // namespace
} // namespace weir::test
