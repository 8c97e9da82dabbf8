#include "proxy/deadline_wheel.hpp"
#include "support/gate.hpp"
#include "support/running_proxy.hpp"
#include "support/until.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <thread>

namespace weir::test {
namespace {

std::string post(std::size_t length) {
    return "POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n";
}

/// Bytes that tell where they belong.
std::string pattern(std::size_t size) {
    std::string out(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        out[i] = static_cast<char>('a' + (i ^ i / 251) % 26);
    return out;
}

TEST(proxy_stream, large_bodies_pass_both_ways_unchanged) {
    upstream up([](upstream::connection& c) {
        for (;;)
            c.respond(c.read().body);
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    auto const body = pattern(5'000'000);
    std::thread sender([&] { client.send(post(body.size()) + body); });
    auto const answer = client.read();
    sender.join();
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.complete);
    EXPECT_TRUE(answer.body == body);
    EXPECT_EQ(client.exchange(post(3) + "end").body, "end"); // the connection goes on
}

TEST(proxy_stream, a_response_without_length_becomes_chunked_and_ends_cleanly) {
    upstream up([](upstream::connection& c) {
        c.read();
        c.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end");
        c.close();
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto const answer = proxy.connect().get("/");
    EXPECT_EQ(answer.body, "until the end");
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.field("Transfer-Encoding"), "chunked");
}

TEST(proxy_stream, events_reach_the_client_as_they_are_sent) {
    std::promise<void> received;
    upstream up([&](upstream::connection& c) {
        c.read();
        c.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                "9\r\ndata: 1\n\n\r\n");
        received.get_future().wait(); // the second event is sent only when the first has arrived
        c.write("9\r\ndata: 2\n\n\r\n0\r\n\r\n");
        c.wait_for_close();
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: w\r\n\r\n");
    EXPECT_THAT(client.read_until("data: 1\n\n"), testing::HasSubstr("200 OK"));
    received.set_value();
    client.read_until("data: 2\n\n");
}

TEST(proxy_stream, an_upstream_that_breaks_off_is_never_seen_as_a_clean_end) {
    upstream up([](upstream::connection& c) {
        c.read();
        c.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        c.reset();
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: w\r\n\r\n");
    auto const answer = client.read();
    EXPECT_EQ(answer.body, "hello");
    EXPECT_FALSE(answer.complete);
}

TEST(proxy_stream, a_short_body_of_known_length_is_seen_as_short) {
    upstream up([](upstream::connection& c) {
        c.read();
        c.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        c.close();
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: w\r\n\r\n");
    EXPECT_FALSE(client.read().complete);
}

TEST(proxy_stream, an_upstream_that_closes_before_it_answers_is_502_and_one_that_is_not_there_too) {
    upstream up([](upstream::connection& c) {
        c.read();
        c.close();
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").status, 502);
    up.stop();
    EXPECT_EQ(client.get("/").status, 502);
}

TEST(proxy_stream, an_upstream_that_says_nothing_is_504) {
    upstream up([](upstream::connection& c) {
        c.read();
        c.wait_for_close();
    });
    auto settings = proxy_config(up.port());
    settings.upstreams[0].first_byte_timeout = std::chrono::milliseconds{200};
    running_proxy const proxy(std::move(settings));
    EXPECT_EQ(proxy.connect().get("/").status, 504);
}

TEST(proxy_stream, a_response_off_the_grammar_is_502_and_nothing_of_it_passes) {
    for (auto const* bad : {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n", "SSH-2.0-x\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\na"}) {
        upstream up([&](upstream::connection& c) {
            c.read();
            c.write(bad);
            c.wait_for_close();
        });
        running_proxy const proxy(proxy_config(up.port()));
        EXPECT_EQ(proxy.connect().get("/").status, 502) << bad;
    }
}

TEST(proxy_stream, a_pooled_connection_that_the_upstream_closed_is_replaced_without_a_word) {
    std::atomic<int> connections{0};
    upstream up([&](upstream::connection& c) {
        ++connections;
        c.read();
        c.respond("once");
        c.close(); // although it promised to keep it
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    for (int i = 0; i < 20; ++i)
        ASSERT_EQ(client.get("/").status, 200) << i;
    EXPECT_EQ(connections, 20);
}

TEST(proxy_stream, an_answer_that_comes_before_the_body_is_sent_reaches_the_client) {
    upstream up([](upstream::connection& c) {
        c.read_head();
        c.respond("too much", "413 Content Too Large", "Connection: close\r\n");
        c.wait_for_close();
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send(post(50'000'000));
    client.send_some(std::string(100'000, 'x'));
    auto const answer = client.read();
    EXPECT_EQ(answer.status, 413);
    EXPECT_EQ(answer.body, "too much");
}

/// Closing a socket that has something unread resets the connection, and what was not yet on its way is lost.
class proxy_pipelined : public ::testing::Test {
protected:
    /// The client reads nothing before so many requests have been dealt with.
    static void await(running_proxy const& proxy, std::uint64_t requests) {
        auto const& counts = proxy.server.counters()->worker(0).routes[0].requests;
        until([&] { return counts[metrics::code_class::success].value() == requests; });
    }

    std::string const body = pattern(256 * 1024);
    std::string const more = std::string(100'000, 'x');
};

TEST_F(proxy_pipelined, the_answer_with_which_the_connection_ends_arrives_whole) {
    upstream up(upstream::always(body));
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\nConnection: close\r\n\r\n" + more);
    await(proxy, 1);
    EXPECT_EQ(client.read().body, body);
    bool reset = false;
    EXPECT_EQ(client.read_to_end(&reset), "");
    EXPECT_FALSE(reset);
}

TEST_F(proxy_pipelined, the_answer_before_one_that_breaks_off_arrives_whole) {
    upstream up([&](upstream::connection& c) {
        c.read();
        c.respond(body);
        c.read();
        c.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        c.close();
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: weir.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: weir.test\r\n\r\n" + more);
    await(proxy, 2);
    EXPECT_EQ(client.read().body, body);
    auto const second = client.read();
    EXPECT_EQ(second.body, "only this");
    EXPECT_FALSE(second.complete);
}

TEST(proxy_stream, a_body_is_invited_only_when_it_is_wanted) {
    upstream up(upstream::echo());
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    auto const invited =
        client.exchange("POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(invited.status, 100);
    EXPECT_EQ(client.exchange("ok").status, 200);
}

TEST(proxy_stream, head_and_204_have_no_body) {
    upstream up([](upstream::connection& c) {
        for (;;) {
            auto const asked = c.read();
            c.write(asked.method() == "HEAD" ? "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
                                             : "HTTP/1.1 204 No Content\r\n\r\n");
        }
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    auto const to_head = client.exchange("HEAD / HTTP/1.1\r\nHost: w\r\n\r\n", true);
    EXPECT_EQ(to_head.status, 200);
    EXPECT_EQ(to_head.field("Content-Length"), "5");
    EXPECT_EQ(client.get("/").status, 204);
    EXPECT_EQ(client.get("/").status, 204);
}

TEST(proxy_stream, a_client_that_leaves_takes_its_upstream_connection_along) {
    std::promise<void> asked;
    upstream up([&](upstream::connection& c) {
        c.read();
        asked.set_value();
        c.wait_for_close();
    });
    running_proxy const proxy(proxy_config(up.port()));
    {
        auto client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: w\r\n\r\n");
        asked.get_future().wait();
    }
    EXPECT_TRUE(up.wait_until_open(0));
}

TEST(proxy_drain, requests_under_way_are_answered_and_new_connections_are_not_taken) {
    std::promise<void> asked, go;
    upstream up([&](upstream::connection& c) {
        c.read();
        asked.set_value();
        go.get_future().wait();
        c.respond("finished");
        c.wait_for_close();
    });
    running_proxy proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: w\r\n\r\n");
    asked.get_future().wait();
    proxy.server.begin_drain(std::chrono::seconds{20});
    go.set_value();
    auto const answer = client.read();
    EXPECT_EQ(answer.body, "finished");
    EXPECT_TRUE(answer.close);
    proxy.server.wait();
    EXPECT_ANY_THROW(proxy.connect());
}

using clock = std::chrono::steady_clock;

/// Asks on one connection until it is told that this ends. False: a request got no answer.
bool ask_to_the_end(http_client& client, std::atomic<int>& answered) {
    auto before = clock::now();
    try {
        for (;;) {
            auto const now = clock::now();
            auto const answer = client.get("/");
            if (answer.status != 200 || !answer.complete)
                return false;
            ++answered;
            if (answer.close)
                return true;
            before = now;
        }
    } catch (boost::system::system_error const&) {
        // A draining proxy waits a second for a request: not for one that the machine kept longer from being sent.
        return clock::now() - before > std::chrono::milliseconds{500};
    }
}

TEST(proxy_drain, under_load_no_request_that_was_sent_goes_unanswered) {
    upstream up(upstream::always("x"));
    auto settings = proxy_config(up.port());
    settings.workers = 2;
    running_proxy proxy(std::move(settings));
    std::deque<http_client> clients; // all connect before the proxy stops to listen
    for (int i = 0; i < 8; ++i)
        clients.emplace_back(proxy.endpoint());
    std::atomic<int> answered{0}, broken{0};
    std::vector<std::thread> threads;
    for (auto& each : clients)
        threads.emplace_back([&] { broken += ask_to_the_end(each, answered) ? 0 : 1; });
    until([&] { return answered >= 500; });
    proxy.server.begin_drain(std::chrono::seconds{20});
    for (auto& each : threads)
        each.join();
    proxy.server.wait();
    EXPECT_EQ(broken, 0);
}

/// Keeps the proxy's worker from its loop for longer than `time`, while deadlines are due to be looked at. `meanwhile`
/// happens at the begin of it.
void keep_from_loop(running_proxy const& proxy, std::chrono::milliseconds time,
                    std::function<void()> const& meanwhile) {
    constexpr std::chrono::milliseconds tick = proxy::deadline_wheel::tick;
    auto const gates = std::make_shared<std::array<gate, 2>>(); // the thread stands before one and then the other
    auto& [first, second] = *gates;
    auto const stand_before = [&](gate& which) {
        proxy.server.ask(0, [gates, &which](proxy::insight const&) { which.pass(); });
    };
    stand_before(first);
    ASSERT_TRUE(first.wait_for_arrivals(1));
    std::this_thread::sleep_for(2 * tick); // deadlines are due to be looked at: behind what is asked next
    stand_before(second);
    first.open();
    ASSERT_TRUE(second.wait_for_arrivals(1));
    meanwhile();
    std::this_thread::sleep_for(time + 3 * tick); // it is time that has to pass
    second.open();
}

TEST(proxy_deadlines, pass_by_a_request_that_came_in_time_to_a_worker_that_was_kept_from_it) {
    constexpr std::chrono::milliseconds kept_alive{1000};
    upstream up(upstream::always("x"));
    auto settings = proxy_config(up.port());
    settings.http.keep_alive = kept_alive;
    running_proxy const proxy(std::move(settings));
    auto client = proxy.connect();
    ASSERT_EQ(client.get("/").status, 200);
    keep_from_loop(proxy, kept_alive, [&] { client.send("GET / HTTP/1.1\r\nHost: w\r\n\r\n"); });
    EXPECT_EQ(client.read().status, 200);
}

TEST(proxy_deadlines, pass_by_an_answer_that_came_in_time_to_a_worker_that_was_kept_from_it) {
    constexpr std::chrono::milliseconds first_byte{1000};
    gate asked;
    upstream up([&](upstream::connection& c) {
        c.read();
        asked.pass();
        c.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    auto settings = proxy_config(up.port());
    settings.upstreams[0].first_byte_timeout = first_byte;
    running_proxy const proxy(std::move(settings));
    auto client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: w\r\n\r\n");
    ASSERT_TRUE(asked.wait_for_arrivals(1));
    keep_from_loop(proxy, first_byte, [&] { asked.open(); });
    EXPECT_EQ(client.read().status, 200);
}

TEST(proxy_start, a_port_that_is_taken_is_one_clear_error) {
    upstream up(upstream::always("x"));
    auto settings = proxy_config(up.port());
    settings.listen.front().port = up.port();
    try {
        running_proxy const proxy(std::move(settings));
        FAIL() << "it started";
    } catch (proxy::start_error const& e) {
        EXPECT_THAT(e.what(), testing::HasSubstr("127.0.0.1:" + std::to_string(up.port()) + " is in use"));
    }
}

} // namespace
} // namespace weir::test
