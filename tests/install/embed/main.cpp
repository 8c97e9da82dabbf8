// A program that embeds the headers: takes decisions for one user until the limit refuses one.
#include <weir/weir.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <iostream>

namespace asio = boost::asio;

asio::awaitable<void> take_decisions(weir::redis::client& redis) {
    weir::limiter limiter{redis, weir::rule{.name = "per-user", .limit = 3, .window = std::chrono::minutes{1}}};
    for (int i = 0; i < 4; ++i) {
        weir::decision const d = co_await limiter.async_check("alice", "/v1/chat", 1, asio::use_awaitable);
        std::cout << (d.allowed ? "allow" : "deny") << ' ' << d.rules[0].remaining << ' '
                  << to_string(d.rules[0].outcome) << '\n';
    }
    redis.close();
}

int main(int, char** argv) {
    asio::io_context io;
    weir::error_code ec;
    weir::redis::client redis{io, {.server = weir::redis::parse_url(argv[1], ec)}};
    asio::co_spawn(io, take_decisions(redis), [](std::exception_ptr error) {
        if (error)
            std::rethrow_exception(error);
    });
    io.run();
}
