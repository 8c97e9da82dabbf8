#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/until.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>

#include <random>
#include <thread>

// Costs that the response says: reserved when a request is admitted, settled when its response has ended.

namespace weir::test {
namespace {

using metrics::cost_kind;
using testing::HasSubstr;

/// An answer of server-sent events, the last of which tells the use.
std::string events(std::string_view used, std::string_view end = "data: [DONE]\n\n") {
    return "data: {\"choices\":[{\"delta\":\"a\"}],\"usage\":null}\n\ndata: {\"usage\":{\"total_tokens\":" +
           std::string(used) + "}}\n\n" + std::string(end);
}

std::string chunk(std::string_view data) {
    std::array<char, 32> size{};
    auto const n = std::snprintf(size.data(), size.size(), "%zx\r\n", data.size());
    return std::string(size.data(), static_cast<std::size_t>(n)) + std::string(data) + "\r\n";
}

constexpr auto stream_head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr auto json_fields = "Content-Type: application/json\r\n";

class proxy_cost : public testing::Test {
protected:
    config::config settings(std::uint16_t port, std::uint64_t limit) const {
        auto c = proxy_config(port);
        auto tokens = hourly("tokens", limit);
        tokens.per = {{config::per_part::type::everyone, {}}};
        tokens.cost = 50;
        tokens.cost_header = "x-estimated-tokens";
        tokens.settle = http::json_pointer("/usage/total_tokens");
        c.limits.push_back(tokens);
        c.routes.front().limits = {0};
        return c;
    }

    proxy::server_options options() const { return options_for(redis_); }

    static std::uint64_t counted(running_proxy const& proxy, cost_kind which) {
        auto const& all = *proxy.server.counters();
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < all.workers(); ++i)
            total += all.worker(i).rules[0].cost[which].value();
        return total;
    }

    /// Waits until so much has been counted: each kind apart, for they are counted one after the other.
    static void await_counted(running_proxy const& proxy, cost_kind which, std::uint64_t units) {
        until([&] { return counted(proxy, which) >= units; });
        ASSERT_EQ(counted(proxy, which), units);
    }
    static void await_settled(running_proxy const& proxy, std::uint64_t units) {
        await_counted(proxy, cost_kind::settled, units);
    }

    /// What is left for others, by a request that is refused because it wants all.
    static std::uint64_t left(running_proxy const& proxy) {
        auto client = proxy.connect();
        auto const said = client.get("/", "X-Estimated-Tokens: 9007199254740992\r\n");
        EXPECT_EQ(said.status, 429);
        auto const field = said.field("RateLimit");
        return std::stoull(field.substr(field.find("r=") + 2));
    }

    redis_server redis_;
};

TEST_F(proxy_cost, what_a_json_body_does_not_use_is_given_back) {
    upstream up([](upstream::connection& c) {
        for (;;) {
            c.read();
            c.respond(R"({"id":"x","usage":{"total_tokens":20}})", "200 OK", json_fields);
        }
    });
    running_proxy const proxy(settings(up.port(), 100), options());
    auto client = proxy.connect();
    auto const first = client.get("/", "X-Estimated-Tokens: 70\r\n");
    EXPECT_EQ(first.field("RateLimit"), R"("tokens";r=30;t=3600)"); // reserved
    EXPECT_EQ(first.body, R"({"id":"x","usage":{"total_tokens":20}})");
    await_settled(proxy, 20);
    EXPECT_EQ(left(proxy), 80U);
    EXPECT_EQ(counted(proxy, cost_kind::reserved), 70U);
    await_counted(proxy, cost_kind::refunded, 50);
    // Again, with the same id: a client cannot have its first reservation count for the second.
    client.get("/", "X-Request-Id: same\r\n");
    client.get("/", "X-Request-Id: same\r\n");
    await_settled(proxy, 60);
    EXPECT_EQ(left(proxy), 40U);
}

TEST_F(proxy_cost, of_a_stream_the_last_event_that_says_it_counts_and_the_stream_is_passed_on_as_it_is) {
    auto const whole = events("10") + events("45");
    upstream up([&](upstream::connection& c) {
        c.read();
        c.write(stream_head);
        for (char const& byte : whole)
            c.write(chunk({&byte, 1}));
        c.write("0\r\n\r\n");
        c.wait_for_close();
    });
    running_proxy const proxy(settings(up.port(), 100), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").body, whole);
    await_settled(proxy, 45);
    EXPECT_EQ(left(proxy), 55U);
}

TEST_F(proxy_cost, what_is_used_beyond_the_reservation_is_charged_too) {
    upstream up([](upstream::connection& c) {
        for (;;) {
            c.read();
            c.respond(R"({"usage":{"total_tokens":90}})", "200 OK", json_fields);
        }
    });
    running_proxy const proxy(settings(up.port(), 100), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/", "X-Estimated-Tokens: 1\r\n").status, 200);
    await_settled(proxy, 90);
    EXPECT_EQ(left(proxy), 10U);
    EXPECT_EQ(client.get("/", "X-Estimated-Tokens: 11\r\n").status, 429);
}

TEST_F(proxy_cost, a_request_that_waited_for_room_is_settled_as_any_other) {
    using namespace std::chrono_literals;
    upstream up([](upstream::connection& c) {
        c.read();
        c.respond(R"({"usage":{"total_tokens":60}})", "200 OK", json_fields);
        c.read();
        c.respond(R"({"usage":{"total_tokens":10}})", "200 OK", json_fields);
        c.wait_for_close();
    });
    auto patient = settings(up.port(), 100);
    patient.limits.front().rule.window = 2s;
    patient.limits.front().rule.max_wait = 60s;
    running_proxy const proxy(std::move(patient), options());
    auto client = proxy.connect();
    auto const begun = std::chrono::steady_clock::now();
    EXPECT_EQ(client.get("/", "X-Estimated-Tokens: 60\r\n").status, 200);
    EXPECT_EQ(client.get("/", "X-Estimated-Tokens: 60\r\n").status, 200);
    EXPECT_GE(std::chrono::steady_clock::now() - begun, 1900ms);
    await_settled(proxy, 70);
    EXPECT_EQ(counted(proxy, cost_kind::reserved), 120U);
    await_counted(proxy, cost_kind::refunded, 50);
}

TEST_F(proxy_cost, where_the_response_does_not_say_it_the_reservation_stays) {
    std::atomic<int> turn{0};
    upstream up([&](upstream::connection& c) {
        for (;;) {
            auto const asked = c.read();
            EXPECT_EQ(asked.count("Accept-Encoding"), 0U); // so that it can be read
            switch (turn++) {
            case 0:
                c.respond("{}", "200 OK", json_fields);
                break;
            case 1:
                c.respond("\x1f\x8b", "200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n");
                break;
            case 2:
                c.respond("<html>", "500 Internal Server Error", "Content-Type: text/html\r\n");
                break;
            default:
                c.respond(R"({"usage":{"total_tokens":-5}})", "200 OK", json_fields);
            }
        }
    });
    running_proxy const proxy(settings(up.port(), 1000), options());
    auto client = proxy.connect();
    for (int i = 0; i < 4; ++i)
        client.get("/", "Accept-Encoding: gzip\r\n");
    await_settled(proxy, 200);
    EXPECT_EQ(left(proxy), 800U);
    EXPECT_EQ(counted(proxy, cost_kind::refunded), 0U);
}

TEST_F(proxy_cost, a_response_that_breaks_off_and_a_client_that_leaves_pay_what_was_said_up_to_then) {
    upstream cut([](upstream::connection& c) {
        c.read();
        c.write(stream_head + chunk(events("30", "data: {\"usage\":{\"total_tok")));
        c.reset();
    });
    running_proxy const breaks(settings(cut.port(), 100), options());
    {
        auto client = breaks.connect();
        EXPECT_FALSE(client.get("/").complete);
    }
    await_settled(breaks, 30);
    EXPECT_EQ(left(breaks), 70U);

    redis_.run({"FLUSHALL"});
    upstream endless([](upstream::connection& c) {
        c.read();
        c.write(stream_head + chunk(events("20", "")));
        c.wait_for_close(); // the proxy ends it when the client has left
    });
    running_proxy const leaves(settings(endless.port(), 100), options());
    {
        auto client = leaves.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.read_until("\"total_tokens\":20}}\n\n");
    }
    await_settled(leaves, 20);
    EXPECT_EQ(left(leaves), 80U);
}

TEST_F(proxy_cost, a_request_that_never_reached_the_upstream_costs_nothing) {
    running_proxy const proxy(settings(dead_port(), 100), options());
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").status, 502);
    await_counted(proxy, cost_kind::refunded, 50);
    EXPECT_EQ(left(proxy), 100U);
}

TEST_F(proxy_cost, a_stream_that_lasts_longer_than_a_reservation_keeps_it) {
    upstream up([](upstream::connection& c) {
        c.read();
        c.write(stream_head);
        // It is time that is measured: a third more than a reservation lives, half of which a stall may take.
        for (int i = 0; i < 40; ++i) {
            c.write(chunk("data: {}\n\n"));
            std::this_thread::sleep_for(std::chrono::milliseconds{100});
        }
        c.write(chunk(events("7")) + "0\r\n\r\n");
        c.wait_for_close();
    });
    auto c = settings(up.port(), 100);
    c.upstreams[0].first_byte_timeout = c.upstreams[0].idle_timeout = std::chrono::seconds{1};
    running_proxy const proxy(std::move(c), options());
    auto client = proxy.connect();
    EXPECT_TRUE(client.get("/").complete);
    await_settled(proxy, 7);
    EXPECT_EQ(left(proxy), 93U);
}

TEST_F(proxy_cost, a_drain_settles_what_is_answered) {
    upstream up([](upstream::connection& c) {
        c.read();
        c.respond(R"({"usage":{"total_tokens":20}})", "200 OK", json_fields);
    });
    auto const c = settings(up.port(), 100);
    {
        running_proxy proxy(c, options());
        auto client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        proxy.server.begin_drain(std::chrono::seconds{20});
        EXPECT_EQ(client.read().status, 200);
        proxy.server.wait();
    }
    running_proxy const after(c, options());
    EXPECT_EQ(left(after), 80U);
}

TEST_F(proxy_cost, many_streams_at_once_never_overspend_and_what_they_do_not_use_is_used_by_others) {
    constexpr std::uint64_t limit = 100'000, most = 2'000;
    constexpr int clients = 64;
    std::atomic<std::uint64_t> spent{0}, streams{0};
    upstream up([&](upstream::connection& c) {
        for (;;) {
            auto const asked = c.read();
            auto const used = asked.field("x-use");
            c.write(stream_head);
            for (int i = 0; i < 3; ++i)
                c.write(chunk("data: {\"choices\":[]}\n\n"));
            spent += std::stoull(used);
            ++streams;
            c.write(chunk(events(used)) + "0\r\n\r\n");
        }
    });
    auto c = settings(up.port(), limit);
    c.workers = 2;
    running_proxy const proxy(std::move(c), options());
    std::vector<std::thread> threads;
    for (int t = 0; t < clients; ++t)
        threads.emplace_back([&, t] {
            std::minstd_rand random(static_cast<unsigned>(t + 1));
            auto client = proxy.connect();
            for (int refused = 0; refused < 3;) {
                auto const use = 1 + random() % most;
                auto const answer = client.get("/", "X-Estimated-Tokens: " + std::to_string(most) +
                                                        "\r\nX-Use: " + std::to_string(use) + "\r\n");
                refused += answer.status == 429;
                ASSERT_TRUE(answer.status == 200 || answer.status == 429) << answer.status;
            }
        });
    for (auto& each : threads)
        each.join();
    await_settled(proxy, spent);
    EXPECT_LE(spent, limit);               // nobody used more than reserved
    EXPECT_GT(streams, limit / most);      // what was given back was used
    EXPECT_EQ(left(proxy), limit - spent); // and nothing was lost on the way
    EXPECT_EQ(counted(proxy, cost_kind::reserved), streams * most);
    await_counted(proxy, cost_kind::refunded, streams * most - spent);
}

TEST_F(proxy_cost, streams_that_use_more_than_they_reserved_overspend_by_no_more_than_those_in_flight) {
    constexpr std::uint64_t limit = 100'000, reserved = 1'000, most = 2'000;
    constexpr int clients = 64;
    std::atomic<std::uint64_t> spent{0};
    upstream up([&](upstream::connection& c) {
        for (;;) {
            auto const used = c.read().field("x-use");
            spent += std::stoull(used);
            c.write(stream_head + chunk(events(used)) + "0\r\n\r\n");
        }
    });
    running_proxy const proxy(settings(up.port(), limit), options());
    std::vector<std::thread> threads;
    for (int t = 0; t < clients; ++t)
        threads.emplace_back([&, t] {
            std::minstd_rand random(static_cast<unsigned>(t + 1));
            auto client = proxy.connect();
            while (client
                       .get("/", "X-Estimated-Tokens: " + std::to_string(reserved) +
                                     "\r\nX-Use: " + std::to_string(1 + random() % most) + "\r\n")
                       .status == 200) {
            }
        });
    for (auto& each : threads)
        each.join();
    await_settled(proxy, spent);
    EXPECT_LE(spent, limit + clients * (most - reserved));
}

} // namespace
} // namespace weir::test
