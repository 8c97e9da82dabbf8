#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/fields.hpp>

#include <chrono>
#include <string>
#include <string_view>

namespace weir::test {

struct http_response {
    unsigned status = 0;
    unsigned version = 0;
    boost::beast::http::fields fields;
    std::string body;
    /// The message ended as its framing says; false when the connection broke off before.
    bool complete = false;
    /// The server closes the connection after it.
    bool close = false;

    /// The value of a field, empty when it is not there.
    std::string field(std::string_view name) const {
        auto const it = fields.find(name);
        return it == fields.end() ? std::string{} : std::string(it->value());
    }
};

/// Where on loopback a program listens that ended a line with the port.
boost::asio::ip::tcp::endpoint endpoint_in(std::string_view line);

/// A client that sends exactly the bytes it is told to, over a real socket, and waits at most `patience` for an answer.
/// Throws std::runtime_error when nothing comes.
class http_client {
public:
    static constexpr std::chrono::seconds patience{20};

    explicit http_client(boost::asio::ip::tcp::endpoint to);

    void send(std::string_view bytes);
    /// Sends as much as the socket takes without waiting; the number of bytes taken.
    std::size_t send_some(std::string_view bytes);

    /// Reads one response. `head_only`: of a request with HEAD. 1xx responses are returned too.
    http_response read(bool head_only = false);

    /// `send` and `read`.
    http_response exchange(std::string_view bytes, bool head_only = false);
    /// A GET with Host and the given further field lines (each with its CRLF).
    http_response get(std::string_view target, std::string_view fields = {});

    /// Exactly `n` bytes as they come.
    std::string read_raw(std::size_t n);
    /// Bytes up to and including `end`.
    std::string read_until(std::string_view end);
    /// Everything until the server closes. `reset` tells whether it did by a reset.
    std::string read_to_end(bool* reset = nullptr);

    void shutdown_send();
    /// Closes with a reset.
    void reset();
    void close();

    boost::asio::ip::tcp::socket& socket() { return socket_; }

private:
    template <class Start>
    std::size_t wait(Start&& start, boost::system::error_code& ec);
    void read_more();
    std::string take(std::size_t n);

    boost::asio::io_context io_;
    boost::asio::ip::tcp::socket socket_{io_};
    boost::beast::flat_buffer buffer_;
};

} // namespace weir::test
