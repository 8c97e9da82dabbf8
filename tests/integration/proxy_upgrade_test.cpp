#include "support/certificates.hpp"
#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/tls_client.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <thread>

// The switch to another protocol: who may, and what becomes of its bytes.

namespace weir::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::string_view handshake = "GET /chat HTTP/1.1\r\nHost: weir.test\r\nConnection: keep-alive, Upgrade\r\n"
                                       "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                       "Sec-WebSocket-Version: 13\r\n\r\n";
constexpr std::string_view agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

std::string bytes_that_tell_their_place(std::size_t size) {
    std::string out(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        out[i] = static_cast<char>((i ^ i / 251) % 256);
    return out;
}

config::config with_upgrade(std::uint16_t port, std::vector<std::string> protocols = {"websocket"}) {
    auto c = proxy_config(port);
    c.routes.front().upgrades = std::move(protocols);
    return c;
}

/// Switches, and sends back what comes.
void serve_echo(upstream::connection& c) {
    c.read();
    c.write(agreed);
    for (;;)
        c.write(c.read_some());
}

TEST(proxy_upgrade, a_listed_protocol_passes_and_then_bytes_both_ways) {
    std::promise<upstream_request> asked;
    upstream up([&](upstream::connection& c) {
        asked.set_value(c.read());
        c.write(agreed);
        for (;;)
            c.write(c.read_some());
    });
    running_proxy const proxy(with_upgrade(up.port()));
    auto client = proxy.connect();
    client.send(handshake);
    auto const head = client.read_until("\r\n\r\n");
    EXPECT_THAT(head, StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
    EXPECT_THAT(head, HasSubstr("\r\nConnection: Upgrade\r\n"));
    EXPECT_THAT(head, HasSubstr("\r\nUpgrade: websocket\r\n"));
    EXPECT_THAT(head, HasSubstr("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    auto const request = asked.get_future().get();
    EXPECT_EQ(request.field("Connection"), "Upgrade");
    EXPECT_EQ(request.field("Upgrade"), "websocket");
    EXPECT_EQ(request.field("Sec-WebSocket-Key"), "dGhlIHNhbXBsZSBub25jZQ==");
    for (auto const& said : {std::string("one"), std::string("GET / HTTP/1.1\r\n\r\n"), std::string(3, '\0')}) {
        client.send(said);
        EXPECT_EQ(client.read_raw(said.size()), said);
    }
}

TEST(proxy_upgrade, what_is_sent_right_behind_the_handshake_belongs_to_the_other_protocol) {
    upstream up([](upstream::connection& c) {
        c.read();
        c.write(std::string(agreed) + "from the upstream");
        c.write(c.read_some());
        c.wait_for_close();
    });
    running_proxy const proxy(with_upgrade(up.port()));
    auto client = proxy.connect();
    client.send(std::string(handshake) + "from the client");
    client.read_until("\r\n\r\n");
    EXPECT_EQ(client.read_raw(17), "from the upstream");
    EXPECT_EQ(client.read_raw(15), "from the client");
}

TEST(proxy_upgrade, much_passes_both_ways_at_once_unchanged) {
    auto const all = bytes_that_tell_their_place(20'000'000);
    upstream up([&](upstream::connection& c) {
        c.read();
        c.write(agreed);
        std::thread sender([&] { c.write(all); });
        std::string got;
        while (got.size() < all.size())
            got += c.read_some();
        sender.join();
        c.write(got == all ? "same" : "else");
        c.wait_for_close();
    });
    running_proxy const proxy(with_upgrade(up.port()));
    auto client = proxy.connect();
    client.send(handshake);
    client.read_until("\r\n\r\n");
    // One socket, two directions, one thread: what cannot be sent now waits until something was read.
    std::size_t sent = 0;
    std::string got;
    while (got.size() < all.size() || sent < all.size()) {
        if (sent < all.size())
            sent += client.send_some(std::string_view(all).substr(sent));
        if (got.size() < all.size())
            got += client.read_raw(std::min<std::size_t>(all.size() - got.size(), 65536));
    }
    EXPECT_TRUE(got == all);
    EXPECT_EQ(client.read_raw(4), "same");
}

TEST(proxy_upgrade, the_end_of_one_way_leaves_the_other_open) {
    upstream up([](upstream::connection& c) {
        c.read();
        c.write(agreed);
        c.wait_for_close(); // the client's end
        c.write("after the end of the client's");
        c.close();
    });
    running_proxy const proxy(with_upgrade(up.port()));
    auto client = proxy.connect();
    client.send(handshake);
    client.read_until("\r\n\r\n");
    client.shutdown_send();
    bool reset = true;
    EXPECT_EQ(client.read_to_end(&reset), "after the end of the client's");
    EXPECT_FALSE(reset);
}

TEST(proxy_upgrade, an_upstream_that_has_said_all_can_still_be_told) {
    std::promise<std::string> heard;
    upstream up([&](upstream::connection& c) {
        c.read();
        c.write(std::string(agreed) + "all");
        c.socket().shutdown(boost::asio::ip::tcp::socket::shutdown_send);
        std::string got;
        while (got.size() < 5)
            got += c.read_some();
        heard.set_value(got);
    });
    running_proxy const proxy(with_upgrade(up.port()));
    auto client = proxy.connect();
    client.send(handshake);
    client.read_until("\r\n\r\n");
    EXPECT_EQ(client.read_to_end(), "all");
    client.send("still");
    EXPECT_EQ(heard.get_future().get(), "still");
    client.shutdown_send();
    EXPECT_TRUE(up.wait_until_open(0));
}

TEST(proxy_upgrade, what_the_route_does_not_list_is_dropped_and_the_request_served_without) {
    upstream up(upstream::echo());
    running_proxy const none(proxy_config(up.port())), other(with_upgrade(up.port(), {"mqtt"})),
        web(with_upgrade(up.port()));
    auto const seen = [](running_proxy const& by, std::string_view fields, std::string_view version = "1.1") {
        auto client = by.connect();
        auto const answer =
            client.exchange("GET / HTTP/" + std::string(version) + "\r\nHost: w\r\n" + std::string(fields) + "\r\n");
        EXPECT_EQ(answer.status, 200);
        return answer.body;
    };
    std::string_view const plain = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (auto const& head :
         {seen(none, plain), seen(other, plain), seen(web, "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
          seen(web, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
          seen(web, "Upgrade: websocket\r\n"), seen(web, "Connection: close\r\nUpgrade: websocket\r\n"),
          seen(web, plain, "1.0"), seen(web, "Connection: Upgrade\r\nUpgrade: websockets\r\n")}) {
        EXPECT_THAT(head, Not(HasSubstr("pgrade"))) << head;
        EXPECT_THAT(head, Not(HasSubstr("Connection"))) << head;
        EXPECT_THAT(head, Not(HasSubstr("HTTP2"))) << head;
    }
    auto const mixed = seen(web, "Connection: upgrade\r\nUpgrade: h2c, WebSocket, TLS/1.0\r\n");
    EXPECT_THAT(mixed, HasSubstr("\r\nUpgrade: WebSocket\r\n"));
    EXPECT_THAT(mixed, Not(HasSubstr("h2c")));
    auto client = web.connect();
    auto const with_body =
        client.exchange("POST / HTTP/1.1\r\nHost: w\r\n" + std::string(plain) + "Content-Length: 2\r\n\r\nhi");
    EXPECT_THAT(with_body.body, Not(HasSubstr("pgrade")));
}

TEST(proxy_upgrade, an_answer_that_does_not_switch_is_an_answer_like_any_other) {
    upstream up(upstream::always("no"));
    running_proxy const proxy(with_upgrade(up.port()));
    auto client = proxy.connect();
    for (int i = 0; i < 3; ++i) {
        // What comes behind is the next request.
        client.send(std::string(handshake) + "GET / HTTP/1.1\r\nHost: w\r\n\r\n");
        EXPECT_EQ(client.read().body, "no");
        EXPECT_EQ(client.read().body, "no");
    }
    EXPECT_EQ(up.accepted(), 1u);
}

TEST(proxy_upgrade, a_101_that_was_not_asked_for_is_502) {
    std::atomic<int> which{0};
    std::vector<std::string> const answers{
        std::string(agreed),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket, h2c\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: "
        "4\r\n\r\nbody",
        "HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    };
    upstream up([&](upstream::connection& c) {
        c.read();
        c.write(answers[static_cast<std::size_t>(which)]);
        c.wait_for_close();
    });
    running_proxy const proxy(with_upgrade(up.port()));
    EXPECT_EQ(proxy.connect().get("/").status, 502) << "nothing was offered";
    for (which = 1; which < static_cast<int>(answers.size()); ++which) {
        auto client = proxy.connect();
        EXPECT_EQ(client.exchange(handshake).status, 502) << answers[static_cast<std::size_t>(which)];
    }
}

TEST(proxy_upgrade, a_client_that_does_not_read_slows_the_upstream_and_is_left_after_the_write_timeout) {
    std::promise<std::size_t> taken;
    upstream up([&](upstream::connection& c) {
        c.read();
        c.write(agreed);
        taken.set_value(c.write_without_end());
    });
    auto settings = with_upgrade(up.port());
    settings.http.write_timeout = std::chrono::milliseconds{300};
    running_proxy const proxy(settings);
    auto client = proxy.connect();
    client.send(handshake);
    client.read_until("\r\n\r\n");
    EXPECT_LT(taken.get_future().get(), 100'000'000u) << "what the kernel holds, and a block";
}

TEST(proxy_upgrade, a_silent_one_is_broken_off_on_both_sides) {
    std::promise<boost::system::error_code> ended;
    upstream up([&](upstream::connection& c) {
        c.read();
        c.write(agreed);
        boost::system::error_code ec;
        std::array<char, 1> byte{};
        c.socket().read_some(boost::asio::buffer(byte), ec);
        ended.set_value(ec);
    });
    auto settings = with_upgrade(up.port());
    settings.upstreams.front().idle_timeout = std::chrono::milliseconds{200};
    running_proxy const proxy(settings);
    auto client = proxy.connect();
    client.send(handshake);
    client.read_until("\r\n\r\n");
    bool reset = false;
    EXPECT_EQ(client.read_to_end(&reset), "");
    EXPECT_TRUE(reset);
    EXPECT_EQ(ended.get_future().get(), boost::asio::error::connection_reset);
    auto const& counters = proxy.server.counters()->worker(0);
    EXPECT_EQ(counters.upstreams.at(0).errors[metrics::upstream_error::idle_timeout].value(), 0u) << "nobody's fault";
}

TEST(proxy_upgrade, one_that_speaks_now_and_then_lives_longer_than_the_idle_timeout) {
    upstream up(serve_echo);
    auto settings = with_upgrade(up.port());
    settings.upstreams.front().idle_timeout = std::chrono::milliseconds{500};
    settings.upstreams.front().total_timeout = std::chrono::milliseconds{300};
    running_proxy const proxy(settings);
    auto client = proxy.connect();
    client.send(handshake);
    client.read_until("\r\n\r\n");
    auto const until = std::chrono::steady_clock::now() + std::chrono::milliseconds{1500};
    while (std::chrono::steady_clock::now() < until) {
        client.send("beat");
        ASSERT_EQ(client.read_raw(4), "beat");
    }
}

TEST(proxy_upgrade, a_reset_on_one_side_is_a_reset_on_the_other) {
    std::promise<boost::system::error_code> ended;
    upstream up([&](upstream::connection& c) {
        auto const path = c.read().target();
        c.write(agreed);
        if (path == "/resets") {
            c.read_some();
            return c.reset();
        }
        boost::system::error_code ec;
        std::array<char, 1> byte{};
        c.socket().read_some(boost::asio::buffer(byte), ec);
        ended.set_value(ec);
    });
    running_proxy const proxy(with_upgrade(up.port()));
    auto client = proxy.connect();
    client.send("GET /resets" + std::string(handshake.substr(9)));
    client.read_until("\r\n\r\n");
    client.send("now");
    bool reset = false;
    client.read_to_end(&reset);
    EXPECT_TRUE(reset);
    auto other = proxy.connect();
    other.send(handshake);
    other.read_until("\r\n\r\n");
    other.reset();
    EXPECT_EQ(ended.get_future().get(), boost::asio::error::connection_reset);
}

TEST(proxy_upgrade, the_handshake_is_limited_like_any_request) {
    redis_server const redis;
    upstream up(serve_echo);
    auto settings = with_upgrade(up.port());
    settings.limits.push_back(hourly("few", 1));
    settings.routes.front().limits = {0};
    running_proxy const proxy(settings, options_for(redis));
    auto client = proxy.connect();
    client.send(handshake);
    EXPECT_THAT(client.read_until("\r\n\r\n"), HasSubstr("RateLimit: \"few\";r=0"));
    auto other = proxy.connect();
    EXPECT_EQ(other.exchange(handshake).status, 429);
    EXPECT_EQ(up.accepted(), 1u);
}

TEST(proxy_upgrade, its_place_is_held_until_it_ends_and_longer_than_the_lease) {
    redis_server const redis;
    upstream up([](upstream::connection& c) {
        if (c.read().target() == "/chat") {
            c.write(agreed);
            c.wait_for_close();
        } else {
            c.respond("served");
        }
    });
    auto settings = with_upgrade(up.port());
    config::limit made;
    made.rule.name = "in-flight";
    made.rule.algorithm = algorithm::concurrency;
    made.rule.limit = 1;
    made.rule.window = std::chrono::seconds{1};
    settings.limits.push_back(made);
    settings.routes.front().limits = {0};
    running_proxy const proxy(settings, options_for(redis));
    auto client = proxy.connect();
    client.send(handshake);
    client.read_until("\r\n\r\n");
    auto other = proxy.connect();
    auto const until = std::chrono::steady_clock::now() + std::chrono::milliseconds{2500};
    while (std::chrono::steady_clock::now() < until)
        ASSERT_EQ(other.get("/").status, 429);
    client.shutdown_send();
    client.read_to_end();
    EXPECT_EQ(other.get("/").status, 200);
}

TEST(proxy_upgrade, a_drain_lets_it_end_by_itself) {
    upstream up(serve_echo);
    running_proxy proxy(with_upgrade(up.port()));
    auto client = proxy.connect();
    client.send(handshake);
    client.read_until("\r\n\r\n");
    proxy.server.begin_drain(std::chrono::seconds{20});
    for (int i = 0; i < 3; ++i) {
        client.send("on");
        EXPECT_EQ(client.read_raw(2), "on");
    }
    client.shutdown_send();
    client.read_to_end();
    proxy.server.wait();
    EXPECT_ANY_THROW(proxy.connect());
}

TEST(proxy_upgrade, the_end_of_a_drain_breaks_it_off) {
    upstream up(serve_echo);
    running_proxy proxy(with_upgrade(up.port()));
    auto client = proxy.connect();
    client.send(handshake);
    client.read_until("\r\n\r\n");
    proxy.server.begin_drain(std::chrono::milliseconds{100});
    client.read_to_end();
    proxy.server.wait();
    EXPECT_TRUE(up.wait_until_open(0));
}

TEST(proxy_upgrade, tls_on_both_sides_changes_nothing) {
    certificates const files;
    upstream up(serve_echo);
    auto const secured = [&](config::config c) {
        c.listen.front().tls.emplace().certificates.push_back({files.certificate("server"), files.key("server")});
        return c;
    };
    running_proxy const inner(secured(with_upgrade(up.port())));
    auto settings = secured(with_upgrade(inner.endpoint().port()));
    settings.upstreams.front().targets.front().host = "localhost";
    settings.upstreams.front().targets.front().tls = true;
    settings.upstreams.front().tls.ca_file = files.ca();
    running_proxy const outer(settings);
    tls_client client(outer.endpoint(), files.ca(), "localhost");
    EXPECT_EQ(client.exchange(handshake).status, 101);
    auto const all = bytes_that_tell_their_place(100'000);
    client.send(all);
    EXPECT_TRUE(client.read_raw(all.size()) == all);
    EXPECT_TRUE(client.close());
    EXPECT_TRUE(up.wait_until_open(0));
}

} // namespace
} // namespace weir::test
