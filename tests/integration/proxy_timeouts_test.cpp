#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

// How long an upstream may take: each phase, each attempt, all of them.

namespace weir::test {
namespace {

using metrics::upstream_error;
using std::chrono::milliseconds;
using testing::HasSubstr;

class proxy_timeouts : public testing::Test {
protected:
    /// One target, which leaves as many requests unanswered as the test says, and then answers.
    config::config settings(unsigned attempts) const {
        auto c = proxy_config(up_.port());
        c.upstreams.front().retries.attempts = attempts;
        c.upstreams.front().retries.budget = 10;
        c.upstreams.front().ejection.after = 0;
        return c;
    }

    void serve(upstream::connection& c) {
        for (;;) {
            c.read();
            ++asked_;
            if (silent_-- > 0)
                return c.wait_for_close();
            c.respond("answer");
        }
    }

    static std::uint64_t errors(running_proxy const& proxy, upstream_error kind) {
        return proxy.server.counters()->worker(0).upstreams.at(0).errors[kind].value();
    }

    static constexpr std::string_view post = "POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 2\r\n\r\nhi";

    std::atomic<int> silent_{0};
    std::atomic<int> asked_{0};
    upstream up_{[this](upstream::connection& c) { serve(c); }};
};

TEST_F(proxy_timeouts, an_attempt_that_is_not_answered_in_its_time_is_504_by_name) {
    auto c = settings(1);
    c.upstreams.front().per_try_timeout = milliseconds{200};
    running_proxy const proxy(c);
    auto client = proxy.connect();
    silent_ = 1;
    auto const answer = client.get("/");
    EXPECT_EQ(answer.status, 504);
    EXPECT_THAT(answer.body, HasSubstr("timeouts.per_try"));
    EXPECT_EQ(errors(proxy, upstream_error::per_try_timeout), 1u);
    EXPECT_EQ(client.get("/").body, "answer");
}

TEST_F(proxy_timeouts, an_idempotent_request_gets_another_attempt_with_a_time_of_its_own) {
    auto c = settings(4);
    c.upstreams.front().per_try_timeout = milliseconds{300};
    running_proxy const proxy(c);
    auto client = proxy.connect();
    silent_ = 3;
    EXPECT_EQ(client.get("/").body, "answer");
    EXPECT_EQ(asked_, 4);
    EXPECT_EQ(errors(proxy, upstream_error::per_try_timeout), 3u);
}

TEST_F(proxy_timeouts, a_request_that_may_have_had_an_effect_does_not) {
    auto c = settings(4);
    c.upstreams.front().per_try_timeout = milliseconds{200};
    running_proxy const proxy(c);
    auto client = proxy.connect();
    silent_ = 1;
    EXPECT_EQ(client.exchange(post).status, 504);
    EXPECT_EQ(asked_, 1);
}

TEST_F(proxy_timeouts, the_total_bounds_all_attempts_together) {
    auto c = settings(10);
    c.upstreams.front().per_try_timeout = milliseconds{300};
    c.upstreams.front().total_timeout = milliseconds{1000};
    running_proxy const proxy(c);
    auto client = proxy.connect();
    silent_ = 100;
    auto const answer = client.get("/");
    EXPECT_EQ(answer.status, 504);
    EXPECT_THAT(answer.body, HasSubstr("timeouts.total"));
    EXPECT_EQ(errors(proxy, upstream_error::total_timeout), 1u);
    EXPECT_GE(asked_, 2);
    EXPECT_LE(asked_, 4);
}

TEST_F(proxy_timeouts, the_total_alone_ends_a_single_attempt) {
    auto c = settings(1);
    c.upstreams.front().total_timeout = milliseconds{200};
    running_proxy const proxy(c);
    silent_ = 1;
    auto const answer = proxy.connect().get("/");
    EXPECT_EQ(answer.status, 504);
    EXPECT_THAT(answer.body, HasSubstr("timeouts.total"));
}

TEST_F(proxy_timeouts, a_body_that_is_still_on_its_way_up_does_not_stop_the_clock) {
    auto c = settings(1);
    c.upstreams.front().total_timeout = milliseconds{300};
    running_proxy const proxy(c);
    auto client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 1000000\r\n\r\nbegin");
    auto const answer = client.read();
    EXPECT_EQ(answer.status, 504);
    EXPECT_TRUE(answer.close);
}

TEST_F(proxy_timeouts, neither_touches_an_answer_that_has_begun) {
    upstream slow([](upstream::connection& c) {
        c.read();
        c.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < 12; ++i) {
            std::this_thread::sleep_for(milliseconds{100}); // longer than both together is what it is about
            c.write("3\r\n:\n\n\r\n");
        }
        c.write("0\r\n\r\n");
        c.wait_for_close();
    });
    auto c = proxy_config(slow.port());
    c.upstreams.front().per_try_timeout = milliseconds{200};
    c.upstreams.front().total_timeout = milliseconds{400};
    running_proxy const proxy(c);
    auto const answer = proxy.connect().get("/");
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.body.size(), 36u);
}

TEST_F(proxy_timeouts, a_client_that_takes_its_time_is_no_silence_of_the_upstream) {
    std::string const body(30'000'000, 'x'); // more than lies between the two
    upstream up(upstream::always(body));
    auto c = proxy_config(up.port());
    c.upstreams.front().idle_timeout = milliseconds{200};
    running_proxy const proxy(c);
    auto client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    client.read_until("\r\n\r\n");
    std::this_thread::sleep_for(milliseconds{600}); // longer than that is what it is about
    EXPECT_EQ(client.read_raw(body.size()), body);
}

TEST_F(proxy_timeouts, an_upstream_that_accepts_no_connection_is_504_by_the_time_of_the_attempt) {
    // A listening socket whose queue is full: the connections of the kernel's that nobody accepts.
    boost::asio::io_context io;
    boost::asio::ip::tcp::acceptor full(io);
    full.open(boost::asio::ip::tcp::v4());
    full.bind({boost::asio::ip::address_v4::loopback(), 0});
    full.listen(0);
    std::vector<boost::asio::ip::tcp::socket> waiting;
    for (int i = 0; i < 4; ++i) {
        waiting.emplace_back(io);
        waiting.back().async_connect(full.local_endpoint(), [](boost::system::error_code) {});
    }
    io.poll();
    auto c = proxy_config(full.local_endpoint().port());
    c.upstreams.front().connect_timeout = std::chrono::seconds{15};
    c.upstreams.front().per_try_timeout = milliseconds{200};
    running_proxy const proxy(c);
    auto const answer = proxy.connect().get("/");
    EXPECT_EQ(answer.status, 504);
    EXPECT_THAT(answer.body, HasSubstr("timeouts.per_try"));
}

} // namespace
} // namespace weir::test
