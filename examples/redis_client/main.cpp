// The Redis client alone: counts what is read from standard input, a word a line, and prints the counts.
//
//     redis_client [URL] < words        redis://127.0.0.1:6379 without one, or REDIS_URL
#include <weir/redis/client.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <iostream>
#include <string>

namespace asio = boost::asio;
namespace redis = weir::redis;
constexpr auto use_result = asio::as_tuple(asio::use_awaitable);

asio::awaitable<void> count_words(redis::client& client) {
    if (auto const [ec] = co_await client.async_connect(use_result); ec)
        throw std::runtime_error(client.last_error_text());
    redis::command increment;
    redis::int_sink<1> count{1};
    for (std::string word; std::getline(std::cin, word);) {
        increment.clear().start(2).arg("INCR").key("words:" + word);
        auto const [ec] = co_await client.async_exec(increment, count, {}, use_result);
        if (!ec)
            std::cout << word << ' ' << count[0] << '\n';
        else if (ec == weir::kind::not_sent)
            std::cout << word << " was not counted: " << ec.message() << '\n';
        else if (ec == weir::kind::outcome_unknown)
            std::cout << word << " may have been counted: " << ec.message() << '\n';
        else
            throw std::runtime_error(ec.message());
    }
    client.close();
}

int main(int count, char** arguments) {
    weir::error_code ec;
    std::string why;
    auto server = redis::address_from_environment(count > 1 ? arguments[1] : "", ec, &why);
    if (ec) {
        std::cerr << why << '\n';
        return 2;
    }
    try {
        asio::io_context io{1};
        redis::client client{io, {.server = std::move(server)}};
        asio::co_spawn(io, count_words(client), [](std::exception_ptr error) {
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
