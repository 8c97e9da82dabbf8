#include "support/upstream.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>

#include <sys/socket.h>

#include <array>
#include <charconv>
#include <stdexcept>

namespace weir::test {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

template <class Each>
void for_each_field(std::string const& head, Each&& each) {
    auto at = head.find("\r\n") + 2;
    for (;;) {
        auto const end = head.find("\r\n", at);
        if (end == at || end == std::string::npos)
            return;
        auto const line = std::string_view(head).substr(at, end - at);
        auto const colon = line.find(':');
        auto value = line.substr(colon + 1);
        while (value.starts_with(' '))
            value.remove_prefix(1);
        each(line.substr(0, colon), value);
        at = end + 2;
    }
}

} // namespace

std::string upstream_request::target() const {
    auto const begin = head.find(' ') + 1;
    return head.substr(begin, head.find(' ', begin) - begin);
}

std::size_t upstream_request::count(std::string_view name) const {
    std::size_t n = 0;
    for_each_field(head, [&](auto each, auto) { n += boost::beast::iequals(each, name) ? 1 : 0; });
    return n;
}

std::string upstream_request::field(std::string_view name) const {
    if (count(name) != 1)
        throw std::runtime_error("not exactly one field " + std::string(name) + " in:\n" + head);
    std::string result;
    for_each_field(head, [&](auto each, auto value) {
        if (boost::beast::iequals(each, name))
            result = value;
    });
    return result;
}

std::string upstream::connection::read_some() {
    if (!buffer_.empty())
        return std::exchange(buffer_, {});
    std::array<char, 65536> bytes{};
    auto const n = socket_.read_some(asio::buffer(bytes));
    return {bytes.data(), n};
}

upstream_request upstream::connection::read_head() {
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
        auto held = std::exchange(buffer_, {});
        buffer_ = held + read_some();
    }
    upstream_request request;
    request.head = buffer_.substr(0, end + 4);
    buffer_.erase(0, end + 4);
    return request;
}

void upstream::connection::read_body(upstream_request& into) {
    auto const more = [&] {
        auto held = std::exchange(buffer_, {});
        buffer_ = held + read_some();
    };
    auto const take = [&](std::size_t n) {
        while (buffer_.size() < n)
            more();
        auto const bytes = buffer_.substr(0, n);
        buffer_.erase(0, n);
        return bytes;
    };
    if (into.count("content-length") != 0) {
        into.body = take(std::stoull(into.field("content-length")));
    } else if (into.count("transfer-encoding") != 0) {
        for (;;) {
            while (buffer_.find("\r\n") == std::string::npos)
                more();
            auto const size = std::stoull(buffer_, nullptr, 16);
            take(buffer_.find("\r\n") + 2);
            into.body += take(size);
            if (take(2) != "\r\n")
                throw std::runtime_error("a chunk not ended by CRLF");
            if (size == 0)
                return;
        }
    }
}

upstream_request upstream::connection::read() {
    auto request = read_head();
    read_body(request);
    return request;
}

bool upstream::connection::read_whole() {
    auto request = read_head();
    try {
        read_body(request);
    } catch (boost::system::system_error const&) {
        return false;
    }
    return true;
}

void upstream::connection::write(std::string_view bytes) { asio::write(socket_, asio::buffer(bytes)); }

void upstream::connection::respond(std::string_view body, std::string_view status, std::string_view fields) {
    std::string text = "HTTP/1.1 ";
    text.append(status).append("\r\n").append(fields);
    text.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n\r\n").append(body);
    write(text);
}

void upstream::connection::stream_until(gate& end) {
    write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
          "6\r\nbegin\n\r\n");
    end.pass();
    write("4\r\nend\n\r\n0\r\n\r\n");
}

std::size_t upstream::connection::write_without_end() {
    std::string const piece(1'000'000, 'x');
    std::size_t n = 0;
    boost::system::error_code ec;
    while (!ec && n < 1'000'000'000)
        n += socket_.write_some(asio::buffer(piece), ec);
    return n;
}

void upstream::connection::close() {
    boost::system::error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
}

void upstream::connection::reset() {
    // Closed by serve(), lest stop() look at it meanwhile: to dissolve its association resets it, too (connect(2)).
    sockaddr const nobody{AF_UNSPEC, {}};
    ::connect(socket_.native_handle(), &nobody, sizeof nobody);
}

void upstream::connection::wait_for_close() {
    boost::system::error_code ec;
    std::array<char, 65536> bytes{};
    while (!ec)
        socket_.read_some(asio::buffer(bytes), ec);
}

upstream::upstream(script serve)
    : serve_(std::move(serve)) {
    acceptor_.open(tcp::v4());
    acceptor_.bind({asio::ip::address_v4::loopback(), 0});
    acceptor_.listen(1024);
    port_ = acceptor_.local_endpoint().port();
    acceptor_thread_ = std::thread([this] { accept_loop(); });
}

upstream::script upstream::always(std::string body) {
    return [body = std::move(body)](connection& c) {
        for (;;) {
            c.read();
            c.respond(body);
        }
    };
}

upstream::script upstream::echo() {
    return [](connection& c) {
        for (;;) {
            auto const request = c.read();
            c.respond(request.head + request.body);
        }
    };
}

upstream::~upstream() { stop(); }

void upstream::stop() {
    if (stopping_.exchange(true))
        return;
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    acceptor_thread_.join();
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    {
        std::lock_guard const lock(mutex_);
        for (auto& each : connections_)
            if (each.socket_.is_open())
                ::shutdown(each.socket_.native_handle(), SHUT_RDWR);
    }
    for (auto& thread : threads_)
        thread.join();
}

void upstream::accept_loop() {
    while (!stopping_) {
        boost::system::error_code ec;
        tcp::socket socket(io_);
        acceptor_.accept(socket, ec);
        if (ec)
            continue;
        socket.set_option(tcp::no_delay(true), ec);
        std::lock_guard const lock(mutex_);
        auto const it = connections_.emplace(connections_.end(), std::move(socket));
        ++accepted_;
        ++open_;
        changed_.notify_all();
        threads_.emplace_back([this, it] { serve(it); });
    }
}

void upstream::serve(std::list<connection>::iterator it) {
    try {
        serve_(*it);
    } catch (boost::system::system_error const&) {
        // the peer has gone
    }
    std::lock_guard const lock(mutex_);
    boost::system::error_code ignored;
    it->socket_.close(ignored);
    --open_;
    changed_.notify_all();
}

bool upstream::wait_until_open(std::size_t n) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds{20}, [&] { return open_ == n; });
}

} // namespace weir::test
