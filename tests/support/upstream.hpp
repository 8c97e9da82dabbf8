#pragma once

#include "support/gate.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace weir::test {

/// What an upstream received.
struct upstream_request {
    /// The head byte for byte, with its last empty line.
    std::string head;
    /// Framing taken off.
    std::string body;

    std::string method() const { return head.substr(0, head.find(' ')); }
    std::string target() const;
    /// The value of the only field of that name; throws std::runtime_error when there is not exactly one.
    std::string field(std::string_view name) const;
    std::size_t count(std::string_view name) const;
};

/// A real upstream: a listening socket and one thread a connection, running what the test says, however badly that
/// behaves.
class upstream {
public:
    /// One accepted connection. Its functions throw when the peer is gone, which ends the connection's thread quietly.
    class connection {
    public:
        explicit connection(boost::asio::ip::tcp::socket socket)
            : socket_(std::move(socket)) {}

        /// Reads one request with its body. Throws at the end of the connection.
        upstream_request read();
        /// Reads the head alone; the body is read by read_body() or read_some().
        upstream_request read_head();
        void read_body(upstream_request& into);
        std::string read_some();
        /// Reads one request; whether its body came to its end.
        bool read_whole();

        void write(std::string_view bytes);
        /// A complete response with Content-Length.
        void respond(std::string_view body, std::string_view status = "200 OK", std::string_view fields = {});
        /// A response with one event, "begin", and one more, "end", when the gate is open.
        void stream_until(gate& end);
        /// Writes until the peer takes no more, at most 1 GB; how many bytes it took.
        std::size_t write_without_end();
        void close();
        /// Ends it with a reset.
        void reset();
        /// Returns when the peer has closed; what it sends until then is dropped.
        void wait_for_close();

        boost::asio::ip::tcp::socket& socket() { return socket_; }

    private:
        friend class upstream;
        boost::asio::ip::tcp::socket socket_;
        std::string buffer_;
    };

    using script = std::function<void(connection&)>;

    /// Runs `serve` for every connection.
    explicit upstream(script serve);
    /// Answers every request with 200 and `body`, keeping connections.
    static script always(std::string body);
    /// Answers every request with its own head and body, byte for byte, keeping connections.
    static script echo();

    upstream(upstream const&) = delete;
    upstream& operator=(upstream const&) = delete;
    ~upstream();

    std::uint16_t port() const noexcept { return port_; }
    std::size_t accepted() const noexcept { return accepted_; }

    /// Connections whose script is running.
    std::size_t open() const noexcept { return open_; }
    /// Waits until that many connections are open; false after 20 s.
    bool wait_until_open(std::size_t n);

    /// Stops listening and breaks off all connections.
    void stop();

private:
    void accept_loop();
    void serve(std::list<connection>::iterator it);

    script serve_;
    boost::asio::io_context io_;
    boost::asio::ip::tcp::acceptor acceptor_{io_};
    std::uint16_t port_ = 0;
    std::atomic<std::size_t> accepted_{0};
    std::atomic<std::size_t> open_{0};
    std::atomic<bool> stopping_{false};
    std::mutex mutex_;
    std::condition_variable changed_;
    std::list<connection> connections_;
    std::vector<std::thread> threads_;
    std::thread acceptor_thread_;
};

} // namespace weir::test
