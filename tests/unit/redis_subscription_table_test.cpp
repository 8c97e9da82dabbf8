#include <weir/redis/parser.hpp>
#include <weir/redis/subscription_table.hpp>

#include <functional>
#include <gtest/gtest.h>

namespace {

using namespace weir;
using redis::detail::subscription_table;
using by = subscription_table::by;

struct recorder final : redis::listener {
    explicit recorder(std::string& to, std::string mark = {})
        : log(to)
        , name(std::move(mark)) {}
    void on_message(redis::message const& what) noexcept override {
        log += name + (what.pattern.empty() ? "" : std::string(what.pattern) + ">") + std::string(what.channel) + '=' +
               std::string(what.payload) + ' ';
        if (then)
            then();
    }
    void on_gap() noexcept override {
        log += name + "gap ";
        if (then)
            then();
    }
    void on_refused(error_code why, std::string_view text) noexcept override {
        log += name + "refused(" + std::string(to_string(static_cast<errc>(why.value()))) + ": " + std::string(text) +
               ") ";
    }
    std::string& log;
    std::string name;
    std::function<void()> then;
};

std::string bulk(std::string_view text) {
    return '$' + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
}
std::string confirmation(std::string_view word, std::string_view name) {
    return "*3\r\n" + bulk(word) + bulk(name) + ":1\r\n";
}
std::string said(std::string_view channel, std::string_view payload) {
    return "*3\r\n" + bulk("message") + bulk(channel) + bulk(payload);
}

class redis_subscription_table : public testing::Test {
protected:
    /// What the table would have the server told, command by command.
    std::string sent(std::size_t enough = 100'000) {
        std::string bytes;
        table.prepare(bytes, enough);
        redis::parser parser(1u << 20);
        redis::flat_reply command;
        std::string result;
        for (std::string_view rest = bytes; !rest.empty();
             rest.remove_prefix(std::min<std::size_t>(100, rest.size()))) {
            parser.feed(rest.substr(0, 100));
            while (parser.next(&command) == redis::parser::event::reply) {
                for (std::size_t i = 1; i < command.nodes().size(); ++i)
                    result += std::string(command.text(command.nodes()[i])) + ' ';
                result += "| ";
            }
        }
        return result;
    }
    /// The server's bytes; ends at the first that ends the connection.
    subscription_table::verdict hear(std::string_view bytes) {
        redis::parser parser(1u << 20);
        redis::flat_reply reply;
        parser.feed(bytes);
        for (;;) {
            auto const what = parser.next(&reply);
            if (what == redis::parser::event::need_more)
                return {};
            EXPECT_NE(what, redis::parser::event::broken) << bytes;
            auto verdict =
                what == redis::parser::event::reply ? table.on_reply(reply) : table.on_error(parser.error_text());
            if (verdict)
                return verdict;
        }
    }
    void open() {
        table.connected(std::nullopt, {});
        std::string handshake;
        table.prepare(handshake, 100'000);
        EXPECT_FALSE(hear("+PONG\r\n"));
        EXPECT_TRUE(table.open());
    }

    subscription_table table;
    std::string log;
    recorder first{log}, second{log, "2:"};
};

TEST_F(redis_subscription_table, shakes_hands_before_it_subscribes_and_tells_a_gap_before_the_first_message) {
    auto const held = table.add(by::channel, "news", first);
    table.connected(redis::command("AUTH", "u", "p"), "weir");
    EXPECT_EQ(sent(), "AUTH u p | CLIENT SETNAME weir | PING | ");
    EXPECT_FALSE(hear("+OK\r\n+OK\r\n"));
    EXPECT_FALSE(table.open());
    EXPECT_EQ(sent(), "");
    EXPECT_FALSE(hear("+PONG\r\n"));
    EXPECT_EQ(sent(), "SUBSCRIBE news | ");
    EXPECT_TRUE(table.outstanding());
    EXPECT_FALSE(hear(confirmation("subscribe", "news") + said("news", "a") + said("news", std::string("\0\r\n", 3))));
    EXPECT_FALSE(table.outstanding());
    EXPECT_EQ(log, std::string("gap news=a news=\0\r\n ", 20));
    EXPECT_EQ(table.messages(), 2u);
}

TEST_F(redis_subscription_table, subscribes_a_name_once_however_many_listen_and_leaves_it_with_the_last) {
    open();
    auto const one = table.add(by::channel, "c", first);
    EXPECT_EQ(sent(), "SUBSCRIBE c | ");
    auto const two = table.add(by::channel, "c", second);
    EXPECT_EQ(sent(), "");
    hear(confirmation("subscribe", "c") + said("c", "x"));
    EXPECT_EQ(log, "gap 2:gap c=x 2:c=x ");
    table.remove(*one);
    table.remove(*one);
    EXPECT_EQ(sent(), "");
    table.remove(*two);
    EXPECT_EQ(sent(), "UNSUBSCRIBE c | ");
    hear(said("c", "late") + confirmation("unsubscribe", "c"));
    EXPECT_EQ(log, "gap 2:gap c=x 2:c=x ");
    EXPECT_EQ(table.names(), 0u);
}

TEST_F(redis_subscription_table, tells_who_joins_later_of_a_gap_of_its_own_before_anything_else) {
    open();
    auto const one = table.add(by::channel, "c", first);
    sent();
    hear(confirmation("subscribe", "c"));
    auto const two = table.add(by::channel, "c", second);
    EXPECT_EQ(log, "gap ") << "never from within";
    table.tell_newcomers();
    EXPECT_EQ(log, "gap 2:gap ");
    recorder third{log, "3:"};
    auto const three = table.add(by::channel, "c", third);
    hear(said("c", "x"));
    EXPECT_EQ(log, "gap 2:gap c=x 2:c=x 3:gap 3:c=x ");
    table.tell_newcomers();
    EXPECT_EQ(log, "gap 2:gap c=x 2:c=x 3:gap 3:c=x ") << "once";
}

TEST_F(redis_subscription_table, asks_nothing_twice_while_an_answer_is_owed) {
    open();
    auto held = table.add(by::channel, "c", first);
    EXPECT_EQ(sent(), "SUBSCRIBE c | ");
    for (int i = 0; i < 5; ++i) {
        table.remove(*held);
        EXPECT_EQ(sent(), "");
        held = table.add(by::channel, "c", first);
        EXPECT_EQ(sent(), "");
    }
    table.remove(*held);
    hear(confirmation("subscribe", "c"));
    EXPECT_EQ(log, "");
    EXPECT_EQ(sent(), "UNSUBSCRIBE c | ");
    held = table.add(by::channel, "c", first);
    hear(said("c", "of the time before") + confirmation("unsubscribe", "c"));
    EXPECT_EQ(sent(), "SUBSCRIBE c | ");
    hear(confirmation("subscribe", "c") + said("c", "x"));
    EXPECT_EQ(log, "gap c=x ");
}

TEST_F(redis_subscription_table, what_is_gone_before_it_was_said_is_never_said_and_leaves_nothing) {
    open();
    for (int i = 0; i < 1000; ++i)
        table.remove(*table.add(by::channel, std::to_string(i), first));
    EXPECT_EQ(table.names(), 0u);
    EXPECT_EQ(sent(), "");
}

TEST_F(redis_subscription_table, says_no_more_at_a_time_than_it_is_asked_for) {
    open();
    std::vector<std::shared_ptr<subscription_table::registration>> held;
    for (auto const* name : {"a", "b", "c"})
        held.push_back(table.add(by::channel, name, first));
    EXPECT_EQ(sent(1), "SUBSCRIBE a | ");
    EXPECT_EQ(sent(1), "SUBSCRIBE b | ");
    table.ping();
    EXPECT_EQ(sent(), "PING | SUBSCRIBE c | ");
    EXPECT_FALSE(hear(confirmation("subscribe", "a") + confirmation("subscribe", "b") +
                      "*2\r\n$4\r\npong\r\n$0\r\n\r\n" + confirmation("subscribe", "c")));
    EXPECT_EQ(log, "gap gap gap ");
}

TEST_F(redis_subscription_table, patterns_and_channels_of_one_name_are_two_things) {
    open();
    auto const channel = table.add(by::channel, "c*", first);
    auto const pattern = table.add(by::pattern, "c*", second);
    EXPECT_EQ(sent(), "SUBSCRIBE c* | PSUBSCRIBE c* | ");
    hear(confirmation("subscribe", "c*") + confirmation("psubscribe", "c*") + said("c*", "x") + "*4\r\n" +
         bulk("pmessage") + bulk("c*") + bulk("cat") + bulk("y"));
    EXPECT_EQ(log, "gap 2:gap c*=x 2:c*>cat=y ");
    table.remove(*pattern);
    EXPECT_EQ(sent(), "PUNSUBSCRIBE c* | ");
    EXPECT_FALSE(hear(confirmation("punsubscribe", "c*")));
}

TEST_F(redis_subscription_table, subscribes_to_the_same_again_and_tells_a_gap_after_a_lost_connection) {
    open();
    auto const one = table.add(by::channel, "a", first);
    auto const gone = table.add(by::channel, "b", second);
    sent();
    hear(confirmation("subscribe", "a"));
    table.remove(*gone);
    table.disconnected();
    EXPECT_EQ(table.names(), 1u);
    EXPECT_FALSE(table.outstanding());
    log.clear();
    open();
    EXPECT_EQ(sent(), "SUBSCRIBE a | ");
    hear(confirmation("subscribe", "a"));
    EXPECT_EQ(log, "gap ");
}

TEST_F(redis_subscription_table, tells_a_refusal_once_and_a_gap_when_it_is_mended) {
    open();
    auto const one = table.add(by::channel, "a", first);
    auto const two = table.add(by::channel, "b", second);
    sent();
    auto const no = "-NOPERM this user has no permissions to access one of the channels\r\n";
    EXPECT_FALSE(hear(no + confirmation("subscribe", "b")));
    auto const told =
        "refused(no_permission: NOPERM this user has no permissions to access one of the channels) 2:gap ";
    EXPECT_EQ(log, told);
    EXPECT_EQ(sent(), "");
    table.retry_refused();
    EXPECT_EQ(sent(), "SUBSCRIBE a | ");
    EXPECT_FALSE(hear(no));
    EXPECT_EQ(log, told);
    table.retry_refused();
    sent();
    hear(confirmation("subscribe", "a"));
    EXPECT_EQ(log, told + std::string("gap "));
    table.remove(*one);
    EXPECT_EQ(sent(), "UNSUBSCRIBE a | ");
}

TEST_F(redis_subscription_table, one_that_is_refused_and_gone_is_forgotten) {
    open();
    auto const one = table.add(by::channel, "a", first);
    sent();
    hear("-NOPERM no\r\n");
    table.remove(*one);
    EXPECT_EQ(table.names(), 0u);
    EXPECT_EQ(sent(), "");
}

TEST_F(redis_subscription_table, listeners_come_and_go_from_within_a_call) {
    open();
    auto one = table.add(by::channel, "c", first);
    auto two = table.add(by::channel, "c", second);
    sent();
    hear(confirmation("subscribe", "c"));
    log.clear();
    std::shared_ptr<subscription_table::registration> three;
    recorder third{log, "3:"};
    first.then = [&] {
        table.remove(*one);
        table.remove(*two);
        three = table.add(by::channel, "c", third);
    };
    hear(said("c", "x") + said("c", "y"));
    EXPECT_EQ(log, "c=x 3:gap 3:c=y ");
    third.then = [&] { table.remove(*three); };
    hear(said("c", "z") + said("c", "nobody's"));
    EXPECT_EQ(log, "c=x 3:gap 3:c=y 3:c=z ");
    EXPECT_EQ(sent(), "UNSUBSCRIBE c | ");
}

TEST_F(redis_subscription_table, may_be_cleared_from_within_a_call) {
    open();
    auto const one = table.add(by::channel, "c", first);
    auto const two = table.add(by::channel, "c", second);
    sent();
    first.then = [&] {
        table.clear();
        table.disconnected();
    };
    hear(confirmation("subscribe", "c"));
    EXPECT_EQ(log, "gap ");
    EXPECT_EQ(table.names(), 0u);
    table.remove(*two);
}

TEST_F(redis_subscription_table, a_refused_handshake_ends_the_connection_and_what_is_not_needed_may_be_denied) {
    for (auto const* fatal :
         {"-WRONGPASS invalid username-password pair\r\n", "-ERR max number of clients reached\r\n"}) {
        table.connected(redis::command("AUTH", "p"), "weir");
        EXPECT_TRUE(hear(fatal)) << fatal;
        table.disconnected();
    }
    table.connected(std::nullopt, "weir");
    EXPECT_EQ(hear("-NOAUTH Authentication required.\r\n").why, errc::no_auth);
    table.disconnected();
    table.connected(std::nullopt, "weir");
    EXPECT_FALSE(hear("-NOPERM no client\r\n-NOPERM no ping\r\n"));
    EXPECT_TRUE(table.open());
    table.ping();
    EXPECT_FALSE(hear("-NOPERM no ping\r\n")) << "a sign of life all the same";
    EXPECT_FALSE(table.outstanding());
}

TEST_F(redis_subscription_table, what_nobody_asked_for_ends_the_connection) {
    auto const joined = [this] {
        table.disconnected();
        open();
        sent();
    };
    auto const one = table.add(by::channel, "c", first);
    for (auto const& wrong :
         {std::string("+OK\r\n"), std::string(":1\r\n"), std::string("$-1\r\n"), std::string("*0\r\n"),
          std::string("*-1\r\n"), confirmation("subscribe", "other"), confirmation("unsubscribe", "c"),
          confirmation("psubscribe", "c"), confirmation("invalidate", "c"),
          std::string("*2\r\n$4\r\npong\r\n$0\r\n\r\n"), "*3\r\n" + bulk("message") + bulk("c") + ":1\r\n",
          "*3\r\n" + bulk("message") + "*1\r\n" + bulk("c") + bulk("x"), "*2\r\n" + bulk("message") + bulk("c"),
          "*3\r\n" + bulk("pmessage") + bulk("c") + bulk("x")}) {
        joined();
        EXPECT_EQ(hear(wrong).why, errc::protocol_error) << wrong;
    }
    joined();
    EXPECT_FALSE(hear(confirmation("subscribe", "c")));
    EXPECT_EQ(hear("-ERR of nobody's\r\n").why, errc::server_error);
    EXPECT_EQ(log, "gap ");
}

} // namespace
