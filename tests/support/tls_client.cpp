#include "support/tls_client.hpp"

#include <boost/asio/read.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http.hpp>

#include <openssl/x509.h>

#include <array>

namespace weir::test {

namespace asio = boost::asio;
namespace http = boost::beast::http;

tls_client::tls_client(asio::ip::tcp::endpoint to, std::string const& ca, std::string const& name) {
    context_.load_verify_file(ca);
    stream_.set_verify_mode(asio::ssl::verify_peer);
    stream_.set_verify_callback(asio::ssl::host_name_verification(name));
    stream_.next_layer().connect(to);
    stream_.next_layer().set_option(asio::ip::tcp::no_delay(true));
    SSL_set_tlsext_host_name(stream_.native_handle(), name.c_str());
    stream_.handshake(asio::ssl::stream_base::client);
}

void tls_client::send(std::string_view bytes) { asio::write(stream_, asio::buffer(bytes)); }

http_response tls_client::read() {
    http::response_parser<http::string_body> parser;
    parser.body_limit(std::uint64_t{1} << 30);
    boost::system::error_code ec;
    http::read(stream_, buffer_, parser, ec);
    http_response made;
    made.complete = !ec && parser.is_done();
    made.status = parser.get().result_int();
    made.version = parser.get().version();
    made.close = !parser.get().keep_alive();
    made.body = std::move(parser.get().body());
    made.fields = parser.get().base();
    return made;
}

http_response tls_client::exchange(std::string_view bytes) {
    send(bytes);
    return read();
}

http_response tls_client::get(std::string_view target, std::string_view fields) {
    return exchange("GET " + std::string(target) + " HTTP/1.1\r\nHost: weir.test\r\n" + std::string(fields) + "\r\n");
}

std::string tls_client::read_raw(std::size_t n) {
    std::string all(n, '\0');
    asio::read(stream_, asio::buffer(all));
    return all;
}

bool tls_client::close() {
    boost::system::error_code ec;
    stream_.shutdown(ec);
    return !ec || ec == asio::error::eof;
}

std::string tls_client::read_to_end(bool& clean) {
    std::string all;
    boost::system::error_code ec;
    for (std::array<char, 4096> some{}; !ec;) {
        auto const n = stream_.read_some(asio::buffer(some), ec);
        all.append(some.data(), n);
    }
    clean = ec == asio::error::eof;
    return all;
}

std::string tls_client::common_name() const {
    auto* const shown =
        SSL_get0_peer_certificate(const_cast<decltype(stream_)&>(stream_).native_handle()); // as OpenSSL has it
    std::array<char, 256> name{};
    X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, name.data(), static_cast<int>(name.size()));
    return name.data();
}

} // namespace weir::test
