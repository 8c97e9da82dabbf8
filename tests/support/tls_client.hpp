#pragma once

#include "support/http_client.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <string>
#include <string_view>

namespace weir::test {

/// A client that speaks TLS with a server whose certificate it verifies. Throws where that fails.
class tls_client {
public:
    /// `name` is asked for and must be in the certificate, which `ca` must have signed.
    tls_client(boost::asio::ip::tcp::endpoint to, std::string const& ca, std::string const& name);

    void send(std::string_view bytes);
    http_response read();
    http_response exchange(std::string_view bytes);
    http_response get(std::string_view target, std::string_view fields = {});
    /// Exactly `n` bytes as they come. Not after read() of an answer that more came behind.
    std::string read_raw(std::size_t n);
    /// Ends the stream as TLS demands and waits for the server to do so; whether it did.
    bool close();
    /// Everything until the server ends; `clean`: it said so by TLS, too.
    std::string read_to_end(bool& clean);

    /// Of the certificate that the server has shown.
    std::string common_name() const;

private:
    boost::asio::io_context io_;
    boost::asio::ssl::context context_{boost::asio::ssl::context::tls_client};
    boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream_{io_, context_};
    boost::beast::flat_buffer buffer_;
};

} // namespace weir::test
