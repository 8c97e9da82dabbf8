#include "support/http_client.hpp"

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

#include <stdexcept>

namespace weir::test {

namespace asio = boost::asio;
namespace beast_http = boost::beast::http;
using boost::system::error_code;

template <class Start>
std::size_t http_client::wait(Start&& start, error_code& ec) {
    bool done = false;
    std::size_t transferred = 0;
    start([&](error_code result, std::size_t n) {
        ec = result;
        transferred = n;
        done = true;
    });
    io_.restart();
    auto const until = std::chrono::steady_clock::now() + patience;
    while (!done && std::chrono::steady_clock::now() < until)
        io_.run_one_until(until);
    if (!done) {
        socket_.cancel();
        io_.run();
        throw std::runtime_error("nothing came from the server");
    }
    return transferred;
}

asio::ip::tcp::endpoint endpoint_in(std::string_view line) {
    auto const port = std::stoi(std::string(line.substr(line.rfind(':') + 1)));
    return {asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(port)};
}

http_client::http_client(asio::ip::tcp::endpoint to) {
    socket_.connect(to);
    socket_.set_option(asio::ip::tcp::no_delay(true));
    socket_.non_blocking(true);
}

void http_client::send(std::string_view bytes) {
    error_code ec;
    wait([&](auto handler) { asio::async_write(socket_, asio::buffer(bytes), handler); }, ec);
    if (ec)
        throw boost::system::system_error(ec, "send");
}

std::size_t http_client::send_some(std::string_view bytes) {
    error_code ec;
    return socket_.write_some(asio::buffer(bytes), ec);
}

http_response http_client::read(bool head_only) {
    beast_http::response_parser<beast_http::string_body> parser;
    parser.body_limit(boost::none);
    parser.skip(head_only);
    error_code ec;
    wait([&](auto handler) { beast_http::async_read_header(socket_, buffer_, parser, handler); }, ec);
    if (ec)
        throw boost::system::system_error(ec, "read the head of a response");
    if (!parser.is_done() && parser.get().result_int() >= 200)
        wait([&](auto handler) { beast_http::async_read(socket_, buffer_, parser, handler); }, ec);
    http_response result;
    auto& message = parser.get();
    result.status = message.result_int();
    result.version = message.version();
    result.complete = !ec && (parser.is_done() || result.status < 200);
    result.close = !message.keep_alive();
    result.body = std::move(message.body());
    result.fields = std::move(message.base());
    return result;
}

http_response http_client::exchange(std::string_view bytes, bool head_only) {
    send(bytes);
    return read(head_only);
}

http_response http_client::get(std::string_view target, std::string_view fields) {
    std::string request = "GET ";
    request.append(target).append(" HTTP/1.1\r\nHost: weir.test\r\n").append(fields).append("\r\n");
    return exchange(request);
}

void http_client::read_more() {
    error_code ec;
    auto const room = buffer_.prepare(65536);
    buffer_.commit(wait([&](auto handler) { socket_.async_read_some(room, handler); }, ec));
    if (ec)
        throw boost::system::system_error(ec, "read");
}

std::string http_client::take(std::size_t n) {
    std::string result(static_cast<char const*>(buffer_.data().data()), n);
    buffer_.consume(n);
    return result;
}

std::string http_client::read_raw(std::size_t n) {
    while (buffer_.size() < n)
        read_more();
    return take(n);
}

std::string http_client::read_until(std::string_view end) {
    for (;;) {
        std::string_view const have(static_cast<char const*>(buffer_.data().data()), buffer_.size());
        if (auto const at = have.find(end); at != have.npos)
            return take(at + end.size());
        read_more();
    }
}

std::string http_client::read_to_end(bool* reset) {
    error_code ec;
    while (!ec) { // async_read would read into a copy of the buffer
        auto const room = buffer_.prepare(65536);
        buffer_.commit(wait([&](auto handler) { socket_.async_read_some(room, handler); }, ec));
    }
    if (reset != nullptr)
        *reset = ec == asio::error::connection_reset;
    std::string result(static_cast<char const*>(buffer_.data().data()), buffer_.size());
    buffer_.consume(buffer_.size());
    return result;
}

void http_client::shutdown_send() { socket_.shutdown(asio::ip::tcp::socket::shutdown_send); }

void http_client::reset() {
    socket_.set_option(asio::socket_base::linger(true, 0));
    socket_.close();
}

void http_client::close() { socket_.close(); }

} // namespace weir::test
