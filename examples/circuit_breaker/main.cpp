// A circuit breaker shared by all who run this: connects to a TCP service once a word of standard input, through the
// circuit, and prints what came of it.
//
//     circuit_breaker HOST PORT [URL] < words        redis://127.0.0.1:6379 without one, or REDIS_URL
#include <weir/circuit/registry.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <iostream>
#include <string>

namespace asio = boost::asio;
namespace circuit = weir::circuit;
using asio::ip::tcp;

asio::awaitable<void> connect(std::string const& host, std::string const& port) {
    auto const executor = co_await asio::this_coro::executor;
    tcp::resolver resolver(executor);
    tcp::socket socket(executor);
    auto const found = co_await resolver.async_resolve(host, port, asio::use_awaitable);
    co_await asio::async_connect(socket, found, asio::use_awaitable);
}

asio::awaitable<void> run(circuit::breaker api, std::string host, std::string port) {
    for (std::string word; std::getline(std::cin, word);) {
        try {
            co_await api.async_call([&] { return connect(host, port); }, asio::use_awaitable);
            std::cout << word << ": connected\n";
        } catch (boost::system::system_error const& e) {
            std::cout << word << ": " << e.code().message() << ", circuit " << to_string(api.now()) << '\n';
        }
    }
}

int main(int count, char** arguments) {
    if (count < 3) {
        std::cerr << "usage: circuit_breaker HOST PORT [REDIS_URL]\n";
        return 2;
    }
    weir::error_code ec;
    std::string why;
    auto const server = weir::redis::address_from_environment(count > 3 ? arguments[3] : "", ec, &why);
    if (ec) {
        std::cerr << why << '\n';
        return 2;
    }
    try {
        asio::io_context io{1};
        weir::redis::client_options options;
        options.server = server;
        options.scripts = circuit::scripts();
        weir::redis::client redis{io, options};
        weir::redis::subscriber news{io, options};
        circuit::registry circuits{redis, news};
        circuit::settings how;
        how.minimum_calls = 5;
        auto const api = circuits.get(arguments[1], how);
        asio::co_spawn(io, run(api, arguments[1], arguments[2]), [&](std::exception_ptr error) {
            circuits.close();
            news.close();
            redis.close();
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
