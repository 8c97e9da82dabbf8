#pragma once

#include "cli/options.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <nlohmann/json.hpp>

#include <string>

namespace weir::cli {

/// Asks the admin side of a running instance. Single-threaded.
class admin_client {
public:
    /// Where it is: `options.address`, else that of its configuration file, else 127.0.0.1:9900; the token likewise, or
    /// WEIR_ADMIN_TOKEN. Throws `failure` for what makes no address.
    explicit admin_client(admin_options const& options);

    /// What a GET of that target is answered. Throws `failure`: nobody is there, the token is wrong, the answer is
    /// none.
    nlohmann::ordered_json get(std::string const& target);

    /// "127.0.0.1:9900".
    std::string const& where() const noexcept { return where_; }

private:
    void connect();

    std::string where_;
    std::string token_;
    boost::asio::ip::tcp::endpoint endpoint_;
    boost::asio::io_context io_{1};
    boost::beast::tcp_stream stream_{io_};
    boost::beast::flat_buffer buffer_;
    bool connected_ = false;
};

} // namespace weir::cli
