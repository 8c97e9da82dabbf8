// A Boost.Beast server of its own that embeds the filters of Weir: limits, a lock a session, and a circuit, shared with
// all who run this on the same Redis.
//
//     beast_server PORT [URL]        redis://127.0.0.1:6379 without one, or REDIS_URL; prints the port (0: a free one)
//
//     curl -i localhost:8080/                              5 a minute an address, then 429
//     curl -i -H 'X-Session-Id: s1' localhost:8080/turn    one at a time a session, else 409
//     curl -i localhost:8080/fail                          500; after some of them 503 from the circuit
#include <weir/http/filters.hpp>
#include <weir/redis/client.hpp>
#include <weir/redis/subscriber.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include <exception>
#include <iostream>
#include <string>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using namespace std::chrono_literals;
using request = http::request<http::string_body>;
using response = http::response<http::string_body>;

/// What all connections share: an instance of everything, on one thread.
struct application {
    application(asio::io_context& io, weir::redis::address const& server)
        : redis(io, options_for(server))
        , news(io, options_for(server))
        , limiter(redis)
        , locks(redis, news)
        , circuits(redis, news)
        , limits(limiter)
        , sessions(locks, "session", weir::http::by_field("x-session-id"), {})
        , upstream(circuits.get("handler", circuit_settings())) {
        limits.add({.rule = {.name = "per-client", .limit = 5, .window = 1min}});
    }

    static weir::redis::client_options options_for(weir::redis::address const& server) {
        weir::redis::client_options options;
        options.server = server;
        for (auto const& some : {weir::rate_limit_scripts(), weir::circuit::scripts(), weir::lock::scripts()})
            options.scripts.insert(options.scripts.end(), some.begin(), some.end());
        return options;
    }
    static weir::circuit::settings circuit_settings() {
        weir::circuit::settings how;
        how.minimum_calls = 3;
        return how;
    }

    weir::redis::client redis;
    weir::redis::subscriber news;
    weir::limiter limiter;
    weir::lock::manager locks;
    weir::circuit::registry circuits;
    weir::http::limit_filter limits;
    weir::http::lock_filter sessions;
    weir::http::circuit_filter upstream;
};

/// The program's own work.
asio::awaitable<response> handle(request const& what, weir::http::passage& way) {
    response answer{http::status::ok, what.version()};
    answer.keep_alive(what.keep_alive());
    if (what.target() == "/fail")
        answer.result(http::status::internal_server_error);
    if (what.target() == "/turn") {
        asio::steady_timer work(co_await asio::this_coro::executor, 1s);
        co_await work.async_wait(asio::use_awaitable);
        answer.body() = "fence " + std::to_string(way.lease().fence()) + "\n";
    }
    answer.prepare_payload();
    co_return answer;
}

asio::awaitable<response> answer(application& app, request const& what, asio::ip::address peer) {
    weir::http::passage way;
    if (!co_await app.limits.async_enter(what, peer, way, asio::use_awaitable) ||
        !co_await app.sessions.async_enter(what, peer, way, asio::use_awaitable) || !app.upstream.enter(way))
        co_return way.refusal(what);
    auto made = co_await handle(what, way);
    way.leave(made);
    co_return made;
}

asio::awaitable<void> serve(application& app, tcp::socket client) {
    auto const peer = client.remote_endpoint().address();
    beast::flat_buffer buffer;
    try {
        for (;;) {
            request what;
            co_await http::async_read(client, buffer, what, asio::use_awaitable);
            auto const made = co_await answer(app, what, peer);
            co_await http::async_write(client, made, asio::use_awaitable);
            if (!made.keep_alive())
                break;
        }
    } catch (boost::system::system_error const&) { // the client has gone
    }
}

asio::awaitable<void> listen(application& app, tcp::acceptor acceptor) {
    for (;;)
        asio::co_spawn(acceptor.get_executor(), serve(app, co_await acceptor.async_accept(asio::use_awaitable)),
                       asio::detached);
}

int main(int count, char** arguments) {
    if (count < 2) {
        std::cerr << "usage: beast_server PORT [REDIS_URL]\n";
        return 2;
    }
    weir::error_code ec;
    std::string why;
    auto const server = weir::redis::address_from_environment(count > 2 ? arguments[2] : "", ec, &why);
    if (ec) {
        std::cerr << why << '\n';
        return 2;
    }
    try {
        asio::io_context io{1};
        application app{io, server};
        tcp::acceptor acceptor{
            io, {asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(std::stoul(arguments[1]))}};
        std::cout << acceptor.local_endpoint().port() << std::endl;
        asio::co_spawn(io, listen(app, std::move(acceptor)), [](std::exception_ptr error) {
            if (error)
                std::rethrow_exception(error);
        });
        io.run();
        return 0;
    } catch (std::exception const& e) {
        std::cerr << e.what() << '\n';
        return 2;
    }
}
