#pragma once

#include <weir/redis/tls_stream.hpp>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <functional>
#include <vector>

namespace weir::redis {

/// The stream to one server, and the only class that knows what kind of stream it is.
///
/// At most one connect, one read and one wait for writing at a time. Thread safety: unsafe.
class transport {
public:
    /// `text` is empty, or where and why it failed: "connect to 127.0.0.1:6379: Connection refused".
    using connect_handler = std::function<void(error_code, std::string text)>;

    WEIR_DECL explicit transport(asio::io_context& context);

    /// Resolves the name, connects to the first of its addresses that answers, and, for TLS, shakes hands: failures
    /// that another attempt cannot heal are `errc::tls_failed`. The handler is not called from within; after `close`
    /// it is called with `asio::error::operation_aborted`, or, for TLS, perhaps not at all.
    WEIR_DECL void async_connect(address const& server, connect_handler handler);

    /// Writes what the system takes at once; `asio::error::would_block` where that is nothing. Never raises SIGPIPE.
    WEIR_DECL std::size_t try_write(std::string_view bytes, error_code& ec);

    /// Completes void(error_code) when `try_write` may go on.
    template <class Handler>
    void async_wait_writable(Handler&& handler) {
        if (tls_)
            tls_->async_wait_writable(std::forward<Handler>(handler));
        else
            socket_.async_wait(socket::wait_write, std::forward<Handler>(handler));
    }

    /// Completes void(error_code, std::size_t).
    template <class Handler>
    void async_read_some(asio::mutable_buffer to, Handler&& handler) {
        if (tls_)
            tls_->async_read_some(to, std::forward<Handler>(handler));
        else
            socket_.async_read_some(to, std::forward<Handler>(handler));
    }

    /// Ends everything under way, which completes with `asio::error::operation_aborted`.
    WEIR_DECL void close() noexcept;

private:
    using executor = asio::io_context::executor_type;
    using socket = detail::tls_stream::socket;
    struct candidate {
        asio::generic::stream_protocol::endpoint endpoint;
        asio::generic::stream_protocol protocol;
        std::string name;
    };

    WEIR_DECL void add_candidate(asio::ip::tcp::endpoint const& endpoint);
    WEIR_DECL void connected(connect_handler handler);
    WEIR_DECL void connect_next(connect_handler handler, error_code last, std::string last_text);
    /// `step` as a handler of this attempt: after `close`, what the system did for it in time is nobody's any more.
    template <class Step>
    auto of_this_attempt(connect_handler handler, Step step);

    address server_;
    socket socket_;
    /// Has taken the socket over where the server speaks TLS.
    std::shared_ptr<detail::tls_stream> tls_;
    asio::ip::basic_resolver<asio::ip::tcp, executor> resolver_;
    std::vector<candidate> candidates_;
    std::size_t next_candidate_ = 0;
    std::uint64_t attempt_ = 0;
};

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/transport.ipp>
#endif
