#include "proxy/transfer.hpp"

#include <boost/asio/error.hpp>

#include <array>

namespace weir::proxy {
namespace {

/// The longest record that TLS knows (RFC 8446 5.1).
constexpr std::size_t max_record = 16384;

/// The socket was found as the session says.
transfer found(tcp_socket& socket, tls_session::next what) noexcept {
    auto const wait = what == tls_session::next::wait_read ? transfer::wait_read : transfer::wait_write;
    socket.blocked(wait_of(wait));
    return wait;
}

transfer try_read_secure(tcp_socket& socket, tls_session& tls, asio::mutable_buffer to, std::size_t& n,
                         error_code& ec) {
    using next = tls_session::next;
    auto const what = tls.read(to, n);
    if (what == next::wait_read || what == next::wait_write)
        return found(socket, what);
    ec = {};
    if (what == next::ended)
        ec = asio::error::eof;
    if (what == next::failed) // among them an end of the connection that is not an end of the stream
        ec = asio::error::connection_reset;
    return transfer::done;
}

transfer try_write_secure(tcp_socket& socket, tls_session& tls, gather_list& out, std::size_t& n, error_code& ec) {
    using next = tls_session::next;
    std::array<char, max_record> record;
    ec = {};
    while (!out.empty()) {
        // Small slices share a record: each costs its own header, tag and system call.
        auto const first = out.buffers().front();
        std::string_view bytes{static_cast<char const*>(first.data()), first.size()};
        if (bytes.size() < max_record && out.buffers().size() > 1)
            bytes = {record.data(), asio::buffer_copy(asio::buffer(record), out.buffers())};
        std::size_t written = 0;
        auto const what = tls.write(bytes.substr(0, max_record), written);
        out.consume(written);
        n += written;
        if (what == next::wait_read || what == next::wait_write)
            return found(socket, what);
        if (what != next::go_on) {
            ec = asio::error::broken_pipe;
            return transfer::done;
        }
    }
    return transfer::done;
}

} // namespace

transfer try_read(tcp_socket& socket, tls_session* tls, asio::mutable_buffer to, std::size_t& n, error_code& ec) {
    if (tls) [[unlikely]]
        return try_read_secure(socket, *tls, to, n, ec);
    n = socket.read_some(to, ec);
    return ec == asio::error::would_block ? transfer::wait_read : transfer::done;
}

transfer try_write(tcp_socket& socket, tls_session* tls, gather_list& out, std::size_t& n, error_code& ec) {
    if (tls) [[unlikely]]
        return try_write_secure(socket, *tls, out, n, ec);
    ec = {};
    while (!out.empty() && !ec) {
        auto const written = socket.write_some(out.buffers(), ec);
        out.consume(written);
        n += written;
    }
    return ec == asio::error::would_block ? transfer::wait_write : transfer::done;
}

awaitable<error_code> read(tcp_socket& socket, tls_session* tls, asio::mutable_buffer to, std::size_t& n) {
    for (;;) {
        error_code ec;
        auto const what = try_read(socket, tls, to, n, ec);
        if (what == transfer::done)
            co_return ec;
        auto const [failed] = co_await socket.async_wait(wait_of(what), in_place);
        if (failed)
            co_return failed;
    }
}

awaitable<error_code> write(tcp_socket& socket, tls_session* tls, gather_list& out) {
    for (;;) {
        error_code ec;
        std::size_t n = 0;
        auto const what = try_write(socket, tls, out, n, ec);
        if (what == transfer::done)
            co_return ec;
        auto const [failed] = co_await socket.async_wait(wait_of(what), in_place);
        if (failed)
            co_return failed;
    }
}

} // namespace weir::proxy
