// Work under a lock that all who run this share: for each word of standard input takes the lock of that name, waits for
// it where another has it, and prints its fence.
//
//     lock [URL] < words        redis://127.0.0.1:6379 without one, or REDIS_URL
#include <weir/lock/with_lock.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <iostream>
#include <string>

namespace asio = boost::asio;
namespace lock = weir::lock;

asio::awaitable<void> run(lock::manager& locks) {
    for (std::string word; std::getline(std::cin, word);) {
        auto const work = [&](lock::lease& lease) -> asio::awaitable<std::uint64_t> {
            // What is written here carries the fence; cancelled, if the lock is lost.
            co_return lease.fence();
        };
        lock::lock_options how;
        how.wait = std::chrono::seconds{10};
        auto const fence = co_await lock::async_with_lock(locks, word, how, work, asio::use_awaitable);
        std::cout << word << ": held with fence " << fence << '\n';
    }
}

int main(int count, char** arguments) {
    weir::error_code ec;
    std::string why;
    auto const server = weir::redis::address_from_environment(count > 1 ? arguments[1] : "", ec, &why);
    if (ec) {
        std::cerr << why << '\n';
        return 2;
    }
    try {
        asio::io_context io{1};
        weir::redis::client_options options;
        options.server = server;
        options.scripts = lock::scripts();
        weir::redis::client redis{io, options};
        weir::redis::subscriber news{io, options};
        lock::manager locks{redis, news};
        asio::co_spawn(io, run(locks), [&](std::exception_ptr error) {
            locks.close();
            news.close();
            redis.close();
            if (error)
                std::rethrow_exception(error);
        });
        io.run();
    } catch (std::exception const& e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
}
