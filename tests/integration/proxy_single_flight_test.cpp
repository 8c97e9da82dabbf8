#include "support/gate.hpp"
#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/until.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <deque>

// Identical requests that are under way at the same time, through the proxy, with a real Redis and upstreams that
// answer when the test says so.

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class proxy_single_flight : public testing::Test {
protected:
    ~proxy_single_flight() override {
        gate_.open();
        after_failure_.open();
    }

    config::config settings(bool between_users = false) const {
        auto c = proxy_config(up_.port());
        c.routes.front().single_flight.emplace().between_users = between_users;
        c.identity = {{config::identity_source::type::header, "x-user-id"}, {}};
        c.redis.timeout = 5s;
        return c;
    }

    proxy::server_options options() const { return options_for(redis_); }

    static std::string get(std::string_view path, std::string_view fields = {}, std::string_view method = "GET") {
        return std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nHost: weir.test\r\n" +
               std::string(fields) + "\r\n";
    }

    /// All are answered when the gate opens, with the number of the request; by the path with more in the head, or cut
    /// off.
    void serve(upstream::connection& c) {
        for (;;) {
            auto const request = c.read();
            auto const path = request.target();
            auto const number = std::to_string(++sent_);
            (path == "/fail" && number != "1" ? after_failure_ : gate_).pass();
            if (path == "/fail" && number == "1")
                return c.reset();
            if (request.method() == "HEAD") {
                c.write("HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n");
                continue;
            }
            if (path == "/large") {
                c.respond(std::string(100'000, 'x'));
                continue;
            }
            c.respond(number, path == "/missing" ? "404 Not Found" : "200 OK",
                      path == "/cookie"    ? "Set-Cookie: a=b\r\n"
                      : path == "/private" ? "Cache-Control: max-age=5, Private\r\n"
                      : path == "/never"   ? "Cache-Control: no-store\r\n"
                      : path == "/vary"    ? "Vary: Accept, X-Feature\r\n"
                                           : "Content-Type: text/plain\r\nVary: Accept\r\nETag: \"e\"\r\n");
        }
    }

    /// Has the first sent, the others wait for it, and then lets all be answered.
    std::vector<http_response> fly(std::vector<running_proxy const*> const& by,
                                   std::vector<std::string> const& requests, std::size_t expected_to_wait) {
        std::deque<http_client> clients;
        for (std::size_t i = 0; i < requests.size(); ++i) {
            clients.emplace_back(by[i % by.size()]->endpoint()).send(requests[i]);
            if (i == 0) {
                EXPECT_TRUE(gate_.wait_for_arrivals(1));
            }
        }
        auto const others = requests.size() - 1 - expected_to_wait;
        EXPECT_TRUE(gate_.wait_for_arrivals(1 + others));
        until([&] { return waiting() == static_cast<std::int64_t>(expected_to_wait); });
        gate_.open();
        std::vector<http_response> answers;
        for (std::size_t i = 0; i < clients.size(); ++i)
            answers.push_back(clients[i].read(requests[i].starts_with("HEAD")));
        return answers;
    }

    std::int64_t waiting() {
        auto const keys = redis_.run({"KEYS", "lock:~flight/*#queue"});
        std::int64_t all = 0;
        for (std::size_t at = 0; at < keys.size(); at = keys.find('\n', at) + 1)
            all += redis_.integer({"ZCARD", keys.substr(at, keys.find('\n', at) - at)});
        return all;
    }

    gate gate_, after_failure_;
    std::atomic<int> sent_{0};
    redis_server redis_;
    upstream up_{[this](upstream::connection& c) { serve(c); }};
};

TEST_F(proxy_single_flight, one_of_those_that_ask_for_the_same_at_once_is_sent_and_all_get_its_answer) {
    running_proxy const one(settings(), options());
    running_proxy const other(settings(), options());
    auto const answers = fly({&one, &other}, {4, get("/page?a=1")}, 3);
    EXPECT_EQ(sent_, 1);
    for (auto const& each : answers) {
        EXPECT_EQ(each.status, 200);
        EXPECT_EQ(each.body, "1");
        EXPECT_EQ(each.field("Content-Type"), "text/plain");
        EXPECT_EQ(each.field("ETag"), "\"e\"");
    }
    EXPECT_EQ(answers[0].field("Cache-Status"), "");
    EXPECT_EQ(answers[1].field("Cache-Status"), "weir; fwd=miss; collapsed");
    EXPECT_NE(answers[1].field("X-Request-Id"), answers[0].field("X-Request-Id"));
}

TEST_F(proxy_single_flight, nobody_gets_an_answer_that_was_made_before_he_asked) {
    running_proxy const proxy(settings(), options());
    EXPECT_EQ(fly({&proxy}, {2, get("/page")}, 1)[1].body, "1");
    EXPECT_EQ(proxy.connect().exchange(get("/page")).body, "2");
}

TEST_F(proxy_single_flight, users_share_nothing_unless_the_route_says_so) {
    running_proxy const proxy(settings(), options());
    fly({&proxy},
        {get("/page", "X-User-Id: alice\r\n"), get("/page", "X-User-Id: bob\r\n"),
         get("/page", "X-User-Id: alice\r\nCookie: a=b\r\n"), get("/page", "X-User-Id: alice\r\nAuthorization: x\r\n")},
        0);
    EXPECT_EQ(sent_, 4);
}

TEST_F(proxy_single_flight, users_share_an_answer_where_the_route_says_so_and_the_answer_does_not_forbid_it) {
    running_proxy const proxy(settings(true), options());
    auto const answers = fly({&proxy}, {get("/page", "X-User-Id: alice\r\n"), get("/page", "X-User-Id: bob\r\n")}, 1);
    EXPECT_EQ(answers[1].body, "1");
}

TEST_F(proxy_single_flight, other_requests_are_other_flights) {
    running_proxy const proxy(settings(), options());
    fly({&proxy},
        {get("/page"), get("/page?a"), get("/other"), get("/page", "Accept: a\r\n"),
         get("/page", "Range: bytes=0-1\r\n"), get("/page", "If-None-Match: \"x\"\r\n"), get("/page", "", "HEAD"),
         get("/page", "Connection: upgrade\r\nUpgrade: x\r\n"), get("/page", "Cache-Control: no-cache\r\n"),
         "GET /page HTTP/1.1\r\nHost: other.test\r\n\r\n",
         "POST /page HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 0\r\n\r\n"},
        0);
    EXPECT_EQ(sent_, 11);
}

TEST_F(proxy_single_flight, heads_share_what_they_say_of_the_body) {
    running_proxy const proxy(settings(), options());
    auto const answers = fly({&proxy}, {2, get("/page", "", "HEAD")}, 1);
    EXPECT_EQ(answers[1].field("Content-Length"), "77");
    EXPECT_EQ(sent_, 1);
}

TEST_F(proxy_single_flight, an_error_is_shared_too) {
    running_proxy const proxy(settings(), options());
    auto const answers = fly({&proxy}, {2, get("/missing")}, 1);
    EXPECT_EQ(answers[1].status, 404);
    EXPECT_EQ(answers[1].body, "1");
}

TEST_F(proxy_single_flight, what_is_one_clients_alone_or_too_long_is_not_shared) {
    int sent = 0;
    for (auto const* path : {"/cookie", "/never", "/vary", "/large"}) {
        running_proxy const proxy(settings(), options());
        std::deque<http_client> clients;
        clients.emplace_back(proxy.endpoint()).send(get(path));
        until([&] { return sent_ == sent + 1; });
        for (int i = 0; i < 2; ++i)
            clients.emplace_back(proxy.endpoint()).send(get(path));
        // The gate is open after the first round: then those may come too late to wait.
        gate_.open();
        for (auto& each : clients)
            EXPECT_EQ(each.read().field("Cache-Status"), "") << path;
        sent += 3;
        EXPECT_EQ(sent_, sent) << path;
    }
}

TEST_F(proxy_single_flight, a_private_answer_is_not_given_to_another_user) {
    running_proxy const proxy(settings(true), options());
    auto const answers =
        fly({&proxy}, {get("/private", "X-User-Id: alice\r\n"), get("/private", "X-User-Id: bob\r\n")}, 1);
    EXPECT_EQ(answers[1].body, "2");
}

TEST_F(proxy_single_flight, where_the_one_that_was_sent_fails_another_goes) {
    running_proxy const proxy(settings(), options());
    std::array<http_client, 3> clients{proxy.connect(), proxy.connect(), proxy.connect()};
    clients[0].send(get("/fail"));
    ASSERT_TRUE(gate_.wait_for_arrivals(1));
    clients[1].send(get("/fail"));
    clients[2].send(get("/fail"));
    until([&] { return waiting() == 2; });
    gate_.open();
    EXPECT_EQ(clients[0].read().status, 502);
    // One of the two goes; the other has to wait for it again before it is answered, to share the answer.
    ASSERT_TRUE(after_failure_.wait_for_arrivals(1));
    until([&] { return waiting() == 1; });
    after_failure_.open();
    EXPECT_EQ(clients[1].read().body, "2");
    EXPECT_EQ(clients[2].read().body, "2");
    EXPECT_EQ(sent_, 2);
}

TEST_F(proxy_single_flight, where_the_client_of_the_one_that_was_sent_leaves_another_goes) {
    running_proxy const proxy(settings(), options());
    auto waiting_client = proxy.connect();
    {
        auto leaving = proxy.connect();
        leaving.send(get("/page"));
        ASSERT_TRUE(gate_.wait_for_arrivals(1));
        waiting_client.send(get("/page"));
        until([&] { return waiting() == 1; });
    }
    ASSERT_TRUE(gate_.wait_for_arrivals(2));
    gate_.open();
    EXPECT_EQ(waiting_client.read().body, "2");
}

TEST_F(proxy_single_flight, a_client_that_leaves_while_it_waits_is_forgotten) {
    running_proxy const proxy(settings(), options());
    auto leading = proxy.connect();
    leading.send(get("/page"));
    ASSERT_TRUE(gate_.wait_for_arrivals(1));
    {
        auto leaving = proxy.connect();
        leaving.send(get("/page"));
        until([&] { return waiting() == 1; });
    }
    until([&] { return waiting() == 0; });
    gate_.open();
    EXPECT_EQ(leading.read().body, "1");
    EXPECT_EQ(sent_, 1);
}

TEST_F(proxy_single_flight, waiting_has_its_bound_and_then_it_is_sent_itself) {
    auto c = settings();
    c.routes.front().single_flight->wait = 100ms;
    running_proxy const proxy(c, options());
    auto leading = proxy.connect();
    leading.send(get("/page"));
    ASSERT_TRUE(gate_.wait_for_arrivals(1));
    auto impatient = proxy.connect();
    impatient.send(get("/page"));
    ASSERT_TRUE(gate_.wait_for_arrivals(2));
    gate_.open();
    EXPECT_EQ(leading.read().status, 200);
    EXPECT_EQ(impatient.read().status, 200);
}

TEST_F(proxy_single_flight, while_redis_is_away_each_is_sent) {
    auto c = settings();
    c.redis.timeout = 200ms;
    running_proxy const proxy(c, options());
    redis_.kill();
    gate_.open();
    EXPECT_EQ(proxy.connect().exchange(get("/page")).body, "1");
    EXPECT_EQ(proxy.connect().exchange(get("/page")).body, "2");
}

} // namespace
} // namespace weir::test
