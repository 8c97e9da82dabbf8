#include "support/redis_cluster.hpp"
#include "support/redis_fixture.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <gmock/gmock.h>

#include <algorithm>
#include <deque>

// What a node of a cluster may have the client do that means harm, or is confused.

namespace weir::test {
namespace {

using asio::ip::tcp;
using redis::client;
using redis::command;
using namespace std::chrono_literals;

/// A server on 127.0.0.1 whose answers are the test's own, on the test's loop.
class scripted_server {
public:
    /// From the words of a command to the bytes of the answer; none: silence.
    using script = std::function<std::string(std::vector<std::string> const&)>;

    scripted_server(asio::io_context& io, script answers)
        : acceptor_(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0))
        , answers_(std::move(answers)) {
        asio::co_spawn(io, accept(), asio::detached);
    }

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    std::string url() const { return "redis://127.0.0.1:" + std::to_string(port()); }
    bool visited() const noexcept { return accepted_ > 0; }
    int open() const noexcept { return open_; }

private:
    asio::awaitable<void> accept() {
        for (;;) {
            auto [ec, socket] = co_await acceptor_.async_accept(use_result);
            if (ec)
                co_return;
            ++accepted_;
            asio::co_spawn(acceptor_.get_executor(), serve(std::move(socket)), asio::detached);
        }
    }
    asio::awaitable<void> serve(tcp::socket socket) {
        ++open_;
        std::string bytes;
        for (;;) {
            auto const words = co_await read(socket, bytes);
            if (words.empty())
                break;
            auto const answer = answers_(words);
            auto const [ec, written] = co_await asio::async_write(socket, asio::buffer(answer), use_result);
            if (ec)
                break;
        }
        --open_;
    }
    /// The words of the next command; none where the connection has ended.
    static asio::awaitable<std::vector<std::string>> read(tcp::socket& socket, std::string& bytes) {
        std::vector<std::string> words;
        std::size_t left = 1;
        for (bool counted = false; left > 0; --left) {
            auto const [ec, size] =
                co_await asio::async_read_until(socket, asio::dynamic_buffer(bytes), "\r\n", use_result);
            if (ec)
                co_return std::vector<std::string>{};
            auto const number = std::stoul(bytes.substr(1));
            bytes.erase(0, size);
            if (!std::exchange(counted, true)) {
                left = number + 1;
                continue;
            }
            if (auto const whole = number + 2; bytes.size() < whole) {
                auto const [failed, more] = co_await asio::async_read(
                    socket, asio::dynamic_buffer(bytes), asio::transfer_at_least(whole - bytes.size()), use_result);
                if (failed)
                    co_return std::vector<std::string>{};
            }
            words.push_back(bytes.substr(0, number));
            bytes.erase(0, number + 2);
        }
        co_return words;
    }

    tcp::acceptor acceptor_;
    script answers_;
    int accepted_ = 0, open_ = 0;
};

std::string bulk(std::string const& text) { return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n"; }

/// An element of CLUSTER SLOTS.
std::string range(int first, int last, std::uint16_t port, std::string const& host = "127.0.0.1") {
    return "*3\r\n:" + std::to_string(first) + "\r\n:" + std::to_string(last) + "\r\n*3\r\n" + bulk(host) + ":" +
           std::to_string(port) + "\r\n" + bulk("id");
}

redis::client_options cluster_options(std::string const& url) {
    auto options = patient_options(url);
    options.server.topology = redis::topology::cluster;
    options.reconnect_max = 50ms;
    return options;
}

command increment(std::string const& key) {
    command made;
    made.start(2).arg("INCR").key(key);
    return made;
}

class hostile_cluster : public testing::Test {
protected:
    asio::io_context io_;
};

TEST_F(hostile_cluster, redirections_to_ever_new_places_open_a_bounded_number_of_connections_and_heal) {
    redis_cluster honest({.node_timeout = 2s});
    // They take connections and say nothing.
    std::deque<scripted_server> traps;
    for (int i = 0; i < 150; ++i)
        traps.emplace_back(io_, [](auto const&) { return std::string(); });
    std::size_t next = 0;
    std::string slots;
    scripted_server liar(io_, [&](std::vector<std::string> const& words) -> std::string {
        if (words[0] == "CLUSTER")
            return std::exchange(slots, "-ERR not now\r\n");
        if (words[0] == "INCR")
            return "-MOVED 1 127.0.0.1:" + std::to_string(traps[next++ % traps.size()].port()) + "\r\n";
        return "+OK\r\n";
    });
    slots = "*1\r\n" + range(0, 16383, liar.port());

    client redis(io_, cluster_options(liar.url()));
    run(io_, [&]() -> asio::awaitable<void> {
        auto const [ec] = co_await redis.async_connect(use_result);
        EXPECT_FALSE(ec) << redis.last_error_text();
        std::vector<command> commands;
        for (std::size_t i = 0; i < traps.size(); ++i)
            commands.push_back(increment("lost" + std::to_string(i)));
        std::deque<redis::int_sink<1>> sinks;
        std::size_t failed = 0;
        for (auto const& each : commands)
            redis.async_exec(each, sinks.emplace_back(1), {.timeout = 1s}, [&](error_code why) {
                EXPECT_EQ(why, kind::not_sent) << why.message();
                ++failed;
            });
        while (failed < commands.size())
            co_await asio::post(io_, use_result);
        EXPECT_GE(next, traps.size()) << "each was told another place";
        auto const visited = std::count_if(traps.begin(), traps.end(), [](auto const& each) { return each.visited(); });
        EXPECT_GE(visited, 10);
        EXPECT_LE(visited, 4 * 1 + 16);

        // From a table that is true, if old, the others are found again, and nothing else is kept.
        slots = "*1\r\n" + range(0, 16383, honest.port(0));
        for (int i = 0; i < 20; ++i) {
            error_code why = errc::timed_out;
            while (why)
                std::tie(why, std::ignore) = co_await count(redis, increment("found" + std::to_string(i)));
        }
        while (liar.open() > 0 || std::any_of(traps.begin(), traps.end(), [](auto const& t) { return t.open() > 0; }))
            co_await asio::post(io_, use_result);
        EXPECT_EQ(redis.key_servers().size(), honest.masters());
    });
}

TEST_F(hostile_cluster, a_table_of_more_masters_than_any_cluster_has_is_not_believed) {
    std::string slots = "*1025\r\n";
    scripted_server liar(io_, [&](std::vector<std::string> const& words) -> std::string {
        return words[0] == "CLUSTER" ? slots : "+OK\r\n";
    });
    for (int i = 0; i < 1025; ++i)
        slots += range(i, i, static_cast<std::uint16_t>(1 + i), "127.0.0.2");
    client redis(io_, cluster_options(liar.url()));
    run(io_, [&]() -> asio::awaitable<void> {
        auto const [ec] = co_await redis.async_connect(use_result);
        EXPECT_EQ(ec, errc::cluster_down);
        EXPECT_THAT(redis.last_error_text(), testing::HasSubstr("1025 masters"));
        EXPECT_THAT(redis.key_servers(), testing::IsEmpty());
    });
}

} // namespace
} // namespace weir::test
