#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <mutex>

// proxy.md, "HTTP strictness", for what comes from upstreams: over raw sockets on both sides.

namespace weir::test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

/// Writes those bytes in answer to each request, keeping the connection.
upstream::script says(std::string bytes) {
    return [bytes = std::move(bytes)](upstream::connection& c) {
        for (;;) {
            c.read();
            c.write(bytes);
        }
    };
}

struct row {
    char const* name;
    std::string bytes;
};

std::ostream& operator<<(std::ostream& out, row const& one) { return out << one.name; }

std::string head(std::string const& lines, std::string const& start = "HTTP/1.1 200 OK") {
    return start + "\r\n" + lines + "\r\n";
}

std::vector<row> bad_heads() {
    std::string const chunked = "Transfer-Encoding: chunked\r\n";
    return {
        {"length_and_encoding", head("Content-Length: 5\r\n" + chunked) + "0\r\n\r\n"},
        {"differing_lengths", head("Content-Length: 1\r\nContent-Length: 2\r\n") + "ab"},
        {"equal_lengths", head("Content-Length: 1\r\nContent-Length: 1\r\n") + "a"},
        {"list_of_lengths", head("Content-Length: 1, 1\r\n") + "a"},
        {"length_with_plus", head("Content-Length: +5\r\n") + "hello"},
        {"negative_length", head("Content-Length: -1\r\n")},
        {"hexadecimal_length", head("Content-Length: 0x1\r\n") + "a"},
        {"empty_length", head("Content-Length:\r\n")},
        {"length_overflow", head("Content-Length: 18446744073709551617\r\n") + "a"},
        {"encoding_not_ending_in_chunked", head("Transfer-Encoding: chunked, gzip\r\n")},
        {"gzip_alone", head("Transfer-Encoding: gzip\r\n")},
        {"chunked_twice", head(chunked + chunked) + "0\r\n\r\n"},
        {"encoding_on_http_1_0", head(chunked, "HTTP/1.0 200 OK") + "0\r\n\r\n"},
        {"unknown_coding", head("Transfer-Encoding: zebra, chunked\r\n") + "0\r\n\r\n"},
        {"obfuscated_encoding", head("Transfer-Encoding: \vchunked\r\n") + "0\r\n\r\n"},
        {"space_before_the_colon", head("Content-Length : 1\r\n") + "a"},
        {"folded_line", head("X-A: b\r\n c\r\nContent-Length: 0\r\n")},
        {"bare_cr", head("X-A: b\rc\r\nContent-Length: 0\r\n")},
        {"bare_lf", head("X-A: b\nX-B: c\r\nContent-Length: 0\r\n")},
        {"status_line_ended_by_bare_lf", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"},
        {"nul", head(std::string("X-A: b\0c\r\nContent-Length: 0\r\n", 29))},
        {"invalid_field_name", head("X(A): b\r\nContent-Length: 0\r\n")},
        {"line_before_the_status_line", "\r\n" + head("Content-Length: 0\r\n")},
        {"http_0_9", "<html>hello</html>"},
        {"http_2", head("Content-Length: 0\r\n", "HTTP/2 200")},
        {"http_9_9", head("Content-Length: 0\r\n", "HTTP/9.9 200 OK")},
        {"other_protocol", "SSH-2.0-OpenSSH_9.2\r\n"},
        {"status_of_two_digits", head("Content-Length: 0\r\n", "HTTP/1.1 99 OK")},
        {"status_of_four_digits", head("Content-Length: 0\r\n", "HTTP/1.1 2000 OK")},
        {"status_600", head("Content-Length: 0\r\n", "HTTP/1.1 600 OK")},
        {"large_head", head("X-A: " + std::string(40'000, 'a') + "\r\nContent-Length: 0\r\n")},
        {"many_fields", head([] {
             std::string lines = "Content-Length: 0\r\n";
             for (int i = 0; i < 200; ++i)
                 lines += "X-" + std::to_string(i) + ": a\r\n";
             return lines;
         }())},
        {"unasked_101", head("Connection: Upgrade\r\nUpgrade: websocket\r\n", "HTTP/1.1 101 Switching Protocols")},
        {"endless_interim_answers",
         [] {
             std::string all;
             for (int i = 0; i < 1000; ++i)
                 all += "HTTP/1.1 103 Early Hints\r\n\r\n";
             return all;
         }()},
        {"chunk_size_with_prefix", head(chunked) + "0x3\r\nabc\r\n0\r\n\r\n"},
        {"chunk_size_with_sign", head(chunked) + "+3\r\nabc\r\n0\r\n\r\n"},
        {"chunk_size_overflow", head(chunked) + "10000000000000000\r\nabc"},
        {"chunk_size_ended_by_bare_lf", head(chunked) + "3\nabc\r\n0\r\n\r\n"},
    };
}

class proxy_bad_head : public testing::TestWithParam<row> {};

TEST_P(proxy_bad_head, is_502_nothing_of_it_passes_and_the_connection_is_not_used_again) {
    upstream up(says(GetParam().bytes));
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    for (int i = 0; i < 2; ++i) {
        auto answer = client.get("/");
        while (answer.status == 103)
            answer = client.read();
        EXPECT_EQ(answer.status, 502) << answer.body;
        EXPECT_EQ(answer.field("Content-Type"), "application/problem+json");
        EXPECT_TRUE(answer.complete);
    }
    EXPECT_EQ(up.accepted(), 2u);
}

INSTANTIATE_TEST_SUITE_P(table, proxy_bad_head, testing::ValuesIn(bad_heads()),
                         [](auto const& one) { return std::string(one.param.name); });

std::vector<row> broken_bodies() {
    std::string const chunked = head("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n";
    return {
        {"bad_chunk_size", chunked + "zz\r\n"},
        {"chunk_size_with_space", chunked + "3 \r\nabc\r\n0\r\n\r\n"},
        {"chunk_data_not_ended_by_crlf", chunked + "3\r\nabcX0\r\n\r\n"},
        {"chunk_data_ended_by_bare_lf", chunked + "3\r\nabc\n0\r\n\r\n"},
        {"overlong_chunk_extension", chunked + "3;" + std::string(20'000, 'x') + "\r\nabc\r\n0\r\n\r\n"},
        {"bad_trailer", chunked + "0\r\nbad trailer\r\n\r\n"},
    };
}

class proxy_broken_body : public testing::TestWithParam<row> {};

TEST_P(proxy_broken_body, never_ends_cleanly) {
    std::promise<void> arrived;
    upstream up([&](upstream::connection& c) {
        c.read();
        auto const& bytes = GetParam().bytes;
        auto const good = bytes.find("hello\r\n") + 7;
        c.write(bytes.substr(0, good));
        arrived.get_future().wait();
        c.write(bytes.substr(good));
        c.wait_for_close();
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    EXPECT_THAT(client.read_until("hello"), HasSubstr("200 OK"));
    arrived.set_value();
    EXPECT_THAT(client.read_to_end(), Not(HasSubstr("0\r\n\r\n")));
    EXPECT_TRUE(up.wait_until_open(0));
}

INSTANTIATE_TEST_SUITE_P(table, proxy_broken_body, testing::ValuesIn(broken_bodies()),
                         [](auto const& one) { return std::string(one.param.name); });

/// Begins to answer as the test says, and resets when the client has seen that.
class cut_answer {
public:
    cut_answer(std::string bytes)
        : up_([this, bytes = std::move(bytes)](upstream::connection& c) {
            c.read();
            c.write(bytes);
            seen_.get_future().wait();
            c.reset();
        }) {}

    /// What the client got after `begin`.
    std::string rest(std::string const& begin, std::string const& version, bool* reset) {
        running_proxy const proxy(proxy_config(up_.port()));
        auto client = proxy.connect();
        client.send("GET / HTTP/" + version + "\r\nHost: weir.test\r\n\r\n");
        client.read_until(begin);
        seen_.set_value();
        return client.read_to_end(reset);
    }

private:
    std::promise<void> seen_;
    upstream up_;
};

TEST(proxy_reset_by_upstream, before_the_head_is_502) {
    for (bool const some : {false, true}) {
        upstream up([&](upstream::connection& c) {
            c.read();
            if (some)
                c.write("HTTP/1.1 200 OK\r\nContent-");
            c.reset();
        });
        running_proxy const proxy(proxy_config(up.port()));
        auto client = proxy.connect();
        EXPECT_EQ(client.get("/").status, 502);
        EXPECT_EQ(client.get("/").status, 502) << "the client's connection goes on";
    }
}

TEST(proxy_reset_by_upstream, in_a_chunked_body_leaves_out_the_last_chunk) {
    cut_answer cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    bool reset = false;
    EXPECT_EQ(cut.rest("hello\r\n", "1.1", &reset), "");
}

TEST(proxy_reset_by_upstream, in_a_body_until_the_end_leaves_out_the_last_chunk) {
    cut_answer cut("HTTP/1.1 200 OK\r\n\r\nhello");
    bool reset = false;
    EXPECT_EQ(cut.rest("hello\r\n", "1.1", &reset), "");
}

TEST(proxy_reset_by_upstream, in_a_body_of_known_length_leaves_it_short) {
    cut_answer cut("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    bool reset = false;
    EXPECT_EQ(cut.rest("hello", "1.1", &reset), "");
}

TEST(proxy_reset_by_upstream, is_a_reset_for_a_client_of_http_1_0_that_knows_no_other_end) {
    cut_answer cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    bool reset = false;
    EXPECT_EQ(cut.rest("hello", "1.0", &reset), "");
    EXPECT_TRUE(reset);
}

TEST(proxy_reset_by_upstream, in_an_event_stream_is_told_by_one_event_and_no_clean_end) {
    cut_answer cut("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "9\r\ndata: 1\n\n\r\n");
    bool reset = false;
    auto const rest = cut.rest("data: 1\n\n\r\n", "1.1", &reset);
    EXPECT_THAT(rest, HasSubstr("event: error\ndata: "));
    EXPECT_EQ(rest.find("event: error"), rest.rfind("event: error"));
    EXPECT_THAT(rest, Not(HasSubstr("0\r\n\r\n")));
}

TEST(proxy_reset_by_upstream, in_an_event_stream_is_told_however_much_of_it_has_passed) {
    gate first, second;
    std::string const event = "data: " + std::string(1000, 'y') + "\n\n";
    upstream up([&](upstream::connection& c) {
        c.read();
        c.write("HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\ndata: 1\n\n");
        first.pass();
        c.write(event); // which takes the place of the head in the proxy's buffer
        second.pass();
        c.reset();
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    client.read_until("data: 1\n\n\r\n");
    first.open();
    client.read_until(event + "\r\n");
    second.open();
    EXPECT_THAT(client.read_to_end(), HasSubstr("event: error\ndata: "));
}

TEST(proxy_responses, fields_named_in_connection_and_the_fixed_list_are_stripped_before_ours_are_added) {
    upstream up(
        says(head("Connection: x-secret, keep-alive, via, x-request-id\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n"
                  "Proxy-Authenticate: Basic\r\nTrailer: X\r\nUpgrade: h2c\r\nX-Kept: yes\r\nSet-Cookie: a=1\r\n"
                  "Set-Cookie: b=2\r\nContent-Length: 2\r\n") +
             "ok"));
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: w\r\nX-Request-Id: mine\r\n\r\n");
    auto const seen = client.read_until("\r\n\r\nok");
    for (auto const* gone : {"X-Secret", "Keep-Alive", "Proxy-Authenticate", "Trailer", "Upgrade", "Connection"})
        EXPECT_THAT(seen, Not(HasSubstr(gone)));
    for (auto const* kept : {"X-Kept: yes\r\n", "Set-Cookie: a=1\r\n", "Set-Cookie: b=2\r\n", "Via: 1.1 weir\r\n",
                             "X-Request-Id: mine\r\n", "Content-Length: 2\r\n"})
        EXPECT_THAT(seen, HasSubstr(kept));
}

TEST(proxy_responses, trailers_are_dropped_and_chunks_framed_anew) {
    upstream up(says(head("Transfer-Encoding: chunked\r\nTrailer: X-Evil\r\n") +
                     "3;a=\"b\"\r\nabc\r\n2\r\nde\r\n0\r\nX-Evil: 1\r\n\r\n"));
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: w\r\n\r\n");
    auto const seen = client.read_until("0\r\n\r\n");
    EXPECT_THAT(seen, EndsWith("\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"));
    EXPECT_THAT(seen, Not(HasSubstr("Evil")));
    EXPECT_EQ(client.get("/").body, "abcde");
    EXPECT_EQ(up.accepted(), 1u);
}

TEST(proxy_responses, interim_answers_are_passed_on_in_order_without_their_framing) {
    upstream up(says("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nContent-Length: 5\r\nConnection: x\r\nX: 1\r\n\r\n"
                     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" +
                     head("Content-Length: 5\r\n") + "final"));
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    for (int i = 0; i < 2; ++i) {
        client.send("GET / HTTP/1.1\r\nHost: w\r\n\r\n");
        EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
        EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 102 Processing\r\n\r\n") << "nobody waits for a 100";
        EXPECT_EQ(client.read().body, "final");
    }
    auto old = proxy.connect();
    EXPECT_EQ(old.exchange("GET / HTTP/1.0\r\nHost: w\r\n\r\n").status, 200) << "HTTP/1.0 knows none";
}

TEST(proxy_responses, no_body_follows_a_head_204_or_304_whatever_they_say) {
    struct {
        std::string method, answer, length;
        bool reused;
    } const cases[]{
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "5", true},
        {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", true},
        {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "5", true},
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n", "", true},
        // What announces a body may send one: then it must not be taken for the next answer.
        {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", "", false},
        {"GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "", false},
        {"GET", "HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", false},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "5", false},
    };
    for (auto const& one : cases) {
        upstream up(says(one.answer));
        running_proxy const proxy(proxy_config(up.port()));
        auto client = proxy.connect();
        for (int i = 0; i < 3; ++i) {
            auto const answer = client.exchange(one.method + " / HTTP/1.1\r\nHost: w\r\n\r\n", true);
            EXPECT_EQ(answer.status, static_cast<unsigned>(std::stoi(one.answer.substr(9)))) << one.answer;
            EXPECT_EQ(answer.field("Content-Length"), one.length) << one.answer;
            EXPECT_EQ(answer.field("Transfer-Encoding"), "") << one.answer;
        }
        EXPECT_EQ(up.accepted(), one.reused ? 1u : 3u) << one.answer;
    }
}

TEST(proxy_responses, bytes_behind_an_answer_are_nobodys_next_answer) {
    upstream up(says(head("Content-Length: 2\r\n") + "ok" + head("Content-Length: 4\r\n") + "evil"));
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(client.get("/").body, "ok");
    EXPECT_EQ(up.accepted(), 5u);
}

TEST(proxy_responses, what_is_said_out_of_turn_on_an_idle_connection_is_nobodys_answer) {
    std::mutex mutex;
    std::condition_variable changed;
    int said = 0;
    upstream up([&](upstream::connection& c) {
        c.read();
        c.respond("ok");
        c.write(head("Content-Length: 4\r\n") + "evil");
        {
            std::lock_guard const lock(mutex);
            ++said;
        }
        changed.notify_all();
        c.wait_for_close();
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(client.get("/").body, "ok");
        std::unique_lock lock(mutex);
        EXPECT_TRUE(changed.wait_for(lock, http_client::patience, [&] { return said == i + 1; }));
    }
}

TEST(proxy_responses, an_answer_that_comes_before_the_request_was_read_costs_the_connection) {
    upstream up([](upstream::connection& c) {
        c.read_head();
        c.respond("early");
        c.wait_for_close();
    });
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 1000000\r\n\r\nbegin");
    auto const answer = client.read();
    EXPECT_EQ(answer.body, "early");
    EXPECT_TRUE(answer.complete);
    EXPECT_TRUE(answer.close);
    EXPECT_TRUE(up.wait_until_open(0));
}

TEST(proxy_responses, a_client_that_does_not_read_is_left_after_the_write_timeout_and_its_upstream_with_it) {
    std::promise<std::size_t> taken;
    upstream up([&](upstream::connection& c) {
        c.read();
        c.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        taken.set_value(c.write_without_end());
    });
    auto settings = proxy_config(up.port());
    settings.http.write_timeout = std::chrono::milliseconds{300};
    running_proxy const proxy(settings);
    auto client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: w\r\n\r\n");
    EXPECT_LT(taken.get_future().get(), 100'000'000u) << "what the kernel holds, and a block";
}

} // namespace
} // namespace weir::test
