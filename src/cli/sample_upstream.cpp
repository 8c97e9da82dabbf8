#include "cli/sample_upstream.hpp"

#include "admin/io.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

namespace weir::cli {
namespace {

namespace asio = boost::asio;
namespace beast_http = boost::beast::http;
using admin::use_result;
using asio::ip::tcp;

beast_http::response<beast_http::string_body> answer(beast_http::request<beast_http::string_body> const& request) {
    beast_http::response<beast_http::string_body> response(beast_http::status::ok, request.version());
    response.set(beast_http::field::content_type, "application/json");
    nlohmann::ordered_json body{{"service", "sample upstream"},
                                {"method", std::string(request.method_string())},
                                {"path", std::string(request.target())},
                                {"client", std::string(request["X-Forwarded-For"])}};
    response.body() = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
    response.keep_alive(request.keep_alive());
    response.prepare_payload();
    return response;
}

asio::awaitable<void> serve(tcp::socket socket, std::atomic<std::uint64_t>& requests) {
    boost::beast::flat_buffer buffer;
    for (;;) {
        beast_http::request<beast_http::string_body> request;
        auto [failed, read] = co_await beast_http::async_read(socket, buffer, request, use_result);
        if (failed)
            co_return;
        ++requests;
        auto response = answer(request);
        auto [broken, written] = co_await beast_http::async_write(socket, response, use_result);
        if (broken || !response.keep_alive())
            co_return;
    }
}

asio::awaitable<void> accept(tcp::acceptor acceptor, std::atomic<std::uint64_t>& requests) {
    for (;;) {
        auto [failed, socket] = co_await acceptor.async_accept(use_result);
        if (failed)
            co_return;
        boost::system::error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), requests), asio::detached);
    }
}

} // namespace

sample_upstream::sample_upstream() {
    tcp::acceptor acceptor(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    port_ = acceptor.local_endpoint().port();
    asio::co_spawn(context_, accept(std::move(acceptor), requests_), asio::detached);
    thread_ = std::thread([this] { context_.run(); });
}

sample_upstream::~sample_upstream() {
    context_.stop();
    thread_.join();
}

} // namespace weir::cli
