#include "proxy/tls.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ip/address.hpp>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace weir::proxy {
namespace {

/// The latest complaint of OpenSSL's, and none left behind.
std::string last_words() {
    auto const code = ERR_peek_last_error();
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    ERR_clear_error();
    auto const* const reason = ERR_reason_error_string(code);
    return reason ? reason : text.data();
}

void demand(bool done, std::string const& what) {
    if (!done)
        throw tls_error(what + ": " + last_words());
}

/// HTTP/1.1 is all that is spoken here (RFC 7301); a client that wants only something else is told so.
int choose_protocol(SSL*, unsigned char const** out, unsigned char* out_size, unsigned char const* in,
                    unsigned int in_size, void*) {
    static constexpr std::array<unsigned char, 9> ours{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    unsigned char* chosen = nullptr;
    if (SSL_select_next_proto(&chosen, out_size, ours.data(), ours.size(), in, in_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

void use_certificate(SSL_CTX* context, std::string const& certificate, std::string const& key) {
    demand(SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) == 1, "the certificate " + certificate);
    demand(SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) == 1, "the key " + key);
    demand(SSL_CTX_check_private_key(context) == 1, "the key " + key + " for the certificate " + certificate);
}

bool is_address(std::string const& host) {
    error_code ec;
    asio::ip::make_address(host, ec);
    return !ec;
}

} // namespace

tls_context::context_ptr tls_context::make(SSL_METHOD const* method) {
    ERR_clear_error();
    context_ptr made(SSL_CTX_new(method));
    demand(made != nullptr, "TLS");
    demand(SSL_CTX_set_min_proto_version(made.get(), TLS1_2_VERSION) == 1, "TLS 1.2");
    SSL_CTX_set_mode(made.get(),
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(made.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    return made;
}

tls_context::tls_context(config::server_tls const& how) {
    for (auto const& each : how.certificates) {
        auto& context = contexts_.emplace_back(make(TLS_server_method()));
        use_certificate(context.get(), each.certificate, each.key);
        SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
        // Sessions are resumed by tickets; none are kept here.
        SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
        static constexpr std::array<unsigned char, 4> session_context{'w', 'e', 'i', 'r'};
        SSL_CTX_set_session_id_context(context.get(), session_context.data(), session_context.size());
    }
    if (contexts_.size() > 1) {
        SSL_CTX_set_tlsext_servername_callback(native(), &tls_context::choose_by_name);
        SSL_CTX_set_tlsext_servername_arg(native(), this);
    }
}

int tls_context::choose_by_name(SSL* ssl, int*, void* self) noexcept {
    auto const* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name == nullptr)
        return SSL_TLSEXT_ERR_NOACK;
    for (auto const& each : static_cast<tls_context*>(self)->contexts_)
        if (X509_check_host(SSL_CTX_get0_certificate(each.get()), name, std::strlen(name), 0, nullptr) == 1) {
            SSL_set_SSL_CTX(ssl, each.get());
            break;
        }
    return SSL_TLSEXT_ERR_OK;
}

tls_context::tls_context(config::client_tls const& how) {
    auto* const context = contexts_.emplace_back(make(TLS_client_method())).get();
    if (how.ca_file.empty())
        demand(SSL_CTX_set_default_verify_paths(context) == 1, "the system's certificate authorities");
    else
        demand(SSL_CTX_load_verify_locations(context, how.ca_file.c_str(), nullptr) == 1,
               "the certificate authorities " + how.ca_file);
    if (!how.certificate.empty())
        use_certificate(context, how.certificate, how.key);
    SSL_CTX_set_verify(context, how.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
}

tls_session::tls_session(tls_context const& how, tcp_socket& socket, int (*shake)(SSL*))
    : ssl_(SSL_new(how.native()))
    , shake_(shake) {
    if (!ssl_ || SSL_set_fd(ssl_.get(), socket.native_handle()) != 1)
        throw std::bad_alloc();
}

tls_session::tls_session(tls_context const& how, tcp_socket& socket)
    : tls_session(how, socket, SSL_accept) {}

tls_session::tls_session(tls_context const& how, tcp_socket& socket, std::string const& host, bool verify)
    : tls_session(how, socket, SSL_connect) {
    bool const address = is_address(host);
    bool done = address || SSL_set_tlsext_host_name(ssl_.get(), host.c_str()) == 1;
    if (verify && address)
        done = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host.c_str()) == 1;
    else if (verify)
        done = done && SSL_set1_host(ssl_.get(), host.c_str()) == 1;
    if (!done)
        throw std::bad_alloc();
}

tls_session::next tls_session::meaning(int result) {
    switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
        return next::wait_read;
    case SSL_ERROR_WANT_WRITE:
        return next::wait_write;
    case SSL_ERROR_ZERO_RETURN:
        return next::ended;
    default:
        break;
    }
    broken_ = true;
    why_ = ERR_peek_last_error() != 0 ? last_words() : "the connection was closed";
    return next::failed;
}

tls_session::next tls_session::handshake() {
    ERR_clear_error();
    auto const result = shake_(ssl_.get());
    return result == 1 ? next::go_on : meaning(result);
}

tls_session::next tls_session::read(asio::mutable_buffer to, std::size_t& n) {
    n = 0;
    ERR_clear_error();
    auto const result = SSL_read_ex(ssl_.get(), to.data(), to.size(), &n);
    return result == 1 ? next::go_on : meaning(result);
}

tls_session::next tls_session::write(std::string_view bytes, std::size_t& n) {
    n = 0;
    ERR_clear_error();
    auto const result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &n);
    return result == 1 ? next::go_on : meaning(result);
}

void tls_session::say_goodbye() noexcept {
    if (broken_ || SSL_in_init(ssl_.get()) != 0)
        return;
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
}

bool tls_session::peer_has_left() {
    char byte = 0;
    std::size_t n = 0;
    ERR_clear_error();
    auto const result = SSL_peek_ex(ssl_.get(), &byte, 1, &n);
    if (result == 1)
        return false;
    auto const what = meaning(result);
    return what == next::ended || what == next::failed;
}

std::string tls_session::explain() const {
    auto const verdict = SSL_get_verify_result(ssl_.get());
    return verdict == X509_V_OK ? why_ : std::string("its certificate: ") + X509_verify_cert_error_string(verdict);
}

awaitable<error_code> shake_hands(tcp_socket& socket, tls_session& session) {
    for (;;) {
        auto const what = session.handshake();
        if (what == tls_session::next::go_on)
            co_return error_code{};
        if (what == tls_session::next::failed || what == tls_session::next::ended)
            co_return error_code{asio::error::connection_refused};
        auto const wait = what == tls_session::next::wait_read ? tcp_socket::wait_read : tcp_socket::wait_write;
        socket.blocked(wait);
        auto const [failed] = co_await socket.async_wait(wait, in_place);
        if (failed)
            co_return failed;
    }
}

} // namespace weir::proxy
