// Every header of the library, header-only and under clang, doing real work: a script on a private server.
#include <weir/weir.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <iostream>

std::string_view word_of(weir::errc code);

namespace {

weir::asio::awaitable<void> add(weir::redis::client& client, std::int64_t& sum) {
    weir::redis::script const code("add", "return ARGV[1] + ARGV[2]");
    weir::redis::command what;
    what.evalsha(code, 0, 2).arg(20).arg(22);
    weir::redis::int_sink<1> reply(1);
    co_await client.async_exec(what, reply, {.timeout = std::chrono::seconds{10}}, weir::asio::use_awaitable);
    sum = reply[0];
    client.close();
}

} // namespace

int main() {
    try {
        auto const server = weir::redis::embedded_server::start();
        weir::error_code ec;
        weir::redis::client_options options;
        options.server = weir::redis::parse_url(server.url(), ec);
        weir::asio::io_context context;
        weir::redis::client client(context, options);
        std::int64_t sum = 0;
        std::exception_ptr thrown;
        weir::asio::co_spawn(context, add(client, sum), [&](std::exception_ptr e) {
            thrown = e;
            client.close();
        });
        context.run();
        if (thrown)
            std::rethrow_exception(thrown);
        std::cout << "20 + 22 = " << sum << ", and not " << word_of(weir::errc::timed_out) << '\n';
        return sum == 42 ? 0 : 1;
    } catch (std::exception const& e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
}
