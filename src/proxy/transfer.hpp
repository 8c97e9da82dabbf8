#pragma once

#include "proxy/tls.hpp"

namespace weir::proxy {

/// What a try to move bytes came to.
enum class transfer : std::uint8_t {
    /// It is done, or has failed.
    done,
    /// Nothing moves, or no more, before the socket can be read or written: wait for that, then try again.
    wait_read,
    wait_write,
};

/// What of the socket to wait for. Precondition: `what` is wait_read or wait_write.
inline tcp_socket::wait_type wait_of(transfer what) noexcept {
    return what == transfer::wait_read ? tcp_socket::wait_read : tcp_socket::wait_write;
}

/// Reads what is there, through TLS where `tls` is not null. When done, `n` and `ec` say what came: `eof` at an end
/// that the peer meant, `connection_reset` at one of TLS that it did not.
transfer try_read(tcp_socket& socket, tls_session* tls, asio::mutable_buffer to, std::size_t& n, error_code& ec);

/// Writes what goes at once, through TLS (in records of up to 16 KiB) where `tls` is not null, takes that from `out`
/// and adds it to `n`. When done, `out` is empty or `ec` says why not.
transfer try_write(tcp_socket& socket, tls_session* tls, gather_list& out, std::size_t& n, error_code& ec);

/// The same, waited for.
awaitable<error_code> read(tcp_socket& socket, tls_session* tls, asio::mutable_buffer to, std::size_t& n);
awaitable<error_code> write(tcp_socket& socket, tls_session* tls, gather_list& out);

} // namespace weir::proxy
