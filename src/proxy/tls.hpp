#pragma once

#include "config/config.hpp"
#include "proxy/tcp_socket.hpp"

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace weir::proxy {

/// A certificate, key or authority cannot be used; what() names the file.
class tls_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// How TLS (1.2 or 1.3) is spoken in one role: certificates, keys, whom to trust. Immutable once made; safe to share
/// between threads.
class tls_context {
public:
    /// As a server, by the first certificate, or by that which bears the name that a client asks for. Throws tls_error.
    explicit tls_context(config::server_tls const& how);
    /// As a client, which believes nobody whom it cannot verify, unless told to. Throws tls_error.
    explicit tls_context(config::client_tls const& how);
    tls_context(tls_context const&) = delete;
    tls_context& operator=(tls_context const&) = delete;

    SSL_CTX* native() const noexcept { return contexts_.front().get(); }

private:
    struct free_context {
        void operator()(SSL_CTX* c) const noexcept { SSL_CTX_free(c); }
    };
    using context_ptr = std::unique_ptr<SSL_CTX, free_context>;

    static context_ptr make(SSL_METHOD const* method);
    static int choose_by_name(SSL* ssl, int* alert, void* self) noexcept;

    std::vector<context_ptr> contexts_;
};

using tls_context_ptr = std::shared_ptr<tls_context const>;

/// TLS on one connected socket that does not block. Reads and writes return at once and say what to wait for.
///
/// Thread safety: distinct objects: safe; shared objects: unsafe.
class tls_session {
public:
    enum class next {
        /// Done, or some of it.
        go_on,
        /// Wait until the socket can be read, then again.
        wait_read,
        wait_write,
        /// The peer has ended the stream as TLS demands.
        ended,
        failed,
    };

    /// The server's side. The context must outlive the session, as must the socket.
    tls_session(tls_context const& how, tcp_socket& socket);
    /// The client's side, towards a server that must prove to be `host`, a name or an address, unless `verify` is
    /// false.
    tls_session(tls_context const& how, tcp_socket& socket, std::string const& host, bool verify);
    tls_session(tls_session const&) = delete;
    tls_session& operator=(tls_session const&) = delete;

    next handshake();
    next read(asio::mutable_buffer to, std::size_t& n);
    next write(std::string_view bytes, std::size_t& n);
    /// Says to the peer that the stream ends here, as far as that is possible at once.
    void say_goodbye() noexcept;
    /// Whether the peer has left, where the socket can be read. Nothing is taken from the stream.
    bool peer_has_left();

    /// Why the handshake failed.
    std::string explain() const;

private:
    struct free_session {
        void operator()(SSL* s) const noexcept { SSL_free(s); }
    };

    tls_session(tls_context const& how, tcp_socket& socket, int (*shake)(SSL*));
    next meaning(int result);

    std::unique_ptr<SSL, free_session> ssl_;
    int (*shake_)(SSL*);
    std::string why_;
    bool broken_ = false;
};

/// Carries the handshake through. The error is that of the socket, or `connection_refused` where TLS failed.
awaitable<error_code> shake_hands(tcp_socket& socket, tls_session& session);

} // namespace weir::proxy
