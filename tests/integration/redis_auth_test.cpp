#include "support/redis_fixture.hpp"

#include <map>

namespace {

using namespace weir;
using namespace weir::test;
using redis::client;
using redis::command;

// What a client's observer was told of its attempts to connect.
struct connect_log : redis::client_observer {
    void on_connected() override { ++connected; }
    void on_connect_failed(error_code why, std::string_view text, std::chrono::milliseconds next) override {
        failures.emplace_back(why);
        texts.emplace_back(text);
        pauses.push_back(next);
    }
    int connected = 0;
    std::vector<error_code> failures;
    std::vector<std::string> texts;
    std::vector<std::chrono::milliseconds> pauses;
};

// The outcome of a start, the outcome of an operation after it, and what the observer heard.
struct attempt {
    explicit attempt(std::string const& url, std::string password = {}, std::string user = {}) {
        asio::io_context io;
        auto options = patient_options(url);
        options.server.password = std::move(password);
        options.server.user = std::move(user);
        options.observer = &log;
        client redis(io, options);
        run(io, [&]() -> asio::awaitable<void> {
            std::tie(connect) = co_await redis.async_connect(use_result);
            text = redis.last_error_text();
            std::tie(operation, reply) = co_await ask(redis, command("ACL", "WHOAMI"));
        });
    }
    connect_log log;
    error_code connect, operation;
    std::string text, reply;
};

TEST(redis_auth, a_password_opens_the_door) {
    redis_server server({.tcp = false, .password = "open sesame", .arguments = {}});
    attempt const right(server.url(), "open sesame");
    EXPECT_FALSE(right.connect) << right.text;
    EXPECT_EQ(right.reply, "default");
    EXPECT_EQ(right.log.connected, 1);
}

TEST(redis_auth, an_acl_user_is_who_the_server_sees) {
    redis_server server;
    server.run({"ACL", "SETUSER", "weir", "on", ">river", "+@all", "~*"});
    attempt const right(server.url(), "river", "weir");
    EXPECT_EQ(right.reply, "weir") << right.text;
    auto address = address_of("unix://weir:river@" + server.socket_path());
    EXPECT_EQ(address.user, "weir");
    EXPECT_EQ(address.password, "river");
}

TEST(redis_auth, a_missing_password_is_told_at_once_and_the_next_attempt_waits) {
    redis_server server({.tcp = false, .password = "open sesame", .arguments = {}});
    attempt const silent(server.url());
    EXPECT_EQ(silent.connect, errc::no_auth);
    EXPECT_EQ(silent.operation, errc::no_auth);
    EXPECT_EQ(silent.connect, kind::authentication);
    EXPECT_NE(silent.text.find("NOAUTH Authentication required"), std::string::npos) << silent.text;
    ASSERT_EQ(silent.log.failures.size(), 1u);
    EXPECT_EQ(silent.log.pauses[0], std::chrono::milliseconds(5000));
}

TEST(redis_auth, a_wrong_password_or_user_is_told_at_once_and_never_repeated) {
    redis_server server({.tcp = false, .password = "open sesame", .arguments = {}});
    for (auto const& [user, password] :
         std::map<std::string, std::string>{{"", "close sesame"}, {"nobody", "hunter2"}}) {
        attempt const wrong(server.url(), password, user);
        EXPECT_EQ(wrong.connect, errc::wrong_password);
        EXPECT_EQ(wrong.operation, errc::wrong_password);
        EXPECT_EQ(wrong.text.find(password), std::string::npos) << wrong.text;
        ASSERT_EQ(wrong.log.texts.size(), 1u);
        EXPECT_EQ(wrong.log.texts[0].find(password), std::string::npos) << wrong.log.texts[0];
    }
}

TEST(redis_auth, a_password_for_a_server_without_one_is_wrong) {
    redis_server server;
    attempt const needless(server.url(), "needless");
    EXPECT_EQ(needless.connect, errc::wrong_password) << needless.text;
}

TEST(redis_auth, a_server_without_auth_that_repeats_its_arguments_does_not_make_the_client_tell) {
    redis_server server({.tcp = false, .password = {}, .arguments = {"--rename-command", "AUTH", ""}});
    attempt const echoed(server.url(), "hunter2");
    EXPECT_TRUE(echoed.connect);
    EXPECT_EQ(echoed.text.find("hunter2"), std::string::npos) << echoed.text;
}

TEST(redis_auth, a_user_without_the_right_to_scripts_is_told_by_name) {
    redis_server server;
    server.run({"ACL", "SETUSER", "reader", "on", ">pw", "+get", "~*"});
    redis::script const code("rate_check", "return 1");
    asio::io_context io;
    auto options = patient_options("unix://reader:pw@" + server.socket_path());
    options.scripts = {&code};
    client redis(io, options);
    run(io, [&]() -> asio::awaitable<void> {
        auto const [ec] = co_await redis.async_connect(use_result);
        EXPECT_EQ(ec, errc::no_permission);
        EXPECT_NE(redis.last_error_text().find("SCRIPT LOAD rate_check: NOPERM"), std::string::npos)
            << redis.last_error_text();
    });
}

TEST(redis_auth, a_user_needs_no_right_to_more_than_it_uses) {
    redis_server server;
    server.run({"ACL", "SETUSER", "reader", "on", ">pw", "+get", "~*"});
    asio::io_context io;
    client redis(io, patient_options("unix://reader:pw@" + server.socket_path()));
    run(io, [&]() -> asio::awaitable<void> {
        auto const [get, value] = co_await ask(redis, command("GET", "x"));
        EXPECT_FALSE(get) << get.message();
        auto const [set, words] = co_await ask(redis, command("SET", "x", "y"));
        EXPECT_EQ(set, errc::no_permission);
    });
}

TEST(redis_auth, a_user_without_the_right_to_a_key_is_told_and_goes_on_with_the_others) {
    redis_server server;
    server.run({"ACL", "SETUSER", "weir", "on", ">river", "+@all", "resetkeys", "~mine:*"});
    redis::script const code("touch", "return redis.call('INCR', KEYS[1])");
    asio::io_context io;
    auto options = patient_options("unix://weir:river@" + server.socket_path());
    options.scripts = {&code};
    client redis(io, options);
    run(io, [&]() -> asio::awaitable<void> {
        command theirs, mine;
        theirs.evalsha(code, 1, 0).arg("theirs");
        mine.evalsha(code, 1, 0).arg("mine:1");
        auto const [denied, nothing] = co_await count(redis, theirs);
        EXPECT_EQ(denied, errc::no_permission);
        EXPECT_EQ(denied, kind::refused);
        auto const [ec, one] = co_await count(redis, mine);
        EXPECT_EQ(one, 1) << ec.message();
        EXPECT_EQ(redis.stats().connects, 1u);
    });
}

TEST(redis_auth, a_password_changed_while_connected_is_a_clear_end_and_heals_when_it_is_changed_back) {
    redis_server server;
    server.run({"ACL", "SETUSER", "weir", "on", ">river", "+@all", "~*"});
    connect_log log;
    asio::io_context io;
    auto options = patient_options("unix://weir:river@" + server.socket_path());
    options.reconnect_min = std::chrono::milliseconds(1);
    options.reconnect_max = std::chrono::milliseconds(20);
    options.observer = &log;
    client redis(io, options);
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        server.run({"ACL", "SETUSER", "weir", "resetpass", ">ocean"});
        auto const [still, who] = co_await ask(redis, command("ACL", "WHOAMI"));
        EXPECT_EQ(who, "weir") << "who is in stays in: " << still.message();
        server.run({"CLIENT", "KILL", "USER", "weir"});
        while (redis.last_error() != errc::wrong_password)
            co_await asio::post(io, asio::use_awaitable);
        auto const [refused, nothing] = co_await ask(redis, command("PING"));
        EXPECT_EQ(refused, errc::wrong_password);
        server.run({"ACL", "SETUSER", "weir", ">river"});
        while (!redis.connected())
            co_await asio::post(io, asio::use_awaitable);
        auto const [ec, pong] = co_await ask(redis, command("PING"));
        EXPECT_EQ(pong, "PONG") << ec.message();
    });
    ASSERT_FALSE(log.texts.empty());
    for (auto const& text : log.texts)
        EXPECT_TRUE(text.find("river") == std::string::npos && text.find("WRONGPASS") != std::string::npos) << text;
}

TEST(redis_auth, a_database_that_is_not_there_is_told) {
    redis_server server;
    attempt const far(server.url() + "?db=9999");
    EXPECT_TRUE(far.connect);
    EXPECT_NE(far.text.find("SELECT 9999: ERR DB index is out of range"), std::string::npos) << far.text;
}

} // namespace
