#pragma once

#include <weir/redis/url.hpp>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace weir::redis::detail {

/// TLS to one server over a socket that is connected. Made anew for each connection; whatever is under way on it holds
/// it, so that its owner may close it and let go at any time.
///
/// At most one read and one wait for writing at a time. Thread safety: unsafe.
class tls_stream : public std::enable_shared_from_this<tls_stream> {
public:
    using socket = asio::basic_stream_socket<asio::generic::stream_protocol, asio::io_context::executor_type>;
    using handshake_handler = std::function<void(error_code, std::string text)>;

    /// Reads the files that the address names; throws `std::runtime_error`, which names the culprit.
    WEIR_DECL tls_stream(socket&& connected, address const& server);

    /// `text` says what is wrong and what to do about it; the code is `errc::tls_failed` where another attempt cannot
    /// help, else the system's.
    WEIR_DECL void async_handshake(handshake_handler handler);

    /// Takes a copy of as much as it can hold; `asio::error::would_block` where that is nothing.
    WEIR_DECL std::size_t try_write(std::string_view bytes, error_code& ec);

    /// Calls void(error_code) when `try_write` may go on.
    WEIR_DECL void async_wait_writable(std::function<void(error_code)> handler);

    /// Completes void(error_code, std::size_t).
    template <class Handler>
    void async_read_some(asio::mutable_buffer to, Handler&& handler) {
        stream_.async_read_some(to, [self = shared_from_this(), handler = std::forward<Handler>(handler)](
                                        error_code ec, std::size_t size) mutable { std::move(handler)(ec, size); });
    }

    WEIR_DECL void close() noexcept;

private:
    WEIR_DECL void expect(address const& server);
    WEIR_DECL std::string explain(error_code const& ec) const;

    asio::ssl::context context_;
    asio::ssl::stream<socket> stream_;
    /// What the one write under way sends; empty: none is.
    std::vector<char> writing_;
    error_code write_error_;
    std::function<void(error_code)> writable_;
};

/// Whether an error comes from TLS itself rather than from the network under it.
WEIR_DECL bool is_tls_error(error_code const& ec) noexcept;

} // namespace weir::redis::detail

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/tls_stream.ipp>
#endif
