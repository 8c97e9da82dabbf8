#pragma once

#include <weir/redis/tls_stream.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/write.hpp>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <stdexcept>

namespace weir::redis::detail {

// One write at a time is copied, since the caller's buffer does not live as long; the next waits.
inline constexpr std::size_t max_tls_write = std::size_t{64} << 10;

inline void require(error_code const& ec, std::string const& what, std::string const& file) {
    if (ec)
        throw std::runtime_error(what + ' ' + file + ": " + ec.message());
}

inline void trust(asio::ssl::context& context, tls_settings const& settings) {
    error_code ec;
    if (settings.ca_file.empty() && settings.ca_directory.empty()) {
        context.set_default_verify_paths(ec);
        require(ec, "cannot read the system's", "authorities");
    }
    if (!settings.ca_file.empty()) {
        context.load_verify_file(settings.ca_file, ec);
        require(ec, "cannot read the authorities in", settings.ca_file);
    }
    if (!settings.ca_directory.empty()) {
        context.add_verify_path(settings.ca_directory, ec);
        require(ec, "cannot use the authorities in", settings.ca_directory);
    }
}

inline asio::ssl::context make_tls_context(tls_settings const& settings) {
    asio::ssl::context made(asio::ssl::context::tls_client);
    ::SSL_CTX_set_min_proto_version(made.native_handle(), TLS1_2_VERSION);
    trust(made, settings);
    if (settings.certificate_file.empty())
        return made;
    error_code ec;
    made.use_certificate_chain_file(settings.certificate_file, ec);
    require(ec, "cannot use the certificate in", settings.certificate_file);
    made.use_private_key_file(settings.key_file, asio::ssl::context::pem, ec);
    require(ec, "cannot use the private key in", settings.key_file);
    return made;
}

WEIR_DECL bool is_tls_error(error_code const& ec) noexcept { return ec.category() == asio::error::get_ssl_category(); }

WEIR_DECL tls_stream::tls_stream(socket&& connected, address const& server)
    : context_(make_tls_context(server.tls))
    , stream_(std::move(connected), context_) {
    expect(server);
}

/// Whom the server's certificate must name (RFC 6125, RFC 9525).
WEIR_DECL void tls_stream::expect(address const& server) {
    auto* const ssl = stream_.native_handle();
    auto const& name = server.tls.server_name.empty() ? server.host : server.tls.server_name;
    error_code not_an_address;
    asio::ip::make_address(name, not_an_address);
    if (not_an_address)
        ::SSL_set_tlsext_host_name(ssl, name.c_str());
    if (!server.tls.verify) {
        stream_.set_verify_mode(asio::ssl::verify_none);
        return;
    }
    stream_.set_verify_mode(asio::ssl::verify_peer);
    ::SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (not_an_address)
        ::SSL_set1_host(ssl, name.c_str());
    else
        ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl), name.c_str());
}

WEIR_DECL void tls_stream::async_handshake(handshake_handler handler) {
    stream_.async_handshake(asio::ssl::stream_base::client,
                            [self = shared_from_this(), handler = std::move(handler)](error_code ec) {
                                if (!ec || ec == asio::error::operation_aborted)
                                    return handler(ec, {});
                                bool const final = is_tls_error(ec);
                                handler(final ? error_code{errc::tls_failed} : ec, self->explain(ec));
                            });
}

WEIR_DECL std::string tls_stream::explain(error_code const& ec) const {
    auto* const ssl = const_cast<asio::ssl::stream<socket>&>(stream_).native_handle();
    if (auto const verdict = ::SSL_get_verify_result(ssl); verdict != X509_V_OK) {
        std::string text = "the server's certificate is refused: ";
        text += ::X509_verify_cert_error_string(verdict);
        if (verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
            verdict == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN || verdict == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
            verdict == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE)
            text += "; name its authority by cacert=FILE";
        else if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)
            text += "; use the name that it bears, or give that by sni=NAME";
        return text;
    }
    if (ERR_GET_REASON(static_cast<unsigned long>(ec.value())) == SSL_R_WRONG_VERSION_NUMBER && is_tls_error(ec))
        return "the server does not speak TLS there: use redis://, or its TLS port";
    return "TLS handshake: " + (ec == asio::error::eof ? "the server closed the connection" : ec.message());
}

WEIR_DECL std::size_t tls_stream::try_write(std::string_view bytes, error_code& ec) {
    if (write_error_ || !writing_.empty()) {
        ec = write_error_ ? write_error_ : error_code{asio::error::would_block};
        return 0;
    }
    ec = {};
    bytes = bytes.substr(0, max_tls_write);
    writing_.assign(bytes.begin(), bytes.end());
    asio::async_write(stream_, asio::buffer(writing_), [self = shared_from_this()](error_code failed, std::size_t) {
        self->writing_.clear();
        self->write_error_ = failed;
        if (auto const writable = std::exchange(self->writable_, nullptr))
            writable(failed);
    });
    return bytes.size();
}

WEIR_DECL void tls_stream::async_wait_writable(std::function<void(error_code)> handler) {
    writable_ = std::move(handler);
}

WEIR_DECL void tls_stream::close() noexcept {
    error_code ignored;
    stream_.next_layer().close(ignored);
    writable_ = nullptr;
}

} // namespace weir::redis::detail
